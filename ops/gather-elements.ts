/** y[p] = x[p with position `axis` replaced by indices[p]]; y has the shape of `indices`, which may be smaller than x in the other axes. Negative indices count from the end. (ONNX GatherElements-13) */
import { axisOf, front, moved, moveFields, range, say, shapeIn, typeOf } from '../harness/moves.ts'
import * as h from '../harness/op.ts'

type A = { axis: number }

const fields = {
  ...moveFields,
  axis: h.int(0, 5),
  back: h.int(0, 1),
  smaller: h.ints(6, 0, 3), // 3: fewer positions than x has
  length: h.int(1, 9),
  wide: h.int(0, 2), // int64, int32, int64 constant
  negative: h.int(0, 5), // 5: some count from the end
  seed: h.int(0, 0xffff),
  x: h.data(),
}
const valid = h.generator(fields, raw => {
  const shape = shapeIn(raw, { least: 1, most: 1000 })
  const rank = shape.length
  const axis = axisOf(rank, raw.axis, raw.back)
  const n = shape[front(axis, rank)]!
  const sizes = shape.map((m, d) => (d === front(axis, rank) ? raw.length : raw.smaller[d] === 3 ? Math.ceil(m / 2) : m))
  if (h.sizeOf(sizes) > 4000) sizes[front(axis, rank)] = 1
  const next = h.random(raw.seed)
  const numbers = range(h.sizeOf(sizes)).map(() => {
    const i = next() % n
    return raw.negative === 5 && next() & 1 ? i - n : i
  })
  return h.drawn<A>(
    { axis },
    h.fill(fields.x, raw.x, shape, typeOf(raw)),
    h.values(raw.wide === 1 ? 'int32' : 'int64', sizes, numbers, raw.wide === 2),
  )
})
const WRONG = ['above', 'below', 'rank', 'axis', 'larger'] as const
const spoilt = { ...moveFields, wrong: h.int(0, WRONG.length - 1), x: h.data('integers', 'normal') }
const invalid = h.generator(spoilt, raw => {
  const wrong = WRONG[raw.wrong]!
  const shape = shapeIn(raw, { least: 2, most: 200 })
  const index = wrong === 'above' ? shape[0]! : wrong === 'below' ? -shape[0]! - 1 : 0
  const ones = shape.map((_, d) => (wrong === 'larger' && d === 1 ? shape[1]! + 1 : 1))
  const sizes = wrong === 'rank' ? [...ones, 1] : ones
  return h.drawn<A>({ axis: wrong === 'axis' ? shape.length : 0 }, h.fill(spoilt.x, raw.x, shape), h.values('int64', sizes, [index]))
})

function sources({ axis }: A, shape: h.Shape, to: h.Shape, indices: ArrayLike<number>): Int32Array {
  const at = front(axis, shape.length)
  const steps = h.stridesOf(shape)
  return Int32Array.from(indices, (index, k) =>
    h.unravel(k, to).reduce((s, p, d) => s + steps[d]! * (d === at ? (index < 0 ? index + shape[d]! : index) : p), 0),
  )
}

function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const { axis } = c.attributes
  const core = { op: 'GatherElements', attributes: { axis }, given: 2, initializers: c.inputs[1]!.constant ? [1] : [] }
  const paths: h.Lowering<h.OnnxForm>[] = [say('node', { ...core, opset: 13 })]
  if (c.valid === false) return paths
  paths.push(
    say('opset-11', { ...core, opset: 11 }),
    say('opset-21', { ...core, opset: 21 }),
    say('constant', { ...core, opset: 13, initializers: [1] }),
  )
  if (axis === 0) paths.push(say('defaults', { ...core, attributes: {}, opset: 13 }))
  return paths
}

function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  const [x, indices] = c.inputs as [h.TensorSpec, h.TensorSpec]
  if (c.valid === false) return [{ declined: 'TF.js has it only composed' }]
  const rank = x.shape.length
  const at = front(c.attributes.axis, rank)
  const paths: h.Lowering<h.TfjsForm>[] = [
    {
      path: 'flat-gather',
      form: {
        prepare: t => [
          h.reshape(t[0]!, [h.sizeOf(x.shape)]),
          h.tensor('int32', indices.shape, sources(c.attributes, x.shape, indices.shape, h.numbers(t[1]!))),
        ],
        call: (tf, t) => [tf.gather(t[0], t[1])],
      },
    },
    {
      path: 'gather-nd', // the coordinates of every element
      form: {
        prepare: t => {
          const numbers = h.numbers(t[1]!)
          const points = range(numbers.length).flatMap(k =>
            h.unravel(k, indices.shape).map((p, d) => (d === at ? (numbers[k]! + x.shape[d]!) % x.shape[d]! : p)),
          )
          return [t[0]!, h.tensor('int32', [...indices.shape, rank], points)]
        },
        call: (tf, t) => [tf.gatherND(t[0], t[1])],
      },
    },
  ]
  if (rank === 2 && at === 1 && indices.shape[0] === x.shape[0])
    paths.push({
      path: 'gather-batch-dims',
      form: {
        prepare: t => [
          t[0]!,
          h.tensor(
            'int32',
            indices.shape,
            h.numbers(t[1]!).map(i => (i < 0 ? i + x.shape[1]! : i)),
          ),
        ],
        call: (tf, t) => [tf.gather(t[0], t[1], 1, 1)],
      },
    })
  return paths
}

export default h.defineOp<A>({
  name: 'gather-elements',
  spec: ['https://onnx.ai/onnx/operators/onnx__GatherElements.html', 'https://js.tensorflow.org/api/latest/#gatherND'],
  valid,
  invalid,
  operators: ['GatherElements'],
  fromOnnx: n => ({ attributes: { axis: Number(n.attributes['axis'] ?? 0) }, inputs: n.inputs }),
  expect: (a, [x, i]) => [moved(x!, i!.shape, sources(a, x!.shape, i!.shape, i!.data))],
  onnx,
  tfjs,
})
