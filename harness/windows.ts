/**
 * Windows over space: what convolution and the pools share. Images are N, C, spatial (1 to 3 axes); geometry after ONNX Conv-11, MaxPool-12, AveragePool-19:
 * output o of an axis reads positions o·stride − before + k·dilation, k = 0 … kernel − 1.
 */
import {
  autoPads,
  axes,
  effective,
  gamma,
  int,
  type OnnxNode,
  permute,
  pick,
  type Real,
  reshape,
  type Shape,
  sizeOf,
  type Tensor,
  type TfjsForm,
  tensor,
  toLast,
  toSecond,
  type Window,
} from './op.ts'

export type WindowAttributes = {
  kernel_shape: readonly number[]
  strides: readonly number[]
  pads: readonly number[]
  dilations: readonly number[]
  auto_pad: string
}

// ── Geometry ────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Pads as numbers. Where the total of SAME_* is negative (stride > kernel) nothing is padded: pads are numbers of pixels added, "greater than or equal to 0",
 * and without any the output has the wanted ⌈in/s⌉ pixels: (⌈in/s⌉ − 1)·s < in − eff and in − eff < ⌈in/s⌉·s, so ⌊(in − eff)/s⌋ + 1 = ⌈in/s⌉. TensorFlow says the same.
 */
export const padsOf = (a: WindowAttributes, sizes: Shape): number[] => autoPads(a.auto_pad, sizes, a, a.pads).pads

/** One spatial axis as the references walk it: output o reads positions origin[o] + k·dilation; kernel positions first[o] … end[o] − 1 lie on the image; tap k does so for outputs from[k] … to[k] − 1. */
export interface Axis {
  size: number
  out: number
  kernel: number
  stride: number
  dilation: number
  origin: Int32Array
  first: Int32Array
  end: Int32Array
  from: Int32Array
  to: Int32Array
}
function axisOf(size: number, out: number, kernel: number, stride: number, dilation: number, before: number): Axis {
  const origin = Int32Array.from({ length: out }, (_, o) => o * stride - before)
  const first = origin.map(at => Math.max(0, Math.ceil(-at / dilation)))
  const end = origin.map(at => Math.min(kernel, Math.ceil((size - at) / dilation)))
  const taps = Int32Array.from({ length: kernel }, (_, k) => k * dilation)
  const from = taps.map(t => Math.min(out, Math.max(0, Math.ceil((before - t) / stride))))
  const to = taps.map((t, k) => Math.max(from[k]!, Math.min(out, Math.ceil((size + before - t) / stride))))
  return { size, out, kernel, stride, dilation, origin, first, end, from, to }
}
/** Three axes; those that a 1-D or 2-D image lacks come first, of length 1. */
export function axesOf(a: Window, pads: readonly number[], sizes: Shape, counts: readonly number[]): [Axis, Axis, Axis] {
  const own = sizes.map((size, i) => axisOf(size, counts[i]!, a.kernel_shape[i]!, a.strides[i]!, a.dilations[i]!, pads[i]!))
  const still = axisOf(1, 1, 1, 1, 1, 0)
  return [still, still, ...own].slice(-3) as [Axis, Axis, Axis]
}

// ── Drawing ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Sizes around the tiles of vectorised kernels (4, 8, 16, 32), and channel counts likewise. */
export const SIZES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 17, 31, 33] as const
export const CHANNELS = [1, 2, 3, 4, 5, 8, 15, 16, 17, 32, 33] as const
const AUTO = ['NOTSET', 'NOTSET', 'NOTSET', 'VALID', 'SAME_UPPER', 'SAME_LOWER'] as const

