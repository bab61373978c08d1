/**
 * Normalisation by the mean and variance of groups of elements: y = scale·(x − mean)/σ + bias, σ = √(variance + ε). What its operations share: moments in float64,
 * how far honest arithmetic may stand from them, and the same formula over a simulated machine.
 */
import { fillSpread, type groups, largest, least, readBy, shapeOf, simulated } from './elements.ts'
import type { Machine } from './machine.ts'
import { axes, flag, gamma, int, ints, open, pick } from './op.ts'
import type { Arithmetic, Expected, RawData, Real, Shape, TensorSpec } from './types.ts'
import { CHANNELS, SIZES } from './windows.ts'

export type Groups = Pick<ReturnType<typeof groups>, 'size' | 'count' | 'at'>
export interface Moments {
  mean: number
  variance: number
  /** Mean of |x| and of x². */
  absolute: number
  square: number
}
/** Moments of one group; the variance in two passes, divided by the number of elements. */
export function momentsOf(data: Float64Array, g: Groups, i: number): Moments {
  const n = g.size
  let [sum, absolute, square, squares] = [0, 0, 0, 0]
  for (let j = 0; j < n; j++) {
    const v = data[g.at(i, j)]!
    sum += v
    absolute += Math.abs(v)
    square += v * v
  }
  const mean = sum / n
  for (let j = 0; j < n; j++) squares += (data[g.at(i, j)]! - mean) ** 2
  return { mean, variance: squares / n, absolute: absolute / n, square: square / n }
}

/** Largest errors of a mean and a variance; NaN where a sum may overflow. */
export interface Off {
  mean: number
  variance: number
}
/**
 * With d the error of the division (in u): δ = γ(n − 1 + d)·mean|x|; two passes: γ(n + 2 + d)·v + δ²; one pass, E[x²] − E[x]²: γ(n + d)·E[x²] + 2|mean|δ + δ² + 2u(E[x²] + mean²).
 * (NUMERICS §7; Chan, Golub & LeVeque 1983)
 */
export function momentsOff(a: Arithmetic, dtype: Real['dtype'], m: Moments, n: number, onePass: boolean): Off {
  const tiny = 2 * least(a, dtype)
  const mean = gamma(n - 1 + a.division, a.u) * m.absolute + tiny
  const variance = onePass
    ? gamma(n + a.division, a.u) * m.square + 2 * Math.abs(m.mean) * mean + mean ** 2 + 2 * a.u * (m.square + m.mean ** 2)
    : gamma(n + 2 + a.division, a.u) * m.variance + mean ** 2
  const whole = Math.max(m.absolute, m.square) * n + mean + variance
  return whole < largest(dtype) / 1.1 ? { mean, variance: variance + tiny } : { mean: Number.NaN, variance: Number.NaN }
}

export interface Normalisation {
  groups: Groups
  epsilon: number
  /** ε is added to √variance. */
  outside?: boolean
  /** Factor and summand of an element; absent: 1 and 0. */
  scale?: (element: number) => number
  bias?: (element: number) => number
}
const BECAUSE = 'NUMERICS: layer, instance, group norm'

/** Relative error of v + ε (of √v where ε is outside); beyond ½ nothing is promised. */
function relative(a: Arithmetic, how: Normalisation, m: Moments, off: Off): number {
  const under = m.variance + (how.outside ? 0 : how.epsilon)
  const rho = (off.variance + (how.outside ? 0 : 2 * a.u * how.epsilon)) / under
  return rho < 0.5 ? rho : Number.NaN
}
const sigma = (how: Normalisation, m: Moments) => (how.outside ? Math.sqrt(m.variance) + how.epsilon : Math.sqrt(m.variance + how.epsilon))

/**
 * E = |s|/σ·(δ + u|x − mean|) + |s(x − mean)/σ|·(ρ + (√ + division + 4)u) + 2u(|r| + |b|), ρ the relative error of v + ε. One pass is honest, too (it is what ONNX's
 * function bodies say), and so is then a folded affine part: + 3u|s|/σ·(|x| + |mean|).
 */
