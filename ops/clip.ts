/** y = min(max(x, min), max); a limit that is absent is the dtype's own. With min above max every element becomes max. (ONNX Clip-13) */
import { fillSpread, isFloat, largest, shapeFields, shapeOf, spread } from '../harness/elements.ts'
import * as h from '../harness/op.ts'
import { neighbours, node } from '../harness/scalars.ts'

type A = { min?: number; max?: number }

const LIMITS = [
  [0, 6],
  [-1, 1],
  [0, 1],
  [2, 3],
  [3, 3],
  [-3, -1],
  [0.5, 2.5],
  [0, 100],
  [5, 2],
] as const
const TYPES = ['float32', 'float16', 'int32', 'int64', 'int8', 'uint8'] as const
const fields = {
  own: h.int(0, 3), // 0, 1: float32
  ...shapeFields,
  type: h.int(0, TYPES.length - 1),
  limits: h.int(0, LIMITS.length - 1),
  given: h.int(0, 5), // 3: only max, 4: only min, 5: none
  x: spread(
    'integers',
    'span',
    'edges',
    'ramp',
    'normal',
    'negative',
    'small',
    'large',
    'nan',
    'inf',
    '-inf',
    '-0',
    'subnormal',
    'largest',
    'impulse',
  ),
}
const valid = h.generator(fields, raw => {
  const dtype = raw.own < 2 ? 'float32' : TYPES[raw.type]!
  const [min, max] = LIMITS[raw.limits]!.map(v => (isFloat(dtype) ? v : dtype === 'uint8' ? Math.abs(Math.trunc(v)) : Math.trunc(v))) as [
    number,
    number,
  ]
  const a: A = { ...(raw.given === 3 || raw.given === 5 ? {} : { min }), ...(raw.given >= 4 ? {} : { max }) }
  return h.drawn<A>(a, fillSpread(fields.x, raw.x, shapeOf(raw, { empty: true }), dtype))
})

function expect(a: A, x: h.Real): h.Expected {
  const [low, high] = [a.min ?? -Infinity, a.max ?? Infinity]
  const value = x.data.map(v => Math.min(high, Math.max(low, v)))
  const where = (is: (v: number) => boolean) => Uint8Array.from(x.data, v => (is(v) ? 1 : 0))
  const fill = (v: number) => new Float64Array(value.length).fill(v)
  const nan = h.open('NaN in a clamp', where(Number.isNaN), { NaN: fill(Number.NaN), 'the lower limit': fill(low), 'the upper limit': fill(high) })
  const finite = value.map(v => (v === -Infinity ? -largest(x.dtype) : v === Infinity ? largest(x.dtype) : v))
  const infinite = h.open(
    'an infinity where the limit is absent',
    Uint8Array.from(value, v => (Math.abs(v) === Infinity ? 1 : 0)),
    { 'it stays': value, 'the largest number': finite },
  )
  return { rule: 'exact', dtype: x.dtype, shape: x.shape, value, open: [...nan, ...infinite] }
}

function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const a = c.attributes
  const x = c.inputs[0]!
  const scalar = (v: number) => h.tensor(x.dtype, [], [v])
  const constants: Record<string, h.Tensor> = {
    ...(a.min === undefined ? {} : { low: scalar(a.min) }),
    ...(a.max === undefined ? {} : { high: scalar(a.max) }),
  }
  const last = (names: string[]) => names.slice(0, names.findLastIndex(n => n !== '') + 1)
  const clip = (from = 'x0', to = 'y0', low = 'low', high = 'high') =>
    node('Clip', last([from, a.min === undefined ? '' : low, a.max === undefined ? '' : high]), to)
  const whole = (path: string, opset: number) => ({ path, form: { opset, constants, nodes: [clip()] } })
  const paths: h.Lowering<h.OnnxForm>[] = [whole('node', 13), whole('opset-21', 21)]
  const given = [a.min, a.max].filter(v => v !== undefined)
  if (given.length)
    paths.push({
      path: 'fed-limits',
      form: { opset: 13, prepare: t => [t[0]!, ...given.map(scalar)], nodes: [clip('x0', 'y0', 'x1', a.min === undefined ? 'x1' : 'x2')] },
    })
  const ordered = !(a.min !== undefined && a.max !== undefined && a.min > a.max) // what happens otherwise is said since 13
  if (ordered) paths.push(whole('opset-12', 12))
  if (ordered && isFloat(x.dtype))
    paths.push(whole('opset-11', 11), { path: 'attributes-6', form: { opset: 9, nodes: [node('Clip', 'x0', 'y0', a)] } })
  if (x.dtype === 'float32' && (a.min ?? -1) >= 0)
    paths.push({ path: 'after-relu', form: { opset: 13, constants, nodes: [node('Relu', 'x0', 'r'), clip('r')] } })
  for (const l of neighbours({ opsets: [13], fuses: true }, x, (from, to) => clip(from, to)))
    if ('form' in l) paths.push({ ...l, form: { ...l.form, constants: { ...constants, ...l.form.constants } } })
  return paths
}

function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  const { min = -Infinity, max = Infinity } = c.attributes
  const x = c.inputs[0]!
  if (!isFloat(x.dtype) && !(Number.isFinite(min) && Number.isFinite(max))) return [{ declined: 'TF.js has no integer for a limit that is absent' }]
  const paths: h.Lowering<h.TfjsForm>[] = [
    { path: 'minimum-maximum', form: h.plainly((tf, [v]) => tf.minimum(tf.maximum(v, tf.scalar(min, v.dtype)), tf.scalar(max, v.dtype))) },
  ]
  if (min <= max) paths.unshift({ path: 'clip-by-value', form: h.plainly((tf, [v]) => tf.clipByValue(v, min, max)) })
  if (min === 0 && max === 6) paths.push({ path: 'relu6', form: h.plainly((tf, [v]) => tf.relu6(v)) })
  if (min === 0 && max > 0 && x.shape.length > 1 && x.dtype === 'float32')
    paths.push({ path: 'layers-relu-max', form: h.plainly((tf, [v]) => tf.layers.reLU({ maxValue: max }).apply(v)) })
  return paths
}

export default h.defineOp<A>({
  name: 'clip',
  spec: ['https://onnx.ai/onnx/operators/onnx__Clip.html', 'https://js.tensorflow.org/api/latest/#clipByValue'],
  valid,
  operators: ['Clip'],
  fromOnnx(n) {
    const limit = (name: 'min' | 'max', i: number) => {
      const v = n.opset < 11 ? n.attributes[name] : n.values(i)?.[0]
      return typeof v === 'number' ? { [name]: n.opset < 11 ? Math.fround(v) : v } : {}
    }
    return { attributes: { ...limit('min', 1), ...limit('max', 2) }, inputs: n.inputs.slice(0, 1) }
  },
  expect: (a, [x]) => [expect(a, x!)],
  onnx,
  tfjs,
})
