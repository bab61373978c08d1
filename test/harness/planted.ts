/** A tiny operation and simulated backends with planted defects: the whole way from plan to catalogue in memory. */

import type { KnownDefect } from '../../harness/catalogue.ts'
import { matcher } from '../../harness/catalogue.ts'
import { contextOf } from '../../harness/context.ts'
import { follow } from '../../harness/follow.ts'
import type { Host } from '../../harness/hosts/host.ts'
import type { Entry, Journal } from '../../harness/journal.ts'
import { data, defineOp, drawn, fill, flag, generator, int, ints, pick, type Real, sizeOf } from '../../harness/op.ts'
import { caseOf, planned } from '../../harness/plan.ts'
import type { Limits } from '../../harness/probes.ts'
import { runPlan } from '../../harness/run.ts'
import { checksum, real, realise, tensor } from '../../harness/tensor.ts'
import { type Defect, defects } from '../../harness/triage.ts'
import { type Backend, type Case, ieee32, type Op, type Tensor } from '../../harness/types.ts'

type A = { kernel_shape: number[]; strides: number[]; pads: number[]; auto_pad: string; flip: number; group: number }
const AUTO = ['NOTSET', 'SAME_UPPER', 'VALID', 'SAME_LOWER']
const fields = {
  size: ints(2, 1, 9),
  kernel: ints(2, 1, 4),
  stride: ints(2, 1, 4),
  begin: ints(2, 0, 3),
  end: ints(2, 0, 3),
  auto: int(0, 3),
  flip: flag,
  batch: int(1, 3),
  channels: int(1, 6),
  x: data('impulse', 'integers', 'normal'),
}
/** Sums over windows of an image N, C, H, W; padding adds nothing; `flip` turns the image over first. */
function sums(a: A, x: Real) {
  const [n, c, h, w] = x.shape as [number, number, number, number]
  const sizes = [h, w]
  const axis = [0, 1].map(i => {
    const [size, k, s] = [sizes[i]!, a.kernel_shape[i]!, a.strides[i]!]
    if (a.auto_pad.startsWith('SAME')) {
      const out = Math.ceil(size / s)
      const total = Math.max(0, (out - 1) * s + k - size)
      const less = Math.floor(total / 2)
      return { out, begin: a.auto_pad === 'SAME_LOWER' ? total - less : less }
    }
    const [b, e] = a.auto_pad === 'VALID' ? [0, 0] : [a.pads[i]!, a.pads[i + 2]!]
    return { out: Math.max(0, Math.floor((size + b + e - k) / s) + 1), begin: b }
  })
  const [oh, ow] = [axis[0]!.out, axis[1]!.out]
  const value = new Float64Array(n * c * oh * ow)
  let i = 0
  for (let p = 0; p < n * c; p++)
    for (let y = 0; y < oh; y++)
      for (let o = 0; o < ow; o++, i++)
        for (let ky = 0; ky < a.kernel_shape[0]!; ky++)
          for (let kx = 0; kx < a.kernel_shape[1]!; kx++) {
            const py = y * a.strides[0]! - axis[0]!.begin + ky
            const px = o * a.strides[1]! - axis[1]!.begin + kx
            if (py < 0 || px < 0 || py >= h || px >= w) continue
            value[i]! += x.data[(p * h + (a.flip ? h - 1 - py : py)) * w + px]!
          }
  return { shape: [n, c, oh, ow], value }
}
export const op: Op = defineOp<A>({
  name: 'window-sum',
  spec: ['https://example.org/window-sum'],
  operators: ['WindowSum'],
  valid: generator(fields, raw =>
    drawn<A>(
      {
        kernel_shape: raw.kernel,
        strides: raw.stride,
        auto_pad: pick(AUTO, raw.auto),
        pads: raw.auto ? [0, 0, 0, 0] : [...raw.begin, ...raw.end],
        flip: raw.flip,
        group: 1,
      },
      fill(fields.x, raw.x, [raw.batch, raw.channels, ...raw.size.map((s, i) => Math.max(s, raw.auto % 2 ? 1 : raw.kernel[i]!))]),
    ),
  ),
  expect(a, [x]) {
    const { shape, value } = sums(a, x!)
    const magnitude = sums(a, { ...x!, data: x!.data.map(Math.abs) }).value
    return [{ rule: 'dot', dtype: 'float32', shape, value, magnitude, terms: value.map(() => sizeOf(a.kernel_shape)) }]
  },
  onnx: () => ['node', 'other'].map(path => ({ path, form: { opset: 13, nodes: [] } })),
  tfjs: () => [{ declined: 'ONNX only' }],
})
export const ops: ReadonlyMap<string, Op> = new Map([[op.name, op]])

/** What a planted defect does: another output, an error, or nothing. */
export type Plant = (c: Case<A>, right: (a: A) => Tensor, path: string) => Tensor | string | null
export function host(name: string, plants: readonly Plant[]): Host {
  const backend: Backend = {
    name,
    dialect: 'onnx',
    host: 'child',
    arithmetic: ieee32,
    modes: ['all', 'off'],
    open: () => Promise.reject(new Error('simulated')),
  }
  return {
    backend,
    start: async () => ({ identity: { package: 'simulated', version: '1' } }),
    async run(jobs, _, done) {
      for (const [i, j] of jobs.entries()) {
        const inputs = j.case.inputs.map(x => (x ? realise(x) : null))
        const right = (a: A) => {
          const { shape, value } = sums(a, real(inputs[0]!))
          return tensor('float32', shape, value)
        }
        let y: Tensor | string | null = null
        for (const plant of plants) y ??= plant(j.case, right, j.path)
        y ??= right(j.case.attributes)
        done(
          i,
          typeof y === 'string' ? { status: 'threw', message: y, ms: 1 } : { status: 'outputs', outputs: [y], checksum: checksum(inputs), ms: 1 },
        )
      }
    },
    restart: async () => {},
    stats: () => ({ starts: 1, cpuMs: 0, rssBytes: 0 }),
    close: async () => {},
  }
}

export const LIMITS: Limits = { singles: 100, joint: 60, mutants: 160, rounds: 3, side: 40, check: 60, again: 1 }
/** Every n-th case from the i-th, all hosts; the journal. */
export async function journalOf(
  hosts: readonly Host[],
  cases: number,
  known: readonly KnownDefect[] = [],
  i = 0,
  n = 1,
  seed = 1,
  until = Infinity,
): Promise<Entry[]> {
  const entries: Entry[] = []
  const journal: Journal = { write: e => entries.push(structuredClone(e)), close: () => {} }
  const ks = Array.from({ length: cases }, (_, k) => k).filter(k => k % n === i)
  await runPlan({
    seed,
    sequence: s => (ks[s] === undefined ? null : planned(op, caseOf(seed, op, ks[s]!), ks[s]!)),
    length: ks.length,
    everyPath: false,
    journal,
    hosts,
    until: Infinity,
    stopped: () => false,
  })
  const belongs = matcher(known, ops)
  await follow({
    seed,
    ops,
    entries: [...entries],
    hosts,
    journal,
    until,
    stopped: () => false,
    known,
    matched: e => !!belongs(e),
    limits: LIMITS,
  })
  return entries
}
export const catalogueOf = (entries: readonly Entry[], known: readonly KnownDefect[] = []): Defect[] =>
  defects(entries, c => `replay ${c.op}`, contextOf(ops, known))
