/**
 * Before the first launch: every kernel once, in processes of their own. Tells how long a call takes (which fixes k, repeats and visits for all sides alike),
 * whether the result is right, and what cannot be timed at all, with the reason.
 */
import type { Op, Opened } from '../harness/types.ts'
import { type KernelHost, startHost } from './host.ts'
import { type Judged, judgeOf } from './judge.ts'
import { flopsOf } from './layers.ts'
import type { BenchLayer, Cell, Contender, Side } from './types.ts'

export interface Subject {
  layer: BenchLayer
  contenders: readonly Contender[]
}
export interface Known {
  callMs: number
  createMs: number
  firstMs: number
  judged: Judged
  outputBytes: number
  flops: number
}
export interface Missing {
  subject: number
  contender: number
  reason: string
}
export interface Pilot {
  /** known[subject][contender]; null: it cannot be timed. */
  known: (Known | null)[][]
  missing: Missing[]
  identities: Record<string, Opened['identity']>
  nativeGflops: number | null
  /** Milliseconds that a start takes, on average. */
  startMs: number
}
/** Longest call that is timed. */
const LONGEST_MS = 1500
/** Twins (the same thing with another delay) need one look. */
const keyOf = (s: Side): string => [s.backend.name, s.mode, s.allocator, s.folder ?? ''].join(' ')

export interface PilotOptions {
  subjects: readonly Subject[]
  sides: readonly Side[]
  ops: ReadonlyMap<string, Op>
  stopped: () => boolean
  /** The pilot ends here; what it has not seen is left out. */
  late: (seen: number) => boolean
  progress: (text: string) => void
}
export async function pilot(o: PilotOptions): Promise<Pilot> {
  const hosts = new Map<string, KernelHost>()
  const closed = new Map<string, string>()
  const rates = new Map<string, number>()
  const result: Pilot = { known: o.subjects.map(s => s.contenders.map(() => null)), missing: [], identities: {}, nativeGflops: null, startMs: 1000 }
  const starts: number[] = []
  const hostOf = async (side: Side): Promise<KernelHost> => {
    const key = keyOf(side)
    const why = closed.get(key)
    if (why) throw new Error(why)
    let host = hosts.get(key)
    if (!host) {
      const begun = performance.now()
      try {
        hosts.set(key, (host = await startHost(side)))
      } catch (error) {
        closed.set(key, (error as Error).message)
        throw error
      }
      starts.push(performance.now() - begun)
      result.identities[side.name] = host.identity
    }
    return host
  }
  const look = async (layer: BenchLayer, x: Contender, judged: ReturnType<typeof judgeOf>): Promise<Known> => {
    const side = o.sides[x.side]!
    const key = keyOf(side)
    const rate = rates.get(key)
    if (rate && layer.flops / rate > LONGEST_MS) throw new Error(`a call would take about ${(layer.flops / rate / 1000).toFixed(1)} s`)
    const host = await hostOf(side)
    try {
      const w = await host.open({ id: 'pilot', case: layer.case, path: x.path, outputs: true, warmMs: 20, warmCalls: 2 })
      await host.drop('pilot')
      if (w.callMs > LONGEST_MS) throw new Error(`a call takes ${(w.callMs / 1000).toFixed(1)} s`)
      if (w.callMs > 1 && layer.flops) rates.set(key, Math.max(rates.get(key) ?? 0, layer.flops / w.callMs))
      const verdict = judged(side.backend, w.outputs ?? [], w.checksum)
      const flops = flopsOf(layer.case, w.outputs?.[0]?.shape)
      return { callMs: w.callMs, createMs: w.createMs, firstMs: w.firstMs, judged: verdict, outputBytes: w.outputBytes, flops }
    } catch (error) {
      const { message } = error as Error
      // after a death or a trap the process is not to be trusted
      if (/^the process ended|^no answer/.test(message) || side.backend.trap?.test(message)) {
        await host.close()
        hosts.delete(key)
      }
      throw error
    }
  }
  try {
    for (const [n, { layer, contenders }] of o.subjects.entries()) {
      if (o.stopped()) break
      if (o.late(n)) {
        for (const i of contenders.keys()) result.missing.push({ subject: n, contender: i, reason: 'the budget was used up' })
        continue
      }
      const judged = judgeOf(o.ops.get(layer.op)!, layer)
      const twins = new Map<string, Known | Error>()
      for (const [i, x] of contenders.entries()) {
        const key = `${keyOf(o.sides[x.side]!)} ${x.path}`
        o.progress(`looking at ${layer.op} ${layer.layer} on ${o.sides[x.side]!.name}`)
        let seen = twins.get(key)
        if (!seen) twins.set(key, (seen = await look(layer, x, judged).catch(error => error as Error)))
        if (seen instanceof Error) result.missing.push({ subject: n, contender: i, reason: seen.message.split('\n')[0]!.slice(0, 240) })
        else result.known[n]![i] = seen
      }
    }
    const native = o.sides.find(s => s.backend.name === 'ort-cpu' && s.mode !== 'threads')
    if (native && !o.stopped()) result.nativeGflops = await nativePeak(await hostOf(native)).catch(() => null)
  } finally {
    await Promise.all([...hosts.values()].map(h => h.close()))
  }
  if (starts.length) result.startMs = starts.reduce((a, b) => a + b) / starts.length
  return result
}
/** Best square product of ONNX Runtime on one thread. */
async function nativePeak(host: KernelHost): Promise<number> {
  let top = 0
  for (const n of [384, 768]) {
    const input = { dtype: 'float32' as const, shape: [n, n], recipe: { kind: 'uniform' as const, seed: n, low: 0, high: 1 } }
    const c = { id: 'b-ceiling', op: 'matmul', attributes: {}, inputs: [input, input] }
    const { callMs } = await host.open({ id: 'ceiling', case: c, path: 'node', outputs: false, warmMs: 150, warmCalls: 3 })
    await host.drop('ceiling')
    top = Math.max(top, (2 * n ** 3) / callMs / 1e6)
  }
  return top
}

