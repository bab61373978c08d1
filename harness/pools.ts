/** What the pools share: attributes, window counts, and the ways of saying a pool in both dialects. An op adds what its windows compute. */
import {
  type Case,
  type Drawn,
  type Expected,
  effective,
  fill,
  fromJson64,
  type GivenNode,
  int,
  type Lowering,
  type OnnxForm,
  type OnnxNode,
  type RawData,
  reshape,
  type Shape,
  type Tensor,
  type TensorSpec,
  type TfjsForm,
  tensor,
  windowCounts,
  without,
  withoutDefaults,
} from './op.ts'
import {
  type Axis,
  autoName,
  axesOf,
  batchOf,
  CHANNELS,
  channelsOf,
  drawWindow,
  imageLast,
  int64,
  layerOnce,
  lift,
  liftPads,
  padNode,
  padRows,
  padsOf,
  padWords,
  type WindowAttributes,
  whyNotSame,
  windowFields,
} from './windows.ts'

export type PoolAttributes = WindowAttributes & { ceil_mode: number }

// ── Geometry ────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface PoolGeometry {
  sizes: Shape
  pads: number[]
  /** Windows along every axis. */
  counts: number[]
  /** The same without ceil_mode, and with ceil_mode before windows that start in the end padding are dropped. */
  floor: number[]
  ceil: number[]
  /** The same windows, rounded down, on other end pads: the last window ends where they end. */
  fitted: number[]
}
/**
 * MaxPool-22: ⌈(in + pb + pe − eff)/s⌉ + 1 windows with ceil_mode, "sliding windows that would start in the right padded region are ignored"; a span of −1 has
 * none or one. With auto_pad the text gives the count itself, the same for both modes: ⌈(in − eff + 1)/s⌉ for VALID, ⌈in/s⌉ for SAME_*.
 */
export function poolGeometry(a: PoolAttributes, sizes: Shape): PoolGeometry {
  const pads = padsOf(a, sizes)
  const rank = sizes.length
  const floor = windowCounts(sizes, { ...a, pads }).map(n => Math.max(0, n))
  const eff = a.kernel_shape.map((k, i) => effective(k, a.dilations[i]!))
  const ceil = sizes.map((n, i) => Math.max(0, Math.ceil((n + pads[i]! + pads[i + rank]! - eff[i]!) / a.strides[i]!) + 1))
  const dropped = ceil.map((count, i) => (count > 0 && (count - 1) * a.strides[i]! >= sizes[i]! + pads[i]! ? count - 1 : count))
  const counts = a.ceil_mode && a.auto_pad === 'NOTSET' ? dropped : floor
  const fitted = pads.map((p, i) => {
    const j = i - rank
    return j < 0 ? p : Math.max(0, (counts[j]! - 1) * a.strides[j]! + eff[j]! - sizes[j]! - pads[j]!)
  })
  return { sizes, pads, counts, floor, ceil, fitted }
}
/**
 * ⌈(in − eff + 1)/s⌉ windows for VALID with ceil_mode is what the text says; ONNX's own shape inference rounds up as without auto_pad. Both are admitted, the text first.
 */
export function eitherCount<A extends PoolAttributes>(a: A, sizes: Shape, expect: (a: A) => readonly Expected[]): readonly Expected[] {
  const text = expect(a)
  const g = poolGeometry(a, sizes)
  if (a.auto_pad !== 'VALID' || !a.ceil_mode || equal(g.ceil, g.floor)) return text
  const up = expect({ ...a, auto_pad: 'NOTSET', pads: g.pads })
  return text.map((expected, j) => ({
    rule: 'either',
    options: [
      { name: 'auto_pad VALID rounds down', expected },
      { name: 'auto_pad VALID rounds up with ceil_mode', expected: up[j]! },
    ],
  }))
}
export const poolAxes = (a: PoolAttributes, g: PoolGeometry): [Axis, Axis, Axis] => axesOf(a, g.pads, g.sizes, g.counts)
const equal = (a: readonly number[], b: readonly number[]) => a.every((v, i) => v === b[i])

