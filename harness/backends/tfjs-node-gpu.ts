/**
 * TensorFlow.js on TensorFlow's library for CUDA in Node (@tensorflow/tfjs-node-gpu), from the cache: `npm run setup -- tfjs-node-gpu`. Every operation has to
 * run on the GPU; one that TensorFlow places on the CPU is a finding. Modes: TF32 on tensor cores as TensorFlow has it by default, without TF32, and without
 * cuDNN's search for the fastest algorithm; all three are read when the process starts.
 */
import util from 'node:util'
import { type Loaded, loadNative, openNative } from '../dialects/tfjs-native.ts'
import { NotHere } from '../errors.ts'
import { findGpu, inTheWay, wordsOf } from '../setup/gpu.ts'
import { type Backend, ieee32 } from '../types.ts'

const ENABLE = 'npm run setup -- tfjs-node-gpu'
const GPU_WORDS = /libcuda|cuInit|CUDA_ERROR|Could not load dynamic library|Cannot dlopen|Could not find cuda drivers|kernel driver|driver version/i
const MODES: Readonly<Record<string, Record<string, string>>> = {
  tf32: {},
  'no-tf32': { NVIDIA_TF32_OVERRIDE: '0' },
  'no-search': { TF_CUDNN_USE_AUTOTUNE: '0' },
}

export default {
  name: 'tfjs-node-gpu',
  dialect: 'tfjs',
  host: 'child',
  groups: ['native', 'gpu'],
  // CUDA C++ Programming Guide, Mathematical Functions: + − × ÷ √ round to nearest, expf 2, logf 1, tanhf 2 ULP; convolutions by Winograd and in TF32
  arithmetic: { ...ieee32, flushesSubnormals: true, declares: ['tf32', 'f32-fast'] },
  modes: Object.keys(MODES),
  // the last one: TF_UNIMPLEMENTED of tensorflow/c/tf_status.h
  noKernel: /Kernel '.*' not registered for backend|No OpKernel was registered to support Op|Could not find device for node|Invalid TF_Status: 12\b/,
  deviceLost: /CUDA_ERROR_(ILLEGAL_ADDRESS|LAUNCH_FAILED|ECC_UNCORRECTABLE|DEVICE_UNAVAILABLE)/,
  cost: 2,
  async environment(mode): Promise<Record<string, string>> {
    const [{ nativeRoot }, { placedTensorflow }] = await Promise.all([import('../setup/site.ts'), import('../setup/tensorflow.ts')])
    const placed = placedTensorflow(nativeRoot(), 'tfjs-node-gpu')
    const way = inTheWay(findGpu(), placed?.tensorflow === '2.18.1' ? '12' : '11')
    if (way) throw new NotHere(way.reason, placed ? way.enable : `${way.enable}; then ${ENABLE}`)
    if (!placed) throw new NotHere("TensorFlow's library for CUDA is not set up on this machine", ENABLE)
    return {
      OPCOMPAT_TFJS_NODE_GPU: placed.pkg,
      LD_LIBRARY_PATH: [...placed.libraries, process.env['LD_LIBRARY_PATH']].filter(Boolean).join(':'),
      TF_CPP_MIN_LOG_LEVEL: '1',
      TF_FORCE_GPU_ALLOW_GROWTH: 'true',
      ...MODES[mode],
    }
  },
  async open(mode) {
    const pkg = process.env['OPCOMPAT_TFJS_NODE_GPU']
    if (!pkg) throw new NotHere('the process was started without the folder of tfjs-node-gpu', ENABLE)
    // tfjs-node 4.22 calls two functions that Node 23 removed
    const old = util as { isNullOrUndefined?: (v: unknown) => boolean; isArray?: (v: unknown) => boolean }
    old.isNullOrUndefined ??= v => v === null || v === undefined
    old.isArray ??= Array.isArray
    const loaded = loadNative(pkg, await import('@tensorflow/tfjs'))
    requireGpu(loaded, pkg)
    const [device] = findGpu().devices
    const identity = { package: '@tensorflow/tfjs-node-gpu', version: loaded.tf.version['tfjs-node'], setting: mode, driver: findGpu().driver ?? '?' }
    return openNative(loaded, 'GPU', { ...identity, ...(device ? { gpu: device.name } : {}) })
  },
} satisfies Backend

/** TensorFlow goes on with the CPU without a word in its results; what it says of the GPU stands on its standard error. */
function requireGpu({ tf }: Loaded, pkg: string): void {
  if (tf.backend().isUsingGpuDevice) return
  const script = `require(${JSON.stringify(`${pkg}/lib/napi-v8/tfjs_binding.node`)})`
  const said = wordsOf(script, GPU_WORDS, { TF_CPP_MIN_LOG_LEVEL: '0' })
  throw new NotHere(
    `TensorFlow uses no GPU${said ? `: ${said}` : ''}`,
    'a GPU and driver that TensorFlow accepts (npm run compat -- doctor shows what is here)',
  )
}
