/** Interleaved pairs: `ab` decides between two sides, `aa` counts how often that decision is wrong on this machine. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { loadBackends } from '../harness/backends.ts'
import { nearest, UserError } from '../harness/errors.ts'
import { integer } from '../harness/options.ts'
import type { Backend } from '../harness/types.ts'
import { pathsOf } from './layers.ts'
import {
  allocatorOf,
  budgetOf,
  FOUR,
  interruptible,
  type KernelFlags,
  launchesOf,
  layersOf,
  openOut,
  percentOf,
  progressLine,
  timedBackends,
} from './options.ts'
import type { Subject } from './pilot.ts'
import { type Session, session } from './session.ts'
import { binomialLimits, type Difference, difference } from './statistics.ts'
import { ratioText } from './table.ts'
import { ALLOCATORS, type Allocator, type Side } from './types.ts'

export interface PairFlags extends KernelFlags {
  delay?: string
  cells?: string
  failOn?: string
}
/** Difference of two contenders of a cell; null where one has no bursts. */
export function between(s: Pick<Session, 'bursts'>, cell: number, a: number, b: number): Difference | null {
  const of = (i: number) => s.bursts.filter(x => x.cell === cell && x.contender === i)
  const [x, y] = [of(a), of(b)]
  return x.length && y.length ? difference(x, y) : null
}
async function run(
  flags: PairFlags,
  subjects: readonly Subject[],
  sides: readonly Side[],
  ops: Parameters<typeof session>[0]['ops'],
  budget: string,
  least: number,
) {
  const { say, end } = progressLine()
  const ctrl = interruptible()
  const out = openOut(flags.out, flags.force)
  try {
    const s = await session({
      subjects,
      sides,
      ops,
      launches: launchesOf(flags.launches, [5, 14]),
      visits: integer('--visits', flags.visits, 6, 1, 100),
      budgetMs: budgetOf(flags.budget, budget),
      seed: integer('--seed', flags.seed, 1, 0, 2 ** 31 - 1),
      stopped: ctrl.stopped,
      progress: say,
      store: out.store,
      least,
    })
    return { s, stopped: ctrl.stopped() }
  } finally {
    end()
    ctrl.done()
    out.close()
  }
}

// ── aa ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

const AA_OPS = 'conv,max-pool,average-pool,resize,batch-norm,add,relu,global-average-pool,transpose'
export async function aaCommand(flags: PairFlags): Promise<number> {
  const delay = flags.delay === undefined ? null : percentOf('--delay', flags.delay)
  const wanted = integer('--cells', flags.cells, 44, 1, 1000)
  const { backends } = await timedBackends(flags.backends ?? FOUR)
  const allocator = allocatorOf(flags.allocator)
  const perOp = Math.ceil(wanted / backends.length / AA_OPS.split(',').length) + 3
  const { ops, layers } = await layersOf(flags, AA_OPS, perOp)
  const sides: Side[] = backends.flatMap(backend => {
    const side = (name: string, more: Partial<Side> = {}): Side => ({
      name: `${backend.name} ${name}`,
      backend,
      mode: backend.modes[0]!,
      allocator,
      ...more,
    })
    return [side('a'), side('b'), ...(delay === null ? [] : [side('delayed', { delay })])]
  })
  const each = delay === null ? 2 : 3
  // dear layers cost time and say no more about the method
  const cheap = layers.filter(l => l.flops < 6e7 && l.bytes < 4e6)
  const subjects: Subject[] = []
  for (const layer of cheap)
    for (const [b, backend] of backends.entries()) {
      if (subjects.length >= wanted) break
      // as plain JavaScript even these are long calls
      if (backend.name.startsWith('tfjs-cpu') && (layer.flops > 4e6 || layer.bytes > 1.5e6)) continue
      const [path] = pathsOf(ops.get(layer.op)!, layer, backend.dialect)
      if (path) subjects.push({ layer, contenders: Array.from({ length: each }, (_, i) => ({ side: b * each + i, path })) })
    }
  if (!subjects.length) throw new UserError('no layer is left: give --ops and --layers that these backends can run in a few milliseconds')
  // cells of one backend stand together, so that its processes need not be started for every group
  subjects.sort((a, b) => a.contenders[0]!.side - b.contenders[0]!.side)
  const { s, stopped } = await run(flags, subjects, sides, ops, '17m', subjects.length)
  const rows = s.cells.map((cell, i) => ({
    cell: `${sides[cell.contenders[0]!.side]!.backend.name} ${cell.layer.op} ${cell.layer.layer}`,
    same: cell.contenders.length > 1 ? between(s, i, 1, 0) : null,
    late: cell.contenders.length > 2 ? between(s, i, 2, 0) : null,
  }))
  const pairs = rows.filter(r => r.same)
  const late = rows.filter(r => r.late)
  const called = (d: Difference | null) => d?.verdict === 'faster' || d?.verdict === 'slower'
  const result = {
    schema: 1,
    cells: pairs.length,
    different: pairs.filter(r => called(r.same)).length,
    delayed: late.length,
    found: late.filter(r => r.late!.verdict === 'slower').length,
    limits: {
      different: binomialLimits(pairs.filter(r => called(r.same)).length, pairs.length),
      found: binomialLimits(late.filter(r => r.late!.verdict === 'slower').length, late.length),
    },
    delay: delay ?? 0,
    complete: s.complete,
    load: s.environment.load,
    rows: rows.map(r => ({ cell: r.cell, same: r.same, late: r.late })),
  }
  if (flags.json) process.stdout.write(`${JSON.stringify(result)}\n`)
  else {
    for (const r of rows)
      process.stdout.write(
        `${r.cell.slice(0, 60).padEnd(60)}  identical ${r.same ? said(r.same) : '–'}${r.late ? `   delayed ${said(r.late)}` : ''}\n`,
      )
    const between_ = ([a, b]: readonly [number, number]) => `95 % limits ${(100 * a).toFixed(1)} to ${(100 * b).toFixed(1)} %`
    process.stdout.write(`\n${result.different} of ${result.cells} identical pairs called different (${between_(result.limits.different)})\n`)
    if (delay !== null)
      process.stdout.write(`${result.found} of ${result.delayed} delays of ${100 * delay} % found (${between_(result.limits.found)})\n`)
  }
  return stopped ? 130 : 0
}
const said = (d: Difference): string => ratioText({ to: '', value: d.ratio, interval: d.interval, verdict: d.verdict, detectable: d.detectable })

