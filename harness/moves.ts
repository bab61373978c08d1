/** What operations share that only move data (pad, slice, gather, transpose …): shapes, dtypes, results as indices into the input, and the forms of an ONNX node with parameter inputs. */

import { int, ints, pick, sizeOf, stridesOf, tensor, toLast } from './op.ts'
import type { Attributes, DType, Expected, Fields, GivenNode, OnnxForm, OnnxNode, Open, RawOf, Real, Shape, Tensor } from './types.ts'

// ── Shapes and dtypes ───────────────────────────────────────────────────────────────────────────────────────────────

/** What both dialects have, float32 most often, then what only ONNX has. */
const TYPES = ['float32', 'float32', 'float32', 'float32', 'int32', 'bool', 'int64', 'uint8', 'int8', 'float16', 'float64'] as const
const COMMON = 6
/** `own` 0 … 2: common ground of the dialects. */
export const moveFields = {
  own: int(0, 4),
  rank: int(0, 7),
  sizes: ints(6, 0, 15),
  empty: int(0, 19),
  type: int(0, TYPES.length - 1),
} satisfies Fields
type RawMove = RawOf<typeof moveFields>
export const typeOf = (raw: Pick<RawMove, 'own' | 'type'>): DType => (raw.own < 3 && raw.type >= COMMON ? 'float32' : pick(TYPES, raw.type))

/** Images most often. */
const RANKS = [0, 1, 2, 3, 4, 4, 5, 6]
const LONG = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65]
/** Longest axes by rank: sizes cross 4, 8, 16 and 32 where the rank leaves room. */
const LONGEST = [[], [65], [65, 33], [9, 17, 33], [3, 17, 9, 9], [3, 4, 5, 5, 4], [2, 3, 4, 3, 4, 3]]
/** Sizes of `rank` axes with at most `most` elements; one in twenty may have an axis of length 0 (`empty`). */
export function shapeIn(
  raw: Pick<RawMove, 'rank' | 'sizes' | 'empty'>,
  o: { least?: number; rank?: number; most?: number; empty?: boolean } = {},
): number[] {
  const n = Math.min(o.rank ?? 6, Math.max(o.least ?? 0, pick(RANKS, raw.rank)))
  let left = o.most ?? 1500
  return Array.from({ length: n }, (_, i) => {
    if (o.empty && raw.empty === 19 && i === raw.sizes[0]! % n) return 0
    const longest = LONGEST[n]![i]!
    const size = Math.max(1, Math.min(left, longest > 32 ? Math.min(longest, LONG[raw.sizes[i]!]!) : 1 + Math.floor((raw.sizes[i]! * longest) / 16)))
    left = Math.floor(left / size)
    return size
  })
}
/** An axis of `rank` axes for any number; counted from the end where `back` is odd. */
export const axisOf = (rank: number, n: number, back = 0): number => (n % rank) - (back % 2 ? rank : 0)
export const front = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis)
/** `count` different axes in an order that `n` decides: 0 is ascending. */
export function someAxes(rank: number, count: number, n: number): number[] {
  const left = Array.from({ length: rank }, (_, i) => i)
  return Array.from({ length: Math.min(count, rank) }, () => {
    const at = n % left.length
    n = Math.floor(n / left.length)
    return left.splice(at, 1)[0]!
  })
}

// ── Results ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Element i of the result is element from[i] of x; −1: `fill`. */
export const moved = (x: Real, shape: Shape, from: ArrayLike<number>, fill = 0, open?: readonly Open[]): Expected => ({
  rule: 'exact',
  dtype: x.dtype,
  shape,
  value: Float64Array.from(from, i => (i < 0 ? fill : x.data[i]!)),
  ...(open?.length ? { open } : {}),
})
/** Axis by axis: position p[d] of the result comes from position axes[d][p[d]] of the input (−1: from nowhere). Row-major indices into the input. */
export function crossed(shape: Shape, axes: readonly ArrayLike<number>[]): Int32Array {
  const strides = stridesOf(shape)
  let out = Int32Array.of(0)
  axes.forEach((at, d) => {
    const next = new Int32Array(out.length * at.length)
    for (let i = 0, n = 0; i < out.length; i++)
      for (let j = 0; j < at.length; j++) next[n++] = out[i]! < 0 || at[j]! < 0 ? -1 : out[i]! + at[j]! * strides[d]!
    out = next
  })
  return out
}
export const range = (n: number, start = 0, step = 1): number[] => Array.from({ length: Math.max(0, n) }, (_, i) => start + i * step)
export const inverse = (perm: readonly number[]): number[] => perm.map((_, i) => perm.indexOf(i))

