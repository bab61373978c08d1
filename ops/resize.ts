/**
 * y(o) = x at the source coordinates c(o), resampled along one axis after the other: the nearest pixel, two (linear) or four (cubic) neighbours or,
 * with antialias, all pixels under a kernel as wide as an output pixel. Coordinates are exact rationals. (ONNX Resize-19)
 */

import type { Arithmetic, DType, Expected, GivenNode, Lowering, Machine, OnnxForm, Real, Shape, Tensor, TensorSpec, TfjsForm } from '../harness/op.ts'
import * as h from '../harness/op.ts'

/** Exactly one of `sizes` and `scales`; these and `roi` (begins, then ends) have an entry per axis of `axes`, or per axis of x without it. */
type A = {
  mode?: string
  coordinate_transformation_mode?: string
  nearest_mode?: string
  cubic_coeff_a?: number
  exclude_outside?: number
  extrapolation_value?: number
  antialias?: number
  keep_aspect_ratio_policy?: string
  axes?: number[]
  sizes?: number[]
  scales?: number[]
  roi?: number[]
}
const DEFAULTS = {
  mode: 'nearest',
  coordinate_transformation_mode: 'half_pixel',
  nearest_mode: 'round_prefer_floor',
  cubic_coeff_a: -0.75,
  exclude_outside: 0,
  extrapolation_value: 0,
  antialias: 0,
  keep_aspect_ratio_policy: 'stretch',
}
type Full = A & typeof DEFAULTS

// ── Geometry ─────────────────────────────────────────────────────────────────

/** p / q with q > 0, both integers below 2⁵³. */
type Ratio = readonly [p: number, q: number]
/** A float32 value is an integer times a power of two. */
function ratioOf(v: number): Ratio {
  let q = 1
  while (!Number.isInteger(v * q)) q *= 2
  return [v * q, q]
}
const floorOf = ([p, q]: Ratio): number => (p - (((p % q) + q) % q)) / q
const powerOfTwo = (n: number): boolean => n > 0 && Number.isInteger(Math.log2(n))
const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b))

/** One axis that is resized: n pixels become `out`; `scale` is what the coordinates use. */
interface Axis {
  axis: number
  n: number
  out: number
  scale: Ratio
  roi: readonly [begin: number, end: number]
}
/**
 * Axes with their output sizes: ⌊n·scale⌋ (scales), the sizes themselves (scale = size/n), or round(n·scale) with one scale for all, the smallest
 * (not_larger) or largest (not_smaller) size/n. Null where the attributes contradict each other.
 */
function geometry(a: Full, shape: Shape): Axis[] | null {
  const list = (a.axes ?? shape.map((_, i) => i)).map(i => (i < 0 ? i + shape.length : i))
  const given = a.sizes ?? a.scales
  const whole = list.every(i => Number.isInteger(i) && i >= 0 && i < shape.length) && new Set(list).size === list.length
  if (!given || (a.sizes && a.scales) || given.length !== list.length || !whole || !given.every(v => v > 0) || shape.some(n => n === 0)) return null
  const crop = a.coordinate_transformation_mode === 'tf_crop_and_resize'
  if (crop && a.roi?.length !== 2 * list.length) return null
  const ratios = list.map((i, k): Ratio => (a.sizes ? [a.sizes[k]!, shape[i]!] : ratioOf(a.scales![k]!)))
  const larger = a.keep_aspect_ratio_policy === 'not_smaller'
  const one = ratios.reduce((s, r) => (r[0] * s[1] > s[0] * r[1] === larger ? r : s))
  const kept = a.sizes !== undefined && a.keep_aspect_ratio_policy !== 'stretch'
  return list.map((axis, k) => {
    const n = shape[axis]!
    const scale = kept ? one : ratios[k]!
    const out = kept ? floorOf([2 * n * scale[0] + scale[1], 2 * scale[1]]) : (a.sizes?.[k] ?? floorOf([n * scale[0], scale[1]]))
    return { axis, n, out, scale, roi: crop ? [a.roi![k]!, a.roi![k + list.length]!] : [0, 1] }
  })
}

/** Source coordinate of output x: the table of Resize-19, tf_half_pixel_for_nn of Resize-11. Divisors called length_resized are whole sizes. */
function coordinate(mode: string, { n, out, scale: [m, d], roi }: Axis, x: number): Ratio {
  switch (mode) {
    case 'asymmetric':
      return [x * d, m]
    case 'align_corners':
      return out === 1 ? [0, 1] : [x * (n - 1), out - 1]
    case 'tf_half_pixel_for_nn':
      return [(2 * x + 1) * d, 2 * m]
    case 'half_pixel_symmetric': // n/2·(1 − out/(n·s)) + (x + ½)/s − ½
      return [(n - 1) * m + (2 * x + 1 - out) * d, 2 * m]
    case 'tf_crop_and_resize': {
      const t = Math.max(ratioOf(roi[0])[1], ratioOf(roi[1])[1])
      const [b, e] = [roi[0] * t, roi[1] * t]
      return out > 1 ? [(b * (out - 1) + x * (e - b)) * (n - 1), t * (out - 1)] : [(b + e) * (n - 1), 2 * t]
    }
    case 'pytorch_half_pixel':
      return out === 1 ? [0, 1] : [(2 * x + 1) * d - m, 2 * m]
    default:
      return [(2 * x + 1) * d - m, 2 * m]
  }
}
/** Every step of the coordinate is exact in float32, in any order: scales are powers of two. */
function exactSteps(mode: string, { n, out, scale, roi }: Axis): boolean {
  const dyadic = (p: number, q: number) => powerOfTwo(p / gcd(p, q)) && powerOfTwo(q / gcd(p, q))
  if (mode === 'align_corners') return n === 1 || out === 1 || dyadic(n - 1, out - 1)
  if (mode === 'tf_crop_and_resize') return (out === 1 || powerOfTwo(out - 1)) && roi.every(v => Number.isInteger(v * 256) && Math.abs(v) < 16)
  return dyadic(...scale) && (mode !== 'half_pixel_symmetric' || out * scale[1] === n * scale[0])
}

