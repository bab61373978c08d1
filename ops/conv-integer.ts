/**
 * Convolution of x − x's zero point with w − w's zero point, int32 and exact; padding holds the zero point, so that it contributes nothing. x [N, C, spatial],
 * w [M, C/group, kernel], w's zero point one for all or one a filter. (ONNX ConvInteger-10) Case: x, w as int32, types and zero points as attributes (empty: left out).
 */
import * as h from '../harness/op.ts'
import { BYTES, integersOf, named, typed, widened, zeroOf, zeroPoint } from '../harness/quantised.ts'
import { batchOf, CHANNELS, channelsOf, drawWindow, padsOf, rankOf, type WindowAttributes, windowFields } from '../harness/windows.ts'
import conv from './conv.ts'
import { each, zerosOf } from './matmul-integer.ts'

export type ConvAttributes = WindowAttributes & { group: number }
type A = ConvAttributes & { x_type: string; w_type: string; x_zero_point: readonly number[]; w_zero_point: readonly number[] }

// ── Cases ───────────────────────────────────────────────────────────────────────────────────────────────────────────

export const convFields = {
  own: h.int(0, 4), // 0 … 2: one call of TF.js can say it; 4: zero points of filters
  ...windowFields,
  channels: h.int(0, CHANNELS.length - 1),
  filters: h.int(0, CHANNELS.length - 1),
  grouping: h.int(0, 4), // 0 … 2: one group; 3: depthwise; 4: two groups
  xkind: h.int(0, 3),
  wkind: h.int(0, 3),
  xzero: h.int(0, 3), // 0: left out; 1: zero; 2, 3: others
  wzero: h.int(0, 3),
  each: h.flag, // a zero point for every filter
  at: h.int(0, 0xffff),
}
type Raw = { [K in keyof typeof convFields]: (typeof convFields)[K] extends { kind: 'int' } ? number : number[] }
/** Geometry and integers; sums stay below 2²⁴ (at most 256 products of 255 · 255), and with them TF.js's float32 is exact. */
export function drawConv(raw: Raw, types: readonly [string, string]) {
  const common = raw.own < 3
  const { window, sizes } = drawWindow({ ...raw, rank: common ? Math.min(raw.rank, 3) : raw.rank }, true, () => 4)
  if ((common && window.strides.some(s => s > 1)) || window.auto_pad.startsWith('SAME')) window.dilations = window.dilations.map(() => 1)
  const taps = h.sizeOf(window.kernel_shape)
  const c = Math.max(1, Math.min(channelsOf(raw, raw.channels), Math.floor(256 / taps)))
  const m = channelsOf(raw, raw.filters)
  const several = raw.grouping === 4 && !common
  const group = several ? 2 : raw.grouping === 3 && rankOf(raw.rank) < 3 ? c : 1
  const [channels, filters] = several ? [2 * Math.min(c, 8), 2 * Math.min(m, 8)] : [c, group === 1 ? m : c * (1 + (m % 2))]
  return {
    attributes: { ...window, group },
    x: integersOf(types[0], [Math.max(1, batchOf(raw.batch)), channels, ...sizes], raw.xkind, raw.at),
    w: integersOf(types[1], [filters, channels / group, ...window.kernel_shape], raw.wkind, raw.at ^ 0x5555),
    filters,
  }
}
const valid = h.generator({ ...convFields, types: h.int(0, 3) }, raw => {
  const [x_type, w_type] = [BYTES[raw.types & 1]!, BYTES[raw.types >> 1]!]
  const { attributes, x, w, filters } = drawConv(raw, [x_type, w_type])
  const zeros = { x_zero_point: zerosOf(raw.xzero, x_type, 1), w_zero_point: zerosOf(raw.wzero, w_type, raw.own > 3 && raw.each ? filters : 1) }
  return h.drawn<A>({ ...attributes, x_type, w_type, ...zeros }, x, w)
})
const plainWindow = (kernel: number): ConvAttributes => ({
  kernel_shape: [kernel, kernel],
  strides: [1, 1],
  pads: [0, 0, 0, 0],
  dilations: [1, 1],
  auto_pad: 'NOTSET',
  group: 1,
})
export const spoiltConv = { which: h.int(0, 3), by: h.int(1, 3), channels: h.int(1, 4), at: h.int(0, 0xff) }
/** A kernel larger than the image, channels that do not match, a stride of 0, zero points of another number. */
export function drawSpoiltConv({ which, by, channels, at }: { which: number; by: number; channels: number; at: number }) {
  const attributes = plainWindow(which === 0 ? 6 + by : 2)
  if (which === 2) attributes.strides = [1, 0]
  const w = integersOf('uint8', [2, which === 1 ? channels + by : channels, ...attributes.kernel_shape], 0, at)
  return { attributes, x: integersOf('uint8', [1, channels, 5, 5], 0, at), w, zeros: which === 3 ? new Array<number>(2 + by).fill(1) : [] }
}
const invalid = h.generator(spoiltConv, raw => {
  const { attributes, x, w, zeros } = drawSpoiltConv(raw)
  return h.drawn<A>({ ...attributes, x_type: 'uint8', w_type: 'uint8', x_zero_point: [], w_zero_point: zeros }, x, w)
})

