/**
 * The child's side: runs jobs as they are asked for, and reports through an inherited pipe with synchronous writes, so that what was finished is never
 * lost and the parent always knows at which job a process died.
 */
import { writeSync } from 'node:fs'
import { serialize } from 'node:v8'
import { Worker } from 'node:worker_threads'
import type { Backend, Op, Outcome } from '../types.ts'
import { messageOf, worker } from '../worker.ts'
import type { Job } from './host.ts'

export type FromChild =
  | { kind: 'ready'; identity: Readonly<Record<string, string>> }
  | { kind: 'failed'; message: string; enable?: string }
  /** The mode of job i is opened: that has a deadline of its own, and says nothing about the operation. */
  | { kind: 'opening'; batch: number; i: number }
  | { kind: 'begin'; batch: number; i: number }
  /** An error that nobody caught: the promise of the job in hand may never settle. */
  | { kind: 'stray' }
  /** `next`: the following job begins with that. */
  | { kind: 'end'; batch: number; i: number; outcome: Outcome; next: boolean }
  | { kind: 'done'; batch: number; rss: number; cpuMs: number; insideCpuMs: number; insideMs: number }
export interface ToChild {
  batch: number
  /** Cases as JSON texts: several jobs share one, and v8 copies a string faster than it walks an object. */
  cases: readonly string[]
  jobs: readonly (Omit<Job, 'case'> & { case: number })[]
}

const PIPE = 3
/** Milliseconds in writes: mostly waiting for the parent to read. */
let writing = 0
/** A frame: four bytes of length, then v8's serialisation. */
function say(message: FromChild): void {
  const body = serialize(message)
  const frame = Buffer.allocUnsafe(4 + body.length)
  frame.writeUInt32LE(body.length, 0)
  body.copy(frame, 4)
  const start = performance.now()
  for (let at = 0; at < frame.length; )
    try {
      at += writeSync(PIPE, frame, at)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
    }
  writing += performance.now() - start
}

/** A child that hangs in native code would outlive a parent that was killed: a thread of its own watches for that. */
function dieWithParent(): void {
  const parent = process.ppid
  const watch = new Worker(`const p = ${parent}; setInterval(() => { if (process.ppid !== p) process.kill(process.pid, 'SIGKILL') }, 500)`, {
    eval: true,
    stdout: false,
    stderr: false,
  })
  watch.unref()
}

/** Printed, so that it stands in the outcome if the job hangs on it; it ends no process of itself. */
function stray(error: unknown): void {
  console.error(error)
  say({ kind: 'stray' })
}

export async function serve(backend: Backend, list: readonly Op[]): Promise<void> {
  dieWithParent()
  // Ctrl-C and the end of a time limit reach the whole group; the parent decides
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
  process.on('uncaughtException', stray)
  process.on('unhandledRejection', stray)
  process.on('disconnect', () => process.exit(0))
  const cpu = () => {
    const u = process.cpuUsage()
    return (u.user + u.system) / 1000
  }
  const inside = { ms: 0 }
  let insideCpuMs = 0
  const w = worker(backend, new Map(list.map(op => [op.name, op])), undefined, inside)
  let mode = process.env['OPCOMPAT_MODE'] ?? backend.modes[0]!
  try {
    const opened = await w.open(mode)
    say({ kind: 'ready', identity: opened.identity })
  } catch (error) {
    say({ kind: 'failed', message: messageOf(error), enable: (error as { enable?: string })?.enable })
    return
  }
  let queue = Promise.resolve()
  process.on('message', (message: ToChild) => {
    queue = queue.then(async () => {
      const { batch } = message
      const cases = message.cases.map(text => JSON.parse(text) as Job['case'])
      const jobs = message.jobs.map((j): Job => ({ ...j, case: cases[j.case]! }))
      // asking for the CPU time of every call would cost more than many calls: inside a batch it is shared out by wall time
      const before = { cpu: cpu(), wall: performance.now(), inside: inside.ms, writing }
      const begins = (i: number): boolean => jobs[i]?.mode === mode
      if (begins(0)) say({ kind: 'begin', batch, i: 0 })
      for (let i = 0; i < jobs.length; i++) {
        let outcome: Outcome
        try {
          if (jobs[i]!.mode !== mode) {
            say({ kind: 'opening', batch, i })
            mode = jobs[i]!.mode
            await w.open(mode)
            say({ kind: 'begin', batch, i })
          }
          outcome = await w.run(jobs[i]!)
        } catch (error) {
          outcome = { status: 'not-run', reason: messageOf(error) } // the runtime could not be opened in this mode
        }
        try {
          say({ kind: 'end', batch, i, outcome, next: begins(i + 1) })
        } catch (error) {
          // outputs that are no data
          const message = `outputs that cannot be sent: ${messageOf(error)}`
          say({ kind: 'end', batch, i, outcome: { status: 'threw', message, ms: 0 }, next: begins(i + 1) })
        }
      }
      // a child that waits for its parent uses no CPU time meanwhile
      const wall = performance.now() - before.wall - (writing - before.writing)
      const cpuMs = cpu()
      if (wall > 0) insideCpuMs += (cpuMs - before.cpu) * Math.min(1, (inside.ms - before.inside) / wall)
      say({ kind: 'done', batch, rss: process.memoryUsage.rss(), cpuMs, insideCpuMs, insideMs: inside.ms })
    })
  })
}
