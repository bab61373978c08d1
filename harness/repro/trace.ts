/**
 * The calls that a TF.js form makes, written out as code: `tf` is handed over behind a recorder, in a child process (a runtime is imported nowhere else).
 * Tensors that the form makes by their own methods are written as literals.
 */
export interface Traced {
  lines: string[]
  /** Names of the outputs in the code. */
  outputs: string[]
  /** Shapes of the raw outputs, where the call ended. */
  shapes: number[][]
  threw?: string
}

const isTensor = (v: any): boolean =>
  v !== null && typeof v === 'object' && Array.isArray(v.shape) && typeof v.dtype === 'string' && typeof v.dataSync === 'function'
const REAL = Symbol('real')

/** @param call the form's call; inputs are named x0, x1, … */
export async function trace(call: (tf: any, inputs: readonly any[]) => any, tf: any, inputs: readonly any[]): Promise<Traced> {
  const lines: string[] = []
  const names = new Map<unknown, string>()
  inputs.forEach((x, i) => {
    if (x) names.set(x, `x${i}`)
  })
  let next = 0
  const real = (v: any): any => {
    if (Array.isArray(v)) return v.map(real)
    return v !== null && (typeof v === 'object' || typeof v === 'function') && v[REAL] ? v[REAL] : v
  }
  const literal = (t: any) => `tf.tensor(${JSON.stringify(Array.from(t.dataSync()))}, ${JSON.stringify(t.shape)}, '${t.dtype}')`
  const code = (v: any): string => {
    const r = real(v)
    if (r === null || r === undefined) return String(r)
    const named = names.get(r)
    if (named) return named
    if (isTensor(r)) return literal(r)
    if (Array.isArray(v)) return `[${v.map(code).join(', ')}]`
    if (ArrayBuffer.isView(r)) return `${r.constructor.name}.from(${JSON.stringify(Array.from(r as unknown as number[]))})`
    if (typeof r === 'number') return Object.is(r, -0) ? '-0' : String(r)
    if (typeof r === 'object')
      return `{ ${Object.entries(r)
        .map(([k, w]) => `${k}: ${code(w)}`)
        .join(', ')} }`
    return JSON.stringify(r)
  }
  const keep = (value: any, name: string): any => {
    if (value === null || (typeof value !== 'object' && typeof value !== 'function')) return value
    if (Array.isArray(value))
      value.forEach((v, i) => {
        if (isTensor(v)) names.set(v, `${name}[${i}]`)
      })
    else names.set(value, name)
    if (isTensor(value) || Array.isArray(value)) return value
    if (Object.getPrototypeOf(value) === Object.prototype) {
      for (const [k, v] of Object.entries(value)) if (isTensor(v)) names.set(v, `${name}.${k}`)
      return value
    }
    return recorded(value, name)
  }
  function recorded(target: any, name: string): any {
    return new Proxy((() => {}) as any, {
      get(_, key) {
        if (key === REAL) return target
        if (key === 'then') return undefined
        const v = target[key]
        if (typeof v === 'function' && typeof key === 'string') {
          if (key === 'tidy') return (f: () => unknown) => f()
          return (...args: any[]) => {
            const said = `${name}.${key}(${args.map(code).join(', ')})`
            const r = `r${next++}`
            const at = lines.push(`const ${r} = ${said}`) - 1
            const result = v.apply(target, args.map(real))
            if (result === undefined) {
              lines[at] = said
              return undefined
            }
            if (typeof result?.then === 'function') {
              lines[at] = `const ${r} = await ${said}`
              return result.then((w: any) => keep(w, r))
            }
            return keep(result, r)
          }
        }
        return v !== null && typeof v === 'object' && !isTensor(v) && !Array.isArray(v) ? recorded(v, `${name}.${String(key)}`) : v
      },
    })
  }
  try {
    const outputs = (await call(recorded(tf, 'tf'), inputs)).map(real)
    return {
      lines,
      outputs: outputs.map((y: any) => (y ? (names.get(y) ?? literal(y)) : 'null')),
      shapes: outputs.map((y: any) => (y ? [...y.shape] : [])),
    }
  } catch (error) {
    return { lines, outputs: [`r${next - 1}`], shapes: [], threw: (error as Error).message }
  }
}
