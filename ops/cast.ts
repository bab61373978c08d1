/**
 * x as another dtype: floating point to integer toward zero (out of range, NaN: open), between integers modulo 2ⁿ, to floating point nearest with infinities
 * beyond its range, to bool whether it is not 0. (ONNX Cast-13; `saturate` since 19 concerns float8 only, 24 adds round_mode for e8m0)
 */
import { isFloat } from '../harness/elements.ts'
import { moveFields, node, say, shapeIn } from '../harness/moves.ts'
import * as h from '../harness/op.ts'

type A = { to: string }

// ── Cases ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const DTYPES = ['float32', 'int32', 'bool', 'int64', 'uint8', 'int8', 'float16', 'float64'] as const satisfies readonly h.DType[]
/** TensorProto.DataType. */
const CODE: Record<string, number> = { float32: 1, uint8: 2, int8: 3, int32: 6, int64: 7, bool: 9, float16: 10, float64: 11 }
const COMMON = 3
const INSIDE = [0, 0.3, -0.3, 0.5, -0.5, 0.999, 1, -1, 1.5, -1.5, 2, 2.5, -2.5, 63.999, 100, -100.7, 127, 127.9] as const
const OUTSIDE = [
  128, -128.5, -129, 255.5, 256, 300, -1, -300, 32768, 65504, 65519, 65520, 65536, 8388609, 16777217, 2147483520, -2147483648, 2147483648, 3e9, -3e9,
  1e10, 9.3e18, 1e20, -1e20, 3.4e38, 1e-7, 3e-8, 6.1e-5, 1e-40,
] as const
const WHOLE = [
  0, 1, -1, 2, 3, 7, 100, -100, 127, -128, 128, 255, 256, -129, 300, 1000, 2049, -2051, 32767, 65519, 65520, 65536, 8388609, 16777217, -16777219,
  2147483647, -2147483648, 4294967296, 4294967297, -4294967297, 9007199254740991,
] as const
const fields = {
  own: h.int(0, 4),
  rank: moveFields.rank,
  sizes: moveFields.sizes,
  empty: moveFields.empty,
  from: h.int(0, DTYPES.length - 1),
  to: h.int(0, DTYPES.length - 1),
  edges: h.int(0, 3), // 0: as the kind of data says; 1: inside every range; 2, 3: all edges
  x: h.data(),
}
const range: Record<string, readonly [number, number]> = {
  int8: [-128, 127],
  uint8: [0, 255],
  int32: [-(2 ** 31), 2 ** 31 - 1],
  int64: [-(2 ** 63), 2 ** 63 - 1],
  bool: [0, 1],
}
const valid = h.generator(fields, raw => {
  const shape = shapeIn(raw, { most: 1500, empty: true })
  const from = DTYPES[raw.own < 3 ? raw.from % COMMON : raw.from]!
  const to = DTYPES[raw.own < 3 ? raw.to % COMMON : raw.to]!
  if (raw.edges === 0 || from === 'bool') return h.drawn<A>({ to }, h.fill(fields.x, raw.x, shape, from))
  const limits = range[from]
  const list = (isFloat(from) ? (raw.edges === 1 ? INSIDE : [...INSIDE, ...OUTSIDE]) : raw.edges === 1 ? WHOLE.slice(0, 9) : WHOLE).filter(
    v => !limits || (v >= limits[0] && v <= limits[1]),
  )
  const turn = raw.x.at % list.length
  return h.drawn<A>({ to }, h.values(from, shape, [...list.slice(turn), ...list.slice(0, turn)]))
})
const spoilt = { ...moveFields, wrong: h.int(0, 1), x: h.data('integers', 'normal') }
const invalid = h.generator(spoilt, raw => h.drawn<A>({ to: raw.wrong ? 'undefined' : 'int3' }, h.fill(spoilt.x, raw.x, shapeIn(raw, { most: 100 }))))

// ── Reference ───────────────────────────────────────────────────────────────────────────────────────────────────────

