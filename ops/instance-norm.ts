/**
 * y = scale·(x − mean)/√(variance + ε) + B over the spatial axes of every channel of every image; x [N, C, spatial], scale and B [C]. (ONNX InstanceNormalization-6; 22
 * only adds bfloat16; after Ulyanov et al., arXiv:1607.08022) Bounds: harness/moments.ts.
 */
import { groups, spread } from '../harness/elements.ts'
import {
  affineOf,
  EPSILONS,
  imageFields,
  imageShape,
  isConstant,
  normalised,
  ones,
  readInputs,
  simulateNormalised,
  vector,
} from '../harness/moments.ts'
import * as h from '../harness/op.ts'
import { node } from '../harness/scalars.ts'

type A = { epsilon: number }

const fields = {
  own: h.int(0, 4), // 0 … 2: float32
  ...imageFields,
  affine: h.int(0, 3), // 1: scale is 1; 2: B is 0; 3: both
  epsilon: h.int(0, EPSILONS.length - 1),
  half: h.int(0, 2), // 2: float16
  x: h.data(),
  scale: spread('integers', 'normal', 'span', 'negative', 'large'),
}
const valid = h.generator(fields, raw => {
  const shape = imageShape(raw, [1, 3])
  const dtype: h.DType = raw.own > 2 && raw.half === 2 ? 'float16' : 'float32'
  const [scale, bias] = affineOf(fields.scale, raw, [shape[1]!], dtype)
  return h.drawn<A>({ epsilon: h.pick(EPSILONS, raw.epsilon) }, h.fill(fields.x, raw.x, shape, dtype), scale, bias)
})
const spoilt = { ...imageFields, which: h.int(0, 3), by: h.int(0, 2), x: h.data('integers', 'normal') }
/** A parameter of another length than there are channels, or of two axes. */
const invalid = h.generator(spoilt, raw => {
  const shape = imageShape(raw, [1, 3])
  const parameter = (i: number) => ones(raw.which === i ? [shape[1]! + 1 + raw.by] : raw.which === i + 2 ? [1, shape[1]!] : [shape[1]!])
  return h.drawn<A>({ epsilon: EPSILONS[0]! }, h.fill(spoilt.x, raw.x, shape), parameter(0), parameter(1))
})

type Inputs = readonly (h.Real | null)[]
function normalisation(a: A, [x, s, b]: Inputs) {
  const { shape } = x!
  const plane = h.sizeOf(shape.slice(2))
  const channel = (e: number) => Math.floor(e / plane) % shape[1]!
  return { groups: groups(shape, [...shape.keys()].slice(2)), epsilon: a.epsilon, scale: vector(s, 1, channel), bias: vector(b, 0, channel) }
}

function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const a = c.attributes
  const [x] = c.inputs as [h.TensorSpec]
  const names = ['x0', 'x1', 'x2']
  const alone = (path: string, opset: number, attributes: h.Attributes, initializers?: number[]) => ({
    path,
    form: { opset, initializers, nodes: [node('InstanceNormalization', names, 'y0', attributes)] },
  })
  const paths: h.Lowering<h.OnnxForm>[] = [alone('node', 13, a), alone('constant-parameters', 13, a, [1, 2]), alone('opset-22', 22, a)]
  if (c.valid === false) return paths
  paths.push(alone('opset-6', 7, a), alone('defaults', 13, h.withoutDefaults(a, { epsilon: EPSILONS[0]! })))
  const rank = x.shape.length
  paths.push({
    path: 'between-transposes',
    form: {
      opset: 13,
      initializers: [1, 2],
      prepare: t => t.map((v, i) => (v && i === 0 ? h.permute(v, h.toLast(rank)) : v)),
      nodes: [
        node('Transpose', 'x0', 'first', { perm: h.toSecond(rank) }),
        node('InstanceNormalization', ['first', 'x1', 'x2'], 'n', a),
        node('Transpose', 'n', 'y0', { perm: h.toLast(rank) }),
      ],
      finish: ([y]) => [h.permute(y!, h.toSecond(rank))],
    },
  })
  return paths
}

function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  const { epsilon } = c.attributes
  const [x, scale, bias] = c.inputs as h.TensorSpec[]
  if (c.valid === false) return [{ declined: 'TF.js has no such operation that could refuse' }]
  const { shape } = x!
  const rank = shape.length
  const spatial = [...shape.keys()].slice(2)
  const planes = [shape[1]!, ...spatial.map(() => 1)]
  const scaled = (tf: any, y: any, s: any, b: any) => tf.add(tf.mul(y, s), b)
  const paths: h.Lowering<h.TfjsForm>[] = [
    {
      path: 'moments-nchw',
      form: h.plainly((tf, [v, ...p]) => {
        const { mean, variance } = tf.moments(v, spatial, true)
        const [s, b] = p.map(t => tf.reshape(t, planes))
        return scaled(tf, tf.div(tf.sub(v, mean), tf.sqrt(tf.add(variance, epsilon))), s, b)
      }),
    },
    {
      path: 'moments-nhwc',
      form: h.channelsLast(rank, (tf, [v, s, b]) => {
        const { mean, variance } = tf.moments(
          v,
          spatial.map(d => d - 1),
          true,
        )
        return scaled(tf, tf.mul(tf.sub(v, mean), tf.rsqrt(tf.add(variance, epsilon))), s, b)
      }),
    },
    {
      path: 'layers-layer-normalization', // a row for every channel of every image
      form: {
        call: (tf, [v, ...p]) => {
          const [s, b] = p.map(t => tf.reshape(t, planes))
          const layer = tf.layers.layerNormalization({ epsilon, scale: false, center: false })
          return [scaled(tf, tf.reshape(layer.apply(tf.reshape(v, [shape[0]! * shape[1]!, -1])), shape), s, b)]
        },
      },
    },
  ]
  if (shape[0] === 1 && rank < 5)
    paths.push({
      path: 'moments-batch-norm',
      form: h.channelsLast(rank, (tf, [v, s, b]) => {
        const { mean, variance } = tf.moments(v, [...shape.keys()].slice(0, -1))
        return tf.batchNorm(v, mean, variance, isConstant(bias, 0) ? undefined : b, isConstant(scale, 1) ? undefined : s, epsilon)
      }),
    })
  return paths
}

export default h.defineOp<A>({
  name: 'instance-norm',
  spec: ['https://onnx.ai/onnx/operators/onnx__InstanceNormalization.html', 'https://js.tensorflow.org/api/latest/#moments'],
  valid,
  invalid,
  operators: ['InstanceNormalization'],
  fromOnnx: ({ attributes, inputs }) => h.drawn<A>({ epsilon: Math.fround(Number(attributes['epsilon'] ?? 1e-5)) }, ...inputs),
  expect: (a, inputs) => [normalised(inputs[0]!, normalisation(a, inputs))],
  simulate(a, inputs, m) {
    const read = readInputs(m, inputs)
    return [simulateNormalised(read[0]!, normalisation(a, read), m).y]
  },
  onnx,
  tfjs,
})
