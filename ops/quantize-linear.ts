/**
 * y = saturate(round(x/scale) + zero point), halves to even; scale and zero point one for all, one for every index of `axis`, or one for every block of block_size along
 * it. (ONNX QuantizeLinear-10, 13 axis, 19 float16, 21 block_size and output_dtype, 23, 25) Case: x, scale; attributes `to` and `zero_point` (empty: left out).
 * A quotient may be a product with the reciprocal: what lies within division·u·|x/scale| of a tie may go either way, unless the scale is a power of two. (NUMERICS §6)
 */
import { fillSpread, shapeFields, shapeOf, spread } from '../harness/elements.ts'
import * as h from '../harness/op.ts'
import { BYTES, entries, exactScales, named, quantise, quotient, RANGE, rounding, SCALES, zeroOf, zeroPoint } from '../harness/quantised.ts'

type A = { axis: number; block_size: number; to: string; zero_point: readonly number[] }

const fields = {
  own: h.int(0, 4), // 0 … 2: float32, no blocks
  ...shapeFields,
  each: h.int(0, 3), // 2: a scale for every index of the axis; 3: for every block
  axis: h.int(0, 5),
  negative: h.flag,
  block: h.int(1, 4),
  signed: h.flag,
  zero: h.int(0, 4), // 0: left out; 1: zero; 2 …: other numbers
  scale: h.ints(6, 0, SCALES.length - 1),
  vector: h.flag, // the one scale as a list of one
  type: h.int(0, 5), // 4: float16; 5: int32
  x: spread('integers', 'ramp', 'normal', 'span', 'small', 'large', 'negative', 'impulse', 'nan', 'inf', '-inf', '-0', 'largest', 'subnormal'),
}
const valid = h.generator(fields, raw => {
  const dtype: h.DType = raw.own < 3 || raw.type < 4 ? 'float32' : raw.type === 4 ? 'float16' : 'int32'
  // int32 only below opset 19, blocks only from 21 on
  const kind = raw.own < 3 || dtype === 'int32' ? Math.min(raw.each, 2) : raw.each
  const shape = shapeOf({ ...raw, empty: 0 }, { least: kind > 1 ? 1 : 0, rank: 5, most: 600 })
  const axis = Math.min(raw.axis, Math.max(0, shape.length - 1))
  const of = kind === 3 ? shape.map((n, d) => (d === axis ? Math.ceil(n / raw.block) : n)) : kind === 2 ? [shape[axis]!] : raw.vector ? [1] : []
  const size = h.sizeOf(of)
  const scales = Array.from({ length: size }, (_, i) => SCALES[(raw.scale[i % 6]! + Math.floor(i / 6)) % SCALES.length]!)
  const to = raw.zero === 0 ? 'uint8' : BYTES[raw.signed]!
  const [low, high] = RANGE[to]!
  const zero_point = raw.zero === 0 ? [] : Array.from({ length: size }, (_, i) => (raw.zero === 1 ? 0 : [1, low, high][(raw.zero - 2 + i) % 3]!))
  return h.drawn<A>(
    { axis: raw.negative ? axis - Math.max(1, shape.length) : axis, block_size: kind === 3 ? raw.block : 0, to, zero_point },
    fillSpread(fields.x, raw.x, shape, dtype),
    h.values(dtype === 'float16' ? 'float16' : 'float32', of, scales),
  )
})
const spoilt = { rows: h.int(2, 4), columns: h.int(2, 4), which: h.int(0, 3), by: h.int(1, 3), x: h.data('integers', 'normal') }
/** Scales that are not one for every index of the axis, an axis that x does not have, zero points of another number. */
const invalid = h.generator(spoilt, raw => {
  const shape = [raw.rows, raw.columns]
  const length = raw.which === 0 ? raw.columns + raw.by : raw.columns
  const axis = raw.which === 1 ? 1 + raw.by : raw.which === 2 ? -2 - raw.by : 1
  const zero_point = new Array<number>(raw.which === 3 ? length + raw.by : length).fill(0)
  return h.drawn<A>(
    { axis, block_size: 0, to: 'uint8', zero_point },
    h.fill(spoilt.x, raw.x, shape),
    h.values('float32', [length], new Array(length).fill(1)),
  )
})

type Inputs = readonly (h.Real | null)[]
function places(a: A, [x, s]: Inputs) {
  const at = entries(x!.shape, s!.shape, a.axis, a.block_size)
  return { scale: (e: number) => s!.data[at(e)]!, zero: (e: number) => a.zero_point[a.zero_point.length === 1 ? 0 : at(e)] ?? 0 }
}
function expect(a: A, inputs: Inputs): h.Expected[] {
  const [x] = inputs as [h.Real]
  const { scale, zero } = places(a, inputs)
  const dtype = a.to as 'uint8' | 'int8'
  const value = x.data.map((v, e) => v / scale(e))
  const nan = Uint8Array.from(x.data, v => (Number.isNaN(v) ? 1 : 0))
  const all = (f: (e: number) => number) => value.map((_, e) => f(e))
  const [low, high] = RANGE[dtype]!
  return [
    rounding({
      dtype,
      shape: x.shape,
      value,
      zero,
      margin: (m, e) => (exactScales(m, scale(e)) ? 0 : m.division * (x.dtype === 'float16' ? 2 ** -11 : m.u) * Math.abs(value[e]!)),
      because: 'a quotient next to a tie',
      open: h.open('NaN as an integer', nan, {
        'the zero point': all(zero),
        'the lowest': all(() => low),
        'the highest': all(() => high),
        zero: all(() => 0),
      }),
    }),
  ]
}
function simulate(a: A, inputs: Inputs, m: h.Machine): h.Real[] {
  const [x] = inputs as [h.Real]
  const { scale, zero } = places(a, inputs)
  const data = x.data.map((v, e) => quantise(Number.isFinite(v) ? quotient(m, v, scale(e)) : v, zero(e), a.to))
  return [{ dtype: a.to as h.DType, shape: x.shape, data }]
}

