/**
 * What a wrong output is instead: the definition evaluated again with something changed that implementations get wrong (an attribute at its default, padding on the
 * other side, a neighbouring name of a list, the first image repeated …). Generic: the changes come from the case and from what the generator draws, never from a list of defects.
 */
import { build, caseOf, type Raw } from './plan.ts'
import { permute, real, realise, sizeOf, toLast } from './tensor.ts'
import type { Attributes, Case, Expected, Op, Real, Shape, Tensor, Verdict } from './types.ts'

export interface Values {
  shape: Shape
  data: ArrayLike<number>
}
/** In a defect: which changed definition its output equals. */
export interface Instead {
  name: string
  sentence: string
}
export interface Alternative {
  /** The same on every case of the op: by it the alternative is evaluated on another case. */
  name: string
  sentence: string
  evaluate: () => readonly (Values | null)[] | null
}

const values = (e: Expected): Values | null =>
  e.rule === 'either' ? values(e.options[0]!.expected) : e.rule === 'decisions' ? null : { shape: e.shape, data: e.value }
const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b)
const shown = (v: Attributes[string]) => (typeof v === 'object' ? `[${v}]` : String(v))

// ── What an op draws ────────────────────────────────────────────────────────────────────────────────────────────────

interface Drawn1 {
  /** Attributes of the plainest case. */
  plain: Attributes
  /** Few distinct values of an attribute: the neighbours of a name or a flag. */
  few: ReadonlyMap<string, readonly (string | number)[]>
}
const drawn = new WeakMap<Op, Drawn1>()
const DRAWS = 120
const FEW = 12
function drawnBy(op: Op): Drawn1 {
  const known = drawn.get(op)
  if (known) return known
  const least: Raw = Object.fromEntries(
    Object.entries(op.valid.fields as Record<string, { kind: string; min: number; count: number }>).map(([n, f]) => [
      n,
      f.kind === 'int' ? f.min : f.kind === 'ints' ? new Array<number>(f.count).fill(f.min) : { kind: 0, at: 0 },
    ]),
  )
  const seen = new Map<string, Set<string | number>>()
  for (let k = 0; k < DRAWS; k++)
    for (const [n, v] of Object.entries(caseOf(1, { ...op, invalid: undefined }, k).attributes as Attributes))
      if (typeof v === 'string' || Number.isInteger(v)) (seen.get(n) ?? seen.set(n, new Set()).get(n)!).add(v as string | number)
  const few = new Map([...seen].filter(([, s]) => s.size > 1 && s.size <= FEW).map(([n, s]) => [n, [...s].sort()]))
  const made = { plain: build(op, op.valid, least).attributes as Attributes, few }
  drawn.set(op, made)
  return made
}
/** An attribute at its plainest, as long as it is here. */
function plainOf(plain: Attributes[string] | undefined, here: Attributes[string]): Attributes[string] | undefined {
  if (typeof here !== 'object') return typeof plain === typeof here ? plain : undefined
  const v = typeof plain === 'object' ? plain[0] : undefined
  return v === undefined ? undefined : here.map(() => v)
}

// ── The table ───────────────────────────────────────────────────────────────────────────────────────────────────────

