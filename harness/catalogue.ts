/** The catalogue on disk (reports/known/, a file an operation): what is known, what a failing trial has to do with it, and what a run says of it. */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { atomsOf, satisfies } from './atoms.ts'
import { UserError } from './errors.ts'
import { factsOf } from './facts.ts'
import { VAGUE } from './instead.ts'
import type { Entry } from './journal.ts'
import { canonical } from './lower.ts'
import { needsResult } from './probes.ts'
import { resultOf } from './sharpen.ts'
import { type Defect, identity, normalised, sameKind, speaks } from './triage.ts'
import { alike } from './trials.ts'
import { type Case, isFailing, type Op } from './types.ts'
import { ROOT } from './version.ts'

export interface Sighting {
  run: string
  date: string
}
/** An entry: a defect as a run describes it, and its history. `status` is the newest; `versions` says it for each published package. */
export interface KnownDefect extends Omit<Defect, 'status' | 'hits' | 'fingerprints'> {
  status: 'known' | 'fixed'
  versions: Record<string, 'known' | 'fixed'>
  firstSeen: Sighting
  lastSeen: Sighting
  /** What stands behind it, in words: a paragraph of the specification, an upstream issue, an own finding. */
  reason: string
}

export const KNOWN = join(ROOT, 'reports', 'known')
export interface KnownFile {
  schema: 1
  op: string
  defects: KnownDefect[]
}
export function readKnown(folder = KNOWN): KnownDefect[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .filter(f => f.endsWith('.json'))
    .sort()
    .flatMap(f => {
      try {
        return (JSON.parse(readFileSync(join(folder, f), 'utf8')) as KnownFile).defects
      } catch (error) {
        throw new UserError(`the catalogue's ${join(folder, f)} cannot be read (${(error as Error).message}); git restores it`)
      }
    })
}
/** Identity of what a run compares with: not of dates, links and words. */
export function catalogueHash(known: readonly KnownDefect[]): string {
  if (!known.length) return ''
  const parts = known.map(d => [d.id, d.op, d.kind, d.backends, d.rule.predicate, identity(d.case), d.way, d.status])
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16)
}

/** A rule may speak for trials that nobody looked at: exact, or at least right in most of the cases that it was measured on. */
function speaksFor(d: KnownDefect): boolean {
  const { rule } = d
  if (!atomsOf(rule.predicate).length) return rule.exact === true && speaks(d.kind as Entry['verdict']['kind'])
  if (rule.exact) return true
  const c = rule.checked?.inside
  return !!c && c.of > 0 && c.right >= 0.5 * c.of
}

/** Does this case fall under the entry's rule, or is it its smallest case? */
export function meets(d: Pick<Defect, 'rule' | 'case'>, op: Op, c: Case): boolean {
  const own = canonical(op, c)
  if ('declined' in own) return false
  if (identity(own) === identity(d.case)) return true
  if ((own.valid === false) !== (d.case.valid === false)) return false
  return satisfies(d.rule.predicate, factsOf(own, needsResult(d.rule.predicate) ? resultOf(op, own) : undefined))
}

/** The entry that a failing trial belongs to: same operation, kind, backend and message, and its rule (or smallest case) holds. */
export function matcher(known: readonly KnownDefect[], ops: ReadonlyMap<string, Op>): (e: Entry) => KnownDefect | undefined {
  const byOp = new Map<string, KnownDefect[]>()
  for (const d of known) (byOp.get(d.op) ?? byOp.set(d.op, []).get(d.op)!).push(d)
  return e => {
    if (!isFailing(e.verdict.kind)) return undefined
    const op = ops.get(e.case.op)
    const mine = op && byOp.get(e.case.op)
    if (!mine) return undefined
    return mine.find(d => {
      if (!(d.kind === e.verdict.kind || (d.kind === 'unstable' && sameKind(d.kind, e.verdict.kind))) || !d.backends.includes(e.backend)) return false
      if (speaks(e.verdict.kind) && normalised(e.verdict.because ?? '') !== normalised(d.because)) return false
      const own = canonical(op, e.case)
      if ('declined' in own) return false
      return identity(own) === identity(d.case) || (speaksFor(d) && meets(d, op, e.case))
    })
  }
}

/** A new smallest case of an entry's cause: what it is instead is the same, or each rule covers the other's smallest case. */
export function sameCause(known: readonly KnownDefect[], ops: ReadonlyMap<string, Op>): (d: Defect) => KnownDefect | undefined {
  return d => {
    const op = ops.get(d.op)
    if (!op || !d.shrunk) return undefined
    return known.find(k => {
      if (k.op !== d.op || !sameKind(k.kind, d.kind) || !k.backends.some(b => d.backends.includes(b))) return false
      if ((k.case.valid === false) !== (d.case.valid === false)) return false
      if (speaks(d.kind as Entry['verdict']['kind']) && normalised(k.because) !== normalised(d.because)) return false
      if (d.instead && k.instead) return d.instead.name === k.instead.name && !VAGUE.test(d.instead.name)
      const both = atomsOf(k.rule.predicate).length > 0 && atomsOf(d.rule.predicate).length > 0
      return both && !d.instead === !k.instead && meets(k, op, d.case) && meets(d, op, k.case)
    })
  }
}

/** What a run says of the entries that it compares with. */
export function statusOf(d: KnownDefect, hits: number, replay: Entry | undefined): Defect['status'] | 'still-fixed' {
  const fails = hits > 0 || (replay !== undefined && isFailing(replay.verdict.kind) && sameAs(d, replay))
  if (fails) return d.status === 'fixed' ? 'regressed' : 'known'
  // right once says nothing of what is right now and then
  const ran = d.kind !== 'unstable' && replay && !['not-run', 'gap'].includes(replay.verdict.kind)
  if (d.status === 'fixed') return 'still-fixed'
  return ran ? 'fixed' : 'not-reached'
}
/** The replayed smallest case fails as the entry says. */
export const sameAs = (d: KnownDefect, replay: Entry): boolean =>
  d.kind === 'unstable' ||
  alike(replay.verdict, { ...replay.verdict, kind: d.kind as Entry['verdict']['kind'], because: d.because, evidence: undefined })
