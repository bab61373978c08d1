/** The straight line: plan → hosts → judge → journal, then the one loop (follow.ts): a failing case through the shrinker and back to a host. */
import { availableParallelism } from 'node:os'
import { type Host, type Job, spoils } from './hosts/host.ts'
import type { Entry, Journal } from './journal.ts'
import { benchOf, judge, type Reference, reference } from './judge.ts'
import { runJudged } from './judged.ts'
import type { Planned, Way } from './plan.ts'
import { waysOf } from './plan.ts'
import { type Backend, type Case, isSlow, type Outcome, type Verdict } from './types.ts'

export interface BackendStatus {
  name: string
  status: 'ran' | 'partial' | 'not-run'
  reason?: string
  enable?: string
  identity: Readonly<Record<string, string>>
  /** Cases of the plan that this backend has passed. */
  cases: number
  elapsedMs: number
  deaths: number
}
export interface Progress {
  backend: string
  state: 'waiting' | 'starting' | 'running' | 'done' | 'not-run'
  cases: number
  of: number
  trials: number
  findings: number
  elapsedMs: number
  /** Until the end of the plan by the clock, its turns among the other hosts included, or of the budget, whichever comes first; 0: not known yet. */
  leftMs: number
}
export interface RunOptions {
  seed: number
  /** Case number s of the run's sequence, or null after the last. */
  sequence: (s: number) => Planned | null
  /** Length of the sequence; Infinity under a budget alone. */
  length: number
  /** External cases: every path, in the first mode. */
  everyPath: boolean
  journal: Journal
  hosts: readonly Host[]
  /** Milliseconds since the epoch after which no batch is begun; Infinity: none. */
  until: number
  stopped: () => boolean
  progress?: (p: Progress) => void
  /** Hears of every outcome in the order of running. */
  note?: (host: Host, planned: Planned, way: Way, outcome: Outcome) => void
  /** Published outputs, judged like one more backend. */
}

/** At most as many hosts work at once as there are cores; of those that wait, the one with the least `had` is next, and of equal ones the first. */
export function slots(n: number) {
  let free = n
  const queue: { go: () => void; had: number }[] = []
  return async <T>(work: () => Promise<T>, had = 0): Promise<T> => {
    if (free > 0) free--
    else await new Promise<void>(go => queue.push({ go, had }))
    try {
      return await work()
    } finally {
      let least = 0
      for (let i = 1; i < queue.length; i++) if (queue[i]!.had < queue[least]!.had) least = i
      const [next] = queue.splice(least, 1)
      if (next) next.go()
      else free++
    }
  }
}
/** Time that a backend has had, as its turns are dealt out: a quick one sees many cases in little of it. */
const QUICK = 3
const hadOf = (b: Backend, elapsedMs: number): number => (isSlow(b) ? elapsedMs : QUICK * elapsedMs)

/** References are shared by all backends; those of cases that everybody has passed are dropped first. */
export function referenceCache(limit = 400) {
  const cache = new Map<string, Reference>()
  return (p: Planned): Reference => {
    const known = cache.get(p.case.id)
    if (known) return known
    if ('declined' in p.canonical) throw new Error('a declined case has no reference')
    const fresh = reference(p.op, p.canonical)
    cache.set(p.case.id, fresh)
    if (cache.size > limit) cache.delete(cache.keys().next().value!)
    return fresh
  }
}

interface Planned1 {
  planned: Planned
  way: Way
}
/** Trials in a message, by the cost of the backend. Fixed, not fitted to the speed seen: what a process ran before a trial is then the same in every run. */
const BATCH = 128
const batchOf = (b: Backend) => Math.max(2, Math.round(BATCH / (b.cost ?? 1)))
/** After this many hangs of one path of an operation on one backend its further trials are not run, and say so. */
const HANGS = 3

export async function runPlan(o: RunOptions): Promise<BackendStatus[]> {
  const turn = slots(Math.max(1, Math.min(availableParallelism(), 4)))
  const refs = referenceCache()
  return Promise.all(o.hosts.map(host => walk(host, o, turn, refs)))
}

