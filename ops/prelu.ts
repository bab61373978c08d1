/** y = slope·x below zero, x elsewhere; the slope is broadcast to x, never x to the slope. x [any shape], slope [broadcastable to it]. (ONNX PRelu-16) */
import { fillSpread, readBy, shapeFields, shapeOf, simulated, sources, spread, within } from '../harness/elements.ts'
import * as h from '../harness/op.ts'

type A = Record<string, never>

const fields = {
  ...shapeFields,
  form: h.int(0, 5), // 0: one slope, 1: one per channel [C, 1, …], 2: as x, 3: one per last index, 4: some axes, 5: [1, C, 1, …]
  half: h.int(0, 7),
  constant: h.flag,
  x: spread('integers', 'span', 'edges', 'ramp', 'normal', 'negative', 'small', 'large', 'tiny', 'nan', 'inf', '-inf', '-0', 'subnormal'),
  slope: spread('integers', 'normal', 'span', 'small', 'negative'),
}
/** Shape of the slope: `form` of the fields. */
function slopeShape(x: readonly number[], form: number): number[] {
  if (x.length === 0 || form === 0) return x.length ? [1] : []
  if (form === 2) return [...x]
  if (form === 3) return x.slice(-1)
  if (form === 4) return x.map((n, d) => (d % 2 ? n : 1))
  const perChannel = x.slice(1).map((n, d) => (d === 0 ? n : 1))
  return form === 5 ? [1, ...perChannel] : perChannel
}
const valid = h.generator(fields, raw => {
  const dtype = raw.half === 7 ? 'float16' : 'float32'
  const shape = shapeOf(raw)
  return h.drawn<A>(
    {},
    fillSpread(fields.x, raw.x, shape, dtype),
    fillSpread(fields.slope, raw.slope, slopeShape(shape, raw.form), dtype, raw.constant === 1),
  )
})
const spoilt = { sizes: h.ints(3, 2, 5), axis: h.int(0, 2), by: h.int(1, 3), x: h.data('integers', 'normal') }
/** A slope that is longer than x along one axis. */
const invalid = h.generator(spoilt, raw =>
  h.drawn<A>(
    {},
    h.fill(spoilt.x, raw.x, raw.sizes),
    h.fill(
      spoilt.x,
      raw.x,
      raw.sizes.map((n, d) => n + (d === raw.axis ? raw.by : 0)),
    ),
  ),
)

/** One product: u·|r|. (NUMERICS: activations) */
function expect([x, slope]: readonly (h.Real | null)[]): h.Expected {
  const from = sources(slope!.shape, x!.shape)
  const value = x!.data.map((v, i) => (v < 0 ? slope!.data[from[i]!]! * v : v))
  return within(x!.dtype, x!.shape, value, (a, i) => (x!.data[i]! < 0 ? h.gamma(1, a.u) * Math.abs(value[i]!) : 0), 'one product: u·|r|', {
    finiteInputs: i => Number.isFinite(x!.data[i]!),
    flushed: i => (x!.data[i]! < 0 && (x!.data[i]! > -(2 ** -126) || Math.abs(slope!.data[from[i]!]!) < 2 ** -126) ? 0 : null),
  })
}

function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const prelu = (from: string, to: string) => ({ op: 'PRelu', in: [from, 'x1'], out: [to], attributes: {} })
  const path = (name: string, opset: number, initializers?: number[]) => ({ path: name, form: { opset, initializers, nodes: [prelu('x0', 'y0')] } })
  return [
    path('node', 16, c.inputs[1]!.constant ? [1] : []),
    path('constant-slope', 16, [1]),
    path('opset-9', 9),
    path('opset-13', 13, [1]),
    path('opset-21', 21),
  ]
}

function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  const [x, slope] = c.inputs as [h.TensorSpec, h.TensorSpec]
  const rank = x.shape.length
  const paths: h.Lowering<h.TfjsForm>[] = [
    { path: 'prelu', form: h.plainly((tf, t) => tf.prelu(t[0], t[1])) },
    { path: 'where', form: h.plainly((tf, t) => tf.where(tf.less(t[0], 0), tf.mul(t[0], t[1]), t[0])) },
  ]
  if (c.valid === false) return paths.slice(0, 1)
  // [C, 1, …] of channels that are not last: the layer shares all axes but its own; channels last, a depthwise product with 1 takes [C].
  const aligned = [...new Array<number>(Math.max(0, rank - slope.shape.length)).fill(1), ...slope.shape]
  if (rank > 1 && aligned[0] === 1) {
    const sharedAxes = aligned.slice(1).flatMap((n, d) => (n === 1 ? [d + 1] : []))
    paths.push({
      path: 'layers-prelu',
      form: h.plainly((tf, t) => {
        const layer = tf.layers.prelu({ sharedAxes })
        layer.build(t[0].shape)
        layer.setWeights([t[1].reshape(aligned.slice(1))])
        const y = layer.apply(t[0])
        for (const w of layer.weights) w.dispose()
        return y
      }),
    })
  }
  const channels = x.shape[1]!
  if (rank === 4 && aligned.every((n, d) => d === 1 || n === 1) && aligned[1] === channels) {
    const flat = (t: h.Tensor) => h.reshape(t, [channels])
    const nhwc = (call: (tf: any, t: readonly any[]) => any): h.TfjsForm => {
      const form = h.channelsLast(4, call)
      return { ...form, prepare: t => form.prepare(t).map((v, i) => (v && i === 1 ? flat(v) : v)) }
    }
    paths.push({ path: 'nhwc', form: nhwc((tf, t) => tf.prelu(t[0], t[1])) })
    paths.push({
      path: 'fused-depthwise',
      form: nhwc((tf, t) =>
        tf.fused.depthwiseConv2d({
          x: t[0],
          filter: tf.ones([1, 1, channels, 1]),
          strides: 1,
          pad: 'valid',
          activation: 'prelu',
          preluActivationWeights: t[1],
        }),
      ),
    })
    if (x.shape[3] === channels)
      paths.push({
        path: 'slope-unreshaped',
        naive: 'a slope of shape [C] meets the last axis, in ONNX and in TF.js',
        form: { prepare: t => [t[0]!, flat(t[1]!)], call: (tf, t) => [tf.prelu(t[0], t[1])] },
      })
  }
  return paths
}

export default h.defineOp<A>({
  name: 'prelu',
  spec: ['https://onnx.ai/onnx/operators/onnx__PRelu.html', 'https://js.tensorflow.org/api/latest/#prelu'],
  valid,
  invalid,
  operators: ['PRelu'],
  fromOnnx: n => ({ attributes: {}, inputs: n.inputs }),
  expect: (_, inputs) => [expect(inputs)],
  simulate(_, [x, slope], m) {
    const from = sources(slope!.shape, x!.shape)
    const [xs, ws] = readBy(m, x!, slope!) as [Float64Array, Float64Array]
    return [
      simulated(
        x!.dtype,
        x!.shape,
        xs.map((v, i) => (v < 0 ? m.mul(ws[from[i]!]!, v) : v)),
      ),
    ]
  },
  onnx,
  tfjs,
})
