/**
 * When a defect shows: a predicate learned from probes around its smallest case (beam search over conjunctions of atoms), its support, its text.
 * Pure: the same samples in any order give the same rule. Method and figures: TRIAGE, steps 5 to 9.
 */
import { type Atom, atomsOf, candidates, conjunction, costOf, holds, type Predicate, satisfies, say } from './atoms.ts'
import type { Facts } from './facts.ts'

export interface Sample {
  id: string
  facts: Facts
  fails: boolean
}
export interface Counts {
  fails: number
  passes: number
}
/** Fresh cases that took no part in learning. */
export interface Checked {
  right: number
  of: number
}
export interface Rule {
  text: string
  predicate: Predicate
  support: { inside: Counts; outside: Counts }
  checked?: { inside: Checked; outside: Checked }
  /** At least 95 % right on fresh cases inside and one atom outside. */
  exact: boolean
}

const BEAM = 10
const DEPTH = 4
/** Price of an atom, in F: a rule is not made longer for a few samples. */
const PRICE = 0.004
/** A second conjunction only where the first leaves more of the failing samples than this. */
const REST = 0.05

/** Samples as a column of bits. */
type Bits = Uint32Array
const bitsOf = (n: number, is: (i: number) => boolean): Bits => {
  const b = new Uint32Array(Math.ceil(n / 32))
  for (let i = 0; i < n; i++) if (is(i)) b[i >>> 5]! |= 1 << (i & 31)
  return b
}
function ones(w: number): number {
  w -= (w >>> 1) & 0x55555555
  w = (w & 0x33333333) + ((w >>> 2) & 0x33333333)
  return (((w + (w >>> 4)) & 0x0f0f0f0f) * 0x01010101) >>> 24
}
function both(a: Bits, b: Bits): number {
  let n = 0
  for (let i = 0; i < a.length; i++) n += ones(a[i]! & b[i]!)
  return n
}
const and = (a: Bits, b: Bits): Bits => a.map((w, i) => w & b[i]!)

interface Column {
  atom: Atom
  bits: Bits
  cost: number
  key: string
}
/** Atoms with the samples on which they hold; of identical columns the cheapest stays. */
function columns(anchor: Facts, samples: readonly Sample[]): Column[] {
  const best = new Map<string, Column>()
  for (const atom of candidates(anchor, samples)) {
    const bits = bitsOf(samples.length, i => holds(atom, samples[i]!.facts) === true)
    const name = bits.join()
    const known = best.get(name)
    const c: Column = { atom, bits, cost: costOf(atom), key: JSON.stringify(atom) }
    if (!known || c.cost < known.cost || (c.cost === known.cost && c.key < known.key)) best.set(name, c)
  }
  return [...best.values()].sort((a, b) => a.cost - b.cost || (a.key < b.key ? -1 : 1))
}

interface Partial_ {
  atoms: number[]
  bits: Bits
  cost: number
  score: number
}
/** The best conjunction that holds on the anchor. */
function conjunctionOf(anchor: Facts, samples: readonly Sample[]): { atoms: Atom[]; bits: Bits; f: number } {
  const cols = columns(anchor, samples)
  const n = samples.length
  const fails = bitsOf(n, i => samples[i]!.fails)
  const failing = both(fails, fails)
  const scored = (bits: Bits) => {
    const inside = both(bits, bits)
    const hit = both(bits, fails)
    return inside + failing === 0 ? 0 : (2 * hit) / (inside + failing)
  }
  const all = bitsOf(n, () => true)
  let best: Partial_ = { atoms: [], bits: all, cost: 0, score: scored(all) }
  let beam: Partial_[] = [best]
  for (let depth = 0; depth < DEPTH; depth++) {
    const next = new Map<string, Partial_>()
    for (const p of beam)
      cols.forEach((c, at) => {
        if (p.atoms.includes(at)) return
        const bits = and(p.bits, c.bits)
        const cost = p.cost + c.cost
        const score = scored(bits) - PRICE * cost
        const key = bits.join()
        const known = next.get(key)
        if (!known || score > known.score) next.set(key, { atoms: [...p.atoms, at], bits, cost, score })
      })
    const order = (p: Partial_) => [...p.atoms].sort((a, b) => a - b).join()
    beam = [...next.values()].sort((a, b) => b.score - a.score || (order(a) < order(b) ? -1 : 1)).slice(0, BEAM)
    if (!beam.length || beam[0]!.score <= best.score + 1e-9) {
      if (depth > 0 || !beam.length) break
      continue
    }
    best = beam[0]!
  }
  return { atoms: best.atoms.map(i => cols[i]!.atom), bits: best.bits, f: best.score + PRICE * best.cost }
}

