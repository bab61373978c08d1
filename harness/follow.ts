/**
 * Follow-up of failing trials: confirm in a fresh host, make small, run the smallest case everywhere, probe around it for its rule.
 * Hangs on single trials only (the representative of a fingerprint), so that shards equal one run.
 */
import { availableParallelism } from 'node:os'
import { satisfies } from './atoms.ts'
import type { KnownDefect } from './catalogue.ts'
import { takesIn } from './cluster.ts'
import { type Facts, factsOf } from './facts.ts'
import type { Host } from './hosts/host.ts'
import { explainer } from './instead.ts'
import type { Entry, Journal } from './journal.ts'
import { build, generatorOf, planned, type Raw, rawOf } from './plan.ts'
import type { Limits } from './probes.ts'
import type { Rule } from './rules.ts'
import { slots } from './run.ts'
import { causeKey, resultOf, sharpen } from './sharpen.ts'
import { keepsIntegers, shrink, strengthened, withoutIdle } from './shrink.ts'
import { family, type Group, groups, isGarbage } from './triage.ts'
import { able, alike, Deaths, ends, listExpected, listed, offers, spoilsLater, type Turn, tryAll, tryOne, type Way } from './trials.ts'
import { type Case, isFailing, isSlow, type Op, type Tensor, type Verdict } from './types.ts'

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

export async function follow(options: FollowOptions): Promise<{ followed: number; of: number }> {
  const hosts = new Map(options.hosts.map(h => [h.backend.name, h]))
  const cost = (name: string) => hosts.get(name)?.backend.cost ?? 1
  const share = slots(Math.max(1, Math.min(availableParallelism(), 4)))
  // all backends get the same time, of which the quick ones make more
  const had = new Map<Host, number>()
  const turn: Turn = (host, work) =>
    share(async () => {
      const start = Date.now()
      try {
        return await work()
      } finally {
        had.set(host, (had.get(host) ?? 0) + Date.now() - start)
      }
    }, had.get(host))
  const over = () => options.stopped() || Date.now() >= options.until
  const o: Work = { ...options, turn, over, ruleFor: rulesOf(hosts, { ...options, turn, over }) }
  await Promise.all(o.hosts.map(host => replayKnown(host, o)))
  const all = groups(o.entries, o.matched)
    .filter(g => !g.representative.case.operator && hosts.has(g.representative.backend))
    .map(g => ({ ...g, lead: leadOf(g, cost) }))
  const byHost = new Map<string, Lead[]>()
  for (const g of inTurn(all)) (byHost.get(g.lead.backend) ?? byHost.set(g.lead.backend, []).get(g.lead.backend)!).push(g)
  let done = 0
  let followed = 0
  const found: Found[] = []
  await Promise.all(
    [...byHost.entries()].map(async ([name, mine]) => {
      const host = hosts.get(name)!
      if (over()) return
      await tryAll(host, [], () => {}, { turn, fresh: true })
      // one cause after the other, whole: what time leaves over has no entry of its own, and no entry is half done
      for (const g of mine) {
        if (over()) return
        // without a limit every group is followed, so that shards equal one run
        if (o.until === Infinity || !found.some(f => isUnder(f, g))) {
          const said = await confirm(g, host, o)
          const reduced = said.fails ? await reduce(g, host, o, isSlow(host.backend) ? CANDIDATES_SLOW : CANDIDATES, 1) : null
          if (reduced) {
            const small = said.unstable ? { ...reduced, kind: 'unstable', unstable: said.unstable } : reduced
            followed++
            await Promise.all(o.hosts.map(h => row(h, small, o)))
            await rules(small, g, host, o, found)
          }
        }
        o.progress?.(++done, all.length, `followed on ${name}`)
      }
    }),
  )
  return { followed, of: all.length }
}

