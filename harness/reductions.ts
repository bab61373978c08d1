/** Operations that take one number from every group of elements: a row (ops/reduce.ts) says which, `reduction` makes the operation of it. */
import {
  fillSpread,
  fromFront,
  groups,
  integers,
  inverse,
  isFloat,
  type RawShape,
  readBy,
  shapeFields,
  shapeOf,
  simulated,
  spread,
  summed,
  within,
} from './elements.ts'
import * as h from './op.ts'
import { node } from './scalars.ts'

type A = { axes?: readonly number[]; keepdims: number; noop_with_empty_axes: number }
type Tf = (tf: any, x: any, axes: any, keep: boolean) => any
export interface Row {
  name: string
  operator: string
  /** Opset since which the axes are an input. */
  input: number
  dtypes: readonly h.DType[]
  kinds: readonly string[]
  /** Value over the elements of a group. */
  f: (x: Float64Array) => number
  /** In each element's own terms, where the result is a sum: Σ term. */
  term?: (v: number) => number
  error?: (a: h.Arithmetic, x: Float64Array, r: number) => number
  simulate?: (m: h.Machine, x: Float64Array) => number
  tfjs: (axes: number) => Record<string, Tf>
  /** The empty set has no value. */
  nothing?: boolean
}
export const sum = (x: Float64Array, f = (v: number) => v) => x.reduce((s, v) => s + f(v), 0)
export const count = (x: Float64Array) => x.reduce((n, v) => n + (v === 0 ? 0 : 1), 0)
export const abs = (x: Float64Array) => sum(x, Math.abs)
export const extreme = (x: Float64Array, max: boolean) => x.reduce((b, v) => (max ? Math.max(b, v) : Math.min(b, v)), max ? -Infinity : Infinity)

// ── Cases ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const common = {
  own: h.int(0, 3), // 0, 1: float32, axes given
  ...shapeFields,
  taken: h.ints(6, 0, 1),
  form: h.int(0, 4), // 3: no axes; 4: an empty list
  negative: h.int(0, 2), // some, all axes counted from the end
  reversed: h.flag,
  keepdims: h.flag,
  noop: h.flag,
}
const generatorOf = (row: Row) => {
  const fields = { ...common, type: h.int(0, row.dtypes.length), x: spread(...row.kinds) }
  return h.generator(fields, raw => {
    const dtype = raw.own < 2 ? 'float32' : (row.dtypes[raw.type - 1] ?? 'float32')
    const least = row.name === 'reduce-prod' ? { most: 60 } : {}
    const shape = shapeOf(raw as RawShape, { ...least, empty: !row.nothing })
    const some = shape.flatMap((_, d) => (raw.taken[d] ? [d] : []))
    const chosen = some.length ? some : shape.length ? [shape.length - 1] : []
    const signed = chosen.map((d, i) => (raw.negative === 2 || (raw.negative === 1 && i % 2) ? d - shape.length : d))
    const axes = raw.form === 4 || !chosen.length ? [] : raw.form === 3 ? undefined : raw.reversed ? signed.reverse() : signed
    const noop = raw.own < 2 ? 0 : raw.noop
    const x = fillSpread(fields.x, raw.x, shape, dtype)
    const tame = row.name === 'reduce-prod' && !isFloat(dtype) ? { ...x, recipe: { kind: 'integers' as const, seed: raw.x.at, low: -1, high: 1 } } : x
    return h.drawn<A>({ ...(axes ? { axes } : {}), keepdims: raw.keepdims, noop_with_empty_axes: noop }, tame)
  })
}
const spoilt = { sizes: h.ints(3, 2, 4), rank: h.int(1, 3), by: h.int(0, 2), below: h.flag, keepdims: h.flag, x: h.data('integers', 'normal') }
/** An axis that the tensor does not have. */
const invalid = h.generator(spoilt, raw =>
  h.drawn<A>(
    { axes: [raw.below ? -raw.rank - 1 - raw.by : raw.rank + raw.by], keepdims: raw.keepdims, noop_with_empty_axes: 0 },
    h.fill(spoilt.x, raw.x, raw.sizes.slice(0, raw.rank)),
  ),
)

// ── Reference ───────────────────────────────────────────────────────────────────────────────────────────────────────

