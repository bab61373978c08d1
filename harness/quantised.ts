/**
 * 8-bit integers that stand for reals: real = (integer − zero point)·scale. What quantisation and its arithmetic share. Integer tensors of a case are int32, with the 8-bit
 * type as an attribute (TF.js has no such tensors); zero points are attributes, an empty list where the input is left out.
 */
import { type Machine, numbers, type Real, roundEven, type Shape, type TensorSpec, tensor } from './op.ts'
import type { Arithmetic, Expected, GivenNode, OnnxNode, Open, Tensor } from './types.ts'

export const RANGE: Readonly<Record<string, readonly [number, number]>> = { uint8: [0, 255], int8: [-128, 127], int32: [-(2 ** 31), 2 ** 31 - 1] }
export const BYTES = ['uint8', 'int8'] as const
/** Scales, plainest first: powers of two (quotients are exact, ties are certain), then others. */
export const SCALES = [1, 2, 0.5, 0.25, 0.1, 3, 0.7, 1 / 3, 0.0123, 12.5].map(Math.fround)
export const powerOfTwo = (s: number): boolean => s > 0 && Number.isInteger(Math.log2(s))

/** An integer tensor of a case as the 8-bit type that the runtime is given. */
export const typed = (t: Tensor, dtype: string): Tensor => tensor(dtype as Tensor['dtype'], t.shape, numbers(t))
/** A zero point as a tensor of its type, a scalar where there is one for all; null where it is left out. */
export const zeroPoint = (zero: readonly number[], dtype: string, shape: Shape = zero.length === 1 ? [] : [zero.length]): Tensor | null =>
  zero.length ? tensor(dtype as Tensor['dtype'], shape, zero) : null
/** Integers of the whole range of a type; `kind`: a narrow range, all, one end. */
export function integersOf(dtype: string, shape: Shape, kind: number, seed: number): TensorSpec {
  const [low, high] = RANGE[dtype]!
  const [from, to] = [
    [Math.max(low, -8), 8],
    [low, high],
    [high - 3, high],
    [low, low + 3],
  ][kind]! as [number, number]
  return { dtype: 'int32', shape, recipe: { kind: 'integers', seed, low: from, high: to } }
}
/** An 8-bit input of a file as an int32 tensor with the same numbers. */
export const widened = (t: TensorSpec): TensorSpec => ({ dtype: 'int32', shape: t.shape, recipe: t.recipe })
/** Values of a zero point in a file. */
export const zeroOf = (n: GivenNode, i: number): number[] => n.values(i) ?? []
/** Inputs as a node names them: trailing absent ones are left out. */
export const named = (op: string, names: readonly (string | null)[], attributes: OnnxNode['attributes'] = {}, out = 'y0'): OnnxNode => ({
  op,
  in: names.slice(0, names.findLastIndex(n => n !== null) + 1).map(n => n ?? ''),
  out: [out],
  attributes,
})

export const saturate = (v: number, dtype: string): number => Math.min(RANGE[dtype]![1], Math.max(RANGE[dtype]![0], v))
/** sat(rne(v) + zero point). */
export const quantise = (v: number, zero: number, dtype: string): number => saturate(roundEven(v) + zero, dtype)
interface Rounding {
  dtype: 'uint8' | 'int8'
  shape: Shape
  /** Reals in units of the result, before rounding. */
  value: Float64Array
  zero: (element: number) => number
  /** How far honest arithmetic may move a value before it is rounded. */
  margin: (a: Arithmetic, element: number) => number
  /** Wider margins that are honest, too. */
  rungs?: Readonly<Record<string, Rounding['margin']>>
  because: string
  open?: readonly Open[]
}
/** Rounded to even and saturated; one step is allowed where a value within its margin lies beyond a tie. (NUMERICS §6) */
export function rounding({ dtype, shape, value, zero, margin, rungs, because, open }: Rounding): Expected {
  const result = value.map((v, e) => quantise(v, zero(e), dtype))
  const allowed = (by: Rounding['margin']) => (a: Arithmetic) =>
    result.map((r, e) => {
      const m = by(a, e)
      const v = value[e]!
      if (!(m > 0) || !Number.isFinite(v)) return 0
      // a tie itself lies on both sides
      return Math.max(Math.abs(quantise(v + m, zero(e), dtype) - r), Math.abs(quantise(v - m, zero(e), dtype) - r))
    })
  const more = Object.entries(rungs ?? {}).map(([name, by]) => ({ name, allowed: allowed(by) }))
  return { rule: 'error', dtype, shape, value: result, allowed: allowed(margin), because, open, ...(more.length ? { rungs: more } : {}) }
}
/** What rounding leaves of a quotient by a power of two on IEEE hosts: nothing. */
export const exactScales = (a: Arithmetic, ...scales: readonly number[]): boolean => a.division <= 2 && scales.every(powerOfTwo)
/** A quotient on a simulated machine; by a power of two it is a product with the reciprocal, which rounds nothing. */
export const quotient = (m: Pick<Machine, 'mul' | 'div'>, v: number, s: number): number => (powerOfTwo(s) ? m.mul(v, 1 / s) : m.div(v, s))
/** Scale and zero point of every element: one for all, one for every index of an axis, or one for every block of an axis. */
export function entries(shape: Shape, of: Shape, axis: number, block: number): (element: number) => number {
  if (of.length === 0 || (!block && of.length === 1 && of[0] === 1)) return () => 0
  const d = axis < 0 ? axis + shape.length : axis
  const inner = shape.slice(d + 1).reduce((a, b) => a * b, 1)
  const n = shape[d]!
  if (!block) return e => Math.floor(e / inner) % n
  const blocks = of[d]!
  return e => Math.floor(e / inner / n) * blocks * inner + Math.floor((Math.floor(e / inner) % n) / block) * inner + (e % inner)
}
export const asReal = (t: Real, dtype: Real['dtype'], data: Float64Array): Real => ({ dtype, shape: t.shape, data })
