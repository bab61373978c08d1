/**
 * Outputs that depend on history. After the plan, one process of each backend runs sequences (sequences.ts) around every 40th case of each operation; a trial
 * whose bits differ between the plan, the positions of a sequence and a fresh process is `unstable`. Bits that have been seen to differ are the proof; fresh
 * processes then tell by which jobs before it, and drop these one at a time. Operations here are deterministic by definition; elements that a definition
 * leaves open are not compared.
 */
import { availableParallelism } from 'node:os'
import { openAt } from './compare.ts'
import type { Host } from './hosts/host.ts'
import type { Journal } from './journal.ts'
import { type Reference, reference } from './judge.ts'
import { deadline, line, slots } from './run.ts'
import { type Slot, type Step, said, slotsOf, stepsOf } from './sequences.ts'
import { numbers, toJson64, unravel } from './tensor.ts'
import type { Case, Element, Expected, Op, Outcome, Reuse } from './types.ts'
import { fate, type Seen, signature, type Witness } from './witness.ts'

export interface StatefulOptions {
  seed: number
  /** All operations, not only the run's: a sequence hangs on its case alone. */
  ops: ReadonlyMap<string, Op>
  hosts: readonly Host[]
  witness: Witness
  journal: Journal
  until: number
  stopped: () => boolean
  progress?: (done: number, of: number, what: string) => void
}
/** What a trial needs to give other bits: jobs before it in its process (none: another fresh process does), and how it is run. */
export interface Past {
  after: readonly Step[]
  reuse?: Reuse
}
/** Fresh processes that a backend may cost; its sequences end there. */
const FRESH = { child: 60, page: 30 }
/** Unstable trials of an operation on a backend after which its further sequences are not run. */
const ENOUGH = 4
/** Jobs of the plan before a trial that are looked at, on a backend of cost 1. */
const LONGEST = 2000
/** So many runs of a trial in one process show an answer that hangs on their number. */
const REPEATS = 5
/** Fresh processes for making one history short. */
const TRIES = 60
/** Histories this long are halved before single jobs are dropped. */
const FEW = 12

export async function stateful(o: StatefulOptions): Promise<{ sequences: number; unstable: number }> {
  const turn = slots(Math.max(1, Math.min(availableParallelism(), 4)))
  const drawn = new Map<string, Slot[]>()
  const slotsFor = (s: Seen): Slot[] => {
    const { id } = s.planned.case
    const known = drawn.get(id) ?? slotsOf(o.seed, o.ops, s.planned.op, s.planned.k)
    drawn.set(id, known)
    return known
  }
  const total = { sequences: 0, unstable: 0 }
  const of = o.hosts.reduce((n, h) => n + o.witness.seen(h.backend.name).length, 0)
  await Promise.all(
    o.hosts.map(async host => {
      const seen = o.witness.seen(host.backend.name)
      if (!seen.length) return
      const search = searcher(host, o)
      const known = new Set<Seen>()
      // first every trial once, the last first: what the plan ran long after something that spoils it is run before that here
      await turn(() => host.restart())
      for (const [list, alone] of [
        [[...seen].reverse(), true],
        [seen, false],
      ] as const)
        for (const s of list) {
          if (o.stopped() || Date.now() >= o.until) return
          if (!known.has(s) && (await turn(() => search(s, alone ? null : slotsFor(s))))) {
            known.add(s)
            total.unstable++
          }
          if (alone) continue
          total.sequences++
          o.progress?.(total.sequences, of, host.backend.name)
        }
    }),
  )
  return total
}

