/**
 * y = a·b over the last two axes, the axes before them broadcast; a vector is a row on the left, a column on the right, and leaves no axis behind.
 * (ONNX MatMul-13 = numpy.matmul) a [batch…, M, K], b [batch…, K, N].
 */
import { broadcast, fillSpread, halvesFit, isFloat, readBy, sources, spread, summed } from '../harness/elements.ts'
import * as h from '../harness/op.ts'
import { node } from '../harness/scalars.ts'

type A = Record<string, never>

// ── Cases ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const EDGE = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65] as const
const LONG = [100, 128, 1000, 1001, 1023, 2000, 2001, 2049] as const // webgl switches above 1000, webgpu from 2000
const KINDS = [
  'integers',
  'normal',
  'impulse',
  'ramp',
  'span',
  'small',
  'large',
  'cancel',
  'negative',
  'tiny',
  'nan',
  'inf',
  '-inf',
  'subnormal',
  'largest',
] as const
const TYPES = ['float16', 'int32', 'int64'] as const
const fields = {
  own: h.int(0, 3), // 0, 1: float32, batches that TF.js documents
  m: h.int(0, EDGE.length - 1),
  k: h.int(0, EDGE.length + LONG.length - 1),
  n: h.int(0, EDGE.length - 1),
  batch: h.ints(3, 1, 3),
  rank: h.int(0, 3), // axes before the last two
  forms: h.ints(2, 0, 4), // of a and b: 0 all batch axes, 1 none, 2 all of length 1, 3 every other of length 1, 4 a vector
  type: h.int(0, 7),
  empty: h.int(0, 23), // 23: K = 0
  constant: h.flag,
  a: spread(...KINDS),
  b: spread('integers', 'normal', 'impulse', 'ramp', 'span', 'small', 'large', 'cancel', 'negative', 'tiny', 'inf'),
}
function batchOf(full: readonly number[], form: number): number[] {
  return form === 1 ? [] : form === 2 ? full.map(() => 1) : form === 3 ? full.map((n, d) => (d % 2 ? n : 1)) : [...full]
}
const valid = h.generator(fields, raw => {
  const dtype = raw.own === 3 && raw.type > 4 ? TYPES[raw.type - 5]! : 'float32'
  const K = raw.empty === 23 && raw.own > 1 ? 0 : raw.k < EDGE.length ? EDGE[raw.k]! : LONG[raw.k - EDGE.length]!
  const batch = raw.batch.slice(0, raw.rank)
  const left = Math.min(1024, Math.floor(60_000 / Math.max(1, K) / h.sizeOf(batch)))
  const M = Math.max(1, Math.min(EDGE[raw.m]!, left))
  const N = Math.max(1, Math.min(EDGE[raw.n]!, Math.floor(left / M)))
  const [fa, fb] = raw.own < 2 ? [Math.min(raw.forms[0]!, 1), Math.min(raw.forms[1]!, 1)] : [raw.forms[0]!, raw.forms[1]!]
  const one = raw.a.kind >= KINDS.indexOf('nan') // one class of special value a case
  const b = one ? { ...raw.b, kind: Math.min(raw.b.kind, fields.b.kinds.length - 2) } : raw.b
  return h.drawn<A>(
    {},
    fillSpread(fields.a, raw.a, fa === 4 ? [K] : [...batchOf(batch, fa), M, K], dtype),
    fillSpread(fields.b, b, fb === 4 ? [K] : [...batchOf(batch, fb), K, N], dtype, raw.constant === 1),
  )
})
const spoilt = { what: h.int(0, 3), m: h.int(1, 4), k: h.int(2, 5), n: h.int(1, 4), by: h.int(1, 3), x: h.data('integers', 'normal') }
/** Inner sizes that differ, batches of 2 and 3, a scalar. */
const invalid = h.generator(spoilt, raw => {
  const { what, m, k, n, by } = raw
  const [a, b] = [
    [
      [m, k],
      [k + by, n],
    ],
    [
      [2, m, k],
      [3, k, n],
    ],
    [[m, k], [k + by]],
    [[], [k, n]],
  ][what]!
  return h.drawn<A>({}, h.fill(spoilt.x, raw.x, a!), h.fill(spoilt.x, raw.x, b!))
})

// ── Reference ───────────────────────────────────────────────────────────────────────────────────────────────────────

