/** Small operations of tf.image: the columns of an image in reverse, grey images with three channels, and colours as grey (0.2989 R + 0.5870 G + 0.1140 B, CCIR 601). */
import {
  type Arithmetic,
  type Case,
  channelsLast,
  type DType,
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
  type OnnxForm,
  type OnnxNode,
  open,
  pick,
  type Real,
  type TfjsForm,
  tensor,
} from '../harness/op.ts'
import { powerOfTwo } from '../harness/sampling.ts'

type A = Record<string, never>
const spec = (name: string) => [`https://js.tensorflow.org/api/latest/#image.${name}`]
const say = (call: (tf: any, x: any) => any): TfjsForm => ({ call: (tf, [x]) => [call(tf, x)] })
const only = (...nodes: OnnxNode[]): OnnxForm => ({ opset: 13, nodes })
const node = (op: string, input: string[], attributes: OnnxNode['attributes'] = {}, out = 'y0'): OnnxNode => ({
  op,
  in: input,
  out: [out],
  attributes,
})

// ── Columns in reverse: N, C, H, W ──────────────────────────────────────────────────────────────────────────────────

const flipFields = { batch: int(1, 3), channels: int(1, 9), size: ints(2, 1, 33), x: data() }
const flipLeftRight = defineOp<A>({
  name: 'flip-left-right',
  spec: spec('flipLeftRight'),
  valid: generator(flipFields, raw =>
    drawn<A>({}, fill(flipFields.x, raw.x, [raw.batch, raw.channels, raw.size[0]!, Math.ceil(raw.size[1]! / (raw.channels > 4 ? 2 : 1))])),
  ),
  invalid: generator({ rank: int(1, 3) }, raw =>
    drawn<A>({}, { dtype: 'float32', shape: [1, 2, 3].slice(0, raw.rank), recipe: { kind: 'ramp', start: 1, step: 1 } }),
  ),
  expect(_, [x]): Expected[] {
    const width = x!.shape[3]!
    const value = x!.data.map((_, i) => x!.data[i - (i % width) + width - 1 - (i % width)]!)
    return [{ rule: 'exact', dtype: x!.dtype, shape: x!.shape, value }]
  },
  onnx(c: Case<A>): Lowering<OnnxForm>[] {
    if (c.valid === false) return [{ declined: 'ONNX reverses an axis of tensors of any rank' }]
    const width = c.inputs[0]!.shape[3]!
    const index = (...v: number[]) => tensor('int64', [v.length], v)
    const slice = { from: index(-1), to: index(-(2 ** 31)), axis: index(3), step: index(-1) }
    const order = { order: index(...Array.from({ length: width }, (_, i) => width - 1 - i)) }
    return [
      { path: 'slice', form: { ...only(node('Slice', ['x0', 'from', 'to', 'axis', 'step'])), constants: slice } },
      { path: 'gather', form: { ...only(node('Gather', ['x0', 'order'], { axis: 3 })), constants: order } },
    ]
  },
  tfjs(c: Case<A>): Lowering<TfjsForm>[] {
    if (c.valid === false) return [{ path: 'flip', form: say((tf, x) => tf.image.flipLeftRight(x)) }]
    return [
      { path: 'flip', form: channelsLast(4, (tf, [x]) => tf.image.flipLeftRight(x)) },
      { path: 'reverse', form: channelsLast(4, (tf, [x]) => tf.reverse(x, 2)) },
      { path: 'reverse-negative-axis', form: channelsLast(4, (tf, [x]) => tf.reverse(x, [-2])) },
    ]
  },
})

// ── One channel three times: …, 1 → …, 3 ────────────────────────────────────────────────────────────────────────────

const shapeFields = { rank: int(1, 5), size: ints(5, 1, 7), type: int(0, 2) }
const shapeOf = (raw: { rank: number; size: number[] }) => raw.size.slice(0, raw.rank).map(n => (raw.rank > 3 ? Math.ceil(n / 2) : n))
const spoiltFields = { rank: int(0, 3), channels: int(1, 4) }
/** A vector, or a number of channels that there is none of. */
const spoilt = (right: number) =>
  generator(spoiltFields, raw => {
    const channels = raw.rank === 0 || raw.channels !== right ? raw.channels : 5
    const shape = raw.rank === 0 ? [right] : [...new Array(raw.rank).fill(2), channels]
    return drawn<A>({}, { dtype: 'float32', shape, recipe: { kind: 'ramp', start: 1, step: 1 } })
  })

