/**
 * `bisect <id>`: in which published version of its npm package a defect came or went. Every version is installed by npm into a folder of its own in the cache
 * and asked with the repro script, which needs nothing of this project.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cacheFolder } from '../cache.ts'
import { KNOWN, type KnownDefect, type KnownFile, readKnown } from '../catalogue.ts'
import { UserError } from '../errors.ts'
import { makeFolder, writeJson } from '../files.ts'
import { loadOps } from '../ops.ts'
import { browserOnly, nodeForm, packagesOf } from '../repro/forms.ts'
import { materialOf } from '../repro/material.ts'
import { installed, ran } from '../versions.ts'
import { findDefect } from './repro.ts'

const INSTALL_MS = 300_000
const RUN_MS = 90_000

/** Released versions, oldest first; of each minor version the last patch. */
export function releases(all: readonly string[]): string[] {
  const last = new Map<string, string>()
  const parts = (v: string) => v.split('.').map(Number) as [number, number, number]
  const order = (a: string, b: string) => {
    const [x, y] = [parts(a), parts(b)]
    return x[0] - y[0] || x[1] - y[1] || x[2] - y[2]
  }
  for (const v of all.filter(w => /^\d+\.\d+\.\d+$/.test(w)).sort(order)) last.set(v.split('.').slice(0, 2).join('.'), v)
  return [...last.values()].sort(order)
}

export type State = 'fails' | 'right' | 'cannot run'
/**
 * The neighbouring versions between which the answer changes. Assumes one change in the range asked; versions that cannot run are passed over.
 * @param ask answers for version i of the list
 */
export async function search(count: number, ask: (i: number) => Promise<State>): Promise<{ before: number; after: number } | null> {
  let right = count - 1
  while (right >= 0 && (await ask(right)) === 'cannot run') right--
  let left = 0
  while (left < right && (await ask(left)) === 'cannot run') left++
  if (right <= left) return null
  const newest = await ask(right)
  if ((await ask(left)) === newest) return null
  while (right - left > 1) {
    let middle = (left + right) >> 1
    while (middle < right && (await ask(middle)) === 'cannot run') middle++
    if (middle === right) {
      middle = (left + right) >> 1
      while (middle > left && (await ask(middle)) === 'cannot run') middle--
      if (middle === left) break
    }
    if ((await ask(middle)) === newest) right = middle
    else left = middle
  }
  return { before: left, after: right }
}

export async function bisectCommand(id: string, flags: { last?: string; json?: boolean }): Promise<number> {
  const defect = findDefect(id)
  if (browserOnly(defect.way.backend))
    throw new UserError(
      `bisect ${id}: ${defect.way.backend} lives in a browser only; write the page with repro --as html and give it ?runtime=URL of another version`,
    )
  const op = (await loadOps()).get(defect.op)
  if (!op) throw new UserError(`bisect ${id}: this version has no operation ${defect.op}`)
  const material = await materialOf(defect, op)
  const script = nodeForm(material)
  const [main, ...others] = packagesOf(material).map(p => p.replace(/@[^@]*$/, ''))
  const base = join(cacheFolder(), 'versions')
  makeFolder(base)
  const listed = await ran('npm', ['view', main!, 'versions', '--json'], base, INSTALL_MS)
  let all: string[]
  try {
    all = releases(JSON.parse(listed.text.slice(listed.text.indexOf('['))) as string[])
  } catch {
    throw new UserError(`bisect ${id}: npm does not list the versions of ${main}: ${listed.text.trim().split('\n')[0]}`)
  }
  const versions = all.slice(-Math.max(2, Number(flags.last ?? 12)))
  const states = new Map<number, State>()
  const ask = async (i: number): Promise<State> => {
    const known = states.get(i)
    if (known) return known
    const v = versions[i]!
    const state = await stateOf(
      [main!, ...others].map(p => (p === 'webgpu' ? p : `${p}@${v}`)),
      script,
      defect,
    )
    states.set(i, state)
    process.stderr.write(`${main} ${v}: ${state}\n`)
    return state
  }
  const found = await search(versions.length, ask)
  const tested = Object.fromEntries([...states].sort((a, b) => a[0] - b[0]).map(([i, s]) => [versions[i]!, s]))
  const result = {
    schema: 1,
    id,
    package: main!,
    change: found ? { from: versions[found.before]!, to: versions[found.after]!, now: states.get(found.after)! } : null,
    tested,
  }
  remember(id, result)
  if (flags.json) process.stdout.write(`${JSON.stringify(result)}\n`)
  else if (result.change)
    process.stdout.write(`${id}: ${result.change.now === 'fails' ? 'came' : 'went'} between ${main} ${result.change.from} and ${result.change.to}\n`)
  else process.stdout.write(`${id}: the same in every version that runs, of ${versions[0]} to ${versions.at(-1)}\n`)
  return 0
}

async function stateOf(packages: readonly string[], script: string, defect: KnownDefect): Promise<State> {
  let dir: string
  try {
    dir = await installed(packages)
  } catch {
    return 'cannot run'
  }
  writeFileSync(join(dir, `${defect.id}.mjs`), script)
  const r = await ran(process.execPath, [`${defect.id}.mjs`], dir, RUN_MS)
  if (r.signal) return defect.kind === 'crash' || defect.kind === 'hang' ? 'fails' : 'cannot run'
  return r.code === 0 ? 'fails' : r.code === 1 ? 'right' : 'cannot run'
}

/** Into the entry, where the catalogue has it. */
function remember(id: string, result: { package: string; change: unknown; tested: Record<string, State> }): void {
  const d = readKnown().find(k => k.id === id)
  if (!d) return
  const versions = Object.fromEntries(
    Object.entries(result.tested).flatMap(([v, s]) =>
      s === 'cannot run' ? [] : [[`${result.package} ${v}`, s === 'fails' ? 'known' : 'fixed'] as const],
    ),
  )
  const file: KnownFile = {
    schema: 1,
    op: d.op,
    defects: readKnown()
      .filter(k => k.op === d.op)
      .map(k => (k.id === id ? { ...k, versions: { ...k.versions, ...versions } } : k)),
  }
  writeJson(join(KNOWN, `${d.op}.json`), file)
}
