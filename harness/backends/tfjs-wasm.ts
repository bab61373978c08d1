/** TensorFlow.js on WebAssembly (XNNPACK, SIMD) in Node. */
import { openTfjs, startWasm } from '../dialects/tfjs.ts'
import { type Backend, ieee32 } from '../types.ts'

export default {
  name: 'tfjs-wasm',
  dialect: 'tfjs',
  host: 'child',
  arithmetic: ieee32,
  modes: ['simd'],
  renewable: true,
  noKernel: /Kernel '.*' not registered for backend|is not yet supported|is not implemented for array of rank/,
  trap: /Aborted\(|memory access out of bounds|unreachable|table index is out of bounds|null function or function signature mismatch|divide by zero|integer overflow|Maximum call stack/,
  async open() {
    const tf = await import('@tensorflow/tfjs')
    const wasm = await import('@tensorflow/tfjs-backend-wasm')
    const { renew } = await startWasm(tf)
    return openTfjs(tf, { package: '@tensorflow/tfjs-backend-wasm', version: wasm.version_wasm }, undefined, renew)
  },
} satisfies Backend
