/** y = f(x), element by element: the scalar functions. Definitions: the pages of the ONNX operators. What a runtime grants its functions is the allowed error; the others are exact. */
import * as h from '../harness/op.ts'
import { constant, nanOpen, node, type Row, scalarOp } from '../harness/scalars.ts'

const { expError, logError, sqrtError } = h
const ROWS: readonly Row[] = [
  {
    name: 'abs',
    operator: 'Abs',
    opsets: [13, 9, 21],
    dtypes: ['float16', 'int32', 'int8', 'int64'],
    f: Math.abs,
    tfjs: () => ({ abs: (tf, x) => tf.abs(x) }),
  },
  {
    name: 'neg',
    operator: 'Neg',
    opsets: [13, 9, 21],
    dtypes: ['float16', 'int32', 'int8', 'int64'],
    f: x => -x,
    tfjs: () => ({
      neg: (tf, x) => tf.neg(x),
      'mul-minus-1': (tf, x) => tf.mul(x, tf.scalar(-1, x.dtype)),
      'sub-from-0': (tf, x) => tf.sub(tf.scalar(0, x.dtype), x),
    }),
  },
  {
    name: 'sqrt',
    operator: 'Sqrt',
    opsets: [13, 9, 21],
    dtypes: ['float16'],
    positive: true,
    f: Math.sqrt,
    error: (a, x) => sqrtError(a, x),
    simulate: (m, x) => m.sqrt(x),
    tfjs: () => ({ sqrt: (tf, x) => tf.sqrt(x) }),
  },
  {
    name: 'exp',
    operator: 'Exp',
    opsets: [13, 9, 21],
    dtypes: ['float16'],
    f: Math.exp,
    error: (a, x) => expError(a, x),
    simulate: (m, x) => m.exp(x),
    tfjs: () => ({ exp: (tf, x) => tf.exp(x) }),
  },
  {
    name: 'log',
    operator: 'Log',
    opsets: [13, 9, 21],
    dtypes: ['float16'],
    positive: true,
    f: Math.log,
    error: (a, x, r) => Math.max(logError(a, x), a.u * Math.abs(r)),
    simulate: (m, x) => m.log(x),
    tfjs: () => ({ log: (tf, x) => tf.log(x) }),
  },
  ...(['floor', 'ceil', 'round'] as const).map(
    (name): Row => ({
      name,
      operator: name[0]!.toUpperCase() + name.slice(1),
      opsets: name === 'round' ? [11, 21, 22] : [13, 9, 21],
      dtypes: ['float16'],
      f: name === 'round' ? x => (Number.isFinite(x) ? h.roundEven(x) : x) : Math[name],
      error: () => 0,
      simulate: (_, x) => (name === 'round' ? (Number.isFinite(x) ? h.roundEven(x) : x) : Math[name](x)),
      tfjs: () => ({ [name]: (tf, x) => tf[name](x) }),
    }),
  ),
  {
    name: 'reciprocal',
    operator: 'Reciprocal',
    opsets: [13, 9, 21],
    dtypes: ['float16'],
    f: x => 1 / x,
    error: (a, _, r) => h.gamma(a.division, a.u) * Math.abs(r),
    simulate: (m, x) => m.div(1, x),
    patterns: () => ({ div: { nodes: [node('Div', ['one', 'x0'], 'y0')], scalars: { one: 1 } } }),
    tfjs: () => ({ reciprocal: (tf, x) => tf.reciprocal(x), div: (tf, x) => tf.div(1, x), pow: (tf, x) => tf.pow(x, tf.scalar(-1)) }),
  },
  {
    name: 'sign',
    operator: 'Sign',
    opsets: [13, 9, 21],
    dtypes: ['float16', 'int32', 'int8', 'int64', 'uint8'],
    f: x => (x > 0 ? 1 : x < 0 ? -1 : 0),
    error: () => 0,
    simulate: (_, x) => (x > 0 ? 1 : x < 0 ? -1 : 0),
    open: nanOpen('the sign of NaN', (_, v) => ({ '0': constant(v, 0), NaN: constant(v, Number.NaN), '1': constant(v, 1) })),
    tfjs: () => ({ sign: (tf, x) => tf.sign(x) }),
  },
]

export default ROWS.map(scalarOp)
