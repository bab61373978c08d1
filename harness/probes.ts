/**
 * Cases around a smallest case: every value of every field, joint moves of one axis or of equal fields, mutants; then draws on both sides of a rule.
 * Deterministic: a function of the smallest case (its key names the draws), through plan.ts, the one door for chance.
 */
import { type Atom, atomsOf, holds, type Predicate, satisfies } from './atoms.ts'
import { type Facts, factsOf, isResultFact } from './facts.ts'
import { type Part, partsOf, setParts, valueAt } from './parts.ts'
import { build, draw, type Raw, rawOf } from './plan.ts'
import { content } from './shrink.ts'
import type { Case, Generator, Op } from './types.ts'

export interface Limits {
  singles: number
  joint: number
  mutants: number
  /** Rounds of counterexamples, and cases of a round on each side of the rule. */
  rounds: number
  side: number
  /** Fresh cases on each side, for the claim. */
  check: number
  /** How often a claim that failed is learned from, and made anew with other fresh cases. */
  again: number
}
export const FAST: Limits = { singles: 100, joint: 40, mutants: 120, rounds: 2, side: 30, check: 40, again: 1 }
export const SLOW: Limits = { singles: 20, joint: 4, mutants: 16, rounds: 1, side: 8, check: 22, again: 0 }
/** Every probe that dies costs the start of a runtime. */
export const DEADLY: Limits = { singles: 16, joint: 2, mutants: 8, rounds: 0, side: 4, check: 4, again: 0 }

/** Chance of this cause: number n of a series. */
const dice = (key: string, n: number, what: string) => draw(0, key, n, what)

function* singles(parts: readonly Part[], raw: Raw, key: string): Iterable<Raw> {
  const lists = parts.map((p, n) => {
    const v = valueAt(raw, p)
    const size = p.max - p.min + 1
    const all =
      p.at === -3
        ? [dice(key, n, 'seed') % size, dice(key, n, 'seed 2') % size]
        : size <= 16
          ? Array.from({ length: size }, (_, i) => p.min + i)
          : [p.min, p.max, v - 1, v + 1, v >> 1, 2 * v, ...Array.from({ length: 6 }, (_, i) => p.min + (dice(key, n * 8 + i, 'value') % size))]
    return [...new Set(all)].filter(w => w !== v && w >= p.min && w <= p.max).map(w => setParts(raw, [[p, w]]))
  })
  // one of each field in turn, so that a limit cuts all of them alike
  for (let i = 0; lists.some(l => i < l.length); i++) for (const l of lists) if (l[i]) yield l[i]!
}
/** Two fields of one axis, or all elements of one tuple. */
function* joint(parts: readonly Part[], raw: Raw, key: string): Iterable<Raw> {
  const tuples = [...new Set(parts.filter(p => p.at >= 0).map(p => p.name))]
  for (let n = 0; n < 400 && tuples.length; n++) {
    const name = tuples[dice(key, n, 'tuple') % tuples.length]!
    const mine = parts.filter(p => p.name === name)
    if (n % 2) {
      const v = mine[0]!.min + (dice(key, n, 'equal') % (mine[0]!.max - mine[0]!.min + 1))
      yield setParts(
        raw,
        mine.map(p => [p, v] as const),
      )
      continue
    }
    const a = mine[dice(key, n, 'axis') % mine.length]!
    const others = parts.filter(p => p.at === a.at && p.name !== name)
    const b = others[dice(key, n, 'other') % Math.max(1, others.length)]
    const any = (p: Part, what: string) => p.min + (dice(key, n, what) % (p.max - p.min + 1))
    yield setParts(raw, [[a, any(a, 'a')] as const, ...(b ? [[b, any(b, 'b')] as const] : [])])
  }
}
const MOST = 14
/** Draws in which the cases of a round are looked for; where the rule speaks of results, each costs a reference. */
const TRIES = 2000
const TRIES_OF_RESULTS = 600
function mutant(parts: readonly Part[], raw: Raw, key: string, n: number, data: boolean): Raw {
  const usable = data ? parts : parts.filter(p => p.at !== -2)
  const count = 1 + (dice(key, n, 'count') % Math.min(MOST, usable.length))
  const moves: [Part, number][] = []
  for (let i = 0; i < count; i++) {
    const p = usable[dice(key, n * MOST + i, 'part') % usable.length]!
    moves.push([p, p.min + (dice(key, n * MOST + i, 'to') % (p.max - p.min + 1))])
  }
  return setParts(raw, moves)
}

