/** From bursts to the rows of bench.json: pure. */
import { copyCeiling } from './ceilings.ts'
import type { Session } from './session.ts'
import { type Difference, difference, figuresOf, median } from './statistics.ts'
import type { Burst, Ceilings, Ratio, Row, Side } from './types.ts'

export const eligible = (r: Pick<Row, 'class' | 'software'>): boolean => (r.class === 'right' || r.class === 'less-precise') && !r.software
/** The mode that takes two threads says so; everything else runs on one. */
export const threadsOf = (side: Side): number => (side.mode === 'threads' ? 2 : 1)

const ratioOf = (to: string, d: Difference): Ratio => ({ to, value: d.ratio, interval: d.interval, verdict: d.verdict, detectable: d.detectable })

const isNative = (side: Side): boolean => side.backend.name === 'ort-cpu' || side.backend.name.startsWith('tfjs-node')
const BEST = 'best that was seen of native code'
/** Rows, and the ceilings with the best that native code reached among them, a thread. */
export function rowsOf(s: Session, sides: readonly Side[]): { rows: Row[]; ceilings: Ceilings } {
  const rows = bareRows(s, sides)
  const seen = rows.flatMap(r => (r.ceiling === BEST ? [r.gflops! / r.threads] : []))
  const nativeGflops = seen.length ? Math.max(s.ceilings.nativeGflops ?? 0, ...seen) : s.ceilings.nativeGflops
  for (const r of rows) if (r.ceiling === BEST) r.share = r.gflops! / (nativeGflops! * r.threads)
  return { rows, ceilings: { ...s.ceilings, nativeGflops } }
}
function bareRows(s: Session, sides: readonly Side[]): Row[] {
  const by = new Map<string, Burst[]>()
  for (const b of s.bursts) {
    const key = `${b.cell} ${b.contender}`
    const known = by.get(key)
    if (known) known.push(b)
    else by.set(key, [b])
  }
  return s.cells.flatMap((cell, c) => {
    const list = cell.contenders.flatMap((x, i) => {
      const bursts = by.get(`${c} ${i}`)
      return bursts ? [{ i, x, bursts, row: rowOf(s, sides, c, i, bursts) }] : []
    })
    const first = list[0]
    for (const me of list) {
      if (first && me !== first) me.row.ratio = ratioOf(first.row.side, difference(me.bursts, first.bursts))
      if (!eligible(me.row)) continue
      me.row.rank = 1 + list.filter(o => o !== me && eligible(o.row) && difference(o.bursts, me.bursts).verdict === 'faster').length
    }
    return list.map(e => e.row)
  })
}

function rowOf(s: Session, sides: readonly Side[], c: number, i: number, bursts: Burst[]): Row {
  const cell = s.cells[c]!
  const { layer } = cell
  const x = cell.contenders[i]!
  const side = sides[x.side]!
  const known = s.known[c]![i]!
  const figures = figuresOf(bursts)
  const calls = bursts.reduce((n, b) => n + b.times.length, 0)
  const sum = (pick: (b: Burst) => number) => bursts.reduce((n, b) => n + pick(b), 0)
  const bytes = layer.bytes + known.outputBytes
  const gflops = known.flops ? known.flops / figures.floorMs / 1e6 : null
  const gbs = bytes / figures.floorMs / 1e6
  const software = s.identities[side.name]?.['software'] === 'yes'
  const cold = s.colds.filter(k => k.cell === c && k.contender === i)
  const memory = s.memory.filter(m => m.side === x.side)
  const most = (pick: (m: (typeof memory)[number]) => number | null) => {
    const values = memory.flatMap(m => pick(m) ?? [])
    return values.length ? Math.max(...values) / 2 ** 20 : null
  }
  return {
    op: layer.op,
    layer: layer.layer,
    backend: side.backend.name,
    path: x.path,
    mode: side.mode,
    ...figures,
    class: known.judged.class,
    rank: null,
    ...(known.judged.because ? { because: known.judged.because } : {}),
    source: layer.source,
    side: side.name,
    threads: threadsOf(side),
    allocator: side.allocator,
    software,
    cpuMs: sum(b => b.cpuMs) / calls,
    createMs: cold.length ? median(cold.map(k => k.createMs)) : known.createMs,
    firstMs: cold.length ? median(cold.map(k => k.firstMs)) : known.firstMs,
    faults: sum(b => b.faults) / calls,
    switches: sum(b => b.switches) / calls,
    gflops,
    gbs,
    flops: known.flops,
    bytes,
    ...shareOf(s, side, software, gflops, gbs, bytes),
    rssMb: most(m => m.rss || null),
    runtimeMb: most(m => m.runtime),
    ratio: null,
  }
}
/** Share of what this machine can do. A GPU's ceiling is not measured, and threads multiply the ceiling of one. */
function shareOf(s: Session, side: Side, software: boolean, gflops: number | null, gbs: number, bytes: number): Pick<Row, 'share' | 'ceiling'> {
  if (software || /gpu|cuda|webgl/.test(side.backend.name)) return { share: null, ceiling: null }
  if (gflops === null) {
    const c = copyCeiling(s.ceilings, bytes)
    return { share: gbs / c.gbs, ceiling: `copy of ${c.mb} MB` }
  }
  if (isNative(side)) return { share: null, ceiling: BEST }
  return { share: gflops / s.ceilings.wasmGflops, ceiling: 'WASM SIMD multiply-add' }
}
