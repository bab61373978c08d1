/**
 * y[c] = x[c]/(bias + alpha/size·Σ x[i]²)^beta over the channels i from c − ⌊(size − 1)/2⌋ to c + ⌈(size − 1)/2⌉ that exist; x [N, C, spatial]. (ONNX LRN-13, 1 alike; after
 * Krizhevsky et al. 2012) TF.js counts a radius and does not divide alpha.
 *
 * D = bias + … is off by γ(size + 4), and D^β = exp(β·ln D) by what log and exp may err: |y|·(|β|γ(size + 4) + |β|·log + exp + (division + 2)u). A sum that runs over the
 * channels, adding and taking away, is honest, too: |β|·γ(2C + 6)·G/D, G over all channels. (NUMERICS §7)
 */
import { expRelative, groups, largest, least, simulated } from '../harness/elements.ts'
import { imageFields, imageShape, readInputs, sumOf } from '../harness/moments.ts'
import * as h from '../harness/op.ts'
import { node } from '../harness/scalars.ts'

type A = { size: number; alpha: number; beta: number; bias: number }
const ALPHAS = [1e-4, 1, 0.05, 2, 0].map(Math.fround)
const BETAS = [0.75, 0.5, 1, 0, 2, -0.5].map(Math.fround)
const BIASES = [1, 2, 0.5, 0.1].map(Math.fround)
const DEFAULTS = { alpha: ALPHAS[0]!, beta: BETAS[0]!, bias: BIASES[0]! }

const fields = {
  own: h.int(0, 4), // 0 … 2: odd sizes, images; 3: any exponent; 4: any size and alpha
  ...imageFields,
  size: h.int(1, 9),
  spatial: imageFields.size,
  alpha: h.int(0, ALPHAS.length - 1),
  beta: h.int(0, BETAS.length - 1),
  bias: h.int(0, BIASES.length - 1),
  half: h.int(0, 3), // 3: float16
  x: h.data(),
}
const valid = h.generator(fields, raw => {
  const shape = imageShape({ ...raw, size: raw.spatial }, raw.own > 2 ? [1, 3] : [2, 2])
  const dtype: h.DType = raw.own > 2 && raw.half === 3 ? 'float16' : 'float32'
  const a = {
    alpha: h.pick(ALPHAS, raw.own > 3 ? raw.alpha : raw.alpha % 4),
    beta: h.pick(BETAS, raw.own === 3 ? raw.beta : raw.beta % 3),
    bias: h.pick(BIASES, raw.bias),
  }
  return h.drawn<A>({ size: raw.own > 3 ? raw.size : raw.size | 1, ...a }, h.fill(fields.x, raw.x, shape, dtype))
})
const spoilt = { ...imageFields, half: h.flag, by: h.int(0, 3), x: h.data('integers', 'normal') }
/** A window of no channel, or of a fraction. */
const invalid = h.generator(spoilt, raw =>
  h.drawn<A>({ size: raw.half ? 4.5 + raw.by : -raw.by, ...DEFAULTS }, h.fill(spoilt.x, raw.x, imageShape(raw, [2, 2]))),
)

type Window = { own: Float64Array; from: number; to: number }
/** Channels of every position; the window of channel j is from … to − 1. */
function columns(a: A, x: h.Real, each: (c: Window, j: number, e: number) => void): void {
  const g = groups(x.shape, [1])
  const before = Math.floor((a.size - 1) / 2)
  for (let i = 0; i < g.count; i++) {
    const own = Float64Array.from({ length: g.size }, (_, j) => x.data[g.at(i, j)]!)
    for (let j = 0; j < g.size; j++) each({ own, from: Math.max(0, j - before), to: Math.min(g.size, j - before + a.size) }, j, g.at(i, j))
  }
}
function expect(a: A, [x]: readonly (h.Real | null)[]): h.Expected[] {
  const { data, dtype, shape } = x!
  const make = () => new Float64Array(data.length)
  const [value, under, whole] = [make(), make(), make()]
  columns(a, x!, ({ own, from, to }, j, e) => {
    let sum = 0
    for (let k = from; k < to; k++) sum += own[k]! ** 2
    under[e] = a.bias + (a.alpha / a.size) * sum
    whole[e] = own.reduce((s, v) => s + v * v, 0)
    value[e] = own[j]! / under[e]! ** a.beta
  })
  const channels = shape[1]!
  const allowed = (running: boolean) => (m: h.Arithmetic) =>
    value.map((r, e) => {
      const [D, b] = [under[e]!, Math.abs(a.beta)]
      const tiny = 2 * least(m, dtype)
      const sum = running ? (h.gamma(2 * channels + 6, m.u) * (a.bias + (a.alpha / a.size) * whole[e]!)) / D : h.gamma(a.size + 4, m.u)
      const root = D ** a.beta
      const fits = whole[e]! * Math.max(1, a.alpha) * 1.1 < largest(dtype) && root < largest(dtype) / 1.1 && root > 2 ** -126 && b * sum < 0.5
      if (!fits) return Number.NaN
      const power = b * (h.logError(m, D) + m.u * Math.abs(Math.log(D))) + expRelative(m, b * Math.log(D))
      return Math.abs(r) * (b * sum * (1 + b * sum) + power + (m.division + 2) * m.u) + tiny * (1 + 1 / root)
    })
  return [
    {
      rule: 'error',
      dtype,
      shape,
      value,
      allowed: allowed(false),
      because: 'NUMERICS: LRN',
      rungs: [{ name: 'running-sum', allowed: allowed(true) }],
    },
  ]
}
function simulate(a: A, inputs: readonly (h.Real | null)[], m: h.Machine): h.Real[] {
  const [x] = readInputs(m, inputs) as [h.Real]
  const y = new Float64Array(x.data.length)
  const factor = m.div(a.alpha, a.size)
  columns(a, x, ({ own, from, to }, j, e) => {
    const part = own.subarray(from, to)
    const D = m.add(a.bias, m.mul(factor, sumOf(m, part, part)))
    y[e] = m.div(own[j]!, m.exp(m.mul(a.beta, m.log(D))))
  })
  return [simulated(x.dtype, x.shape, y)]
}

