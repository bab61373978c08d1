/** A defect as something to hand to a maintainer: a page, a Node script, or the text of an issue. None of them needs opcompat. */
import { say } from '../atoms.ts'
import { describe } from '../triage.ts'
import type { Flat, Material } from './material.ts'

const json = (v: unknown) => JSON.stringify(v).replace(/</g, '\\u003c')
const escaped = (s: string) => s.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;')

/** How a backend is started from the released packages. */
interface Start {
  /** File of onnxruntime-web, or the backend's name in TF.js. */
  file: string
  provider: unknown
  browserOnly: boolean
}
function startOf(backend: string): Start {
  const name = backend.replace('@chromium', '')
  const only = backend.endsWith('@chromium')
  switch (name) {
    case 'ortweb-webgpu':
    case 'ort-webgpu':
      return { file: 'ort.webgpu.min.mjs', provider: 'webgpu', browserOnly: name === 'ortweb-webgpu' }
    case 'ortweb-jsep':
      return { file: 'ort.all.min.mjs', provider: 'webgpu', browserOnly: true }
    case 'ortweb-webgl':
      return { file: 'ort.webgl.min.mjs', provider: 'webgl', browserOnly: true }
    case 'ortweb-webnn':
      return { file: 'ort.all.min.mjs', provider: { name: 'webnn', deviceType: 'cpu' }, browserOnly: true }
    case 'ort-cpu':
    case 'ortweb-wasm':
    case 'ort-cuda':
      return { file: 'ort.wasm.min.mjs', provider: name === 'ort-cpu' ? 'cpu' : name === 'ort-cuda' ? 'cuda' : 'wasm', browserOnly: only }
    default:
      return { file: '', provider: name.replace('tfjs-', '').replace(/^node.*/, 'tensorflow'), browserOnly: only || name === 'tfjs-webgl' }
  }
}

/** Functions that every form shares: plain JavaScript, for Node and browsers. */
function shared(m: Material): string {
  const kind = m.defect.kind
  const failsBy = ['rejects-valid', 'crash', 'device-lost'].includes(kind) ? 'error' : kind === 'accepts-invalid' ? 'no error' : 'difference'
  return `const inputs = ${json(m.inputs)}
const expected = ${json(m.expected)}
const definition = ${json(m.expected ? null : m.definition)}
const relaid = ${m.calls !== undefined && m.definition.length === 1}
/** The failure shows as: ${failsBy}. */
const failsBy = ${json(failsBy)}
const TYPES = { float32: Float32Array, float64: Float64Array, float16: Uint16Array, int32: Int32Array, int64: BigInt64Array, uint8: Uint8Array, int8: Int8Array, bool: Uint8Array }
function half(v) {
  if (Number.isNaN(v)) return 0x7e00
  const sign = v < 0 || Object.is(v, -0) ? 0x8000 : 0
  const a = Math.abs(v)
  if (a >= 65520) return sign | 0x7c00
  if (a < 2 ** -14) return sign | Math.round(a * 2 ** 24)
  let e = Math.floor(Math.log2(a))
  return sign | ((e + 15) * 1024 + Math.round((a / 2 ** e - 1) * 1024))
}
const unhalf = h => { const e = (h >> 10) & 31, f = h & 1023; return (h & 0x8000 ? -1 : 1) * (e === 31 ? (f ? NaN : Infinity) : e ? 2 ** (e - 15) * (1 + f / 1024) : f * 2 ** -24) }
const toData = t => TYPES[t.dtype].from(t.values.map(v => (t.dtype === 'int64' ? BigInt(v) : t.dtype === 'float16' ? half(Number(v)) : Number(v))))
const toNumbers = (data, dtype) => Array.from(data, v => (dtype === 'float16' && data instanceof Uint16Array ? unhalf(v) : Number(v)))
const close = (a, b) => a === b || (a !== a && b !== b) || Math.abs(a - b) <= ${m.defect.kind === 'precision' ? '1e-7' : '1e-5'} * Math.max(1, Math.abs(b))
/** Whether the failure is seen, and in words what was. */
function verdict(outputs, error) {
  if (error) return { reproduced: failsBy === 'error', says: 'error: ' + error }
  const shown = outputs.map(y => y.name + ' ' + y.dtype + ' [' + y.shape + '] ' + y.values.slice(0, 64).join(' ')).join('; ')
  if (failsBy !== 'difference') return { reproduced: failsBy === 'no error', says: shown }
  if (!expected) {
    // another layout lies between: the same numbers in some order
    const [a, b] = [definition, outputs].map(list => list.slice(0, 1).flatMap(y => y.values.map(Number)).sort((u, v) => u - v))
    return { reproduced: a.length !== b.length || (relaid && a.some((v, i) => !close(b[i], v))) ? true : relaid ? false : null, says: shown }
  }
  const differs = expected.some((e, j) => {
    const y = outputs[j]
    return y && (y.shape.join() !== e.shape.join() || e.values.some((v, i) => !close(y.values[i], Number(v))))
  })
  return { reproduced: differs, says: shown }
}`
}
const ortRun = (m: Material) => `const model = Uint8Array.from(atob(${json(m.model)}), c => c.charCodeAt(0))
async function run(ort, provider) {
  const session = await ort.InferenceSession.create(model, { executionProviders: [provider], graphOptimizationLevel: ${json(/^(all|disabled|basic|extended)$/.test(m.defect.way.mode) ? m.defect.way.mode : 'all')} })
  const feeds = Object.fromEntries(inputs.map(t => [t.name, new ort.Tensor(t.dtype, toData(t), t.shape)]))
  const results = await session.run(feeds)
  const outputs = []
  for (const name of ${json(m.outputs)}) {
    const y = results[name]
    outputs.push({ name, dtype: y.type, shape: [...y.dims], values: toNumbers(y.getData ? await y.getData() : y.data, y.type) })
  }
  return outputs
}`
const tfRun = (m: Material) => `async function run(tf) {
${m.inputs.map(t => `  const ${t.name} = tf.tensor(${json(t.values.map(v => (typeof v === 'number' ? v : `#${v}#`))).replace(/"#(.*?)#"/g, '$1')}, ${json(t.shape)}, ${json(t.dtype === 'float32' || t.dtype === 'bool' ? t.dtype : 'int32')})`).join('\n')}
${(m.calls?.lines ?? []).map(l => `  ${l}`).join('\n')}
  const outputs = []
  for (const [i, y] of [${m.outputs.join(', ')}].entries()) if (y && y.data) outputs.push({ name: 'y' + i, dtype: y.dtype, shape: y.shape, values: Array.from(await y.data()) })
  return outputs
}`

