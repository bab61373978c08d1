/**
 * y = scale·(x − mean)/√(var + ε) + B, one number of each parameter a channel; x [N, C, spatial]. With training_mode mean and variance (over N·spatial, divided by
 * their number) are the batch's own, and two outputs more: running = input·momentum + batch·(1 − momentum). (ONNX BatchNormalization-15; 14 with one type for all;
 * 9 and 7 without training_mode)
 *
 * Inference: folding to x·a + c is honest: a is off by √ + division + ½, each product and sum by 1 (in u): (√ + division + 2½)u·|a|·(|x| + |mean|) + 2u(|B| + |y|).
 */
import { fillSpread, groups, largest, least, simulated, spread } from '../harness/elements.ts'
import {
  affineOf,
  EPSILONS,
  imageFields,
  imageShape,
  isConstant,
  normalised,
  ones,
  perGroup,
  readInputs,
  simulateNormalised,
  vector,
} from '../harness/moments.ts'
import * as h from '../harness/op.ts'
import { identityConv, node } from '../harness/scalars.ts'
import { layerOnce } from '../harness/windows.ts'

type A = { epsilon: number; momentum: number; training_mode: number }
const MOMENTA = [0.9, 0.5, 0.99, 0, 1].map(Math.fround)

// ── Cases ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const fields = {
  own: h.int(0, 4), // 0 … 2: one call of TF.js can say it
  ...imageFields,
  training: h.int(0, 3), // 3: yes
  affine: h.int(0, 3), // 1: scale is 1; 2: B is 0; 3: both
  epsilon: h.int(0, EPSILONS.length - 1),
  momentum: h.int(0, MOMENTA.length - 1),
  half: h.int(0, 5), // 5: float16
  x: h.data(),
  scale: spread('integers', 'normal', 'span', 'negative', 'large'),
  mean: spread('integers', 'normal', 'span', 'large', 'small'),
  variance: spread('positive', 'ramp', 'impulse', 'tiny'),
}
const valid = h.generator(fields, raw => {
  const shape = imageShape(raw)
  const training_mode = raw.training === 3 ? 1 : 0
  const dtype: h.DType = raw.own > 2 && raw.half === 5 && !training_mode ? 'float16' : 'float32'
  const c = [shape[1]!]
  const drawn = (v: h.TensorSpec): h.TensorSpec => ({ ...v, dtype })
  const [scale, bias] = affineOf(fields.scale, raw, c, dtype)
  const variance = fillSpread(fields.variance, raw.variance, c, dtype)
  return h.drawn<A>(
    { epsilon: h.pick(EPSILONS, raw.epsilon), momentum: h.pick(MOMENTA, raw.momentum), training_mode },
    h.fill(fields.x, raw.x, shape, dtype),
    scale,
    bias,
    fillSpread(fields.mean, raw.mean, c, dtype),
    // a variance is not negative: 'tiny' is 0
    fields.variance.kinds[raw.variance.kind] === 'tiny' ? drawn(ones(c, 0)) : variance,
  )
})
const spoilt = { ...imageFields, which: h.int(0, 3), by: h.int(0, 2), longer: h.flag, x: h.data('integers', 'normal') }
/** One parameter of another length than there are channels. */
const invalid = h.generator(spoilt, raw => {
  const shape = imageShape(raw)
  const length = raw.longer || shape[1] === 1 ? shape[1]! + 1 + raw.by : Math.max(1, shape[1]! - 1 - raw.by)
  const parameter = (i: number) => ones([i === raw.which ? length : shape[1]!])
  const a = { epsilon: EPSILONS[0]!, momentum: MOMENTA[0]!, training_mode: 0 }
  return h.drawn<A>(a, h.fill(spoilt.x, raw.x, shape), parameter(0), parameter(1), parameter(2), parameter(3))
})

// ── Reference ───────────────────────────────────────────────────────────────────────────────────────────────────────

