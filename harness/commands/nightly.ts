/**
 * `nightly plan | finish | --local`: what a CI runs every night, each step a command that runs anywhere.
 * plan: seed and shards for the CI's matrix. finish: merge, history, diff with the newest published run, issues, publish. --local: a whole night on this machine.
 */
import { spawn } from 'node:child_process'
import { copyFileSync, existsSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { runsIn } from '../../reports/history.ts'
import { readRun, writeReports } from '../../reports/write.ts'
import { UserError } from '../errors.ts'
import { makeFolder, writeJson } from '../files.ts'
import { integer } from '../options.ts'
import { ROOT } from '../version.ts'
import { compareRuns, type Difference } from './diff.ts'
import { applyIssues, planIssues, writeIssues } from './issues.ts'
import { mergeCommand } from './merge.ts'

export interface NightlyFlags {
  local?: boolean
  shards?: string
  from?: string
  site?: string
  out?: string
  name?: string
  seed?: string
  cases?: string
  ops?: string
  backends?: string
  issues?: boolean
  json?: boolean
}
/** Runs that the site keeps; older ones are taken down. */
const KEEP = 60
const PUBLISHED = ['run.json', 'summary.json', 'catalogue.json', 'history.json', 'report.html', 'report.md', 'junit.xml', 'badge.json', 'badge.svg']
const day = (now: Date) => now.toISOString().slice(0, 10)
const said = (text: string) => process.stderr.write(`${text}\n`)

export async function nightlyCommand(step: string | undefined, flags: NightlyFlags): Promise<number> {
  const today = day(new Date())
  const name = flags.name ?? today
  const seed = integer('--seed', flags.seed, Number(today.replaceAll('-', '')), 0, 2 ** 31 - 1)
  if (!/^[\w.-]+$/.test(name)) throw new UserError(`--name ${name}: letters, digits, dots and dashes only; it names a folder`)
  if (flags.local && step === undefined) return local(name, seed, flags)
  if (step === 'plan') return plan(name, seed, integer('--shards', flags.shards, 8, 1, 256), !!flags.json)
  if (step === 'finish') {
    if (!flags.from || !flags.site) throw new UserError('nightly finish: give the folder of the shards with --from, and the site with --site')
    return finish(shardsIn(flags.from), flags.site, resolve(flags.out ?? join(ROOT, 'reports', 'runs', 'nightly')), name, flags)
  }
  throw new UserError(`nightly${step ? ` ${step}` : ''}: give plan, finish, or --local`)
}

/** `name=value` lines, as GitHub's $GITHUB_OUTPUT and a dotenv file of GitLab take them. */
function plan(name: string, seed: number, shards: number, json: boolean): number {
  const list = Array.from({ length: shards }, (_, i) => i + 1)
  process.stdout.write(json ? `${JSON.stringify({ name, seed, shards: list })}\n` : `name=${name}\nseed=${seed}\nshards=${JSON.stringify(list)}\n`)
  return 0
}

function shardsIn(folder: string): string[] {
  if (!existsSync(folder)) throw new UserError(`nightly: there is no ${folder}`)
  const dirs = readdirSync(folder)
    .map(n => join(folder, n))
    .filter(d => statSync(d).isDirectory() && existsSync(join(d, 'run.json')))
    .sort()
  if (!dirs.length) throw new UserError(`nightly: no folder in ${folder} holds a run; every shard writes one with --out`)
  return dirs
}

/** Merge, history, diff, issues, publish; 1 only where there is news. */
async function finish(shards: readonly string[], site: string, out: string, name: string, flags: NightlyFlags): Promise<number> {
  const merged = join(out, name)
  await quietly(() => mergeCommand(shards, { out: merged, force: true }))
  const run = readRun(merged)
  const missing = run.shards?.missing ?? []
  if (missing.length) said(`missing: shard ${missing.join(', ')} of ${run.shards!.of}`)
  const yesterday = runsIn(join(site, 'runs')).filter(r => r.run.name !== name)
  const { defects } = await writeReports(merged, join(site, 'runs'))
  const before = yesterday.at(-1)
  const difference: Difference | null = before ? compareRuns(before.dir, merged) : null
  if (difference) {
    said(`against ${before!.run.name}: ${difference.added.length} new, ${difference.gone.length} gone, ${difference.changed.length} changed`)
    const issues = planIssues(difference, defects, merged)
    writeIssues(issues, join(out, `${name}-issues`))
    for (const line of flags.issues ? await applyIssues(issues) : []) said(line)
  } else said('nothing was published before: this night is the first')
  publish(merged, site, name)
  const news = difference ? difference.added.length + difference.gone.length + difference.changed.length : 0
  const result = { schema: 1, name, run: merged, site: resolve(site), against: before?.run.name ?? null, missing, difference }
  process.stdout.write(flags.json ? `${JSON.stringify(result)}\n` : `published ${join(site, 'index.html')}\n`)
  return news ? 1 : 0
}

/** The newest report is the site's front page; every run stays under its name. */
function publish(merged: string, site: string, name: string): void {
  const to = join(site, 'runs', name)
  makeFolder(to)
  for (const f of PUBLISHED) if (existsSync(join(merged, f))) copyFileSync(join(merged, f), join(to, f))
  for (const f of ['badge.json', 'badge.svg']) copyFileSync(join(merged, f), join(site, f))
  copyFileSync(join(merged, 'report.html'), join(site, 'index.html'))
  writeFileSync(join(site, '.nojekyll'), '')
  const runs = runsIn(join(site, 'runs'))
  for (const old of runs.slice(0, Math.max(0, runs.length - KEEP))) rmSync(old.dir, { recursive: true })
  writeJson(join(site, 'runs.json'), {
    schema: 1,
    runs: runs.slice(-KEEP).map(({ run, summary }) => ({
      name: run.name,
      started: run.started,
      ended: summary.ended,
      defects: summary.defects.length,
      report: `runs/${run.name}/report.html`,
    })),
  })
}

/** A night in small: shards as processes, two at a time, the first of them killed in the middle and started again. */
async function local(name: string, seed: number, flags: NightlyFlags): Promise<number> {
  const out = resolve(flags.out ?? join(ROOT, 'reports', 'runs', 'nightly'))
  const site = resolve(flags.site ?? join(out, 'site'))
  const n = integer('--shards', flags.shards, 2, 1, 64)
  const cases = integer('--cases', flags.cases, 8, 1, 1_000_000)
  const common = ['--ops', flags.ops ?? 'max-pool,resize,pad', '--backends', flags.backends ?? 'ort-cpu,tfjs-cpu', '--seed', String(seed)]
  const parts = join(out, 'shards')
  if (!runsIn(join(site, 'runs')).length) {
    said('no earlier night is published: half of the cases are run first, as yesterday')
    const eve = join(out, 'eve', '1')
    await shard(['run', ...common, '--cases', String(Math.ceil(cases / 2)), '--shard', '1/1', '--out', eve, '--force'])
    await quietly(() => finish([eve], site, out, `${name}-eve`, {}))
  }
  const start = (i: number) => ['run', ...common, '--cases', String(cases), '--shard', `${i}/${n}`, '--out', join(parts, String(i)), '--force']
  rmSync(parts, { recursive: true, force: true })
  await killed(start(1), join(parts, '1', 'journal.jsonl'))
  const queue = Array.from({ length: n }, (_, i) => i + 1)
  const lane = async () => {
    for (let i = queue.shift(); i !== undefined; i = queue.shift()) await shard(start(i))
  }
  await Promise.all([lane(), lane()])
  return finish(shardsIn(parts), site, out, name, flags)
}

const cli = (args: readonly string[]) => {
  said(`+ npm run compat -- ${args.join(' ')}`)
  return spawn(process.execPath, [...process.execArgv, join(ROOT, 'harness', 'cli.ts'), ...args], { cwd: ROOT, stdio: ['ignore', 'ignore', 'pipe'] })
}
/** Found defects (1) and backends that cannot run here (3) are results, not failures of the night. */
function shard(args: readonly string[]): Promise<void> {
  return new Promise((done, fail) => {
    const p = cli(args)
    let last = ''
    p.stderr.on('data', d => {
      last = `${last}${d}`.slice(-2000)
    })
    p.on('error', fail)
    p.on('exit', code =>
      code === 0 || code === 1 || code === 3 ? done() : fail(new UserError(`nightly: a shard ended with ${code}: ${last.trim().split('\n').at(-1)}`)),
    )
  })
}
/** Starts a shard and kills it as soon as its journal has begun. */
function killed(args: readonly string[], journal: string): Promise<void> {
  return new Promise((done, fail) => {
    const p = cli(args)
    p.stderr.resume()
    const watch = setInterval(() => existsSync(journal) && statSync(journal).size > 0 && p.kill('SIGKILL'), 20)
    p.on('error', fail)
    p.on('exit', (_, signal) => {
      clearInterval(watch)
      said(
        signal
          ? `killed shard 1 (${signal}) with ${existsSync(journal) ? statSync(journal).size : 0} bytes of journal; it is started again`
          : 'shard 1 ended before it could be killed',
      )
      done()
    })
  })
}
/** What a step prints for people goes to stderr, so that stdout stays one document. */
async function quietly<T>(work: () => Promise<T>): Promise<T> {
  const write = process.stdout.write
  process.stdout.write = process.stderr.write.bind(process.stderr) as typeof write
  try {
    return await work()
  } finally {
    process.stdout.write = write
  }
}
