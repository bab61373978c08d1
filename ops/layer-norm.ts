/**
 * y = scale·(x − mean)/√(variance + ε) + B over all axes from `axis` on; scale and B (optional) broadcast to x. Two outputs more: the mean, and 1/√(variance + ε), both
 * with length 1 along those axes. (ONNX LayerNormalization-17; after Ba et al., arXiv:1607.06450) Bounds: harness/moments.ts.
 */
import { groups, sources, spread } from '../harness/elements.ts'
import {
  affineOf,
  EPSILONS,
  inverseOf,
  isConstant,
  meanOf,
  type Normalisation,
  normalised,
  ones,
  readInputs,
  rowFields,
  rowShape,
  simulateNormalised,
  vector,
} from '../harness/moments.ts'
import * as h from '../harness/op.ts'
import { node } from '../harness/scalars.ts'

type A = { axis: number; epsilon: number }

const fields = {
  own: h.int(0, 4), // 0 … 2: float32, parameters of the normalised shape
  ...rowFields,
  affine: h.int(0, 3), // 1: scale is 1; 2: B is 0; 3: both
  absent: h.flag, // B
  broadcast: h.int(0, 2), // 1: parameters of one axis; 2: of length 1
  epsilon: h.int(0, EPSILONS.length - 1),
  half: h.int(0, 2), // 2: float16
  x: h.data(),
  scale: spread('integers', 'normal', 'span', 'negative', 'large'),
}
const valid = h.generator(fields, raw => {
  const { shape, axis, from } = rowShape(raw)
  const dtype: h.DType = raw.own > 2 && raw.half === 2 ? 'float16' : 'float32'
  const own = shape.slice(from)
  const narrow = raw.own < 3 || raw.broadcast === 0 ? own : raw.broadcast === 1 ? own.slice(-1) : [1]
  const [scale, bias] = affineOf(fields.scale, raw, narrow, dtype)
  return h.drawn<A>({ axis, epsilon: h.pick(EPSILONS, raw.epsilon) }, h.fill(fields.x, raw.x, shape, dtype), scale, raw.absent ? null : bias)
})
const spoilt = { ...rowFields, which: h.int(0, 3), by: h.int(0, 2), x: h.data('integers', 'normal') }
/** An axis that x does not have, parameters that do not broadcast. */
const invalid = h.generator(spoilt, raw => {
  const { shape, axis, from } = rowShape(raw)
  const bad = raw.which === 0 ? shape.length + raw.by : raw.which === 1 ? -shape.length - 1 - raw.by : axis
  const own = shape.slice(from)
  const longer = [...own.slice(0, -1), own[own.length - 1]! + 1 + raw.by]
  return h.drawn<A>(
    { axis: bad, epsilon: EPSILONS[0]! },
    h.fill(spoilt.x, raw.x, shape),
    ones(raw.which === 2 ? longer : own),
    ones(raw.which === 3 ? longer : own),
  )
})

type Inputs = readonly (h.Real | null)[]
const start = (a: A, shape: h.Shape) => (a.axis < 0 ? a.axis + shape.length : a.axis)
const rowAxes = (a: A, shape: h.Shape) => [...shape.keys()].slice(start(a, shape))
function normalisation(a: A, [x, s, b]: Inputs): Normalisation & { kept: number[] } {
  const { shape } = x!
  const places = (t: h.Real | null | undefined) => {
    const at = t && sources(t.shape, shape)
    return (e: number) => at![e]!
  }
  return {
    groups: groups(shape, rowAxes(a, shape)),
    kept: shape.map((n, d) => (d < start(a, shape) ? n : 1)),
    epsilon: a.epsilon,
    scale: vector(s, 1, places(s)),
    bias: vector(b, 0, places(b)),
  }
}

function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const a = c.attributes
  const [x, scale, bias] = c.inputs as [h.TensorSpec, h.TensorSpec, h.TensorSpec | null]
  const names = bias ? ['x0', 'x1', 'x2'] : ['x0', 'x1']
  const stash = { ...a, stash_type: 1 }
  const all = ['y0', 'y1', 'y2']
  const norm = (attributes: h.Attributes, out = ['y0'], from = 'x0'): h.OnnxNode => ({
    op: 'LayerNormalization',
    in: [from, ...names.slice(1)],
    out,
    attributes,
  })
  const paths: h.Lowering<h.OnnxForm>[] = [
    { path: 'node', form: { opset: 17, nodes: [norm(stash)] } },
    { path: 'constant-parameters', form: { opset: 17, initializers: [1, 2], nodes: [norm(stash)] } },
  ]
  if (c.valid === false) return paths
  paths.push(
    { path: 'defaults', form: { opset: 17, nodes: [norm(h.withoutDefaults(a, { axis: -1, epsilon: EPSILONS[0]! }))] } },
    { path: 'opset-22', form: { opset: 22, nodes: [norm(stash)] } },
  )
  if (x.dtype === 'float32') {
    // means and 1/σ are float32 whatever x is (stash_type)
    paths.push({ path: 'all-outputs', form: { opset: 17, nodes: [norm(stash, all)] } })
    paths.push({ path: 'mean-only', form: { opset: 17, nodes: [norm(stash, ['y0', 'y1'])] } })
    // The pattern that ORT recognises (basic), and x + 0 in front of it (extended: SkipLayerNormalization).
    const axes = rowAxes(a, x.shape).map(d => d - x.shape.length)
    const constants = { two: h.tensor('float32', [], [2]), epsilon: h.tensor('float32', [], [a.epsilon]) }
    const pattern = [
      node('ReduceMean', 'x0', 'mean', { axes, keepdims: 1 }),
      node('Sub', ['x0', 'mean'], 'apart'),
      node('Pow', ['apart', 'two'], 'squares'),
      node('ReduceMean', 'squares', 'variance', { axes, keepdims: 1 }),
      node('Add', ['variance', 'epsilon'], 'sum'),
      node('Sqrt', 'sum', 'sigma'),
      node('Div', ['apart', 'sigma'], 'unit'),
      node('Mul', ['unit', 'x1'], bias ? 'scaled' : 'y0'),
      ...(bias ? [node('Add', ['scaled', 'x2'], 'y0')] : []),
    ]
    paths.push({ path: 'pattern', form: { opset: 13, constants, initializers: [1, 2], nodes: pattern } })
    if (x.shape.length === 3 && start(a, x.shape) === 2 && scale.shape.length === 1 && h.tame(x)) {
      const zero = h.tensor('float32', x.shape, new Float64Array(h.sizeOf(x.shape)))
      const nodes = [node('Add', ['x0', 'zero'], 'z'), norm(stash, ['y0'], 'z')]
      paths.push({ path: 'after-add', form: { opset: 17, constants: { zero }, initializers: [1, 2], nodes } })
    }
  }
  return paths
}

