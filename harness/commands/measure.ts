/** `catalogue measure`: the clustering against causes that are known (corpora/known-defects, `cause_group`). */
import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { atomsOf } from '../atoms.ts'
import { meets, readKnown } from '../catalogue.ts'
import { UserError } from '../errors.ts'
import { type External, readExternal } from '../external.ts'
import { canonical } from '../lower.ts'
import { balanced, type Item, measure } from '../measure.ts'
import { loadOps } from '../ops.ts'
import type { Summary } from '../summary.ts'
import { type Defect, identity } from '../triage.ts'
import type { Kind } from '../types.ts'
import { ROOT } from '../version.ts'

interface Listed {
  id: string
  cause_group: string
  kind: string
}
/** Kinds of the list that a report may give as something else than a defect. */
const AS: Readonly<Record<string, string>> = { nan: 'convention', unsupported: 'gap' }
const FOLDER = join(ROOT, 'corpora', 'known-defects')
const NAMES: Readonly<Record<string, string>> = { 'node-cpu': 'ort-cpu', 'node-webgpu': 'ort-webgpu' }
const backendOf = (seen: string) => NAMES[seen] ?? seen.replace(/^web-/, 'ortweb-')
/** What was seen of a case, as kinds of finding that may stand for it. */
const FITS: Readonly<Record<string, readonly string[]>> = {
  wrong: ['wrong', 'shape', 'dtype', 'non-finite', 'precision', 'accepts-invalid', 'unstable'],
  error: ['rejects-valid', 'crash'],
  crash: ['crash', 'device-lost', 'rejects-valid'],
  hang: ['hang', 'crash'],
}

export async function catalogueMeasure(flags: { run?: string; json?: boolean }): Promise<number> {
  const ops = await loadOps()
  const entries: Pick<Defect, 'id' | 'op' | 'kind' | 'backends' | 'rule' | 'case'>[] = flags.run ? fromRun(flags.run) : readKnown()
  const items: Item[] = []
  const causes = new Set<string>()
  const found = new Set<string>()
  const noted = new Set<string>()
  const cells = flags.run ? (JSON.parse(readFileSync(join(resolve(flags.run), 'summary.json'), 'utf8')) as Summary).cells : []
  for (const family of ['ort', 'tfjs']) {
    const list = JSON.parse(readFileSync(join(FOLDER, `${family}-defects.json`), 'utf8')) as Listed[] | { defects: Listed[] }
    const groups = new Map((Array.isArray(list) ? list : list.defects).map(d => [d.id, d]))
    const path = join(FOLDER, `${family}-cases.jsonl`)
    const seen = new Map(
      readFileSync(path, 'utf8')
        .split('\n')
        .filter(Boolean)
        .map(l => JSON.parse(l) as { id: string; seen?: Record<string, string> })
        .map(c => [c.id, c.seen ?? {}]),
    )
    for (const x of readExternal(path, ops)) {
      const listed = groups.get(x.case.id)
      if (!listed || !x.op) continue
      const cause = listed.cause_group
      for (const [name, what] of Object.entries(seen.get(x.case.id) ?? {})) {
        const kinds = FITS[what]
        if (!kinds) continue
        causes.add(cause)
        if (cells.some(c => c.op === x.op!.name && c.backend === backendOf(name) && c.findings[AS[listed.kind] as Kind])) noted.add(cause)
        const entry = entryFor(x, backendOf(name), kinds, entries)
        if (!entry) continue
        found.add(cause)
        items.push({ cause, entry, weight: 1 })
      }
    }
  }
  const all = measure(items)
  const even = measure(balanced(items))
  const perCause = [...found].map(c => new Set(items.filter(i => i.cause === c).map(i => i.entry)).size)
  const hidden = [...causes].filter(c => !found.has(c) && !noted.has(c)).sort()
  const own = [...found].filter(c => items.some(i => i.cause === c && !items.some(j => j.entry === i.entry && j.cause !== c)))
  const claimed = entries.filter(d => d.rule.exact).length
  const result = {
    schema: 1,
    items: items.length,
    ...(items.length
      ? { homogeneity: all.homogeneity, completeness: all.completeness, v: all.v }
      : { homogeneity: null, completeness: null, v: null }),
    balanced: { homogeneity: even.homogeneity, completeness: even.completeness, v: even.v },
    causes: causes.size,
    reached: found.size,
    noted: [...noted].filter(c => !found.has(c)).sort(),
    withEntryOfTheirOwn: own.length,
    entriesPerCause: perCause.length ? perCause.reduce((a, b) => a + b, 0) / perCause.length : null,
    hidden,
    rules: { claimed, withFigures: entries.filter(d => !d.rule.exact && atomsOf(d.rule.predicate).length > 0).length, entries: entries.length },
  }
  if (flags.json) process.stdout.write(`${JSON.stringify(result)}\n`)
  else {
    const f = (n: number | null) => (n === null || !items.length ? '–' : n.toFixed(3))
    process.stdout.write(
      [
        `failing trials of known defects that an entry meets: ${result.items}, of ${causes.size} causes ${found.size}, ${own.length} with an entry of their own`,
        `homogeneity ${f(all.homogeneity)}  completeness ${f(all.completeness)}  V ${f(all.v)}`,
        `balanced     ${f(even.homogeneity)}               ${f(even.completeness)}    ${f(even.v)}`,
        `entries per cause ${f(result.entriesPerCause)}`,
        `rules claimed ${claimed}, stated with figures ${result.rules.withFigures}, of ${entries.length} entries`,
        ...(result.noted.length ? [`as a convention or gap in the run (${result.noted.length}): ${result.noted.join(', ')}`] : []),
        `hidden causes (${hidden.length}): ${hidden.join(', ') || 'none'}`,
        '',
      ].join('\n'),
    )
  }
  return 0
}

function fromRun(dir: string): Defect[] {
  const path = join(resolve(dir), 'catalogue.json')
  if (!existsSync(path)) throw new UserError(`${dir} has no catalogue.json`)
  return (JSON.parse(readFileSync(path, 'utf8')) as { defects: Defect[] }).defects
}
/** The entry that speaks for a known case: its smallest case, else the narrowest rule that holds, claimed ones first. */
function entryFor(
  x: External,
  backend: string,
  kinds: readonly string[],
  entries: readonly Pick<Defect, 'id' | 'op' | 'kind' | 'backends' | 'rule' | 'case'>[],
): string | null {
  const op = x.op!
  const own = canonical(op, x.case)
  if ('declined' in own) return null
  const fits = entries.filter(
    d =>
      d.op === op.name &&
      kinds.includes(d.kind) &&
      d.backends.includes(backend) &&
      atomsOf(d.rule.predicate).length + (d.rule.exact ? 1 : 0) > 0 &&
      meets(d, op, x.case),
  )
  const grade = (d: (typeof fits)[number]) => (identity(d.case) === identity(own) ? 0 : d.rule.exact ? 1 : 2)
  fits.sort((a, b) => grade(a) - grade(b) || atomsOf(b.rule.predicate).length - atomsOf(a.rule.predicate).length || (a.id < b.id ? -1 : 1))
  return fits[0]?.id ?? null
}
