/**
 * Takes the place of harness/dialects/onnx.ts in the benchmark's processes (script.ts): the same sessions from the same backend files, but a session stays open
 * and is run again and again, as applications do. The harness makes a session for every trial, which is most of a trial's time and none of the kernel's.
 */
import { encode, type OrtExtras, outputsOf } from '../harness/dialects/onnx.ts'
import type { OnnxForm, Opened, Tensor } from '../harness/types.ts'
import { FellBack } from '../harness/worker.ts'

export * from '../harness/dialects/onnx.ts'

/** A kernel that is ready: `call` ends when the result has been read back. */
export interface Held {
  call: () => Promise<unknown>
  /** The outputs of one more call, in the form's own order. */
  outputs: () => Promise<readonly (Tensor | null)[]>
  release: () => Promise<void>
}
export interface Holding extends Opened {
  hold?: (form: any, inputs: readonly (Tensor | null)[]) => Promise<Held>
}

export async function openOrt(ort: any, options: Record<string, unknown>, extras: OrtExtras): Promise<Holding> {
  const make = (form: OnnxForm, inputs: readonly (Tensor | null)[]) => ort.InferenceSession.create(encode(form, inputs, extras.typedOutputs), options)
  const relu: OnnxForm = { opset: 13, nodes: [{ op: 'Relu', in: ['x0'], out: ['y0'], attributes: {} }] }
  const kept = extras.keepOpen ? await make(relu, [{ dtype: 'float32', shape: [1], data: new Float32Array(1) }]) : null
  return {
    identity: extras.identity,
    run: async () => {
      throw new Error('the benchmark holds its sessions')
    },
    async hold(form: OnnxForm, inputs) {
      const session = await make(form, inputs)
      const fixed = form.initializers ?? []
      const feeds: Record<string, unknown> = {}
      inputs.forEach((t, i) => {
        if (t && !fixed.includes(i)) feeds[`x${i}`] = new ort.Tensor(t.dtype, t.data, t.shape)
      })
      const names = outputsOf(form)
      const last: any[] = []
      const call = async () => {
        for (const t of last) t.dispose?.()
        last.length = 0
        const results = await session.run(feeds)
        for (const name of names) {
          const t = results[name]
          if (!t) continue
          last.push(t)
          // outputs that stay on a device are fetched; all others lie in this process's memory already
          if (t.location !== 'cpu' && t.getData) await t.getData()
        }
        return results
      }
      return {
        call,
        async outputs() {
          const results = await call()
          const elsewhere = extras.ran?.(session)
          if (elsewhere) throw new FellBack(elsewhere)
          const out: (Tensor | null)[] = []
          for (const name of names) {
            const t = results[name]
            while (out.length < Number(name.slice(1))) out.push(null)
            out.push(t ? { dtype: t.type, shape: [...t.dims], data: (t.getData ? await t.getData() : t.data).slice() } : null)
          }
          return out
        },
        async release() {
          for (const t of last) t.dispose?.()
          await session.release()
        },
      }
    },
    async close() {
      await kept?.release()
    },
  }
}
