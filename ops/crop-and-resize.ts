/**
 * y[k, c, i, j] = x[box_index[k], c] at row y1(H − 1) + i(y2 − y1)(H − 1)/(h − 1) (½(y1 + y2)(H − 1) where h = 1) and the column likewise;
 * extrapolation_value where that lies outside 0 … H − 1. (tf.image.cropAndResize, after TensorFlow's crop_and_resize_op; ONNX Resize-19 tf_crop_and_resize)
 */
import {
  type Case,
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
  numbers,
  type OnnxForm,
  type OnnxNode,
  open,
  permute,
  type Real,
  realise,
  type Shape,
  type TensorSpec,
  type TfjsForm,
  tensor,
  toLast,
  toSecond,
  values,
} from '../harness/op.ts'
import { EXACT, fraction, halfUp, looseU, over, PADS, type Plan, powerOfTwo, type Steps, sample, sampledAs, simulated } from '../harness/sampling.ts'

type A = { crop_size: readonly number[]; method: string; extrapolation_value: number }

// ── Cases ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const fields = {
  own: flag, // 1: also what only TF.js can say
  nearest: flag,
  boxes: int(1, 4),
  batch: int(1, 3),
  channels: int(1, 6),
  size: ints(2, 1, 33),
  crop: ints(2, 1, 17),
  /** Per box: sixteenths inside; between pixel centres; sixteenths, partly outside; the whole image; any numbers. */
  style: ints(4, 0, 4),
  corner: ints(16, 0, 16),
  index: ints(4, 0, 2),
  /** 1: as many pixels as the first box spans; 2: the first box spans all columns, as many of them; 3: half as many pixels as the image. */
  fit: int(0, 3),
  fill: int(0, 3),
  integral: int(0, 5),
  x: data(...FINITE, 'nan', 'inf', '-inf', 'subnormal', 'largest'),
}
const FILLS = [0, -1, 0.5, 300]

const valid = generator(fields, raw => {
  const sizes = raw.size.map(n => Math.max(1, raw.channels > 3 ? Math.ceil(n / 2) : n))
  const crop = raw.crop.map(n => Math.ceil(n / (raw.boxes > 2 ? 2 : 1)))
  const boxes = Array.from({ length: raw.boxes }, (_, k) => {
    const style = k === 0 && raw.fit === 3 ? 3 : k === 0 && raw.fit > 0 ? 1 : raw.style[k]!
    return [0, 1, 2, 3].map(i => {
      const v = raw.corner[4 * k + i]!
      const n = sizes[i % 2]!
      if (k === 0 && raw.fit === 2 && i % 2 === 1) return i >> 1
      if (style === 1) return Math.fround(n === 1 ? 0 : (v % n) / (n - 1))
      if (style === 2) return (v * 24 - 64) / 256
      if (style === 3) return i >> 1
      return style === 4 ? Math.fround((v * 1.23) / 17 - 0.05) : v / 16
    })
  })
  const span = (axis: number) => Math.round(Math.abs(boxes[0]![axis + 2]! - boxes[0]![axis]!) * (sizes[axis]! - 1)) + 1
  if (raw.fit === 1) crop.splice(0, 2, span(0), span(1))
  if (raw.fit === 2) crop[1] = sizes[1]!
  if (raw.fit === 3) crop.splice(0, 2, ...sizes.map(n => Math.max(1, n >> 1)))
  const index = raw.index.slice(0, raw.boxes).map(b => Math.min(b, raw.batch - 1))
  const dtype = raw.own && raw.integral === 5 ? 'int32' : 'float32'
  const attributes = { crop_size: crop, method: raw.nearest ? 'nearest' : 'bilinear', extrapolation_value: FILLS[raw.fill]! }
  return drawn<A>(
    attributes,
    fill(fields.x, raw.x, [raw.batch, raw.channels, ...sizes], dtype),
    values('float32', [raw.boxes, 4], boxes.flat()),
    values('int32', [raw.boxes], index),
  )
})

