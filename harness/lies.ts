/** Lying backends: outputs that are subtly wrong. Each takes the right outputs of a case and returns wrong ones, or null where it would not show. */
import { allowedOf } from './compare.ts'
import type { Reference } from './judge.ts'
import { random, toHalf } from './tensor.ts'
import { type Case, type Expected, ieee32, type Op, type Real } from './types.ts'

export interface Lie {
  name: string
  tell: (c: Case, ref: Reference, right: readonly (Real | null)[], op: Op, seed: number) => readonly (Real | null)[] | null
}

/**
 * Elements of the first output that the definition decides bit for bit: exact rules, sums of integers. Elsewhere a NaN may be a convention, and two ULP
 * lie inside the bound of many honest evaluations, so that they are no lies.
 */
function decided(ref: Reference): ((i: number) => boolean) | null {
  const first = ref.expected[0]
  const e = first?.rule === 'either' ? first.options[0]!.expected : first
  if (!e || e.rule === 'decisions' || e.rule === 'either' || (e.rule !== 'exact' && ref.nonFinite.some(Boolean))) return null
  const allowed = allowedOf(e, ieee32, ref.integral)
  return i => allowed[i] === 0 && !e.open?.some(o => o.at[i])
}
/** Changes only elements that are decided. */
const mutateDecided =
  (change: (v: number) => number): Lie['tell'] =>
  (_c, ref, right) => {
    const is = decided(ref)
    const y = right[0]
    if (!is || !y) return null
    return [{ ...y, data: y.data.map((v, i) => (is(i) ? change(v) : v)) }, ...right.slice(1)]
  }
/** Changes the first output that has elements. */
const mutate =
  (change: (y: Real, seed: number) => Float64Array | null): Lie['tell'] =>
  (_c, _ref, right, _op, seed) => {
    const at = right.findIndex(y => y && y.data.length > 0)
    if (at < 0) return null
    const data = change(right[at]!, seed)
    return data && right.map((y, i) => (i === at ? { ...y!, data } : y))
  }
const copyOf = (y: Real) => Float64Array.from(y.data)
/** A clearly different value of the dtype. */
const other = (v: number, y: Real): number =>
  (y.dtype === 'bool' ? (v ? 0 : 1) : Number.isFinite(v) ? (v === 0 ? 1 : v + Math.max(1, Math.abs(v))) : 1) % (y.dtype === 'uint8' ? 256 : Infinity)
const lastAxis = (y: Real) => y.shape[y.shape.length - 1] ?? 1

/** The reference with other attributes or inputs, as an output. */
function evaluated(op: Op, attributes: Case['attributes'], inputs: readonly (Real | null)[]): readonly (Real | null)[] | null {
  try {
    return outputsOf(op.expect(attributes, inputs))
  } catch {
    return null // not a valid call: that lie cannot be told here
  }
}
/** The definition's outputs as an exact backend returns them, rounded to their dtypes. */
export function outputsOf(expected: readonly Expected[]): readonly (Real | null)[] | null {
  const out = expected.map(e => {
    const f = e.rule === 'either' ? e.options[0]!.expected : e
    if (f.rule === 'decisions' || f.rule === 'either') return null
    return {
      dtype: f.dtype,
      shape: f.shape,
      data: f.dtype === 'float32' ? f.value.map(Math.fround) : f.dtype === 'float16' ? f.value.map(toHalf) : Float64Array.from(f.value),
    }
  })
  return out.some(Boolean) ? out : null
}

