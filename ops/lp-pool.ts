/**
 * y[n, c, o] = (Σ |x[n, c, o·strides − pads + k·dilations]|^p)^(1/p) over the kernel positions k on the image; padding counts as 0.
 * (ONNX LpPool-11; 18 adds ceil_mode and dilations; 22 only adds bfloat16. PyTorch's lp_pool keeps the sign of odd powers; the text speaks of the norm.)
 */
import {
  type Arithmetic,
  type Case,
  type DType,
  data,
  defineOp,
  drawn,
  type Expected,
  eta,
  fill,
  gamma,
  generator,
  int,
  LARGEST,
  type Lowering,
  type Machine,
  type OnnxForm,
  type Real,
  type Shape,
  sizeOf,
  type TfjsForm,
  without,
} from '../harness/op.ts'
import {
  drawPool,
  drawSpoilt,
  eitherCount,
  onnxPool,
  type PoolAttributes,
  poolAxes,
  poolFields,
  poolGeometry,
  readPool,
  spoiltPool,
} from '../harness/pools.ts'
import { imageLast, lift, liftPads, padRows } from '../harness/windows.ts'

type A = PoolAttributes & { p: number }

// ── Norms ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Of every output: q = Σ|x|^p, n elements that are not 0, s = Σ |x|^p·|ln|x|^p|. */
interface Norms {
  q: Float64Array
  n: Float64Array
  s: Float64Array
}
export const norms = (size: number): Norms => ({ q: new Float64Array(size), n: new Float64Array(size), s: new Float64Array(size) })
export function addTo(sums: Norms, i: number, v: number, p: number): void {
  if (v === 0) return
  const t = Math.abs(v) ** p
  sums.q[i]! += t
  sums.n[i]! += 1
  if (t > 0 && t < Infinity) sums.s[i]! += t * Math.abs(Math.log(t))
}
/**
 * r = q^(1/p). A power is honest as exp(y·ln x): its relative error is e₀ + (e₁ + l₀ + 2)·|ln x^y| in u, and y·l₁ (Arithmetic: exp, log; the two of y·ln x are its
 * own rounding and that of y). The errors of the terms, weighted by the terms, and of their sum γ(n + 1 + division) (a mean of them, times their number, is honest too)
 * come through the root divided by p: E = r·((γ + e₀u + (e₁ + l₀ + 2)u·s/q + p·l₁)/p + e₀u + (e₁ + l₀ + 3)u·|ln q|/p + l₁/p) + ((n + count + 1)·η)^(1/p).
 * Where q may overflow nothing is compared. (NUMERICS: L2 and Lp)
 */
export function rooted(x: Real, shape: Shape, p: number, { q, n, s }: Norms, count: number): Expected {
  const { dtype } = x
  const half = dtype === 'float16'
  const whole = p === 1 && x.data.every(Number.isInteger) // a sum of integers, and pow(v, 1) is v wherever arithmetic rounds to nearest
  const value = q.map(v => (p === 2 ? Math.sqrt(v) : p === 1 ? v : v ** (1 / p)))
  const allowed = (a: Arithmetic) =>
    value.map((r, i) => {
      if (r === 0) return n[i] === 0 ? 0 : (2 * count * eta(a)) ** (1 / p)
      if (!((1 + gamma(n[i]!, a.u)) * q[i]! < (half ? 65504 : LARGEST))) return NaN
      if (whole && a.nonFiniteDefined && q[i]! <= (half ? 2 ** 11 : 2 ** 24)) return 0
      const steep = (a.exp[1] + a.log[0] + 3) * a.u
      const terms = gamma(n[i]! + 1 + a.division, a.u) + a.exp[0] * a.u + (steep * s[i]!) / q[i]! + p * a.log[1]
      const root = a.exp[0] * a.u + (steep * Math.abs(Math.log(q[i]!)) + a.log[1]) / p
      return r * (terms / p + root) + ((n[i]! + count + 1) * (half ? 2 ** -24 : eta(a))) ** (1 / p)
    })
  return { rule: 'error', dtype, shape, value, allowed, because: 'powers, their sum and its root (NUMERICS: Lp)' }
}
/** The same over a simulated machine. */
export function rootedBy(m: Machine, x: readonly number[], p: number, n: number): number {
  const power = (v: number) => (p === 1 ? v : p === 2 ? m.mul(v, v) : m.pow(v, p))
  let sum = 0
  // Accumulation in half precision is a rung of products alone.
  if (m.rung === 'f16-accumulation') for (let i = 0; i < n; i++) sum = m.add(sum, power(Math.abs(x[i]!)))
  else
    sum = m.dot(
      Array.from({ length: n }, (_, i) => power(Math.abs(x[i]!))),
      null,
    )
  return p === 1 ? sum : p === 2 ? m.sqrt(sum) : m.pow(sum, Math.fround(1 / p))
}
/** A norm as TF.js can write it: powers, their sum, the root. */
export function composed(tf: any, v: any, p: number, sum: (t: any) => any): any {
  if (p === 1) return sum(tf.abs(v))
  return p === 2 ? tf.sqrt(sum(tf.square(v))) : tf.pow(sum(tf.pow(tf.abs(v), p)), 1 / p)
}

// ── Cases ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const fields = { ...poolFields, power: int(0, 4), half: int(0, 5), x: data() }
const valid = generator(fields, raw => {
  const { attributes, shape } = drawPool(raw)
  const dtype: DType = raw.own > 2 && raw.half === 5 ? 'float16' : 'float32'
  return drawn<A>({ ...attributes, p: [2, 1, 3, 4, 7][raw.power]! }, fill(fields.x, raw.x, shape, dtype))
})
const spoilt = { ...spoiltPool, power: int(0, 3), x: data('integers', 'normal') }
const invalid = generator(spoilt, raw => {
  const { attributes, inputs } = drawSpoilt(raw, spoilt.x)
  return { attributes: { ...attributes, p: 2 } as A, inputs }
})

