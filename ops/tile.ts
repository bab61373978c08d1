/** x repeated repeats[d] times along every axis d. (ONNX Tile-13) */
import { crossed, int64, moved, moveFields, node, numbersOf, range, say, shapeIn, turned, typeOf } from '../harness/moves.ts'
import * as h from '../harness/op.ts'

type A = { repeats: readonly number[] }

const fields = { ...moveFields, repeats: h.ints(6, 0, 5), none: h.int(0, 19), x: h.data() }
const valid = h.generator(fields, raw => {
  const shape = shapeIn(raw, { least: 1, most: 600, empty: true })
  let room = 3000 / Math.max(1, h.sizeOf(shape))
  const repeats = shape.map((_, d) => {
    const n = raw.none === 19 && d === 0 ? 0 : Math.max(1, Math.min([1, 2, 3, 1, 4, 7][raw.repeats[d]!]!, Math.floor(room)))
    room /= Math.max(1, n)
    return n
  })
  return h.drawn<A>({ repeats }, h.fill(fields.x, raw.x, shape, typeOf(raw)))
})
const WRONG = ['negative', 'few', 'many', 'fraction-tfjs'] as const
const spoilt = { ...moveFields, wrong: h.int(0, WRONG.length - 1), x: h.data('integers', 'normal') }
const invalid = h.generator(spoilt, raw => {
  const wrong = WRONG[raw.wrong]!
  const shape = shapeIn(raw, { least: 2, rank: 5, most: 200 })
  const ones = shape.map(() => 1)
  const repeats =
    wrong === 'negative' ? [-1, ...ones.slice(1)] : wrong === 'few' ? ones.slice(1) : wrong === 'many' ? [...ones, 2] : [1.5, ...ones.slice(1)]
  return h.drawn<A>({ repeats }, h.fill(spoilt.x, raw.x, shape))
})
function expect({ repeats }: A, x: h.Real): h.Expected[] {
  const at = x.shape.map((n, d) => range(n * repeats[d]!).map(i => i % n))
  return [
    moved(
      x,
      at.map(p => p.length),
      crossed(x.shape, at),
    ),
  ]
}

function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const { repeats } = c.attributes
  const { shape } = c.inputs[0]!
  const rank = shape.length
  if (repeats.some(r => !Number.isInteger(r))) return [{ declined: 'repeats are integers in ONNX' }]
  const core = { op: 'Tile', params: [int64(repeats)] }
  const paths: h.Lowering<h.OnnxForm>[] = [say('node', { ...core, opset: 13 })]
  if (c.valid === false) return paths
  paths.push(say('opset-6', { ...core, opset: 9 }), say('opset-21', { ...core, opset: 21 }), say('fed', { ...core, opset: 13, fed: true }))
  if (rank > 1) {
    const { perm, around } = turned(rank)
    paths.push(say('between-transposes', { ...core, params: [int64(perm.map(d => repeats[d]!))], opset: 13, around }))
  }
  const axis = repeats.findIndex(r => r > 1)
  if (axis >= 0 && repeats.every((r, d) => d === axis || r === 1))
    paths.push({
      path: 'concat',
      form: {
        opset: 13,
        nodes: [
          node(
            'Concat',
            range(repeats[axis]!).map(() => 'x0'),
            'y0',
            { axis },
          ),
        ],
      },
    })
  if (shape.every(n => n === 1)) paths.push(say('expand', { op: 'Expand', params: [int64(repeats)], opset: 13 }))
  return paths
}

function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  const { repeats } = c.attributes
  const { shape } = c.inputs[0]!
  const paths: h.Lowering<h.TfjsForm>[] = []
  const push = (path: string, call: (tf: any, t: any) => any) => paths.push({ path, form: h.plainly((tf, [t]) => call(tf, t)) })
  push('tile', (tf, t) => tf.tile(t, repeats))
  if (c.valid === false) return paths
  push('method', (_, t) => t.tile(repeats))
  push('concat', (tf, t) =>
    repeats.reduce(
      (u, r, d) =>
        r === 1
          ? u
          : r === 0
            ? tf.slice(
                u,
                u.shape.map(() => 0),
                u.shape.map((n: number, i: number) => (i === d ? 0 : n)),
              )
            : tf.concat(
                range(r).map(() => u),
                d,
              ),
      tf.clone(t),
    ),
  )
  if (shape.every(n => n === 1)) push('broadcast-to', (tf, t) => tf.broadcastTo(t, repeats))
  return paths
}

export default h.defineOp<A>({
  name: 'tile',
  spec: ['https://onnx.ai/onnx/operators/onnx__Tile.html', 'https://js.tensorflow.org/api/latest/#tile'],
  valid,
  invalid,
  operators: ['Tile'],
  fromOnnx(n) {
    const repeats = numbersOf(n, 'repeats', 1)
    return repeats ? { attributes: { repeats }, inputs: n.inputs } : { declined: 'repeats that only the run knows' }
  },
  expect: (a, [x]) => expect(a, x!),
  onnx,
  tfjs,
})
