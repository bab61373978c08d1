/**
 * y[r, c, i, j] = mean (or maximum) over a grid of samples in bin i, j of region r: x[batch_indices[r], c] interpolated linearly at
 * start + i·bin + (k + ½)·bin/samples, bin = region/output size, samples = sampling_ratio or ⌈bin⌉. A sample outside −1 … size is 0, others are moved onto the image.
 * Regions are x1, y1, x2, y2, times spatial_scale, minus ½ with half_pixel; without it they are at least one pixel. (ONNX RoiAlign-16, -22; 10 is output_half_pixel)
 */
import {
  type Arithmetic,
  type Case,
  type DType,
  data,
  defineOp,
  drawn,
  type Expected,
  eta,
  FINITE,
  fill,
  flag,
  type GivenNode,
  generator,
  int,
  ints,
  LARGEST,
  type Lowering,
  type Machine,
  type OnnxForm,
  permute,
  pick,
  type Real,
  real,
  realise,
  type Shape,
  type TensorSpec,
  type TfjsForm,
  tensor,
  toLast,
  toSecond,
  values,
  withoutDefaults,
} from '../harness/op.ts'
import { EXACT, fraction, halfUp, looseU, over, PADS, type Plan, powerOfTwo, type Steps, sample, simulated } from '../harness/sampling.ts'

type A = {
  mode: string
  output_height: number
  output_width: number
  sampling_ratio: number
  spatial_scale: number
  coordinate_transformation_mode: string
}
const DEFAULTS: A = {
  mode: 'avg',
  output_height: 1,
  output_width: 1,
  sampling_ratio: 0,
  spatial_scale: 1,
  coordinate_transformation_mode: 'half_pixel',
}

// ── Cases ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const fields = {
  own: int(0, 3), // 0 … 2: means on the image, with a given ratio, so that cropAndResize and avgPool can say them
  max: flag,
  half: flag,
  output: ints(2, 1, 7),
  ratio: int(0, 4),
  scale: int(0, 4),
  batch: int(1, 2),
  channels: int(1, 5),
  size: ints(2, 2, 17),
  rois: int(1, 4),
  corner: ints(16, 0, 31),
  fine: flag, // 0: numbers of few bits everywhere (with own 3), so that the answer is exact
  index: ints(4, 0, 1),
  type: int(0, 5),
  x: data(...FINITE, 'subnormal'),
}
const SCALES = [1, 0.5, 0.25, 0.0625, 0.3].map(Math.fround)

const valid = generator(fields, raw => {
  const common = raw.own < 3
  const coarse = !common && !raw.fine
  const sizes = raw.size.map(n => Math.ceil(n / (raw.channels > 3 ? 2 : 1))).map(n => (common ? Math.max(3, n) : n))
  const scale = SCALES[raw.scale]!
  const rois = Array.from({ length: raw.rois }, (_, k) => {
    const of = (i: number) => raw.corner[4 * k + i]!
    const axis = (d: number): [number, number] => {
      const n = sizes[1 - d]!
      const [a, b] = [Math.min(of(d), of(d + 2)), Math.max(of(d), of(d + 2)) + 1]
      // In 33rds of the inner image, or sixteenths from one pixel before it to one behind.
      if (common) return [0.55 + (a * (n - 1.7)) / 33, 0.55 + (b * (n - 1.7)) / 33]
      const at = (v: number) => (raw.fine ? (v * (n + 4.3)) / 32 - 2.1 : Math.round(v * (n + 2)) / 16 - (n + 2) / 2 + n / 2)
      return [at(a), at(b)]
    }
    const [x, y] = [axis(0), axis(1)]
    return [x[0], y[0], x[1], y[1]].map(v => Math.fround(v / scale))
  })
  const dtype: DType = raw.own === 3 && raw.type === 5 ? 'float64' : 'float32'
  const attributes: A = {
    mode: !common && raw.max ? 'max' : 'avg',
    output_height: coarse ? pick([1, 2, 4], raw.output[0]! - 1) : raw.output[0]!,
    output_width: coarse ? pick([1, 2, 4], raw.output[1]! - 1) : raw.output[1]!,
    sampling_ratio: common ? Math.max(1, Math.min(3, raw.ratio)) : coarse ? pick([0, 1, 2, 4], raw.ratio) : raw.ratio,
    spatial_scale: scale,
    coordinate_transformation_mode: raw.half ? 'output_half_pixel' : 'half_pixel',
  }
  return drawn<A>(
    attributes,
    fill(fields.x, raw.x, [raw.batch, raw.channels, ...sizes], dtype),
    values(dtype, [raw.rois, 4], rois.flat()),
    values(
      'int64',
      [raw.rois],
      raw.index.slice(0, raw.rois).map(b => Math.min(b, raw.batch - 1)),
    ),
  )
})

