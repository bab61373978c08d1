/**
 * y[n, c, o] = x[n, c] at the location grid[n, o] (last axis x, y, (z); −1 … 1 span the image): pixel ((g + 1)·size − 1)/2, or (g + 1)(size − 1)/2 with align_corners.
 * Pixels outside are zeros, the border's, or reflected. (ONNX GridSample-22; 16 has images of rank 4 and the names bilinear, bicubic)
 */
import {
  type Case,
  type DType,
  data,
  defineOp,
  drawn,
  type Expected,
  FINITE,
  fill,
  flag,
  type GivenNode,
  generator,
  int,
  ints,
  type Lowering,
  type OnnxForm,
  permute,
  pick,
  type Real,
  real,
  realise,
  roundEven,
  type Shape,
  sizeOf,
  type TensorSpec,
  type TfjsForm,
  tensor,
  toLast,
  toSecond,
  values,
  withoutDefaults,
} from '../harness/op.ts'
import { EXACT, fraction, halfAway, type Mode, PADS, type Pad, type Plan, type Steps, sampledAs, simulated } from '../harness/sampling.ts'

type A = { mode: string; padding_mode: string; align_corners: number }
const DEFAULTS: A = { mode: 'linear', padding_mode: 'zeros', align_corners: 0 }

// ── Cases ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const fields = {
  own: int(0, 2), // 0, 1: a grid that is a matrix, so that tf.image.transform can say it
  mode: int(0, 2),
  padding: int(0, 2),
  align: flag,
  volume: int(0, 3), // 3: three spatial axes
  batch: int(0, 3), // one image, mostly
  channels: int(1, 5),
  size: ints(3, 1, 17),
  out: ints(3, 1, 9),
  /** Grid: sixteenths in and a little out of −1 … 1; any numbers; far out; with NaN. */
  style: int(0, 6),
  seed: int(0, 999),
  theta: ints(6, 0, 12),
  type: int(0, 7),
  x: data(...FINITE, 'nan', 'inf', '-inf', 'subnormal', 'largest'),
}
const MODES = ['linear', 'nearest', 'cubic'] as const
const PADDING = ['zeros', 'border', 'reflection'] as const

const zigzag = (v: number): number => (v % 2 ? (v + 1) / 2 : -v / 2)
/** An affine grid as numbers, so that a case is one list of values. */
function affine(theta: readonly number[], batch: number, [height, width]: readonly [number, number]): number[] {
  const [a, b, t, c, d, s] = theta as [number, number, number, number, number, number]
  const grid: number[] = []
  for (let n = 0; n < batch; n++)
    for (let j = 0; j < height; j++)
      for (let i = 0; i < width; i++) {
        const [u, v] = [(2 * i + 1) / width - 1, (2 * j + 1) / height - 1]
        grid.push(Math.fround(a * u + b * v + t), Math.fround(c * u + d * v + s))
      }
  return grid
}

const valid = generator(fields, raw => {
  const common = raw.own < 2
  const batch = raw.batch === 3 ? 2 : 1
  const rank = !common && raw.volume === 3 ? 3 : 2
  const mode = pick(MODES, common || rank === 3 ? Math.min(raw.mode, 1) : raw.mode)
  const cut = (list: number[], most: number) => list.slice(0, rank).map(n => Math.min(n, most))
  const sizes = cut(raw.size, rank === 3 ? 5 : 17)
  const out = cut(raw.out, rank === 3 ? 4 : mode === 'cubic' ? 6 : 9)
  const dtype: DType = !common && raw.type === 7 ? 'float64' : 'float32'
  const shape = [batch, ...out, rank]
  const attributes: A = { mode, padding_mode: pick(PADDING, common && raw.align ? Math.min(raw.padding, 1) : raw.padding), align_corners: raw.align }
  const seed = raw.seed
  const t = raw.theta.map(v => zigzag(v) / (mode === 'linear' ? 17 : 16)) // 17: no step of it is exact
  const grid: TensorSpec = common
    ? values('float32', shape, affine([1 + t[0]!, t[1]!, t[2]!, t[3]!, 1 + t[4]!, t[5]!], batch, out as [number, number]))
    : raw.style < 2
      ? values(
          dtype,
          shape,
          Array.from({ length: sizeOf(shape) }, (_, i) => ((((seed + i * 37) * 61) % 41) - 20) / 16),
        )
      : raw.style < 5
        ? { dtype, shape, recipe: { kind: 'uniform', seed, low: -1.3, high: 1.3 } }
        : raw.style === 5
          ? { dtype, shape, recipe: { kind: 'uniform', seed, low: -6, high: 6 } }
          : { dtype, shape, recipe: { kind: 'special', seed, value: 'NaN' } }
  return drawn<A>(attributes, fill(fields.x, raw.x, [batch, raw.channels, ...sizes], dtype), grid)
})

