/** What the page holds, as types only: compact, aggregated, never the journal. Backends and operations are numbers into their lists. */
import type { Json64, Kind } from '../harness/types.ts'
import type { News } from './history.ts'

export interface PageBackend {
  name: string
  label: string
  status: 'ran' | 'partial' | 'not-run'
  reason?: string
  enable?: string
  identity: Readonly<Record<string, string>>
  package: string
  trials: number
  planned: number
  cases: number
  elapsedMs: number
  deaths: number
  /** mode → [trials, agree, failing]. */
  modes: Readonly<Record<string, readonly [number, number, number]>>
}
export interface PageCell {
  op: number
  backend: number
  trials: number
  agree: number
  notCompared: number
  notRun: number
  ambiguous: number
  worst: number | null
  findings: Partial<Record<Kind, number>>
  rungs: Readonly<Record<string, number>>
  /** Median time of a trial's call. */
  medianMs: number | null
  /** Why nothing was said, where the cell has gaps: the commonest reason. */
  gap?: string
  /** Largest error / bound of agreeing trials, by tenths of the bound. */
  errors?: readonly number[]
}
/** An attribute's value on each backend: [right, failing, gap, undecided]. */
export interface PageSupport {
  attribute: string
  values: { value: string; on: Readonly<Record<number, readonly [number, number, number, number]>> }[]
}
export interface PageConvention {
  question: string
  answers: { answer: string; on: Readonly<Record<number, number>> }[]
}
/** The path that people write first, and why it is not the operation. */
export interface PageTrap {
  why: string
  paths: string[]
  on: Readonly<Record<number, number>>
}
export interface PageOp {
  name: string
  family: string
  spec: readonly string[]
  support: PageSupport[]
  conventions: PageConvention[]
  traps: PageTrap[]
}
export interface PageTensor {
  dtype: string
  shape: readonly number[]
  /** Absent: too large, only its hash was kept. */
  values?: readonly Json64[]
}
export interface PageDefect {
  id: string
  op: number
  kind: string
  sentence: string
  rule: string
  /** The rule is more than the smallest case written as text. */
  ruled: boolean
  measured?: string
  instead?: string
  recipe?: { text: string; code?: string; cost?: string }
  because: string
  backends: number[]
  paths: string[]
  modes: string[]
  case: unknown
  caseText: string
  /** The smallest case was reached by shrinking. */
  shrunk: boolean
  expected?: PageTensor
  observed?: PageTensor
  output: number
  /** Flat indices of elements outside the bound, and how many there are. */
  bad: number[]
  differing: number
  bound: string
  /** Elements of the smallest case by error/bound: below 1, then by decades; the last holds what has no bound at all. */
  histogram?: readonly number[]
  /** verdict on every backend: [backend, kind, rung, because]. */
  row: [number, string, string, string][]
  hits: number
  reach: { layers: number; models: readonly string[] }
  replay: string
  status: string
  news: News
  track: string
  firstSeen?: string
  lastSeen?: string
  /** What stands behind a known entry. */
  reason?: string
  /** Entries that may have the same cause. */
  related?: readonly string[]
  links: readonly string[]
}
export interface PageRun {
  name: string
  date: string
  version: string
  seed: number | null
  ended: string
  trials: number
  failing: number
  /** backend → [trials, agree, causes, package]. */
  on: Readonly<Record<number, readonly [number, number, number, string]>>
}
export interface BenchCell {
  op: string
  layer: string
  backend: string
  path: string
  mode: string
  floorMs: number
  medianMs: number
  interval: readonly [number, number]
  class: 'right' | 'less-precise' | 'fast-but-wrong' | 'not-judged'
  rank: number | null
}
export interface PageData {
  schema: 1
  run: {
    name: string
    version: string
    seed: number | null
    cases: number | null
    plan: string
    date: string
    ended: string
    platform: string
    node: string
    shard: { i: number; n: number } | null
    shards?: { of: number; here: number[]; missing: number[]; cut: number[] }
    corrupt: number
    /** Rules were run over layers of real models: a hollow mark then means that no layer is hit. */
    reached: boolean
    /** A catalogue of known defects stands behind `status`. */
    catalogued: boolean
  }
  backends: PageBackend[]
  ops: PageOp[]
  cells: PageCell[]
  defects: PageDefect[]
  /** Earlier runs, oldest first, this one last. */
  history: PageRun[]
  /** Seen in earlier runs, not in this one. */
  past: { id: string; op: string; kind: string; backends: string[]; track: string; news: News }[]
  bench: BenchCell[] | null
}