function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const { axis, block_size, to, zero_point } = c.attributes
  const [x, scale] = c.inputs as [h.TensorSpec, h.TensorSpec]
  const one = h.sizeOf(scale.shape) === 1 && !block_size
  const z = zeroPoint(zero_point, to, zero_point.length === h.sizeOf(scale.shape) ? scale.shape : [zero_point.length])
  const least = block_size ? 21 : x.dtype === 'float16' ? 19 : 13
  const attributes = (opset: number): h.Attributes => (opset < 13 ? {} : { axis, ...(opset >= 21 && block_size ? { block_size } : {}) })
  const say = (
    path: string,
    opset: number,
    more: Partial<h.OnnxForm> = {},
    written = attributes(opset),
    zero: string | null = z && 'zero',
  ): h.Lowering<h.OnnxForm> => ({
    path,
    form: {
      opset,
      nodes: [named('QuantizeLinear', ['x0', 'x1', zero], written)],
      ...(z && zero === 'zero' ? { constants: { zero: z } } : {}),
      ...more,
    },
  })
  const paths = [say('node', least), say('constant-parameters', least, { initializers: [1] })]
  if (c.valid === false) return paths
  const newest = x.dtype === 'int32' ? 18 : 99
  for (const opset of [19, 21, 23]) if (opset > least && opset <= newest) paths.push(say(`opset-${opset}`, opset))
  if (one && x.dtype !== 'float16') paths.push(say('opset-10', 10))
  if (one || axis === 1) paths.push(say('defaults', least, {}, h.without(attributes(least), 'axis')))
  if (z) paths.push(say('fed-zero-point', least, { prepare: t => [t[0]!, t[1]!, z] }, attributes(least), 'x2'))
  if (zero_point.every(v => v === 0)) {
    if (z && to === 'uint8') paths.push(say('without-zero-point', least, {}, attributes(least), null))
    // TensorProto.DataType: UINT8 = 2, INT8 = 3
    if (newest >= 21) paths.push(say('output-dtype', 21, {}, { ...attributes(21), output_dtype: to === 'uint8' ? 2 : 3 }, null))
  }
  return paths
}
function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  const { axis, block_size, to, zero_point } = c.attributes
  const [x, scale] = c.inputs as [h.TensorSpec, h.TensorSpec]
  if (c.valid === false) return [{ declined: 'TF.js has no such operation that could refuse' }]
  if (block_size) return [{ declined: 'TF.js does not broadcast blocks' }]
  const one = h.sizeOf(scale.shape) === 1
  const at = axis < 0 ? axis + x.shape.length : axis
  const along = one ? [] : x.shape.map((n, d) => (d === at ? n : 1))
  const [low, high] = RANGE[to]!
  const zeros = (tf: any) =>
    zero_point.length ? tf.reshape(tf.tensor1d([...zero_point], 'float32'), zero_point.length === 1 ? [] : along) : tf.scalar(0)
  const say = (path: string, round: (tf: any, q: any, z: any) => any, naive?: string): h.Lowering<h.TfjsForm> => {
    const form = h.plainly((tf, [v, s]) =>
      tf.cast(tf.clipByValue(round(tf, tf.div(tf.cast(v, 'float32'), tf.reshape(s, along)), zeros(tf)), low, high), 'int32'),
    )
    return naive ? { path, form, naive } : { path, form }
  }
  return [
    say('div-round-add-clip', (tf, q, z) => tf.add(tf.round(q), z)),
    say('clip-below-zero-point', (tf, q, z) => tf.add(tf.maximum(tf.minimum(tf.round(q), tf.sub(high, z)), tf.sub(low, z)), z)),
    say('floor-half', (tf, q, z) => tf.add(tf.floor(tf.add(q, 0.5)), z), 'halves go up; ONNX rounds them to even'),
    say('zero-point-first', (tf, q, z) => tf.round(tf.add(q, z)), 'the zero point is added after rounding: an odd one changes which half is even'),
  ]
}

export default h.defineOp<A>({
  name: 'quantize-linear',
  spec: ['https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html', 'https://js.tensorflow.org/api/latest/#round'],
  valid,
  invalid,
  operators: ['QuantizeLinear'],
  fromOnnx(n) {
    const [x, scale, zero] = n.inputs
    if (!x || !scale) return { declined: 'QuantizeLinear without x or scale' }
    const type = Number(n.attributes['output_dtype'] ?? 0)
    const to = zero?.dtype ?? (type === 0 ? 'uint8' : { 2: 'uint8', 3: 'int8' }[type])
    if (!to || !(to in RANGE) || to === 'int32') return { declined: 'QuantizeLinear to a type that is neither uint8 nor int8' }
    return h.drawn<A>(
      { axis: Number(n.attributes['axis'] ?? 1), block_size: Number(n.attributes['block_size'] ?? 0), to, zero_point: zeroOf(n, 2) },
      x,
      scale,
    )
  },
  expect,
  simulate,
  onnx,
  tfjs,
})
