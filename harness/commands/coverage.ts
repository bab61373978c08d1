/**
 * `coverage`: what the generators draw. Per operation: how many cases can be said in each dialect and in both, by how many paths, and which pairs of field
 * values (attributes among themselves, and with kinds of data) the first cases have drawn together. With a run's folder also what was run and judged.
 */
import { join } from 'node:path'
import { readJournal } from '../journal.ts'
import { lowerings } from '../lower.ts'
import { loadOps } from '../ops.ts'
import { integer, selectOps } from '../options.ts'
import { build, columnsOf, type Raw, rawOf } from '../plan.ts'
import { cellsOf } from '../summary.ts'
import type { Dialect, Op, RawData } from '../types.ts'

export interface Coverage {
  op: string
  cases: number
  onnx: number
  tfjs: number
  both: number
  /** Whether each dialect has the operation at all, and how many paths were offered. */
  paths: { onnx: string[]; tfjs: string[] }
  pairs: { all: number; drawn: number; withData: number; withDataDrawn: number }
}

export function coverageOf(op: Op, cases: number, seed: number): Coverage {
  const plain = { ...op, invalid: undefined }
  const paths = { onnx: new Set<string>(), tfjs: new Set<string>() }
  const said = { onnx: 0, tfjs: 0, both: 0 }
  const columns = columnsOf(op.valid.fields)
  const seen = new Set<string>()
  const value = (raw: Raw, c: (typeof columns)[number]) =>
    c.part === -1 ? raw[c.name] : c.part === -2 ? (raw[c.name] as RawData).kind : (raw[c.name] as number[])[c.part]
  for (let k = 0; k < cases; k++) {
    const raw = rawOf(seed, plain, k)
    const c = build(plain, op.valid, raw)
    const can = (dialect: Dialect) => {
      const ways = lowerings(op, c, c, dialect).flatMap(l => ('path' in l && !('naive' in l) ? [l.path] : []))
      for (const p of ways) paths[dialect].add(p)
      return ways.length > 0
    }
    const [o, t] = [can('onnx'), can('tfjs')]
    said.onnx += o ? 1 : 0
    said.tfjs += t ? 1 : 0
    said.both += o && t ? 1 : 0
    for (let a = 0; a < columns.length; a++)
      for (let b = a + 1; b < columns.length; b++) seen.add(`${a} ${value(raw, columns[a]!)} ${b} ${value(raw, columns[b]!)}`)
  }
  const pairs = { all: 0, drawn: seen.size, withData: 0, withDataDrawn: 0 }
  for (let a = 0; a < columns.length; a++)
    for (let b = a + 1; b < columns.length; b++) {
      const n = columns[a]!.values * columns[b]!.values
      pairs.all += n
      if (columns[a]!.part === -2 || columns[b]!.part === -2) pairs.withData += n
    }
  for (const s of seen) {
    const [a, , b] = s.split(' ').map(Number)
    if (columns[a!]!.part === -2 || columns[b!]!.part === -2) pairs.withDataDrawn++
  }
  return { op: op.name, cases, ...said, paths: { onnx: [...paths.onnx].sort(), tfjs: [...paths.tfjs].sort() }, pairs }
}

export async function coverageCommand(
  run: string | undefined,
  flags: { ops?: string; cases?: string; seed?: string; json?: boolean },
): Promise<number> {
  const ops = selectOps(await loadOps(), flags.ops)
  const cases = integer('--cases', flags.cases, 300, 1, 100_000)
  const seed = integer('--seed', flags.seed, 1, 0, 2 ** 31 - 1)
  const rows = ops.map(op => coverageOf(op, cases, seed))
  const cells = run ? cellsOf(readJournal(join(run, 'journal.jsonl')).entries) : []
  const of = (op: string, pick: (c: (typeof cells)[number]) => number) => cells.filter(c => c.op === op).reduce((n, c) => n + pick(c), 0)
  // Valid cases that ONNX Runtime's CPU provider took, or refused with a finding; what neither ran nor is a finding counts against the generator.
  if (flags.json) {
    process.stdout.write(
      `${JSON.stringify({ schema: 1, seed, ops: rows.map(r => ({ ...r, ...(run ? { run: of(r.op, c => c.trials), judged: of(r.op, c => c.trials - c.notCompared) } : {}) })) })}\n`,
    )
    return 0
  }
  const percent = (n: number, all: number) => (all ? `${((100 * n) / all).toFixed(0)} %` : '–')
  process.stdout.write(
    `${cases} valid cases an operation, seed ${seed}\n\n${'operation'.padEnd(22)} sayable: onnx  tfjs  both   paths: onnx tfjs   pairs drawn  with data${run ? '     run  judged' : ''}\n`,
  )
  for (const r of rows)
    process.stdout.write(
      `${r.op.padEnd(22)}${percent(r.onnx, r.cases).padStart(14)}${percent(r.tfjs, r.cases).padStart(6)}${percent(r.both, r.cases).padStart(6)}${String(r.paths.onnx.length).padStart(13)}${String(r.paths.tfjs.length).padStart(5)}${percent(r.pairs.drawn, r.pairs.all).padStart(14)}${percent(r.pairs.withDataDrawn, r.pairs.withData).padStart(11)}${run ? `${String(of(r.op, c => c.trials)).padStart(8)}${String(of(r.op, c => c.trials - c.notCompared)).padStart(8)}` : ''}\n`,
    )
  return 0
}
