/**
 * Grey-scale dilation: y[n, c, o] = max over k of x[n, c, o·strides − pads + k·dilations] + w[c, k], over the positions on the image; padding takes no part.
 * x [N, C, H, W], w [C, kh, kw]. (TF.js dilation2d, TensorFlow tf.nn.dilation2d; attributes under ONNX's names. ONNX has no such operator: a composition.)
 * One addition rounds: |y − r| ≤ u·max |x + w| over the sums that may win, exact where the sums are (integers).
 */
import {
  type Arithmetic,
  type Case,
  type DType,
  data,
  defineOp,
  drawn,
  type Expected,
  eta,
  fill,
  generator,
  int,
  type Lowering,
  type Machine,
  type OnnxForm,
  type OnnxNode,
  open,
  permute,
  type Real,
  reshape,
  type Shape,
  type Tensor,
  type TfjsForm,
  tensor,
  toLast,
  toSecond,
  windowCounts,
} from '../harness/op.ts'
import { axesOf, batchOf, CHANNELS, channelsOf, drawWindow, int64, padNode, padsOf, type WindowAttributes, windowFields } from '../harness/windows.ts'

/** Only `auto_pad` says the padding: VALID or SAME_UPPER, TF.js's 'valid' and 'same'. */
type A = Pick<WindowAttributes, 'kernel_shape' | 'strides' | 'dilations' | 'auto_pad'>
const whole = (a: A): WindowAttributes => ({ ...a, pads: [0, 0, 0, 0] })

// ── Cases ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const { rank: _, begin: __, end: ___, auto: ____, ...images } = windowFields
const fields = {
  ...images,
  same: int(0, 1),
  channels: int(0, CHANNELS.length - 1),
  type: int(0, 3), // 3: int32
  x: data(),
  w: data('integers', 'impulse', 'normal', 'negative', 'small', 'large', 'ramp'),
}
const valid = generator(fields, raw => {
  const { window, sizes } = drawWindow({ ...raw, rank: 1, begin: [0, 0, 0], end: [0, 0, 0], auto: raw.same ? 4 : 3 }, true, () => 0)
  const { kernel_shape, strides, dilations, auto_pad } = window
  const channels = channelsOf({ ...raw, rank: 1 }, raw.channels)
  const dtype: DType = raw.type === 3 ? 'int32' : 'float32'
  return drawn<A>(
    { kernel_shape, strides, dilations, auto_pad },
    fill(fields.x, raw.x, [batchOf(raw.batch), channels, ...sizes], dtype),
    fill(fields.w, raw.w, [channels, ...kernel_shape], dtype),
  )
})
const spoilt = { what: int(0, 6), axis: int(0, 1), by: int(0, 3), same: int(0, 1), size: int(1, 5), kernel: int(1, 3), x: data('integers', 'normal') }
const invalid = generator(spoilt, ({ what, axis, by, ...raw }) => {
  const at = (plain: number, bad: number) => [0, 1].map(i => (i === axis ? bad : plain))
  const { size, kernel } = raw
  const a = { kernel_shape: [kernel, kernel], strides: [1, 1], dilations: [1, 1], auto_pad: raw.same ? 'SAME_UPPER' : 'VALID' }
  if (what === 0) [a.kernel_shape, a.auto_pad] = [at(kernel, 7 + by), 'VALID'] // two larger than the image
  if (what === 1) a.strides = at(1, 0)
  if (what === 2) a.strides = at(1, -1 - by)
  if (what === 3) a.dilations = at(1, 0)
  if (what === 4) a.strides = at(1, 1.5)
  if (what === 5) a.auto_pad = 'SAME'
  const channels = what === 6 ? 3 + by : 2
  return drawn<A>(a, fill(spoilt.x, raw.x, [1, 2, 5, size]), fill(spoilt.x, raw.x, [channels, ...a.kernel_shape]))
})