/**
 * Terms larger than the coordinate itself that cancel on the way to it: n/2·(1 − out/(n·s)), whose factor is off by up to 7u, or b(n − 1) against
 * x(e − b)(n − 1)/(out − 1). Four u of this go into the coordinate.
 */
const cancelled = (mode: string, { n, roi }: Axis): number =>
  mode === 'half_pixel_symmetric' ? n : mode === 'tf_crop_and_resize' ? n * (Math.abs(roi[0]) + Math.abs(roi[1])) : 0

/** nearest_mode, on the exact value. */
function pixel(mode: string, c: Ratio): number {
  const f = floorOf(c)
  const rest = c[0] - f * c[1] // over c[1]
  if (mode === 'floor') return f
  if (mode === 'ceil') return rest === 0 ? f : f + 1
  return 2 * rest > c[1] || (mode === 'round_prefer_ceil' && 2 * rest === c[1]) ? f + 1 : f
}
/** Keys' cubic kernel with coefficient A: (A+2)|t|³ − (A+3)|t|² + 1 inside 1, A(|t|³ − 5|t|² + 8|t| − 4) inside 2. (IEEE Trans. ASSP 29, 1981) */
function cubic(t: number, A: number): number {
  t = Math.abs(t)
  return t <= 1 ? ((A + 2) * t - (A + 3)) * t * t + 1 : t < 2 ? (((t - 5) * t + 8) * t - 4) * A : 0
}

/** What the outputs of one axis read; lists have an entry per output position. */
interface Taps {
  axis: number
  out: number
  at: number[][]
  weight: number[][]
  /** Pixels under the kernel with weight zero: 0 · NaN and 0 · Inf are open. */
  unread: number[][]
  /** First and last pixel that a coordinate which is off may reach. */
  reach: (readonly [number, number])[]
  /** Result's movement for a coordinate that is off by u, per unit of difference between neighbours (antialias: per unit of Σ|x|). */
  steep: Float64Array
  /** Outside the image (tf_crop_and_resize gives extrapolation_value there), and where rounding decides on that. */
  outside: Uint8Array
  border: Uint8Array
  identity: boolean
}
const OFF = 2 * 2 ** -23 // a coordinate is off by at most 2u(|c| + 1); u of backends that round to either neighbour
const DRIFT = 8 // δ = 8u(|c| + 1): the coordinate and the subtraction of its whole part

function tapsOf(a: Full, g: Axis): Taps {
  const mode = a.coordinate_transformation_mode
  const exact = exactSteps(mode, g)
  const lost = cancelled(mode, g)
  const flags = () => new Uint8Array(g.out)
  const t: Taps = {
    axis: g.axis,
    out: g.out,
    at: [],
    weight: [],
    unread: [],
    reach: [],
    steep: new Float64Array(g.out),
    outside: flags(),
    border: flags(),
    identity: false,
  }
  const clamp = (i: number) => Math.max(0, Math.min(g.n - 1, i))
  const s = a.antialias ? Math.min(1, g.scale[0] / g.scale[1]) : 1
  const half = Math.ceil((a.mode === 'linear' ? 1 : 2) / s)
  const bend = a.mode === 'linear' ? 1 : 1.5 + 2 * Math.abs(a.cubic_coeff_a) // Σ|dw/dt| over differences of neighbours: 3 for A = −0.75
  for (let x = 0; x < g.out; x++) {
    const ratio = coordinate(mode, g, x)
    const c = ratio[0] / ratio[1]
    const off = exact ? 0 : OFF * (Math.abs(c) + 1 + 2 * lost)
    if (mode === 'tf_crop_and_resize') {
      t.outside[x] = c < 0 || c > g.n - 1 ? 1 : 0
      t.border[x] = Math.min(Math.abs(c), Math.abs(c - (g.n - 1))) < off ? 1 : 0
    }
    if (a.mode === 'nearest') {
      const side = (d: number) => clamp(pixel(a.nearest_mode, d === 0 ? ratio : [c + d, 1]))
      t.at.push([...new Set([side(0), side(-off), side(off)])])
      t.weight.push([1])
      continue
    }
    const f = floorOf(ratio)
    const part = (ratio[0] - f * ratio[1]) / ratio[1]
    const weights = new Map<number, number>()
    let all = 0
    let kept = 0
    for (let i = 1 - half; i <= half; i++) {
      const w = a.mode === 'linear' ? Math.max(0, 1 - Math.abs(i - part) * s) : cubic((i - part) * s, a.cubic_coeff_a)
      all += w
      if (a.exclude_outside && clamp(f + i) !== f + i) continue
      kept += w
      weights.set(clamp(f + i), (weights.get(clamp(f + i)) ?? 0) + w)
    }
    const norm = a.exclude_outside ? kept : a.antialias ? all : 1
    const read = [...weights].filter(([, w]) => w !== 0)
    t.at.push(read.map(([i]) => i))
    t.weight.push(read.map(([, w]) => w / norm))
    // An edge may be clamped before or after the neighbours are chosen, and a whole coordinate has a neighbour of weight 0 on either side.
    const lone = read.length < 2 * half || Math.min(part, 1 - part) <= off
    const [least, most] = [Math.min(...t.at[x]!), Math.max(...t.at[x]!)]
    t.unread.push(lone ? [least - 1, most + 1, ...weights.keys()].map(clamp).filter(i => !t.at[x]!.includes(i)) : [])
    t.reach.push([clamp(least - 2), clamp(most + 2)])
    t.steep[x] = ((DRIFT * (Math.abs(c) + 1 + lost / 2) * bend * s) / Math.abs(norm)) * (a.exclude_outside ? 2 : 1)
  }
  const only = (list: number[], x: number) => list.length === 1 && list[0] === x && t.weight[x]![0] === 1
  t.identity = g.n === g.out && t.at.every(only) && !t.outside.includes(1) && !t.border.includes(1)
  if (mode === 'tf_half_pixel_for_nn' && g.scale[0] === g.scale[1]) t.identity = true // its half pixel would move an axis that is not resized
  return t
}

