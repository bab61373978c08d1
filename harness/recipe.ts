/** Another way to say a failing case that gives the right answer on the same backend, verified when the smallest case was run there by every path; and what it costs. */
import type { Entry } from './journal.ts'
import { canonical, lowerings } from './lower.ts'
import type { Candidate } from './triage.ts'
import type { Attributes, Case, Dialect, OnnxForm, Op } from './types.ts'

export interface Recipe {
  path: string
  mode: string
  text: string
  /** The path on the smallest case, in its dialect. */
  code?: string
  /** Smallest cases on which it was run and was right. */
  verified: number
  /** Median time of this path / of the failing one, over the trials of the run on this backend; null: one of them did not run. catalogue.json leaves it out. */
  cost: number | null
}
const median = (v: number[]): number | null => (v.length ? [...v].sort((a, b) => a - b)[v.length >> 1]! : null)

export function recipeOf(c: Candidate, entries: readonly Entry[]): Recipe | null {
  const { show } = c
  const own = c.row.filter(e => e.backend === show.backend && !e.naive)
  const failing = new Set(own.filter(e => e.verdict.kind !== 'agree').map(e => e.path))
  const right = own.filter(e => e.verdict.kind === 'agree' && !failing.has(e.path) && e.path !== show.path)
  if (!right.length) return null
  const times = (path: string) =>
    median(
      entries.flatMap(e =>
        e.role === 'plan' && e.backend === show.backend && e.case.op === show.case.op && e.path === path && e.runMs !== undefined ? [e.runMs] : [],
      ),
    )
  const base = times(show.path)
  const priced = [...new Set(right.map(e => e.path))].sort().map(path => ({ path, ms: times(path) }))
  // the first by name, not the quickest: times differ between shards and one run, and the entry must not
  const best = priced[0]!
  const cost = best.ms !== null && base !== null && base > 0 ? Math.round((best.ms / base) * 100) / 100 : null
  return {
    path: best.path,
    mode: right.find(e => e.path === best.path)!.mode,
    text: `say it by path ${best.path} instead of ${show.path} (right on the smallest case${cost === null ? '' : `; takes ${cost} × the time`})`,
    verified: 1,
    cost,
  }
}

/** The path of a case as it is said: the nodes of the model. What TF.js is called with, `repro` writes out. */
export function codeOf(op: Op, c: Case, dialect: Dialect, path: string): string | undefined {
  const way = lowerings(op, c, canonical(op, c), dialect).find(l => 'path' in l && l.path === path)
  if (!way || !('path' in way)) return undefined
  if (dialect === 'tfjs') return undefined
  const form = way.form as OnnxForm
  const attributes = (a: Attributes) => Object.entries(a).map(([n, v]) => `${n}=${JSON.stringify(v)}`)
  return [
    `opset ${form.opset}`,
    ...form.nodes.map(n => `${n.out.join(', ')} = ${n.op}(${[...n.in.map(x => x || '–'), ...attributes(n.attributes)].join(', ')})`),
  ].join('\n')
}
