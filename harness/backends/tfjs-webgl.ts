/**
 * TensorFlow.js on WebGL 2. Modes: packed textures (four values a texel, other shaders), unpacked, and `forward`, in which small tensors are computed on the
 * CPU as applications have it by default.
 */
import { openTfjs } from '../dialects/tfjs.ts'
import { webglIdentity } from '../hosts/page-runtimes.ts'
import { type Backend, glsl32 } from '../types.ts'

export default {
  name: 'tfjs-webgl',
  dialect: 'tfjs',
  host: 'page',
  arithmetic: glsl32,
  modes: ['packed', 'unpacked', 'forward'],
  needs: ['chromium'],
  noKernel: /Kernel '.*' not registered for backend|is not yet supported|is not implemented for array of rank/,
  deviceLost: /context (is |was )?lost/i,
  cost: 10,
  async open(mode) {
    const tf = await import('@tensorflow/tfjs')
    if (!(await tf.setBackend('webgl'))) throw new Error('TensorFlow.js could not start WebGL 2')
    const { gl } = (tf.backend() as any).gpgpu as { gl: WebGL2RenderingContext }
    const identity = { package: '@tensorflow/tfjs-backend-webgl', version: tf.version['tfjs-backend-webgl'], ...webglIdentity(gl) }
    return openTfjs(tf, identity, () => {
      tf.env().set('WEBGL_CPU_FORWARD', mode === 'forward')
      setPacking(tf.env(), mode !== 'unpacked')
    })
  },
} satisfies Backend

/** The other flags take WEBGL_PACK's value when they are first asked for, and keep it: set them all. */
function setPacking(env: { set: (name: string, value: boolean) => void }, packed: boolean): void {
  const parts = ['NORMALIZATION', 'CLIP', 'DEPTHWISECONV', 'BINARY_OPERATIONS', 'UNARY_OPERATIONS', 'ARRAY_OPERATIONS', 'IMAGE_OPERATIONS', 'REDUCE']
  for (const name of ['WEBGL_PACK', ...parts.map(p => `WEBGL_PACK_${p}`), 'WEBGL_PACK_CONV2DTRANSPOSE', 'WEBGL_LAZILY_UNPACK', 'WEBGL_CONV_IM2COL'])
    env.set(name, packed)
}
