/** A backend in a Node child process: deadlines in the parent, deaths blamed on the job that was running, everything that was finished kept. */
import { type ChildProcess, spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { deserialize } from 'node:v8'
import { childScript } from '../bundle.ts'
import { vulkanEnvironment } from '../cache.ts'
import { NotHere } from '../errors.ts'
import { textOf } from '../journal.ts'
import type { Backend, Case, Outcome } from '../types.ts'
import type { FromChild, ToChild } from './child-main.ts'
import { type Host, type HostOptions, type Job, type Start, spoils } from './host.ts'
import { modesHost } from './modes.ts'

const OPEN_MS = 60_000
const TAIL = 4000
const MAX_RSS = 1.5 * 2 ** 30
/** No frame is longer: a larger length is no frame. */
const LONGEST = 2 ** 30
/** Part of the deadline that a job still has after an error that nobody caught. */
const STRAY_SHARE = 0.25
/** Ends of a process, one after the other, before any job had begun. */
const PATIENCE = 3

export interface ChildOptions extends HostOptions {
  /** The backend's file, where it is not harness/backends/<name>.ts. */
  file?: string
  /** Op files, where they are not those of ops/. */
  ops?: readonly string[]
  /** Arguments of node, e.g. a small heap. */
  nodeArgs?: readonly string[]
}

interface Child {
  process: ChildProcess
  /** Next message from the pipe, or the end of the process. */
  next: (ms: number) => Promise<FromChild | { kind: 'closed'; how: string } | { kind: 'late' }>
  /** Last lines that it printed: never parsed, kept for the message of a death. */
  tail: () => string
  /** What was printed so far belongs to no later job. */
  forget: () => void
  closed: Promise<void>
  rss: number
}

export function childHost(backend: Backend, options: ChildOptions = {}): Host {
  if (backend.environment && backend.modes.length > 1) return modesHost(backend, one => childHost(one, options))
  let child: Child | null = null
  let used = false
  let known: Start | null = null
  let batches = 0
  let innocent = 0
  /** Modes whose opening hung or killed the process, and why: their jobs are not tried again. */
  const closedModes = new Map<string, string>()
  const total = { starts: 0, cpuMs: 0, insideCpuMs: 0, insideMs: 0, rssBytes: 0 }
  let base = { cpuMs: 0, insideCpuMs: 0, insideMs: 0 }

  async function open(): Promise<Start> {
    const file = options.file ?? fileURLToPath(new URL(`../backends/${backend.name}.ts`, import.meta.url))
    let script: string
    let env: Record<string, string>
    try {
      script = await childScript(file, options.ops)
      env = backend.needs?.includes('vulkan') ? await vulkanEnvironment() : {}
      if (backend.environment) env = { ...env, ...(await backend.environment(backend.modes[0]!)), OPCOMPAT_MODE: backend.modes[0]! }
    } catch (error) {
      return { notRun: (error as Error).message, ...(error instanceof NotHere ? { enable: error.enable } : {}) }
    }
    total.starts++
    base = { cpuMs: 0, insideCpuMs: 0, insideMs: 0 }
    const fresh = launch(script, { ...env, ...options.env }, options)
    const first = await fresh.next(OPEN_MS)
    if (first.kind === 'ready') {
      child = fresh
      used = false
      child.forget()
      return { identity: first.identity }
    }
    await end(fresh)
    if (first.kind === 'failed') {
      const absent = /Cannot find (?:package|module) '((?:@[^'/]+\/)?[^'/]+)/.exec(first.message)?.[1]
      const enable = first.enable ?? (absent && `npm install ${absent}`)
      return { notRun: first.message, ...(enable ? { enable } : {}) }
    }
    return {
      notRun:
        first.kind === 'closed'
          ? `the process ended at its start (${first.how}): ${fresh.tail()}`
          : `the runtime did not start within ${OPEN_MS / 1000} s`,
    }
  }
  async function start(): Promise<Start> {
    if (child) return known!
    known = await open()
    return known
  }
  async function kill(): Promise<void> {
    if (child) await end(child)
    child = null
  }

  async function run(jobs: readonly Job[], deadlineMs: number, done: (i: number, outcome: Outcome) => void): Promise<void> {
    let from = 0
    innocent = 0
    while (from < jobs.length) {
      const reason = innocent < PATIENCE ? closedModes.get(jobs[from]!.mode) : `the process ended ${PATIENCE} times before a job began`
      if (reason !== undefined) {
        done(from++, { status: 'not-run', reason })
        continue
      }
      if (child && child.rss > (options.maxRss ?? MAX_RSS)) await kill()
      const started = await start()
      if ('notRun' in started) {
        // never opened again after a good start: said for what is left
        for (let i = from; i < jobs.length; i++) done(i, { status: 'not-run', reason: started.notRun })
        return
      }
      from = await batch(jobs, from, deadlineMs, done)
    }
  }

  /** One message to the child; returns the first job that has no outcome yet (all: the number of jobs). */
  async function batch(jobs: readonly Job[], from: number, deadlineMs: number, done: (i: number, outcome: Outcome) => void): Promise<number> {
    const c = child!
    used = true
    const number = ++batches
    const message = toChild(number, from ? jobs.slice(from) : jobs)
    try {
      c.process.send(message, () => {})
    } catch {
      // the process is gone: the pipe says how
    }
    let at = from
    let opening = true // the job in hand has not begun
    let begun = false
    let limit = deadlineMs
    const unopened = async (how: string): Promise<number> => {
      await kill()
      if (begun && at < jobs.length)
        closedModes.set(jobs[at]!.mode, `mode ${jobs[at]!.mode} could not be opened: ${[how, c.tail().trim()].filter(Boolean).join('; ')}`)
      else innocent++
      return at
    }
    for (;;) {
      const m = await c.next(opening ? OPEN_MS : limit)
      switch (m.kind) {
        case 'opening':
        case 'begin':
          if (m.batch !== number || m.i + from !== at) break
          opening = m.kind === 'opening'
          begun = true
          limit = deadlineMs
          break
        case 'stray':
          limit = STRAY_SHARE * deadlineMs
          break
        case 'end':
          // answers to other batches, late or given twice, say nothing about this one
          if (m.batch !== number || m.i + from !== at) break
          innocent = 0
          c.forget()
          if (m.next) {
            opening = false
            limit = deadlineMs
          }
          done(at++, m.outcome)
          if (spoils(m.outcome)) {
            await kill()
            return at
          }
          break
        case 'done':
          if (m.batch !== number) break
          c.rss = m.rss
          total.cpuMs += m.cpuMs - base.cpuMs
          total.insideCpuMs += m.insideCpuMs - base.insideCpuMs
          total.insideMs += m.insideMs - base.insideMs
          total.rssBytes = Math.max(total.rssBytes, m.rss)
          base = m
          return at
        case 'late':
          if (opening) return unopened(`no answer within ${OPEN_MS / 1000} s`)
          await kill()
          if (at >= jobs.length) return at
          done(at, { status: 'hung', afterMs: deadlineMs, ...(c.tail() ? { message: lastLine(c.tail()) } : {}) })
          return at + 1
        case 'closed': {
          child = null
          if (opening) return unopened(m.how)
          if (at >= jobs.length) return at
          const tail = c.tail()
          if (/heap out of memory|allocation failed - JavaScript heap/i.test(tail))
            done(at, { status: 'out-of-memory', message: 'JavaScript heap out of memory' })
          else done(at, { status: 'died', how: m.how, message: lastLine(tail) })
          return at + 1
        }
        default: // ready or failed a second time: not an answer
          break
      }
    }
  }

  return {
    backend,
    start,
    // a process that has run nothing is a fresh one
    restart: () => (used ? kill() : Promise.resolve()),
    run,
    stats: () => ({ ...total }),
    async close() {
      await kill()
    },
  }
}