// ── Reference ────────────────────────────────────────────────────────────────

/** One output position along the axis: pixel k is x[start + k·step]. */
type Pass = (t: Taps, o: number, x: Float64Array, start: number, step: number) => number
const sum: Pass = (t, o, x, start, step) => {
  const [at, weight] = [t.at[o]!, t.weight[o]!]
  let s = 0
  for (let i = 0; i < at.length; i++) s += weight[i]! * x[start + at[i]! * step]!
  return s
}
const magnitude: Pass = (t, o, x, start, step) => {
  const [at, weight] = [t.at[o]!, t.weight[o]!]
  let s = 0
  for (let i = 0; i < at.length; i++) s += Math.abs(weight[i]! * x[start + at[i]! * step]!)
  return s
}
/** Largest difference of neighbours under the kernel and in the cells beside it. */
const slope: Pass = (t, o, x, start, step) => {
  const [from, to] = t.reach[o]!
  let most = 0
  for (let k = from; k < to; k++) most = Math.max(most, Math.abs(x[start + (k + 1) * step]! - x[start + k * step]!))
  return most * t.steep[o]!
}
/** With antialias the weights of all pixels move: Σ|x|. */
const support: Pass = (t, o, x, start, step) => {
  const [from, to] = t.reach[o]!
  let s = 0
  for (let k = from; k <= to; k++) s += Math.abs(x[start + k * step]!)
  return s * t.steep[o]!
}
/** 1 where a marked pixel lies under the kernel, with any weight. */
const under: Pass = (t, o, x, start, step) => {
  let most = 0
  for (const list of [t.at[o]!, t.unread[o]!]) for (const k of list) most = Math.max(most, x[start + k * step]!)
  return most
}

/** One pass after the other, each along its own axis. */
function passes(x: Float64Array, shape: Shape, list: readonly Taps[], choose: (t: Taps) => Pass): Float64Array {
  const now = [...shape]
  for (const t of list) {
    const n = now[t.axis]!
    const inner = h.sizeOf(now.slice(t.axis + 1))
    const outer = h.sizeOf(now.slice(0, t.axis))
    const y = new Float64Array(outer * t.out * inner)
    const pass = choose(t)
    for (let j = 0; j < outer; j++)
      for (let i = 0; i < inner; i++) for (let o = 0; o < t.out; o++) y[(j * t.out + o) * inner + i] = pass(t, o, x, j * n * inner + i, inner)
    now[t.axis] = t.out
    x = y
  }
  return x
}
/** 1 for every element whose position along any axis is flagged. */
function spread(list: readonly Taps[], shape: Shape, flagged: (t: Taps, o: number) => boolean): Uint8Array {
  const at = new Uint8Array(h.sizeOf(shape))
  const strides = h.stridesOf(shape)
  for (const t of list) {
    const marks = Array.from({ length: t.out }, (_, o) => flagged(t, o))
    if (marks.includes(true)) for (let i = 0; i < at.length; i++) if (marks[Math.floor(i / strides[t.axis]!) % t.out]) at[i] = 1
  }
  return at
}

const RANGE: Partial<Record<DType, readonly [number, number]>> = { uint8: [0, 255], int8: [-128, 127], int32: [-(2 ** 31), 2 ** 31 - 1] }

