/** Layers of real models (corpora/layers.jsonl.gz), hand-picked heads and sweeps (extra.ts) as cases of our operations. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { canonical, lowerings } from '../harness/lower.ts'
import { opFor } from '../harness/ops.ts'
import type { Layer } from '../harness/reach.ts'
import { sizeOf } from '../harness/tensor.ts'
import type { Attributes, Case, Dialect, Op, Recipe, Shape, TensorSpec } from '../harness/types.ts'
import { ROOT } from '../harness/version.ts'
import { type Extra, extras, sweeps } from './extra.ts'
import type { BenchLayer } from './types.ts'

const DTYPE_BYTES = { float32: 4, float16: 2, float64: 8, int32: 4, int64: 8, uint8: 1, int8: 1, bool: 1 } as const
/** Opset of the layers' nodes: the models' own are 9 to 11, and none of these operators differs between those and 13 on these shapes. */
const OPSET = 13
/** Bytes of inputs below which a call is nothing but its own overhead. */
const SMALLEST = 1024

/** Ordinary numbers, so that no subnormal and no special value decides a time; weights scaled so that outputs stay near 1. */
function recipeOf(operator: string, i: number, shape: Shape, seed: number): Recipe {
  if (operator === 'BatchNormalization' && (i === 1 || i === 4)) return { kind: 'uniform', seed, low: 0.5, high: 1.5 }
  if (operator === 'Conv' && i === 1) return { kind: 'normal', seed, scale: 1 / Math.sqrt(sizeOf(shape.slice(1))) }
  if (operator === 'ConvTranspose' && i === 1) return { kind: 'normal', seed, scale: 1 / Math.sqrt(shape[0]!) }
  if ((operator === 'Gemm' || operator === 'MatMul') && i === 1) return { kind: 'normal', seed, scale: 1 / Math.sqrt(Math.max(...shape.slice(-2))) }
  if (operator === 'Clip' && i > 0) return { kind: 'constant', value: i === 1 ? 0 : 6 } // ReLU6, what the models' Clip is for
  return { kind: 'normal', seed, scale: 1 }
}
const seedOf = (text: string): number => createHash('sha256').update(text).digest().readUInt16LE(0)

/** `1x64x56x56 64x64x3x3 s1 p1`: shapes, then attributes that are not plain. */
export function nameOf(shapes: readonly Shape[], attributes: Attributes): string {
  const short: Record<string, string> = { strides: 's', pads: 'p', dilations: 'd', group: 'g', axis: 'axis', perm: 'perm' }
  const list = (v: Attributes[string]) => (Array.isArray(v) ? (new Set(v).size === 1 ? `${v[0]}` : v.join('.')) : String(v))
  const plain: Record<string, string> = { strides: '1', pads: '0', dilations: '1', group: '1', auto_pad: 'NOTSET' }
  const said = Object.entries(attributes)
    .filter(([k, v]) => k !== 'kernel_shape' && plain[k] !== list(v))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([k, v]) =>
      short[k] ? `${short[k]}${list(v)}` : `${k}=${list(typeof v === 'number' && !Number.isInteger(v) ? Number(v.toPrecision(3)) : v)}`,
    )
  const kernel = attributes['kernel_shape'] && shapes.length === 1 ? [`k${list(attributes['kernel_shape'])}`] : []
  return [...shapes.map(s => s.join('x') || 'scalar'), ...kernel, ...said].join(' ')
}

function fromNode(ops: ReadonlyMap<string, Op>, l: Layer, source: string): BenchLayer | null {
  const op = opFor(ops, l.op)
  if (!op) return null
  let shapes = l.input_shapes
  const more: (TensorSpec | null)[] = []
  if (l.op === 'Resize') {
    // the file holds shapes, not the scales; in these models (feature pyramids) they are 2
    more.push(null, { dtype: 'float32', shape: [4], recipe: { kind: 'values', values: [1, 1, 2, 2] }, constant: true })
    shapes = shapes.slice(0, 1)
  }
  // shapes that depend on the image are not known in the file, and stand there empty
  if (shapes.some((s, i) => !s.length && !(l.op === 'Clip' && i > 0))) return null
  const name = nameOf(
    shapes.filter(s => s.length),
    { ...l.attributes, ...(l.op === 'Resize' ? { scales: [1, 1, 2, 2] } : {}) },
  )
  const seed = seedOf(`${l.op} ${name}`)
  const inputs = [...shapes.map((shape, i): TensorSpec => ({ dtype: 'float32', shape, recipe: recipeOf(l.op, i, shape, seed + i) })), ...more]
  const read = canonical(op, { id: 'layer', op: op.name, operator: l.op, opset: OPSET, attributes: l.attributes, inputs })
  return 'declined' in read ? null : asLayer(op.name, name, source, { ...read, id: `b-${seedOf(`${op.name} ${name}`)}` })
}
function asLayer(op: string, layer: string, source: string, c: Case): BenchLayer {
  const bytes = c.inputs.reduce((n, s) => n + (s ? sizeOf(s.shape) * DTYPE_BYTES[s.dtype] : 0), 0)
  return { op, layer, source, case: c, flops: flopsOf(c), bytes }
}
const fromExtra = (e: Extra): BenchLayer =>
  asLayer(e.op, e.layer, e.source, { id: `b-${seedOf(`${e.op} ${e.layer}`)}`, op: e.op, attributes: e.attributes, inputs: e.inputs })