// ── Reference ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** Calls `each(output, position in x, position in w)` for every kernel position on the image; returns the output's shape. */
function walk(a: A, shape: Shape, each: (i: number, at: number, tap: number) => void): Shape {
  const [batch, channels, ...sizes] = shape as [number, number, number, number]
  const pads = padsOf(whole(a), sizes)
  const counts = windowCounts(sizes, { ...whole(a), pads })
  const [, Y, X] = axesOf(whole(a), pads, sizes, counts)
  let i = 0
  for (let plane = 0; plane < batch * channels; plane++)
    for (let y = 0; y < Y.out; y++)
      for (let o = 0; o < X.out; o++, i++)
        for (let ky = Y.first[y]!; ky < Y.end[y]!; ky++)
          for (let kx = X.first[o]!; kx < X.end[o]!; kx++) {
            const at = (plane * Y.size + Y.origin[y]! + ky * Y.dilation) * X.size + X.origin[o]! + kx * X.dilation
            each(i, at, ((plane % channels) * Y.kernel + ky) * X.kernel + kx)
          }
  return [batch, channels, ...counts]
}
function expect(a: A, [x, w]: readonly (Real | null)[]): Expected[] {
  if (!x || !w) throw new Error('dilation2d needs x and a filter')
  const shape = walk(a, x.shape, () => {})
  const size = shape.reduce((p, n) => p * n, 1)
  const { dtype } = x
  const value = new Float64Array(size).fill(dtype === 'int32' ? -(2 ** 31) : -Infinity)
  const [nan, seen] = [new Uint8Array(size), new Uint8Array(size)]
  walk(a, x.shape, (i, at, tap) => {
    const sum = x.data[at]! + w.data[tap]!
    seen[i] = 1
    if (sum !== sum) nan[i] = 1
    else if (sum > value[i]!) value[i] = sum
  })
  const propagated = value.map((v, i) => (nan[i] ? NaN : v))
  const nothing = seen.map(v => 1 - v)
  const unclear = [
    ...open('the maximum of a window with NaN', nan, {
      'NaN is skipped': dtype === 'float32' ? value.map(Math.fround) : value,
      'NaN wins': propagated,
    }),
    ...open('the maximum of a window that lies in the padding', nothing, { 'the lowest number': value, zero: new Float64Array(size) }),
  ]
  if (dtype === 'int32') return [{ rule: 'exact', dtype, shape, value, open: unclear }]
  const whole = (most: number) => [x, w].every(t => t.data.every(v => !Number.isFinite(v) || (Number.isInteger(v) && Math.abs(v) <= most)))
  if (whole(2 ** 7)) return [{ rule: 'exact', dtype, shape, value, open: unclear }] // whatever the inputs are rounded to
  const integral = whole(2 ** 23)
  const allowed = (m: Arithmetic) =>
    value.map(v =>
      Math.abs(v) * (1 + m.u) >= 3.4028234663852886e38 ? NaN : integral ? 0 : m.u * Math.abs(v) + (m.flushesSubnormals ? 3 * eta(m) : 0),
    )
  return [{ rule: 'error', dtype, shape, value, allowed, because: 'one addition rounds: u·|x + w|', open: unclear }]
}
function simulate(a: A, [x, w]: readonly (Real | null)[], m: Machine): Real[] {
  const shape = walk(a, x!.shape, () => {})
  const data = new Float64Array(shape.reduce((p, n) => p * n, 1)).fill(-Infinity)
  const read = x!.dtype === 'float32' ? m.read : (v: number) => v
  walk(a, x!.shape, (i, at, tap) => {
    const sum = x!.dtype === 'float32' ? m.add(read(x!.data[at]!), read(w!.data[tap]!)) : x!.data[at]! + w!.data[tap]!
    if (sum > data[i]!) data[i] = sum
  })
  return [{ dtype: x!.dtype, shape, data }]
}