/** One self-contained page. `?runtime=URL` names the folder of the runtime's files (of each package for TF.js: `?tfjs=URL&backend=URL`). */
export function htmlForm(m: Material): string {
  const s = startOf(m.defect.way.backend)
  const ortBase = `https://cdn.jsdelivr.net/npm/onnxruntime-web@${m.versions['onnxruntime-web']}/dist/`
  const tfBase = `https://cdn.jsdelivr.net/npm/@tensorflow/tfjs@${m.versions['@tensorflow/tfjs']}/dist/`
  const pkg = s.provider === 'wasm' || s.provider === 'webgpu' ? `@tensorflow/tfjs-backend-${s.provider}` : ''
  const load =
    m.dialect === 'onnx'
      ? `  const base = query.get('runtime') ?? ${json(ortBase)}
  const ort = await import(base + ${json(s.file)})
  ort.env.wasm.wasmPaths = base
  ort.env.wasm.numThreads = 1
  return run(ort, ${json(s.provider === 'cpu' || s.provider === 'cuda' ? 'wasm' : s.provider)})`
      : `  const script = src => new Promise((good, bad) => { const e = document.createElement('script'); e.src = src; e.onload = good; e.onerror = () => bad(new Error('cannot load ' + src)); document.head.append(e) })
  await script((query.get('tfjs') ?? ${json(tfBase)}) + 'tf.min.js')
${pkg ? `  const base = query.get('backend') ?? ${json(`https://cdn.jsdelivr.net/npm/${pkg}@${m.versions[pkg]}/dist/`)}\n  await script(base + 'tf-backend-${s.provider}.min.js')\n${s.provider === 'wasm' ? '  tf.wasm.setWasmPaths(base)\n' : ''}` : ''}  await tf.setBackend(${json(s.provider === 'tensorflow' ? 'cpu' : s.provider)})
  await tf.ready()
  return run(tf)`
  const title = `${m.defect.op} ${m.defect.kind} on ${m.defect.way.backend}`
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>${escaped(title)}</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#8881;padding:.75rem;border-radius:6px}button{font:inherit;padding:.4rem 1rem}</style>
<h1>${escaped(title)}</h1>
<p>${escaped(m.defect.rule.text)}</p>
<pre>${escaped(describe(m.defect.case))}</pre>
<h2>Expected</h2><pre>${escaped(expectedText(m))}</pre>
<h2>Observed here</h2><pre id="observed" role="status">running</pre>
<p id="answer"></p>
<button id="copy">Copy the issue text</button>
<script id="issue" type="text/plain">${escaped(markdownForm(m))}</script>
<script type="module">
${shared(m)}
${m.dialect === 'onnx' ? ortRun(m) : tfRun(m)}
const query = new URLSearchParams(location.search)
async function start() {
${load}
}
const result = await start().then(outputs => verdict(outputs), error => verdict([], String(error?.message ?? error)))
window.result = result
document.getElementById('observed').textContent = result.says
document.getElementById('answer').textContent = result.reproduced === null ? 'Compare by eye: the layout differs.' : result.reproduced ? 'Reproduced.' : 'Not reproduced here.'
const text = document.getElementById('issue').textContent.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&')
document.getElementById('copy').onclick = () => navigator.clipboard.writeText(text + '\\nObserved in ' + navigator.userAgent + ': ' + result.says + '\\n')
</script>
</html>
`
}

export const browserOnly = (backend: string): boolean => startOf(backend).browserOnly
/** What the script needs from npm, the runtime first. */
export function packagesOf(m: Material): string[] {
  const { provider } = startOf(m.defect.way.backend)
  const at = (name: string) => `${name}@${m.versions[name]}`
  if (m.dialect === 'onnx') return [at(m.defect.way.backend.startsWith('ortweb') ? 'onnxruntime-web' : 'onnxruntime-node')]
  const more = provider === 'wasm' || provider === 'webgpu' ? [at(`@tensorflow/tfjs-backend-${provider}`)] : []
  return [at('@tensorflow/tfjs'), ...more, ...(provider === 'webgpu' ? [at('webgpu')] : [])]
}

/** A script for Node: exit code 0 = reproduced, 1 = not, 2 = it could not run. Backends that only a browser has are run in one, through playwright-core. */
export function nodeForm(m: Material): string {
  const s = startOf(m.defect.way.backend)
  const packages = packagesOf(m)
  const head = (
    list: readonly string[],
    more = '',
  ) => `// ${m.defect.op} ${m.defect.kind} on ${m.defect.way.backend}: ${m.defect.rule.text.replace(/\n/g, ' ')}
// npm install ${list.join(' ')}; node repro.mjs${more}
// exit code 0: reproduced, 1: not reproduced, 2: it could not run\n`
  if (s.browserOnly)
    return `${head([`playwright-core@${m.versions['playwright-core']}`], '   (CHROMIUM=path of a browser, else an installed Chrome; REPRO_QUERY=?runtime=… to load the runtime from elsewhere)')}
import { createServer } from 'node:http'
import { chromium } from 'playwright-core'
const html = Buffer.from(${json(Buffer.from(htmlForm(m)).toString('base64'))}, 'base64')
const server = createServer((_, answer) => answer.writeHead(200, { 'content-type': 'text/html' }).end(html)).listen(0, '127.0.0.1', async () => {
  try {
    const browser = await chromium.launch({ ...(process.env.CHROMIUM ? { executablePath: process.env.CHROMIUM } : { channel: 'chrome' }), args: ['--no-sandbox', '--enable-unsafe-webgpu', ...(process.env.CHROMIUM_ARGS ?? '').split(' ').filter(Boolean)] })
    const page = await browser.newPage()
    await page.goto('http://127.0.0.1:' + server.address().port + '/' + (process.env.REPRO_QUERY ?? ''))
    const result = await (await page.waitForFunction(() => window.result, null, { timeout: 60000 })).jsonValue()
    console.log(result.says)
    console.log(result.reproduced ? 'reproduced' : 'not reproduced')
    await browser.close()
    process.exit(result.reproduced ? 0 : 1)
  } catch (error) {
    console.error(error.message)
    process.exit(2)
  }
})
`
  const load =
    m.dialect === 'onnx'
      ? `  const ort = await import(${json(packages[0]!.replace(/@[^@]*$/, ''))})
  const outputs = await run(ort.InferenceSession ? ort : ort.default, ${json(s.provider)})`
      : `${s.provider === 'webgpu' ? "  const dawn = await import('webgpu')\n  Object.assign(globalThis, dawn.globals)\n  Object.defineProperty(globalThis, 'navigator', { value: { gpu: dawn.create([]) }, configurable: true })\n" : ''}  const tf = await import('@tensorflow/tfjs')
${s.provider === 'wasm' || s.provider === 'webgpu' ? `  await import('@tensorflow/tfjs-backend-${s.provider}')\n` : ''}  await tf.setBackend(${json(s.provider === 'tensorflow' ? 'cpu' : s.provider)})
  const outputs = await run(tf)`
  return `${head(packages)}
${shared(m)}
${m.dialect === 'onnx' ? ortRun(m) : tfRun(m)}
let result
try {
${load}
  result = verdict(outputs)
} catch (error) {
  if (error?.code === 'ERR_MODULE_NOT_FOUND') {
    console.error(error.message)
    process.exit(2)
  }
  result = verdict([], String(error?.message ?? error))
}
console.log('expected: ' + ${json(expectedText(m))})
console.log('observed: ' + result.says)
console.log(result.reproduced === null ? 'compare by eye: the layout differs' : result.reproduced ? 'reproduced' : 'not reproduced')
process.exit(result.reproduced === false ? 1 : 0)
`
}

