/**
 * Blocks laid back onto an image, overlaps added: y[n, c, l·strides + k·dilations − pads] += x[n, c·∏block + k, l], l over the block positions, k over a block, both row
 * by row; what falls on the padding is cut off. x [N, C·∏block, L], y [N, C, image_shape]. (ONNX Col2Im-18)
 */
import {
  type Case,
  data,
  defineOp,
  drawn,
  type Expected,
  effective,
  fill,
  generator,
  int,
  ints,
  type Lowering,
  type Machine,
  type OnnxForm,
  type OnnxNode,
  permute,
  type Real,
  reshape,
  type Shape,
  sizeOf,
  type Tensor,
  type TfjsForm,
  tame,
  tensor,
  toLast,
  toSecond,
  unravel,
  windowCounts,
  without,
  withoutDefaults,
} from '../harness/op.ts'
import { batchOf, int64, lift, liftPads, padRows, rankOf, stuffed, subnormals } from '../harness/windows.ts'

/** image_shape and block_shape are inputs of the node. */
type A = {
  image_shape: readonly number[]
  block_shape: readonly number[]
  strides: readonly number[]
  pads: readonly number[]
  dilations: readonly number[]
}
const blocks = (a: A): number[] => windowCounts(a.image_shape, { ...a, kernel_shape: a.block_shape })

// ── Cases ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const fields = {
  rank: int(0, 4), // spatial axes: 1, 2, 2, 2, 3
  batch: int(0, 15),
  channels: int(1, 4),
  size: ints(3, 1, 12),
  block: ints(3, 1, 4),
  strides: ints(3, 1, 3),
  dilations: ints(3, 1, 3),
  begin: ints(3, 0, 3),
  end: ints(3, 0, 3),
  x: data(),
}
const valid = generator(fields, raw => {
  const rank = rankOf(raw.rank)
  const first = (v: readonly number[]) => v.slice(0, rank)
  const most = [4, 3, 2][rank - 1]!
  const block_shape = first(raw.block).map(k => Math.min(k, most))
  const [strides, dilations, pads] = [first(raw.strides), first(raw.dilations), [...first(raw.begin), ...first(raw.end)]]
  const image_shape = first(raw.size).map((s, i) => {
    const least = effective(block_shape[i]!, dilations[i]!) - pads[i]! - pads[i + rank]!
    return Math.max(1, least, rank === 3 ? Math.min(s, 4) : s)
  })
  const a: A = { image_shape, block_shape, strides, pads, dilations }
  return drawn<A>(a, fill(fields.x, raw.x, [batchOf(raw.batch), raw.channels * sizeOf(block_shape), sizeOf(blocks(a))]))
})
const spoilt = { what: int(0, 5), axis: int(0, 1), by: int(0, 3), x: data('integers', 'normal') }
const invalid = generator(spoilt, ({ what, axis, by, x }) => {
  const at = (plain: number, bad: number) => [0, 1].map(i => (i === axis ? bad : plain))
  const a = { image_shape: [5, 5], block_shape: [2, 2], strides: [1, 1], pads: [0, 0, 0, 0], dilations: [1, 1] }
  let [rows, count] = [8, 16]
  if (what === 0) count += 1 + by // not the number of blocks
  if (what === 1) rows += 1 + (by % 3) // no multiple of a block
  if (what === 2) a.strides = at(1, 0)
  if (what === 3) a.dilations = at(1, 0)
  if (what === 4) a.block_shape = at(2, 7 + by) // two larger than the image
  if (what === 5) a.image_shape = at(5, -1 - by)
  return drawn<A>(a, fill(spoilt.x, x, [1, rows, count]))
})

// ── Reference ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** Calls `each(output, position in x)` for all that falls on the image; returns the output's shape. */
function walk(a: A, [batch, rows]: Shape, each: (i: number, at: number) => void): Shape {
  const counts = blocks(a)
  const [count, taps, area] = [sizeOf(counts), sizeOf(a.block_shape), sizeOf(a.image_shape)]
  const channels = rows! / taps
  for (let k = 0; k < taps; k++) {
    const tap = unravel(k, a.block_shape)
    for (let l = 0; l < count; l++) {
      const position = unravel(l, counts).map((p, i) => p * a.strides[i]! + tap[i]! * a.dilations[i]! - a.pads[i]!)
      if (position.some((p, i) => p < 0 || p >= a.image_shape[i]!)) continue
      const pixel = position.reduce((s, p, i) => s * a.image_shape[i]! + p, 0)
      for (let plane = 0; plane < batch! * channels; plane++) each(plane * area + pixel, (plane * taps + k) * count + l)
    }
  }
  return [batch!, channels, ...a.image_shape]
}
/** Sums of n terms in any order: γ(n − 1)·Σ|x| (Higham 2002, §3.1). */
function expect(a: A, [x]: readonly (Real | null)[]): Expected[] {
  const size = (x!.shape[0]! * x!.shape[1]! * sizeOf(a.image_shape)) / sizeOf(a.block_shape)
  const make = () => new Float64Array(size)
  const [value, magnitude, terms] = [make(), make(), make()]
  const small = subnormals(x!)?.small
  const spill = small && make()
  const shape = walk(a, x!.shape, (i, at) => {
    const v = x!.data[at]!
    if (v === 0) return
    value[i]! += v
    if (magnitude[i] !== 0) terms[i]! += 1
    magnitude[i]! += Math.abs(v)
    if (spill) spill[i]! += small[at]!
  })
  return [{ rule: 'dot', dtype: x!.dtype, shape, value, magnitude, terms, spill }]
}
function simulate(a: A, [x]: readonly (Real | null)[], m: Machine): Real[] {
  const lists: number[][] = []
  const shape = walk(a, x!.shape, (i, at) => {
    const list = (lists[i] ??= [])
    list.push(m.read(x!.data[at]!))
  })
  return [{ dtype: x!.dtype, shape, data: Float64Array.from({ length: sizeOf(shape) }, (_, i) => m.dot(lists[i] ?? [], null)) }]
}

