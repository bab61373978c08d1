/** `--with`: another version is resolved from its folder in the cache, its siblings with it, and nothing else. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bundledFrom, resolveModule, runWith } from '../../harness/versions.ts'

const cache = mkdtempSync(join(tmpdir(), 'opcompat-versions-'))
/** As `installed` leaves it. */
function put(folder: string, ...packages: string[]): void {
  for (const name of packages) {
    const dir = join(cache, 'versions', folder, 'node_modules', name)
    mkdirSync(dir, { recursive: true })
    writeFileSync(join(dir, 'package.json'), JSON.stringify({ name, version: '0.0.9', main: 'index.js' }))
    writeFileSync(join(dir, 'index.js'), '')
  }
  writeFileSync(join(cache, 'versions', folder, 'installed'), packages.join(' '))
}
const before = process.env.OPCOMPAT_CACHE
beforeAll(() => {
  process.env.OPCOMPAT_CACHE = cache
})
afterAll(() => {
  if (before === undefined) delete process.env.OPCOMPAT_CACHE
  else process.env.OPCOMPAT_CACHE = before
  rmSync(cache, { recursive: true, force: true })
})

test('what is no package@version of a runtime is named', async () => {
  for (const spec of ['foo@1.0.0', 'onnxruntime-web', 'onnxruntime-web@latest'])
    await expect(runWith([spec])).rejects.toThrow(`--with ${spec}: give package@version`)
})

test('the asked version is resolved, by children and by pages; other packages stay', async () => {
  const own = resolveModule('onnxruntime-node', import.meta.url)
  put('onnxruntime-web-0.0.9', 'onnxruntime-web', 'onnxruntime-common')
  put('tensorflow-tfjs-0.0.9', '@tensorflow/tfjs', '@tensorflow/tfjs-backend-wasm', '@tensorflow/tfjs-core')
  await runWith(['onnxruntime-web@0.0.9', '@tensorflow/tfjs-backend-wasm@0.0.9'])
  for (const name of ['onnxruntime-web', 'onnxruntime-common', '@tensorflow/tfjs', '@tensorflow/tfjs-core', '@tensorflow/tfjs-backend-wasm'])
    expect(resolveModule(name, import.meta.url)).toContain(join(cache, 'versions'))
  expect(bundledFrom('@tensorflow/tfjs')).toContain('tensorflow-tfjs-0.0.9')
  expect(bundledFrom('@tensorflow/tfjs-node')).toBeNull()
  expect(resolveModule('onnxruntime-node', import.meta.url)).toBe(own)
})
