/** The three forms of a repro are executed: the script in Node, the page in a browser, the text's code by eye of the reader (it is the script's). */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import type { KnownDefect } from '../../harness/catalogue.ts'
import { releases, type State, search } from '../../harness/commands/bisect.ts'
import { startBrowser } from '../../harness/hosts/browser.ts'
import { loadOps } from '../../harness/ops.ts'
import { contentId } from '../../harness/plan.ts'
import { browserOnly, htmlForm, markdownForm, nodeForm, packagesOf } from '../../harness/repro/forms.ts'
import { materialOf } from '../../harness/repro/material.ts'
import type { Case } from '../../harness/types.ts'
import { ROOT } from '../../harness/version.ts'

const ops = await loadOps()
const dir = mkdtempSync(join(ROOT, 'node_modules', '.repro-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const attributes = { kernel_shape: [1, 1], strides: [2, 2], pads: [0, 0, 0, 0], dilations: [1, 1], auto_pad: 'NOTSET', ceil_mode: 0 }
function defect(op: string, kind: string, backend: string, path: string, c: Omit<Case, 'id' | 'op'>): KnownDefect {
  const whole = { op, ...c }
  return {
    id: 'd-00000000',
    op,
    kind,
    backends: [backend],
    paths: [path],
    modes: ['all'],
    rule: { text: 'a rule & <its> text', predicate: { all: [] }, exact: false },
    case: { id: contentId(whole), ...whole },
    way: { backend, path, mode: 'all' },
    shrunk: true,
    expected: null,
    observed: null,
    element: null,
    because: '',
    rung: null,
    reach: [],
    replay: 'npm run compat -- replay d-00000000',
    links: [],
    status: 'known',
    versions: { 'onnxruntime-node 1.30.0': 'known' },
    firstSeen: { run: 'a', date: '2026-11-25' },
    lastSeen: { run: 'a', date: '2026-11-25' },
    reason: '',
  }
}
const image = { dtype: 'float32' as const, shape: [1, 2, 3, 3], recipe: { kind: 'ramp' as const, start: 1, step: 1 } }
const right = defect('average-pool', 'wrong', 'ort-cpu', 'node', { attributes: { ...attributes, count_include_pad: 0 }, inputs: [image] })
const tfjs = defect('average-pool', 'wrong', 'tfjs-cpu', 'valid', { attributes: { ...attributes, count_include_pad: 0 }, inputs: [image] })
const refused = defect('max-pool', 'accepts-invalid', 'ort-cpu', 'node', {
  attributes: { ...attributes, storage_order: 0, strides: [0, 1] },
  inputs: [image],
  valid: false,
})
const material = (d: KnownDefect) => materialOf(d, ops.get(d.op)!)
function run(name: string, script: string) {
  const path = join(dir, `${name}.mjs`)
  writeFileSync(path, script)
  return spawnSync(process.execPath, [path], { encoding: 'utf8', timeout: 60_000 })
}

describe('repro', () => {
  it('a script says whether it is reproduced: a right answer is not, for ONNX Runtime and for TF.js', async () => {
    for (const d of [right, tfjs]) {
      const m = await material(d)
      expect(m.expected, d.way.backend).not.toBeNull()
      const r = run(d.way.backend, nodeForm(m))
      expect(r.stdout, r.stderr).toContain('not reproduced')
      expect(r.status).toBe(1)
      const other = run(`${d.way.backend}-wrong`, nodeForm({ ...m, expected: m.expected!.map(e => ({ ...e, values: e.values.map(() => 99) })) }))
      expect(other.status).toBe(0)
      expect(other.stdout).toContain('99 99')
    }
  }, 120_000)
  it('the calls of TF.js are written out', async () => {
    const m = await material(tfjs)
    expect(m.calls!.lines.join('\n')).toMatch(/tf\.avgPool\(x0, \[1, ?1\], \[2, ?2\], "valid"\)/)
    expect(packagesOf(m)).toHaveLength(1)
  }, 60_000)
  it('a call that has to be refused is reproduced only when it is accepted', async () => {
    const r = run('refused', nodeForm(await material(refused)))
    expect(r.stdout).toMatch(/observed: error/)
    expect(r.status).toBe(1)
  }, 60_000)
  it('the issue text names rule, expected and versions', async () => {
    const text = markdownForm(await material(right))
    for (const part of ['a rule & <its> text', '**Expected:** y0 float32 [1,2,2,2] 1 3 7 9', 'onnxruntime-node 1.30.0 (wrong)', 'onnx__AveragePool'])
      expect(text).toContain(part)
  })
  it('the page runs in a browser, with the runtime from any address', async () => {
    const html = htmlForm(await material({ ...right, way: { ...right.way, backend: 'ortweb-wasm' } }))
    const server = createServer((q, answer) => {
      const path = new URL(q.url!, 'http://localhost').pathname
      if (path === '/') return answer.writeHead(200, { 'content-type': 'text/html' }).end(html)
      try {
        const type = path.endsWith('.wasm') ? 'application/wasm' : 'text/javascript'
        answer.writeHead(200, { 'content-type': type }).end(readFileSync(join(ROOT, 'node_modules/onnxruntime-web/dist', path)))
      } catch {
        answer.writeHead(404).end()
      }
    })
    await new Promise<void>(go => server.listen(0, '127.0.0.1', go))
    const { port } = server.address() as { port: number }
    const started = await startBrowser(process.env as Record<string, string>, [])
    if ('notRun' in started) throw new Error(started.notRun)
    try {
      const page = await started.browser.newPage()
      await page.goto(`http://127.0.0.1:${port}/?runtime=http://127.0.0.1:${port}/`)
      const result = await (await page.waitForFunction(() => (window as any).result, null, { timeout: 60_000 })).jsonValue()
      expect(result).toMatchObject({ reproduced: false, says: 'y0 float32 [1,2,2,2] 1 3 7 9 10 12 16 18' })
      expect(await page.textContent('#answer')).toBe('Not reproduced here.')
    } finally {
      await started.browser.close()
      server.close()
    }
  }, 120_000)
})

describe('bisect', () => {
  it('asks the last patch of every minor version, and finds the change past versions that cannot run', async () => {
    expect(releases(['1.2.0', '1.10.0', '1.9.1', '1.9.0', '1.2.1-dev', 'x', '1.2.1'])).toEqual(['1.2.1', '1.9.1', '1.10.0'])
    const states: State[] = ['cannot run', 'right', 'right', 'cannot run', 'right', 'fails', 'cannot run', 'fails']
    let asked = 0
    const found = await search(8, async i => {
      asked++
      return states[i]!
    })
    expect(found).toEqual({ before: 4, after: 5 })
    expect(asked).toBeLessThan(16)
    expect(await search(3, async () => 'fails')).toBeNull()
    expect(browserOnly('ortweb-webgl')).toBe(true)
  })
})