// ── Lowerings ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** [C·∏block, C, block]: row c·∏block + k lays a one at k of channel c. */
function identity(channels: number, block: readonly number[]): Tensor {
  const taps = sizeOf(block)
  const w = new Float64Array(channels * taps * channels * taps)
  for (let i = 0; i < channels * taps; i++) w[i * channels * taps + i] = 1
  return tensor('float32', [channels * taps, channels, ...block], w)
}
function onnx(c: Case<A>): Lowering<OnnxForm>[] {
  const { attributes: a } = c
  const x = c.inputs[0]!
  const window = without(a, 'image_shape', 'block_shape')
  const shapes = { image: int64(a.image_shape), block: int64(a.block_shape) }
  const node = (attributes: object, more = ['image', 'block']): OnnxNode => ({
    op: 'Col2Im',
    in: ['x0', ...more],
    out: ['y0'],
    attributes: attributes as OnnxNode['attributes'],
  })
  const paths: Lowering<OnnxForm>[] = [
    { path: 'node', form: { opset: 18, constants: shapes, nodes: [node(window)] } },
    { path: 'opset-22', form: { opset: 22, constants: shapes, nodes: [node(window)] } },
    { path: 'fed-shapes', form: { opset: 18, prepare: t => [t[0]!, shapes.image, shapes.block], nodes: [node(window, ['x1', 'x2'])] } },
  ]
  if (c.valid === false) return paths
  const rank = a.block_shape.length
  const defaults = { strides: new Array(rank).fill(1), dilations: new Array(rank).fill(1), pads: new Array(2 * rank).fill(0) }
  paths.push({ path: 'defaults-left-out', form: { opset: 18, constants: shapes, nodes: [node(withoutDefaults(window, defaults))] } })
  if (!tame(x)) return paths
  const w = identity(x.shape[1]! / sizeOf(a.block_shape), a.block_shape)
  const counts = blocks(a)
  // The size that the blocks explain may lack rows at the end, which no block covers.
  const output_padding = counts.map(
    (n, i) => a.image_shape[i]! + a.pads[i]! + a.pads[i + rank]! - ((n - 1) * a.strides[i]! + effective(a.block_shape[i]!, a.dilations[i]!)),
  )
  if (output_padding.every((p, i) => p < a.strides[i]!)) {
    const attributes = { ...window, kernel_shape: a.block_shape, output_padding }
    const spread = (t: Tensor) => reshape(t, [...t.shape.slice(0, 2), ...counts])
    const nodes: OnnxNode[] = [{ op: 'ConvTranspose', in: ['x0', 'w'], out: ['y0'], attributes }]
    paths.push({ path: 'conv-transpose', form: { opset: 13, constants: { w }, prepare: t => [spread(t[0]!)], nodes } })
  }
  return paths
}
function tfjs(c: Case<A>): Lowering<TfjsForm>[] {
  const { attributes: a } = c
  const x = c.inputs[0]!
  const rank = a.block_shape.length
  if (c.valid === false) return [{ declined: 'TF.js has no such operation that could refuse' }]
  if (rank === 3) return [{ declined: 'TF.js transposes convolutions of volumes without pads' }]
  if (!tame(x)) return [{ declined: 'the zeros of an identity kernel meet NaN or infinities' }]
  const counts = blocks(a)
  const channels = x.shape[1]! / sizeOf(a.block_shape)
  const size = [x.shape[0]!, ...lift(a.image_shape, 1), channels]
  const [strides, pads] = [lift(a.strides, 1), padRows(liftPads(a.pads))]
  return [
    {
      path: 'conv2d-transpose-identity',
      form: {
        prepare: t => {
          const w = stuffed(identity(channels, a.block_shape), a.dilations)
          const filter = reshape(w, [...w.shape.slice(0, 2), ...lift(w.shape.slice(2), 1)])
          return [permute(reshape(t[0]!, [...t[0]!.shape.slice(0, 2), ...lift(counts, 1)]), toLast(4)), permute(filter, [2, 3, 1, 0])]
        },
        call: (tf, [v, w]) => [tf.conv2dTranspose(v, w, size, strides, pads)],
        finish: ([y]) => [reshape(permute(y!, toSecond(4)), [size[0]!, channels, ...a.image_shape])],
      },
    },
  ]
}

export default defineOp<A>({
  name: 'col2im',
  spec: ['https://onnx.ai/onnx/operators/onnx__Col2Im.html', 'https://js.tensorflow.org/api/latest/#conv2dTranspose'],
  valid,
  invalid,
  operators: ['Col2Im'],
  fromOnnx({ attributes, inputs: [x], values }) {
    const [image_shape, block_shape] = [values(1), values(2)]
    if (!x || !image_shape || !block_shape) return { declined: 'Col2Im without its shapes' }
    const ones = block_shape.map(() => 1)
    const a = { image_shape, block_shape, strides: ones, dilations: ones, pads: [...ones, ...ones].map(() => 0), ...attributes }
    return drawn<A>(a as A, x)
  },
  expect,
  simulate,
  onnx,
  tfjs,
})
