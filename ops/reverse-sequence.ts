/** Of every batch entry the first sequence_lens[b] time steps backwards, the rest as it is. (ONNX ReverseSequence-10; time_axis and batch_axis are 0 and 1, or 1 and 0) */
import { moved, moveFields, range, say, shapeIn, typeOf } from '../harness/moves.ts'
import * as h from '../harness/op.ts'

type A = { batch_axis: number; time_axis: number }

const fields = { ...moveFields, time: h.int(0, 1), whole: h.int(0, 3), seed: h.int(0, 0xffff), constant: h.flag, x: h.data() }
const valid = h.generator(fields, raw => {
  const shape = shapeIn(raw, { least: 2, most: 3000 })
  const a = { batch_axis: 1 - raw.time, time_axis: raw.time }
  const n = shape[a.time_axis]!
  const next = h.random(raw.seed)
  const lengths = range(shape[a.batch_axis]!).map(() => (raw.whole === 0 ? n : 1 + (next() % n)))
  return h.drawn<A>(a, h.fill(fields.x, raw.x, shape, typeOf(raw)), h.values('int64', [lengths.length], lengths, raw.constant === 1))
})
const WRONG = ['long', 'negative', 'count', 'same-axis', 'rank'] as const
const spoilt = { ...moveFields, wrong: h.int(0, WRONG.length - 1), x: h.data('integers', 'normal') }
const invalid = h.generator(spoilt, raw => {
  const wrong = WRONG[raw.wrong]!
  const shape = wrong === 'rank' ? [3] : shapeIn(raw, { least: 2, most: 200 })
  const length = wrong === 'long' ? shape[0]! + 1 : wrong === 'negative' ? -1 : 1
  const count = (shape[1] ?? 1) + (wrong === 'count' ? 1 : 0)
  return h.drawn<A>({ batch_axis: wrong === 'same-axis' ? 0 : 1, time_axis: 0 }, h.fill(spoilt.x, raw.x, shape), h.values('int64', [count], [length]))
})

function sources({ batch_axis, time_axis }: A, shape: h.Shape, lengths: ArrayLike<number>): Int32Array {
  const steps = h.stridesOf(shape)
  return Int32Array.from({ length: h.sizeOf(shape) }, (_, i) => {
    const time = Math.floor(i / steps[time_axis]!) % shape[time_axis]!
    const length = lengths[Math.floor(i / steps[batch_axis]!) % shape[batch_axis]!]!
    return time < length ? i + (length - 1 - 2 * time) * steps[time_axis]! : i
  })
}

function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const { batch_axis, time_axis } = c.attributes
  const core = { op: 'ReverseSequence', attributes: { batch_axis, time_axis }, given: 2, initializers: c.inputs[1]!.constant ? [1] : [] }
  const paths: h.Lowering<h.OnnxForm>[] = [say('node', { ...core, opset: 13 })]
  if (c.valid === false) return paths
  paths.push(
    say('opset-10', { ...core, opset: 10 }),
    say('opset-21', { ...core, opset: 21 }),
    say('constant', { ...core, opset: 13, initializers: [1] }),
  )
  if (batch_axis === 1) paths.push(say('defaults', { ...core, attributes: {}, opset: 13 }))
  return paths
}

function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  if (c.valid === false) return [{ declined: 'TF.js has it only composed' }]
  const { batch_axis, time_axis } = c.attributes
  const { shape } = c.inputs[0]!
  const perm = [batch_axis, time_axis, ...range(shape.length - 2, 2)]
  return [
    {
      path: 'flat-gather',
      form: {
        prepare: t => [h.reshape(t[0]!, [h.sizeOf(shape)]), h.tensor('int32', shape, sources(c.attributes, shape, h.numbers(t[1]!)))],
        call: (tf, t) => [tf.gather(t[0], t[1])],
      },
    },
    {
      path: 'reverse-slices', // one batch entry after the other
      form: {
        prepare: t => [h.permute(t[0]!, perm), h.tensor('int32', t[1]!.shape, h.numbers(t[1]!))],
        call: (tf, [x, lengths]) => {
          const rows = Array.from(lengths.dataSync() as Int32Array).map((n, b) => {
            const row = tf.gather(x, tf.scalar(b, 'int32'), 0)
            const rest = shape[time_axis]! - n
            const first = tf.reverse(tf.slice(row, 0, n), 0)
            return rest ? tf.concat([first, tf.slice(row, n, rest)], 0) : first
          })
          return [tf.stack(rows, 0)]
        },
        finish: ([y]) => [h.permute(y!, perm)],
      },
    },
  ]
}

export default h.defineOp<A>({
  name: 'reverse-sequence',
  spec: ['https://onnx.ai/onnx/operators/onnx__ReverseSequence.html'],
  valid,
  invalid,
  operators: ['ReverseSequence'],
  fromOnnx: n => ({
    attributes: { batch_axis: Number(n.attributes['batch_axis'] ?? 1), time_axis: Number(n.attributes['time_axis'] ?? 0) },
    inputs: n.inputs,
  }),
  expect: (a, [x, n]) => [moved(x!, x!.shape, sources(a, x!.shape, n!.data))],
  onnx,
  tfjs,
})