/**
 * Multiply-adds × 2 of operations that are bound by arithmetic; 0 for all others. Without an output shape the spatial size is taken from the strides (an
 * estimate, for choosing layers); GFLOP/s are computed with the shape that came out.
 */
export function flopsOf(c: Case, outputShape?: Shape): number {
  const [x, w] = c.inputs
  if (!x || !w) return 0
  const a = c.attributes as { strides?: number[]; group?: number; transA?: number }
  switch (c.op) {
    case 'conv': {
      const spatial = x.shape.slice(2).map((n, i) => Math.ceil(n / (a.strides?.[i] ?? 1)))
      const out = outputShape ? sizeOf(outputShape) : x.shape[0]! * w.shape[0]! * sizeOf(spatial)
      return 2 * out * sizeOf(w.shape.slice(1))
    }
    case 'conv-transpose':
      return 2 * sizeOf(x.shape) * sizeOf(w.shape.slice(1))
    case 'matmul':
    case 'gemm': {
      const inner = c.op === 'gemm' && a.transA ? x.shape.at(-2)! : x.shape.at(-1)!
      return 2 * (outputShape ? sizeOf(outputShape) : (sizeOf(x.shape) / inner) * (sizeOf(w.shape) / inner)) * inner
    }
    default:
      return 0
  }
}

/** Paths as people deploy them: weights that stand in the model, and bias fused where the runtime offers it. */
const PREFERRED: Record<Dialect, readonly RegExp[]> = {
  onnx: [/^constant-(weights|parameters)$/, /^node$/],
  tfjs: [/^fused-.*(same|valid)$/, /^fused-(?!.*nchw).*explicit$/, /^(?!layers-|split-|.*nchw|.*scalars|.*floor).*(same|valid)$/, /^(?!layers-)/],
}
/** Paths of a layer in a dialect: the preferred one, or all proper ones that the patterns match. */
export function pathsOf(op: Op, layer: BenchLayer, dialect: Dialect, wanted?: readonly RegExp[]): string[] {
  const proper = lowerings(op, layer.case, layer.case, dialect).flatMap(l => ('path' in l && !('naive' in l) ? [l.path] : []))
  if (wanted) return proper.filter(p => wanted.some(w => w.test(p)))
  for (const pattern of PREFERRED[dialect]) {
    const hit = proper.find(p => pattern.test(p))
    if (hit) return [hit]
  }
  return proper.slice(0, 1)
}

/** Every layer that is known, by operation; distinct names. */
export function allLayers(ops: ReadonlyMap<string, Op>, withSweeps = false): Map<string, BenchLayer[]> {
  const lines = gunzipSync(readFileSync(join(ROOT, 'corpora', 'layers.jsonl.gz')))
    .toString('utf8')
    .split('\n')
    .filter(Boolean)
    .map(l => JSON.parse(l) as Layer)
  const found = new Map<string, BenchLayer[]>()
  const put = (l: BenchLayer | null) => {
    if (!l || l.bytes < SMALLEST) return
    const list = found.get(l.op) ?? []
    if (!list.some(o => o.layer === l.layer)) found.set(l.op, [...list, l])
  }
  for (const l of lines) {
    const models = Object.entries(l.models ?? {}).sort((a, b) => b[1] - a[1])
    put(fromNode(ops, l, models.map(([m, n]) => `${m.replace('light_', '')} ×${n}`).join(', ')))
  }
  for (const e of withSweeps ? sweeps() : extras()) put(fromExtra(e))
  return found
}
export const sweepLayers = (): BenchLayer[] => sweeps().map(fromExtra)

/** N layers that span the costs of the list evenly, heads and hand-picked ones first: the same choice for the same N. */
export function spread(list: readonly BenchLayer[], n: number): BenchLayer[] {
  const cost = (l: BenchLayer) => l.flops / 20 + l.bytes
  const order = [...list].sort((a, b) => cost(a) - cost(b) || (a.layer < b.layer ? -1 : 1))
  if (order.length <= n) return order
  return Array.from({ length: n }, (_, i) => order[Math.round((i * (order.length - 1)) / Math.max(1, n - 1))]!)
}
