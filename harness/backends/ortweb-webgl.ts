/** ONNX Runtime Web on WebGL 2: a runtime of its own in TypeScript (old opsets, float32), without the C++ graph and without a fallback. */
import { openOrt } from '../dialects/onnx.ts'
import { servedOrt, webglIdentity } from '../hosts/page-runtimes.ts'
import { type Backend, glsl32 } from '../types.ts'

export default {
  name: 'ortweb-webgl',
  dialect: 'onnx',
  host: 'page',
  arithmetic: glsl32,
  modes: ['all'],
  needs: ['chromium'],
  // operator or opset; dtype; rank
  noKernel:
    /mode only supports|Failed to find kernel for|Non per-tensor quantization is not supported|trainingMode is not supported|cannot resolve operator|unsupported data type|Invalid input (tensor )?types?\b|expected type '\w+' but got|input(s)? should be float type|currently only support 2-dimensional|Only support 4-D|for rank \d+ is not yet supported|unsupported (output )?dimension/i,
  deviceLost: /context (is |was )?lost/i,
  cost: 5,
  async open() {
    const adapter = webglIdentity()
    const ort = await servedOrt('ort.webgl.min.mjs')
    return openOrt(
      ort,
      { executionProviders: ['webgl'] },
      { identity: { package: 'onnxruntime-web', version: ort.env.versions.web, ...adapter }, keepOpen: true, typedOutputs: true },
    )
  },
} satisfies Backend
