/** TensorFlow.js: tensors are made once, as the weights of a loaded model are, and the form's call runs on them again and again. */
import type { Opened, Tensor, TfjsForm } from '../harness/types.ts'
import type { Held } from './held-onnx.ts'

/** The backend's own `tf`, with the flags of its mode: a form is handed it when it is called. */
async function runtimeOf(opened: Opened): Promise<any> {
  let tf: any
  const form: TfjsForm = {
    call: given => {
      tf = given
      return []
    },
  }
  await opened.run(form, [])
  return tf
}
const toTensor = (tf: any, t: Tensor): any => {
  if (t.dtype === 'float32' || t.dtype === 'bool') return tf.tensor(t.data, t.shape, t.dtype)
  return tf.tensor(Int32Array.from(t.data as Int32Array, Number), t.shape, 'int32')
}

export async function holdTfjs(opened: Opened, form: TfjsForm, inputs: readonly (Tensor | null)[]): Promise<Held> {
  const tf = await runtimeOf(opened)
  const engine = tf.engine()
  const given = inputs.map(t => (t ? tf.keep(toTensor(tf, t)) : null))
  const scoped = async <T>(read: (y: any) => Promise<T>): Promise<T[]> => {
    engine.startScope('call')
    try {
      const made = form.call(tf, given)
      const outputs = made instanceof Promise ? await made : made
      const all: T[] = []
      for (const y of outputs) all.push(await read(y))
      return all
    } finally {
      engine.endScope()
    }
  }
  return {
    call: () => scoped(y => y?.data()),
    outputs: () => scoped(async y => (y ? { dtype: y.dtype, shape: [...y.shape], data: (await y.data()).slice() } : null)),
    async release() {
      for (const t of given) t?.dispose()
    },
  }
}
