/** Scripts for other processes, made by esbuild at run time (there is no build step) and kept in the cache under the hash of what went in. */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { type BuildOptions, build, type Plugin } from 'esbuild'
import { cacheFolder } from './cache.ts'
import { OPS } from './ops.ts'
import { bundledFrom, resolveModule } from './versions.ts'

export const opFiles = (): string[] =>
  readdirSync(OPS)
    .filter(f => f.endsWith('.ts'))
    .sort()
    .map(f => OPS + f)

/** An entry that hands a backend and all ops to `serve` of the given module. */
export const entryFor = (serve: string, backendFile: string, ops: readonly string[] = opFiles()): string =>
  [
    `import { serve } from ${JSON.stringify(serve)}`,
    `import backend from ${JSON.stringify(backendFile)}`,
    ...ops.map((file, i) => `import op${i} from ${JSON.stringify(file)}`),
    `serve(backend, [${ops.map((_, i) => `op${i}`).join(', ')}].flat())`,
  ].join('\n')

/** Packages stay outside the bundle of a Node child: their native parts and data files lie beside them. */
const outside: Plugin = {
  name: 'packages',
  setup(b) {
    b.onResolve({ filter: /^[^./]/ }, a => {
      if (a.kind === 'entry-point' || a.path.startsWith('node:') || a.path.startsWith('/') || /^[A-Za-z]:/.test(a.path)) return undefined
      try {
        return { path: pathToFileURL(resolveModule(a.path, a.importer || import.meta.url)).href, external: true }
      } catch {
        return { path: safeResolve(a.path), external: true }
      }
    })
  },
}
function safeResolve(name: string): string {
  try {
    return import.meta.resolve(name)
  } catch {
    return name // not installed: the import fails in the child, with its own words
  }
}

/** Packages of another version are bundled from where they were installed. */
const asked: Plugin = {
  name: 'versions',
  setup(b) {
    b.onResolve({ filter: /^[@\w]/ }, a => {
      const resolveDir = a.pluginData === 'asked' || a.resolveDir.includes('node_modules') ? null : bundledFrom(a.path)
      return resolveDir ? b.resolve(a.path, { resolveDir, kind: a.kind, pluginData: 'asked' }) : undefined
    })
  },
}

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url))
const made = new Map<string, Promise<string>>()
/** Path of a script for a Node child that hands this backend and the ops to `serve` of a module. */
export function childScript(backendFile: string, ops: readonly string[] = opFiles(), serve = here('./hosts/child-main.ts')): Promise<string> {
  const key = `${serve}\n${backendFile}\n${ops.join('\n')}`
  let known = made.get(key)
  if (!known) {
    known = (async () => {
      const text = await bundled({
        stdin: { contents: entryFor(serve, backendFile, ops), resolveDir: here('.'), loader: 'ts' },
        platform: 'node',
        plugins: [outside],
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

/** The scripts of a page by their paths: its main thread, and the worker with the ops and one backend. */
export async function pageScripts(backendFile: string, ops: readonly string[] = opFiles()): Promise<Record<string, string>> {
  const script = (contents: string) =>
    bundled({
      stdin: { contents, resolveDir: here('.'), loader: 'ts' },
      platform: 'browser',
      mainFields: ['browser', 'module', 'main'],
      define: { global: 'globalThis' },
      plugins: [asked],
    })
  const [main, worker] = await Promise.all([
    script(`import ${JSON.stringify(here('./hosts/page-main.ts'))}`),
    script(entryFor(here('./hosts/page-worker.ts'), backendFile, ops)),
  ])
  return { '/main.js': main, '/worker.js': worker }
}

export async function bundled(options: BuildOptions): Promise<string> {
  const r = await build({ bundle: true, write: false, format: 'esm', target: 'es2022', logLevel: 'silent', ...options })
  return r.outputFiles![0]!.text
}
