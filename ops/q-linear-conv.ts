/**
 * y = saturate(round(Σ (x − zx)·(w − zw)·sx·sw/sy + bias·sx·sw/sy) + zy), halves to even; x [N, C, spatial], w [M, C/group, kernel], sw and zw one for all or one a filter,
 * bias int32 [M] in units of sx·sw. (ONNX QLinearConv-10) Case: x, w (int32), sx, sw, sy, bias; types and zero points as attributes.
 * The sum is exact; times sx·sw/sy, in float32, (division + 3)u of it: nearer to a tie, either way is honest. (NUMERICS §6) Where ORT has not fused the nodes between
 * DequantizeLinear and QuantizeLinear, the sum itself is one of floats: γ(k + 4)·Σ|…| more, the rung `float-sums`.
 */
import * as h from '../harness/op.ts'
import { exactScales, named, quantise, quotient, rounding, SCALES, typed, widened, zeroOf, zeroPoint } from '../harness/quantised.ts'
import { node } from '../harness/scalars.ts'
import { asFloats, type ConvAttributes, convFields, drawConv, drawSpoiltConv, spoiltConv, sums, writtenConv } from './conv-integer.ts'
import { each, zerosOf } from './matmul-integer.ts'

type A = ConvAttributes & { x_type: string; w_type: string; x_zero_point: readonly number[]; w_zero_point: readonly number[]; y_zero_point: number }

// ── Cases ───────────────────────────────────────────────────────────────────────────────────────────────────────────

export const scaleFields = { sx: h.int(0, SCALES.length - 1), sw: h.ints(4, 0, SCALES.length - 1), sy: h.int(0, 11), yzero: h.int(0, 3) }
/** Scales of a result that spreads over the range: SCALES, then larger ones. */
export const outScale = (index: number): number => SCALES[index] ?? [16, 100][index - SCALES.length]!
const fields = { ...convFields, types: h.int(0, 2), ...scaleFields, bias: h.int(0, 2), eachScale: h.flag }
const valid = h.generator(fields, raw => {
  // what runtimes have: u8·u8, u8·s8, s8·s8; the result is of x's type
  const [x_type, w_type] = [raw.types === 2 ? 'int8' : 'uint8', raw.types ? 'int8' : 'uint8']
  const { attributes, x, w, filters } = drawConv(raw, [x_type, w_type])
  const many = raw.eachScale ? filters : 1
  const wide = { w_zero_point: zerosOf(Math.max(1, raw.wzero), w_type, 1), x_zero_point: zerosOf(Math.max(1, raw.xzero), x_type, 1) }
  const zeros = { ...wide, w_zero_point: new Array<number>(many).fill(wide.w_zero_point[0]!) }
  const scale = (shape: h.Shape, values: number[]) => h.values('float32', shape, values)
  return h.drawn<A>(
    { ...attributes, x_type, w_type, ...zeros, y_zero_point: zerosOf(Math.max(1, raw.yzero), x_type, 1)[0]! },
    x,
    w,
    scale([], [SCALES[raw.sx]!]),
    scale(
      many > 1 ? [many] : [],
      Array.from({ length: many }, (_, i) => SCALES[raw.sw[i % 4]!]!),
    ),
    scale([], [outScale(raw.sy)]),
    raw.bias ? { dtype: 'int32', shape: [filters], recipe: { kind: 'integers', seed: raw.at, low: -(10 ** raw.bias), high: 10 ** raw.bias } } : null,
  )
})
const invalid = h.generator(spoiltConv, raw => {
  const { attributes, x, w, zeros } = drawSpoiltConv(raw)
  const one = h.values('float32', [], [1])
  const a = { ...attributes, x_type: 'uint8', w_type: 'uint8', x_zero_point: [0], w_zero_point: zeros.length ? zeros : [0], y_zero_point: 0 }
  return h.drawn<A>(a, x, w, one, one, one, null)
})

