/**
 * y[n, m, o] = b[m] + Σ over c, k of x[n, c, o·strides − pads + k·dilations] · w[m, c, k], c over the channels of m's group: cross-correlation, the kernel is not
 * flipped; positions off the image contribute nothing. x [N, C, spatial], w [M, C/group, kernel], b [M]. (ONNX Conv-11; 22 only adds bfloat16)
 */
import {
  type Case,
  type DType,
  data,
  defineOp,
  drawn,
  effective,
  FINITE,
  fill,
  flag,
  generator,
  int,
  type Lowering,
  type Machine,
  type OnnxForm,
  type OnnxNode,
  permute,
  type Real,
  reshape,
  roundTo,
  sizeOf,
  type Tensor,
  type TensorSpec,
  type TfjsForm,
  tame,
  tensor,
  toLast,
  toSecond,
  windowCounts,
  without,
  withoutDefaults,
  zeros,
} from '../harness/op.ts'
import {
  type Axis,
  autoName,
  axesOf,
  batchOf,
  CHANNELS,
  channelsOf,
  drawWindow,
  fastBound,
  imageFirst,
  imageLast,
  inGroups,
  layerOnce,
  lift,
  liftPads,
  padNode,
  padRows,
  padsOf,
  padWords,
  rankOf,
  stuffed,
  subnormals,
  type WindowAttributes,
  whyNotSame,
  windowFields,
} from '../harness/windows.ts'

type A = WindowAttributes & { group: number }

// ── Cases ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const fields = {
  own: int(0, 4), // 0 … 2: one call of TF.js can say it; 3, 4: all that ONNX has
  ...windowFields,
  channels: int(0, CHANNELS.length - 1),
  filters: int(0, CHANNELS.length - 1),
  grouping: int(0, 5), // 0 … 2: one group; 3, 4: depthwise; 5: several channels a group
  multiplier: int(1, 4), // depthwise: filters a channel
  groups: int(2, 4),
  bias: flag,
  half: int(0, 5), // 5: float16
  x: data(),
  w: data(...FINITE, 'nan', 'inf', 'subnormal'),
  b: data('integers', 'normal', 'large'),
}
const valid = generator(fields, raw => {
  const common = raw.own < 3
  const { window, sizes } = drawWindow(raw, true, () => 4)
  if (common && window.strides.some(s => s > 1)) window.dilations = window.dilations.map(() => 1)
  const dtype: DType = !common && raw.half === 5 ? 'float16' : 'float32'
  const grouping = raw.grouping < 3 ? 'one' : raw.grouping === 5 && !common ? 'several' : rankOf(raw.rank) === 3 && common ? 'one' : 'depthwise'
  const c = channelsOf(raw, raw.channels)
  const m = channelsOf(raw, raw.filters)
  const group = grouping === 'one' ? 1 : grouping === 'depthwise' ? c : raw.groups
  const [channels, filters] =
    grouping === 'several' ? [group * Math.min(c, 16), group * Math.min(m, 16)] : [c, grouping === 'one' ? m : c * raw.multiplier]
  // One class of special value a case, or nothing is learned: the image keeps ordinary numbers when the weights do not.
  const w = fill(fields.w, raw.w, [filters, channels / group, ...window.kernel_shape], dtype)
  const x = raw.w.kind < FINITE.length ? raw.x : { ...raw.x, kind: Math.min(raw.x.kind, FINITE.length - 1) }
  return drawn<A>(
    { ...window, group },
    fill(fields.x, x, [batchOf(raw.batch), channels, ...sizes], dtype),
    w,
    raw.bias ? fill(fields.b, raw.b, [filters], dtype) : null,
  )
})

