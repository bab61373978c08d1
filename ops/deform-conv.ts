/**
 * y[n, m, o] = b[m] + Σ over c, k of w[m, c, k] · mask[n, g, k, o] · x(n, c, o·strides − pads + k·dilations + offset[n, g, k, o]): a convolution whose taps are moved by
 * fractions of a pixel, read bilinearly; corners off the image are 0. x [N, C, H, W], w [M, C/group, kh, kw], offset [N, offset_group·kh·kw·2, H′, W′] in pairs (y, x),
 * b [M], mask [N, offset_group·kh·kw, H′, W′]; g is c's offset group. (ONNX DeformConv-19; 22 only adds bfloat16; Dai et al. 2017, Zhu et al. 2019)
 *
 * Bound: coordinates are off by δ = 2u(|c| + 1), and the interpolated image is continuous and piecewise bilinear, so a sample moves by δ·(largest difference of neighbours,
 * adjacent cells included). Weights 1 − l round once, their products, the four-term sum, mask and w add seven; Σ of `terms` samples γ: E = γ(terms + 10)·Σ|w·mask|Σ|b·x| + Σ|w·mask|·δ·L.
 */
import {
  type Arithmetic,
  type Case,
  data,
  defineOp,
  drawn,
  type Expected,
  eta,
  FINITE,
  fill,
  flag,
  gamma,
  generator,
  int,
  ints,
  LARGEST,
  type Lowering,
  type Machine,
  type OnnxForm,
  type OnnxNode,
  pick,
  type Real,
  type Recipe,
  random,
  type Shape,
  sizeOf,
  type TensorSpec,
  windowCounts,
  without,
  withoutDefaults,
} from '../harness/op.ts'

type A = {
  kernel_shape: readonly number[]
  strides: readonly number[]
  pads: readonly number[]
  dilations: readonly number[]
  group: number
  offset_group: number
}

// ── Cases ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Offsets and masks, plainest first: none, whole pixels, quarters (exact in float32), anything near, anything far. */
const MOVES = ['none', 'whole', 'quarters', 'near', 'far'] as const
function moves(kind: number, seed: number, lowest: number): Recipe {
  const next = random(seed)
  const list = (step: number) => Array.from({ length: 23 }, () => ((next() % 17) - 8) * step).map(v => (lowest < 0 ? v : Math.abs(v)))
  const name = pick(MOVES, kind)
  if (name === 'none') return { kind: 'constant', value: lowest < 0 ? 0 : 1 }
  if (name === 'whole') return { kind: 'values', values: list(1).map(v => v % 3) }
  if (name === 'quarters') return { kind: 'values', values: list(0.25) }
  return { kind: 'uniform', seed, low: name === 'near' ? lowest : lowest * 4, high: name === 'near' ? 1 : 6 }
}
const fields = {
  batch: int(1, 2),
  depth: int(1, 3), // channels of a group
  each: int(1, 3), // filters of a group
  group: int(1, 3),
  shared: int(0, 2), // 0: one offset group; 1: one for each group; 2: one for each channel
  size: ints(2, 1, 8),
  kernel: ints(2, 1, 3),
  strides: ints(2, 1, 3),
  dilations: ints(2, 1, 2),
  pads: ints(4, 0, 2),
  offset: int(0, MOVES.length - 1),
  mask: int(0, MOVES.length), // 0: none
  bias: flag,
  seed: int(0, 999),
  x: data(...FINITE),
  w: data(...FINITE),
  b: data('integers', 'normal', 'large'),
}
const valid = generator(fields, raw => {
  const { kernel, strides, dilations, pads, group } = raw
  const sizes = raw.size.map((s, i) => Math.max(s, (kernel[i]! - 1) * dilations[i]! + 1 - pads[i]! - pads[i + 2]!))
  const channels = group * raw.depth
  const offset_group = [1, group, channels][raw.shared]!
  const a: A = { kernel_shape: kernel, strides, pads, dilations, group, offset_group }
  const out = windowCounts(sizes, a)
  const taps = offset_group * sizeOf(kernel)
  return drawn<A>(
    a,
    fill(fields.x, raw.x, [raw.batch, channels, ...sizes]),
    fill(fields.w, raw.w, [group * raw.each, raw.depth, ...kernel]),
    { dtype: 'float32', shape: [raw.batch, taps * 2, ...out], recipe: moves(raw.offset, raw.seed, -1) },
    raw.bias ? fill(fields.b, raw.b, [group * raw.each]) : null,
    raw.mask ? { dtype: 'float32', shape: [raw.batch, taps, ...out], recipe: moves(raw.mask - 1, raw.seed + 1, 0) } : null,
  )
})
const spoilt = { what: int(0, 7), axis: int(0, 1), by: int(0, 3), x: data('integers', 'normal') }
const invalid = generator(spoilt, ({ what, axis, by, x }) => {
  const at = (plain: number, bad: number) => [0, 1].map(i => (i === axis ? bad : plain))
  const a: A = { kernel_shape: [2, 2], strides: [1, 1], pads: [0, 0, 0, 0], dilations: [1, 1], group: 1, offset_group: 1 }
  let [offsets, masks, depth, bias, out] = [8, 4, 2, 2, [4, 4]]
  if (what === 0) offsets += 1 + by
  if (what === 1) masks += 1 + by
  if (what === 2) depth += 1 + by
  if (what === 3) bias = 3 + by
  if (what === 4) a.strides = at(1, 0)
  if (what === 5) out = at(4, 5 + by) // offsets of another size than the output
  if (what === 6) [a.offset_group, offsets, masks] = [3, 24, 12] // two channels in three offset groups
  if (what === 7) a.dilations = at(1, 0)
  return drawn<A>(
    a,
    fill(spoilt.x, x, [1, 2, 5, 5]),
    fill(spoilt.x, x, [2, depth, 2, 2]),
    fill(spoilt.x, x, [1, offsets, ...out]),
    fill(spoilt.x, x, [bias]),
    fill(spoilt.x, x, [1, masks, ...out]),
  )
})