export function normalised(x: Real, how: Normalisation): Expected {
  const { groups: g, scale = () => 1, bias = () => 0 } = how
  const moments = Array.from({ length: g.count }, (_, i) => momentsOf(x.data, g, i))
  const value = new Float64Array(x.data.length)
  moments.forEach((m, i) => {
    for (let j = 0; j < g.size; j++) {
      const e = g.at(i, j)
      value[e] = (scale(e) * (x.data[e]! - m.mean)) / sigma(how, m) + bias(e)
    }
  })
  const allowed = (onePass: boolean) => (a: Arithmetic) => {
    const out = new Float64Array(value.length)
    const tiny = 2 * least(a, x.dtype)
    moments.forEach((m, i) => {
      const off = momentsOff(a, x.dtype, m, g.size, onePass)
      const rho = relative(a, how, m, off)
      const s0 = sigma(how, m)
      for (let j = 0; j < g.size; j++) {
        const e = g.at(i, j)
        const [s, v] = [Math.abs(scale(e)), x.data[e]!]
        const from = Math.abs(v - m.mean)
        const folded = onePass ? (3 * a.u * s * (Math.abs(v) + Math.abs(m.mean))) / s0 : 0
        const E =
          (s / s0) * (off.mean + tiny + a.u * from) +
          ((s * from) / s0) * (rho + (a.sqrt + a.division + 4) * a.u) +
          2 * a.u * (Math.abs(value[e]!) + Math.abs(bias(e))) +
          folded
        const reach = ((s * (Math.abs(v) + Math.abs(m.mean))) / s0) * 1.5 + Math.abs(bias(e))
        out[e] = reach < largest(x.dtype) ? E * (1 + rho) + tiny * (1 + s) : Number.NaN
      }
    })
    return out
  }
  const undefinedAt = new Uint8Array(value.length)
  moments.forEach((m, i) => {
    if (m.variance === 0 && !(how.epsilon > 0)) for (let j = 0; j < g.size; j++) undefinedAt[g.at(i, j)] = 1
  })
  return {
    rule: 'error',
    dtype: x.dtype,
    shape: x.shape,
    value,
    open: open('a variance of 0 without ε', undefinedAt, { 'IEEE 754': value }),
    allowed: allowed(false),
    because: BECAUSE,
    rungs: [{ name: 'one-pass', allowed: allowed(true) }],
  }
}

/** A number for every group, off by `error`: means, variances, 1/σ. */
export function perGroup(
  x: Real,
  g: Groups,
  shape: Shape,
  value: (m: Moments, i: number) => number,
  error: (a: Arithmetic, m: Moments, off: Off, i: number) => number,
): Expected {
  const moments = Array.from({ length: g.count }, (_, i) => momentsOf(x.data, g, i))
  const allowed = (onePass: boolean) => (a: Arithmetic) =>
    Float64Array.from(moments, (m, i) => error(a, m, momentsOff(a, x.dtype, m, g.size, onePass), i) + 2 * least(a, x.dtype))
  const values = Float64Array.from(moments, value)
  const unclear = Uint8Array.from(moments, (m, i) => (Number.isFinite(m.square) && !Number.isFinite(values[i]!) ? 1 : 0))
  return {
    rule: 'error',
    dtype: x.dtype,
    shape,
    value: values,
    open: open('a variance of 0 without ε', unclear, { 'IEEE 754': values }),
    allowed: allowed(false),
    because: BECAUSE,
    rungs: [{ name: 'one-pass', allowed: allowed(true) }],
  }
}
/** The mean, and 1/σ: |1/σ|·(ρ + (√ + division + 1)u). */
export const meanOf = (x: Real, g: Groups, shape: Shape): Expected =>
  perGroup(
    x,
    g,
    shape,
    m => m.mean,
    (a, m, off) => off.mean + a.u * Math.abs(m.mean),
  )
export const inverseOf = (x: Real, how: Normalisation, shape: Shape): Expected =>
  perGroup(
    x,
    how.groups,
    shape,
    m => 1 / sigma(how, m),
    (a, m, off) => ((1 + relative(a, how, m, off)) * (relative(a, how, m, off) + (a.sqrt + a.division + 1) * a.u)) / sigma(how, m),
  )

/** Integers whose squares have an exact sum: neither it nor the sum of magnitudes is rounded. */
export const exactSquares = (x: Float64Array): boolean => x.every(Number.isInteger) && x.reduce((s, v) => s + v * v, 0) <= 2 ** 24
export const powerOfTwo = (n: number): boolean => n > 0 && Number.isInteger(Math.log2(n))

// ── Simulation ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** A sum without half-precision accumulators, which this kind of bound does not have a rung for. */
export const sumOf = (m: Machine, x: Float64Array, w: Float64Array | null): number =>
  m.rung === 'f16-accumulation' ? x.reduce((s, v, i) => m.add(s, w ? m.mul(v, w[i]!) : v), 0) : m.dot(x, w)