/** A plain case with one thing that the text forbids, at one axis. */
const spoilt = { what: int(0, 13), rank: int(1, 3), axis: int(0, 2), by: int(0, 3), channels: int(1, 4), bias: flag, x: data('integers', 'normal') }
const invalid = generator(spoilt, raw => {
  const { what, rank, by } = raw
  const axis = Math.min(raw.axis, rank - 1)
  const at = (plain: number, bad: number) => Array.from({ length: rank }, (_, i) => (i === axis ? bad : plain))
  const all = (v: number) => new Array<number>(rank).fill(v)
  const a = { kernel_shape: all(2), strides: all(1), pads: [...all(0), ...all(0)], dilations: all(1), auto_pad: 'NOTSET', group: 1 }
  let [channels, depth, filters, bias] = [raw.channels, raw.channels, 2, raw.bias ? 2 : 0]
  let kernel = all(2)
  if (what === 0) kernel = a.kernel_shape = at(2, 7 + by) // two larger than the image, which is 5 wide: one larger gives an empty output, which the formula allows
  if (what === 1) a.dilations = at(1, 6 + by) // the same by dilation
  if (what === 2) a.strides = at(1, 0)
  if (what === 3) a.strides = at(1, -1 - by)
  if (what === 4) a.strides = at(1, 1.5)
  if (what === 5) a.dilations = at(1, 0)
  if (what === 6) a.pads = [...at(0, -1), ...all(0)]
  if (what === 7) a.pads = [...at(0, 0.5), ...all(0)]
  if (what === 8) depth += 1 + by
  if (what === 9) bias = 3 + by
  if (what === 10) kernel = at(2, 3 + by) // not what kernel_shape says
  if (what === 11) [a.group, channels, depth, filters] = [2, 4, 2, 3] // three filters in two groups
  if (what === 12) a.auto_pad = 'SAME'
  if (what === 13) [a.auto_pad, a.pads] = ['SAME_UPPER', [...all(1), ...all(1)]]
  return drawn<A>(
    a,
    fill(spoilt.x, raw.x, [1, channels, ...all(5)]),
    fill(spoilt.x, raw.x, [filters, depth, ...kernel]),
    bias ? fill(spoilt.x, raw.x, [bias]) : null,
  )
})

// ── Reference ───────────────────────────────────────────────────────────────────────────────────────────────────────