// ── Reference ───────────────────────────────────────────────────────────────────────────────────────────────────────

interface Tap {
  /** Output. */
  i: number
  weight: number
  /** Where the channel's plane starts in x. */
  plane: number
  y: number
  x: number
}
/** Every tap of every output: where it reads, and its weight times its mask (multiplied by `times`). */
function walk(
  a: A,
  [x, w, offset, , mask]: readonly (Real | null)[],
  add: (p: number, q: number) => number,
  times: (p: number, q: number) => number,
  each: (t: Tap) => void,
): Shape {
  const [batch, channels, ...sizes] = x!.shape as [number, number, number, number]
  const [filters, depth, kh, kw] = w!.shape as [number, number, number, number]
  const [oh, ow] = windowCounts(sizes, a) as [number, number]
  const [area, taps] = [oh * ow, kh * kw]
  const tap: Tap = { i: 0, weight: 0, plane: 0, y: 0, x: 0 }
  for (let n = 0; n < batch; n++)
    for (let m = 0; m < filters; m++)
      for (let o = 0; o < area; o++)
        for (let c = 0; c < depth; c++) {
          const channel = Math.floor(m / (filters / a.group)) * depth + c
          const g = Math.floor(channel / (channels / a.offset_group))
          for (let k = 0; k < taps; k++) {
            const base = (n * a.offset_group + g) * taps + k
            const weight = w!.data[(m * depth + c) * taps + k]!
            tap.i = (n * filters + m) * area + o
            tap.weight = mask ? times(weight, mask.data[base * area + o]!) : weight
            tap.plane = (n * channels + channel) * sizes[0]! * sizes[1]!
            tap.y = add(Math.floor(o / ow) * a.strides[0]! - a.pads[0]! + Math.floor(k / kw) * a.dilations[0]!, offset!.data[base * 2 * area + o]!)
            tap.x = add((o % ow) * a.strides[1]! - a.pads[1]! + (k % kw) * a.dilations[1]!, offset!.data[(base * 2 + 1) * area + o]!)
            each(tap)
          }
        }
  return [batch, filters, oh, ow]
}
function expect(a: A, inputs: readonly (Real | null)[]): Expected[] {
  const [x, w, , b, mask] = inputs as [Real, Real, Real, Real | null, Real | null]
  const [H, W] = x.shape.slice(2) as [number, number]
  const filters = w.shape[0]!
  const out = windowCounts([H, W], a)
  const size = x.shape[0]! * filters * sizeOf(out)
  const make = () => new Float64Array(size)
  const [value, magnitude, moved, terms] = [make(), make(), make(), make()]
  const pixel = (plane: number, y: number, z: number) => (y < 0 || y >= H || z < 0 || z >= W ? 0 : x.data[plane + y * W + z]!)
  const shape = walk(
    a,
    inputs,
    (p, q) => p + q,
    (p, q) => p * q,
    t => {
      if (t.weight === 0 || t.y <= -1.001 || t.y >= H + 0.001 || t.x <= -1.001 || t.x >= W + 0.001) return
      const [y, z] = [Math.floor(t.y), Math.floor(t.x)]
      const [ly, lx] = [t.y - y, t.x - z]
      const [p, q, r, s] = [pixel(t.plane, y, z), pixel(t.plane, y, z + 1), pixel(t.plane, y + 1, z), pixel(t.plane, y + 1, z + 1)]
      const weight = Math.abs(t.weight)
      value[t.i]! += t.weight * ((1 - ly) * ((1 - lx) * p + lx * q) + ly * ((1 - lx) * r + lx * s))
      magnitude[t.i]! += weight * ((1 - ly) * ((1 - lx) * Math.abs(p) + lx * Math.abs(q)) + ly * ((1 - lx) * Math.abs(r) + lx * Math.abs(s)))
      terms[t.i]! += 1
      // Next to a whole pixel rounding may enter the neighbouring cell.
      const near = (l: number) => l < 1e-3 || l > 1 - 1e-3
      let [down, across] = [Math.max(Math.abs(r - p), Math.abs(s - q)), Math.max(Math.abs(q - p), Math.abs(s - r))]
      if (near(ly) || near(lx))
        for (let i = -1; i < 3; i++)
          for (let j = -1; j < 3; j++) {
            const v = pixel(t.plane, y + i, z + j)
            down = Math.max(down, Math.abs(v - pixel(t.plane, y + i + 1, z + j)))
            across = Math.max(across, Math.abs(v - pixel(t.plane, y + i, z + j + 1)))
          }
      moved[t.i]! += weight * ((Math.abs(t.y) + 1) * down + (Math.abs(t.x) + 1) * across)
    },
  )
  if (b)
    for (let i = 0; i < size; i++) {
      const bias = b.data[Math.floor(i / sizeOf(out)) % filters]!
      value[i]! += bias
      magnitude[i]! += Math.abs(bias)
    }
  // Quarters of a pixel, and quarters as masks: coordinates, weights (sixteenths) and sums are all exact while they fit.
  const steps = (t: Real | null, step: number) => !t || t.data.every(v => Number.isInteger(v * step))
  const exact = steps(x, 1) && steps(w, 1) && steps(b, 1) && steps(inputs[2]!, 4) && steps(mask, 4)
  const allowed = (m: Arithmetic) =>
    value.map((_, i) => {
      const g = gamma(terms[i]! + 10, m.u)
      if (!((1 + g) * magnitude[i]! < LARGEST)) return NaN
      if (exact && magnitude[i]! * 64 <= 2 ** 24) return 0
      return g * magnitude[i]! + 2 * m.u * moved[i]! + 8 * (terms[i]! + 1) * eta(m) * (1 + sizeOf(w.shape))
    })
  return [
    {
      rule: 'error',
      dtype: x.dtype,
      shape,
      value,
      allowed,
      because: 'γ of the weighted samples, and coordinates off by 2u(|c| + 1) times the slope of the image',
    },
  ]
}
function simulate(a: A, inputs: readonly (Real | null)[], m: Machine): Real[] {
  const read = inputs.map(t => t && { ...t, data: t.data.map(m.read) })
  const [x, w, , b] = read as [Real, Real, Real, Real | null]
  const [H, W] = x.shape.slice(2) as [number, number]
  const lists: [number[], number[]][] = []
  const pixel = (plane: number, y: number, z: number) => (y < 0 || y >= H || z < 0 || z >= W ? 0 : x.data[plane + y * W + z]!)
  const shape = walk(a, read, m.add, m.mul, t => {
    const [y, z] = [Math.floor(t.y), Math.floor(t.x)]
    const [ly, lx] = [m.sub(t.y, y), m.sub(t.x, z)]
    const [hy, hx] = [m.sub(1, ly), m.sub(1, lx)]
    const corner = (p: number, q: number, v: number) => m.mul(m.mul(p, q), v)
    const sample = m.add(
      m.add(corner(hy, hx, pixel(t.plane, y, z)), corner(hy, lx, pixel(t.plane, y, z + 1))),
      m.add(corner(ly, hx, pixel(t.plane, y + 1, z)), corner(ly, lx, pixel(t.plane, y + 1, z + 1))),
    )
    const [p, q] = (lists[t.i] ??= [[], []])
    p.push(sample)
    q.push(t.weight)
  })
  const data = new Float64Array(sizeOf(shape))
  const area = shape[2]! * shape[3]!
  for (let i = 0; i < data.length; i++) {
    const [p, q] = lists[i] ?? [[], []]
    const start = b ? b.data[Math.floor(i / area) % w.shape[0]!]! : 0
    // Accumulation in half precision is a rung of plain sums.
    data[i] = m.rung === 'f16-accumulation' ? p.reduce((s, v, k) => m.add(s, m.mul(v, q[k]!)), start) : m.dot(p, q, p.length, start)
  }
  return [{ dtype: 'float32', shape, data }]
}