// ── Cases ───────────────────────────────────────────────────────────────────────────────────────────────────────────

export const poolFields = {
  own: int(0, 4), // 0 … 2: no dilations, which few TF.js calls take; 3, 4: all that ONNX has
  ...windowFields,
  channels: int(0, CHANNELS.length - 1),
  ceil: int(0, 1),
}
type RawPool = { [K in keyof typeof poolFields]: (typeof poolFields)[K] extends { kind: 'int' } ? number : number[] }
/** Attributes and the shape of x. Pads stay below the kernel, as both dialects ask. */
export function drawPool(raw: RawPool): { attributes: PoolAttributes; shape: number[] } {
  const { window, sizes } = drawWindow(raw, raw.own > 2, kernel => kernel - 1)
  return { attributes: { ...window, ceil_mode: raw.ceil }, shape: [batchOf(raw.batch), channelsOf(raw, raw.channels), ...sizes] }
}

export const spoiltPool = { what: int(0, 9), rank: int(1, 3), axis: int(0, 2), by: int(0, 3) }
/** A plain pool of an image 5 wide, with one thing that the text forbids at one axis. */
export function drawSpoilt(
  raw: { what: number; rank: number; axis: number; by: number; x: RawData },
  kinds: { kinds: readonly string[] },
): Drawn<PoolAttributes> {
  const { what, rank, by } = raw
  const axis = Math.min(raw.axis, rank - 1)
  const at = (plain: number, bad: number) => Array.from({ length: rank }, (_, i) => (i === axis ? bad : plain))
  const all = (v: number) => new Array<number>(rank).fill(v)
  const a = { kernel_shape: all(2), strides: all(1), pads: all(0).concat(all(0)), dilations: all(1), auto_pad: 'NOTSET', ceil_mode: 0 }
  if (what === 0) a.kernel_shape = at(2, 7 + by) // two larger than the image: one larger gives an empty output, which the formula allows
  if (what === 1) a.dilations = at(1, 6 + by) // the same by dilation
  if (what === 2) a.strides = at(1, 0)
  if (what === 3) a.strides = at(1, -1 - by)
  if (what === 4) a.strides = at(1, 1.5)
  if (what === 5) a.kernel_shape = at(2, 0)
  if (what === 6) a.pads = by % 2 ? all(2).concat(all(2)) : at(0, 2 + by).concat(at(0, 2 + by)) // not smaller than the kernel
  if (what === 7) a.pads = at(0, -1).concat(all(0))
  if (what === 8) a.auto_pad = 'SAME'
  if (what === 9) a.dilations = at(1, 0)
  return { attributes: a, inputs: [fill(kinds, raw.x, [1, 2, ...all(5)])] }
}

const defaults = (rank: number): PoolAttributes => {
  const all = (n: number, v: number) => new Array<number>(n).fill(v)
  return { kernel_shape: [], strides: all(rank, 1), dilations: all(rank, 1), pads: all(2 * rank, 0), auto_pad: 'NOTSET', ceil_mode: 0 }
}
/** A pool's node from a file, with the defaults of every opset written out. */
export function readPool<A extends PoolAttributes>(
  { attributes, inputs: [x] }: GivenNode,
  more: Omit<A, keyof PoolAttributes>,
): Drawn<A> | { declined: string } {
  const rank = (x?.shape.length ?? 0) - 2
  if (!x || rank < 1 || rank > 3) return { declined: `a pool over ${rank} spatial axes` }
  if ((attributes.kernel_shape as readonly number[] | undefined)?.length !== rank) return { declined: 'a pool needs a kernel_shape of its rank' }
  return { attributes: { ...defaults(rank), ...more, ...attributes } as A, inputs: [x] }
}

