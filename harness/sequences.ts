/**
 * Sequences of jobs that try to make a trial's outputs depend on what ran before it. Drawn like cases, in a flat form, from (seed, op, k): three disturbances,
 * each followed by the trial itself, plain or on a session (tensors) that served before. The model is short: same trial → same bits.
 */

import { caseOf, contentId, draw, type Planned, planned, type Way, waysOf } from './plan.ts'
import { REUSES } from './reuse.ts'
import type { Backend, Case, Op, Reuse } from './types.ts'

/** One job of a sequence, as data. */
export interface Step {
  case: Case
  path: string
  mode: string
  reuse?: Reuse
}

/** Of so many cases of an operation one starts a sequence. */
export const EVERY = 40
export function begins(seed: number, op: Op, k: number): boolean {
  const block = Math.floor(k / EVERY)
  return k === EVERY * block + (draw(seed, op.name, block, 'sequence begins') % EVERY)
}

/** `same`: nothing between two trials; `shape`: odd width after even; `setting`: NaN as an attribute; `neighbour`: another operation. */
const SORTS = ['shape', 'dtype', 'nan', 'setting', 'refused', 'neighbour', 'neighbour-nan', 'same'] as const
const SLOTS = 3
const TRIES = 8
const REACH = 60
/** Operations that a run puts beside an operation. */
const NEIGHBOURS = 4

export interface Slot {
  /** Null: the trial is repeated at once. */
  disturbance: Planned | null
  reuse?: Reuse
}
export function slotsOf(seed: number, ops: ReadonlyMap<string, Op>, op: Op, k: number): Slot[] {
  const c = caseOf(seed, op, k)
  return Array.from({ length: SLOTS }, (_, i) => {
    const of = (what: string, n: number) => draw(seed, op.name, k, `sequence ${what} ${i}`) % n
    const reuse = REUSES[of('reuse', 2 * REUSES.length)]
    const disturbance = disturb(seed, ops, op, c, k, SORTS[of('sort', SORTS.length)]!, of('at', 0x10000))
    return { disturbance, ...(reuse ? { reuse } : {}) }
  })
}

function disturb(seed: number, ops: ReadonlyMap<string, Op>, op: Op, c: Case, k: number, sort: (typeof SORTS)[number], at: number): Planned | null {
  const near = (of: Op, from: number, wanted: (other: Case) => boolean): Planned => {
    let p = k
    let other = c
    for (let i = 0; i < TRIES; i++) {
      p = from + 1 + ((at + i) % REACH)
      other = caseOf(seed, of, p)
      if (wanted(other)) break
    }
    return planned(of, other, p)
  }
  const width = (x: Case) => x.inputs[0]?.shape.at(-1) ?? 0
  const shape = () => near(op, k, other => other.valid !== false && (width(other) - width(c)) % 2 !== 0)
  switch (sort) {
    case 'same':
      return null
    case 'shape':
      return shape()
    case 'dtype':
      return near(op, k, other => other.valid !== false && other.inputs[0]?.dtype !== c.inputs[0]?.dtype)
    case 'refused':
      return op.invalid ? near(op, 10 * Math.floor(k / 10) + 7, other => other.valid === false) : shape()
    case 'nan':
    case 'setting': {
      const settings = sort === 'setting' || at & 1 ? settingsOf(seed, op) : []
      return settings.length ? planned(op, settings[at % settings.length]!, k) : planned(op, withNaN(c, at) ?? c, k)
    }
    case 'neighbour':
    case 'neighbour-nan': {
      const all = [...ops.values()]
      const other = all[draw(seed, op.name, at % NEIGHBOURS, 'neighbour') % all.length]!
      const settings = sort === 'neighbour-nan' ? settingsOf(seed, other) : []
      if (settings.length) return planned(other, settings[at % settings.length]!, k)
      const p = near(other, 0, x => x.valid !== false)
      const spoilt = sort === 'neighbour-nan' ? withNaN(p.case, at) : null
      return spoilt ? planned(other, spoilt, p.k) : p
    }
    default:
      return sort satisfies never
  }
}

const renamed = ({ id: _, ...rest }: Case): Case => ({ ...rest, id: contentId(rest) })
/** The case with NaN among its floats; null where it has none. */
export function withNaN(c: Case, seed: number): Case | null {
  if (!c.inputs.some(x => x?.dtype.startsWith('float'))) return null
  return renamed({
    ...c,
    inputs: c.inputs.map(x => (x?.dtype.startsWith('float') ? { ...x, recipe: { kind: 'special', seed, value: 'NaN' } } : x)),
  })
}
/** Attributes in which an operation writes numbers that JSON has no word for take NaN, too. */
const SPECIAL = new Set<unknown>(['Infinity', '-Infinity', '-0'])
const SCANNED = 100
const settings = new WeakMap<Op, Map<number, Case[]>>()
function settingsOf(seed: number, op: Op): Case[] {
  const bySeed = settings.get(op) ?? new Map<number, Case[]>()
  settings.set(op, bySeed)
  let known = bySeed.get(seed)
  if (!known) {
    known = Array.from({ length: SCANNED }, (_, k) => caseOf(seed, op, k)).flatMap(c => {
      const special = Object.entries(c.attributes).filter(([, v]) => SPECIAL.has(v))
      return special.length ? [renamed({ ...c, attributes: { ...c.attributes, ...Object.fromEntries(special.map(([n]) => [n, 'NaN'])) } })] : []
    })
    bySeed.set(seed, known)
  }
  return known
}

/** Steps on one backend, and which of them are the trial itself. Jobs that ended a process in the plan (`deadly`) are left out. */
export function stepsOf(
  slots: readonly Slot[],
  target: Step,
  backend: Backend,
  seed: number,
  deadly: (step: Step) => boolean,
): { steps: Step[]; trials: number[] } {
  const steps: Step[] = []
  const trials: number[] = []
  for (const { disturbance, reuse } of slots) {
    const way = disturbance && wayOf(disturbance, backend, seed)
    // a refusal that makes the process start again leaves no history
    if (way && !(backend.recycleOnError && disturbance.case.valid === false)) {
      const step: Step = { case: disturbance.case, path: way.path, mode: target.mode }
      if (!deadly(step)) steps.push(step)
    }
    trials.push(steps.length)
    steps.push(reuse ? { ...target, reuse } : target)
  }
  return { steps, trials }
}
function wayOf(p: Planned, backend: Backend, seed: number): Way | null {
  try {
    const ways = waysOf(p.case, backend, p.offered(backend.dialect), seed, p.k, false)
    return 'trials' in ways ? (ways.trials[0] ?? null) : null
  } catch {
    return null // a changed case may be beyond what the operation's own generator makes
  }
}

/** A step in words. */
export function said(s: Step): string {
  const nan =
    s.case.inputs.some(
      x => x && ((x.recipe.kind === 'special' && x.recipe.value === 'NaN') || (x.recipe.kind === 'values' && x.recipe.values.includes('NaN'))),
    ) || Object.values(s.case.attributes).includes('NaN')
  return `${s.case.valid === false ? 'an invalid ' : ''}${s.case.op}${nan ? ' with NaN' : ''}`
}
