/** `npm run compat`: the main job. Writes run.json first, then the journal trial by trial, and every report at the end, also after Ctrl-C. */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { createLogUpdate } from 'log-update'
import { writeReports } from '../../reports/write.ts'
import { loadBackends, selectBackends } from '../backends.ts'
import { rememberRun } from '../cache.ts'
import { catalogueHash, matcher, readKnown } from '../catalogue.ts'
import { UserError } from '../errors.ts'
import { type External, readExternal } from '../external.ts'
import { makeFolder, writeJson } from '../files.ts'
import { follow } from '../follow.ts'
import { childHost } from '../hosts/child.ts'
import type { Host } from '../hosts/host.ts'
import { pageHost } from '../hosts/page.ts'
import { type Entry, type Journal, openJournal, settled } from '../journal.ts'
import { judge } from '../judge.ts'
import { loadOps } from '../ops.ts'
import { duration, integer, type RunFlags, selectOps, shardOf, withConfig, words } from '../options.ts'
import { caseOf, type Planned, planHash, planned } from '../plan.ts'
import { type BackendStatus, line, type Progress, referenceCache, runPlan } from '../run.ts'
import { stateful } from '../stateful.ts'
import type { RunFile, Summary } from '../summary.ts'
import { bySeverity, defectLines, ink, matrix, progressLines } from '../terminal.ts'
import type { Defect } from '../triage.ts'
import { type Backend, type Case, ieee32, type Op, type Outcome } from '../types.ts'
import { ROOT, VERSION } from '../version.ts'
import { witness } from '../witness.ts'

export const hostOf = (b: Backend): Host => (b.host === 'child' ? childHost(b, {}) : pageHost(b, {}))
const DEFAULT_CASES = 600
const DEFAULT_BUDGET = '3m'
/** Share of a budget after which the plan stops, so that what failed can still be made small. */
const PLAN_SHARE = 0.55
/** … and after which no further sequence is begun. */
const SEQUENCES_SHARE = 0.62

/** First interrupt: stop cleanly and write every report; second: stop at once. */
export function interruptible() {
  let stopped = false
  const on = () => {
    if (stopped) process.exit(130)
    stopped = true
    process.stderr.write('\nstopping; the reports are being written (Ctrl-C again stops at once)\n')
  }
  process.on('SIGINT', on)
  process.on('SIGTERM', on)
  return {
    stopped: () => stopped,
    off: () => {
      process.off('SIGINT', on)
      process.off('SIGTERM', on)
    },
  }
}

/** A new folder for the run; one that holds a run already is only replaced with --force. */
function openFolder(flags: RunFlags): { dir: string; name: string } {
  const runs = join(ROOT, 'reports', 'runs')
  let dir = flags.out ? resolve(flags.out) : ''
  if (!dir) {
    const day = new Date().toISOString().slice(0, 10)
    let n = 1
    while (existsSync(join(runs, `${day}-${n}`))) n++
    dir = join(runs, `${day}-${n}`)
  } else if (existsSync(join(dir, 'run.json')) || existsSync(join(dir, 'journal.jsonl'))) {
    if (!flags.force) throw new UserError(`--out ${flags.out} holds a run already; choose another folder, or --force to replace it`)
    for (const f of readdirSync(dir))
      if (/^(run|catalogue|summary|history)\.json$|^journal\.jsonl|^report\.|^junit\.xml$|^badge/.test(f)) rmSync(join(dir, f))
  }
  makeFolder(dir, flags.out ?? dir)
  return { dir, name: dir.split(/[\\/]/).pop()! }
}