/** One fault each: the grid's last axis, rank or batch; a mode or padding that is none; an image of rank 3. */
const FAULTS = ['last axis', 'grid rank', 'batch', 'mode', 'padding', 'image rank'] as const
const spoilt = { fault: int(0, FAULTS.length - 1), size: ints(2, 2, 5), x: data('integers') }
const invalid = generator(spoilt, raw => {
  const fault = FAULTS[raw.fault]!
  const grid = fault === 'last axis' ? [1, 2, 2, 3] : fault === 'grid rank' ? [1, 2, 2] : fault === 'batch' ? [2, 2, 2, 2] : [1, 2, 2, 2]
  return drawn<A>(
    { mode: fault === 'mode' ? 'quadratic' : 'linear', padding_mode: fault === 'padding' ? 'wrap' : 'zeros', align_corners: 0 },
    fill(spoilt.x, raw.x, [1, ...(fault === 'image rank' ? [] : [1]), ...raw.size]),
    values('float32', grid, [0, 0.5]),
  )
})

// ── Reference ───────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * g + 1, a product with the size and a half of it, and what a matrix in place of the grid rounds: 8(size + 1) + 2|c| units; numbers of few bits stay exact. A whole half is even in two dimensions
 * (nearbyint), and even or away from zero in three, where ONNX's own reference and PyTorch differ from that.
 */
function planOf(a: A, x: Real, grid: Real, clampFirst = false): { plan: Plan; shape: Shape } {
  const [batch, channels, ...sizes] = x.shape as [number, number, ...number[]]
  const rank = sizes.length
  const out = grid.shape.slice(1, -1)
  const positions = sizeOf(out)
  const clean = grid.data.every(v => fraction(v) <= 8 && Math.abs(v) <= 8)
  const g = (n: number, position: number, d: number) => grid.data[(n * positions + position) * rank + rank - 1 - d]!
  const pads: Record<string, Pad> = { zeros: PADS.fill, border: PADS.clamp, reflection: a.align_corners ? PADS.reflectCentres : PADS.reflectEdges }
  const along = (m: Steps, v: number, n: number) =>
    a.align_corners ? m.mul(m.mul(m.add(v, 1), 0.5), n - 1) : m.mul(m.sub(m.mul(m.add(v, 1), n), 1), 0.5)
  return {
    shape: [batch, channels, ...out],
    plan: {
      mode: a.mode as Mode,
      groups: batch,
      positions,
      image: n => n,
      at: (m, n, position) => sizes.map((size, d) => along(m, g(n, position, d), size)),
      off: (_n, _position, c) => c.map((v, d) => (clean ? 0 : 8 * (sizes[d]! + 1) + 2 * Math.abs(v))),
      pad: pads[a.padding_mode]!,
      fill: () => 0,
      round: roundEven,
      ...(rank === 3 ? { tie: halfAway } : {}),
      // ONNX's Python reference moves a location outside −½ … size − ½ (0 … size − 1) to the border before it interpolates.
      ...(clampFirst
        ? {
            fold: (c: number, n: number) =>
              c < (a.align_corners ? 0 : -0.5) || c > n - (a.align_corners ? 1 : 0.5) ? Math.max(0, Math.min(n - 1, c)) : c,
          }
        : {}),
    },
  }
}

function expect(a: A, [x, grid]: readonly (Real | null)[]): Expected[] {
  const { plan, shape } = planOf(a, x!, grid!)
  const expected = sampledAs(x!, shape, plan)
  if (a.mode !== 'cubic' || a.padding_mode !== 'border') return [expected]
  const other = sampledAs(x!, shape, planOf(a, x!, grid!, true).plan)
  return [
    {
      rule: 'either',
      options: [
        { name: 'border pixels continue outside', expected },
        { name: 'a location outside is moved to the border', expected: other },
      ],
    },
  ]
}

// ── Lowerings ───────────────────────────────────────────────────────────────────────────────────────────────────────

function onnx(c: Case<A>): Lowering<OnnxForm>[] {
  const { attributes: a } = c
  const form = (opset: number, attributes: Partial<A>, constant = false): OnnxForm => ({
    opset,
    nodes: [{ op: 'GridSample', in: ['x0', 'x1'], out: ['y0'], attributes: attributes as A }],
    ...(constant ? { initializers: [1] } : {}),
  })
  const paths: Lowering<OnnxForm>[] = [{ path: 'node', form: form(22, a) }]
  if (c.valid === false) return paths
  paths.push(
    { path: 'defaults-left-out', form: form(22, withoutDefaults(a, DEFAULTS)) },
    { path: 'opset-20', form: form(20, a) },
    { path: 'grid-constant', form: form(20, a, true) },
  )
  if (c.inputs[0]!.shape.length === 4) {
    const mode = { linear: 'bilinear', cubic: 'bicubic', nearest: 'nearest' }[a.mode]!
    paths.push({ path: 'opset-16', form: form(16, { ...a, mode }) })
  }
  return paths
}

