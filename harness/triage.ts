/** From failing trials to causes: fingerprints of single cases, and defects as what shares a smallest case. Pure: a function of journal lines. */
import { createHash } from 'node:crypto'
import { atomsOf } from './atoms.ts'
import { rank } from './backends.ts'
import type { KnownDefect } from './catalogue.ts'
import { merged } from './cluster.ts'
import type { Instead } from './instead.ts'
import type { Entry } from './journal.ts'
import { compareEntries } from './order.ts'
import type { Reach } from './reach.ts'
import type { Recipe } from './recipe.ts'
import type { Rule } from './rules.ts'
import { causeKey, ruleFrom } from './sharpen.ts'
import type { Past } from './stateful.ts'
import { type Dialect, isFailing, type Kind, type Op } from './types.ts'

/** A message without what differs from case to case, and between packages of one runtime: wrappers, names, numbers, signatures of C++ functions. */
export const normalised = (message: string): string =>
  message
    .replace(/^.*ERROR_MESSAGE: /, '')
    .replace(/^Exception during initialization: /, '')
    .replace(/^Non-zero status code returned while running \w+ node\. Name:'[^']*' Status Message: /, '')
    .replace(/[\w./-]+\.(?:cc|h|cpp):\d+ .*?\)(?: const)?(?: \[[^\]]*\])? /, '')
    .replace(/(?:\w+ )?(?:\w+::)+\w+\([^()]*\)(?: const)?(?: \[[^\]]*\])?/g, '()')
    .replace(/'[^']*'/g, "'…'")
    .replace(/-?\d+(\.\d+)?/g, '#')
    .replace(/\[[#,\s]*\]/g, '[…]')
    .replace(/#(\s*,\s*#)+/g, '#')
    .slice(0, 72)

/** Memory that nobody wrote shows as wrong values, and as unstable only when the bits happen to differ: an unstable defect stands for both. */
export const sameKind = (a: string, b: string): boolean => a === b || ((a === 'unstable' || b === 'unstable') && isGarbage(a) && isGarbage(b))
export const isGarbage = (kind: string): boolean => kind === 'wrong' || kind === 'non-finite' || kind === 'unstable'

export const speaks = (kind: Kind): boolean => kind === 'rejects-valid' || kind === 'crash' || kind === 'fallback' || kind === 'device-lost'

/** Fingerprints of all failing trials of one case. A function of that case alone: which backends fail alike, what the output looks like. */
export function fingerprints(trials: readonly Entry[]): Map<Entry, string> {
  const same = new Map<string, Set<string>>()
  const key = (e: Entry) =>
    `${e.verdict.kind} ${speaks(e.verdict.kind) ? normalised(e.verdict.because ?? '') : e.verdict.evidence ? e.verdict.evidence.hash : normalised(e.verdict.because ?? '')}`
  const failing = trials.filter(e => e.role === 'plan' && isFailing(e.verdict.kind))
  for (const e of failing) (same.get(key(e)) ?? same.set(key(e), new Set()).get(key(e))!).add(e.backend)
  return new Map(
    failing.map(e => {
      const { kind, evidence: v, because } = e.verdict
      const peers = [...same.get(key(e))!].sort((a, b) => rank(a) - rank(b))
      const looks =
        speaks(kind) || kind === 'accepts-invalid' || !v
          ? [normalised(because ?? '')]
          : kind === 'shape' || kind === 'dtype'
            ? [normalised(because ?? '')]
            : [v.value, v.batch, v.channels, v.space]
      return [e, [e.case.op, kind, peers.join('+'), ...looks].join(' | ')]
    }),
  )
}

/** One fingerprint of a run: its representative trial is the lowest in the plan's order. */
export interface Group {
  fingerprint: string
  representative: Entry
  trials: Entry[]
}
/** @param except trials that belong to an entry of the catalogue: they get no group */
export function groups(entries: readonly Entry[], except: (e: Entry) => boolean = () => false): Group[] {
  const byCase = new Map<string, Entry[]>()
  for (const e of entries) if (e.role === 'plan') (byCase.get(e.case.id) ?? byCase.set(e.case.id, []).get(e.case.id)!).push(e)
  const found = new Map<string, Group>()
  for (const trials of byCase.values())
    for (const [e, fingerprint] of fingerprints(trials)) {
      if (except(e)) continue
      const g = found.get(fingerprint)
      if (!g) found.set(fingerprint, { fingerprint, representative: e, trials: [e] })
      else {
        g.trials.push(e)
        if (compareEntries(e, g.representative) < 0) g.representative = e
      }
    }
  return [...found.values()].sort((a, b) => compareEntries(a.representative, b.representative))
}

/** The command that replays a case by one way, after what an unstable trial needs before it. */
export type ReplayOf = (c: Entry['case'], way: Defect['way'], past?: Past) => string

export interface Defect {
  id: string
  op: string
  kind: string
  backends: string[]
  paths: string[]
  modes: string[]
  /** Text and predicate; with probes also its support, and how it did on fresh cases. */
  rule: Pick<Rule, 'text' | 'predicate'> & Partial<Rule>
  case: Entry['case']
  /** The way that shows the smallest case. */
  way: { backend: string; path: string; mode: string }
  /** The generator's record of the smallest case. */
  raw?: unknown
  shrunk: boolean
  expected: Entry['expected'] | null
  observed: Entry['output'] | null
  element: Entry['verdict']['element'] | null
  because: string
  rung: string | null
  /** What the output is instead. */
  instead?: Instead | null
  recipe?: Recipe | null
  /** Other entries that may have the same cause. */
  related?: string[]
  hits: number
  fingerprints: string[]
  reach: Reach[]
  replay: string
  status: 'new' | 'known' | 'not-reached' | 'fixed' | 'regressed'
  links: string[]
}

export const identity = (c: Entry['case']): string =>
  JSON.stringify([c.op, c.attributes, c.inputs.map(i => i && [i.dtype, i.shape, i.recipe]), c.valid])
export const dialectOf = (backend: string): Dialect => (family(backend) === 'tfjs' ? 'tfjs' : 'onnx')
/** Backends that share code: one cause on several of them is one defect. */
export const family = (backend: string): string => (backend.startsWith('ort') ? 'ort' : backend.replace(/-.*/, ''))

/** What reports add to the failing trials: operations (for references), the catalogue that the run compares with, layers of models. */
export interface Context {
  ops?: ReadonlyMap<string, Op>
  known?: readonly KnownDefect[]
  matcher?: (e: Entry) => KnownDefect | undefined
  statusOf?: (d: KnownDefect, hits: number, replay: Entry | undefined) => Defect['status'] | 'still-fixed'
  sameCause?: (d: Defect) => KnownDefect | undefined
  insteadOf?: (c: Candidate) => Instead | null
  recipeOf?: (c: Candidate, entries: readonly Entry[]) => Recipe | null
  reachOf?: (op: string, rule: Defect['rule'], backend: string, paths: readonly string[]) => Reach[]
}

/** A cause as one smallest case shows it, before clustering. */
export interface Candidate {
  groups: Group[]
  show: Entry
  shrunk: boolean
  /** Lines of the smallest case on all backends and paths. */
  row: Entry[]
  probes: Entry[]
  rule: Rule | null
  trials: Entry[]
}

/** Of follow-up lines only those count that belong to the lowest representative, so that shards equal one run. */
function candidatesOf(entries: readonly Entry[], found: readonly Group[]): Candidate[] {
  const representative = new Map(found.map(g => [g.fingerprint, g.representative]))
  const leads = new Map<string, Entry>()
  const rows = new Map<string, Entry[]>()
  const confirmed = new Map<string, Entry>()
  const probes = new Map<string, Entry[]>()
  for (const e of entries) {
    if (e.role === 'probe') (probes.get(e.fingerprint!) ?? probes.set(e.fingerprint!, []).get(e.fingerprint!)!).push(e)
    const r = e.fingerprint === undefined ? undefined : representative.get(e.fingerprint)
    if (!r || e.of !== r.case.id) continue
    if (e.role === 'confirm') confirmed.set(e.fingerprint!, e)
    if (e.role !== 'smallest') continue
    if (e.lead && e.lead > (leads.get(e.fingerprint!)?.lead ?? 0)) leads.set(e.fingerprint!, e)
    ;(rows.get(e.fingerprint!) ?? rows.set(e.fingerprint!, []).get(e.fingerprint!)!).push(e)
  }
  const byCase = new Map<string, Candidate>()
  for (const g of found) {
    const unstable = confirmed.get(g.fingerprint)?.verdict.kind === 'unstable'
    const lead = leads.get(g.fingerprint)
    const small = lead && isFailing(lead.verdict.kind) ? lead : undefined
    const show = small ?? (unstable ? confirmed.get(g.fingerprint)! : g.representative)
    const looks = speaks(show.verdict.kind) ? normalised(show.verdict.because ?? '') : (show.verdict.evidence?.hash ?? '')
    const key = small || show.case.operator ? JSON.stringify([family(show.backend), show.verdict.kind, identity(show.case), looks]) : g.fingerprint
    const c = byCase.get(key)
    const row = (rows.get(g.fingerprint) ?? []).filter(e => identity(e.case) === identity(show.case))
    if (c) {
      c.groups.push(g)
      c.row.push(...row)
      c.trials.push(...g.trials)
    } else byCase.set(key, { groups: [g], show, shrunk: !!small, row, probes: [], rule: null, trials: [...g.trials] })
  }
  const all = [...byCase.values()]
  for (const c of all) {
    c.probes = probes.get(causeKey(c.show.verdict.kind, c.show.case, c.show, c.show.raw)) ?? []
    c.rule = c.shrunk ? ruleFrom(c.show, c.probes) : null
  }
  return all
}

export function defects(entries: readonly Entry[], replayOf: ReplayOf, context: Context = {}): Defect[] {
  const hits = new Map<string, number>()
  const belongs = (e: Entry): boolean => {
    const d = context.matcher?.(e)
    if (d) hits.set(d.id, (hits.get(d.id) ?? 0) + 1)
    return !!d
  }
  const found = groups(entries, belongs)
  const fresh: Defect[] = []
  const clusters = merged(candidatesOf(entries, found), context.ops)
  const ids = new Map(clusters.map(c => [c.main, idOf(c.main)]))
  for (const cluster of clusters) {
    const d = describeDefect(cluster.main, cluster.members, ids.get(cluster.main)!, entries, replayOf, context)
    if (cluster.related.length) d.related = [...new Set(cluster.related.map(r => ids.get(r)!).filter(id => id && id !== d.id))].sort()
    // a new smallest case of a known cause
    const known = context.matcher?.({ ...cluster.main.show, role: 'plan' }) ?? context.sameCause?.(d)
    if (known) hits.set(known.id, (hits.get(known.id) ?? 0) + d.hits)
    else fresh.push(d)
  }
  const replays = new Map(entries.filter(e => e.role === 'smallest' && e.fingerprint?.startsWith('known ')).map(e => [e.of!, e]))
  const old = (context.known ?? []).flatMap((d): Defect[] => {
    const n = hits.get(d.id) ?? 0
    const status = context.statusOf!(d, n, replays.get(d.id))
    return status === 'still-fixed' ? [] : [{ ...d, status, hits: n, fingerprints: [], replay: replayOf(d.case, d.way) }]
  })
  return [...fresh, ...old]
}

/** Stable across runs and machines: a function of runtime, operation, kind and smallest case. */
function idOf(c: Candidate): string {
  const { show } = c
  const key =
    c.shrunk || show.case.operator
      ? [family(show.backend), show.verdict.kind, identity(show.case), speaks(show.verdict.kind) ? normalised(show.verdict.because ?? '') : '']
      : [c.groups[0]!.fingerprint]
  return `d-${createHash('sha256').update(JSON.stringify(key)).digest('hex').slice(0, 8)}`
}

function describeDefect(
  main: Candidate,
  members: readonly Candidate[],
  id: string,
  entries: readonly Entry[],
  replayOf: ReplayOf,
  context: Context,
): Defect {
  const { show, shrunk } = main
  const trials = members.flatMap(m => m.trials)
  const row = members.flatMap(m => m.row.filter(e => isFailing(e.verdict.kind) && sameFailure(e, m.show)))
  const failing = [...row, ...(row.length ? [] : trials)]
  const names = (pick: (e: Entry) => string) => [...new Set(failing.map(pick))]
  const way = { backend: show.backend, path: show.path, mode: show.mode }
  const recipe = context.recipeOf?.(main, entries) ?? null
  const rule: Defect['rule'] = main.rule ? { ...main.rule } : { text: describe(show.case), predicate: { all: [] } }
  if (main.rule && !atomsOf(rule.predicate).some(a => a.fact !== 'call') && names(e => e.path).length < 3)
    rule.text += `, by path ${names(e => e.path)
      .sort()
      .join(' or ')}`
  return {
    id,
    op: show.case.op,
    kind: show.verdict.kind,
    backends: names(e => e.backend).sort((a, b) => rank(a) - rank(b)),
    paths: names(e => e.path).sort(),
    modes: names(e => e.mode).sort(),
    rule,
    case: show.case,
    way,
    ...(show.raw === undefined ? {} : { raw: show.raw }),
    shrunk,
    expected: show.expected ?? null,
    observed: show.output ?? null,
    element: show.verdict.element ?? null,
    because: show.verdict.because ?? '',
    rung: show.verdict.rung,
    instead: context.insteadOf?.(main) ?? null,
    recipe,
    hits: trials.length,
    fingerprints: members.flatMap(m => m.groups.map(g => g.fingerprint)).sort(),
    reach:
      context.reachOf && main.rule
        ? context.reachOf(
            show.case.op,
            rule,
            show.backend,
            names(e => e.path),
          )
        : [],
    replay: replayOf(show.case, way, show.after && { after: show.after, ...(show.reuse ? { reuse: show.reuse } : {}) }),
    status: 'new',
    links: [],
  }
}

/** Does this backend show the failure of the smallest case, or another one? The same message, the same output, or the same kind in the same runtime. */
function sameFailure(e: Entry, show: Entry): boolean {
  if (e.verdict.kind !== show.verdict.kind || family(e.backend) !== family(show.backend)) return false
  if (speaks(e.verdict.kind)) return normalised(e.verdict.because ?? '') === normalised(show.verdict.because ?? '')
  return e.verdict.evidence?.hash === show.verdict.evidence?.hash || (e.verdict.evidence === undefined && show.verdict.evidence === undefined)
}

/** The case in one line. */
export function describe(c: Entry['case']): string {
  const inputs = c.inputs
    .map((x, i) => (x ? `x${i} ${x.dtype === 'float32' ? '' : `${x.dtype} `}[${x.shape}] ${x.recipe.kind}` : `x${i} absent`))
    .join(', ')
  const attributes = Object.entries(c.attributes)
    .map(([n, v]) => `${n}=${Array.isArray(v) ? v.join(',') : v}`)
    .join(' ')
  return `${attributes}${attributes && inputs ? '; ' : ''}${inputs}`
}
