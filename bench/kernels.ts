/** `npm run bench`: kernels on real layers, on every backend, with what they are worth. */
import { join } from 'node:path'
import { UserError } from '../harness/errors.ts'
import { writeJson } from '../harness/files.ts'
import { integer } from '../harness/options.ts'
import { ink } from '../harness/terminal.ts'
import { VERSION } from '../harness/version.ts'
import {
  allocatorOf,
  budgetOf,
  FOUR,
  interruptible,
  type KernelFlags,
  launchesOf,
  layersOf,
  openOut,
  progressLine,
  sidesOf,
  subjectsOf,
  timedBackends,
} from './options.ts'
import { writePlots } from './plots.ts'
import { rowsOf } from './rows.ts'
import { type Session, session } from './session.ts'
import { table } from './table.ts'
import type { BenchFile, Side } from './types.ts'

export const DEFAULT_OPS = 'conv,max-pool,average-pool,resize,nms,conv-transpose,batch-norm,add,gemm'

export function fileOf(s: Session, sides: readonly Side[], seed: number, started: string): BenchFile {
  const { rows, ceilings } = rowsOf(s, sides)
  return {
    schema: 1,
    name: started.slice(0, 19).replace(/[:T]/g, '-'),
    started,
    version: VERSION,
    seed,
    complete: s.complete,
    launches: s.launches,
    environment: s.environment,
    identities: s.identities,
    ceilings,
    cells: rows,
    missing: s.missing.map(m => ({ op: m.layer.op, layer: m.layer.layer, side: m.side, reason: m.reason })),
  }
}

export async function kernelsCommand(flags: KernelFlags): Promise<number> {
  const { backends, literal, pages } = await timedBackends(flags.backends ?? FOUR)
  const sides = sidesOf(backends, flags.modes, allocatorOf(flags.allocator))
  const { ops, layers } = await layersOf(flags, DEFAULT_OPS, 8)
  const subjects = subjectsOf(ops, layers, sides, flags.paths)
  if (!subjects.length) throw new UserError('none of these backends can say any of these layers by that path')
  const launches = launchesOf(flags.launches, [5, 14])
  const visits = integer('--visits', flags.visits, 6, 1, 100)
  const seed = integer('--seed', flags.seed, 1, 0, 2 ** 31 - 1)
  const budgetMs = budgetOf(flags.budget, '10m')
  const out = openOut(flags.out, flags.force)
  const { say, end } = progressLine()
  const ctrl = interruptible()
  const started = new Date().toISOString()
  try {
    if (pages.length) process.stderr.write(`${pages.join(', ')}: runs in a browser and is not timed here\n`)
    const s = await session({ subjects, sides, ops, launches, visits, budgetMs, seed, stopped: ctrl.stopped, progress: say, store: out.store })
    end()
    const file = fileOf(s, sides, seed, started)
    if (flags.out) {
      writeJson(join(flags.out, 'bench.json'), file)
      writePlots(flags.out, file, s, sides)
    }
    if (flags.json) process.stdout.write(`${JSON.stringify(file)}\n`)
    else process.stdout.write(`${table(file, ink(process.stdout.isTTY === true && !process.env['NO_COLOR'])).join('\n')}\n`)
    if (ctrl.stopped()) return 130
    const silent = [...literal].filter(name => !file.cells.some(c => c.backend === name))
    for (const name of silent)
      process.stderr.write(`${name}: nothing could be timed; ${file.missing.find(m => m.side.startsWith(name))?.reason ?? 'see above'}\n`)
    return silent.length ? 3 : 0
  } finally {
    end()
    ctrl.done()
    out.close()
  }
}
