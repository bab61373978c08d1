/** `replay <id | file | JSON>`: one case again, with expected, observed, bound, and the first bad element. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadBackends, selectBackends } from '../backends.ts'
import { recentRuns } from '../cache.ts'
import { UserError } from '../errors.ts'
import type { Host } from '../hosts/host.ts'
import { readJournal } from '../journal.ts'
import { benchOf, judge, reference } from '../judge.ts'
import { loadOps, opFor } from '../ops.ts'
import { words } from '../options.ts'
import { caseOf, contentId, parsePlanId, planned } from '../plan.ts'
import { caseInToken, type Way } from '../replay-token.ts'
import { deadline } from '../run.ts'
import { said } from '../sequences.ts'
import { difference, type Past, sentence } from '../stateful.ts'
import { numbers, sizeOf, toJson64 } from '../tensor.ts'
import { describe } from '../triage.ts'
import { type Case, isFailing, type Op, type Outcome, type Tensor } from '../types.ts'
import { ROOT } from '../version.ts'
import { hostOf } from './run.ts'

export interface ReplayFlags {
  backends?: string
  path?: string
  mode?: string
  json?: boolean
}

export async function replayCommand(what: string, flags: ReplayFlags): Promise<number> {
  const ops = await loadOps()
  const { case: c, way, past } = find(what, ops)
  const op = ops.get(c.op) ?? opFor(ops, c.operator ?? c.op)
  if (!op) throw new UserError(`replay: the case is of operation ${c.op}, which this version does not have`)
  const backends = selectBackends(await loadBackends(), words(flags.backends ?? way?.backend ?? 'ort-cpu,tfjs-cpu')).backends
  const p = planned(op, { ...c, op: op.name }, 0)
  const path = flags.path ?? (flags.backends ? undefined : way?.path)
  const mode = flags.mode ?? (flags.backends ? undefined : way?.mode)
  const results: unknown[] = []
  let fails = false
  if (!flags.json) process.stdout.write(`${c.id}  ${c.op}${c.valid === false ? '  (has to be refused)' : ''}\n  ${describe(c)}\n`)
  if ('declined' in p.canonical) throw new UserError(`replay: ${p.canonical.declined}`)
  const ref = reference(op, p.canonical)
  for (const backend of backends) {
    const offered = p.offered(backend.dialect)
    const paths = offered.flatMap(l => ('path' in l && (path === undefined || l.path === path) ? [l] : []))
    if (!paths.length) {
      const why =
        offered.flatMap(l => ('declined' in l ? [l.declined] : []))[0] ??
        `no path ${path}; it has ${offered.flatMap(l => ('path' in l ? [l.path] : [])).join(', ')}`
      results.push({ backend: backend.name, verdict: { kind: 'gap', because: why } })
      if (!flags.json) process.stdout.write(`\n${backend.name}: cannot be said: ${why}\n`)
      continue
    }
    if (mode !== undefined && !backend.modes.includes(mode))
      throw new UserError(`replay: ${backend.name} has no mode ${mode}; it has ${backend.modes.join(', ')}`)
    const host = hostOf(backend)
    try {
      const start = await host.start()
      if ('notRun' in start) {
        results.push({ backend: backend.name, verdict: { kind: 'not-run', because: start.notRun } })
        if (!flags.json) process.stdout.write(`\n${backend.name}: not run: ${start.notRun}${start.enable ? `\n  to enable: ${start.enable}` : ''}\n`)
        continue
      }
      if (past && (way?.backend ?? backend.name) === backend.name) {
        const { after, reuse } = past
        if (!flags.json)
          process.stdout.write(`\n${after.map((s, n) => `  before it ${n + 1}: ${s.path} in ${s.mode}: ${said(s)}  ${describe(s.case)}\n`).join('')}`)
        for (const { path } of paths) {
          const trial = { case: p.case, path, mode: mode ?? backend.modes[0]! }
          const seen = await afterwards(host, trial, past, ref)
          if (seen.kind === 'unstable') fails = true
          results.push({ backend: backend.name, path, mode: trial.mode, after, ...(reuse ? { reuse } : {}), verdict: seen })
          if (!flags.json) process.stdout.write(`\n${backend.name}  path ${path}  mode ${trial.mode}: ${seen.kind}: ${seen.because}\n`)
          if (!flags.json && seen.element)
            process.stdout.write(`  y${seen.element.output}[${seen.element.index}]: alone ${seen.element.expected}, so ${seen.element.observed}\n`)
        }
        await host.restart()
      }
      const jobs = paths.map(l => ({ case: p.case, path: l.path, mode: mode ?? backend.modes[0]! }))
      await host.run(jobs, deadline(backend), (i, outcome) => {
        const verdict = judge(p.canonical as Case, ref, outcome, benchOf(backend), 'naive' in paths[i]!)
        if (isFailing(verdict.kind)) fails = true
        results.push({ backend: backend.name, path: jobs[i]!.path, mode: jobs[i]!.mode, verdict })
        if (!flags.json) show(backend.name, jobs[i]!, verdict, outcome, ref)
      })
    } finally {
      await host.close()
    }
  }
  if (flags.json) process.stdout.write(`${JSON.stringify({ schema: 1, case: c, results })}\n`)
  return fails ? 1 : 0
}

/** The trial alone in a fresh process, then in another one behind what it needs; where it needs nothing, in a few more. */
async function afterwards(host: Host, trial: Past['after'][number], past: Past, ref: ReturnType<typeof reference>) {
  const fresh = async (jobs: readonly Past['after'][number][]): Promise<Outcome> => {
    const outcomes: Outcome[] = []
    await host.restart()
    await host.run(jobs, deadline(host.backend), (_, outcome) => {
      outcomes.push(outcome)
    })
    return outcomes.at(-1)!
  }
  const { after, reuse } = past
  const base = await fresh([trial])
  for (let i = 0; i < (after.length || reuse ? 1 : 4); i++) {
    const d = difference(base, await fresh([...after, reuse ? { ...trial, reuse } : trial]), ref)
    if (d) return { kind: 'unstable', because: sentence(past, d), ...(d.element ? { element: d.element } : {}) }
  }
  return { kind: 'agree', because: 'the same bits as alone in a fresh process' }
}

