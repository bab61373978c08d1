/**
 * One number for every group of elements that share their place on the axes which stay. axes: which ones go; none = all, unless noop_with_empty_axes, which skips the
 * reduction, not the function around it (ReduceL2-18: √(x²)). The empty set: sum 0, product 1, max −∞, min +∞, in integers the dtype's ends. (ONNX ReduceSum-13 … ReduceMax-20)
 *
 * Bounds (NUMERICS §2, §7; Higham 2002, §3.1), n elements that are not zero: sum γ(n − 1)·Σ|x|, mean + the division, sum of squares γ(n)·Σx², product γ(n − 1)·|r|,
 * L2 r·(γ(n + 1)/2 + √), logarithms: the relative error of the sum, then that of log.
 */
import { expRelative, summed } from '../harness/elements.ts'
import * as h from '../harness/op.ts'
import { abs, count, extreme, type Row, reduction, sum } from '../harness/reductions.ts'

const SUMS = [
  'integers',
  'normal',
  'span',
  'ramp',
  'small',
  'large',
  'cancel',
  'negative',
  'tiny',
  'impulse',
  'nan',
  'inf',
  '-inf',
  '-0',
  'subnormal',
  'largest',
] as const
const ints: readonly h.DType[] = ['float16', 'int32', 'int64']
/** log S where S is off by the factor 1 ± ρ. */
const logOf = (a: h.Arithmetic, s: number, rho: number) => (rho < 0.5 ? 2 * rho + h.logError(a, s) : Infinity)
const ROWS: readonly Row[] = [
  {
    name: 'reduce-sum',
    operator: 'ReduceSum',
    input: 13,
    dtypes: ints,
    kinds: SUMS,
    f: x => sum(x),
    term: v => v,
    tfjs: () => ({ sum: (tf, x, axes, keep) => tf.sum(x, axes, keep), method: (_, x, axes, keep) => x.sum(axes, keep) }),
  },
  {
    name: 'reduce-mean',
    operator: 'ReduceMean',
    input: 18,
    dtypes: ['float16', 'int32', 'int64'],
    kinds: SUMS,
    f: x => sum(x) / x.length,
    term: v => v,
    nothing: true,
    tfjs: () => ({ mean: (tf, x, axes, keep) => tf.mean(x, axes, keep), moments: (tf, x, axes, keep) => tf.moments(x, axes, keep).mean }),
  },
  ...(['max', 'min'] as const).map(
    (name): Row => ({
      name: `reduce-${name}`,
      operator: name === 'max' ? 'ReduceMax' : 'ReduceMin',
      input: 18,
      dtypes: [...ints, 'int8', 'uint8', 'bool'],
      kinds: SUMS,
      f: x => extreme(x, name === 'max'),
      tfjs: () => ({
        [name]: (tf, x, axes, keep) => (x.dtype === 'bool' ? tf[name === 'max' ? 'any' : 'all'](x, axes, keep) : tf[name](x, axes, keep)),
      }),
    }),
  ),
  {
    name: 'reduce-prod',
    operator: 'ReduceProd',
    input: 18,
    dtypes: ints,
    kinds: ['span', 'normal', 'positive', 'integers', 'negative', 'small', 'nan', 'inf', '-0'],
    f: x => x.reduce((p, v) => p * v, 1),
    // partial products may leave the range before the last one: then nothing is compared
    error: (a, x, r) =>
      x.reduce((p, v) => p * Math.max(1, Math.abs(v)), 1) < h.LARGEST &&
      x.reduce((p, v) => p * (v === 0 ? 1 : Math.min(1, Math.abs(v))), 1) > 2 ** -120
        ? h.gamma(x.length - 1, a.u) * Math.abs(r)
        : Infinity,
    simulate: (m, x) => x.reduce((p, v) => m.mul(p, v), 1),
    tfjs: () => ({ prod: (tf, x, axes, keep) => tf.prod(x, axes, keep) }),
  },
  {
    name: 'reduce-l1',
    operator: 'ReduceL1',
    input: 18,
    dtypes: ints,
    kinds: SUMS,
    f: abs,
    term: Math.abs,
    tfjs: n => ({
      'sum-abs': (tf, x, axes, keep) => tf.sum(tf.abs(x), axes, keep),
      ...(n === 1 ? { norm: (tf, x, axes, keep) => tf.norm(x, 1, axes, keep) } : {}),
    }),
  },
  {
    name: 'reduce-l2',
    operator: 'ReduceL2',
    input: 18,
    dtypes: ['float16'],
    kinds: SUMS,
    f: x => Math.sqrt(sum(x, v => v * v)),
    error: (a, x, r) => (r * r < h.LARGEST / 2 ? r * (h.gamma(count(x) + 1, a.u) / 2 + a.sqrt * a.u) + Math.sqrt(count(x) * h.eta(a)) : Infinity),
    simulate: (m, x) => m.sqrt(summed(m, x, x, 'error')),
    tfjs: n => ({
      'sqrt-sum-square': (tf, x, axes, keep) => tf.sqrt(tf.sum(tf.square(x), axes, keep)),

      ...(n < 3
        ? {
            'euclidean-norm': (tf: any, x: any, axes: any, keep: boolean) => tf.euclideanNorm(x, axes, keep),
            norm: (tf, x, axes, keep) => tf.norm(x, 'euclidean', axes, keep),
          }
        : {}),
    }),
  },
  {
    name: 'reduce-sum-square',
    operator: 'ReduceSumSquare',
    input: 18,
    dtypes: ints,
    kinds: SUMS,
    f: x => sum(x, v => v * v),
    term: v => v * v,
    tfjs: () => ({ 'sum-square': (tf, x, axes, keep) => tf.sum(tf.square(x), axes, keep) }),
  },
  {
    name: 'reduce-log-sum',
    operator: 'ReduceLogSum',
    input: 18,
    dtypes: ['float16'],
    kinds: ['positive', 'ramp', 'impulse', 'integers', 'large', 'nan', 'inf'],
    f: x => Math.log(sum(x)),
    error: (a, x, r) => Math.max(logOf(a, sum(x), (h.gamma(Math.max(0, count(x) - 1), a.u) * abs(x)) / sum(x)), a.u * Math.abs(r)),
    simulate: (m, x) => m.log(summed(m, x, null, 'error')),
    tfjs: () => ({ 'log-sum': (tf, x, axes, keep) => tf.log(tf.sum(x, axes, keep)) }),
  },
  {
    name: 'reduce-log-sum-exp',
    operator: 'ReduceLogSumExp',
    input: 18,
    dtypes: ['float16'],
    kinds: ['integers', 'normal', 'span', 'ramp', 'small', 'large', 'negative', 'tiny', 'impulse', 'nan', '-inf', '-0'],
    f(x) {
      const top = extreme(x, true)
      return Number.isFinite(top) ? top + Math.log(sum(x, v => Math.exp(v - top))) : top
    },
    // with or without the maximum taken out first: exponentials at x or at x − max, weighted with their shares
    // (beyond 700 ONNX's function body overflows, though it computes in float64)
    error(a, all, r) {
      const x = all.filter(Number.isFinite)
      const top = extreme(x, true)
      if (top > 700) return Infinity
      const off = sum(x, v => Math.exp(v - r) * (expRelative(a, Math.max(Math.abs(v), top - v)) + (top - v) * a.u))
      const s = Math.exp(r - top)
      return (
        logOf(a, s, off + h.gamma(x.length, a.u)) +
        Math.max(h.logError(a, Math.exp(Math.min(r, 700))) - h.logError(a, s), 0) +
        2 * a.u * Math.abs(r) +
        a.u * Math.abs(top)
      )
    },
    simulate(m, x) {
      const top = extreme(x, true)
      return Number.isFinite(top)
        ? m.add(
            top,
            m.log(
              summed(
                m,
                x.map(v => m.exp(m.sub(Math.max(v, top - 200), top))),
                null,
                'error',
              ),
            ),
          )
        : top
    },
    tfjs: () => ({
      'log-sum-exp': (tf, x, axes, keep) => tf.logSumExp(x, axes, keep),
      composition: (tf, x, axes, keep) => {
        const top = tf.max(x, axes, true)
        return tf.add(keep ? top : tf.max(x, axes, false), tf.log(tf.sum(tf.exp(tf.sub(x, top)), axes, keep)))
      },
    }),
  },
]

export default ROWS.map(reduction)
