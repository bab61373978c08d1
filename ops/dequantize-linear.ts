/**
 * y = (x − zero point)·scale; scale and zero point one for all, one for every index of `axis`, or one for every block of block_size along it. (ONNX DequantizeLinear-10,
 * 13 axis, 19 float16, 21 block_size, 23, 25) Case: x as int32, its type as attribute `from`, zero points as attribute (empty: left out). The difference is exact, the product
 * is rounded once: u·|y|; an int32 beyond 2²⁴ once more when it becomes a float.
 */
import { least, shapeFields, shapeOf, simulated } from '../harness/elements.ts'
import * as h from '../harness/op.ts'
import { entries, integersOf, named, RANGE, SCALES, typed, widened, zeroOf, zeroPoint } from '../harness/quantised.ts'

type A = { axis: number; block_size: number; from: string; zero_point: readonly number[] }

const fields = {
  own: h.int(0, 4), // 0 … 2: float32, no blocks
  ...shapeFields,
  each: h.int(0, 3), // 2: a scale for every index of the axis; 3: for every block
  axis: h.int(0, 5),
  negative: h.flag,
  block: h.int(1, 4),
  from: h.int(0, 2), // 2: int32, which has no zero point
  zero: h.int(0, 4), // 0: left out; 1: zero; 2 …: other numbers
  scale: h.ints(6, 0, SCALES.length - 1),
  half: h.int(0, 2), // 2: float16
  vector: h.flag, // the one scale as a list of one
  kind: h.int(0, 3),
  at: h.int(0, 0xffff),
}
const valid = h.generator(fields, raw => {
  const dtype: h.DType = raw.own > 2 && raw.half === 2 ? 'float16' : 'float32'
  const kind = raw.own < 3 ? Math.min(raw.each, 2) : raw.each
  const shape = shapeOf({ ...raw, empty: 0 }, { least: kind > 1 ? 1 : 0, rank: 5, most: 600 })
  const axis = Math.min(raw.axis, Math.max(0, shape.length - 1))
  const of = kind === 3 ? shape.map((n, d) => (d === axis ? Math.ceil(n / raw.block) : n)) : kind === 2 ? [shape[axis]!] : raw.vector ? [1] : []
  const size = h.sizeOf(of)
  const scales = Array.from({ length: size }, (_, i) => SCALES[(raw.scale[i % 6]! + Math.floor(i / 6)) % SCALES.length]!)
  const from = ['uint8', 'int8', 'int32'][raw.from]!
  const [low, high] = RANGE[from]!
  const zero = raw.from === 2 && raw.zero > 0 ? 1 : raw.zero
  const zero_point = zero === 0 ? [] : Array.from({ length: size }, (_, i) => (zero === 1 ? 0 : [1, low, high][(zero - 2 + i) % 3]!))
  return h.drawn<A>(
    { axis: raw.negative ? axis - Math.max(1, shape.length) : axis, block_size: kind === 3 ? raw.block : 0, from, zero_point },
    // half precision ends at 65504: numbers of eight bits
    integersOf(from, shape, dtype === 'float16' && raw.from === 2 ? 0 : raw.kind, raw.at),
    h.values(dtype, of, scales),
  )
})
const spoilt = { rows: h.int(2, 4), columns: h.int(2, 4), which: h.int(0, 3), by: h.int(1, 3), at: h.int(0, 0xff) }
/** Scales that are not one for every index of the axis, an axis that x does not have, zero points of another number. */
const invalid = h.generator(spoilt, raw => {
  const length = raw.which === 0 ? raw.columns + raw.by : raw.columns
  const axis = raw.which === 1 ? 1 + raw.by : raw.which === 2 ? -2 - raw.by : 1
  const zero_point = new Array<number>(raw.which === 3 ? length + raw.by : length).fill(0)
  const scale = h.values('float32', [length], new Array(length).fill(1))
  return h.drawn<A>({ axis, block_size: 0, from: 'uint8', zero_point }, integersOf('uint8', [raw.rows, raw.columns], 1, raw.at), scale)
})

function expect(a: A, inputs: readonly (h.Real | null)[]): h.Expected[] {
  const [x, s] = inputs as [h.Real, h.Real]
  const at = entries(x.shape, s.shape, a.axis, a.block_size)
  const zero = (e: number) => a.zero_point[a.zero_point.length === 1 ? 0 : at(e)] ?? 0
  const { dtype } = s
  const value = x.data.map((v, e) => (v - zero(e)) * s.data[at(e)]!)
  const allowed = (m: h.Arithmetic) =>
    value.map((y, e) => {
      const whole = Math.abs(x.data[e]!)
      const conversion = whole > (dtype === 'float16' ? 2 ** 11 : 2 ** 24) ? 1 : 0
      return Math.abs(y) * 1.01 < (dtype === 'float16' ? 65504 : h.LARGEST)
        ? (1 + conversion) * m.u * Math.abs(y) + (y === 0 ? 0 : least(m, dtype))
        : Number.NaN
    })
  return [{ rule: 'error', dtype, shape: x.shape, value, allowed, because: 'one rounding of an exact difference times the scale' }]
}
function simulate(a: A, inputs: readonly (h.Real | null)[], m: h.Machine): h.Real[] {
  const [x, s] = inputs as [h.Real, h.Real]
  const at = entries(x.shape, s.shape, a.axis, a.block_size)
  const read = s.dtype === 'float32' ? m.read : (v: number) => v
  const y = x.data.map((v, e) => m.mul(m.fl(v - (a.zero_point[a.zero_point.length === 1 ? 0 : at(e)] ?? 0)), read(s.data[at(e)]!)))
  return [simulated(s.dtype, x.shape, y)]
}

