/**
 * y = scale·(x − mean)/√(variance + ε) + bias over the channels and spatial axes of a group; x [N, C, spatial], C in num_groups equal parts; scale and bias one number
 * a channel [C] (ONNX GroupNormalization-21) or one a group [G] (GroupNormalization-18, deprecated for it). After Wu & He, arXiv:1803.08494. Bounds: harness/moments.ts.
 */
import { groups, spread } from '../harness/elements.ts'
import { affineOf, EPSILONS, imageFields, imageShape, normalised, ones, readInputs, simulateNormalised, vector } from '../harness/moments.ts'
import * as h from '../harness/op.ts'
import { node } from '../harness/scalars.ts'
import { CHANNELS } from '../harness/windows.ts'

type A = { num_groups: number; epsilon: number }

const fields = {
  own: h.int(0, 4), // 0 … 2: float32
  ...imageFields,
  groups: h.int(0, 3), // 1, 2, 4 of them, or one a channel
  perGroup: h.flag,
  affine: h.int(0, 3), // 1: scale is 1; 2: bias is 0; 3: both
  epsilon: h.int(0, EPSILONS.length - 1),
  half: h.int(0, 2), // 2: float16
  x: h.data(),
  scale: spread('integers', 'normal', 'span', 'negative', 'large'),
}
const valid = h.generator(fields, raw => {
  const shape = imageShape(raw, [1, 3])
  const num_groups = h.pick([1, 2, 4, shape[1]!], raw.groups)
  if (raw.groups < 3) shape[1] = Math.min(h.pick(CHANNELS, raw.channels), raw.spread ? 8 : 2) * num_groups
  const dtype: h.DType = raw.own > 2 && raw.half === 2 ? 'float16' : 'float32'
  const [scale, bias] = affineOf(fields.scale, raw, [raw.perGroup ? num_groups : shape[1]!], dtype)
  return h.drawn<A>({ num_groups, epsilon: h.pick(EPSILONS, raw.epsilon) }, h.fill(fields.x, raw.x, shape, dtype), scale, bias)
})
const spoilt = { ...imageFields, which: h.int(0, 4), by: h.int(0, 2), x: h.data('integers', 'normal') }
/** Channels that do not divide into the groups, no groups, parameters of another length. */
const invalid = h.generator(spoilt, raw => {
  const shape = imageShape(raw, [1, 3])
  shape[1] = 4
  const num_groups = raw.which === 0 ? 3 : raw.which === 1 ? 0 : raw.which === 2 ? 5 + raw.by : 2
  const parameter = (i: number) => ones([raw.which === i ? 5 + raw.by : 4])
  return h.drawn<A>({ num_groups, epsilon: EPSILONS[0]! }, h.fill(spoilt.x, raw.x, shape), parameter(3), parameter(4))
})

type Inputs = readonly (h.Real | null)[]
function normalisation(a: A, [x, s, b]: Inputs) {
  const [batch, c, ...spatial] = x!.shape as [number, number, ...number[]]
  const parts = [batch, a.num_groups, c / a.num_groups, ...spatial]
  const plane = h.sizeOf(spatial)
  const channel = (e: number) => Math.floor(e / plane) % c
  const entry = (t: h.Real | null | undefined) => (t && t.shape[0] === c ? channel : (e: number) => Math.floor((channel(e) * a.num_groups) / c))
  return { groups: groups(parts, [...parts.keys()].slice(2)), epsilon: a.epsilon, scale: vector(s, 1, entry(s)), bias: vector(b, 0, entry(b)) }
}

/** Parameters of a group as those of its channels. */
const repeated = (t: h.Tensor, channels: number): h.Tensor => {
  const n = t.shape[0]!
  if (n === channels) return t
  const values = h.numbers(t)
  return h.tensor(
    t.dtype,
    [channels],
    Float64Array.from({ length: channels }, (_, i) => values[Math.floor((i * n) / channels)]!),
  )
}
function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const a = c.attributes
  const [x, scale] = c.inputs as [h.TensorSpec, h.TensorSpec]
  const channels = x.shape[1]!
  const norm = (attributes: h.Attributes) => node('GroupNormalization', ['x0', 'x1', 'x2'], 'y0', attributes)
  const alone = (path: string, opset: number, attributes: h.Attributes, initializers?: number[]) => ({
    path,
    form: { opset, initializers, nodes: [norm(attributes)] },
  })
  const own = scale.shape[0] === channels || c.valid === false
  const perChannel = (path: string, attributes: h.Attributes) => ({
    path,
    form: {
      opset: 21,
      prepare: (t: readonly (h.Tensor | null)[]) => t.map((v, i) => v && (i ? repeated(v, channels) : v)),
      nodes: [norm(attributes)],
    },
  })
  const left = h.withoutDefaults(a, { epsilon: EPSILONS[0]! })
  const stash = { ...a, stash_type: 1 }
  if (!own) return [alone('node', 18, a), alone('constant-parameters', 18, a, [1, 2]), alone('defaults', 18, left), perChannel('repeated-21', stash)]
  const paths = [alone('node', 21, stash), alone('constant-parameters', 21, stash, [1, 2])]
  if (c.valid === false) return paths
  paths.push(alone('defaults', 21, left))
  if (a.num_groups === channels) paths.push(alone('opset-18', 18, a))
  return paths
}

