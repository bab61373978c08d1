/**
 * Follow-up of failing trials: confirm in a fresh host, make small, run the smallest case everywhere, probe around it for its rule.
 * Hangs on single trials only (the representative of a fingerprint), so that shards equal one run.
 */
import { availableParallelism } from 'node:os'
import { satisfies } from './atoms.ts'
import type { KnownDefect } from './catalogue.ts'
import { type Facts, factsOf } from './facts.ts'
import type { Host } from './hosts/host.ts'
import { explainer } from './instead.ts'
import type { Entry, Journal } from './journal.ts'
import { build, generatorOf, planned, type Raw, rawOf } from './plan.ts'
import type { Limits } from './probes.ts'
import { slots } from './run.ts'
import { causeKey, resultOf, sharpen } from './sharpen.ts'
import { keepsIntegers, shrink, strengthened, withoutIdle } from './shrink.ts'
import { type Group, groups } from './triage.ts'
import { able, alike, Deaths, listExpected, listed, offers, tryAll, tryOne, type Way } from './trials.ts'
import { type Case, isFailing, type Op, type Tensor, type Verdict } from './types.ts'

export interface FollowOptions {
  seed: number
  ops: ReadonlyMap<string, Op>
  entries: readonly Entry[]
  hosts: readonly Host[]
  journal: Journal
  until: number
  stopped: () => boolean
  /** Entries of the catalogue that this run can reach: replayed once; trials that match one get no further work. */
  known?: readonly KnownDefect[]
  matched?: (e: Entry) => boolean
  /** Sizes of the search for rules, for tests. */
  limits?: Limits
  progress?: (done: number, of: number, what: string) => void
}
const CANDIDATES = 300
const CANDIDATES_SLOW = 80
/** Times that a trial is made small again because the rule found does not cover it. */
const SLIPS = 2

interface Small extends Way {
  kind: string
  /** Why it is called unstable. */
  unstable?: string
  group: Group
  lead: number
  op: Op
  raw: Raw
  case: Case
  verdict: Verdict
  outputs: readonly (Tensor | null)[]
  minimal: boolean
}

export async function follow(o: FollowOptions): Promise<{ followed: number; of: number }> {
  const hosts = new Map(o.hosts.map(h => [h.backend.name, h]))
  const cost = (name: string) => hosts.get(name)?.backend.cost ?? 1
  const turn = slots(Math.max(1, Math.min(availableParallelism(), 4)))
  const over = () => o.stopped() || Date.now() >= o.until
  await Promise.all(o.hosts.map(host => replayKnown(host, o, turn, over)))
  const all = groups(o.entries, o.matched)
    .filter(g => !g.representative.case.operator && hosts.has(g.representative.backend))
    .map(g => ({ ...g, lead: leadOf(g, cost) }))
  const byHost = new Map<string, (Group & { lead: Entry })[]>()
  for (const g of [...all].sort((a, b) => b.trials.length - a.trials.length))
    (byHost.get(g.lead.backend) ?? byHost.set(g.lead.backend, []).get(g.lead.backend)!).push(g)
  let done = 0
  const small: Small[] = []
  await Promise.all(
    [...byHost.entries()].map(async ([name, mine]) => {
      const host = hosts.get(name)!
      if (over()) return
      await turn(() => host.restart())
      for (const g of mine) {
        if (over()) return
        const said = await turn(() => confirm(g, host, o))
        if (said.fails) {
          const found = await reduce(g, host, o, cost(name) > 5 ? CANDIDATES_SLOW : CANDIDATES, turn, over, 1)
          if (found) small.push(said.unstable ? { ...found, kind: 'unstable', unstable: said.unstable } : found)
        }
        o.progress?.(++done, all.length, `made small, ${name}`)
      }
    }),
  )
  const ordered = (list: readonly Small[]) => [...list].sort((a, b) => (a.group.fingerprint < b.group.fingerprint ? -1 : 1))
  await Promise.all(o.hosts.map(host => row(host, ordered(small), o, turn, over)))
  await rules(ordered(small), hosts, o, turn, over)
  return { followed: small.length, of: all.length }
}

/** Of the trials of the representative's case that look alike, the one on the fastest backend does the work. */
function leadOf(g: Group, cost: (backend: string) => number): Entry {
  const { representative: r } = g
  let lead = r
  for (const e of g.trials) if (e.case.id === r.case.id && cost(e.backend) < cost(lead.backend)) lead = e
  return lead
}

