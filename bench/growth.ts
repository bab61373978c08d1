/** `npm run bench -- growth`: time and memory against trials, tensor size and journal length, each with the exponent of its curve (1 = linear). */

import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { fileError } from '../harness/errors.ts'
import { makeFolder, writeJson } from '../harness/files.ts'
import { reference } from '../harness/judge.ts'
import { loadOps } from '../harness/ops.ts'
import { integer } from '../harness/options.ts'
import type { Case } from '../harness/types.ts'
import { ROOT } from '../harness/version.ts'
import { curves } from './growth-plot.ts'
import { time } from './table.ts'

export interface Point {
  x: number
  /** CPU time of the process itself (its hosts apart): a busy neighbour does not move it. */
  ms: number
  wallMs?: number
  /** Largest resident memory of the process that was measured, MB; null where it is this one's. */
  rssMb: number | null
  /** Bytes of the journal. */
  bytes?: number
}
export interface Curve {
  what: string
  x: string
  points: Point[]
  /** Slope of log time over log size, from the upper half of the points: what grows, without the start. */
  exponent: number
}
/** Slope of the upper half by least squares on logarithms. */
export function exponentOf(points: readonly { x: number; ms: number }[]): number {
  const upper = points.slice(Math.max(0, Math.min(points.length - 2, Math.floor(points.length / 2) - 1)))
  const [xs, ys] = [upper.map(p => Math.log(p.x)), upper.map(p => Math.log(p.ms))]
  const mid = (v: number[]) => v.reduce((a, b) => a + b, 0) / v.length
  const [mx, my] = [mid(xs), mid(ys)]
  return xs.reduce((s, x, i) => s + (x - mx) * (ys[i]! - my), 0) / xs.reduce((s, x) => s + (x - mx) ** 2, 0)
}
const curve = (what: string, x: string, points: Point[]): Curve => ({ what, x, points, exponent: exponentOf(points) })

const CLI = fileURLToPath(new URL('../harness/cli.ts', import.meta.url))
const TSX = join(ROOT, 'node_modules', 'tsx', 'dist', 'cli.mjs')
/** Printed by every process of the product when it ends; hosts are killed and say nothing. */
const TELL = `import { writeSync } from 'node:fs'
process.on('exit', () => {
  const u = process.resourceUsage()
  writeSync(2, '\\ncost ' + (u.userCPUTime + u.systemCPUTime) / 1000 + ' ' + u.maxRSS + '\\n')
})`
/** Runs the product: CPU time and largest memory of its own processes, and wall time. */
function product(args: readonly string[]): { ms: number; wallMs: number; rssMb: number } {
  const start = performance.now()
  const r = spawnSync(process.execPath, [TSX, CLI, ...args], {
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
    env: { ...process.env, NODE_OPTIONS: `--import "data:text/javascript,${encodeURIComponent(TELL)}"` },
  })
  const wallMs = performance.now() - start
  if (r.status !== 0 && r.status !== 1) throw new Error(`compat ${args.join(' ')} ended with ${r.status}: ${r.stderr.slice(-300)}`)
  const all = [...r.stderr.matchAll(/^cost ([\d.]+) (\d+)$/gm)].map(m => [Number(m[1]), Number(m[2])] as const)
  return { ms: all.reduce((s, [cpu]) => s + cpu, 0), wallMs, rssMb: Math.max(0, ...all.map(m => m[1])) / 1024 }
}