/** Runs the sequence of one trial after another on one backend (`drawn` null: the trial alone); true: the trial is unstable, and its line is written. */
function searcher(host: Host, o: StatefulOptions) {
  const { backend } = host
  const over = () => o.stopped() || Date.now() >= o.until
  let left = FRESH[backend.host]
  const found = new Map<string, number>()
  /** Jobs that have spoiled later ones before: tried first. */
  const culprits: Step[][] = []
  /** What the process at hand has run in this phase. */
  let history: Step[] = []
  let starts = -1

  const run = async (steps: readonly Step[]): Promise<Outcome[]> => {
    const outcomes: Outcome[] = []
    await host.run(steps, deadline(backend), (i, outcome) => {
      outcomes[i] = outcome
      if (host.stats().starts !== starts) history = []
      starts = host.stats().starts
      history.push(steps[i]!)
      if (outcome.status === 'died' && outcome.alive) history = []
    })
    return outcomes
  }
  const fresh = async (steps: readonly Step[]): Promise<Outcome[]> => {
    left--
    await host.restart()
    return run(steps)
  }

  return async (s: Seen, drawn: readonly Slot[] | null): Promise<boolean> => {
    if (left <= 0 || (found.get(s.planned.op.name) ?? 0) >= ENOUGH) return false
    const target: Step = { case: s.planned.case, path: s.way.path, mode: s.way.mode }
    const { steps, trials } = drawn ? stepsOf(drawn, target, backend, o.seed, o.witness.deadly(backend.name)) : { steps: [target], trials: [0] }
    const outcomes = await run(steps)
    const suspects = trials.filter(at => {
      const sign = signature(outcomes[at]!)
      return sign !== null && sign !== s.signature && !excused(steps[at]!, outcomes[at]!)
    })
    if (!suspects.length) return false
    const earlier = history.slice(0, -steps.length) // empty, too, where a process ended on the way
    const explained = await explain(s, target, steps, suspects, outcomes, earlier)
    await host.restart()
    if (!explained) return false
    found.set(s.planned.op.name, (found.get(s.planned.op.name) ?? 0) + 1)
    const { past, because, element } = explained
    o.journal.write({
      ...line(s.planned, backend.name, s.way, {
        kind: 'unstable',
        rung: null,
        worst: null,
        ambiguous: 0,
        ...(element ? { element } : {}),
        because,
      }),
      ...past,
    })
    return true
  }

  async function explain(
    s: Seen,
    target: Step,
    steps: readonly Step[],
    suspects: readonly number[],
    outcomes: readonly Outcome[],
    earlier: readonly Step[],
  ): Promise<{ past: Past; because: string; element?: Element } | null> {
    const ref = reference(s.planned.op, s.planned.canonical as Case)
    const repeated = await fresh(new Array<Step>(REPEATS).fill(target))
    const base = repeated[0]!
    if (signature(base) === null) return null
    const told = (past: Past, d: Difference, once = false) => ({
      past,
      because: sentence(past, d, once),
      ...(d.element ? { element: d.element } : {}),
    })
    for (let i = 1; i < REPEATS; i++) {
      const d = difference(base, repeated[i]!, ref)
      if (d) return told({ after: repeated.slice(0, i).map(() => target) }, d)
    }
    const shows = async ({ after, reuse }: Past): Promise<Difference | null> => {
      if (left <= 0 || over()) return null
      return difference(base, (await fresh([...after, reuse ? { ...target, reuse } : target])).at(-1)!, ref)
    }
    const at = suspects.find(i => difference(base, outcomes[i]!, ref))
    const pasts: Past[] = culprits.slice(-3).map(after => ({ after }))
    if (at !== undefined) {
      const { reuse } = steps[at]!
      const how = reuse ? { reuse } : {}
      pasts.push({ after: steps.slice(0, at), ...how }, { after: [...earlier, ...steps.slice(0, at)], ...how })
    }
    // the plan's own bits differ from those of a fresh process: what ran before it there
    if (signature(base) !== s.signature) pasts.push({ after: o.witness.before(backend.name, s).slice(-Math.round(LONGEST / (backend.cost ?? 1))) })
    for (const past of pasts) {
      const d = await shows(past)
      if (!d) continue
      const short = await shorten(past, d, shows)
      if (short.past.after.length && short.past.after.length < FEW) culprits.push([...short.past.after])
      return told(short.past, short.d)
    }
    for (let i = 0; i < 2; i++) {
      const d = await shows({ after: [] })
      if (d) return told({ after: [] }, d)
    }
    if (at === undefined) {
      // only the plan saw other bits, and may have seen them in elements that are left open
      const sure = signature(base) !== s.signature && !ref.expected.some(leavesOpen)
      return sure ? told({ after: [] }, {}, true) : null
    }
    const { reuse } = steps[at]!
    return told({ after: steps.slice(0, at), ...(reuse ? { reuse } : {}) }, difference(base, outcomes[at]!, ref)!, true)
  }
}