/** The definition's answer for output sizes that are settled. */
function resample(a: Full, x: Real, all: readonly Axis[]): Expected {
  const shape = x.shape.map((n, i) => all.find(g => g.axis === i)?.out ?? n)
  const every = x.shape.map((n, axis) => tapsOf(a, all.find(g => g.axis === axis) ?? { axis, n, out: n, scale: [1, 1], roi: [0, 1] }))
  const list = every.filter(t => !t.identity)
  const outside = spread(list, shape, (t, o) => t.outside[o] === 1)
  const border = spread(list, shape, (t, o) => t.border[o] === 1)
  const beyond = h.roundTo(x.dtype, a.extrapolation_value)
  const settled = (v: Float64Array) => v.map((w, i) => (outside[i] ? beyond : w))
  const common = { dtype: x.dtype, shape }

  if (a.mode === 'nearest') {
    const side = (which: number) => {
      const picked = list.map(t => ({ ...t, at: t.at.map(pixels => [pixels.at(which)!]) }))
      return settled(passes(x.data, x.shape, picked, () => sum))
    }
    const jump = spread(list, shape, (t, o) => t.at[o]!.length > 1 || t.border[o] === 1).map((v, i) => (v && (border[i] || !outside[i]) ? 1 : 0))
    const answers = { 'the exact coordinate': side(0), 'the other side': side(-1) }
    return { ...common, rule: 'exact', value: answers['the exact coordinate'], open: h.open('a coordinate on a jump', jump, answers) }
  }

  const value = settled(passes(x.data, x.shape, list, () => sum))
  const b = passes(x.data, x.shape, list, () => magnitude)
  // What coordinates that are off may change, in u: along one axis the slope, the other axes interpolate it.
  const moves = new Float64Array(value.length)
  for (const d of list) {
    const slopes = passes(x.data, x.shape, [d, ...list.filter(t => t !== d)], t => (t !== d ? magnitude : a.antialias ? support : slope))
    for (const [i, v] of slopes.entries()) moves[i]! += v
  }
  const terms = list.reduce((n, t) => n + t.at.reduce((m, p) => Math.max(m, p.length), 0), 0)
  const rate = a.antialias ? terms + 8 : (a.mode === 'linear' ? 4 : 15) * Math.max(2, list.length)
  const range = RANGE[x.dtype]
  /** Casts beyond the type's range are undefined, and 8-bit implementations round and saturate between the axes: elements that meet such a value. */
  const beyondRange = (v: Float64Array) => v.map(w => (range && (w < range[0] || w > range[1]) ? 1 : 0))
  const clipped = beyondRange(value)
  if (range && a.mode === 'cubic')
    for (const d of list) {
      const middle = x.shape.map((n, i) => (i === d.axis ? d.out : n))
      const rest = list.filter(t => t !== d)
      const met = passes(beyondRange(passes(x.data, x.shape, [d], () => sum)), middle, rest, () => under)
      for (const [i, v] of met.entries()) clipped[i] ||= v
    }
  const largest = x.dtype === 'float16' ? 65504 : h.LARGEST
  const allowed = (arithmetic: Arithmetic) => {
    const tiny = x.dtype === 'float16' ? (arithmetic.flushesSubnormals ? 2 ** -14 : 2 ** -24) : h.eta(arithmetic)
    return value.map((_, i) => {
      if (outside[i] || border[i]) return border[i] ? NaN : 0
      const error = arithmetic.u * (rate * b[i]! + moves[i]!) + tiny * 4 * terms + (range ? list.length : 0)
      return b[i]! + error < largest && !clipped[i] ? error : NaN
    })
  }
  const because = `weights ${rate}u·Σ|w||x|, and ${DRIFT}u(|c| + 1) of every coordinate times the slope there${range ? '; rounding to integers is open' : ''}`
  const special = x.data.map(v => (Number.isFinite(v) ? 0 : 1))
  const near = special.includes(1) ? passes(special, x.shape, every, () => under) : null
  if (!near) return { ...common, rule: 'error', value, allowed, because }
  const at = Uint8Array.from(near, (v, i) => (v && Number.isFinite(value[i]!) && !outside[i] ? 1 : 0))
  const answers = { 'a pixel of weight 0 is not read': value, '0 · NaN and 0 · Inf are NaN': value.map((v, i) => (at[i] ? NaN : v)) }
  return { ...common, rule: 'error', value, allowed, because, open: h.open('a non-finite pixel of weight 0', at, answers) }
}

/** The same over a simulated machine: one pass along each axis, weights and sums rounded. */
function simulate(given: A, [x]: readonly (Real | null)[], m: Machine): Real[] {
  const a = fullOf(given)
  const all = geometry(a, x!.shape)!
  const shape = x!.shape.map((n, i) => all.find(g => g.axis === i)?.out ?? n)
  const list = all.map(g => tapsOf(a, g)).filter(t => !t.identity)
  const outside = spread(list, shape, (t, o) => t.outside[o] === 1)
  const weighted: Pass = (t, o, v, start, step) =>
    m.dot(
      t.at[o]!.map(k => v[start + k * step]!),
      t.weight[o]!.map(m.fl),
    )
  const nearest: Pass = (t, o, v, start, step) => v[start + t.at[o]![0]! * step]!
  // a copy is read as it is
  const read = x!.dtype === 'float32' && a.mode !== 'nearest' ? m.read : (v: number) => v
  const y = passes(x!.data.map(read), x!.shape, list, () => (a.mode === 'nearest' ? nearest : weighted))
  const range = RANGE[x!.dtype]
  const stored = (v: number) => (range ? Math.min(range[1], Math.max(range[0], Math.round(v))) : h.roundTo(x!.dtype, v))
  return [{ dtype: x!.dtype, shape, data: y.map((v, i) => (outside[i] ? h.roundTo(x!.dtype, a.extrapolation_value) : stored(v))) }]
}

/** Output sizes whose product n·scale lies within its rounding of the integer above or below: both are admissible, the exact floor first. */
function sizesOf(a: Full, all: readonly Axis[]): { name: string; all: Axis[] }[] {
  let options = [{ name: 'floor of the exact product', all: [...all] }]
  if (!a.scales) return options
  all.forEach((g, k) => {
    const product = (g.n * g.scale[0]) / g.scale[1]
    const next = Math.round(product)
    if (g.n * g.scale[0] === next * g.scale[1] || Math.abs(product - next) > OFF * product) return
    const other = next === g.out ? next - 1 : next
    if (other > 0)
      options = options.flatMap(o => [o, { name: 'floor of the rounded product', all: o.all.map((q, i) => (i === k ? { ...q, out: other } : q)) }])
  })
  return options
}

// ── Lowerings ────────────────────────────────────────────────────────────────

