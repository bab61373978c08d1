/**
 * y = saturate(round((a − za)·(b − zb)·sa·sb/sy) + zy), halves to even, for the products of matrices; a [.., M, K], b [.., K, N]; sb and zb one for all or one a column.
 * (ONNX QLinearMatMul-10, 21 float16 scales) Case: a, b (int32), sa, sb, sy; types and zero points as attributes. Bounds: ops/q-linear-conv.ts.
 */
import * as h from '../harness/op.ts'
import { integersOf, named, RANGE, SCALES, typed, widened, zeroOf, zeroPoint } from '../harness/quantised.ts'
import { node } from '../harness/scalars.ts'
import { drawMatrices, each, matrixFields, product, zerosOf } from './matmul-integer.ts'
import { outScale, requantised, scaleFields, simulateRequantised } from './q-linear-conv.ts'

type A = { a_type: string; b_type: string; a_zero_point: readonly number[]; b_zero_point: readonly number[]; y_zero_point: number }

const fields = { ...matrixFields, ...scaleFields, types: h.int(0, 2), vector: h.flag }
const valid = h.generator(fields, raw => {
  const { shapes, n } = drawMatrices(raw)
  const [a_type, b_type] = [raw.types === 2 ? 'int8' : 'uint8', raw.types ? 'int8' : 'uint8']
  const many = raw.each && raw.own > 2 && (raw.batch < 3 || raw.batch === 4) ? n : 1
  const list = raw.vector || many > 1
  const scale = (count: number, of: (i: number) => number) =>
    h.values(
      'float32',
      list && count === many ? [count] : [],
      Array.from({ length: count }, (_, i) => of(i)),
    )
  const b_zero = zerosOf(Math.max(1, raw.bzero), b_type, 1)[0]!
  return h.drawn<A>(
    {
      a_type,
      b_type,
      a_zero_point: zerosOf(Math.max(1, raw.azero), a_type, 1),
      b_zero_point: new Array<number>(many).fill(b_zero),
      y_zero_point: zerosOf(Math.max(1, raw.yzero), a_type, 1)[0]!,
    },
    integersOf(a_type, shapes[0], raw.a, raw.at),
    integersOf(b_type, shapes[1], raw.b, raw.at ^ 0x5555),
    h.values('float32', [], [SCALES[raw.sx]!]),
    scale(many, i => SCALES[raw.sw[i % 4]!]!),
    h.values('float32', [], [outScale(raw.sy)]),
  )
})
const spoilt = { m: h.int(2, 5), k: h.int(2, 5), n: h.int(2, 5), which: h.int(0, 1), by: h.int(1, 3), at: h.int(0, 0xff) }
/** Inner sizes that differ, scales of another number. */
const invalid = h.generator(spoilt, raw => {
  const one = h.values('float32', [], [1])
  const count = raw.which ? raw.n + raw.by : 1
  return h.drawn<A>(
    { a_type: 'uint8', b_type: 'uint8', a_zero_point: [0], b_zero_point: new Array<number>(count).fill(0), y_zero_point: 0 },
    integersOf('uint8', [raw.m, raw.k], 1, raw.at),
    integersOf('uint8', [raw.which ? raw.k : raw.k + raw.by, raw.n], 1, raw.at),
    one,
    raw.which ? h.values('float32', [count], new Array(count).fill(1)) : one,
    one,
  )
})

type Inputs = readonly (h.Real | null)[]
function accumulated(c: A, [a, b, sa, sb, sy]: Inputs) {
  const sum = product(a!, b!, each(c.a_zero_point), each(c.b_zero_point))
  const n = sum.shape[sum.shape.length - 1]!
  const of = each([...sb!.data])
  return { ...sum, scales: (e: number) => [sa!.data[0]!, of(e % n), sy!.data[0]!] as const }
}