// ── Reference ───────────────────────────────────────────────────────────────────────────────────────────────────────

type Zeros = Pick<A, 'x_zero_point' | 'w_zero_point'>
export const convAttributes = ({ kernel_shape, strides, pads, dilations, auto_pad, group }: ConvAttributes): ConvAttributes => ({
  kernel_shape,
  strides,
  pads,
  dilations,
  auto_pad,
  group,
})
/** x and w without their zero points, as reals. */
function apart(z: Zeros, x: h.Real, w: h.Real): [h.Real, h.Real] {
  const zero = each(z.w_zero_point)
  const filter = w.data.length / w.shape[0]!
  return [
    { ...x, dtype: 'float32', data: x.data.map(v => v - (z.x_zero_point[0] ?? 0)) },
    { ...w, dtype: 'float32', data: w.data.map((v, i) => v - zero(Math.floor(i / filter))) },
  ]
}
/** Sums, sums of magnitudes, and numbers of products that are not zero. */
export function sums(a: ConvAttributes & Zeros, x: h.Real, w: h.Real) {
  const [e] = conv.expect(convAttributes(a), [...apart(a, x, w), null])
  if (e?.rule !== 'dot') throw new Error('conv gives sums of products')
  return e
}

// ── Lowerings ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** Attributes as they are written: all, or those that differ from the defaults. */
export function writtenConv(a: ConvAttributes): Record<'all' | 'short', h.Attributes> {
  const own = convAttributes(a)
  const all = a.auto_pad === 'NOTSET' || a.pads.some(p => p !== 0) ? own : h.without(own, 'pads')
  const { kernel_shape: _, ...plain } = plainWindow(1)
  const rank = a.kernel_shape.length
  const fitted = { ...plain, strides: new Array(rank).fill(1), dilations: new Array(rank).fill(1), pads: new Array(2 * rank).fill(0) }
  return { all, short: h.without(h.withoutDefaults(all, fitted), 'kernel_shape') }
}
function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const a = c.attributes
  const prepare = (t: readonly (h.Tensor | null)[]) => [typed(t[0]!, a.x_type), typed(t[1]!, a.w_type)]
  const [xz, wz] = [zeroPoint(a.x_zero_point, a.x_type), zeroPoint(a.w_zero_point, a.w_type)]
  const constants = { ...(xz ? { xz } : {}), ...(wz ? { wz } : {}) }
  const names = ['x0', 'x1', xz && 'xz', wz && 'wz']
  const { all, short } = writtenConv(a)
  const say = (path: string, attributes: h.Attributes, more: Partial<h.OnnxForm> = {}, given = names): h.Lowering<h.OnnxForm> => ({
    path,
    form: { opset: 13, prepare, constants, nodes: [named('ConvInteger', given, attributes)], ...more },
  })
  const paths = [say('node', all), say('constant-weights', all, { initializers: [1] })]
  if (c.valid === false) return paths
  paths.push(say('defaults-left-out', short), say('opset-10', all, { opset: 10, initializers: [1] }))
  if (a.auto_pad !== 'NOTSET') {
    const explicit = { ...convAttributes(a), auto_pad: 'NOTSET', pads: padsOf(a, c.inputs[0]!.shape.slice(2)) }
    paths.push(say('explicit-pads', explicit, { initializers: [1] }))
  }
  if ((xz || wz) && [...a.x_zero_point, ...a.w_zero_point].every(v => v === 0))
    paths.push(say('without-zero-points', all, { constants: {} }, ['x0', 'x1']))
  if (xz && wz) paths.push(say('fed-zero-points', all, { prepare: t => [...prepare(t), xz, wz], constants: {} }, ['x0', 'x1', 'x2', 'x3']))
  return paths
}

