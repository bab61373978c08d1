/** What element-wise operations, reductions and products share: shapes of any rank, broadcasting, data that reaches every branch of a function, results with an allowed error. */

import type { Machine } from './machine.ts'
import { fill, int, ints, LARGEST, open } from './op.ts'
import { sizeOf, stridesOf, toHalf } from './tensor.ts'
import type { Arithmetic, DType, Expected, Field, Fields, Open, RawData, RawOf, Real, Shape, TensorSpec } from './types.ts'

// ── Shapes ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Sizes of an axis, plainest first; they cross 4, 8, 16 and 32. */
export const SIZES = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65] as const
export const shapeFields = { rank: int(0, 6), sizes: ints(6, 0, SIZES.length - 1), empty: int(0, 23) } satisfies Fields
export type RawShape = Pick<RawOf<typeof shapeFields>, 'rank' | 'sizes' | 'empty'>
/** A shape of `rank` axes with at most `most` elements; every 24th may have an axis of length 0 (`empty`). */
export function shapeOf(raw: RawShape, { least = 0, rank = 6, most = 1500, empty = false } = {}): number[] {
  let left = most
  const n = Math.min(rank, Math.max(least, raw.rank))
  return Array.from({ length: n }, (_, i) => {
    if (empty && raw.empty === 23 && i === raw.sizes[0]! % n) return 0
    const size = Math.max(1, Math.min(SIZES[raw.sizes[i]!]!, left))
    left = Math.floor(left / size)
    return size
  })
}

/** The shape that shapes have in common: aligned at the right, an axis of length 1 repeats. (NumPy; ONNX Broadcasting) */
export function broadcast(...shapes: Shape[]): number[] {
  const rank = Math.max(0, ...shapes.map(s => s.length))
  return Array.from({ length: rank }, (_, i) => {
    const sizes = shapes.map(s => s[i - (rank - s.length)] ?? 1)
    return sizes.find(n => n !== 1) ?? 1
  })
}
/** For every element of `to`, the element of `from` that it is made of. */
export function sources(from: Shape, to: Shape): Int32Array {
  const skip = to.length - from.length
  const step = stridesOf(from).map((s, i) => (from[i] === 1 && to[i + skip] !== 1 ? 0 : s))
  const out = new Int32Array(sizeOf(to))
  const at = new Array<number>(to.length).fill(0)
  for (let i = 0, offset = 0; i < out.length; i++) {
    out[i] = offset
    for (let d = to.length - 1; d >= 0; d--) {
      offset += step[d - skip] ?? 0
      if (++at[d]! < to[d]!) break
      offset -= (step[d - skip] ?? 0) * to[d]!
      at[d] = 0
    }
  }
  return out
}
/** Elements grouped by what remains when `axes` are taken away: kept shape, number of elements in each group, index of element j of group i. */
export function groups(
  shape: Shape,
  axes: readonly number[],
): { kept: number[]; size: number; count: number; at: (group: number, j: number) => number } {
  const strides = stridesOf(shape)
  const pick = (list: readonly number[]) => ({ shape: list.map(d => shape[d]!), step: list.map(d => strides[d]!) })
  const offsets = ({ shape: s, step }: ReturnType<typeof pick>) => {
    let out = [0]
    s.forEach((n, d) => {
      out = out.flatMap(o => Array.from({ length: n }, (_, i) => o + i * step[d]!))
    })
    return out
  }
  const others = shape.map((_, d) => d).filter(d => !axes.includes(d))
  const [outer, inner] = [offsets(pick(others)), offsets(pick([...axes].sort((a, b) => a - b)))]
  return { kept: others.map(d => shape[d]!), size: inner.length, count: outer.length, at: (g, j) => outer[g]! + inner[j]! }
}
/** Axes counted from the end as axes counted from the front. */
export const fromFront = (axes: readonly number[], rank: number): number[] => axes.map(a => (a < 0 ? a + rank : a))
export const moveLast = (rank: number, axis: number): number[] => [...Array.from({ length: rank }, (_, d) => d).filter(d => d !== axis), axis]
/** The permutation that undoes `perm`. */
export const inverse = (perm: readonly number[]): number[] => perm.map((_, i) => perm.indexOf(i))

