/** Operations on two tensors (min, max: any number) that are broadcast against each other: a row (ops/elementwise.ts) says which, `binary` makes the operation of it. */
import { broadcast, fillSpread, integers, isFloat, readBy, shapeFields, shapeOf, simulated, sources, spread, within } from './elements.ts'
import * as h from './op.ts'
import { constant, identityConv, node } from './scalars.ts'

export type A = Record<string, never>
export type Two = (a: number, b: number) => number
export interface Row {
  name: string
  operator: string
  /** Model opsets with another version of the operator; integers of every kind since `all`, else only int32 and int64. */
  opsets: readonly number[]
  all: number
  dtypes: readonly h.DType[]
  variadic?: boolean
  f: Two
  integer?: Two
  /** Allowed error besides the underflow of the result. */
  error?: (a: h.Arithmetic, x: number, y: number, r: number) => number
  simulate?: (m: h.Machine, x: number, y: number) => number
  /** Kinds of the second operand; ×÷: no zeros among integers. */
  second: readonly string[]
  tfjs: (c: h.Case<A>) => Record<string, (tf: any, t: readonly any[]) => any>
  naive?: (c: h.Case<A>) => Record<string, readonly [(tf: any, t: readonly any[]) => any, string]>
}
export const KINDS = [
  'integers',
  'normal',
  'span',
  'ramp',
  'edges',
  'negative',
  'small',
  'large',
  'tiny',
  'impulse',
  'nan',
  'inf',
  '-inf',
  '-0',
  'subnormal',
  'largest',
] as const
export const INTS: readonly h.DType[] = ['float16', 'int32', 'int64', 'uint8', 'int8']

// ── Cases ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Shape of operand j: the whole shape, or the same with axes of length 1 and without its first axes. */
function operandShape(shape: readonly number[], form: number, drop: number): number[] {
  const kept = shape.map((n, d) =>
    form === 1 || (form === 2 && d % 2 === 0) || (form === 3 && d % 2 === 1) || (form === 4 && d !== shape.length - 3) ? 1 : n,
  )
  return form === 0 ? [...shape] : kept.slice(Math.min(drop, kept.length))
}
const generatorOf = (row: Row) => {
  const fields = {
    own: h.int(0, 3), // 0, 1: float32, two operands
    ...shapeFields,
    type: h.int(0, row.dtypes.length),
    forms: h.ints(4, 0, 4), // of each operand; 0: as the result
    drop: h.int(0, 6),
    swap: h.flag,
    count: h.int(0, 3), // min, max: 2, 1, 3, 4 operands
    constant: h.flag,
    x: spread(...KINDS),
    y: spread(...row.second),
  }
  return h.generator(fields, raw => {
    const dtype = raw.own < 2 ? 'float32' : (row.dtypes[raw.type - 1] ?? 'float32')
    const shape = shapeOf(raw, { empty: true })
    const count = row.variadic && raw.own >= 2 ? [2, 1, 3, 4][raw.count]! : 2
    const specs = Array.from({ length: count }, (_, j) => {
      const small = (j === 0) === (raw.swap === 1) && count > 1
      const form = small || j > 1 ? raw.forms[j]! : 0
      const dims = operandShape(shape, form, raw.drop)
      const [field, data] = j === 1 ? [fields.y, raw.y] : [fields.x, { ...raw.x, at: (raw.x.at + j) % 0xffff }]
      return nonZero(row, j, fillSpread(field, data, dims, dtype, raw.constant === 1 && j === 1))
    })
    return h.drawn<A>({}, ...specs)
  })
}
/** Second operands of integers that are defined: no zero under ÷, small exponents that are not negative. */
function nonZero(row: Row, j: number, s: h.TensorSpec): h.TensorSpec {
  if (isFloat(s.dtype)) return s
  if (row.name === 'pow')
    return {
      ...s,
      recipe: {
        kind: 'integers',
        seed: s.shape.length,
        low: j === 0 && s.dtype[0] === 'i' ? -5 : 0,
        high: j === 0 ? 5 : s.dtype.endsWith('8') ? 2 : 4,
      },
    }
  if (row.name !== 'div' || j === 0) return s
  const seed = 'seed' in s.recipe ? s.recipe.seed : 1
  const values = Array.from({ length: 17 }, (_, i) => (((seed + i * 7) % 9) + 1) * (s.dtype[0] === 'i' && (seed + i) % 3 === 0 ? -1 : 1))
  return { ...s, recipe: { kind: 'values', values } }
}
const spoilt = { sizes: h.ints(4, 2, 4), rank: h.int(1, 4), axis: h.int(0, 3), by: h.int(1, 3), drop: h.flag, x: h.data('integers', 'normal') }
/** Lengths of an axis that differ and are not 1. */
const invalid = h.generator(spoilt, raw => {
  const shape = raw.sizes.slice(0, raw.rank)
  const axis = Math.min(raw.axis, raw.rank - 1)
  const other = shape.map((n, d) => n + (d === axis ? raw.by : 0)).slice(raw.drop && axis > 0 ? 1 : 0)
  return h.drawn<A>({}, h.fill(spoilt.x, raw.x, shape), h.fill(spoilt.x, raw.x, other))
})

