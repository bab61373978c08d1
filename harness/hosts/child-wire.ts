/** What a child says to its parent, as length-prefixed frames on an inherited pipe; written with `writeSync`, so that nothing finished is lost when it dies. */
import { writeSync } from 'node:fs'
import { deserialize, serialize } from 'node:v8'
import type { Outcome } from '../types.ts'
import type { Job } from './host.ts'

/** The pipe's descriptor in the child. */
export const PIPE = 3
export const PHASE = { opening: 0, running: 1 } as const

/** Milliseconds since the process began: CPU of the whole process; CPU and wall time inside the runtime's calls. */
export interface Usage {
  cpuMs: number
  runtimeCpuMs: number
  runtimeWallMs: number
}
export interface ToChild {
  batch: number
  jobs: readonly { n: number; job: Job }[]
}
export type FromChild =
  | { kind: 'ready'; identity: Readonly<Record<string, string>>; usage: Usage }
  | { kind: 'unable'; reason: string }
  /** Written before a job begins: who is guilty when nothing more comes. */
  | { kind: 'note'; batch: number; n: number; phase: number }
  | { kind: 'outcome'; batch: number; n: number; outcome: Outcome; usage: Usage }
  /** An error that nobody caught. */
  | { kind: 'stray'; reason: string }
  | { kind: 'end'; batch: number; rssBytes: number; usage: Usage }

/** First byte of a note; serialized values begin with 0xff. */
const NOTE = 0
const NOTE_BYTES = 10
/** No frame is longer; a longer length is garbage. */
const LONGEST = 2 ** 30

function frame(message: FromChild): Buffer {
  if (message.kind === 'note') {
    const bytes = Buffer.allocUnsafe(4 + NOTE_BYTES)
    bytes.writeUInt32LE(NOTE_BYTES, 0)
    bytes[4] = NOTE
    bytes.writeUInt32LE(message.batch, 5)
    bytes.writeUInt32LE(message.n, 9)
    bytes[13] = message.phase
    return bytes
  }
  const body = serialize(message)
  const head = Buffer.allocUnsafe(4)
  head.writeUInt32LE(body.length, 0)
  return Buffer.concat([head, body])
}

const pause = new Int32Array(new SharedArrayBuffer(4))
/** Writes frames together; returns when the pipe has them. */
export function say(...messages: FromChild[]): void {
  const bytes = messages.length === 1 ? frame(messages[0]!) : Buffer.concat(messages.map(frame))
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(PIPE, bytes, at)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
      Atomics.wait(pause, 0, 0, 1)
    }
  }
}

/** Takes the pipe's chunks; calls `hear` for every whole frame, `spoiled` once when the bytes are no frames. */
export function listener(hear: (message: FromChild) => void, spoiled: (why: string) => void): (chunk: Buffer) => void {
  let chunks: Buffer[] = []
  let have = 0
  let need = 4
  let broken = false
  return chunk => {
    if (broken) return
    chunks.push(chunk)
    have += chunk.length
    if (have < need) return
    const bytes = chunks.length === 1 ? chunk : Buffer.concat(chunks)
    let at = 0
    need = 4
    try {
      while (bytes.length - at >= 4) {
        const length = bytes.readUInt32LE(at)
        if (length === 0 || length > LONGEST) throw new Error(`a frame of ${length} bytes`)
        if (bytes.length - at < 4 + length) {
          need = 4 + length
          break
        }
        const body = bytes.subarray(at + 4, at + 4 + length)
        at += 4 + length
        if (body[0] === NOTE && length === NOTE_BYTES) hear({ kind: 'note', batch: body.readUInt32LE(1), n: body.readUInt32LE(5), phase: body[9]! })
        else hear(deserialize(body) as FromChild)
      }
    } catch (error) {
      broken = true
      return spoiled((error as Error).message)
    }
    chunks = at < bytes.length ? [bytes.subarray(at)] : []
    have = bytes.length - at
  }
}
