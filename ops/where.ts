/** y = condition ? a : b, element by element, all three broadcast against each other. (ONNX Where-16) */
import { broadcast, sources } from '../harness/elements.ts'
import { moveFields, range, say, shapeIn, typeOf } from '../harness/moves.ts'
import * as h from '../harness/op.ts'

type A = Record<string, never>

const fields = {
  ...moveFields,
  ones: h.ints(6, 0, 7),
  fewer: h.int(0, 9),
  constant: h.int(0, 7),
  c: h.data('integers', 'impulse'),
  a: h.data(),
  b: h.data(),
}
const valid = h.generator(fields, raw => {
  const whole = shapeIn(raw, { most: 2500, empty: true })
  /** Bit i of `ones`: input i has length 1 there; one of the inputs may lack leading axes. */
  const shape = (i: number) =>
    whole
      .map((n, d) => (raw.own > 0 && (raw.ones[d]! >> i) & 1 && raw.ones[d] !== 7 ? 1 : n))
      .slice(raw.fewer % 3 === i && raw.fewer > 5 && raw.own > 1 ? Math.min(whole.length, raw.fewer - 5) : 0)
  const dtype = typeOf(raw)
  return h.drawn<A>(
    {},
    h.fill(fields.c, raw.c, shape(0), 'bool', raw.constant === 1),
    h.fill(fields.a, raw.a, shape(1), dtype, raw.constant === 2),
    h.fill(fields.b, raw.b, shape(2), dtype, raw.constant === 3),
  )
})
const spoilt = { ...moveFields, wrong: h.int(0, 2), x: h.data('integers', 'normal') }
const invalid = h.generator(spoilt, raw => {
  const shape = shapeIn(raw, { least: 1, most: 200 }).map(n => n + 1)
  const other = (i: number) => (raw.wrong === i ? shape.map(n => n + 1) : shape)
  return h.drawn<A>({}, h.fill(spoilt.x, raw.x, other(0), 'bool'), h.fill(spoilt.x, raw.x, other(1)), h.fill(spoilt.x, raw.x, other(2)))
})
function expect(c: h.Real, a: h.Real, b: h.Real): h.Expected[] {
  const shape = broadcast(c.shape, a.shape, b.shape)
  const [ic, ia, ib] = [sources(c.shape, shape), sources(a.shape, shape), sources(b.shape, shape)]
  return [{ rule: 'exact', dtype: a.dtype, shape, value: Float64Array.from(ic, (at, i) => (c.data[at] ? a.data[ia[i]!]! : b.data[ib[i]!]!)) }]
}

function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const core = { op: 'Where', given: 3, initializers: range(3).filter(i => c.inputs[i]!.constant) }
  const paths: h.Lowering<h.OnnxForm>[] = [say('node', { ...core, opset: 16 })]
  if (c.valid === false) return paths
  return [
    ...paths,
    say('opset-9', { ...core, opset: 9 }),
    say('opset-21', { ...core, opset: 21 }),
    say('condition-constant', { ...core, opset: 16, initializers: [0] }),
  ]
}

function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  const [condition, a, b] = c.inputs as [h.TensorSpec, h.TensorSpec, h.TensorSpec]
  if (c.valid === false) return [{ path: 'where', form: h.plainly((tf, t) => tf.where(t[0], t[1], t[2])) }]
  const shape = broadcast(condition.shape, a.shape, b.shape)
  /** A condition of one axis selects rows by the page of tf.where: it is given as many axes as the result. */
  const prepare: h.TfjsForm['prepare'] = t => [
    h.reshape(t[0]!, [...range(shape.length - condition.shape.length).map(() => 1), ...condition.shape]),
    ...t.slice(1),
  ]
  const paths: h.Lowering<h.TfjsForm>[] = []
  const push = (path: string, call: (tf: any, t: readonly any[]) => any) => paths.push({ path, form: { ...h.plainly(call), prepare } })
  push('where', (tf, t) => tf.where(t[0], t[1], t[2]))
  push('method', (_, [i, u, v]) => u.where(i, v))
  if (h.sizeOf(shape))
    push('broadcast-first', (tf, t) => tf.where(tf.broadcastTo(t[0], shape), tf.broadcastTo(t[1], shape), tf.broadcastTo(t[2], shape)))
  return paths
}

export default h.defineOp<A>({
  name: 'where',
  spec: ['https://onnx.ai/onnx/operators/onnx__Where.html', 'https://js.tensorflow.org/api/latest/#where'],
  valid,
  invalid,
  operators: ['Where'],
  fromOnnx: n => ({ attributes: {}, inputs: n.inputs }),
  expect: (_, [c, a, b]) => expect(c!, a!, b!),
  onnx,
  tfjs,
})
