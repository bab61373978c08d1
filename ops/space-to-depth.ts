/** [N, C, H·b, W·b] → [N, b²·C, H, W]: the pixel at offset (i, j) of each block goes to channel (i·b + j)·C + c. (ONNX SpaceToDepth-13: the inverse of DepthToSpace in DCR order; 28 also knows CRD: channel c·b² + i·b + j) */
import { crossed, given, int64, moved, moveFields, node, range, say, typeOf } from '../harness/moves.ts'
import * as h from '../harness/op.ts'

/** `mode`: since opset 28; DCR before. */
type A = { blocksize: number; mode?: string }

const CHANNELS = [1, 2, 3, 4, 5, 8, 16, 17] as const
const SIDES = [1, 2, 3, 4, 5, 7, 8, 9, 16, 17] as const
const fields = {
  own: moveFields.own,
  type: moveFields.type,
  batch: h.int(1, 3),
  channels: h.int(0, CHANNELS.length - 1),
  sides: h.ints(2, 0, SIDES.length - 1),
  block: h.int(0, 4), // 2, 3, 4, 1, 5
  crd: h.int(0, 7), // 7: CRD
  x: h.data(),
}
const valid = h.generator(fields, raw => {
  const b = [2, 3, 4, 1, 5][raw.block]!
  const height = SIDES[raw.sides[0]!]!
  const width = Math.min(SIDES[raw.sides[1]!]!, Math.max(1, Math.floor(2000 / (height * b * b * raw.batch))))
  const channels = Math.max(1, Math.min(CHANNELS[raw.channels]!, Math.floor(3000 / (raw.batch * height * width * b * b))))
  return h.drawn<A>(
    { blocksize: b, ...(raw.crd === 7 ? { mode: 'CRD' } : {}) },
    h.fill(fields.x, raw.x, [raw.batch, channels, height * b, width * b], raw.own === 4 ? typeOf({ own: 4, type: raw.type }) : 'float32'),
  )
})
const WRONG = ['height', 'width', 'zero', 'negative', 'rank'] as const
const spoilt = { wrong: h.int(0, WRONG.length - 1), side: h.int(1, 4), x: h.data('integers', 'normal') }
const invalid = h.generator(spoilt, raw => {
  const wrong = WRONG[raw.wrong]!
  const shape = [1, 2, 2 * raw.side + (wrong === 'height' ? 1 : 0), 2 * raw.side + (wrong === 'width' ? 1 : 0)]
  return h.drawn<A>(
    { blocksize: wrong === 'zero' ? 0 : wrong === 'negative' ? -2 : 2 },
    h.fill(spoilt.x, raw.x, wrong === 'rank' ? shape.slice(1) : shape),
  )
})

const permOf = (a: A) => (a.mode === 'CRD' ? [0, 1, 3, 5, 2, 4] : [0, 3, 5, 1, 2, 4])
const split = (b: number, [n, c, height, width]: readonly number[]) => [n!, c!, height! / b, b, width! / b, b]
const joined = (b: number, [n, c, height, width]: readonly number[]) => [n!, c! * b * b, height! / b, width! / b]
function expect(a: A, x: h.Real): h.Expected[] {
  const b = a.blocksize
  const shape = split(b, x.shape)
  const at = h.permute(
    {
      dtype: 'int32',
      shape,
      data: crossed(
        shape,
        shape.map(n => range(n)),
      ),
    },
    permOf(a),
  )
  return [moved(x, joined(b, x.shape), at.data as Int32Array)]
}

function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const { blocksize: b } = c.attributes
  const x = c.inputs[0]!
  const attributes = { blocksize: b }
  const s2d = { op: 'SpaceToDepth', attributes }
  const paths: h.Lowering<h.OnnxForm>[] = [say('node', { ...s2d, opset: 13 })]
  if (c.valid === false) return paths
  const six = { opset: 13, constants: { six: int64(split(b, x.shape)), four: int64(joined(b, x.shape)) } }
  const perm = permOf(c.attributes)
  const moves = [node('Reshape', ['x0', 'six'], 'r'), node('Transpose', 'r', 't', { perm }), node('Reshape', ['t', 'four'], 'y0')]
  const composed = { path: 'reshape-transpose', form: { ...six, nodes: moves } }
  if (c.attributes.mode === 'CRD') return [composed]
  paths.push(say('opset-1', { ...s2d, opset: 9 }), say('opset-21', { ...s2d, opset: 21 }), composed)
  const back = [node('SpaceToDepth', 'x0', 's', attributes), node('DepthToSpace', 's', 'd', attributes), node('SpaceToDepth', 'd', 'y0', attributes)]
  paths.push({ path: 'there-and-back', form: { opset: 13, nodes: back } })
  return paths
}

function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  const { blocksize: b } = c.attributes
  const x = c.inputs[0]!
  const [n, channels, height, width] = x.shape as [number, number, number, number]
  const none = [
    [0, 0],
    [0, 0],
  ]
  const call = (tf: any, [t]: readonly any[]) => [tf.spaceToBatchND(t, [b, b], none)]
  if (c.valid === false && x.shape.length !== 4) return [{ declined: 'spaceToBatchND takes any rank' }]
  if (c.valid === false) return [{ path: 'space-to-batch', form: { prepare: t => [h.permute(t[0]!, h.toLast(4))], call } }]
  return [
    {
      path: 'reshape-transpose',
      form: h.plainly((tf, [t]) => tf.reshape(tf.transpose(tf.reshape(t, split(b, x.shape)), permOf(c.attributes)), joined(b, x.shape))),
    },
    {
      path: 'space-to-batch', // [b·b·N, H/b, W/b, C], offsets outermost
      form: {
        prepare: t => [h.permute(t[0]!, h.toLast(4))],
        call,
        finish: ([y]) => [
          h.reshape(
            h.permute(h.reshape(y!, [b * b, n, height / b, width / b, channels]), c.attributes.mode === 'CRD' ? [1, 4, 0, 2, 3] : [1, 0, 4, 2, 3]),
            joined(b, x.shape),
          ),
        ],
      },
    },
  ]
}

export default h.defineOp<A>({
  name: 'space-to-depth',
  spec: ['https://onnx.ai/onnx/operators/onnx__SpaceToDepth.html', 'https://js.tensorflow.org/api/latest/#spaceToBatchND'],
  valid,
  invalid,
  operators: ['SpaceToDepth'],
  fromOnnx: n => ({ attributes: given({ blocksize: Number(n.attributes['blocksize']), mode: n.attributes['mode'] }), inputs: n.inputs }),
  expect: (a, [x]) => expect(a, x!),
  onnx,
  tfjs,
})