function taken(a: A, rank: number): number[] {
  if (a.axes?.length) return fromFront(a.axes, rank)
  return a.noop_with_empty_axes ? [] : Array.from({ length: rank }, (_, d) => d)
}
function partition(a: A, x: h.Real, data: Float64Array) {
  const axes = taken(a, x.shape.length)
  const g = groups(x.shape, axes)
  const shape = a.keepdims ? x.shape.map((n, d) => (axes.includes(d) ? 1 : n)) : g.kept
  return { shape, sets: Array.from({ length: g.count }, (_, i) => Float64Array.from({ length: g.size }, (_, j) => data[g.at(i, j)]!)) }
}
function expect(row: Row, a: A, x: h.Real): h.Expected {
  const { shape, sets } = partition(a, x, x.data)
  const { dtype } = x
  const value = Float64Array.from(sets, row.f)
  const max = row.name === 'reduce-max'
  if (max || row.name === 'reduce-min') {
    const [low, high] = { int8: [-128, 127], uint8: [0, 255], int32: [-(2 ** 31), 2 ** 31 - 1], int64: [-(2 ** 63), 2 ** 63], bool: [0, 1] }[
      dtype as string
    ] ?? [-Infinity, Infinity]
    const bounded = value.map(v => (Number.isFinite(v) ? v : isFloat(dtype) ? v : max ? low! : high!))
    const rest = Float64Array.from(sets, s =>
      extreme(
        s.filter(v => v === v),
        max,
      ),
    )
    const first = Float64Array.from(sets, (s, i) => (Number.isNaN(s[0]) ? Number.NaN : rest[i]!))
    const nan = h.open(
      'NaN among the elements',
      Uint8Array.from(sets, s => (s.some(Number.isNaN) ? 1 : 0)),
      { 'NaN wins': bounded, 'NaN is skipped': rest, 'NaN wins where it comes first': first },
    )
    return { rule: 'exact', dtype, shape, value: bounded, open: nan }
  }
  const mean = row.name === 'reduce-mean'
  if (!isFloat(dtype)) {
    const fraction = h.open(
      'a mean of integers',
      Uint8Array.from(value, v => (mean && !Number.isInteger(v) ? 1 : 0)),
      { 'toward zero': value.map(Math.trunc), down: value.map(Math.floor), nearest: value.map(h.roundEven) },
    )
    return integers(dtype, shape, mean ? value.map(Math.trunc) : value, fraction)
  }
  if (row.term) {
    const squares = row.name === 'reduce-sum-square'
    const size = Float64Array.from(sets, s => sum(s, v => Math.abs(row.term!(v))))
    const small = (v: number) => (Math.abs(v) < 2 ** -126 ? Math.abs(row.term!(v)) : 0)
    const by = (s: number, i: number) => (mean ? s / sets[i]!.length : s)
    const spill = sets.some(s => s.some(v => v !== 0 && small(v))) ? Float64Array.from(sets, (s, i) => by(sum(s, small), i)) : undefined
    return {
      rule: 'dot',
      dtype,
      shape,
      value,
      magnitude: size.map(by),
      partial: size,
      terms: Float64Array.from(sets, s => Math.max(0, count(s) - (squares || mean ? 0 : 1))),
      spill,
      ...(mean ? { also: (m: h.Arithmetic) => m.division - 1 } : {}),
    }
  }
  const flushed = (i: number) =>
    sets[i]!.some(v => v !== 0 && Math.abs(v) < 2 ** -126) ? row.f(sets[i]!.map(v => (Math.abs(v) < 2 ** -126 ? 0 : v))) : null
  return within(
    dtype,
    shape,
    value,
    (m, i) => (Number.isFinite(value[i]!) ? row.error!(m, sets[i]!, value[i]!) : 0),
    'see the head of ops/reduce.ts',
    { flushed, finiteInputs: i => sets[i]!.length > 0 && sets[i]!.every(Number.isFinite) },
  )
}
const SUM: NonNullable<Row['simulate']> = (m, x) => summed(m, x, null, 'dot')
const BY_NAME: Record<string, NonNullable<Row['simulate']>> = {
  'reduce-sum': SUM,
  'reduce-mean': (m, x) => m.div(SUM(m, x), x.length),
  'reduce-l1': (m, x) => SUM(m, x.map(Math.abs)),
  'reduce-sum-square': (m, x) => summed(m, x, x, 'dot'),
}

// ── Lowerings ───────────────────────────────────────────────────────────────────────────────────────────────────────

function onnx(row: Row, c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const { axes, keepdims, noop_with_empty_axes: noop } = c.attributes
  const x = c.inputs[0]!
  const rest = { keepdims, noop_with_empty_axes: noop }
  const list = axes && h.tensor('int64', [axes.length], axes)
  const inputs = list ? ['x0', 'axes'] : ['x0']
  const extremes = row.name.endsWith('max') || row.name.endsWith('min')
  const newest = x.dtype === 'bool' ? 20 : row.input
  const whole = (path: string, opset: number, attributes: h.Attributes): h.Lowering<h.OnnxForm> => ({
    path,
    form: { opset, constants: list ? { axes: list } : {}, nodes: [node(row.operator, inputs, 'y0', attributes)] },
  })
  const paths = [whole('node', newest, rest), whole('opset-22', 22, rest)]
  const left = h.withoutDefaults(rest, { keepdims: 1, noop_with_empty_axes: 0 })
  if (Object.keys(left).length < 2) paths.push(whole('defaults', newest, left))
  if (list)
    paths.push({ path: 'fed-axes', form: { opset: newest, prepare: t => [t[0]!, list], nodes: [node(row.operator, ['x0', 'x1'], 'y0', rest)] } })
  // Below 13 and 18: axes as an attribute, never an empty list; u8 and i8 since 12, negative axes since 11.
  const old = x.dtype.endsWith('t8') || x.dtype === 'int8' ? [12, 13, 17] : axes?.some(d => d < 0) ? [11, 12, 13, 17] : [11, 12, 13, 17, 9]
  if (noop === 0 && x.dtype !== 'bool' && axes?.length !== 0)
    for (const opset of old.filter(o => o < row.input && (extremes || !x.dtype.endsWith('8'))))
      paths.push({ path: `attribute-${opset}`, form: { opset, nodes: [node(row.operator, 'x0', 'y0', { keepdims, ...(axes ? { axes } : {}) })] } })
  if (c.valid === false) return paths
  const rank = x.shape.length
  if (rank > 1 && axes?.length && x.dtype === 'float32') {
    const perm = [...x.shape.keys()].reverse()
    const moved = h.tensor(
      'int64',
      [axes.length],
      fromFront(axes, rank).map(d => inverse(perm)[d]!),
    )
    if (keepdims)
      paths.push({
        path: 'between-transposes',
        form: {
          opset: newest,
          constants: { moved },
          nodes: [
            node('Transpose', 'x0', 't', { perm }),
            node(row.operator, ['t', 'moved'], 'u', rest),
            node('Transpose', 'u', 'y0', { perm: inverse(perm) }),
          ],
        },
      })
  }
  return paths
}

