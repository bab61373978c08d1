/**
 * One entry per cause, at report time, over the union of all shards. Two smallest cases are one cause only if each rule covers at least half of the other's trials and
 * each failure is what the other's would be (TRIAGE step 8): coverage one way swallows rare causes, and only suggests a relation.
 */
import { atomsOf, satisfies } from './atoms.ts'
import { type Facts, factsOf } from './facts.ts'
import { gives, insteadOf, VAGUE, type Values } from './instead.ts'
import type { Entry } from './journal.ts'
import { canonical } from './lower.ts'
import { compareEntries } from './order.ts'

import { needsResult } from './probes.ts'
import type { Rule } from './rules.ts'
import { resultOf } from './sharpen.ts'
import { fromJson64 } from './tensor.ts'
import { type Candidate, family, isGarbage, normalised, sameKind, speaks } from './triage.ts'
import { alike } from './trials.ts'
import { isFailing, type Op, type Verdict } from './types.ts'

export interface Cluster {
  main: Candidate
  members: Candidate[]
  related: Candidate[]
}
/** Trials of a candidate that are looked at; the first ones in the plan's order. */
const SEEN = 60

export function merged(all: readonly Candidate[], ops: ReadonlyMap<string, Op> | undefined): Cluster[] {
  const parent = new Map<Candidate, Candidate>(all.map(c => [c, c]))
  const root = (c: Candidate): Candidate => (parent.get(c) === c ? c : root(parent.get(c)!))
  const related: [Candidate, Candidate][] = []
  // results are evaluated only where a rule of the operation speaks of them
  const asked = new Set(all.flatMap(c => (c.rule && needsResult(c.rule.predicate) ? [c.show.case.op] : [])))
  const known = all.map(c => describeCandidate(c, ops, asked.has(c.show.case.op)))
  const names = new Map<Candidate, string | null>()
  for (let i = 0; i < all.length; i++)
    for (let j = i + 1; j < all.length; j++) {
      const [a, b] = [all[i]!, all[j]!]
      if (
        a.show.case.op !== b.show.case.op ||
        family(a.show.backend) !== family(b.show.backend) ||
        !(sameKind(a.show.verdict.kind, b.show.verdict.kind) || (isGarbage(a.show.verdict.kind) && isGarbage(b.show.verdict.kind)))
      )
        continue
      const how = relation(a, b, known[i]!, known[j]!, ops, names)
      if (how === 'one') parent.set(root(b), root(a))
      else if (how === 'related') related.push([a, b])
    }
  const clusters = new Map<Candidate, Candidate[]>()
  for (const c of all) (clusters.get(root(c)) ?? clusters.set(root(c), []).get(root(c))!).push(c)
  return [...clusters.values()]
    .map(members => {
      const main = [...members].sort(plainer)[0]!
      return {
        main,
        members,
        related: related.flatMap(([a, b]) => (members.includes(a) !== members.includes(b) ? [root(members.includes(a) ? b : a)] : [])),
      }
    })
    .map((c, _, list) => ({ ...c, related: [...new Set(c.related.map(r => list.find(l => l.members.includes(r))!.main))] }))
    .sort((a, b) => compareEntries(lowest(a.members), lowest(b.members)))
}
const lowest = (members: readonly Candidate[]): Entry => members.map(m => m.groups[0]!.representative).sort(compareEntries)[0]!
/** The member that speaks for its cluster: made small, with a rule that holds, then the simplest. */
function plainer(a: Candidate, b: Candidate): number {
  const grade = (c: Candidate) =>
    (c.show.verdict.kind === 'unstable' && c.shrunk && c.rule ? -4 : 0) + (c.shrunk ? 0 : 4) + (c.rule?.exact ? 0 : c.rule ? 1 : 2)
  const size = (c: Candidate) => JSON.stringify([c.show.case.attributes, c.show.case.inputs]).length
  return grade(a) - grade(b) || size(a) - size(b) || compareEntries(a.groups[0]!.representative, b.groups[0]!.representative)
}

interface Known1 {
  facts: Facts[]
  own: Facts
}
function describeCandidate(c: Candidate, ops: ReadonlyMap<string, Op> | undefined, results: boolean): Known1 {
  const op = ops?.get(c.show.case.op)
  const full = (e: Entry): Facts => {
    const own = op ? canonical(op, e.case) : e.case
    if ('declined' in own) return new Map()
    return factsOf(own, op && results && c.shrunk ? resultOf(op, own) : undefined)
  }
  // each costs a reference: only pairs of causes that could be one ask for them
  let facts: Facts[] | undefined
  let own: Facts | undefined
  return {
    get facts() {
      facts ??= [...c.trials].sort(compareEntries).slice(0, SEEN).map(full)
      return facts
    },
    get own() {
      own ??= full(c.show)
      return own
    },
  }
}
const covers = (c: Candidate, facts: readonly Facts[]): number =>
  facts.length ? facts.filter(f => satisfies(c.rule!.predicate, f)).length / facts.length : 0