const list = (t: Flat) =>
  `${t.name} ${t.dtype} [${t.shape}] ${t.values.slice(0, 64).join(' ')}${t.values.length > 64 ? ` … (${t.values.length})` : ''}`
function expectedText(m: Material): string {
  if (m.mustFail) return 'an error: the call is not valid'
  return (m.expected ?? m.definition).map(list).join('; ') || 'a result without error'
}

/** Text of an issue. */
export function markdownForm(m: Material): string {
  const { defect: d } = m
  const observed = d.observed?.map((t, i) => list({ name: `y${i}`, dtype: t.dtype, shape: t.shape, values: t.values ?? [] })).join('; ')
  const packages = Object.entries(d.versions ?? {})
  const call =
    m.dialect === 'onnx'
      ? [
          '```json',
          JSON.stringify({ op: d.op, attributes: d.case.attributes, inputs: m.inputs }, null, 1),
          '```',
          'The model is in the script below.',
        ]
      : ['```js', tfRun(m), '```']
  return [
    `# ${d.op}: ${d.kind} on ${d.backends.join(', ')}`,
    '',
    `**When:** ${d.rule.text || say(d.rule.predicate)}`,
    ...(d.rule.checked
      ? [
          '',
          `Measured on fresh cases: ${d.rule.checked.inside.right} of ${d.rule.checked.inside.of} inside fail, ${d.rule.checked.outside.right} of ${d.rule.checked.outside.of} just outside do not.`,
        ]
      : []),
    '',
    `**Expected:** ${expectedText(m)}`,
    `by the definition: ${m.spec.join(', ')}`,
    '',
    `**Observed:** ${observed || d.because}${d.instead ? `\n\nThis is ${d.instead.sentence}.` : ''}`,
    '',
    `Backends: ${d.backends.join(', ')}; ways of calling: ${d.paths.join(', ')}; modes: ${d.modes.join(', ')}.`,
    ...(packages.length ? [`Versions: ${packages.map(([p, s]) => `${p} (${s === 'fixed' ? 'right' : 'wrong'})`).join(', ')}.`] : []),
    ...(d.recipe ? ['', `**Way around:** ${d.recipe.text}.`, ...(d.recipe.code ? ['', '```', d.recipe.code, '```'] : [])] : []),
    ...(d.reach.length
      ? [
          '',
          `Layers like this: ${d.reach
            .slice(0, 6)
            .map(r => `${r.model} (${r.layers})`)
            .join(', ')}.`,
        ]
      : []),
    ...(d.links.length ? ['', ...d.links] : []),
    '',
    `## Smallest case`,
    '',
    describe(d.case),
    '',
    ...call,
    '',
  ].join('\n')
}
