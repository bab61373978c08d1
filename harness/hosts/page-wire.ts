/**
 * What crosses between the parent, the page and its worker. A frame is a little-endian uint32 (length of the header), a JSON header and the tensors' raw
 * bytes, each padded to 8 bytes so that typed arrays can be laid over them. (Objects through `page.evaluate` cost 2.8 s/MB, this 24 ms/MB.)
 */
import type { Outcome, Tensor } from '../types.ts'
import type { Job } from './host.ts'

/** Slots of the shared note, an Int32Array that the worker writes with Atomics.store and the page's main thread relays. */
export const NOTE = { job: 0, phase: 1, slots: 2 } as const
/** What the worker is doing with `job`; opening a runtime has a deadline of its own. */
export const PHASE = { idle: 0, opening: 1, running: 2 } as const

/** Parent → page: end the worker, if there is one, and start the next. */
export type ToPage = { start: number }
/** Page → parent; `epoch` counts workers, so that notes of an ended one are told apart. */
export type FromPage = { epoch: number; job: number; phase: number } | { epoch: number; failed: string }
/** Parent → worker: jobs with their numbers in the batch. */
export type ToWorker = { jobs: readonly { n: number; job: Job }[] }
/** Worker → parent. */
export type FromWorker =
  | { kind: 'connected' }
  /** A promise that nobody waits for was rejected: the runtime may wait for ever. */
  | { kind: 'stray'; reason: string }
  | { kind: 'ready'; identity: Readonly<Record<string, string>> }
  | { kind: 'unable'; reason: string }
  | { kind: 'outcome'; n: number; outcome: Outcome }

/** By the class of the data, not by the dtype: a runtime may say one and return the other. */
const ARRAYS = { Float32Array, Float64Array, Uint16Array, Int32Array, BigInt64Array, Uint8Array, Int8Array }
const classOf = (data: unknown): keyof typeof ARRAYS | undefined =>
  (Object.keys(ARRAYS) as (keyof typeof ARRAYS)[]).find(name => data instanceof ARRAYS[name])
interface Slot {
  dtype: Tensor['dtype']
  shape: readonly number[]
  at: number
  length: number
  /** Class of the typed array. */
  as: keyof typeof ARRAYS
}
const padded = (bytes: number) => (bytes + 7) & ~7

export function pack(message: FromWorker): Uint8Array<ArrayBuffer> {
  const tensors: Uint8Array[] = []
  let size = 0
  const slot = (t: Tensor | null): Slot | null => {
    if (!t) return null
    const data = classOf(t.data) ? t.data : Float64Array.from(t.data as ArrayLike<number>, Number)
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    const at = size
    tensors.push(bytes)
    size += padded(bytes.length)
    return { dtype: t.dtype, shape: t.shape, at, length: data.length, as: classOf(data)! }
  }
  const plain =
    message.kind === 'outcome' && message.outcome.status === 'outputs'
      ? { ...message, outcome: { ...message.outcome, outputs: message.outcome.outputs.map(slot) } }
      : message
  const header = new TextEncoder().encode(JSON.stringify(plain))
  const start = padded(4 + header.length)
  const frame = new Uint8Array(start + size)
  new DataView(frame.buffer).setUint32(0, header.length, true)
  frame.set(header, 4)
  let at = start
  for (const bytes of tensors) {
    frame.set(bytes, at)
    at += padded(bytes.length)
  }
  return frame
}

export function unpack(frame: Uint8Array): FromWorker {
  const length = new DataView(frame.buffer, frame.byteOffset).getUint32(0, true)
  const message = JSON.parse(new TextDecoder().decode(frame.subarray(4, 4 + length)))
  if (message.kind !== 'outcome' || message.outcome.status !== 'outputs') return message
  const data = new Uint8Array(frame.subarray(padded(4 + length))).buffer // a copy: aligned, and the socket's buffer is free again
  message.outcome.outputs = message.outcome.outputs.map(
    (s: Slot | null) => s && { dtype: s.dtype, shape: s.shape, data: new ARRAYS[s.as](data, s.at, s.length) },
  )
  return message
}