/** conv's own calls on x and w without their zero points, which the host takes away: exact in float32. `finish` gets the sums. */
export function asFloats(
  c: h.Case<ConvAttributes & Zeros>,
  back: (y: h.Tensor, inputs: readonly (h.Tensor | null)[]) => h.Tensor,
): h.Lowering<h.TfjsForm>[] {
  const a = c.attributes
  const [x, w] = c.inputs as [h.TensorSpec, h.TensorSpec]
  const floats = [x, w].map((s): h.TensorSpec => ({ ...s, dtype: 'float32' }))
  const inner = conv.tfjs({ ...c, attributes: convAttributes(a), inputs: [...floats, null] })
  // pads written out: what the other forms of arguments and layouts do is conv's to find
  const kept = inner.filter(l => !('naive' in l) && !('path' in l && /nchw|grouped|number|same|layers|fused|separable/.test(l.path)))
  return kept.map(l => {
    if (!('path' in l)) return l
    let given: readonly (h.Tensor | null)[] = []
    const form: h.TfjsForm = {
      ...l.form,
      prepare: t => {
        given = t
        const [p, q] = apart(a, h.real(t[0]!), h.real(t[1]!))
        const ready = [h.tensor('float32', p.shape, p.data), h.tensor('float32', q.shape, q.data), null]
        return l.form.prepare?.(ready) ?? ready
      },
      finish: outputs => (l.form.finish?.(outputs) ?? outputs).map(y => y && back(y, given)),
    }
    return { ...l, form }
  })
}
function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  const a = c.attributes
  if (c.valid === false) return [{ declined: 'TF.js has no such operation that could refuse' }]
  const paths = asFloats(c, y => h.tensor('int32', y.shape, h.numbers(y)))
  const pads = padsOf(a, c.inputs[0]!.shape.slice(2))
  if (
    c.valid === false ||
    a.kernel_shape.length !== 2 ||
    a.group !== 1 ||
    !a.x_zero_point[0] ||
    pads.every(p => p === 0) ||
    a.w_zero_point.length > 1
  )
    return paths
  if (a.strides.some(s => s > 1) && a.dilations.some(d => d > 1)) return paths
  const rows = [
    [0, 0],
    [pads[0]!, pads[2]!],
    [pads[1]!, pads[3]!],
    [0, 0],
  ]
  paths.push({
    path: 'zeros-around-x',
    naive: 'padding holds the zero point, not the integer 0',
    form: {
      prepare: t => [h.permute(t[0]!, h.toLast(4)), h.permute(t[1]!, [2, 3, 1, 0])],
      call: (tf, [v, w]) => {
        const padded = tf.sub(tf.pad(tf.cast(v, 'float32'), rows), a.x_zero_point[0])
        return [tf.cast(tf.conv2d(padded, tf.sub(tf.cast(w, 'float32'), a.w_zero_point[0] ?? 0), a.strides, 'valid', 'NHWC', a.dilations), 'int32')]
      },
      finish: ([y]) => [h.permute(y!, h.toSecond(4))],
    },
  })
  return paths
}

export default h.defineOp<A>({
  name: 'conv-integer',
  spec: ['https://onnx.ai/onnx/operators/onnx__ConvInteger.html', 'https://js.tensorflow.org/api/latest/#conv2d'],
  valid,
  invalid,
  operators: ['ConvInteger'],
  fromOnnx(n) {
    const [x, w] = n.inputs
    if (!x || !w || x.shape.length < 3 || x.shape.length > 5) return { declined: 'ConvInteger over other than one to three axes' }
    const rank = x.shape.length - 2
    const all = (count: number, v: number) => new Array<number>(count).fill(v)
    const plain = {
      kernel_shape: w.shape.slice(2),
      strides: all(rank, 1),
      pads: all(2 * rank, 0),
      dilations: all(rank, 1),
      auto_pad: 'NOTSET',
      group: 1,
    }
    const types = { x_type: x.dtype, w_type: w.dtype, x_zero_point: zeroOf(n, 2), w_zero_point: zeroOf(n, 3) }
    return h.drawn<A>({ ...plain, ...n.attributes, ...types } as A, widened(x), widened(w))
  },
  expect(a, [x, w]) {
    const { shape, value } = sums(a, x!, w!)
    return [{ rule: 'exact', dtype: 'int32', shape, value }]
  },
  onnx,
  tfjs,
})
