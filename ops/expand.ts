/** x broadcast against `shape`: aligned at the right, an axis of 1 on either side takes the other's size, so that the target may also be smaller. (ONNX Expand-13) TF.js's broadcastTo goes one way. */
import { broadcast, sources } from '../harness/elements.ts'
import { int64, moved, moveFields, node, numbersOf, range, say, shapeIn, typeOf } from '../harness/moves.ts'
import * as h from '../harness/op.ts'

type A = { shape: readonly number[] }

const fields = { ...moveFields, ones: h.ints(6, 0, 1), target: h.ints(6, 0, 3), fewer: h.int(0, 6), narrower: h.int(0, 6), x: h.data() }
const valid = h.generator(fields, raw => {
  const whole = shapeIn(raw, { most: 3000, empty: true })
  const rank = whole.length
  // x lacks some leading axes and has length 1 in others; the target may have 1 where x has more
  const from = whole.map((n, d) => (raw.ones[d] ? 1 : n)).slice(Math.max(0, Math.min(rank, raw.fewer - 3)))
  const kept = whole.map((n, d) => (raw.own > 2 && raw.target[d] === 3 && from[d - (rank - from.length)] === n ? 1 : n))
  const shape =
    raw.own > 2 && raw.narrower > 4 && from.length === rank ? kept.slice(kept.findIndex((n, d) => n !== 1 || from[d] === 1 || d === rank - 1)) : kept
  return h.drawn<A>({ shape }, h.fill(fields.x, raw.x, from, typeOf(raw)))
})
const WRONG = ['size', 'negative', 'narrower-tfjs'] as const
const spoilt = { ...moveFields, wrong: h.int(0, WRONG.length - 1), x: h.data('integers', 'normal') }
const invalid = h.generator(spoilt, raw => {
  const wrong = WRONG[raw.wrong]!
  const x = shapeIn(raw, { least: 1, most: 200 }).map(n => Math.max(2, n))
  const shape = wrong === 'size' ? x.map(n => n + 1) : wrong === 'negative' ? x.map((n, d) => (d ? n : -2)) : x.map(() => 1)
  return h.drawn<A>({ shape }, h.fill(spoilt.x, raw.x, x))
})
const expect = ({ shape }: A, x: h.Real): h.Expected[] => {
  const to = broadcast(x.shape, shape)
  return [moved(x, to, sources(x.shape, to))]
}

function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const { shape } = c.attributes
  const x = c.inputs[0]!
  const core = { op: 'Expand', params: [int64(shape)] }
  if (c.valid === false && shape.every(n => n === 1)) return [{ declined: 'a smaller target is allowed in ONNX' }]
  const paths: h.Lowering<h.OnnxForm>[] = [say('node', { ...core, opset: 13 })]
  if (c.valid === false) return paths
  const to = broadcast(x.shape, shape)
  paths.push(say('opset-8', { ...core, opset: 9 }), say('opset-21', { ...core, opset: 21 }), say('fed', { ...core, opset: 13, fed: true }))
  paths.push(say('resolved', { op: 'Expand', params: [int64(to)], opset: 13 }))
  // what the shape of another tensor says
  const like = h.tensor('float32', to, new Float64Array(h.sizeOf(to)))
  paths.push({ path: 'shape-of', form: { opset: 13, constants: { like }, nodes: [node('Shape', 'like', 's'), node('Expand', ['x0', 's'], 'y0')] } })
  const padded = [...range(to.length - x.shape.length).map(() => 1), ...x.shape]
  const repeats = to.map((n, d) => (padded[d] === n ? 1 : n))
  const nodes = [node('Reshape', ['x0', 'padded'], 'r'), node('Tile', ['r', 'repeats'], 'y0')]
  if (h.sizeOf(to)) paths.push({ path: 'reshape-tile', form: { opset: 13, constants: { padded: int64(padded), repeats: int64(repeats) }, nodes } })
  return paths
}

function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  const { shape } = c.attributes
  const x = c.inputs[0]!
  const paths: h.Lowering<h.TfjsForm>[] = []
  const push = (path: string, call: (tf: any, t: any) => any) => paths.push({ path, form: h.plainly((tf, [t]) => call(tf, t)) })
  if (c.valid === false) {
    push('broadcast-to', (tf, t) => tf.broadcastTo(t, shape))
    return paths
  }
  const to = broadcast(x.shape, shape)
  const padded = [...range(to.length - x.shape.length).map(() => 1), ...x.shape]
  push('broadcast-to', (tf, t) => tf.broadcastTo(t, to))
  push('method', (_, t) => t.broadcastTo(to))
  push('reshape-tile', (tf, t) =>
    tf.tile(
      tf.reshape(t, padded),
      to.map((n, d) => (padded[d] === n ? 1 : n)),
    ),
  )
  if (x.dtype === 'float32' && h.tame(x)) push('add-zeros', (tf, t) => tf.add(t, tf.zeros(to)))
  if (x.dtype === 'bool') push('or', (tf, t) => tf.logicalOr(t, tf.zeros(to, 'bool')))
  if (shape.length !== to.length || shape.some((n, d) => n !== to[d]))
    paths.push({
      path: 'target-as-given',
      naive: 'tf.broadcastTo goes one way: every axis of the target must fit x',
      form: h.plainly((tf, [t]) => tf.broadcastTo(t, shape)),
    })
  return paths
}

export default h.defineOp<A>({
  name: 'expand',
  spec: ['https://onnx.ai/onnx/operators/onnx__Expand.html', 'https://js.tensorflow.org/api/latest/#broadcastTo'],
  valid,
  invalid,
  operators: ['Expand'],
  fromOnnx(n) {
    const shape = numbersOf(n, 'shape', 1)
    return shape ? { attributes: { shape }, inputs: n.inputs } : { declined: 'a target that only the run knows' }
  },
  expect: (a, [x]) => expect(a, x!),
  onnx,
  tfjs,
})
