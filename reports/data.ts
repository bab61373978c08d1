/** From a run's journal to what the page holds: counts and pictures, never the journal itself. Pure, apart from reading the operations. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { rank } from '../harness/backends.ts'
import type { KnownDefect } from '../harness/catalogue.ts'
import { fileError } from '../harness/errors.ts'
import type { Entry } from '../harness/journal.ts'
import type { Cell, RunFile, Summary } from '../harness/summary.ts'
import { type Defect, describe } from '../harness/triage.ts'
import { type Arithmetic, isFailing, type Op } from '../harness/types.ts'
import { type History, indexed, newsOf, packageOf, pastRun, track } from './history.ts'
import type { BenchCell, PageCell, PageData, PageDefect, PageRun } from './page-data.ts'
import { picture } from './pictures.ts'
import { sentence } from './sentence.ts'
import { tables } from './support.ts'
import { familyOf, labelOf } from './vocabulary.ts'

export interface Known {
  ops: ReadonlyMap<string, Op>
  arithmetic: ReadonlyMap<string, Arithmetic>
}
const ERRORS = 10
const PAST = 300

export function pageData(
  run: RunFile,
  summary: Summary,
  defects: readonly Defect[],
  entries: readonly Entry[],
  history: History,
  bench: BenchCell[] | null,
  known: Known,
): PageData {
  const backends = summary.backends.map(b => b.name)
  const numberOf = new Map(backends.map((b, i) => [b, i]))
  const opNames = [...new Set([...run.ops, ...summary.cells.map(c => c.op)])].sort()
  const opOf = new Map(opNames.map((o, i) => [o, i]))
  const walk = walkEntries(entries, defects, opNames, numberOf)
  const knownById = new Map((history.known ?? []).map(d => [d.id, d]))
  const runs = [...history.runs.map(indexed), indexed(pastRun(run, summary))]
  const pages = defects.map(d => defectPage(d, walk.rows.get(d.case.id) ?? [], numberOf, opOf, track(d.id, d.op, d.backends, runs), known, knownById))
  const here = new Set(defects.map(d => d.id))
  return {
    schema: 1,
    run: {
      name: run.name,
      version: run.version,
      seed: run.seed,
      cases: run.cases,
      plan: run.plan,
      date: run.started.slice(0, 10),
      ended: summary.ended,
      platform: run.platform,
      node: run.node,
      shard: run.shard,
      ...(run.shards ? { shards: run.shards } : {}),
      corrupt: summary.corruptLines.length,
      reached: defects.some(d => d.reach.length > 0),
      catalogued: run.compares.known.length > 0 || defects.some(d => d.status !== 'new'),
    },
    backends: summary.backends.map(b => ({
      name: b.name,
      label: labelOf(b.name),
      status: b.status,
      ...(b.reason ? { reason: b.reason } : {}),
      ...(b.enable ? { enable: b.enable } : {}),
      identity: b.identity,
      package: packageOf(b.identity),
      trials: b.trials,
      planned: b.planned,
      cases: b.cases,
      elapsedMs: b.elapsedMs,
      deaths: b.deaths,
      modes: walk.modes.get(b.name) ?? {},
    })),
    ops: opNames.map((name, i) => ({ name, family: familyOf(name), spec: known.ops.get(name)?.spec ?? [], ...walk.tables[i]!.done() })),
    cells: summary.cells.map(c => cellPage(c, walk, numberOf, opOf)),
    defects: pages.sort(byReach),
    history: [...history.runs.map(r => runRow(r, numberOf)), runRow(pastRun(run, summary), numberOf)],
    past: pastDefects(history, here, runs),
    bench,
  }
}

/** What real layers meet first, then by kind, then by how often it fired. */
const KINDS = [
  'crash',
  'hang',
  'device-lost',
  'wrong',
  'non-finite',
  'unstable',
  'shape',
  'dtype',
  'fallback',
  'precision',
  'accepts-invalid',
  'rejects-valid',
]
const byReach = (a: PageDefect, b: PageDefect): number =>
  b.reach.layers - a.reach.layers || KINDS.indexOf(a.kind) - KINDS.indexOf(b.kind) || b.hits - a.hits || (a.id < b.id ? -1 : 1)

