/** What op files may use besides the types: fields of generators, data, geometry of windows, small helpers of lowerings. No runtime is imported here. */
import { emptyData, permute, realise, sizeOf, toLast, toSecond } from './tensor.ts'
import type {
  Arithmetic,
  Attributes,
  Drawn,
  DType,
  Field,
  Fields,
  Generator,
  Op,
  Open,
  RawData,
  Real,
  Recipe,
  Shape,
  Tensor,
  TensorSpec,
} from './types.ts'

export type { Machine } from './machine.ts'
export * from './tensor.ts'
export type {
  Arithmetic,
  Attributes,
  Case,
  Drawn,
  DType,
  Expected,
  GivenNode,
  Lowering,
  OnnxForm,
  OnnxNode,
  Op,
  Open,
  RawData,
  Real,
  Recipe,
  Refutation,
  Shape,
  Tensor,
  TensorSpec,
  TfjsForm,
} from './types.ts'

export const defineOp = <A extends Attributes>(op: Op<A>): Op<A> => op
export const generator = <F extends Fields, A extends Attributes>(fields: F, build: Generator<F, A>['build']): Generator<F, A> => ({ fields, build })

// ── Fields ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export const int = (min: number, max: number) => ({ kind: 'int', min, max }) as const satisfies Field
export const flag = int(0, 1)
/** `count` small integers, each shrunk by itself. */
export const ints = (count: number, min: number, max: number) => ({ kind: 'ints', min, max, count }) as const satisfies Field
/** Three small integers, one for each spatial axis; lower ranks use the first ones. */
export const axes = (min: number, max: number) => ints(3, min, max)

/** Kinds of data, plainest first. The names are the report's. */
export const DATA = [
  'impulse',
  'integers',
  'ramp',
  'normal',
  'small',
  'large',
  'cancel',
  'negative',
  'tiny',
  'nan',
  'inf',
  '-inf',
  '-0',
  'subnormal',
  'largest',
] as const
export type DataKind = (typeof DATA)[number]
/** All kinds; ops that say nothing about non-finite numbers leave those out. */
export const data = (...kinds: DataKind[]) => ({ kind: 'data', kinds: kinds.length ? kinds : DATA }) as const satisfies Field
export const FINITE: readonly DataKind[] = ['impulse', 'integers', 'ramp', 'normal', 'small', 'large', 'cancel', 'negative', 'tiny']

