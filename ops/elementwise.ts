/**
 * Arithmetic of two tensors (min, max: of any number), shapes broadcast against each other from the right. (ONNX Add-14 … Pow-15, Min-13, Max-13; NumPy broadcasting)
 * Floating point: +, −, × are one rounding, u·|r|; ÷ what the runtime grants a quotient; a power the error of its function, on shaders that of exp2(y·log2 x)
 * (WGSL §15.7.4). Integers are exact; ÷ truncates; overflow is open. float16 is computed in float32 by some, which a second rounding does not change (Figueroa 1995).
 */
import { type A, binary, INTS, KINDS, type Row } from '../harness/binary.ts'
import { expRelative, isFloat } from '../harness/elements.ts'
import * as h from '../harness/op.ts'

// ── The operations ──────────────────────────────────────────────────────────────────────────────────────────────────

const once = (a: h.Arithmetic, _x: number, _y: number, r: number) => h.gamma(1, a.u) * Math.abs(r)
const sameShape = (c: h.Case<A>) => String(c.inputs[0]!.shape) === String(c.inputs[1]?.shape)
const allOf = (c: h.Case<A>, v: number) => {
  const y = c.inputs[1]!
  return y.recipe.kind === 'constant' && y.recipe.value === v
}
const chain = (name: string) => (tf: any, t: readonly any[]) => (t.length === 1 ? tf.clone(t[0]) : t.reduce((a, b) => tf[name](a, b)))
const sameSign = (c: h.Case<A>) => c.inputs.every(s => s && h.real(h.realise(s)).data.every(v => v > 0))

