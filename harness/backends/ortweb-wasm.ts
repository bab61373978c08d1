/** ONNX Runtime Web's WebAssembly provider in Node, one thread. Modes: levels of graph optimisation. */
import { openOrt } from '../dialects/onnx.ts'
import { type Backend, ieee32 } from '../types.ts'

export default {
  name: 'ortweb-wasm',
  dialect: 'onnx',
  host: 'child',
  arithmetic: ieee32,
  modes: ['all', 'basic', 'disabled'],
  // the last one: pooling over four or more axes
  noKernel:
    /mode only supports|Failed to find kernel for|Non per-tensor quantization is not supported|trainingMode is not supported|Could not find an implementation for|NOT_IMPLEMENTED|No Op registered for|is not a registered function\/op|only \*guarantees\* support for models|Unsupported pooling size/,
  trap: /Aborted\(|memory access out of bounds|unreachable|table index is out of bounds|null function or function signature mismatch|divide by zero|integer overflow|Maximum call stack/,
  async open(mode) {
    const ort = await import('onnxruntime-web')
    ort.env.wasm.numThreads = 1
    const options = { executionProviders: ['wasm'], graphOptimizationLevel: mode, logSeverityLevel: 4 }
    return openOrt(ort, options, { identity: { package: 'onnxruntime-web', version: ort.env.versions.web ?? '?' } })
  },
} satisfies Backend
