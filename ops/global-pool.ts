/**
 * Global pools: y[n, c, 1, …] of all x[n, c, …]: their mean, their maximum, (Σ |x|^p)^(1/p). (ONNX GlobalAveragePool-1, GlobalMaxPool-1, GlobalLpPool-2: p = 2; 22 only
 * adds bfloat16.) Bounds: the mean as in average-pool (Higham 2002, §3.1: n − 1 additions, one quotient), the norm as in lp-pool, the maximum is exact.
 */
import {
  type Attributes,
  type Case,
  type DType,
  data,
  defineOp,
  drawn,
  type Expected,
  fill,
  generator,
  int,
  type Lowering,
  type Machine,
  type OnnxForm,
  type Op,
  open,
  permute,
  pick,
  type Real,
  reshape,
  type Shape,
  sizeOf,
  type Tensor,
  type TensorSpec,
  type TfjsForm,
  toLast,
  toSecond,
} from '../harness/op.ts'
import { batchOf, CHANNELS, SIZES, subnormals } from '../harness/windows.ts'
import { addTo, composed, norms, rooted, rootedBy } from './lp-pool.ts'

interface Row {
  name: string
  operator: string
  /** Opsets of each definition, the usual one first. */
  opsets: readonly number[]
  /** p of the norm; others have no attributes. */
  power?: boolean
  /** dtypes besides float32 that a runtime claims. */
  dtypes: readonly DType[]
  /** One value of a plane; the planes lie one after another. */
  expect: (a: Attributes, x: Real, shape: Shape, area: number) => Expected
  simulate?: (a: Attributes, plane: number[], m: Machine) => number
  /** Over the axes, of a tensor whose channels come last. */
  tfjs: (tf: any, v: any, axes: number[], keep: boolean, a: Attributes) => any
  /** Layers and pools that say it. */
  layer?: string
  pool?: string
  /** Other nodes from x0 to y0 that say it. */
  reduce?: string
}

// ── Cases ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const fields = {
  own: int(0, 4), // 0 … 2: float32
  rank: int(0, 4), // spatial axes: 1, 2, 2, 2, 3
  batch: int(0, 15),
  channels: int(0, CHANNELS.length - 1),
  size: int(0, SIZES.length - 1),
  wide: int(0, SIZES.length - 1),
  deep: int(0, 4),
  power: int(0, 4),
  type: int(0, 3),
  x: data(),
}
const generate = (row: Row) =>
  generator(fields, raw => {
    const [h, w] = [pick(SIZES, raw.size), pick(SIZES, raw.wide)]
    const sizes = [[h * w], [h, w], [h, w], [h, w], [1 + raw.deep, Math.min(h, 9), Math.min(w, 17)]][raw.rank]!
    const channels = Math.max(1, Math.min(pick(CHANNELS, raw.channels), Math.floor(4096 / sizeOf(sizes))))
    const dtype = raw.own < 3 || raw.type < 2 ? 'float32' : (row.dtypes[raw.type % Math.max(1, row.dtypes.length)] ?? 'float32')
    const attributes: Attributes = row.power ? { p: [2, 1, 3, 4, 7][raw.power]! } : {}
    return drawn(attributes, fill(fields.x, raw.x, [batchOf(raw.batch), channels, ...sizes], dtype))
  })
/** An image without channels: a matrix has no spatial axes. */
const spoilt = { what: int(0, 1), size: int(1, 8), x: data('integers', 'normal') }
const refused = (row: Row) => generator(spoilt, raw => drawn(row.power ? { p: 2 } : {}, fill(spoilt.x, raw.x, raw.what ? [raw.size] : [], 'float32')))

// ── Reference ───────────────────────────────────────────────────────────────────────────────────────────────────────

