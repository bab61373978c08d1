/** TensorFlow.js (any package and backend) as an opened backend: tensors in, the form's call, tensors out, nothing left behind. */
import { attempt, others, threw } from '../reuse.ts'
import { sizeOf } from '../tensor.ts'
import type { DType, Opened, Tensor, TfjsForm } from '../types.ts'

/** float32, int32 and bool are all that TF.js has; int64 (indices, axes) travels as int32. */
function toTfjs(tf: any, t: Tensor): any {
  if (t.dtype === 'float32') return tf.tensor(t.data, t.shape, 'float32')
  if (t.dtype === 'bool') return tf.tensor(t.data, t.shape, 'bool')
  return tf.tensor(Int32Array.from(t.data as Int32Array, Number), t.shape, 'int32')
}
const EXCESS = 4096
async function fromTfjs(t: any): Promise<Tensor> {
  const data = await t.data()
  // of a shape that is none ([1, −1], [Infinity]) a backend may return all of its memory: some of it says as much
  const size = sizeOf(t.shape)
  const most = size >= 0 && size <= data.length ? data.length : Math.min(data.length, EXCESS)
  return { dtype: t.dtype as DType, shape: [...t.shape], data: data.slice(0, most) }
}

async function readAll(outputs: readonly any[]): Promise<(Tensor | null)[]> {
  const read: (Tensor | null)[] = []
  for (const y of outputs) read.push(y ? await fromTfjs(y) : null)
  return read
}

/** Bits 0x71717171, as a float32 1.2e30: what a kernel reads that nobody wrote is then neither 0 nor like any value of a case. */
const POISON = 1.1956734e30
const POISONED = 1 << 18
interface WasmBackend {
  wasm: { HEAPU8: Uint8Array; PThread?: unknown }
  dispose: () => void
}
/** A WebAssembly instance of its own as the backend `wasm`, its free memory filled with POISON, and how to have it as it was at its start. */
export async function startWasm(tf: any): Promise<{ instance: () => unknown; renew: (whole: boolean) => Promise<void> }> {
  const { registry } = tf.engine()
  let backend: WasmBackend
  let image: Uint8Array
  let size = 0
  const start = async () => {
    delete registry['wasm']
    if (!(await tf.setBackend('wasm'))) throw new Error('TensorFlow.js could not start WebAssembly')
    tf.fill([POISONED], POISON).dispose()
    backend = registry['wasm']
    const { HEAPU8 } = backend.wasm
    size = HEAPU8.length
    let used = size
    while (used && !HEAPU8[used - 1]) used--
    image = HEAPU8.slice(0, used)
  }
  await start()
  return {
    instance: () => backend,
    // no tensor is alive between trials, so that the memory of the start is all that there is to a start; a trap leaves the stack pointer behind as well
    async renew(whole) {
      const { HEAPU8, PThread } = backend.wasm
      if (PThread && !whole) return // its threads remember more than memory holds, and new ones would cost 100 ms
      if (whole || HEAPU8.length !== size) {
        // a spoiled instance may trap once more
        await attempt(async () => backend.dispose())
        return start()
      }
      HEAPU8.set(image)
      HEAPU8.fill(0, image.length)
    },
  }
}

/**
 * @param setMode sets the flags of this mode; called before every trial, since modes of one process share the flags
 * @param renew puts the runtime into the state of a fresh process
 */
export async function openTfjs(tf: any, identity: Readonly<Record<string, string>>, setMode?: () => void, renew?: Opened['renew']): Promise<Opened> {
  return {
    identity,
    ...(renew ? { renew } : {}),
    async run(form: TfjsForm, inputs, _prepared, reuse, again) {
      setMode?.()
      const engine = tf.engine()
      const depth = engine.state.scopeStack.length
      // a scope of our own instead of tidy: the Async forms return promises
      engine.startScope('case')
      const made = engine.state.activeScope.track as any[]
      try {
        const tensors = (list: typeof inputs) => list.map(t => (t ? toTfjs(tf, t) : null))
        let given = tensors(reuse === 'other' ? others(inputs) : inputs)
        if (reuse === 'again' || reuse === 'other') {
          const before = (await attempt(() => form.call(tf, given))) ?? []
          for (const y of before) if (y && !given.includes(y)) y.dispose()
          if (reuse === 'other') {
            for (const t of given) if (t && !t.isDisposed) t.dispose()
            given = tensors(inputs)
          }
        }
        const outputs = await form.call(tf, given)
        if (reuse === 'beside') await attempt(() => form.call(tf, tensors(others(inputs))))
        const read = await readAll(outputs)
        if (again) {
          // memory that the first call gave back is what the second one is served with
          for (const y of outputs) if (y && !given.includes(y) && !y.isDisposed) y.dispose()
          again(
            await Promise.resolve()
              .then(() => form.call(tf, given))
              .then(readAll)
              .catch(threw),
          )
        }
        return read
      } finally {
        while (engine.state.scopeStack.length > depth) engine.endScope() // also what a refused promise left open
        tf.disposeVariables()
        for (const t of made) if (!t.isDisposed) t.dispose() // kept ones
      }
    },
    memory: () => {
      const { numTensors, numBytes } = tf.memory()
      return { numTensors, numBytes }
    },
    async close() {},
  }
}
