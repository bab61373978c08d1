/**
 * Which cases are run, and by which paths and modes. The one door for chance: everything here is a function of (seed, operation, k);
 * case k is reachable without the cases before it.
 */
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { xoroshiro128plusFromState } from 'pure-rand/generator/xoroshiro128plus'
import { canonical, lowerings } from './lower.ts'
import { toJson64 } from './tensor.ts'
import {
  type Backend,
  type Case,
  type Dialect,
  type Field,
  type Fields,
  type Generator,
  isSlow,
  type Json64,
  type Lowering,
  type Op,
  type RawData,
} from './types.ts'

export type Raw = Record<string, number | number[] | RawData>

const mixed = (a: number) => {
  // finaliser of MurmurHash3: neighbouring seeds must not start alike
  a = Math.imul(a ^ (a >>> 16), 0x85ebca6b)
  a = Math.imul(a ^ (a >>> 13), 0xc2b2ae35)
  return a ^ (a >>> 16)
}
function hashText(text: string): number {
  let h = 0x811c9dc5
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  return h
}
/** Four well-mixed words of state from (seed, op, k, purpose). */
function state(seed: number, op: string, k: number, purpose: string): [number, number, number, number] {
  const words: number[] = []
  let h = mixed(seed ^ 0x9e3779b9)
  for (let i = 0; i < 4; i++) {
    h = mixed(h ^ hashText(op) ^ Math.imul(i + 1, 0x27d4eb2f))
    h = mixed(h ^ Math.imul(k + 1, 0x165667b1))
    h = mixed(h ^ hashText(purpose))
    words.push(h)
  }
  return words as [number, number, number, number]
}
const randomOf = (seed: number, op: string, k: number, purpose: string) => new fc.Random(xoroshiro128plusFromState(state(seed, op, k, purpose)))
/** One number in [0, 2³²), for choices of paths and modes. */
export const draw = (seed: number, op: string, k: number, purpose: string): number => state(seed, op, k, purpose)[0] >>> 0

// ── Fields as fast-check arbitraries ────────────────────────────────────────────────────────────────────────────────

function arbitraryOf(field: Field): fc.Arbitrary<number | number[] | RawData> {
  switch (field.kind) {
    case 'int':
      return fc.integer({ min: field.min, max: field.max })
    case 'ints':
      return fc.tuple(...Array.from({ length: field.count }, () => fc.integer({ min: field.min, max: field.max })))
    case 'data':
      return fc.record(
        { kind: fc.integer({ min: 0, max: field.kinds.length - 1 }), at: fc.integer({ min: 0, max: 0xffff }) },
        { noNullPrototype: true },
      )
    default:
      return field satisfies never
  }
}
const arbitraries = new WeakMap<Fields, fc.Arbitrary<Raw>>()
/** A generator's flat record; its shrinker makes any single field plainer. */
export function rawArbitrary(fields: Fields): fc.Arbitrary<Raw> {
  let known = arbitraries.get(fields)
  if (!known) {
    known = fc.record(Object.fromEntries(Object.entries(fields).map(([name, f]) => [name, arbitraryOf(f)])), {
      noNullPrototype: true,
    }) as fc.Arbitrary<Raw>
    arbitraries.set(fields, known)
  }
  return known
}

// ── Covering array: pairs of field values in the first cases ────────────────────────────────────────────────────────