function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  const { num_groups, epsilon } = c.attributes
  const [x, scale] = c.inputs as [h.TensorSpec, h.TensorSpec]
  if (c.valid === false) return [{ declined: 'TF.js has no such operation that could refuse' }]
  const { shape } = x
  const [batch, channels, ...spatial] = shape as [number, number, ...number[]]
  const each = channels / num_groups
  const pixels = h.sizeOf(spatial)
  const wide = (t: readonly (h.Tensor | null)[]) => t.map((v, i) => v && (i ? repeated(v, channels) : v))
  const planes = [channels, ...spatial.map(() => 1)]
  const affine = (tf: any, y: any, s: any, b: any, to: readonly number[]) => tf.add(tf.mul(y, tf.reshape(s, to)), tf.reshape(b, to))
  const paths: h.Lowering<h.TfjsForm>[] = [
    {
      path: 'moments-nchw',
      form: {
        prepare: wide,
        call: (tf, [v, s, b]) => {
          const parts = tf.reshape(v, [batch, num_groups, -1])
          const { mean, variance } = tf.moments(parts, 2, true)
          return [affine(tf, tf.reshape(tf.div(tf.sub(parts, mean), tf.sqrt(tf.add(variance, epsilon))), shape), s, b, planes)]
        },
      },
    },
    {
      path: 'moments-nhwc',
      form: {
        prepare: t => wide(t).map((v, i) => (v && i === 0 ? h.permute(v, h.toLast(shape.length)) : v)),
        call: (tf, [v, s, b]) => {
          const parts = tf.reshape(v, [batch, pixels, num_groups, each])
          const { mean, variance } = tf.moments(parts, [1, 3], true)
          return [affine(tf, tf.reshape(tf.mul(tf.sub(parts, mean), tf.rsqrt(tf.add(variance, epsilon))), v.shape), s, b, [channels])]
        },
        finish: ([y]) => [h.permute(y!, h.toSecond(shape.length))],
      },
    },
    {
      path: 'layers-layer-normalization', // a row for every group
      form: {
        prepare: wide,
        call: (tf, [v, s, b]) => {
          const layer = tf.layers.layerNormalization({ epsilon, scale: false, center: false })
          return [affine(tf, tf.reshape(layer.apply(tf.reshape(v, [batch * num_groups, -1])), shape), s, b, planes)]
        },
      },
    },
  ]
  if (scale.shape[0] !== channels && channels % scale.shape[0]! === 0 && num_groups > 1)
    paths.push({
      path: 'parameters-tiled',
      naive: 'tf.tile repeats the list of groups, not each group for its channels',
      form: h.plainly((tf, [v, ...p]) => {
        const parts = tf.reshape(v, [batch, num_groups, -1])
        const { mean, variance } = tf.moments(parts, 2, true)
        const [s, b] = p.map(t => tf.tile(t, [each]))
        return affine(tf, tf.reshape(tf.div(tf.sub(parts, mean), tf.sqrt(tf.add(variance, epsilon))), shape), s, b, planes)
      }),
    })
  return paths
}

export default h.defineOp<A>({
  name: 'group-norm',
  spec: ['https://onnx.ai/onnx/operators/onnx__GroupNormalization.html', 'https://js.tensorflow.org/api/latest/#moments'],
  valid,
  invalid,
  operators: ['GroupNormalization'],
  fromOnnx({ attributes, inputs }) {
    if (Number(attributes['stash_type'] ?? 1) !== 1) return { declined: 'GroupNormalization with another stash_type than float32' }
    return h.drawn<A>({ num_groups: Number(attributes['num_groups']), epsilon: Math.fround(Number(attributes['epsilon'] ?? 1e-5)) }, ...inputs)
  },
  expect: (a, inputs) => [normalised(inputs[0]!, normalisation(a, inputs))],
  simulate(a, inputs, m) {
    const read = readInputs(m, inputs)
    return [simulateNormalised(read[0]!, normalisation(a, read), m).y]
  },
  onnx,
  tfjs,
})