interface Spoilt {
  crop: number[]
  image: number[]
  boxes: number[]
  index: number[]
  method: string
}
/** One fault each. */
const FAULTS: readonly ((s: Spoilt) => void)[] = [
  s => (s.crop[0] = 0),
  s => (s.crop[1] = -1),
  s => (s.index[1] = 2),
  s => (s.index[0] = -1),
  s => (s.boxes[1] = 3),
  s => (s.boxes[1] = 5),
  s => s.index.pop(),
  s => s.image.shift(),
  s => (s.method = 'bicubic'),
  s => (s.crop = [2]),
]
const spoilt = { fault: int(0, FAULTS.length - 1), height: int(2, 5), width: int(2, 5), crop: int(2, 4), x: data('integers') }
const invalid = generator(spoilt, raw => {
  const s: Spoilt = { crop: [raw.crop, raw.crop], image: [2, 1, raw.height, raw.width], boxes: [2, 4], index: [0, 1], method: 'bilinear' }
  FAULTS[raw.fault]!(s)
  return drawn<A>(
    { crop_size: s.crop, method: s.method, extrapolation_value: 0 },
    fill(spoilt.x, raw.x, s.image),
    values('float32', s.boxes, [0, 0, 1, 1]),
    values('int32', [s.index.length], s.index),
  )
})

// ── Reference ───────────────────────────────────────────────────────────────────────────────────────────────────────

function coordinate(m: Steps, b: number, e: number, n: number, out: number, i: number): number {
  if (out === 1) return m.mul(m.mul(0.5, m.add(b, e)), n - 1)
  if (m === EXACT) return ((b * (out - 1) + i * (e - b)) * (n - 1)) / (out - 1) // products of few bits and one rounding: on the border exactly where the box is
  return m.add(m.mul(b, n - 1), m.mul(i, over(m, m.mul(m.sub(e, b), n - 1), out - 1)))
}
/** One rounding of b(n − 1), five of the term with i (a quotient is two), one of the sum; exact where box, size and step are numbers of few bits. */
function uncertainty(b: number, e: number, n: number, out: number, i: number, c: number): number {
  const step = out === 1 ? 0 : (Math.abs(e - b) * (n - 1)) / (out - 1)
  const bits = Math.max(fraction(b), fraction(e)) + (out === 1 ? 1 : Math.log2(out - 1))
  if ((out === 1 || powerOfTwo(out - 1)) && bits + Math.log2((Math.abs(b) + Math.abs(e) + 1) * n) <= 22) return 0
  return out === 1 ? 3 * Math.abs(c) : Math.abs(b) * (n - 1) + 5 * i * step + Math.abs(c)
}

interface Crop {
  plan: Plan
  shape: Shape
  /** Positions where rounding decides whether the sample lies on the image. */
  border: (group: number, position: number) => boolean
}
function planOf(a: A, x: Real, boxes: Real, index: Real): Crop {
  const [, channels, ...sizes] = x.shape as [number, number, number, number]
  const [height, width] = a.crop_size as [number, number]
  const place = (g: number, at: number, d: number) => ({
    b: boxes.data[4 * g + d]!,
    e: boxes.data[4 * g + d + 2]!,
    n: sizes[d]!,
    out: a.crop_size[d]!,
    i: d === 0 ? Math.floor(at / width) : at % width,
  })
  const at = (m: Steps, g: number, position: number) =>
    [0, 1].map(d => {
      const p = place(g, position, d)
      return coordinate(m, p.b, p.e, p.n, p.out, p.i)
    })
  const off = (g: number, position: number, c: readonly number[]) =>
    c.map((v, d) => {
      const p = place(g, position, d)
      return uncertainty(p.b, p.e, p.n, p.out, p.i, v)
    })
  const U = looseU('float32')
  return {
    shape: [boxes.shape[0]!, channels, height, width],
    plan: {
      mode: a.method === 'nearest' ? 'nearest' : 'linear',
      groups: boxes.shape[0]!,
      positions: height * width,
      image: g => index.data[g]!,
      at: (m, g, position) => {
        const c = at(m, g, position)
        return c.some((v, d) => v < 0 || v > sizes[d]! - 1) ? null : c
      },
      off,
      pad: PADS.clamp,
      fill: () => Math.fround(a.extrapolation_value),
      round: halfUp,
    },
    border: (g, position) => {
      const c = at(EXACT, g, position)
      const near = off(g, position, c).map(v => v * U)
      // Certainly outside along another axis: no question.
      if (c.some((v, d) => v < -near[d]! || v > sizes[d]! - 1 + near[d]!)) return false
      return c.some((v, d) => near[d]! > 0 && (Math.abs(v) <= near[d]! || Math.abs(v - sizes[d]! + 1) <= near[d]!))
    },
  }
}