const fullOf = (a: A): Full => ({ ...DEFAULTS, ...a })
/** sizes, scales and roi with an entry for every axis of x. */
function everyAxis(a: Full, shape: Shape): A {
  if (!a.axes) return a
  const at = shape.map((_, i) => a.axes!.findIndex(k => (k + shape.length) % shape.length === i))
  const { axes, sizes, scales, roi, ...rest } = a
  const whole: A = rest
  if (sizes) whole.sizes = at.map((k, i) => (k < 0 ? shape[i]! : sizes[k]!))
  if (scales) whole.scales = at.map(k => (k < 0 ? 1 : scales[k]!))
  if (roi) whole.roi = [...at.map(k => (k < 0 ? 0 : roi[k]!)), ...at.map(k => (k < 0 ? 1 : roi[k + axes.length]!))]
  return whole
}
const attributesOf = (a: A) => h.without(a, 'sizes', 'scales', 'roi')
const tensorsOf = (a: A): Record<string, Tensor> => ({
  ...(a.roi ? { roi: h.tensor('float32', [a.roi.length], a.roi) } : {}),
  ...(a.scales ? { scales: h.tensor('float32', [a.scales.length], a.scales) } : {}),
  ...(a.sizes ? { sizes: h.tensor('int64', [a.sizes.length], a.sizes) } : {}),
})
/** Resize with its parameters as initializers. Opset 11 asks for roi and scales: empty ones where they do not apply. */
function node(opset: number, a: A, x = 'x0', y = 'y0', attributes = attributesOf(a)): OnnxForm {
  const constants = tensorsOf(a)
  if (opset < 13) for (const name of ['roi', 'scales']) constants[name] ??= h.tensor('float32', [0], [])
  const inputs = ['roi', 'scales', 'sizes'].map(name => (constants[name] ? name : ''))
  while (inputs.at(-1) === '') inputs.pop()
  return { opset, nodes: [{ op: 'Resize', in: [x, ...inputs], out: [y], attributes }], constants }
}
/** The same with the parameters fed. */
function fed(form: OnnxForm): OnnxForm {
  const names = Object.keys(form.constants!)
  const nodes = form.nodes.map(n => ({ ...n, in: n.in.map(i => (names.includes(i) ? `x${names.indexOf(i) + 1}` : i)) }))
  return { opset: form.opset, nodes, prepare: ([x]) => [x!, ...names.map(n => form.constants![n]!)] }
}

function onnx(given: A, x: TensorSpec): Lowering<OnnxForm>[] {
  const a = fullOf(given)
  const { shape } = x
  const all = geometry(a, shape)
  const mode = a.coordinate_transformation_mode
  const old = mode === 'tf_half_pixel_for_nn' // of opsets 11 and 12
  if (!all) return [{ path: 'node', form: node(old ? 11 : 19, given) }]
  const newer = a.antialias !== 0 || a.keep_aspect_ratio_policy !== 'stretch'
  if (old && newer) return [{ declined: 'tf_half_pixel_for_nn left the operator before antialias and keep_aspect_ratio_policy came' }]
  const whole = everyAxis(a, shape)
  const stated = old ? h.without(whole, 'antialias', 'keep_aspect_ratio_policy') : whole
  if (old)
    return [
      { path: 'node', form: node(11, stated) },
      { path: 'fed', form: fed(node(11, stated)) },
    ]
  const shorter = (v: A) => h.without(v, 'antialias', 'keep_aspect_ratio_policy') as A
  const paths: Lowering<OnnxForm>[] = [{ path: 'node', form: node(19, a) }]
  const bare = h.withoutDefaults(attributesOf(a), DEFAULTS)
  paths.push({ path: 'defaults-left-out', form: node(19, a, 'x0', 'y0', bare) }, { path: 'fed', form: fed(node(19, a)) })
  if (mode !== 'half_pixel_symmetric') paths.push({ path: 'opset-18', form: node(18, a) })
  if (a.axes && a.keep_aspect_ratio_policy === 'stretch') paths.push({ path: 'all-axes', form: node(19, whole) })
  if (!a.axes && !newer && mode !== 'tf_crop_and_resize') {
    const list = all.filter(g => g.n !== g.out || g.scale[0] !== g.scale[1]).map(g => g.axis)
    const some = (v?: number[]) => v && list.map(i => v[i]!)
    const { sizes, scales, ...rest } = a
    const part: A = { ...rest, axes: list, ...(sizes ? { sizes: some(sizes)! } : { scales: some(scales)! }) }
    if (list.length > 0) paths.push({ path: 'axes', form: node(19, part) })
  }
  if (mode !== 'tf_crop_and_resize') {
    const n = (a.axes ?? shape).length
    paths.push({ path: 'roi-given', form: node(19, { ...a, roi: [...new Array(n).fill(0), ...new Array(n).fill(1)] }) })
  }
  if (!newer && mode !== 'half_pixel_symmetric')
    paths.push({ path: 'opset-13', form: node(13, shorter(whole)) }, { path: 'opset-11', form: node(11, shorter(whole)) })
  if (shape.length === 4 && a.keep_aspect_ratio_policy === 'stretch') {
    const last = [0, 2, 3, 1]
    const moved: A = { ...whole }
    for (const name of ['sizes', 'scales'] as const) if (whole[name]) moved[name] = last.map(i => whole[name]![i]!)
    if (whole.roi) moved.roi = [...last.map(i => whole.roi![i]!), ...last.map(i => whole.roi![i + 4]!)]
    const { nodes, constants } = node(19, moved, 'n', 'm')
    const turn = (from: string, to: string, perm: number[]) => ({ op: 'Transpose', in: [from], out: [to], attributes: { perm } })
    paths.push({ path: 'nhwc', form: { opset: 19, nodes: [turn('x0', 'n', last), ...nodes, turn('m', 'y0', [0, 3, 1, 2])], constants } })
  }
  // size/n is the scale itself where it is a float32 value.
  const proportional = a.keep_aspect_ratio_policy === 'stretch' && all.every(g => g.out * g.scale[1] === g.n * g.scale[0])
  const scales = all.map(g => g.out / g.n)
  const { sizes: _, scales: __, ...neither } = a
  if (proportional && a.scales) paths.push({ path: 'sizes', form: node(19, { ...neither, sizes: all.map(g => g.out) }) })
  if (proportional && a.sizes && scales.every((s, k) => Math.fround(s) === s && s * all[k]!.n === all[k]!.out))
    paths.push({ path: 'scales', form: node(19, { ...neither, scales }) })
  // Before opset 11 only asymmetric coordinates and scales; which pixel is nearest is unsaid where an axis shrinks.
  if (
    whole.scales?.every(s => s >= 1) &&
    mode === 'asymmetric' &&
    (a.mode === 'linear' || (a.mode === 'nearest' && a.nearest_mode === 'floor')) &&
    !newer
  ) {
    const constants = { scales: h.tensor('float32', [shape.length], whole.scales) }
    const early = (op: string, opset: number): OnnxForm => ({
      opset,
      nodes: [{ op, in: ['x0', 'scales'], out: ['y0'], attributes: { mode: a.mode } }],
      constants,
    })
    paths.push({ path: 'opset-10', form: early('Resize', 10) }, { path: 'upsample-9', form: early('Upsample', 9) })
    paths.push({
      path: 'upsample-7',
      form: { opset: 7, nodes: [{ op: 'Upsample', in: ['x0'], out: ['y0'], attributes: { mode: a.mode, scales: whole.scales } }] },
    })
  }
  return paths
}

