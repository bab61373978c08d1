/** The parent's end of a benchmark process. */
import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { opFiles } from '../harness/bundle.ts'
import { vulkanEnvironment } from '../harness/cache.ts'
import type { Ask, Warm } from './kernel-main.ts'
import type { Measured } from './measure.ts'
import { kernelScript } from './script.ts'
import type { Side } from './types.ts'

/**
 * Output buffers that are mapped afresh for every call cost 60 to 245 page faults and move whole processes by up to × 2 (BENCH.md, finding 2): glibc keeps them.
 * Users pay the default allocator: `--allocator default`.
 */
export const TUNED: Readonly<Record<string, string>> = {
  MALLOC_MMAP_THRESHOLD_: '1073741824',
  MALLOC_TRIM_THRESHOLD_: '4294967296',
  MALLOC_TOP_PAD_: '67108864',
  MALLOC_ARENA_MAX: '1',
  UV_THREADPOOL_SIZE: '1',
}
export const NODE_ARGS: readonly string[] = ['--single-threaded-gc', '--no-warnings']
const START_MS = 60_000
const ANSWER_MS = 60_000

/** Environment of a side's process; throws where the backend is not set up. */
export async function environmentOf(side: Side): Promise<Record<string, string>> {
  const { backend, mode } = side
  return {
    ...(side.allocator === 'tuned' ? TUNED : {}),
    ...(backend.needs?.includes('vulkan') ? await vulkanEnvironment() : {}),
    ...(backend.environment ? await backend.environment(mode) : {}),
    OPCOMPAT_MODE: mode,
    OPCOMPAT_BENCH_SIDE: JSON.stringify({ mode, delay: side.delay ?? 0 }),
  }
}

export interface KernelHost {
  identity: Readonly<Record<string, string>>
  open(m: Omit<Extract<Ask, { do: 'open' }>, 'do'>): Promise<Warm>
  burst(id: string, k: number): Promise<Measured>
  drop(id: string): Promise<void>
  memory(): Promise<{ rss: number; runtime: number | null }>
  close(): Promise<void>
}
/** Rejects with the runtime's own words where the backend cannot be opened; every later answer rejects if the process has ended. */
export async function startHost(side: Side): Promise<KernelHost> {
  const file = fileURLToPath(new URL(`../harness/backends/${side.backend.name}.ts`, import.meta.url))
  const script = await kernelScript(file, opFiles(), side.folder)
  const child = spawn(process.execPath, [...NODE_ARGS, script], {
    env: { ...process.env, ...(await environmentOf(side)) },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    serialization: 'advanced',
  })
  let tail = ''
  for (const s of [child.stdout!, child.stderr!]) s.on('data', (d: Buffer) => (tail = (tail + d.toString('latin1')).slice(-2000)))
  const wire = conversation(child, () => tail)
  try {
    const identity = (await wire.next(START_MS)) as Record<string, string>
    const ask = <T>(m: Ask): Promise<T> => wire.ask(m) as Promise<T>
    return {
      identity,
      open: m => ask<Warm>({ do: 'open', ...m }),
      burst: (id, k) => ask<Measured>({ do: 'burst', id, k }),
      drop: id => ask<void>({ do: 'drop', id }),
      memory: () => ask<{ rss: number; runtime: number | null }>({ do: 'memory' }),
      close: wire.close,
    }
  } catch (error) {
    await wire.close()
    throw error
  }
}

function conversation(child: ChildProcess, tail: () => string) {
  let waiting: { resolve: (v: unknown) => void; reject: (e: Error) => void } | null = null
  let gone: Error | null = null
  const early: { answer?: unknown; failed?: string }[] = []
  const settle = (m: { answer?: unknown; failed?: string }) => {
    const w = waiting
    waiting = null
    if (!w) early.push(m)
    else if (m.failed !== undefined) w.reject(new Error(m.failed))
    else w.resolve(m.answer)
  }
  child.on('message', settle)
  const ended = (how: string) => {
    const last = tail().trim().split('\n').at(-1) ?? ''
    gone ??= new Error(`the process ended (${how})${last ? `: ${last.slice(0, 200)}` : ''}`)
    waiting?.reject(gone)
    waiting = null
  }
  child.on('error', e => ended(e.message))
  const closed = new Promise<void>(resolve =>
    child.on('close', (code, signal) => {
      ended(signal ?? `exit ${code}`)
      resolve()
    }),
  )
  const next = (ms: number): Promise<unknown> => {
    if (gone && !early.length) return Promise.reject(gone)
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        waiting = null
        gone = new Error(`no answer within ${ms / 1000} s`)
        child.kill('SIGKILL')
        reject(gone)
      }, ms)
      const over =
        <A>(then: (a: A) => void) =>
        (a: A) => {
          clearTimeout(timer)
          then(a)
        }
      waiting = { resolve: over(resolve), reject: over(reject) }
      const first = early.shift()
      if (first) settle(first)
    })
  }
  return {
    next,
    ask(m: Ask): Promise<unknown> {
      if (gone) return Promise.reject(gone)
      const answer = next(ANSWER_MS)
      child.send(m, error => error && ended(error.message))
      return answer
    },
    async close(): Promise<void> {
      child.kill('SIGKILL')
      await closed
    },
  }
}
