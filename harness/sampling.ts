/**
 * Images read between their pixels: what crops, warps, grids and regions of interest share. Images are N, C, spatial; a sample has one coordinate per spatial axis,
 * in pixels (pixel i lies at i), and every channel of an image is read at the same places. Formulas of coordinates are written once, over an arithmetic:
 * `EXACT` for the reference, a simulated `Machine` for calibration.
 */
import { type Arithmetic, type Expected, eta, LARGEST, type Machine, open, type Real, type Shape, sizeOf, type Tensor, tensor } from './op.ts'

/** What a coordinate's formula needs of an arithmetic. */
export type Steps = Pick<Machine, 'add' | 'sub' | 'mul' | 'div'>
export const EXACT: Steps = { add: (a, b) => a + b, sub: (a, b) => a - b, mul: (a, b) => a * b, div: (a, b) => a / b }

/** u of backends that round to either neighbour: decisions closer to a jump than `off` of it are not certain. */
export const looseU = (dtype: Real['dtype']): number => (dtype === 'float16' ? 2 ** -10 : 2 ** -23)
/** Bits after the point; Infinity where more than 20 are needed. */
export function fraction(v: number): number {
  for (let q = 0; q <= 20; q++) if (Number.isInteger(v * 2 ** q)) return q
  return Infinity
}
export const powerOfTwo = (n: number): boolean => n > 0 && Number.isInteger(Math.log2(n))

/** v/d; by a power of two it is a product with the reciprocal, exact on everything. */
export const over = (m: Steps, v: number, d: number): number => (powerOfTwo(d) ? m.mul(v, 1 / d) : m.div(v, d))

/** Index that is read for pixel i of n; −1: the fill value. */
export type Pad = (i: number, n: number) => number
export const PADS = {
  fill: (i, n) => (i < 0 || i >= n ? -1 : i),
  clamp: (i, n) => Math.max(0, Math.min(n - 1, i)),
  wrap: (i, n) => ((i % n) + n) % n,
  /** About the outer edges of the first and last pixel: d c b a | a b c d | d c b a. */
  reflectEdges: (i, n) => {
    const k = ((i % (2 * n)) + 2 * n) % (2 * n)
    return k < n ? k : 2 * n - 1 - k
  },
  /** About the centres of the first and last pixel: d c b | a b c d | c b a. */
  reflectCentres: (i, n) => {
    if (n === 1) return 0
    const k = ((i % (2 * n - 2)) + 2 * n - 2) % (2 * n - 2)
    return k < n ? k : 2 * n - 2 - k
  },
} satisfies Record<string, Pad>

export type Mode = 'nearest' | 'linear' | 'cubic'
/** Where all channels of the images are read. Output element: (group·C + channel)·positions + position. */
export interface Plan {
  mode: Mode
  groups: number
  positions: number
  /** Which image of the batch a group reads. */
  image: (group: number) => number
  /** Coordinates, one per spatial axis, or null where the fill value is the answer. */
  at: (m: Steps, group: number, position: number) => readonly number[] | null
  /** By how many u each of them may be off; 0: every step is exact. */
  off: (group: number, position: number, c: readonly number[]) => readonly number[]
  pad: Pad
  fill: (channel: number) => number
  /** Nearest pixel of a coordinate. */
  round: (c: number) => number
  /** Second rule for exact ties, where the text leaves them open. */
  tie?: (c: number) => number
  /** Coordinates folded into the image before they are read. */
  fold?: (c: number, n: number) => number
}
/** Halves up, away from zero, to even. */
export const halfUp = (c: number): number => Math.floor(c + 0.5)
export const halfAway = (c: number): number => (c < 0 ? -Math.floor(0.5 - c) : Math.floor(c + 0.5))

/** Keys' kernel with coefficient −3/4: 1.25|t|³ − 2.25|t|² + 1 inside 1, −0.75(|t|³ − 5|t|² + 8|t| − 4) inside 2. (IEEE Trans. ASSP 29, 1981; ONNX GridSample) */
function cubic(t: number): number {
  const a = Math.abs(t)
  return a <= 1 ? (1.25 * a - 2.25) * a * a + 1 : a < 2 ? -0.75 * (((a - 5) * a + 8) * a - 4) : 0
}

