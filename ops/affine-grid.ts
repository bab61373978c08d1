/**
 * grid[n, o, r] = Σ_k theta[n, r, k]·(x, y, (z), 1)_k, x the normalised position of o on its axis: (2i + 1)/size − 1, or −1 + 2i/(size − 1) with align_corners.
 * (ONNX AffineGrid-20; grid's last axis is x, y, (z), as GridSample takes it)
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
  type OnnxForm,
  pick,
  type Real,
  type Shape,
  sizeOf,
  type TfjsForm,
  tensor,
  unravel,
} from '../harness/op.ts'
import { EXACT, over, type Steps } from '../harness/sampling.ts'

/** size: N, C, H, W or N, C, D, H, W. */
type A = { align_corners: number; size: readonly number[] }

// ── Cases ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const fields = {
  align: flag,
  volume: int(0, 2),
  batch: int(1, 3),
  channels: int(1, 3),
  size: ints(3, 1, 17),
  type: int(0, 7),
  theta: data(...FINITE, 'subnormal', 'largest'),
}
const valid = generator(fields, raw => {
  const rank = raw.volume === 2 ? 3 : 2
  const sizes = raw.size.slice(0, rank).map(n => (rank === 3 ? Math.ceil(n / 2) : n))
  const dtype: DType = pick(['float32', 'float32', 'float32', 'float32', 'float32', 'float32', 'float16', 'float64'] as const, raw.type)
  return drawn<A>(
    { align_corners: raw.align, size: [raw.batch, raw.channels, ...sizes] },
    fill(fields.theta, raw.theta, [raw.batch, rank, rank + 1], dtype),
  )
})
/** One fault each: theta's shape, and a size that no grid has. */
const FAULTS: readonly { theta?: readonly number[]; size?: readonly number[] }[] = [
  { size: [2, 1, 3] },
  { size: [2, 1, -1, 3] },
  { size: [3, 1, 2, 3] },
  { theta: [2, 2, 4] },
  { theta: [2, 6] },
  { theta: [2, 3, 4] },
  { size: [2, 1, 2, 3, 2, 2] },
]
const spoilt = { fault: int(0, FAULTS.length - 1), align: flag, theta: data('integers') }
const invalid = generator(spoilt, raw => {
  const { theta = [2, 2, 3], size = [2, 1, 2, 3] } = FAULTS[raw.fault]!
  return drawn<A>({ align_corners: raw.align, size }, fill(spoilt.theta, raw.theta, theta))
})

// ── Reference ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** Normalised position i of n; `single` is where the only one of an axis lies with align_corners. */
function position(m: Steps, i: number, n: number, align: number, single: number): number {
  if (align) return n === 1 ? single : m.sub(m.mul(i, over(m, 2, n - 1)), 1)
  return m.sub(over(m, 2 * i + 1, n), 1)
}

/**
 * Positions may be off by 6u (a step of two roundings, up to n times, is at most 2; then a difference and a factor), products and sum by γ(rank + 1):
 * u·(6·Σ|θ_k| + (rank + 2)·Σ|θ_k||x_k|). Rows that do not move with the position are exact.
 */
function grid(a: A, theta: Real, single: number): Expected {
  const sizes = a.size.slice(2)
  const rank = sizes.length
  const shape = [a.size[0]!, ...sizes, rank]
  const points = sizeOf(sizes)
  const make = () => new Float64Array(sizeOf(shape))
  const [value, slack, largestTerm] = [make(), make(), make()]
  for (let o = 0; o < points; o++) {
    const at = unravel(o, sizes).map((i, d) => position(EXACT, i, sizes[d]!, a.align_corners, single))
    for (let n = 0; n < shape[0]!; n++)
      for (let r = 0; r < rank; r++) {
        const i = (n * points + o) * rank + r
        const row = (n * rank + r) * (rank + 1)
        let [sum, moving, all] = [theta.data[row + rank]!, 0, 0]
        for (let k = 0; k < rank; k++) {
          const w = theta.data[row + k]!
          sum += w * at[rank - 1 - k]!
          moving += Math.abs(w)
          all += Math.abs(w * at[rank - 1 - k]!)
        }
        value[i] = sum
        const rest = Math.abs(theta.data[row + rank]!)
        largestTerm[i] = moving + rest
        slack[i] = moving === 0 ? 0 : 6 * moving + (rank + 2) * (all + rest)
      }
  }
  const largest = theta.dtype === 'float16' ? 65504 : LARGEST
  const own = theta.dtype === 'float64' ? 2 : 1
  return {
    rule: 'error',
    dtype: theta.dtype,
    shape,
    value,
    because: `positions 6u·Σ|θ|, sums ${rank + 2}u·Σ|θ||x|`,
    allowed: (arithmetic: Arithmetic) =>
      slack.map((s, i) => {
        if (s === 0) return 0
        const tiny = theta.dtype === 'float16' ? 2 ** -24 : eta(arithmetic)
        return largestTerm[i]! < largest / 4 ? own * arithmetic.u * s + 4 * tiny : NaN
      }),
  }
}
const lone = (a: A): boolean => a.align_corners === 1 && a.size.slice(2).includes(1)

