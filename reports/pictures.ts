/** The smallest case of a defect as numbers for its picture: expected and observed, which elements lie outside the bound, error/bound by decades. */
import { allowedOf } from '../harness/compare.ts'
import { reference } from '../harness/judge.ts'
import { planned } from '../harness/plan.ts'
import { fromJson64 } from '../harness/tensor.ts'
import type { Defect } from '../harness/triage.ts'
import type { Arithmetic, Case, Op } from '../harness/types.ts'
import type { PageTensor } from './page-data.ts'

/** Values that the page keeps of one tensor; a picture of more shows nothing. */
const SHOWN = 256
/** Larger outputs are compared by their first element outside the bound only. */
const COMPARED = 4096
export interface Picture {
  expected?: PageTensor
  observed?: PageTensor
  bad: number[]
  differing: number
  bound: string
  histogram?: number[]
}

const cut = (t: NonNullable<Defect['observed']>[number] | undefined): PageTensor | undefined =>
  t && { dtype: t.dtype, shape: t.shape, ...(t.values ? { values: t.values.slice(0, SHOWN) } : {}) }

export function picture(d: Defect, op: Op | undefined, arithmetic: Arithmetic | undefined): Picture {
  const j = d.element?.output ?? 0
  const expected = d.expected?.[j]
  const observed = d.observed?.[j]
  const base: Picture = { expected: cut(expected), observed: cut(observed), bad: [], differing: 0, bound: '' }
  if (!expected?.values || !observed?.values || expected.values.length !== observed.values.length) return base
  const v = expected.values.map(fromJson64)
  const w = observed.values.map(fromJson64)
  const allowed = v.length <= COMPARED ? bounds(d.case, op, arithmetic, j, v.length) : null
  const histogram = new Array<number>(8).fill(0)
  v.forEach((x, i) => {
    const y = w[i]!
    const limit = allowed?.[i] ?? 0
    const same = x === y || (x !== x && y !== y)
    const error = Math.abs(x - y)
    if (limit !== limit) return
    const ratio = same ? 0 : limit > 0 ? error / limit : Infinity
    histogram[ratio <= 1 ? 0 : Number.isFinite(ratio) ? Math.min(6, 1 + Math.floor(Math.log10(ratio))) : 7]!++
    if (ratio <= 1) return
    base.differing++
    if (i < SHOWN) base.bad.push(i)
  })
  const largest = allowed?.reduce((m, a) => (a === a ? Math.max(m, a) : m), 0) ?? 0
  base.bound = !allowed ? 'any difference' : largest === 0 ? '0, exact' : `at most ${largest.toPrecision(2)}`
  return { ...base, histogram }
}

/** Allowed error of each element by the reference; null where this version cannot evaluate the case any more. */
function bounds(c: Case, op: Op | undefined, arithmetic: Arithmetic | undefined, j: number, size: number): Float64Array | null {
  if (!op || !arithmetic || c.valid === false) return null
  try {
    const p = planned(op, c, 0)
    if ('declined' in p.canonical) return null
    const ref = reference(op, p.canonical)
    let e = ref.expected[j]
    if (e?.rule === 'either') e = e.options[0]!.expected
    if (!e || e.rule === 'decisions' || e.rule === 'either' || e.value.length !== size) return null
    return allowedOf(e, arithmetic, ref.integral)
  } catch {
    return null // a case of another version: shown without its bound
  }
}