async function walk(host: Host, o: RunOptions, turn: ReturnType<typeof slots>, refs: ReturnType<typeof referenceCache>): Promise<BackendStatus> {
  const { backend } = host
  const status: BackendStatus = { name: backend.name, status: 'ran', identity: {}, cases: 0, elapsedMs: 0, deaths: 0 }
  const p: Progress = { backend: backend.name, state: 'waiting', cases: 0, of: o.length, trials: 0, findings: 0, elapsedMs: 0, leftMs: 0 }
  let since = 0
  const leftMs = () => {
    const now = Date.now()
    const plan = status.cases ? ((now - since) / status.cases) * (o.length - status.cases) : Infinity
    const left = Math.min(plan, o.until - now)
    return Number.isFinite(left) ? Math.max(0, left) : 0
  }
  const show = (state: Progress['state']) =>
    o.progress?.({ ...p, state, elapsedMs: status.elapsedMs, cases: status.cases, leftMs: state === 'running' ? leftMs() : 0 })
  show('waiting')
  const began = await turn(async () => {
    if (o.stopped()) return { notRun: 'the run was stopped before its turn' }
    show('starting')
    return host.start()
  })
  if ('notRun' in began) {
    show('not-run')
    return { ...status, status: 'not-run', reason: began.notRun, ...('enable' in began && began.enable ? { enable: began.enable } : {}) }
  }
  status.identity = began.identity
  since = Date.now()
  const hangs = new Map<string, number>()
  let gaveUp = 0
  for (let s = 0; s < o.length && !o.stopped() && Date.now() < o.until; ) {
    const jobs: Planned1[] = []
    const room = batchOf(backend)
    let end = s
    while (end < o.length && jobs.length < room) {
      const planned = o.sequence(end)
      if (!planned) break
      end++
      const ways = waysOf(planned.case, backend, planned.offered(backend.dialect), o.seed, planned.k, o.everyPath)
      if ('declined' in ways)
        o.journal.write(
          line(
            planned,
            backend.name,
            { path: '', mode: backend.modes[0]! },
            { kind: 'gap', rung: null, worst: null, ambiguous: 0, because: ways.declined },
          ),
        )
      else for (const way of ways.trials) jobs.push({ planned, way })
    }
    if (end === s) break
    // trials of one mode stand together, so that modes are changed rarely
    jobs.sort((a, b) => (a.way.mode < b.way.mode ? -1 : a.way.mode > b.way.mode ? 1 : 0))
    const runnable = jobs.filter(({ planned, way }) => {
      if ((hangs.get(`${planned.op.name} ${way.path}`) ?? 0) < HANGS) return true
      o.journal.write(
        line(planned, backend.name, way, {
          kind: 'not-run',
          rung: null,
          worst: null,
          ambiguous: 0,
          because: `this path hung in ${HANGS} cases before`,
        }),
      )
      return false
    })
    await turn(
      async () => {
        const start = Date.now()
        const retry: number[] = []
        const judged = (i: number, outcome: Outcome): Verdict => judgeTrial(runnable[i]!, refs, outcome, backend)
        const record = (i: number, outcome: Outcome, verdict: Verdict, spoiled?: string) => {
          const { planned, way } = runnable[i]!
          o.note?.(host, planned, way, outcome)
          if (outcome.status === 'hung') hangs.set(`${planned.op.name} ${way.path}`, (hangs.get(`${planned.op.name} ${way.path}`) ?? 0) + 1)
          o.journal.write({
            ...line(planned, backend.name, way, verdict),
            ...(spoiled ? { spoiled } : {}),
            ...(outcome.status === 'outputs' || outcome.status === 'threw' ? { runMs: Math.round(outcome.ms * 1000) / 1000 } : {}),
          })
          if (verdict.kind !== 'not-run') p.trials++
          if (!['agree', 'gap', 'not-run', 'not-compared', 'convention', 'trap'].includes(verdict.kind)) p.findings++
          gaveUp = outcome.status === 'not-run' ? gaveUp + 1 : 0
        }
        await runJudged(host, runnable.map(job), deadline(backend), judged, (i, outcome, verdict) => {
          // a death or hang is tried once more alone: memory spoiled by an earlier case is not this op's defect
          if (spoils(outcome) || outcome.status === 'hung') {
            status.deaths++
            retry.push(i)
          } else record(i, outcome, verdict)
        })
        for (const i of retry) {
          await host.restart()
          await host.run([job(runnable[i]!)], deadline(backend), (_, outcome) =>
            record(
              i,
              outcome,
              judged(i, outcome),
              outcome.status === 'outputs' || outcome.status === 'threw' ? 'the host died at this trial after others; alone it ran' : undefined,
            ),
          )
        }
        if (retry.length) await host.restart()
        status.elapsedMs += Date.now() - start
      },
      hadOf(backend, status.elapsedMs),
    )
    s = end
    status.cases = end
    show('running')
    if (gaveUp >= 3 * BATCH) {
      show('done')
      return { ...status, status: 'partial', reason: 'the host could not be started again' }
    }
  }
  show('done')
  return status
}

export const deadline = (b: Backend): number => b.deadlineMs ?? (b.host === 'page' || isSlow(b) ? 20_000 : 8_000)
const job = ({ planned, way }: Planned1): Job => ({ case: planned.case, path: way.path, mode: way.mode })

function judgeTrial({ planned, way }: Planned1, refs: (p: Planned) => Reference, outcome: Outcome, backend: Backend): Verdict {
  return judge(planned.canonical as Case, refs(planned), outcome, benchOf(backend), !!way.naive)
}

export function line(planned: Planned, backend: string, way: Way, verdict: Verdict): Entry {
  return {
    schema: 1,
    role: 'plan',
    case: planned.case,
    backend,
    path: way.path,
    mode: way.mode,
    k: planned.k,
    verdict,
    ...(way.naive ? { naive: way.naive } : {}),
  }
}
