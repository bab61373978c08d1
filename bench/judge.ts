/**
 * Is what was timed right? Only then it gets a rank. The judge is the harness's own; where its reference would take longer than the benchmark (convolutions of
 * billions of products), whole output channels are judged instead of all: the first, the last and evenly spread ones, every position of each. Channels of a
 * convolution are computed independently, so that a chosen channel is judged exactly as in the whole; what is wrong in other channels only stays unseen, and the
 * row says how many were judged.
 */
import { benchOf, judge, type Reference, reference } from '../harness/judge.ts'
import { checksum, realise, sizeOf, tensor } from '../harness/tensor.ts'
import type { Backend, Case, Op, Tensor, TensorSpec } from '../harness/types.ts'
import { isFailing } from '../harness/types.ts'
import type { BenchLayer, Class } from './types.ts'

/** Products that the reference may take: some 0.3 s. */
const PRODUCTS = 4e7
/** Boxes above which the proof over all decisions takes longer than the benchmark of the layer: not judged (smaller counts of the same boxes are). */
const BOXES = 6000

export interface Judged {
  class: Class
  because?: string
}
interface Sample {
  case: Case
  /** Channels of the output that are judged, of how many. */
  channels: readonly number[]
  of: number
}

/** Channels 0 and n − 1 and evenly spread ones between them. */
export const spreadChannels = (n: number, count: number): number[] =>
  count >= n
    ? Array.from({ length: n }, (_, i) => i)
    : [...new Set(Array.from({ length: count }, (_, i) => Math.round((i * (n - 1)) / Math.max(1, count - 1))))]

/** The same convolution with fewer output channels; null: it is small enough, or no convolution. */
export function sampled(layer: BenchLayer): Sample | null {
  const { case: c } = layer
  if (c.op !== 'conv' || layer.flops / 2 <= PRODUCTS) return null
  const [x, w, b] = c.inputs as [TensorSpec, TensorSpec, TensorSpec | null | undefined]
  const filters = w.shape[0]!
  const group = c.attributes.group as number
  const each = filters / group
  const products = layer.flops / 2
  // whole groups, so that the chosen channels still belong together
  const groups = spreadChannels(group, Math.max(1, Math.min(group, Math.floor((group * PRODUCTS) / products))))
  const channels =
    group > 1
      ? groups.flatMap(g => Array.from({ length: each }, (_, i) => g * each + i))
      : spreadChannels(filters, Math.max(1, Math.min(filters, Math.floor((filters * PRODUCTS) / products))))
  const depth = w.shape[1]!
  const inputs: (TensorSpec | null)[] = [
    group > 1
      ? rows(
          x,
          1,
          groups.flatMap(g => Array.from({ length: depth }, (_, i) => g * depth + i)),
        )
      : x,
    rows(w, 0, channels),
    b ? rows(b, 0, channels) : null,
  ]
  return { case: { ...c, attributes: { ...c.attributes, group: group > 1 ? groups.length : 1 }, inputs }, channels, of: filters }
}
/** Some slices of a tensor along an axis, their values written out. */
function rows(spec: TensorSpec, axis: number, chosen: readonly number[]): TensorSpec {
  const t = pick(realise(spec), axis, chosen)
  return { dtype: spec.dtype, shape: t.shape, recipe: { kind: 'values', values: Array.from(t.data as Float32Array) } }
}
export function pick(t: Tensor, axis: number, chosen: readonly number[]): Tensor {
  const outer = sizeOf(t.shape.slice(0, axis))
  const inner = sizeOf(t.shape.slice(axis + 1))
  const n = t.shape[axis]!
  const values = new Float64Array(outer * chosen.length * inner)
  let at = 0
  for (let o = 0; o < outer; o++) for (const c of chosen) for (let i = 0; i < inner; i++) values[at++] = Number(t.data[(o * n + c) * inner + i]!)
  return tensor(t.dtype, [...t.shape.slice(0, axis), chosen.length, ...t.shape.slice(axis + 1)], values)
}

/** One reference for all backends of a layer. */
export function judgeOf(op: Op, layer: BenchLayer): (backend: Backend, outputs: readonly (Tensor | null)[], sum: number) => Judged {
  const sample = sampled(layer)
  const c = sample?.case ?? layer.case
  let ref: Reference | undefined
  let whole: number | undefined
  return (backend, outputs, sum) => {
    const boxes = c.op === 'nms' ? c.inputs[0]!.shape[1]! : 0
    if (boxes > BOXES) return { class: 'not-judged', because: `${boxes} boxes: more than the ${BOXES} whose decisions are proved` }
    try {
      ref ??= reference(op, c)
      whole ??= sample ? checksum(layer.case.inputs.map(s => (s ? realise(s) : null))) : ref.checksum
      if (sum !== whole) return { class: 'not-judged', because: 'the process rebuilt other inputs' }
      const fits = !sample || outputs[0]?.shape[1] === sample.of
      const seen = sample && fits ? [pick(outputs[0]!, 1, sample.channels)] : outputs
      const verdict = judge(c, ref, { status: 'outputs', outputs: seen, checksum: ref.checksum, ms: 0 }, benchOf(backend))
      const part = sample ? `${sample.channels.length} of ${sample.of} channels judged` : undefined
      const because = [part, verdict.because].filter(Boolean).join('; ')
      return { class: classOf(verdict.kind), ...(because ? { because } : {}) }
    } catch (error) {
      return { class: 'not-judged', because: `the reference failed: ${(error as Error).message}` }
    }
  }
}
export function classOf(kind: Parameters<typeof isFailing>[0]): Class {
  if (kind === 'agree' || kind === 'convention') return 'right'
  if (kind === 'precision') return 'less-precise'
  return isFailing(kind) || kind === 'trap' ? 'fast-but-wrong' : 'not-judged'
}