function expect(a: A, [image, boxes, index]: readonly (Real | null)[]): Expected[] {
  const x: Real = { ...image!, dtype: 'float32' }
  const { plan, shape, border } = planOf(a, x, boxes!, index!)
  const s = sample(x, plan)
  const expected = sampledAs(x, shape, plan, s)
  const channels = shape[1]!
  const on = new Uint8Array(s.value.length)
  let any = false
  for (let g = 0; g < plan.groups; g++)
    for (let at = 0; at < plan.positions; at++) {
      if (!border(g, at)) continue
      any = true
      for (let c = 0; c < channels; c++) on[(g * channels + c) * plan.positions + at] = 1
    }
  if (!any || (expected.rule !== 'error' && expected.rule !== 'exact')) return [expected]
  const loose = { ...expected, open: [...open('a sample that rounding puts on the border or outside', on), ...(expected.open ?? [])] }
  return [
    {
      rule: 'either',
      options: [
        { name: 'the exact coordinate', expected },
        { name: 'rounding decides on which side of the border a sample lies', expected: loose },
      ],
    },
  ]
}

// ── Lowerings ───────────────────────────────────────────────────────────────────────────────────────────────────────

const numbersOf = (s: TensorSpec): number[] => Array.from(numbers(realise(s)))

/** Box by box: the image that it belongs to, resized with the box as roi, all of them joined. */
function onnx(c: Case<A>): Lowering<OnnxForm>[] {
  const { attributes: a } = c
  const [x, boxes, index] = c.inputs as [TensorSpec, TensorSpec, TensorSpec]
  if (x.dtype !== 'float32') return [{ declined: 'the result is float32; Resize keeps the dtype of the image' }]
  if (x.shape.length !== 4 || boxes.shape[1] !== 4 || index.shape[0] !== boxes.shape[0] || a.crop_size.length !== 2 || a.method === 'bicubic')
    return [{ declined: 'Resize takes boxes as constants of the right form' }]
  const all = numbersOf(boxes)
  const images = numbersOf(index)
  if (images.some(i => i < 0)) return [{ declined: 'Gather counts negative indices from the end' }]
  const form = (nearest_mode: string, opset: number): OnnxForm => {
    const nodes: OnnxNode[] = []
    const constants: Record<string, ReturnType<typeof tensor>> = {}
    const mode: Record<string, string> = a.method === 'nearest' ? { mode: 'nearest', nearest_mode } : { mode: 'linear' }
    const attributes = { ...mode, coordinate_transformation_mode: 'tf_crop_and_resize', extrapolation_value: a.extrapolation_value }
    images.forEach((image, k) => {
      const [y1, x1, y2, x2] = all.slice(4 * k, 4 * k + 4) as [number, number, number, number]
      constants[`image${k}`] = tensor('int64', [1], [image])
      constants[`roi${k}`] = tensor('float32', [8], [0, 0, y1, x1, 1, 1, y2, x2])
      constants.sizes = tensor('int64', [4], [1, x.shape[1]!, ...a.crop_size])
      const crop = images.length === 1 ? 'y0' : `crop${k}`
      nodes.push({ op: 'Gather', in: ['x0', `image${k}`], out: [`chosen${k}`], attributes: { axis: 0 } })
      const scales = opset < 13 ? 'none' : ''
      if (scales) constants.none = tensor('float32', [0], [])
      nodes.push({ op: 'Resize', in: [`chosen${k}`, `roi${k}`, scales, 'sizes'], out: [crop], attributes })
    })
    if (images.length > 1) nodes.push({ op: 'Concat', in: images.map((_, k) => `crop${k}`), out: ['y0'], attributes: { axis: 0 } })
    return { opset, nodes, constants, prepare: t => [t[0]!] }
  }
  const paths: Lowering<OnnxForm>[] = [
    { path: 'resize-each-box', form: form('round_prefer_ceil', 19) },
    { path: 'opset-13', form: form('round_prefer_ceil', 13) },
    { path: 'opset-11', form: form('round_prefer_ceil', 11) },
  ]
  if (a.method === 'nearest')
    paths.push({ path: 'default-nearest', form: form('round_prefer_floor', 19), naive: 'the default nearest_mode rounds halves down, TensorFlow up' })
  return paths
}

