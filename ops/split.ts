/** x in consecutive pieces along `axis`: of the sizes `split`, or `num_outputs` of size ⌈n/num_outputs⌉, of which the last may be smaller. (ONNX Split-18) */
import {
  axisOf,
  crossed,
  front,
  given,
  int64,
  inverse,
  moved,
  moveFields,
  node,
  numbersOf,
  range,
  type Said,
  say,
  shapeIn,
  turned,
  typeOf,
} from '../harness/moves.ts'
import * as h from '../harness/op.ts'

type A = { axis: number; split?: readonly number[]; num_outputs: number }

const fields = {
  ...moveFields,
  axis: h.int(0, 5),
  back: h.int(0, 1),
  count: h.int(1, 5),
  how: h.int(0, 3), // 0: equal; 1: sizes; 2: sizes, one of them 0; 3: number only, the last one may be smaller
  parts: h.ints(5, 1, 5),
  x: h.data(),
}
const valid = h.generator(fields, raw => {
  const shape = shapeIn(raw, { least: 1, most: 1500 })
  const axis = axisOf(shape.length, raw.axis, raw.back)
  const at = front(axis, shape.length)
  const sizes = raw.parts.slice(0, raw.count).map((n, i) => (raw.how === 0 ? raw.parts[0]! : raw.how === 2 && i === raw.count - 1 ? 0 : n))
  const total = sizes.reduce((a, b) => a + b, 0)
  const others = h.sizeOf(shape) / shape[at]!
  const length = Math.max(1, raw.how === 3 && Math.ceil(total / raw.count) * (raw.count - 1) >= total ? raw.count : total)
  const whole = shape.map((n, d) => (d === at ? length : others * length > 3000 ? Math.min(n, 3) : n))
  const written = raw.how === 1 || raw.how === 2 ? { split: total ? sizes : [1] } : {}
  return h.drawn<A>({ axis, ...written, num_outputs: total ? raw.count : 1 }, h.fill(fields.x, raw.x, whole, typeOf(raw)))
})
const WRONG = ['sum', 'negative', 'axis', 'uneven-tfjs', 'fraction'] as const
const spoilt = { ...moveFields, wrong: h.int(0, WRONG.length - 1), more: h.int(1, 3), x: h.data('integers', 'normal') }
const invalid = h.generator(spoilt, raw => {
  const wrong = WRONG[raw.wrong]!
  const shape = shapeIn(raw, { least: 1, most: 200 })
  shape[0] = 5
  const x = h.fill(spoilt.x, raw.x, shape)
  if (wrong === 'axis') return h.drawn<A>({ axis: shape.length, split: [2, 3], num_outputs: 2 }, x)
  if (wrong === 'uneven-tfjs') return h.drawn<A>({ axis: 0, num_outputs: 1 + raw.more }, x)
  return h.drawn<A>(
    { axis: 0, split: wrong === 'sum' ? [2, 3 + raw.more] : wrong === 'negative' ? [-raw.more, 5 + raw.more] : [2.5, 2.5], num_outputs: 2 },
    x,
  )
})

function sizesOf({ axis, split, num_outputs: count }: A, shape: h.Shape): number[] {
  if (split) return [...split]
  const n = shape[front(axis, shape.length)]!
  const chunk = Math.ceil(n / count)
  return range(count).map(i => Math.max(0, Math.min(chunk, n - i * chunk)))
}
function expect(a: A, x: h.Real): h.Expected[] {
  const at = front(a.axis, x.shape.length)
  let start = 0
  return sizesOf(a, x.shape).map(n => {
    const part = x.shape.map((m, d) => (d === at ? range(n, start) : range(m)))
    start += n
    return moved(
      x,
      x.shape.map((m, d) => (d === at ? n : m)),
      crossed(x.shape, part),
    )
  })
}

