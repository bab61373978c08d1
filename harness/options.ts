/** Option values from the command line and the config file, checked once; a bad one is named with the way out. */
import { existsSync, readFileSync } from 'node:fs'
import { nearest, UserError } from './errors.ts'
import type { Op } from './types.ts'

export interface RunFlags {
  ops?: string
  backends?: string
  cases?: string
  budget?: string
  seed?: string
  out?: string
  force?: boolean
  shard?: string
  from?: string
  shrink?: boolean
  list?: boolean
  json?: boolean
  color?: boolean
  config?: string
}

const CONFIG = 'opcompat.config.json'
const KEYS = ['ops', 'backends', 'cases', 'budget', 'seed', 'out', 'shard', 'from', 'shrink', 'force']
/** The config file says the same as the options; options win. */
export function withConfig(flags: RunFlags): RunFlags {
  const path = flags.config ?? (existsSync(CONFIG) ? CONFIG : undefined)
  if (!path) return flags
  if (!existsSync(path)) throw new UserError(`no config file ${path}`)
  let json: Record<string, unknown>
  try {
    json = JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    throw new UserError(`${path}: ${(error as Error).message}; it is JSON with the names of the options, e.g. {"backends": "node", "cases": 100}`)
  }
  for (const key of Object.keys(json))
    if (!KEYS.includes(key) && key !== '$schema') throw new UserError(`${path}: unknown option ${key}; did you mean ${nearest(key, KEYS)}?`)
  const read = Object.fromEntries(Object.entries(json).map(([k, v]) => [k, Array.isArray(v) ? v.join(',') : typeof v === 'number' ? String(v) : v]))
  return { ...read, ...flags } as RunFlags
}

export function integer(name: string, text: string | undefined, fallback: number, min: number, max: number): number {
  if (text === undefined) return fallback
  const n = Number(text)
  if (!/^-?\d+$/.test(text) || n < min || n > max) throw new UserError(`${name} ${text}: give a whole number from ${min} to ${max}`)
  return n
}
/** `90`, `90s`, `10m`, `2h` → milliseconds. */
export function duration(text: string): number {
  const m = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text)
  if (!m || Number(m[1]) <= 0) throw new UserError(`--budget ${text}: give a time such as 90s, 10m or 2h`)
  return Number(m[1]) * { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[(m[2] ?? 's') as 's']
}
export function shardOf(text: string | undefined): { i: number; n: number } | null {
  if (text === undefined) return null
  const m = /^(\d+)\/(\d+)$/.exec(text)
  const i = Number(m?.[1])
  const n = Number(m?.[2])
  if (!m || i < 1 || n < 1 || i > n) throw new UserError(`--shard ${text}: give i/n with 1 ≤ i ≤ n, e.g. 1/4`)
  return { i, n }
}
export const words = (text: string | undefined): string[] =>
  (text ?? '')
    .split(',')
    .map(w => w.trim())
    .filter(Boolean)

/** Names and globs of operations. */
export function selectOps(all: ReadonlyMap<string, Op>, text: string | undefined): Op[] {
  if (!text) return [...all.values()]
  const chosen = new Set<string>()
  for (const word of words(text)) {
    const glob = new RegExp(
      `^${word
        .replace(/[.+^${}()|[\]\\]/g, '\\$&')
        .replace(/\*/g, '.*')
        .replace(/\?/g, '.')}$`,
    )
    const hits = [...all.keys()].filter(n => glob.test(n))
    if (!hits.length)
      throw new UserError(`unknown operation ${word}; did you mean ${nearest(word, all.keys())}? (npm run compat -- --list shows all)`)
    for (const h of hits) chosen.add(h)
  }
  return [...all.values()].filter(op => chosen.has(op.name))
}