const STEPS = 0x10000
/** A data field's value → recipe for a shape; monotone in `at`, so that smaller raw values are simpler tensors. */
export function fill(
  field: { kinds: readonly string[] },
  { kind, at }: RawData,
  shape: Shape,
  dtype: DType = 'float32',
  constant = false,
): TensorSpec {
  const name = field.kinds[Math.min(kind, field.kinds.length - 1)] as DataKind
  const recipe = recipeOf(name, at, sizeOf(shape), dtype)
  return constant ? { dtype, shape, recipe, constant } : { dtype, shape, recipe }
}
function recipeOf(name: DataKind, at: number, size: number, dtype: DType): Recipe {
  const unsigned = dtype === 'uint8' || dtype === 'bool'
  const integral = dtype !== 'float32' && dtype !== 'float16' && dtype !== 'float64'
  const impulse: Recipe = { kind: 'impulse', at: Math.floor((at * size) / STEPS), value: 1 }
  const integers: Recipe = { kind: 'integers', seed: at, low: unsigned ? 0 : -8, high: dtype === 'bool' ? 1 : 8 }
  if (integral && dtype === 'bool') return name === 'impulse' ? impulse : integers
  switch (name) {
    case 'impulse':
      return impulse
    case 'integers':
      return integers
    case 'ramp':
      return { kind: 'ramp', start: 1, step: 1 }
    case 'negative':
      return unsigned ? { kind: 'integers', seed: at, low: 100, high: 250 } : { kind: 'integers', seed: at, low: -9, high: -1 }
    case 'normal':
      return integral
        ? { kind: 'integers', seed: at, low: unsigned ? 0 : -128, high: dtype === 'uint8' ? 255 : 127 }
        : { kind: 'normal', seed: at, scale: 1 }
    default:
      if (integral) return { kind: 'integers', seed: at, low: unsigned ? 0 : -100, high: 100 }
  }
  switch (name) {
    case 'small':
      return { kind: 'normal', seed: at, scale: 1e-3 }
    case 'large':
      return { kind: 'normal', seed: at, scale: dtype === 'float16' ? 64 : 1e4 }
    case 'cancel':
      return { kind: 'cancel', seed: at, scale: dtype === 'float16' ? 16 : 1000 }
    case 'tiny':
      return { kind: 'normal', seed: at, scale: dtype === 'float16' ? 2 ** -12 : 1e-30 }
    case 'nan':
      return { kind: 'special', seed: at, value: 'NaN' }
    case 'inf':
      return { kind: 'special', seed: at, value: 'Infinity' }
    case '-inf':
      return { kind: 'special', seed: at, value: '-Infinity' }
    case '-0':
      return { kind: 'special', seed: at, value: '-0' }
    case 'subnormal':
      return { kind: 'special', seed: at, value: dtype === 'float16' ? 2 ** -20 : 2 ** -140 }
    case 'largest':
      return { kind: 'special', seed: at, value: dtype === 'float16' ? 65504 : -3.4028234663852886e38 }
    default:
      return name satisfies never
  }
}
/** Numbers written out, for small parameters (boxes, thresholds, indices). */
export const values = (dtype: DType, shape: Shape, numbers: readonly number[], constant = false): TensorSpec => ({
  dtype,
  shape,
  recipe: { kind: 'values', values: numbers },
  ...(constant ? { constant } : {}),
})

/** Pick by index; total for any non-negative integer. */
export const pick = <T>(list: readonly T[], index: number): T => list[Math.min(index, list.length - 1)]!

// ── Bounds ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** γ_k = k·u/(1 − k·u) (Higham 2002, Lemma 3.1); beyond k·u = ½ nothing is promised. */
export const gamma = (k: number, u: number): number => (k * u < 0.5 ? (k * u) / (1 - k * u) : Infinity)
/** Distance from |v| to the next larger number of the dtype. */
export function ulp(v: number, dtype: DType = 'float32'): number {
  const [digits, least] = dtype === 'float16' ? [10, -24] : dtype === 'float64' ? [52, -1074] : [23, -149]
  const a = Math.abs(v)
  if (!(a > 0)) return 2 ** least
  return 2 ** Math.max(least, Math.floor(Math.log2(a)) - digits)
}
/** Smallest spacing (2⁻¹⁴⁹), or the smallest normal number where results are flushed. */
export const eta = (a: Arithmetic): number => (a.flushesSubnormals ? 2 ** -126 : 2 ** -149)
export const LARGEST = 3.4028234663852886e38
/** Absolute error of exp, log, sqrt, tanh at x, as the runtime's specification grants it. */
export const expError = (a: Arithmetic, x: number): number => (a.exp[0] + a.exp[1] * Math.abs(x)) * a.u * Math.exp(x) + eta(a)
export const logError = (a: Arithmetic, x: number): number =>
  Math.max(a.log[0] * a.u * Math.abs(Math.log(x)), x >= 0.5 && x <= 2 ? a.log[1] : 0) + eta(a)
export const sqrtError = (a: Arithmetic, x: number): number => a.sqrt * a.u * Math.sqrt(x)
export const tanhError = (a: Arithmetic, x: number): number => Math.max(a.tanh[0] * a.u * Math.abs(Math.tanh(x)), a.tanh[1]) + eta(a)

export const open = (question: string, at: Uint8Array, answers?: Record<string, Float64Array>): readonly Open[] =>
  at.some(v => v) ? [{ question, at, answers }] : []

// ── Windows (Conv, pools) ───────────────────────────────────────────────────────────────────────────────────────────

export interface Window {
  kernel_shape: readonly number[]
  strides: readonly number[]
  /** Begin of every axis, then end of every axis. */
  pads: readonly number[]
  dilations: readonly number[]
}
/** Extent of a dilated kernel. */
export const effective = (k: number, d: number): number => (k - 1) * d + 1