export async function growthCommand(flags: { most?: string; json?: boolean; out?: string }): Promise<number> {
  const most = integer('--most', flags.most, 8000, 500, 10_000_000)
  const dir = mkdtempSync(join(tmpdir(), 'opcompat-growth-'))
  const say = (t: string) => process.stderr.write(`${t}\n`)
  try {
    const list = [trialsCurve(most, dir, say), journalCurve(say), ...(await sizeCurves(say)), backendsCurve(dir, say)].flat()
    const result = { schema: 1, curves: list }
    if (flags.out) {
      makeFolder(flags.out)
      writeJson(join(flags.out, 'growth.json'), result)
      try {
        writeFileSync(join(flags.out, 'growth.svg'), curves(list))
      } catch (error) {
        throw fileError('cannot write', flags.out, error)
      }
    }
    if (flags.json) process.stdout.write(`${JSON.stringify(result)}\n`)
    else
      for (const c of list) {
        process.stdout.write(`${c.what}: exponent ${c.exponent.toFixed(2)}\n`)
        for (const p of c.points)
          process.stdout.write(
            `  ${String(p.x).padStart(9)} ${c.x.padEnd(16)} CPU ${time(p.ms).padStart(8)}${p.wallMs === undefined ? '' : `  wall ${time(p.wallMs)}`}${p.rssMb === null ? '' : `  ${p.rssMb.toFixed(0)} MB`}${p.bytes ? `  journal ${(p.bytes / 1e6).toFixed(2)} MB` : ''}\n`,
          )
      }
    return 0
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

const runs: { trials: number; dir: string }[] = []
const OPS = 'max-pool,average-pool,concat,transpose'
function trialsCurve(most: number, dir: string, say: (t: string) => void): Curve {
  const points: Point[] = []
  for (let n = Math.max(50, Math.round(most / 64)); n <= most; n *= 4) {
    say(`run of ${n} cases an operation`)
    const out = join(dir, `run-${n}`)
    const cost = product(['run', '--ops', OPS, '--backends', 'ort-cpu', '--cases', String(Math.round(n / 4)), '--out', out])
    const journal = join(out, 'journal.jsonl')
    const trials = lines(journal)
    runs.push({ trials, dir: out })
    points.push({ x: trials, ...cost, bytes: statSync(journal).size })
  }
  return curve('a run over one backend', 'journal lines', points)
}
function lines(path: string): number {
  const text = readFileSync(path)
  let n = 0
  for (const b of text) if (b === 10) n++
  return n
}
/** The same journals read again: triage, summary and pages alone. */
function journalCurve(say: (t: string) => void): Curve {
  return curve(
    'report from a journal',
    'journal lines',
    runs.map(r => {
      say(`report of ${r.trials} lines`)
      return { x: r.trials, ...product(['report', r.dir]) }
    }),
  )
}
function backendsCurve(dir: string, say: (t: string) => void): Curve {
  const names = ['ort-cpu', 'ortweb-wasm', 'tfjs-cpu', 'tfjs-wasm']
  const points = names.map((_, i) => {
    const some = names.slice(0, i + 1).join(',')
    say(`run over ${some}`)
    return { x: i + 1, ...product(['run', '--ops', OPS, '--backends', some, '--cases', '30', '--out', join(dir, `backends-${i}`)]) }
  })
  return curve('a run of 120 cases', 'backends', points)
}
const cpuMs = (): number => {
  const u = process.cpuUsage()
  return (u.user + u.system) / 1000
}
const specOf = (shape: readonly number[], seed: number) => ({ dtype: 'float32' as const, shape, recipe: { kind: 'normal' as const, seed, scale: 1 } })
/** References in this process: time of the float64 definition against the number of output elements. */
async function sizeCurves(say: (t: string) => void): Promise<Curve[]> {
  const ops = await loadOps()
  const window = { kernel_shape: [3, 3], strides: [1, 1], dilations: [1, 1], pads: [1, 1, 1, 1], auto_pad: 'NOTSET' }
  const kinds: { op: string; build: (size: number) => Omit<Case, 'id' | 'op'> }[] = [
    { op: 'conv', build: s => ({ attributes: { ...window, group: 1 }, inputs: [specOf([1, 16, s, s], 1), specOf([16, 16, 3, 3], 2), null] }) },
    { op: 'max-pool', build: s => ({ attributes: { ...window, ceil_mode: 0, storage_order: 0 }, inputs: [specOf([1, 16, s, s], 1)] }) },
    {
      op: 'resize',
      build: s => ({
        attributes: { mode: 'linear', coordinate_transformation_mode: 'half_pixel', sizes: [1, 16, s, s] },
        inputs: [specOf([1, 16, 32, 32], 1)],
      }),
    },
  ]
  return kinds.map(({ op, build }) => {
    say(`reference of ${op}`)
    const points = [16, 32, 64, 128].map(s => {
      let best = Infinity
      for (let i = 0; i < 6; i++) {
        const start = cpuMs()
        reference(ops.get(op)!, { id: 'b-growth', op, ...build(s) })
        best = Math.min(best, cpuMs() - start)
      }
      return { x: 16 * s * s, ms: best, rssMb: null }
    })
    return curve(`reference of ${op}`, 'output elements', points)
  })
}
