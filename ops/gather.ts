/**
 * y[…, i…, …] = x[…, indices[i…], …] along `axis`; negative indices count from the end (ONNX Gather-13, since 11). TF.js also has batch_dims: the first axes of
 * x and indices are walked together, and do not appear twice in the result.
 */
import { axisOf, front, given, int64, moved, moveFields, node, range, say, shapeIn, typeOf } from '../harness/moves.ts'
import * as h from '../harness/op.ts'

type A = { axis: number; batch_dims?: number }

const fields = {
  ...moveFields,
  axis: h.int(0, 5),
  back: h.int(0, 1),
  batch: h.int(0, 5), // 4, 5: one or two batch axes, where the axis allows it
  indexRank: h.int(0, 4), // 1, 0, 2, 3, 1
  indexSizes: h.ints(3, 1, 5),
  none: h.int(0, 19), // 19: no index at all
  negative: h.int(0, 5), // 5: some indices count from the end
  wide: h.int(0, 2), // int64, int32, int64 constant
  seed: h.int(0, 0xffff),
  x: h.data(),
}
const valid = h.generator(fields, raw => {
  const shape = shapeIn(raw, { least: 1, most: 1000 })
  const rank = shape.length
  const axis = axisOf(rank, raw.axis, raw.back)
  const at = front(axis, rank)
  const batch = raw.batch > 3 ? Math.min(at, raw.batch - 3) : 0
  const room = Math.max(1, Math.floor((3000 * shape[at]!) / h.sizeOf(shape)))
  let left = room
  const free = [1, 0, 2, 3, 1][raw.indexRank]!
  const sizes = range(free).map(i => {
    const n = raw.none === 19 && i === 0 ? 0 : Math.min(left, raw.indexSizes[i]!)
    left = Math.max(1, Math.floor(left / Math.max(1, n)))
    return n
  })
  const whole = [...shape.slice(0, batch), ...sizes]
  const n = shape[at]!
  const next = h.random(raw.seed)
  const numbers = range(h.sizeOf(whole)).map(() => {
    const i = next() % n
    return raw.negative === 5 && next() & 1 ? i - n : i
  })
  return h.drawn<A>(
    { axis, ...(batch ? { batch_dims: batch } : {}) },
    h.fill(fields.x, raw.x, shape, typeOf(raw)),
    h.values(raw.wide === 1 ? 'int32' : 'int64', whole, numbers, raw.wide === 2),
  )
})
const WRONG = ['above', 'below', 'axis', 'axis-below', 'negative-tfjs', 'float'] as const
const spoilt = { ...moveFields, wrong: h.int(0, WRONG.length - 1), x: h.data('integers', 'normal') }
const invalid = h.generator(spoilt, raw => {
  const wrong = WRONG[raw.wrong]!
  const shape = shapeIn(raw, { least: 1, most: 200 })
  const at = raw.type % shape.length
  const n = shape[at]!
  const axis = wrong === 'axis' ? shape.length : wrong === 'axis-below' ? -shape.length - 1 : at
  const index = wrong === 'above' ? n + (raw.own & 1) * 100 : wrong === 'below' ? -n - 1 : wrong === 'negative-tfjs' ? -1 : 0
  return h.drawn<A>({ axis }, h.fill(spoilt.x, raw.x, shape), h.values(wrong === 'float' ? 'float32' : 'int64', [2], [0, index]))
})

function expect({ axis, batch_dims: batch = 0 }: A, x: h.Real, indices: h.Real): h.Expected[] {
  const at = front(axis, x.shape.length)
  const shape = [...x.shape.slice(0, at), ...indices.shape.slice(batch), ...x.shape.slice(at + 1)]
  const n = x.shape[at]!
  const batches = h.sizeOf(x.shape.slice(0, batch))
  const outer = h.sizeOf(x.shape.slice(batch, at))
  const inner = h.sizeOf(x.shape.slice(at + 1))
  const each = indices.data.length / Math.max(1, batches)
  const from = new Int32Array(h.sizeOf(shape))
  let i = 0
  for (let b = 0; b < batches; b++)
    for (let o = 0; o < outer; o++)
      for (let k = 0; k < each; k++) {
        const index = indices.data[b * each + k]!
        const start = ((b * outer + o) * n + (index < 0 ? index + n : index)) * inner
        for (let e = 0; e < inner; e++) from[i++] = start + e
      }
  return [moved(x, shape, from)]
}