async function replayKnown(host: Host, o: FollowOptions, turn: ReturnType<typeof slots>, over: () => boolean): Promise<void> {
  const mine = (o.known ?? []).filter(d => d.way.backend === host.backend.name && o.ops.has(d.op))
  const jobs = mine.map(d => ({ d, p: planned(o.ops.get(d.op)!, d.case, 0), path: d.way.path, mode: d.way.mode }))
  for (let at = 0; at < jobs.length && !over(); at += 8) {
    const chunk = jobs.slice(at, at + 8)
    await turn(() =>
      tryAll(host, chunk, (i, { verdict, outcome }) => {
        const { d, path, mode } = chunk[i]!
        o.journal.write({
          schema: 1,
          role: 'smallest',
          case: d.case,
          backend: host.backend.name,
          path,
          mode,
          fingerprint: `known ${d.id}`,
          of: d.id,
          verdict,
          ...listed(outcome),
        })
      }),
    )
  }
}

/** The lead once more in a fresh host: other bits are `unstable`; it is made small only if it fails again. */
async function confirm(g: Group & { lead: Entry }, host: Host, o: FollowOptions): Promise<{ fails: boolean; unstable?: string }> {
  const { lead: r } = g
  const p = planned(o.ops.get(r.case.op)!, r.case, r.k ?? 0)
  let { verdict, outcome } = await tryOne(host, p, r.path, r.mode)
  // of an output of another shape or type the elements may be anything
  const loose = r.verdict.kind === 'shape' || r.verdict.kind === 'dtype'
  const same = (v: Verdict) =>
    alike(v, r.verdict) && (loose ? v.because === r.verdict.because : (v.evidence?.hash ?? '') === (r.verdict.evidence?.hash ?? ''))
  if (!same(verdict)) {
    await host.restart()
    ;({ verdict, outcome } = await tryOne(host, p, r.path, r.mode))
  }
  const steady = same(verdict)
  const said: Verdict = steady
    ? verdict
    : {
        ...verdict,
        kind: 'unstable',
        because: `first ${r.verdict.kind}${r.verdict.because ? ` (${r.verdict.because})` : ''}, alone in a fresh host ${verdict.kind}`,
      }
  const { backend, path, mode, k } = r
  const trial = { case: r.case, backend, path, mode, k, fingerprint: g.fingerprint, of: g.representative.case.id, lead: 1 }
  o.journal.write({ schema: 1, role: 'confirm', ...trial, verdict: said, ...listed(outcome) })
  return steady ? { fails: true } : { fails: alike(verdict, r.verdict), unstable: said.because }
}

/** @param past rules that the smallest case may not fall under: an earlier attempt slipped into another defect */
async function reduce(
  g: Group & { lead: Entry },
  host: Host,
  o: FollowOptions,
  limit: number,
  turn: ReturnType<typeof slots>,
  over: () => boolean,
  attempt: number,
  past: (c: Case) => boolean = () => false,
): Promise<Small | null> {
  const { lead: r } = g
  const op = o.ops.get(r.case.op)!
  const { backend } = host
  const generator = generatorOf(op, r.k ?? 0)
  let way = { backend: backend.name, path: r.path, mode: r.mode }
  let verdict = r.verdict
  let outputs: readonly (Tensor | null)[] = []
  const deaths = new Deaths()
  const deadly = r.verdict.kind === 'crash' || r.verdict.kind === 'hang'
  const test = async (cases: readonly Case[], by = way): Promise<number> => {
    if (over() || (deaths.tooMany && !deadly)) return -1
    const jobs = cases
      .map((c, i) => ({ i, p: planned(op, c, 0), ...by }))
      .filter(j => !past(j.p.case) && able(op, j.p.case, backend.dialect, by.path))
    let first = -1
    await turn(() =>
      tryAll(host, jobs, (n, seen) => {
        deaths.note(seen.verdict)
        if (first >= 0 || !alike(seen.verdict, r.verdict)) return
        first = jobs[n]!.i
        verdict = seen.verdict
        outputs = seen.outcome.status === 'outputs' ? seen.outcome.outputs : []
      }),
    )
    return first
  }
  let raw = rawOf(o.seed, op, r.k ?? 0)
  const richer = strengthened(generator, raw)
  if (richer && (await test([build(op, generator, richer)])) === 0) raw = richer
  // the plainest path and mode that still fail
  const start = build(op, generator, raw)
  const plainest = offers(planned(op, start, 0), backend.dialect)[0] ?? r.path
  for (const by of [
    { ...way, path: plainest, mode: backend.modes[0]! },
    { ...way, mode: backend.modes[0]! },
  ])
    if ((by.path !== way.path || by.mode !== way.mode) && (await test([start], by)) === 0) {
      way = by
      break
    }
  const slow = (backend.cost ?? 1) > 5 || r.verdict.kind === 'crash' || r.verdict.kind === 'hang'
  const restarts = r.verdict.kind === 'crash' || (backend.recycleOnError && r.verdict.kind === 'rejects-valid')
  const most = r.verdict.kind === 'hang' ? 12 : restarts ? Math.min(40, limit) : limit
  const result = await shrink(op, generator, raw, test, most, slow ? 1 : 8, keepsIntegers(generator, raw))
  if (over() && !result.minimal) return null
  return {
    kind: r.verdict.kind,
    group: g,
    lead: attempt,
    op,
    raw: withoutIdle(op, generator, result.raw),
    case: result.case,
    verdict,
    outputs,
    minimal: result.minimal,
    ...way,
  }
}

