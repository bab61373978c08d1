/**
 * y = scale·x/√(mean(x²) + ε) over all axes from `axis` on; scale broadcast to x. (ONNX RMSNormalization-23; after Zhang & Sennrich, arXiv:1910.07467)
 * mean(x²) + ε is off by ρ = γ(n + division + 1), the root by half of that: |y|·(ρ/2·(1 + 3ρ/2) + (√ + division + 1)u). Squares of integers with a sum up to 2²⁴ are exact,
 * their mean too where n is a power of two; a factor of 1 rounds nothing. (NUMERICS §3, §7, as for L2)
 */
import { fillSpread, groups, largest, least, simulated, sources, spread } from '../harness/elements.ts'
import { EPSILONS, exactSquares, isConstant, ones, powerOfTwo, readInputs, rowFields, rowShape, sumOf } from '../harness/moments.ts'
import * as h from '../harness/op.ts'
import { node } from '../harness/scalars.ts'

type A = { axis: number; epsilon: number }

const fields = {
  own: h.int(0, 4), // 0 … 2: float32, a scale of the normalised shape
  ...rowFields,
  plain: h.flag, // scale is 1
  narrow: h.int(0, 3), // 2: scale of one axis; 3: of length 1
  epsilon: h.int(0, EPSILONS.length - 1),
  half: h.int(0, 2), // 2: float16
  x: h.data(),
  scale: spread('integers', 'normal', 'span', 'negative', 'large'),
}
const valid = h.generator(fields, raw => {
  const { shape, axis, from } = rowShape(raw)
  const dtype: h.DType = raw.own > 2 && raw.half === 2 ? 'float16' : 'float32'
  const own = raw.own < 3 || raw.narrow < 2 ? shape.slice(from) : raw.narrow === 2 ? shape.slice(-1) : [1]
  const scale = raw.plain ? { ...ones(own), dtype } : fillSpread(fields.scale, raw.scale, own, dtype)
  return h.drawn<A>({ axis, epsilon: h.pick(EPSILONS, raw.epsilon) }, h.fill(fields.x, raw.x, shape, dtype), scale)
})
const spoilt = { ...rowFields, which: h.int(0, 2), by: h.int(0, 2), x: h.data('integers', 'normal') }
/** An axis that x does not have, a scale that does not broadcast. */
const invalid = h.generator(spoilt, raw => {
  const { shape, axis, from } = rowShape(raw)
  const bad = raw.which === 0 ? shape.length + raw.by : raw.which === 1 ? -shape.length - 1 - raw.by : axis
  const own = shape.slice(from)
  const scale = raw.which === 2 ? [...own.slice(0, -1), own[own.length - 1]! + 1 + raw.by] : own
  return h.drawn<A>({ axis: bad, epsilon: EPSILONS[0]! }, h.fill(spoilt.x, raw.x, shape), ones(scale))
})

const rowAxes = (a: A, shape: h.Shape) => [...shape.keys()].slice(a.axis < 0 ? a.axis + shape.length : a.axis)

function expect(a: A, [x, s]: readonly (h.Real | null)[]): h.Expected[] {
  const { shape, data, dtype } = x!
  const g = groups(shape, rowAxes(a, shape))
  const at = sources(s!.shape, shape)
  const value = new Float64Array(data.length)
  const square = new Float64Array(g.count)
  const undefinedAt = new Uint8Array(data.length)
  const rows = (each: (e: number, i: number) => void) => {
    for (let i = 0; i < g.count; i++) for (let j = 0; j < g.size; j++) each(g.at(i, j), i)
  }
  rows((e, i) => (square[i]! += data[e]! ** 2 / g.size))
  rows((e, i) => {
    value[e] = (data[e]! / Math.sqrt(square[i]! + a.epsilon)) * s!.data[at[e]!]!
    if (square[i]! + a.epsilon === 0) undefinedAt[e] = 1
  })
  const exact = Array.from(
    { length: g.count },
    (_, i) => dtype === 'float32' && exactSquares(Float64Array.from({ length: g.size }, (_, j) => data[g.at(i, j)]!)),
  )
  const allowed = (m: h.Arithmetic) => {
    const mean = powerOfTwo(g.size) ? 0 : m.division
    const out = new Float64Array(data.length)
    const tiny = 2 * least(m, dtype)
    rows((e, i) => {
      const under = square[i]! + a.epsilon
      const rho = h.gamma((exact[i] ? 0 : g.size) + mean + (a.epsilon ? 1 : 0), m.u) + tiny / under
      const size = Math.abs(s!.data[at[e]!]!)
      const fits = square[i]! * g.size < largest(dtype) / 1.1 && rho < 0.5 && size * Math.abs(data[e]!) * 1.1 < largest(dtype)
      out[e] = fits
        ? Math.abs(value[e]!) * ((rho / 2) * (1 + 1.5 * rho) + (m.sqrt + m.division + (size === 1 ? 0 : 1)) * m.u) +
          tiny * (1 + size * (1 + 2 / Math.sqrt(under)))
        : Number.NaN
    })
    return out
  }
  const unclear = h.open('zeros without ε', undefinedAt, { 'IEEE 754': value })
  return [{ rule: 'error', dtype, shape, value, allowed, because: 'see the head of ops/rms-norm.ts', open: unclear }]
}
function simulate(a: A, inputs: readonly (h.Real | null)[], m: h.Machine): h.Real[] {
  const [x, s] = readInputs(m, inputs) as [h.Real, h.Real]
  const g = groups(x.shape, rowAxes(a, x.shape))
  const at = sources(s.shape, x.shape)
  const y = new Float64Array(x.data.length)
  for (let i = 0; i < g.count; i++) {
    const own = Float64Array.from({ length: g.size }, (_, j) => x.data[g.at(i, j)]!)
    const root = m.sqrt(m.add(m.div(sumOf(m, own, own), g.size), a.epsilon))
    own.forEach((v, j) => {
      const e = g.at(i, j)
      y[e] = m.mul(m.div(v, root), s.data[at[e]!]!)
    })
  }
  return [simulated(x.dtype, x.shape, y)]
}