interface Walk {
  tables: ReturnType<typeof tables>[]
  modes: Map<string, Record<string, [number, number, number]>>
  times: Map<string, number[]>
  errors: Map<string, number[]>
  gaps: Map<string, Map<string, number>>
  /** Lines of the cases that defects show, by case id. */
  rows: Map<string, Entry[]>
}
/** One pass over the journal. */
function walkEntries(entries: readonly Entry[], defects: readonly Defect[], ops: readonly string[], numberOf: ReadonlyMap<string, number>): Walk {
  const opOf = new Map(ops.map((o, i) => [o, i]))
  const shown = new Set(defects.map(d => d.case.id))
  const w: Walk = { tables: ops.map(() => tables(numberOf)), modes: new Map(), times: new Map(), errors: new Map(), gaps: new Map(), rows: new Map() }
  for (const e of entries) {
    if (shown.has(e.case.id)) (w.rows.get(e.case.id) ?? w.rows.set(e.case.id, []).get(e.case.id)!).push(e)
    if (e.role !== 'plan') continue
    w.tables[opOf.get(e.case.op) ?? -1]?.add(e)
    const { kind, worst, because } = e.verdict
    const key = `${e.case.op} ${e.backend}`
    if (kind === 'gap') {
      const reasons = w.gaps.get(key) ?? w.gaps.set(key, new Map()).get(key)!
      reasons.set(because ?? '', (reasons.get(because ?? '') ?? 0) + 1)
    }
    if (kind === 'gap' || kind === 'not-run') continue
    const modes = w.modes.get(e.backend) ?? w.modes.set(e.backend, {}).get(e.backend)!
    const m = (modes[e.mode] ??= [0, 0, 0])
    m[0]++
    if (kind === 'agree') m[1]++
    if (isFailing(kind)) m[2]++
    if (e.runMs !== undefined) (w.times.get(key) ?? w.times.set(key, []).get(key)!).push(e.runMs)
    if (kind === 'agree' && worst !== null) {
      const bins = w.errors.get(key) ?? w.errors.set(key, new Array<number>(ERRORS).fill(0)).get(key)!
      bins[Math.min(ERRORS - 1, Math.floor(worst * ERRORS))]!++
    }
  }
  return w
}

function median(list: number[] | undefined): number | null {
  if (!list?.length) return null
  list.sort((a, b) => a - b)
  return Number(list[list.length >> 1]!.toPrecision(3))
}
function cellPage(c: Cell, w: Walk, numberOf: ReadonlyMap<string, number>, opOf: ReadonlyMap<string, number>): PageCell {
  const key = `${c.op} ${c.backend}`
  const gap = [...(w.gaps.get(key) ?? [])].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))[0]?.[0]
  const errors = w.errors.get(key)
  return {
    op: opOf.get(c.op)!,
    backend: numberOf.get(c.backend) ?? -1,
    trials: c.trials,
    agree: c.agree,
    notCompared: c.notCompared,
    notRun: c.notRun,
    ambiguous: c.ambiguous,
    worst: c.worst === null ? null : Number(c.worst.toPrecision(3)),
    findings: c.findings,
    rungs: c.rungs,
    medianMs: median(w.times.get(key)),
    ...(gap ? { gap } : {}),
    ...(errors ? { errors } : {}),
  }
}

/** What ONNX takes where an attribute is left out: not worth a reader's time in a list. */
const DEFAULTS: Readonly<Record<string, unknown>> = {
  strides: 1,
  dilations: 1,
  pads: 0,
  group: 1,
  auto_pad: 'NOTSET',
  ceil_mode: 0,
  storage_order: 0,
  count_include_pad: 0,
}
function plainly(c: Defect['case']): string {
  const own = Object.entries(c.attributes).filter(([name, v]) => !(Array.isArray(v) ? v : [v]).every(x => x === DEFAULTS[name]))
  return describe({ ...c, attributes: Object.fromEntries(own) as Defect['case']['attributes'] })
}

/** How well the rule is known, in one sentence. */
function measuredOf(d: Defect): string | undefined {
  const { exact, checked, support } = d.rule
  const c = checked?.inside
  if (exact) return `Right in at least 95 % of fresh cases inside and one step outside of it${c ? ` (${c.right} of ${c.of} inside)` : ''}.`
  if (c?.of) return `Fails in ${c.right} of ${c.of} fresh cases like this: not exact.`
  if (support)
    return `Inside it ${support.inside.fails} of ${support.inside.fails + support.inside.passes} trials fail, around it ${support.outside.fails} of ${support.outside.fails + support.outside.passes}; not checked on fresh ones.`
  return undefined
}
const pageRecipe = (r: NonNullable<Defect['recipe']>): PageDefect['recipe'] => ({
  text: r.code ? r.text : `Verified on ${r.verified} ${r.verified === 1 ? 'smallest case' : 'smallest cases'} (path ${r.path}).`,
  code: r.code ?? r.text,
  ...(r.cost === null || r.cost === undefined || r.code ? {} : { cost: `${r.cost} × the time of the failing call` }),
})
const reachOf = (reach: Defect['reach']): PageDefect['reach'] => ({
  layers: reach.reduce((n, r) => n + r.layers, 0),
  models: [...new Set(reach.map(r => r.model))],
})
const sighting = (s: { run: string; date: string }): string => [s.date, s.run].filter(Boolean).join(', ')