export const windowFields = {
  rank: int(0, 4), // spatial axes: 1, 2, 2, 2, 3
  batch: int(0, 15), // 1 mostly, up to 3; the last one is an empty batch
  /** 0: small in every way; 1: many channels; 2: large images. Never both: a trial stays below a millisecond. */
  spread: int(0, 2),
  size: axes(0, SIZES.length - 1),
  kernel: axes(1, 5),
  strides: axes(1, 4),
  dilations: axes(1, 3),
  begin: axes(0, 4),
  end: axes(0, 4),
  auto: int(0, AUTO.length - 1),
}
type RawWindow = { [K in keyof typeof windowFields]: (typeof windowFields)[K] extends { kind: 'int' } ? number : number[] }

export const rankOf = (raw: number): number => pick([1, 2, 2, 2, 3], raw)
export const batchOf = (raw: number): number => (raw === 15 ? 0 : raw > 12 ? 3 : raw > 8 ? 2 : 1)
export const channelsOf = (raw: { rank: number; spread: number }, index: number): number =>
  Math.min(pick(CHANNELS, index), raw.spread === 1 ? (rankOf(raw.rank) === 3 ? 17 : 33) : 4)

/** Attributes and spatial sizes of a draw; the image grows until it holds a window. `dilated: false` keeps to what every pool has. `limit` bounds a pad by its kernel. */
export function drawWindow(raw: RawWindow, dilated: boolean, limit: (kernel: number) => number): { window: WindowAttributes; sizes: number[] } {
  const rank = rankOf(raw.rank)
  const first = <T>(v: readonly T[]) => v.slice(0, rank)
  const largest = raw.spread === 2 ? ([33, 17, 9] as const)[rank - 1]! : raw.spread === 1 ? [17, 5, 3][rank - 1]! : 9
  const auto_pad = pick(AUTO, raw.auto)
  const kernel_shape = first(raw.kernel).map(k => Math.min(k, rank === 3 ? 3 : 5))
  const dilations = dilated ? first(raw.dilations) : first([1, 1, 1])
  const pads = [...first(raw.begin), ...first(raw.end)].map((p, i) => (auto_pad === 'NOTSET' ? Math.min(p, limit(kernel_shape[i % rank]!)) : 0))
  const sizes = first(raw.size).map((index, i) => {
    const least = auto_pad.startsWith('SAME') ? 1 : effective(kernel_shape[i]!, dilations[i]!) - pads[i]! - pads[i + rank]!
    // the last axis is the one that kernels vectorise
    return Math.max(1, least, Math.min(pick(SIZES, index), i === rank - 1 && rank > 1 ? largest * 2 - 1 : largest))
  })
  return { window: { kernel_shape, strides: first(raw.strides), pads, dilations, auto_pad }, sizes }
}

// ── Bounds ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** |v| where it is subnormal in the dtype (flushed inputs lose it), and |v| elsewhere; null where nothing is subnormal. */
export function subnormals(t: Real): { small: Float64Array; rest: Float64Array } | null {
  const least = t.dtype === 'float16' ? 2 ** -14 : 2 ** -126
  if (!t.data.some(v => v !== 0 && Math.abs(v) < least)) return null
  return { small: t.data.map(v => (Math.abs(v) < least ? Math.abs(v) : 0)), rest: t.data.map(v => (Math.abs(v) < least ? 0 : Math.abs(v))) }
}
/**
 * What Winograd F(6, 3) (stride 1, 3 × 3; Barabasz et al., TOMS 2020) and FFT (stride 1; Higham 2002, Theorem 24.2) may err, the larger of the two:
 * γ(34 + C)·1565·Σ_c ‖w_mc‖₁·max|x_c| and u·(21·log₂(4N) + 3 + C)·Σ_c ‖x_c‖₂·‖w_mc‖₂. One value for a plane of the output.
 */