export const LIES: readonly Lie[] = [
  {
    name: 'last element wrong',
    tell: mutate(y => {
      const d = copyOf(y)
      d[d.length - 1] = other(d[d.length - 1]!, y)
      return d
    }),
  },
  {
    name: 'first element wrong',
    tell: mutate(y => {
      const d = copyOf(y)
      d[0] = other(d[0]!, y)
      return d
    }),
  },
  {
    name: 'last row zero',
    tell: mutate(y => {
      const d = copyOf(y)
      d.fill(0, d.length - lastAxis(y))
      return d
    }),
  },
  {
    name: 'shifted by one',
    tell: mutate(y => {
      if (y.data.length < 2) return null
      const d = new Float64Array(y.data.length)
      d.set(y.data.subarray(0, d.length - 1), 1)
      d[0] = y.data[d.length - 1]!
      return d
    }),
  },
  {
    name: 'one stale value among many',
    tell: mutate((y, seed) => {
      if (y.data.length < 2) return null
      const next = random(seed)
      const d = copyOf(y)
      d[next() % d.length] = y.data[next() % d.length]!
      return d
    }),
  },
  {
    name: 'height and width swapped',
    tell: mutate(y => {
      const [h, w] = y.shape.slice(-2)
      if (y.shape.length < 2 || h !== w || h! < 2) return null
      return y.data.map((_, i) => y.data[i - (i % (h! * w!)) + (i % w!) * w! + (Math.floor(i / w!) % h!)]!)
    }),
  },
  {
    name: 'every batch gets the first one',
    tell: mutate(y => {
      if ((y.shape[0] ?? 1) < 2) return null
      const n = y.data.length / y.shape[0]!
      return y.data.map((_, i) => y.data[i % n]!)
    }),
  },
  { name: 'NaN turned into 0', tell: mutateDecided(v => (Number.isNaN(v) ? 0 : v)) },
  { name: '−Infinity lost', tell: mutateDecided(v => (v === -Infinity ? -3.4e38 : v)) },
  {
    name: 'two ULP too large',
    tell: (c, ref, right, op, seed) =>
      right[0]?.dtype === 'float32' ? mutateDecided(v => Math.fround(v * (1 + 2 ** -22)))(c, ref, right, op, seed) : null,
  },
  { name: 'rounded to half precision', tell: mutate(y => (y.dtype === 'float32' ? y.data.map(toHalf) : null)) },
  { name: 'small values dropped', tell: mutate(y => (y.dtype === 'float32' ? y.data.map(v => (Math.abs(v) < 1 ? 0 : v)) : null)) },
  { name: 'sign lost', tell: mutate(y => y.data.map(Math.abs)) },
  {
    name: 'last channel not read',
    tell(c, ref, _right, op) {
      const x = ref.inputs[0]
      if (!x || x.shape.length < 2 || x.shape[1]! < 2) return null
      const plane = x.data.length / (x.shape[0]! * x.shape[1]!)
      const blank = x.data.map((v, i) => (Math.floor(i / plane) % x.shape[1]! === x.shape[1]! - 1 ? 0 : v))
      return evaluated(op, c.attributes, [{ ...x, data: blank }, ...ref.inputs.slice(1)])
    },
  },
  {
    name: 'square weights transposed',
    tell(c, ref, _right, op) {
      const w = ref.inputs[1]
      const [a, b] = w?.shape.slice(-2) ?? []
      if (!w || w.shape.length < 2 || a !== b || a! < 2) return null
      const turned = w.data.map((_, i) => w.data[i - (i % (a! * b!)) + (i % b!) * b! + (Math.floor(i / b!) % a!)]!)
      return evaluated(
        op,
        c.attributes,
        ref.inputs.map((x, i) => (i === 1 ? { ...w, data: turned } : x)),
      )
    },
  },
]

/** One lie for each attribute: it is ignored, as if it were what the plainest case has. */
export function attributeLies(attributes: readonly string[], plain: Case['attributes']): Lie[] {
  return attributes.map(name => ({
    name: `${name} ignored`,
    tell(c, ref, _right, op) {
      const now = c.attributes[name]
      const then = plain[name]
      if (
        now === undefined ||
        JSON.stringify(now) === JSON.stringify(then) ||
        (Array.isArray(now) && Array.isArray(then) && now.length !== then.length && then.length > 0 && !then.every(v => v === then[0]))
      )
        return null
      const same = Array.isArray(now) && Array.isArray(then) && then.length ? now.map(() => then[0]) : then
      const { [name]: _, ...rest } = c.attributes
      return evaluated(op, same === undefined ? rest : { ...rest, [name]: same }, ref.inputs)
    },
  }))
}