export interface Sampled {
  value: Float64Array
  /** Σ|w||x|. */
  magnitude: Float64Array
  /** Largest |x| within reach: differences and sums along one axis are as large, whatever the weights of the others. */
  peak: Float64Array
  /** What coordinates that are off may change, per u. */
  moves: Float64Array
  /** Integers under weights of few bits: exact in any order. */
  exact: Uint8Array
  /** A decision that rounding may turn, and the answer on its other side. */
  jump: Uint8Array
  other: Float64Array
  /** A non-finite pixel under weight 0 (0 · NaN is open). */
  unread: Uint8Array
  /** The coordinate is not finite, or so large that nothing is certain. */
  nowhere: Uint8Array
}

export function sample(x: Real, p: Plan): Sampled {
  const [, channels, ...sizes] = x.shape as [number, number, ...number[]]
  const rank = sizes.length
  const plane = sizeOf(sizes)
  const size = p.groups * channels * p.positions
  const make = () => new Float64Array(size)
  const s: Sampled = {
    value: make(),
    magnitude: make(),
    peak: make(),
    moves: make(),
    exact: new Uint8Array(size),
    jump: new Uint8Array(size),
    other: make(),
    unread: new Uint8Array(size),
    nowhere: new Uint8Array(size),
  }
  const U = looseU(x.dtype)
  const strides = sizes.map((_, d) => sizeOf(sizes.slice(d + 1)))
  const bend = p.mode === 'cubic' ? 3 * 1.375 ** (rank - 1) : 1 // Σ|dw/dt| over differences of neighbours, times Σ|w| of the other axes
  /** All combinations of one entry per axis → offset in the plane (−1: fill), in row-major order of the lists. */
  const block = (lists: readonly (readonly number[])[]): number[] => {
    let all = [0]
    for (let d = 0; d < rank; d++) {
      const next: number[] = []
      for (const o of all)
        for (const i of lists[d]!) {
          const k = o < 0 ? -1 : p.pad(i, sizes[d]!)
          next.push(k < 0 ? -1 : o + k * strides[d]!)
        }
      all = next
    }
    return all
  }
  const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i)
  for (let g = 0; g < p.groups; g++)
    for (let at = 0; at < p.positions; at++) {
      const first = g * channels * p.positions + at
      const raw = p.at(EXACT, g, at)
      if (raw === null || !raw.every(v => Math.abs(v) < 2 ** 22)) {
        for (let ch = 0; ch < channels; ch++) {
          const i = first + ch * p.positions
          s.value[i] = s.other[i] = p.fill(ch)
          s.exact[i] = 1
          if (raw) s.nowhere[i] = 1
        }
        continue
      }
      const off = p.off(g, at, raw)
      const lost = off.some(v => !(v * U < 0.5)) // nothing is known of such a coordinate
      const reach = off.map(v => (lost ? 0 : v * U))
      const fold = p.fold ?? ((c: number) => c)
      const c = raw.map((v, d) => fold(v, sizes[d]!))
      const low = raw.map((v, d) => fold(v - reach[d]!, sizes[d]!))
      const high = raw.map((v, d) => fold(v + reach[d]!, sizes[d]!))
      const image = p.image(g) * channels * plane
      if (p.mode === 'nearest') {
        const tied = p.tie && c.some(v => v - Math.floor(v) === 0.5) ? p.tie : null
        const main = block(c.map(v => [p.round(v)]))[0]!
        const sides: number[] = []
        if (c.some((v, d) => p.round(low[d]!) !== p.round(v) || p.round(high[d]!) !== p.round(v))) {
          // Each axis may turn by itself, or all of them; the first that reads another pixel stands for the rest.
          for (const side of [low, high]) {
            sides.push(block(side.map(v => [p.round(v)]))[0]!)
            for (let d = 0; d < rank; d++) sides.push(block(c.map((v, e) => [p.round(e === d ? side[d]! : v)]))[0]!)
          }
        }
        if (tied) sides.push(block(c.map(v => [tied(v)]))[0]!)
        const turned = sides.filter(o => o !== main)
        for (let ch = 0; ch < channels; ch++) {
          const i = first + ch * p.positions
          const read = (o: number) => (o < 0 ? p.fill(ch) : x.data[image + ch * plane + o]!)
          s.value[i] = read(main)
          s.other[i] = turned.length ? read(turned[0]!) : s.value[i]!
          s.jump[i] = lost || turned.length ? 1 : 0
        }
        continue
      }
      const leap = lost || raw.some((_, d) => Math.max(Math.abs(low[d]! - c[d]!), Math.abs(high[d]! - c[d]!)) > 2 * reach[d]! + 1e-9)
      const floor = c.map(Math.floor)
      const lists = floor.map(f => (p.mode === 'linear' ? [f, f + 1] : [f - 1, f, f + 1, f + 2]))
      let weights = [1]
      c.forEach((v, d) => {
        const each = lists[d]!.map(i => (p.mode === 'linear' ? Math.max(0, 1 - Math.abs(v - i)) : cubic(v - i)))
        weights = weights.flatMap(w => each.map(e => w * e))
      })
      const taps = block(lists)
      // Every pixel that a coordinate which is off may reach, and how far neighbours differ there.
      const wide = p.mode === 'linear' ? 0 : 1
      const spans = c.map((_, d) => {
        const ends = [low[d]!, c[d]!, high[d]!].filter(v => Math.abs(v - c[d]!) < 1)
        return range(Math.floor(Math.min(...ends)) - wide, Math.floor(Math.max(...ends)) + 1 + wide)
      })
      const all = block(spans)
      const steps = spans.map((_, d) => spans.slice(d + 1).reduce((n, l) => n * l.length, 1))
      const exactAt = off.every(v => v === 0) && p.mode === 'linear'
      const bits = exactAt ? c.reduce((n, v) => n + fraction(v), 0) : Infinity
      for (let ch = 0; ch < channels; ch++) {
        const i = first + ch * p.positions
        const base = image + ch * plane
        const read = (o: number) => (o < 0 ? p.fill(ch) : x.data[base + o]!)
        let [sum, magnitude, moves, most, whole, special] = [0, 0, 0, 0, true, false]
        for (let k = 0; k < taps.length; k++) {
          const v = read(taps[k]!)
          const w = weights[k]!
          if (w !== 0) {
            sum += w * v
            magnitude += Math.abs(w * v)
          }
        }
        for (let k = 0; k < all.length; k++) {
          const v = read(all[k]!)
          if (!Number.isFinite(v)) special = true
          if (!Number.isInteger(v)) whole = false
          most = Math.max(most, Math.abs(v))
        }
        for (let d = 0; d < rank; d++) {
          if (off[d] === 0) continue
          let slope = 0
          const n = spans[d]!.length
          for (let k = 0; k < all.length; k++)
            if (Math.floor(k / steps[d]!) % n < n - 1) slope = Math.max(slope, Math.abs(read(all[k + steps[d]!]!) - read(all[k]!)))
          moves += slope * off[d]! * bend
        }
        s.value[i] = s.other[i] = sum
        s.magnitude[i] = magnitude
        s.peak[i] = most
        s.moves[i] = moves
        s.exact[i] = exactAt && whole && 4 * most * 2 ** bits <= 2 ** 24 ? 1 : 0
        s.jump[i] = leap ? 1 : 0
        s.unread[i] = special && Number.isFinite(sum) ? 1 : 0
      }
    }
  return s
}

