/** Tables of an operation, counted from planned trials: what each attribute's value does on each backend, conventions followed, traps, times. */
import type { Entry } from '../harness/journal.ts'
import { isFailing, type Kind } from '../harness/types.ts'
import type { PageConvention, PageSupport, PageTrap } from './page-data.ts'

/** More distinct values than this are told as what they have in common. */
const MOST = 9

/** A value as a row of a table: lists whose entries are all equal are that entry. */
function plainly(value: unknown): string {
  if (Array.isArray(value)) {
    if (!value.length) return '[]'
    return value.every(v => v === value[0]) ? `all ${value[0]}` : 'unequal'
  }
  return typeof value === 'number' && !Number.isInteger(value) ? String(Number(value.toPrecision(4))) : String(value)
}
const traits = new WeakMap<object, readonly (readonly [string, string])[]>()
/** Attribute values of a case, and what its inputs are, as (name, value). */
function traitsOf(c: Entry['case']): readonly (readonly [string, string])[] {
  let known = traits.get(c)
  if (known) return known
  const x = c.inputs[0]
  const rows: [string, string][] = Object.entries(c.attributes).map(([name, value]) => [name, plainly(value)])
  if (x) {
    rows.push(['input dtype', x.dtype], ['input rank', String(x.shape.length)])
    if (x.shape.some(n => n === 0)) rows.push(['input', 'empty'])
    const special = c.inputs.flatMap(i => (i?.recipe.kind === 'special' ? [String(i.recipe.value)] : []))[0]
    rows.push([
      'data',
      special ??
        (c.inputs.some(i => i && (i.recipe.kind === 'normal' || i.recipe.kind === 'cancel' || i.recipe.kind === 'uniform')) ? 'reals' : 'integers'),
    ])
  }
  if (c.valid === false) rows.push(['call', 'invalid: has to be refused'])
  traits.set(c, (known = rows))
  return known
}

type Four = [number, number, number, number]
const slot = (kind: Kind): number => (isFailing(kind) ? 1 : kind === 'gap' ? 2 : kind === 'agree' ? 0 : 3)

export interface Tables {
  support: PageSupport[]
  conventions: PageConvention[]
  traps: PageTrap[]
}
/** Collects planned lines of one operation. */
export function tables(backendOf: ReadonlyMap<string, number>) {
  const support = new Map<string, Map<string, Map<number, Four>>>()
  const conventions = new Map<string, Map<string, Map<number, number>>>()
  const traps = new Map<string, { paths: Set<string>; on: Map<number, number> }>()
  const deep = <K, V>(map: Map<K, V>, key: K, make: () => V): V => {
    let v = map.get(key)
    if (v === undefined) map.set(key, (v = make()))
    return v
  }
  return {
    add(e: Entry): void {
      const b = backendOf.get(e.backend)
      if (b === undefined || e.verdict.kind === 'not-run') return
      const at = slot(e.verdict.kind)
      if (e.verdict.kind !== 'trap')
        for (const [name, value] of traitsOf(e.case)) {
          const four = deep(
            deep(
              deep(support, name, () => new Map()),
              value,
              () => new Map(),
            ),
            b,
            (): Four => [0, 0, 0, 0],
          )
          four[at]!++
        }
      if (e.verdict.kind === 'convention' && e.verdict.because) {
        const cut = e.verdict.because.lastIndexOf(': ')
        const question = cut < 0 ? 'which of the admissible answers' : e.verdict.because.slice(0, cut)
        const on = deep(
          deep(conventions, question, () => new Map()),
          cut < 0 ? e.verdict.because : e.verdict.because.slice(cut + 2),
          () => new Map(),
        )
        on.set(b, (on.get(b) ?? 0) + 1)
      }
      if (e.verdict.kind === 'trap' && e.naive) {
        const t = deep(traps, e.naive, () => ({ paths: new Set<string>(), on: new Map() }))
        t.paths.add(e.path)
        t.on.set(b, (t.on.get(b) ?? 0) + 1)
      }
    },
    done(): Tables {
      const numbersFirst = (a: string, b: string) => Number(a.replace('all ', '')) - Number(b.replace('all ', '')) || (a < b ? -1 : a > b ? 1 : 0)
      return {
        support: [...support]
          .map(([attribute, values]) => ({ attribute, values: few(values) }))
          .filter(s => s.values.length > 1 || s.attribute === 'input dtype' || s.attribute === 'call')
          .map(s => ({
            attribute: s.attribute,
            values: s.values.sort((a, b) => numbersFirst(a[0], b[0])).map(([value, on]) => ({ value, on: Object.fromEntries(on) })),
          })),
        conventions: [...conventions]
          .sort((a, b) => (a[0] < b[0] ? -1 : 1))
          .map(([question, answers]) => ({
            question,
            answers: [...answers].sort((a, b) => (a[0] < b[0] ? -1 : 1)).map(([answer, on]) => ({ answer, on: Object.fromEntries(on) })),
          })),
        traps: [...traps]
          .sort((a, b) => (a[0] < b[0] ? -1 : 1))
          .map(([why, t]) => ({ why, paths: [...t.paths].sort(), on: Object.fromEntries(t.on) })),
      }
    },
  }
}

/** The commonest values as they are, the rest as one row. */
function few(values: Map<string, Map<number, Four>>): [string, Map<number, Four>][] {
  const all = [...values]
  if (all.length <= MOST) return all
  const weight = (on: Map<number, Four>) => [...on.values()].reduce((n, f) => n + f[0] + f[1] + f[2] + f[3], 0)
  all.sort((a, b) => weight(b[1]) - weight(a[1]) || (a[0] < b[0] ? -1 : 1))
  const rest = new Map<number, Four>()
  for (const [, on] of all.slice(MOST - 1))
    for (const [b, four] of on) {
      const sum = rest.get(b) ?? rest.set(b, [0, 0, 0, 0]).get(b)!
      four.forEach((n, i) => {
        sum[i]! += n
      })
    }
  return [...all.slice(0, MOST - 1), [`${all.length - MOST + 1} other values`, rest]]
}
