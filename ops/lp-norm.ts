/**
 * y = x/‖x‖ₚ along one axis, p = 1 or 2; 0 where the norm is 0. (ONNX LpNormalization-22; 1 says nothing of zeros)
 * The norm is off by γ(n − 1) (p = 1) or γ(n)/2 + √ (p = 2), the quotient by its division; sums of integers up to 2²⁴ are exact. (NUMERICS §3, §7)
 */
import { groups, inverse, largest, least, moveLast, SIZES, shapeFields, shapeOf, simulated } from '../harness/elements.ts'
import { exactSquares, readInputs, sumOf } from '../harness/moments.ts'
import * as h from '../harness/op.ts'
import { node } from '../harness/scalars.ts'

type A = { axis: number; p: number }

const fields = {
  own: h.int(0, 4), // 0 … 2: float32
  ...shapeFields,
  axis: h.int(0, 5),
  negative: h.flag,
  one: h.flag, // p is 1, not 2
  half: h.int(0, 3), // 3: float16
  x: h.data(),
}
const valid = h.generator(fields, raw => {
  const shape = shapeOf({ ...raw, empty: 0 }, { least: 1 })
  const axis = Math.min(raw.axis, shape.length - 1)
  const dtype: h.DType = raw.own > 2 && raw.half === 3 ? 'float16' : 'float32'
  return h.drawn<A>({ axis: raw.negative ? axis : axis - shape.length, p: raw.one ? 1 : 2 }, h.fill(fields.x, raw.x, shape, dtype))
})
const spoilt = { rank: h.int(1, 4), sizes: h.ints(4, 0, 4), which: h.int(0, 3), by: h.int(0, 2), x: h.data('integers', 'normal') }
/** An axis that x does not have; a norm that is neither 1 nor 2. */
const invalid = h.generator(spoilt, raw => {
  const axis = raw.which === 0 ? raw.rank + raw.by : raw.which === 1 ? -raw.rank - 1 - raw.by : 0
  return h.drawn<A>(
    { axis, p: raw.which === 2 ? 3 + raw.by : raw.which === 3 ? -raw.by : 2 },
    h.fill(
      spoilt.x,
      raw.x,
      raw.sizes.slice(0, raw.rank).map(i => SIZES[i]!),
    ),
  )
})

const partition = (a: A, x: { shape: h.Shape }) => groups(x.shape, [a.axis < 0 ? a.axis + x.shape.length : a.axis])
function expect(a: A, [x]: readonly (h.Real | null)[]): h.Expected[] {
  const { data, dtype, shape } = x!
  const g = partition(a, x!)
  const value = new Float64Array(data.length)
  const sums = new Float64Array(g.count)
  const exact: boolean[] = []
  for (let i = 0; i < g.count; i++) {
    const own = Float64Array.from({ length: g.size }, (_, j) => data[g.at(i, j)]!)
    sums[i] = own.reduce((s, v) => s + (a.p === 1 ? Math.abs(v) : v * v), 0)
    exact.push(dtype === 'float32' && exactSquares(own))
    const norm = a.p === 1 ? sums[i]! : Math.sqrt(sums[i]!)
    own.forEach((v, j) => {
      value[g.at(i, j)] = norm === 0 ? 0 : v / norm
    })
  }
  const allowed = (m: h.Arithmetic) => {
    const out = new Float64Array(data.length)
    const tiny = 2 * least(m, dtype)
    for (let i = 0; i < g.count; i++) {
      // what underflows in the sum is lost
      const lost = (g.size * tiny) / sums[i]!
      const rho = (exact[i] ? 0 : h.gamma(a.p === 1 ? g.size - 1 : g.size, m.u)) + lost
      const norm = a.p === 1 ? rho * (1 + 2 * rho) : (rho / 2) * (1 + 1.5 * rho) + m.sqrt * m.u
      // the reciprocal of a subnormal norm may overflow
      const fits = sums[i] === 0 || (rho < 0.5 && sums[i]! ** (1 / a.p) > 2 ** -126 && sums[i]! < largest(dtype) / 1.1)
      for (let j = 0; j < g.size; j++) {
        const e = g.at(i, j)
        const r = Math.abs(value[e]!)
        const flushed = m.flushesSubnormals && Math.abs(data[e]!) < 2 ** -126 ? r : 0
        out[e] = fits ? (sums[i] === 0 ? 0 : r * (norm + m.division * m.u) + tiny + flushed) : Number.NaN
      }
    }
    return out
  }
  return [{ rule: 'error', dtype, shape, value, allowed, because: 'NUMERICS: L2 and Lp' }]
}
function simulate(a: A, inputs: readonly (h.Real | null)[], m: h.Machine): h.Real[] {
  const [x] = readInputs(m, inputs) as [h.Real]
  const g = partition(a, x)
  const y = new Float64Array(x.data.length)
  for (let i = 0; i < g.count; i++) {
    const own = Float64Array.from({ length: g.size }, (_, j) => x.data[g.at(i, j)]!)
    const sum = a.p === 1 ? sumOf(m, own.map(Math.abs), null) : sumOf(m, own, own)
    const norm = a.p === 1 ? sum : m.sqrt(sum)
    own.forEach((v, j) => {
      y[g.at(i, j)] = norm === 0 ? 0 : m.div(v, norm)
    })
  }
  return [simulated(x.dtype, x.shape, y)]
}