type Call = (tf: any, image: any) => any
/** The call on N,H,W,C (x of rank 4) or H,W,C (rank 3). */
const image = (rank: number, call: Call): TfjsForm =>
  rank === 4
    ? h.channelsLast(4, (tf, [t]) => call(tf, t))
    : { prepare: ([x]) => [h.permute(x!, [1, 2, 0])], call: (tf, [t]) => [call(tf, t)], finish: ([y]) => [h.permute(y!, [2, 0, 1])] }

function tfjs(given: A, x: TensorSpec): Lowering<TfjsForm>[] {
  const a = fullOf(given)
  const rank = x.shape.length
  const mode = a.coordinate_transformation_mode
  if (rank !== 3 && rank !== 4) return [{ declined: 'tf.image resizes images of rank 3 or 4' }]
  if (a.mode !== 'linear' && a.mode !== 'nearest') return [{ declined: `tf.image has no ${a.mode} resizing` }]
  if (mode === 'tf_crop_and_resize') return [{ declined: 'tf.image.cropAndResize is another operation' }]
  if (a.mode === 'linear' && x.dtype !== 'float32') return [{ declined: 'tf.image.resizeBilinear returns float32' }]
  const all = geometry(a, x.shape)
  const sizes = (all ? x.shape.map((n, i) => all.find(g => g.axis === i)?.out ?? n) : (everyAxis(a, x.shape).sizes ?? [])).slice(-2)
  if (all?.some(g => g.axis < rank - 2 && g.out !== g.n)) return [{ declined: 'tf.image resizes height and width only' }]
  const op = a.mode === 'linear' ? 'resizeBilinear' : 'resizeNearestNeighbor'
  const resize = (...flags: boolean[]) => image(rank, (tf, t) => tf.image[op](t, sizes, ...flags))
  const name = a.mode === 'linear' ? 'bilinear' : 'nearest'
  if (!all) {
    const said = a.sizes?.length === rank && !a.axes && !a.scales && (sizes.some(n => n < 0) || x.shape.includes(0))
    return said
      ? [
          { path: name, form: resize() },
          { path: `${name}-half-pixel`, form: resize(false, true) },
        ]
      : [{ declined: 'tf.image has no argument that could be wrong in this way' }]
  }
  const space = all.filter(g => g.axis >= rank - 2)
  if (all.some(g => g.axis < rank - 2 && g.scale[0] !== g.scale[1])) return [{ declined: 'tf.image resizes height and width only' }]
  const proportional = space.every(g => g.out * g.scale[1] === g.n * g.scale[0])
  const factor = (axis: number) => space.filter(g => g.axis === axis).reduce((_, g) => g.scale[0] / g.scale[1], 1)
  const factors = [factor(rank - 2), factor(rank - 1)]
  const tie = ([p, q]: Ratio) => (2 * p) % q === 0 && p % q !== 0
  const ties = space.some(g => Array.from({ length: g.out }, (_, o) => coordinate(mode, g, o)).some(tie))
  const linear = a.mode === 'linear'
  /** tf rounds halves up. */
  const round = a.nearest_mode === 'round_prefer_ceil' || (a.nearest_mode === 'round_prefer_floor' && !ties)
  const half = mode.includes('half_pixel')
  const single = mode === 'pytorch_half_pixel' && space.some(g => g.out === 1 && g.n > 1)
  const centred = linear ? half && mode !== 'tf_half_pixel_for_nn' : mode === 'tf_half_pixel_for_nn' ? a.nearest_mode === 'floor' : half && round
  const plain = proportional && !a.antialias
  const integer = plain && factors.every(Number.isInteger)
  /** Integer factors put no centre on a jump: floor(x/s) is round((x + ½)/s − ½). */
  const replicates = integer && !linear && half && centred
  const asymmetric = plain && mode === 'asymmetric' && (linear || a.nearest_mode === 'floor')
  const corners = mode === 'align_corners' && !a.antialias && (linear || round)

  const paths: Lowering<TfjsForm>[] = []
  const say = (right: boolean, path: string, form: TfjsForm, naive: string) => paths.push(right ? { path, form } : { path, form, naive })
  const flags = asymmetric || replicates ? [] : corners ? [true] : plain && centred && !single ? [false, true] : null
  say(asymmetric || replicates, name, resize(), 'without flags the source coordinate is x·in/out: no pixel centres, no aligned corners, no antialias')
  if (mode === 'align_corners') say(corners, `${name}-align-corners`, resize(true), 'with alignCorners halves are rounded up')
  if (half)
    say(
      plain && centred && !single,
      `${name}-half-pixel`,
      resize(false, true),
      'the scale is out/in, halves are rounded up, and there is no antialias',
    )
  if (rank !== 4) return paths
  if (flags && x.shape[0] === 1)
    paths.push({
      path: `${name}-rank-3`,
      form: {
        prepare: ([t]) => [h.reshape(h.permute(t!, [0, 2, 3, 1]), [x.shape[2]!, x.shape[3]!, x.shape[1]!])],
        call: (tf, [t]) => [tf.image[op](t, sizes, ...flags)],
        finish: ([y]) => [h.reshape(h.permute(y!, [2, 0, 1]), [1, x.shape[1]!, ...y!.shape.slice(0, 2)])],
      },
    })
  const resizing = image(4, (tf, t) => tf.layers.resizing({ height: sizes[0], width: sizes[1], interpolation: name }).apply(t))
  say(false, 'layers-resizing', resizing, 'the layer takes no coordinate mode, and its documentation names none')
  const upSampling = image(4, (tf, t) => tf.layers.upSampling2d({ size: factors, interpolation: name }).apply(t))
  if (integer && (asymmetric || half)) say(asymmetric || replicates, 'up-sampling-2d', upSampling, 'tf.layers.upSampling2d has no pixel centres')
  return paths
}