interface Sums {
  value: Float64Array
  magnitude: Float64Array
  terms: Float64Array
}
/** Taps of output o that lie on the image. */
const count = (axis: Axis, o: number): number => Math.max(0, axis.end[o]! - axis.first[o]!)
/** Σ x·w, Σ |x·w| and the number of products that are not zero, for every output; x [N, C, three axes], w [M, C/group, three axes]. */
function correlate(
  x: Float64Array,
  w: Float64Array,
  batch: number,
  depth: number,
  filters: number,
  group: number,
  axes: readonly [Axis, Axis, Axis],
): Sums {
  const [Z, Y, X] = axes
  const each = filters / group
  const size = batch * filters * Z.out * Y.out * X.out
  const sums: Sums = { value: new Float64Array(size), magnitude: new Float64Array(size), terms: new Float64Array(size) }
  const { value, magnitude, terms } = sums
  let line = 0 // first output of a row: all outputs that one weight reaches are worked off together
  for (let n = 0; n < batch; n++)
    for (let m = 0; m < filters; m++) {
      const channel = (n * group + Math.floor(m / each)) * depth
      for (let z = 0; z < Z.out; z++)
        for (let y = 0; y < Y.out; y++, line += X.out) {
          const onImage = depth * count(Z, z) * count(Y, y)
          for (let o = 0; o < X.out; o++) terms[line + o] = onImage * count(X, o)
          for (let c = 0; c < depth; c++)
            for (let kz = Z.first[z]!; kz < Z.end[z]!; kz++)
              for (let ky = Y.first[y]!; ky < Y.end[y]!; ky++) {
                const row = (((channel + c) * Z.size + Z.origin[z]! + kz * Z.dilation) * Y.size + Y.origin[y]! + ky * Y.dilation) * X.size
                const taps = (((m * depth + c) * Z.kernel + kz) * Y.kernel + ky) * X.kernel
                for (let k = 0; k < X.kernel; k++) {
                  const weight = w[taps + k]!
                  const to = line + X.to[k]!
                  let at = row + X.origin[0]! + X.from[k]! * X.stride + k * X.dilation
                  for (let i = line + X.from[k]!; i < to; i++, at += X.stride) {
                    const p = x[at]! * weight
                    value[i]! += p
                    magnitude[i]! += Math.abs(p)
                    if (p === 0) terms[i]! -= 1
                  }
                }
              }
        }
    }
  return sums
}
function expect(a: A, [x, w, b]: readonly (Real | null)[]) {
  if (!x || !w) throw new Error('conv needs x and w')
  const sizes = x.shape.slice(2)
  const pads = padsOf(a, sizes)
  const counts = windowCounts(sizes, { ...a, pads }).map(n => Math.max(0, n))
  const axes = axesOf(a, pads, sizes, counts)
  const [filters, depth] = w.shape as [number, number]
  const dot = (xs: Float64Array, ws: Float64Array) => correlate(xs, ws, x.shape[0]!, depth, filters, a.group, axes)
  const { value, magnitude, terms } = dot(x.data, w.data)
  const pixels = sizeOf(counts)
  if (b)
    for (let i = 0; i < value.length; i++) {
      const bias = b.data[Math.floor(i / pixels) % filters]!
      value[i]! += bias
      magnitude[i]! += Math.abs(bias)
      terms[i]! += 1
    }
  const [xs, ws] = [subnormals(x), subnormals(w)]
  const spill = xs || ws ? dot(xs?.small ?? zeros('float64', x.shape).data, w.data.map(Math.abs)).value : undefined
  if (spill && ws) {
    const more = dot(xs?.rest ?? x.data.map(Math.abs), ws.small).value
    for (let i = 0; i < more.length; i++) spill[i]! += more[i]!
  }
  const fast = [...a.strides, ...a.dilations].every(v => v === 1) ? fastBound(x, w, a.group, pixels) : undefined
  return [{ rule: 'dot' as const, dtype: x.dtype, shape: [x.shape[0]!, filters, ...counts], value, magnitude, terms, spill, fast }]
}

/** The same over a simulated machine: the products of each window, summed as the machine sums them. */
function simulate(a: A, [x, w, b]: readonly (Real | null)[], m: Machine): Real[] {
  const sizes = x!.shape.slice(2)
  const pads = padsOf(a, sizes)
  const counts = windowCounts(sizes, { ...a, pads }).map(n => Math.max(0, n))
  const axes = axesOf(a, pads, sizes, counts)
  const [Z, Y, X] = axes
  const [filters, depth] = w!.shape as [number, number]
  const read = x!.dtype === 'float32' ? m.read : (v: number) => v
  const [xs, ws] = [x!.data.map(read), w!.data.map(read)]
  const data = new Float64Array(sizeOf([x!.shape[0]!, filters, ...counts]))
  const [p, q]: [number[], number[]] = [[], []]
  for (let o = 0; o < data.length; o++) {
    const [ox, oy, oz] = [o % X.out, Math.floor(o / X.out) % Y.out, Math.floor(o / (X.out * Y.out)) % Z.out]
    const f = Math.floor(o / (X.out * Y.out * Z.out)) % filters
    const channel = (Math.floor(o / (X.out * Y.out * Z.out * filters)) * a.group + Math.floor((f * a.group) / filters)) * depth
    p.length = q.length = 0
    for (let c = 0; c < depth; c++)
      for (let kz = Z.first[oz]!; kz < Z.end[oz]!; kz++)
        for (let ky = Y.first[oy]!; ky < Y.end[oy]!; ky++)
          for (let kx = X.first[ox]!; kx < X.end[ox]!; kx++) {
            const at = ((channel + c) * Z.size + Z.origin[oz]! + kz * Z.dilation) * Y.size + Y.origin[oy]! + ky * Y.dilation
            p.push(xs[at * X.size + X.origin[ox]! + kx * X.dilation]!)
            q.push(ws[(((f * depth + c) * Z.kernel + kz) * Y.kernel + ky) * X.kernel + kx]!)
          }
    data[o] = roundTo(x!.dtype, m.dot(p, q, p.length, b ? b.data[f]! : 0))
  }
  return [{ dtype: x!.dtype, shape: [x!.shape[0]!, filters, ...counts], data }]
}

