/** ONNX Runtime Web's CPU provider (WebAssembly, SIMD, one thread) in a browser: the same binary as in Node, another WebAssembly compiler. */
import { openOrt } from '../dialects/onnx.ts'
import { servedOrt } from '../hosts/page-runtimes.ts'
import { type Backend, ieee32 } from '../types.ts'

export default {
  name: 'ortweb-wasm@chromium',
  dialect: 'onnx',
  host: 'page',
  arithmetic: ieee32,
  modes: ['all', 'disabled'],
  needs: ['chromium'],
  noKernel:
    /mode only supports|Failed to find kernel for|Non per-tensor quantization is not supported|trainingMode is not supported|Could not find an implementation for|No Op registered for|only \*guarantees\* support for models/,
  trap: /Aborted\(|memory access out of bounds|unreachable|table index is out of bounds|null function or function signature mismatch|divide by zero|integer overflow|Maximum call stack/,
  async open(mode) {
    const ort = await servedOrt('ort.wasm.min.mjs')
    const options = { executionProviders: ['wasm'], graphOptimizationLevel: mode, logSeverityLevel: 4 }
    return openOrt(ort, options, { identity: { package: 'onnxruntime-web', version: ort.env.versions.web }, keepOpen: true })
  },
} satisfies Backend
