/**
 * y = (a − a's zero point)·(b − b's zero point), int32 and exact; a [.., M, K], b [.., K, N] as in numpy.matmul; zero points one for all, one for every row of a, one for every
 * column of b. (ONNX MatMulInteger-10) Case: a, b as int32, their types and zero points as attributes (empty: left out).
 */
import { broadcast, SIZES, sources } from '../harness/elements.ts'
import * as h from '../harness/op.ts'
import { BYTES, integersOf, named, RANGE, typed, widened, zeroOf, zeroPoint } from '../harness/quantised.ts'

type A = { a_type: string; b_type: string; a_zero_point: readonly number[]; b_zero_point: readonly number[] }

export const matrixFields = {
  own: h.int(0, 4), // 4: zero points of rows
  size: h.ints(3, 0, SIZES.length - 1), // M, K, N
  batch: h.int(0, 5), // 0 … 2: matrices; 3: both in stacks; 4, 5: one of them
  stack: h.int(1, 3),
  types: h.int(0, 3),
  a: h.int(0, 3),
  b: h.int(0, 3),
  azero: h.int(0, 3), // 0: left out; 1: zero; 2, 3: others
  bzero: h.int(0, 3),
  each: h.flag, // a zero point for every column of b
  at: h.int(0, 0xffff),
}
type Raw = { [K in keyof typeof matrixFields]: (typeof matrixFields)[K] extends { kind: 'int' } ? number : number[] }
/** Zero points of a type; every sum of products stays below 2²⁴. */
export const zerosOf = (kind: number, dtype: string, count: number): number[] =>
  kind === 0 ? [] : Array.from({ length: count }, (_, i) => (kind === 1 ? 0 : [1, RANGE[dtype]![0], RANGE[dtype]![1], 7][(kind - 2 + i) % 4]!))
export function drawMatrices(raw: Raw): { shapes: [number[], number[]]; m: number; n: number; types: [string, string] } {
  const [m, k, n] = raw.size.map((i, d) => Math.min(SIZES[i]!, d === 1 ? 65 : 17)) as [number, number, number]
  const stack = (on: boolean) => (on ? [raw.stack] : [])
  return {
    shapes: [
      [...stack(raw.batch === 3 || raw.batch === 4), m, k],
      [...stack(raw.batch === 3 || raw.batch === 5), k, n],
    ],
    m,
    n,
    types: [BYTES[raw.types & 1]!, BYTES[raw.types >> 1]!],
  }
}
const valid = h.generator(matrixFields, raw => {
  const { shapes, m, n, types } = drawMatrices(raw)
  const a_zero_point = zerosOf(raw.azero, types[0], raw.own > 3 && raw.batch < 3 ? m : 1)
  const b_zero_point = zerosOf(raw.bzero, types[1], raw.each && (raw.batch < 3 || raw.batch === 4) ? n : 1)
  return h.drawn<A>(
    { a_type: types[0], b_type: types[1], a_zero_point, b_zero_point },
    integersOf(types[0], shapes[0], raw.a, raw.at),
    integersOf(types[1], shapes[1], raw.b, raw.at ^ 0x5555),
  )
})
const spoilt = { m: h.int(2, 5), k: h.int(2, 5), n: h.int(2, 5), which: h.int(0, 1), by: h.int(1, 3), at: h.int(0, 0xff) }
/** Inner sizes that differ, zero points of another number. */
const invalid = h.generator(spoilt, raw => {
  const zero = raw.which === 1 ? new Array<number>(raw.n + raw.by).fill(1) : []
  return h.drawn<A>(
    { a_type: 'uint8', b_type: 'uint8', a_zero_point: [], b_zero_point: zero },
    integersOf('uint8', [raw.m, raw.k], 1, raw.at),
    integersOf('uint8', [raw.which === 0 ? raw.k + raw.by : raw.k, raw.n], 1, raw.at),
  )
})

/** Sums of products of stacked matrices, and of magnitudes; `row` and `column` are taken away first. */
export function product(a: h.Real, b: h.Real, row: (i: number) => number, column: (j: number) => number) {
  const [m, k] = a.shape.slice(-2) as [number, number]
  const n = b.shape[b.shape.length - 1]!
  const stacks = broadcast(a.shape.slice(0, -2), b.shape.slice(0, -2))
  const [from, to] = [sources(a.shape.slice(0, -2), stacks), sources(b.shape.slice(0, -2), stacks)]
  const shape = [...stacks, m, n]
  const value = new Float64Array(h.sizeOf(shape))
  const magnitude = new Float64Array(value.length)
  for (let e = 0; e < value.length; e++) {
    const [s, i, j] = [Math.floor(e / (m * n)), Math.floor(e / n) % m, e % n]
    for (let t = 0; t < k; t++) {
      const p = (a.data[(from[s]! * m + i) * k + t]! - row(i)) * (b.data[(to[s]! * k + t) * n + j]! - column(j))
      value[e]! += p
      magnitude[e]! += Math.abs(p)
    }
  }
  return { shape, value, magnitude, k }
}
export const each = (zero: readonly number[]) => (i: number) => zero[zero.length === 1 ? 0 : i] ?? 0