/** What every step works with. */
interface Work extends FollowOptions {
  turn: Turn
  over: () => boolean
  ruleFor: (s: Small) => ReturnType<typeof sharpen>
}
type Lead = Group & { lead: Entry }
/** Frequent ones first, but one of each kind of failure of an operation before the second of any. */
function inTurn(all: readonly Lead[]): Lead[] {
  const seen = new Map<string, number>()
  return [...all]
    .sort((a, b) => b.trials.length - a.trials.length)
    .map(g => {
      const name = `${g.lead.backend} ${g.lead.case.op} ${g.lead.verdict.kind}`
      seen.set(name, (seen.get(name) ?? 0) + 1)
      return { g, turn: seen.get(name)! }
    })
    .sort((a, b) => a.turn - b.turn)
    .map(x => x.g)
}

/** A cause with its rule. */
interface Found {
  small: Small
  rule: Rule
}
/** Whether a group looks like a cause whose rule holds for it. */
const isUnder = ({ small: s, rule }: Found, g: Lead): boolean =>
  g.lead.case.op === s.op.name && family(g.lead.backend) === family(s.backend) && takesIn(rule, s.verdict, s.op, g.lead.verdict, g.trials)

/** Of the trials of the representative's case that look alike, the one on the fastest backend does the work. */
function leadOf(g: Group, cost: (backend: string) => number): Entry {
  const { representative: r } = g
  let lead = r
  for (const e of g.trials) if (e.case.id === r.case.id && cost(e.backend) < cost(lead.backend)) lead = e
  return lead
}

async function replayKnown(host: Host, o: Work): Promise<void> {
  const mine = (o.known ?? []).filter(d => d.way.backend === host.backend.name && o.ops.has(d.op))
  const jobs = mine.map(d => ({ d, p: planned(o.ops.get(d.op)!, d.case, 0), path: d.way.path, mode: d.way.mode }))
  for (let at = 0; at < jobs.length && !o.over(); at += 8) {
    const chunk = jobs.slice(at, at + 8)
    await tryAll(
      host,
      chunk,
      (i, { verdict, outcome }) => {
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
      },
      o,
    )
  }
}

