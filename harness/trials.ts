/** Single trials of follow-up work: a case on a host by one way, judged; and how outputs are written into the journal. */
import { hash } from './evidence.ts'
import type { Host, Job } from './hosts/host.ts'
import type { Entry } from './journal.ts'
import { benchOf, judge, type Reference, reference } from './judge.ts'
import { runJudged } from './judged.ts'
import { type Planned, planned } from './plan.ts'
import { deadline } from './run.ts'
import { numbers, sizeOf, toJson64 } from './tensor.ts'
import { normalised, sameKind, speaks } from './triage.ts'
import type { Backend, Case, Expected, Op, Outcome, Tensor, Verdict } from './types.ts'

export interface Way {
  backend: string
  path: string
  mode: string
}
export interface Seen {
  verdict: Verdict
  outcome: Outcome
  reference: Reference
}
/** Share of a trial's deadline that follow-up work grants: around a hang there are more of them. */
const PATIENCE = 0.4
/** A host does one thing at a time. */
const busy = new WeakMap<Host, Promise<unknown>>()
async function alone<T>(host: Host, work: () => Promise<T>): Promise<T> {
  const mine = (busy.get(host) ?? Promise.resolve()).then(work, work)
  busy.set(
    host,
    mine.catch(() => {}),
  )
  return mine
}
export type Turn = <T>(host: Host, work: () => Promise<T>) => Promise<T>
/** How a batch of follow-up work gets at its host. */
export interface Access {
  /** Asked for while the host waits for nothing else: a turn is never held by somebody who waits for a host. */
  turn?: Turn
  /** In a fresh process. */
  fresh?: boolean
}
/**
 * One batch of cases by one way each, as runJudged hands them on. Cases that cannot be said are refused by the caller (`offers`).
 */
export async function tryAll(
  host: Host,
  jobs: readonly { p: Planned; path: string; mode: string }[],
  done: (i: number, s: Seen) => void,
  { turn = (_, work) => work(), fresh }: Access = {},
): Promise<void> {
  const all = jobs.map((j): Job => ({ case: j.p.case, path: j.path, mode: j.mode }))
  const refs: Reference[] = []
  const judged = (i: number, outcome: Outcome): Verdict => {
    const { p } = jobs[i]!
    refs[i] ??= reference(p.op, p.canonical as Case)
    return judge(p.canonical as Case, refs[i], outcome, benchOf(host.backend), false)
  }
  const work = async () => {
    if (fresh) await host.restart()
    await runJudged(host, all, PATIENCE * deadline(host.backend), judged, (i, outcome, verdict) => done(i, { verdict, outcome, reference: refs[i]! }))
  }
  await alone(host, () => turn(host, work))
}
export async function tryOne(host: Host, p: Planned, path: string, mode: string, access: Access = {}): Promise<Seen> {
  let seen: Seen | undefined
  await tryAll(
    host,
    [{ p, path, mode }],
    (_, s) => {
      seen = s
    },
    access,
  )
  return seen!
}

/** Paths that are equivalent to the case, in the order of the op's file. */
export const offers = (p: Planned, dialect: Host['backend']['dialect']): string[] =>
  'declined' in p.canonical ? [] : p.offered(dialect).flatMap(l => ('path' in l && !('naive' in l) ? [l.path] : []))
/** Whether the case can be said by this path, whatever the path is worth. */
export function able(op: Op, c: Case, dialect: Host['backend']['dialect'], path: string): boolean {
  const p = planned(op, c, 0)
  return !('declined' in p.canonical) && p.offered(dialect).some(l => 'path' in l && l.path === path)
}

/** Whether a failure costs the process: a trap of a renewable runtime does not. */
export const ends = (v: Verdict, b: Backend): boolean =>
  v.kind === 'hang' || v.kind === 'device-lost' || (v.kind === 'crash' && !(b.renewable && /^trap/.test(v.because ?? '')))

/** Whether a refusal makes the backend start again. */
export const spoilsLater = (v: Verdict, b: Backend): boolean => v.kind === 'rejects-valid' && !!b.recycleOnError?.test(v.because ?? '')

/** Ends of processes that the search around one cause may cost, beyond what it is about; a hang also costs its deadline. */
export class Deaths {
  private left = 12
  constructor(readonly backend: Backend) {}
  note(v: Verdict): void {
    if (ends(v, this.backend)) this.left -= v.kind === 'hang' ? 4 : 1
  }
  get tooMany(): boolean {
    return this.left <= 0
  }
}

const LOOSE = ['zero', 'constant', 'ratio', 'other']
/** The same failure: kind and message, and a compatible look of the output. */
export function alike(a: Verdict, b: Verdict): boolean {
  if (!sameKind(a.kind, b.kind)) return false
  if (a.kind !== b.kind) return true
  if (speaks(a.kind)) return normalised(a.because ?? '') === normalised(b.because ?? '')
  const [x, y] = [a.evidence?.value, b.evidence?.value]
  return x === y || x === undefined || y === undefined || x === 'few' || y === 'few' || (LOOSE.includes(x) && LOOSE.includes(y))
}

const LISTED = 4096
const LISTED_OF_PROBE = 48
function list(dtype: string, shape: readonly number[], data: ArrayLike<number>, most: number) {
  // a runtime that lies about its shape may return more than that
  if (Math.max(sizeOf(shape), data.length) > most) return { dtype, shape, hash: hash([{ dtype: 'float64', shape, data: Float64Array.from(data) }]) }
  return { dtype, shape, values: Array.from(data, toJson64) }
}
export function listed(outcome: Outcome, probe = false): Pick<Entry, 'output'> {
  if (outcome.status !== 'outputs') return {}
  const most = probe ? LISTED_OF_PROBE : LISTED
  return { output: outcome.outputs.filter((t): t is Tensor => !!t).map(t => list(t.dtype, t.shape, numbers(t), most)) }
}
export function listExpected(e: Expected): NonNullable<Entry['expected']>[number][] {
  if (e.rule === 'either') return listExpected(e.options[0]!.expected)
  if (e.rule === 'decisions') return []
  return [list(e.dtype, e.shape, e.value, LISTED)]
}
