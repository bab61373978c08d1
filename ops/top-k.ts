/** The k largest (smallest) elements along an axis and their indices, best first; of equal ones the lower index comes first. With sorted = 0 in any order. (ONNX TopK-11) */
import { fillSpread, groups, inverse, moveLast, shapeFields, shapeOf, spread } from '../harness/elements.ts'
import * as h from '../harness/op.ts'

type A = { axis: number; k: number; largest: number; sorted: number }

const TYPES = ['float32', 'int32', 'int64', 'float16'] as const
const fields = {
  own: h.int(0, 3), // 0, 1: float32; 2: int32
  ...shapeFields,
  axis: h.int(0, 5),
  negative: h.flag,
  k: h.int(1, 40),
  smallest: h.flag,
  unsorted: h.int(0, 3), // 3: sorted = 0
  type: h.int(0, TYPES.length - 1),
  x: spread('integers', 'ramp', 'normal', 'negative', 'impulse', 'span', 'large', 'tiny', 'nan', 'inf', '-inf', 'largest'),
}
const valid = h.generator(fields, raw => {
  const dtype = raw.own < 2 ? 'float32' : raw.own === 2 ? 'int32' : TYPES[raw.type]!
  const shape = shapeOf(raw, { least: 1, rank: 5 })
  const axis = Math.min(raw.axis, shape.length - 1)
  const a: A = {
    axis: raw.negative ? axis - shape.length : axis,
    k: Math.min(raw.k, shape[axis]!),
    largest: 1 - raw.smallest,
    sorted: raw.unsorted === 3 ? 0 : 1,
  }
  return h.drawn<A>(a, fillSpread(fields.x, raw.x, shape, dtype))
})
const spoilt = { sizes: h.ints(3, 2, 4), rank: h.int(1, 3), what: h.int(0, 3), by: h.int(0, 2), x: h.data('integers', 'normal') }
/** More elements than the axis has, fewer than none, an axis that is not there. */
const invalid = h.generator(spoilt, raw => {
  const shape = raw.sizes.slice(0, raw.rank)
  const [axis, k] = [
    [-1, shape[raw.rank - 1]! + 1 + raw.by],
    [-1, -1 - raw.by],
    [raw.rank + raw.by, 1],
    [-raw.rank - 1 - raw.by, 1],
  ][raw.what] as [number, number]
  return h.drawn<A>({ axis, k, largest: 1, sorted: 1 }, h.fill(spoilt.x, raw.x, shape))
})

/** Index of the elements that are taken, best first, for every group; whether NaN leaves the order open. */
function choose(a: A, x: h.Real) {
  const axis = a.axis < 0 ? a.axis + x.shape.length : a.axis
  const g = groups(x.shape, [axis])
  const rows = Array.from({ length: g.count }, (_, i) => {
    const v = Array.from({ length: g.size }, (_, j) => x.data[g.at(i, j)]!)
    const clean = (j: number) => (Number.isNaN(v[j]!) ? -Infinity : a.largest ? v[j]! : -v[j]!)
    const order = v.map((_, j) => j).sort((p, q) => clean(q) - clean(p) || p - q)
    return { taken: order.slice(0, a.k), values: v, nan: v.some(Number.isNaN) }
  })
  const shape = x.shape.map((n, d) => (d === axis ? a.k : n))
  return { rows, shape, place: groups(shape, [axis]) }
}
function expect(a: A, x: h.Real): h.Expected[] {
  const { rows, shape, place } = choose(a, x)
  const size = h.sizeOf(shape)
  const [value, index, nan] = [new Float64Array(size), new Float64Array(size), new Uint8Array(size)]
  rows.forEach((row, i) => {
    row.taken.forEach((j, n) => {
      const at = place.at(i, n)
      value[at] = row.values[j]!
      index[at] = j
      nan[at] = row.nan ? 1 : 0
    })
  })
  const question = 'the order of NaN'
  const outputs = [
    { rule: 'exact' as const, dtype: x.dtype, shape, value, open: h.open(question, nan, { 'NaN last': value }) },
    { rule: 'exact' as const, dtype: 'int64' as const, shape, value: index, open: h.open(question, nan, { 'NaN last': index }) },
  ]
  if (a.sorted) return outputs
  const refute = (observed: readonly (h.Real | null)[]): h.Refutation => {
    const answer = { ambiguous: 0, expected: outputs }
    for (const [j, y] of observed.entries())
      if (y && String(y.shape) !== String(shape))
        return { ...answer, wrong: `output ${j} has shape [${y.shape}], the definition gives [${shape}]`, kind: 'shape' }
    for (const [i, row] of rows.entries()) {
      if (row.nan) continue
      const seen = (y: h.Real | null | undefined) => y && Array.from({ length: a.k }, (_, n) => y.data[place.at(i, n)]!)
      const [values, indices] = [seen(observed[0]), seen(observed[1])]
      const listed = (v: readonly number[]) => [...v].sort((p, q) => p - q).join(' ')
      if (indices && listed(indices) !== listed(row.taken))
        return { ...answer, wrong: `group ${i}: indices ${listed(indices)}, the definition takes ${listed(row.taken)}` }
      if (values && listed(values) !== listed(row.taken.map(j => row.values[j]!)))
        return { ...answer, wrong: `group ${i}: other values than those of the ${a.k} elements` }
      if (values && indices?.some((j, n) => row.values[j] !== values[n]))
        return { ...answer, wrong: `group ${i}: values and indices do not belong together` }
    }
    return { ...answer, wrong: null }
  }
  return [{ rule: 'decisions', refute }]
}