function show(
  backend: string,
  j: { path: string; mode: string },
  v: ReturnType<typeof judge>,
  outcome: Outcome,
  ref: ReturnType<typeof reference>,
): void {
  const out = (s: string) => process.stdout.write(`${s}\n`)
  out(`\n${backend}  path ${j.path}  mode ${j.mode}: ${v.kind}${v.rung ? ` (${v.rung})` : ''}${v.because ? `: ${v.because}` : ''}`)
  ref.expected.forEach((e, i) => {
    const f = e.rule === 'either' ? e.options[0]!.expected : e
    if (f.rule !== 'decisions' && f.rule !== 'either') out(`  expected y${i} ${f.dtype} [${f.shape}] ${few(f.value)}`)
  })
  if (outcome.status === 'outputs')
    outcome.outputs.forEach((t, i) => {
      if (t)
        out(
          `  observed y${i} ${t.dtype} [${t.shape}] ${few(numbers(t as Tensor))}${sizeOf(t.shape) !== t.data.length ? ` (${t.data.length} values)` : ''}`,
        )
    })
  if (v.element)
    out(
      v.kind === 'unstable'
        ? `  first element that differs y${v.element.output}[${v.element.index}]: once ${v.element.expected}, then ${v.element.observed}`
        : `  first bad element y${v.element.output}[${v.element.index}]: expected ${v.element.expected}, observed ${v.element.observed}, allowed error ${v.element.allowed ?? 0}`,
    )
  if (v.worst !== null) out(`  largest error / bound: ${v.worst.toPrecision(3)}`)
}
const few = (data: ArrayLike<number>) =>
  `${Array.from({ length: Math.min(32, data.length) }, (_, i) => toJson64(data[i]!)).join(' ')}${data.length > 32 ? ` … (${data.length})` : ''}`

