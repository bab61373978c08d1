/** The folder is the registry: one file a backend; file name = name. Names, globs and groups select them. */
import { readdirSync } from 'node:fs'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { nearest, UserError } from './errors.ts'
import type { Backend } from './types.ts'

export const BACKENDS = fileURLToPath(new URL('./backends/', import.meta.url))
/** Rows of tables stand in this order; the first of each runtime is its reference. */
const ORDER = [
  'ort-cpu',
  'ort-cuda',
  'ort-webgpu',
  'ortweb-wasm',
  'ortweb-wasm@chromium',
  'ortweb-webgpu',
  'ortweb-jsep',
  'ortweb-webgl',
  'ortweb-webnn',
  'tfjs-cpu',
  'tfjs-cpu@chromium',
  'tfjs-wasm',
  'tfjs-wasm@chromium',
  'tfjs-webgl',
  'tfjs-webgpu',
  'tfjs-webgpu@chromium',
  'tfjs-node',
  'tfjs-node-gpu',
]
export const rank = (name: string): number => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length)

export async function loadBackends(): Promise<Backend[]> {
  const files = readdirSync(BACKENDS).filter(f => f.endsWith('.ts'))
  const list = await Promise.all(files.map(async f => (await import(pathToFileURL(BACKENDS + f).href)).default as Backend))
  return list.sort((a, b) => rank(a.name) - rank(b.name) || (a.name < b.name ? -1 : 1))
}

export function groupsOf(b: Backend): string[] {
  const runtime = b.name.startsWith('tfjs') ? 'tfjs' : b.name.startsWith('ortweb') ? 'ortweb' : 'ort'
  const gpu = /webgpu|webgl|jsep|cuda|gpu/.test(b.name) ? ['gpu'] : ['cpu-only']
  return ['all', b.host === 'child' ? 'node' : 'browser', runtime, ...(runtime === 'ortweb' ? ['ort'] : []), b.dialect, ...gpu, ...(b.groups ?? [])]
}
/** Backends that the words select; `literal` are those named one by one (they have to run). */
export function selectBackends(all: readonly Backend[], words: readonly string[]): { backends: Backend[]; literal: Set<string> } {
  const literal = new Set<string>()
  const chosen = new Set<string>()
  const groups = new Set(all.flatMap(groupsOf))
  for (const word of words) {
    const glob = new RegExp(
      `^${word
        .replace(/[.+^${}()|[\]\\]/g, '\\$&')
        .replace(/\*/g, '.*')
        .replace(/\?/g, '.')}$`,
    )
    const exact = all.find(b => b.name === word)
    const hits = exact
      ? [exact]
      : groups.has(word)
        ? all.filter(b => groupsOf(b).includes(word))
        : /[*?]/.test(word)
          ? all.filter(b => glob.test(b.name))
          : []
    if (!hits.length) {
      const near = nearest(word, [...all.map(b => b.name), ...groups])
      throw new UserError(`unknown backend ${word}; did you mean ${near}? (npm run compat -- --list shows all)`)
    }
    if (exact) literal.add(exact.name)
    for (const b of hits) chosen.add(b.name)
  }
  return { backends: all.filter(b => chosen.has(b.name)), literal }
}
