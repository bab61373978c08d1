/** ONNX Runtime Web's native WebGPU provider (C++ compiled to WebAssembly, the code of onnxruntime-node's): other kernels than ortweb-jsep. */
import { openOrt } from '../dialects/onnx.ts'
import { servedOrt, webgpuIdentity } from '../hosts/page-runtimes.ts'
import { type Backend, wgsl32 } from '../types.ts'

export default {
  name: 'ortweb-webgpu',
  dialect: 'onnx',
  host: 'page',
  arithmetic: wgsl32,
  modes: ['all', 'disabled'],
  needs: ['chromium'],
  // the last two: a node that no provider took, and half precision on a device without it
  noKernel:
    /mode only supports|Failed to find kernel for|Non per-tensor quantization is not supported|trainingMode is not supported|explicitly disabled by the user|Could not find an implementation for|No Op registered for|only \*guarantees\* support for models|Provider type for \w+ node .* is not set|the device does not support it/,
  trap: /Aborted\(|memory access out of bounds|unreachable|table index is out of bounds|null function or function signature mismatch|divide by zero|integer overflow|Maximum call stack/,
  deviceLost: /device (is |was )?lost|lost device/i,
  cost: 20,
  async open(mode) {
    const adapter = await webgpuIdentity()
    const ort = await servedOrt('ort.webgpu.min.mjs')
    const options = {
      executionProviders: ['webgpu'],
      graphOptimizationLevel: mode,
      logSeverityLevel: 3,
      extra: { session: { disable_cpu_ep_fallback: '1' } },
    }
    // The device is built again when the last session is released: 460 ms a case instead of 30.
    return openOrt(ort, options, { identity: { package: 'onnxruntime-web', version: ort.env.versions.web, ...adapter }, keepOpen: true })
  },
} satisfies Backend
