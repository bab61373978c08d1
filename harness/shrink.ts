/** A failing case made small: fast-check's shrinker over the generator's flat record, in speculative batches. Limits are counted in candidates, never in seconds. */
import type { DataKind } from './op.ts'
import { partsOf, setParts } from './parts.ts'
import { build, type Raw, rawArbitrary } from './plan.ts'
import type { Case, Field, Generator, Op, RawData } from './types.ts'

/** The case without its identity: two records that build the same one are tried once. */
export const content = (c: Case): string => JSON.stringify([c.attributes, c.inputs])

export interface Shrunk {
  raw: Raw
  case: Case
  candidates: number
  /** No single step makes it smaller; false when the limit came first. */
  minimal: boolean
}

/**
 * @param test runs a batch and says which is the first candidate that still fails in the same way (−1: none); later ones of the batch may be skipped
 * @param batch how many candidates are run at once; the result is the same for every size
 * @param keep records that may be tried: data that show more than impulses stay as they are
 */
export async function shrink(
  op: Op,
  generator: Generator,
  raw: Raw,
  test: (batch: readonly Case[]) => Promise<number>,
  limit: number,
  batch: number,
  keep: (raw: Raw) => boolean = () => true,
): Promise<Shrunk> {
  let current = { raw, case: build(op, generator, raw) }
  const tried = new Set([content(current.case)])
  let candidates = 0
  search: for (;;) {
    let chunk: { raw: Raw; case: Case }[] = []
    const flush = async (): Promise<boolean> => {
      if (!chunk.length) return false
      candidates += chunk.length
      const at = await test(chunk.map(c => c.case))
      if (at < 0) {
        chunk = []
        return false
      }
      current = chunk[at]!
      return true
    }
    for (const smaller of steps(generator, current.raw)) {
      if (!keep(smaller)) continue
      const c = build(op, generator, smaller)
      const key = content(c)
      if (tried.has(key)) continue
      tried.add(key)
      chunk.push({ raw: smaller, case: c })
      if (chunk.length >= batch || candidates + chunk.length >= limit) {
        if (await flush()) continue search
        if (candidates >= limit) return { ...current, candidates, minimal: false }
      }
    }
    if (await flush()) continue
    return { ...current, candidates, minimal: true }
  }
}

/** Every field by itself (fast-check), then pairs of fields at their plainest together: some failures need two attributes to move at once. */
function* steps(generator: Generator, raw: Raw): Generator_<Raw> {
  for (const smaller of rawArbitrary(generator.fields).shrink(raw, undefined)) yield smaller.value
  const names = Object.entries(generator.fields).filter(
    ([name, f]) => (f as { kind: string }).kind === 'int' && raw[name] !== (f as { min: number }).min,
  )
  for (let i = 0; i < names.length; i++)
    for (let j = i + 1; j < names.length; j++)
      yield { ...raw, [names[i]![0]]: (names[i]![1] as { min: number }).min, [names[j]![0]]: (names[j]![1] as { min: number }).min }
}
type Generator_<T> = globalThis.Generator<T>

/**
 * Data of another kind, where the generator has it. Small integers tell zero, constant and ratio apart, which impulses do not; of real numbers no two are
 * equal, so that what is read at a wrong place shows. Null: they are that already, or there are none.
 */
export function strengthened(generator: Generator, raw: Raw, to: DataKind = 'integers'): Raw | null {
  let changed = false
  const out: Raw = { ...raw }
  for (const [name, f] of Object.entries(generator.fields) as [string, Field][]) {
    if (f.kind !== 'data') continue
    const at = f.kinds.indexOf(to)
    const v = raw[name] as RawData
    if (at < 0 || v.kind === at) continue
    out[name] = { ...v, kind: at }
    changed = true
  }
  return changed ? out : null
}
/** Keeps data fields that hold integers from becoming impulses. */
export function keepsIntegers(generator: Generator, from: Raw): (raw: Raw) => boolean {
  const fields = (Object.entries(generator.fields) as [string, Field][]).flatMap(([name, f]) => {
    const at = f.kind === 'data' ? f.kinds.indexOf('integers') : -1
    return at >= 0 && (from[name] as RawData).kind === at ? [{ name, at }] : []
  })
  return raw => fields.every(({ name, at }) => (raw[name] as RawData).kind === at)
}

/** Fields that have no say in the case at their least: equal cases then have equal records. */
export function withoutIdle(op: Op, generator: Generator, raw: Raw): Raw {
  const wanted = content(build(op, generator, raw))
  for (const p of partsOf(generator.fields)) {
    const plain = setParts(raw, [[p, p.min]])
    if (content(build(op, generator, plain)) === wanted) raw = plain
  }
  return raw
}
