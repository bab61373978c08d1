/** Which layers of real models a rule matches (corpora/layers.jsonl.gz). A quantity that a layer does not tell (data, the right result) matches nothing. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { atomsOf, type Predicate, satisfies } from './atoms.ts'
import { type Facts, factsOf } from './facts.ts'
import { canonical, lowerings } from './lower.ts'
import type { Case, Dialect, Op } from './types.ts'
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
/** A real layer as a case in the op's own terms: defaults filled, its data ordinary numbers. Null: it cannot be read as one. */
function layerCase(op: Op, layer: Pick<Layer, 'op' | 'attributes' | 'input_shapes'>): Case | null {
  try {
    const c = canonical(op, {
      id: 'layer',
      op: op.name,
      operator: layer.op,
      opset: 13,
      attributes: layer.attributes,
      inputs: layer.input_shapes.map(shape => ({ dtype: 'float32' as const, shape, recipe: { kind: 'normal' as const, seed: 1, scale: 1 } })),
    })
    return 'declined' in c ? null : c
  } catch {
    return null
  }
}
/** "Does my layer match?": for a porter's tool. */
export const layerMatches = (p: Predicate, op: Op, layer: Pick<Layer, 'op' | 'attributes' | 'input_shapes'>): boolean => {
  const c = layerCase(op, layer)
  return c !== null && satisfies(p, factsOf(c))
}

const LAYERS = join(ROOT, 'corpora', 'layers.jsonl.gz')
interface Read {
  facts: Facts
  paths: Record<Dialect, ReadonlySet<string>>
}
let layers: { layer: Layer; as: Map<Op, Read | null> }[] | undefined
function all(): NonNullable<typeof layers> {
  layers ??= existsSync(LAYERS)
    ? gunzipSync(readFileSync(LAYERS))
        .toString('utf8')
        .split('\n')
        .filter(l => l.trim())
        .map(l => ({ layer: JSON.parse(l) as Layer, as: new Map() }))
    : []
  return layers
}
function read(op: Op, layer: Layer): Read | null {
  const c = layerCase(op, layer)
  if (!c) return null
  const paths = (d: Dialect): ReadonlySet<string> => {
    try {
      return new Set(lowerings(op, c, c, d).flatMap(l => ('path' in l ? [l.path] : [])))
    } catch {
      return new Set() // a layer that lacks what every way of saying it needs
    }
  }
  return { facts: factsOf(c), paths: { onnx: paths('onnx'), tfjs: paths('tfjs') } }
}
/** By model, most layers first: layers for which the rule holds and which one of the paths can say. A rule that says nothing reaches nothing: it was not learned. */
export function reachOf(op: Op, p: Predicate, dialect: Dialect, paths: readonly string[]): Reach[] {
  if (!atomsOf(p).length) return []
  const models = new Map<string, number>()
  for (const entry of all()) {
    if (!op.operators?.includes(entry.layer.op)) continue
    if (!entry.as.has(op)) entry.as.set(op, read(op, entry.layer))
    const layer = entry.as.get(op)
    if (!layer || !satisfies(p, layer.facts) || !paths.some(x => layer.paths[dialect].has(x))) continue
    for (const [m, n] of Object.entries(entry.layer.models ?? {})) models.set(m, (models.get(m) ?? 0) + n)
  }
  return [...models].map(([model, n]) => ({ model, layers: n })).sort((a, b) => b.layers - a.layers || (a.model < b.model ? -1 : 1))
}