export async function runCommand(given: RunFlags): Promise<number> {
  const flags = withConfig(given)
  const c = ink(flags.color !== false && !process.env.NO_COLOR && !!process.stderr.isTTY)
  const ops = await loadOps()
  const all = await loadBackends()
  if (flags.list) return list(ops, all, !!flags.json)
  const wanted = words(flags.backends)
  const published = wanted.includes('expected')
  const { backends, literal } = selectBackends(all, wanted.length ? wanted.filter(w => w !== 'expected') : ['all'])
  const chosen = selectOps(ops, flags.ops)
  const seed = integer('--seed', flags.seed, 1, 0, 2 ** 31 - 1)
  const shard = shardOf(flags.shard)
  const cases = integer('--cases', flags.cases, flags.budget && !flags.from ? 1_000_000 : DEFAULT_CASES, 1, 100_000_000)
  const budget = flags.budget || !flags.cases ? (flags.from && !flags.budget ? Infinity : duration(flags.budget ?? DEFAULT_BUDGET)) : Infinity
  const external = flags.from ? readExternal(flags.from, ops).filter(x => !flags.ops || (x.op && chosen.includes(x.op))) : null
  if (published && !external) throw new UserError('--backends expected judges published outputs: give the file with --from')
  const { dir, name } = openFolder(flags)

  const known = readKnown().filter(d => external || chosen.some(o => o.name === d.op))
  const interrupt = interruptible()
  const started = Date.now()
  const run: RunFile = {
    schema: 1,
    name,
    version: VERSION,
    seed,
    cases: external ? external.length : cases,
    ops: external ? [] : chosen.map(o => o.name),
    plan: external
      ? createHash('sha256')
          .update(JSON.stringify(external.map(x => x.case)))
          .digest('hex')
          .slice(0, 16)
      : planHash(seed, chosen, VERSION),
    catalogue: catalogueHash(known),
    options: { ...flags },
    shard,
    started: new Date(started).toISOString(),
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
    ended: null,
    backends: [],
    compares: { known: known.map(d => d.id), history: [] },
  }
  writeJson(join(dir, 'run.json'), run)
  writeJson(join(dir, 'history.json'), { schema: 1, runs: [], known })
  rememberRun(dir)
  const journal = openJournal(join(dir, 'journal.jsonl'))
  const entries: Entry[] = []
  const tee: Journal = {
    write(e) {
      journal.write(e)
      if (e.role === 'plan') entries.push(e)
    },
    close: journal.close,
  }

  const view = progressView(
    c,
    !!flags.json,
    `opcompat ${VERSION}   seed ${seed}   ${external ? `${external.length} external cases` : `${chosen.length} operations`}   ${backends.length + (published ? 1 : 0)} backends`,
  )
  const hosts = backends.map(hostOf)
  const seen = witness(seed, ops)
  let ended: 'clean' | 'interrupted' = 'clean'
  try {
    const sequence = external ? fromFile(external) : fromPlan(seed, chosen, cases, shard)
    if (external) gapLines(external, [...backends.map(b => b.name), ...(published ? ['expected'] : [])], tee)
    if (external && published) run.backends.push(judgePublished(external, tee))
    run.backends.push(
      ...(await runPlan({
        seed,
        sequence: sequence.at,
        length: sequence.length,
        everyPath: !!external,
        journal: tee,
        hosts,
        until: started + budget * (external ? 1 : PLAN_SHARE),
        stopped: interrupt.stopped,
        progress: view.update,
        ...(external ? {} : { note: seen.note }),
      })),
    )
    if (!external) {
      const live = hosts.filter(h => run.backends.some(b => b.name === h.backend.name && b.status !== 'not-run'))
      const until = started + budget * SEQUENCES_SHARE
      await stateful({ seed, ops, hosts: live, witness: seen, journal: tee, until, stopped: interrupt.stopped, progress: view.sequences })
      const belongs = matcher(known, ops)
      await follow({
        seed,
        known,
        matched: e => !!belongs(e),
        ops,
        entries: settled(entries),
        hosts: live,
        journal: tee,
        until: started + budget,
        stopped: interrupt.stopped,
        progress: view.following,
      })
    }
    if (interrupt.stopped()) ended = 'interrupted'
  } finally {
    view.done()
    await Promise.all(hosts.map(h => h.close()))
    journal.close(ended === 'clean')
  }
  run.ended = ended
  writeJson(join(dir, 'run.json'), run)
  // runs in their own folder stand alone; those of reports/runs are one history
  const { summary, defects } = await writeReports(dir, flags.out ? undefined : dirname(dir))
  interrupt.off()
  const code = exitCode(summary, defects, literal, ended)
  if (flags.json) process.stdout.write(`${JSON.stringify({ ...summary, folder: dir, exit: code })}\n`)
  else print(summary, defects, dir, ink(flags.color !== false && !process.env.NO_COLOR && !!process.stdout.isTTY))
  return code
}

function exitCode(summary: Summary, defects: readonly Defect[], literal: ReadonlySet<string>, ended: string): number {
  if (ended === 'interrupted') return 130
  if (summary.backends.some(b => literal.has(b.name) && b.status === 'not-run')) return 3
  return defects.some(d => d.status === 'new' || d.status === 'regressed' || d.status === 'fixed') ? 1 : 0
}