export function fastBound(x: Real, w: Real, group: number, pixels: number): Float64Array {
  const [batch, channels] = x.shape as [number, number]
  const [filters, depth] = w.shape as [number, number]
  const norms = (t: Real, count: number) =>
    Array.from({ length: count }, (_, i) => {
      const part = t.data.subarray((i * t.data.length) / count, ((i + 1) * t.data.length) / count)
      return part.reduce((a, v) => ({ one: a.one + Math.abs(v), two: a.two + v * v, max: Math.max(a.max, Math.abs(v)) }), { one: 0, two: 0, max: 0 })
    })
  const [xs, ws] = [norms(x, batch * channels), norms(w, filters * depth)]
  const fft = 2 ** -24 * (21 * Math.log2(4 * sizeOf(x.shape.slice(2)) + 4) + 3 + depth)
  const out = new Float64Array(batch * filters * pixels)
  for (let n = 0; n < batch; n++)
    for (let m = 0; m < filters; m++) {
      let [winograd, spectrum] = [0, 0]
      for (let c = 0; c < depth; c++) {
        const [a, b] = [xs[n * channels + Math.floor((m * group) / filters) * depth + c]!, ws[m * depth + c]!]
        winograd += b.one * a.max
        spectrum += Math.sqrt(a.two * b.two)
      }
      const possible = w.shape.length === 4 && w.shape[2] === 3 && w.shape[3] === 3
      out.fill(
        Math.max(possible ? gamma(34 + depth, 2 ** -24) * 1565 * winograd : 0, fft * spectrum),
        (n * filters + m) * pixels,
        (n * filters + m + 1) * pixels,
      )
    }
  return out
}

// ── TF.js forms ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** A 1-D signal is said as an image of height 1: leading entries for the axes that it lacks. */
export const lift = (v: readonly number[], fill: number): number[] => (v.length === 1 ? [fill, ...v] : [...v])
/** [[0,0],[top,bottom],[left,right],[0,0]] of pads (all begins, then all ends), for every rank; the form that tf.pad and TF.js's explicit padding share. */
export function padRows(pads: readonly number[], layout: 'NHWC' | 'NCHW' = 'NHWC'): [number, number][] {
  const rank = pads.length / 2
  const rows = Array.from({ length: rank }, (_, i): [number, number] => [pads[i]!, pads[i + rank]!])
  return layout === 'NHWC' ? [[0, 0], ...rows, [0, 0]] : [[0, 0], [0, 0], ...rows]
}
export const liftPads = (pads: readonly number[]): number[] => (pads.length === 2 ? [0, pads[0]!, 0, pads[1]!] : [...pads])

/** What TF.js's pad words mean here: are these pads those of 'valid', of 'same', or one number on all sides? */
export function padWords(a: Window, pads: readonly number[], sizes: Shape): { valid: boolean; same: boolean; number: number | null } {
  const upper = autoPads('SAME_UPPER', sizes, a, pads).pads
  return {
    valid: pads.every(p => p === 0),
    same: pads.every((p, i) => p === upper[i]),
    number: pads.every(p => p === pads[0]) ? pads[0]! : null,
  }
}

/** A layer with given weights (all inputs but the first), applied once and released. */
export const layerOnce = (name: string, options: object) => (tf: any, t: readonly any[]) => {
  const layer = tf.layers[name](options)
  layer.build(t[0].shape)
  try {
    if (t.length > 1) layer.setWeights(t.slice(1).filter(w => w))
    return layer.apply(t[0])
  } finally {
    for (const w of layer.weights) w.dispose()
  }
}