function expect(a: A, [theta]: readonly (Real | null)[]): Expected[] {
  if (!lone(a)) return [grid(a, theta!, 0)]
  return [
    {
      rule: 'either',
      options: [
        { name: 'the only position of an axis is −1, the first of linspace (ONNX reference)', expected: grid(a, theta!, -1) },
        { name: 'the only position of an axis is 0, its middle (PyTorch)', expected: grid(a, theta!, 0) },
      ],
    },
  ]
}

// ── Lowerings ───────────────────────────────────────────────────────────────────────────────────────────────────────

function onnx(c: Case<A>): Lowering<OnnxForm>[] {
  const { size, align_corners } = c.attributes
  const constants = { size: tensor('int64', [size.length], size) }
  const node = (from: string, attributes: Record<string, number>) => ({ op: 'AffineGrid', in: ['x0', from], out: ['y0'], attributes })
  const paths: Lowering<OnnxForm>[] = [{ path: 'node', form: { opset: 20, nodes: [node('size', { align_corners })], constants } }]
  paths.push({ path: 'size-fed', form: { opset: 20, nodes: [node('x1', { align_corners })], prepare: t => [t[0]!, constants.size] } })
  if (align_corners === 0) paths.push({ path: 'defaults-left-out', form: { opset: 22, nodes: [node('size', {})], constants } })
  return paths
}

/** Normalised positions with a 1, [points, rank + 1], times θ transposed. */
function tfjs(c: Case<A>): Lowering<TfjsForm>[] {
  const { attributes: a } = c
  if (c.valid === false) return [{ declined: 'TF.js has no affine grid' }]
  const sizes = a.size.slice(2)
  const [batch, rank] = [a.size[0]!, sizes.length]
  const points = sizeOf(sizes)
  const base = Array.from({ length: points }, (_, o) => [
    ...unravel(o, sizes)
      .map((i, d) => position(EXACT, i, sizes[d]!, a.align_corners, -1))
      .reverse(),
    1,
  ]).flat()
  const shape: Shape = [1, points, rank + 1]
  return [
    {
      path: 'mat-mul',
      form: {
        prepare: t => [t[0]!, tensor('float32', shape, base)],
        call: (tf, t) => [tf.reshape(tf.matMul(batch === 1 ? t[1] : tf.tile(t[1], [batch, 1, 1]), t[0], false, true), [batch, ...sizes, rank])],
      },
    },
  ]
}

function fromOnnx({ attributes, inputs, values }: GivenNode) {
  const size = values(1)
  if (!size) return { declined: 'AffineGrid needs its size' }
  return { attributes: { align_corners: 0, ...attributes, size } as A, inputs: [inputs[0]!] }
}

export default defineOp<A>({
  name: 'affine-grid',
  spec: ['https://onnx.ai/onnx/operators/onnx__AffineGrid.html'],
  operators: ['AffineGrid'],
  fromOnnx,
  valid,
  invalid,
  expect,
  simulate(a, [theta], m) {
    const e = grid(a, theta!, -1)
    if (e.rule !== 'error') return [null]
    const double = theta!.dtype === 'float64' // the machines are of single precision
    if (double) return [{ dtype: e.dtype, shape: e.shape, data: e.value }]
    const sizes = a.size.slice(2)
    const rank = sizes.length
    const plain = m.rung !== 'f32' && lone(a) // which of two answers a tf32 product follows is not named
    const read = plain ? (v: number) => v : m.read
    const out = e.value.map((_, i) => {
      const [n, ...rest] = unravel(i, e.shape) as [number, ...number[]]
      const r = rest.pop()!
      const x = rest.map((p, d) => position(m, p, sizes[d]!, a.align_corners, -1)).reverse()
      const row = Array.from({ length: rank + 1 }, (_, k) => read(theta!.data[(n * rank + r) * (rank + 1) + k]!))
      const sum = (s: number, v: number, k: number) => m.add(s, m.mul(v, row[k]!))
      return m.rung === 'f32' ? m.dot(x, row, rank, row[rank]!) : x.reduce(sum, row[rank]!)
    })
    return [{ dtype: e.dtype, shape: e.shape, data: out }]
  },
  lies: {
    'x and y swapped': (_c, right) => [
      { ...right[0]!, data: right[0]!.data.map((_, i) => right[0]!.data[i % 2 ? i - 1 : Math.min(i + 1, right[0]!.data.length - 1)]!) },
    ],
    'the corners the other way': (c, _right, inputs) => {
      const e = grid({ ...c.attributes, align_corners: 1 - c.attributes.align_corners }, inputs[0]!, -1)
      return e.rule === 'error' ? [{ dtype: e.dtype, shape: e.shape, data: e.value.map(Math.fround) }] : null
    },
  },
  onnx,
  tfjs,
})