/** After other numbers, or beside a second session, a death may be theirs. */
const excused = (s: Step, outcome: Outcome) => outcome.status === 'died' && (s.reuse === 'other' || s.reuse === 'beside')

type Shows = (past: Past) => Promise<Difference | null>
/** The shortest past that still shows it: plain before reused, the second half of a long one again and again, then fewer jobs, at last one less at a time. */
async function shorten(past: Past, d: Difference, shows: Shows): Promise<{ past: Past; d: Difference }> {
  let best = { past, d }
  let tries = 0
  const better = async (smaller: Past): Promise<boolean> => {
    if (++tries > TRIES) return false
    const seen = await shows(smaller)
    if (seen) best = { past: smaller, d: seen }
    return !!seen
  }
  const last = () => best.past.after
  const rest = () => (best.past.reuse ? { reuse: best.past.reuse } : {})
  if (past.reuse) await better({ after: past.after })
  if (last().length) await better({ after: [], ...rest() })
  if (last().length > FEW) {
    // the latest start of a history that shows it
    let [yes, no] = [0, last().length]
    const whole = last()
    while (no - yes > 1) {
      const middle = (yes + no) >> 1
      if (await better({ after: whole.slice(middle), ...rest() })) yes = middle
      else no = middle
    }
    if (last().length > 1) await better({ after: last().slice(0, 1), ...rest() })
  }
  for (let size = Math.max(1, last().length >> 1); size >= 1; size >>= 1)
    for (let i = 0; i < last().length; ) if (!(await better({ after: last().filter((_, n) => n < i || n >= i + size), ...rest() }))) i += size
  for (let i = 0; i < last().length && last().length <= FEW; i++) {
    const { reuse: used, ...plain } = last()[i]!
    if (used) await better({ after: last().map((s, j) => (j === i ? plain : s)), ...rest() })
  }
  return best
}

export interface Difference {
  element?: Element
  /** What became of the trial, where one of the two gave no outputs. */
  instead?: string
}
/** What differs between two outcomes of one trial in elements that the definition determines; null: nothing, or one of them says nothing. */
export function difference(base: Outcome, other: Outcome, ref: Reference): Difference | null {
  const [a, b] = [signature(base), signature(other)]
  if (a === null || b === null || a === b) return null
  if (base.status !== 'outputs' || other.status !== 'outputs') return { instead: other.status === 'outputs' ? 'gives outputs' : fate(other) }
  if (base.outputs.length !== other.outputs.length) return { instead: 'gives another number of outputs' }
  for (const [j, x] of base.outputs.entries()) {
    const y = other.outputs[j]
    if (!x || !y || x.dtype !== y.dtype || String(x.shape) !== String(y.shape) || x.data.length !== y.data.length) {
      if (x || y) return { instead: 'gives another shape or type' }
      continue
    }
    const [u, v] = [numbers(x), numbers(y)]
    const open = openAt(ref.expected[j], u.length)
    for (let i = 0; i < u.length; i++)
      if (u[i] !== v[i] && !(Number.isNaN(u[i]) && Number.isNaN(v[i])) && !open(i))
        return { element: { output: j, index: unravel(i, x.shape), expected: toJson64(u[i]!), observed: toJson64(v[i]!) } }
  }
  return null
}
const leavesOpen = (e: Expected): boolean =>
  e.rule === 'either' ? e.options.some(x => leavesOpen(x.expected)) : e.rule !== 'decisions' && !!e.open?.length
const REUSED: Record<Reuse, string> = {
  again: 'on a session or tensors used before',
  other: 'on a session used before with other numbers',
  beside: 'beside a second session',
}
/** What was seen and behind what; `once`: fresh processes did not show it again. */
export function sentence({ after, reuse }: Past, d: Difference, once = false): string {
  const names = after.map(said)
  const short = names.length > 6 ? [`${names.length - 3} jobs`, ...names.slice(-3)] : names
  const how = [after.length ? `after ${short.join(', then ')}` : reuse ? '' : 'in another fresh process', reuse ? REUSED[reuse] : ''].filter(Boolean)
  const what = d.instead ? `it ${d.instead}` : 'other bits'
  return `${what} ${how.join(', ')}${after.length || reuse ? ' than alone in a fresh process' : ''}${once ? '; seen once, not again' : ''}`
}