const numbersOf = (s: h.TensorSpec) => Array.from(h.numbers(h.realise(s)))
function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const { axis, batch_dims: batch = 0 } = c.attributes
  const [x, indices] = c.inputs as [h.TensorSpec, h.TensorSpec]
  const bad = c.valid === false
  if (bad && numbersOf(indices)[1] === -1 && front(axis, x.shape.length) >= 0 && axis < x.shape.length && x.shape[axis]! > 0)
    return [{ declined: 'negative indices count from the end in ONNX' }]
  const at = front(axis, x.shape.length)
  const deep = at === batch
  const pointed = { given: 2, opset: 13, initializers: indices.constant ? [1] : [] }
  const withDepth = (t: readonly (h.Tensor | null)[]) => [t[0]!, h.reshape(wide(t[1]!), [...indices.shape, 1])]
  const nd = (path: string, opset: number) => {
    const said = say(path, { op: 'GatherND', attributes: { batch_dims: batch }, ...pointed, opset })
    return { ...said, form: { ...said.form, initializers: [], prepare: withDepth } }
  }
  if (batch) return deep ? [nd('gather-nd', 13), nd('gather-nd-12', 12)] : [{ declined: 'ONNX Gather has no batch_dims' }]
  const core = { op: 'Gather', attributes: { axis }, ...pointed }
  const paths: h.Lowering<h.OnnxForm>[] = [say('node', core)]
  if (bad) return paths
  const negative = numbersOf(indices).some(i => i < 0)
  paths.push(say('opset-11', { ...core, opset: 11 }), say('opset-21', { ...core, opset: 21 }))
  if (!negative && axis >= 0) paths.push(say('opset-1', { ...core, opset: 9 }))
  paths.push(say('constant', { ...core, initializers: [1] }))
  if (axis === 0) paths.push(say('defaults', { ...core, attributes: {} }))
  if (deep) paths.push(nd('gather-nd', 13))
  if (indices.shape.length === 0) {
    const [one] = numbersOf(indices) as [number]
    const constants = { at: int64([axis]), start: int64([one]), end: int64([one === -1 ? 2 ** 63 : one + 1]) }
    const cut = node('Slice', ['x0', 'start', 'end', 'at'], 's')
    paths.push({ path: 'slice-squeeze', form: { opset: 13, constants, nodes: [cut, node('Squeeze', ['s', 'at'], 'y0')] } })
    // every position of a short axis: neighbours that ONNX Runtime turns into Split
    const n = x.shape[at]!
    const all = range(n).map(i => (i === (one + n) % n ? 'y0' : `unused${i}`))
    const scalars = Object.fromEntries(range(n).map(i => [`i${i}`, int64([i], [])]))
    if (n < 6)
      paths.push({
        path: 'all-positions',
        form: { opset: 13, constants: scalars, nodes: all.map((y, i) => node('Gather', ['x0', `i${i}`], y, { axis })) },
      })
  }
  return paths
}
const wide = (t: h.Tensor): h.Tensor => (t.dtype === 'int64' ? t : h.tensor('int64', t.shape, h.numbers(t)))

function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  const { axis, batch_dims: batch = 0 } = c.attributes
  const [x, indices] = c.inputs as [h.TensorSpec, h.TensorSpec]
  const at = front(axis, x.shape.length)
  const path = (name: string, call: (tf: any, t: readonly any[]) => any, prepare?: h.TfjsForm['prepare']) => ({
    path: name,
    form: { ...h.plainly(call), ...(prepare ? { prepare } : {}) },
  })
  if (c.valid === false) return [path('gather', (tf, [t, i]) => tf.gather(t, i, axis))]
  const n = x.shape[at]!
  const negative = numbersOf(indices).some(i => i < 0)
  const counted: h.TfjsForm['prepare'] = t => [
    t[0]!,
    h.tensor(
      'int32',
      t[1]!.shape,
      h.numbers(t[1]!).map(i => (i < 0 ? i + n : i)),
    ),
  ]
  const paths: h.Lowering<h.TfjsForm>[] = [
    path('gather', (tf, [t, i]) => tf.gather(t, i, at, batch), counted),
    path('method', (_, [t, i]) => t.gather(i, at, batch), counted),
  ]
  if (!batch) paths.push(path('axis-as-given', (tf, [t, i]) => tf.gather(t, i, axis), counted))
  if (at === 0) paths.push(path('defaults', (tf, [t, i]) => tf.gather(t, i), counted))
  if (indices.shape.length === 1 && !batch) paths.push(path('indices-array', (tf, [t, i]) => tf.gather(t, Array.from(i.dataSync()), at), counted))
  if (at === 0 && indices.shape.length > 0)
    paths.push(
      path(
        'gather-nd',
        (tf, [t, i]) => tf.gatherND(t, i),
        t => {
          const [u, i] = counted!(t) as [h.Tensor, h.Tensor]
          return [u, h.reshape(i, [...i.shape, 1])]
        },
      ),
    )
  if (negative)
    paths.push({ ...path('negative-as-given', (tf, [t, i]) => tf.gather(t, i, at, batch)), naive: 'tf.gather does not count from the end' })
  return paths
}

export default h.defineOp<A>({
  name: 'gather',
  spec: ['https://onnx.ai/onnx/operators/onnx__Gather.html', 'https://js.tensorflow.org/api/latest/#gather'],
  valid,
  invalid,
  operators: ['Gather'],
  fromOnnx: n => ({ attributes: given({ axis: Number(n.attributes['axis'] ?? 0) }), inputs: n.inputs }),
  expect: (a, [x, i]) => expect(a, x!, i!),
  onnx,
  tfjs,
})