/** The plan's coordinates as ONNX GridSample takes them (align_corners 0), [groups, …out, rank], last axis x first; null where a sample has none. */
export function gridFor(p: Plan, sizes: Shape, out: Shape): Tensor | null {
  const grid: number[] = []
  for (let g = 0; g < p.groups; g++)
    for (let at = 0; at < p.positions; at++) {
      const c = p.at(EXACT, g, at)
      if (!c) return null
      for (let d = sizes.length - 1; d >= 0; d--) grid.push((2 * c[d]! + 1) / sizes[d]! - 1)
    }
  return tensor('float32', [p.groups, ...out, sizes.length], grid)
}
/** No coordinate lies near a half: every rule of rounding picks the same pixel. */
export function farFromHalves(p: Plan): boolean {
  for (let g = 0; g < p.groups; g++)
    for (let at = 0; at < p.positions; at++) if (p.at(EXACT, g, at)?.some(v => Math.abs(v - Math.floor(v) - 0.5) < 1e-3)) return false
  return true
}

/**
 * The answer of a plan. Nearest: a pixel, exact. Linear: four roundings for each axis' weights and their product and the sum, cubic fifteen: rate·u·Σ|w||x|;
 * a coordinate that is off by δ moves the value by at most δ times the largest difference of neighbours around it. (NUMERICS: resize, grid-sample)
 */