function mean(_: Attributes, x: Real, shape: Shape, area: number): Expected {
  const small = subnormals(x)?.small
  const size = sizeOf(shape)
  const make = () => new Float64Array(size)
  const [value, magnitude, partial, terms] = [make(), make(), make(), make()]
  const spill = small && make()
  for (let i = 0, at = 0; i < size; i++) {
    for (let k = 0; k < area; k++, at++) {
      const v = x.data[at]!
      if (v === 0) continue
      value[i]! += v
      partial[i]! += Math.abs(v)
      terms[i]! += 1
      if (spill) spill[i]! += small[at]! / area
    }
    value[i]! /= area
    magnitude[i] = partial[i]! / area
  }
  return { rule: 'dot', dtype: x.dtype, shape, value, magnitude, partial, terms, spill, also: a => a.division - 1 }
}
function largest(_: Attributes, x: Real, shape: Shape, area: number): Expected {
  const size = sizeOf(shape)
  const [value, propagated, nan] = [new Float64Array(size).fill(-Infinity), new Float64Array(size), new Uint8Array(size)]
  for (let i = 0, at = 0; i < size; i++) {
    for (let k = 0; k < area; k++, at++) {
      const v = x.data[at]!
      if (v !== v) nan[i] = 1
      else if (v > value[i]!) value[i] = v
    }
    propagated[i] = nan[i] ? NaN : value[i]!
  }
  return {
    rule: 'exact',
    dtype: x.dtype,
    shape,
    value,
    open: open('the maximum of a plane with NaN', nan, { 'NaN is skipped': value, 'NaN wins': propagated }),
  }
}
function norm({ p }: Attributes, x: Real, shape: Shape, area: number): Expected {
  const sums = norms(sizeOf(shape))
  for (let i = 0; i < x.data.length; i++) addTo(sums, Math.floor(i / area), x.data[i]!, p as number)
  return rooted(x, shape, p as number, sums, area)
}

const ROWS: readonly Row[] = [
  {
    name: 'global-average-pool',
    operator: 'GlobalAveragePool',
    opsets: [13, 22],
    dtypes: ['float16'],
    expect: mean,
    simulate: (_, plane, m) => m.div(m.dot(plane, null), plane.length),
    tfjs: (tf, v, axes, keep) => tf.mean(v, axes, keep),
    layer: 'globalAveragePooling',
    pool: 'avgPool',
    reduce: 'ReduceMean',
  },
  {
    name: 'global-max-pool',
    operator: 'GlobalMaxPool',
    opsets: [13, 22],
    dtypes: ['float16', 'int32'],
    expect: largest,
    tfjs: (tf, v, axes, keep) => tf.max(v, axes, keep),
    layer: 'globalMaxPooling',
    pool: 'maxPool',
    reduce: 'ReduceMax',
  },
  {
    name: 'global-lp-pool',
    operator: 'GlobalLpPool',
    opsets: [13, 22],
    power: true,
    dtypes: ['float16'],
    expect: norm,
    simulate: ({ p }, plane, m) => rootedBy(m, plane, p as number, plane.length),
    tfjs: (tf, v, axes, keep, { p }) => composed(tf, v, p as number, t => tf.sum(t, axes, keep)),
  },
]

// ── Lowerings ───────────────────────────────────────────────────────────────────────────────────────────────────────