function tfjs(c: Case<A>): Lowering<TfjsForm>[] {
  const { attributes: a } = c
  const boxes = c.inputs[1]!
  const rank = c.inputs[0]!.shape.length
  const say = (call: (tf: any, t: readonly any[]) => any): TfjsForm => ({
    prepare: t => [rank === 4 ? permute(t[0]!, toLast(4)) : t[0]!, t[1]!, t[2]!],
    call: (tf, t) => [call(tf, t)],
    finish: ([y]) => [y!.shape.length === 4 ? permute(y!, toSecond(4)) : y!],
  })
  const rest = [a.crop_size, a.method, a.extrapolation_value] as const
  const paths: Lowering<TfjsForm>[] = [{ path: 'tensors', form: say((tf, t) => tf.image.cropAndResize(t[0], t[1], t[2], ...rest)) }]
  if (c.valid === false) return paths
  const list = numbersOf(boxes)
  const rows = Array.from({ length: boxes.shape[0]! }, (_, k) => list.slice(4 * k, 4 * k + 4))
  const index = numbersOf(c.inputs[2]!)
  paths.push({ path: 'arrays', form: say((tf, t) => tf.image.cropAndResize(t[0], rows, index, ...rest)) })
  if (a.extrapolation_value === 0) {
    const fewer = a.method === 'bilinear' ? rest.slice(0, 1) : rest.slice(0, 2)
    paths.push({ path: 'defaults-left-out', form: say((tf, t) => tf.image.cropAndResize(t[0], t[1], t[2], ...fewer)) })
  }
  return paths
}

export default defineOp<A>({
  name: 'crop-and-resize',
  spec: ['https://js.tensorflow.org/api/latest/#image.cropAndResize', 'https://onnx.ai/onnx/operators/onnx__Resize.html'],
  valid,
  invalid,
  expect,
  simulate(a, [image, boxes, index], m) {
    const x: Real = { ...image!, dtype: 'float32' }
    const { plan, shape } = planOf(a, x, boxes!, index!)
    return [simulated(x, plan, shape, m)]
  },
  lies: {
    'the box index is ignored'(c, _right, inputs) {
      const index = inputs[2]!
      if (!index.data.some(v => v > 0)) return null
      const e = expect(c.attributes, [inputs[0]!, inputs[1]!, { ...index, data: index.data.map(() => 0) }])[0]!
      const first = e.rule === 'either' ? e.options[0]!.expected : e
      return first.rule === 'exact' || first.rule === 'error' ? [{ dtype: 'float32', shape: first.shape, data: first.value.map(Math.fround) }] : null
    },
  },
  onnx,
  tfjs,
})
