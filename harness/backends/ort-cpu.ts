/** ONNX Runtime's CPU provider in Node. Modes: levels of graph optimisation (other kernels and fusions), and two threads. */
import { openOrt } from '../dialects/onnx.ts'
import { type Backend, ieee32 } from '../types.ts'

export default {
  name: 'ort-cpu',
  dialect: 'onnx',
  host: 'child',
  arithmetic: ieee32,
  modes: ['all', 'basic', 'disabled', 'threads'],
  // the last one: pooling over four or more axes
  noKernel:
    /mode only supports|Failed to find kernel for|Non per-tensor quantization is not supported|trainingMode is not supported|Could not find an implementation for|NOT_IMPLEMENTED|No Op registered for|is not a registered function\/op|only \*guarantees\* support for models|Unsupported pooling size/,
  async open(mode) {
    const ort = await import('onnxruntime-node')
    const threads = mode === 'threads' ? 2 : 1
    const options = {
      executionProviders: ['cpu'],
      graphOptimizationLevel: mode === 'threads' ? 'all' : mode,
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      logSeverityLevel: 4,
    }
    return openOrt(ort, options, { identity: { package: 'onnxruntime-node', version: ort.env.versions.node ?? '?' } })
  },
} satisfies Backend
