/** TensorFlow.js on WebAssembly (XNNPACK) in a browser; only here does it run with threads (workers need a cross-origin isolated page). */
import { openTfjs, startWasm } from '../dialects/tfjs.ts'
import { type Backend, ieee32 } from '../types.ts'

export default {
  name: 'tfjs-wasm@chromium',
  dialect: 'tfjs',
  host: 'page',
  arithmetic: ieee32,
  modes: ['simd', 'threads'],
  needs: ['chromium'],
  renewable: true,
  noKernel: /Kernel '.*' not registered for backend|is not yet supported|is not implemented for array of rank/,
  trap: /Aborted\(|memory access out of bounds|unreachable|table index is out of bounds|null function or function signature mismatch|divide by zero|integer overflow|Maximum call stack/,
  async open(mode) {
    const tf = await import('@tensorflow/tfjs')
    const wasm = await import('@tensorflow/tfjs-backend-wasm')
    tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', mode === 'threads')
    wasm.setWasmPaths(new URL('/tfjs-wasm/', location.href).href)
    wasm.setThreadsCount(2)
    // TensorFlow.js never takes more than half of the cores: on two cores "threads" would be one thread
    if (mode === 'threads') Object.defineProperty(navigator, 'hardwareConcurrency', { value: 4, configurable: true })
    const { registry } = tf.engine() as unknown as { registry: Record<string, unknown> }
    // the other mode's instance stays as it is: closing and opening it again would cost 100 ms for every change of mode
    const { instance, renew } = await startWasm(tf)
    const identity = { package: '@tensorflow/tfjs-backend-wasm', version: wasm.version_wasm, threads: String(wasm.getThreadsCount()) }
    const use = () => {
      if (registry['wasm'] === instance()) return
      registry['wasm'] = instance()
      tf.setBackend('wasm') // binds the kernels to this instance; nothing is awaited where there is one
    }
    return openTfjs(tf, identity, use, async whole => {
      tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', mode === 'threads')
      use()
      await renew(whole)
    })
  },
} satisfies Backend
