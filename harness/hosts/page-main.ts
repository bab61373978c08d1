/**
 * The page's main thread. It runs no runtime: it starts and ends the worker, and tells the parent what the worker last noted, so that the parent knows the
 * guilty job and can hold a deadline even while the worker is stuck in a loop or in a driver.
 */
import { type FromPage, NOTE, type ToPage } from './page-wire.ts'

const RELAY_MS = 20

const parent = new WebSocket(`ws://${location.host}/notes${location.search}`)
const tell = (message: FromPage) => parent.send(JSON.stringify(message))
let worker: Worker | undefined
let note: Int32Array | undefined
let epoch = 0
let last = ''

function start(next: number): void {
  worker?.terminate()
  epoch = next
  last = ''
  note = new Int32Array(new SharedArrayBuffer(4 * NOTE.slots))
  note[NOTE.job] = -1
  worker = new Worker(`/worker.js${location.search}`, { type: 'module' })
  worker.onerror = event => tell({ epoch: next, failed: event.message || 'the worker could not be loaded' })
  worker.postMessage({ epoch: next, note })
}

function relay(): void {
  if (!note || parent.readyState !== WebSocket.OPEN) return
  const job = Atomics.load(note, NOTE.job)
  const phase = Atomics.load(note, NOTE.phase)
  const now = `${job} ${phase}`
  if (now === last) return
  last = now
  tell({ epoch, job, phase })
}

parent.onmessage = event => {
  const message = JSON.parse(event.data) as ToPage
  start(message.start)
}
setInterval(relay, RELAY_MS)