function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const { a_type, b_type, a_zero_point, b_zero_point, y_zero_point } = c.attributes
  const sb = c.inputs[3]!
  const prepare = (t: readonly (h.Tensor | null)[]) => t.map((v, i) => v && (i === 0 ? typed(v, a_type) : i === 1 ? typed(v, b_type) : v))
  const constants = { az: zeroPoint(a_zero_point, a_type)!, bz: zeroPoint(b_zero_point, b_type, sb.shape)!, yz: zeroPoint([y_zero_point], a_type)! }
  const whole = named('QLinearMatMul', ['x0', 'x2', 'az', 'x1', 'x3', 'bz', 'x4', 'yz'])
  const say = (path: string, more: Partial<h.OnnxForm> = {}): h.Lowering<h.OnnxForm> => ({
    path,
    form: { opset: 13, prepare, constants, initializers: [2, 3, 4], nodes: [whole], ...more },
  })
  const paths = [say('node'), say('fed', { initializers: [] }), say('constant-b', { initializers: [1, 2, 3, 4] })]
  if (c.valid === false) return paths
  paths.push(say('opset-10', { opset: 10 }), say('opset-21', { opset: 21 }))
  // ORT makes it of these nodes (extended).
  const axis: h.Attributes = sb.shape.length && h.sizeOf(sb.shape) > 1 ? { axis: c.inputs[1]!.shape.length - 1 } : {}
  const nodes = [
    node('DequantizeLinear', ['x0', 'x2', 'az'], 'ar'),
    node('DequantizeLinear', ['x1', 'x3', 'bz'], 'br', axis),
    node('MatMul', ['ar', 'br'], 'yr'),
    node('QuantizeLinear', ['yr', 'x4', 'yz'], 'y0'),
  ]
  paths.push(say('between-q-and-dq', { nodes, initializers: [1, 2, 3, 4] }))
  return paths
}
function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  if (c.valid === false) return [{ declined: 'TF.js has no such operation that could refuse' }]
  const { a_type, a_zero_point, b_zero_point, y_zero_point } = c.attributes
  const [low, high] = RANGE[a_type]!
  const ends = (tf: any, sum: any, [sa, sb, sy]: readonly any[], before: boolean) => {
    const real = tf.mul(sum, tf.div(tf.mul(sa, sb), sy))
    return tf.cast(tf.clipByValue(before ? tf.round(tf.add(real, y_zero_point)) : tf.add(tf.round(real), y_zero_point), low, high), 'int32')
  }
  // the zero point of b is the same for all columns
  const sum = (tf: any, v: any, w: any) =>
    tf.matMul(tf.sub(tf.cast(v, 'float32'), a_zero_point[0] ?? 0), tf.sub(tf.cast(w, 'float32'), b_zero_point[0] ?? 0))
  const paths: h.Lowering<h.TfjsForm>[] = [{ path: 'matmul-round-clip', form: h.plainly((tf, [v, w, ...s]) => ends(tf, sum(tf, v, w), s, false)) }]
  if (y_zero_point % 2 !== 0)
    paths.push({
      path: 'zero-point-first',
      naive: 'the zero point is added after rounding: an odd one changes which half is even',
      form: h.plainly((tf, [v, w, ...s]) => ends(tf, sum(tf, v, w), s, true)),
    })
  return paths
}

export default h.defineOp<A>({
  name: 'q-linear-matmul',
  spec: ['https://onnx.ai/onnx/operators/onnx__QLinearMatMul.html', 'https://js.tensorflow.org/api/latest/#matMul'],
  valid,
  invalid,
  operators: ['QLinearMatMul'],
  fromOnnx(n) {
    const [a, sa, az, b, sb, bz, sy, yz] = n.inputs
    if (!a || !sa || !az || !b || !sb || !bz || !sy || !yz) return { declined: 'QLinearMatMul needs eight inputs' }
    if (a.shape.length < 2 || b.shape.length < 2 || yz.dtype !== a.dtype || sa.dtype !== 'float32' || h.sizeOf(sa.shape) > 1 || sb.shape.length > 1)
      return { declined: 'QLinearMatMul of vectors, to another type, or with scales of rows' }
    const types = { a_type: a.dtype, b_type: b.dtype }
    const zeros = { a_zero_point: zeroOf(n, 2), b_zero_point: zeroOf(n, 5), y_zero_point: zeroOf(n, 7)[0] ?? 0 }
    if (new Set(zeros.b_zero_point).size > 1) return { declined: 'QLinearMatMul with zero points of columns' }
    return h.drawn<A>({ ...types, ...zeros }, widened(a), widened(b), sa, sb, sy)
  },
  expect(c, inputs) {
    const of = accumulated(c, inputs)
    return [requantised({ ...of, terms: () => of.k }, of.scales, c.a_type as 'uint8', c.y_zero_point)]
  },
  simulate(c, inputs, m) {
    const { shape, value, scales } = accumulated(c, inputs)
    return [{ dtype: c.a_type as h.DType, shape, data: value.map((v, e) => simulateRequantised(m, v, scales(e), c.y_zero_point, c.a_type)) }]
  },
  onnx,
  tfjs,
})
