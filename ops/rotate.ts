/**
 * y[n, c, j, i] = x[n, c] at column round((i − cx)cos r − (j − cy)sin r + cx) and row round((i − cx)sin r + (j − cy)cos r + cy), cx = center_x·W, cy = center_y·H;
 * outside the image the fill value (a fourth channel beside three given colours is opaque, 255). (tf.image.rotateWithOffset)
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
  generator,
  int,
  ints,
  type Lowering,
  type OnnxForm,
  pick,
  type Real,
  type Shape,
  type TfjsForm,
  tensor,
} from '../harness/op.ts'
import { fraction, gridFor, halfUp, PADS, type Plan, type Steps, sample, sampledAs } from '../harness/sampling.ts'

/** fill_value: one number for all channels, or three. center: x, y, as parts of width and height. */
type A = { radians: number; fill_value: readonly number[]; center: readonly number[] }

// ── Cases ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const fields = {
  own: int(0, 2), // 0, 1: filled with zeros, so that GridSample can say it
  batch: int(1, 2),
  channels: int(1, 5),
  size: ints(2, 1, 17),
  angle: int(0, 48), // 24ths of a turn, then odd ones, either way
  center: ints(2, 0, 8), // ½ first, then eighths and tenths
  fill: int(0, 6),
  x: data(...FINITE, 'nan', 'inf', 'subnormal', 'largest'),
}
const CENTERS = [0.5, 0, 1, 0.25, 0.75, 0.3, 0.625, 1.5, -0.5].map(Math.fround)
const FILLS = [[0], [1], [7], [0.125], [-1], [1, 2, 3], [0.5, -3, 200]]
/** One of three: no turn, twelfths of half a turn (right angles put centres on halves), anything. */
const angleOf = (v: number): number => Math.fround(v === 0 ? 0 : v <= 24 ? ((v > 12 ? v - 25 : v) * Math.PI) / 12 : ((v - 36) * 10) / 37)
const valid = generator(fields, raw => {
  const fill_value = pick(FILLS, raw.own === 2 ? raw.fill : 0)
  const channels = fill_value.length > 1 ? Math.min(4, raw.channels) : raw.channels
  const [cx, cy] = [pick(CENTERS, raw.center[0]!), pick(CENTERS, raw.center[1]!)]
  return drawn<A>({ radians: angleOf(raw.angle), fill_value, center: [cx, cy] }, fill(fields.x, raw.x, [raw.batch, channels, ...raw.size]))
})
const spoilt = { rank: int(1, 3), size: int(2, 5), x: data('integers') }
/** Images of another rank than 4. */
const invalid = generator(spoilt, raw =>
  drawn<A>({ radians: 1, fill_value: [0], center: [0.5, 0.5] }, fill(spoilt.x, raw.x, new Array(pick([1, 2, 3], raw.rank - 1)).fill(raw.size))),
)

// ── Reference ───────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Sine and cosine are rounded (to a few units where a library approximates them), the distances and products once each; said as a matrix or a grid, also the
 * constants of the size of the image are: eight units of what is added. Without a turn everything is exact.
 */
function planOf(a: A, shape: Shape): Plan {
  const [batch, , height, width] = shape as [number, number, number, number]
  const [cx, cy] = [width * a.center[0]!, height * a.center[1]!]
  const [sin, cos] = [Math.sin(a.radians), Math.cos(a.radians)]
  return {
    mode: 'nearest',
    groups: batch,
    positions: height * width,
    image: g => g,
    at(m: Steps, _, position) {
      const [dx, dy] = [m.sub(position % width, cx), m.sub(Math.floor(position / width), cy)]
      const column = m.add(m.sub(m.mul(dx, cos), m.mul(dy, sin)), cx)
      return [m.add(m.add(m.mul(dx, sin), m.mul(dy, cos)), cy), column]
    },
    off(_, position) {
      if (a.radians === 0 && fraction(cx) < 10 && fraction(cy) < 10) return [0, 0]
      const far = Math.abs((position % width) - cx) + Math.abs(Math.floor(position / width) - cy) + Math.abs(cx) + Math.abs(cy)
      return [8 * (far + height + 1), 8 * (far + width + 1)]
    },
    pad: PADS.fill,
    fill: c => Math.fround(a.fill_value.length === 1 ? a.fill_value[0]! : c === 3 ? 255 : a.fill_value[c]!),
    round: halfUp,
  }
}
function expect(a: A, [x]: readonly (Real | null)[]): Expected[] {
  const plan = planOf(a, x!.shape)
  return [sampledAs(x!, x!.shape, plan, sample(x!, plan), 'a pixel between two')]
}

// ── Lowerings ───────────────────────────────────────────────────────────────────────────────────────────────────────