function geometry(a: h.Shape, b: h.Shape) {
  const [left, right] = [a.length === 1 ? [1, a[0]!] : [...a], b.length === 1 ? [b[0]!, 1] : [...b]]
  const [m, k] = left.slice(-2) as [number, number]
  const n = right[right.length - 1]!
  const batch = broadcast(left.slice(0, -2), right.slice(0, -2))
  const shape = [...batch, ...(a.length === 1 ? [] : [m]), ...(b.length === 1 ? [] : [n])]
  return { m, k, n, shape, from: [sources(left.slice(0, -2), batch), sources(right.slice(0, -2), batch)] as const }
}
type Geometry = ReturnType<typeof geometry>
/** f(row of a, column of b, index) for every output. */
function products(g: Geometry, a: Float64Array, b: Float64Array, f: (x: Float64Array, w: Float64Array, at: number) => void): void {
  const { m, k, n } = g
  const w = new Float64Array(k)
  for (let p = 0; p < g.from[0].length; p++)
    for (let j = 0; j < n; j++) {
      const start = g.from[1][p]! * k * n + j
      for (let t = 0; t < k; t++) w[t] = b[start + t * n]!
      for (let i = 0; i < m; i++) {
        const row = (g.from[0][p]! * m + i) * k
        f(a.subarray(row, row + k), w, (p * m + i) * n + j)
      }
    }
}
/** Sums of products: γ_k·Σ|a·b|. (NUMERICS §2) */
function expect([a, b]: readonly (h.Real | null)[]): h.Expected {
  const g = geometry(a!.shape, b!.shape)
  const size = h.sizeOf(g.shape)
  const [value, magnitude, terms, spill] = [new Float64Array(size), new Float64Array(size), new Float64Array(size), new Float64Array(size)]
  const small = (v: number) => v !== 0 && Math.abs(v) < 2 ** -126
  const spills = [a!, b!].some(x => x.data.some(small))
  products(g, a!.data, b!.data, (x, w, at) => {
    let [s, size, count, lost] = [0, 0, 0, 0]
    for (let t = 0; t < x.length; t++) {
      const p = x[t]! * w[t]!
      if (p === 0) continue
      s += p
      size += Math.abs(p)
      count++
      if (spills && (small(x[t]!) || small(w[t]!))) lost += Math.abs(p)
    }
    value[at] = s
    magnitude[at] = size
    terms[at] = count
    spill[at] = lost
  })
  if (!isFloat(a!.dtype)) return { rule: 'exact', dtype: a!.dtype, shape: g.shape, value }
  return { rule: 'dot', dtype: a!.dtype, shape: g.shape, value, magnitude, terms, spill: spills ? spill : undefined }
}

// ── ONNX ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The last two axes exchanged. */
const swapped = (rank: number) => [...Array.from({ length: rank - 2 }, (_, d) => d), rank - 1, rank - 2]
const turn = (t: h.Tensor) => h.permute(t, swapped(t.shape.length))
function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const [a, b] = c.inputs as [h.TensorSpec, h.TensorSpec]
  const fixed = b.constant ? [1] : []
  const path = (name: string, opset: number, initializers?: number[]) => ({
    path: name,
    form: { opset, initializers, nodes: [node('MatMul', ['x0', 'x1'], 'y0')] },
  })
  const paths: h.Lowering<h.OnnxForm>[] = [
    path('node', 13, fixed),
    path('constant-b', 13, [1]),
    path('constant-a', 13, [0]),
    path('opset-9', 9),
    path('opset-21', 21, fixed),
  ]
  if (c.valid === false || a.dtype !== 'float32') return paths
  const [ra, rb] = [a.shape.length, b.shape.length]
  const n = b.shape[rb - 1]!
  if (ra > 1 && rb > 1) {
    // ORT: MatMul+Add → Gemm (basic), Transpose+MatMul, MatMul·scalar → FusedMatMul (extended)
    const zero = { zero: h.tensor('float32', [n], new Array(n).fill(0)) }
    paths.push({
      path: 'add-zero',
      form: { opset: 13, constants: zero, initializers: [1], nodes: [node('MatMul', ['x0', 'x1'], 'm'), node('Add', ['m', 'zero'], 'y0')] },
    })
    for (const side of [0, 1]) {
      const names = side === 0 ? ['t', 'x1'] : ['x0', 't']
      paths.push({
        path: side === 0 ? 'transposed-a' : 'transposed-b',
        form: {
          opset: 13,
          prepare: t => t.map((v, i) => (v && i === side ? turn(v) : v)),
          nodes: [node('Transpose', `x${side}`, 't', { perm: swapped(side === 0 ? ra : rb) }), node('MatMul', names, 'y0')],
        },
      })
    }
    if (ra === rb && a.shape.slice(0, -2).every((d, i) => d === b.shape[i]))
      paths.push({ path: 'einsum', form: { opset: 13, nodes: [node('Einsum', ['x0', 'x1'], 'y0', { equation: '...ij,...jk->...ik' })] } })
    if (['integers', 'ramp', 'impulse'].includes(b.recipe.kind))
      paths.push({
        path: 'mul-two', // half of b, twice the result: exact
        form: {
          opset: 13,
          constants: { two: h.tensor('float32', [], [2]) },
          prepare: t => [t[0]!, { ...t[1]!, data: (t[1]!.data as Float32Array).map(v => v / 2) }],
          nodes: [node('MatMul', ['x0', 'x1'], 'm'), node('Mul', ['m', 'two'], 'y0')],
        },
      })
  }
  if (ra === 2 && rb === 2) paths.push({ path: 'gemm', form: { opset: 13, initializers: fixed, nodes: [node('Gemm', ['x0', 'x1'], 'y0')] } })
  return paths
}

