/**
 * ONNX Runtime's CUDA provider in Node, from the cache: `npm run setup -- ort-cuda`. A node that the provider lacks fails instead of running on the CPU.
 * Modes: levels of graph optimisation, and without TF32. (The Node binding hands the provider a device number and nothing else, so that TF32 is switched by
 * NVIDIA's own variable, and cuDNN's search for an algorithm stays at the provider's default, EXHAUSTIVE.)
 */
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { encode, openOrt } from '../dialects/onnx.ts'
import { NotHere } from '../errors.ts'
import { findGpu, inTheWay, wordsOf } from '../setup/gpu.ts'
import { type Backend, ieee32, type Opened } from '../types.ts'

const ENABLE = 'npm run setup -- ort-cuda'
const MODES = ['all', 'disabled', 'no-tf32']
const HINT = 'what the message names (npm run compat -- doctor shows what is here)'
const CUDA_WORDS = /cannot open shared object file|CUDA failure|CUDA error|driver version is insufficient|no CUDA-capable device|cuDNN/i

export default {
  name: 'ort-cuda',
  dialect: 'onnx',
  host: 'child',
  groups: ['native', 'gpu'],
  // CUDA C++ Programming Guide, Mathematical Functions: + − × ÷ √ round to nearest, expf 2, logf 1, tanhf 2 ULP; convolutions by Winograd and in TF32
  arithmetic: { ...ieee32, declares: ['tf32', 'f32-fast'] },
  modes: MODES,
  noKernel:
    /mode only supports|Failed to find kernel for|Non per-tensor quantization is not supported|trainingMode is not supported|explicitly disabled by the user|Could not find an implementation for|NOT_IMPLEMENTED|No Op registered for|is not a registered function\/op|only \*guarantees\* support for models/,
  deviceLost: /CUDA failure (46|214|219|700|719|999)\b/, // devices unavailable, uncorrectable ECC, unrecoverable errors (cudaError in driver_types.h)
  cost: 3,
  async environment(mode): Promise<Record<string, string>> {
    const [{ nativeRoot }, { placedOrt }] = await Promise.all([import('../setup/site.ts'), import('../setup/ort.ts')])
    const placed = placedOrt(nativeRoot())
    const way = inTheWay(findGpu(), '13')
    if (way) throw new NotHere(way.reason, placed ? way.enable : `${way.enable}; then ${ENABLE}`)
    if (!placed) throw new NotHere('the CUDA provider of ONNX Runtime is not set up on this machine', ENABLE)
    return {
      OPCOMPAT_ORT_CUDA: placed.pkg,
      LD_LIBRARY_PATH: [...placed.libraries, process.env['LD_LIBRARY_PATH']].filter(Boolean).join(':'),
      ...(mode === 'no-tf32' ? { NVIDIA_TF32_OVERRIDE: '0' } : {}),
    }
  },
  async open(mode): Promise<Opened> {
    const pkg = process.env['OPCOMPAT_ORT_CUDA']
    if (!pkg) throw new NotHere('the process was started without the folder of ort-cuda', ENABLE)
    const ort = createRequire(join(pkg, 'package.json'))(pkg)
    const options = {
      executionProviders: ['cuda'],
      graphOptimizationLevel: mode === 'disabled' ? 'disabled' : 'all',
      logSeverityLevel: 4,
      extra: { session: { disable_cpu_ep_fallback: '1' } },
    }
    const [device] = findGpu().devices
    const identity = { package: 'onnxruntime-node', version: ort.env.versions.node ?? '?', provider: 'cuda', driver: findGpu().driver ?? '?' }
    try {
      return await openOrt(ort, options, { identity: { ...identity, ...(device ? { gpu: device.name } : {}) }, keepOpen: true })
    } catch (error) {
      throw new NotHere(telling((error as Error).message) ?? telling(causeOf(pkg)) ?? (error as Error).message, HINT)
    }
  },
} satisfies Backend

/** The part that names the cause: a library that is missing, or what CUDA said; not the machine's name and the runtime's source lines around it. */
export function telling(message: string): string | null {
  const found = /[\w.+-]+: cannot open shared object file[^\n]*|CUDA (?:failure|error) \d+: [^;\n]+|cuDNN[^;\n]*(?:failure|error)[^;\n]*/i.exec(
    message,
  )
  return found ? found[0].trim() : null
}
/** The exception says only that a library could not be loaded; which one, and what CUDA said, ONNX Runtime prints. */
function causeOf(pkg: string): string {
  const relu = { opset: 13, nodes: [{ op: 'Relu', in: ['x0'], out: ['y0'], attributes: {} }] }
  const model = Buffer.from(encode(relu, [{ dtype: 'float32', shape: [1], data: new Float32Array(1) }])).toString('base64')
  const script = `require(${JSON.stringify(pkg)}).InferenceSession.create(Buffer.from('${model}', 'base64'), { executionProviders: ['cuda'] }).catch(e => console.error(e.message))`
  return wordsOf(script, CUDA_WORDS)
}
