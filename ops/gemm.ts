/** y = alpha·A′·B′ + beta·C; A′ = A [M, K] or, with transA, of [K, M]; B′ likewise; C absent or broadcast to [M, N], never the other way round. (ONNX Gemm-13) */
import { fillSpread, halvesFit, readBy, sources, spread, summed } from '../harness/elements.ts'
import * as h from '../harness/op.ts'
import { node } from '../harness/scalars.ts'

type A = { alpha: number; beta: number; transA: number; transB: number }

// ── Cases ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const EDGE = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65, 100, 1001, 2000, 2049] as const
const FACTORS = [1, 0.5, 2, -1, Math.fround(0.3), 0.25] as const
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
const fields = {
  own: h.int(0, 3), // 0, 1: alpha = beta = 1
  m: h.int(0, 15),
  k: h.int(0, EDGE.length - 1),
  n: h.int(0, 15),
  turned: h.ints(2, 0, 1),
  factors: h.ints(2, 0, FACTORS.length - 1),
  c: h.int(0, 6), // 0 absent, 1 [N], 2 [1, N], 3 [M, N], 4 [M, 1], 5 [1], 6 scalar
  half: h.int(0, 7),
  constant: h.flag,
  a: spread(...KINDS),
  b: spread('integers', 'normal', 'impulse', 'ramp', 'span', 'small', 'large', 'cancel', 'negative', 'tiny'),
  bias: spread('integers', 'normal', 'large', 'ramp'),
}
const valid = h.generator(fields, raw => {
  const dtype = raw.own === 3 && raw.half === 7 ? 'float16' : 'float32'
  const K = EDGE[raw.k]!
  const left = Math.min(1024, Math.floor(60_000 / K))
  const M = Math.min(EDGE[raw.m]!, left)
  const N = Math.max(1, Math.min(EDGE[raw.n]!, Math.floor(left / M)))
  const [transA, transB] = raw.turned as [number, number]
  const [alpha, beta] = raw.own < 2 ? [1, 1] : [FACTORS[raw.factors[0]!]!, FACTORS[raw.factors[1]!]!]
  const shape = [null, [N], [1, N], [M, N], [M, 1], [1], []][raw.c]!
  return h.drawn<A>(
    { alpha, beta, transA, transB },
    fillSpread(fields.a, raw.a, transA ? [K, M] : [M, K], dtype),
    fillSpread(fields.b, raw.b, transB ? [N, K] : [K, N], dtype, raw.constant === 1),
    shape && fillSpread(fields.bias, raw.bias, shape, dtype, raw.constant === 1),
  )
})
const spoilt = { what: h.int(0, 3), m: h.int(2, 4), k: h.int(2, 5), n: h.int(2, 4), by: h.int(1, 3), turned: h.flag, x: h.data('integers', 'normal') }
/** Inner sizes that differ, also when turned; C that does not fit [M, N]; three axes. */
const invalid = h.generator(spoilt, raw => {
  const { what, m, k, n, by } = raw
  const inner = what === 0 ? k + by : k
  const b = raw.turned ? [n, inner] : [inner, n]
  const bias = what === 1 ? [n + by] : what === 2 ? [m + by, n] : null
  return h.drawn<A>(
    { alpha: 1, beta: 1, transA: 0, transB: raw.turned },
    h.fill(spoilt.x, raw.x, what === 3 ? [1, m, k] : [m, k]),
    h.fill(spoilt.x, raw.x, b),
    bias && h.fill(spoilt.x, raw.x, bias),
  )
})

