/**
 * Follow-up of failing trials: confirm in a fresh host, shrink, and run the smallest case on every backend.
 * Hangs on single trials only (the representative of a fingerprint), so that shards equal one run.
 */

import { availableParallelism } from 'node:os'
import { hash } from './evidence.ts'
import type { Host } from './hosts/host.ts'
import type { Entry, Journal } from './journal.ts'
import { benchOf, judge, reference } from './judge.ts'
import { generatorOf, type Planned, planned, rawOf } from './plan.ts'
import { deadline, slots } from './run.ts'
import { shrink } from './shrink.ts'
import { numbers, sizeOf, toJson64 } from './tensor.ts'
import { type Group, groups, normalised } from './triage.ts'
import type { Case, Expected, Op, Outcome, Tensor, Verdict } from './types.ts'

export interface FollowOptions {
  seed: number
  ops: ReadonlyMap<string, Op>
  entries: readonly Entry[]
  hosts: readonly Host[]
  journal: Journal
  until: number
  stopped: () => boolean
  /** External cases are shrunk only on request, and have no generator to shrink by. */
  progress?: (done: number, of: number, what: string) => void
}
const CANDIDATES = 300
const CANDIDATES_SLOW = 80
const LISTED = 4096

/** The same failure: kind and message, and a compatible look of the output. */
export function alike(a: Verdict, b: Verdict): boolean {
  if (a.kind !== b.kind) return false
  if (a.kind === 'rejects-valid' || a.kind === 'crash' || a.kind === 'fallback') return normalised(a.because ?? '') === normalised(b.because ?? '')
  const [x, y] = [a.evidence?.value, b.evidence?.value]
  return (
    x === y ||
    x === undefined ||
    y === undefined ||
    x === 'few' ||
    y === 'few' ||
    (['zero', 'constant', 'ratio', 'other'].includes(x) && ['zero', 'constant', 'ratio', 'other'].includes(y))
  )
}

export async function follow(o: FollowOptions): Promise<{ followed: number; of: number }> {
  const hosts = new Map(o.hosts.map(h => [h.backend.name, h]))
  const all = groups(o.entries).filter(g => !g.representative.case.operator && hosts.has(g.representative.backend))
  // the fastest backend of the peers shrinks; cheap ones first, then what is frequent
  const cost = (name: string) => hosts.get(name)?.backend.cost ?? 1
  const byHost = new Map<string, Group[]>()
  for (const g of [...all].sort((a, b) => b.trials.length - a.trials.length)) {
    const name = g.representative.backend
    ;(byHost.get(name) ?? byHost.set(name, []).get(name)!).push(g)
  }
  const turn = slots(Math.max(1, Math.min(availableParallelism(), 4)))
  const over = () => o.stopped() || Date.now() >= o.until
  let done = 0
  const small: { group: Group; case: Case; path: string; mode: string }[] = []
  await Promise.all(
    [...byHost.entries()].map(async ([name, mine]) => {
      const host = hosts.get(name)!
      if (over()) return
      await turn(() => host.restart())
      for (const g of mine) {
        if (over()) return
        const steady = await turn(() => confirm(g, host, o))
        if (!steady) {
          o.progress?.(++done, all.length, name)
          continue
        }
        const found = await reduce(g, host, o, cost(name) > 5 ? CANDIDATES_SLOW : CANDIDATES, turn, over)
        if (found) small.push({ group: g, case: found, path: g.representative.path, mode: g.representative.mode })
        o.progress?.(++done, all.length, name)
      }
    }),
  )
  small.sort((a, b) => (a.group.fingerprint < b.group.fingerprint ? -1 : 1))
  await Promise.all(o.hosts.map(host => row(host, small, o, turn, over)))
  return { followed: small.length, of: all.length }
}

async function once(host: Host, p: Planned, path: string, mode: string): Promise<{ verdict: Verdict; outcome: Outcome }> {
  let seen: Outcome = { status: 'not-run', reason: 'the host gave no answer' }
  await host.run([{ case: p.case, path, mode }], deadline(host.backend), (_, outcome) => {
    seen = outcome
  })
  return { verdict: judge(p.canonical as Case, reference(p.op, p.canonical as Case), seen, benchOf(host.backend), false), outcome: seen }
}