/** k before operations: after any time every operation has been walked equally far. */
function fromPlan(seed: number, ops: readonly Op[], cases: number, shard: { i: number; n: number } | null) {
  const cache = new Map<number, Planned>()
  const mine = shard ? Math.max(0, Math.ceil((cases - (shard.i - 1)) / shard.n)) : cases
  return {
    length: mine * ops.length,
    at(s: number): Planned | null {
      const k = shard ? shard.i - 1 + Math.floor(s / ops.length) * shard.n : Math.floor(s / ops.length)
      if (k >= cases) return null
      let known = cache.get(s)
      if (!known) {
        const op = ops[s % ops.length]!
        cache.set(s, (known = planned(op, caseOf(seed, op, k), k)))
        if (cache.size > 4000) cache.delete(cache.keys().next().value!)
      }
      return known
    },
  }
}
function fromFile(external: readonly External[]) {
  const list = external.flatMap((x, k) => (x.op && !x.gap ? [planned(x.op, x.case, k)] : []))
  return { length: list.length, at: (s: number): Planned | null => list[s] ?? null }
}
function gapLines(external: readonly External[], names: readonly string[], journal: Journal): void {
  external.forEach((x, k) => {
    if (!x.gap) return
    for (const backend of names)
      journal.write({
        schema: 1,
        role: 'plan',
        case: x.case,
        backend,
        path: '',
        mode: '',
        k,
        verdict: { kind: 'gap', rung: null, worst: null, ambiguous: 0, because: x.gap },
      })
  })
}
/** Published outputs are judged like one more backend: they check the project's own references. */
function judgePublished(external: readonly External[], journal: Journal): BackendStatus {
  const refs = referenceCache()
  for (const [k, x] of external.entries()) {
    if (!x.op || x.gap) continue
    const p = planned(x.op, x.case, k)
    const say = (because: string, kind: 'gap' | 'not-compared' = 'gap') =>
      journal.write(line(p, 'expected', { path: 'given', mode: 'published' }, { kind, rung: null, worst: null, ambiguous: 0, because }))
    if ('declined' in p.canonical) {
      say(p.canonical.declined)
      continue
    }
    if (x.case.valid === false || !x.expected.some(Boolean)) {
      say('no published outputs', 'not-compared')
      continue
    }
    const ref = refs(p)
    const outcome: Outcome = { status: 'outputs', outputs: x.expected, checksum: ref.checksum, ms: 0 }
    const verdict = judge(p.canonical as Case, ref, outcome, { arithmetic: ieee32, dialect: 'onnx', tolerance: x.tolerance })
    journal.write(line(p, 'expected', { path: 'given', mode: 'published' }, verdict))
  }
  return { name: 'expected', status: 'ran', identity: { source: 'published outputs of the file' }, cases: external.length, elapsedMs: 0, deaths: 0 }
}

function list(ops: ReadonlyMap<string, Op>, backends: readonly Backend[], json: boolean): number {
  if (json)
    process.stdout.write(
      `${JSON.stringify({ ops: [...ops.keys()], backends: backends.map(b => ({ name: b.name, dialect: b.dialect, host: b.host, modes: b.modes })) })}\n`,
    )
  else {
    process.stdout.write(`operations (${ops.size})\n  ${[...ops.keys()].join('\n  ')}\n\nbackends (${backends.length})\n`)
    for (const b of backends)
      process.stdout.write(
        `  ${b.name.padEnd(22)} ${b.dialect.padEnd(5)} ${(b.host === 'child' ? 'node' : 'browser').padEnd(8)} modes: ${b.modes.join(', ')}\n`,
      )
  }
  return 0
}

/** Live rows on a terminal; in a log one block of rows every quarter of a minute. */
function progressView(c: ReturnType<typeof ink>, quiet: boolean, title: string) {
  const rows = new Map<string, Progress>()
  const update = createLogUpdate(process.stderr)
  const live = !!process.stderr.isTTY && !quiet
  let following = ''
  let shown = 0
  if (!quiet || !live) process.stderr.write(`${title}\n\n`)
  const render = (force = false) => {
    const now = Date.now()
    if (now - shown < (live ? 150 : 15_000) && !force) return
    shown = now
    const lines = [...progressLines([...rows.values()], c), following].filter(Boolean).join('\n')
    if (live) update(lines)
    else process.stderr.write(`${lines}\n\n`)
  }
  return {
    update(p: Progress) {
      rows.set(p.backend, p)
      render()
    },
    sequences(done: number, of: number, what: string) {
      following = `  the same cases after others: ${done} of ${of} (${what})`
      render()
    },
    following(done: number, of: number, what: string) {
      following = `  following failures: ${done} of ${of} (${what})`
      render()
    },
    done() {
      render(true)
      if (live) update.done()
    },
  }
}

function print(summary: Summary, defects: readonly Defect[], dir: string, c: ReturnType<typeof ink>): void {
  const out = (text = '') => process.stdout.write(`${text}\n`)
  out()
  for (const l of matrix(summary, c)) out(l)
  const not = summary.backends.filter(b => b.status === 'not-run')
  if (not.length) out(`\n  not run: ${not.map(b => b.name).join(', ')}   (npm run compat -- doctor says why and what enables them)`)
  const by = (s: string) => defects.filter(d => d.status === s).length
  out(`\n${by('new')} new, ${by('regressed')} regressed, ${by('fixed')} fixed, ${by('known')} known, ${by('not-reached')} not reached`)
  out()
  const news = defects.filter(d => d.status !== 'known' && d.status !== 'not-reached').sort(bySeverity)
  for (const d of news.slice(0, 30)) for (const l of defectLines(d, c)) out(l)
  if (news.length > 30) out(c.dim(`\n… ${news.length - 30} more in ${join(dir, 'report.md')}`))
  out(`\nreports: ${dir}`)
}