function expect(to: h.DType, x: h.Real): h.Expected[] {
  const size = x.data.length
  const value = new Float64Array(size)
  const make = () => ({ at: new Uint8Array(size), answers: {} as Record<string, Float64Array> })
  const [beyond, nan, twice] = [make(), make(), make()]
  const say = (o: ReturnType<typeof make>, i: number, answers: Record<string, number>) => {
    o.at[i] = 1
    for (const [name, v] of Object.entries(answers)) (o.answers[name] ??= new Float64Array(size))[i] = v
  }
  const limits = range[to]
  for (let i = 0; i < size; i++) {
    const v = x.data[i]!
    if (to === 'bool') {
      value[i] = v === 0 ? 0 : 1
      if (Number.isNaN(v)) say(nan, i, { true: 1, false: 0 })
    } else if (!limits) {
      // a value of float64 or a large integer may be rounded to float32 on its way to float16
      value[i] = h.roundTo(to, v)
      const via = to === 'float16' ? h.toHalf(Math.fround(v)) : value[i]!
      if (!Object.is(via, value[i]) && !Number.isNaN(v)) say(twice, i, { 'rounded once': value[i]!, 'through float32': via })
    } else if (!isFloat(x.dtype)) value[i] = wrap(v, to)
    else if (Number.isNaN(v)) {
      const low = limits[0]
      say(nan, i, { zero: 0, 'the lowest number': low, 'the largest number': limits[1] })
    } else {
      const whole = Math.trunc(v)
      const fits = whole >= limits[0] && whole <= limits[1]
      value[i] = fits ? whole : Math.max(limits[0], Math.min(limits[1], whole))
      // x86 answers with the lowest number of the register that it converts to; narrower types keep its last bits
      const register = (low: number, high: number) => (whole >= low && whole <= high ? whole : low)
      if (!fits)
        say(beyond, i, {
          saturates: value[i]!,
          'the lowest number': limits[0],
          'last bits of int32, its lowest beyond': wrap(register(-(2 ** 31), 2 ** 31 - 1), to),
          'last bits of int64, its lowest beyond': wrap(register(-(2 ** 63), 2 ** 63 - 1024), to),
          'last bits of the whole number': Number.isFinite(whole) ? wrap(whole, to) : 0,
          zero: 0,
        })
    }
  }
  return [
    {
      rule: 'exact',
      dtype: to,
      shape: x.shape,
      value,
      open: [
        ...h.open('a number beyond the range', beyond.at, beyond.answers),
        ...h.open(`NaN as ${to}`, nan.at, nan.answers),
        ...h.open('a number between two of float16', twice.at, twice.answers),
      ],
    },
  ]
}
/** Modulo 2ⁿ, as two's complement. */
function wrap(v: number, to: h.DType): number {
  const bits = { int8: 8, uint8: 8, int32: 32, int64: 64 }[to as string]
  if (!bits || !Number.isFinite(v)) return v
  return Number(to === 'uint8' ? BigInt.asUintN(bits, BigInt(v)) : BigInt.asIntN(bits, BigInt(v)))
}

// ── Lowerings ───────────────────────────────────────────────────────────────────────────────────────────────────────

function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const { to } = c.attributes
  const from = c.inputs[0]!.dtype
  const code = CODE[to] ?? (to === 'undefined' ? 0 : 99)
  const core = { op: 'Cast', attributes: { to: code } }
  const paths: h.Lowering<h.OnnxForm>[] = [say('node', { ...core, opset: 13 })]
  if (c.valid === false) return paths
  for (const opset of [9, 21, 25]) paths.push(say(`opset-${opset}`, { ...core, opset }))
  paths.push(say('saturate', { ...core, attributes: { to: code, saturate: 1 }, opset: 19 }))
  const like = h.tensor(to as h.DType, [1], [0])
  paths.push(
    say('cast-like', { op: 'CastLike', params: [like], opset: 15 }),
    say('cast-like-fed', { op: 'CastLike', params: [like], opset: 15, fed: true }),
  )
  const chain = (path: string, middle: string) => {
    const nodes = [node('Cast', 'x0', 'm', { to: CODE[middle]! }), node('Cast', 'm', 'y0', { to: code })]
    paths.push({ path, form: { opset: 13, nodes } })
  }
  const whole = !isFloat(from)
  if (from !== 'float64' && from !== 'int64' && !(whole && !isFloat(to as h.DType))) chain('through-float64', 'float64')
  if (whole && from !== 'bool') chain('through-int64', 'int64')
  if (from === 'bool') chain('through-int8', 'int8')
  chain('same-first', from)
  return paths
}

function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  const { to } = c.attributes
  const x = c.inputs[0]!
  if (c.valid === false) return [{ path: 'cast', form: h.plainly((tf, [t]) => tf.cast(t, to)) }]
  if (!['float32', 'int32', 'bool'].includes(to)) return [{ declined: `TF.js has no ${to}` }]
  if (x.dtype === 'int64' && h.numbers(h.realise(x)).some(v => Math.abs(v) >= 2 ** 31)) return [{ declined: 'int64 travels as int32 in TF.js' }]
  const method = { float32: 'toFloat', int32: 'toInt', bool: 'toBool' }[to]!
  return [
    { path: 'cast', form: h.plainly((tf, [t]) => tf.cast(t, to)) },
    { path: 'method', form: h.plainly((_, [t]) => t.cast(to)) },
    { path: 'as-type', form: h.plainly((_, [t]) => t.asType(to)) },
    { path: method.replace(/[A-Z]/, l => `-${l.toLowerCase()}`), form: h.plainly((_, [t]) => t[method]()) },
  ]
}

export default h.defineOp<A>({
  name: 'cast',
  spec: ['https://onnx.ai/onnx/operators/onnx__Cast.html', 'https://js.tensorflow.org/api/latest/#cast'],
  valid,
  invalid,
  operators: ['Cast'],
  fromOnnx(n) {
    const to = Object.entries(CODE).find(([, code]) => code === Number(n.attributes['to']))?.[0]
    return to ? { attributes: { to }, inputs: n.inputs } : { declined: 'a dtype that we do not have' }
  },
  expect: (a, [x]) => expect(a.to as h.DType, x!),
  onnx,
  tfjs,
})