// ── Reference ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** Calls `each(output, position in x)` for every kernel position on the image. */
function walk(a: A, shape: Shape, each: (i: number, at: number) => void): Shape {
  const g = poolGeometry(a, shape.slice(2))
  const [Z, Y, X] = poolAxes(a, g)
  const [batch, channels] = shape as [number, number]
  let i = 0
  for (let plane = 0; plane < batch * channels; plane++)
    for (let z = 0; z < Z.out; z++)
      for (let y = 0; y < Y.out; y++)
        for (let o = 0; o < X.out; o++, i++)
          for (let kz = Z.first[z]!; kz < Z.end[z]!; kz++)
            for (let ky = Y.first[y]!; ky < Y.end[y]!; ky++) {
              const row = ((plane * Z.size + Z.origin[z]! + kz * Z.dilation) * Y.size + Y.origin[y]! + ky * Y.dilation) * X.size + X.origin[o]!
              for (let k = X.first[o]!; k < X.end[o]!; k++) each(i, row + k * X.dilation)
            }
  return [batch, channels, ...g.counts]
}
function windows(a: A, x: Real): Expected[] {
  const counts = poolGeometry(a, x.shape.slice(2)).counts
  const sums = norms(x.shape[0]! * x.shape[1]! * sizeOf(counts))
  const shape = walk(a, x.shape, (i, at) => addTo(sums, i, x.data[at]!, a.p))
  return [rooted(x, shape, a.p, sums, sizeOf(a.kernel_shape))]
}
function simulate(a: A, [x]: readonly (Real | null)[], m: Machine): Real[] {
  const read = x!.dtype === 'float32' ? m.read : (v: number) => v
  const lists: number[][] = []
  const shape = walk(a, x!.shape, (i, at) => {
    const list = (lists[i] ??= [])
    list.push(read(x!.data[at]!))
  })
  return [
    { dtype: x!.dtype, shape, data: Float64Array.from({ length: sizeOf(shape) }, (_, i) => rootedBy(m, lists[i] ?? [], a.p, lists[i]?.length ?? 0)) },
  ]
}

// ── Lowerings ───────────────────────────────────────────────────────────────────────────────────────────────────────

function onnx(c: Case<A>): Lowering<OnnxForm>[] {
  const { attributes: a } = c
  const plain = a.dilations.every(d => d === 1) && !a.ceil_mode
  const paths = onnxPool(c, { operator: 'LpPool', opsets: plain ? [18, 22, 13, 10] : [18, 22], more: { p: 2 }, padding: 0 })
  // Before 18 there are neither ceil_mode nor dilations.
  return paths.map(l =>
    'form' in l && l.form.opset < 18
      ? { ...l, form: { ...l.form, nodes: l.form.nodes.map(n => ({ ...n, attributes: without(n.attributes, 'ceil_mode', 'dilations') })) } }
      : l,
  )
}
function tfjs(c: Case<A>): Lowering<TfjsForm>[] {
  const { attributes: a } = c
  if (c.valid === false) return [{ declined: 'TF.js has no Lp pool that could refuse' }]
  const rank = a.kernel_shape.length
  const dilated = a.dilations.some(d => d > 1)
  if (dilated && (rank === 3 || a.strides.some(s => s > 1))) return [{ declined: 'tf.pool dilates images only, without a stride' }]
  const g = poolGeometry(a, c.inputs[0]!.shape.slice(2))
  const [kernel, strides, dilations] = [lift(a.kernel_shape, 1), lift(a.strides, 1), lift(a.dilations, 1)]
  const padded = (tf: any, v: any) => (g.fitted.some(p => p > 0) ? tf.pad(v, padRows(liftPads(g.fitted))) : v)
  const count = sizeOf(a.kernel_shape)
  const paths: Lowering<TfjsForm>[] = []
  const say = (path: string, sum: (tf: any, v: any) => any) =>
    paths.push({ path, form: imageLast(rank + 2, true, (tf, t) => composed(tf, padded(tf, t[0]), a.p, v => sum(tf, v))) })
  const channels = c.inputs[0]!.shape[1]!
  if (rank < 3) say('powers-ones-root', (tf, v) => tf.depthwiseConv2d(v, tf.ones([...kernel, channels, 1]), strides, 'valid', 'NHWC', dilations))
  // A mean times its count rounds twice more, which sums of integers (p = 1) do not need.
  if (a.p > 1 && dilated) say('powers-pool-root', (tf, v) => tf.mul(tf.pool(v, kernel, 'avg', 'valid', dilations, strides), count))
  else if (a.p > 1) say('powers-mean-root', (tf, v) => tf.mul((rank === 3 ? tf.avgPool3d : tf.avgPool)(v, kernel, strides, 'valid'), count))
  return paths.length ? paths : [{ declined: 'TF.js sums over windows of volumes only in a mean' }]
}

export default defineOp<A>({
  name: 'lp-pool',
  spec: ['https://onnx.ai/onnx/operators/onnx__LpPool.html', 'https://js.tensorflow.org/api/latest/#avgPool'],
  valid,
  invalid,
  operators: ['LpPool'],
  fromOnnx: node => readPool<A>(node, { p: 2 }),
  expect: (a, [x]) => eitherCount(a, x!.shape.slice(2), b => windows(b, x!)),
  simulate,
  onnx,
  tfjs,
})
