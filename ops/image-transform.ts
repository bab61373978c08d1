/**
 * y[n, c, j, i] = x[n, c] at column (a0·i + a1·j + a2)/k and row (b0·i + b1·j + b2)/k, k = c0·i + c1·j + 1; outside the image fill_mode decides.
 * (tf.image.transform, after TensorFlow's ImageProjectiveTransformV3, tensorflow/core/kernels/image/image_ops.h: halves are rounded away from zero)
 */
import {
  type Case,
  channelsLast,
  data,
  defineOp,
  drawn,
  type Expected,
  FINITE,
  fill,
  flag,
  generator,
  int,
  ints,
  type Lowering,
  type OnnxForm,
  pick,
  type Real,
  real,
  realise,
  type Shape,
  type TfjsForm,
  tensor,
  values,
} from '../harness/op.ts'
import { farFromHalves, fraction, gridFor, halfAway, over, PADS, type Plan, powerOfTwo, sampledAs, simulated } from '../harness/sampling.ts'

type A = { interpolation: string; fill_mode: string; fill_value: number; output_shape: readonly number[] }

// ── Cases ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const MODES = ['constant', 'nearest', 'reflect', 'wrap']
const fields = {
  own: int(0, 2), // 0, 1: what AffineGrid and GridSample can say, too
  bilinear: flag,
  mode: int(0, 3),
  fill: int(0, 3),
  batch: int(0, 4), // one image, mostly
  channels: int(1, 5),
  size: ints(2, 1, 17),
  out: ints(2, 0, 13), // 0, 0: the size of the image
  each: flag, // a matrix for every image, or one for all
  /** Quarter shifts; and scales in eighths; and shears; numbers of many bits; a projection. */
  style: int(0, 4),
  coefficient: ints(8, 0, 32),
  x: data(...FINITE, 'nan', 'inf', 'subnormal', 'largest'),
}
/** 0, 1, −1, 2, −2, … */
const zigzag = (v: number): number => (v % 2 ? (v + 1) / 2 : -v / 2)

const valid = generator(fields, raw => {
  const common = raw.own < 2
  const batch = pick([1, 1, 1, 2, 3], raw.batch)
  const [t, s] = [raw.coefficient.map(zigzag), raw.style]
  const row = (n: number): number[] => {
    const at = (i: number) => t[(i + n) % 8]!
    const unit = s === 3 || (common && raw.bilinear) ? 8.7 : 8 // numbers of many bits: no step is exact
    const scale = (i: number) => (s > 0 ? at(i) / unit : 0)
    const shear = (i: number) => (s > 1 ? at(i) / (2 * unit) : 0)
    const bend = (i: number) => (s === 4 ? at(i) / 256 : 0)
    return [1 + scale(2), shear(4), (at(0) * 2) / unit, shear(5), 1 + scale(3), (at(1) * 2) / unit, bend(6), bend(7)].map(Math.fround)
  }
  const rows = Array.from({ length: raw.each ? batch : 1 }, (_, n) => row(n))
  const fill_mode = common ? pick(MODES, Math.min(raw.mode, 2)) : pick(MODES, raw.mode)
  const output_shape = raw.out.every(n => n > 0) ? raw.out : []
  return drawn<A>(
    {
      interpolation: raw.bilinear ? 'bilinear' : 'nearest',
      fill_mode,
      fill_value: common && fill_mode === 'constant' ? 0 : pick([0, 1, -7, 0.5], raw.fill),
      output_shape,
    },
    fill(fields.x, raw.x, [batch, raw.channels, ...raw.size]),
    values('float32', [rows.length, 8], rows.flat()),
  )
})

/** One fault each: the shape of the matrices, of the image, of the output, or a name that is none. */
const FAULTS = ['seven', 'three matrices', 'rank 1', 'image rank', 'output rank', 'interpolation', 'fill mode', 'negative output'] as const
const spoilt = { fault: int(0, FAULTS.length - 1), size: ints(2, 2, 5), x: data('integers') }
const invalid = generator(spoilt, raw => {
  const fault = FAULTS[raw.fault]!
  const rows = fault === 'seven' ? [1, 7] : fault === 'three matrices' ? [3, 8] : fault === 'rank 1' ? [8] : [1, 8]
  return drawn<A>(
    {
      interpolation: fault === 'interpolation' ? 'bicubic' : 'nearest',
      fill_mode: fault === 'fill mode' ? 'mirror' : 'constant',
      fill_value: 0,
      output_shape: fault === 'output rank' ? [3] : fault === 'negative output' ? [-1, 3] : [],
    },
    fill(spoilt.x, raw.x, [...(fault === 'image rank' ? [] : [2]), 1, ...raw.size]),
    values('float32', rows, [1, 0, 0, 0, 1, 0, 0, 0]),
  )
})

// ── Reference ───────────────────────────────────────────────────────────────────────────────────────────────────────

