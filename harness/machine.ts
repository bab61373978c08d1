/**
 * Simulated floating point: what honest hardware may do with the same formula. Operations are written once over a `Machine` (`Op.simulate`);
 * calibration runs them on every machine and holds the judge to the promise that none of them raises an alarm above its rung.
 */
import { random, toBfloat16, toHalf, toTf32 } from './tensor.ts'
import { type Arithmetic, ieee32, wgsl32 } from './types.ts'

export interface Machine {
  name: string
  /** What a backend with this arithmetic declares; the judge is asked with it. */
  arithmetic: Arithmetic
  /** The rung that an output may be explained by; `f32`: nothing lower. */
  rung: string
  /** Variance as E[x²] − E[x]². */
  onePass: boolean
  /** A value as it is read from memory (tf32, bf16, f16 inputs; flushed subnormals). */
  read: (v: number) => number
  /** A value rounded to the format. */
  fl: (v: number) => number
  add: (a: number, b: number) => number
  sub: (a: number, b: number) => number
  mul: (a: number, b: number) => number
  div: (a: number, b: number) => number
  sqrt: (v: number) => number
  exp: (v: number) => number
  log: (v: number) => number
  tanh: (v: number) => number
  erf: (v: number) => number
  pow: (a: number, b: number) => number
  /** init + Σ x·w in the machine's order and accumulator; without w: init + Σ x. `n`: how many of the values. */
  dot: (x: ArrayLike<number>, w: ArrayLike<number> | null, n?: number, init?: number) => number
}

const word = new Float32Array(1)
const bits = new Int32Array(word.buffer)
/** The neighbouring float32, `by` steps away from zero (negative: towards it). */
export function step(v: number, by: number): number {
  if (!Number.isFinite(v) || v === 0) return v
  word[0] = v
  bits[0] = bits[0]! + by
  return word[0]!
}
/** Toward zero. */
function chop(v: number): number {
  const f = Math.fround(v)
  return Math.abs(f) > Math.abs(v) ? step(f, -1) : f
}
const flushed = (v: number) => (Math.abs(v) < 2 ** -126 ? 0 : v)

/** erf to 2·10⁻¹⁶: series below 2.5, continued fraction above (Abramowitz & Stegun 7.1.6, 7.1.14). */
export function erf(x: number): number {
  const a = Math.abs(x)
  if (Number.isNaN(x)) return NaN
  if (a > 6) return Math.sign(x)
  if (a < 2.5) {
    let term = a
    let sum = a
    for (let n = 1; n < 120 && Math.abs(term) > 1e-18 * sum; n++) {
      term *= (2 * a * a) / (2 * n + 1)
      sum += term
    }
    return Math.sign(x) * sum * Math.exp(-a * a) * (2 / Math.sqrt(Math.PI))
  }
  let f = 0
  for (let n = 60; n >= 1; n--) f = n / 2 / (a + f)
  return Math.sign(x) * (1 - Math.exp(-a * a) / ((a + f) * Math.sqrt(Math.PI)))
}

type Order = 'forward' | 'reversed' | 'pairwise' | 'blocked'
interface Options {
  order?: Order
  fma?: boolean
  round?: (v: number) => number
  /** Accumulator's rounding, where it is another than `round`. */
  accumulate?: (v: number) => number
  read?: (v: number) => number
  reciprocal?: boolean
  onePass?: boolean
  arithmetic?: Arithmetic
  rung?: string
  /** Functions and quotients off by as much as the arithmetic allows. */
  rough?: boolean
}

function machine(name: string, o: Options = {}): Machine {
  const fl = o.round ?? Math.fround
  const acc = o.accumulate ?? fl
  const arithmetic = o.arithmetic ?? ieee32
  const next = random(name.length * 7919 + 17)
  /** Off by up to `ulps` units of u, either way, then rounded. */
  const off = (v: number, ulps: number) =>
    o.rough && Number.isFinite(v) ? fl(v * (1 + (next() * 2 ** -32 - 0.5) * 2 * 0.9 * ulps * arithmetic.u)) : fl(v)
  const mul = (a: number, b: number) => fl(a * b)
  const sum = (x: ArrayLike<number>, w: ArrayLike<number> | null, from: number, to: number, init: number): number => {
    let s = init
    if (!w) for (let i = from; i < to; i++) s = acc(s + x[i]!)
    else if (o.fma) for (let i = from; i < to; i++) s = acc(s + x[i]! * w[i]!)
    else for (let i = from; i < to; i++) s = acc(s + fl(x[i]! * w[i]!))
    return s
  }
  const pairs = (x: ArrayLike<number>, w: ArrayLike<number> | null, from: number, to: number): number =>
    to - from <= 4 ? sum(x, w, from, to, 0) : acc(pairs(x, w, from, (from + to) >> 1) + pairs(x, w, (from + to) >> 1, to))
  return {
    name,
    arithmetic,
    rung: o.rung ?? 'f32',
    onePass: !!o.onePass,
    read: o.read ?? (v => v),
    fl,
    add: (a, b) => fl(a + b),
    sub: (a, b) => fl(a - b),
    mul,
    div: (a, b) => (o.reciprocal ? mul(a, fl(1 / b)) : off(a / b, o.rough ? arithmetic.division - 1 : 0)),
    sqrt: v => off(Math.sqrt(v), o.rough ? arithmetic.sqrt - 1 : 0),
    exp: v => off(Math.exp(v), o.rough ? arithmetic.exp[0] + arithmetic.exp[1] * Math.abs(v) - 1 : 0),
    log: v => off(Math.log(v), o.rough ? arithmetic.log[0] - 1 : 0),
    tanh: v => off(Math.tanh(v), o.rough ? Math.max(0, arithmetic.tanh[0] - 1) : 0),
    erf: v => fl(erf(v)),
    pow: (a, b) => fl(a ** b),
    dot(x, w, n = x.length, init = 0) {
      switch (o.order) {
        case 'reversed': {
          let s = 0
          for (let i = n - 1; i >= 0; i--) s = acc(s + (w ? fl(x[i]! * w[i]!) : x[i]!))
          return acc(s + init)
        }
        case 'pairwise':
          return acc(pairs(x, w, 0, n) + init)
        case 'blocked': {
          let s = init
          for (let i = 0; i < n; i += 8) s = acc(s + sum(x, w, i, Math.min(n, i + 8), 0))
          return s
        }
        default:
          return sum(x, w, 0, n, init)
      }
    },
  }
}

const shader = { ...wgsl32, flushesSubnormals: true }
export const HONEST: readonly Machine[] = [
  machine('f32'),
  machine('f32-reversed', { order: 'reversed' }),
  machine('f32-pairwise', { order: 'pairwise' }),
  machine('f32-blocked', { order: 'blocked' }),
  machine('f32-fma', { fma: true }),
  machine('f32-reciprocal', { reciprocal: true }),
  machine('f32-one-pass', { onePass: true }),
  machine('f32-functions', { rough: true }),
  machine('f32-flush', { round: v => flushed(Math.fround(v)), read: flushed, arithmetic: { ...ieee32, flushesSubnormals: true } }),
  machine('shader-chop', { round: v => flushed(chop(v)), read: flushed, arithmetic: shader }),
  machine('shader-rough', { rough: true, order: 'pairwise', fma: true, arithmetic: shader }),
  machine('tf32', { read: v => toTf32(v), rung: 'tf32' }),
  machine('bf16', { read: toBfloat16, rung: 'bf16' }),
  machine('f16-inputs', { read: toHalf, rung: 'f16' }),
  machine('f16-accumulation', { accumulate: toHalf, rung: 'f16-accumulation' }),
]
