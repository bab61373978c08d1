/** Tensors of the same rank, alike but for one axis, one after the other along it. (ONNX Concat-13) */
import { axisOf, front, int64, inverse, moveFields, node, range, say, shapeIn, turned, typeOf } from '../harness/moves.ts'
import * as h from '../harness/op.ts'

type A = { axis: number }

const PARTS = [1, 2, 3, 4, 5, 8, 16, 17] as const
const fields = {
  ...moveFields,
  axis: h.int(0, 5),
  back: h.int(0, 1),
  count: h.int(0, 4), // 2, 1, 3, 5, 9 tensors
  parts: h.ints(3, 0, PARTS.length - 1),
  none: h.int(0, 9), // 9: the second tensor has nothing along the axis
  x: h.data(),
}
const valid = h.generator(fields, raw => {
  const shape = shapeIn(raw, { least: 1, most: 400 })
  const axis = axisOf(shape.length, raw.axis, raw.back)
  const at = front(axis, shape.length)
  const count = [2, 1, 3, 5, 9][raw.count]!
  const dtype = typeOf(raw)
  const tensors = range(count).map(i => {
    const length =
      i === 1 && raw.none === 9 ? 0 : Math.min(PARTS[raw.parts[i % 3]!]!, Math.max(1, Math.floor((4000 / count / h.sizeOf(shape)) * shape[at]!)))
    return h.fill(
      fields.x,
      { kind: raw.x.kind, at: (raw.x.at + 77 * i) & 0xffff },
      shape.map((n, d) => (d === at ? length : n)),
      dtype,
    )
  })
  return h.drawn<A>({ axis }, ...tensors)
})
const WRONG = ['axis', 'axis-below', 'rank', 'size'] as const
const spoilt = { ...moveFields, wrong: h.int(0, WRONG.length - 1), axis: h.int(0, 5), x: h.data('integers', 'normal') }
const invalid = h.generator(spoilt, raw => {
  const wrong = WRONG[raw.wrong]!
  const shape = shapeIn(raw, { least: 2, most: 200 })
  const rank = shape.length
  const axis = wrong === 'axis' ? rank : wrong === 'axis-below' ? -rank - 1 : raw.axis % rank
  const other = wrong === 'rank' ? [...shape, 1] : wrong === 'size' ? shape.map((n, d) => (d === (axis + 1) % rank ? n + 1 : n)) : shape
  return h.drawn<A>({ axis }, h.fill(spoilt.x, raw.x, shape), h.fill(spoilt.x, raw.x, other))
})

function expect({ axis }: A, inputs: readonly h.Real[]): h.Expected[] {
  const [first] = inputs as [h.Real]
  const at = front(axis, first.shape.length)
  const shape = first.shape.map((n, d) => (d === at ? inputs.reduce((s, x) => s + x.shape[d]!, 0) : n))
  const outer = h.sizeOf(shape.slice(0, at))
  const value = new Float64Array(h.sizeOf(shape))
  const row = value.length / Math.max(1, outer)
  let offset = 0
  for (const x of inputs) {
    const run = x.data.length / Math.max(1, outer)
    for (let o = 0; o < outer; o++) value.set(x.data.subarray(o * run, (o + 1) * run), o * row + offset)
    offset += run
  }
  return [{ rule: 'exact', dtype: first.dtype, shape, value }]
}

function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const { axis } = c.attributes
  const xs = c.inputs as h.TensorSpec[]
  const rank = xs[0]!.shape.length
  const whole = { op: 'Concat', attributes: { axis }, given: xs.length }
  const paths: h.Lowering<h.OnnxForm>[] = [say('node', { ...whole, opset: 13 })]
  if (c.valid === false) return paths
  paths.push(say('opset-11', { ...whole, opset: 11 }), say('opset-21', { ...whole, opset: 21 }))
  if (axis >= 0) paths.push(say('opset-4', { ...whole, opset: 9 }))
  if (xs.length > 1) paths.push(say('last-constant', { ...whole, opset: 13, initializers: [xs.length - 1] }))
  const names = range(xs.length).map(i => `x${i}`)
  if (rank > 1) {
    const { perm, at } = turned(rank)
    const nodes = names.map((n, i) => node('Transpose', n, `t${i}`, { perm }))
    const joined = [
      node(
        'Concat',
        names.map((_, i) => `t${i}`),
        'c',
        { axis: at(axis) },
      ),
      node('Transpose', 'c', 'y0', { perm: inverse(perm) }),
    ]
    paths.push({ path: 'between-transposes', form: { opset: 13, nodes: [...nodes, ...joined] } })
  }
  if (xs.length > 2) {
    const nodes = [node('Concat', names.slice(0, 2), 'c', { axis }), node('Concat', ['c', ...names.slice(2)], 'y0', { axis })]
    paths.push({ path: 'in-two-steps', form: { opset: 13, nodes } })
  }
  const length = (x: h.TensorSpec) => x.shape[front(axis, rank)]!
  if (xs.length === 2) {
    // of each tensor its whole length: slices that take nothing away
    const constants = { zero: int64([0]), one: int64([length(xs[0]!)]), two: int64([length(xs[1]!)]), axes: int64([axis]) }
    const cut = [node('Slice', ['x0', 'zero', 'one', 'axes'], 'a'), node('Slice', ['x1', 'zero', 'two', 'axes'], 'b')]
    paths.push({ path: 'behind-slices', form: { opset: 13, constants, nodes: [...cut, node('Concat', ['a', 'b'], 'y0', { axis })] } })
  }
  return paths
}

function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  const { axis } = c.attributes
  const xs = c.inputs as h.TensorSpec[]
  const rank = xs[0]!.shape.length
  const at = front(axis, rank)
  const paths: h.Lowering<h.TfjsForm>[] = []
  const push = (path: string, call: (tf: any, t: readonly any[]) => any) => paths.push({ path, form: h.plainly(call) })
  push('concat', (tf, t) => tf.concat(t, axis))
  if (c.valid === false) return paths
  push('axis-from-front', (tf, t) => tf.concat(t, at))
  if (at === 0) push('defaults', (tf, t) => tf.concat(t))
  if (rank <= 4) push(`concat${rank}d`, (tf, t) => (rank === 1 ? tf.concat1d(t) : tf[`concat${rank}d`](t, at)))
  if (xs.length > 1) push('method', (_, [first, ...others]) => first.concat(others, at))
  const whole = xs.every(x => h.sizeOf(x.shape))
  if (rank > 1 && at > 0 && xs.length > 1 && whole && xs[0]!.dtype !== 'bool')
    push('layers-concatenate', (tf, t) => tf.layers.concatenate({ axis: axis < 0 ? axis : at }).apply([...t]))
  if (xs.every(x => x.shape[at] === 1))
    paths.push({
      path: 'stack',
      form: {
        prepare: t =>
          t.map(x =>
            h.reshape(
              x!,
              x!.shape.filter((_, d) => d !== at),
            ),
          ),
        call: (tf, t) => [tf.stack(t, at)],
      },
    })
  return paths
}

export default h.defineOp<A>({
  name: 'concat',
  spec: [
    'https://onnx.ai/onnx/operators/onnx__Concat.html',
    'https://js.tensorflow.org/api/latest/#concat',
    'https://js.tensorflow.org/api/latest/#stack',
  ],
  valid,
  invalid,
  operators: ['Concat'],
  fromOnnx: n => ({ attributes: { axis: Number(n.attributes['axis'] ?? 1) }, inputs: n.inputs }),
  expect: (a, inputs) =>
    expect(
      a,
      inputs.filter(x => x !== null),
    ),
  onnx,
  tfjs,
})
