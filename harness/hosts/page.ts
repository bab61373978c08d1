/**
 * The parent's side of a backend that lives in a browser: one browser for each backend, one page, one worker. A hang costs the worker; a death, and a GPU
 * process that died (after which TF.js webgl goes on with wrong numbers), cost the browser. The deadline is here.
 */
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { pageScripts } from '../bundle.ts'
import type { Backend, Outcome } from '../types.ts'
import { resolveModule } from '../versions.ts'
import { openPage, type Running, residentBytes, startBrowser } from './browser.ts'
import type { Host, HostOptions, Job, Start } from './host.ts'
import { type PageServer, pageServer } from './page-server.ts'
import { type FromPage, type FromWorker, PHASE } from './page-wire.ts'

export interface PageOptions extends HostOptions {
  /** The backend's file, where it is not harness/backends/<name>.ts. */
  file?: string
  /** Op files, where they are not those of ops/. */
  ops?: readonly string[]
  /** More flags for the browser. */
  flags?: readonly string[]
}

const TICK_MS = 50
/** Opening a runtime: WASM is compiled, shaders are warmed up; generous, for a machine that is busy. */
const OPEN_MS = 90_000
/** A page that is well connects a fresh worker in milliseconds. */
const CONNECT_MS = 20_000
/** Part of the deadline that a job still has after a stray rejection (WebNN's way to refuse a graph is to leave `create` unsettled). */
const STRAY_SHARE = 0.25
const CONSOLE_LINES = 40
const CONSOLE_SHOWN = 8

/** How one attempt at a list of jobs ended. */
type End = { needs: 'nothing' } | { needs: 'worker' | 'browser'; guilty?: { n: number; outcome: Outcome } }
/** What an attempt hears of. */
type Event =
  | { kind: 'note'; job: number; phase: number }
  | { kind: 'outcome'; n: number; outcome: Outcome }
  | { kind: 'connected' }
  | { kind: 'stray'; reason: string }
  | { kind: 'ready'; identity: Readonly<Record<string, string>> }
  | { kind: 'unable'; reason: string }
  | { kind: 'dead'; how: string }

const folderOf = (file: string) => dirname(resolveModule(file, import.meta.url))
/** The runtimes' own files, by the first part of the path in the page. */
const folders = () => ({ ort: folderOf('onnxruntime-web'), 'tfjs-wasm': folderOf('@tensorflow/tfjs-backend-wasm') })