const clamp = (c: number, n: number) => Math.max(0, Math.min(n - 1, c))
/** … d c b a | a b c d | d c b a …, half a pixel beyond the last centre still the last pixel. */
function reflected(c: number, n: number): number {
  const k = ((c % (2 * n)) + 2 * n) % (2 * n) // −½ and n − ½ are the mirrors: c ↔ −1 − c
  return clamp(k > 2 * n - 1 ? k - 2 * n : k > n - 0.5 ? 2 * n - 1 - k : k, n)
}
/** TensorFlow's own map of 'wrap': periods are counted in n − 1, moved by n, then clamped; another one than a b c d | a b c d from the second period on. */
function wrapped(c: number, n: number): number {
  if (n <= 1) return 0
  if (c < 0) c += n * (Math.trunc(-c / (n - 1)) + 1)
  else if (c > n - 1) c -= n * Math.trunc(c / (n - 1))
  return clamp(c, n)
}

/**
 * Coordinates: three roundings of each term, k likewise and a quotient; a matrix may be said as a normalised one or as a grid (float32 again): six units of the
 * largest terms and of the image's size. Exact where there is no projection and numbers have few bits.
 */
function planOf(a: A, x: Real, transforms: Real, documented = false): { plan: Plan; shape: Shape } {
  const [batch, channels, ...sizes] = x.shape as [number, number, number, number]
  const [height, width] = (a.output_shape.length ? a.output_shape : sizes) as [number, number]
  const row = (g: number) => Array.from(transforms.data.subarray(transforms.shape[0] === 1 ? 0 : 8 * g, transforms.shape[0] === 1 ? 8 : 8 * g + 8))
  const rows = Array.from({ length: batch }, (_, g) => row(g))
  const simple = (r: number[]) => r[6] === 0 && r[7] === 0 && r.every(v => fraction(v) <= 8 && Math.abs(v) <= 32)
  const folds: Record<string, (c: number, n: number) => number> = { nearest: clamp, reflect: reflected, wrap: wrapped }
  const fold = documented ? undefined : folds[a.fill_mode]
  return {
    shape: [batch, channels, height, width],
    plan: {
      mode: a.interpolation === 'nearest' ? 'nearest' : 'linear',
      groups: batch,
      positions: height * width,
      image: g => g,
      at(m, g, position) {
        const r = rows[g]!
        const [j, i] = [Math.floor(position / width), position % width]
        const along = (p: number, q: number, rest: number) => m.add(m.add(m.mul(p, i), m.mul(q, j)), rest)
        const k = along(r[6]!, r[7]!, 1)
        return k === 0 ? null : [over(m, along(r[3]!, r[4]!, r[5]!), k), over(m, along(r[0]!, r[1]!, r[2]!), k)]
      },
      off(g, position, c) {
        const r = rows[g]!
        if (simple(r)) return [0, 0]
        const [j, i] = [Math.floor(position / width), position % width]
        const k = r[6]! * i + r[7]! * j + 1
        const around = Math.abs(r[6]! * i) + Math.abs(r[7]! * j) + 1
        const terms = (p: number, q: number, rest: number) => Math.abs(p) * width + Math.abs(q) * height + Math.abs(rest)
        if (around * 2 ** -20 > Math.abs(k)) return [Infinity, Infinity]
        return [terms(r[3]!, r[4]!, r[5]!), terms(r[0]!, r[1]!, r[2]!)].map(
          (t, d) => 6 * (t / Math.abs(k) + sizes[d]! + 1) + (Math.abs(c[d]!) * 4 * around) / Math.abs(k),
        )
      },
      pad: documented ? PADS.wrap : a.fill_mode === 'constant' ? PADS.fill : PADS.clamp,
      fill: () => Math.fround(a.fill_value),
      round: halfAway,
      ...(fold ? { fold } : {}),
    },
  }
}

function expect(a: A, [x, transforms]: readonly (Real | null)[]): Expected[] {
  const { plan, shape } = planOf(a, x!, transforms!)
  const expected = sampledAs(x!, shape, plan)
  if (a.fill_mode !== 'wrap') return [expected]
  const text = sampledAs(x!, shape, planOf(a, x!, transforms!, true).plan)
  return [
    {
      rule: 'either',
      options: [
        { name: "'wrap' as documented: a b c d | a b c d", expected: text },
        { name: "TensorFlow's map of 'wrap', with periods of one pixel less", expected },
      ],
    },
  ]
}

// ── Lowerings ───────────────────────────────────────────────────────────────────────────────────────────────────────