function relation(
  a: Candidate,
  b: Candidate,
  ka: Known1,
  kb: Known1,
  ops: ReadonlyMap<string, Op> | undefined,
  names: Map<Candidate, string | null>,
): 'one' | 'related' | 'none' {
  const op = ops?.get(a.show.case.op)
  if (!sameKind(a.show.verdict.kind, b.show.verdict.kind)) {
    // the same wrong place, with data that are not finite
    const [wrong, other] = a.show.verdict.kind === 'wrong' ? [a, b] : [b, a]
    const same = op && wrong.rule && onBackendsOf(other, wrong) && holdsFor(wrong.rule, op, [...other.trials, other.show])
    return same ? 'one' : 'none'
  }
  const says =
    speaks(a.show.verdict.kind) || a.show.verdict.kind === 'accepts-invalid' || a.show.verdict.kind === 'shape' || a.show.verdict.kind === 'dtype'
  const message = (c: Candidate) => normalised(c.show.verdict.because ?? '')
  if (speaks(a.show.verdict.kind) && message(a) !== message(b)) return 'none'
  // memory that nobody wrote: the outputs say nothing, the names in the attributes do
  const unstable = [a, b].filter(c => c.show.verdict.kind === 'unstable').length
  if (unstable === 2) return sameNames(a, b) ? 'one' : 'none'
  if (unstable === 1) return a.rule && b.rule && covers(a, [...kb.facts, kb.own]) >= 0.5 && covers(b, [...ka.facts, ka.own]) >= 0.5 ? 'one' : 'none'
  if (!a.rule !== !b.rule) {
    // one was not made small (for want of time, or because a rule held for it): its trials are the other's where that one's rule holds for nearly all of them
    const [ruled, plain] = a.rule ? [a, b] : [b, a]
    if (op && !plain.shrunk && onBackendsOf(plain, ruled) && takesIn(ruled.rule!, ruled.show.verdict, op, plain.show.verdict, plain.trials))
      return 'one'
  }
  if (!a.rule || !b.rule) {
    // nothing is known of their rules: the same message of the same backends is one cause, anything else stands alone
    return speaks(a.show.verdict.kind) && message(a).length > 12 ? 'one' : 'none'
  }
  const [ab, ba] = [covers(a, [...kb.facts, kb.own]), covers(b, [...ka.facts, ka.own])]
  const [least, most] = [Math.min(ab, ba), Math.max(ab, ba)]
  if (most < 0.25) return 'none'
  const replay = ops && !says ? sameOutput(a, b, ops, names) : null
  // the same changed definition explains both: their rules may each see a part of it
  if (replay === 'named' && (most >= 0.5 || least >= 0.25)) return 'one'
  if (most < 0.5) return 'none'
  if (least < 0.5) return 'related'
  const narrow = atomsOf(a.rule.predicate).length > 0 && atomsOf(b.rule.predicate).length > 0
  if (says) return ab >= 0.5 && ba >= 0.5 && (narrow || message(a) === message(b)) ? 'one' : 'related'
  if (replay !== null) return replay !== 'differs' ? 'one' : 'related'
  // outputs that equal nothing named: only rules that cover each other's trials nearly completely, the same way around
  const [x, y] = [a.show.verdict.evidence?.value, b.show.verdict.evidence?.value]
  return narrow && ab >= 0.9 && ba >= 0.9 && (x === y || x === 'few' || y === 'few') ? 'one' : 'related'
}

/** Of what a rule holds for this share fails, and of a group's first trials it holds for as many: the group is taken as the same. */
const SURE = 0.9
const FIRST = 8
/** Whether a group of failing trials that look alike needs no work of its own: a rule that is known holds for it. */
export const takesIn = (rule: Rule, failure: Verdict, op: Op, looks: Verdict, trials: readonly Entry[]): boolean =>
  alike(looks, failure) && holdsFor(rule, op, trials)
function holdsFor(rule: Rule, op: Op, trials: readonly Entry[]): boolean {
  const { fails, passes } = rule.support.inside
  if (fails < SURE * (fails + passes)) return false
  const first = [...trials].sort(compareEntries).slice(0, FIRST)
  const under = first.filter(e => {
    const own = canonical(op, e.case)
    return !('declined' in own) && satisfies(rule.predicate, factsOf(own, needsResult(rule.predicate) ? resultOf(op, own) : undefined))
  })
  return under.length >= SURE * first.length
}
const onBackendsOf = (plain: Candidate, ruled: Candidate): boolean => {
  const failing = new Set([...ruled.row.filter(e => isFailing(e.verdict.kind)), ...ruled.trials].map(e => e.backend))
  return plain.trials.every(e => failing.has(e.backend))
}
const names = (c: Candidate) => JSON.stringify(Object.entries(c.show.case.attributes).filter(([, v]) => typeof v === 'string'))
const sameNames = (a: Candidate, b: Candidate): boolean => names(a) === names(b)

/**
 * Each smallest case's output as recorded is what the other's alternative gives for it; `named`: the same alternative of an attribute or input explains both.
 * Null: neither has an alternative.
 */
function sameOutput(
  a: Candidate,
  b: Candidate,
  ops: ReadonlyMap<string, Op>,
  names: Map<Candidate, string | null>,
): 'named' | 'fits' | 'differs' | null {
  const op = ops.get(a.show.case.op)
  if (!op) return null
  const name = (c: Candidate) => {
    if (!names.has(c)) names.set(c, insteadOf(op, c.show.case, observedOf(c.show))?.name ?? null)
    return names.get(c)!
  }
  const [na, nb] = [name(a), name(b)]
  if (na === null && nb === null) return null
  if (na === nb) return VAGUE.test(na!) ? 'fits' : 'named'
  if (na === null || nb === null) return 'differs'
  const fits = (n: string, c: Candidate) => gives(op, n, c.show.case, observedOf(c.show)) === true
  return fits(na, b) && fits(nb, a) ? 'fits' : 'differs'
}

/** Outputs of a line, where they were written out. */
export const observedOf = (e: Entry): (Values | null)[] =>
  (e.output ?? []).map(t => (t.values ? { shape: t.shape, data: t.values.map(fromJson64) } : null))
