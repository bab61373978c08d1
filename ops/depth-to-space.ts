/**
 * [N, C·b², H, W] → [N, C, H·b, W·b]: channel blocks become pixels. DCR: channel (i·b + j)·C + c goes to row offset i, column offset j of channel c;
 * CRD (PyTorch's PixelShuffle): channel c·b² + i·b + j. (ONNX DepthToSpace-13) TF.js's depthToSpace is DCR in NHWC.
 */
import { crossed, given, int64, moved, moveFields, node, range, say, typeOf } from '../harness/moves.ts'
import * as h from '../harness/op.ts'

type A = { blocksize: number; mode: string }

// ── Cases ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const CHANNELS = [1, 1, 2, 3, 4, 5, 8, 16] as const
const SIDES = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33] as const
const fields = {
  own: moveFields.own,
  type: moveFields.type,
  batch: h.int(1, 3),
  channels: h.int(0, CHANNELS.length - 1),
  sides: h.ints(2, 0, SIDES.length - 1),
  block: h.int(0, 4), // 2, 3, 4, 1, 5
  mode: h.int(0, 1),
  x: h.data(),
}
const valid = h.generator(fields, raw => {
  const b = [2, 3, 4, 1, 5][raw.block]!
  const batch = raw.batch
  const height = SIDES[raw.sides[0]!]!
  const width = Math.min(SIDES[raw.sides[1]!]!, Math.max(1, Math.floor(2000 / (height * b * b * batch))))
  const channels = Math.max(1, Math.min(CHANNELS[raw.channels]!, Math.floor(3000 / (batch * height * width * b * b))))
  return h.drawn<A>(
    { blocksize: b, mode: raw.mode ? 'CRD' : 'DCR' },
    h.fill(fields.x, raw.x, [batch, channels * b * b, height, width], raw.own === 4 ? typeOf({ own: 4, type: raw.type }) : 'float32'),
  )
})
const WRONG = ['channels', 'zero', 'negative', 'rank', 'one-tfjs', 'mode'] as const
const spoilt = { wrong: h.int(0, WRONG.length - 1), side: h.int(1, 5), extra: h.int(1, 3), x: h.data('integers', 'normal') }
const invalid = h.generator(spoilt, raw => {
  const wrong = WRONG[raw.wrong]!
  const block = wrong === 'zero' ? 0 : wrong === 'negative' ? -2 : wrong === 'one-tfjs' ? 1 : 2
  const shape = wrong === 'rank' ? [4, raw.side, raw.side] : [1, wrong === 'channels' ? 4 + raw.extra : 4, raw.side, raw.side + 1]
  return h.drawn<A>({ blocksize: block, mode: wrong === 'mode' ? 'RDC' : 'DCR' }, h.fill(spoilt.x, raw.x, shape))
})

// ── Reference ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** The block's axes and the channel axis within the channels of the input: [b, b, C] or [C, b, b]. */
const split = ({ blocksize: b, mode }: A, [n, c, height, width]: readonly number[]) => {
  const left = Math.floor(c! / (b * b))
  return mode === 'CRD'
    ? { shape: [n!, left, b, b, height!, width!], perm: [0, 1, 4, 2, 5, 3] }
    : { shape: [n!, b, b, left, height!, width!], perm: [0, 3, 4, 1, 5, 2] }
}
const joined = ({ blocksize: b }: A, [n, c, height, width]: readonly number[]) => [n!, c! / (b * b), height! * b, width! * b]
function expect(a: A, x: h.Real): h.Expected[] {
  const { shape, perm } = split(a, x.shape)
  const at = h.permute(
    {
      dtype: 'int32',
      shape,
      data: crossed(
        shape,
        shape.map(n => range(n)),
      ),
    },
    perm,
  )
  return [moved(x, joined(a, x.shape), at.data as Int32Array)]
}

// ── Lowerings ───────────────────────────────────────────────────────────────────────────────────────────────────────

