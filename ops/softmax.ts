/**
 * softmax: eˣ/Σeˣ, log-softmax: its logarithm, hardmax: 1 at the first maximum, 0 elsewhere; along one axis (opset 13), or, `coerced`, over all elements from that axis on,
 * as opsets below 13 define it. (ONNX Softmax-13, Softmax-11)
 *
 * Bounds (NUMERICS §7), d = max − x, d̄ = Σp·d, exp accurate to e0 + e1·|x| in u: softmax p·(γ_n + u[(1 + 2e1)(d + d̄) + 4e0 + ÷]) + 2⁻¹²⁶;
 * log-softmax γ_n + u(d + (1 + e1)d̄ + 2|r| + 8 ln S + e0), and what log loses near S = 1.
 */
import { fillSpread, groups, inverse, moveLast, readBy, shapeFields, shapeOf, simulated, spread, summed, within } from '../harness/elements.ts'
import * as h from '../harness/op.ts'
import { node } from '../harness/scalars.ts'

type A = { axis: number; coerced: number }
type Name = 'softmax' | 'log-softmax' | 'hardmax'

const fields = {
  own: h.int(0, 3), // 0, 1: the last axis
  ...shapeFields,
  axis: h.int(0, 5),
  negative: h.flag,
  coerced: h.flag,
  half: h.int(0, 7),
  x: spread('integers', 'normal', 'span', 'ramp', 'negative', 'small', 'large', 'tiny', 'impulse', 'edges', 'nan', 'inf', '-inf', '-0', 'largest'),
}
const valid = h.generator(fields, raw => {
  const shape = shapeOf(raw, { least: 1, empty: true })
  const rank = shape.length
  const axis = raw.own < 2 ? rank - 1 : Math.min(raw.axis, rank - 1)
  return h.drawn<A>(
    { axis: raw.negative ? axis - rank : axis, coerced: raw.coerced },
    fillSpread(fields.x, raw.x, shape, raw.half === 7 ? 'float16' : 'float32'),
  )
})
const spoilt = { sizes: h.ints(3, 2, 4), rank: h.int(1, 3), by: h.int(0, 2), below: h.flag, x: h.data('integers', 'normal') }
/** An axis that the tensor does not have. */
const invalid = h.generator(spoilt, raw =>
  h.drawn<A>({ axis: raw.below ? -raw.rank - 1 - raw.by : raw.rank + raw.by, coerced: 0 }, h.fill(spoilt.x, raw.x, raw.sizes.slice(0, raw.rank))),
)

// ── Reference ───────────────────────────────────────────────────────────────────────────────────────────────────────

