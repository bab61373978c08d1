/** The command line as people and CI jobs use it: files and exit codes, the same journal twice, Ctrl-C, kill -9, and bad input. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const tmp = () => mkdtempSync(join(tmpdir(), 'opcompat-run-'))
const cli = ['--import', 'tsx', join(root, 'harness/cli.ts')]
const run = (...args: string[]) => spawnSync(process.execPath, [...cli, ...args], { cwd: root, encoding: 'utf8', timeout: 100_000 })
const start = (...args: string[]): ChildProcess => spawn(process.execPath, [...cli, ...args], { cwd: root, stdio: 'ignore' })
const small = ['--ops', 'max-pool,nms', '--backends', 'ort-cpu,tfjs-cpu', '--seed', '7']
const lines = (dir: string) =>
  readFileSync(join(dir, 'journal.jsonl'), 'utf8')
    .split('\n')
    .filter(Boolean)
    .map(l => JSON.parse(l))
const timeless = (v: unknown): unknown =>
  Array.isArray(v)
    ? v.map(timeless)
    : typeof v === 'object' && v !== null
      ? Object.fromEntries(
          Object.entries(v)
            .filter(([k]) => !k.endsWith('Ms'))
            .map(([k, w]) => [k, timeless(w)]),
        )
      : v
/** Waits until the run has written this many lines. */
async function written(dir: string, n: number): Promise<void> {
  for (let i = 0; i < 400; i++) {
    const path = join(dir, 'journal.jsonl')
    if (existsSync(path) && readFileSync(path, 'utf8').split('\n').length > n) return
    await new Promise(r => setTimeout(r, 100))
  }
  throw new Error(`${dir}: fewer than ${n} lines in 40 s`)
}
const ended = (p: ChildProcess) => new Promise<number | null>(resolve => p.on('exit', code => resolve(code)))

describe('a run', () => {
  it('writes its folder by the schemas, and the same journal twice', () => {
    const [a, b] = [join(tmp(), 'a'), join(tmp(), 'b')]
    for (const dir of [a, b]) expect([0, 1], run(...small, '--cases', '12', '--out', dir).stderr).toContain(run('report', dir).status === 0 ? 0 : 9)
    const ajv = new Ajv2020({ allErrors: true, strict: false })
    const check = (schema: string, value: unknown) => {
      const validate =
        ajv.getSchema(`opcompat/${schema}`) ?? ajv.compile(JSON.parse(readFileSync(join(root, 'reports/schemas', `${schema}.json`), 'utf8')))
      expect(validate(value), `${schema}: ${JSON.stringify(validate.errors?.slice(0, 3))}`).toBe(true)
    }
    const json = (name: string) => JSON.parse(readFileSync(join(a, name), 'utf8'))
    for (const name of ['run', 'summary', 'catalogue']) check(name, json(`${name}.json`))
    const entries = lines(a)
    for (const e of entries.slice(0, 60)) check('journal-entry', e)
    const unstable = new Set(
      [...entries, ...lines(b)].filter(e => e.verdict.kind === 'unstable').map(e => `${e.case.id} ${e.backend} ${e.path} ${e.mode}`),
    )
    const steady = (list: any[]) =>
      list.filter(e => !unstable.has(`${e.case.id} ${e.backend} ${e.path} ${e.mode}`)).map(e => JSON.stringify(timeless(e)))
    expect(steady(lines(b))).toEqual(steady(entries))
    const trials = entries.filter(e => e.role === 'plan' && !['gap', 'not-run'].includes(e.verdict.kind)).length
    expect(json('summary.json').backends.reduce((n: number, x: { trials: number }) => n + x.trials, 0)).toBe(trials)
    expect(readdirSync(a)).toEqual(expect.arrayContaining(['report.md', 'summary.json', 'catalogue.json']))
  })
  it('a defect that it prints is replayed from its command, and still fails', () => {
    const dir = join(tmp(), 'r')
    run(...small, '--cases', '25', '--out', dir)
    const { defects } = JSON.parse(readFileSync(join(dir, 'catalogue.json'), 'utf8')) as { defects: { replay: string; kind: string }[] }
    const d = defects.find(x => x.kind !== 'unstable')!
    expect(d, 'the runtimes under test have defects').toBeDefined()
    const args = d.replay
      .replace('npm run compat -- ', '')
      .match(/'[^']*'|\S+/g)!
      .map(w => w.replace(/^'|'$/g, ''))
    const r = run(...args)
    expect(r.status, r.stdout + r.stderr).toBe(1)
    expect(r.stdout).toMatch(new RegExp(d.kind))
  })
  it('Ctrl-C stops it, and every report is written', async () => {
    const dir = join(tmp(), 'c')
    const p = start(...small, '--budget', '60s', '--out', dir)
    const end = ended(p)
    await written(dir, 20)
    p.kill('SIGINT')
    expect(await end).toBe(130)
    expect(JSON.parse(readFileSync(join(dir, 'summary.json'), 'utf8')).ended).toBe('interrupted')
  })
  it('after kill -9 the report counts every line', async () => {
    const dir = join(tmp(), 'k')
    const p = start(...small, '--budget', '60s', '--out', dir)
    const end = ended(p)
    await written(dir, 30)
    p.kill('SIGKILL')
    await end
    expect(run('report', dir).status).toBe(0)
    const summary = JSON.parse(readFileSync(join(dir, 'summary.json'), 'utf8'))
    const whole = readFileSync(join(dir, 'journal.jsonl'), 'utf8')
      .split('\n')
      .slice(0, -1)
      .map(l => JSON.parse(l))
    expect(summary.ended).toBe('killed')
    expect(summary.backends.reduce((n: number, x: { trials: number }) => n + x.trials, 0)).toBe(
      whole.filter(e => e.role === 'plan' && !['gap', 'not-run'].includes(e.verdict.kind)).length,
    )
  })
})

describe('bad input gets one line that names it, and exit code 2', () => {
  const dir = tmp()
  const broken = join(dir, 'broken.jsonl')
  writeFileSync(broken, '{"id":"a","op":"Relu","opset":13,"attributes":{},"inputs":[]}\n{"op":"Conv"\n')
  const rows: [string, string[]][] = [
    ['convv', ['--ops', 'convv']],
    ['tfjs-wasm', ['--backends', 'tfjs-wsam']],
    ['line 2', ['--from', broken]],
    ['missing.jsonl', ['--from', 'missing.jsonl']],
    ['banana', ['--seed', 'banana']],
    ['5parsecs', ['--budget', '5parsecs']],
    ['-3', ['--cases', '-3']],
    ['9/4', ['--shard', '9/4']],
    ['nothing-like-this', ['replay', 'nothing-like-this']],
    ['--frobnicate', ['--frobnicate']],
    ['/proc/nowhere', ['--out', '/proc/nowhere']],
  ]
  for (const [word, args] of rows)
    it(args.join(' ').replace(dir, '…'), () => {
      if (word.startsWith('/proc') && process.platform !== 'linux') return
      const r = run(...args)
      expect(r.status).toBe(2)
      expect(r.stderr).toContain(word)
      expect(r.stderr).not.toMatch(/^\s+at .+:\d+:\d+\)?$/m)
    })
})