/** One fault each: shapes that do not fit, an image that is not there, a mode that is none. */
const FAULTS = ['five columns', 'rank', 'too few indices', 'index 2', 'index −1', 'mode', 'coordinates', 'image rank'] as const
const spoilt = { fault: int(0, FAULTS.length - 1), size: ints(2, 3, 6), x: data('integers') }
const invalid = generator(spoilt, raw => {
  const fault = FAULTS[raw.fault]!
  const rois = fault === 'five columns' ? [2, 5] : fault === 'rank' ? [8] : [2, 4]
  const index = fault === 'too few indices' ? [0] : fault === 'index 2' ? [0, 2] : fault === 'index −1' ? [-1, 0] : [0, 1]
  return drawn<A>(
    {
      ...DEFAULTS,
      mode: fault === 'mode' ? 'sum' : 'avg',
      coordinate_transformation_mode: fault === 'coordinates' ? 'align_corners' : 'half_pixel',
      sampling_ratio: 2,
    },
    fill(spoilt.x, raw.x, [2, ...(fault === 'image rank' ? [] : [1]), ...raw.size]),
    values('float32', rois, [0, 0, 2, 2]),
    values('int64', [index.length], index),
  )
})

// ── Reference ───────────────────────────────────────────────────────────────────────────────────────────────────────

interface Bins {
  start: number
  bin: number
  /** Samples of a bin along the axis. */
  count: number
}
/** One axis of a region, over an arithmetic; the number of samples is the exact one. */
function binsOf(m: Steps, a: A, low: number, high: number, out: number): Bins {
  const half = a.coordinate_transformation_mode === 'half_pixel'
  const [start, end] = [low, high].map(v => (half ? m.sub(m.mul(v, a.spatial_scale), 0.5) : m.mul(v, a.spatial_scale))) as [number, number]
  const length = half ? m.sub(end, start) : Math.max(1, m.sub(end, start))
  const bin = over(m, length, out)
  return { start, bin, count: a.sampling_ratio > 0 ? a.sampling_ratio : Math.max(0, Math.ceil(bin)) }
}

interface Region {
  axes: readonly [Bins, Bins]
  plan: Plan
  exact: boolean
  /** Rounding decides how many samples a bin has. */
  unsure: boolean
  outside: (position: number) => { certain: boolean; near: boolean }
}
/**
 * Start and end are off by two roundings, their difference by five units of the larger, quotient and sum by three more: 8u(max(|start|, |end|) + 1).
 * Exact where regions, scale, bins and samples are numbers of few bits.
 */