function onnx(c: Case<A>): Lowering<OnnxForm>[] {
  const { attributes: a } = c
  const [x, transforms] = c.inputs as [NonNullable<Case['inputs'][number]>, NonNullable<Case['inputs'][number]>]
  if (c.valid === false) return [{ declined: 'GridSample takes coordinates, not matrices' }]
  if (a.fill_mode === 'wrap') return [{ declined: 'GridSample does not wrap' }]
  if (a.fill_mode === 'constant' && a.fill_value !== 0) return [{ declined: 'GridSample pads with zeros only' }]
  const matrices = real(realise(transforms))
  const { plan, shape } = planOf(a, { dtype: 'float32', shape: x.shape, data: new Float64Array(0) }, matrices)
  const [batch, channels, height, width] = shape as [number, number, number, number]
  const [rows, columns] = x.shape.slice(2) as [number, number]
  const exact = Array.from({ length: batch }, (_, g) => plan.off(g, 0, [0, 0])).every(o => o[0] === 0)
  if (plan.mode === 'nearest' && !farFromHalves(plan)) return [{ declined: 'GridSample rounds halves to even' }]
  // A grid of sizes that are powers of two is exact where the matrix is; others are rounded once more than the matrix.
  const clean = !exact || plan.mode === 'nearest'
  if (!clean && !(powerOfTwo(rows) && powerOfTwo(columns))) return [{ declined: 'a grid cannot say these coordinates exactly' }]
  const grid = gridFor(plan, [rows, columns], [height, width])
  if (!grid) return [{ declined: 'a coordinate at infinity' }]
  const padding_mode = { constant: 'zeros', nearest: 'border', reflect: 'reflection' }[a.fill_mode]!
  const modes = plan.mode === 'nearest' ? ['nearest', 'nearest'] : ['linear', 'bilinear']
  const node = (opset: number, from: string) => ({
    op: 'GridSample',
    in: ['x0', from],
    out: ['y0'],
    attributes: { mode: modes[opset < 20 ? 1 : 0]!, padding_mode, align_corners: 0 },
  })
  const form = (opset: number): OnnxForm => ({ opset, nodes: [node(opset, 'grid')], constants: { grid }, prepare: t => [t[0]!] })
  const paths: Lowering<OnnxForm>[] = [
    { path: 'grid', form: form(22) },
    { path: 'grid-opset-16', form: form(16) },
  ]
  const list = matrices.data
  const affine = list.every((v, i) => i % 8 < 6 || v === 0)
  if (!affine || !clean) return paths
  // θ: pixels of the output → normalised output, pixels of the image → normalised image.
  const theta: number[] = []
  for (let n = 0; n < batch; n++)
    for (const [p, size] of [
      [0, columns],
      [3, rows],
    ] as const) {
      const [r0, r1, r2] = [0, 1, 2].map(i => list[(transforms.shape[0] === 1 ? 0 : 8 * n) + p + i]!) as [number, number, number]
      theta.push((r0 * width) / size, (r1 * height) / size, (r0 * (width - 1) + r1 * (height - 1) + 2 * r2 + 1) / size - 1)
    }
  const constants = { theta: tensor('float32', [batch, 2, 3], theta), size: tensor('int64', [4], [batch, channels, height, width]) }
  const affineGrid = { op: 'AffineGrid', in: ['theta', 'size'], out: ['grid'], attributes: { align_corners: 0 } }
  paths.push({ path: 'affine-grid', form: { opset: 20, nodes: [affineGrid, node(20, 'grid')], constants, prepare: t => [t[0]!] } })
  return paths
}

function tfjs(c: Case<A>): Lowering<TfjsForm>[] {
  const { attributes: a } = c
  const out = a.output_shape.length ? a.output_shape : undefined
  const rank = c.inputs[0]!.shape.length
  const say = (call: (tf: any, t: readonly any[]) => any): TfjsForm => (rank === 4 ? channelsLast(4, call) : { call: (tf, t) => [call(tf, t)] })
  const form = say((tf, t) => tf.image.transform(t[0], t[1], a.interpolation, a.fill_mode, a.fill_value, out))
  const paths: Lowering<TfjsForm>[] = [{ path: 'transform', form }]
  if (c.valid === false) return paths
  const size = c.inputs[0]!.shape.slice(2)
  if (!out)
    paths.push({ path: 'size-written', form: say((tf, t) => tf.image.transform(t[0], t[1], a.interpolation, a.fill_mode, a.fill_value, size)) })
  if (a.fill_value === 0 && !out) {
    const words = [a.interpolation, a.fill_mode].slice(0, a.fill_mode !== 'constant' ? 2 : a.interpolation !== 'nearest' ? 1 : 0)
    paths.push({ path: 'defaults-left-out', form: say((tf, t) => tf.image.transform(t[0], t[1], ...words)) })
  }
  const batch = c.inputs[0]!.shape[0]!
  if (c.inputs[1]!.shape[0] === 1 && batch > 1)
    paths.push({
      path: 'a-matrix-each',
      form: {
        ...form,
        prepare: t => {
          const [image, one] = form.prepare!(t)
          return [
            image!,
            tensor(
              'float32',
              [batch, 8],
              Array.from({ length: 8 * batch }, (_, i) => Number(one!.data[i % 8])),
            ),
          ]
        },
      },
    })
  return paths
}

export default defineOp<A>({
  name: 'image-transform',
  spec: ['https://js.tensorflow.org/api/latest/#image.transform', 'https://onnx.ai/onnx/operators/onnx__GridSample.html'],
  valid,
  invalid,
  expect,
  simulate(a, [x, transforms], m) {
    const { plan, shape } = planOf(a, x!, transforms!)
    return [simulated(x!, plan, shape, m)]
  },
  onnx,
  tfjs,
})
