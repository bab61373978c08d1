/** Index of the largest (smallest) element along an axis: of equal ones the first, with select_last_index the last. (ONNX ArgMax-13, ArgMin-13) */
import { fillSpread, groups, inverse, shapeFields, shapeOf, spread } from '../harness/elements.ts'
import * as h from '../harness/op.ts'
import { node } from '../harness/scalars.ts'

type A = { axis: number; keepdims: number; select_last_index: number }

const TYPES = ['float32', 'int32', 'float16', 'uint8', 'int8'] as const
const fields = {
  own: h.int(0, 3), // 0, 1: float32; 2: int32
  ...shapeFields,
  axis: h.int(0, 5),
  negative: h.flag,
  keepdims: h.flag,
  last: h.flag,
  type: h.int(0, TYPES.length - 1),
  x: spread('integers', 'ramp', 'normal', 'negative', 'impulse', 'span', 'large', 'tiny', 'nan', 'inf', '-inf', '-0', 'largest'),
}
const valid = h.generator(fields, raw => {
  const dtype = raw.own < 2 ? 'float32' : raw.own === 2 ? 'int32' : TYPES[raw.type]!
  const shape = shapeOf(raw, { least: 1, rank: 5 })
  const axis = Math.min(raw.axis, shape.length - 1)
  return h.drawn<A>(
    { axis: raw.negative ? axis - shape.length : axis, keepdims: raw.keepdims, select_last_index: raw.last },
    fillSpread(fields.x, raw.x, shape, dtype),
  )
})
const spoilt = { sizes: h.ints(3, 2, 4), rank: h.int(1, 3), by: h.int(0, 2), below: h.flag, x: h.data('integers', 'normal') }
/** An axis that the tensor does not have. */
const invalid = h.generator(spoilt, raw =>
  h.drawn<A>(
    { axis: raw.below ? -raw.rank - 1 - raw.by : raw.rank + raw.by, keepdims: 0, select_last_index: 0 },
    h.fill(spoilt.x, raw.x, raw.sizes.slice(0, raw.rank)),
  ),
)

function expect(max: boolean, a: A, x: h.Real): h.Expected {
  const rank = x.shape.length
  const axis = a.axis < 0 ? a.axis + rank : a.axis
  const g = groups(x.shape, [axis])
  const [value, nan, last] = [new Float64Array(g.count), new Float64Array(g.count), new Float64Array(g.count)]
  const unclear = new Uint8Array(g.count)
  for (let i = 0; i < g.count; i++) {
    let best = -1
    for (let j = 0; j < g.size; j++) {
      const v = x.data[g.at(i, j)]!
      if (v !== v) {
        if (!unclear[i]) nan[i] = j
        last[i] = j
        unclear[i] = 1
        continue
      }
      const top = best < 0 ? v : x.data[g.at(i, best)]!
      if (best < 0 || (max ? v > top : v < top) || (a.select_last_index && v === top)) best = j
    }
    value[i] = Math.max(0, best)
  }
  const shape = a.keepdims ? x.shape.map((n, d) => (d === axis ? 1 : n)) : g.kept
  // NaN that is met first is never beaten by a comparison; met later it never wins one.
  const met = value.map((v, i) => (Number.isNaN(x.data[g.at(i, 0)]!) ? 0 : v))
  const answers = { 'NaN is skipped': value, 'the first NaN': nan, 'the last NaN': last, 'the first element where that is NaN': met }
  return { rule: 'exact', dtype: 'int64', shape, value, open: h.open('the index of an extreme next to NaN', unclear, answers) }
}

function onnx(operator: string, c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const a = c.attributes
  const x = c.inputs[0]!
  const { select_last_index, ...old } = a
  const path = (name: string, opset: number, attributes: h.Attributes) => ({
    path: name,
    form: { opset, nodes: [node(operator, 'x0', 'y0', attributes)] },
  })
  const paths: h.Lowering<h.OnnxForm>[] = [path('node', 13, a), path('opset-12', 12, a), path('opset-21', 21, a)]
  const left = h.withoutDefaults(a, { axis: 0, keepdims: 1, select_last_index: 0 })
  if (Object.keys(left).length < 3) paths.push(path('defaults', 13, left))
  if (!select_last_index) paths.push(path('opset-11', 11, old))
  if (!select_last_index && a.axis >= 0) paths.push(path('opset-9', 9, old))
  const rank = x.shape.length
  if (c.valid !== false && rank > 1 && !a.keepdims) {
    const perm = [...x.shape.keys()].reverse()
    const axis = inverse(perm)[a.axis < 0 ? a.axis + rank : a.axis]!
    const rest = [...Array(rank - 1).keys()].reverse()
    const nodes = [node('Transpose', 'x0', 't', { perm }), node(operator, 't', 'u', { ...a, axis }), node('Transpose', 'u', 'y0', { perm: rest })]
    paths.push({ path: 'between-transposes', form: { opset: 13, nodes } })
  }
  return paths
}

function tfjs(name: 'argMax' | 'argMin', c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  const a = c.attributes
  const x = c.inputs[0]!
  const axis = a.axis < 0 ? a.axis + x.shape.length : a.axis
  if (c.valid === false) return [{ path: name.toLowerCase(), form: h.plainly((tf, [v]) => tf[name](v, a.axis)) }]
  const n = x.shape[axis]!
  const kept = (tf: any, y: any) => (a.keepdims ? tf.expandDims(y, axis) : y)
  const arg = (tf: any, v: any, at: number | undefined) =>
    a.select_last_index ? tf.sub(tf.scalar(n - 1, 'int32'), tf[name](tf.reverse(v, axis), at)) : tf[name](v, at)
  const word = a.select_last_index ? `reverse-${name.toLowerCase()}` : name.toLowerCase()
  const paths: h.Lowering<h.TfjsForm>[] = [
    { path: word, form: h.plainly((tf, [v]) => kept(tf, arg(tf, v, axis))) },
    { path: `${word}-from-end`, form: h.plainly((tf, [v]) => kept(tf, arg(tf, v, axis - x.shape.length))) },
  ]
  if (axis === 0) paths.push({ path: `${word}-defaults`, form: h.plainly((tf, [v]) => kept(tf, arg(tf, v, undefined))) })
  if (a.keepdims)
    paths.push({ path: 'without-keepdims', naive: 'TF.js keeps no axis, ONNX keeps it by default', form: h.plainly((tf, [v]) => tf[name](v, axis)) })
  if (a.select_last_index)
    paths.push({
      path: 'first-index',
      naive: 'TF.js knows only the first of equal elements',
      form: h.plainly((tf, [v]) => kept(tf, tf[name](v, axis))),
    })
  return paths
}

export default (['max', 'min'] as const).map(which => {
  const operator = which === 'max' ? 'ArgMax' : 'ArgMin'
  const call = which === 'max' ? 'argMax' : 'argMin'
  return h.defineOp<A>({
    name: `arg-${which}`,
    spec: [`https://onnx.ai/onnx/operators/onnx__${operator}.html`, `https://js.tensorflow.org/api/latest/#${call}`],
    valid,
    invalid,
    operators: [operator],
    fromOnnx: n => ({ attributes: { axis: 0, keepdims: 1, select_last_index: 0, ...(n.attributes as Partial<A>) }, inputs: n.inputs }),
    expect: (a, [x]) => [expect(which === 'max', a, x!)],
    onnx: c => onnx(operator, c),
    tfjs: c => tfjs(call, c),
  })
})
