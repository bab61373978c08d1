/** TensorFlow.js's plain JavaScript backend in a browser: float32 arrays, float64 arithmetic in between. */
import { openTfjs } from '../dialects/tfjs.ts'
import { type Backend, ieee32 } from '../types.ts'

export default {
  name: 'tfjs-cpu@chromium',
  dialect: 'tfjs',
  host: 'page',
  arithmetic: ieee32,
  modes: ['default'],
  needs: ['chromium'],
  noKernel: /Kernel '.*' not registered for backend|is not yet supported|is not implemented for array of rank/,
  async open() {
    const tf = await import('@tensorflow/tfjs')
    await tf.setBackend('cpu')
    return openTfjs(tf, { package: '@tensorflow/tfjs-backend-cpu', version: tf.version['tfjs-backend-cpu'] })
  },
} satisfies Backend