export interface Simulated {
  y: Real
  mean: Float64Array
  variance: Float64Array
  /** 1/σ. */
  inverse: Float64Array
}
/** Inputs as a machine reads them. */
export function readInputs(m: Machine, inputs: readonly (Real | null)[]): (Real | null)[] {
  const read = readBy(m, ...inputs.filter(t => t !== null))
  return inputs.map(t => t && { ...t, data: read.shift()! })
}
/** The definition over a machine, inputs already read; in one pass with the affine part folded, where the machine does so. */
export function simulateNormalised(x: Real, how: Normalisation, m: Machine): Simulated {
  const { groups: g, scale = () => 1, bias = () => 0 } = how
  const { data } = x
  const y = new Float64Array(data.length)
  const [mean, variance, inverse] = [new Float64Array(g.count), new Float64Array(g.count), new Float64Array(g.count)]
  for (let i = 0; i < g.count; i++) {
    const own = Float64Array.from({ length: g.size }, (_, j) => data[g.at(i, j)]!)
    const mu = m.div(sumOf(m, own, null), g.size)
    const apart = own.map(v => m.sub(v, mu))
    const v = m.onePass ? m.sub(m.div(sumOf(m, own, own), g.size), m.mul(mu, mu)) : m.div(sumOf(m, apart, apart), g.size)
    const s = how.outside ? m.add(m.sqrt(v), how.epsilon) : m.sqrt(m.add(v, how.epsilon))
    mean[i] = mu
    variance[i] = v
    inverse[i] = m.div(1, s)
    for (let j = 0; j < g.size; j++) {
      const e = g.at(i, j)
      const factor = m.onePass ? m.div(scale(e), s) : 0
      y[e] = m.onePass ? m.add(m.mul(own[j]!, factor), m.sub(bias(e), m.mul(mu, factor))) : m.add(m.mul(m.div(apart[j]!, s), scale(e)), bias(e))
    }
  }
  return { y: simulated(x.dtype, x.shape, y), mean, variance, inverse }
}

// ── Drawing ─────────────────────────────────────────────────────────────────────────────────────────────────────────

export const imageFields = {
  rank: int(0, 4), // spatial axes: 2, 2, 1, 3, 0
  batch: int(0, 7), // 1 mostly, up to 3
  /** 0: few channels; 1: many channels, small images. A trial stays below a millisecond. */
  spread: int(0, 1),
  channels: int(0, CHANNELS.length - 1),
  size: axes(0, SIZES.length - 1),
}
type RawImage = { [K in keyof typeof imageFields]: (typeof imageFields)[K] extends { kind: 'int' } ? number : number[] }
/** N, C, spatial; `rank` limits the spatial axes from below and above. */
export function imageShape(raw: RawImage, [least, most]: readonly [number, number] = [0, 3]): number[] {
  const rank = Math.min(most, Math.max(least, pick([2, 2, 1, 3, 0], raw.rank)))
  const top = raw.spread ? [17, 5, 3][rank - 1]! : [65, 17, 8][rank - 1]!
  const spatial = raw.size.slice(0, rank).map(i => Math.min(pick(SIZES, i), top))
  const channels = Math.min(pick(CHANNELS, raw.channels), raw.spread || rank === 0 ? 33 : 5)
  return [raw.batch > 6 ? 3 : raw.batch > 4 ? 2 : 1, channels, ...spatial]
}
/** float32 values that models use, plainest first. */
export const EPSILONS = [1e-5, 1e-3, 0.1, 1e-7, 1, 0].map(Math.fround)
export const ones = (shape: Shape, value = 1): TensorSpec => ({ dtype: 'float32', shape, recipe: { kind: 'constant', value } })
export const isConstant = (s: TensorSpec | null | undefined, value: number): boolean => s?.recipe.kind === 'constant' && s.recipe.value === value
/** The numbers of a vector as factors of elements: `index` says which one an element has. */
export const vector = (t: Real | null | undefined, fallback: number, index: (e: number) => number): ((e: number) => number) =>
  t ? e => t.data[index(e)]! : () => fallback
/** Factor and summand; `affine` 1: the factor is 1; 2: the summand is 0; 3: both. */
export function affineOf(
  field: { kinds: readonly string[] },
  raw: { affine: number; scale: RawData },
  shape: Shape,
  dtype: Real['dtype'],
): [TensorSpec, TensorSpec] {
  const own = (at: number) => fillSpread(field, { ...raw.scale, at }, shape, dtype)
  return [raw.affine & 1 ? { ...ones(shape), dtype } : own(raw.scale.at), raw.affine & 2 ? { ...ones(shape, 0), dtype } : own(raw.scale.at ^ 1)]
}

/** Shapes whose trailing axes are normalised: `axis` as an attribute, `from` counted from the front. */
export const rowFields = { rank: int(1, 5), sizes: ints(5, 0, 15), from: int(0, 4), negative: flag }
type RawRow = { rank: number; sizes: number[]; from: number; negative: number }
export function rowShape(raw: RawRow): { shape: number[]; axis: number; from: number } {
  const shape = shapeOf({ ...raw, empty: 0 }, { most: 1500 })
  const from = Math.max(0, shape.length - 1 - raw.from)
  return { shape, from, axis: raw.negative ? from : from - shape.length }
}