export interface Probe {
  raw: Raw
  case: Case
}
/** @param usable whether the case can be run the way that failed */
export class Around {
  readonly parts: Part[]
  private readonly tried = new Set<string>()
  private fresh = 0
  constructor(
    readonly op: Op,
    readonly generator: Generator,
    readonly raw: Raw,
    readonly key: string,
    readonly usable: (c: Case) => boolean,
    /** Data show a failure wherever there is one: most mutants keep their kind. */
    readonly telling = false,
  ) {
    this.parts = partsOf(generator.fields)
    this.tried.add(content(build(op, generator, raw)))
  }
  private take(raws: Iterable<Raw>, most: number, wanted: (c: Case) => boolean = () => true): Probe[] {
    const out: Probe[] = []
    if (most <= 0) return out
    for (const raw of raws) {
      const c = build(this.op, this.generator, raw)
      const name = content(c)
      if (this.tried.has(name) || !wanted(c)) continue
      this.tried.add(name)
      if (!this.usable(c)) continue
      out.push({ raw, case: c })
      if (out.length >= most) break
    }
    return out
  }
  first(l: Limits): Probe[] {
    const at = this
    const mutants = (function* () {
      for (let n = 0; n < 4 * l.mutants; n++) yield mutant(at.parts, at.raw, at.key, n, !at.telling || n % 3 === 0)
    })()
    return [
      ...this.take(singles(this.parts, this.raw, this.key), l.singles),
      ...this.take(joint(this.parts, this.raw, this.key), l.joint),
      ...this.take(mutants, l.mutants),
    ]
  }
  /** Draws inside a rule, and outside it by one atom: mutants and natural draws in turn. Data stay of the same kind unless the rule speaks of them. */
  sides(p: Predicate, most: number, facts: (c: Case) => Facts): Probe[] {
    const data = atomsOf(p).some(a => / data$/.test(a.fact) || isResultFact(a.fact))
    const plain: Op = { ...this.op, valid: this.generator, invalid: undefined }
    const kinds = this.parts.filter(q => q.at === -2)
    const at = this
    const raws = function* (tries: number) {
      for (let i = 0; i < tries; i++) {
        const n = 1_000_000 + at.fresh++
        if (i % 2) yield mutant(at.parts, at.raw, at.key, n, data)
        else {
          const natural = rawOf(dice(at.key, 0, 'natural'), plain, n)
          yield data
            ? natural
            : setParts(
                natural,
                kinds.map(k => [k, valueAt(at.raw, k)] as const),
              )
        }
      }
    }
    const count = { inside: 0, outside: 0 }
    const limit = { inside: most, outside: atomsOf(p).some(a => a.fact !== 'call') ? most : 0 }
    return this.take(raws(needsResult(p) ? TRIES_OF_RESULTS : TRIES), limit.inside + limit.outside, c => {
      const f = facts(c)
      const side = satisfies(p, f) ? 'inside' : misses(p, f) === 1 ? 'outside' : null
      if (!side || count[side] >= limit[side]) return false
      if (!this.usable(c)) return false
      count[side]++
      return true
    })
  }
}
/** Atoms that a case misses: of the nearest conjunction. */
export function misses(p: Predicate, facts: Facts): number {
  const one = (all: readonly Atom[]) => all.reduce((n, a) => n + (holds(a, facts) === true ? 0 : 1), 0)
  return 'any' in p ? Math.min(...p.any.map(q => one(q.all))) : one(p.all)
}
export const needsResult = (p: Predicate): boolean => atomsOf(p).some(a => isResultFact(a.fact))
export const plainFacts = (c: Case): Facts => factsOf(c)
