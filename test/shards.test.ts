/** Eight shards as eight processes, one of them killed and started again, equal one run: catalogue byte for byte, cells one by one. */
import { spawn } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { shardOf } from '../harness/options.ts'
import type { Summary } from '../harness/summary.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const base = mkdtempSync(join(tmpdir(), 'opcompat-shards-'))
const at = (name: string) => join(base, name)
afterAll(() => rmSync(base, { recursive: true, force: true }))

const start = (args: readonly string[]) =>
  spawn(process.execPath, ['--import', 'tsx', join(root, 'harness', 'cli.ts'), ...args], { cwd: root, stdio: ['ignore', 'ignore', 'pipe'] })
function opcompat(args: readonly string[]): Promise<{ code: number | null; err: string }> {
  return new Promise(done => {
    const p = start(args)
    let err = ''
    p.stderr.on('data', d => {
      err += d
    })
    p.on('exit', code => done({ code, err }))
  })
}
const PLAN = ['--ops', 'max-pool,arg-max', '--backends', 'ort-cpu,tfjs-cpu', '--cases', '16', '--seed', '7']
const run = (name: string, ...more: string[]) => opcompat([...PLAN, ...more, '--out', at(name), '--force'])
const json = <T>(name: string, file: string) => JSON.parse(readFileSync(join(at(name), file), 'utf8')) as T
/** Kills a shard in the middle of its journal. */
function kill(name: string, i: number): Promise<string | null> {
  return new Promise(done => {
    const p = start([...PLAN, '--shard', `${i}/8`, '--out', at(name)])
    p.stderr.resume()
    const journal = join(at(name), 'journal.jsonl')
    const watch = setInterval(() => existsSync(journal) && statSync(journal).size > 300 && p.kill('SIGKILL'), 5)
    p.on('exit', (_, signal) => {
      clearInterval(watch)
      done(signal)
    })
  })
}

describe('shards', () => {
  it('merged equal one run, one of them killed and started again', { timeout: 900_000 }, async () => {
    await run('one')
    expect(await kill('shard-3', 3)).toBe('SIGKILL')
    cpSync(at('shard-3'), at('cut-3'), { recursive: true })
    const queue = [1, 2, 3, 4, 5, 6, 7, 8]
    const lane = async () => {
      for (let i = queue.shift(); i; i = queue.shift()) expect([0, 1]).toContain((await run(`shard-${i}`, '--shard', `${i}/8`)).code)
    }
    await Promise.all([lane(), lane()])
    const shards = Array.from({ length: 8 }, (_, i) => join(at(`shard-${i + 1}`), 'journal.jsonl'))
    expect((await opcompat(['merge', ...shards, '--out', at('merged')])).code).toBe(0)
    const bytes = (name: string) => readFileSync(join(at(name), 'catalogue.json'), 'utf8')
    expect(bytes('merged')).toBe(bytes('one'))
    expect(json<{ defects: unknown[] }>('merged', 'catalogue.json').defects.length).toBeGreaterThan(0)
    expect(json<Summary>('merged', 'summary.json').cells).toEqual(json<Summary>('one', 'summary.json').cells)
    expect((await opcompat(['diff', at('one'), at('merged')])).code).toBe(0)

    // what was cut of shard 3 given beside its second start counts once
    expect((await opcompat(['merge', at('cut-3'), ...shards, '--out', at('merged'), '--force'])).code).toBe(0)
    expect(bytes('merged')).toBe(bytes('one'))

    // the killed shard alone is honest: named as cut, its cases not run
    const others = shards.filter((_, i) => i !== 2)
    expect((await opcompat(['merge', at('cut-3'), ...others, '--out', at('cut')])).code).toBe(0)
    expect(json<{ shards: { cut: number[]; missing: number[] } }>('cut', 'run.json').shards).toMatchObject({ cut: [3], missing: [] })
    expect(json<Summary>('cut', 'summary.json').ended).not.toBe('clean')
    const trials = (name: string) => json<Summary>(name, 'summary.json').cells.reduce((n, c) => n + c.trials, 0)
    expect(trials('cut')).toBeLessThan(trials('one'))

    // a missing one is shown as missing
    expect((await opcompat(['merge', ...others, '--out', at('less')])).code).toBe(0)
    expect(json<{ shards: { missing: number[] } }>('less', 'run.json').shards.missing).toEqual([3])
    expect(readFileSync(join(at('less'), 'report.md'), 'utf8')).toContain('Missing: shard 3 of 8')
    expect(readFileSync(join(at('less'), 'report.html'), 'utf8')).toContain('"missing":[3]')

    // another plan is refused
    await opcompat(['--ops', 'arg-max', '--backends', 'tfjs-cpu', '--cases', '2', '--seed', '8', '--shard', '3/8', '--out', at('other')])
    const refused = await opcompat(['merge', at('other'), ...others, '--out', at('wrong')])
    expect(refused.code).toBe(2)
    expect(refused.err).toMatch(/another plan/)
  })

  it('are balanced: cases are dealt in turn, so that every shard has as many of every operation', () => {
    const sizes = Array.from({ length: 8 }, (_, i) => json<Summary>(`shard-${i + 1}`, 'summary.json').backends.map(b => b.cases))
    for (const s of sizes) expect(s).toEqual([4, 4])
  })
})

describe('--shard auto', () => {
  const auto = (env: Record<string, string>) => shardOf('auto', env as NodeJS.ProcessEnv)
  it('reads the variables of the engines that people have', () => {
    expect(auto({ MATRIX_INDEX: '2', MATRIX_TOTAL: '8' })).toEqual({ i: 3, n: 8 })
    expect(auto({ CI_NODE_INDEX: '3', CI_NODE_TOTAL: '8' })).toEqual({ i: 3, n: 8 })
    expect(auto({ CIRCLE_NODE_INDEX: '0', CIRCLE_NODE_TOTAL: '4' })).toEqual({ i: 1, n: 4 })
    expect(auto({ BUILDKITE_PARALLEL_JOB: '3', BUILDKITE_PARALLEL_JOB_COUNT: '4' })).toEqual({ i: 4, n: 4 })
    expect(auto({ JOB_COMPLETION_INDEX: '7', JOB_COMPLETIONS: '8' })).toEqual({ i: 8, n: 8 })
    expect(auto({ SLURM_ARRAY_TASK_ID: '14', SLURM_ARRAY_TASK_MIN: '10', SLURM_ARRAY_TASK_COUNT: '4', SLURM_ARRAY_TASK_STEP: '2' })).toEqual({
      i: 3,
      n: 4,
    })
    expect(auto({ OPCOMPAT_SHARD_INDEX: '2', OPCOMPAT_SHARD_TOTAL: '3', CI_NODE_INDEX: '1', CI_NODE_TOTAL: '9' })).toEqual({ i: 2, n: 3 })
  })
  it('says what is missing', () => {
    expect(() => auto({})).toThrow(/none of/)
    expect(() => auto({ JOB_COMPLETION_INDEX: '1' })).toThrow(/JOB_COMPLETIONS/)
    expect(() => auto({ CIRCLE_NODE_INDEX: '4', CIRCLE_NODE_TOTAL: '4' })).toThrow(/no place among 4/)
    expect(() => shardOf('9/8')).toThrow(/give i\/n/)
  })
})
