/**
 * What runs in a child: worker.ts, the ops and one backend (the bundle's entry calls `serve` with them). Jobs come by IPC, notes and outcomes leave through the
 * pipe. The parent kills it; it ends itself when the parent is gone, even while a runtime loops.
 */
import { Worker } from 'node:worker_threads'
import { runtimeSpent } from '../dialects/meter.ts'
import type { Backend, Op, Outcome } from '../types.ts'
import { messageOf, worker } from '../worker.ts'
import { PHASE, say, type ToChild, type Usage } from './child-wire.ts'

/** Ctrl-C and `timeout` reach the whole foreground group: only the parent decides when a child ends. */
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))

const WATCH_MS = 500
/** A looping main thread hears no `disconnect`: another thread looks whether the parent is still the parent. */
function watchParent(parent: number): void {
  const code = `setInterval(() => process.ppid !== ${parent} && process.kill(process.pid, 'SIGKILL'), ${WATCH_MS})`
  new Worker(code, { eval: true, stdin: false, execArgv: [], resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 4 } }).unref()
}

function usage(): Usage {
  const { user, system } = process.cpuUsage()
  const { cpuMs, wallMs } = runtimeSpent()
  return { cpuMs: (user + system) / 1000, runtimeCpuMs: cpuMs, runtimeWallMs: wallMs }
}

/** Errors that nobody caught are told and printed; the job that caused one ends by itself or by its deadline. */
function stray(error: unknown): void {
  console.error(error)
  say({ kind: 'stray', reason: messageOf(error) })
}

export async function serve(backend: Backend, operations: readonly Op[]): Promise<void> {
  process.on('uncaughtException', stray)
  process.on('unhandledRejection', stray)
  watchParent(Number(process.env['OPCOMPAT_PARENT']))
  const runtime = worker(backend, new Map(operations.map(op => [op.name, op])))
  const ready = new Set<string>()
  const opened = async (mode: string): Promise<Outcome | null> => {
    try {
      await runtime.open(mode)
      if (backend.exclusiveModes) ready.clear()
      ready.add(mode)
      return null
    } catch (error) {
      return { status: 'not-run', reason: `mode ${mode} could not be opened: ${messageOf(error)}` }
    }
  }

  async function work({ batch, jobs }: ToChild): Promise<void> {
    const noteOf = (i: number) => {
      const next = jobs[i]
      return next ? [{ kind: 'note', batch, n: next.n, phase: ready.has(next.job.mode) ? PHASE.running : PHASE.opening } as const] : []
    }
    say(...noteOf(0))
    for (const [i, { n, job }] of jobs.entries()) {
      let outcome: Outcome | null = null
      if (!ready.has(job.mode)) {
        outcome = await opened(job.mode)
        say({ kind: 'note', batch, n, phase: PHASE.running })
      }
      outcome ??= await runtime.run(job).catch(error => ({ status: 'not-run', reason: messageOf(error) }) as const)
      const spent = usage()
      try {
        say({ kind: 'outcome', batch, n, outcome, usage: spent }, ...noteOf(i + 1))
      } catch (error) {
        // outputs that are no data
        const message = `the outputs could not be sent: ${messageOf(error)}`
        say({ kind: 'outcome', batch, n, outcome: { status: 'threw', message, ms: 0 }, usage: spent }, ...noteOf(i + 1))
      }
    }
    say({ kind: 'end', batch, rssBytes: process.memoryUsage.rss(), usage: usage() })
  }

  let turn = Promise.resolve()
  process.on('message', (message: ToChild) => {
    turn = turn.then(() => work(message))
  })
  try {
    const { identity } = await runtime.open(backend.modes[0]!)
    ready.add(backend.modes[0]!)
    say({ kind: 'ready', identity, usage: usage() })
  } catch (error) {
    say({ kind: 'unable', reason: messageOf(error) })
  }
}
