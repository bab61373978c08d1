/** The data of the page with its indices: columns, cells by place, defects by cell, and what a cell's mark is. */
import type { Mark } from '../../harness/summary.ts'
import type { PageCell, PageData, PageDefect } from '../page-data.ts'
import { type Column, columnsOf, KIND_ORDER, kindMark, MARKS } from '../vocabulary.ts'

export interface Model extends PageData {
  columns: Column[]
  numberOf: ReadonlyMap<string, number>
  cellAt: (op: number, backend: number) => PageCell | undefined
  defectsAt: (op: number, backends: readonly number[]) => PageDefect[]
  defectById: ReadonlyMap<string, PageDefect>
  /** Text of a defect, an operation or a backend that the search looks through, in lower case. */
  textOf: (what: PageDefect) => string
}
/** Known defects that this run did not meet, and fixed ones, mark no cell. */
export const live = (d: PageDefect): boolean => d.status !== 'fixed' && d.status !== 'not-reached'

export function modelOf(data: PageData): Model {
  const cells = new Map(data.cells.map(c => [c.op * 1000 + c.backend, c]))
  const byOp = new Map<number, PageDefect[]>()
  for (const d of data.defects) (byOp.get(d.op) ?? byOp.set(d.op, []).get(d.op)!).push(d)
  const texts = new Map<PageDefect, string>()
  return {
    ...data,
    columns: columnsOf(data.backends.map(b => b.name)),
    numberOf: new Map(data.backends.map((b, i) => [b.name, i])),
    cellAt: (op, backend) => cells.get(op * 1000 + backend),
    defectsAt: (op, backends) => (byOp.get(op) ?? []).filter(d => live(d) && d.backends.some(b => backends.includes(b))),
    defectById: new Map(data.defects.map(d => [d.id, d])),
    textOf(d) {
      let text = texts.get(d)
      if (text === undefined) {
        const on = d.backends.map(b => `${data.backends[b]!.name} ${data.backends[b]!.label} ${data.backends[b]!.package}`)
        const parts = [
          d.id,
          data.ops[d.op]!.name,
          data.ops[d.op]!.family,
          d.kind,
          d.status,
          d.sentence,
          d.rule,
          d.caseText,
          d.because,
          d.instead ?? '',
        ]
        texts.set(d, (text = [...parts, ...on, ...d.paths, ...d.modes, ...d.links, ...d.reach.models].join(' ').toLowerCase()))
      }
      return text
    },
  }
}

/** The worst that was seen in a cell, or is known of it and still so; never a pass where nothing was compared. */
export function markOf(cell: PageCell | undefined, causes: readonly string[] = []): Mark {
  if (!cell) return 'not-run'
  const ran = cell.agree > 0 || Object.values(cell.findings).some(n => n > 0)
  let mark: Mark = cell.agree > 0 || cell.findings.convention || cell.findings.trap ? 'right' : cell.findings.gap ? 'gap' : 'not-run'
  for (const kind of KIND_ORDER)
    if (cell.findings[kind as 'wrong'] || (ran && causes.includes(kind))) {
      const m = kindMark(kind)
      if (MARKS.indexOf(m) > MARKS.indexOf(mark)) mark = m
    }
  return mark
}
export interface Look {
  mark: Mark
  /** Causes. */
  count: number
  /** A layer of a real model is hit (or nobody has looked). */
  filled: boolean
}
export function lookOf(m: Model, op: number, backends: readonly number[]): Look {
  const kinds = (b: number) => m.defectsAt(op, [b]).map(d => d.kind)
  const mark = backends.map(b => markOf(m.cellAt(op, b), kinds(b))).reduce((a, b) => (MARKS.indexOf(b) > MARKS.indexOf(a) ? b : a), 'not-run' as Mark)
  const found = m.defectsAt(op, backends)
  return { mark, count: found.length, filled: !m.run.reached || found.some(d => kindMark(d.kind) === mark && d.reach.layers > 0) }
}

/** What a cell's trials came to, in words; they add up to the planned trials. */
export function countsOf(cell: PageCell): [string, number][] {
  const rows: [string, number][] = [['agree', cell.agree]]
  for (const kind of KIND_ORDER) rows.push([kind, cell.findings[kind as 'wrong'] ?? 0])
  rows.push(['convention', cell.findings.convention ?? 0], ['trap', cell.findings.trap ?? 0], ['not compared', cell.notCompared])
  rows.push(['cannot be said', cell.findings.gap ?? 0], ['not run', cell.notRun])
  return rows.filter(([, n]) => n > 0)
}
export const planned = (cell: PageCell): number => cell.trials + (cell.findings.gap ?? 0) + cell.notRun
export const number = (n: number): string => n.toLocaleString('en')
export const plural = (n: number, one: string, many = `${one}s`): string => `${number(n)} ${n === 1 ? one : many}`
export const ms = (n: number): string =>
  n >= 100 ? `${Math.round(n)} ms` : n >= 1 ? `${n.toPrecision(3)} ms` : `${Number((n * 1000).toPrecision(3))} µs`
