/** What a run remembers of its trials for stateful.ts: the bits of those that start a sequence, and what each process ran before them. */

import type { Host } from './hosts/host.ts'
import { gist } from './judge.ts'
import { caseOf, type Planned, parsePlanId, type Way } from './plan.ts'
import { begins, type Step } from './sequences.ts'
import type { Op, Outcome, Tensor } from './types.ts'

/** A trial of the plan that starts a sequence. */
export interface Seen {
  planned: Planned
  way: Way
  signature: string
  /** Position in what its backend ran. */
  at: number
}
export interface Witness {
  note: (host: Host, planned: Planned, way: Way, outcome: Outcome) => void
  /** The first trial of each case that starts a sequence, in the order of the plan. */
  seen: (backend: string) => Seen[]
  /** What the process of this trial had run before it, the latest last. */
  before: (backend: string, seen: Seen) => Step[]
  /** Jobs that ended their process. */
  deadly: (backend: string) => (step: Step) => boolean
}

export function witness(seed: number, ops: ReadonlyMap<string, Op>): Witness {
  /** `ran`: operation, k and way of every job, as numbers, since there are many; `began`: lengths of `ran` at which a fresh process took over. */
  const backends = new Map<string, { ran: number[]; began: number[]; starts: number; seen: Map<string, Seen>; deadly: Set<string> }>()
  const names = [...ops.keys()]
  const ways: { path: string; mode: string }[] = []
  const wayNumbers = new Map<string, number>()
  const of = (name: string) => {
    let known = backends.get(name)
    if (!known) backends.set(name, (known = { ran: [], began: [], starts: 0, seen: new Map(), deadly: new Set() }))
    return known
  }
  const key = (s: Step) => `${s.case.id} ${s.path} ${s.mode}`
  return {
    note(host, p, way, outcome) {
      if (!parsePlanId(p.case.id)) return
      const b = of(host.backend.name)
      const { starts } = host.stats()
      if (starts !== b.starts) {
        b.began.push(b.ran.length)
        b.starts = starts
      }
      const name = `${way.path} ${way.mode}`
      let n = wayNumbers.get(name)
      if (n === undefined) wayNumbers.set(name, (n = ways.push({ path: way.path, mode: way.mode }) - 1))
      if (['died', 'hung', 'device-lost', 'out-of-memory'].includes(outcome.status)) b.deadly.add(key({ case: p.case, ...way }))
      const sign = p.case.valid !== false && !way.naive && !b.seen.has(p.case.id) && begins(seed, p.op, p.k) ? signature(outcome) : null
      if (sign !== null) b.seen.set(p.case.id, { planned: p, way, signature: sign, at: b.ran.length })
      b.ran.push(names.indexOf(p.op.name), p.k, n)
    },
    seen: name =>
      [...of(name).seen.values()].sort((x, y) => x.planned.k - y.planned.k || names.indexOf(x.planned.op.name) - names.indexOf(y.planned.op.name)),
    before(name, { at }) {
      const { ran, began } = of(name)
      const first = began.findLast(start => start <= at) ?? 0
      return Array.from({ length: (at - first) / 3 }, (_, i) => {
        const [op, k, way] = ran.slice(first + 3 * i, first + 3 * i + 3) as [number, number, number]
        return { case: caseOf(seed, ops.get(names[op]!)!, k), ...ways[way]! }
      })
    },
    deadly: name => step => of(name).deadly.has(key(step)),
  }
}

/** The bits of outputs as a short text; what an outcome was instead; null where it says nothing of the trial. */
export function signature(outcome: Outcome): string | null {
  switch (outcome.status) {
    case 'outputs':
      return outcome.outputs.map(t => (t ? `${t.dtype}[${t.shape}]${bits(t)}` : '-')).join(' ')
    case 'threw':
    case 'fell-back':
    case 'died':
      return outcome.status
    case 'hung':
    case 'device-lost':
    case 'out-of-memory':
    case 'not-run':
      return null
    default:
      return outcome satisfies never
  }
}
/** Hash of all bits, in two words; −0 = +0 and NaN = NaN as for the judge (JavaScript does not keep which NaN a NaN is). */
function bits({ dtype, data }: Tensor): string {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  let [a, b] = [0x811c9dc5, 0x9e3779b9]
  const put = (w: number) => {
    a = Math.imul(a ^ w, 0x01000193)
    b = Math.imul(b ^ w ^ (a >>> 15), 0x85ebca6b)
  }
  if (data instanceof Float32Array || data instanceof Float64Array) {
    const word = new Float64Array(1)
    const halves = new Uint32Array(word.buffer)
    for (const v of data) {
      word[0] = v === 0 ? 0 : v === v ? v : Number.NaN
      put(halves[0]!)
      put(halves[1]!)
    }
  } else if (data instanceof Uint16Array) for (const w of data) put(dtype === 'float16' ? (w === 0x8000 ? 0 : (w & 0x7fff) > 0x7c00 ? 0x7e00 : w) : w)
  else for (const w of bytes) put(w)
  return `${(a >>> 0).toString(36)}.${(b >>> 0).toString(36)}`
}

/** What became of a trial that gave no outputs. */
export const fate = (o: Outcome): string => (o.status === 'threw' ? `throws: ${gist(o.message)}` : o.status === 'died' ? 'dies' : o.status)
