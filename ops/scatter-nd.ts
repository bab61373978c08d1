/**
 * y is `data` with y[indices[i…]] = updates[i…] for every position in the last axis of `indices`; with `reduction` the update is added, multiplied, or the
 * smaller or larger of both stays. Without it, which of several updates of one element wins is open. (ONNX ScatterND-18; reduction add, mul since 16, min, max since 18)
 */
import { given, moveFields, range, say, shapeIn, typeOf } from '../harness/moves.ts'
import * as h from '../harness/op.ts'

type A = { reduction: string }

const REDUCTIONS = ['none', 'add', 'none', 'mul', 'max', 'min'] as const
const fields = {
  ...moveFields,
  reduction: h.int(0, REDUCTIONS.length - 1),
  depth: h.int(1, 4),
  indexRank: h.int(0, 2),
  indexSizes: h.ints(2, 1, 6),
  twice: h.int(0, 3), // 3: positions may repeat
  negative: h.int(0, 5), // 5: some count from the end
  zero: h.int(0, 1), // 1: into zeros
  constant: h.flag,
  seed: h.int(0, 0xffff),
  x: h.data(),
  u: h.data(),
}
/** Sums and products stay exact in every dtype. */
const small = h.data('impulse', 'integers')
const valid = h.generator(fields, raw => {
  const reduction = raw.own < 3 && raw.reduction > 2 ? 'none' : REDUCTIONS[raw.reduction]!
  const shape = shapeIn(raw, { least: 1, most: 1500 })
  const depth = Math.min(raw.depth, shape.length)
  const places = h.sizeOf(shape.slice(0, depth))
  const inner = h.sizeOf(shape.slice(depth))
  let left = Math.max(1, Math.min(places, Math.floor(1500 / inner)))
  const sizes = range(raw.indexRank).map(i => {
    const n = Math.min(left, raw.indexSizes[i]!)
    left = Math.max(1, Math.floor(left / n))
    return n
  })
  const next = h.random(raw.seed)
  // an odd step that shares no factor with the number of places visits each once
  const step = range(places, 1 + (next() % 31)).find(s => gcd(s, places) === 1) ?? 1
  const start = next() % places
  const numbers = range(h.sizeOf(sizes)).flatMap(i => {
    const place = raw.twice === 3 ? next() % places : (start + i * step) % places
    return h.unravel(place, shape.slice(0, depth)).map((p, d) => (raw.negative === 5 && next() & 1 ? p - shape[d]! : p))
  })
  const exact = reduction === 'add' || reduction === 'mul'
  const dtype =
    exact && raw.type > 4 && raw.own > 2 ? 'int64' : exact || typeOf(raw) === 'bool' ? (raw.type === 4 ? 'int32' : 'float32') : typeOf(raw)
  const data = raw.zero ? { dtype, shape, recipe: { kind: 'constant', value: 0 } as const } : h.fill(exact ? small : fields.x, raw.x, shape, dtype)
  const updates = h.fill(exact ? small : fields.u, { ...raw.u, kind: exact ? 1 : raw.u.kind }, [...sizes, ...shape.slice(depth)], dtype)
  return h.drawn<A>({ reduction }, data, h.values('int64', [...sizes, depth], numbers, raw.constant === 1), updates)
})
const gcd = (a: number, b: number): number => (b ? gcd(b, a % b) : a)
const WRONG = ['above', 'below', 'depth', 'updates', 'reduction'] as const
const spoilt = { ...moveFields, wrong: h.int(0, WRONG.length - 1), x: h.data('integers', 'normal') }
const invalid = h.generator(spoilt, raw => {
  const wrong = WRONG[raw.wrong]!
  const shape = shapeIn(raw, { least: 1, most: 200 })
  const depth = wrong === 'depth' ? shape.length + 1 : 1
  const index = wrong === 'above' ? shape[0]! : wrong === 'below' ? -shape[0]! - 1 : 0
  const updates = [wrong === 'updates' ? 2 : 1, ...shape.slice(1)]
  const indices = h.values('int64', [1, depth], new Array(depth).fill(index))
  return h.drawn<A>({ reduction: wrong === 'reduction' ? 'mean' : 'none' }, h.fill(spoilt.x, raw.x, shape), indices, h.fill(spoilt.x, raw.x, updates))
})