function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const a = c.attributes
  const stash = { ...a, stash_type: 1 }
  const alone = (path: string, attributes: h.Attributes, initializers?: number[]) => ({
    path,
    form: { opset: 23, initializers, nodes: [node('RMSNormalization', ['x0', 'x1'], 'y0', attributes)] },
  })
  const paths: h.Lowering<h.OnnxForm>[] = [alone('node', stash), alone('constant-scale', stash, [1])]
  if (c.valid === false) return paths
  paths.push(alone('defaults', h.withoutDefaults(a, { axis: -1, epsilon: EPSILONS[0]! })))
  const x = c.inputs[0]!
  if (x.dtype !== 'float32') return paths
  // The pattern that ORT recognises as SimplifiedLayerNormalization.
  const axes = rowAxes(a, x.shape).map(d => d - x.shape.length)
  paths.push({
    path: 'pattern',
    form: {
      opset: 13,
      initializers: [1],
      constants: { two: h.tensor('float32', [], [2]), epsilon: h.tensor('float32', [], [a.epsilon]) },
      nodes: [
        node('Pow', ['x0', 'two'], 'squares'),
        node('ReduceMean', 'squares', 'mean', { axes, keepdims: 1 }),
        node('Add', ['mean', 'epsilon'], 'sum'),
        node('Sqrt', 'sum', 'root'),
        node('Div', ['x0', 'root'], 'unit'),
        node('Mul', ['unit', 'x1'], 'y0'),
      ],
    },
  })
  return paths
}
function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  if (c.valid === false) return [{ declined: 'TF.js has no such operation that could refuse' }]
  const axes = rowAxes(c.attributes, c.inputs[0]!.shape)
  const under = (tf: any, v: any) => tf.add(tf.mean(tf.square(v), axes, true), c.attributes.epsilon)
  const paths: h.Lowering<h.TfjsForm>[] = [
    { path: 'mean-square-sqrt', form: h.plainly((tf, [v, s]) => tf.mul(tf.div(v, tf.sqrt(under(tf, v))), s)) },
    { path: 'mean-square-rsqrt', form: h.plainly((tf, [v, s]) => tf.mul(tf.mul(v, tf.rsqrt(under(tf, v))), s)) },
  ]
  if (isConstant(c.inputs[1], 1)) paths.push({ path: 'without-scale', form: h.plainly((tf, [v]) => tf.div(v, tf.sqrt(under(tf, v)))) })
  return paths
}

export default h.defineOp<A>({
  name: 'rms-norm',
  spec: ['https://onnx.ai/onnx/operators/onnx__RMSNormalization.html', 'https://js.tensorflow.org/api/latest/#Operations-Reduction'],
  valid,
  invalid,
  operators: ['RMSNormalization'],
  fromOnnx({ attributes, inputs }) {
    if (Number(attributes['stash_type'] ?? 1) !== 1) return { declined: 'RMSNormalization with another stash_type than float32' }
    return h.drawn<A>({ axis: Number(attributes['axis'] ?? -1), epsilon: Math.fround(Number(attributes['epsilon'] ?? 1e-5)) }, ...inputs)
  },
  expect,
  simulate,
  onnx,
  tfjs,
})
