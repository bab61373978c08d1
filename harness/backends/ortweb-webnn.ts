/**
 * ONNX Runtime Web on WebNN, device type `cpu`: in Chromium on Linux that is TFLite with XNNPACK in the GPU process, float32 on the CPU. (`gpu` and `npu`
 * compute the same bits there; they prove no GPU.)
 */
import { openOrt } from '../dialects/onnx.ts'
import { servedOrt } from '../hosts/page-runtimes.ts'
import { type Backend, ieee32 } from '../types.ts'

export default {
  name: 'ortweb-webnn',
  dialect: 'onnx',
  host: 'page',
  // WebNN promises neither subnormals nor an accuracy; its conformance tests grant exp 32 ULP (WPT, webnn/conformance_tests/exp.https.any.js)
  arithmetic: { ...ieee32, flushesSubnormals: true, exp: [32, 0] },
  modes: ['all', 'disabled'],
  needs: ['chromium'],
  noKernel:
    /mode only supports|Failed to find kernel for|Non per-tensor quantization is not supported|trainingMode is not supported|explicitly disabled by the user|Could not find an implementation for|No Op registered for|only \*guarantees\* support for models/,
  trap: /Aborted\(|memory access out of bounds|unreachable|table index is out of bounds|null function or function signature mismatch|divide by zero|integer overflow|Maximum call stack/,
  deviceLost: /context (is |was )?lost/i,
  cost: 10,
  // a graph that is refused may never settle; one that is taken answers in milliseconds
  deadlineMs: 5_000,
  async open(mode) {
    if (!('ml' in navigator)) throw new Error('this browser has no WebNN (navigator.ml)')
    const ort = await servedOrt('ort.all.min.mjs')
    const options = {
      executionProviders: [{ name: 'webnn', deviceType: 'cpu' }],
      graphOptimizationLevel: mode,
      logSeverityLevel: 3,
      extra: { session: { disable_cpu_ep_fallback: '1' } },
    }
    return openOrt(ort, options, { identity: { package: 'onnxruntime-web', version: ort.env.versions.web, device: 'cpu' }, keepOpen: true })
  },
} satisfies Backend
