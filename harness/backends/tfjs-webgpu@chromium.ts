/** TensorFlow.js on the browser's WebGPU. Mode `forward` computes small tensors on the CPU, as applications have it by default. */
import { openTfjs } from '../dialects/tfjs.ts'
import { webgpuIdentity } from '../hosts/page-runtimes.ts'
import { type Backend, wgsl32 } from '../types.ts'

export default {
  name: 'tfjs-webgpu@chromium',
  dialect: 'tfjs',
  host: 'page',
  arithmetic: wgsl32,
  modes: ['default', 'forward'],
  needs: ['chromium'],
  noKernel: /Kernel '.*' not registered for backend|is not yet supported|is not implemented for array of rank/,
  deviceLost: /device (is |was )?lost/i,
  cost: 20,
  async open(mode) {
    const adapter = await webgpuIdentity()
    const tf = await import('@tensorflow/tfjs')
    await import('@tensorflow/tfjs-backend-webgpu')
    if (!(await tf.setBackend('webgpu'))) throw new Error('TensorFlow.js could not start WebGPU')
    const identity = { package: '@tensorflow/tfjs-backend-webgpu', version: tf.version.tfjs, ...adapter }
    return openTfjs(tf, identity, () => tf.env().set('WEBGPU_CPU_FORWARD', mode === 'forward'))
  },
} satisfies Backend
