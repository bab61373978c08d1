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
  type OnnxForm,
  type OnnxNode,
  permute,
  type Real,
  realise,
  reshape,
  sizeOf,
  type Tensor,
  type TensorSpec,
  type TfjsForm,
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
  layerOnce,
  lift,
  liftPads,
  padNode,
  padRows,
  padsOf,
  padWords,
  rankOf,
  subnormals,
  type WindowAttributes,
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
        for (let y = 0; y < Y.out; y++, line += X.out)
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
                    if (p === 0) continue
                    value[i]! += p
                    magnitude[i]! += Math.abs(p)
                    terms[i]! += 1
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

// ── ONNX ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const defaults = (rank: number): A => {
  const all = (n: number, v: number) => new Array<number>(n).fill(v)
  return { kernel_shape: [], strides: all(rank, 1), dilations: all(rank, 1), pads: all(2 * rank, 0), auto_pad: 'NOTSET', group: 1 }
}
/** Recipes whose values may be halved and doubled without rounding, products included. */
const roundNumbers = (s: TensorSpec | null) => !s || ['impulse', 'integers', 'ramp', 'constant'].includes(s.recipe.kind)
/** No product of an element and 0 is anything but 0: no infinities, no NaN, and sums that stay far from both. */
const tame = (s: TensorSpec): boolean =>
  !(s.recipe.kind === 'special' || s.recipe.kind === 'values') || realise(s).data.every(v => Math.abs(Number(v)) < 1e30)
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

/** W [M, D, kernel] with zeros between the taps, so that the dilation is part of the kernel: TF.js takes no stride next to a dilation. */
function stuffed(w: Tensor, dilations: readonly number[]): Tensor {
  const kernel = w.shape.slice(2)
  const shape = [...w.shape.slice(0, 2), ...kernel.map((k, i) => (k - 1) * dilations[i]! + 1)]
  const out = new Float32Array(sizeOf(shape))
  const [from, to] = [[1, 1, ...kernel].slice(-3), [1, 1, ...shape.slice(2)].slice(-3)] as [number[], number[]]
  const step = [1, 1, ...dilations].slice(-3)
  for (let i = 0; i < w.data.length; i++) {
    const [p, z, y, x] = [
      Math.floor(i / (from[0]! * from[1]! * from[2]!)),
      Math.floor(i / (from[1]! * from[2]!)) % from[0]!,
      Math.floor(i / from[2]!) % from[1]!,
      i % from[2]!,
    ]
    out[((p * to[0]! + z * step[0]!) * to[1]! + y * step[1]!) * to[2]! + x * step[2]!] = w.data[i] as number
  }
  return { dtype: w.dtype, shape, data: out }
}

/** Groups as TF.js can write them: channels of x and filters of w (both last axes) in `group` parts, one convolution each, joined. */
function inGroups(tf: any, group: number, x: any, w: any, conv: (x: any, w: any) => any): any {
  const [xs, ws] = [tf.split(x, group, x.rank - 1), tf.split(w, group, w.rank - 1)]
  return tf.concat(
    xs.map((v: any, i: number) => conv(v, ws[i])),
    x.rank - 1,
  )
}
const both = 'TF.js refuses strides above 1 next to dilations above 1'