// ── TF.js ───────────────────────────────────────────────────────────────────────────────────────────────────────────

function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  const [a, b] = c.inputs as [h.TensorSpec, h.TensorSpec]
  if (a.dtype !== 'float32') return [{ declined: 'tf.matMul is documented for float32' }]
  const [ra, rb] = [a.shape.length, b.shape.length]
  if (c.valid === false)
    return [
      { path: ra < 2 || rb < 2 ? 'dot' : 'matmul', form: h.plainly((tf, t) => (ra < 2 || rb < 2 ? tf.dot(t[0], t[1]) : tf.matMul(t[0], t[1]))) },
    ]
  const paths: h.Lowering<h.TfjsForm>[] = []
  const add = (path: string, call: (tf: any, t: readonly any[]) => any, turned: readonly number[] = []) =>
    paths.push({ path, form: { prepare: t => t.map((v, i) => (v && turned.includes(i) ? turn(v) : v)), call: (tf, t) => [call(tf, t)] } })
  if (ra <= 2 && rb <= 2) add('dot', (tf, t) => tf.dot(t[0], t[1]))
  if (ra < 2 || rb < 2) {
    const { shape } = geometry(a.shape, b.shape)
    add('matmul-of-columns', (tf, t) => tf.reshape(tf.matMul(ra < 2 ? tf.expandDims(t[0], 0) : t[0], rb < 2 ? tf.expandDims(t[1], 1) : t[1]), shape))
    return paths
  }
  add('matmul', (tf, t) => tf.matMul(t[0], t[1]))
  add('method', (_, t) => t[0].matMul(t[1]))
  add('matmul-transpose-a', (tf, t) => tf.matMul(t[0], t[1], true), [0])
  add('matmul-transpose-b', (tf, t) => tf.matMul(t[0], t[1], false, true), [1])
  add('matmul-transpose-both', (tf, t) => tf.matMul(t[0], t[1], true, true), [0, 1])
  add('fused', (tf, t) => tf.fused.matMul({ a: t[0], b: t[1] }))
  add('fused-transpose-b', (tf, t) => tf.fused.matMul({ a: t[0], b: t[1], transposeB: true }), [1])
  const [ba, bb] = [a.shape.slice(0, -2), b.shape.slice(0, -2)]
  if (String(ba) === String(bb)) {
    const letters = 'abc'.slice(0, ba.length)
    add('einsum', (tf, t) => tf.einsum(`${letters}ij,${letters}jk->${letters}ik`, t[0], t[1]))
  } else {
    const batch = broadcast(ba, bb)
    const tiled = (tf: any, x: any, own: h.Shape) => {
      const full = [...new Array<number>(batch.length - own.length).fill(1), ...own]
      return tf.tile(tf.reshape(x, [...full, ...x.shape.slice(-2)]), [...batch.map((n, d) => (full[d] === 1 ? n : 1)), 1, 1])
    }
    add('tile-matmul', (tf, t) => tf.matMul(tiled(tf, t[0], ba), tiled(tf, t[1], bb)))
  }
  if (rb === 2)
    add('layers-dense', (tf, t) => {
      const layer = tf.layers.dense({ units: b.shape[1], useBias: false })
      layer.build(t[0].shape)
      layer.setWeights([t[1]])
      const y = layer.apply(t[0])
      for (const w of layer.weights) w.dispose()
      return y
    })
  return paths
}

export default h.defineOp<A>({
  name: 'matmul',
  spec: [
    'https://onnx.ai/onnx/operators/onnx__MatMul.html',
    'https://numpy.org/doc/stable/reference/generated/numpy.matmul.html',
    'https://js.tensorflow.org/api/latest/#matMul',
  ],
  valid,
  invalid,
  operators: ['MatMul'],
  fromOnnx: n => ({ attributes: {}, inputs: n.inputs }),
  expect: (_, inputs) => [expect(inputs)],
  simulate(_, inputs, m) {
    const [a, b] = inputs as [h.Real, h.Real]
    const g = geometry(a.shape, b.shape)
    const y = { dtype: a.dtype, shape: g.shape, data: new Float64Array(h.sizeOf(g.shape)) }
    if (!isFloat(a.dtype)) return [{ ...y, data: (expect(inputs) as { value: Float64Array }).value }]
    const [xs, ws] = readBy(m, a, b) as [Float64Array, Float64Array]
    const rule = halvesFit(a, b)
    products(g, xs, ws, (x, w, at) => {
      y.data[at] = summed(m, x, w, rule)
    })
    return [a.dtype === 'float16' ? { ...y, data: y.data.map(h.toHalf) } : y]
  },
  onnx,
  tfjs,
})