// ── ONNX ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Values of this recipe are never below 0: padding with zeros does not change a maximum. */
export function nonNegative({ dtype, recipe: r }: TensorSpec): boolean {
  if (dtype === 'uint8' || dtype === 'bool') return true
  if (r.kind === 'impulse' || r.kind === 'constant' || r.kind === 'special') return fromJson64(r.value) >= 0
  if (r.kind === 'ramp') return r.start >= 0 && r.step >= 0 && dtype !== 'int8'
  return (r.kind === 'integers' || r.kind === 'uniform') && r.low >= 0
}
/** No NaN, no infinity, and nothing that overflows when it is added to zeros. */
const tame = ({ recipe: r }: TensorSpec) => (r.kind === 'special' ? Math.abs(fromJson64(r.value)) < 1e30 : r.kind !== 'values')

interface OnnxPool {
  operator: string
  /** Newest opset of each definition that can say this case; the first is the one of `node`. */
  opsets: readonly number[]
  /** Defaults of the attributes that are the op's own. */
  more: Record<string, number>
  /** What a Pad in front may hold without changing the result; null: nothing. */
  padding: number | null
}
export function onnxPool(c: Case<PoolAttributes>, { operator, opsets, more, padding }: OnnxPool): Lowering<OnnxForm>[] {
  const a = c.attributes
  const x = c.inputs[0]!
  if (![...a.strides, ...a.pads].every(Number.isInteger)) return [{ declined: 'ONNX attributes are integers' }]
  const rank = a.kernel_shape.length
  const ones = defaults(rank)
  const opset = opsets[0]!
  const pool = (attributes: object, input = 'x0', out = 'y0'): OnnxNode => ({
    op: operator,
    in: [input],
    out: [out],
    attributes: attributes as PoolAttributes,
  })
  // Attributes that a definition lacks must not be written; those that differ from the default choose the opset.
  const written = (at: number, b: PoolAttributes = a) => {
    const older = at < 10 ? ['ceil_mode'] : []
    const plain = b.dilations.every(d => d === 1) && (operator === 'AveragePool' ? at < 19 : at < 10) ? ['dilations'] : []
    return without(b, ...older, ...plain, ...(b.auto_pad === 'NOTSET' || b.pads.some(p => p !== 0) ? [] : ['pads']))
  }
  const alone = (path: string, at: number, attributes: object) => ({ path, form: { opset: at, nodes: [pool(attributes)] } })
  const paths: Lowering<OnnxForm>[] = [alone('node', opset, written(opset))]
  for (const at of opsets.slice(1)) paths.push(alone(`opset-${at}`, at, written(at)))
  if (c.valid === false) return paths
  paths.push(alone('defaults-left-out', opset, withoutDefaults(written(opset), { ...ones, ...more })))

  const g = poolGeometry(a, x.shape.slice(2))
  const explicit = { ...a, auto_pad: 'NOTSET', pads: g.pads, ceil_mode: a.auto_pad === 'NOTSET' ? a.ceil_mode : 0 }
  // A pad is smaller than the kernel; those of SAME_* may not be, when the kernel is dilated.
  const small = (pads: readonly number[]) => pads.every((p, i) => p < a.kernel_shape[i % rank]!)
  if (a.auto_pad !== 'NOTSET') {
    if (small(g.pads)) paths.push(alone('explicit-pads', opset, written(opset, explicit)))
  } else if (equal(g.counts, g.floor))
    for (const auto_pad of ['SAME_UPPER', 'SAME_LOWER', 'VALID'])
      if (equal(padsOf({ ...a, auto_pad }, g.sizes), g.pads))
        paths.push(alone(autoName(auto_pad), opset, without(written(opset, { ...a, auto_pad, ceil_mode: 0 }), 'pads')))

  // Neighbours: a Pad that ORT folds into the pool, a convolution that puts both into its blocked layout.
  const bare = { ...explicit, ceil_mode: 0, pads: ones.pads }
  const filler = { constants: { value: tensor(x.dtype, [], [padding ?? 0]) }, opset: Math.max(13, opset) }
  if (padding !== null && g.fitted.some(p => p > 0)) {
    const { node, amounts } = padNode(g.fitted)
    paths.push({
      path: padding === 0 ? 'zero-pad-node' : 'pad-node',
      form: {
        ...filler,
        constants: { ...filler.constants, amounts },
        nodes: [{ ...node, in: [...node.in, 'value'] }, pool(written(opset, bare), 'padded')],
      },
    })
  }
  if (operator === 'MaxPool' && padding !== null && small(g.fitted)) {
    // One window more in front, cut off again: the Pad and the pool's own pads together exceed the kernel.
    const { node, amounts } = padNode([...a.strides, ...ones.pads.slice(rank)])
    const starts = int64(g.counts.map(() => 1))
    const cut: OnnxNode = { op: 'Slice', in: ['more', 'starts', 'ends', 'axes'], out: ['y0'], attributes: {} }
    const constants = { ...filler.constants, amounts, starts, ends: int64(g.counts.map(n => n + 1)), axes: int64(g.counts.map((_, i) => i + 2)) }
    const nodes = [{ ...node, in: [...node.in, 'value'] }, pool(written(opset, { ...explicit, pads: g.fitted, ceil_mode: 0 }), 'padded', 'more'), cut]
    paths.push({ path: 'pad-pool-slice', form: { ...filler, constants, nodes } })
  }
  const channels = x.shape[1]!
  if (x.dtype === 'float32' && tame(x)) {
    const identity = Float64Array.from({ length: channels * channels }, (_, i) => (i % (channels + 1) === 0 ? 1 : 0))
    const w: Tensor = reshape(tensor('float32', [channels * channels], identity), [channels, channels, ...ones.strides])
    const conv: OnnxNode = { op: 'Conv', in: ['x0', 'w'], out: ['copy'], attributes: { kernel_shape: ones.strides } }
    paths.push({ path: 'behind-conv', form: { opset: Math.max(13, opset), constants: { w }, nodes: [conv, pool(written(opset), 'copy')] } })
  }
  return paths
}