function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const { axis, split, num_outputs: count } = c.attributes
  const x = c.inputs[0]!
  const rank = x.shape.length
  if (split?.some(n => !Number.isInteger(n))) return [{ declined: 'sizes are integers in ONNX' }]
  const outputs = range(count).map(j => `y${j}`)
  const core: Omit<Said, 'opset'> = { op: 'Split', attributes: { axis }, outputs }
  if (c.valid === false) return split ? [say('node', { ...core, opset: 13, params: [int64(split)] })] : [say('node', { ...core, opset: 13 })]
  const sizes = sizesOf(c.attributes, x.shape)
  const equal = sizes.every(n => n === sizes[0])
  const sized = { ...core, params: [int64(sizes)] }
  const paths: h.Lowering<h.OnnxForm>[] = [
    say('node', { ...sized, opset: 13 }),
    say('opset-18', { ...sized, opset: 18 }),
    say('opset-21', { ...sized, opset: 21 }),
  ]
  paths.push(say('fed-sizes', { ...sized, opset: 13, fed: true }))
  paths.push(say('opset-11', { ...core, attributes: { axis, split: sizes }, opset: 11 }))
  if (axis >= 0) paths.push(say('opset-2', { ...core, attributes: { axis, split: sizes }, opset: 9 }))
  if (equal) paths.push(say('equal', { ...core, opset: 13 }), say('equal-11', { ...core, opset: 11 }))
  if (axis === 0) paths.push(say('defaults', { ...sized, attributes: {}, opset: 13 }))
  const chunk = Math.ceil(x.shape[front(axis, rank)]! / count)
  if (sizes.every((n, i) => (i < count - 1 ? n === chunk : n <= chunk && n > 0)))
    for (const opset of [18, 25]) paths.push(say(`number-${opset}`, { ...core, attributes: { axis, num_outputs: count }, opset }))
  if (rank > 1) {
    const { perm, at } = turned(rank)
    const cut = node(
      'Split',
      ['t', 'sizes'],
      outputs.map(y => `s${y}`),
      { axis: at(axis) },
    )
    const back = outputs.map(y => node('Transpose', `s${y}`, y, { perm: inverse(perm) }))
    paths.push({
      path: 'between-transposes',
      form: { opset: 13, constants: { sizes: int64(sizes) }, nodes: [node('Transpose', 'x0', 't', { perm }), cut, ...back] },
    })
  }
  let start = 0
  const bounds = [0, ...sizes.map(n => (start += n))]
  const constants = Object.fromEntries([...bounds.map((b, i): [string, h.Tensor] => [`b${i}`, int64([b])]), ['axes', int64([axis])]])
  const nodes = outputs.map((y, i) => node('Slice', ['x0', `b${i}`, `b${i + 1}`, 'axes'], y))
  return [...paths, { path: 'slices', form: { opset: 13, constants, nodes } }]
}

function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  const { axis, split, num_outputs: count } = c.attributes
  const x = c.inputs[0]!
  const at = front(axis, x.shape.length)
  if (c.valid === false) return [{ path: 'split', form: { call: (tf, [t]) => tf.split(t, split ?? count, axis) } }]
  const sizes = sizesOf(c.attributes, x.shape)
  const equal = sizes.every(n => n === sizes[0])
  const paths: h.Lowering<h.TfjsForm>[] = [
    { path: 'split-sizes', form: { call: (tf, [t]) => tf.split(t, sizes, at) } },
    { path: 'split-axis-as-given', form: { call: (tf, [t]) => tf.split(t, sizes, axis) } },
    { path: 'method', form: { call: (_, [t]) => t.split(sizes, at) } },
  ]
  if (equal) paths.push({ path: 'split-number', form: { call: (tf, [t]) => tf.split(t, count, at) } })
  if (at === 0) paths.push({ path: 'defaults', form: { call: (tf, [t]) => tf.split(t, sizes) } })
  if (sizes.every(n => n === 1))
    paths.push({
      path: 'unstack',
      form: {
        call: (tf, [t]) => tf.unstack(t, at),
        finish: ys =>
          ys.map(y =>
            h.reshape(
              y,
              x.shape.map((n, d) => (d === at ? 1 : n)),
            ),
          ),
      },
    })
  if (!split && !equal)
    paths.push({
      path: 'split-number',
      naive: 'tf.split into a number of pieces wants equal ones',
      form: { call: (tf, [t]) => tf.split(t, count, at) },
    })
  return paths
}

export default h.defineOp<A>({
  name: 'split',
  spec: [
    'https://onnx.ai/onnx/operators/onnx__Split.html',
    'https://js.tensorflow.org/api/latest/#split',
    'https://js.tensorflow.org/api/latest/#unstack',
  ],
  valid,
  invalid,
  operators: ['Split'],
  fromOnnx(n) {
    const split = numbersOf(n, 'split', 1)
    const count = n.attributes['num_outputs'] ?? split?.length
    if (count === undefined) return { declined: 'how many outputs the node has is not in its attributes' }
    return { attributes: given({ axis: Number(n.attributes['axis'] ?? 0), split, num_outputs: Number(count) }), inputs: n.inputs }
  },
  expect: (a, [x]) => expect(a, x!),
  onnx,
  tfjs,
})
