/** What the backends of a page share: runtimes that are served as files, and what the browser says of its devices. */

/** A module of the runtime's package, from the server of the page (bundling ONNX Runtime would part it from its .wasm files). */
export const served = (path: string): Promise<any> => import(new URL(path, location.href).href)

/** ONNX Runtime Web, one thread (the order of additions then hangs on nothing), errors only. */
export async function servedOrt(file: string): Promise<any> {
  const ort = await served(`/ort/${file}`)
  ort.env.wasm.wasmPaths = new URL('/ort/', location.href).href
  ort.env.wasm.numThreads = 1
  ort.env.logLevel = 'error'
  return ort
}

const software = (text: string) => (/swiftshader|llvmpipe|lavapipe|software|warp|basic render/i.test(text) ? 'yes' : 'no')

/** The WebGPU adapter that a runtime is given. */
export async function webgpuIdentity(): Promise<Record<string, string>> {
  const adapter = await navigator.gpu?.requestAdapter()
  if (!adapter) throw new Error('this browser gives no WebGPU adapter')
  const { vendor, architecture, device, description } = adapter.info
  const name = [vendor, architecture, device, description].filter(Boolean).join(' ')
  return { adapter: name, software: software(name) }
}

/** The WebGL renderer behind its masks. */
export function webglIdentity(gl = new OffscreenCanvas(1, 1).getContext('webgl2')): Record<string, string> {
  if (!gl) throw new Error('this browser gives no WebGL 2 context')
  const unmasked = gl.getExtension('WEBGL_debug_renderer_info')
  const name = String(gl.getParameter(unmasked ? unmasked.UNMASKED_RENDERER_WEBGL : gl.RENDERER))
  return { adapter: name, software: software(name) }
}