type Call = (tf: any, t: readonly any[]) => any
type Convert = (t: Tensor, i: number) => Tensor
const image = (x: Tensor): Tensor => (x.shape.length === 3 ? reshape(x, [x.shape[0]!, x.shape[1]!, 1, x.shape[2]!]) : x)
const signal = (y: Tensor): Tensor => reshape(y, [y.shape[0]!, y.shape[1]!, y.shape[3]!])
/** Host-side conversions around a call that wants N, spatial, C: input 0 and the first output are converted, other inputs by `others`; a signal becomes an image where `lifted`. */
export function imageLast(rank: number, lifted: boolean, call: Call, others: Convert = t => t): TfjsForm {
  const height = lifted && rank === 3
  const last = (x: Tensor) => permute(height ? image(x) : x, toLast(height ? 4 : rank))
  return {
    prepare: t => t.map((x, i) => x && (i === 0 ? last(x) : others(x, i))),
    call: (tf, t) => [call(tf, t)],
    finish: ([y]) => {
      const back = permute(y!, toSecond(y!.shape.length))
      return [height ? signal(back) : back]
    },
  }
}
/** The same for a call that takes N, C, height, width. */
export const imageFirst = (rank: number, call: Call, others: Convert = t => t): TfjsForm => ({
  prepare: t => t.map((x, i) => x && (i === 0 ? image(x) : others(x, i))),
  call: (tf, t) => [call(tf, t)],
  finish: ([y]) => [rank === 3 ? signal(y!) : y!],
})

/** W [M, D, kernel] with zeros between the taps, so that the dilation is part of the kernel: TF.js takes no stride next to a dilation. */
export function stuffed(w: Tensor, dilations: readonly number[]): Tensor {
  const kernel = w.shape.slice(2)
  const shape = [...w.shape.slice(0, 2), ...kernel.map((k, i) => (k - 1) * dilations[i]! + 1)]
  const out = new Float32Array(sizeOf(shape))
  const [from, to] = [[1, 1, ...kernel].slice(-3), [1, 1, ...shape.slice(2)].slice(-3)] as [number[], number[]]
  const step = [1, 1, ...dilations].slice(-3)
  for (let i = 0; i < w.data.length; i++) {
    const [p, z, y, x] = [
      Math.floor(i / (from[0]! * from[1]! * from[2]!)),
      Math.floor(i / (from[1]! * from[2]!)) % from[0]!,
      Math.floor(i / from[2]!) % from[1]!,
      i % from[2]!,
    ]
    out[((p * to[0]! + z * step[0]!) * to[1]! + y * step[1]!) * to[2]! + x * step[2]!] = w.data[i] as number
  }
  return { dtype: w.dtype, shape, data: out }
}

/** Groups as TF.js can write them: channels of x and filters of w (both last axes) in `group` parts, one convolution each, joined. */
export function inGroups(tf: any, group: number, x: any, w: any, conv: (x: any, w: any) => any): any {
  const [xs, ws] = [tf.split(x, group, x.rank - 1), tf.split(w, group, w.rank - 1)]
  return tf.concat(
    xs.map((v: any, i: number) => conv(v, ws[i])),
    x.rank - 1,
  )
}
/** Why pads that are not those of 'same' are often said so all the same; null where nobody would. `number`: the one pad of all sides. */
export function whyNotSame(a: WindowAttributes, number: number | null): string | null {
  if (a.auto_pad === 'SAME_LOWER') return "'same' puts the odd pixel at the end"
  if (a.auto_pad === 'NOTSET' && number && a.strides.some(s => s > 1)) return "'same' pads an even image less than the fixed pads of a PyTorch model"
  return null
}

// ── ONNX forms ──────────────────────────────────────────────────────────────────────────────────────────────────────

export const int64 = (v: readonly number[]): Tensor => tensor('int64', [v.length], v)
/** `SAME_UPPER` → `same-upper`, the name of a path. */
export const autoName = (auto_pad: string): string => auto_pad.toLowerCase().replace('_', '-')
/** x0 with these pads around its spatial axes, as `padded`; `amounts` is a constant of the model. */
export function padNode(pads: readonly number[]): { node: OnnxNode; amounts: Tensor } {
  const rank = pads.length / 2
  return {
    node: { op: 'Pad', in: ['x0', 'amounts'], out: ['padded'], attributes: { mode: 'constant' } },
    amounts: int64([0, 0, ...pads.slice(0, rank), 0, 0, ...pads.slice(rank)]),
  }
}