// ── From call times to a plan ───────────────────────────────────────────────────────────────────────────────────────

export const BURST_MS = 2
const SLOW_BURST_MS = 50
const VISIT_MS = 600
const IPC_MS = 0.4
export const WARM_MS = 250
export const WARM_CALLS = 3

/** k from the fastest contender, so that a burst takes some 2 ms, unless the slowest would then take too long; the same for all, since a floor falls with k. */
export function planCell(subject: Subject, known: readonly (Known | null)[], visits: number): Cell | null {
  const kept = subject.contenders.flatMap((x, i) => (known[i] ? [{ x, k: known[i] }] : []))
  if (!kept.length) return null
  const calls = kept.map(c => Math.max(1e-3, c.k.callMs))
  const k = Math.max(1, Math.min(100, Math.round(BURST_MS / Math.min(...calls)), Math.ceil(SLOW_BURST_MS / Math.max(...calls))))
  const visitOf = (repeats: number) => repeats * calls.reduce((s, c) => s + (k + 1) * c + IPC_MS, 0)
  const repeats = visitOf(4) <= VISIT_MS ? 4 : visitOf(2) <= VISIT_MS ? 2 : 1
  const flops = Math.max(...kept.map(c => c.k.flops))
  return {
    layer: { ...subject.layer, flops },
    contenders: kept.map(c => c.x),
    k,
    repeats,
    visits: visitOf(repeats) > 4 * VISIT_MS ? Math.min(3, visits) : visits,
  }
}
/** Milliseconds of one launch of a cell: first run, warm-up and visits of all its contenders. */
export function launchMs(cell: Cell, known: readonly Known[]): number {
  const visit = cell.repeats * known.reduce((s, c) => s + (cell.k + 1) * c.callMs + IPC_MS, 0)
  // inputs are rebuilt from their recipes, some 60 ns a byte
  const opening = known.reduce((s, c) => s + c.createMs + c.firstMs + Math.max(WARM_MS, WARM_CALLS * c.callMs) + 6e-5 * cell.layer.bytes, 0)
  return opening + cell.visits * visit
}