type Inputs = readonly (h.Real | null)[]
function channels(x: h.Real) {
  const plane = h.sizeOf(x.shape.slice(2))
  const c = x.shape[1] ?? 1
  return {
    c,
    of: (e: number) => Math.floor(e / plane) % c,
    each: groups(
      x.shape,
      [...x.shape.keys()].filter(d => d !== 1),
    ),
  }
}
function training(a: A, [x, s, b]: Inputs) {
  const { of, each } = channels(x!)
  return { groups: each, epsilon: a.epsilon, scale: vector(s, 1, of), bias: vector(b, 0, of) }
}
function expect(a: A, inputs: Inputs): h.Expected[] {
  const [x, s, b, mean, variance] = inputs as h.Real[]
  const { c, of, each } = channels(x!)
  if (a.training_mode) {
    const running = (old: h.Real, which: 'mean' | 'variance') =>
      perGroup(
        x!,
        each,
        [c],
        (m, i) => old.data[i]! * a.momentum + m[which] * (1 - a.momentum),
        // old − (old − batch)·(1 − momentum) is honest, too
        (m, v, off, i) => 4 * m.u * (Math.abs(old.data[i]!) + Math.abs(v[which])) + Math.abs(1 - a.momentum) * off[which],
      )
    return [normalised(x!, training(a, inputs)), running(mean!, 'mean'), running(variance!, 'variance')]
  }
  const factor = (i: number) => s!.data[i]! / Math.sqrt(variance!.data[i]! + a.epsilon)
  const value = x!.data.map((v, e) => (s!.data[of(e)]! * (v - mean!.data[of(e)]!)) / Math.sqrt(variance!.data[of(e)]! + a.epsilon) + b!.data[of(e)]!)
  const undefinedAt = value.map((v, e) => (!Number.isFinite(v) && Number.isFinite(x!.data[e]!) ? 1 : 0))
  return [
    {
      rule: 'error',
      dtype: x!.dtype,
      shape: x!.shape,
      value,
      allowed: m =>
        value.map((y, e) => {
          const [i, tiny] = [of(e), 2 * least(m, x!.dtype)]
          const size = Math.abs(factor(i)) * (Math.abs(x!.data[e]!) + Math.abs(mean!.data[i]!))
          const reach = 1.1 * (size + Math.abs(b!.data[i]!) + Math.abs(s!.data[i]!) * (Math.abs(x!.data[e]!) + Math.abs(mean!.data[i]!)))
          if (!(reach < largest(x!.dtype))) return Number.NaN
          return (m.sqrt + m.division + 2.5) * m.u * size + 2 * m.u * (Math.abs(b!.data[i]!) + Math.abs(y)) + tiny * (4 + 4 * Math.abs(factor(i)))
        }),
      because: 'NUMERICS: batch norm',
      open: h.open('a variance that is 0 or negative', Uint8Array.from(undefinedAt), { 'IEEE 754': value }),
    },
  ]
}
function simulate(a: A, inputs: Inputs, m: h.Machine): h.Real[] {
  const read = readInputs(m, inputs)
  const [x, s, b, mean, variance] = read as h.Real[]
  const { c, of } = channels(x!)
  if (a.training_mode) {
    const now = simulateNormalised(x!, training(a, read), m)
    const running = (old: h.Real, batch: Float64Array) =>
      simulated(
        'float32',
        [c],
        batch.map((v, i) => m.add(m.mul(old.data[i]!, a.momentum), m.mul(v, m.sub(1, a.momentum)))),
      )
    return [now.y, running(mean!, now.mean), running(variance!, now.variance)]
  }
  const factor = variance!.data.map((v, i) => m.div(s!.data[i]!, m.sqrt(m.add(v, a.epsilon))))
  const y = x!.data.map((v, e) => {
    const i = of(e)
    const [f, mu, offset] = [factor[i]!, mean!.data[i]!, b!.data[i]!]
    return m.onePass ? m.add(m.mul(v, f), m.sub(offset, m.mul(mu, f))) : m.add(m.mul(m.sub(v, mu), f), offset)
  })
  return [simulated(x!.dtype, x!.shape, y)]
}

// ── Lowerings ───────────────────────────────────────────────────────────────────────────────────────────────────────