/** ONNX Resize of any opset, and Upsample: roi, scales and sizes become attributes; before opset 11 coordinates are asymmetric. */
function fromOnnx({
  operator,
  opset,
  attributes,
  inputs,
  values,
}: GivenNode): { attributes: A; inputs: readonly TensorSpec[] } | { declined: string } {
  const early = operator === 'Upsample' || opset < 11
  const list = (i: number) => {
    const v = inputs[i] ? values(i) : null
    return v && v.length > 0 ? v : undefined
  }
  const a: A = { ...attributes }
  const scales = early ? (a.scales ?? list(1)) : list(2)
  const found = {
    scales,
    sizes: early ? undefined : list(3),
    roi: early || a.coordinate_transformation_mode !== 'tf_crop_and_resize' ? undefined : list(1),
  }
  for (const [name, v] of Object.entries(found)) if (v) Object.assign(a, { [name]: v })
  if (early) Object.assign(a, { coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' })
  if (early && a.mode === 'bilinear') a.mode = 'linear' // Upsample-1
  if (early && (a.mode ?? 'nearest') === 'nearest' && scales?.some(s => s < 1))
    return { declined: 'before opset 11 the text does not say which pixel is nearest when an axis shrinks' }
  return { attributes: a, inputs: [inputs[0]!] }
}

// ── Cases ────────────────────────────────────────────────────────────────────

const MODES = ['nearest', 'linear', 'cubic']
const TRANSFORMS = [
  'half_pixel',
  'asymmetric',
  'align_corners',
  'pytorch_half_pixel',
  'half_pixel_symmetric',
  'tf_half_pixel_for_nn',
  'tf_crop_and_resize',
]
const NEAREST = ['round_prefer_floor', 'round_prefer_ceil', 'floor', 'ceil']
const TYPES: readonly DType[] = ['float32', 'float16', 'uint8', 'int8', 'int32']
const fields = {
  own: h.int(0, 4), // 0…2: what both dialects can say; 3, 4: all that ONNX has
  mode: h.int(0, 2),
  transform: h.int(0, TRANSFORMS.length - 1),
  nearest: h.int(0, 3),
  by: h.int(0, 4), // sizes; integer factors; sixteenths; size/n as float32; twentieths as float32
  rank: h.int(1, 3),
  lead: h.int(0, 2), // axes before the spatial ones: N and C, C, none
  batch: h.int(1, 2),
  channels: h.int(1, 5),
  size: h.axes(1, 48), // the last axis; a third of it for the others
  target: h.axes(1, 48), // … and half of it
  factor: h.axes(1, 64),
  listed: h.int(0, 4), // axes: absent; listed; negative; negative in reverse; the last one only
  outer: h.int(0, 7), // 7: the axis before the spatial ones is resized too
  policy: h.int(0, 2),
  antialias: h.flag,
  exclude: h.flag,
  coeff: h.int(0, 2),
  begin: h.axes(-4, 16), // roi, in sixteenths
  end: h.axes(0, 20),
  extrapolation: h.int(0, 2),
  dtype: h.int(0, TYPES.length - 1),
  x: h.data(),
}

/** Attributes that apply; the record is total: what cannot be had (an empty output, an image too large) is made plainer. */
const valid = h.generator(fields, (raw): { attributes: A; inputs: TensorSpec[] } => {
  const common = raw.own < 3
  const rank = common ? 2 : raw.rank
  const mode = MODES[common ? Math.min(raw.mode, 1) : raw.mode]!
  const last = mode === 'nearest' ? 5 : 4
  const transform = TRANSFORMS[common ? Math.min(raw.transform, last) : mode !== 'nearest' && raw.transform === 5 ? 4 : raw.transform]!
  const crop = transform === 'tf_crop_and_resize'
  const antialias = mode !== 'nearest' && !common && raw.antialias === 1
  const small = rank === 3 ? 2 : 1
  const most = (list: number[], others: number) => list.slice(0, rank).map((v, i) => Math.ceil(v / (i === rank - 1 ? small : small * others)))
  const n = most(raw.size, 3)
  const by = common ? (raw.by < 3 ? 0 : 1) : raw.by
  const sizes = most(raw.target, 2)
  const scales = raw.factor.slice(0, rank).map((v, i) => {
    const [k, m] = [Math.min(Math.ceil(v / small), Math.ceil(1536 / n[i]!)), n[i]!] // at most 96 and a little
    if (by === 1) return Math.ceil(k / 16)
    if (by === 2) return Math.max(k, Math.ceil(16 / m)) / 16
    const s = Math.fround(by === 3 ? sizes[i]! / m : Math.max(k, Math.ceil(20 / m)) / 20)
    return s * m < 1 ? 1 : s
  })
  const each = by === 0 ? sizes : scales
  // Several planes only of small images: what a plane shows, two show, and a reference of tens of thousands of pixels shows no more.
  const pixels = each.reduce((p, v, i) => p * (by === 0 ? v : Math.max(1, v * n[i]!)), 1)
  const planes = [raw.batch, raw.channels].map(v => (pixels * raw.batch * raw.channels > 2048 ? 1 : v))
  const lead = planes.slice(common ? Math.min(raw.lead, 1) : raw.lead)
  const shape = [...lead, ...n]
  const roi = (list: number[]) => list.slice(0, rank).map(v => v / 16)
  const a: A = { mode }
  if (transform !== 'half_pixel') a.coordinate_transformation_mode = transform
  if (mode === 'nearest') {
    const both = transform === 'asymmetric' || transform === 'tf_half_pixel_for_nn' ? 'floor' : NEAREST[Math.min(raw.nearest, 1)]!
    const chosen = common ? both : NEAREST[raw.nearest]!
    if (chosen !== DEFAULTS.nearest_mode) a.nearest_mode = chosen
  }
  if (mode === 'cubic' && raw.coeff > 0) a.cubic_coeff_a = [0, -0.5, Math.fround(-0.6)][raw.coeff]!
  if (antialias) a.antialias = 1
  if ((mode === 'cubic' || antialias) && raw.exclude) a.exclude_outside = 1
  if (crop && raw.extrapolation > 0) a.extrapolation_value = [0, 10, -1.5][raw.extrapolation]!
  // The list of axes and its values, in the order in which the node names them.
  const outer = raw.outer === 7 && !common && lead.length > 0 && raw.listed === 0
  const before: number[] = raw.listed === 0 ? lead.map((v, i) => (by > 0 ? 1 : v) * (outer && i === lead.length - 1 ? 2 : 1)) : []
  let order = n.map((_, i) => i)
  if (raw.listed === 3) order.reverse()
  if (raw.listed === 4) order = [rank - 1]
  if (raw.listed > 0) a.axes = order.map(i => i + lead.length - (raw.listed > 1 ? shape.length : 0))
  a[by === 0 ? 'sizes' : 'scales'] = [...before, ...order.map(i => each[i]!)]
  const [begin, end] = [roi(raw.begin), roi(raw.end)]
  if (crop) a.roi = [...before.map(() => 0), ...order.map(i => begin[i]!), ...before.map(() => 1), ...order.map(i => end[i]!)]
  if (!common && raw.policy > 0 && by === 0 && transform !== 'tf_half_pixel_for_nn') {
    const kept = { ...a, keep_aspect_ratio_policy: ['', 'not_larger', 'not_smaller'][raw.policy]! }
    const out = geometry(fullOf(kept), shape)!
    const total = out.reduce((s, g) => (s / g.n) * g.out, h.sizeOf(shape))
    if (total >= 1 && total <= 2e4 && out.every(g => g.out > 0)) a.keep_aspect_ratio_policy = kept.keep_aspect_ratio_policy
  }
  const dtype = common ? (mode === 'nearest' && raw.dtype > 2 ? 'int32' : 'float32') : TYPES[raw.dtype]!
  return { attributes: a, inputs: [h.fill(fields.x, raw.x, shape, dtype)] }
})

/** One fault each. */
const FAULTS: readonly ((a: A, shape: number[]) => void)[] = [
  a => (a.sizes![3] = 0),
  a => (a.sizes![2] = -1),
  (_, shape) => (shape[2] = 0),
  a => a.sizes!.pop(),
  a => Object.assign(a, { scales: [1, 1, 2, 2] }), // and sizes
  a => delete a.sizes, // nor scales
  a => Object.assign(a, { sizes: undefined, scales: [1, 1, 0, 2] }),
  a => Object.assign(a, { sizes: undefined, scales: [1, 1, 2, -1] }),
  a => Object.assign(a, { sizes: [4, 4], axes: [2, 2] }),
  a => Object.assign(a, { sizes: [4, 4], axes: [2, 4] }),
  a => Object.assign(a, { mode: 'quadratic' }),
]
const faulty = {
  fault: h.int(0, FAULTS.length - 1),
  mode: h.flag,
  channels: h.int(1, 3),
  height: h.int(1, 5),
  width: h.int(1, 5),
  up: h.int(1, 5),
  x: h.data('integers'),
}
const invalid = h.generator(faulty, (raw): { attributes: A; inputs: TensorSpec[] } => {
  const shape = [1, raw.channels, raw.height, raw.width]
  const a: A = { mode: MODES[raw.mode]!, sizes: [1, raw.channels, raw.height + raw.up, raw.width + raw.up] }
  FAULTS[raw.fault]!(a, shape)
  for (const name of ['sizes', 'scales'] as const) if (!a[name]) delete a[name]
  return { attributes: a, inputs: [h.fill(faulty.x, raw.x, shape)] }
})

export default h.defineOp<A>({
  name: 'resize',
  spec: [
    'https://onnx.ai/onnx/operators/onnx__Resize.html',
    'https://onnx.ai/onnx/operators/onnx__Upsample.html',
    'https://js.tensorflow.org/api/latest/#image.resizeBilinear',
    'https://js.tensorflow.org/api/latest/#image.resizeNearestNeighbor',
    'https://js.tensorflow.org/api/latest/#layers.upSampling2d',
  ],
  operators: ['Resize', 'Upsample'],
  valid,
  invalid,
  fromOnnx,
  simulate,
  expect(given, [x]) {
    const a = fullOf(given)
    const all = geometry(a, x!.shape)
    if (!all) throw new Error('resize: sizes, scales, axes and roi do not fit the image')
    const options = sizesOf(a, all).map(o => ({ name: o.name, expected: resample(a, x!, o.all) }))
    return [options.length === 1 ? options[0]!.expected : { rule: 'either', options }]
  },
  onnx: ({ attributes, inputs: [x] }) => onnx(attributes, x!),
  tfjs: ({ attributes, inputs: [x] }) => tfjs(attributes, x!),
})
