/**
 * The dedicated module worker of a page: worker.ts, the ops and one backend (the bundle's entry calls `serve` with them). It has a WebSocket of its own to the
 * parent and writes a stage note before each job.
 */
import type { Backend, Op, Outcome } from '../types.ts'
import { messageOf, worker } from '../worker.ts'
import { type FromWorker, NOTE, PHASE, pack, type ToWorker } from './page-wire.ts'

const LOG_CHARACTERS = 2000
const LOG_LINES = 50

/** Errors that runtimes and the GPU only print: shader and validation errors never become exceptions, the output is zeros. */
const printed: string[] = []
const print = (line: string) => printed.length < LOG_LINES && printed.push(line)
/** Why a device is gone. Runtimes go on without one, with zeros or stale values. */
let lost: string | undefined
const contexts: WebGL2RenderingContext[] = []

/** Watches the console, WebGPU devices and WebGL contexts; before the runtime is loaded, because it asks for its own. */
function listen(): void {
  const { error } = console
  console.error = (...parts: unknown[]) => {
    print(parts.map(messageOf).join(' '))
    error.apply(console, parts)
  }
  const canvas = OffscreenCanvas.prototype
  const getContext = canvas.getContext as (...all: unknown[]) => unknown
  canvas.getContext = function (this: OffscreenCanvas, ...all: unknown[]) {
    const context = getContext.apply(this, all)
    if (context instanceof WebGL2RenderingContext && !contexts.includes(context)) contexts.push(context)
    return context
  } as typeof canvas.getContext
  const adapter = (globalThis as { GPUAdapter?: { prototype: GPUAdapter } }).GPUAdapter?.prototype
  if (!adapter) return
  const request = adapter.requestDevice
  adapter.requestDevice = async function (this: GPUAdapter, descriptor?: GPUDeviceDescriptor) {
    const device = await request.call(this, descriptor)
    device.addEventListener('uncapturederror', event => print(event.error.message))
    device.lost.then(info => {
      if (info.reason !== 'destroyed') lost = `the WebGPU device is lost: ${info.message}`
    })
    return device
  }
}
function lostDevice(): string | undefined {
  if (contexts.some(context => context.isContextLost())) lost ??= 'the WebGL context is lost'
  return lost
}
function takePrinted(): string {
  const text = printed.splice(0).join('\n')
  return text.length > LOG_CHARACTERS ? `${text.slice(0, LOG_CHARACTERS)} …` : text
}

export async function serve(backend: Backend, operations: readonly Op[]): Promise<void> {
  listen()
  const { epoch, note } = await new Promise<{ epoch: number; note: Int32Array }>(resolve => {
    globalThis.onmessage = event => resolve(event.data)
  })
  globalThis.onmessage = null
  const stage = (job: number, phase: number) => {
    Atomics.store(note, NOTE.job, job)
    Atomics.store(note, NOTE.phase, phase)
  }
  const socket = new WebSocket(`ws://${location.host}/jobs${location.search}&epoch=${epoch}`)
  socket.binaryType = 'arraybuffer'
  const send = (message: FromWorker) => socket.send(pack(message))
  await new Promise(resolve => {
    socket.onopen = resolve
  })
  send({ kind: 'connected' })
  globalThis.addEventListener('unhandledrejection', event => send({ kind: 'stray', reason: messageOf(event.reason) }))
  const runtime = worker(backend, new Map(operations.map(op => [op.name, op])))
  const opened = async (mode: string): Promise<Outcome | null> => {
    try {
      await runtime.open(mode)
      return null
    } catch (error) {
      return { status: 'not-run', reason: `mode ${mode} could not be opened: ${messageOf(error)}` }
    }
  }
  let turn = Promise.resolve()
  socket.onmessage = event => {
    const { jobs } = JSON.parse(event.data) as ToWorker
    turn = turn.then(async () => {
      for (const { n, job } of jobs) {
        stage(n, PHASE.opening)
        let outcome = await opened(job.mode)
        stage(n, PHASE.running)
        outcome ??= await runtime.run(job).catch(error => ({ status: 'not-run', reason: messageOf(error) }) as const)
        const gone = lostDevice()
        if (gone) outcome = { status: 'device-lost', message: gone }
        const log = takePrinted()
        if (log && outcome.status === 'outputs') outcome = { ...outcome, log }
        send({ kind: 'outcome', n, outcome })
      }
      stage(-1, PHASE.idle)
    })
  }
  try {
    const { identity } = await runtime.open(backend.modes[0]!)
    send({ kind: 'ready', identity })
  } catch (error) {
    send({ kind: 'unable', reason: [messageOf(error), takePrinted()].filter(Boolean).join('; ') })
  }
}