function regionOf(a: A, x: Real, rois: Real, index: Real, r: number): Region {
  const sizes = x.shape.slice(2)
  const outs = [a.output_height, a.output_width]
  const corner = (d: number) => [rois.data[4 * r + 1 - d]!, rois.data[4 * r + 3 - d]!] as const
  const axes = outs.map((out, d) => binsOf(EXACT, a, ...corner(d), out)) as [Bins, Bins]
  const exact =
    powerOfTwo(a.spatial_scale) &&
    [0, 1, 2, 3].every(i => fraction(rois.data[4 * r + i]!) <= 8 && Math.abs(rois.data[4 * r + i]!) < 1024) &&
    outs.every(powerOfTwo) &&
    axes.every(b => powerOfTwo(b.count))
  const extent = axes.map((b, d) => Math.max(Math.abs(b.start), Math.abs(b.start + b.bin * outs[d]!)) + 1)
  const counts = axes.map((b, d) => b.count * outs[d]!) as [number, number]
  const place = (position: number) => [Math.floor(position / counts[1]), position % counts[1]]
  const at = (m: Steps, position: number) =>
    place(position).map((p, d) => {
      const b = m === EXACT ? axes[d]! : binsOf(m, a, ...corner(d), outs[d]!)
      const { count } = axes[d]!
      const inner = over(m, m.mul((p % count) + 0.5, b.bin), count)
      return m.add(m.add(b.start, m.mul(Math.floor(p / count), b.bin)), inner)
    })
  const U = looseU(x.dtype)
  const slack = extent.map(e => (exact ? 0 : 8 * e * U))
  return {
    axes,
    exact,
    unsure: a.sampling_ratio === 0 && axes.some((b, d) => Math.abs(b.bin - Math.round(b.bin)) <= slack[d]! && slack[d]! > 0),
    plan: {
      mode: 'linear',
      groups: 1,
      positions: counts[0] * counts[1],
      image: () => index.data[r]!,
      at: (m, _, position) => at(m, position),
      off: () => extent.map(e => (exact ? 0 : 8 * e)),
      pad: PADS.clamp,
      fill: () => 0,
      round: halfUp,
      fold: (c, n) => Math.max(0, Math.min(n - 1, c)),
    },
    outside(position) {
      const c = at(EXACT, position)
      const beyond = (by: number) => c.some((v, d) => v < -1 - by * slack[d]! || v > sizes[d]! + by * slack[d]!)
      return { certain: beyond(0), near: beyond(-1) !== beyond(1) }
    },
  }
}

/** Samples → bins: `of` is handed the positions of a bin's samples. */
function eachBin(a: A, { axes }: Region, of: (bin: number, samples: number[]) => void): void {
  const [rows, columns] = [axes[0].count, axes[1].count]
  for (let i = 0; i < a.output_height; i++)
    for (let j = 0; j < a.output_width; j++) {
      const samples: number[] = []
      for (let k = 0; k < rows; k++) for (let l = 0; l < columns; l++) samples.push((i * rows + k) * columns * a.output_width + j * columns + l)
      of(i * a.output_width + j, samples)
    }
}

type Kind = 'mean' | 'largest corner' | 'largest sample'
/**
 * Mean of n samples: each as in grid-sample (8u·Σ|w||x| and the coordinate's slope), then γ(n + 1) and a quotient. A maximum is off by no more than its candidates.
 * Samples that rounding may put outside count in full, or leave a maximum open.
 */
