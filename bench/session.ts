/** One benchmark from layers to bursts: pilot, plan within the budget, launches in groups that fit into memory. */

import { readFileSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import type { Op } from '../harness/types.ts'
import { ceilings } from './ceilings.ts'
import { type KernelHost, NODE_ARGS, startHost, TUNED } from './host.ts'
import { measure, type Plan, type Runner } from './measure.ts'
import { type Known, launchMs, type Pilot, pilot, planCell, type Subject, WARM_CALLS, WARM_MS } from './pilot.ts'
import type { Burst, Ceilings, Cell, Cold, Environment, Side } from './types.ts'

export interface SessionOptions {
  subjects: readonly Subject[]
  sides: readonly Side[]
  ops: ReadonlyMap<string, Op>
  launches: readonly [number, number]
  visits: number
  budgetMs: number
  seed: number
  stopped: () => boolean
  progress: (text: string) => void
  /** Stored as it comes, so that a kill loses one line. */
  store: (line: object) => void
  /** Fewest subjects that the budget may leave. */
  least?: number
}
export interface Session {
  cells: Cell[]
  /** Of each cell's contenders. */
  known: Known[][]
  bursts: Burst[]
  colds: Cold[]
  memory: { side: number; launch: number; rss: number; runtime: number | null }[]
  missing: { layer: Subject['layer']; side: string; reason: string }[]
  identities: Pilot['identities']
  ceilings: Ceilings
  environment: Environment
  launches: readonly [number, number]
  complete: boolean
}
/** Inputs and outputs that one process holds at a time, and cells of a group. */
const GROUP_BYTES = 300e6
const GROUP_CELLS = 16
/** Part of the budget that the pilot may use. */
const PILOT_SHARE = 0.35

export async function session(o: SessionOptions): Promise<Session> {
  const begun = performance.now()
  const load = loadavg()[0]!
  const steal = stealTicks()
  const left = () => o.budgetMs - (performance.now() - begun)
  o.progress('measuring the ceilings')
  let top = await ceilings()
  const least = o.least ?? 6
  const p = await pilot({ ...o, late: n => n >= least && performance.now() - begun > PILOT_SHARE * o.budgetMs })
  top.nativeGflops = p.nativeGflops
  const missing = p.missing.map(m => ({
    layer: o.subjects[m.subject]!.layer,
    side: o.sides[o.subjects[m.subject]!.contenders[m.contender]!.side]!.name,
    reason: m.reason,
  }))
  const fitted = within(o, p, left(), least)
  for (const n of fitted.dropped)
    for (const x of o.subjects[n]!.contenders)
      missing.push({ layer: o.subjects[n]!.layer, side: o.sides[x.side]!.name, reason: 'does not fit into the budget' })
  const s: Session = {
    cells: fitted.cells,
    known: fitted.known,
    bursts: [],
    colds: [],
    memory: [],
    missing,
    identities: p.identities,
    ceilings: top,
    environment: environment(load, null),
    launches: fitted.launches,
    complete: false,
  }
  o.store({ cells: s.cells, known: s.known, sides: o.sides.map(x => ({ ...x, backend: x.backend.name })), identities: s.identities, seed: o.seed })
  s.complete = !o.stopped()
  const groups = grouped(s.cells)
  for (const [g, group] of groups.entries()) {
    if (o.stopped()) {
      s.complete = false
      break
    }
    const share = (left() - 1000) / (groups.length - g)
    const until = performance.now() + Math.max(0, share)
    const done = await measure(planOf(o, s, group, until, groups.length > 1 ? `group ${g + 1} of ${groups.length}, ` : ''))
    s.complete &&= done
  }
  if (!o.stopped()) top = await ceilings(top)
  s.ceilings = top
  const stolen = stealTicks()
  s.environment = environment(load, steal === null || stolen === null ? null : stolen - steal)
  o.store({ environment: s.environment, ceilings: s.ceilings, complete: s.complete })
  return s
}

/** What fits: dear layers go first, then visits, then launches; never below `least` layers, one of each operation, three launches. */
function within(o: SessionOptions, p: Pilot, leftMs: number, least: number) {
  let [visits, launches] = [o.visits, o.launches]
  const planned = o.subjects.flatMap((subject, n) => {
    const cell = planCell(subject, p.known[n]!, visits)
    const known = p.known[n]!.filter((k): k is Known => k !== null)
    return cell ? [{ n, cell, known }] : []
  })
  const sides = new Set(planned.flatMap(c => c.cell.contenders.map(x => x.side))).size
  const total = () =>
    launches[0] *
    (planned.reduce((s, c) => s + launchMs({ ...c.cell, visits: Math.min(visits, c.cell.visits) }, c.known), 0) +
      Math.ceil(planned.length / GROUP_CELLS) * sides * p.startMs)
  const dropped: number[] = []
  while (total() > leftMs && planned.length > least) {
    const many = (op: string) => planned.filter(c => c.cell.layer.op === op).length > 1
    const [dearest] = planned.filter(c => many(c.cell.layer.op)).sort((a, b) => launchMs(b.cell, b.known) - launchMs(a.cell, a.known))
    if (!dearest) break
    planned.splice(planned.indexOf(dearest), 1)
    dropped.push(dearest.n)
  }
  while (total() > leftMs && visits > 3) visits--
  while (total() > leftMs && launches[0] > 3) launches = [launches[0] - 1, Math.max(launches[0] - 1, 3)]
  return { cells: planned.map(c => ({ ...c.cell, visits: Math.min(visits, c.cell.visits) })), known: planned.map(c => c.known), launches, dropped }
}

/** Cells that share a side go together as long as they fit. */
export function grouped(cells: readonly Cell[]): number[][] {
  const groups: { cells: number[]; bytes: number; sides: string }[] = []
  for (const [i, c] of cells.entries()) {
    const sides = String([...new Set(c.contenders.map(x => x.side))].sort((a, b) => a - b))
    const bytes = 2 * c.layer.bytes
    const group = groups.find(
      g => g.sides.split(',').some(s => sides.split(',').includes(s)) && g.cells.length < GROUP_CELLS && g.bytes + bytes <= GROUP_BYTES,
    )
    if (group) {
      group.cells.push(i)
      group.bytes += bytes
    } else groups.push({ cells: [i], bytes, sides })
  }
  return groups.map(g => g.cells)
}

function planOf(o: SessionOptions, s: Session, group: readonly number[], until: number, prefix: string): Plan {
  const cells = group.map(i => s.cells[i]!)
  return {
    cells,
    sides: o.sides.length,
    launches: s.launches,
    seed: o.seed + group[0]!,
    stopped: o.stopped,
    late: () => performance.now() > until,
    progress: text => o.progress(prefix + text),
    start: async side => runner(await startHost(o.sides[side]!), cells),
    record(e) {
      if ('burst' in e) {
        const burst = { ...e.burst, cell: group[e.burst.cell]! }
        s.bursts.push(burst)
        o.store({ burst: { ...burst, times: burst.times.map(t => Number(t.toPrecision(6))) } })
      } else if ('cold' in e) {
        const cold = { ...e.cold, cell: group[e.cold.cell]! }
        s.colds.push(cold)
        o.store({ cold })
      } else {
        s.memory.push(e.memory)
        o.store(e)
      }
    },
    failed(cell, contender, reason) {
      const { layer, contenders } = cells[cell]!
      s.missing.push({ layer, side: o.sides[contenders[contender]!.side]!.name, reason })
    },
  }
}
function runner(host: KernelHost, cells: readonly Cell[]): Runner {
  const id = (cell: number, contender: number) => `${cell}/${contender}`
  return {
    open: (cell, i) =>
      host.open({
        id: id(cell, i),
        case: cells[cell]!.layer.case,
        path: cells[cell]!.contenders[i]!.path,
        outputs: false,
        warmMs: WARM_MS,
        warmCalls: WARM_CALLS,
      }),
    burst: (cell, i, k) => host.burst(id(cell, i), k),
    memory: () => host.memory(),
    close: () => host.close(),
  }
}

function environment(before: number, steal: number | null): Environment {
  return {
    cpu: cpus()[0]?.model ?? '?',
    cores: cpus().length,
    platform: `${process.platform}-${process.arch}`,
    node: process.version,
    load: [before, loadavg()[0]!],
    steal,
    variables: TUNED,
    nodeArgs: NODE_ARGS,
  }
}
/** Ticks that the hypervisor kept from this machine. */
function stealTicks(): number | null {
  try {
    return Number(/^cpu\s+(?:\d+\s+){7}(\d+)/.exec(readFileSync('/proc/stat', 'utf8'))?.[1] ?? Number.NaN)
  } catch {
    return null
  }
}
