/**
 * TensorFlow.js on TensorFlow's own library (tfjs-node, tfjs-node-gpu) as an opened backend, with a proof for every trial of the device that ran each
 * operation: the lines that native/tfe-trace.c writes after every TFE_Execute.
 */
import { closeSync, fstatSync, ftruncateSync, mkdtempSync, openSync, readSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Opened } from '../types.ts'
import { FellBack } from '../worker.ts'
import { openTfjs } from './tfjs.ts'

export interface Executed {
  /** TensorFlow's name of the operation (`_MklNativeConv2D` where oneDNN took it). */
  operation: string
  /** The device that ran it, and the one that holds its first output (whole numbers and shapes may lie in host memory). */
  device: string
  memory: string
}
export const readTrace = (text: string): Executed[] =>
  text
    .split('\n')
    .filter(Boolean)
    .map(l => {
      const [operation = '?', device = '-', memory = '-'] = l.split('\t')
      return { operation, device, memory }
    })
/** `/job:localhost/replica:0/task:0/device:GPU:0` → `GPU:0`. */
export const shortDevice = (name: string): string => /device:(\w+:\d+)/.exec(name)?.[1] ?? name
/** Operations that ran elsewhere than on the wanted kind of device, as one sentence; null: none did. */
export function elsewhere(executed: readonly Executed[], wanted: 'CPU' | 'GPU'): string | null {
  const other = executed.filter(e => e.device !== '-' && !shortDevice(e.device).startsWith(`${wanted}:`))
  return other.length ? [...new Set(other.map(e => `${shortDevice(e.device)} (${e.operation})`))].join(', ') : null
}

/** A file without a name, so that nothing is left behind however the process ends; its descriptor is told to the traced library. */
function openTrace(): { take: () => Executed[]; clear: () => void } {
  const dir = mkdtempSync(join(tmpdir(), 'opcompat-trace-'))
  const fd = openSync(join(dir, 'trace'), 'a+')
  rmSync(dir, { recursive: true })
  process.env['OPCOMPAT_TFE_TRACE_FD'] = String(fd)
  process.once('exit', () => closeSync(fd))
  return {
    clear: () => ftruncateSync(fd, 0),
    take() {
      const text = Buffer.alloc(fstatSync(fd).size)
      readSync(fd, text, 0, text.length, 0)
      return readTrace(text.toString())
    },
  }
}

/** The addon's exceptions put TensorFlow's own words into a second line: `Invalid TF_Status: 3` alone would make all refusals alike. */
export function inOneLine(error: unknown): unknown {
  const text = (error as Error)?.message
  return typeof text === 'string' && /^Invalid TF_Status/.test(text) ? new Error(text.replace(/\s*\n\s*Message: /, ': '), { cause: error }) : error
}

export interface Loaded {
  tf: any
  trace: ReturnType<typeof openTrace>
}
/**
 * Loads the package from the cache; TensorFlow.js itself is the project's, handed over by a global name (native/npm/tfjs/index.js).
 * @param pkg folder of the package
 */
export function loadNative(pkg: string, tfjs: any): Loaded {
  const trace = openTrace()
  ;(globalThis as any)[Symbol.for('opcompat.tfjs')] = tfjs.default ?? tfjs
  const tf = createRequire(join(pkg, 'package.json'))(pkg)
  return { tf, trace }
}

/**
 * @param device the kind of device that has to run every operation
 * @param identity what the report names besides versions and device
 */
export async function openNative({ tf, trace }: Loaded, device: 'CPU' | 'GPU', identity: Readonly<Record<string, string>>): Promise<Opened> {
  trace.clear()
  const proof = tf.tidy(() => tf.conv2d(tf.ones([1, 8, 8, 3]), tf.ones([3, 3, 3, 4]), 1, 'same').dataSync()[0] as number)
  const conv = trace.take().find(e => /Conv2D/.test(e.operation))
  if (!conv) throw new Error('TensorFlow runs, but its operations cannot be traced: npm run setup makes the addon again')
  if (proof !== 12) throw new Error(`TensorFlow's first convolution gave ${proof} instead of 12`)
  const opened = await openTfjs(tf, {
    ...identity,
    runtime: `TensorFlow ${tf.backend().binding.TF_Version}`,
    device: shortDevice(conv.device),
  })
  return {
    ...opened,
    async run(form, inputs, prepared, reuse, again) {
      trace.clear()
      const outputs = await opened.run(form, inputs, prepared, reuse, again).catch(error => {
        throw inOneLine(error)
      })
      const other = elsewhere(trace.take(), device)
      if (other) throw new FellBack(other)
      return outputs
    },
  }
}