function onnx(row: Row, c: Case): Lowering<OnnxForm>[] {
  const x = c.inputs[0]!
  if (x.dtype === 'int32') return [{ declined: `${row.operator} has no int32` }]
  const attributes = c.attributes
  const form = (opset: number, op = row.operator, a: Attributes = attributes): OnnxForm => ({
    opset,
    nodes: [{ op, in: ['x0'], out: ['y0'], attributes: a }],
  })
  const paths: Lowering<OnnxForm>[] = row.opsets.map((opset, i) => ({ path: i ? `opset-${opset}` : 'node', form: form(opset) }))
  if (c.valid === false) return paths
  const axes = x.shape.slice(2).map((_, i) => i + 2)
  if (row.reduce) paths.push({ path: 'reduce-node', form: form(13, row.reduce, { axes, keepdims: 1 }) })
  if (row.power && attributes.p === 2) {
    paths.push({ path: 'default-p', form: form(13, row.operator, {}) })
    paths.push({ path: 'reduce-node', form: form(13, 'ReduceL2', { axes, keepdims: 1 }) })
  }
  if (row.reduce && sizeOf(x.shape) > 0 && x.dtype === 'float32') {
    // Behind a permutation, which the optimiser may move across the pool.
    const perm = toLast(x.shape.length)
    const turned = (t: readonly (Tensor | null)[]) => [permute(t[0]!, perm)]
    paths.push({
      path: 'behind-transpose',
      form: {
        opset: 13,
        prepare: turned,
        nodes: [
          { op: 'Transpose', in: ['x0'], out: ['first'], attributes: { perm: toSecond(x.shape.length) } },
          { op: row.operator, in: ['first'], out: ['y0'], attributes },
        ],
      },
    })
  }
  return paths
}
function tfjs(row: Row, c: Case): Lowering<TfjsForm>[] {
  const x = c.inputs[0]!
  if (c.valid === false) return [{ declined: 'TF.js reduces over axes that the case does not name' }]
  const rank = x.shape.length
  const [batch, channels] = x.shape as [number, number]
  const shape = [batch, channels, ...new Array<number>(rank - 2).fill(1)]
  const last = (t: readonly (Tensor | null)[]) => [permute(t[0]!, toLast(rank))]
  const back = ([y]: readonly Tensor[]) => [reshape(y!, shape)]
  const axes = x.shape.slice(2).map((_, i) => i + 1)
  const planes = axes.map(i => i + 1)
  const paths: Lowering<TfjsForm>[] = [
    { path: 'axes', form: { prepare: last, call: (tf, [v]) => [row.tfjs(tf, v, axes, true, c.attributes)], finish: back } },
    { path: 'axes-dropped', form: { prepare: last, call: (tf, [v]) => [row.tfjs(tf, v, axes, false, c.attributes)], finish: back } },
    { path: 'planes', form: { call: (tf, [v]) => [row.tfjs(tf, v, planes, true, c.attributes)] } },
  ]
  if (x.dtype !== 'float32') return paths
  const { layer, pool } = row
  if (layer && rank < 5) {
    const call = (tf: any, v: any, options: object) => tf.layers[`${layer}${rank - 2}d`](options).apply(v)
    paths.push({ path: 'layers', form: { prepare: last, call: (tf, [v]) => [call(tf, v, {})], finish: back } })
    if (rank === 4)
      paths.push({ path: 'layers-channels-first', form: { call: (tf, [v]) => [call(tf, v, { dataFormat: 'channelsFirst' })], finish: back } })
  }
  if (pool && rank === 4) {
    const window = x.shape.slice(2) as [number, number]
    paths.push({ path: 'window', form: { prepare: last, call: (tf, [v]) => [tf[pool](v, window, 1, 'valid')], finish: back } })
    paths.push({ path: 'window-stride', form: { prepare: last, call: (tf, [v]) => [tf[pool](v, window, window, 'valid')], finish: back } })
  }
  if (pool && rank === 5) {
    const window = x.shape.slice(2) as [number, number, number]
    paths.push({ path: 'window', form: { prepare: last, call: (tf, [v]) => [tf[`${pool}3d`](v, window, 1, 'valid')], finish: back } })
  }
  return paths
}

function globalPool(row: Row): Op {
  const outer = (x: Real): [Shape, number] => [[...x.shape.slice(0, 2), ...x.shape.slice(2).map(() => 1)], sizeOf(x.shape.slice(2))]
  const { simulate } = row
  return defineOp({
    name: row.name,
    spec: [`https://onnx.ai/onnx/operators/onnx__${row.operator}.html`, 'https://js.tensorflow.org/api/latest/#layers.globalAveragePooling2d'],
    valid: generate(row),
    invalid: refused(row),
    operators: [row.operator],
    fromOnnx: ({ attributes, inputs: [x] }) => {
      if (!x || x.shape.length < 3) return { declined: 'a global pool needs a spatial axis' }
      return drawn(row.power ? { p: 2, ...attributes } : {}, x as TensorSpec)
    },
    expect: (a, [x]) => [row.expect(a, x!, ...outer(x!))],
    ...(simulate
      ? {
          simulate: (a: Attributes, [x]: readonly (Real | null)[], m: Machine): Real[] => {
            const [shape, area] = outer(x!)
            const read = x!.dtype === 'float32' ? m.read : (v: number) => v
            const plane = (i: number) => Array.from(x!.data.subarray(i * area, (i + 1) * area), read)
            return [{ dtype: x!.dtype, shape, data: Float64Array.from({ length: sizeOf(shape) }, (_, i) => simulate(a, plane(i), m)) }]
          },
        }
      : {}),
    onnx: c => onnx(row, c),
    tfjs: c => tfjs(row, c),
  })
}
export default ROWS.map(globalPool)