function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const { attributes: a } = c
  const x = c.inputs[0]!
  const d2s = { op: 'DepthToSpace', attributes: { ...a } as h.Attributes }
  if (c.valid === false) return a.blocksize === 1 ? [{ declined: 'a block of 1 is allowed in ONNX' }] : [say('node', { ...d2s, opset: 13 })]
  const paths = [13, 11, 21].map((opset, i) => say(i ? `opset-${opset}` : 'node', { ...d2s, opset }))
  const plain = { op: 'DepthToSpace', attributes: { blocksize: a.blocksize } }
  if (a.mode === 'DCR') paths.push(say('defaults', { ...plain, opset: 13 }), say('opset-1', { ...plain, opset: 9 }))
  const { shape, perm } = split(a, x.shape)
  const constants = { six: int64(shape), four: int64(joined(a, x.shape)) }
  const nodes = [node('Reshape', ['x0', 'six'], 'r'), node('Transpose', 'r', 't', { perm }), node('Reshape', ['t', 'four'], 'y0')]
  paths.push({ path: 'reshape-transpose', form: { opset: 13, constants, nodes } })
  if (x.dtype === 'float32') {
    const channels = x.shape[1]!
    const w = h.tensor('float32', [channels, 1, 1, 1], new Array(channels).fill(1))
    const conv = node('Conv', ['x0', 'w'], 'v', { group: channels })
    paths.push({ path: 'behind-conv', form: { opset: 13, constants: { w }, nodes: [conv, node('DepthToSpace', 'v', 'y0', { ...a })] } })
  }
  const order = { perm: [0, 2, 3, 1] }
  const turns = [node('Transpose', 'x0', 't', { perm: [0, 3, 1, 2] }), node('DepthToSpace', 't', 'd', { ...a }), node('Transpose', 'd', 'y0', order)]
  const finish = ([y]: readonly h.Tensor[]) => [h.permute(y!, h.toSecond(4))]
  paths.push({ path: 'between-transposes', form: { opset: 13, nodes: turns, prepare: t => [h.permute(t[0]!, order.perm)], finish } })
  return paths
}

const LAYOUTS = ['NHWC', 'NCHW'] as const
function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  const { attributes: a } = c
  const { blocksize: b } = a
  const x = c.inputs[0]!
  if (c.valid === false) {
    if (a.mode === 'RDC') return [{ declined: 'TF.js has one order' }]
    return LAYOUTS.map(layout => ({
      path: `depth-to-space-${layout.toLowerCase()}`,
      form: {
        prepare: t => [layout === 'NHWC' && x.shape.length === 4 ? h.permute(t[0]!, h.toLast(4)) : t[0]!],
        call: (tf, [t]) => [tf.depthToSpace(t, b, layout)],
      },
    }))
  }
  const { shape, perm } = split(a, x.shape)
  const last = h.toLast(4)
  const paths: h.Lowering<h.TfjsForm>[] = []
  /** Channels in DCR order on the host. */
  const channels = (t: h.Tensor) => (a.mode === 'DCR' ? t : h.reshape(h.permute(h.reshape(t, shape), [0, 2, 3, 1, 4, 5]), x.shape))
  const finish = ([y]: readonly h.Tensor[]) => [h.permute(y!, h.toSecond(4))]
  if (b > 1 && x.dtype === 'float32') {
    const form = (name: string, args: readonly string[]): h.Lowering<h.TfjsForm> => ({
      path: name,
      form: { prepare: t => [h.permute(channels(t[0]!), last)], call: (tf, [t]) => [tf.depthToSpace(t, b, ...args)], finish },
    })
    paths.push(form('depth-to-space-nhwc', ['NHWC']), form('depth-to-space-defaults', []))
    paths.push({ path: 'depth-to-space-nchw', form: { prepare: t => [channels(t[0]!)], call: (tf, [t]) => [tf.depthToSpace(t, b, 'NCHW')] } })
    if (a.mode === 'CRD' && x.shape[1]! > b * b)
      paths.push({
        path: 'depth-to-space-unchanged',
        naive: 'tf.depthToSpace is DCR: PixelShuffle (CRD) keeps the channels of one output channel together',
        form: { prepare: t => [h.permute(t[0]!, last)], call: (tf, [t]) => [tf.depthToSpace(t, b)], finish },
      })
  }
  paths.push({ path: 'reshape-transpose', form: h.plainly((tf, [t]) => tf.reshape(tf.transpose(tf.reshape(t, shape), perm), joined(a, x.shape))) })
  paths.push({
    path: 'batch-to-space', // batches in the order of offsets: [b, b, N, H, W, C]
    form: {
      prepare: t => [
        h.reshape(h.permute(h.reshape(channels(t[0]!), split({ ...a, mode: 'DCR' }, x.shape).shape), [1, 2, 0, 4, 5, 3]), [
          b * b * x.shape[0]!,
          x.shape[2]!,
          x.shape[3]!,
          x.shape[1]! / (b * b),
        ]),
      ],
      call: (tf, [t]) => [
        tf.batchToSpaceND(
          t,
          [b, b],
          [
            [0, 0],
            [0, 0],
          ],
        ),
      ],
      finish,
    },
  })
  return paths
}

export default h.defineOp<A>({
  name: 'depth-to-space',
  spec: ['https://onnx.ai/onnx/operators/onnx__DepthToSpace.html', 'https://js.tensorflow.org/api/latest/#depthToSpace'],
  valid,
  invalid,
  operators: ['DepthToSpace'],
  fromOnnx: n => ({
    attributes: given({ blocksize: Number(n.attributes['blocksize']), mode: String(n.attributes['mode'] ?? 'DCR') }),
    inputs: n.inputs,
  }),
  expect: (a, [x]) => expect(a, x!),
  onnx,
  tfjs,
})
