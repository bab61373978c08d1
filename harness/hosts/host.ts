/** What a host promises: jobs in, one outcome each, whatever the runtime does. Backends live in a Node child (child.ts) or in a browser page (page.ts). */
import type { Backend, Case, Outcome, Reuse } from '../types.ts'

export interface Job {
  case: Case
  path: string
  mode: string
  reuse?: Reuse
  /** Runs in a renewed runtime, where the backend is `renewable`. */
  renewed?: true
}
export type Start = { identity: Readonly<Record<string, string>> } | { notRun: string; enable?: string }
export interface Host {
  backend: Backend
  /** Starts the process (once); says what runs there, or why nothing can and which command would enable it. Never rejects because of a runtime. */
  start(): Promise<Start>
  /**
   * Runs the jobs in order, at most `deadlineMs` each (opening the runtime apart), and reports each outcome once, in order, as soon as it is known.
   * A death, a hang or a lost device costs one job: the guilty one gets the outcome, the rest goes on in a fresh process.
   */
  run(jobs: readonly Job[], deadlineMs: number, done: (i: number, outcome: Outcome) => void): Promise<void>
  /** The next run begins in a fresh process. */
  restart(): Promise<void>
  /** How many processes were started, and CPU milliseconds used by them, for the summary. */
  stats(): { starts: number; cpuMs: number; rssBytes: number; insideCpuMs?: number; insideMs?: number }
  close(): Promise<void>
}
export interface HostOptions {
  /** Environment for the process, over the parent's. */
  env?: Readonly<Record<string, string>>
  /** A host is recycled when its resident memory passes this many bytes. */
  maxRss?: number
  /** Called with lines that a process printed (never parsed, kept for the outcome of a death). */
  log?: (line: string) => void
}

/** After these nothing that the process returns can be trusted. */
export const spoils = (o: Outcome): boolean => (o.status === 'died' && !o.alive) || o.status === 'device-lost' || o.status === 'out-of-memory'