function onnx(c: Case<A>): Lowering<OnnxForm>[] {
  const { attributes: a } = c
  const { shape } = c.inputs[0]!
  if (shape.length !== 4) return [{ declined: 'GridSample takes coordinates for images of any rank' }]
  if (a.fill_value.some(v => v !== 0) || a.fill_value.length > 1) return [{ declined: 'GridSample pads with zeros only' }]
  const [batch, channels, height, width] = shape as [number, number, number, number]
  const plan = planOf(a, shape)
  const grid = gridFor(plan, [height, width], [height, width])!
  const node = { op: 'GridSample', in: ['x0', 'grid'], out: ['y0'], attributes: { mode: 'nearest', padding_mode: 'zeros', align_corners: 0 } }
  const sampling = (opset: number): OnnxForm => ({ opset, nodes: [node], constants: { grid }, prepare: t => [t[0]!] })
  const [cx, cy] = [width * a.center[0]!, height * a.center[1]!]
  const [sin, cos] = [Math.sin(a.radians), Math.cos(a.radians)]
  const rows = [
    [cos, -sin, cx - cx * cos + cy * sin, width],
    [sin, cos, cy - cx * sin - cy * cos, height],
  ] as const
  const theta = (about: boolean) =>
    Array.from({ length: batch }, () =>
      rows.flatMap(([p, q, r, n]) =>
        about ? [(p * width) / n, (q * height) / n, (p * (width - 1) + q * (height - 1) + 2 * r + 1) / n - 1] : [p, q, 0],
      ),
    ).flat()
  const affine = (about: boolean): OnnxForm => ({
    opset: 20,
    nodes: [{ op: 'AffineGrid', in: ['theta', 'size'], out: ['grid'], attributes: { align_corners: 0 } }, node],
    constants: { theta: tensor('float32', [batch, 2, 3], theta(about)), size: tensor('int64', [4], [batch, channels, height, width]) },
    prepare: t => [t[0]!],
  })
  return [
    { path: 'grid', form: sampling(22) },
    { path: 'grid-opset-16', form: sampling(16) },
    { path: 'affine-grid', form: affine(true) },
    {
      path: 'affine-rotation',
      form: affine(false),
      naive: 'θ turns about the middle (W − 1)/2 of a square, rotateWithOffset about center·W in pixels',
    },
  ]
}

function tfjs(c: Case<A>): Lowering<TfjsForm>[] {
  const { attributes: a } = c
  const rank = c.inputs[0]!.shape.length
  const say = (call: (tf: any, t: readonly any[]) => any): TfjsForm => (rank === 4 ? channelsLast(4, call) : { call: (tf, t) => [call(tf, t)] })
  const colour = a.fill_value.length === 1 ? a.fill_value[0]! : [...a.fill_value]
  const [x, y] = a.center as [number, number]
  const paths: Lowering<TfjsForm>[] = [{ path: 'center-pair', form: say((tf, t) => tf.image.rotateWithOffset(t[0], a.radians, colour, [x, y])) }]
  if (c.valid === false) return paths
  if (x === y) paths.push({ path: 'center-number', form: say((tf, t) => tf.image.rotateWithOffset(t[0], a.radians, colour, x)) })
  if (x === 0.5 && y === 0.5)
    paths.push({ path: 'center-left-out', form: say((tf, t) => tf.image.rotateWithOffset(t[0], a.radians, ...(colour === 0 ? [] : [colour]))) })
  if (typeof colour !== 'number') return paths
  const [height, width] = c.inputs[0]!.shape.slice(2) as [number, number]
  const [cx, cy] = [width * x, height * y]
  const [sin, cos] = [Math.sin(a.radians), Math.cos(a.radians)]
  const matrix = [cos, -sin, cx - cx * cos + cy * sin, sin, cos, cy - cx * sin - cy * cos, 0, 0]
  if (c.inputs[0]!.shape[0] === 1)
    paths.push({ path: 'transform', form: say((tf, t) => tf.image.transform(t[0], [matrix], 'nearest', 'constant', colour)) })
  return paths
}

export default defineOp<A>({
  name: 'rotate',
  spec: ['https://js.tensorflow.org/api/latest/#image.rotateWithOffset', 'https://onnx.ai/onnx/operators/onnx__GridSample.html'],
  valid,
  invalid,
  expect,
  lies: {
    'turned the other way': (c, _right, inputs) => answer({ ...c.attributes, radians: -c.attributes.radians }, inputs),
    'turned about the middle of the outer pixels': (c, _right, [x]) => {
      const [height, width] = x!.shape.slice(2) as [number, number]
      const center = [c.attributes.center[0]! - 0.5 / width, c.attributes.center[1]! - 0.5 / height]
      return answer({ ...c.attributes, center }, [x!])
    },
  },
  onnx,
  tfjs,
})
function answer(a: A, [x]: readonly (Real | null)[]): Real[] {
  return [{ dtype: x!.dtype, shape: x!.shape, data: sample(x!, planOf(a, x!.shape)).value }]
}
