/** Axis i of the result is axis perm[i] of x; without `perm` the axes are reversed. (ONNX Transpose-13; 21 … 25 add dtypes) */
import { crossed, given, inverse, moved, moveFields, node, range, say, shapeIn, someAxes, typeOf } from '../harness/moves.ts'
import * as h from '../harness/op.ts'

type A = { perm?: readonly number[] }

const fields = { ...moveFields, order: h.int(0, 719), usual: h.int(0, 3), x: h.data() }
/** Permutations that networks use: reversed, channels last and back, the last two swapped. */
function usual(rank: number, n: number): number[] | null {
  if (n === 1 && rank > 2) return h.toLast(rank)
  if (n === 2 && rank > 2) return h.toSecond(rank)
  if (n === 3 && rank > 1) return [...range(rank - 2), rank - 1, rank - 2]
  return null
}
const valid = h.generator(fields, raw => {
  const shape = shapeIn(raw, { most: 3000, empty: true })
  const rank = shape.length
  const perm = raw.order === 0 ? range(rank) : (usual(rank, raw.usual) ?? someAxes(rank, rank, raw.order))
  return h.drawn<A>(raw.order === 1 ? {} : { perm }, h.fill(fields.x, raw.x, shape, typeOf(raw)))
})
const spoilt = { ...moveFields, wrong: h.int(0, 4), x: h.data('integers', 'normal') }
const invalid = h.generator(spoilt, raw => {
  const shape = shapeIn(raw, { least: 2, most: 300 })
  const rank = shape.length
  const all = range(rank)
  const perm = [[0, ...all.slice(0, -1)], all.slice(1), [...all, rank], [...all.slice(0, -1), rank], [...all.slice(0, -1), 0]][raw.wrong]!
  return h.drawn<A>({ perm }, h.fill(spoilt.x, raw.x, shape))
})

const permOf = (a: A, rank: number) => a.perm ?? range(rank).reverse()
function expect(a: A, x: h.Real): h.Expected[] {
  const perm = permOf(a, x.shape.length)
  const at = h.permute(
    {
      dtype: 'int32',
      shape: x.shape,
      data: crossed(
        x.shape,
        x.shape.map(n => range(n)),
      ),
    },
    perm,
  )
  return [moved(x, at.shape, at.data as Int32Array)]
}

function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const x = c.inputs[0]!
  const rank = x.shape.length
  const perm = permOf(c.attributes, rank)
  const whole = { op: 'Transpose', attributes: rank ? { perm } : ({} as h.Attributes) }
  const paths = [say('node', { ...whole, opset: 13 })]
  if (c.valid === false) return paths
  for (const opset of [9, 21, 23, 24, 25]) paths.push(say(`opset-${opset}`, { ...whole, opset }))
  if (perm.every((p, i) => p === rank - 1 - i)) paths.push(say('defaults', { op: 'Transpose', opset: 13 }))
  if (rank > 1) {
    // two permutations that make this one, which ONNX Runtime joins
    const first = [...range(rank - 1, 1), 0]
    const second = perm.map(p => first.indexOf(p))
    const [one, two] = [node('Transpose', 'x0', 'a', { perm: first }), node('Transpose', 'b', 'y0', { perm: second })]
    paths.push({ path: 'in-two-steps', form: { opset: 13, nodes: [one, { ...two, in: ['a'] }] } })
    if (x.dtype.startsWith('float'))
      paths.push({ path: 'through-neg', form: { opset: 13, nodes: [one, node('Neg', 'a', 'n'), node('Neg', 'n', 'b'), two] } })
    const there = [
      node('Transpose', 'x0', 'a', { perm }),
      node('Transpose', 'a', 'b', { perm: inverse(perm) }),
      node('Transpose', 'b', 'y0', { perm }),
    ]
    paths.push({ path: 'there-and-back', form: { opset: 13, nodes: there } })
    const sum = [node('Transpose', 'x0', 'a', { perm }), node('Concat', ['a', 'a'], 'd', { axis: 0 }), node('Split', 'd', ['y0', 'e'], { axis: 0 })]
    paths.push({ path: 'before-concat', form: { opset: 13, nodes: sum } })
  }
  return paths
}

function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  const x = c.inputs[0]!
  const rank = x.shape.length
  const perm = permOf(c.attributes, rank)
  const paths: h.Lowering<h.TfjsForm>[] = []
  const push = (path: string, call: (tf: any, t: any) => any) => paths.push({ path, form: h.plainly((tf, [t]) => call(tf, t)) })
  push('transpose', (tf, t) => tf.transpose(t, perm))
  if (c.valid === false) return paths
  push('method', (_, t) => t.transpose(perm))
  if (perm.every((p, i) => p === rank - 1 - i)) push('defaults', (tf, t) => tf.transpose(t))
  if (rank > 1 && perm[0] === 0 && x.dtype !== 'bool') push('layers-permute', (tf, t) => tf.layers.permute({ dims: perm.slice(1) }).apply(t))
  if (rank > 1) {
    const first = [...range(rank - 1, 1), 0]
    push('in-two-steps', (tf, t) =>
      tf.transpose(
        tf.transpose(t, first),
        perm.map(p => first.indexOf(p)),
      ),
    )
    const letters = range(rank).map(i => 'ijklmn'[i]!)
    if (x.dtype === 'float32' && rank < 5) push('einsum', (tf, t) => tf.einsum(`${letters.join('')}->${perm.map(p => letters[p]).join('')}`, t))
    if (perm.some((p, i) => perm[p] !== i))
      paths.push({
        path: 'inverse',
        naive: 'perm names the input axis of every output axis, not where each input axis goes',
        form: h.plainly((tf, [t]) => tf.transpose(t, inverse(perm))),
      })
  }
  return paths
}

export default h.defineOp<A>({
  name: 'transpose',
  spec: ['https://onnx.ai/onnx/operators/onnx__Transpose.html', 'https://js.tensorflow.org/api/latest/#transpose'],
  valid,
  invalid,
  operators: ['Transpose'],
  fromOnnx: n => ({ attributes: given({ perm: n.attributes['perm'] }), inputs: n.inputs }),
  expect: (a, [x]) => expect(a, x!),
  onnx,
  tfjs,
})