// ── Reference ───────────────────────────────────────────────────────────────────────────────────────────────────────

function expect(row: Row, inputs: readonly h.Real[]): h.Expected {
  const shape = broadcast(...inputs.map(x => x.shape))
  const from = inputs.map(x => sources(x.shape, shape))
  const at = (j: number, i: number) => inputs[j]!.data[from[j]![i]!]!
  const { dtype } = inputs[0]!
  const size = h.sizeOf(shape)
  const fold = (f: Two) => Float64Array.from({ length: size }, (_, i) => inputs.reduce((v, _x, j) => (j === 0 ? v : f(v, at(j, i))), at(0, i)))
  if (!isFloat(dtype)) return integers(dtype, shape, fold(row.integer ?? row.f))
  const value = fold(row.f)
  const where = (is: (i: number) => boolean) => Uint8Array.from({ length: size }, (_, i) => (is(i) ? 1 : 0))
  const finiteInputs = (i: number) => inputs.every((_, j) => Number.isFinite(at(j, i)))
  if (row.variadic) {
    const skipped = fold((a, b) => (a !== a ? b : b !== b ? a : row.f(a, b)))
    const beats: Two = row.name === 'max' ? (a, b) => Number(a > b) : (a, b) => Number(a < b)
    const first = fold((a, b) => (beats(a, b) ? a : b))
    const second = fold((a, b) => (beats(b, a) ? b : a))
    const nan =
      inputs.length > 1
        ? h.open(
            'NaN among the operands',
            where(i => inputs.some((_, j) => Number.isNaN(at(j, i)))),
            { 'NaN wins': value, 'NaN is skipped': skipped, 'the right operand wins': first, 'the left operand wins': second },
          )
        : []
    return { rule: 'exact', dtype, shape, value, open: nan }
  }
  const negative =
    row.name === 'pow'
      ? h.open(
          'a power of a negative number',
          where(i => at(0, i) < 0 && !Number.isInteger(at(1, i))),
          { 'IEEE 754': value, '|x|ʸ': value.map((_, i) => Math.fround(Math.abs(at(0, i)) ** at(1, i))), zero: constant(value, 0) },
        )
      : []
  const tiny = (v: number) => (v !== 0 && Math.abs(v) < 2 ** -126 ? 0 : v)
  return within(dtype, shape, value, (a, i) => row.error!(a, at(0, i), at(1, i), value[i]!), 'one operation: see the head of ops/elementwise.ts', {
    open: negative,
    finiteInputs,
    flushed: i => (tiny(at(0, i)) !== at(0, i) || tiny(at(1, i)) !== at(1, i) ? row.f(tiny(at(0, i)), tiny(at(1, i))) : null),
  })
}

// ── Rows as operations ──────────────────────────────────────────────────────────────────────────────────────────────

const EXPONENTS: Record<string, number> = { two: 2, half: 0.5, one: 1, 'minus-one': -1, three: 3, zero: 0 }