function pooled(a: A, x: Real, rois: Real, index: Real, kind: Kind): Expected {
  const [, channels, ...sizes] = x.shape as [number, number, number, number]
  const regions = rois.shape[0]!
  const bins = a.output_height * a.output_width
  const size = regions * channels * bins
  const make = () => new Float64Array(size)
  const [value, rate, fixed, most] = [make(), make(), make(), make()]
  for (let r = 0; r < regions; r++) {
    const region = regionOf(a, x, rois, index, r)
    const { plan } = region
    const s = sample(x, plan)
    const side = Array.from({ length: plan.positions }, (_, p) => region.outside(p))
    for (let c = 0; c < channels; c++) {
      const plane = x.data.subarray((index.data[r]! * channels + c) * sizes[0]! * sizes[1]!)
      eachBin(a, region, (bin, samples) => {
        const i = (r * channels + c) * bins + bin
        const n = Math.max(1, samples.length)
        let [sum, magnitude, moves, border, best, worst, whole] = [0, 0, 0, 0, -Infinity, 0, region.exact]
        for (const p of samples) {
          const k = c * plan.positions + p
          const { certain, near } = side[p]!
          if (near) border += Math.abs(s.value[k]!)
          let [candidate, error] = [certain ? 0 : s.value[k]!, 8 * s.magnitude[k]! + s.moves[k]!]
          if (kind === 'largest corner' && !certain) [candidate, error] = largestCorner(plane, sizes, plan.at(EXACT, 0, p)!, plan.off(0, p, []))
          best = Math.max(best, candidate)
          worst = Math.max(worst, error)
          if (near && kind !== 'mean') border = NaN
          if (certain) continue
          if (!s.exact[k]) whole = false
          sum += s.value[k]!
          magnitude += s.magnitude[k]!
          moves += s.moves[k]!
        }
        most[i] = magnitude
        fixed[i] = region.unsure ? NaN : border / n
        if (kind === 'mean') {
          value[i] = sum / n
          rate[i] = whole && powerOfTwo(n) && magnitude < 2 ** 12 ? 0 : (8 * magnitude + moves + (n + 3) * magnitude) / n
        } else {
          value[i] = samples.length ? best : 0
          rate[i] = whole ? 0 : worst
        }
      })
    }
  }
  const own = x.dtype === 'float64' ? 2 : 1
  return {
    rule: 'error',
    dtype: x.dtype,
    shape: [regions, channels, a.output_height, a.output_width],
    value,
    because: 'samples 8u·Σ|w||x| and 8u(max(|start|, |end|) + 1) of each coordinate times the slope there; the mean γ(n + 3)',
    allowed: (arithmetic: Arithmetic) =>
      value.map((_, i) => (most[i]! < LARGEST / 4 ? own * arithmetic.u * rate[i]! + fixed[i]! + (rate[i]! > 0 ? 16 * eta(arithmetic) : 0) : NaN)),
  }
}
/** The largest of the four products weight · pixel, and by how many u it may be off: the weights move with the coordinates. */
function largestCorner(plane: Float64Array, sizes: Shape, c: readonly number[], off: readonly number[]): [number, number] {
  const [y, x] = c.map((v, d) => Math.max(0, Math.min(sizes[d]! - 1, v))) as [number, number]
  let [best, error] = [-Infinity, 0]
  for (const i of [0, 1])
    for (const j of [0, 1]) {
      const [row, column] = [Math.min(sizes[0]! - 1, Math.floor(y) + i), Math.min(sizes[1]! - 1, Math.floor(x) + j)]
      const v = plane[row * sizes[1]! + column]!
      const w = (i ? y - Math.floor(y) : 1 - y + Math.floor(y)) * (j ? x - Math.floor(x) : 1 - x + Math.floor(x))
      best = Math.max(best, w * v)
      error = Math.max(error, Math.abs(v) * (off[0]! + off[1]! + 4))
    }
  return [best, error]
}

function expect(a: A, [x, rois, index]: readonly (Real | null)[]): Expected[] {
  const of = (kind: Kind) => pooled(a, x!, rois!, index!, kind)
  if (a.mode === 'avg') return [of('mean')]
  return [
    {
      rule: 'either',
      options: [
        { name: 'the largest of all weighted pixels (ONNX reference)', expected: of('largest corner') },
        { name: 'the largest of the interpolated samples', expected: of('largest sample') },
      ],
    },
  ]
}

/** Means in the machine's order; maxima of interpolated samples. */
function simulate(a: A, [x, rois, index]: readonly (Real | null)[], m: Machine): Real[] {
  const e = pooled(a, x!, rois!, index!, a.mode === 'avg' ? 'mean' : 'largest sample')
  if (e.rule !== 'error') return []
  const data = new Float64Array(e.value.length)
  const channels = x!.shape[1]!
  for (let r = 0; r < rois!.shape[0]!; r++) {
    const region = regionOf(a, x!, rois!, index!, r)
    const y = simulated(x!, region.plan, [], m)
    for (let c = 0; c < channels; c++)
      eachBin(a, region, (bin, samples) => {
        const list = samples.map(p => (region.outside(p).certain ? 0 : y.data[c * region.plan.positions + p]!))
        const sum = m.rung === 'f32' ? m.dot(list, null) : list.reduce((s, v) => m.add(s, v), 0)
        const largest = list.length ? Math.max(...list) : 0
        data[(r * channels + c) * a.output_height * a.output_width + bin] = a.mode === 'avg' ? over(m, sum, Math.max(1, list.length)) : largest
      })
  }
  return [{ dtype: x!.dtype, shape: e.shape, data: x!.dtype === 'float64' ? e.value : data }]
}

