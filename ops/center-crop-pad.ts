/**
 * Each listed axis is brought to its size in `shape` around the centre: the crop starts at ⌊(n − size)/2⌋, of the padding zeros ⌊(size − n)/2⌋ stand before
 * and the odd one after. (ONNX CenterCropPad-18)
 */
import { crossed, front, given, int64, moved, moveFields, node, numbersOf, range, say, shapeIn, someAxes, typeOf } from '../harness/moves.ts'
import * as h from '../harness/op.ts'

type A = { shape: readonly number[]; axes?: readonly number[] }

const fields = { ...moveFields, by: h.ints(6, 0, 10), axes: h.int(0, 2), image: h.int(0, 2), order: h.int(0, 119), back: h.int(0, 1), x: h.data() }
const valid = h.generator(fields, raw => {
  const from = shapeIn(raw, { least: 1, most: 700 })
  const rank = from.length
  const listed = raw.axes === 0 ? range(rank) : raw.image === 2 && rank > 2 ? [1, 2] : someAxes(rank, 1 + (raw.order % rank), raw.order)
  let room = 3500 / h.sizeOf(from)
  // 0: as it is; odd: smaller; even: larger
  const shape = listed.map((axis, i) => {
    const n = from[axis]!
    const by = Math.ceil(raw.by[i]! / 2)
    const size = raw.by[i]! & 1 ? Math.max(1, n - by) : Math.min(n + by, Math.floor(n * Math.max(1, room)))
    room *= n / size
    return size
  })
  return h.drawn<A>({ shape, ...(raw.axes ? { axes: listed.map(a => (raw.back ? a - rank : a)) } : {}) }, h.fill(fields.x, raw.x, from, typeOf(raw)))
})
const WRONG = ['axis', 'count', 'negative'] as const
const spoilt = { ...moveFields, wrong: h.int(0, WRONG.length - 1), x: h.data('integers', 'normal') }
const invalid = h.generator(spoilt, raw => {
  const wrong = WRONG[raw.wrong]!
  const from = shapeIn(raw, { least: 2, most: 200 })
  const a = wrong === 'axis' ? { shape: [2], axes: [from.length] } : wrong === 'count' ? { shape: [2, 2], axes: [0] } : { shape: [-2], axes: [0] }
  return h.drawn<A>(a, h.fill(spoilt.x, raw.x, from))
})

/** Elements cut off before every axis (negative: zeros put there), and its size. */
function amounts(a: A, from: h.Shape): { before: number; size: number }[] {
  const out = from.map(size => ({ before: 0, size }))
  a.shape.forEach((size, i) => {
    const d = front(a.axes?.[i] ?? i, from.length)
    const n = from[d]!
    out[d] = { before: n >= size ? Math.floor((n - size) / 2) : -Math.floor((size - n) / 2), size }
  })
  return out
}
function expect(a: A, x: h.Real): h.Expected[] {
  const to = amounts(a, x.shape)
  const at = to.map(({ before, size }, d) => range(size).map(i => (i + before < x.shape[d]! ? Math.max(-1, i + before) : -1)))
  return [
    moved(
      x,
      to.map(t => t.size),
      crossed(x.shape, at),
    ),
  ]
}

function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const a = c.attributes
  const x = c.inputs[0]!
  const core = { op: 'CenterCropPad', attributes: (a.axes ? { axes: a.axes } : {}) as h.Attributes, params: [int64(a.shape)] }
  const paths: h.Lowering<h.OnnxForm>[] = [say('node', { ...core, opset: 18 })]
  if (c.valid === false) return paths
  paths.push(say('opset-21', { ...core, opset: 21 }), say('fed', { ...core, opset: 18, fed: true }))
  const to = amounts(a, x.shape)
  if (a.axes) paths.push(say('every-axis', { op: 'CenterCropPad', params: [int64(to.map(t => t.size))], opset: 18 }))
  const pads = [...to.map(t => -t.before), ...to.map((t, d) => t.size - x.shape[d]! + t.before)]
  paths.push(say('pad', { op: 'Pad', params: [int64(pads)], opset: 13 }))
  const cut = to.map((t, d) => [Math.max(0, t.before), Math.min(x.shape[d]!, Math.max(0, t.before) + t.size)])
  const constants = { starts: int64(cut.map(b => b[0]!)), ends: int64(cut.map(b => b[1]!)), pads: int64(pads.map(p => Math.max(0, p))) }
  paths.push({
    path: 'slice-pad',
    form: { opset: 13, constants, nodes: [node('Slice', ['x0', 'starts', 'ends'], 's'), node('Pad', ['s', 'pads'], 'y0')] },
  })
  return paths
}

function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  if (c.valid === false) return [{ declined: 'TF.js has it only composed' }]
  const x = c.inputs[0]!
  const to = amounts(c.attributes, x.shape)
  const begin = to.map(t => Math.max(0, t.before))
  const size = to.map((t, d) => Math.min(t.size, x.shape[d]!))
  const pads = to.map((t, d) => [Math.max(0, -t.before), Math.max(0, t.size - x.shape[d]! + t.before)])
  const paths: h.Lowering<h.TfjsForm>[] = [{ path: 'slice-pad', form: h.plainly((tf, [t]) => tf.pad(tf.slice(t, begin, size), pads)) }]
  paths.push({
    path: 'pad-slice',
    form: h.plainly((tf, [t]) =>
      tf.slice(
        tf.pad(t, pads),
        begin,
        to.map(s => s.size),
      ),
    ),
  })
  const rank = x.shape.length
  // rows and columns of NHWC images, cropped
  const image =
    (rank === 3 || rank === 4) &&
    x.dtype === 'float32' &&
    to.every((t, d) => (d === rank - 3 || d === rank - 2 ? t.before >= 0 && t.size <= x.shape[d]! : t.size === x.shape[d]))
  if (image)
    paths.push({
      path: 'layers-center-crop',
      form: h.plainly((tf, [t]) => tf.layers.centerCrop({ height: to[rank - 3]!.size, width: to[rank - 2]!.size }).apply(t)),
    })
  return paths
}

export default h.defineOp<A>({
  name: 'center-crop-pad',
  spec: ['https://onnx.ai/onnx/operators/onnx__CenterCropPad.html', 'https://js.tensorflow.org/api/latest/#layers.centerCrop'],
  valid,
  invalid,
  operators: ['CenterCropPad'],
  fromOnnx(n) {
    const shape = numbersOf(n, '', 1)
    return shape ? { attributes: given({ shape, axes: n.attributes['axes'] }), inputs: n.inputs } : { declined: 'a size that only the run knows' }
  },
  expect: (a, [x]) => expect(a, x!),
  onnx,
  tfjs,
})