function defectPage(
  d: Defect,
  lines: readonly Entry[],
  numberOf: ReadonlyMap<string, number>,
  opOf: ReadonlyMap<string, number>,
  letters: string,
  known: Known,
  knownById: ReadonlyMap<string, KnownDefect>,
): PageDefect {
  const p = picture(d, known.ops.get(d.op), known.arithmetic.get(d.way.backend))
  const caseText = describe(d.case)
  const numbers = (names: readonly string[]) => names.flatMap(b => (numberOf.has(b) ? [numberOf.get(b)!] : []))
  const { id: _, ...content } = d.case
  const measured = measuredOf(d)
  const seen = knownById.get(d.id)
  return {
    id: d.id,
    op: opOf.get(d.op) ?? 0,
    kind: d.kind,
    sentence: sentence(d, p),
    rule: d.rule.text === caseText ? plainly(d.case) : d.rule.text,
    ruled: d.rule.text !== caseText,
    ...(measured ? { measured } : {}),
    ...(d.instead ? { instead: d.instead.sentence } : {}),
    ...(d.recipe ? { recipe: pageRecipe(d.recipe) } : {}),
    ...(d.related?.length ? { related: d.related } : {}),
    because: d.because,
    backends: numbers(d.backends),
    paths: d.paths,
    modes: d.modes,
    case: content,
    caseText,
    shrunk: d.shrunk,
    ...(p.expected ? { expected: p.expected } : {}),
    ...(p.observed ? { observed: p.observed } : {}),
    output: d.element?.output ?? 0,
    bad: p.bad,
    differing: p.differing,
    bound: p.bound,
    ...(p.histogram ? { histogram: p.histogram } : {}),
    row: rowOf(lines, numberOf, d),
    hits: d.hits,
    reach: reachOf(d.reach),
    replay: d.replay,
    status: d.status,
    news: newsOf(letters),
    track: letters,
    ...(seen ? { firstSeen: sighting(seen.firstSeen), lastSeen: sighting(seen.lastSeen) } : {}),
    ...(seen?.reason ? { reason: seen.reason } : {}),
    links: d.links,
  }
}

/** The worst that each backend said of the defect's case. */
function rowOf(lines: readonly Entry[], numberOf: ReadonlyMap<string, number>, d: Defect): PageDefect['row'] {
  const worst = new Map<string, Entry>()
  const weight = (e: Entry) => {
    const at = KINDS.indexOf(e.verdict.kind)
    return at >= 0 ? 100 - at : e.verdict.kind === 'trap' ? 1 : e.verdict.kind === 'gap' || e.verdict.kind === 'not-run' ? 0 : 2
  }
  for (const e of lines) {
    const old = worst.get(e.backend)
    const own = e.verdict.kind === d.kind && e.backend === d.way.backend && e.path === d.way.path
    if (!old || (weight(e) > weight(old) && old.verdict.kind !== d.kind) || own) worst.set(e.backend, e)
  }
  return [...worst.values()]
    .filter(e => numberOf.has(e.backend))
    .sort((a, b) => rank(a.backend) - rank(b.backend))
    .map(e => [numberOf.get(e.backend)!, e.verdict.kind, e.verdict.rung ?? '', (e.verdict.because ?? '').slice(0, 120)])
}

function runRow(r: ReturnType<typeof pastRun>, numberOf: ReadonlyMap<string, number>): PageRun {
  const causes = new Map<string, number>()
  const live = r.defects.filter(d => d.status !== 'fixed' && d.status !== 'not-reached')
  for (const d of live) for (const b of d.backends) causes.set(b, (causes.get(b) ?? 0) + 1)
  const on: Record<number, [number, number, number, string]> = {}
  for (const b of r.backends)
    if (numberOf.has(b.name) && b.trials > 0) on[numberOf.get(b.name)!] = [b.trials, b.agree, causes.get(b.name) ?? 0, b.package]
  return {
    name: r.name,
    date: r.started.slice(0, 10),
    version: r.version,
    seed: r.seed,
    ended: r.ended,
    trials: r.backends.reduce((n, b) => n + b.trials, 0),
    failing: live.length,
    on,
  }
}
function pastDefects(history: History, here: ReadonlySet<string>, runs: readonly ReturnType<typeof indexed>[]): PageData['past'] {
  const last = new Map<string, History['runs'][number]['defects'][number]>()
  for (const r of history.runs) for (const d of r.defects) if (!here.has(d.id)) last.set(d.id, d)
  return [...last.values()]
    .map(d => {
      const letters = track(d.id, d.op, d.backends, runs)
      return { id: d.id, op: d.op, kind: d.kind, backends: d.backends, track: letters, news: newsOf(letters) }
    })
    .sort((a, b) => b.track.lastIndexOf('1') - a.track.lastIndexOf('1') || (a.id < b.id ? -1 : 1))
    .slice(0, PAST)
}

export function readBench(dir: string): BenchCell[] | null {
  const path = join(dir, 'bench.json')
  if (!existsSync(path)) return null
  try {
    return (JSON.parse(readFileSync(path, 'utf8')) as { cells: BenchCell[] }).cells
  } catch (error) {
    throw fileError('cannot read', path, error)
  }
}