// ── Data ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Where functions turn, saturate, overflow or lose their last digit. */
const EDGES = [
  0, 0.5, -0.5, 1, -1, 1.5, -1.5, 2.5, -2.5, 3, -3, 6, -6, 9, -9, 1e-4, -1e-4, 17, -17, 40, -40, 87, -87, 88.5, -103, 104, 1e-20, -1e-20, 8388609,
  1e10,
]
/** Kinds of their own, `span` and `positive` (uniform, wider with `at`), `edges` (listed above), besides those of `DATA`. */
export const spread = (...kinds: string[]) => ({ kind: 'data', kinds }) as const satisfies Field
export function fillSpread(field: { kinds: readonly string[] }, raw: RawData, shape: Shape, dtype: DType = 'float32', constant = false): TensorSpec {
  const name = field.kinds[Math.min(raw.kind, field.kinds.length - 1)]!
  if (!isFloat(dtype) && ['span', 'positive', 'edges'].includes(name)) return fill({ kinds: ['normal'] }, raw, shape, dtype, constant)
  const more = constant ? { constant } : {}
  const reach = 2 ** ((raw.at % 12) - 4)
  if (name === 'span') return { dtype, shape, recipe: { kind: 'uniform', seed: raw.at, low: -reach, high: reach }, ...more }
  if (name === 'positive') return { dtype, shape, recipe: { kind: 'uniform', seed: raw.at, low: reach / 8, high: reach }, ...more }
  if (name === 'edges') return { dtype, shape, recipe: { kind: 'values', values: EDGES.slice(raw.at % EDGES.length).concat(EDGES) }, ...more }
  return fill(field, raw, shape, dtype, constant)
}

// ── Results ─────────────────────────────────────────────────────────────────────────────────────────────────────────

export const isFloat = (dtype: DType): boolean => dtype.startsWith('float')
/** Largest finite value. */
export const largest = (dtype: DType): number => (dtype === 'float16' ? 65504 : dtype === 'float64' ? Number.MAX_VALUE : LARGEST)
/** Half of the least spacing, or the smallest normal number where results are flushed: what every result may lose. */
export const least = (a: Arithmetic, dtype: DType): number =>
  dtype === 'float16' ? (a.flushesSubnormals ? 2 ** -14 : 2 ** -25) : dtype === 'float64' ? 2 ** -1074 : a.flushesSubnormals ? 2 ** -126 : 2 ** -150
const smallest = (dtype: DType) => (dtype === 'float16' ? 2 ** -14 : 2 ** -126)
/** Exponents and logarithms as the runtime grants them, relative and in the result. */
export const expRelative = (a: Arithmetic, x: number): number => (a.exp[0] + a.exp[1] * Math.abs(x)) * a.u

export interface Function1 {
  /** The definition in float64. */
  f: (x: number) => number
  /** Allowed absolute error at x, r = f(x); rounding of the result included, its underflow not. */
  error: (a: Arithmetic, x: number, r: number) => number
}
/**
 * Values with an allowed error. Left out where the result may overflow; a result that is not finite though the inputs are (1/0, log of a negative number) is open:
 * shaders need not know them. Inputs that may be flushed to zero count as zero, too.
 */
