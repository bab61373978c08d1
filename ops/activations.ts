/**
 * y = f(x), element by element: activations and scalar functions. Definitions: the pages of the ONNX operators; TF.js says most of them in several ways.
 * Allowed errors (NUMERICS: activations): E = 8·max(ULP(r), u·S) and what the runtime grants its exp, log, sqrt, tanh, carried through the formula; S is the size of the
 * quantity that the result is a difference of (1 for sigmoid and erf, |x| for x·g(x), scale·α for elu and selu).
 */
import { expRelative } from '../harness/elements.ts'
import { erf } from '../harness/machine.ts'
import * as h from '../harness/op.ts'
import {
  base,
  clamp01,
  clampNaN,
  constant,
  eluError,
  erfError,
  f32,
  fused,
  hardError,
  layer,
  nanOpen,
  node,
  type Row,
  scalarOp,
  sigma,
  sigmoidError,
  softplus,
  softplusError,
} from '../harness/scalars.ts'

const { tanhError } = h
// ── The operations ──────────────────────────────────────────────────────────────────────────────────────────────────

const gelu = (tanh: boolean): Pick<Row, 'f' | 'error' | 'simulate'> =>
  tanh
    ? {
        f: x => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
        error: (a, x, r) => {
          const t = Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)
          return base(a, r, Math.abs(x)) + 0.5 * Math.abs(x) * (tanhError(a, t) + (Math.abs(t) * 6 * a.u) / Math.cosh(t) ** 2)
        },
        simulate: (m, x) => {
          const t = m.mul(f32(Math.sqrt(2 / Math.PI)), m.add(x, m.mul(f32(0.044715), m.mul(m.mul(x, x), x))))
          return m.mul(m.mul(0.5, x), m.add(1, m.tanh(t)))
        },
      }
    : {
        f: x => (x === -Infinity ? Number.NaN : 0.5 * x * (1 + erf(x / Math.SQRT2))),
        error: (a, x, r) => base(a, r, Math.abs(x)) + 0.5 * Math.abs(x) * erfError(a, x / Math.SQRT2),
        simulate: (m, x) => m.mul(m.mul(0.5, x), m.add(1, m.erf(m.mul(x, f32(Math.SQRT1_2))))),
      }
const [geluErf, geluTanh] = [gelu(false), gelu(true)]
const ones = f32(0.01)
const tenth: readonly number[] = [ones, f32(0.2), f32(0.1), 0, 1, 1.5, -0.5]