export function pageHost(backend: Backend, options: PageOptions = {}): Host {
  const env = { ...process.env, ...options.env }
  const consoleTail: string[] = []
  let server: PageServer | undefined
  let running: Running | undefined
  let identity: Readonly<Record<string, string>> = {}
  let epoch = 0
  let workerReady = false
  let dead = false
  let hear: (event: Event) => void = () => {}
  let pageConnected: () => void = () => {}
  let started: Promise<Start> | undefined
  const stats = { starts: 0, cpuMs: 0, rssBytes: 0 }
  let cpuBefore = 0
  /** Modes that are open in the present worker: their jobs have no more than their own deadline. */
  const openModes = new Set<string>()
  /** Modes whose opening never settled, and why: their jobs are not tried again. */
  const closedModes = new Map<string, string>()

  const keep = (line: string) => {
    options.log?.(line)
    if (line === consoleTail.at(-1)) return // a worker's messages come twice
    consoleTail.push(line.slice(0, 400))
    if (consoleTail.length > CONSOLE_LINES) consoleTail.shift()
  }
  const tail = () => consoleTail.slice(-CONSOLE_SHOWN).join('\n')

  function fromPage(message: FromPage): void {
    if (message.epoch !== epoch) return
    if ('failed' in message && workerReady)
      keep(message.failed) // an error in some callback: the worker goes on
    else if ('failed' in message) hear({ kind: 'unable', reason: message.failed })
    else hear({ kind: 'note', job: message.job, phase: message.phase })
  }
  function fromWorker(of: number, message: FromWorker): void {
    if (of === epoch) hear(message)
  }

  /** Waits for the worker to be ready; everything that can go wrong is a reason. */
  function freshWorker(): Promise<Start> {
    epoch++
    stats.starts++
    return new Promise(resolve => {
      const finish = (result: Start) => {
        clearTimeout(timer)
        clearTimeout(stuck)
        hear = () => {}
        workerReady = 'identity' in result
        openModes.clear()
        openModes.add(backend.modes[0]!)
        resolve(result)
      }
      const timer = setTimeout(() => finish({ notRun: `${backend.name} did not open within ${OPEN_MS / 1000} s ${tail()}`.trim() }), OPEN_MS)
      const stuck = setTimeout(() => finish({ notRun: 'the page starts no worker' }), CONNECT_MS)
      hear = event => {
        if (event.kind === 'connected') clearTimeout(stuck)
        else if (event.kind === 'ready') finish({ identity: event.identity })
        else if (event.kind === 'unable') finish({ notRun: event.reason })
        else if (event.kind === 'dead') finish({ notRun: `${event.how} while the runtime was opened ${tail()}`.trim() })
      }
      server!.startWorker(epoch)
    })
  }

  async function freshBrowser(): Promise<Start> {
    await dropBrowser()
    const file = options.file ?? fileURLToPath(new URL(`../backends/${backend.name}.ts`, import.meta.url))
    server ??= await pageServer(await pageScripts(file, options.ops), folders(), {
      page: () => pageConnected(),
      note: fromPage,
      worker: fromWorker,
    })
    const launched = await startBrowser(env, options.flags)
    if ('notRun' in launched) return launched
    const { browser } = launched
    stats.starts++
    cpuBefore = stats.cpuMs
    const connected = new Promise<void>((resolve, reject) => {
      pageConnected = resolve
      setTimeout(() => reject(new Error('the page did not connect')), CONNECT_MS).unref()
    })
    connected.catch(() => {})
    dead = false
    running = await openPage(browser, server.url, keep, how => {
      dead = true
      hear({ kind: 'dead', how })
    })
    await connected
    return freshWorker()
  }
  async function dropBrowser(): Promise<void> {
    if (well()) await measure()
    epoch++
    workerReady = false
    const old = running
    running = undefined
    await old?.close()
  }

  const well = () => running !== undefined && !dead && running.gpuAlive()
  /** A worker that takes jobs; once more in a fresh browser when that fails. */
  async function ready(): Promise<Start> {
    if (workerReady && well()) return { identity }
    let result: Start = { notRun: '' }
    for (const how of well() ? [freshWorker, freshBrowser] : [freshBrowser, freshBrowser]) {
      try {
        result = await how()
      } catch (error) {
        result = { notRun: (error as Error).message }
      }
      if ('identity' in result) {
        identity = { ...result.identity, browser: running!.version }
        return { identity }
      }
      if ('enable' in result) break
    }
    await dropBrowser()
    return result
  }

  /** Sends jobs and listens until all are done or something has to be started again. */
  function attempt(jobs: readonly Job[], rest: readonly number[], deadlineMs: number, settle: (n: number, outcome: Outcome) => void): Promise<End> {
    return new Promise(resolve => {
      const here = running!
      const watchesGpu = backend.deviceLost !== undefined
      let at = 0 // position in `rest` of the job that runs
      let phase: number = PHASE.opening
      let waited = 0
      let limit = deadlineMs
      const begin = (position: number, now: number) => {
        if (position !== at) limit = deadlineMs
        at = position
        phase = now
        waited = 0
      }
      let last = performance.now()
      /** Ticks since the GPU process was missed, and the first outcome after that. */
      let gone = 0
      let goneAt: number | undefined
      const end = (result: End) => {
        clearInterval(timer)
        consoleTail.length = 0
        hear = () => {}
        resolve(result)
      }
      const blame = (needs: 'worker' | 'browser', outcome: Outcome, position = at) => end({ needs, guilty: { n: rest[position]!, outcome } })
      const gpuDied = (position = at) => blame('browser', { status: 'device-lost', message: `the GPU process ended\n${tail()}`.trim() }, position)
      const tick = () => {
        const now = performance.now()
        waited += Math.min(now - last, 2 * TICK_MS) // what this process spent elsewhere is not the job's time
        last = now
        // a browser that dies takes its GPU process along, and its own end is told a moment later
        if (watchesGpu && !here.gpuAlive()) return ++gone > 5 ? gpuDied(goneAt ?? at) : undefined
        const { mode } = jobs[rest[at]!]!
        const opens = phase === PHASE.opening && !openModes.has(mode)
        if (waited <= (opens ? OPEN_MS : limit)) return
        if (opens) {
          closedModes.set(mode, `mode ${mode} did not open within ${OPEN_MS / 1000} s`)
          return end({ needs: 'browser' })
        }
        blame('worker', { status: 'hung', afterMs: Math.round(limit), ...(consoleTail.length ? { message: tail() } : {}) })
      }
      const timer = setInterval(tick, TICK_MS)
      hear = event => {
        switch (event.kind) {
          case 'note': {
            const position = rest.indexOf(event.job)
            if (position < at || (position === at && event.phase === phase)) return
            return begin(position, event.phase)
          }
          case 'outcome': {
            const { n, outcome } = event
            const position = rest.indexOf(n)
            if (watchesGpu && !here.gpuAlive()) {
              goneAt ??= position
              return
            }
            if (outcome.status === 'device-lost') return blame('browser', outcome, position)
            if (outcome.status === 'died' && !outcome.alive) return blame('worker', outcome, position) // a trap: its memory is spoiled
            if (backend.exclusiveModes) openModes.clear()
            openModes.add(jobs[n]!.mode)
            consoleTail.length = 0
            settle(n, outcome)
            if (outcome.status === 'out-of-memory') return end({ needs: 'browser' })
            // a node without a kernel is refused before anything runs: that spoils nothing
            if (outcome.status === 'threw' && backend.recycleOnError?.test(outcome.message) && !backend.noKernel?.test(outcome.message))
              return end({ needs: 'worker' })
            if (n === rest.at(-1)) return end({ needs: 'nothing' })
            if (position >= at) begin(position + 1, PHASE.opening) // the note of the next job may have come first, on its own socket
            return
          }
          case 'dead':
            return blame('browser', { status: 'died', how: event.how, message: tail() })
          case 'unable':
            return blame('browser', { status: 'died', how: 'worker failed', message: event.reason })
          case 'stray':
            limit = Math.min(limit, waited + STRAY_SHARE * deadlineMs)
            return
          case 'connected':
          case 'ready':
            return
          default:
            return event satisfies never
        }
      }
      server!.send(epoch, { jobs: rest.map(n => ({ n, job: jobs[n]! })) })
    })
  }

  async function measure(): Promise<void> {
    const list = await running?.processes().catch(() => [])
    if (!list?.length) return
    stats.cpuMs = Math.max(stats.cpuMs, cpuBefore + Math.round(1000 * list.reduce((sum, p) => sum + p.cpuTime, 0)))
    stats.rssBytes = residentBytes(list.map(p => p.id))
  }

  return {
    backend,
    start: () => (started ??= ready()),
    async run(jobs, deadlineMs, done) {
      const outcomes = new Array<Outcome | undefined>(jobs.length)
      let reported = 0
      const settle = (n: number, outcome: Outcome) => {
        outcomes[n] ??= outcome
        for (let o = outcomes[reported]; o; o = outcomes[reported]) done(reported++, o)
      }
      while (reported < jobs.length) {
        for (const [n, { mode }] of jobs.entries()) {
          const reason = closedModes.get(mode)
          if (reason) settle(n, { status: 'not-run', reason })
        }
        const rest = [...jobs.keys()].filter(n => !outcomes[n])
        if (!rest.length) break
        const state = await ready()
        if ('notRun' in state) {
          for (const n of rest) settle(n, { status: 'not-run', reason: state.notRun })
          break
        }
        const end = await attempt(jobs, rest, deadlineMs, settle)
        if (end.needs === 'worker') workerReady = false
        if (end.needs === 'browser') await dropBrowser()
        if ('guilty' in end && end.guilty) settle(end.guilty.n, end.guilty.outcome)
      }
      await measure()
      if (options.maxRss && stats.rssBytes > options.maxRss) await dropBrowser()
    },
    restart: dropBrowser,
    stats: () => ({ ...stats }),
    async close() {
      await dropBrowser()
      server?.close()
      server = undefined
    },
  }
}