function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const a = c.attributes
  const [x] = c.inputs as [h.TensorSpec]
  const names = ['x0', 'x1', 'x2', 'x3', 'x4']
  const parameters = [1, 2, 3, 4]
  const norm = (attributes: h.Attributes, from = 'x0', out = ['y0']): h.OnnxNode => ({
    op: 'BatchNormalization',
    in: [from, ...names.slice(1)],
    out,
    attributes,
  })
  if (a.training_mode) {
    const all = ['y0', 'y1', 'y2']
    return [
      { path: 'node', form: { opset: 15, nodes: [norm(a, 'x0', all)] } },
      { path: 'opset-14', form: { opset: 14, nodes: [norm(a, 'x0', all)] } },
    ]
  }
  const old = h.without(a, 'training_mode')
  const alone = (path: string, opset: number, attributes: h.Attributes, initializers?: number[]) => ({
    path,
    form: { opset, nodes: [norm(attributes)], initializers },
  })
  const paths: h.Lowering<h.OnnxForm>[] = [alone('node', 15, a), alone('opset-9', 9, old), alone('constant-parameters', 15, a, parameters)]
  if (c.valid === false) return paths
  const left = h.withoutDefaults(a, { epsilon: EPSILONS[0]!, momentum: MOMENTA[0]!, training_mode: 0 })
  paths.push(alone('opset-14', 14, a), alone('opset-7', 7, old, parameters), alone('defaults', 15, left))
  if (x.dtype !== 'float32') return paths
  // Neighbours that ORT folds it into: a depthwise convolution with 1, a product with the identity.
  const { conv, one } = identityConv(x.shape[1]!)
  const form = { opset: 15, initializers: parameters }
  if (x.shape.length === 4) paths.push({ path: 'after-conv', form: { ...form, constants: { one }, nodes: [conv('x0', 'c'), norm(a, 'c')] } })
  if (x.shape.length === 2 && h.tame(x)) {
    const size = x.shape[1]!
    const identity = h.tensor(
      'float32',
      [size, size],
      Float64Array.from({ length: size ** 2 }, (_, i) => (i % (size + 1) ? 0 : 1)),
    )
    paths.push({ path: 'after-matmul', form: { ...form, constants: { identity }, nodes: [node('MatMul', ['x0', 'identity'], 'm'), norm(a, 'm')] } })
  }
  return paths
}