/** A grid that is a matrix in pixels, from three of its points; null where its other points are elsewhere by more than rounding, or its terms are so large that theirs counts. */
function matrices(grid: Real, a: A, [rows, columns]: readonly [number, number]): number[] | null {
  const [batch, height, width] = grid.shape as [number, number, number]
  const list: number[] = []
  const scale = [columns, rows].map(n => (a.align_corners ? n - 1 : n) / 2)
  const shift = [columns, rows].map(n => (n - 1) / 2)
  for (let n = 0; n < batch; n++) {
    const at = (j: number, i: number, d: number) => grid.data[((n * height + j) * width + i) * 2 + d]! * scale[d]! + shift[d]!
    for (const d of [0, 1]) {
      const [p, q] = [
        width > 1 ? (at(0, width - 1, d) - at(0, 0, d)) / (width - 1) : 0,
        height > 1 ? (at(height - 1, 0, d) - at(0, 0, d)) / (height - 1) : 0,
      ]
      list.push(p, q, at(0, 0, d))
      const size = [columns, rows][d]! + 1
      if (Math.abs(p) * width + Math.abs(q) * height + Math.abs(at(0, 0, d)) > 2 * size) return null
      for (let j = 0; j < height; j++)
        for (let i = 0; i < width; i++) if (!(Math.abs(at(j, i, d) - (at(0, 0, d) + q * j + p * i)) <= size * 2 ** -23)) return null
    }
    list.push(0, 0)
  }
  return list.map(Math.fround)
}

function tfjs(c: Case<A>): Lowering<TfjsForm>[] {
  const { attributes: a } = c
  const [x, grid] = c.inputs as [TensorSpec, TensorSpec]
  if (c.valid === false || x.shape.length !== 4) return [{ declined: 'TF.js has no sampling at a grid' }]
  if (a.mode === 'cubic') return [{ declined: 'tf.image.transform has no cubic interpolation' }]
  if (a.padding_mode === 'reflection' && a.align_corners)
    return [{ declined: 'tf.image.transform reflects about the edges of pixels, not their centres' }]
  const points = real(realise(grid))
  const [rows, columns] = x.shape.slice(2) as [number, number]
  const list = matrices(points, a, [rows, columns])
  if (!list) return [{ declined: 'the grid is no matrix' }]
  const out = grid.shape.slice(1, 3)
  const { plan } = planOf(a, real({ ...realise(x) }), points)
  for (let n = 0; n < plan.groups; n++)
    for (let at = 0; at < plan.positions; at++) {
      const at0 = plan.at(EXACT, n, at)!
      if (a.mode === 'nearest' && at0.some(v => Math.abs(v - Math.floor(v) - 0.5) < 1e-3))
        return [{ declined: 'tf.image.transform rounds halves otherwise' }]
      if (a.mode === 'linear' && plan.off(n, at, at0).includes(0)) return [{ declined: 'a matrix cannot say these coordinates exactly' }]
    }
  const fillMode = { zeros: 'constant', border: 'nearest', reflection: 'reflect' }[a.padding_mode]!
  return [
    {
      path: 'transform',
      form: {
        prepare: t => [permute(t[0]!, toLast(4)), tensor('float32', [points.shape[0]!, 8], list)],
        call: (tf, t) => [tf.image.transform(t[0], t[1], a.mode === 'linear' ? 'bilinear' : 'nearest', fillMode, 0, out)],
        finish: ([y]) => [permute(y!, toSecond(4))],
      },
    },
  ]
}

/** Opset 16 calls the modes bilinear and bicubic. */
function fromOnnx({ attributes, inputs }: GivenNode) {
  const mode = String(attributes.mode ?? 'linear').replace(/^bi/, '')
  return { attributes: { ...DEFAULTS, ...attributes, mode } as A, inputs }
}

export default defineOp<A>({
  name: 'grid-sample',
  spec: ['https://onnx.ai/onnx/operators/onnx__GridSample.html', 'https://js.tensorflow.org/api/latest/#image.transform'],
  operators: ['GridSample'],
  fromOnnx,
  valid,
  invalid,
  expect,
  simulate(a, [x, grid], m) {
    const { plan, shape } = planOf(a, x!, grid!)
    return [simulated(x!, plan, shape, m)]
  },
  onnx,
  tfjs,
})