// ── ONNX ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const defaults = (rank: number): A => {
  const all = (n: number, v: number) => new Array<number>(n).fill(v)
  return { kernel_shape: [], strides: all(rank, 1), dilations: all(rank, 1), pads: all(2 * rank, 0), auto_pad: 'NOTSET', group: 1 }
}
/** Recipes whose values may be halved and doubled without rounding, products included. */
const roundNumbers = (s: TensorSpec | null) => !s || ['impulse', 'integers', 'ramp', 'constant'].includes(s.recipe.kind)
const scaled = (t: Tensor, by: number): Tensor => ({ ...t, data: (t.data as Float32Array).map(v => v * by) })

function onnx(c: Case<A>): Lowering<OnnxForm>[] {
  const { attributes: a } = c
  const [x, w, b] = c.inputs as [TensorSpec, TensorSpec, TensorSpec | null]
  if (![...a.strides, ...a.pads].every(Number.isInteger)) return [{ declined: 'ONNX attributes are integers' }]
  const rank = a.kernel_shape.length
  const names = b ? ['x0', 'x1', 'x2'] : ['x0', 'x1']
  // `pads` next to auto_pad is forbidden, so it is written only where it says something.
  const written = a.auto_pad === 'NOTSET' || a.pads.some(p => p !== 0) ? a : without(a, 'pads')
  const conv = (attributes: Partial<A>, input = names, out = 'y0'): OnnxNode => ({ op: 'Conv', in: input, out: [out], attributes: attributes as A })
  const alone = (path: string, opset: number, attributes: Partial<A>, initializers?: number[]) => ({
    path,
    form: { opset, nodes: [conv(attributes)], initializers },
  })
  const weights = b ? [1, 2] : [1]
  const paths: Lowering<OnnxForm>[] = [
    alone('node', 13, written),
    alone('constant-weights', 13, written, weights), // ORT: packed weights, NCHWc
    alone('conv-22', 22, written),
  ]
  if (c.valid === false) return paths
  paths.push(
    alone('conv-1', 10, written, weights),
    alone('defaults-left-out', 13, without(withoutDefaults(written, defaults(rank)), 'kernel_shape') as Partial<A>),
  )

  const sizes = x.shape.slice(2)
  const pads = padsOf(a, sizes)
  const explicit: A = { ...a, auto_pad: 'NOTSET', pads }
  if (a.auto_pad !== 'NOTSET') paths.push(alone('explicit-pads', 13, explicit, weights))
  else
    for (const auto_pad of ['SAME_UPPER', 'SAME_LOWER', 'VALID']) {
      const equal = padsOf({ ...a, auto_pad }, sizes).every((p, i) => p === pads[i])
      if (equal) paths.push(alone(autoName(auto_pad), 13, without({ ...a, auto_pad }, 'pads') as Partial<A>))
    }

  // Neighbours that ORT folds into the node (OPERATIONS: basic: Pad, Add, Mul; layout: Transpose).
  const begin = pads.map((p, i) => (i < rank ? p : 0))
  const end = pads.map((p, i) => (i < rank ? 0 : p))
  const behindPad = (path: string, moved: readonly number[], kept: readonly number[]) => {
    const { node, amounts } = padNode(moved)
    const nodes = [node, conv({ ...explicit, pads: kept }, ['padded', ...names.slice(1)])]
    return { path, form: { opset: 13, constants: { amounts }, initializers: weights, nodes } }
  }
  if (pads.some(p => p > 0)) paths.push(behindPad('pad-node', pads, defaults(rank).pads))
  if (begin.some(p => p > 0) && end.some(p => p > 0)) paths.push(behindPad('pad-node-begin', begin, end))
  if (b)
    paths.push({
      path: 'add-bias',
      form: {
        opset: 13,
        initializers: weights,
        prepare: t => [t[0]!, t[1]!, reshape(t[2]!, [b.shape[0]!, ...defaults(rank).strides])],
        nodes: [conv(explicit, ['x0', 'x1'], 'sum'), { op: 'Add', in: ['sum', 'x2'], out: ['y0'], attributes: {} }],
      },
    })
  if (x.dtype === 'float32' && [x, w, b].every(roundNumbers))
    paths.push({
      path: 'mul-after', // half the weights, twice the result: exact
      form: {
        opset: 13,
        initializers: weights,
        constants: { two: tensor('float32', [w.shape[0]!, ...defaults(rank).strides], new Array(w.shape[0]!).fill(2)) },
        prepare: t => t.map((v, i) => (v && i > 0 ? scaled(v, 0.5) : v)),
        nodes: [conv(explicit, names, 'half'), { op: 'Mul', in: ['half', 'two'], out: ['y0'], attributes: {} }],
      },
    })
  paths.push({
    path: 'between-transposes',
    form: {
      opset: 13,
      initializers: weights,
      prepare: t => t.map((v, i) => (v && i === 0 ? permute(v, toLast(rank + 2)) : v)),
      nodes: [
        { op: 'Transpose', in: ['x0'], out: ['first'], attributes: { perm: toSecond(rank + 2) } },
        conv(explicit, ['first', ...names.slice(1)], 'sum'),
        { op: 'Transpose', in: ['sum'], out: ['y0'], attributes: { perm: toLast(rank + 2) } },
      ],
      finish: ([y]) => [permute(y!, toSecond(rank + 2))],
    },
  })
  return paths
}