// ── ONNX ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const MOST = 2 ** 63
/** int64 values; ±2⁶³ is what files write as "to the end": the largest and the least int64. */
export const int64 = (v: readonly number[], shape: Shape = [v.length]): Tensor => ({
  dtype: 'int64',
  shape,
  data: BigInt64Array.from(v, n => (n >= MOST ? 2n ** 63n - 1n : n <= -MOST ? -(2n ** 63n) : BigInt(Math.trunc(n)))),
})
export const int32 = (v: readonly number[], shape: Shape = [v.length]): Tensor =>
  tensor(
    'int32',
    shape,
    v.map(n => Math.max(-(2 ** 31), Math.min(2 ** 31 - 1, n))),
  )
export const node = (op: string, input: string | readonly string[], out: string | readonly string[], attributes: Attributes = {}): OnnxNode => ({
  op,
  in: [input].flat(),
  out: [out].flat(),
  attributes,
})
export interface Said {
  opset: number
  op: string
  attributes?: Attributes
  /** How many inputs the case has; they come first. */
  given?: number
  /** Parameters that follow them; null is an input that is left out. */
  params?: readonly (Tensor | null)[]
  outputs?: readonly string[]
  /** Parameters are fed instead of being initializers. */
  fed?: boolean
  /** Case inputs that are initializers. */
  initializers?: readonly number[]
  /** Nodes around the operation: their input takes the place of x0, their output that of y0. */
  around?: { before: OnnxNode; after: OnnxNode }
}
/** One node in one form, as a path. */
export function say(path: string, s: Said): { path: string; form: OnnxForm } {
  const given = s.given ?? 1
  const params = s.params ?? []
  const last = params.findLastIndex(p => p !== null) + 1
  let next = given
  const names = params.slice(0, last).map((p, i) => (p === null ? '' : s.fed ? `x${next++}` : `p${i}`))
  const inputs = [...range(given).map(i => `x${i}`), ...names]
  const outputs = [...(s.outputs ?? ['y0'])]
  if (s.around) {
    inputs[0] = s.around.before.out[0]!
    outputs[0] = s.around.after.in[0]!
  }
  const core = node(s.op, inputs, outputs, s.attributes)
  const kept = params.filter(p => p !== null)
  return {
    path,
    form: {
      opset: s.opset,
      nodes: s.around ? [s.around.before, core, s.around.after] : [core],
      ...(s.fed ? { prepare: t => [...t, ...kept] } : { constants: Object.fromEntries(params.flatMap((p, i) => (p ? [[`p${i}`, p]] : []))) }),
      ...(s.initializers ? { initializers: s.initializers } : {}),
    },
  }
}
/** Transpose before and its inverse after, which ONNX Runtime moves through the operation: `at` says where an axis of the case stands between them. */
export function turned(rank: number): { at: (axis: number) => number; perm: number[]; around: { before: OnnxNode; after: OnnxNode } } {
  const perm = rank > 2 ? toLast(rank) : rank === 2 ? [1, 0] : range(rank)
  return {
    perm,
    at: axis => perm.indexOf(front(axis, rank)),
    around: {
      before: node('Transpose', 'x0', 'turned', { perm }),
      after: node('Transpose', 'moved', 'y0', { perm: inverse(perm) }),
    },
  }
}

/** Numbers of a node's parameter: of the attribute of this name (older opsets) or of input i; undefined where it is left out. */
export function numbersOf(n: GivenNode, name: string, i: number): number[] | undefined {
  const written = n.attributes[name]
  if (written !== undefined) return [written].flat().map(Number)
  const recipe = n.inputs[i]?.recipe
  if (recipe?.kind === 'values') return recipe.values.slice(0, sizeOf(n.inputs[i]!.shape)).map(Number)
  return n.values(i) ?? undefined
}
/** The other attributes, where they are present. */
export const given = (entries: Record<string, number | string | readonly number[] | undefined>): any =>
  Object.fromEntries(Object.entries(entries).filter(([, v]) => v !== undefined))
