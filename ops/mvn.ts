/**
 * y = (x − mean)/(√variance + 10⁻⁹) over `axes` (default: batch and space of an image, so that every channel is normalised). (ONNX MeanVarianceNormalization-13, a function;
 * its body says √(E[x²] − E[x]²)) Bounds: harness/moments.ts; where the variance is rounding noise nothing is compared.
 */
import { groups } from '../harness/elements.ts'
import { imageFields, imageShape, normalised, readInputs, simulateNormalised } from '../harness/moments.ts'
import * as h from '../harness/op.ts'
import { node } from '../harness/scalars.ts'

type A = { axes: readonly number[] }
const DEFAULT = [0, 2, 3]
const EPSILON = Math.fround(1e-9)

const fields = {
  own: h.int(0, 4), // 0 … 2: an image, normalised by channels
  ...imageFields,
  form: h.int(0, 7), // which axes; above 3 not those of an image alone
  half: h.int(0, 3), // 3: float16
  x: h.data(),
}
const valid = h.generator(fields, raw => {
  const other = raw.own > 2 && raw.form > 3
  const shape = imageShape(raw, other ? [1, 3] : [2, 2])
  const last = shape.length - 1
  // groups of one element have no variance
  if (shape[last]! < 2) shape[last] = 2
  const axes = other ? h.pick([[1, last], [0, 1, last], [last], [...shape.keys()]], raw.form - 4) : raw.form & 1 ? [2, 3] : DEFAULT
  const dtype: h.DType = raw.own > 2 && raw.half === 3 ? 'float16' : 'float32'
  return h.drawn<A>({ axes: [...new Set(axes)] }, h.fill(fields.x, raw.x, shape, dtype))
})
const spoilt = { ...imageFields, below: h.flag, by: h.int(0, 2), x: h.data('integers', 'normal') }
/** An axis that x does not have. */
const invalid = h.generator(spoilt, raw =>
  h.drawn<A>({ axes: [0, 2, raw.below ? -5 - raw.by : 4 + raw.by] }, h.fill(spoilt.x, raw.x, imageShape(raw, [2, 2]))),
)

const normalisation = (a: A, x: h.Real) => ({
  groups: groups(
    x.shape,
    a.axes.map(d => (d < 0 ? d + x.shape.length : d)),
  ),
  epsilon: EPSILON,
  outside: true,
})

function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const a = c.attributes
  const x = c.inputs[0]!
  const alone = (path: string, opset: number, attributes: h.Attributes) => ({
    path,
    form: { opset, nodes: [node('MeanVarianceNormalization', 'x0', 'y0', attributes)] },
  })
  const paths: h.Lowering<h.OnnxForm>[] = [alone('node', 13, a), alone('opset-9', 9, a), alone('opset-22', 22, a)]
  if (c.valid === false) return paths
  paths.push(
    alone('defaults', 13, h.withoutDefaults(a, { axes: DEFAULT })),
    alone('negative-axes', 13, { axes: a.axes.map(d => d - x.shape.length) }),
  )
  return paths
}
function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  const axes = [...c.attributes.axes]
  const call = (root: (tf: any, variance: any) => any) =>
    h.plainly((tf, [v]) => {
      const { mean, variance } = tf.moments(v, axes, true)
      return tf.div(tf.sub(v, mean), tf.add(root(tf, variance), EPSILON))
    })
  const paths: h.Lowering<h.TfjsForm>[] = [{ path: 'moments', form: call((tf, variance) => tf.sqrt(variance)) }]
  if (c.valid === false) return paths
  paths.push(
    { path: 'moments-pow', form: call((tf, variance) => tf.pow(variance, 0.5)) },
    {
      path: 'mean-square', // as the function's body says it
      form: h.plainly((tf, [v]) => {
        const mean = tf.mean(v, axes, true)
        const variance = tf.sub(tf.mean(tf.square(v), axes, true), tf.square(mean))
        return tf.div(tf.sub(v, mean), tf.add(tf.sqrt(variance), EPSILON))
      }),
    },
  )
  return paths
}

export default h.defineOp<A>({
  name: 'mvn',
  spec: ['https://onnx.ai/onnx/operators/onnx__MeanVarianceNormalization.html', 'https://js.tensorflow.org/api/latest/#moments'],
  valid,
  invalid,
  operators: ['MeanVarianceNormalization'],
  fromOnnx: ({ attributes, inputs }) => h.drawn<A>({ axes: (attributes['axes'] as readonly number[] | undefined) ?? DEFAULT }, ...inputs),
  expect: (a, [x]) => [normalised(x!, normalisation(a, x!))],
  simulate(a, inputs, m) {
    const [x] = readInputs(m, inputs) as [h.Real]
    return [simulateNormalised(x, normalisation(a, x), m).y]
  },
  onnx,
  tfjs,
})