// ── Lowerings ───────────────────────────────────────────────────────────────────────────────────────────────────────

function onnx(c: Case<A>): Lowering<OnnxForm>[] {
  const { coordinate_transformation_mode: mode, ...rest } = c.attributes
  const form = (opset: number, attributes: Partial<A>, initializers?: number[]): OnnxForm => ({
    opset,
    nodes: [{ op: 'RoiAlign', in: ['x0', 'x1', 'x2'], out: ['y0'], attributes: attributes as A }],
    ...(initializers ? { initializers } : {}),
  })
  const paths: Lowering<OnnxForm>[] = [{ path: 'node', form: form(16, c.attributes) }]
  if (c.valid === false) return paths
  paths.push(
    { path: 'defaults-left-out', form: form(16, withoutDefaults(c.attributes, DEFAULTS)) },
    { path: 'constant-regions', form: form(16, c.attributes, [1, 2]) },
    { path: 'opset-22', form: form(22, c.attributes) },
  )
  if (mode === 'output_half_pixel') paths.push({ path: 'opset-10', form: form(10, rest) })
  return paths
}

/** The samples of all bins as one crop, from the first sample to the last, then means of its windows. */
function tfjs(c: Case<A>): Lowering<TfjsForm>[] {
  const { attributes: a } = c
  const [x, rois, index] = c.inputs as [TensorSpec, TensorSpec, TensorSpec]
  if (c.valid === false) return [{ declined: 'TF.js has no pooling of regions' }]
  if (a.mode !== 'avg') return [{ declined: 'TF.js has no largest sample of a region' }]
  if (a.sampling_ratio === 0) return [{ declined: 'cropAndResize takes as many samples of every region' }]
  const sizes = x.shape.slice(2)
  if (sizes.includes(1)) return [{ declined: 'cropAndResize cannot say a place on an axis of one pixel' }]
  const image: Real = { dtype: 'float32', shape: x.shape, data: new Float64Array(0) }
  const [places, images] = [real(realise(rois)), real(realise(index))]
  const boxes: number[] = []
  for (let r = 0; r < rois.shape[0]!; r++) {
    const { plan, exact } = regionOf(a, image, places, images, r)
    const ends = [0, plan.positions - 1].map(p => plan.at(EXACT, 0, p)!)
    if (exact) return [{ declined: 'a box cannot say these samples exactly' }]
    if (ends.some(p => p.some((v, d) => v < 1e-3 || v > sizes[d]! - 1 - 1e-3))) return [{ declined: 'cropAndResize has another border' }]
    boxes.push(...ends.flatMap(p => p.map((v, d) => v / (sizes[d]! - 1))))
  }
  const ratio = a.sampling_ratio
  const crop = [a.output_height * ratio, a.output_width * ratio]
  return [
    {
      path: 'crop-and-pool',
      form: {
        prepare: t => [permute(t[0]!, toLast(4)), tensor('float32', rois.shape, boxes), tensor('int32', index.shape, images.data)],
        call: (tf, t) => [tf.avgPool(tf.image.cropAndResize(t[0], t[1], t[2], crop), ratio, ratio, 'valid')],
        finish: ([y]) => [permute(y!, toSecond(4))],
      },
    },
  ]
}

/** Before opset 16 a region's pixels lie at its corners. */
function fromOnnx({ opset, attributes, inputs }: GivenNode) {
  const old: Partial<A> = opset < 16 ? { coordinate_transformation_mode: 'output_half_pixel' } : {}
  return { attributes: { ...DEFAULTS, ...old, ...attributes } as A, inputs }
}

export default defineOp<A>({
  name: 'roi-align',
  spec: ['https://onnx.ai/onnx/operators/onnx__RoiAlign.html', 'https://js.tensorflow.org/api/latest/#image.cropAndResize'],
  operators: ['RoiAlign'],
  fromOnnx,
  valid,
  invalid,
  expect,
  simulate,
  onnx,
  tfjs,
})