const axisOf = (a: A, rank: number) => (a.axis < 0 ? a.axis + rank : a.axis)
function partition(a: A, shape: readonly number[]) {
  const axis = axisOf(a, shape.length)
  return groups(shape, a.coerced ? shape.map((_, d) => d).filter(d => d >= axis) : [axis])
}
/** What a group gives: maximum, Σe^(x − max), Σp·d. */
function totals(x: Float64Array) {
  const top = x.reduce((m, v) => Math.max(m, v), -Infinity)
  const e = x.map(v => Math.exp(v - top))
  const s = e.reduce((t, v) => t + v, 0)
  const mean = x.reduce((t, v, j) => t + (e[j]! > 0 ? (e[j]! / s) * (top - v) : 0), 0)
  return { top, s, mean, e }
}
function expect(name: Name, a: A, x: h.Real): h.Expected {
  const g = partition(a, x.shape)
  const size = x.data.length
  const [value, away, mean, sum] = [new Float64Array(size), new Float64Array(size), new Float64Array(size), new Float64Array(size)]
  const nan = new Uint8Array(size)
  for (let i = 0; i < g.count && g.size > 0; i++) {
    const row = Float64Array.from({ length: g.size }, (_, j) => x.data[g.at(i, j)]!)
    const t = totals(row)
    const first = row.indexOf(row.filter(v => v === v).reduce((m, v) => Math.max(m, v), -Infinity))
    for (let j = 0; j < g.size; j++) {
      const at = g.at(i, j)
      const v = row[j]!
      value[at] = name === 'hardmax' ? (j === Math.max(0, first) ? 1 : 0) : name === 'softmax' ? t.e[j]! / t.s : v - t.top - Math.log(t.s)
      away[at] = t.top - v
      mean[at] = t.mean
      sum[at] = t.s
      nan[at] = row.some(Number.isNaN) ? 1 : 0
    }
  }
  if (name === 'hardmax')
    return { rule: 'exact', dtype: x.dtype, shape: x.shape, value, open: h.open('the maximum next to NaN', nan, { 'NaN is skipped': value }) }
  const error = (m: h.Arithmetic, i: number): number => {
    const [d, mu, r] = [away[i]!, mean[i]!, value[i]!]
    const [e0, e1] = m.exp
    if (name === 'softmax')
      return (
        (r > 0 ? r * (h.gamma(g.size, m.u) + m.u * ((1 + 2 * e1) * (d + mu) + 4 * e0 + m.division)) : 0) +
        (x.dtype === 'float16' ? 2 ** -14 : 2 ** -126)
      )
    const log = sum[i]! <= 2 ? m.log[1] : 0
    return h.gamma(g.size, m.u) + m.u * (d + (1 + e1) * mu + 2 * Math.abs(r) + 8 * Math.log(sum[i]!) + e0) + log
  }
  const finite = Float64Array.from({ length: g.count }, (_, i) =>
    Array.from({ length: g.size }, (_, j) => x.data[g.at(i, j)]!).every(Number.isFinite) ? 1 : 0,
  )
  const group = new Int32Array(size)
  for (let i = 0; i < g.count; i++) for (let j = 0; j < g.size; j++) group[g.at(i, j)] = i
  return within(x.dtype, x.shape, value, error, 'NUMERICS §7', { finiteInputs: i => finite[group[i]!] === 1 })
}
function simulate(name: Name, a: A, x: h.Real, m: h.Machine): h.Real {
  const g = partition(a, x.shape)
  const data = new Float64Array(x.data.length)
  const read = readBy(m, x)[0]!
  for (let i = 0; i < g.count && g.size > 0; i++) {
    const row = Float64Array.from({ length: g.size }, (_, j) => read[g.at(i, j)]!)
    const top = row.reduce((t, v) => Math.max(t, v), -Infinity)
    const d = row.map(v => (Number.isFinite(v) ? m.sub(v, top) : v - top))
    const e = d.map(v => (v < -200 ? 0 : Number.isFinite(v) ? m.exp(v) : Math.exp(v)))
    const s = summed(m, e, null, 'error')
    for (let j = 0; j < g.size; j++) data[g.at(i, j)] = name === 'softmax' ? m.div(e[j]!, s) : m.sub(d[j]!, m.log(s))
  }
  return simulated(x.dtype, x.shape, data)
}

// ── Lowerings ───────────────────────────────────────────────────────────────────────────────────────────────────────

const OPERATOR = { softmax: 'Softmax', 'log-softmax': 'LogSoftmax', hardmax: 'Hardmax' } as const

function onnx(name: Name, c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const a = c.attributes
  const x = c.inputs[0]!
  const operator = OPERATOR[name]
  const rank = x.shape.length
  const axis = axisOf(a, rank)
  const flat = [h.sizeOf(x.shape.slice(0, axis)), h.sizeOf(x.shape.slice(axis))]
  const path = (word: string, opset: number, attributes: h.Attributes): h.Lowering<h.OnnxForm> => ({
    path: word,
    form: { opset, nodes: [node(operator, 'x0', 'y0', attributes)] },
  })
  if (c.valid === false) return [path('node', 13, { axis: a.axis }), path('opset-11', 11, { axis: a.axis })]
  const coerced = [path('opset-11', 11, { axis: a.axis }), path('opset-9', 9, { axis }), ...(axis === 1 ? [path('opset-11-defaults', 11, {})] : [])]
  const back = ([y]: readonly h.Tensor[]) => [h.reshape(y!, x.shape)]
  const flattened = {
    path: 'flattened',
    form: {
      opset: 13,
      prepare: (t: readonly (h.Tensor | null)[]) => [h.reshape(t[0]!, flat)],
      nodes: [node(operator, 'x0', 'y0', { axis: -1 })],
      finish: back,
    },
  }
  if (a.coerced) return [...coerced, ...(axis === rank - 1 ? [path('node', 13, { axis: a.axis })] : []), flattened]
  const paths = [
    path('node', 13, { axis: a.axis }),
    path('opset-21', 21, { axis: a.axis }),
    path('axis-from-other-end', 13, { axis: a.axis < 0 ? axis : axis - rank }),
  ]
  if (axis === rank - 1) paths.push(path('defaults', 13, {}), ...coerced, flattened)
  if (rank > 1) {
    const perm = moveLast(rank, axis === rank - 1 ? 0 : axis)
    paths.push({
      path: 'between-transposes', // collapses at basic by moving the axis
      form: {
        opset: 13,
        nodes: [
          node('Transpose', 'x0', 't', { perm }),
          node(operator, 't', 'u', { axis: inverse(perm)[axis]! }),
          node('Transpose', 'u', 'y0', { perm: inverse(perm) }),
        ],
      },
    })
  }
  return paths
}