export function within(
  dtype: DType,
  shape: Shape,
  value: Float64Array,
  error: (a: Arithmetic, i: number) => number,
  because: string,
  more: { open?: readonly Open[]; finiteInputs?: (i: number) => boolean; flushed?: (i: number) => number | null } = {},
): Expected {
  const undefinedAt = new Uint8Array(value.length)
  if (more.finiteInputs) for (let i = 0; i < value.length; i++) if (!Number.isFinite(value[i]!) && more.finiteInputs(i)) undefinedAt[i] = 1
  const limit = largest(dtype)
  const allowed = (a: Arithmetic) =>
    value.map((v, i) => {
      if (!Number.isFinite(v)) return 0
      let e = error(a, i)
      const other = a.flushesSubnormals ? (more.flushed?.(i) ?? null) : null
      if (other !== null) e += Math.abs(other - v)
      if (!(Math.abs(v) + e < limit)) return Number.NaN
      return e === 0 ? 0 : e + least(a, dtype) + (dtype === 'float64' ? 2 ** -51 * Math.abs(v) : 0)
    })
  return {
    rule: 'error',
    dtype,
    shape,
    value,
    allowed,
    because,
    open: [...(more.open ?? []), ...open('a result that is not finite', undefinedAt, { 'IEEE 754': value })],
  }
}
/** A function of one variable on every element. */
export function mapped({ f, error }: Function1, x: Real, because: string, unclear: readonly Open[] = []): Expected {
  const zero = f(0)
  return within(
    x.dtype,
    x.shape,
    x.data.map(f),
    (a, i) => (Number.isFinite(x.data[i]!) ? error(a, x.data[i]!, f(x.data[i]!)) : a.u * Math.abs(f(x.data[i]!))),
    because,
    {
      open: unclear,
      finiteInputs: i => Number.isFinite(x.data[i]!),
      flushed: i => (x.data[i] !== 0 && Math.abs(x.data[i]!) < smallest(x.dtype) ? zero : null),
    },
  )
}
/** Tensors as a simulated machine reads them; a lower precision is simulated only where its range holds all values, and not below float32. */
export function readBy(m: Machine, ...xs: Real[]): Float64Array[] {
  const read = xs.map(x => x.data.map(m.read))
  const lost = (v: number, was: number) => Number.isFinite(was) && (!Number.isFinite(v) || (v === 0 && was !== 0))
  const unfit = m.rung !== 'f32' && xs.some((x, j) => x.dtype !== 'float32' || read[j]!.some((v, i) => lost(v, x.data[i]!)))
  return unfit ? xs.map(x => x.data) : read
}
/** Whether the ladder tries a half-precision accumulator on these inputs (NUMERICS §4: none at or beyond 65520). */
export const halvesFit = (...xs: readonly (Real | null)[]): 'dot' | 'error' =>
  xs.reduce((s, x) => s + (x ? x.data.reduce((m, v) => Math.max(m, Math.abs(v)), 0) : 0), 0) < 65520 ? 'dot' : 'error'
/** Σ x·w (without w: Σ x) on a simulated machine; a half-precision accumulator only where the rule knows that rung (`dot`) and its range holds the sum. */
export function summed(m: Machine, x: Float64Array, w: Float64Array | null, rule: 'dot' | 'error'): number {
  if (m.rung !== 'f16-accumulation') return m.dot(x, w)
  const size = x.reduce((s, v, i) => s + Math.abs(w ? v * w[i]! : v), 0)
  if (rule === 'dot' && size < 30000) return m.dot(x, w)
  return x.reduce((s, v, i) => m.add(s, w ? m.mul(v, w[i]!) : v), 0)
}
/** Values of a simulated machine as a tensor of this dtype. */
export const simulated = (dtype: DType, shape: Shape, data: Float64Array): Real => ({
  dtype,
  shape,
  data: dtype === 'float16' ? data.map(toHalf) : data,
})

/** Integer results: exact as long as they fit; what lies beyond is left open by ONNX, two's complement is the common answer. */
export function integers(dtype: DType, shape: Shape, value: Float64Array, more: readonly Open[] = []): Expected {
  const [bits, signed] = { int8: [8, 1], uint8: [8, 0], int32: [32, 1], int64: [53, 1], bool: [53, 0] }[dtype as string] ?? [53, 1]
  const [low, span] = [signed ? -(2 ** (bits! - 1)) : 0, 2 ** bits!]
  const over = new Uint8Array(value.length)
  const wrapped = value.map((v, i) => {
    if (v >= low && v < low + span) return v
    over[i] = 1
    return v - Math.floor((v - low) / span) * span
  })
  return { rule: 'exact', dtype, shape, value: wrapped, open: [...more, ...open('integer overflow', over, { wraps: wrapped })] }
}
