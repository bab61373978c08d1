/** TensorFlow on the CPU, opened as if every operation had to run on a GPU: what tfjs-node-gpu is where TensorFlow places an operation on the CPU. */
import tfjsNode from '../../harness/backends/tfjs-node.ts'
import { loadNative, openNative } from '../../harness/dialects/tfjs-native.ts'
import type { Backend } from '../../harness/types.ts'

export default {
  ...tfjsNode,
  name: 'wants-gpu',
  modes: ['onednn'],
  async open() {
    const loaded = loadNative(process.env['OPCOMPAT_TFJS_NODE']!, await import('@tensorflow/tfjs'))
    return openNative(loaded, 'GPU', { package: 'test' })
  },
} satisfies Backend
