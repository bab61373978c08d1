/** From failing trials to causes: fingerprints of single cases, and defects as what shares a smallest case. Pure: a function of journal lines. */
import { createHash } from 'node:crypto'
import { rank } from './backends.ts'
import type { Entry } from './journal.ts'
import { compareEntries } from './order.ts'
import { isFailing, type Kind } from './types.ts'

/** A message without what differs from case to case. */
export const normalised = (message: string): string =>
  message
    .replace(/-?\d+(\.\d+)?/g, '#')
    .replace(/\[[#,\s]*\]/g, '[…]')
    .replace(/#(\s*,\s*#)+/g, '#')
    .slice(0, 160)

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
export function groups(entries: readonly Entry[]): Group[] {
  const byCase = new Map<string, Entry[]>()
  for (const e of entries) if (e.role === 'plan') (byCase.get(e.case.id) ?? byCase.set(e.case.id, []).get(e.case.id)!).push(e)
  const found = new Map<string, Group>()
  for (const trials of byCase.values())
    for (const [e, fingerprint] of fingerprints(trials)) {
      const g = found.get(fingerprint)
      if (!g) found.set(fingerprint, { fingerprint, representative: e, trials: [e] })
      else {
        g.trials.push(e)
        if (compareEntries(e, g.representative) < 0) g.representative = e
      }
    }
  return [...found.values()].sort((a, b) => compareEntries(a.representative, b.representative))
}

export interface Defect {
  id: string
  op: string
  kind: string
  backends: string[]
  paths: string[]
  modes: string[]
  rule: { text: string; predicate: unknown }
  case: Entry['case']
  /** The way that shows the smallest case. */
  way: { backend: string; path: string; mode: string }
  shrunk: boolean
  expected: Entry['expected'] | null
  observed: Entry['output'] | null
  element: Entry['verdict']['element'] | null
  because: string
  rung: string | null
  hits: number
  fingerprints: string[]
  reach: unknown[]
  replay: string
  status: 'new' | 'known' | 'not-reached' | 'fixed' | 'regressed'
  links: string[]
}

const identity = (c: Entry['case']) => JSON.stringify([c.op, c.attributes, c.inputs.map(i => i && [i.dtype, i.shape, i.recipe]), c.valid])

/** Defects of a run: fingerprints with the same kind and smallest case are one. Of follow-up lines only those count that belong to the lowest representative, so that shards equal one run. */
export function defects(entries: readonly Entry[], replayOf: (c: Entry['case'], way: Defect['way']) => string): Defect[] {
  const found = groups(entries)
  const representative = new Map(found.map(g => [g.fingerprint, g.representative]))
  const smallest = new Map<string, Entry>()
  const rows = new Map<string, Entry[]>()
  const confirmed = new Map<string, Entry>()
  for (const e of entries) {
    const r = e.fingerprint === undefined ? undefined : representative.get(e.fingerprint)
    if (!r || e.of !== r.case.id) continue
    const own = e.backend === r.backend && e.path === r.path && e.mode === r.mode
    if (e.role === 'confirm' && own) confirmed.set(e.fingerprint!, e)
    if (e.role !== 'smallest') continue
    if (own) smallest.set(e.fingerprint!, e)
    ;(rows.get(e.fingerprint!) ?? rows.set(e.fingerprint!, []).get(e.fingerprint!)!).push(e)
  }
  const clusters = new Map<string, { groups: Group[]; show: Entry; shrunk: boolean }>()
  for (const g of found) {
    const unstable = confirmed.get(g.fingerprint)?.verdict.kind === 'unstable'
    const small = smallest.get(g.fingerprint)
    const show = small ?? (unstable ? confirmed.get(g.fingerprint)! : g.representative)
    const key = `${show.verdict.kind} ${small || show.case.operator ? identity(show.case) : g.fingerprint}`
    const c = clusters.get(key)
    if (!c) clusters.set(key, { groups: [g], show, shrunk: !!small })
    else c.groups.push(g)
  }
  return [...clusters.entries()].map(([key, { groups: gs, show, shrunk }]): Defect => {
    const trials = gs.flatMap(g => g.trials)
    const row = gs.flatMap(g => rows.get(g.fingerprint) ?? []).filter(e => isFailing(e.verdict.kind) && sameFailure(e, show))
    const failing = row.length ? row : trials
    const names = (pick: (e: Entry) => string) => [...new Set(failing.map(pick))]
    const way = { backend: show.backend, path: show.path, mode: show.mode }
    return {
      id: `d-${createHash('sha256').update(key).digest('hex').slice(0, 8)}`,
      op: show.case.op,
      kind: show.verdict.kind,
      backends: names(e => e.backend).sort((a, b) => rank(a) - rank(b)),
      paths: names(e => e.path).sort(),
      modes: names(e => e.mode).sort(),
      rule: { text: describe(show.case), predicate: { all: [] } },
      case: show.case,
      way,
      shrunk,
      expected: show.expected ?? null,
      observed: show.output ?? null,
      element: show.verdict.element ?? null,
      because: show.verdict.because ?? '',
      rung: show.verdict.rung,
      hits: trials.length,
      fingerprints: gs.map(g => g.fingerprint),
      reach: [],
      replay: replayOf(show.case, way),
      status: 'new',
      links: [],
    }
  })
}

const family = (backend: string) => backend.replace(/-.*/, '')
/** Does this backend show the failure of the smallest case, or another one? The same message, the same output, or the same kind in the same runtime. */
function sameFailure(e: Entry, show: Entry): boolean {
  if (e.verdict.kind !== show.verdict.kind) return false
  if (speaks(e.verdict.kind)) return normalised(e.verdict.because ?? '') === normalised(show.verdict.because ?? '')
  return e.verdict.evidence?.hash === show.verdict.evidence?.hash || family(e.backend) === family(show.backend)
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