const lastLine = (text: string): string =>
  text
    .split('\n')
    .map(l => l.trim())
    .filter(l => l && !/^at |^\^|^node:|^Node\.js/.test(l))
    .at(-1) ?? ''

function launch(script: string, env: Record<string, string>, options: ChildOptions): Child {
  const process_ = spawn(process.execPath, [...(options.nodeArgs ?? []), '--no-warnings', script], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'ipc'],
    serialization: 'advanced',
    detached: false,
  })
  let tail = ''
  const keep = (chunk: Buffer) => {
    tail = (tail + chunk.toString('latin1')).slice(-TAIL)
    options.log?.(chunk.toString('latin1'))
  }
  process_.stdout!.on('data', keep)
  process_.stderr!.on('data', keep)
  const queue: (FromChild | { kind: 'closed'; how: string })[] = []
  let wake: (() => void) | null = null
  const put = (m: (typeof queue)[number]) => {
    queue.push(m)
    wake?.()
  }
  // what has come and is no whole frame yet; joined once, when it is
  let pending: Buffer[] = []
  let length = 0
  let wanted = 4
  let broken = false
  ;(process_.stdio[3] as Readable).on('data', (chunk: Buffer) => {
    if (broken) return
    pending.push(chunk)
    length += chunk.length
    if (length < wanted) return
    const whole = pending.length > 1 ? Buffer.concat(pending) : chunk
    let at = 0
    wanted = 4
    try {
      while (length - at >= 4) {
        const size = whole.readUInt32LE(at)
        if (size > LONGEST) throw new Error(`a frame of ${size} bytes`)
        if (length - at - 4 < size) {
          wanted = 4 + size
          break
        }
        put(deserialize(whole.subarray(at + 4, at + 4 + size)) as FromChild)
        at += 4 + size
      }
      pending = at < length ? [whole.subarray(at)] : []
      length -= at
    } catch (error) {
      // the runtime wrote into the pipe, or over memory: nothing more can be believed
      broken = true
      keep(Buffer.from(`\nthe pipe carries no frames: ${(error as Error).message}\n`))
      process_.kill('SIGKILL')
    }
  })
  ;(process_.stdio[3] as Readable).on('error', () => {})
  process_.on('error', error => put({ kind: 'closed', how: error.message }))
  // `close` comes after the pipes are read to their end: nothing that was written is lost
  const closed = new Promise<void>(resolve =>
    process_.on('close', (code, signal) => {
      put({ kind: 'closed', how: signal ?? `exit ${code}` })
      resolve()
    }),
  )
  return {
    process: process_,
    closed,
    rss: 0,
    tail: () => tail,
    forget: () => {
      tail = ''
    },
    async next(ms) {
      if (!queue.length) {
        let timer: NodeJS.Timeout | undefined
        const late = await new Promise<boolean>(resolve => {
          wake = () => resolve(false)
          timer = setTimeout(() => resolve(true), ms)
        })
        clearTimeout(timer)
        wake = null
        // this process may have been busy itself: what has come meanwhile is read before anything is called late
        if (late) await new Promise(resolve => setImmediate(resolve))
        if (late && !queue.length) return { kind: 'late' }
      }
      return queue.shift()!
    },
  }
}

function toChild(batch: number, jobs: readonly Job[]): ToChild {
  const cases = [...new Set(jobs.map(j => j.case))]
  const numbers = new Map<Case, number>(cases.map((c, i) => [c, i]))
  return { batch, cases: cases.map(textOf), jobs: jobs.map(j => ({ ...j, case: numbers.get(j.case)! })) }
}

async function end(c: Child): Promise<void> {
  c.process.kill('SIGKILL')
  await c.closed
}
