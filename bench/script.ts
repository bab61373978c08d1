/** The benchmark's process as one script: a backend's own file with a dialect that keeps kernels open, and, where asked for, packages from another folder. */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { Plugin } from 'esbuild'
import { bundled, entryFor } from '../harness/bundle.ts'
import { cacheFolder } from '../harness/cache.ts'
import { UserError } from '../harness/errors.ts'

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url))

/** Sessions that stay open instead of one for every trial. */
const held: Plugin = {
  name: 'held sessions',
  setup(b) {
    b.onResolve({ filter: /dialects\/onnx\.ts$/ }, a => (a.importer.includes('/backends/') ? { path: here('./held-onnx.ts') } : undefined))
  },
}
/** Packages stay outside the bundle; those that `folder` has come from there. */
const packages = (folder: string | undefined): Plugin => ({
  name: 'packages',
  setup(b) {
    b.onResolve({ filter: /^[^./]/ }, a => {
      if (a.kind === 'entry-point' || a.path.startsWith('node:') || /^[A-Za-z]:/.test(a.path)) return undefined
      const from = [...(folder ? [join(resolve(folder), 'package.json')] : []), a.importer || import.meta.url]
      for (const place of from)
        try {
          return { path: pathToFileURL(createRequire(place).resolve(a.path)).href, external: true }
        } catch {
          // looked for in the next place
        }
      return { path: a.path, external: true }
    })
  },
})

const made = new Map<string, Promise<string>>()
export function kernelScript(backendFile: string, opFiles: readonly string[], folder?: string): Promise<string> {
  if (folder && !existsSync(join(folder, 'node_modules')))
    throw new UserError(`${folder} holds no node_modules; install the other version there (npm install --prefix ${folder} <package>@<version>)`)
  const key = JSON.stringify([backendFile, opFiles, folder])
  let known = made.get(key)
  if (!known) {
    known = (async () => {
      const text = await bundled({
        stdin: { contents: entryFor(here('./kernel-main.ts'), backendFile, opFiles), resolveDir: here('.'), loader: 'ts' },
        platform: 'node',
        plugins: [held, packages(folder)],
      })
      const dir = join(cacheFolder(), 'scripts')
      const path = join(dir, `${createHash('sha256').update(text).digest('hex').slice(0, 20)}.mjs`)
      if (!existsSync(path)) {
        mkdirSync(dir, { recursive: true })
        writeFileSync(`${path}.${process.pid}`, text)
        renameSync(`${path}.${process.pid}`, path)
      }
      return path
    })()
    made.set(key, known)
    known.catch(() => made.delete(key))
  }
  return known
}