function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const { axis, block_size, from, zero_point } = c.attributes
  const scale = c.inputs[1]!
  const one = h.sizeOf(scale.shape) === 1 && !block_size
  const z = zeroPoint(zero_point, from, zero_point.length === h.sizeOf(scale.shape) ? scale.shape : [zero_point.length])
  const least = block_size ? 21 : scale.dtype === 'float16' ? 19 : 13
  const attributes = (opset: number): h.Attributes => (opset < 13 ? {} : { axis, ...(opset >= 21 && block_size ? { block_size } : {}) })
  const prepare = (t: readonly (h.Tensor | null)[]) => [typed(t[0]!, from), t[1]!]
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
      prepare,
      nodes: [named('DequantizeLinear', ['x0', 'x1', zero], written)],
      ...(z && zero === 'zero' ? { constants: { zero: z } } : {}),
      ...more,
    },
  })
  const paths = [say('node', least), say('constant-parameters', least, { initializers: [1] })]
  if (c.valid === false) return paths
  for (const opset of [19, 21, 23]) if (opset > least) paths.push(say(`opset-${opset}`, opset))
  if (one && scale.dtype !== 'float16') paths.push(say('opset-10', 10))
  if (one || axis === 1) paths.push(say('defaults', least, {}, h.without(attributes(least), 'axis')))
  paths.push(say('constant-x', least, { initializers: [0, 1] })) // folded before the run
  if (z) {
    paths.push(say('fed-zero-point', least, { prepare: t => [...prepare(t), z] }, attributes(least), 'x2'))
    if (zero_point.every(v => v === 0)) paths.push(say('without-zero-point', least, {}, attributes(least), null))
  }
  return paths
}
function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  const { axis, block_size, zero_point } = c.attributes
  const [x, scale] = c.inputs as [h.TensorSpec, h.TensorSpec]
  if (c.valid === false) return [{ declined: 'TF.js has no such operation that could refuse' }]
  if (block_size) return [{ declined: 'TF.js does not broadcast blocks' }]
  const at = axis < 0 ? axis + x.shape.length : axis
  const along = h.sizeOf(scale.shape) === 1 ? [] : x.shape.map((n, d) => (d === at ? n : 1))
  const zeros = (tf: any, dtype: string) =>
    zero_point.length ? tf.reshape(tf.tensor1d([...zero_point], dtype), zero_point.length === 1 ? [] : along) : tf.scalar(0, dtype)
  return [
    { path: 'sub-cast-mul', form: h.plainly((tf, [v, s]) => tf.mul(tf.cast(tf.sub(v, zeros(tf, 'int32')), 'float32'), tf.reshape(s, along))) },
    { path: 'cast-sub-mul', form: h.plainly((tf, [v, s]) => tf.mul(tf.sub(tf.cast(v, 'float32'), zeros(tf, 'float32')), tf.reshape(s, along))) },
    { path: 'mixed-types', form: h.plainly((tf, [v, s]) => tf.mul(tf.sub(v, zeros(tf, 'int32')), tf.reshape(s, along))) },
    {
      path: 'zero-point-last',
      naive: 'the zero point counts in steps, not in reals',
      form: h.plainly((tf, [v, s]) => tf.sub(tf.mul(v, tf.reshape(s, along)), zeros(tf, 'float32'))),
    },
  ]
}

export default h.defineOp<A>({
  name: 'dequantize-linear',
  spec: ['https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html', 'https://js.tensorflow.org/api/latest/#mul'],
  valid,
  invalid,
  operators: ['DequantizeLinear'],
  fromOnnx(n) {
    const [x, scale] = n.inputs
    if (!x || !scale) return { declined: 'DequantizeLinear without x or scale' }
    if (!(x.dtype in RANGE)) return { declined: `DequantizeLinear of ${x.dtype}` }
    return h.drawn<A>(
      { axis: Number(n.attributes['axis'] ?? 1), block_size: Number(n.attributes['block_size'] ?? 0), from: x.dtype, zero_point: zeroOf(n, 2) },
      widened(x),
      scale,
    )
  },
  expect,
  simulate,
  onnx,
  tfjs,
})