function tfjs(name: Name, c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  const a = c.attributes
  const { shape } = c.inputs[0]!
  const rank = shape.length
  const axis = axisOf(a, rank)
  const hard = (tf: any, x: any) => tf.cast(tf.oneHot(tf.argMax(x, -1), x.shape[x.rank - 1]), 'float32')
  if (c.valid === false)
    return name === 'hardmax'
      ? [{ declined: 'TF.js has no hardmax' }]
      : [{ path: name, form: h.plainly((tf, [x]) => (name === 'softmax' ? tf.softmax(x, a.axis) : tf.logSoftmax(x, a.axis))) }]
  // The last axis is all that TF.js takes: others are brought there, coerced ones as rows of a matrix.
  const perm = moveLast(rank, axis)
  const last = a.coerced
    ? {
        prepare: (t: h.Tensor) => h.reshape(t, [h.sizeOf(shape.slice(0, axis)), h.sizeOf(shape.slice(axis))]),
        finish: (y: h.Tensor) => h.reshape(y, shape),
      }
    : { prepare: (t: h.Tensor) => h.permute(t, perm), finish: (y: h.Tensor) => h.permute(y, inverse(perm)) }
  const paths: h.Lowering<h.TfjsForm>[] = []
  const add = (path: string, call: (tf: any, x: any) => any) =>
    paths.push({ path, form: { prepare: t => [last.prepare(t[0]!)], call: (tf, [x]) => [call(tf, x)], finish: ([y]) => [last.finish(y!)] } })
  const width = a.coerced ? 2 : rank
  const n = a.coerced ? h.sizeOf(shape.slice(axis)) : shape[axis]!
  if (name === 'hardmax' && n < 2) return [{ declined: 'tf.oneHot needs two classes' }]
  if (name === 'hardmax') add('one-hot-arg-max', hard)
  else {
    const call = name === 'softmax' ? 'softmax' : 'logSoftmax'
    add(name, (tf, x) => tf[call](x))
    add(`${name}-axis`, (tf, x) => tf[call](x, width - 1))
    if (width > 1) add('layers-activation', (tf, x) => tf.layers.activation({ activation: call }).apply(x))
    if (width > 1 && name === 'softmax') add('layers-softmax', (tf, x) => tf.layers.softmax({ axis: -1 }).apply(x))
    add('composition', (tf, x) => {
      const shifted = tf.sub(x, tf.max(x, -1, true))
      const sum = tf.sum(tf.exp(shifted), -1, true)
      return name === 'softmax' ? tf.div(tf.exp(shifted), sum) : tf.sub(shifted, tf.log(sum))
    })
    if (a.coerced && axis < rank - 1)
      paths.push({
        path: 'along-the-last-axis',
        naive: 'below opset 13 the sum runs over all axes from `axis` on',
        form: h.plainly((tf, [x]) => tf[call](x)),
      })
  }
  return paths
}

export default (['softmax', 'log-softmax', 'hardmax'] as const).map(name =>
  h.defineOp<A>({
    name,
    spec: [
      `https://onnx.ai/onnx/operators/onnx__${OPERATOR[name]}.html`,
      `https://js.tensorflow.org/api/latest/#${name === 'log-softmax' ? 'logSoftmax' : 'softmax'}`,
    ],
    valid,
    invalid,
    operators: [OPERATOR[name]],
    fromOnnx: n => ({
      attributes: { axis: Number(n.attributes['axis'] ?? (n.opset < 13 ? 1 : -1)), coerced: n.opset < 13 ? 1 : 0 },
      inputs: n.inputs,
    }),
    expect: (a, [x]) => [expect(name, a, x!)],
    ...(name === 'hardmax' ? {} : { simulate: (a: A, [x]: readonly (h.Real | null)[], m: h.Machine) => [simulate(name, a, x!, m)] }),
    onnx: c => onnx(name, c),
    tfjs: c => tfjs(name, c),
  }),
)
