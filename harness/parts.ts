/** The numbers of a generator's flat record, one by one: what shrinking and probes move. */
import type { Raw } from './plan.ts'
import type { Field, Fields, RawData } from './types.ts'

export interface Part {
  name: string
  /** Element of a tuple; −1: a number; −2: the kind of a data field; −3: its seed. */
  at: number
  min: number
  max: number
}
export function partsOf(fields: Fields): Part[] {
  return Object.entries(fields).flatMap(([name, f]: [string, Field]): Part[] => {
    if (f.kind === 'int') return [{ name, at: -1, min: f.min, max: f.max }]
    if (f.kind === 'ints') return Array.from({ length: f.count }, (_, at) => ({ name, at, min: f.min, max: f.max }))
    return [
      { name, at: -2, min: 0, max: f.kinds.length - 1 },
      { name, at: -3, min: 0, max: 0xffff },
    ]
  })
}
export const valueAt = (raw: Raw, p: Part): number => {
  const v = raw[p.name]!
  return p.at === -1 ? (v as number) : p.at === -2 ? (v as RawData).kind : p.at === -3 ? (v as RawData).at : (v as number[])[p.at]!
}
export function setParts(raw: Raw, moves: readonly (readonly [Part, number])[]): Raw {
  const out: Raw = { ...raw }
  for (const [p, v] of moves) {
    if (p.at === -1) out[p.name] = v
    else if (p.at === -2) out[p.name] = { ...(out[p.name] as RawData), kind: v }
    else if (p.at === -3) out[p.name] = { ...(out[p.name] as RawData), at: v }
    else out[p.name] = (out[p.name] as number[]).map((w, i) => (i === p.at ? v : w))
  }
  return out
}