function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const { k, ...a } = c.attributes
  const x = c.inputs[0]!
  const count = h.tensor('int64', [1], [k])
  const path = (name: string, opset: number, attributes: h.Attributes): h.Lowering<h.OnnxForm> => ({
    path: name,
    form: { opset, constants: { k: count }, nodes: [{ op: 'TopK', in: ['x0', 'k'], out: ['y0', 'y1'], attributes }] },
  })
  const paths = [path('node', 11, a), path('opset-21', 21, a), path('opset-24', 24, a)]
  const left = h.withoutDefaults(a, { axis: -1, largest: 1, sorted: 1 })
  if (Object.keys(left).length < 3) paths.push(path('defaults', 13, left))
  paths.push({
    path: 'fed-k',
    form: { opset: 13, prepare: t => [t[0]!, count], nodes: [{ op: 'TopK', in: ['x0', 'x1'], out: ['y0', 'y1'], attributes: a }] },
  })
  if (a.largest && a.sorted && x.dtype.startsWith('float')) paths.push(path('opset-10', 10, { axis: a.axis }))
  return paths
}

function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  const { k, axis, largest, sorted } = c.attributes
  const rank = c.inputs[0]!.shape.length
  if (c.valid === false)
    return axis === -1 ? [{ path: 'topk', form: { call: (tf, [x]) => [tf.topk(x, k).values] } }] : [{ declined: 'tf.topk knows only the last axis' }]
  const perm = moveLast(rank, axis < 0 ? axis + rank : axis)
  const form = (topk: (tf: any, x: any) => { values: any; indices: any }): h.TfjsForm => ({
    prepare: t => [h.permute(t[0]!, perm)],
    call(tf, [x]) {
      const { values, indices } = topk(tf, largest ? x : tf.neg(x))
      return [largest ? values : tf.neg(values), indices]
    },
    finish: outputs => outputs.map(y => h.permute(y, inverse(perm))),
  })
  const paths: h.Lowering<h.TfjsForm>[] = [{ path: largest ? 'topk' : 'topk-of-negated', form: form((tf, x) => tf.topk(x, k, sorted === 1)) }]
  if (sorted) paths.push({ path: 'defaults', form: form((tf, x) => (k === 1 ? tf.topk(x) : tf.topk(x, k))) })
  if (k === 1 && largest)
    paths.push({ path: 'arg-max', form: form((tf, x) => ({ values: tf.max(x, -1, true), indices: tf.expandDims(tf.argMax(x, -1), -1) })) })
  return paths
}

export default h.defineOp<A>({
  name: 'top-k',
  spec: ['https://onnx.ai/onnx/operators/onnx__TopK.html', 'https://js.tensorflow.org/api/latest/#topk'],
  valid,
  invalid,
  operators: ['TopK'],
  fromOnnx(n) {
    const k = n.opset < 10 ? Number(n.attributes['k']) : n.values(1)?.[0]
    if (k === undefined) return { declined: 'TopK without k' }
    return { attributes: { axis: -1, largest: 1, sorted: 1, ...(n.attributes as Partial<A>), k }, inputs: n.inputs.slice(0, 1) }
  },
  expect: (a, [x]) => expect(a, x!),
  onnx,
  tfjs,
})