function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const { a_type, b_type, a_zero_point, b_zero_point } = c.attributes
  const prepare = (t: readonly (h.Tensor | null)[]) => [typed(t[0]!, a_type), typed(t[1]!, b_type)]
  const [az, bz] = [zeroPoint(a_zero_point, a_type), zeroPoint(b_zero_point, b_type)]
  const constants = { ...(az ? { az } : {}), ...(bz ? { bz } : {}) }
  const say = (path: string, names: readonly (string | null)[], more: Partial<h.OnnxForm> = {}): h.Lowering<h.OnnxForm> => ({
    path,
    form: { opset: 13, prepare, constants, nodes: [named('MatMulInteger', names)], ...more },
  })
  const names = ['x0', 'x1', az && 'az', bz && 'bz']
  const paths = [say('node', names), say('constant-b', names, { initializers: [1] })]
  if (c.valid === false) return paths
  paths.push(say('opset-10', names, { opset: 10 }), say('opset-21', names, { opset: 21 }))
  const zeros = (z: readonly number[]) => z.every(v => v === 0)
  if ((az || bz) && zeros(a_zero_point) && zeros(b_zero_point)) paths.push(say('without-zero-points', ['x0', 'x1'], { constants: {} }))
  if (az && bz) paths.push(say('fed-zero-points', ['x0', 'x1', 'x2', 'x3'], { prepare: t => [...prepare(t), az, bz], constants: {} }))
  return paths
}
function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  const { a_zero_point, b_zero_point } = c.attributes
  const [a, b] = c.inputs as [h.TensorSpec, h.TensorSpec]
  if (c.valid === false && a.shape[a.shape.length - 1] === b.shape[b.shape.length - 2]) return [{ declined: 'TF.js has no zero points' }]
  const zero = (tf: any, z: readonly number[], rows: boolean, dtype: string) =>
    z.length > 1 ? tf.reshape(tf.tensor1d([...z], dtype), rows ? [-1, 1] : [1, -1]) : tf.scalar(z[0] ?? 0, dtype)
  const apart = (tf: any, [v, w]: readonly any[], dtype: string) => [
    tf.sub(tf.cast(v, dtype), zero(tf, a_zero_point, true, dtype)),
    tf.sub(tf.cast(w, dtype), zero(tf, b_zero_point, false, dtype)),
  ]
  const paths: h.Lowering<h.TfjsForm>[] = [
    { path: 'float-matmul', form: h.plainly((tf, t) => tf.cast(tf.matMul(...apart(tf, t, 'float32')), 'int32')) },
    {
      path: 'int32-difference',
      form: h.plainly((tf, t) => tf.cast(tf.matMul(...apart(tf, t, 'int32').map((v: any) => tf.cast(v, 'float32'))), 'int32')),
    },
  ]
  if (c.valid === false) return paths
  if (a.shape.length === 2 && b.shape.length === 2)
    paths.push({ path: 'dot', form: h.plainly((tf, t) => tf.cast(tf.dot(...apart(tf, t, 'float32')), 'int32')) })
  if (a_zero_point.concat(b_zero_point).some(v => v !== 0))
    paths.push({
      path: 'without-zero-points',
      naive: 'the zero points are not subtracted',
      form: h.plainly((tf, t) => tf.cast(tf.matMul(...t.map(v => tf.cast(v, 'float32'))), 'int32')),
    })
  return paths
}

export default h.defineOp<A>({
  name: 'matmul-integer',
  spec: ['https://onnx.ai/onnx/operators/onnx__MatMulInteger.html', 'https://js.tensorflow.org/api/latest/#matMul'],
  valid,
  invalid,
  operators: ['MatMulInteger'],
  fromOnnx(n) {
    const [a, b] = n.inputs
    if (!a || !b || a.shape.length < 2 || b.shape.length < 2) return { declined: 'MatMulInteger of vectors' }
    if ([n.inputs[2], n.inputs[3]].some(z => z && z.shape.length > 1)) return { declined: 'zero points of more than one axis' }
    return h.drawn<A>({ a_type: a.dtype, b_type: b.dtype, a_zero_point: zeroOf(n, 2), b_zero_point: zeroOf(n, 3) }, widened(a), widened(b))
  },
  expect(c, [a, b]) {
    const { shape, value } = product(a!, b!, each(c.a_zero_point), each(c.b_zero_point))
    return [{ rule: 'exact', dtype: 'int32', shape, value }]
  },
  onnx,
  tfjs,
})
