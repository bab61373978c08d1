/** ONNX Runtime Web's older WebGPU provider: kernels written in TypeScript (JSEP) beside the CPU provider in WebAssembly. */
import { openOrt } from '../dialects/onnx.ts'
import { servedOrt, webgpuIdentity } from '../hosts/page-runtimes.ts'
import { type Backend, wgsl32 } from '../types.ts'

export default {
  name: 'ortweb-jsep',
  dialect: 'onnx',
  host: 'page',
  arithmetic: wgsl32,
  modes: ['all', 'disabled'],
  needs: ['chromium'],
  noKernel:
    /mode only supports|Failed to find kernel for|Non per-tensor quantization is not supported|trainingMode is not supported|explicitly disabled by the user|Could not find an implementation for|No Op registered for|only \*guarantees\* support for models/,
  trap: /Aborted\(|memory access out of bounds|unreachable|table index is out of bounds|null function or function signature mismatch|divide by zero|integer overflow|Maximum call stack/,
  deviceLost: /device (is |was )?lost|lost device/i,
  // what the graph's checks refuse never reached a kernel
  recycleOnError: /^(?!Can't create a session)/,
  cost: 20,
  async open(mode) {
    const adapter = await webgpuIdentity()
    const ort = await servedOrt('ort.all.min.mjs')
    const options = {
      executionProviders: ['webgpu'],
      graphOptimizationLevel: mode,
      logSeverityLevel: 3,
      extra: { session: { disable_cpu_ep_fallback: '1' } },
    }
    return openOrt(ort, options, { identity: { package: 'onnxruntime-web', version: ort.env.versions.web, ...adapter }, keepOpen: true })
  },
} satisfies Backend
