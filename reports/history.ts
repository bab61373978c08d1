/** history.json: what earlier runs found, copied beside a run, so that its report is a function of its folder. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { KnownDefect } from '../harness/catalogue.ts'
import { writeJson } from '../harness/files.ts'
import type { RunFile, Summary } from '../harness/summary.ts'

export interface PastRun {
  name: string
  started: string
  seed: number | null
  version: string
  ended: string
  plan: string
  backends: { name: string; status: string; package: string; trials: number; agree: number }[]
  /** `op backend` of the cells that were really executed. */
  executed: string[]
  defects: { id: string; op: string; kind: string; backends: string[]; status: string }[]
}
export interface History {
  schema: 1
  /** Oldest first. */
  runs: PastRun[]
  /** Entries of the catalogue that the run compared with. */
  known?: readonly KnownDefect[]
}
const KEEP = 60

export const packageOf = (identity: Readonly<Record<string, string>>): string => [identity['package'], identity['version']].filter(Boolean).join(' ')

export function pastRun(run: RunFile, summary: Summary): PastRun {
  const agree = new Map<string, number>()
  for (const c of summary.cells) agree.set(c.backend, (agree.get(c.backend) ?? 0) + c.agree)
  return {
    name: run.name,
    started: run.started,
    seed: run.seed,
    version: run.version,
    ended: summary.ended,
    plan: run.plan,
    backends: summary.backends.map(b => ({
      name: b.name,
      status: b.status,
      package: packageOf(b.identity),
      trials: b.trials,
      agree: agree.get(b.name) ?? 0,
    })),
    executed: summary.cells.filter(c => c.trials > 0).map(c => `${c.op} ${c.backend}`),
    defects: summary.defects.map(({ id, op, kind, backends, status }) => ({ id, op, kind, backends, status })),
  }
}

/** Runs below a folder (`DIR/<name>/run.json` with `summary.json`), oldest first; what cannot be read is left out. */
export function runsIn(folder: string): { dir: string; run: RunFile; summary: Summary }[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .map(name => join(folder, name))
    .filter(dir => existsSync(join(dir, 'run.json')) && existsSync(join(dir, 'summary.json')))
    .flatMap(dir => {
      const json = (file: string) => JSON.parse(readFileSync(join(dir, file), 'utf8'))
      try {
        return [{ dir, run: json('run.json') as RunFile, summary: json('summary.json') as Summary }]
      } catch {
        return []
      }
    })
    .sort((a, b) => (a.run.started < b.run.started ? -1 : a.run.started > b.run.started ? 1 : a.run.name < b.run.name ? -1 : 1))
}

/** Copies the newest summaries of a folder that are older than the run, and names them in run.json. */
export function gatherHistory(dir: string, run: RunFile, folder: string): void {
  const earlier = runsIn(folder)
    .filter(r => resolve(r.dir) !== resolve(dir) && r.run.started < run.started)
    .slice(-KEEP)
  writeJson(join(dir, 'history.json'), { ...readHistory(dir), runs: earlier.map(r => pastRun(r.run, r.summary)) } satisfies History)
  run.compares = { ...run.compares, history: earlier.map(r => r.run.name) }
  writeJson(join(dir, 'run.json'), run)
}

export function readHistory(dir: string): History {
  const path = join(dir, 'history.json')
  if (!existsSync(path)) return { schema: 1, runs: [] }
  return JSON.parse(readFileSync(path, 'utf8')) as History
}

export interface Indexed {
  seen: ReadonlySet<string>
  executed: ReadonlySet<string>
}
export const indexed = (r: Pick<PastRun, 'defects' | 'executed'>): Indexed => ({
  seen: new Set(r.defects.filter(d => d.status !== 'fixed' && d.status !== 'not-reached').map(d => d.id)),
  executed: new Set(r.executed),
})
/**
 * One letter a run, oldest first, the run itself last: `1` seen, `0` looked for (a cell of it was executed) and not seen, `-` not executed.
 * Only what was executed can be new or gone.
 */
export const track = (id: string, op: string, backends: readonly string[], runs: readonly Indexed[]): string =>
  runs.map(r => (r.seen.has(id) ? '1' : backends.some(b => r.executed.has(`${op} ${b}`)) ? '0' : '-')).join('')

export type News = 'new' | 'regressed' | 'same' | 'gone' | 'none'
/** What the last letter says against the ones before it; `none`: there is nothing to compare with. */
export function newsOf(letters: string): News {
  const now = letters.at(-1)
  const before = letters.slice(0, -1).replace(/-/g, '')
  if (!before || now === '-') return 'none'
  if (now === '1') return before.endsWith('1') ? 'same' : before.includes('1') ? 'regressed' : 'new'
  return before.endsWith('1') ? 'gone' : 'none'
}
