/** Which layers of real models a rule matches (corpora/layers.jsonl.gz). A quantity that a layer does not tell (data, the right result) matches nothing. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { atomsOf, type Predicate, satisfies } from './atoms.ts'
import { type Facts, factsOf } from './facts.ts'
import { canonical } from './lower.ts'
import type { Op } from './types.ts'
import { ROOT } from './version.ts'

export interface Reach {
  model: string
  /** Layers of the model, repetitions counted. */
  layers: number
}
export interface Layer {
  op: string
  attributes: Record<string, number | string | readonly number[]>
  input_shapes: readonly (readonly number[])[]
  models?: Readonly<Record<string, number>>
}
/** A real layer in the op's own terms: defaults filled, its data ordinary numbers. Null: it cannot be read as a case of the op. */
export function layerFacts(op: Op, layer: Pick<Layer, 'op' | 'attributes' | 'input_shapes'>): Facts | null {
  try {
    const c = canonical(op, {
      id: 'layer',
      op: op.name,
      operator: layer.op,
      opset: 13,
      attributes: layer.attributes,
      inputs: layer.input_shapes.map(shape => ({ dtype: 'float32' as const, shape, recipe: { kind: 'normal' as const, seed: 1, scale: 1 } })),
    })
    return 'declined' in c ? null : factsOf(c)
  } catch {
    return null
  }
}
/** "Does my layer match?": for a porter's tool. */
export const layerMatches = (p: Predicate, op: Op, layer: Pick<Layer, 'op' | 'attributes' | 'input_shapes'>): boolean => {
  const facts = layerFacts(op, layer)
  return facts !== null && satisfies(p, facts)
}

const LAYERS = join(ROOT, 'corpora', 'layers.jsonl.gz')
let layers: { layer: Layer; facts: Map<Op, Facts | null> }[] | undefined
function all(): NonNullable<typeof layers> {
  layers ??= existsSync(LAYERS)
    ? gunzipSync(readFileSync(LAYERS))
        .toString('utf8')
        .split('\n')
        .filter(l => l.trim())
        .map(l => ({ layer: JSON.parse(l) as Layer, facts: new Map() }))
    : []
  return layers
}
/** By model, most layers first. A rule that says nothing reaches nothing: it was not learned. */
export function reachOf(op: Op, p: Predicate): Reach[] {
  if (!atomsOf(p).length) return []
  const models = new Map<string, number>()
  for (const entry of all()) {
    if (!op.operators?.includes(entry.layer.op)) continue
    if (!entry.facts.has(op)) entry.facts.set(op, layerFacts(op, entry.layer))
    const facts = entry.facts.get(op)
    if (!facts || !satisfies(p, facts)) continue
    for (const [m, n] of Object.entries(entry.layer.models ?? {})) models.set(m, (models.get(m) ?? 0) + n)
  }
  return [...models].map(([model, n]) => ({ model, layers: n })).sort((a, b) => b.layers - a.layers || (a.model < b.model ? -1 : 1))
}
