/** Run folders made up for the tests of the reports: any number of trials, causes and earlier runs, without running anything. Deterministic. */
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { Entry } from '../harness/journal.ts'
import { loadOps } from '../harness/ops.ts'
import { caseOf } from '../harness/plan.ts'
import { fingerprints } from '../harness/triage.ts'
import type { Json64, Verdict } from '../harness/types.ts'
import type { History } from '../reports/history.ts'
import type { BenchCell } from '../reports/page-data.ts'
import { writeReports } from '../reports/write.ts'

export const BACKENDS = [
  'ort-cpu',
  'ort-webgpu',
  'ortweb-wasm',
  'ortweb-wasm@chromium',
  'ortweb-webgpu',
  'ortweb-jsep',
  'ortweb-webgl',
  'ortweb-webnn',
  'tfjs-cpu',
  'tfjs-cpu@chromium',
  'tfjs-wasm',
  'tfjs-wasm@chromium',
  'tfjs-webgl',
  'tfjs-webgpu',
]
export interface Wish {
  trials: number
  defects: number
  ops?: readonly string[]
  earlier?: number
  bench?: boolean
}
const letters = (n: number): string => (n < 26 ? '' : letters(Math.floor(n / 26) - 1)) + String.fromCharCode(97 + (n % 26))
const hash = (a: number, b: number) => (Math.imul(a + 1, 0x9e3779b1) ^ Math.imul(b + 7, 0x85ebca6b)) >>> 0
const right: Verdict = { kind: 'agree', rung: 'f32', worst: 0.25, ambiguous: 0 }

/** Cause j fails in some cases of its operation on the backends that its number picks: alternately refused, wrong and crashing. */
function failure(j: number): Verdict {
  const base = { rung: null, worst: null, ambiguous: 0 }
  if (j % 5 === 4) return { ...base, kind: 'crash', because: `trap: unreachable in ${letters(j)}` }
  if (j % 2) return { ...base, kind: 'rejects-valid', because: `no shader for ${letters(j)}` }
  return {
    ...base,
    kind: 'wrong',
    because: '3 of 4 elements differ beyond the bound',
    element: { output: 0, index: [0, 0, 0, 1], expected: 36, observed: 0, allowed: 0 },
    evidence: { value: 'zero', batch: 'all', channels: 'same', space: `from ${letters(j)}`, hash: `h${j}`, differing: 3, of: 4 },
  }
}
const picture = (values: readonly Json64[]) => [{ dtype: 'float32', shape: [1, 1, 2, 2], values }]