const greyFields = { ...shapeFields, x: data() }
const grayscaleToRgb = defineOp<A>({
  name: 'grayscale-to-rgb',
  spec: spec('grayscaleToRGB'),
  valid: generator(greyFields, raw =>
    drawn<A>({}, fill(greyFields.x, raw.x, [...shapeOf(raw), 1], pick<DType>(['float32', 'int32', 'bool'], raw.type))),
  ),
  invalid: spoilt(1),
  expect(_, [x]): Expected[] {
    const value = Float64Array.from({ length: x!.data.length * 3 }, (_, i) => x!.data[Math.floor(i / 3)]!)
    return [{ rule: 'exact', dtype: x!.dtype, shape: [...x!.shape.slice(0, -1), 3], value }]
  },
  onnx(c: Case<A>): Lowering<OnnxForm>[] {
    if (c.valid === false) return [{ declined: 'ONNX repeats axes of any length' }]
    const { shape } = c.inputs[0]!
    const list = (...v: number[]) => tensor('int64', [v.length], v)
    const once = shape.slice(0, -1).map(() => 1)
    return [
      { path: 'tile', form: { ...only(node('Tile', ['x0', 'repeats'])), constants: { repeats: list(...once, 3) } } },
      { path: 'expand', form: { ...only(node('Expand', ['x0', 'shape'])), constants: { shape: list(...shape.slice(0, -1), 3) } } },
      { path: 'concat', form: only(node('Concat', ['x0', 'x0', 'x0'], { axis: -1 })) },
    ]
  },
  tfjs(c: Case<A>): Lowering<TfjsForm>[] {
    const main = { path: 'grayscale-to-rgb', form: say((tf, x) => tf.image.grayscaleToRGB(x)) }
    if (c.valid === false) return [main]
    return [
      main,
      { path: 'concat', form: say((tf, x) => tf.concat([x, x, x], -1)) },
      { path: 'broadcast', form: say((tf, x) => tf.broadcastTo(x, [...c.inputs[0]!.shape.slice(0, -1), 3])) },
    ]
  },
})

// ── Colours as grey: …, 3 → …, 1 ────────────────────────────────────────────────────────────────────────────────────