const INVALID: Atom = { fact: 'call', is: '=', value: 'invalid' }
/** The predicate around a smallest case; calls that have to be refused are another domain than valid ones, and say so. */
export function learn(smallest: Facts, samples: readonly Sample[]): Predicate {
  const p = separate(smallest, samples)
  if (smallest.get('call') !== 'invalid') return p
  return 'any' in p ? { any: p.any.map(q => ({ all: [INVALID, ...q.all] })) } : { all: [INVALID, ...p.all] }
}
/** The predicate that separates failing from passing samples around the smallest case. */
function separate(smallest: Facts, given: readonly Sample[]): Predicate {
  const samples = [...given].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0))
  const first = conjunctionOf(smallest, samples)
  const inFirst = (s: Sample) => conjunction(first.atoms, s.facts)
  const failing = samples.filter(s => s.fails)
  const rest = failing.filter(s => !inFirst(s))
  if (rest.length <= REST * failing.length || rest.length < 4) return { all: first.atoms }
  const others = samples.filter(s => !s.fails || !inFirst(s))
  // the plainest of what is left is the anchor of the second conjunction
  const anchor = rest[0]!
  const second = conjunctionOf(anchor.facts, others)
  const quality = (p: Predicate) => f1(samples, p) - PRICE * atomsOf(p).reduce((c, a) => c + costOf(a), 0)
  const joined: Predicate = { any: [{ all: first.atoms }, { all: second.atoms }] }
  return second.atoms.length && quality(joined) > quality({ all: first.atoms }) + 0.01 ? joined : { all: first.atoms }
}
function f1(samples: readonly Sample[], p: Predicate): number {
  const s = support(p, samples)
  return (2 * s.inside.fails) / Math.max(1, 2 * s.inside.fails + s.inside.passes + s.outside.fails)
}

export function support(p: Predicate, samples: readonly Sample[]): Rule['support'] {
  const s = { inside: { fails: 0, passes: 0 }, outside: { fails: 0, passes: 0 } }
  for (const x of samples) s[satisfies(p, x.facts) ? 'inside' : 'outside'][x.fails ? 'fails' : 'passes']++
  return s
}
/** Fewer fresh cases than these inside prove nothing. */
const ENOUGH = 20
export const CLAIM = 0.95

/** @param fresh samples that took no part in learning */
export function ruleOf(p: Predicate, samples: readonly Sample[], fresh: readonly Sample[]): Rule {
  const s = support(p, samples)
  const inside = { right: 0, of: 0 }
  const outside = { right: 0, of: 0 }
  for (const x of fresh) {
    const within = satisfies(p, x.facts)
    const side = within ? inside : outside
    side.of++
    if (within === x.fails) side.right++
  }
  const checked = fresh.length ? { inside, outside } : undefined
  const holdsUp = (c: Checked) => c.right >= CLAIM * c.of
  const exact = inside.of >= ENOUGH && holdsUp(inside) && holdsUp(outside)
  return { text: `${say(p)}${exact ? '' : ` (not exact${measured(s, checked)})`}`, predicate: p, support: s, ...(checked ? { checked } : {}), exact }
}
function measured(s: Rule['support'], checked: Rule['checked']): string {
  if (checked && checked.inside.of >= ENOUGH) return `: fails in ${checked.inside.right} of ${checked.inside.of} cases like this`
  if (checked) return `: ${checked.inside.of} cases like this were found`
  const n = s.inside.fails + s.inside.passes
  return n ? `: fails in ${s.inside.fails} of ${n} cases like this` : ''
}
