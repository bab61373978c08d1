/** What a run folder holds beside the page: rebuilt byte for byte, valid by its schema, read by the usual consumers; and the night's publishing. */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Ajv2020 as Ajv } from 'ajv/dist/2020.js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { difference } from '../harness/commands/diff.ts'
import { applyIssues, planIssues } from '../harness/commands/issues.ts'
import type { Defect } from '../harness/triage.ts'
import { badge } from '../reports/badge.ts'
import { gatherHistory, newsOf } from '../reports/history.ts'
import { junit } from '../reports/junit.ts'
import { type Reported, writeReports } from '../reports/write.ts'
import { synthesise } from './synthetic.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const base = mkdtempSync(join(tmpdir(), 'opcompat-files-'))
const dir = join(base, 'night')
const FILES = ['report.html', 'report.md', 'junit.xml', 'badge.json', 'badge.svg', 'summary.json', 'catalogue.json']
let reported: Reported
beforeAll(async () => {
  await synthesise(dir, { trials: 2000, defects: 20, ops: ['conv', 'max-pool', 'pad'], earlier: 3, bench: true })
  reported = await writeReports(dir)
}, 120_000)
afterAll(() => rmSync(base, { recursive: true, force: true }))
const hashes = () =>
  FILES.map(f =>
    createHash('sha256')
      .update(readFileSync(join(dir, f)))
      .digest('hex'),
  )
const json = (path: string) => JSON.parse(readFileSync(path, 'utf8'))