// ── TF.js ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Convolves x [N, spatial, C] with w [kernel, C, M]. */
type Call = (tf: any, x: any, w: any, b?: any) => any
interface Options {
  /** w is depthwise: [kernel, C, multiplier]. */
  each?: boolean
  /** A signal stays one: no axis of height 1. */
  flat?: boolean
  /** The call adds the bias itself. */
  biased?: boolean
  naive?: string
}

function tfjs(c: Case<A>): Lowering<TfjsForm>[] {
  const { attributes: a } = c
  const [x, w, b] = c.inputs as [TensorSpec, TensorSpec, TensorSpec | null]
  const invalid = c.valid === false
  const rank = a.kernel_shape.length
  const [filters, depth] = w.shape as [number, number]
  const channels = x.shape[1]!
  if (a.kernel_shape.some((k, i) => k !== w.shape[i + 2])) return [{ declined: 'TF.js takes the kernel size from the filter' }]
  if (invalid && a.auto_pad !== 'NOTSET' && a.pads.some(p => p !== 0)) return [{ declined: 'TF.js has one argument for padding' }]
  const depthwise = a.group === channels && depth === 1 && filters % channels === 0
  const split = a.group > 1 && !(depthwise && rank < 3)
  if (split && (filters % a.group || depth * a.group !== channels)) return [{ declined: 'TF.js has no groups, and unequal ones cannot be split' }]
  // TF.js takes no stride next to a dilation: the dilation becomes part of the kernel.
  const stuff = a.strides.some(s => s > 1) && a.dilations.some(d => d > 1)
  if (stuff && !tame(x)) return [{ declined: 'TF.js takes no stride next to a dilation, and zeros between the taps meet NaN or infinities' }]

  const pads = padsOf(a, x.shape.slice(2))
  const words = padWords(a, pads, x.shape.slice(2))
  const word = words.valid ? 'valid' : words.same ? 'same' : null
  const [strides, dilations] = [lift(a.strides, 1), lift(stuff ? a.dilations.map(() => 1) : a.dilations, 1)]
  const [rows, planes] = [padRows(liftPads(pads)), padRows(liftPads(pads), 'NCHW')]
  const filter = (t: Tensor, each: boolean, flat: boolean): Tensor => {
    const { dtype, data, shape } = stuff ? stuffed(t, a.dilations) : t
    const kernel = flat ? shape.slice(2) : lift(shape.slice(2), 1)
    const spatial = kernel.map((_, i) => i + 2)
    const front = each ? [channels, filters / channels] : [filters, depth]
    return permute({ dtype, data, shape: [...front, ...kernel] }, each ? [...spatial, 0, 1] : [...spatial, 1, 0])
  }

  const paths: Lowering<TfjsForm>[] = []
  const biased = (call: Call, own: boolean) => (tf: any, t: readonly any[]) =>
    own || !t[2] ? call(tf, t[0], t[1], t[2] ?? undefined) : tf.add(call(tf, t[0], t[1]), t[2])
  const say = (path: string, call: Call, o: Options = {}) => {
    const form = imageLast(rank + 2, !o.flat, biased(call, !!o.biased), (t, i) => (i === 1 ? filter(t, !!o.each, !!o.flat) : t))
    paths.push(o.naive ? { path, form, naive: o.naive } : { path, form })
  }
  const sayNchw = (path: string, call: Call, each = false, naive?: string) => {
    const others = (t: Tensor, i: number) => (i === 1 ? filter(t, each, false) : reshape(t, [t.shape[0]!, 1, 1]))
    const form = imageFirst(rank + 2, biased(call, false), others)
    paths.push(naive ? { path, form, naive } : { path, form })
  }
  const layer = (name: string, more: object): Call => {
    const kernelSize = a.kernel_shape.map((k, i) => (stuff ? effective(k, a.dilations[i]!) : k))
    const dilationRate = dilations.slice(-rank)
    const apply = layerOnce(name, { kernelSize, strides: a.strides, padding: word, dilationRate, useBias: !!b, ...more })
    return (tf, v, f, bias) => apply(tf, [v, f, bias])
  }

  if (rank === 3) {
    const conv3d =
      (pad: unknown): Call =>
      (tf, v, f) =>
        tf.conv3d(v, f, strides, pad, 'NDHWC', dilations)
    const padded = (tf: any, v: any) => (words.valid ? v : tf.pad(v, rows))
    if (split) say('split-conv3d-concat', (tf, v, f) => inGroups(tf, a.group, padded(tf, v), f, (p, q) => conv3d('valid')(tf, p, q)))
    else {
      if (word) say(`conv3d-${word}`, conv3d(word))
      if (!words.valid) say('pad-conv3d', (tf, v, f) => conv3d('valid')(tf, padded(tf, v), f))
      if (word && !invalid) say('layers-conv3d', layer('conv3d', { filters }), { biased: true })
    }
    return paths.length ? paths : [{ declined: 'no argument of tf.conv3d says this' }]
  }

  // A number is one pad for all four sides: not a signal's, whose height takes none.
  const forms: [string, unknown][] = [['explicit', a.auto_pad === 'SAME' ? 'SAME' : rows]]
  if (words.valid) forms.push(['valid', 'valid'])
  if (words.same && !invalid) forms.push(['same', 'same'])
  if (words.number !== null && (rank === 2 || words.number === 0)) forms.push(['number', words.number])
  const notSame = words.same ? null : whyNotSame(a, words.number)
  const conv2d =
    (pad: unknown, ...more: unknown[]): Call =>
    (tf, v, f) =>
      tf.conv2d(v, f, strides, pad, 'NHWC', dilations, ...more)

  if (split) {
    say('split-conv2d-concat', (tf, v, f) => inGroups(tf, a.group, v, f, (p, q) => conv2d(rows)(tf, p, q)))
    if (word) say('grouped-filter', conv2d(word))
    return paths
  }
  if (a.group === 1) {
    for (const [name, pad] of rank === 1 ? forms.slice(0, 1) : forms) say(`conv2d-${name}`, conv2d(pad))
    if (rank === 1)
      for (const [name, pad] of forms) say(`conv1d-${name}`, (tf, v, f) => tf.conv1d(v, f, a.strides[0], pad, 'NWC', dilations[1]), { flat: true })
    if (invalid) return paths
    const fused =
      (pad: unknown): Call =>
      (tf, v, filter, bias) =>
        tf.fused.conv2d({ x: v, filter, strides, pad, dilations, bias })
    say('conv2d-floor', conv2d(rows, 'floor'))
    if (new Set(strides).size === 1 && new Set(dilations).size === 1)
      say('conv2d-scalars', (tf, v, f) => tf.conv2d(v, f, strides[0], word ?? rows, 'NHWC', dilations[0]))
    if (!words.valid) say('pad-conv2d', (tf, v, f) => conv2d('valid')(tf, tf.pad(v, rows), f))
    sayNchw('conv2d-nchw', (tf, v, f) => tf.conv2d(v, f, strides, planes, 'NCHW', dilations))
    say('fused-conv2d-explicit', fused(rows), { biased: true })
    if (word) {
      say(`fused-conv2d-${word}`, fused(word), { biased: true })
      say(`layers-conv${rank}d`, layer(`conv${rank}d`, { filters }), { biased: true, flat: true })
    }
    if (rank === 1 && pads[0] === (a.kernel_shape[0]! - 1) * a.dilations[0]! && pads[1] === 0)
      say('layers-conv1d-causal', layer('conv1d', { filters, padding: 'causal' }), { biased: true, flat: true })
    if (notSame) say('conv2d-as-same', conv2d('same'), { naive: notSame })
  }
  if (depthwise && !invalid) {
    const dw =
      (pad: unknown): Call =>
      (tf, v, f) =>
        tf.depthwiseConv2d(v, f, strides, pad, 'NHWC', dilations)
    for (const [name, pad] of forms) say(`depthwise-${name}`, dw(pad), { each: true })
    const nchw = 'depthwiseConv2d takes the argument NCHW, but its text says that only NHWC is supported'
    sayNchw('depthwise-nchw', (tf, v, f) => tf.depthwiseConv2d(v, f, strides, planes, 'NCHW', dilations), true, nchw)
    if (word) {
      const fused: Call = (tf, v, filter, bias) => tf.fused.depthwiseConv2d({ x: v, filter, strides, pad: word, dilations, bias })
      say(`fused-depthwise-${word}`, fused, { each: true, biased: true })
      const pointwise = (tf: any) => tf.reshape(tf.eye(filters), [1, 1, filters, filters])
      if (tame(x) && tame(w)) say('separable', (tf, v, f) => tf.separableConv2d(v, f, pointwise(tf), strides, word, dilations), { each: true })
      if (rank === 2) say('layers-depthwise', layer('depthwiseConv2d', { depthMultiplier: filters / channels }), { each: true, biased: true })
    }
    if (notSame) say('depthwise-as-same', dw('same'), { each: true, naive: notSame })
  }
  return paths
}

export default defineOp<A>({
  name: 'conv',
  spec: [
    'https://onnx.ai/onnx/operators/onnx__Conv.html',
    'https://js.tensorflow.org/api/latest/#conv2d',
    'https://js.tensorflow.org/api/latest/#depthwiseConv2d',
  ],
  valid,
  invalid,
  operators: ['Conv'],
  fromOnnx({ attributes, inputs: [x, w, b] }) {
    if (!x || !w) return { declined: 'Conv without x or W' }
    const rank = x.shape.length - 2
    if (rank < 1 || rank > 3) return { declined: `Conv over ${rank} spatial axes` }
    const a = { ...defaults(rank), kernel_shape: w.shape.slice(2), ...attributes } as A
    return drawn<A>(a, x, w, b ?? null)
  },
  expect,
  simulate,
  onnx,
  tfjs,
})