/** Of every row of `indices`: where its block begins. */
function places(shape: h.Shape, indices: { shape: h.Shape; data: ArrayLike<number> }): { starts: number[]; inner: number } {
  const depth = indices.shape[indices.shape.length - 1]!
  const inner = h.sizeOf(shape.slice(depth))
  const starts = range(h.sizeOf(indices.shape.slice(0, -1))).map(r => {
    const at = range(depth).reduce((s, d) => {
      const i = indices.data[r * depth + d]!
      return s * shape[d]! + (i < 0 ? i + shape[d]! : i)
    }, 0)
    return at * inner
  })
  return { starts, inner }
}
const JOIN: Record<string, (a: number, b: number) => number> = {
  none: (_, b) => b,
  add: (a, b) => a + b,
  mul: (a, b) => a * b,
  max: (a, b) => (Number.isNaN(a) || Number.isNaN(b) ? Number.NaN : Math.max(a, b)),
  min: (a, b) => (Number.isNaN(a) || Number.isNaN(b) ? Number.NaN : Math.min(a, b)),
}
function expect({ reduction }: A, data: h.Real, indices: h.Real, updates: h.Real): h.Expected[] {
  const { starts, inner } = places(data.shape, indices)
  const join = JOIN[reduction]!
  const value = Float64Array.from(data.data)
  const first = Float64Array.from(data.data)
  const [seen, again, nan] = [new Uint8Array(value.length), new Uint8Array(value.length), new Uint8Array(value.length)]
  starts.forEach((start, r) => {
    for (let e = 0; e < inner; e++) {
      const u = updates.data[r * inner + e]!
      if (reduction !== 'none' && (Number.isNaN(u) || Number.isNaN(value[start + e]!))) nan[start + e] = 1
      value[start + e] = join(value[start + e]!, u)
      if (seen[start + e]) again[start + e] = 1
      else first[start + e] = value[start + e]!
      seen[start + e] = 1
    }
  })
  const open =
    reduction === 'none'
      ? h.open('several updates of one element', again, { 'the last': value, 'the first': first })
      : h.open('NaN in a reduction', nan, { 'NaN wins': value })
  return [{ rule: 'exact', dtype: data.dtype, shape: data.shape, value: value.map(v => h.roundTo(data.dtype, v)), ...(open.length ? { open } : {}) }]
}

function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const { reduction } = c.attributes
  const core = { op: 'ScatterND', given: 3, initializers: c.inputs[1]!.constant ? [1] : [] }
  const least = reduction === 'min' || reduction === 'max' ? 18 : 16
  const paths: h.Lowering<h.OnnxForm>[] = [say('node', { ...core, attributes: { reduction }, opset: least })]
  if (c.valid === false) return paths
  for (const opset of [18, 21].filter(o => o > least)) paths.push(say(`opset-${opset}`, { ...core, attributes: { reduction }, opset }))
  if (reduction === 'none') for (const opset of [11, 13, 18]) paths.push(say(`defaults-${opset}`, { ...core, opset }))
  paths.push(say('data-constant', { ...core, attributes: { reduction }, opset: least, initializers: [0] }))
  return paths
}

function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  const { reduction } = c.attributes
  const [data, indices] = c.inputs as [h.TensorSpec, h.TensorSpec]
  const { shape, dtype } = data
  if (c.valid === false)
    return reduction === 'none'
      ? [{ path: 'tensor-scatter-update', form: h.plainly((tf, t) => tf.tensorScatterUpdate(t[0], t[1], t[2])) }]
      : [{ declined: 'TF.js has no reductions' }]
  const depth = indices.shape[indices.shape.length - 1]!
  const counted = (t: readonly (h.Tensor | null)[]) => {
    const one = t[1]!.shape.length === 1 ? [1] : [] // TF.js reads a vector of indices as that many positions
    const places = h.numbers(t[1]!).map((v, k) => (v < 0 ? v + shape[k % depth]! : v))
    return [t[0]!, h.tensor('int32', [...one, ...t[1]!.shape], places), h.reshape(t[2]!, [...one, ...t[2]!.shape])]
  }
  const paths: h.Lowering<h.TfjsForm>[] = []
  const push = (path: string, call: (tf: any, t: readonly any[]) => any) => paths.push({ path, form: { ...h.plainly(call), prepare: counted } })
  const numbers = h.numbers(h.realise(indices))
  const { starts } = places(shape, { shape: indices.shape, data: numbers })
  const single = new Set(starts).size === starts.length
  const empty = data.recipe.kind === 'constant'
  if (reduction === 'none') push('tensor-scatter-update', (tf, t) => tf.tensorScatterUpdate(t[0], t[1], t[2]))
  if (empty && (reduction === 'add' || (reduction === 'none' && single))) push('scatter-nd', (tf, t) => tf.scatterND(t[1], t[2], shape))
  if (reduction === 'add') push('scatter-nd-add', (tf, t) => tf.add(t[0], tf.scatterND(t[1], t[2], shape)))
  if (empty && reduction === 'none' && !single)
    paths.push({
      path: 'scatter-nd',
      naive: 'tf.scatterND adds the updates of one element',
      form: { ...h.plainly((tf, t) => tf.scatterND(t[1], t[2], shape)), prepare: counted },
    })
  if (numbers.some(i => i < 0) && reduction === 'none')
    paths.push({
      path: 'negative-as-given',
      naive: 'TF.js does not count from the end',
      form: h.plainly((tf, t) => tf.tensorScatterUpdate(t[0], t[1], t[2])),
    })
  return paths.length && dtype !== 'bool' ? paths : [{ declined: `TF.js has no scatter with ${reduction}` }]
}

export default h.defineOp<A>({
  name: 'scatter-nd',
  spec: [
    'https://onnx.ai/onnx/operators/onnx__ScatterND.html',
    'https://js.tensorflow.org/api/latest/#scatterND',
    'https://js.tensorflow.org/api/latest/#tensorScatterUpdate',
  ],
  valid,
  invalid,
  operators: ['ScatterND'],
  fromOnnx: n => ({ attributes: given({ reduction: String(n.attributes['reduction'] ?? 'none') }), inputs: n.inputs }),
  expect: (a, [x, i, u]) => expect(a, x!, i!, u!),
  onnx,
  tfjs,
})