describe('the files of a run', () => {
  it('are the same, byte for byte, when they are built again', async () => {
    const before = hashes()
    for (const f of FILES) rmSync(join(dir, f))
    await writeReports(dir)
    expect(hashes()).toEqual(before)
  })
  it('follow their schemas', () => {
    const ajv = new Ajv({ allErrors: true, strict: false })
    for (const name of ['catalogue', 'summary', 'run', 'history', 'badge']) {
      const validate = ajv.compile(json(join(root, 'reports', 'schemas', `${name}.json`)))
      expect(validate(json(join(dir, `${name}.json`))), `${name}: ${JSON.stringify(validate.errors?.slice(0, 3))}`).toBe(true)
    }
  })
  it('hold a page without a reference to the network', () => {
    const page = readFileSync(join(dir, 'report.html'), 'utf8')
    expect(page).not.toMatch(/<(script|img|iframe|source|link)[^>]+(src|href)=["']?(https?:)?\/\//i)
    expect(page).not.toMatch(/@import|url\(["']?(https?:)?\/\//i)
    expect(page.match(/<\/script>/g)!.length).toBe(2)
  })
})

describe('junit.xml', () => {
  const count = (xml: string, tag: string) => xml.match(new RegExp(`<${tag}[ >/]`, 'g'))?.length ?? 0
  it('has one test case for every operation on every backend, and its sums are right', () => {
    const xml = readFileSync(join(dir, 'junit.xml'), 'utf8')
    expect(count(xml, 'testcase')).toBe(3 * 15)
    const [, tests, skipped] = /<testsuites [^>]*tests="(\d+)"[^>]*skipped="(\d+)"/.exec(xml)!
    expect(Number(tests)).toBe(45)
    expect(Number(skipped)).toBe(count(xml, 'skipped'))
    expect(xml).toContain('npm run compat -- replay')
    expect(xml).toMatch(/<skipped message="not run: not installed"\/>/)
  })
  it('skips known defects with their reason, fails on new ones, and stays XML whatever a runtime prints', () => {
    const known = reported.defects.map((d): Defect => ({ ...d, status: 'known', because: 'a <b> & "c" \u0000\u001b[31m ]]> \ud800' }))
    const quiet = junit({ ...reported, defects: known })
    expect(quiet).toMatch(/<skipped message="known: d-/)
    expect(count(quiet, 'failure')).toBeLessThan(count(junit(reported), 'failure'))
    expect(quiet).not.toMatch(/[\u0000-\u0008\u001b\ud800]/)
    expect(quiet).not.toContain('a <b>')
  })
})

describe('badge', () => {
  it('says what is new, and never calls an incomplete run green', () => {
    expect(badge(reported).color).toBe('orange')
    expect(badge({ ...reported, defects: [] }).color).toBe('brightgreen')
    expect(badge({ ...reported, defects: [], summary: { ...reported.summary, ended: 'killed' } })).toMatchObject({
      color: 'lightgrey',
      message: expect.stringContaining('incomplete'),
    })
  })
})

describe('history and diff', () => {
  it('tells new, regressed, gone; only what was executed counts', () => {
    expect(newsOf('0-01')).toBe('new')
    expect(newsOf('1-01')).toBe('regressed')
    expect(newsOf('0-11')).toBe('same')
    expect(newsOf('-110')).toBe('gone')
    expect(newsOf('-11-')).toBe('none')
    expect(newsOf('1')).toBe('none')
  })
  it('is taken from the neighbours of a run that are older; one that was cut off is left out', () => {
    const beside = (name: string, started: string, summary = JSON.stringify(reported.summary)) => {
      mkdirSync(join(base, name), { recursive: true })
      const run = { ...reported.run, name, started }
      writeFileSync(join(base, name, 'run.json'), JSON.stringify(run))
      writeFileSync(join(base, name, 'summary.json'), summary)
      return run
    }
    beside('later', '2026-11-03T00:00:00.000Z')
    beside('earlier', '2026-11-01T00:00:00.000Z')
    beside('cut', '2026-11-01T12:00:00.000Z', '{"cells": [')
    const run = beside('now', '2026-11-02T00:00:00.000Z')
    gatherHistory(join(base, 'now'), run, base)
    const gathered = json(join(base, 'now', 'history.json')).runs.map((r: { name: string }) => r.name)
    expect(gathered.filter((n: string) => n !== 'night')).toEqual(['earlier'])
  })
  it('leaves out what only one run executed, and what was not reached', () => {
    const side = (defects: Defect[], cells = reported.summary.cells) => ({ name: '', defects, summary: { ...reported.summary, cells } })
    const all = reported.defects
    const [first] = all
    expect(difference(side(all), side(all))).toMatchObject({ added: [], gone: [], changed: [] })
    expect(difference(side(all.slice(1)), side(all)).added.map(d => d.id)).toEqual([first!.id])
    expect(difference(side(all), side([{ ...first!, status: 'not-reached' }, ...all.slice(1)])).gone).toEqual([])
    expect(difference(side(all), side([{ ...first!, status: 'fixed' }, ...all.slice(1)])).gone.map(d => d.id)).toEqual([first!.id])
    const without = reported.summary.cells.filter(c => c.op !== first!.op)
    expect(difference(side(all), side(all.slice(1), without)).gone.map(d => d.id)).not.toContain(first!.id)
  })
})

describe('issues', () => {
  it('are opened once, brought up to date, closed when gone', async () => {
    const issues: { number: number; state: string; body: string; title: string }[] = []
    const server = createServer((q, a) => {
      let text = ''
      q.on('data', d => {
        text += d
      })
      q.on('end', () => {
        const body = text ? JSON.parse(text) : {}
        const n = Number(/issues\/(\d+)/.exec(q.url!)?.[1])
        if (q.method === 'GET') a.end(JSON.stringify(issues))
        else if (q.method === 'PATCH') a.end(JSON.stringify(Object.assign(issues[n - 1]!, body)))
        else if (q.url!.endsWith('/comments')) a.end('{}')
        else a.end(JSON.stringify(issues[issues.push({ number: issues.length + 1, state: 'open', ...body }) - 1]))
      })
    })
    await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
    try {
      const env = { GITHUB_TOKEN: 't', GITHUB_REPOSITORY: 'o/r', GITHUB_API_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
      const d = reported.defects[0]!
      const entry = { id: d.id, op: d.op, kind: d.kind, backends: d.backends }
      const plan = planIssues({ added: [entry], gone: [] }, reported.defects, dir)
      expect(plan[0]!.body).toContain(d.op)
      expect((await applyIssues(plan, env))[0]).toMatch(/^opened #1/)
      expect((await applyIssues(plan, env))[0]).toMatch(/^updated #1/)
      expect(issues).toHaveLength(1)
      const close = planIssues({ added: [], gone: [entry] }, [], dir)
      expect((await applyIssues(close, env))[0]).toMatch(/^closed #1/)
      expect(await applyIssues(close, env)).toEqual([])
      expect(issues[0]!.state).toBe('closed')
      await expect(applyIssues(plan, {})).rejects.toThrow(/GITHUB_TOKEN/)
    } finally {
      server.close()
    }
  })
})

describe('nightly finish', () => {
  const nightly = (...args: string[]) =>
    spawnSync(process.execPath, ['--import', 'tsx', join(root, 'harness', 'cli.ts'), 'nightly', ...args], { cwd: root, encoding: 'utf8' })
  it('merges, compares with the last published night, publishes, and fails only on news', { timeout: 240_000 }, async () => {
    const site = join(base, 'site')
    const night = async (name: string, started: string, defects: number) => {
      const shard = join(base, name, '1')
      await synthesise(shard, { trials: 600, defects, ops: ['conv', 'pad'] })
      writeFileSync(join(shard, 'run.json'), JSON.stringify({ ...json(join(shard, 'run.json')), started, shard: { i: 1, n: 2 } }))
      return nightly('finish', '--from', join(base, name), '--site', site, '--out', join(base, 'out'), '--name', name, '--json')
    }
    const first = await night('2026-11-24', '2026-11-24T02:00:00.000Z', 4)
    expect(first.status, first.stderr).toBe(0)
    expect(JSON.parse(first.stdout)).toMatchObject({ against: null, difference: null, missing: [2] })
    const same = await night('2026-11-25', '2026-11-25T02:00:00.000Z', 4)
    expect(same.status, same.stderr).toBe(0)
    const news = await night('2026-11-26', '2026-11-26T02:00:00.000Z', 6)
    expect(news.status, news.stderr).toBe(1)
    const result = JSON.parse(news.stdout)
    expect(result.against).toBe('2026-11-25')
    const ajv = new Ajv({ strict: false })
    expect(ajv.compile(json(join(root, 'reports', 'schemas', 'nightly.json')))(result)).toBe(true)
    expect(ajv.compile(json(join(root, 'reports', 'schemas', 'site.json')))(json(join(site, 'runs.json')))).toBe(true)
    expect(readdirSync(join(site, 'runs')).sort()).toEqual(['2026-11-24', '2026-11-25', '2026-11-26'])
    for (const f of ['index.html', 'badge.svg', 'runs/2026-11-26/junit.xml']) expect(existsSync(join(site, f)), f).toBe(true)
    expect(json(join(site, 'runs', '2026-11-26', 'history.json')).runs.map((r: { name: string }) => r.name)).toEqual(['2026-11-24', '2026-11-25'])
    expect(readdirSync(join(base, 'out', '2026-11-26-issues')).some(f => f.startsWith('open-d-'))).toBe(true)
    expect(nightly('finish').status).toBe(2)
    expect(nightly('plan', '--shards', '3', '--seed', '5', '--name', 'n').stdout).toBe('name=n\nseed=5\nshards=[1,2,3]\n')
  })
})