// ── Reference ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** f(row of A′, column of B′, C or 0, index) for every output. */
function products(
  a: A,
  A_: h.Real,
  B: h.Real,
  C: h.Real | null,
  data: readonly Float64Array[],
  f: (x: Float64Array, w: Float64Array, c: number, at: number) => void,
): [number, number] {
  const [M, K] = (a.transA ? [A_.shape[1], A_.shape[0]] : A_.shape) as [number, number]
  const N = (a.transB ? B.shape[0] : B.shape[1])!
  const from = C && sources(C.shape, [M, N])
  const [x, w] = [new Float64Array(K), new Float64Array(K)]
  for (let j = 0; j < N; j++) {
    for (let t = 0; t < K; t++) w[t] = data[1]![a.transB ? j * K + t : t * N + j]!
    for (let i = 0; i < M; i++) {
      for (let t = 0; t < K; t++) x[t] = data[0]![a.transA ? t * M + i : i * K + t]!
      f(x, w, from ? data[2]![from[i * N + j]!]! : 0, i * N + j)
    }
  }
  return [M, N]
}
/** γ_{k+3}·(|alpha|·Σ|a·b| + |beta·c|): the products by alpha and beta, and one more where alpha is taken into A or B. (NUMERICS §7) */
function expect(a: A, [A_, B, C]: readonly (h.Real | null)[]): h.Expected {
  const value: number[] = []
  const [magnitude, terms, spill]: number[][] = [[], [], []] as number[][]
  const small = (v: number) => v !== 0 && Math.abs(v) < 2 ** -126
  const shape = products(a, A_!, B!, C ?? null, [A_!.data, B!.data, C?.data ?? new Float64Array()], (x, w, c, at) => {
    let [s, size, count, lost] = [0, 0, 0, 0]
    for (let t = 0; t < x.length; t++) {
      const p = x[t]! * w[t]!
      if (p === 0) continue
      s += p
      size += Math.abs(p)
      count++
      if (small(x[t]!) || small(w[t]!)) lost += Math.abs(p)
    }
    value[at] = a.alpha * s + (C ? a.beta * c : 0)
    magnitude![at] = Math.abs(a.alpha) * size + Math.abs(C ? a.beta * c : 0)
    terms![at] = count + (C && c !== 0 ? 1 : 0)
    spill![at] = Math.abs(a.alpha) * lost
  })
  const scaled = a.alpha !== 1 || (C && a.beta !== 1)
  const list = (v: number[]) => Float64Array.from(v)
  const partial = list(magnitude!.map((v, i) => Math.max(v, v / Math.min(1, Math.abs(a.alpha)), Math.abs(value[i]!))))
  return {
    rule: 'dot',
    dtype: A_!.dtype,
    shape,
    value: list(value),
    magnitude: list(magnitude!),
    partial,
    terms: list(terms!),
    spill: spill!.some(v => v) ? list(spill!) : undefined,
    ...(scaled ? { also: () => 2 } : {}),
  }
}

// ── ONNX ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const turn = (t: h.Tensor) => h.permute(t, [1, 0])
function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const a = c.attributes
  const [A_, B, C] = c.inputs as [h.TensorSpec, h.TensorSpec, h.TensorSpec | null]
  const names = C ? ['x0', 'x1', 'x2'] : ['x0', 'x1']
  const weights = C ? [1, 2] : [1]
  const path = (name: string, opset: number, attributes: h.Attributes, initializers?: number[]): h.Lowering<h.OnnxForm> => ({
    path: name,
    form: { opset, initializers, nodes: [node('Gemm', names, 'y0', attributes)] },
  })
  const paths = [
    path('node', 13, a, B.constant ? weights : []),
    path('constant-weights', 13, a, weights),
    path('opset-11', 11, a),
    path('opset-21', 21, a, weights),
  ]
  if (c.valid === false) return paths
  const left = h.withoutDefaults(a, { alpha: 1, beta: 1, transA: 0, transB: 0 })
  if (Object.keys(left).length < 4) paths.push(path('defaults', 13, left))
  if (C) paths.push(path('opset-9', 9, a))
  if (A_.dtype !== 'float32') return paths
  const plain = a.alpha === 1 && a.beta === 1
  const straight = (t: readonly (h.Tensor | null)[]) => t.map((v, i) => (v && ((i === 0 && a.transA) || (i === 1 && a.transB)) ? turn(v) : v))
  if (plain)
    paths.push({
      path: C ? 'matmul-add' : 'matmul', // becomes a Gemm at basic
      form: {
        opset: 13,
        initializers: weights,
        prepare: straight,
        nodes: C ? [node('MatMul', ['x0', 'x1'], 'm'), node('Add', ['m', 'x2'], 'y0')] : [node('MatMul', ['x0', 'x1'], 'y0')],
      },
    })
  paths.push({
    path: 'behind-transpose', // taken into transA
    form: {
      opset: 13,
      initializers: weights,
      prepare: t => t.map((v, i) => (v && i === 0 ? turn(v) : v)),
      nodes: [node('Transpose', 'x0', 't', { perm: [1, 0] }), node('Gemm', ['t', ...names.slice(1)], 'y0', a)],
    },
  })
  return paths
}