// ── Lowerings ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** The image with −Infinity around it, a slice for every tap, the filter added, Max of all: what a porter has to write. */
function onnx(c: Case<A>): Lowering<OnnxForm>[] {
  const { attributes: a } = c
  const x = c.inputs[0]!
  if (c.valid === false) return [{ declined: 'ONNX has no dilation that could refuse' }]
  const [kh, kw] = a.kernel_shape as [number, number]
  const [, channels, ...sizes] = x.shape as [number, number, number, number]
  const pads = padsOf(whole(a), sizes)
  const [oh, ow] = windowCounts(sizes, { ...whole(a), pads }) as [number, number]
  const { node, amounts } = padNode(pads)
  const lowest = tensor(x.dtype, [], [x.dtype === 'int32' ? -(2 ** 31) + 2 ** 20 : -Infinity])
  const constants: Record<string, Tensor> = { amounts, lowest, axes: int64([2, 3]), steps: int64(a.strides) }
  const nodes: OnnxNode[] = [{ ...node, in: [...node.in, 'lowest'] }]
  const sums: string[] = []
  for (let y = 0; y < kh; y++)
    for (let z = 0; z < kw; z++) {
      const [name, first] = [`${y}_${z}`, [y * a.dilations[0]!, z * a.dilations[1]!]]
      constants[`from_${name}`] = int64(first)
      constants[`to_${name}`] = int64([first[0]! + (oh - 1) * a.strides[0]! + 1, first[1]! + (ow - 1) * a.strides[1]! + 1])
      constants[`at_${name}`] = int64([y * kw + z])
      nodes.push({ op: 'Slice', in: ['padded', `from_${name}`, `to_${name}`, 'axes', 'steps'], out: [`x_${name}`], attributes: {} })
      nodes.push({ op: 'Gather', in: ['x1', `at_${name}`], out: [`w_${name}`], attributes: { axis: 1 } })
      nodes.push({ op: 'Add', in: [`x_${name}`, `w_${name}`], out: [`s_${name}`], attributes: {} })
      sums.push(`s_${name}`)
    }
  // The filter as [C, taps, 1], so that a tap is [C, 1, 1].
  const form: OnnxForm = { opset: 13, constants, prepare: t => [t[0]!, reshape(t[1]!, [channels, kh * kw, 1])], nodes }
  return [{ path: 'pad-slices-max', form: { ...form, nodes: [...nodes, { op: 'Max', in: sums, out: ['y0'], attributes: {} }] } }]
}

function tfjs(c: Case<A>): Lowering<TfjsForm>[] {
  const { attributes: a } = c
  const x = c.inputs[0]!
  const [strides, dilations] = [[...a.strides] as [number, number], [...a.dilations] as [number, number]]
  const word = a.auto_pad === 'VALID' ? 'valid' : a.auto_pad === 'SAME_UPPER' ? 'same' : a.auto_pad
  const paths: Lowering<TfjsForm>[] = []
  const say = (path: string, call: (tf: any, v: any, w: any) => any) =>
    paths.push({
      path,
      form: {
        prepare: t => [permute(t[0]!, toLast(4)), permute(t[1]!, [1, 2, 0])],
        call: (tf, [v, w]) => [call(tf, v, w)],
        finish: ([y]) => [permute(y!, toSecond(4))],
      },
    })
  say('dilation2d', (tf, v, w) => tf.dilation2d(v, w, strides, word, dilations, 'NHWC'))
  if (c.valid === false) return paths
  if (dilations.every(d => d === 1)) say('defaults-left-out', (tf, v, w) => tf.dilation2d(v, w, strides, word))
  if (strides[0] === strides[1] && dilations[0] === dilations[1]) say('scalars', (tf, v, w) => tf.dilation2d(v, w, strides[0], word, dilations[0]))
  if (x.shape[0] === 1)
    say('rank-3', (tf, v, w) => {
      const y = tf.dilation2d(v.reshape(v.shape.slice(1)), w, strides, word, dilations)
      return y.reshape([1, ...y.shape])
    })
  return paths
}

export default defineOp<A>({
  name: 'dilation2d',
  spec: ['https://js.tensorflow.org/api/latest/#dilation2d', 'https://www.tensorflow.org/api_docs/python/tf/nn/dilation2d'],
  valid,
  invalid,
  expect,
  simulate,
  onnx,
  tfjs,
})