/** A planned id is rebuilt, a token carries its case, JSON is the case, a file holds one; ids of defects and of shrunk cases are looked up in the catalogue and in earlier runs. */
function find(what: string, ops: ReadonlyMap<string, Op>): { case: Case; way?: Way; past?: Past } {
  const plan = parsePlanId(what)
  if (plan) {
    const op = ops.get(plan.op)
    if (op) return { case: caseOf(plan.seed, op, plan.k), ...pastOf(what) }
  }
  const carried = caseInToken(what)
  if (carried) {
    const { past, ...c } = carried
    return { case: c, ...(past ? { past } : {}) }
  }
  if (what.trim().startsWith('{')) return fromJson(what, 'the JSON', ops)
  if (/^[cd]-/.test(what)) {
    for (const file of catalogues()) {
      const json = JSON.parse(readFileSync(file, 'utf8')) as {
        defects?: { id: string; case: Case; way?: Way }[]
        id?: string
        case?: Case
        way?: Way
      }
      for (const d of json.defects ?? (json.id ? [json as { id: string; case: Case; way?: Way }] : []))
        if (d.id === what || d.case.id === what) return { case: d.case, way: d.way, ...pastOf(d.case.id, file) }
    }
    throw new UserError(
      `replay ${what}: no run under reports/runs and no catalogue entry has it; give the whole command that a report prints, a case file or JSON`,
    )
  }
  if (existsSync(what)) return fromJson(readFileSync(what, 'utf8').split('\n')[0]!, what, ops)
  throw new UserError(`replay ${what}: not an id (c-… or d-…), not a file, not JSON`)
}
/** What an unstable trial needs before it, from the journal of the run whose catalogue names it. */
function pastOf(id: string, only?: string): { way: Way; past: Past } | null {
  const holds = (file: string) => {
    const text = readFileSync(file, 'utf8')
    return text.includes(`"${id}"`) && text.includes('"unstable"')
  }
  for (const file of only ? [only] : catalogues()) {
    const journal = file.replace(/catalogue\.json$/, 'journal.jsonl')
    if (journal === file || !existsSync(journal) || !holds(file)) continue
    const e = readJournal(journal).entries.find(e => e.case.id === id && e.after)
    if (e) return { way: { backend: e.backend, path: e.path, mode: e.mode }, past: { after: e.after!, ...(e.reuse ? { reuse: e.reuse } : {}) } }
  }
  return null
}
function fromJson(text: string, where: string, ops: ReadonlyMap<string, Op>): { case: Case; way?: Way; past?: Past } {
  let json: Case & { case?: Case; way?: Way; backend?: string; path?: string; mode?: string } & Partial<Past>
  try {
    json = JSON.parse(text)
  } catch (error) {
    throw new UserError(`replay: ${where} is not JSON (${(error as Error).message})`)
  }
  const c = json.case ?? json
  const name = ops.has(c.op) ? c.op : opFor(ops, c.op)?.name
  if (!name || !Array.isArray(c.inputs)) throw new UserError(`replay: ${where} is no case; it needs "op", "attributes" and "inputs"`)
  const way = json.way ?? (json.backend ? { backend: json.backend, path: json.path ?? '', mode: json.mode ?? '' } : undefined)
  const past = json.after ? { past: { after: json.after, ...(json.reuse ? { reuse: json.reuse } : {}) } } : {}
  return { case: { ...c, op: name, id: c.id ?? contentId(c) }, ...(way ? { way } : {}), ...past }
}
function* catalogues(): Iterable<string> {
  const known = join(ROOT, 'reports', 'known')
  if (existsSync(known)) for (const f of readdirSync(known)) if (f.endsWith('.json')) yield join(known, f)
  for (const d of recentRuns()) if (existsSync(join(d, 'catalogue.json'))) yield join(d, 'catalogue.json')
  const runs = join(ROOT, 'reports', 'runs')
  if (existsSync(runs))
    for (const d of readdirSync(runs).sort().reverse()) if (existsSync(join(runs, d, 'catalogue.json'))) yield join(runs, d, 'catalogue.json')
}