/** The smallest cases on one backend: by the failing path where it is offered, else the first; on the backend that failed by every path, for a way around. */
async function row(host: Host, small: readonly Small[], o: FollowOptions, turn: ReturnType<typeof slots>, over: () => boolean): Promise<void> {
  const { backend } = host
  const jobs = small.flatMap(s => {
    const p = planned(s.op, s.case, s.group.representative.k ?? 0)
    const paths = offers(p, backend.dialect)
    const own = backend.name === s.backend
    const chosen = own ? [s.path, ...paths.filter(x => x !== s.path)] : [paths.includes(s.path) ? s.path : paths[0]]
    const mode = backend.modes.includes(s.mode) ? s.mode : backend.modes[0]!
    return chosen.flatMap(path => (path === undefined ? [] : [{ s, p, path, mode, lead: own && path === s.path }]))
  })
  for (let at = 0; at < jobs.length && !over(); at += 16) {
    const chunk = jobs.slice(at, at + 16)
    await turn(() =>
      tryAll(host, chunk, (i, { verdict, outcome, reference: ref }) => {
        const { s, path, mode, lead } = chunk[i]!
        o.journal.write({
          schema: 1,
          role: 'smallest',
          case: s.case,
          backend: backend.name,
          path,
          mode,
          k: s.group.representative.k,
          fingerprint: s.group.fingerprint,
          of: s.group.representative.case.id,
          verdict: lead && s.unstable && isFailing(verdict.kind) ? { ...verdict, kind: 'unstable', because: s.unstable } : verdict,
          ...listed(outcome),
          ...(lead ? { lead: s.lead, raw: s.raw, facts: resultOf(s.op, s.case), expected: ref.expected.flatMap(listExpected) } : {}),
          ...(outcome.status === 'outputs' ? { runMs: Math.round(outcome.ms * 1000) / 1000 } : {}),
        })
      }),
    )
  }
}

/** Probes of every cause once; where the rule does not cover the trial that a smallest case came from, that trial is made small again, past the rule. */
async function rules(
  small: readonly Small[],
  hosts: ReadonlyMap<string, Host>,
  o: FollowOptions,
  turn: ReturnType<typeof slots>,
  over: () => boolean,
): Promise<void> {
  const learned = new Map<string, ReturnType<typeof sharpen>>()
  let done = 0
  const ruleFor = (s: Small) => {
    const generator = generatorOf(s.op, s.group.representative.k ?? 0)
    const cause = { ...s, generator, explains: explainer(s.op, s.case, s.verdict, s.outputs) }
    const key = causeKey(s.kind, s.case, s, s.raw)
    const known = learned.get(key)
    if (known) return known
    const fresh = sharpen(cause, hosts.get(s.backend)!, o.journal, turn, over, o.limits)
    learned.set(key, fresh)
    return fresh
  }
  await Promise.all(
    [...hosts.keys()].map(async name => {
      for (const first of small.filter(s => s.backend === name)) {
        const past: ((f: Facts) => boolean)[] = []
        let s: Small | null = first
        for (let attempt = 2; s && !over(); attempt++) {
          if (s.verdict.kind === 'hang') break
          const rule = await ruleFor(s)
          if (!rule || attempt > SLIPS + 1) break
          const origin: Case = s.group.representative.case
          const known = rule.predicate
          if (!rule.exact || satisfies(known, factsOf(origin, resultOf(s.op, origin)))) break
          past.push(f => satisfies(known, f))
          const under = (c: Case) => past.some(is => is(factsOf(c, resultOf(first.op, c))))
          const g = { ...first.group, lead: (first.group as Group & { lead: Entry }).lead }
          const found = await reduce(g, hosts.get(name)!, o, CANDIDATES, turn, over, attempt, under)
          if (!found) break
          await Promise.all(o.hosts.map(h => row(h, [found], o, turn, over)))
          s = found
        }
        o.progress?.(++done, small.length, `rules, ${name}`)
      }
    }),
  )
}
