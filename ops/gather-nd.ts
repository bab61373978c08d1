/** y[b…, i…, …] = data[b…, indices[b…, i…, 0], indices[b…, i…, 1], …, …]: the last axis of `indices` holds positions, the first batch_dims axes are walked together. (ONNX GatherND-13; batch_dims since 12) */
import { int64, moved, moveFields, range, say, shapeIn, typeOf } from '../harness/moves.ts'
import * as h from '../harness/op.ts'

type A = { batch_dims: number }

const fields = {
  ...moveFields,
  batch: h.int(0, 4), // 3, 4: one or two
  depth: h.int(1, 4),
  indexRank: h.int(0, 2),
  indexSizes: h.ints(2, 1, 6),
  negative: h.int(0, 5), // 5: some count from the end
  constant: h.flag,
  seed: h.int(0, 0xffff),
  x: h.data(),
}
const valid = h.generator(fields, raw => {
  const shape = shapeIn(raw, { least: 1, most: 1000 })
  const rank = shape.length
  const batch = Math.min(Math.max(0, raw.batch - 2), rank - 1)
  const depth = Math.min(raw.depth, rank - batch)
  const inner = h.sizeOf(shape) / h.sizeOf(shape.slice(batch, batch + depth))
  let left = Math.max(1, Math.floor(3000 / inner))
  const sizes = range(raw.indexRank).map(i => {
    const n = Math.min(left, raw.indexSizes[i]!)
    left = Math.max(1, Math.floor(left / n))
    return n
  })
  const whole = [...shape.slice(0, batch), ...sizes, depth]
  const next = h.random(raw.seed)
  const numbers = range(h.sizeOf(whole)).map(k => {
    const n = shape[batch + (k % depth)]!
    const i = next() % n
    return raw.negative === 5 && next() & 1 ? i - n : i
  })
  return h.drawn<A>({ batch_dims: batch }, h.fill(fields.x, raw.x, shape, typeOf(raw)), h.values('int64', whole, numbers, raw.constant === 1))
})
const WRONG = ['above', 'below', 'depth', 'batch'] as const
const spoilt = { ...moveFields, wrong: h.int(0, WRONG.length - 1), x: h.data('integers', 'normal') }
const invalid = h.generator(spoilt, raw => {
  const wrong = WRONG[raw.wrong]!
  const shape = shapeIn(raw, { least: 1, most: 200 })
  const depth = wrong === 'depth' ? shape.length + 1 : 1
  const index = wrong === 'above' ? shape[0]! : wrong === 'below' ? -shape[0]! - 1 : 0
  const indices = h.values('int64', [1, depth], new Array(depth).fill(index))
  return h.drawn<A>({ batch_dims: wrong === 'batch' ? 2 : 0 }, h.fill(spoilt.x, raw.x, shape), indices)
})

function expect({ batch_dims: batch }: A, x: h.Real, indices: h.Real): h.Expected[] {
  const depth = indices.shape[indices.shape.length - 1]!
  const shape = [...indices.shape.slice(0, -1), ...x.shape.slice(batch + depth)]
  const inner = h.sizeOf(x.shape.slice(batch + depth))
  const batches = h.sizeOf(x.shape.slice(0, batch))
  const rows = h.sizeOf(indices.shape.slice(0, -1))
  const perBatch = rows / Math.max(1, batches)
  const from = new Int32Array(rows * inner)
  for (let r = 0; r < rows; r++) {
    let at = Math.floor(r / perBatch)
    for (let d = 0; d < depth; d++) {
      const n = x.shape[batch + d]!
      const i = indices.data[r * depth + d]!
      at = at * n + (i < 0 ? i + n : i)
    }
    for (let e = 0; e < inner; e++) from[r * inner + e] = at * inner + e
  }
  return [moved(x, shape, from)]
}

function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const { batch_dims } = c.attributes
  const [x, indices] = c.inputs as [h.TensorSpec, h.TensorSpec]
  const core = { op: 'GatherND', attributes: { batch_dims }, given: 2, initializers: indices.constant ? [1] : [] }
  const paths: h.Lowering<h.OnnxForm>[] = [say('node', { ...core, opset: 13 })]
  if (c.valid === false) return paths
  paths.push(say('opset-12', { ...core, opset: 12 }), say('opset-21', { ...core, opset: 21 }))
  if (!batch_dims) paths.push(say('defaults', { ...core, attributes: {}, opset: 13 }), say('opset-11', { ...core, attributes: {}, opset: 11 }))
  const depth = indices.shape[indices.shape.length - 1]!
  if (!batch_dims && depth === x.shape.length && indices.shape.length === 2) {
    // all positions flat, in one Gather from a vector
    const steps = h.stridesOf(x.shape)
    const finish: h.OnnxForm['prepare'] = t => {
      const all = h.numbers(t[1]!)
      const flat = range(indices.shape[0]!).map(r =>
        range(depth).reduce((s, d) => s + steps[d]! * ((all[r * depth + d]! + x.shape[d]!) % x.shape[d]!), 0),
      )
      return [h.reshape(t[0]!, [h.sizeOf(x.shape)]), int64(flat)]
    }
    const flat = say('flat-gather', { op: 'Gather', attributes: { axis: 0 }, given: 2, opset: 13 })
    paths.push({ ...flat, form: { ...flat.form, prepare: finish } })
  }
  return paths
}

function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  const { batch_dims: batch } = c.attributes
  const [x, indices] = c.inputs as [h.TensorSpec, h.TensorSpec]
  if (c.valid === false)
    return batch ? [{ declined: 'tf.gatherND has no batch axes' }] : [{ path: 'gather-nd', form: h.plainly((tf, t) => tf.gatherND(t[0], t[1])) }]
  const depth = indices.shape[indices.shape.length - 1]!
  /** Indices counted from the front. */
  const prepare: h.TfjsForm['prepare'] = t => {
    const i = h.numbers(t[1]!)
    return [
      t[0]!,
      h.tensor(
        'int32',
        t[1]!.shape,
        i.map((v, k) => (v < 0 ? v + x.shape[batch + (k % depth)]! : v)),
      ),
    ]
  }
  if (batch === 1 && depth === 1)
    return [
      {
        path: 'gather-batch-dims',
        form: {
          prepare: t => {
            const [u, i] = prepare!(t) as [h.Tensor, h.Tensor]
            return [u, h.reshape(i, i.shape.slice(0, -1))]
          },
          call: (tf, t) => [tf.gather(t[0], t[1], 1, 1)],
        },
      },
    ]
  if (batch) return [{ declined: 'tf.gatherND has no batch axes' }]
  const paths: h.Lowering<h.TfjsForm>[] = [{ path: 'gather-nd', form: { prepare, call: (tf, t) => [tf.gatherND(t[0], t[1])] } }]
  if (h.numbers(h.realise(indices)).some(i => i < 0))
    paths.push({ path: 'negative-as-given', naive: 'tf.gatherND does not count from the end', form: h.plainly((tf, t) => tf.gatherND(t[0], t[1])) })
  return paths
}

export default h.defineOp<A>({
  name: 'gather-nd',
  spec: ['https://onnx.ai/onnx/operators/onnx__GatherND.html', 'https://js.tensorflow.org/api/latest/#gatherND'],
  valid,
  invalid,
  operators: ['GatherND'],
  fromOnnx: n => ({ attributes: { batch_dims: Number(n.attributes['batch_dims'] ?? 0) }, inputs: n.inputs }),
  expect: (a, [x, i]) => expect(a, x!, i!),
  onnx,
  tfjs,
})