function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const a = c.attributes
  const rank = c.inputs[0]!.shape.length
  const alone = (path: string, opset: number, attributes: h.Attributes) => ({ path, form: { opset, nodes: [node('LRN', 'x0', 'y0', attributes)] } })
  const paths: h.Lowering<h.OnnxForm>[] = [alone('node', 13, a), alone('opset-1', 7, a)]
  if (c.valid === false) return paths
  paths.push(alone('defaults', 13, h.withoutDefaults(a, DEFAULTS)), alone('opset-22', 22, a))
  paths.push({
    path: 'between-transposes',
    form: {
      opset: 13,
      prepare: t => [h.permute(t[0]!, h.toLast(rank))],
      nodes: [
        node('Transpose', 'x0', 'first', { perm: h.toSecond(rank) }),
        node('LRN', 'first', 'n', a),
        node('Transpose', 'n', 'y0', { perm: h.toLast(rank) }),
      ],
      finish: ([y]) => [h.permute(y!, h.toSecond(rank))],
    },
  })
  return paths
}
function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  const { size, alpha, beta, bias } = c.attributes
  const { shape } = c.inputs[0]!
  if (c.valid !== false && size % 2 === 0) return [{ declined: 'TF.js counts a radius: its windows are odd' }]
  const radius = (size - 1) / 2
  const rank = shape.length
  const last = [shape[0]!, ...shape.slice(2), shape[1]!]
  const image = rank === 3 ? [last[0]!, 1, last[1]!, last[2]!] : rank === 5 ? [last[0]!, last[1]! * last[2]!, last[3]!, last[4]!] : last
  const paths: h.Lowering<h.TfjsForm>[] = []
  const say = (path: string, to: readonly number[], call: (tf: any, v: any) => any, naive?: string) => {
    const form: h.TfjsForm = {
      prepare: t => [h.reshape(h.permute(t[0]!, h.toLast(rank)), to)],
      call: (tf, t) => [call(tf, t[0])],
      finish: ([y]) => [h.permute(h.reshape(y!, last), h.toSecond(rank))],
    }
    paths.push(naive ? { path, form, naive } : { path, form })
  }
  const lrn = (tf: any, v: any, by: number) => tf.localResponseNormalization(v, radius, bias, by, beta)
  say('4d', image, (tf, v) => lrn(tf, v, alpha / size))
  if (c.valid === false) return paths
  if (image[0] === 1) say('3d', image.slice(1), (tf, v) => lrn(tf, v, alpha / size))
  if (beta === 0.5) say('default-beta', image, (tf, v) => tf.localResponseNormalization(v, radius, bias, alpha / size))
  if (bias === 1) say('default-bias', image, (tf, v) => tf.localResponseNormalization(v, radius, undefined, alpha / size, beta))
  if (size > 1 && alpha > 0) say('alpha-undivided', image, (tf, v) => lrn(tf, v, alpha), 'ONNX divides alpha by the size, TF.js does not')
  if (size > 1 && alpha > 0)
    say('size-as-radius', image, (tf, v) => tf.localResponseNormalization(v, size, bias, alpha / size, beta), 'TF.js counts a radius')
  return paths
}

export default h.defineOp<A>({
  name: 'lrn',
  spec: ['https://onnx.ai/onnx/operators/onnx__LRN.html', 'https://js.tensorflow.org/api/latest/#localResponseNormalization'],
  valid,
  invalid,
  operators: ['LRN'],
  fromOnnx({ attributes, inputs }) {
    const number = (name: keyof typeof DEFAULTS) => Math.fround(Number(attributes[name] ?? DEFAULTS[name]))
    return h.drawn<A>({ size: Number(attributes['size']), alpha: number('alpha'), beta: number('beta'), bias: number('bias') }, ...inputs)
  },
  expect,
  simulate,
  onnx,
  tfjs,
})
