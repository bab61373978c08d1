/** Atoms of a rule: one comparison each, as data; evaluated on facts, written in one phrase, collected from what probes showed. */
import { type Fact, type Facts, isResultFact } from './facts.ts'

export type Axes = 'any' | 'all' | 'first' | 'last'
export interface Atom {
  fact: string
  /** For lists: the axes for which it has to hold. */
  on?: Axes
  is: '=' | '!=' | '>=' | '<=' | '>' | '<' | 'in' | 'divisible by' | 'not divisible by'
  value?: number | string | readonly (number | string)[]
  /** Compared with this fact on the same axis instead of a value. */
  than?: string
}
export interface All {
  all: readonly Atom[]
}
/** Machine-readable: a conjunction, or a choice of conjunctions. `{ all: [] }` holds always. */
export type Predicate = All | { any: readonly All[] }

function compare(a: number | string, is: Atom['is'], b: Atom['value']): boolean {
  if (is === 'in') return (b as readonly (number | string)[]).includes(a)
  if (is === '=') return a === b
  if (is === '!=') return a !== b
  if (typeof a !== 'number' || typeof b !== 'number') return false
  switch (is) {
    case '>=':
      return a >= b
    case '<=':
      return a <= b
    case '>':
      return a > b
    case '<':
      return a < b
    case 'divisible by':
      return a % b === 0
    case 'not divisible by':
      return a % b !== 0
    default:
      return is satisfies never
  }
}
/** Undefined: the case has no such quantity, or nobody knows it. */
export function holds(atom: Atom, facts: Facts): boolean | undefined {
  const x = facts.get(atom.fact)
  if (x === undefined) return undefined
  const y = atom.than === undefined ? undefined : facts.get(atom.than)
  if (atom.than !== undefined && y === undefined) return undefined
  if (typeof x !== 'object') return compare(x, atom.is, atom.than === undefined ? atom.value : (y as number))
  if (typeof y === 'object' && y.length !== x.length) return undefined
  if (!x.length) return undefined
  switch (atom.on ?? 'all') {
    case 'any':
      for (let i = 0; i < x.length; i++) if (holdsAt(atom, x, y, i)) return true
      return false
    case 'all':
      for (let i = 0; i < x.length; i++) if (!holdsAt(atom, x, y, i)) return false
      return true
    case 'first':
      return holdsAt(atom, x, y, 0)
    case 'last':
      return holdsAt(atom, x, y, x.length - 1)
  }
}
const holdsAt = (atom: Atom, x: readonly number[], y: ReturnType<Facts['get']>, i: number): boolean =>
  compare(x[i]!, atom.is, atom.than === undefined ? atom.value : typeof y === 'object' ? y[i] : (y as number))
export const conjunction = (all: readonly Atom[], facts: Facts): boolean => all.every(a => holds(a, facts) === true)
export const satisfies = (p: Predicate, facts: Facts): boolean =>
  'any' in p ? p.any.some(q => conjunction(q.all, facts)) : conjunction(p.all, facts)
export const atomsOf = (p: Predicate): readonly Atom[] => ('any' in p ? p.any.flatMap(q => q.all) : p.all)

const SIGN: Readonly<Record<string, string>> = { '>=': '≥', '<=': '≤', '!=': '≠' }
const word = (v: unknown) => (typeof v === 'number' && !Number.isInteger(v) ? String(Number(v.toPrecision(6))) : String(v))
function phrase(a: Atom): string {
  if (a.fact === 'call') return 'the call has to be refused'
  const where = a.on === 'any' ? ' on some axis' : a.on === 'first' ? ' on the first axis' : a.on === 'last' ? ' on the last axis' : ''
  if (a.is === 'in') return `${a.fact} is ${(a.value as readonly unknown[]).map(word).join(' or ')}${where}`
  if (a.is === 'divisible by' || a.is === 'not divisible by') {
    const no = a.is === 'divisible by' ? '' : 'not '
    return a.value === 2 ? `${a.fact} is ${no ? 'odd' : 'even'}${where}` : `${a.fact} is ${no}a multiple of ${word(a.value)}${where}`
  }
  if (/^result (NaN|infinite|all zero)$/.test(a.fact)) {
    const yes = (a.is === '=' && a.value === 1) || (a.is === '>=' && a.value === 1) || (a.is === '!=' && a.value === 0)
    const what = { 'result NaN': 'holds a NaN', 'result infinite': 'holds an infinity', 'result all zero': 'is all zero' }[a.fact]
    return yes ? `the right result ${what}` : `the right result ${what!.replace('holds', 'holds not').replace('is all', 'is not all')}`
  }
  const right = a.than ?? word(a.value)
  const name = isResultFact(a.fact) ? a.fact.replace('result', "the right result's") : a.fact
  if (typeof a.value === 'string') return `${name} ${a.is === '=' ? 'is' : 'is not'} ${right}${where}`
  return `${name} ${SIGN[a.is] ?? a.is} ${right}${where}`
}
export function say(p: Predicate): string {
  if ('any' in p) return p.any.map(say).join(', or ')
  return p.all.length ? p.all.map(phrase).join(' and ') : 'always'
}

