/** What the subcommands share: names into sides and layers, progress, Ctrl-C, the folder that is written. */
import { closeSync, existsSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { loadBackends, selectBackends } from '../harness/backends.ts'
import { fileError, nearest, UserError } from '../harness/errors.ts'
import { makeFolder } from '../harness/files.ts'
import { loadOps } from '../harness/ops.ts'
import { duration, integer, words } from '../harness/options.ts'
import type { Backend, Op } from '../harness/types.ts'
import { allLayers, pathsOf, spread, sweepLayers } from './layers.ts'
import type { Subject } from './pilot.ts'
import { ALLOCATORS, type Allocator, type BenchLayer, type Side } from './types.ts'

export interface KernelFlags {
  ops?: string
  backends?: string
  modes?: string
  paths?: string
  layers?: string
  match?: string
  sweeps?: boolean
  launches?: string
  visits?: string
  budget?: string
  seed?: string
  allocator?: string
  out?: string
  force?: boolean
  json?: boolean
}
export const FOUR = 'ort-cpu,ortweb-wasm,tfjs-cpu,tfjs-wasm'

const globs = (text: string): RegExp[] => words(text).map(w => new RegExp(`^${w.replace(/[.+^${}()|[\]\\]/g, '\\$&').replace(/\*/g, '.*')}$`))

/** `8` or `5..14`. */
export function launchesOf(text: string | undefined, fallback: readonly [number, number]): readonly [number, number] {
  if (text === undefined) return fallback
  const m = /^(\d+)(?:\.\.(\d+))?$/.exec(text)
  const [a, b] = [Number(m?.[1]), Number(m?.[2] ?? m?.[1])]
  if (!m || a < 1 || b < a || b > 200) throw new UserError(`--launches ${text}: give a number, or least..most, e.g. 5..14`)
  return [a, b]
}
export const allocatorOf = (text: string | undefined): Allocator => {
  const wanted = text ?? 'tuned'
  if (!(ALLOCATORS as readonly string[]).includes(wanted)) throw new UserError(`--allocator ${wanted}: give ${ALLOCATORS.join(' or ')}`)
  return wanted as Allocator
}
export const percentOf = (name: string, text: string): number => {
  const m = /^(\d+(?:\.\d+)?)%?$/.exec(text)
  if (!m || Number(m[1]) <= 0 || Number(m[1]) > 1000) throw new UserError(`${name} ${text}: give a percentage, e.g. 10%`)
  return Number(m[1]) / 100
}

/** Backends that live in a Node process; those of a page are named and left out. */
export async function timedBackends(text: string): Promise<{ backends: Backend[]; literal: Set<string>; pages: string[] }> {
  const { backends, literal } = selectBackends(await loadBackends(), words(text))
  const pages = backends.filter(b => b.host === 'page').map(b => b.name)
  const here = backends.filter(b => b.host === 'child')
  if (!here.length) throw new UserError(`${pages.join(', ')}: runs in a browser; kernels are timed in Node processes (npm run bench -- --help)`)
  return { backends: here, literal, pages }
}
export function sidesOf(backends: readonly Backend[], modes: string | undefined, allocator: Allocator): Side[] {
  const wanted = words(modes)
  const all = new Set(backends.flatMap(b => b.modes))
  for (const m of wanted) if (!all.has(m)) throw new UserError(`--modes ${m}: no such mode here; did you mean ${nearest(m, all)}?`)
  return backends.flatMap(backend => {
    const hits = backend.modes.filter(m => wanted.includes(m))
    return (hits.length ? hits : backend.modes.slice(0, 1)).map(mode => ({
      name: mode === backend.modes[0] ? backend.name : `${backend.name}:${mode}`,
      backend,
      mode,
      allocator,
    }))
  })
}
export async function layersOf(flags: KernelFlags, defaults: string, perOp: number): Promise<{ ops: ReadonlyMap<string, Op>; layers: BenchLayer[] }> {
  const ops = await loadOps()
  const known = flags.sweeps ? grouped(sweepLayers()) : allLayers(ops)
  const n = integer('--layers', flags.layers, perOp, 1, 10_000)
  const wanted = words(flags.ops ?? (flags.sweeps ? [...known.keys()].join(',') : defaults))
  const names = wanted.flatMap(word => {
    const hits = [...known.keys()].filter(k => globs(word).some(g => g.test(k)))
    if (hits.length) return hits
    if (ops.has(word)) throw new UserError(`--ops ${word}: no layers of it in corpora/ or bench/extra.ts; there are ${[...known.keys()].join(', ')}`)
    throw new UserError(`unknown operation ${word}; did you mean ${nearest(word, known.keys())}?`)
  })
  const pattern = flags.match === undefined ? null : new RegExp(flags.match)
  const chosen = [...new Set(names)].map(name => {
    const list = known.get(name)!.filter(l => !pattern || pattern.test(`${l.layer} ${l.source}`))
    return flags.sweeps ? list.slice(0, flags.layers ? n : undefined) : spread(list, n)
  })
  // operations in turn, cheap layers first: whatever ends a run early, each has some
  const layers: BenchLayer[] = []
  for (let i = 0; chosen.some(list => i < list.length); i++) for (const list of chosen) if (list[i]) layers.push(list[i]!)
  if (!layers.length) throw new UserError(`--match ${flags.match}: no layer has that in its name or source`)
  return { ops, layers }
}
function grouped(list: readonly BenchLayer[]): Map<string, BenchLayer[]> {
  const map = new Map<string, BenchLayer[]>()
  for (const l of list) map.set(l.op, [...(map.get(l.op) ?? []), l])
  return map
}
/** Every side on every layer that it can say. */
export function subjectsOf(ops: ReadonlyMap<string, Op>, layers: readonly BenchLayer[], sides: readonly Side[], paths?: string): Subject[] {
  const wanted = paths === undefined ? undefined : globs(paths === 'all' ? '*' : paths)
  return layers
    .map(layer => ({
      layer,
      contenders: sides.flatMap((s, side) => pathsOf(ops.get(layer.op)!, layer, s.backend.dialect, wanted).map(path => ({ side, path }))),
    }))
    .filter(s => s.contenders.length)
}
export const budgetOf = (text: string | undefined, fallback: string): number => duration(text ?? fallback)

/** One line that is written over on a terminal; a line every ten seconds in a log. */
export function progressLine(): { say: (text: string) => void; end: () => void } {
  const begun = performance.now()
  const live = process.stderr.isTTY === true
  let last = Number.NEGATIVE_INFINITY
  return {
    say(text) {
      const now = performance.now()
      if (now - last < (live ? 100 : 10_000)) return
      last = now
      const line = `${((now - begun) / 1000).toFixed(0)} s  ${text}`
      process.stderr.write(live ? `\r\u001b[2K${line.slice(0, (process.stderr.columns || 100) - 1)}` : `${line}\n`)
    },
    end() {
      if (live) process.stderr.write('\r\u001b[2K')
    },
  }
}
/** The first Ctrl-C ends the measurement and keeps what is done; the second ends the program. */
export function interruptible(): { stopped: () => boolean; done: () => void } {
  let stop = false
  const on = () => {
    if (stop) process.exit(130)
    stop = true
    process.stderr.write('\nstopping; what is measured is kept (once more to end at once)\n')
  }
  process.on('SIGINT', on)
  process.on('SIGTERM', on)
  return {
    stopped: () => stop,
    done() {
      process.off('SIGINT', on)
      process.off('SIGTERM', on)
    },
  }
}
/** The folder of a benchmark; its bursts are written line by line. */
export function openOut(out: string | undefined, force: boolean | undefined): { store: (line: object) => void; close: () => void } {
  if (!out) return { store: () => {}, close: () => {} }
  if (existsSync(join(out, 'bench.json')) && !force)
    throw new UserError(`${out} holds a benchmark already; choose another folder, or --force to replace it`)
  makeFolder(out)
  const path = join(out, 'bursts.jsonl')
  let fd: number
  try {
    fd = openSync(path, 'w')
  } catch (error) {
    throw fileError('cannot write', path, error)
  }
  return { store: line => void writeSync(fd, `${JSON.stringify(line)}\n`), close: () => closeSync(fd) }
}