function tfjs(c: Case<A>): Lowering<TfjsForm>[] {
  const { attributes: a } = c
  const [x, w, b] = c.inputs as [TensorSpec, TensorSpec, TensorSpec | null]
  const invalid = c.valid === false
  const rank = a.kernel_shape.length
  const [filters, depth] = w.shape as [number, number]
  const channels = x.shape[1]!
  const sizes = x.shape.slice(2)
  if (a.kernel_shape.some((k, i) => k !== w.shape[i + 2])) return [{ declined: 'TF.js takes the kernel size from the filter' }]
  if (invalid && a.auto_pad !== 'NOTSET' && a.pads.some(p => p !== 0)) return [{ declined: 'TF.js has one argument for padding' }]
  const depthwise = a.group === channels && depth === 1 && filters % channels === 0
  const split = a.group > 1 && !(depthwise && rank < 3)
  if (split && (filters % a.group || depth * a.group !== channels))
    return [{ declined: 'TF.js has no groups: unequal ones cannot be written as split and concat' }]

  const pads = padsOf(a, sizes)
  const words = padWords(a, pads, sizes)
  const word = words.valid ? 'valid' : words.same ? 'same' : null
  const strided = a.strides.some(s => s > 1) && a.dilations.some(d => d > 1)
  if (strided && !tame(x)) return [{ declined: 'TF.js takes no stride next to a dilation, and zeros between the taps meet NaN or infinities' }]
  const dilations = strided ? a.dilations.map(() => 1) : [...a.dilations]
  // [kernel…, D, M] of the (lifted) filter; depthwise [kernel…, C, multiplier].
  const filter = (t: Tensor, lifted: boolean, each: boolean): Tensor => {
    const {
      shape: [m, d, ...kernel],
      ...rest
    } = strided ? stuffed(t, a.dilations) : t
    const shape = [...(each ? [channels, filters / channels] : [m!, d!]), ...(lifted ? lift(kernel, 1) : kernel)]
    const spatial = shape.slice(2).map((_, i) => i + 2)
    return permute({ ...rest, shape }, each ? [...spatial, 0, 1] : [...spatial, 1, 0])
  }
  const paths: Lowering<TfjsForm>[] = []
  const bias = (tf: any, y: any, t: readonly any[]) => (t[2] ? tf.add(y, t[2]) : y)
  type Options = { lifted?: boolean; each?: boolean; naive?: string }
  const last = (path: string, call: (tf: any, t: readonly any[]) => any, { lifted = false, each = false, naive }: Options = {}) => {
    const form = imageLast(rank + 2, lifted, call, (t, i) => (i === 1 ? filter(t, lifted, each) : t))
    paths.push(naive ? { path, form, naive } : { path, form })
  }
  const first = (path: string, call: (tf: any, t: readonly any[]) => any, each: boolean) => {
    const column = (t: Tensor) => reshape(t, [t.shape[0]!, 1, 1])
    const form = imageFirst(
      rank + 2,
      (tf, t) => bias(tf, call(tf, t), t),
      (t, i) => (i === 1 ? filter(t, true, each) : column(t)),
    )
    paths.push({ path, form })
  }
  const layer = (name: string, kernelSize: readonly number[], more: object) =>
    layerOnce(name, { kernelSize, strides: a.strides, padding: word, dilationRate: dilations, useBias: !!b, ...more })
  const extent = strided ? a.kernel_shape.map((k, i) => effective(k, a.dilations[i]!)) : [...a.kernel_shape]

  if (rank === 3) {
    const conv = (tf: any, v: any, f: any, pad: unknown) => tf.conv3d(v, f, a.strides, pad, 'NDHWC', dilations)
    const padded = (tf: any, v: any) => (words.valid ? v : tf.pad(v, padRows(pads)))
    if (split)
      last('split-conv3d-concat', (tf, t) =>
        bias(
          tf,
          inGroups(tf, a.group, padded(tf, t[0]), t[1], (v, f) => conv(tf, v, f, 'valid')),
          t,
        ),
      )
    else {
      if (word) last(`conv3d-${word}`, (tf, t) => bias(tf, conv(tf, t[0], t[1], word), t))
      if (!words.valid) last('pad-conv3d', (tf, t) => bias(tf, conv(tf, padded(tf, t[0]), t[1], 'valid'), t))
      if (word && !invalid) last('layers-conv3d', layer('conv3d', extent, { filters }))
    }
    return paths
  }

  const [strides, two] = [lift(a.strides, 1), lift(dilations, 1)]
  const rows = padRows(liftPads(pads))
  const image = { lifted: true }
  // 'number' is one pad for all four sides: not a signal's, whose height takes none.
  const forms: [string, unknown][] = [['explicit', a.auto_pad === 'SAME' ? 'SAME' : rows]]
  if (words.valid) forms.push(['valid', 'valid'])
  if (words.same && !invalid) forms.push(['same', 'same'])
  if (words.number !== null && (rank === 2 || words.number === 0)) forms.push(['number', words.number])
  const lower = !words.same && (a.auto_pad === 'SAME_LOWER' || (words.number !== null && a.strides.some(s => s > 1)))
  const notSame =
    a.auto_pad === 'SAME_LOWER' ? "'same' puts the odd pixel at the end" : "'same' pads an even image less than PyTorch's fixed padding does"

  if (split) {
    last(
      'split-conv2d-concat',
      (tf, t) =>
        bias(
          tf,
          inGroups(tf, a.group, t[0], t[1], (v, f) => tf.conv2d(v, f, strides, rows, 'NHWC', two)),
          t,
        ),
      image,
    )
    if (word)
      last('grouped-filter', (tf, t) => bias(tf, tf.conv2d(t[0], t[1], strides, word, 'NHWC', two), t), {
        ...image,
        naive: 'tf.conv2d has no groups',
      })
    return paths
  }
  if (a.group === 1) {
    const conv = (tf: any, t: readonly any[], pad: unknown, ...more: unknown[]) =>
      bias(tf, tf.conv2d(t[0], t[1], strides, pad, 'NHWC', two, ...more), t)
    for (const [name, pad] of rank === 1 ? forms.slice(0, 1) : forms) last(`conv2d-${name}`, (tf, t) => conv(tf, t, pad), image)
    if (rank === 1)
      for (const [name, pad] of forms) last(`conv1d-${name}`, (tf, t) => bias(tf, tf.conv1d(t[0], t[1], a.strides[0], pad, 'NWC', dilations[0]), t))
    if (invalid) return paths
    last('conv2d-floor', (tf, t) => conv(tf, t, rows, 'floor'), image)
    const scalars = new Set(strides).size === 1 && new Set(two).size === 1
    if (scalars) last('conv2d-scalars', (tf, t) => bias(tf, tf.conv2d(t[0], t[1], strides[0], word ?? rows, 'NHWC', two[0]), t), image)
    if (!words.valid) last('pad-conv2d', (tf, t) => bias(tf, tf.conv2d(tf.pad(t[0], rows), t[1], strides, 'valid', 'NHWC', two), t), image)
    const fused = (pad: unknown) => (tf: any, t: readonly any[]) =>
      tf.fused.conv2d({ x: t[0], filter: t[1], strides, pad, dilations: two, bias: t[2] ?? undefined })
    last('fused-conv2d-explicit', fused(rows), image)
    if (word) last(`fused-conv2d-${word}`, fused(word), image)
    if (word && rank === 2) last('layers-conv2d', layer('conv2d', extent, { filters }))
    if (word && rank === 1) last('layers-conv1d', layer('conv1d', extent, { filters }))
    if (rank === 1 && pads[0] === (a.kernel_shape[0]! - 1) * a.dilations[0]! && pads[1] === 0)
      last('layers-conv1d-causal', layer('conv1d', extent, { filters, padding: 'causal' }))
    first('conv2d-nchw', (tf, t) => tf.conv2d(t[0], t[1], strides, padRows(liftPads(pads), 'NCHW'), 'NCHW', two), false)
    if (lower) last('same', (tf, t) => conv(tf, t, 'same'), { ...image, naive: notSame })
    if (strided)
      last('strided-dilated', (tf, t) => bias(tf, tf.conv2d(t[0], t[1], strides, rows, 'NHWC', lift(a.dilations, 1)), t), { ...image, naive: both })
  }
  if (depthwise && !invalid) {
    const each = { lifted: true, each: true }
    const conv = (tf: any, t: readonly any[], pad: unknown) => bias(tf, tf.depthwiseConv2d(t[0], t[1], strides, pad, 'NHWC', two), t)
    for (const [name, pad] of forms) last(`depthwise-${name}`, (tf, t) => conv(tf, t, pad), each)
    first('depthwise-nchw', (tf, t) => tf.depthwiseConv2d(t[0], t[1], strides, padRows(liftPads(pads), 'NCHW'), 'NCHW', two), true)
    if (word) {
      last(
        `fused-depthwise-${word}`,
        (tf, t) => tf.fused.depthwiseConv2d({ x: t[0], filter: t[1], strides, pad: word, dilations: two, bias: t[2] ?? undefined }),
        each,
      )
      if (tame(x) && tame(w))
        last(
          'separable',
          (tf, t) => bias(tf, tf.separableConv2d(t[0], t[1], tf.reshape(tf.eye(filters), [1, 1, filters, filters]), strides, word, two), t),
          each,
        )
      if (rank === 2) last('layers-depthwise', layer('depthwiseConv2d', extent, { depthMultiplier: filters / channels }), { each: true })
    }
    if (lower) last('depthwise-same', (tf, t) => conv(tf, t, 'same'), { ...each, naive: notSame })
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
  onnx,
  tfjs,
})