function tfjs(row: Row, c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  const { axes, keepdims, noop_with_empty_axes: noop } = c.attributes
  const x = c.inputs[0]!
  if (noop && !axes?.length) return [{ declined: 'TF.js has no way to skip the reduction' }]
  if (row.name === 'reduce-mean' && !isFloat(x.dtype)) return [{ declined: 'TF.js returns a mean of integers as float32' }]
  if (x.dtype === 'bool' && c.valid === false) return [{ declined: 'no such case' }]
  const { shape, sets } = partition(c.attributes, h.zeros(x.dtype, x.shape), new Float64Array(h.sizeOf(x.shape)))
  if (c.valid !== false && /max|min|log/.test(row.name) && h.sizeOf(shape) > 0 && sets[0]!.length === 0)
    return [{ declined: 'TF.js does not say what the extreme of nothing is' }]
  const all = !axes?.length
  const n = all ? x.shape.length : axes.length
  const calls = Object.entries(row.tfjs(n === x.shape.length && all ? 0 : n)).filter(
    ([name]) => isFloat(x.dtype) || !/norm|sqrt|log|moments/.test(name),
  )
  const paths: h.Lowering<h.TfjsForm>[] = calls.map(([path, call]) => ({
    path,
    form: h.plainly((tf, [v]) => call(tf, v, all ? undefined : [...axes], keepdims === 1)),
  }))
  const [first, call] = calls[0]!
  if (axes?.length === 1) paths.push({ path: `${first}-number`, form: h.plainly((tf, [v]) => call(tf, v, axes[0], keepdims === 1)) })
  if (!keepdims) paths.push({ path: `${first}-defaults`, form: h.plainly((tf, [v]) => (call as any)(tf, v, all ? undefined : [...axes])) })
  if (keepdims && c.valid !== false)
    paths.push({
      path: `${first}-without-keepdims`,
      naive: 'keepDims is false by default in TF.js, true in ONNX',
      form: h.plainly((tf, [v]) => (call as any)(tf, v, all ? undefined : [...axes])),
    })
  return paths
}

export function reduction(row: Row): h.Op<A> {
  const simulate = row.simulate ?? BY_NAME[row.name]
  return h.defineOp<A>({
    name: row.name,
    spec: [`https://onnx.ai/onnx/operators/onnx__${row.operator}.html`, 'https://js.tensorflow.org/api/latest/#Operations-Reduction'],
    valid: generatorOf(row),
    invalid,
    operators: [row.operator],
    fromOnnx(n) {
      const axes = n.opset >= row.input ? n.values(1) : (n.attributes['axes'] as readonly number[] | undefined)
      return {
        attributes: {
          ...(axes ? { axes } : {}),
          keepdims: Number(n.attributes['keepdims'] ?? 1),
          noop_with_empty_axes: Number(n.attributes['noop_with_empty_axes'] ?? 0),
        },
        inputs: n.inputs.slice(0, 1),
      }
    },
    expect: (a, [x]) => [expect(row, a, x!)],
    ...(simulate
      ? {
          simulate: (a: A, [x]: readonly (h.Real | null)[], m: h.Machine) => {
            if (!isFloat(x!.dtype))
              return [{ dtype: x!.dtype, shape: partition(a, x!, x!.data).shape, data: (expect(row, a, x!) as { value: Float64Array }).value }]
            const { shape, sets } = partition(a, x!, readBy(m, x!)[0]!)
            return [
              simulated(
                x!.dtype,
                shape,
                Float64Array.from(sets, s => (s.every(Number.isFinite) ? simulate(m, s) : row.f(s))),
              ),
            ]
          },
        }
      : {}),
    onnx: c => onnx(row, c),
    tfjs: c => tfjs(row, c),
  })
}
