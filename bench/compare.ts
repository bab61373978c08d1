/**
 * `bench -- compare a b`: two runs that were made at different times. The machine itself moves between them by about 12 % (95 %), which no number of calls within
 * a run can show, so that variance is added to the interval. What lies inside is *unresolved*: `bench -- ab` interleaves both sides and decides.
 */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { UserError } from '../harness/errors.ts'
import { checkFailOn } from './pairs.ts'
import { type Difference, differenceOf, MARGIN, median, SAME, SESSION } from './statistics.ts'
import { ratioText } from './table.ts'
import type { BenchFile, Row } from './types.ts'

export function readBench(place: string): BenchFile {
  const path = existsSync(place) && statSync(place).isDirectory() ? join(place, 'bench.json') : place
  if (!existsSync(path)) throw new UserError(`${place}: no bench.json there; npm run bench -- --out ${place} writes one`)
  let file: BenchFile
  try {
    file = JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    throw new UserError(`${path} is no JSON: ${(error as Error).message}`)
  }
  if (file.schema !== 1 || !Array.isArray(file.cells))
    throw new UserError(`${path}: not a bench.json that this version reads (schema ${file.schema})`)
  return file
}
const keyOf = (r: Row): string => [r.op, r.layer, r.side ?? r.backend, r.path, r.mode].join(' | ')
/** Standard error of a log floor from its 95 % interval. */
const errorOf = (r: Row): number => {
  const [low, high] = r.floorInterval ?? [r.floorMs, r.medianMs]
  return Math.log(high / low) / (2 * 1.96)
}
/** A ratio to the reference backend with a finite interval (JSON holds an infinite end as null). */
const bounded = (r: Row): boolean => !!r.ratio && r.ratio.interval.every(v => Number.isFinite(v) && v > 0)
/** Cells from which the sessions' own distance can be seen. */
const ENOUGH = 8

export interface Compared {
  key: string
  a: Row
  b: Row
  difference: Difference
}
export interface Comparison {
  rows: Compared[]
  /** Standard deviation between sessions that was added, and by how much the middle cell moved. */
  session: number
  shift: number
  /** Different machines: ratios to the reference backend were compared instead of times. */
  ratios: boolean
  onlyA: number
  onlyB: number
}
export function compareFiles(a: BenchFile, b: BenchFile): Comparison {
  const ratios = a.environment?.cpu !== b.environment?.cpu || a.environment?.cores !== b.environment?.cores
  const others = new Map(b.cells.map(r => [keyOf(r), r]))
  const pairs = a.cells.flatMap(r => {
    const o = others.get(keyOf(r))
    return o && (!ratios || (bounded(r) && bounded(o))) ? [{ a: r, b: o }] : []
  })
  const logOf = (p: { a: Row; b: Row }) => (ratios ? Math.log(p.b.ratio!.value / p.a.ratio!.value) : Math.log(p.b.floorMs / p.a.floorMs))
  const logs = pairs.map(logOf)
  const shift = logs.length ? median(logs) : 0
  // where most cells moved, it was the session: what all cells share cannot be told from a machine that is slower today
  const seen = logs.length >= ENOUGH ? 1.4826 * median(logs.map(Math.abs)) : 0
  const session = Math.max(SESSION, seen)
  const rows = pairs.map((p, i) => {
    const own = ratios ? ratioErrors(p) : errorOf(p.a) ** 2 + errorOf(p.b) ** 2
    const half = 1.96 * Math.sqrt(own + session ** 2)
    const y = logs[i]!
    return { key: keyOf(p.a), ...p, difference: differenceOf({ estimate: y, low: y - half, high: y + half }, MARGIN, SAME) }
  })
  return { rows, session, shift, ratios, onlyA: a.cells.length - pairs.length, onlyB: b.cells.length - pairs.length }
}
function ratioErrors(p: { a: Row; b: Row }): number {
  const error = (r: Row) => Math.log(r.ratio!.interval[1] / r.ratio!.interval[0]) / (2 * 1.96)
  return error(p.a) ** 2 + error(p.b) ** 2
}

export async function compareCommand(a: string, b: string, flags: { json?: boolean; failOn?: string }): Promise<number> {
  checkFailOn(flags.failOn)
  const c = compareFiles(readBench(a), readBench(b))
  const count = (v: Difference['verdict']) => c.rows.filter(r => r.difference.verdict === v).length
  const result = {
    schema: 1,
    cells: c.rows.length,
    faster: count('faster'),
    slower: count('slower'),
    same: count('same'),
    unresolved: count('unresolved'),
  }
  if (!c.rows.length)
    throw new UserError(`${a} and ${b} have no cell in common${c.ratios ? ' (different machines: only ratios of backends can be compared)' : ''}`)
  if (flags.json) {
    const rows = c.rows.map(r => ({ key: r.key, aMs: r.a.floorMs, bMs: r.b.floorMs, ...r.difference }))
    process.stdout.write(
      `${JSON.stringify({ ...result, session: c.session, shift: c.shift, ratios: c.ratios, onlyA: c.onlyA, onlyB: c.onlyB, rows })}\n`,
    )
  } else {
    for (const r of [...c.rows].sort((x, y) => y.difference.ratio - x.difference.ratio)) {
      const d = r.difference
      process.stdout.write(
        `${d.verdict.padEnd(11)}${r.key.slice(0, 84).padEnd(85)}${ratioText({ to: '', value: d.ratio, interval: d.interval, verdict: d.verdict, detectable: d.detectable })}\n`,
      )
    }
    process.stdout.write(
      `\n${b} against ${a}: ${result.cells} cells, ${result.faster} faster, ${result.slower} slower, ${result.same} the same, ${result.unresolved} unresolved\n`,
    )
    if (c.ratios) process.stdout.write('different machines: ratios to the reference backend were compared, not times\n')
    if (c.session > SESSION)
      process.stdout.write(
        `most cells moved together (middle cell ${(100 * Math.expm1(c.shift)).toFixed(1)} %): that is the session, or every kernel alike; bench -- ab decides\n`,
      )
    else if (result.unresolved) process.stdout.write('unresolved lies within what two runs of the same thing differ by; bench -- ab decides\n')
    if (c.onlyA || c.onlyB) process.stdout.write(`without a partner: ${c.onlyA} cells of ${a}, ${c.onlyB} of ${b}\n`)
  }
  return flags.failOn && result.slower ? 1 : 0
}