/** x, scale, B, mean, variance as tensors of TF.js; x with its channels last and at most four axes. */
type Call = (tf: any, x: any, scale: any, offset: any, mean: any, variance: any) => any
function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  const { epsilon, momentum, training_mode } = c.attributes
  const [x, scale, bias] = c.inputs as h.TensorSpec[]
  const rank = x!.shape.length
  const last = h.permute(h.tensor('float32', x!.shape, new Float64Array(h.sizeOf(x!.shape))), h.toLast(rank)).shape
  const flat = rank > 4 ? [last[0]!, last[1]!, last[2]! * last[3]!, last[4]!] : last
  const paths: h.Lowering<h.TfjsForm>[] = []
  const say = (path: string, call: Call, naive?: string) => {
    const form: h.TfjsForm = {
      prepare: t => t.map((v, i) => (v && i === 0 ? h.reshape(h.permute(v, h.toLast(rank)), flat) : v)),
      call: (tf, t) => [call(tf, t[0], t[1], t[2], t[3], t[4])].flat(),
      finish: ([y, ...more]) => [h.permute(h.reshape(y!, last), h.toSecond(rank)), ...more],
    }
    paths.push(naive ? { path, form, naive } : { path, form })
  }
  const planes = [x!.shape[1]!, ...x!.shape.slice(2).map(() => 1)]
  const options = { epsilon, momentum }
  if (training_mode) {
    const running = (tf: any, old: any, batch: any) => tf.add(tf.mul(old, momentum), tf.mul(batch, 1 - momentum))
    say('moments-batch-norm', (tf, v, s, o, m, variance) => {
      const now = tf.moments(v, [...flat.keys()].slice(0, -1))
      return [tf.batchNorm(v, now.mean, now.variance, o, s, epsilon), running(tf, m, now.mean), running(tf, variance, now.variance)]
    })
    say('layers-training', (tf, ...t) => trained(tf, t, options))
    if (rank < 5) paths.push({ path: 'layers-training-axis-1', form: { call: (tf, t) => trained(tf, t, { ...options, axis: 1 }) } })
    return paths
  }
  say('batch-norm', (tf, v, s, o, m, variance) => tf.batchNorm(v, m, variance, o, s, epsilon))
  if (flat.length > 1) say(`batch-norm-${flat.length}d`, (tf, v, s, o, m, variance) => tf[`batchNorm${flat.length}d`](v, m, variance, o, s, epsilon))
  if (c.valid === false) return paths
  const row = (tf: any, t: any) => tf.reshape(t, [...flat.slice(1).map(() => 1), flat[flat.length - 1]!])
  say('same-rank-parameters', (tf, v, ...p) => {
    const [s, o, m, variance] = p.map(t => row(tf, t))
    return tf.batchNorm(v, m, variance, o, s, epsilon)
  })
  if (isConstant(scale, 1)) say('without-scale', (tf, v, _, o, m, variance) => tf.batchNorm(v, m, variance, o, undefined, epsilon))
  if (isConstant(bias, 0)) say('without-offset', (tf, v, s, _, m, variance) => tf.batchNorm(v, m, variance, undefined, s, epsilon))
  if (isConstant(scale, 1) && isConstant(bias, 0)) {
    const layer = layerOnce('batchNormalization', { epsilon, scale: false, center: false })
    say('layers-without-parameters', (tf, v, _, __, m, variance) => layer(tf, [v, m, variance]))
  }
  say('layers', (tf, ...t) => layerOnce('batchNormalization', { epsilon })(tf, t))
  if (rank < 5) paths.push({ path: 'layers-axis-1', form: h.plainly(layerOnce('batchNormalization', { epsilon, axis: 1 })) })
  paths.push({
    path: 'arithmetic-nchw',
    form: h.plainly((tf, [v, ...p]) => {
      const [s, o, m, variance] = p.map(t => tf.reshape(t, planes))
      return tf.add(tf.mul(tf.div(tf.sub(v, m), tf.sqrt(tf.add(variance, epsilon))), s), o)
    }),
  })
  if (epsilon !== Math.fround(1e-3))
    say('default-epsilon', (tf, v, s, o, m, variance) => tf.batchNorm(v, m, variance, o, s), 'ε is 1e-3 by default in TF.js, 1e-5 in ONNX')
  if (rank > 2 && rank < 5)
    paths.push({
      path: 'parameters-on-nchw',
      naive: 'tf.batchNorm spreads its parameters over the last axis only',
      form: h.plainly((tf, [v, ...p]) => {
        const [s, o, m, variance] = p.map(t => tf.reshape(t, [1, ...planes]))
        return tf.batchNorm(v, m, variance, o, s, epsilon)
      }),
    })
  return paths
}
/** A layer that learns its moving averages from one batch: its output and the averages. */
function trained(tf: any, [x, ...weights]: readonly any[], options: object): any[] {
  const layer = tf.layers.batchNormalization(options)
  layer.build(x.shape)
  try {
    layer.setWeights(weights)
    const y = layer.apply(x, { training: true })
    return [
      y,
      ...layer
        .getWeights()
        .slice(2)
        .map((w: any) => tf.clone(w)),
    ]
  } finally {
    for (const w of layer.weights) w.dispose()
  }
}

export default h.defineOp<A>({
  name: 'batch-norm',
  spec: [
    'https://onnx.ai/onnx/operators/onnx__BatchNormalization.html',
    'https://js.tensorflow.org/api/latest/#batchNorm',
    'https://js.tensorflow.org/api/latest/#layers.batchNormalization',
  ],
  valid,
  invalid,
  operators: ['BatchNormalization'],
  fromOnnx({ attributes, inputs, opset }) {
    if (inputs.length < 5 || inputs.some(t => !t)) return { declined: 'BatchNormalization needs five inputs' }
    if (opset < 9 && attributes['spatial'] === 0) return { declined: 'BatchNormalization with parameters for every position' }
    const number = (name: string, fallback: number) => Math.fround(Number(attributes[name] ?? fallback))
    return h.drawn<A>(
      { epsilon: number('epsilon', 1e-5), momentum: number('momentum', 0.9), training_mode: Number(attributes['training_mode'] ?? 0) },
      ...inputs,
    )
  },
  expect,
  simulate,
  onnx,
  tfjs,
})