const ROWS: readonly Row[] = [
  {
    name: 'add',
    operator: 'Add',
    opsets: [14, 13, 9, 21],
    all: 14,
    dtypes: INTS,
    f: (a, b) => a + b,
    error: once,
    simulate: (m, a, b) => m.add(a, b),
    second: KINDS,
    tfjs: c => ({
      add: (tf, t) => tf.add(t[0], t[1]),
      method: (_, t) => t[0].add(t[1]),
      ...(sameShape(c) ? { 'add-n': (tf, t) => tf.addN([...t]) } : {}),
      ...(sameShape(c) && c.inputs[0]!.shape.length > 1 ? { 'layers-add': (tf, t) => tf.layers.add().apply([...t]) } : {}),
    }),
  },
  {
    name: 'sub',
    operator: 'Sub',
    opsets: [14, 13, 9, 21],
    all: 14,
    dtypes: INTS,
    f: (a, b) => a - b,
    error: once,
    simulate: (m, a, b) => m.sub(a, b),
    second: KINDS,
    tfjs: () => ({ sub: (tf, t) => tf.sub(t[0], t[1]), method: (_, t) => t[0].sub(t[1]) }),
  },
  {
    name: 'mul',
    operator: 'Mul',
    opsets: [14, 13, 9, 21],
    all: 14,
    dtypes: INTS,
    f: (a, b) => a * b,
    error: once,
    simulate: (m, a, b) => m.mul(a, b),
    second: KINDS,
    tfjs: c => ({
      mul: (tf, t) => tf.mul(t[0], t[1]),
      method: (_, t) => t[0].mul(t[1]),
      ...(sameShape(c) && c.inputs[0]!.shape.length > 1 ? { 'layers-multiply': (tf, t) => tf.layers.multiply().apply([...t]) } : {}),
    }),
  },
  {
    name: 'div',
    operator: 'Div',
    opsets: [14, 13, 9, 21],
    all: 14,
    dtypes: INTS,
    f: (a, b) => a / b,
    integer: (a, b) => Math.trunc(a / b),
    // a product with the reciprocal: 1/y below 2⁻¹²⁵ may be flushed, above 2¹²⁷ it overflows
    error: (a, _x, y, r) =>
      h.gamma(a.division, a.u) * Math.abs(r) + (Math.abs(y) > 2 ** 125 ? Math.abs(r) : y !== 0 && Math.abs(y) < 2 ** -127 ? Infinity : 0),
    simulate: (m, a, b) => m.div(a, b),
    second: KINDS.filter(k => k !== 'impulse'),
    tfjs: (c): ReturnType<Row['tfjs']> => {
      if (isFloat(c.inputs[0]!.dtype))
        return {
          div: (tf, t) => tf.div(t[0], t[1]),
          'div-no-nan': (tf, t) => tf.where(tf.equal(t[1], 0), tf.div(t[0], t[1]), tf.divNoNan(t[0], t[1])),
        }
      return sameSign(c)
        ? { div: (tf, t) => tf.div(t[0], t[1]), 'floor-div': (tf, t) => tf.floorDiv(t[0], t[1]) }
        : { 'div-of-signs': (tf, t) => tf.mul(tf.mul(tf.sign(t[0]), tf.sign(t[1])), tf.floorDiv(tf.abs(t[0]), tf.abs(t[1]))) }
    },
    naive: (c): ReturnType<NonNullable<Row['naive']>> =>
      isFloat(c.inputs[0]!.dtype) || sameSign(c)
        ? {}
        : { div: [(tf, t) => tf.div(t[0], t[1]), "TF.js's integer division rounds down, ONNX's toward zero"] },
  },
  ...(['min', 'max'] as const).map(
    (name): Row => ({
      name,
      operator: name === 'min' ? 'Min' : 'Max',
      opsets: [13, 12, 9, 21],
      all: 12,
      dtypes: INTS,
      variadic: true,
      f: Math[name],
      second: KINDS,
      tfjs: c => ({
        [`${name}imum`]: chain(`${name}imum`),
        ...(sameShape(c) && c.inputs.length > 1 && c.inputs.every(s => String(s!.shape) === String(c.inputs[0]!.shape))
          ? { [`stack-${name}`]: (tf, t) => tf[name](tf.stack([...t]), 0) }
          : {}),
        ...(sameShape(c) && c.inputs.length === 2 && c.inputs[0]!.shape.length > 1
          ? { [`layers-${name}imum`]: (tf, t) => tf.layers[`${name}imum`]().apply([...t]) }
          : {}),
      }),
    }),
  ),
  {
    name: 'pow',
    operator: 'Pow',
    opsets: [13, 12, 9, 15, 21],
    all: 99, // int32 and int64 since 12
    dtypes: ['float16', 'int32', 'int64'],
    f: (a, b) => a ** b,
    // exp2(y·log2 x): the error of the logarithm counts y-fold, that of the exponential at y·ln x; elsewhere a correctly rounded function but for its own accuracy
    error(a, x, y, r) {
      if (a.exp[1] > 0 && x === 0) return Infinity // log2(0) is indeterminate there
      const t = y * Math.log(Math.abs(x))
      const log = x === 0 || x === 1 ? 0 : Math.abs(y) * h.logError(a, Math.abs(x)) + Math.abs(t) * 2 * a.u
      return Math.abs(r) * (a.exp[1] > 0 && Number.isFinite(t) ? expRelative(a, t) + (log < 0.5 ? 2 * log : Infinity) : a.exp[0] * a.u)
    },
    simulate: (m, a, b) => m.pow(a, b),
    second: ['two', 'integers', 'half', 'one', 'minus-one', 'three', 'zero', 'normal', 'span'],
    tfjs: c => ({
      pow: (tf, t) => tf.pow(t[0], t[1]),
      ...(allOf(c, 2) && isFloat(c.inputs[0]!.dtype)
        ? {
            square: (tf, t) => tf.add(tf.square(t[0]), tf.zerosLike(t[1])),
            'squared-difference': (tf, t) => tf.squaredDifference(t[0], tf.zerosLike(t[1])),
          }
        : {}),
    }),
  },
]

export default ROWS.map(binary)