export function* alternatives(op: Op, c: Case): Iterable<Alternative> {
  if (c.valid === false) return
  const a = c.attributes as Attributes
  const inputs = c.inputs.map(s => (s ? real(realise(s)) : null))
  const again =
    (attributes: Attributes, given: readonly (Real | null)[] = inputs) =>
    () => {
      try {
        return op.expect(attributes, given).map(values)
      } catch {
        return null
      }
    }
  const right = again(a)()
  const alternative = (name: string, sentence: string, evaluate: Alternative['evaluate']): Alternative => ({
    name,
    sentence,
    evaluate() {
      const made = evaluate()
      // what says nothing of the outputs but what is right explains none of them
      return made && right && equal(made, right) ? null : made
    },
  })
  const first = right?.[0]
  if (!right || !first) return
  const changed = (data: ArrayLike<number>, f: (v: number, i: number) => number): readonly (Values | null)[] => [
    { shape: first.shape, data: Float64Array.from(data, f) },
    ...right.slice(1).map(() => null),
  ]
  const { plain, few } = drawnBy(op)

  // ignored attributes and inputs
  const ignorable = Object.entries(a).flatMap(([n, v]) => {
    const d = plainOf(plain[n], v)
    return d !== undefined && !same(d, v) ? [[n, d] as const] : []
  })
  for (const [n, d] of ignorable) yield alternative(`${n} ignored`, `as if ${n} were ${shown(d)}`, again({ ...a, [n]: d }))
  for (let i = 1; i < inputs.length; i++)
    if (inputs[i])
      yield alternative(
        `x${i} ignored`,
        `as if input x${i} were left out`,
        again(
          a,
          inputs.map((x, j) => (j === i ? null : x)),
        ),
      )
  // names and flags
  for (const [n, list] of few)
    for (const w of list)
      if (n in a && a[n] !== w && !same(w, plain[n])) yield alternative(`${n} ${w}`, `what ${n} ${w} gives`, again({ ...a, [n]: w }))
  yield* axisLists(a, again, alternative)
  for (let i = 0; i < ignorable.length; i++)
    for (let j = i + 1; j < ignorable.length; j++) {
      const [n, d] = ignorable[i]!
      const [m, e] = ignorable[j]!
      yield alternative(`${n} and ${m} ignored`, `as if ${n} were ${shown(d)} and ${m} ${shown(e)}`, again({ ...a, [n]: d, [m]: e }))
    }
  // zero, constant, signs, rounding
  yield alternative('zero', 'all zero', () => changed(first.data, () => 0))
  const n0 = first.shape[0] ?? 1
  const image = first.data.length / Math.max(1, n0)
  if (n0 > 1) {
    yield alternative('first image only', 'right for the first image of the batch, zero for the others', () =>
      changed(first.data, (v, i) => (i < image ? v : 0)),
    )
    yield alternative('first image repeated', 'the first image of the batch repeated', () => changed(first.data, (_, i) => first.data[i % image]!))
  }
  const n1 = first.shape[1] ?? 1
  if (first.shape.length > 2 && n1 > 1) {
    const plane = image / n1
    yield alternative('first channel repeated', 'the first channel repeated', () =>
      changed(first.data, (_, i) => first.data[Math.floor(i / image) * image + (i % plane)]!),
    )
    yield alternative('first channel only', 'right for the first channel, zero for the others', () =>
      changed(first.data, (v, i) => (i % image < plane ? v : 0)),
    )
  }
  yield alternative('other sign', 'the right values with the other sign', () => changed(first.data, v => -v))
  yield alternative('rounded down', 'the right values rounded down', () => changed(first.data, Math.floor))
  yield alternative('rounded', 'the right values rounded to whole numbers', () => changed(first.data, Math.round))
  yield alternative('cut off', 'the right values cut off to whole numbers', () => changed(first.data, Math.trunc))
  yield alternative('negative as zero', 'zero where the right value is negative', () => changed(first.data, v => Math.max(0, v)))
  if (inputs[0]) yield alternative('input', 'the input unchanged', () => [{ shape: inputs[0]!.shape, data: inputs[0]!.data }])
  yield* otherInputs(c, a, inputs, again, alternative)
}

type Again = (attributes: Attributes, given?: readonly (Real | null)[]) => Alternative['evaluate']
type Make = (name: string, sentence: string, evaluate: Alternative['evaluate']) => Alternative

/** Lists with a number for each axis: other side, averaged, only the first or last, in the other order. */
function* axisLists(a: Attributes, again: Again, alternative: Make): Iterable<Alternative> {
  for (const [n, v] of Object.entries(a)) {
    if (typeof v !== 'object' || v.length < 2) continue
    if (n === 'pads' && v.length % 2 === 0) {
      const half = v.length / 2
      const [begin, end] = [v.slice(0, half), v.slice(half)]
      const tries: [string, string, number[]][] = [
        ['other side', 'padding on the other side', [...end, ...begin]],
        ['begin twice', 'the padding of the beginning on both sides', [...begin, ...begin]],
        ['end twice', 'the padding of the end on both sides', [...end, ...end]],
        [
          'averaged',
          'half of the padding on each side',
          [...begin.map((b, i) => Math.floor((b + end[i]!) / 2)), ...begin.map((b, i) => Math.ceil((b + end[i]!) / 2))],
        ],
        ['all before', 'all padding before', [...begin.map((b, i) => b + end[i]!), ...end.map(() => 0)]],
        ['all after', 'all padding after', [...begin.map(() => 0), ...end.map((e, i) => e + begin[i]!)]],
        ['first axis', 'the padding of the first axis on every axis', [...begin.map(() => begin[0]!), ...end.map(() => end[0]!)]],
        ['clamped', 'negative padding taken as none', v.map(p => Math.max(0, p))],
        ['interleaved', 'begin and end of each axis read in turn', begin.flatMap((b, i) => [b, end[i]!])],
        ['axes swapped', 'the padding of the axes in the other order', [...[...begin].reverse(), ...[...end].reverse()]],
      ]
      for (const [name, sentence, w] of tries) if (!same(w, v)) yield alternative(`${n} ${name}`, sentence, again({ ...a, [n]: w }))
      continue
    }
    const tries: [string, string, number[]][] = [
      ['first', `as if the first of ${n} held for every axis`, v.map(() => v[0]!)],
      ['last', `as if the last of ${n} held for every axis`, v.map(() => v[v.length - 1]!)],
      ['reversed', `${n} in the other order`, [...v].reverse()],
    ]
    for (const [name, sentence, w] of tries) if (!same(w, v)) yield alternative(`${n} ${name}`, sentence, again({ ...a, [n]: w }))
  }
  if (typeof a['auto_pad'] === 'string' && a['auto_pad'] !== 'NOTSET')
    yield alternative('no padding', 'as if nothing were padded', again({ ...a, auto_pad: 'VALID' }))
}

