/** The nouns of the benchmark. Method: README.md. */
import type { Backend, Case } from '../harness/types.ts'

/** One operation on one shape, as a case that anyone can replay. */
export interface BenchLayer {
  op: string
  /** Name within the operation: shapes and the attributes that matter. The same in every run, so that stored runs can be compared. */
  layer: string
  /** Model and how often the layer stands in it, or where the shape was read. */
  source: string
  case: Case
  /** Multiply-adds count two; 0: the operation is bound by memory, and GB/s is the figure. An estimate until the output's shape is known. */
  flops: number
  /** Bytes of all inputs. */
  bytes: number
}
export const ALLOCATORS = ['tuned', 'default'] as const
export type Allocator = (typeof ALLOCATORS)[number]
/** What a process is started for. Two sides of the same backend differ in mode, allocator, package version or delay. */
export interface Side {
  name: string
  backend: Backend
  mode: string
  allocator: Allocator
  /** Folder whose node_modules holds other versions of the runtimes. */
  folder?: string
  /** Part of its own time that every call is made longer by, with a real spin. */
  delay?: number
}
/** One side on one cell by one path: the thing that gets a time. */
export interface Contender {
  side: number
  path: string
}
export interface Cell {
  layer: BenchLayer
  contenders: readonly Contender[]
  /** Calls of a burst, bursts of a contender in a visit, visits of a launch: fixed before the first launch. */
  k: number
  repeats: number
  visits: number
}
/** One burst, as it is stored: every figure and every verdict can be computed again from these. */
export interface Burst {
  cell: number
  contender: number
  launch: number
  round: number
  /** Place within the visit. */
  position: number
  /** Milliseconds of each call, in order. */
  times: readonly number[]
  cpuMs: number
  /** Involuntary context switches, page faults. */
  switches: number
  faults: number
}
/** Creation and first run of a contender in a launch; they are never part of a floor. */
export interface Cold {
  cell: number
  contender: number
  launch: number
  createMs: number
  firstMs: number
}
export const CLASSES = ['right', 'less-precise', 'fast-but-wrong', 'not-judged'] as const
export type Class = (typeof CLASSES)[number]

/** A row of bench.json (DESIGN.md §9), and what stands beside it. */
export interface Row {
  op: string
  layer: string
  backend: string
  path: string
  mode: string
  floorMs: number
  medianMs: number
  /** 95 % bootstrap interval of the median. */
  interval: readonly [number, number]
  class: Class
  /** 1 + how many others of this layer are certainly faster; null unless right or less precise, and on a software GPU. */
  rank: number | null
  because?: string
  source: string
  side: string
  threads: number
  allocator: Allocator
  software: boolean
  floorInterval: readonly [number, number]
  p95Ms: number
  cpuMs: number
  calls: number
  /** Calls above 3 × the median: counted, never dropped. */
  outliers: number
  launches: number
  createMs: number
  firstMs: number
  faults: number
  switches: number
  gflops: number | null
  gbs: number
  flops: number
  bytes: number
  /** Share of the ceiling that `ceiling` names, measured in the same run. */
  share: number | null
  ceiling: string | null
  rssMb: number | null
  runtimeMb: number | null
  /** Time over the reference backend's (the first of the layer), paired by visit, and the smallest difference that this cell could show. */
  ratio: Ratio | null
}
export interface Ratio {
  to: string
  value: number
  interval: readonly [number, number]
  verdict: Verdict
  detectable: number
}
export type Verdict = 'faster' | 'slower' | 'same' | 'unresolved'
export interface Ceilings {
  /** Multiply-add, 4-wide WASM SIMD with operands loaded from L1, one thread. */
  wasmGflops: number
  /** Best that native code reached, a thread, on a square product or any layer of the run: observed, not a peak. */
  nativeGflops: number | null
  /** Read + write of a plain copy by size in MB. */
  copy: readonly { mb: number; gbs: number }[]
}
export interface Environment {
  cpu: string
  cores: number
  platform: string
  node: string
  load: readonly [number, number]
  steal: number | null
  variables: Readonly<Record<string, string>>
  nodeArgs: readonly string[]
}
export interface BenchFile {
  schema: 1
  name: string
  started: string
  version: string
  seed: number
  complete: boolean
  launches: readonly [number, number]
  environment: Environment
  identities: Readonly<Record<string, Readonly<Record<string, string>>>>
  ceilings: Ceilings
  cells: Row[]
  /** What was asked for and could not be timed, each with its reason. */
  missing: { op: string; layer: string; side: string; reason: string }[]
}
