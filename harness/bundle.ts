/**
 * Children and pages run one bundle each: the ops, one backend and the code that serves them. esbuild makes it at run time; it is kept in the cache folder under
 * the hash of what went into it, because a process that starts from a bundle needs a third of the time that it needs through tsx.
 */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { BuildOptions, Plugin } from 'esbuild'
import { cacheFolder } from './cache.ts'
import { fileError, UserError } from './errors.ts'
import { OPS } from './ops.ts'

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url))
const ROOT = here('..')
/** Packages that become part of a child's bundle; runtimes stay where npm put them, because they look for files beside themselves. */
const INSIDE = new Set(['pbf'])
const KEEP_MS = 14 * 86_400_000

const sha = (...parts: (string | Uint8Array)[]) => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part).update('\0')
  return hash.digest('hex').slice(0, 32)
}

/** What stands for an input: its content, or for a file of a package that package's description. */
function fingerprint(file: string): string {
  const inside = /^(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(file)
  try {
    return sha(readFileSync(inside ? `${inside[1]}/package.json` : file))
  } catch {
    return ''
  }
}

/** Bare imports become absolute addresses, so that the bundle can lie anywhere. One that is not installed stays as it is, and fails when it is run. */
function runtimesOutside(missing: string[]): Plugin {
  return {
    name: 'runtimes-outside',
    setup(build) {
      build.onResolve({ filter: /^[^./]/ }, async ({ path, pluginData, importer, resolveDir, kind }) => {
        if (pluginData === 'again' || path.startsWith('node:') || INSIDE.has(path)) return undefined
        const found = await build.resolve(path, { pluginData: 'again', importer, resolveDir, kind })
        if (found.errors.length || !found.path) {
          missing.push(path)
          return { path, external: true }
        }
        return found.external ? { path, external: true } : { path: pathToFileURL(found.path).href, external: true }
      })
    },
  }
}

interface Kept {
  file: string
  /** Fingerprints of the inputs, by path. */
  inputs: Record<string, string>
}

/** File of the bundle of an entry (TypeScript text whose imports are absolute paths). */
async function bundle(entry: string, platform: 'node' | 'browser'): Promise<string> {
  const folder = join(cacheFolder(), 'bundles')
  const index = join(folder, `${sha(ROOT, platform, process.version, fingerprint(join(ROOT, 'node_modules/esbuild/package.json')), entry)}.json`)
  try {
    const kept = JSON.parse(readFileSync(index, 'utf8')) as Kept
    const file = join(folder, kept.file)
    if (Object.entries(kept.inputs).every(([path, was]) => fingerprint(path) === was) && sha(readFileSync(file)) === kept.file.split('.')[0]) return file
  } catch {} // absent or unreadable: it is made

  const { build } = await import('esbuild')
  const missing: string[] = []
  const child: BuildOptions = { platform: 'node', target: 'node20', plugins: [runtimesOutside(missing)] }
  const page: BuildOptions = {
    platform: 'browser',
    target: 'es2022',
    mainFields: ['browser', 'module', 'main'],
    define: { global: 'globalThis' },
  }
  const result = await build({
    stdin: { contents: entry, resolveDir: ROOT, loader: 'ts' },
    bundle: true,
    write: false,
    metafile: true,
    format: 'esm',
    logLevel: 'silent',
    absWorkingDir: ROOT,
    ...(platform === 'node' ? child : page),
  }).catch(error => {
    throw new UserError(`the ${platform === 'node' ? 'child' : 'page'} bundle could not be made: ${(error as Error).message}`)
  })
  const text = result.outputFiles[0]!.contents
  const name = `${sha(text)}.mjs`
  const file = join(folder, name)
  const inputs = Object.fromEntries(
    Object.keys(result.metafile.inputs)
      .filter(path => path !== '<stdin>')
      .map(path => resolve(ROOT, path))
      .map(path => [path, fingerprint(path)]),
  )
  try {
    mkdirSync(folder, { recursive: true })
    prune(folder)
    put(file, text)
    if (!missing.length) put(index, JSON.stringify({ file: name, inputs } satisfies Kept))
  } catch (error) {
    throw fileError('the cache folder', folder, error)
  }
  return file
}
/** Written beside its place and renamed: readers see all of it or nothing. */
function put(file: string, content: string | Uint8Array): void {
  const stage = `${file}.${process.pid}-${performance.now()}`
  writeFileSync(stage, content)
  renameSync(stage, file)
}
function prune(folder: string): void {
  for (const name of readdirSync(folder)) {
    const written = statSync(join(folder, name), { throwIfNoEntry: false })?.mtimeMs
    if (written !== undefined && Date.now() - written > KEEP_MS) rmSync(join(folder, name), { force: true })
  }
}

/** The operations' files as they are now. */
export const opFiles = (): string[] =>
  readdirSync(OPS)
    .filter(f => f.endsWith('.ts'))
    .sort()
    .map(f => OPS + f)

/** An entry that calls `serve(backend, ops)` of a file. */
function entryOf(server: string, source: string, operations: readonly string[]): string {
  return [
    `import { serve } from ${JSON.stringify(here(server))}`,
    `import backend from ${JSON.stringify(source)}`,
    ...operations.map((file, i) => `import op${i} from ${JSON.stringify(file)}`),
    `serve(backend, [${operations.map((_, i) => `op${i}`).join(', ')}].flat())`,
  ].join('\n')
}

/** The script that a child of this backend runs. */
export const childScript = (source: string, operations: readonly string[] = opFiles()): Promise<string> =>
  bundle(entryOf('./hosts/child-main.ts', source, operations), 'node')

/** The scripts of a page by their paths: its main thread, and the worker with the ops and one backend. */
export async function pageScripts(source: string, operations: readonly string[] = opFiles()): Promise<Record<string, string>> {
  const main = await bundle(`import ${JSON.stringify(here('./hosts/page-main.ts'))}`, 'browser')
  const worker = await bundle(entryOf('./hosts/page-worker.ts', source, operations), 'browser')
  if (!existsSync(main) || !existsSync(worker)) throw new UserError('the cache folder was emptied while the run started; start it again')
  return { '/main.js': readFileSync(main, 'utf8'), '/worker.js': readFileSync(worker, 'utf8') }
}