/** The same attributes on inputs read otherwise. */
function* otherInputs(c: Case, a: Attributes, inputs: readonly (Real | null)[], again: Again, alternative: Make): Iterable<Alternative> {
  const replace = (i: number, x: Real) => inputs.map((y, j) => (j === i ? x : y))
  const asReal = (t: Tensor, shape: Shape): Real => ({ ...real(t), shape })
  const x = inputs[0]
  if (x && x.shape.length > 2) {
    const t = realise(c.inputs[0]!)
    yield alternative('NHWC read as NCHW', 'NHWC data read as NCHW', again(a, replace(0, asReal(permute(t, toLast(x.shape.length)), x.shape))))
    const inner = [x.shape[0]!, ...x.shape.slice(2), x.shape[1]!]
    const back = permute({ ...t, shape: inner }, [0, inner.length - 1, ...inner.slice(1, -1).map((_, i) => i + 1)])
    yield alternative('NCHW read as NHWC', 'NCHW data read as NHWC', again(a, replace(0, asReal(back, x.shape))))
  }
  const w = inputs[1]
  if (w && w.shape.length > 2) {
    const plane = sizeOf(w.shape.slice(2))
    const flipped = w.data.map((_, i) => w.data[Math.floor(i / plane) * plane + (plane - 1 - (i % plane))]!)
    yield alternative('kernel flipped', 'the kernel flipped', again(a, replace(1, { ...w, data: flipped })))
  }
  for (const [i, y] of inputs.entries()) {
    if (!y) continue
    if (y.data.some(Number.isNaN))
      yield alternative(`x${i} NaN as zero`, 'as if NaN were 0', again(a, replace(i, { ...y, data: y.data.map(v => (Number.isNaN(v) ? 0 : v)) })))
    if (y.data.some(v => v > 0) && y.data.some(v => v < 0))
      yield alternative(`x${i} absolute`, `as if the values of x${i} had no sign`, again(a, replace(i, { ...y, data: y.data.map(Math.abs) })))
  }
}

/** A name that speaks of zeros and signs, not of an attribute, an input or a layout: many causes give those. */
export const VAGUE = /^(zero|input|rounded|rounded down|cut off|other sign|negative as zero)$/

// ── Comparing ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** Of an infinity, everything would be within any share. */
export const close = (a: number, b: number): boolean =>
  a === b || (a !== a && b !== b) || (Number.isFinite(a - b) && Math.abs(a - b) <= 1e-5 * Math.max(Math.abs(a), Math.abs(b)))
function equal(made: readonly (Values | null)[] | null, observed: readonly (Values | null)[]): boolean {
  if (!made?.[0]) return false
  return made.every((m, j) => {
    const y = observed[j]
    if (!m || !y) return j > 0
    if (m.data.length !== y.data.length || m.shape.length !== y.shape.length || m.shape.some((n, i) => n !== y.shape[i])) return false
    for (let i = 0; i < m.data.length; i++) if (!close(m.data[i]!, y.data[i]!)) return false
    return true
  })
}
/** The first alternative that gives this output on this case. */
export function insteadOf(op: Op, c: Case, observed: readonly (Values | null)[]): Alternative | null {
  if (!observed[0]) return null
  for (const alternative of alternatives(op, c)) if (equal(alternative.evaluate(), observed)) return alternative
  return null
}
/** Does this alternative give these outputs on this case? Null where the case has no such alternative. */
export function gives(op: Op, name: string, c: Case, observed: readonly (Values | null)[]): boolean | null {
  for (const alternative of alternatives(op, c)) if (alternative.name === name) return equal(alternative.evaluate(), observed)
  return null
}
/** Larger inputs are not searched for a name: every alternative evaluates the whole definition. */
const LOOKED_AT = 256
const numbers = (t: Tensor | null): Values | null => (t ? { shape: t.shape, data: real(t).data } : null)
/** For probes: whether another case's output is what the failure of this one would give there. Null: the failure has no name. */
export function explainer(
  op: Op,
  c: Case,
  verdict: Verdict,
  outputs: readonly (Tensor | null)[] = [],
): ((other: Case, seen: readonly (Tensor | null)[]) => boolean) | null {
  if (verdict.kind !== 'wrong' || !outputs.length) return null
  const named = insteadOf(op, c, outputs.map(numbers))
  // an output that equals nothing named: one that does is another failure
  if (!named)
    return (other, seen) => {
      if (sizeOf(other.inputs[0]?.shape ?? []) > LOOKED_AT) return true
      const found = insteadOf(op, other, seen.map(numbers))
      return !found || VAGUE.test(found.name)
    }
  return (other, seen) => gives(op, named.name, other, seen.map(numbers)) === true
}