// ── Reference ───────────────────────────────────────────────────────────────────────────────────────────────────────

type Inputs = readonly (h.Real | null)[]
/** Sums with their bias, and the filter of every element. */
function accumulated(a: A, [x, w, , , , b]: Inputs) {
  const { shape, value, magnitude, terms } = sums(a, x!, w!)
  const pixels = h.sizeOf(shape.slice(2))
  const filter = (e: number) => Math.floor(e / pixels) % shape[1]!
  const bias = (e: number) => b?.data[filter(e)] ?? 0
  return { shape, filter, terms, value: value.map((v, e) => v + bias(e)), magnitude: magnitude.map((v, e) => v + Math.abs(bias(e))) }
}
/** `k` terms of each sum; shared with q-linear-matmul. */
export function requantised(
  of: { shape: h.Shape; value: Float64Array; magnitude: Float64Array; terms: (e: number) => number },
  scales: (e: number) => readonly [number, number, number],
  dtype: 'uint8' | 'int8',
  zero: number,
): h.Expected {
  const factor = (e: number) => {
    const [sx, sw, sy] = scales(e)
    return (sx * sw) / sy
  }
  const value = of.value.map((v, e) => v * factor(e))
  const plain = (m: h.Arithmetic, e: number) =>
    exactScales(m, ...scales(e)) && of.magnitude[e]! < 2 ** 24 ? 0 : (m.division + 3) * m.u * Math.abs(value[e]!)
  return rounding({
    dtype,
    shape: of.shape,
    value,
    zero: () => zero,
    margin: plain,
    rungs: {
      'float-sums': (m, e) => (m.division + 3) * m.u * Math.abs(value[e]!) + h.gamma(of.terms(e) + 4, m.u) * of.magnitude[e]! * Math.abs(factor(e)),
    },
    because: 'a sum next to a tie',
  })
}
export const simulateRequantised = (
  m: h.Machine,
  sum: number,
  [sx, sw, sy]: readonly [number, number, number],
  zero: number,
  dtype: string,
): number => quantise(m.mul(m.fl(sum), quotient(m, m.mul(sx, sw), sy)), zero, dtype)
const scalesOf = ([, , sx, sw, sy]: Inputs, filter: (e: number) => number) => {
  const of = each([...sw!.data])
  return (e: number) => [sx!.data[0]!, of(filter(e)), sy!.data[0]!] as const
}

// ── Lowerings ───────────────────────────────────────────────────────────────────────────────────────────────────────