// ── Lowerings ───────────────────────────────────────────────────────────────────────────────────────────────────────

function onnx(c: Case<A>): Lowering<OnnxForm>[] {
  const { attributes: a } = c
  const [, , , b, mask] = c.inputs as (TensorSpec | null)[]
  const names = ['x0', 'x1', 'x2', ...(b || mask ? [b ? 'x3' : ''] : []), ...(mask ? ['x4'] : [])]
  const node = (attributes: object): OnnxNode => ({ op: 'DeformConv', in: names, out: ['y0'], attributes: attributes as OnnxNode['attributes'] })
  const paths: Lowering<OnnxForm>[] = [
    { path: 'node', form: { opset: 19, nodes: [node(a)] } },
    { path: 'opset-22', form: { opset: 22, nodes: [node(a)] } },
    { path: 'constant-weights', form: { opset: 19, nodes: [node(a)], initializers: b ? [1, 3] : [1] } },
  ]
  if (c.valid === false) return paths
  const defaults = { strides: [1, 1], dilations: [1, 1], pads: [0, 0, 0, 0], group: 1, offset_group: 1 }
  paths.push({ path: 'defaults-left-out', form: { opset: 19, nodes: [node(without(withoutDefaults(a, defaults), 'kernel_shape'))] } })
  return paths
}

export default defineOp<A>({
  name: 'deform-conv',
  spec: ['https://onnx.ai/onnx/operators/onnx__DeformConv.html', 'https://arxiv.org/abs/1703.06211', 'https://arxiv.org/abs/1811.11168'],
  valid,
  invalid,
  operators: ['DeformConv'],
  fromOnnx({ attributes, inputs: [x, w, offset, b, mask] }) {
    if (!x || !w || !offset) return { declined: 'DeformConv without x, W or offset' }
    if (x.shape.length !== 4) return { declined: `DeformConv over ${x.shape.length - 2} spatial axes` }
    const a = { kernel_shape: w.shape.slice(2), strides: [1, 1], pads: [0, 0, 0, 0], dilations: [1, 1], group: 1, offset_group: 1, ...attributes }
    return drawn<A>(a as A, x, w, offset, b ?? null, mask ?? null)
  },
  expect,
  simulate,
  onnx,
  tfjs: () => [{ declined: 'TF.js has no deformable convolution, and one bilinear gather a tap is no port' }],
})