/** Cheaper atoms are preferred among those that separate alike. */
export function costOf(a: Atom): number {
  const value =
    a.is === 'in'
      ? 1 + 0.15 * ((a.value as readonly unknown[]).length - 1)
      : a.is === '=' && typeof a.value === 'number'
        ? 1.3
        : a.is === '!='
          ? 1.15
          : a.is.endsWith('divisible by')
            ? 1.6 + 0.05 * Math.log2(a.value as number)
            : 1
  const axis = a.on === 'first' || a.on === 'last' ? 0.5 : 0
  const derived = /^(elements|pixels|x\d+ (shape|dim|rank)|terms|kernel volume|span|windows|left over|fraction|begin −)/.test(a.fact)
    ? 0.5
    : isResultFact(a.fact)
      ? 0.7
      : /^(channels per|filters per|effective|pixels)/.test(a.fact)
        ? 0.15
        : 0
  const odd = typeof a.value === 'number' && !Number.isInteger(a.value) ? 0.4 : 0
  return value + axis + derived + odd + (a.than ? 0.3 : 0)
}

const MODULI = [2, 4, 8, 16, 32, 64]
/** Values of a list over all samples: thresholds between what fails and what passes. At most `most`, spread evenly. */
function spread(values: Iterable<number>, most: number): number[] {
  const sorted = [...new Set(values)].filter(Number.isFinite).sort((a, b) => a - b)
  if (sorted.length <= most) return sorted
  return Array.from({ length: most }, (_, i) => sorted[Math.round((i * (sorted.length - 1)) / (most - 1))]!)
}
const THRESHOLDS = 16

/** All atoms that hold on the anchor (the smallest case), over quantities that vary in the samples. */
export function candidates(anchor: Facts, samples: readonly { facts: Facts; fails: boolean }[]): Atom[] {
  const atoms: Atom[] = []
  const add = (a: Atom) => {
    if (holds(a, anchor) === true) atoms.push(a)
  }
  const names = [...anchor.keys()].sort()
  const numbers = (name: string, part: (v: Fact) => readonly number[]) =>
    spread(
      samples.flatMap(s => {
        const v = s.facts.get(name)
        return v === undefined ? [] : part(v)
      }),
      THRESHOLDS,
    )
  for (const fact of names) {
    const v = anchor.get(fact)!
    if (typeof v === 'string') {
      const seen = new Map<string, boolean>()
      for (const s of samples) {
        const w = s.facts.get(fact)
        if (typeof w === 'string') seen.set(w, (seen.get(w) ?? false) || s.fails)
      }
      if (seen.size < 2) continue
      add({ fact, is: '=', value: v })
      const failing = [...seen]
        .filter(([, f]) => f)
        .map(([w]) => w)
        .sort()
      if (failing.length > 1 && failing.length < seen.size) add({ fact, is: 'in', value: failing })
      for (const w of [...seen.keys()].sort()) add({ fact, is: '!=', value: w })
    } else if (typeof v === 'number') {
      const seen = numbers(fact, w => (typeof w === 'number' ? [w] : []))
      if (seen.length < 2) continue
      add({ fact, is: '=', value: v })
      // no sample need hold a zero for it to be the border
      for (const t of isResultFact(fact) && !seen.includes(0) ? [...seen, 0] : seen) {
        add({ fact, is: '>=', value: t })
        add({ fact, is: '<=', value: t })
        if (t !== v && seen.length <= 6) add({ fact, is: '!=', value: t })
      }
      if (Number.isInteger(v) && seen.length > 2)
        for (const m of MODULI) {
          if (v >= m) add({ fact, is: 'divisible by', value: m })
          add({ fact, is: 'not divisible by', value: m })
        }
    } else {
      const seen = numbers(fact, w => (typeof w === 'object' ? w : []))
      if (seen.length < 2) continue
      for (const on of ['any', 'all', 'first', 'last'] as const) {
        if (v.length < 2 && on !== 'any' && on !== 'all') continue
        for (const t of seen) {
          add({ fact, on, is: '=', value: t })
          add({ fact, on, is: '>=', value: t })
          add({ fact, on, is: '<=', value: t })
          if (seen.length <= 6) add({ fact, on, is: '!=', value: t })
        }
        if (on === 'any' || on === 'all' || on === 'last')
          for (const m of MODULI) for (const is of ['divisible by', 'not divisible by'] as const) add({ fact, on, is, value: m })
      }
    }
  }
  relations(anchor, names, add)
  return atoms
}

/** Relations on the same axis, and between counts. */
const AXIS = [
  'size',
  'kernel',
  'effective kernel',
  'stride',
  'dilation',
  'begin',
  'end',
  'total padding',
  'windows',
  'span',
  'scale',
  'target size',
  'x0 shape',
]
const COUNTS = ['channels', 'group', 'filters', 'channels per group', 'filters per group', 'batch', 'axis', 'rank']
function relations(anchor: Facts, names: readonly string[], add: (a: Atom) => void): void {
  const lists = names.filter(n => typeof anchor.get(n) === 'object' && AXIS.includes(n))
  for (let i = 0; i < lists.length; i++)
    for (let j = 0; j < lists.length; j++) {
      if (i === j || (anchor.get(lists[i]!) as readonly number[]).length !== (anchor.get(lists[j]!) as readonly number[]).length) continue
      for (const on of ['any', 'all'] as const) {
        add({ fact: lists[i]!, on, is: '>', than: lists[j]! })
        add({ fact: lists[i]!, on, is: '<=', than: lists[j]! })
        if (i < j) for (const is of ['=', '!='] as const) add({ fact: lists[i]!, on, is, than: lists[j]! })
      }
    }
  const counts = names.filter(n => typeof anchor.get(n) === 'number' && COUNTS.includes(n))
  for (let i = 0; i < counts.length; i++)
    for (let j = 0; j < counts.length; j++) {
      if (i === j) continue
      add({ fact: counts[i]!, is: '>', than: counts[j]! })
      if (i < j) for (const is of ['=', '!='] as const) add({ fact: counts[i]!, is, than: counts[j]! })
    }
}