export async function synthesise(dir: string, wish: Wish): Promise<void> {
  mkdirSync(dir, { recursive: true })
  const all = await loadOps()
  const ops = (wish.ops ?? [...all.keys()].slice(0, 30)).map(n => all.get(n)!)
  const cases = Math.ceil(wish.trials / BACKENDS.length / ops.length)
  const fd = openSync(join(dir, 'journal.jsonl'), 'w')
  const lines: string[] = []
  const put = (e: Entry) => {
    lines.push(JSON.stringify(e))
    if (lines.length > 2000) writeSync(fd, `${lines.splice(0).join('\n')}\n`)
  }
  const seen = new Set<string>()
  const follow: Entry[] = []
  let serial = 0
  // smallest cases are small: of the first ones of an operation the one with the fewest elements
  const plain = ops.map(op => {
    const size = (c: Entry['case']) => c.inputs.reduce((n, x) => n + (x ? x.shape.reduce((a, b) => a * b, 1) : 0), 0)
    return Array.from({ length: 60 }, (_, k) => caseOf(1, op, k))
      .filter(c => size(c) > 0 && c.valid !== false)
      .sort((a, b) => size(a) - size(b))[0]!
  })
  for (let k = 0; k < cases; k++)
    for (const [o, op] of ops.entries()) {
      const c = caseOf(1, op, k)
      // causes are dealt to operations in turn; each is drawn again and again as k grows
      const mine = Math.ceil((wish.defects - o) / ops.length)
      const j = mine > 0 ? o + ops.length * (k % (mine + 2) < mine ? k % (mine + 2) : -1) : -1
      // a cause belongs to one runtime
      const peers = BACKENDS.filter((name, b) => j >= 0 && name.startsWith('tfjs') === (hash(j, 50) % 2 === 1) && hash(j, b) % 3 !== 0)
      const trials = BACKENDS.map((backend, b): Entry => {
        const gap = backend === 'ortweb-webgl' && o % 5 === 4
        const verdict: Verdict = gap
          ? { kind: 'gap', rung: null, worst: null, ambiguous: 0, because: 'no kernel' }
          : peers.includes(backend)
            ? failure(j)
            : hash(serial, b) % 37 === 0
              ? { ...right, kind: 'convention', because: 'the maximum of a window with NaN: NaN wins' }
              : { ...right, worst: (hash(k, b) % 100) / 100 }
        return {
          schema: 1,
          role: 'plan',
          case: c,
          backend,
          path: gap ? '' : 'direct',
          mode: 'default',
          k,
          verdict,
          runMs: 1 + (hash(o, b) % 90) / 10,
        }
      })
      serial++
      for (const e of trials) put(e)
      for (const [e, fingerprint] of fingerprints(trials)) {
        if (seen.has(fingerprint)) continue
        seen.add(fingerprint)
        const small = {
          ...plain[o]!,
          id: `c-${(hash(j, 99) % 0xffffffff).toString(16)}${letters(j)}`,
          attributes: { ...plain[o]!.attributes, cause: j },
        }
        for (const t of trials)
          if (t.path)
            follow.push({
              ...t,
              role: 'smallest',
              case: small,
              fingerprint,
              of: e.case.id,
              ...(t.backend === e.backend ? { lead: 1 } : {}),
              ...(t.verdict.kind === 'wrong' || t.verdict.kind === 'agree'
                ? { output: picture(t.verdict.kind === 'wrong' ? [20, 0, 0, 0] : [20, 36, 132, 148]) }
                : {}),
              expected: picture([20, 36, 132, 148]),
            })
      }
    }
  for (const e of follow) put(e)
  writeSync(fd, lines.length ? `${lines.join('\n')}\n` : '')
  closeSync(fd)
  const status = (name: string) => ({
    name,
    status: 'ran' as const,
    identity: { package: name.startsWith('tfjs') ? '@tensorflow/tfjs' : 'onnxruntime', version: name.startsWith('tfjs') ? '4.22.0' : '1.30.0' },
    cases: cases * ops.length,
    elapsedMs: 60_000,
    deaths: 0,
  })
  const run = {
    schema: 1,
    name: basename(dir),
    version: '1.0.0',
    seed: 1,
    cases,
    ops: ops.map(o => o.name),
    plan: 'synthetic',
    catalogue: '',
    options: {},
    shard: null,
    started: '2026-11-25T01:00:00.000Z',
    node: 'v20.0.0',
    platform: 'linux-x64',
    ended: 'clean',
    backends: [
      ...BACKENDS.map(status),
      {
        ...status('tfjs-node'),
        status: 'not-run',
        reason: 'not installed',
        enable: 'npm run setup -- tfjs-node',
        identity: {},
        cases: 0,
        elapsedMs: 0,
      },
    ],
    compares: { known: [], history: [] },
  }
  writeFileSync(join(dir, 'run.json'), JSON.stringify(run, null, 1))
  if (wish.bench) writeFileSync(join(dir, 'bench.json'), JSON.stringify({ schema: 1, cells: bench() }))
  if (wish.earlier) {
    const { defects } = await writeReports(dir)
    writeFileSync(
      join(dir, 'history.json'),
      JSON.stringify(
        history(
          wish.earlier,
          ops.map(o => o.name),
          defects,
        ),
      ),
    )
  }
}

/** Earlier nights: most causes were there; some come, some go, one package version changes. */
function history(nights: number, ops: readonly string[], defects: readonly { id: string; op: string; kind: string; backends: string[] }[]): History {
  return {
    schema: 1,
    runs: Array.from({ length: nights }, (_, n) => ({
      name: `night-${n + 1}`,
      started: new Date(Date.UTC(2026, 8, 25 + n, 1)).toISOString(),
      seed: 1,
      version: '1.0.0',
      ended: 'clean',
      plan: 'synthetic',
      backends: BACKENDS.map(name => ({
        name,
        status: 'ran',
        package: name.startsWith('tfjs') ? 'tfjs 4.22.0' : `onnxruntime 1.${n > nights / 2 ? 30 : 29}.0`,
        trials: 7000 + n,
        agree: 6400 + (hash(n, name.length) % 500),
      })),
      executed: ops.flatMap(o => BACKENDS.map(b => `${o} ${b}`)),
      defects: [
        ...defects
          .filter((_, i) => i > 2 && (i % 7 || n > nights / 3))
          .map(({ id, op, kind, backends }) => ({ id, op, kind, backends, status: 'known' })),
        { id: 'd-gone0001', op: ops[0]!, kind: 'wrong', backends: ['ort-cpu'], status: 'known' },
      ],
    })),
  }
}
function bench(): BenchCell[] {
  const layers = ['3x3 [1,64,56,56] resnet50', '1x1 [1,256,28,28] resnet50', '3x3 depthwise [1,96,112,112] mobilenet-v2']
  return layers.flatMap((layer, l) => {
    const list = BACKENDS.map((backend, b): BenchCell => {
      const floorMs = 0.4 + (hash(l, b) % 4000) / 100
      const kind = b % 9 === 5 ? 'fast-but-wrong' : b % 11 === 7 ? 'less-precise' : b % 13 === 12 ? 'not-judged' : 'right'
      return {
        op: 'conv',
        layer,
        backend,
        path: 'direct',
        mode: 'default',
        floorMs,
        medianMs: floorMs * 1.04,
        interval: [floorMs, floorMs * 1.1],
        class: kind,
        rank: null,
      }
    })
    const ranked = list.filter(c => c.class === 'right' || c.class === 'less-precise').sort((a, b) => a.floorMs - b.floorMs)
    return list.map(c => ({ ...c, rank: ranked.includes(c) ? ranked.indexOf(c) + 1 : null }))
  })
}
