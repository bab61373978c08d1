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
  with?: string
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
/** Where a job among several learns its place: `index` counts from `first`. The first whose variables are set wins. */
const ENGINES: readonly { name: string; index: readonly string[]; total: readonly string[]; first: number | string }[] = [
  { name: 'opcompat', index: ['OPCOMPAT_SHARD_INDEX'], total: ['OPCOMPAT_SHARD_TOTAL'], first: 1 },
  // GitHub hands a matrix to its jobs only through the workflow: env: { MATRIX_INDEX: ${{ strategy.job-index }}, MATRIX_TOTAL: ${{ strategy.job-total }} }
  { name: 'GitHub Actions', index: ['MATRIX_INDEX', 'STRATEGY_JOB_INDEX'], total: ['MATRIX_TOTAL', 'STRATEGY_JOB_TOTAL'], first: 0 },
  { name: 'GitLab CI', index: ['CI_NODE_INDEX'], total: ['CI_NODE_TOTAL'], first: 1 },
  { name: 'CircleCI', index: ['CIRCLE_NODE_INDEX'], total: ['CIRCLE_NODE_TOTAL'], first: 0 },
  { name: 'Buildkite', index: ['BUILDKITE_PARALLEL_JOB'], total: ['BUILDKITE_PARALLEL_JOB_COUNT'], first: 0 },
  // an Indexed Job tells its pods their index only: its total comes from the manifest (env JOB_COMPLETIONS)
  { name: 'Kubernetes', index: ['JOB_COMPLETION_INDEX'], total: ['JOB_COMPLETIONS', 'JOB_COMPLETION_TOTAL'], first: 0 },
  { name: 'Slurm', index: ['SLURM_ARRAY_TASK_ID'], total: ['SLURM_ARRAY_TASK_COUNT'], first: 'SLURM_ARRAY_TASK_MIN' },
]
function autoShard(env: NodeJS.ProcessEnv): { i: number; n: number } {
  const value = (names: readonly string[]) => names.map(n => env[n]).find(v => v !== undefined && v !== '')
  for (const engine of ENGINES) {
    const index = value(engine.index)
    if (index === undefined) continue
    const total = value([...engine.total, 'OPCOMPAT_SHARD_TOTAL', 'SHARD_TOTAL'])
    const where = `--shard auto: ${engine.name} says ${engine.index[0]}=${index}`
    if (total === undefined) {
      if (engine.name === 'GitLab CI') return { i: 1, n: 1 } // a job without `parallel`
      throw new UserError(`${where} but not of how many; set ${engine.total[0]}, or OPCOMPAT_SHARD_TOTAL and OPCOMPAT_SHARD_INDEX`)
    }
    const first = typeof engine.first === 'number' ? engine.first : Number(env[engine.first] ?? 0)
    const step = engine.name === 'Slurm' ? Number(env['SLURM_ARRAY_TASK_STEP'] ?? 1) : 1
    const i = (Number(index) - first) / step + 1
    const n = Number(total)
    if (!Number.isInteger(i) || !Number.isInteger(n) || i < 1 || i > n)
      throw new UserError(`${where} and ${engine.total[0]}=${total}: that is no place among ${total}`)
    return { i, n }
  }
  throw new UserError(`--shard auto: none of ${ENGINES.map(e => `${e.index[0]} (${e.name})`).join(', ')} is set; give --shard i/n`)
}
export function shardOf(text: string | undefined, env: NodeJS.ProcessEnv = process.env): { i: number; n: number } | null {
  if (text === undefined) return null
  if (text === 'auto') return autoShard(env)
  const m = /^(\d+)\/(\d+)$/.exec(text)
  const i = Number(m?.[1])
  const n = Number(m?.[2])
  if (!m || i < 1 || n < 1 || i > n) throw new UserError(`--shard ${text}: give i/n with 1 ≤ i ≤ n, e.g. 1/4, or auto`)
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
