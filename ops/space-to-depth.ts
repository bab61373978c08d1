/** [N, C, H·b, W·b] → [N, b²·C, H, W]: the pixel at offset (i, j) of each block goes to channel (i·b + j)·C + c. (ONNX SpaceToDepth-13: the inverse of DepthToSpace in DCR order) */
import { crossed, int64, moved, moveFields, node, range, say, typeOf } from '../harness/moves.ts'
import * as h from '../harness/op.ts'

type A = { blocksize: number }

const CHANNELS = [1, 2, 3, 4, 5, 8, 16, 17] as const
const SIDES = [1, 2, 3, 4, 5, 7, 8, 9, 16, 17] as const
const fields = {
  own: moveFields.own,
  type: moveFields.type,
  batch: h.int(1, 3),
  channels: h.int(0, CHANNELS.length - 1),
  sides: h.ints(2, 0, SIDES.length - 1),
  block: h.int(0, 4), // 2, 3, 4, 1, 5
  x: h.data(),
}
const valid = h.generator(fields, raw => {
  const b = [2, 3, 4, 1, 5][raw.block]!
  const height = SIDES[raw.sides[0]!]!
  const width = Math.min(SIDES[raw.sides[1]!]!, Math.max(1, Math.floor(2000 / (height * b * b * raw.batch))))
  const channels = Math.max(1, Math.min(CHANNELS[raw.channels]!, Math.floor(3000 / (raw.batch * height * width * b * b))))
  return h.drawn<A>({ blocksize: b }, h.fill(fields.x, raw.x, [raw.batch, channels, height * b, width * b], typeOf(raw)))
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

const PERM = [0, 3, 5, 1, 2, 4]
const split = (b: number, [n, c, height, width]: readonly number[]) => [n!, c!, height! / b, b, width! / b, b]
const joined = (b: number, [n, c, height, width]: readonly number[]) => [n!, c! * b * b, height! / b, width! / b]
function expect({ blocksize: b }: A, x: h.Real): h.Expected[] {
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
    PERM,
  )
  return [moved(x, joined(b, x.shape), at.data as Int32Array)]
}

function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const { blocksize: b } = c.attributes
  const x = c.inputs[0]!
  const s2d = { op: 'SpaceToDepth', attributes: c.attributes }
  const paths = [say('node', { ...s2d, opset: 13 })]
  if (c.valid === false) return paths
  paths.push(say('opset-1', { ...s2d, opset: 9 }), say('opset-21', { ...s2d, opset: 21 }))
  const constants = { six: int64(split(b, x.shape)), four: int64(joined(b, x.shape)) }
  const nodes = [node('Reshape', ['x0', 'six'], 'r'), node('Transpose', 'r', 't', { perm: PERM }), node('Reshape', ['t', 'four'], 'y0')]
  paths.push({ path: 'reshape-transpose', form: { opset: 13, constants, nodes } })
  const back = [
    node('SpaceToDepth', 'x0', 's', c.attributes),
    node('DepthToSpace', 's', 'd', c.attributes),
    node('SpaceToDepth', 'd', 'y0', c.attributes),
  ]
  paths.push({ path: 'there-and-back', form: { opset: 13, nodes: back } })
  return paths
}

function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  const { blocksize: b } = c.attributes
  const x = c.inputs[0]!
  const [n, channels, height, width] = x.shape as [number, number, number, number]
  const none = [[0, 0], [0, 0]] // biome-ignore format: pairs
  const call = (tf: any, [t]: readonly any[]) => [tf.spaceToBatchND(t, [b, b], none)]
  if (c.valid === false)
    return [{ path: 'space-to-batch', form: { prepare: t => [x.shape.length === 4 ? h.permute(t[0]!, h.toLast(4)) : t[0]!], call } }]
  return [
    { path: 'reshape-transpose', form: h.plainly((tf, [t]) => tf.reshape(tf.transpose(tf.reshape(t, split(b, x.shape)), PERM), joined(b, x.shape))) },
    {
      path: 'space-to-batch', // [b·b·N, H/b, W/b, C], offsets outermost
      form: {
        prepare: t => [h.permute(t[0]!, h.toLast(4))],
        call,
        finish: ([y]) => [h.reshape(h.permute(h.reshape(y!, [b * b, n, height / b, width / b, channels]), [1, 0, 4, 2, 3]), joined(b, x.shape))],
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
  fromOnnx: n => ({ attributes: { blocksize: Number(n.attributes['blocksize']) }, inputs: n.inputs }),
  expect: (a, [x]) => expect(a, x!),
  onnx,
  tfjs,
})