function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  const { axis, epsilon } = c.attributes
  const [x, scale, bias] = c.inputs as [h.TensorSpec, h.TensorSpec, h.TensorSpec | null]
  const { shape } = x
  if (c.valid === false && start(c.attributes, shape) < shape.length && axis >= -shape.length)
    return [{ declined: 'TF.js has no call with such parameters' }]
  const from = start(c.attributes, shape)
  const axes = c.valid === false ? axis : shape.length - from === 1 ? axis : rowAxes(c.attributes, shape)
  const options = { axis: axes, epsilon, center: !!bias }
  const layer = (tf: any, t: readonly any[], more: object) => {
    const l = tf.layers.layerNormalization({ ...options, ...more })
    l.build(t[0].shape)
    try {
      const weights = t.slice(1).filter(w => w)
      if (weights.length) l.setWeights(weights)
      return l.apply(t[0])
    } finally {
      for (const w of l.weights) w.dispose()
    }
  }
  const whole = [scale, bias].every(p => !p || p.shape.join() === shape.slice(from).join())
  const paths: h.Lowering<h.TfjsForm>[] = []
  // the layer ends in tf.batchNorm, which it has for two to four axes
  const image = shape.length > 1 && shape.length < 5
  if (c.valid === false || (whole && image)) paths.push({ path: 'layers', form: h.plainly((tf, t) => layer(tf, t, {})) })
  if (c.valid === false) return paths
  const composed = (tf: any, [v, s, b]: readonly any[], root: boolean) => {
    const { mean, variance } = tf.moments(v, axes, true)
    const under = tf.add(variance, epsilon)
    const apart = tf.sub(v, mean)
    const y = tf.mul(root ? tf.mul(apart, tf.rsqrt(under)) : tf.div(apart, tf.sqrt(under)), s)
    return [b ? tf.add(y, b) : y, mean, root ? tf.rsqrt(under) : tf.div(1, tf.sqrt(under))]
  }
  paths.push(
    { path: 'moments', form: { call: (tf, t) => composed(tf, t, false) } },
    { path: 'moments-rsqrt', form: { call: (tf, t) => composed(tf, t, true) } },
  )
  if (image && isConstant(scale, 1) && (!bias || isConstant(bias, 0)))
    paths.push({ path: 'layers-without-parameters', form: h.plainly((tf, [v]) => layer(tf, [v], { center: false, scale: false })) })
  if (whole && image && epsilon !== Math.fround(1e-3))
    paths.push({
      path: 'default-epsilon',
      naive: 'ε is 1e-3 by default in TF.js, 1e-5 in ONNX',
      form: h.plainly((tf, t) => layer(tf, t, { epsilon: undefined })),
    })
  if (whole && image && from < shape.length - 1 && shape.slice(from, -1).every(n => n === 1))
    paths.push({
      path: 'last-axis-only',
      naive: 'a number names one axis in TF.js, all from there on in ONNX',
      form: h.plainly((tf, t) =>
        layer(
          tf,
          t.map((v, i) => (v && i ? tf.reshape(v, [-1]) : v)),
          { axis: -1 },
        ),
      ),
    })
  return paths
}

export default h.defineOp<A>({
  name: 'layer-norm',
  spec: [
    'https://onnx.ai/onnx/operators/onnx__LayerNormalization.html',
    'https://js.tensorflow.org/api/latest/#layers.layerNormalization',
    'https://js.tensorflow.org/api/latest/#moments',
  ],
  valid,
  invalid,
  operators: ['LayerNormalization'],
  fromOnnx({ attributes, inputs }) {
    if (Number(attributes['stash_type'] ?? 1) !== 1) return { declined: 'LayerNormalization with another stash_type than float32' }
    return h.drawn<A>({ axis: Number(attributes['axis'] ?? -1), epsilon: Math.fround(Number(attributes['epsilon'] ?? 1e-5)) }, ...inputs)
  },
  expect(a, inputs) {
    const how = normalisation(a, inputs)
    const x = inputs[0]!
    const stashed: h.Real = { ...x, dtype: x.dtype === 'float16' ? 'float32' : x.dtype }
    return [normalised(x, how), meanOf(stashed, how.groups, how.kept), inverseOf(stashed, how, how.kept)]
  },
  simulate(a, inputs, m) {
    const read = readInputs(m, inputs)
    const how = normalisation(a, read)
    const { y, mean, inverse } = simulateNormalised(read[0]!, how, m)
    const stashed = (data: Float64Array): h.Real => ({ dtype: 'float32', shape: how.kept, data })
    return [y, stashed(mean), stashed(inverse)]
  },
  onnx,
  tfjs,
})
