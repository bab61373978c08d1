/** x backwards along `axes` (none: all of them). (TF.js reverse; ONNX: Slice with step −1, or ReverseSequence with whole lengths) */
import { crossed, front, int64, moved, moveFields, range, say, shapeIn, someAxes, turned, typeOf } from '../harness/moves.ts'
import * as h from '../harness/op.ts'

type A = { axes: readonly number[] }

const fields = { ...moveFields, count: h.int(0, 6), order: h.int(0, 119), back: h.int(0, 1), x: h.data() }
const valid = h.generator(fields, raw => {
  const shape = shapeIn(raw, { least: 1, most: 3000, empty: true })
  const rank = shape.length
  const axes = someAxes(rank, Math.max(1, raw.count), raw.order).map(a => (raw.back ? a - rank : a))
  return h.drawn<A>({ axes }, h.fill(fields.x, raw.x, shape, typeOf(raw)))
})
const spoilt = { ...moveFields, below: h.flag, x: h.data('integers', 'normal') }
const invalid = h.generator(spoilt, raw => {
  const shape = shapeIn(raw, { least: 1, most: 200 })
  return h.drawn<A>({ axes: [raw.below ? -shape.length - 1 : shape.length] }, h.fill(spoilt.x, raw.x, shape))
})
function expect({ axes }: A, x: h.Real): h.Expected[] {
  const turn = axes.map(a => front(a, x.shape.length))
  return [
    moved(
      x,
      x.shape,
      crossed(
        x.shape,
        x.shape.map((n, d) => (turn.includes(d) ? range(n, n - 1, -1) : range(n))),
      ),
    ),
  ]
}

function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const { axes } = c.attributes
  const x = c.inputs[0]!
  const rank = x.shape.length
  const all = (v: number) => int64(axes.map(() => v))
  const slice = { op: 'Slice', params: [all(-1), all(-(2 ** 63)), int64(axes), all(-1)], opset: 13 }
  const paths: h.Lowering<h.OnnxForm>[] = [say('slice', slice)]
  if (c.valid === false) return paths
  paths.push(say('slice-10', { ...slice, opset: 10 }), say('slice-21', { ...slice, opset: 21 }))
  const ends = int64(axes.map(a => -x.shape[front(a, rank)]! - 1))
  paths.push(say('slice-ends-counted', { ...slice, params: [all(-1), ends, int64(axes), all(-1)] }))
  if (rank > 1) {
    const { at, around } = turned(rank)
    paths.push(say('between-transposes', { ...slice, params: [all(-1), all(-(2 ** 63)), int64(axes.map(at)), all(-1)], around }))
    const [only] = axes.map(a => front(a, rank))
    if (axes.length === 1 && only! < 2 && h.sizeOf(x.shape)) {
      const batch = 1 - only!
      const lens = int64(range(x.shape[batch]!).map(() => x.shape[only!]!))
      paths.push(say('reverse-sequence', { op: 'ReverseSequence', attributes: { batch_axis: batch, time_axis: only! }, params: [lens], opset: 13 }))
    }
  }
  if (axes.length === 1)
    paths.push(
      say('gather', { op: 'Gather', attributes: { axis: axes[0]! }, params: [int64(range(x.shape[front(axes[0]!, rank)]!).reverse())], opset: 13 }),
    )
  return paths
}

function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  const { axes } = c.attributes
  const { shape } = c.inputs[0]!
  const rank = shape.length
  const paths: h.Lowering<h.TfjsForm>[] = []
  const push = (path: string, call: (tf: any, t: any) => any) => paths.push({ path, form: h.plainly((tf, [t]) => call(tf, t)) })
  push('reverse', (tf, t) => tf.reverse(t, axes))
  if (c.valid === false) return paths
  push('method', (_, t) => t.reverse(axes))
  if (axes.length === 1) push('axis-number', (tf, t) => tf.reverse(t, axes[0]))
  if (axes.length === rank) push('defaults', (tf, t) => tf.reverse(t))
  if (rank === 1) push('reverse1d', (tf, t) => tf.reverse1d(t))
  else if (rank <= 4) push(`reverse${rank}d`, (tf, t) => tf[`reverse${rank}d`](t, axes))
  const turn = range(rank).map(d => axes.some(a => front(a, rank) === d))
  const whole = 2 ** rank - 1
  if (h.sizeOf(shape))
    push('strided-slice', (tf, t) =>
      tf.stridedSlice(
        t,
        shape.map(() => 0),
        shape.map(() => 0),
        turn.map(b => (b ? -1 : 1)),
        whole,
        whole,
      ),
    )
  return paths
}

export default h.defineOp<A>({
  name: 'reverse',
  spec: ['https://js.tensorflow.org/api/latest/#reverse', 'https://onnx.ai/onnx/operators/onnx__Slice.html'],
  valid,
  invalid,
  expect: (a, [x]) => expect(a, x!),
  onnx,
  tfjs,
})