// ── TF.js ───────────────────────────────────────────────────────────────────────────────────────────────────────────

function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  const { alpha, beta, transA, transB } = c.attributes
  const [A_, B, C] = c.inputs as [h.TensorSpec, h.TensorSpec, h.TensorSpec | null]
  const N = transB ? B.shape[0]! : B.shape[1]!
  if (c.valid === false && A_.shape.length === 3) return [{ declined: 'tf.matMul takes batches' }]
  const times = (tf: any, x: any, v: number) => (v === 1 ? x : tf.mul(x, v))
  const whole = (tf: any, t: readonly any[]) => {
    const y = times(tf, tf.matMul(t[0], t[1], transA === 1, transB === 1), alpha)
    return t[2] ? tf.add(y, times(tf, t[2], beta)) : y
  }
  const paths: h.Lowering<h.TfjsForm>[] = [{ path: 'matmul-add', form: h.plainly(whole) }]
  if (c.valid === false) return C ? [{ declined: 'tf.add broadcasts both ways' }] : paths
  if (alpha !== 1 || beta !== 1) return paths
  const row = !C || (C.shape.length === 1 && C.shape[0] === N)
  if (row)
    for (const activation of ['linear', undefined])
      paths.push({
        path: activation ? 'fused' : 'fused-defaults',
        form: h.plainly((tf, t) =>
          tf.fused.matMul({
            a: t[0],
            b: t[1],
            transposeA: transA === 1,
            transposeB: transB === 1,
            ...(t[2] ? { bias: t[2] } : {}),
            ...(activation ? { activation } : {}),
          }),
        ),
      })
  if (row)
    paths.push({
      path: 'layers-dense',
      form: {
        prepare: t => t.map((v, i) => (v && ((i === 0 && transA) || (i === 1 && transB)) ? turn(v) : v)),
        call(tf, t) {
          const layer = tf.layers.dense({ units: N, useBias: !!C })
          layer.build(t[0].shape)
          layer.setWeights(t.slice(1).filter(w => w))
          const y = layer.apply(t[0])
          for (const w of layer.weights) w.dispose()
          return [y]
        },
      },
    })
  return paths
}

export default h.defineOp<A>({
  name: 'gemm',
  spec: ['https://onnx.ai/onnx/operators/onnx__Gemm.html', 'https://js.tensorflow.org/api/latest/#fused.matMul'],
  valid,
  invalid,
  operators: ['Gemm'],
  fromOnnx(n) {
    const v = (name: string, otherwise: number) => Math.fround(Number(n.attributes[name] ?? otherwise))
    return {
      attributes: { alpha: v('alpha', 1), beta: v('beta', 1), transA: v('transA', 0), transB: v('transB', 0) },
      inputs: [n.inputs[0]!, n.inputs[1]!, n.inputs[2] ?? null],
    }
  },
  expect: (a, inputs) => [expect(a, inputs)],
  simulate(a, inputs, m) {
    const [A_, B, C] = inputs as [h.Real, h.Real, h.Real | null]
    const data: number[] = []
    const read = readBy(m, ...[A_, B, ...(C ? [C] : [])])
    const rule = halvesFit(A_, B, C)
    const shape = products(a, A_, B, C, read, (x, w, c, at) => {
      const s = a.alpha === 1 ? summed(m, x, w, rule) : m.mul(a.alpha, summed(m, x, w, rule))
      data[at] = C ? m.add(s, a.beta === 1 ? c : m.mul(a.beta, c)) : s
    })
    return [{ dtype: A_.dtype, shape, data: Float64Array.from(data, v => (A_.dtype === 'float16' ? h.toHalf(v) : v)) }]
  },
  onnx,
  tfjs,
})