/** The lead once more in a fresh host: right there is `unstable`; it is made small only if it fails again. */
async function confirm(g: Lead, host: Host, o: Work): Promise<{ fails: boolean; unstable?: string }> {
  const { lead: r } = g
  const p = planned(o.ops.get(r.case.op)!, r.case, r.k ?? 0)
  let { verdict, outcome } = await tryOne(host, p, r.path, r.mode, o)
  // what nobody wrote may be wrong in another way every time
  const same = (v: Verdict) => alike(v, r.verdict) || (isGarbage(v.kind) && isGarbage(r.verdict.kind))
  if (!same(verdict)) {
    ;({ verdict, outcome } = await tryOne(host, p, r.path, r.mode, { turn: o.turn, fresh: true }))
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
async function reduce(g: Lead, host: Host, o: Work, limit: number, attempt: number, past: (c: Case) => boolean = () => false): Promise<Small | null> {
  const { lead: r } = g
  const op = o.ops.get(r.case.op)!
  const { backend } = host
  const generator = generatorOf(op, r.k ?? 0)
  let way = { backend: backend.name, path: r.path, mode: r.mode }
  let verdict = r.verdict
  let outputs: readonly (Tensor | null)[] = []
  const deaths = new Deaths(backend)
  const deadly = ends(r.verdict, backend)
  const test = async (cases: readonly Case[], by = way): Promise<number> => {
    if (o.over() || (deaths.tooMany && !deadly)) return -1
    const jobs = cases
      .map((c, i) => ({ i, p: planned(op, c, 0), ...by }))
      .filter(j => !past(j.p.case) && able(op, j.p.case, backend.dialect, by.path))
    let first = -1
    await tryAll(
      host,
      jobs,
      (n, seen) => {
        deaths.note(seen.verdict)
        if (first >= 0 || !alike(seen.verdict, r.verdict)) return
        first = jobs[n]!.i
        verdict = seen.verdict
        outputs = seen.outcome.status === 'outputs' ? seen.outcome.outputs : []
      },
      o,
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
  const slow = isSlow(backend) || deadly
  const restarts = deadly || spoilsLater(r.verdict, backend)
  const most = r.verdict.kind === 'hang' ? 12 : restarts ? Math.min(40, limit) : limit
  const result = await shrink(op, generator, raw, test, most, slow ? 1 : 8, keepsIntegers(generator, raw))
  if (o.over() && !result.minimal) return null
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

/** A smallest case on one backend: by the failing path where it is offered, else the first; on the backend that failed by every path, for a way around. */
async function row(host: Host, s: Small, o: Work): Promise<void> {
  const { backend } = host
  const k = s.group.representative.k
  const p = planned(s.op, s.case, k ?? 0)
  const paths = offers(p, backend.dialect)
  const own = backend.name === s.backend
  const chosen = own ? [s.path, ...paths.filter(x => x !== s.path)] : paths.includes(s.path) ? [s.path] : paths.slice(0, 1)
  const mode = backend.modes.includes(s.mode) ? s.mode : backend.modes[0]!
  const jobs = chosen.map(path => ({ p, path, mode }))
  for (let at = 0; at < jobs.length && !o.over(); at += 16) {
    const chunk = jobs.slice(at, at + 16)
    await tryAll(
      host,
      chunk,
      (i, { verdict, outcome, reference: ref }) => {
        const { path } = chunk[i]!
        const lead = own && path === s.path
        o.journal.write({
          schema: 1,
          role: 'smallest',
          case: s.case,
          backend: backend.name,
          path,
          mode,
          k,
          fingerprint: s.group.fingerprint,
          of: s.group.representative.case.id,
          verdict: lead && s.unstable && isFailing(verdict.kind) ? { ...verdict, kind: 'unstable', because: s.unstable } : verdict,
          ...listed(outcome),
          ...(lead ? { lead: s.lead, raw: s.raw, facts: resultOf(s.op, s.case), expected: ref.expected.flatMap(listExpected) } : {}),
          ...(outcome.status === 'outputs' ? { runMs: Math.round(outcome.ms * 1000) / 1000 } : {}),
        })
      },
      o,
    )
  }
}

/** Probes of every cause once: equal causes share one rule. */
function rulesOf(hosts: ReadonlyMap<string, Host>, o: Omit<Work, 'ruleFor'>): Work['ruleFor'] {
  const learned = new Map<string, ReturnType<typeof sharpen>>()
  return (s: Small) => {
    const generator = generatorOf(s.op, s.group.representative.k ?? 0)
    const cause = { ...s, generator, explains: explainer(s.op, s.case, s.verdict, s.outputs) }
    const key = causeKey(s.kind, s.case, s, s.raw)
    const known = learned.get(key)
    if (known) return known
    const fresh = sharpen(cause, hosts.get(s.backend)!, o.journal, o.turn, o.over, o.limits)
    learned.set(key, fresh)
    return fresh
  }
}

/** The rule of a cause; where it does not cover the trial that the smallest case came from, that trial is made small again, past the rule. */
async function rules(first: Small, g: Lead, host: Host, o: Work, found: Found[]): Promise<void> {
  const past: ((f: Facts) => boolean)[] = []
  let s: Small | null = first
  for (let attempt = 2; s && !o.over(); attempt++) {
    if (s.verdict.kind === 'hang') return
    const rule = await o.ruleFor(s)
    if (!rule) return
    found.push({ small: s, rule })
    if (attempt > SLIPS + 1) return
    const origin: Case = g.representative.case
    const known = rule.predicate
    if (!rule.exact || satisfies(known, factsOf(origin, resultOf(s.op, origin)))) return
    past.push(f => satisfies(known, f))
    const under = (c: Case) => past.some(is => is(factsOf(c, resultOf(first.op, c))))
    s = await reduce(g, host, o, CANDIDATES, attempt, under)
    if (!s) return
    const again = s
    await Promise.all(o.hosts.map(h => row(h, again, o)))
  }
}
