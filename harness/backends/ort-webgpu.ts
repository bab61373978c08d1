/** ONNX Runtime's native WebGPU provider in Node (Dawn over Vulkan; software where there is no GPU). A node that it lacks fails instead of running on the CPU. */
import { openOrt } from '../dialects/onnx.ts'
import { type Backend, wgsl32 } from '../types.ts'

export default {
  name: 'ort-webgpu',
  dialect: 'onnx',
  host: 'child',
  arithmetic: wgsl32,
  modes: ['all', 'disabled'],
  needs: ['vulkan'],
  // the last two: a node that no provider took, and half precision on a device without it
  noKernel:
    /mode only supports|Failed to find kernel for|Non per-tensor quantization is not supported|trainingMode is not supported|explicitly disabled by the user|Could not find an implementation for|No Op registered for|is not a registered function\/op|only \*guarantees\* support for models|Provider type for \w+ node .* is not set|the device does not support it/,
  deviceLost: /device (is |was )?lost|lost device/i,
  cost: 8,
  async open(mode) {
    const ort = await import('onnxruntime-node')
    const options = {
      executionProviders: ['webgpu'],
      graphOptimizationLevel: mode,
      logSeverityLevel: 4,
      extra: { session: { disable_cpu_ep_fallback: '1' } },
    }
    const adapter = process.env.VK_ICD_FILENAMES?.includes('swiftshader')
      ? { adapter: 'SwiftShader (Vulkan)', software: 'yes' }
      : { adapter: 'system Vulkan driver', software: 'no' }
    return openOrt(ort, options, {
      identity: { package: 'onnxruntime-node', version: ort.env.versions.node ?? '?', provider: 'webgpu', ...adapter },
      keepOpen: true,
    })
  },
} satisfies Backend