interface Column {
  name: string
  /** Element of a tuple; −1: the field itself; −2: the kind of a data field. */
  part: number
  min: number
  values: number
}
/** Discrete fields: at most 16 values, elements of tuples at most 6. Sizes and seeds are left to chance. */
export function columnsOf(fields: Fields): Column[] {
  return Object.entries(fields).flatMap(([name, f]): Column[] => {
    if (f.kind === 'data') return [{ name, part: -2, min: 0, values: f.kinds.length }]
    const values = f.max - f.min + 1
    if (f.kind === 'int') return values > 1 && values <= 16 ? [{ name, part: -1, min: f.min, values }] : []
    return values > 1 && values <= 6 ? Array.from({ length: f.count }, (_, part) => ({ name, part, min: f.min, values })) : []
  })
}
/** No more rows than these: every tenth of the first 300 cases belongs to the invalid ones. */
const ROWS = 270
const CANDIDATES = 4
const coverings = new WeakMap<Fields, Uint8Array[]>()
/** Rows of a greedy pairwise covering array (after AETG, Cohen et al. 1997): of a few candidate rows the one that covers most new pairs. */
export function covering(fields: Fields): Uint8Array[] {
  const known = coverings.get(fields)
  if (known) return known
  const columns = columnsOf(fields)
  const n = columns.length
  const pairs = new Map<number, Uint8Array>()
  let left = 0
  for (let a = 0; a < n; a++)
    for (let b = a + 1; b < n; b++) {
      pairs.set(a * n + b, new Uint8Array(columns[a]!.values * columns[b]!.values))
      left += columns[a]!.values * columns[b]!.values
    }
  const seen = (a: number, va: number, b: number, vb: number) =>
    a < b ? pairs.get(a * n + b)![va * columns[b]!.values + vb]! : pairs.get(b * n + a)![vb * columns[a]!.values + va]!
  const rows: Uint8Array[] = []
  let word = 1
  const next = () => (word = mixed(word + 0x9e3779b9)) >>> 0
  /** One candidate row: a pair that is still missing, then every other column with the value that covers most new pairs. */
  const candidate = (): { row: Uint8Array; gain: number } => {
    const row = new Uint8Array(n)
    const order = columns.map((_, i) => i)
    for (let i = n - 1; i > 0; i--) {
      const j = next() % (i + 1)
      ;[order[i], order[j]] = [order[j]!, order[i]!]
    }
    const keys = [...pairs.keys()]
    for (let t = next() % keys.length, tries = 0; tries < keys.length; t = (t + 1) % keys.length, tries++) {
      const at = pairs.get(keys[t]!)!.indexOf(0)
      if (at < 0) continue
      const [x, y] = [Math.floor(keys[t]! / n), keys[t]! % n]
      order.splice(order.indexOf(x), 1)
      order.splice(order.indexOf(y), 1)
      order.unshift(x, y)
      row[x] = Math.floor(at / columns[y]!.values)
      row[y] = at % columns[y]!.values
      break
    }
    let total = 1
    order.forEach((c, done) => {
      if (done < 2) return
      let best = -1
      const start = next() % columns[c]!.values
      for (let s = 0; s < columns[c]!.values; s++) {
        const v = (start + s) % columns[c]!.values
        let gain = 0
        for (let p = 0; p < done; p++) if (!seen(c, v, order[p]!, row[order[p]!]!)) gain++
        if (gain > best) {
          best = gain
          row[c] = v
        }
      }
      total += best
    })
    return { row, gain: total }
  }
  while (left > 0 && rows.length < ROWS && n > 1) {
    let best = candidate()
    for (let i = 1; i < CANDIDATES; i++) {
      const c = candidate()
      if (c.gain > best.gain) best = c
    }
    const { row } = best
    for (let a = 0; a < n; a++)
      for (let b = a + 1; b < n; b++) {
        const table = pairs.get(a * n + b)!
        const at = row[a]! * columns[b]!.values + row[b]!
        if (!table[at]) left--
        table[at] = 1
      }
    rows.push(row)
  }
  coverings.set(fields, rows)
  return rows
}

// ── Cases ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Every tenth case has to be refused, where the operation has a generator of such cases. */
const INVALID_EVERY = 10
const isInvalid = (op: Op, k: number) => !!op.invalid && k % INVALID_EVERY === INVALID_EVERY - 1
export const generatorOf = (op: Op, k: number): Generator => (isInvalid(op, k) ? op.invalid! : op.valid)

export function rawOf(seed: number, op: Op, k: number): Raw {
  const invalid = isInvalid(op, k)
  const { fields } = generatorOf(op, k)
  const raw = rawArbitrary(fields).generate(randomOf(seed, op.name, k, 'case'), 3).value
  // Row k of the covering array; the seed turns every column, which keeps all pairs and puts them in other company.
  const row = invalid ? undefined : covering(fields)[op.invalid ? k - Math.floor((k + 1) / INVALID_EVERY) : k]
  if (row)
    columnsOf(fields).forEach((c, i) => {
      const v = c.min + ((row[i]! + (draw(seed, op.name, i, 'turn') & 0xff)) % c.values)
      if (c.part === -1) raw[c.name] = v
      else if (c.part === -2) (raw[c.name] as RawData).kind = v
      else (raw[c.name] as number[])[c.part] = v
    })
  return raw
}