// ── TF.js ───────────────────────────────────────────────────────────────────────────────────────────────────────────

interface TfjsPool {
  kind: 'max' | 'avg'
  /** Padding is no part of the window, as in every pool call of TF.js. */
  excluded: boolean
  /** What tf.pad may put around the image so that a 'valid' pool is this pool; null: nothing. */
  padding: number | null
}
export function tfjsPool(c: Case<PoolAttributes>, { kind, excluded, padding }: TfjsPool): Lowering<TfjsForm>[] {
  const a = c.attributes
  const invalid = c.valid === false
  const rank = a.kernel_shape.length
  const g = poolGeometry(a, c.inputs[0]!.shape.slice(2))
  const words = padWords(a, g.pads, g.sizes)
  const rounded = !equal(g.counts, g.floor) && !invalid // the count is one that only rounding up gives
  const word = rounded ? null : words.valid ? 'valid' : words.same ? 'same' : null
  const dilated = a.dilations.some(d => d !== 1)
  const [kernel, strides, dilations] = [lift(a.kernel_shape, 1), lift(a.strides, 1), lift(a.dilations, 1)]
  const [name, cube, layer] = kind === 'max' ? ['maxPool', 'maxPool3d', 'maxPooling'] : ['avgPool', 'avgPool3d', 'averagePooling']
  const plain = (tf: any, v: any, pad: unknown, ...round: string[]) => tf[rank === 3 ? cube : name](v, kernel, strides, pad, ...round)
  const pool = (tf: any, v: any, pad: unknown) => tf.pool(v, kernel, kind, pad, dilations, strides)
  const rows = (pads: readonly number[]) => (a.auto_pad === 'SAME' ? 'SAME' : padRows(liftPads(pads)))
  const paths: Lowering<TfjsForm>[] = []
  const add = (path: string, call: (tf: any, v: any) => any, naive?: string) => {
    const form = imageLast(rank + 2, true, (tf, t) => call(tf, t[0]))
    paths.push(naive ? { path, form, naive } : { path, form })
  }
  const number = words.number !== null && (rank > 1 || words.number === 0) ? words.number : null

  if (dilated) {
    if (rank === 3) return [{ declined: 'TF.js dilates pools of images only' }]
    if (a.strides.some(s => s !== 1) && !invalid) return [{ declined: 'tf.pool takes no stride next to a dilation' }]
    if (words.valid) add('pool-valid', (tf, v) => pool(tf, v, 'valid'))
    if (invalid) return paths.length ? paths : [{ declined: 'tf.pool ignores pads next to a dilation' }]
    if (padding !== null && !words.valid) add('pad-pool-valid', (tf, v) => pool(tf, tf.pad(v, rows(g.fitted), padding), 'valid'))
    if (excluded && !words.valid && !rounded) add('pool-explicit', (tf, v) => pool(tf, v, rows(g.pads)))
    // With 'same', tf.pool surrounds the image with zeros that count as values (spaceToBatchND).
    if (words.same && !words.valid && !rounded && kind === 'avg' && !excluded) add('pool-same', (tf, v) => pool(tf, v, 'same'))
    if (words.same && !words.valid && !rounded && excluded)
      add('pool-as-same', (tf, v) => pool(tf, v, 'same'), "tf.pool's 'same' counts the zeros around the image")
    return paths.length ? paths : [{ declined: 'tf.pool has no padding that is left out of a mean' }]
  }

  if (excluded || words.valid) {
    if (rank < 3 && !rounded) add('explicit', (tf, v) => plain(tf, v, rows(g.pads)))
    if (words.valid && !rounded) add('valid', (tf, v) => plain(tf, v, 'valid'))
    if (words.same && !rounded && !invalid) add('same', (tf, v) => plain(tf, v, 'same'))
    if (number !== null && !rounded) add('number', (tf, v) => plain(tf, v, number))
    if (invalid) return paths.length ? paths : [{ declined: 'no argument of TF.js says this padding' }]
    if (rank < 3 && !rounded) add('floor', (tf, v) => plain(tf, v, rows(g.pads), 'floor'))
    if (rank < 3 && rounded) add('fitted-pads', (tf, v) => plain(tf, v, rows(g.fitted)))
    const up = rank < 3 ? rows(g.pads) : number
    if (up !== null && a.auto_pad === 'NOTSET' && !equal(g.ceil, g.floor)) {
      if (equal(g.counts, g.ceil)) add('ceil', (tf, v) => plain(tf, v, up, 'ceil'))
      else if (a.ceil_mode) add('as-ceil', (tf, v) => plain(tf, v, up, 'ceil'), "'ceil' keeps a window that starts in the padding at the end")
    }
    if (rank < 3 && word) add('pool', (tf, v) => pool(tf, v, word))
    if (word) {
      const options = { poolSize: [...a.kernel_shape], strides: [...a.strides], padding: word }
      const form = imageLast(rank + 2, false, layerOnce(`${layer}${rank}d`, options))
      paths.push({ path: 'layers', form })
      const first = {
        prepare: (t: readonly (Tensor | null)[]) => t,
        call: (tf: any, t: readonly any[]) => [layerOnce(`${layer}${rank}d`, { ...options, dataFormat: 'channelsFirst' })(tf, t)],
      }
      if (rank > 1) paths.push({ path: 'layers-channels-first', form: first })
    }
  }
  if (invalid) return paths.length ? paths : [{ declined: 'TF.js pools do not count padding' }]
  if (padding !== null && !words.valid) add('pad-valid', (tf, v) => plain(tf, tf.pad(v, rows(g.fitted), padding), 'valid'))
  if (!excluded && !words.valid && rank < 3 && !rounded) add('as-explicit', (tf, v) => plain(tf, v, rows(g.pads)), `tf.${name} never counts padding`)
  const notSame = words.same ? null : whyNotSame(a, number)
  if (notSame && excluded) add('as-same', (tf, v) => plain(tf, v, 'same'), notSame)
  return paths.length ? paths : [{ declined: `tf.${name} has no such padding` }]
}