/** The representative once more in a fresh host: other bits are `unstable`, and nothing is shrunk. */
async function confirm(g: Group, host: Host, o: FollowOptions): Promise<boolean> {
  const { representative: r } = g
  const p = planned(o.ops.get(r.case.op)!, r.case, r.k ?? 0)
  let { verdict, outcome } = await once(host, p, r.path, r.mode)
  const same = (v: Verdict) => alike(v, r.verdict) && (v.evidence?.hash ?? '') === (r.verdict.evidence?.hash ?? '')
  if (!same(verdict)) {
    await host.restart()
    ;({ verdict, outcome } = await once(host, p, r.path, r.mode))
  }
  const steady = same(verdict)
  const said: Verdict = steady
    ? verdict
    : {
        ...verdict,
        kind: 'unstable',
        because: `first ${r.verdict.kind}${r.verdict.because ? ` (${r.verdict.because})` : ''}, alone in a fresh host ${verdict.kind}`,
      }
  o.journal.write({
    schema: 1,
    role: 'confirm',
    case: r.case,
    backend: r.backend,
    path: r.path,
    mode: r.mode,
    k: r.k,
    fingerprint: g.fingerprint,
    of: r.case.id,
    verdict: said,
    ...listed(outcome),
  })
  return steady
}

async function reduce(
  g: Group,
  host: Host,
  o: FollowOptions,
  limit: number,
  turn: ReturnType<typeof slots>,
  over: () => boolean,
): Promise<Case | null> {
  const { representative: r } = g
  const op = o.ops.get(r.case.op)!
  const generator = generatorOf(op, r.k ?? 0)
  const slow = (host.backend.cost ?? 1) > 5 || r.verdict.kind === 'crash' || r.verdict.kind === 'hang'
  const test = async (cases: readonly Case[]): Promise<number> => {
    if (over()) return -1
    const able = cases
      .map((c, i) => ({ i, p: planned(op, c, 0) }))
      .filter(
        ({ p }) => !('declined' in p.canonical) && p.offered(host.backend.dialect).some(l => 'path' in l && l.path === r.path && !('naive' in l)),
      )
    let first = -1
    await turn(() =>
      host.run(
        able.map(({ p }) => ({ case: p.case, path: r.path, mode: r.mode })),
        deadline(host.backend),
        (n, outcome) => {
          if (first >= 0) return
          const { i, p } = able[n]!
          const verdict = judge(p.canonical as Case, reference(op, p.canonical as Case), outcome, benchOf(host.backend), false)
          if (alike(verdict, r.verdict)) first = i
        },
      ),
    )
    return first
  }
  const result = await shrink(
    op,
    generator,
    rawOf(o.seed, op, r.k ?? 0),
    test,
    r.verdict.kind === 'hang' ? 12 : r.verdict.kind === 'crash' ? Math.min(60, limit) : limit,
    slow ? 1 : 8,
  )
  return over() && !result.minimal ? null : result.case
}

/** The smallest cases on one backend: by the failing path where it is offered, in the failing mode and in the first. */
async function row(
  host: Host,
  small: readonly { group: Group; case: Case; path: string; mode: string }[],
  o: FollowOptions,
  turn: ReturnType<typeof slots>,
  over: () => boolean,
): Promise<void> {
  const { backend } = host
  const jobs = small.flatMap(s => {
    const p = planned(o.ops.get(s.case.op)!, s.case, s.group.representative.k ?? 0)
    const offered = p.offered(backend.dialect).filter(l => 'path' in l && !('naive' in l)) as { path: string }[]
    const path = offered.some(l => l.path === s.path) ? s.path : offered[0]?.path
    if (path === undefined) return []
    const own = backend.name === s.group.representative.backend
    const modes = own ? [s.mode] : [backend.modes.includes(s.mode) ? s.mode : backend.modes[0]!]
    return modes.map(mode => ({ s, p, path, mode, own }))
  })
  for (let at = 0; at < jobs.length && !over(); at += 16) {
    const chunk = jobs.slice(at, at + 16)
    await turn(() =>
      host.run(
        chunk.map(j => ({ case: j.s.case, path: j.path, mode: j.mode })),
        deadline(backend),
        (i, outcome) => {
          const { s, p, path, mode, own } = chunk[i]!
          const ref = reference(p.op, p.canonical as Case)
          const verdict = judge(p.canonical as Case, ref, outcome, benchOf(backend), false)
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
            verdict,
            ...listed(outcome),
            ...(own ? { expected: ref.expected.flatMap(listExpected) } : {}),
          })
        },
      ),
    )
  }
}

function list(dtype: string, shape: readonly number[], data: ArrayLike<number>) {
  if (sizeOf(shape) > LISTED) return { dtype, shape, hash: hash([{ dtype: 'float64', shape, data: Float64Array.from(data) }]) }
  return { dtype, shape, values: Array.from(data, toJson64) }
}
function listed(outcome: Outcome): Pick<Entry, 'output'> {
  if (outcome.status !== 'outputs') return {}
  return { output: outcome.outputs.filter((t): t is Tensor => !!t).map(t => list(t.dtype, t.shape, numbers(t))) }
}
function listExpected(e: Expected): NonNullable<Entry['expected']>[number][] {
  if (e.rule === 'either') return listExpected(e.options[0]!.expected)
  if (e.rule === 'decisions') return []
  return [list(e.dtype, e.shape, e.value)]
}