function onnx(row: Row, c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const names = c.inputs.map((_, i) => `x${i}`)
  const { dtype } = c.inputs[0]!
  const fixed = c.inputs.flatMap((s, i) => (s!.constant ? [i] : []))
  const opsets = row.opsets.filter(
    o => isFloat(dtype) || o >= row.all || (dtype.length > 4 && dtype[0] === 'i' && (row.name === 'pow' ? o >= 12 : !row.variadic)),
  )
  const paths: h.Lowering<h.OnnxForm>[] = opsets.map((opset, i) => ({
    path: i === 0 ? 'node' : `opset-${opset}`,
    form: { opset, initializers: fixed, nodes: [node(row.operator, names, 'y0')] },
  }))
  if (c.valid === false) return paths
  const opset = opsets[0]!
  if (names.length === 2) paths.push({ path: 'constant-second', form: { opset, initializers: [1], nodes: [node(row.operator, names, 'y0')] } })
  if (names.length === 2) paths.push({ path: 'constant-first', form: { opset, initializers: [0], nodes: [node(row.operator, names, 'y0')] } })
  if (row.variadic && names.length > 2)
    paths.push({
      path: 'pairs',
      form: {
        opset,
        nodes: names.slice(1).map((n, i) => node(row.operator, [i === 0 ? 'x0' : `t${i - 1}`, n], i === names.length - 2 ? 'y0' : `t${i}`)),
      },
    })
  const [x, y] = c.inputs as [h.TensorSpec, h.TensorSpec?]
  if (!y) return paths
  // Neighbours that ORT folds: a convolution before + or × with a constant [C, 1, 1]; 1/y·x.
  const perChannel =
    x.shape.length === 4 && dtype === 'float32' && y.shape.length === 3 && y.shape[0] === x.shape[1] && y.shape[1] === 1 && y.shape[2] === 1
  if (perChannel && ['add', 'mul'].includes(row.name)) {
    const { conv, one } = identityConv(x.shape[1]!)
    paths.push({
      path: 'after-conv',
      form: { opset, initializers: [1], constants: { one }, nodes: [conv('x0', 'c'), node(row.operator, ['c', 'x1'], 'y0')] },
    })
  }
  const tame = (s: h.TensorSpec) =>
    ['integers', 'ramp', 'normal', 'uniform'].includes(s.recipe.kind) &&
    h.real(h.realise(s)).data.every(v => v === 0 || (Math.abs(v) > 1e-6 && Math.abs(v) < 1e6))
  if (row.name === 'div' && dtype === 'float32' && tame(x) && tame(y) && h.real(h.realise(y)).data.every(v => v !== 0))
    paths.push({
      path: 'reciprocal-mul',
      form: { opset, constants: { one: h.tensor('float32', [], [1]) }, nodes: [node('Div', ['one', 'x1'], 'i'), node('Mul', ['i', 'x0'], 'y0')] },
    })
  return paths
}

export function binary(row: Row): h.Op<A> {
  const drawn = generatorOf(row)
  const valid: typeof drawn = {
    ...drawn,
    build(raw) {
      const d = drawn.build(raw)
      const value = EXPONENTS[row.second[Math.min(raw.y.kind, row.second.length - 1)]!]
      return row.name === 'pow' && value !== undefined && isFloat(d.inputs[1]!.dtype)
        ? { ...d, inputs: [d.inputs[0]!, { ...d.inputs[1]!, recipe: { kind: 'constant', value } }] }
        : d
    },
  }
  return h.defineOp<A>({
    name: row.name,
    spec: [`https://onnx.ai/onnx/operators/onnx__${row.operator}.html`, 'https://js.tensorflow.org/api/latest/#Operations-Arithmetic'],
    valid,
    invalid,
    operators: [row.operator],
    fromOnnx: n => ({ attributes: {}, inputs: n.inputs }),
    expect: (_, inputs) => [expect(row, inputs as h.Real[])],
    ...(row.simulate
      ? {
          simulate: (_: A, [x, y]: readonly (h.Real | null)[], m: h.Machine) => {
            const shape = broadcast(x!.shape, y!.shape)
            const [xs, ys] = readBy(m, x!, y!) as [Float64Array, Float64Array]
            const [p, q] = [sources(x!.shape, shape), sources(y!.shape, shape)]
            const data = Float64Array.from(p, (at, i) => row.simulate!(m, xs[at]!, ys[q[i]!]!))
            return isFloat(x!.dtype)
              ? [simulated(x!.dtype, shape, data)]
              : [{ dtype: x!.dtype, shape, data: (expect(row, [x!, y!]) as { value: Float64Array }).value }]
          },
        }
      : {}),
    onnx: c => onnx(row, c),
    tfjs(c) {
      if (c.inputs.some(s => s!.dtype !== c.inputs[0]!.dtype)) return [{ declined: 'TF.js converts both operands to one dtype' }]
      const all = Object.entries(row.tfjs(c)).map(([path, call]): h.Lowering<h.TfjsForm> => ({ path, form: h.plainly(call) }))
      if (c.valid === false) return all.slice(0, 1)
      return all.concat(
        Object.entries(row.naive?.(c) ?? {}).map(([path, [call, naive]]) => ({ path: `naive-${path}`, naive, form: h.plainly(call) })),
      )
    },
  })
}
