/** Counts of a run, from its journal: per backend, and per operation × backend. Not run and not compared never look like passes. */
import { rank } from './backends.ts'
import type { Entry } from './journal.ts'
import type { BackendStatus } from './run.ts'
import type { Defect } from './triage.ts'
import { FAILING, isFailing, type Kind } from './types.ts'

export interface Cell {
  op: string
  backend: string
  /** Plan lines that ran: neither `gap` nor `not-run`. */
  trials: number
  agree: number
  /** Findings by kind (failing kinds, gap, convention, trap), only those that occur. */
  findings: Partial<Record<Kind, number>>
  ambiguous: number
  notCompared: number
  notRun: number
  /** Largest error / bound among agreeing trials. */
  worst: number | null
  /** Rungs by how often they explained an output. */
  rungs: Record<string, number>
}
export interface Summary {
  schema: 1
  name: string
  seed: number | null
  version: string
  ended: 'clean' | 'interrupted' | 'killed'
  backends: (Omit<BackendStatus, 'cases'> & { trials: number; planned: number; cases: number })[]
  cells: Cell[]
  defects: { id: string; op: string; kind: string; backends: string[]; hits: number; status: string }[]
  corruptLines: number[]
}
/** run.json: written before the first trial, and again when a backend ends. */
export interface RunFile {
  schema: 1
  name: string
  version: string
  seed: number
  cases: number | null
  ops: string[]
  plan: string
  catalogue: string
  options: Record<string, unknown>
  shard: { i: number; n: number } | null
  /** Of a merged run: which shards are in it. */
  shards?: { of: number; here: number[]; missing: number[]; cut: number[] }
  started: string
  node: string
  platform: string
  ended: 'clean' | 'interrupted' | null
  backends: BackendStatus[]
  /** Catalogue entries and earlier summaries that the report compares with. */
  compares: { known: string[]; history: string[] }
}

export function cellsOf(entries: readonly Entry[]): Cell[] {
  const cells = new Map<string, Cell>()
  for (const e of entries) {
    if (e.role !== 'plan') continue
    const key = `${e.case.op} ${e.backend}`
    let cell = cells.get(key)
    if (!cell)
      cells.set(
        key,
        (cell = {
          op: e.case.op,
          backend: e.backend,
          trials: 0,
          agree: 0,
          findings: {},
          ambiguous: 0,
          notCompared: 0,
          notRun: 0,
          worst: null,
          rungs: {},
        }),
      )
    const { kind, rung, worst, ambiguous } = e.verdict
    if (kind === 'not-run') {
      cell.notRun++
      continue
    }
    if (kind !== 'gap') cell.trials++
    if (kind === 'agree') {
      cell.agree++
      if (worst !== null) cell.worst = Math.max(cell.worst ?? 0, worst)
    } else if (kind === 'not-compared') cell.notCompared++
    else cell.findings[kind] = (cell.findings[kind] ?? 0) + 1
    if (rung) cell.rungs[rung] = (cell.rungs[rung] ?? 0) + 1
    if (ambiguous) cell.ambiguous++
  }
  return [...cells.values()].sort((a, b) => (a.op < b.op ? -1 : a.op > b.op ? 1 : rank(a.backend) - rank(b.backend)))
}

export function summarise(run: RunFile, entries: readonly Entry[], defects: readonly Defect[], corrupt: readonly number[]): Summary {
  const trials = new Map<string, number>()
  const cases = new Map<string, Set<string>>()
  for (const e of entries) {
    if (e.role !== 'plan') continue
    ;(cases.get(e.backend) ?? cases.set(e.backend, new Set()).get(e.backend)!).add(e.case.id)
    if (e.verdict.kind !== 'gap' && e.verdict.kind !== 'not-run') trials.set(e.backend, (trials.get(e.backend) ?? 0) + 1)
  }
  const named = new Map(run.backends.map(b => [b.name, b]))
  for (const name of cases.keys())
    if (!named.has(name))
      named.set(name, { name, status: 'partial', reason: 'the run ended before this backend did', identity: {}, cases: 0, elapsedMs: 0, deaths: 0 })
  return {
    schema: 1,
    name: run.name,
    seed: run.seed,
    version: run.version,
    ended: run.ended ?? 'killed',
    backends: [...named.values()]
      .map(b => ({
        ...b,
        cases: cases.get(b.name)?.size ?? 0,
        trials: trials.get(b.name) ?? 0,
        planned: (run.cases ?? 0) * Math.max(1, run.ops.length),
      }))
      .sort((a, b) => rank(a.name) - rank(b.name)),
    cells: cellsOf(entries),
    defects: defects.map(({ id, op, kind, backends, hits, status }) => ({ id, op, kind, backends, hits, status })),
    corruptLines: [...corrupt],
  }
}

export type Mark = 'right' | 'imprecise' | 'wrong' | 'crashes' | 'refuses' | 'gap' | 'not-run'
/** Kinds of the causes that stand in a cell: known defects that this run did not meet, and fixed ones, stand in none. */
export const causesIn = (defects: Summary['defects'], op: string, backends: readonly string[]): Kind[] =>
  defects
    .filter(d => d.op === op && d.status !== 'fixed' && d.status !== 'not-reached' && d.backends.some(b => backends.includes(b)))
    .map(d => d.kind as Kind)

/** One mark for a cell: the worst that was seen, or is known and still so. A cell in which nothing ran says that, whatever is known of it. */
export function markOf(cell: Cell | undefined, causes: readonly Kind[] = []): Mark {
  if (!cell) return 'not-run'
  const ran = cell.agree > 0 || Object.values(cell.findings).some(n => n > 0)
  const has = (...kinds: Kind[]) => kinds.some(k => (cell.findings[k] ?? 0) > 0 || (ran && causes.includes(k)))
  if (has('crash', 'hang', 'device-lost')) return 'crashes'
  if (has('wrong', 'shape', 'dtype', 'non-finite', 'unstable', 'accepts-invalid', 'fallback')) return 'wrong'
  if (has('rejects-valid')) return 'refuses'
  if (has('precision')) return 'imprecise'
  if (cell.agree > 0 || has('convention', 'trap')) return 'right'
  if (has('gap')) return 'gap'
  return 'not-run'
}
export const failures = (cell: Cell): number => FAILING.reduce((n, k) => n + (isFailing(k) ? (cell.findings[k] ?? 0) : 0), 0)