const LUMA = [0.2989, 0.587, 0.114].map(Math.fround) as [number, number, number]
const colourFields = { ...shapeFields, type: flag, x: data(...FINITE, 'subnormal') }
/** Three products and two sums: γ(3)·Σ|w||x|; a single power of two is exact. Integers are cut off: within that of a whole number both neighbours are right. */
function grey(x: Real): Expected {
  const size = x.data.length / 3
  const [value, magnitude, terms] = [0, 1, 2].map(() => new Float64Array(size)) as [Float64Array, Float64Array, Float64Array]
  const simple = new Uint8Array(size).fill(1)
  for (let i = 0; i < size; i++)
    for (let c = 0; c < 3; c++) {
      const v = x.data[3 * i + c]!
      value[i]! += LUMA[c]! * v
      magnitude[i]! += Math.abs(LUMA[c]! * v)
      terms[i]! += v ? 1 : 0
      if (v && !powerOfTwo(Math.abs(v))) simple[i] = 0
    }
  const shape = [...x.shape.slice(0, -1), 1]
  if (x.dtype === 'int32') {
    const off = magnitude.map(m => 4 * 2 ** -23 * m)
    const at = Uint8Array.from(value, (v, i) => (Math.trunc(v - off[i]!) !== Math.trunc(v + off[i]!) ? 1 : 0))
    const answers = {
      'the exact value': value.map(Math.trunc),
      'the other side': value.map((v, i) => Math.trunc(v - Math.sign(v - Math.round(v)) * off[i]!)),
    }
    return { rule: 'exact', dtype: 'int32', shape, value: value.map(Math.trunc), open: open('a grey value next to a whole number', at, answers) }
  }
  return {
    rule: 'error',
    dtype: 'float32',
    shape,
    value,
    because: 'three products and two sums: γ(3)·Σ|w||x|',
    allowed: (a: Arithmetic) =>
      value.map((_, i) => {
        if (terms[i]! <= 1 && simple[i] && Math.abs(value[i]!) >= 2 ** -126) return 0
        return magnitude[i]! < LARGEST / 2 ? gamma(3, a.u) * magnitude[i]! + 6 * eta(a) : NaN
      }),
  }
}
const rgbToGrayscale = defineOp<A>({
  name: 'rgb-to-grayscale',
  spec: spec('rgbToGrayscale'),
  valid: generator(colourFields, raw => drawn<A>({}, fill(colourFields.x, raw.x, [...shapeOf(raw), 3], raw.type ? 'int32' : 'float32'))),
  invalid: spoilt(3),
  expect: (_, [x]) => [grey(x!)],
  simulate(_, [x], m) {
    const e = grey(x!)
    if (e.rule !== 'error') return e.rule === 'exact' ? [{ dtype: e.dtype, shape: e.shape, data: e.value }] : []
    // The weights are constants of the operation: machines that round what they read count with their arithmetic only.
    const data = e.value.map((_, i) => {
      const rgb = x!.data.subarray(3 * i, 3 * i + 3)
      return m.rung === 'f32' ? m.dot(rgb.map(m.read), LUMA) : LUMA.reduce((sum, w, c) => m.add(sum, m.mul(w, rgb[c]!)), 0)
    })
    return [{ dtype: 'float32', shape: e.shape, data }]
  },
  lies: {
    'red and blue swapped': (_c, _right, [x]) => {
      const e = grey({ ...x!, data: x!.data.map((v, i) => (i % 3 === 1 ? v : x!.data[i + 2 - 2 * (i % 3)]!)) })
      return e.rule === 'exact' || e.rule === 'error' ? [{ dtype: e.dtype, shape: e.shape, data: e.value.map(Math.fround) }] : null
    },
  },
  onnx(c: Case<A>): Lowering<OnnxForm>[] {
    if (c.valid === false) return [{ declined: 'ONNX has no conversion of colours that could refuse a shape' }]
    const integral = c.inputs[0]!.dtype === 'int32'
    const rank = c.inputs[0]!.shape.length
    const wrap = (...nodes: OnnxNode[]): OnnxNode[] =>
      integral ? [node('Cast', ['x0'], { to: 1 }, 'x'), ...nodes, node('Cast', ['y'], { to: 6 })] : nodes
    const [x, y] = integral ? ['x', 'y'] : ['x0', 'y0']
    const letters = 'abcdefgh'.slice(0, rank)
    const luma = tensor('float32', [3], LUMA)
    const axes = tensor('int64', [1], [-1])
    return [
      { path: 'mat-mul', form: { ...only(...wrap(node('MatMul', [x, 'luma'], {}, y))), constants: { luma: tensor('float32', [3, 1], LUMA) } } },
      {
        path: 'mul-reduce-sum',
        form: {
          ...only(...wrap(node('Mul', [x, 'luma'], {}, 'm'), node('ReduceSum', ['m', 'axes'], { keepdims: 1 }, y))),
          constants: { luma, axes },
        },
      },
      {
        path: 'einsum',
        form: {
          ...only(
            ...wrap(
              node('Einsum', [x, 'luma'], { equation: `${letters},${letters.slice(-1)}->${letters.slice(0, -1)}` }, 'e'),
              node('Unsqueeze', ['e', 'axes'], {}, y),
            ),
          ),
          constants: { luma, axes },
        },
      },
    ]
  },
  tfjs(c: Case<A>): Lowering<TfjsForm>[] {
    const main = { path: 'rgb-to-grayscale', form: say((tf, x) => tf.image.rgbToGrayscale(x)) }
    if (c.valid === false) return [main]
    const last = (tf: any, x: any) => tf.cast(tf.sum(tf.mul(tf.cast(x, 'float32'), tf.tensor1d(LUMA)), -1, true), x.dtype)
    return [main, { path: 'mul-sum', form: say(last) }]
  },
})

export default [flipLeftRight, grayscaleToRgb, rgbToGrayscale]
