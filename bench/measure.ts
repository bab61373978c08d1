/**
 * Launches × rounds × visits. A launch starts every side in a fresh process; a round takes every cell once in random order; a visit takes all contenders of
 * a cell `repeats` times in random order, so that drift and neighbours hit all of them alike. Who runs a burst is handed in: tests hand in simulated ones.
 */
import { random } from '../harness/tensor.ts'
import { difference, WANTED } from './statistics.ts'
import type { Burst, Cell, Cold } from './types.ts'

export type Measured = Pick<Burst, 'times' | 'cpuMs' | 'switches' | 'faults'>
/** One started side. */
export interface Runner {
  /** Creates the kernel, runs it for the first time and warms it up. */
  open(cell: number, contender: number): Promise<{ createMs: number; firstMs: number }>
  burst(cell: number, contender: number, k: number): Promise<Measured>
  memory(): Promise<{ rss: number; runtime: number | null }>
  close(): Promise<void>
}
export interface Plan {
  cells: readonly Cell[]
  sides: number
  launches: readonly [min: number, max: number]
  seed: number
  start: (side: number, launch: number) => Promise<Runner>
  stopped: () => boolean
  /** Time is over: no launch beyond the third is started. */
  late: () => boolean
  record: (event: { burst: Burst } | { cold: Cold } | { memory: { side: number; launch: number; rss: number; runtime: number | null } }) => void
  failed: (cell: number, contender: number, reason: string) => void
  progress?: (text: string) => void
}
export function shuffled<T>(values: readonly T[], next: () => number): T[] {
  const out = [...values]
  for (let i = out.length - 1; i > 0; i--) {
    const j = next() % (i + 1)
    ;[out[i], out[j]] = [out[j]!, out[i]!]
  }
  return out
}
/** Contenders of one cell are settled when each is known well enough against the first. */
export function settled(bursts: readonly Burst[], contenders: number): boolean {
  const of = (c: number) => bursts.filter(b => b.contender === c)
  const first = of(0)
  for (let c = 1; c < contenders; c++) if (!(difference(of(c), first).half <= WANTED)) return false
  return true
}

const LEAST = 3
/** Returns whether every launch that was wanted has been made. */
export async function measure(plan: Plan): Promise<boolean> {
  const next = random(plan.seed)
  const out = new Map<number, Set<number>>(plan.cells.map((_, i) => [i, new Set()]))
  const seen = plan.cells.map((): Burst[] => [])
  let live = plan.cells.map((_, i) => i)
  const give = (cell: number, contender: number, error: unknown) => {
    if (out.get(cell)!.has(contender)) return
    out.get(cell)!.add(contender)
    plan.failed(cell, contender, (error as Error)?.message ?? String(error))
  }
  for (let launch = 0; launch < plan.launches[1] && live.length; launch++) {
    if (plan.stopped() || (launch >= Math.min(LEAST, plan.launches[0]) && plan.late())) return false
    const runners = new Map<number, Runner>()
    try {
      const used = [...new Set(live.flatMap(c => plan.cells[c]!.contenders.map(x => x.side)))]
      for (const side of shuffled(used, next)) runners.set(side, await plan.start(side, launch))
      for (const cell of shuffled(live, next))
        for (const [i, x] of shuffled([...plan.cells[cell]!.contenders.entries()], next)) {
          if (out.get(cell)!.has(i)) continue
          if (plan.stopped()) return false
          plan.progress?.(`launch ${launch + 1}: opening ${plan.cells[cell]!.layer.op} ${plan.cells[cell]!.layer.layer}`)
          try {
            plan.record({ cold: { cell, contender: i, launch, ...(await runners.get(x.side)!.open(cell, i)) } })
          } catch (error) {
            give(cell, i, error)
          }
        }
      await rounds(launch, runners)
      for (const [side, r] of runners) plan.record({ memory: { side, launch, ...(await r.memory().catch(() => ({ rss: 0, runtime: null }))) } })
    } finally {
      await Promise.all([...runners.values()].map(r => r.close()))
    }
    if (plan.stopped()) return false
    if (launch + 1 >= plan.launches[0]) live = live.filter(c => !settled(seen[c]!, plan.cells[c]!.contenders.length))
  }
  return true

  async function rounds(launch: number, runners: ReadonlyMap<number, Runner>): Promise<void> {
    const most = Math.max(0, ...live.map(c => plan.cells[c]!.visits))
    for (let round = 0; round < most; round++) {
      for (const cell of shuffled(
        live.filter(c => plan.cells[c]!.visits > round),
        next,
      )) {
        const { contenders, repeats, k, layer } = plan.cells[cell]!
        plan.progress?.(`launch ${launch + 1}, round ${round + 1} of ${most}: ${layer.op} ${layer.layer}`)
        let position = 0
        for (let r = 0; r < repeats; r++)
          for (const [i, x] of shuffled([...contenders.entries()], next)) {
            if (plan.stopped()) return
            if (out.get(cell)!.has(i)) continue
            try {
              const burst: Burst = { cell, contender: i, launch, round, position: position++, ...(await runners.get(x.side)!.burst(cell, i, k)) }
              seen[cell]!.push(burst)
              plan.record({ burst })
            } catch (error) {
              give(cell, i, error)
            }
          }
      }
    }
  }
}
