/**
 * TensorFlow.js on TensorFlow's own library in Node (@tensorflow/tfjs-node), from the cache: `npm run setup -- tfjs-node`.
 * Modes: with oneDNN's kernels, or with TensorFlow's own (Eigen); the library reads the switch once, so each mode has a process of its own.
 */
import util from 'node:util'
import { loadNative, openNative } from '../dialects/tfjs-native.ts'
import { NotHere } from '../errors.ts'
import { type Backend, ieee32 } from '../types.ts'

const ENABLE = 'npm run setup -- tfjs-node'

export default {
  name: 'tfjs-node',
  dialect: 'tfjs',
  host: 'child',
  groups: ['native'],
  // kernels run under ScopedFlushDenormal (tensorflow/core/platform/denormal.h); Eigen's vectorised reciprocal, square root and its reciprocal are one Newton
  // step, "a maximum relative error of 2 ulps" (Eigen/src/Core/MathFunctionsImpl.h), which is 4 u
  arithmetic: { ...ieee32, division: 4, sqrt: 4, flushesSubnormals: true },
  modes: ['onednn', 'eigen'],
  // the last one: TF_UNIMPLEMENTED of tensorflow/c/tf_status.h
  noKernel: /Kernel '.*' not registered for backend|No OpKernel was registered to support Op|Could not find device for node|Invalid TF_Status: 12\b/,
  async environment(mode): Promise<Record<string, string>> {
    const [{ nativeRoot }, { placedTensorflow }] = await Promise.all([import('../setup/site.ts'), import('../setup/tensorflow.ts')])
    const placed = placedTensorflow(nativeRoot(), 'tfjs-node')
    if (!placed) throw new NotHere("TensorFlow's library is not set up on this machine", ENABLE)
    return {
      OPCOMPAT_TFJS_NODE: placed.pkg,
      TF_ENABLE_ONEDNN_OPTS: mode === 'onednn' ? '1' : '0',
      TF_CPP_MIN_LOG_LEVEL: '1',
      TF_NUM_INTRAOP_THREADS: '1',
      TF_NUM_INTEROP_THREADS: '1',
      OMP_NUM_THREADS: '1',
    }
  },
  async open(mode) {
    const pkg = process.env['OPCOMPAT_TFJS_NODE']
    if (!pkg) throw new NotHere('the process was started without the folder of tfjs-node', ENABLE)
    // tfjs-node 4.22 calls two functions that Node 23 removed
    const old = util as { isNullOrUndefined?: (v: unknown) => boolean; isArray?: (v: unknown) => boolean }
    old.isNullOrUndefined ??= v => v === null || v === undefined
    old.isArray ??= Array.isArray
    const loaded = loadNative(pkg, await import('@tensorflow/tfjs'))
    return openNative(loaded, 'CPU', { package: '@tensorflow/tfjs-node', version: loaded.tf.version['tfjs-node'], kernels: mode })
  },
} satisfies Backend