export function sampledAs(x: Real, shape: Shape, p: Plan, s: Sampled = sample(x, p), question = 'a coordinate on a jump'): Expected {
  const answers = { 'the exact coordinate': s.value, 'the other side': s.other }
  const common = { dtype: x.dtype, shape, value: s.value }
  const nowhere = open('a coordinate that is not finite', s.nowhere)
  if (p.mode === 'nearest') return { ...common, rule: 'exact', open: [...open(question, s.jump, answers), ...nowhere] }
  const rank = x.shape.length - 2
  const rate = (p.mode === 'linear' ? 4 : 15) * Math.max(2, rank)
  const largest = x.dtype === 'float16' ? 65504 : LARGEST
  const own = x.dtype === 'float64' ? 2 : 1 // the reference is evaluated in float64, too
  return {
    ...common,
    rule: 'error',
    because: `weights ${rate}u·Σ|w||x|, and what each coordinate may be off times the slope there`,
    allowed: (a: Arithmetic) => {
      const tiny = x.dtype === 'float16' ? (a.flushesSubnormals ? 2 ** -14 : 2 ** -24) : eta(a)
      return s.value.map((_, i) => {
        if (s.jump[i]) return NaN
        if (s.exact[i]) return 0
        const error = own * a.u * (rate * s.magnitude[i]! + s.moves[i]!) + 8 * rank * tiny
        return !(s.peak[i]! >= largest / 4) ? error : NaN
      })
    },
    open: [
      ...open('a non-finite pixel of weight 0', s.unread, {
        'a pixel of weight 0 is not read': s.value,
        '0 · NaN and 0 · Inf are NaN': s.value.map((v, i) => (s.unread[i] ? NaN : v)),
      }),
      ...nowhere,
    ],
  }
}

/** The same over a simulated arithmetic. No matrix unit interpolates: of lower precision machines only the arithmetic counts, not their inputs and accumulators. */
export function simulated(x: Real, p: Plan, shape: Shape, m: Machine): Real {
  if (x.dtype === 'float64') return { dtype: x.dtype, shape, data: sample(x, p).value } // the machines are of single precision
  const [, channels, ...sizes] = x.shape as [number, number, ...number[]]
  const plane = sizeOf(sizes)
  const data = new Float64Array(p.groups * channels * p.positions)
  const get = m.rung === 'f32' && p.mode !== 'nearest' ? m.read : (v: number) => v
  const kernel = (v: number): [number[], number[]] => {
    const f = Math.floor(v)
    const t = m.sub(v, f)
    if (p.mode === 'nearest') return [[p.round(v)], [1]]
    if (p.mode === 'linear')
      return [
        [f, f + 1],
        [m.sub(1, t), t],
      ]
    const inner = (a: number) => m.add(m.mul(m.mul(m.sub(m.mul(1.25, a), 2.25), a), a), 1)
    const outer = (a: number) => m.add(m.mul(m.sub(m.mul(m.add(m.mul(-0.75, a), 3.75), a), 6), a), 3)
    const u = m.sub(1, t)
    return [
      [f - 1, f, f + 1, f + 2],
      [outer(m.add(t, 1)), inner(t), inner(u), outer(m.add(u, 1))],
    ]
  }
  for (let g = 0; g < p.groups; g++)
    for (let at = 0; at < p.positions; at++) {
      const c = p.at(m, g, at)
      const axes = c?.map((v, d) => kernel(p.fold ? p.fold(v, sizes[d]!) : v))
      for (let ch = 0; ch < channels; ch++) {
        const base = (p.image(g) * channels + ch) * plane
        const along = (d: number, offset: number): number => {
          if (d === sizes.length) return offset < 0 ? p.fill(ch) : p.mode === 'nearest' ? x.data[base + offset]! : get(x.data[base + offset]!)
          const [index, weight] = axes![d]!
          const read = index.map(i => {
            const k = p.pad(i, sizes[d]!)
            return along(d + 1, offset < 0 || k < 0 ? -1 : offset * sizes[d]! + k)
          })
          if (p.mode === 'nearest') return read[0]!
          return m.rung === 'f32' ? m.dot(read, weight) : read.reduce((sum, v, k) => m.add(sum, m.mul(v, weight[k]!)), 0)
        }
        data[(g * channels + ch) * p.positions + at] = axes && c!.every(v => Math.abs(v) < 2 ** 22) ? along(0, 0) : p.fill(ch)
      }
    }
  return { dtype: x.dtype, shape, data }
}