export const planId = (seed: number, op: string, k: number) => `c-${seed}-${op}-${k}`
export function parsePlanId(id: string): { seed: number; op: string; k: number } | null {
  const m = /^c-(\d+)-([a-z][a-z0-9-]*)-(\d+)$/.exec(id)
  return m ? { seed: Number(m[1]), op: m[2]!, k: Number(m[3]) } : null
}
/** Identity of a case that is not part of a plan: its content. */
export function contentId(c: Omit<Case, 'id'>): string {
  return `c-${createHash('sha256')
    .update(JSON.stringify([c.op, c.operator, c.opset, c.attributes, c.inputs, c.outputs, c.valid]))
    .digest('hex')
    .slice(0, 10)}`
}

/** A raw record as a case. */
export function build(op: Op, generator: Generator, raw: Raw, id?: string): Case {
  const { attributes, inputs: drawn } = generator.build(raw as any)
  // a case travels as JSON, which has no −0
  const inputs = drawn.map(x => (x?.recipe.kind === 'values' ? { ...x, recipe: { ...x.recipe, values: x.recipe.values.map(asJson64) } } : x))
  const rest: Omit<Case, 'id'> = { op: op.name, attributes, inputs, ...(generator === op.invalid ? { valid: false as const } : {}) }
  return { id: id ?? contentId(rest), ...rest }
}
const asJson64 = (v: Json64): Json64 => (typeof v === 'number' ? toJson64(v) : v)
export const caseOf = (seed: number, op: Op, k: number): Case => build(op, generatorOf(op, k), rawOf(seed, op, k), planId(seed, op.name, k))

// ── Trials of a case ────────────────────────────────────────────────────────────────────────────────────────────────

export interface Way {
  path: string
  mode: string
  naive?: string
}
/** What a case gives on one backend: trials, or why there are none. */
export type Ways = { trials: Way[] } | { declined: string }

/** Paths of a case: one reference serves them all, so that quick backends take more of them. */
const spread = (b: Backend) => (isSlow(b) ? 2 : 6)
/** Paths by the case (the same on every backend of a dialect, so that their outputs can be compared), modes by the backend. External cases: every path, first mode. */
export function waysOf(c: Case, backend: Backend, offered: readonly Lowering<unknown>[], seed: number, k: number, everyPath: boolean): Ways {
  const sayable = offered.flatMap(l => ('path' in l ? [l] : []))
  if (!sayable.length) return { declined: offered.flatMap(l => ('declined' in l ? [l.declined] : []))[0] ?? 'cannot be said' }
  const first = backend.modes[0]!
  const way = (l: (typeof sayable)[number], mode: string): Way => ({ path: l.path, mode, ...('naive' in l ? { naive: l.naive } : {}) })
  if (everyPath) return { trials: sayable.map(l => way(l, first)) }
  const proper = sayable.filter(l => !('naive' in l))
  const naive = sayable.filter(l => 'naive' in l)
  const trials: Way[] = []
  const start = draw(seed, c.op, k, `path ${backend.dialect}`)
  for (let i = 0; i < Math.min(spread(backend), proper.length); i++) {
    // an odd step visits all paths over the cases
    const l = proper[(start + i * (1 + ((start >>> 8) % Math.max(1, proper.length - 1)))) % proper.length]!
    const mode = i === 0 && start & 0x10000 ? first : backend.modes[draw(seed, c.op, k, `mode ${backend.name} ${i}`) % backend.modes.length]!
    if (!trials.some(t => t.path === l.path && t.mode === mode)) trials.push(way(l, mode))
  }
  if (naive.length && (start & 0x60000 || !proper.length)) trials.push(way(naive[(start >>> 4) % naive.length]!, first))
  return { trials }
}

/** Everything that a run needs to know of one case, evaluated once for all backends. */
export interface Planned {
  k: number
  op: Op
  case: Case
  canonical: Case | { declined: string }
  offered: (dialect: Dialect) => readonly Lowering<unknown>[]
}
export function planned(op: Op, c: Case, k: number): Planned {
  const read = canonical(op, c)
  const cache = new Map<Dialect, readonly Lowering<unknown>[]>()
  return {
    k,
    op,
    case: c,
    canonical: read,
    offered(dialect) {
      let known = cache.get(dialect)
      if (!known) cache.set(dialect, (known = lowerings(op, c, read, dialect)))
      return known
    },
  }
}

/** Identity of a plan: runs of different plans are never merged. */
export function planHash(seed: number, ops: readonly Op[], version: string): string {
  const shape = ops.map(op => [op.name, op.valid.fields, op.invalid?.fields])
  return createHash('sha256')
    .update(JSON.stringify([version, seed, shape]))
    .digest('hex')
    .slice(0, 16)
}
