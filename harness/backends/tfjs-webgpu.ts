/** TensorFlow.js on WebGPU in Node, through Dawn (`webgpu` package). Modes: kernels always on the device, or small tensors forwarded to the CPU as applications have it. */
import { openTfjs } from '../dialects/tfjs.ts'
import { type Backend, wgsl32 } from '../types.ts'

export default {
  name: 'tfjs-webgpu',
  dialect: 'tfjs',
  host: 'child',
  arithmetic: wgsl32,
  modes: ['device', 'forward'],
  needs: ['vulkan'],
  noKernel: /Kernel '.*' not registered for backend|is not yet supported|is not implemented for array of rank/,
  deviceLost: /device (is |was )?lost|lost device/i,
  cost: 6,
  async open(mode) {
    const { tf, identity } = await (started ??= start())
    return openTfjs(tf, identity, () => tf.env().set('WEBGPU_CPU_FORWARD', mode === 'forward'))
  },
} satisfies Backend

let started: ReturnType<typeof start> | undefined
/** One device for all modes. Kernels are registered under the name `webgpu`, so the backend on Dawn's device takes that name. */
async function start() {
  const dawn = await import('webgpu')
  Object.assign(globalThis, dawn.globals)
  const gpu = dawn.create([])
  Object.defineProperty(globalThis, 'navigator', { value: { gpu }, configurable: true, writable: true })
  const tf = await import('@tensorflow/tfjs')
  const { WebGPUBackend } = await import('@tensorflow/tfjs-backend-webgpu')
  const adapter = await gpu.requestAdapter()
  if (!adapter) throw new Error('Dawn finds no WebGPU adapter')
  const limits = [
    'maxComputeWorkgroupStorageSize',
    'maxComputeWorkgroupsPerDimension',
    'maxStorageBufferBindingSize',
    'maxBufferSize',
    'maxComputeWorkgroupSizeX',
    'maxComputeInvocationsPerWorkgroup',
  ] as const
  const device = await adapter.requestDevice({ requiredLimits: Object.fromEntries(limits.map(l => [l, adapter.limits[l]])) })
  const backend = new WebGPUBackend(device as any, adapter.info as any)
  tf.removeBackend('webgpu')
  tf.registerBackend('webgpu', () => backend as any, 3)
  if (!(await tf.setBackend('webgpu'))) throw new Error('TensorFlow.js could not start its WebGPU backend')
  const { vendor, architecture, device: name, description } = adapter.info
  const text = [vendor, architecture, name, description].filter(Boolean).join(' ')
  return {
    tf,
    identity: {
      package: '@tensorflow/tfjs-backend-webgpu',
      version: tf.version_core,
      adapter: text,
      software: /swiftshader|llvmpipe|lavapipe/i.test(text) ? 'yes' : 'no',
    },
  }
}