function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const a = c.attributes
  const x = c.inputs[0]!
  const alone = (path: string, opset: number, attributes: h.Attributes) => ({
    path,
    form: { opset, nodes: [node('LpNormalization', 'x0', 'y0', attributes)] },
  })
  const paths: h.Lowering<h.OnnxForm>[] = [alone('node', 13, a), alone('opset-22', 22, a)]
  if (c.valid === false) return paths
  paths.push(alone('opset-1', 7, a), alone('defaults', 13, h.withoutDefaults(a, { axis: -1, p: 2 })))
  const rank = x.shape.length
  if (rank > 1) {
    // the axis moved to the end
    const perm = moveLast(rank, a.axis < 0 ? a.axis + rank : a.axis)
    paths.push({
      path: 'between-transposes',
      form: {
        opset: 13,
        nodes: [
          node('Transpose', 'x0', 't', { perm }),
          node('LpNormalization', 't', 'u', { ...a, axis: -1 }),
          node('Transpose', 'u', 'y0', { perm: inverse(perm) }),
        ],
      },
    })
  }
  return paths
}
function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  const { axis, p } = c.attributes
  const x = c.inputs[0]!
  if (c.valid === false && Math.abs(p) !== 2) return [{ declined: 'tf.norm has other norms, too' }]
  const { data } = h.real(h.realise(x))
  const g = c.valid === false ? { count: 0, size: 0, at: () => 0 } : partition(c.attributes, x)
  const zero = Array.from({ length: g.count }, (_, i) => i).some(i => Array.from({ length: g.size }, (_, j) => data[g.at(i, j)]).every(v => v === 0))
  const by = (quotient: 'div' | 'divNoNan', norm: (tf: any, v: any) => any) => h.plainly((tf, [v]) => tf[quotient](v, norm(tf, v)))
  const paths: h.Lowering<h.TfjsForm>[] = []
  const say = (path: string, norm: (tf: any, v: any) => any) => paths.push({ path, form: by(zero ? 'divNoNan' : 'div', norm) })
  const norm = (tf: any, v: any) => tf.norm(v, p, axis, true)
  say('norm', norm)
  if (c.valid === false) return paths
  if (p === 2) {
    say('norm-euclidean', (tf, v) => tf.norm(v, 'euclidean', axis, true))
    say('euclidean-norm', (tf, v) => tf.euclideanNorm(v, axis, true))
    say('norm-defaults', (tf, v) => tf.norm(v, undefined, [axis], true))
    say('sum-square', (tf, v) => tf.sqrt(tf.sum(tf.square(v), axis, true)))
  } else say('sum-abs', (tf, v) => tf.sum(tf.abs(v), axis, true))
  if (zero) paths.push({ path: 'norm-div', form: by('div', norm), naive: 'a vector of zeros becomes NaN' })
  else paths.push({ path: 'norm-div-no-nan', form: by('divNoNan', norm) })
  return paths
}

export default h.defineOp<A>({
  name: 'lp-norm',
  spec: ['https://onnx.ai/onnx/operators/onnx__LpNormalization.html', 'https://js.tensorflow.org/api/latest/#norm'],
  valid,
  invalid,
  operators: ['LpNormalization'],
  fromOnnx: ({ attributes, inputs }) => h.drawn<A>({ axis: Number(attributes['axis'] ?? -1), p: Number(attributes['p'] ?? 2) }, ...inputs),
  expect,
  simulate,
  onnx,
  tfjs,
})