// ── ab ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** `backend[:mode][%allocator][+folder]` */
export function sideOf(text: string, all: readonly Backend[], allocator: Allocator): Side {
  const m = /^([a-z0-9@-]+)(?::([a-z0-9-]+))?(?:%([a-z]+))?(?:\+(.+))?$/.exec(text)
  const names = all.filter(b => b.host === 'child').map(b => b.name)
  const backend = m && all.find(b => b.name === m[1])
  if (!m || !backend)
    throw new UserError(`${text}: no such side; did you mean ${nearest(m?.[1] ?? text, names)}? Give backend[:mode][%allocator][+folder]`)
  if (backend.host !== 'child') throw new UserError(`${backend.name}: runs in a browser; kernels are timed in Node processes`)
  const mode = m[2] ?? backend.modes[0]!
  if (!backend.modes.includes(mode)) throw new UserError(`${text}: ${backend.name} has the modes ${backend.modes.join(', ')}`)
  const folder = m[4] === undefined ? undefined : resolve(m[4])
  if (folder && !existsSync(folder)) throw new UserError(`${text}: there is no folder ${m[4]}`)
  if (m[3] && !(ALLOCATORS as readonly string[]).includes(m[3])) throw new UserError(`${text}: the allocators are ${ALLOCATORS.join(' and ')}`)
  return { name: text, backend, mode, allocator: (m[3] as Allocator | undefined) ?? allocator, ...(folder ? { folder } : {}) }
}
export async function abCommand(a: string, b: string, flags: PairFlags): Promise<number> {
  checkFailOn(flags.failOn)
  const all = await loadBackends()
  const sides = [sideOf(a, all, allocatorOf(flags.allocator)), sideOf(b, all, allocatorOf(flags.allocator))]
  const { ops, layers } = await layersOf(flags, 'conv,max-pool,resize', 6)
  const subjects = layers.flatMap((layer): Subject[] => {
    const paths = sides.map(s => pathsOf(ops.get(layer.op)!, layer, s.backend.dialect)[0])
    return paths.every(p => p !== undefined) ? [{ layer, contenders: paths.map((path, side) => ({ side, path: path! })) }] : []
  })
  if (!subjects.length) throw new UserError(`none of these layers can be said to both ${a} and ${b}`)
  const { s, stopped } = await run(flags, subjects, sides, ops, '10m', 1)
  const rows = s.cells.flatMap((cell, i) => {
    const d = cell.contenders.length === 2 ? between(s, i, 1, 0) : null
    return d ? [{ op: cell.layer.op, layer: cell.layer.layer, classes: s.known[i]!.map(k => k.judged.class), ...d }] : []
  })
  const count = (v: Difference['verdict']) => rows.filter(r => r.verdict === v).length
  const result = {
    schema: 1,
    a,
    b,
    cells: rows.length,
    faster: count('faster'),
    slower: count('slower'),
    same: count('same'),
    unresolved: count('unresolved'),
  }
  if (flags.json)
    process.stdout.write(
      `${JSON.stringify({ ...result, identities: s.identities, rows, missing: s.missing.map(m => ({ layer: m.layer.layer, side: m.side, reason: m.reason })) })}\n`,
    )
  else {
    for (const r of rows)
      process.stdout.write(
        `${r.verdict.padEnd(11)}${`${r.op} ${r.layer}`.slice(0, 60).padEnd(62)}${said(r)}${r.classes[1] === 'fast-but-wrong' ? '  b is wrong' : ''}\n`,
      )
    for (const m of s.missing) process.stdout.write(`not timed  ${m.side} ${m.layer.op} ${m.layer.layer}: ${m.reason}\n`)
    process.stdout.write(
      `\n${b} against ${a}: ${result.faster} faster, ${result.slower} slower, ${result.same} the same, ${result.unresolved} unresolved; load ${s.environment.load.map(l => l.toFixed(1)).join(' → ')}\n`,
    )
  }
  if (stopped) return 130
  return flags.failOn && result.slower ? 1 : 0
}
export function checkFailOn(value: string | undefined): void {
  if (value !== undefined && value !== 'slower') throw new UserError(`--fail-on ${value}: only slower can be asked for`)
}
