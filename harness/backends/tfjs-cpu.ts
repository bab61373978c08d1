/** TensorFlow.js's plain JavaScript backend in Node. */
import { openTfjs } from '../dialects/tfjs.ts'
import { type Backend, ieee32 } from '../types.ts'

export default {
  name: 'tfjs-cpu',
  dialect: 'tfjs',
  host: 'child',
  arithmetic: ieee32,
  modes: ['plain'],
  noKernel: /Kernel '.*' not registered for backend|is not yet supported|is not implemented for array of rank/,
  async open() {
    const tf = await import('@tensorflow/tfjs')
    await tf.setBackend('cpu')
    return openTfjs(tf, { package: '@tensorflow/tfjs-backend-cpu', version: tf.version['tfjs-backend-cpu'] })
  },
} satisfies Backend