/**
 * ONNX auto_pad (Conv-11, pools): VALID = none; SAME_*: out = ⌈in/s⌉, total = (out − 1)·s + eff − in, the odd unit at the end for SAME_UPPER, at the
 * beginning for SAME_LOWER. The text has no rule for a negative total (stride > kernel); TensorFlow clamps it to 0.
 */
export function autoPads(
  mode: string | undefined,
  sizes: readonly number[],
  w: Omit<Window, 'pads'>,
  pads: readonly number[],
): { pads: number[]; negative: boolean } {
  const rank = sizes.length
  if (mode === undefined || mode === 'NOTSET') return { pads: [...pads], negative: false }
  if (mode === 'VALID') return { pads: new Array(2 * rank).fill(0), negative: false }
  let negative = false
  const out = new Array<number>(2 * rank)
  for (let i = 0; i < rank; i++) {
    const need = (Math.ceil(sizes[i]! / w.strides[i]!) - 1) * w.strides[i]! + effective(w.kernel_shape[i]!, w.dilations[i]!) - sizes[i]!
    if (need < 0) negative = true
    const total = Math.max(0, need)
    const less = Math.floor(total / 2)
    out[i] = mode === 'SAME_LOWER' ? total - less : less
    out[i + rank] = total - out[i]!
  }
  return { pads: out, negative }
}
/** Spatial output sizes, rounded down. */
export const windowCounts = (sizes: readonly number[], w: Window): number[] =>
  sizes.map((n, i) => Math.floor((n + w.pads[i]! + w.pads[i + sizes.length]! - effective(w.kernel_shape[i]!, w.dilations[i]!)) / w.strides[i]!) + 1)

// ── Attributes ──────────────────────────────────────────────────────────────────────────────────────────────────────

const same = (a: unknown, b: unknown) => a === b || (Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((v, i) => v === b[i]))
/** The attributes that differ from the operator's defaults: the form that leaves out what it can. */
export const withoutDefaults = (attributes: Attributes, defaults: Attributes): Attributes =>
  Object.fromEntries(Object.entries(attributes).filter(([name, v]) => !same(v, defaults[name])))
export const without = (attributes: Attributes, ...names: string[]): Attributes =>
  Object.fromEntries(Object.entries(attributes).filter(([name]) => !names.includes(name)))

// ── TF.js lowerings ─────────────────────────────────────────────────────────────────────────────────────────────────

/** N, C, spatial → N, spatial, C on the host (input 0), and the first output back. Other inputs by their own permutations. */
export const channelsLast = (rank: number, call: (tf: any, t: readonly any[]) => any, ...others: (readonly number[] | null)[]) => ({
  prepare: (t: readonly (Tensor | null)[]) =>
    t.map((x, i) => (x === null ? null : i === 0 ? permute(x, toLast(rank)) : others[i - 1] ? permute(x, others[i - 1]!) : x)),
  call: (tf: any, t: readonly any[]) => [call(tf, t)],
  finish: ([y]: readonly Tensor[]) => [permute(y!, toSecond(y!.shape.length))],
})
/** The call alone, tensors as they are. */
export const plainly = (call: (tf: any, t: readonly any[]) => any) => ({ call: (tf: any, t: readonly any[]) => [call(tf, t)] })

/** No product of an element and 0 is anything but 0: no infinities, no NaN, and sums that stay far from both. */
export const tame = (s: TensorSpec): boolean =>
  !(s.recipe.kind === 'special' || s.recipe.kind === 'values') || realise(s).data.every(v => Math.abs(Number(v)) < 1e30)

/** A reference tensor of this shape, zeros. */
export const zeros = (dtype: DType, shape: Shape): Real => ({ dtype, shape, data: new Float64Array(sizeOf(shape)) })
export const drawn = <A extends Attributes>(attributes: A, ...inputs: (TensorSpec | null)[]): Drawn<A> => ({ attributes, inputs })
export { emptyData }