const ROWS: readonly Row[] = [
  {
    name: 'relu',
    operator: 'Relu',
    opsets: [14, 13, 9, 21],
    dtypes: ['float16', 'int32', 'int8'],
    integers: 14,
    f: x => Math.max(0, x),
    open: nanOpen('max(0, NaN)', (_, v) => ({ NaN: constant(v, Number.NaN), '0': constant(v, 0) })),
    fuses: true,
    tfjs: () => ({
      relu: (tf, x) => tf.relu(x),
      'maximum-0': (tf, x) => tf.maximum(x, tf.scalar(0, x.dtype)),
      'layers-activation': layer('relu'),
      'layers-relu': (tf, x) => tf.layers.reLU().apply(x),
      ...fused('relu'),
    }),
  },
  {
    name: 'relu6',
    operator: 'Clip',
    opsets: [13],
    f: x => Math.min(6, Math.max(0, x)),
    open: clampNaN(0, 6),
    fuses: true,
    tfjs: () => ({
      relu6: (tf, x) => tf.relu6(x),
      'clip-by-value': (tf, x) => tf.clipByValue(x, 0, 6),
      'layers-activation': layer('relu6'),
      'layers-relu-max': (tf, x) => tf.layers.reLU({ maxValue: 6 }).apply(x),
      ...fused('relu6'),
    }),
    page: 'Clip',
  },
  {
    name: 'leaky-relu',
    operator: 'LeakyRelu',
    opsets: [16, 13, 21],
    choices: { alpha: tenth },
    dtypes: ['float16'],
    f: (x, p) => (x < 0 ? p.alpha! * x : x),
    error: (a, x, r) => (x < 0 ? h.gamma(1, a.u) * Math.abs(r) : 0),
    simulate: (m, x, p) => (x < 0 ? m.mul(p.alpha!, x) : x),
    fuses: true,
    tfjs: p => ({
      'leaky-relu': (tf, x) => tf.leakyRelu(x, p.alpha),
      'layers-leaky-relu': (tf, x) => tf.layers.leakyReLU({ alpha: p.alpha }).apply(x),
      where: (tf, x) => tf.where(tf.less(x, 0), tf.mul(x, p.alpha), x),
      ...fused('leakyrelu', { leakyreluAlpha: p.alpha }),
    }),
    naive: () => ({ 'default-alpha': [(tf, x) => tf.leakyRelu(x), 'tf.leakyRelu has alpha 0.2 by default, ONNX 0.01'] }),
  },
  {
    name: 'elu',
    operator: 'Elu',
    opsets: [21, 22, 9],
    choices: { alpha: [1, 0.5, 2, f32(0.1)] },
    dtypes: ['float16'],
    f: (x, p) => (x < 0 ? p.alpha! * Math.expm1(x) : x),
    error: (a, x, r, p) => Math.max(eluError(a, x, p.alpha!), x < 0 ? base(a, r) : 0),
    simulate: (m, x, p) => (x < 0 ? m.mul(p.alpha!, m.sub(m.exp(x), 1)) : x),
    fuses: true,
    tfjs: p => ({
      ...(p.alpha === 1
        ? {
            elu: (tf, x) => tf.elu(x),
            'layers-activation': layer('elu'),
            'layers-elu': (tf: any, x: any) => tf.layers.elu().apply(x),
            ...fused('elu'),
          }
        : {}),
      where: (tf, x) => tf.where(tf.less(x, 0), tf.mul(tf.expm1(tf.minimum(x, 0)), p.alpha), x),
    }),
  },
  {
    name: 'selu',
    operator: 'Selu',
    opsets: [21, 22, 9],
    choices: { alpha: [f32(1.6732632423543772), 1, 2], gamma: [f32(1.0507009873554805), 1, 0.5] },
    dtypes: ['float16'],
    f: (x, p) => p.gamma! * (x > 0 ? x : p.alpha! * Math.expm1(x)),
    error: (a, x, r, p) => (x > 0 ? 2 * a.u * Math.abs(r) : Math.max(eluError(a, x, p.gamma! * p.alpha!), base(a, r))),
    simulate: (m, x, p) => (x > 0 ? m.mul(p.gamma!, x) : m.mul(p.gamma!, m.sub(m.mul(p.alpha!, m.exp(x)), p.alpha!))),
    tfjs: p => ({
      ...(p.alpha === f32(1.6732632423543772) && p.gamma === f32(1.0507009873554805)
        ? { selu: (tf, x) => tf.selu(x), 'layers-activation': layer('selu') }
        : {}),
      where: (tf, x) => tf.mul(tf.where(tf.greater(x, 0), x, tf.mul(tf.expm1(tf.minimum(x, 0)), p.alpha)), p.gamma),
    }),
  },
  {
    name: 'celu',
    operator: 'Celu',
    opsets: [21, 12],
    choices: { alpha: [1, 0.5, 2, f32(0.3)] },
    f: (x, p) => Math.max(0, x) + Math.min(0, p.alpha! * Math.expm1(x / p.alpha!)),
    error: (a, x, r, p) =>
      x > 0 ? Math.max(0, p.alpha! * (expRelative(a, 0) - Math.expm1(x / p.alpha!))) : Math.max(eluError(a, x, p.alpha!, x / p.alpha!), base(a, r)),
    simulate: (m, x, p) => m.add(Math.max(0, x), Math.min(0, m.mul(p.alpha!, m.sub(m.exp(Math.max(-200, m.div(x, p.alpha!))), 1)))),
    tfjs: p => ({
      composition: (tf, x) => tf.add(tf.relu(x), tf.minimum(0, tf.mul(tf.expm1(tf.div(x, p.alpha)), p.alpha))),
      ...(p.alpha === 1 ? { elu: (tf: any, x: any) => tf.elu(x) } : {}),
    }),
  },
  {
    name: 'sigmoid',
    operator: 'Sigmoid',
    opsets: [13, 9, 21],
    dtypes: ['float16'],
    f: sigma,
    error: sigmoidError,
    simulate: (m, x) => m.div(1, m.add(1, m.exp(-x))),
    fuses: true,
    patterns: () => ({
      'div-exp': {
        nodes: [node('Neg', 'x0', 'n'), node('Exp', 'n', 'e'), node('Add', ['e', 'one'], 's'), node('Div', ['one', 's'], 'y0')],
        scalars: { one: 1 },
      },
    }),
    tfjs: () => ({
      sigmoid: (tf, x) => tf.sigmoid(x),
      'layers-activation': layer('sigmoid'),
      composition: (tf, x) => tf.div(1, tf.add(1, tf.exp(tf.neg(x)))),
      ...fused('sigmoid'),
    }),
  },
  {
    name: 'hard-sigmoid',
    operator: 'HardSigmoid',
    opsets: [21, 22, 9],
    choices: { alpha: [f32(0.2), f32(1 / 6), 0.25, 1], beta: [0.5, 0, f32(0.6)] },
    dtypes: ['float16'],
    f: (x, p) => clamp01(p.alpha! * x + p.beta!),
    error: (a, x, _, p) => hardError(a, x, p.alpha!, p.beta!),
    simulate: (m, x, p) => clamp01(m.add(m.mul(p.alpha!, x), p.beta!)),
    open: clampNaN(0, 1),
    fuses: true,
    tfjs: p => ({
      'clip-by-value': (tf, x) => tf.clipByValue(tf.add(tf.mul(x, p.alpha), p.beta), 0, 1),
      ...(p.alpha === f32(0.2) && p.beta === 0.5 ? { 'layers-activation': layer('hardSigmoid') } : {}),
      ...(p.alpha === f32(1 / 6) && p.beta === 0.5 ? { 'relu6-sixth': (tf: any, x: any) => tf.div(tf.relu6(tf.add(x, 3)), 6) } : {}),
    }),
    naive: (p): ReturnType<NonNullable<Row['naive']>> =>
      p.alpha === f32(1 / 6) && p.beta === 0.5
        ? { 'layers-default': [layer('hardSigmoid'), "TF.js's hardSigmoid has slope 0.2, PyTorch's 1/6"] }
        : {},
  },
  {
    name: 'hard-swish',
    operator: 'HardSwish',
    opsets: [21, 14, 22],
    dtypes: ['float16'],
    f: x => x * clamp01(x / 6 + 0.5),
    error: (a, x, r) => Math.abs(x) * hardError(a, x, 1 / 6, 0.5) + 3 * a.u * Math.abs(r),
    simulate: (m, x) => m.mul(x, clamp01(m.add(m.mul(f32(1 / 6), x), 0.5))),
    open: nanOpen('NaN in a clamp', (_, v) => ({ NaN: constant(v, Number.NaN) })),
    patterns: () => ({
      'hard-sigmoid-mul': { nodes: [node('HardSigmoid', 'x0', 'g', { alpha: f32(1 / 6), beta: 0.5 }), node('Mul', ['x0', 'g'], 'y0')] },
    }),
    tfjs: () => ({
      'clip-mul': (tf, x) => tf.mul(x, tf.clipByValue(tf.add(tf.div(x, 6), 0.5), 0, 1)),
      'relu6-sixth': (tf, x) => tf.mul(x, tf.div(tf.relu6(tf.add(x, 3)), 6)),
    }),
    naive: () => ({ 'hard-sigmoid': [(tf, x) => tf.mul(x, layer('hardSigmoid')(tf, x)), "TF.js's hardSigmoid has slope 0.2, hard-swish 1/6"] }),
  },
  {
    name: 'tanh',
    operator: 'Tanh',
    opsets: [13, 9, 21],
    dtypes: ['float16'],
    f: Math.tanh,
    // a rational approximation scales x by its leading coefficient (4.9e-3 in Eigen and MLAS) before it divides: 2⁸ times the least spacing
    error: (a, x, r) => Math.max(tanhError(a, x), a.u * Math.abs(r)) + 2 ** 8 * h.eta(a),
    simulate: (m, x) => m.tanh(x),
    fuses: true,
    tfjs: () => ({ tanh: (tf, x) => tf.tanh(x), 'layers-activation': layer('tanh') }),
  },
  {
    name: 'gelu',
    operator: 'Gelu',
    opsets: [20, 21],
    choices: { approximate: ['none', 'tanh'] },
    dtypes: ['float16'],
    f: (x, p) => (String(p.approximate) === 'tanh' ? geluTanh : geluErf).f(x, p),
    error: (a, x, r, p) => (String(p.approximate) === 'tanh' ? geluTanh : geluErf).error!(a, x, r, p),
    simulate: (m, x, p) => (String(p.approximate) === 'tanh' ? geluTanh : geluErf).simulate!(m, x, p),
    patterns: p => ({
      ...(String(p.approximate) === 'none'
        ? {
            'erf-pattern': {
              opset: 13, // ORT fuses it to Gelu at extended
              nodes: [
                node('Div', ['x0', 'root'], 'd'),
                node('Erf', 'd', 'e'),
                node('Add', ['e', 'one'], 's'),
                node('Mul', ['x0', 's'], 'm'),
                node('Mul', ['m', 'half'], 'y0'),
              ],
              scalars: { root: f32(Math.SQRT2), one: 1, half: 0.5 },
            },
            'com-microsoft': { nodes: [node('Gelu', 'x0', 'y0', {}, 'com.microsoft')] },
          }
        : { 'com-microsoft-fast': { nodes: [node('FastGelu', 'x0', 'y0', {}, 'com.microsoft')] } }),
    }),
    tfjs: (p): ReturnType<Row['tfjs']> =>
      String(p.approximate) === 'tanh'
        ? { 'layers-activation': layer('gelu_new') }
        : { 'layers-activation': layer('gelu'), composition: (tf, x) => tf.mul(tf.mul(0.5, x), tf.add(1, tf.erf(tf.div(x, Math.SQRT2)))) },
    naive: (p): ReturnType<NonNullable<Row['naive']>> =>
      String(p.approximate) === 'none' ? { 'gelu-new': [layer('gelu_new'), 'gelu_new is the approximation by tanh'] } : {},
  },
  {
    name: 'softplus',
    operator: 'Softplus',
    opsets: [21, 22, 9],
    dtypes: ['float16'],
    f: softplus,
    error: softplusError,
    simulate: (m, x) => m.log(m.add(1, m.exp(x))),
    open: (x, value) =>
      h.open(
        'ln(1 + eˣ) where eˣ overflows',
        Uint8Array.from(x.data, v => (v > (x.dtype === 'float16' ? 11 : 88) ? 1 : 0)),
        { x: value.map((_, i) => x.data[i]!), Infinity: constant(value, Infinity) },
      ),
    tfjs: () => ({ softplus: (tf, x) => tf.softplus(x), 'layers-activation': layer('softplus') }),
  },
  {
    name: 'softsign',
    operator: 'Softsign',
    opsets: [21, 22, 9],
    dtypes: ['float16'],
    f: x => x / (1 + Math.abs(x)),
    error: (a, _, r) => h.gamma(2 + a.division, a.u) * Math.abs(r),
    simulate: (m, x) => m.div(x, m.add(1, Math.abs(x))),
    fuses: true,
    tfjs: () => ({ composition: (tf, x) => tf.div(x, tf.add(1, tf.abs(x))), 'layers-activation': layer('softsign') }),
  },
  {
    name: 'mish',
    operator: 'Mish',
    opsets: [21, 18, 22],
    f: x => x * Math.tanh(softplus(x)),
    error: (a, x, r) =>
      base(a, r, Math.abs(x)) +
      Math.abs(x) *
        (tanhError(a, softplus(x)) + softplusError(a, Math.min(x, 88), softplus(x)) / Math.cosh(Math.min(x, 88) > 0 ? softplus(x) : 0) ** 2),
    simulate: (m, x) => m.mul(x, m.tanh(m.log(m.add(1, m.exp(x))))),
    patterns: () => ({
      'softplus-tanh-mul': { opset: 13, nodes: [node('Softplus', 'x0', 's'), node('Tanh', 's', 't'), node('Mul', ['x0', 't'], 'y0')] },
    }),
    tfjs: () => ({ composition: (tf, x) => tf.mul(x, tf.tanh(tf.softplus(x))), 'layers-activation': layer('mish') }),
  },
  {
    name: 'swish',
    operator: 'Swish',
    opsets: [24],
    choices: { alpha: [1, 0.5, f32(1.702), 2] },
    f: (x, p) => x * sigma(p.alpha! * x),
    error: (a, x, r, p) => {
      const t = p.alpha! * x
      return base(a, r, Math.abs(x)) + Math.abs(x) * sigma(t) * (1 - sigma(t)) * (expRelative(a, t) + Math.abs(t) * a.u)
    },
    simulate: (m, x, p) => m.mul(x, m.div(1, m.add(1, m.exp(-m.mul(p.alpha!, x))))),
    patterns: (p): ReturnType<NonNullable<Row['patterns']>> => ({
      // ORT fuses it to QuickGelu at extended
      'sigmoid-mul': {
        opset: 13,
        nodes:
          p.alpha === 1
            ? [node('Sigmoid', 'x0', 'g'), node('Mul', ['x0', 'g'], 'y0')]
            : [node('Mul', ['x0', 'alpha'], 't'), node('Sigmoid', 't', 'g'), node('Mul', ['x0', 'g'], 'y0')],
        scalars: p.alpha === 1 ? {} : { alpha: p.alpha! },
      },
      'quick-gelu': { opset: 13, nodes: [node('QuickGelu', 'x0', 'y0', { alpha: p.alpha! }, 'com.microsoft')] },
    }),
    tfjs: p => ({
      composition: (tf, x) => tf.mul(x, tf.sigmoid(tf.mul(x, p.alpha))),
      ...(p.alpha === 1 ? { 'layers-activation': layer('swish') } : {}),
    }),
  },
  {
    name: 'thresholded-relu',
    operator: 'ThresholdedRelu',
    opsets: [21, 22, 10],
    choices: { alpha: [1, 0, 2.5, -1] },
    f: (x, p) => (x > p.alpha! ? x : 0),
    open: nanOpen('NaN against a threshold', (_, v) => ({ '0': constant(v, 0), NaN: constant(v, Number.NaN) })),
    fuses: true,
    tfjs: p => ({
      where: (tf, x) => tf.where(tf.greater(x, p.alpha), x, tf.zerosLike(x)),
      'layers-thresholded-relu': (tf, x) => tf.layers.thresholdedReLU({ theta: p.alpha }).apply(x),
    }),
  },
  {
    name: 'erf',
    operator: 'Erf',
    opsets: [13, 9, 21],
    dtypes: ['float16'],
    f: erf,
    error: erfError,
    simulate: (m, x) => m.erf(x),
    tfjs: () => ({ erf: (tf, x) => tf.erf(x) }),
  },
]

export default ROWS.map(scalarOp)