function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const a = c.attributes
  const [x, , , sw, , bias] = c.inputs
  const prepare = (t: readonly (h.Tensor | null)[]) => t.map((v, i) => v && (i === 0 ? typed(v, a.x_type) : i === 1 ? typed(v, a.w_type) : v))
  const many = a.w_zero_point.length > 1
  const constants = {
    xz: zeroPoint(a.x_zero_point, a.x_type)!,
    wz: zeroPoint(a.w_zero_point, a.w_type, many ? [a.w_zero_point.length] : sw!.shape)!,
    yz: zeroPoint([a.y_zero_point], a.x_type)!,
  }
  const names = ['x0', 'x2', 'xz', 'x1', 'x3', 'wz', 'x4', 'yz', bias ? 'x5' : null]
  const fixed = bias ? [1, 2, 3, 4, 5] : [1, 2, 3, 4]
  const { all, short } = writtenConv(a)
  const say = (path: string, attributes: h.Attributes, more: Partial<h.OnnxForm> = {}): h.Lowering<h.OnnxForm> => ({
    path,
    form: { opset: 13, prepare, constants, initializers: fixed, nodes: [named('QLinearConv', names, attributes)], ...more },
  })
  const paths = [say('node', all), say('fed', all, { initializers: [] }), say('constant-scales', all, { initializers: [2, 3, 4] })]
  if (c.valid === false) return paths
  paths.push(say('defaults-left-out', short), say('opset-10', all, { opset: 10 }))
  if (bias) return paths
  // ORT makes it of these nodes (extended).
  const axis: h.Attributes = many ? { axis: 0 } : {}
  const nodes = [
    node('DequantizeLinear', ['x0', 'x2', 'xz'], 'xr'),
    node('DequantizeLinear', ['x1', 'x3', 'wz'], 'wr', axis),
    node('Conv', ['xr', 'wr'], 'yr', all),
    node('QuantizeLinear', ['yr', 'x4', 'yz'], 'y0'),
  ]
  if (h.sizeOf(x!.shape) > 0) paths.push(say('between-q-and-dq', all, { nodes }))
  return paths
}
/** Rounding on the device, after the sums: [M] scales on the last axis, which is the filters' in every path that keeps N, spatial, C. */
function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  const a = c.attributes
  if (c.valid === false) return [{ declined: 'TF.js has no such operation that could refuse' }]
  const [low, high] = a.x_type === 'uint8' ? [0, 255] : [-128, 127]
  const inner = asFloats({ ...c, inputs: c.inputs.slice(0, 2) }, y => h.tensor('int32', y.shape, h.numbers(y)))
  return inner.map(l => {
    if (!('path' in l)) return l
    const { prepare, call } = l.form
    const form: h.TfjsForm = {
      ...l.form,
      prepare: t => [...prepare!(t.slice(0, 2)).slice(0, 2), ...t.slice(2)],
      async call(tf, [v, w, sx, sw, sy, b]) {
        const [sum] = await call(tf, [v, w])
        const whole = b ? tf.add(sum, tf.cast(b, 'float32')) : sum
        const real = tf.mul(whole, tf.div(tf.mul(sx, sw), sy))
        return [tf.clipByValue(tf.add(tf.round(real), a.y_zero_point), low, high)]
      },
    }
    return { ...l, form }
  })
}

export default h.defineOp<A>({
  name: 'q-linear-conv',
  spec: ['https://onnx.ai/onnx/operators/onnx__QLinearConv.html', 'https://js.tensorflow.org/api/latest/#conv2d'],
  valid,
  invalid,
  operators: ['QLinearConv'],
  fromOnnx(n) {
    const [x, sx, xz, w, sw, , sy, yz, b] = n.inputs
    if (!x || !w || !sx || !sw || !sy || !xz || !yz) return { declined: 'QLinearConv needs its first eight inputs' }
    if (x.shape.length < 3 || x.shape.length > 5 || yz.dtype !== x.dtype)
      return { declined: 'QLinearConv over other than one to three axes, or to another type' }
    const rank = x.shape.length - 2
    const all = (count: number, v: number) => new Array<number>(count).fill(v)
    const plain = {
      kernel_shape: w.shape.slice(2),
      strides: all(rank, 1),
      pads: all(2 * rank, 0),
      dilations: all(rank, 1),
      auto_pad: 'NOTSET',
      group: 1,
    }
    const zeros = { x_zero_point: zeroOf(n, 2), w_zero_point: zeroOf(n, 5), y_zero_point: zeroOf(n, 7)[0] ?? 0 }
    return h.drawn<A>({ ...plain, ...n.attributes, x_type: x.dtype, w_type: w.dtype, ...zeros } as A, widened(x), widened(w), sx, sw, sy, b ?? null)
  },
  expect(a, inputs) {
    const { shape, value, magnitude, terms, filter } = accumulated(a, inputs)
    return [requantised({ shape, value, magnitude, terms: e => terms[e]! }, scalesOf(inputs, filter), a.x_type as 'uint8', a.y_zero_point)]
  },
  simulate(a, inputs, m) {
    const { shape, value, filter } = accumulated(a, inputs)
    const scales = scalesOf(inputs, filter)
    return [{ dtype: a.x_type as h.DType, shape, data: value.map((v, e) => simulateRequantised(m, v, scales(e), a.y_zero_point, a.x_type)) }]
  },
  onnx,
  tfjs,
})
