/**
 * y[n, m, i·strides + k·dilations − begin] += x[n, c, i] · w[c, m, k], plus b[m]: every input pixel lays down its kernel, c over the channels of m's group. What falls
 * outside the output is cut off, what nothing falls on is the bias. x [N, C, spatial], w [C, M/group, kernel], b [M]. (ONNX ConvTranspose-11; 22 only adds bfloat16)
 */
import {
  autoPads,
  type Case,
  type DType,
  data,
  defineOp,
  drawn,
  type Expected,
  effective,
  FINITE,
  fill,
  flag,
  generator,
  int,
  ints,
  type Lowering,
  type Machine,
  type OnnxForm,
  type OnnxNode,
  permute,
  type Real,
  reshape,
  type Shape,
  sizeOf,
  type Tensor,
  type TensorSpec,
  type TfjsForm,
  tame,
  without,
  withoutDefaults,
} from '../harness/op.ts'
import {
  autoName,
  batchOf,
  CHANNELS,
  channelsOf,
  drawWindow,
  fastBound,
  imageLast,
  inGroups,
  layerOnce,
  lift,
  liftPads,
  padNode,
  padRows,
  rankOf,
  SIZES,
  stuffed,
  subnormals,
  type WindowAttributes,
  windowFields,
} from '../harness/windows.ts'

/** `output_shape` is absent where the size follows from the pads. */
type A = WindowAttributes & { group: number; output_padding: readonly number[]; output_shape?: readonly number[] }

// ── Geometry ────────────────────────────────────────────────────────────────────────────────────────────────────────

interface Geometry {
  out: number[]
  /** Rows cut off before the first output; negative where zeros come first. */
  begin: number[]
  end: number[]
}
/** Extent of all that the input lays down, output_padding included. */
const extent = (a: A, sizes: Shape, i: number) =>
  a.strides[i]! * (sizes[i]! - 1) + a.output_padding[i]! + effective(a.kernel_shape[i]!, a.dilations[i]!)
/**
 * ConvTranspose-11: total = stride·(in − 1) + output_padding + eff − out; SAME_UPPER puts ⌊total/2⌋ first, "else" ⌈total/2⌉, also with NOTSET and output_shape.
 * SAME_*: out = in·stride. (Quotients as in C: toward zero.) That total is negative where the kernel is smaller than the stride, and the text does not say where the missing rows stand, or whether there
 * are any: `short` chooses.
 */
function geometry(a: A, sizes: Shape, short: 'split' | 'at the end' | 'left out' = 'split'): Geometry {
  const rank = sizes.length
  const [out, begin, end] = [new Array<number>(rank), new Array<number>(rank), new Array<number>(rank)]
  for (let i = 0; i < rank; i++) {
    const full = extent(a, sizes, i)
    const asked = a.output_shape?.[i] ?? (a.auto_pad.startsWith('SAME') ? sizes[i]! * a.strides[i]! : undefined)
    let total = asked === undefined ? 0 : full - asked
    if (total < 0 && short === 'left out') total = 0
    const less = Math.trunc(total / 2)
    begin[i] = asked === undefined ? (a.auto_pad === 'VALID' ? 0 : a.pads[i]!) : a.auto_pad === 'SAME_UPPER' ? less : total - less
    if (total < 0 && short === 'at the end') begin[i] = 0
    end[i] = asked === undefined ? (a.auto_pad === 'VALID' ? 0 : a.pads[i + rank]!) : total - begin[i]!
    out[i] = full - begin[i]! - end[i]!
  }
  return { out, begin, end }
}
const isShort = (g: Geometry) => g.begin.some((b, i) => b + g.end[i]! < 0)

// ── Cases ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const fields = {
  own: int(0, 5), // 0, 1: no dilations; 2, 3: no stride next to one: TF.js can say them; 4: both; 5: also output_padding that only a dilation allows
  ...windowFields,
  bare: int(0, 2), // 0: no pads
  more: ints(3, 0, 3), // output_padding
  shaped: int(0, 3), // 3: output_shape
  channels: int(0, CHANNELS.length - 1),
  filters: int(0, CHANNELS.length - 1),
  grouping: int(0, 4), // 0 … 2: one group; 3: one output a group; 4: several
  groups: int(2, 4),
  bias: flag,
  half: int(0, 5), // 5: float16
  x: data(),
  w: data(...FINITE, 'nan', 'inf', 'subnormal'),
  b: data('integers', 'normal', 'large'),
}
const valid = generator(fields, raw => {
  const common = raw.own < 4
  const rank = rankOf(raw.rank)
  const { window } = drawWindow(raw, true, () => (raw.bare ? 4 : 0))
  if (raw.own < 2 || (common && rank === 3)) window.dilations = window.dilations.map(() => 1)
  if (common && window.dilations.some(d => d > 1)) window.strides = window.strides.map(() => 1)
  const { strides, dilations } = window
  const wide = rank === 1 ? 17 : rank === 2 ? (raw.spread === 2 ? 9 : raw.spread === 1 ? 3 : 4) : 3
  const sizes = raw.size.slice(0, rank).map(index => 1 + Math.floor((index * wide) / SIZES.length))
  const most = strides.map((s, i) => (raw.own < 5 ? s : Math.max(s, dilations[i]!)) - 1)
  const output_padding = raw.more.slice(0, rank).map((p, i) => (window.auto_pad.startsWith('SAME') ? 0 : Math.min(p, most[i]!)))
  const a: A = { ...window, group: 1, output_padding }
  // Pads leave at least one row; output_shape asks for what pads of the same sum would leave.
  for (let i = 0; i < rank; i++) {
    const over = window.pads[i]! + window.pads[i + rank]! - extent(a, sizes, i) + 1
    if (over > 0) sizes[i]! += Math.ceil(over / strides[i]!)
  }
  if (raw.shaped === 3 && (window.auto_pad === 'NOTSET' || !common)) {
    a.output_shape = sizes.map((_, i) => extent(a, sizes, i) - Math.min(extent(a, sizes, i) - 1, raw.begin[i]! + raw.end[i]!))
    a.pads = window.pads.map(() => 0)
    if (a.auto_pad === 'VALID') a.auto_pad = 'NOTSET'
  }
  const dtype: DType = !common && raw.half === 5 ? 'float16' : 'float32'
  const c = channelsOf(raw, raw.channels)
  const m = channelsOf(raw, raw.filters)
  if (raw.grouping > 2) a.group = raw.groups
  // Some four thousand outputs are enough.
  const pixels = sizes.reduce((p, _, i) => p * extent(a, sizes, i), 1)
  const batch = pixels > 1000 ? Math.min(1, batchOf(raw.batch)) : batchOf(raw.batch)
  const filters = Math.max(1, Math.floor(4096 / (pixels * Math.max(1, batch) * a.group)))
  const [depth, each] = a.group === 1 ? [c, Math.min(m, filters)] : [Math.min(c, 8), raw.grouping === 3 ? 1 : Math.min(m, 8, filters)]
  const w = fill(fields.w, raw.w, [depth * a.group, each, ...a.kernel_shape], dtype)
  // One class of special value a case, or nothing is learned: the image keeps ordinary numbers when the weights do not.
  const x = raw.w.kind < FINITE.length ? raw.x : { ...raw.x, kind: Math.min(raw.x.kind, FINITE.length - 1) }
  return drawn<A>(
    a,
    fill(fields.x, x, [batch, depth * a.group, ...sizes], dtype),
    w,
    raw.bias ? fill(fields.b, raw.b, [each * a.group], dtype) : null,
  )
})

/** A plain case with one thing that the text forbids, at one axis. */
const spoilt = { what: int(0, 14), rank: int(1, 3), axis: int(0, 2), by: int(0, 3), channels: int(1, 4), bias: flag, x: data('integers', 'normal') }
const invalid = generator(spoilt, raw => {
  const { what, rank, by } = raw
  const axis = Math.min(raw.axis, rank - 1)
  const at = (plain: number, bad: number) => Array.from({ length: rank }, (_, i) => (i === axis ? bad : plain))
  const all = (v: number) => new Array<number>(rank).fill(v)
  const pads = [...all(0), ...all(0)]
  const a = { kernel_shape: all(3), strides: all(2), pads, dilations: all(1), auto_pad: 'NOTSET', group: 1, output_padding: all(0) }
  let [channels, depth, each, bias] = [raw.channels, raw.channels, 2, raw.bias ? 2 : 0]
  let kernel = all(3)
  if (what === 0) a.output_padding = at(0, 2 + by) // neither below the stride nor below the dilation
  if (what === 1) a.output_padding = at(0, -1 - by)
  if (what === 2) a.strides = at(2, 0)
  if (what === 3) a.strides = at(2, -1 - by)
  if (what === 4) a.strides = at(2, 1.5)
  if (what === 5) a.dilations = at(1, 0)
  if (what === 6) a.pads = [...at(0, -1), ...all(0)]
  if (what === 7) a.pads = [...at(0, 5), ...at(0, 5 + by)] // more than the 9 rows that three pixels lay down
  if (what === 8) depth += 1 + by
  if (what === 9) bias = 3 + by
  if (what === 10) kernel = at(3, 4 + by) // not what kernel_shape says
  if (what === 11) [a.group, channels, depth, bias] = [2, 3, 3, 0] // three channels in two groups
  if (what === 12) a.auto_pad = 'SAME'
  if (what === 13) [a.auto_pad, a.pads] = ['SAME_UPPER', [...all(1), ...all(1)]]
  if (what === 14) [a.group, each] = [0, 2]
  return drawn<A>(
    a,
    fill(spoilt.x, raw.x, [1, channels, ...all(3)]),
    fill(spoilt.x, raw.x, [depth, each, ...kernel]),
    bias ? fill(spoilt.x, raw.x, [bias]) : null,
  )
})

// ── Reference ───────────────────────────────────────────────────────────────────────────────────────────────────────

interface Sums {
  value: Float64Array
  magnitude: Float64Array
  terms: Float64Array
}
const three = <T>(v: readonly T[], still: T): [T, T, T] => [still, still, ...v].slice(-3) as [T, T, T]
/** For every tap of an axis the inputs from … to − 1 whose row for it lies on the output, and where the first one's does. */
function landing(a: A, g: Geometry, sizes: Shape, i: number) {
  const [s, d] = [a.strides[i]!, a.dilations[i]!]
  return Array.from({ length: a.kernel_shape[i]! }, (_, k) => {
    const shift = k * d - g.begin[i]!
    const from = Math.max(0, Math.ceil(-shift / s))
    const to = Math.min(sizes[i]!, Math.floor((g.out[i]! - 1 - shift) / s) + 1)
    return { from, to, at: from * s + shift }
  })
}
/** Σ x·w, Σ |x·w| and the number of products that are not zero, for every output. */
function scatter(a: A, g: Geometry, x: Real, ws: Float64Array, xs: Float64Array, each: number): Sums {
  const sizes = x.shape.slice(2)
  const [batch, channels] = x.shape as [number, number]
  const still = [{ from: 0, to: 1, at: 0 }]
  const [Z, Y, X] = three(
    sizes.map((_, i) => landing(a, g, sizes, i)),
    still,
  )
  const [, H, W] = three(sizes, 1)
  const [D] = three(sizes, 1)
  const [OD, OH, OW] = three(g.out, 1)
  const [sz, sy, sx] = three(a.strides, 1)
  const [filters, depth] = [each * a.group, channels / a.group]
  const size = batch * filters * OD * OH * OW
  const sums: Sums = { value: new Float64Array(size), magnitude: new Float64Array(size), terms: new Float64Array(size) }
  const { value, magnitude, terms } = sums
  for (let n = 0; n < batch; n++)
    for (let c = 0; c < channels; c++)
      for (let q = 0; q < each; q++) {
        const plane = (n * filters + Math.floor(c / depth) * each + q) * OD
        let tap = (c * each + q) * Z.length * Y.length * X.length
        for (const tz of Z)
          for (const ty of Y)
            for (const tx of X) {
              const weight = ws[tap++]!
              for (let z = tz.from; z < tz.to; z++)
                for (let y = ty.from; y < ty.to; y++) {
                  const row = (((n * channels + c) * D + z) * H + y) * W
                  let o = ((plane + tz.at + (z - tz.from) * sz) * OH + ty.at + (y - ty.from) * sy) * OW + tx.at
                  for (let i = tx.from; i < tx.to; i++, o += sx) {
                    const p = xs[row + i]! * weight
                    if (p === 0) continue
                    value[o]! += p
                    magnitude[o]! += Math.abs(p)
                    terms[o]! += 1
                  }
                }
            }
      }
  return sums
}
function sums(a: A, g: Geometry, x: Real, w: Real, b: Real | null): Expected {
  const each = w.shape[1]!
  const dot = (xs: Float64Array, ws: Float64Array) => scatter(a, g, x, ws, xs, each)
  const { value, magnitude, terms } = dot(x.data, w.data)
  const [pixels, filters] = [sizeOf(g.out), each * a.group]
  if (b)
    for (let i = 0; i < value.length; i++) {
      const bias = b.data[Math.floor(i / pixels) % filters]!
      value[i]! += bias
      magnitude[i]! += Math.abs(bias)
      terms[i]! += 1
    }
  const [xs, ws] = [subnormals(x), subnormals(w)]
  const spill = xs || ws ? dot(xs?.small ?? new Float64Array(x.data.length), w.data.map(Math.abs)).value : undefined
  if (spill && ws)
    dot(xs?.rest ?? x.data.map(Math.abs), ws.small).value.forEach((v, i) => {
      spill[i]! += v
    })
  // With stride 1 it is the convolution with the turned kernel: fast algorithms are possible.
  const turned = () => {
    const [per, taps] = [x.shape[1]! / a.group, sizeOf(a.kernel_shape)]
    const data = new Float64Array(w.data.length)
    for (let i = 0; i < data.length; i++) {
      const [c, q, k] = [Math.floor(i / (each * taps)), Math.floor(i / taps) % each, i % taps]
      data[((Math.floor(c / per) * each + q) * per + (c % per)) * taps + k] = w.data[i]!
    }
    return fastBound(x, { ...w, shape: [filters, per, ...a.kernel_shape], data }, a.group, pixels)
  }
  const fast = [...a.strides, ...a.dilations].every(v => v === 1) ? turned() : undefined
  return { rule: 'dot', dtype: x.dtype, shape: [x.shape[0]!, filters, ...g.out], value, magnitude, terms, spill, fast }
}
function expect(a: A, [x, w, b]: readonly (Real | null)[]): Expected[] {
  if (!x || !w) throw new Error('conv-transpose needs x and w')
  const sizes = x.shape.slice(2)
  const text = geometry(a, sizes)
  if (!isShort(text)) return [sums(a, text, x, w, b ?? null)]
  const named = (short: 'split' | 'at the end' | 'left out') => ({
    name: `rows that the kernel does not reach: ${short}`,
    expected: sums(a, geometry(a, sizes, short), x, w, b ?? null),
  })
  return [{ rule: 'either', options: [named('split'), named('at the end'), named('left out')] }]
}
/** The same sums output by output: the pairs that reach it, channel by channel, tap by tap. */
function simulate(a: A, [x, w, b]: readonly (Real | null)[], m: Machine): Real[] {
  const sizes = x!.shape.slice(2)
  const g = geometry(a, sizes)
  const [batch, channels] = x!.shape as [number, number]
  const [depth, each] = [channels / a.group, w!.shape[1]!]
  const filters = each * a.group
  const [D, H, W] = three(sizes, 1)
  const [OD, OH, OW] = three(g.out, 1)
  const [KD, KH, KW] = three(a.kernel_shape, 1)
  const reach = (axis: number, o: number, k: number): number => {
    const i = axis - 3 + sizes.length
    if (i < 0) return 0
    const from = (o + g.begin[i]! - k * a.dilations[i]!) / a.strides[i]!
    return Number.isInteger(from) && from >= 0 && from < sizes[i]! ? from : -1
  }
  // Half precision is read as it is: no hardware rounds it further before a product.
  const read = x!.dtype === 'float32' ? m.read : (v: number) => v
  const [xs, ws] = [x!.data.map(read), w!.data.map(read)]
  const data = new Float64Array(batch * filters * OD * OH * OW)
  const [p, q]: [number[], number[]] = [[], []]
  for (let o = 0; o < data.length; o++) {
    const [n, f] = [Math.floor(o / (filters * OD * OH * OW)), Math.floor(o / (OD * OH * OW)) % filters]
    const group = Math.floor(f / each)
    let count = 0
    for (let k = 0; k < KD * KH * KW; k++) {
      const z = reach(0, Math.floor(o / (OH * OW)) % OD, Math.floor(k / (KH * KW)))
      const y = reach(1, Math.floor(o / OW) % OH, Math.floor(k / KW) % KH)
      const i = reach(2, o % OW, k % KW)
      if (z < 0 || y < 0 || i < 0) continue
      for (let c = group * depth; c < (group + 1) * depth; c++, count++) {
        p[count] = xs[(((n * channels + c) * D + z) * H + y) * W + i]!
        q[count] = ws[(c * each + (f % each)) * KD * KH * KW + k]!
      }
    }
    data[o] = m.dot(p, q, count, b ? read(b.data[f]!) : 0)
  }
  return [{ dtype: x!.dtype, shape: [batch, filters, ...g.out], data }]
}

// ── ONNX ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const defaults = (rank: number): A => {
  const all = (n: number, v: number) => new Array<number>(n).fill(v)
  return {
    kernel_shape: [],
    strides: all(rank, 1),
    dilations: all(rank, 1),
    pads: all(2 * rank, 0),
    auto_pad: 'NOTSET',
    group: 1,
    output_padding: all(rank, 0),
  }
}
function onnx(c: Case<A>): Lowering<OnnxForm>[] {
  const { attributes: a } = c
  const [x, w, b] = c.inputs as [TensorSpec, TensorSpec, TensorSpec | null]
  if (!a.strides.every(Number.isInteger)) return [{ declined: 'ONNX attributes are integers' }]
  const rank = a.kernel_shape.length
  const names = b ? ['x0', 'x1', 'x2'] : ['x0', 'x1']
  // `pads` must not stand next to auto_pad, and is ignored next to output_shape.
  const written = (v: A) => ((v.auto_pad === 'NOTSET' && !v.output_shape) || v.pads.some(p => p !== 0) ? v : without(v, 'pads')) as A
  const node = (v: Partial<A>, input = names, out = 'y0'): OnnxNode => ({ op: 'ConvTranspose', in: input, out: [out], attributes: v as A })
  const weights = b ? [1, 2] : [1]
  const alone = (path: string, opset: number, v: A, initializers?: number[]) => ({ path, form: { opset, nodes: [node(written(v))], initializers } })
  const paths: Lowering<OnnxForm>[] = [alone('node', 13, a), alone('constant-weights', 13, a, weights), alone('conv-transpose-22', 22, a)]
  if (c.valid === false) return paths
  const bare = without(withoutDefaults(written(a), defaults(rank)), 'kernel_shape')
  paths.push({ path: 'defaults-left-out', form: { opset: 13, nodes: [node(bare)] } })
  const sizes = x.shape.slice(2)
  const g = geometry(a, sizes)
  const pads = [...g.begin, ...g.end]
  const total = g.begin.map((p, i) => p + g.end[i]!)
  const even = total.every(t => t % 2 === 0)
  // Definition 1 splits an odd total the other way round, and says another size for SAME_*.
  if (a.auto_pad === 'NOTSET' && (!a.output_shape || even)) paths.push(alone('conv-transpose-1', 10, a, weights))
  if (isShort(g)) return paths
  const explicit: A = { ...(without(a, 'output_shape') as A), auto_pad: 'NOTSET', pads }
  if (a.auto_pad !== 'NOTSET' || a.output_shape) paths.push(alone('explicit-pads', 13, explicit, weights))
  const same = (v: A) => {
    const h = geometry(v, sizes)
    return [...h.begin, ...h.end].every((p, i) => p === pads[i])
  }
  for (const auto_pad of ['NOTSET', 'SAME_UPPER', 'SAME_LOWER']) {
    const asked: A = { ...explicit, auto_pad, output_shape: g.out, pads: defaults(rank).pads }
    if (!a.output_shape && same(asked)) paths.push(alone(`output-shape-${autoName(auto_pad)}`, 13, asked))
  }
  if (!a.output_shape && a.auto_pad === 'NOTSET')
    for (const auto_pad of ['SAME_UPPER', 'SAME_LOWER', 'VALID']) {
      const named: A = { ...explicit, auto_pad, pads: defaults(rank).pads }
      if (a.output_padding.every(p => p === 0) && same(named)) paths.push(alone(autoName(auto_pad), 13, named))
    }
  if (b)
    paths.push({
      path: 'add-bias',
      form: {
        opset: 13,
        initializers: weights,
        prepare: t => [t[0]!, t[1]!, reshape(t[2]!, [b.shape[0]!, ...defaults(rank).strides])],
        nodes: [node(explicit, ['x0', 'x1'], 'sum'), { op: 'Add', in: ['sum', 'x2'], out: ['y0'], attributes: {} }],
      },
    })
  if (tame(w)) {
    // One row of zeros around the image lays down `stride` rows more on every side.
    const around = padNode(new Array(2 * rank).fill(1))
    const wider = node({ ...explicit, pads: pads.map((p, i) => p + a.strides[i % rank]!) }, ['padded', ...names.slice(1)])
    paths.push({ path: 'pad-node', form: { opset: 13, constants: { amounts: around.amounts }, initializers: weights, nodes: [around.node, wider] } })
  }
  return paths
}

// ── TF.js ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Transposed convolution of x [N, spatial, C] with w [kernel, M, C]. */
type Call = (tf: any, x: any, w: any) => any

function tfjs(c: Case<A>): Lowering<TfjsForm>[] {
  const { attributes: a } = c
  const [x, w, b] = c.inputs as [TensorSpec, TensorSpec, TensorSpec | null]
  const invalid = c.valid === false
  const rank = a.kernel_shape.length
  const each = w.shape[1]!
  if (a.kernel_shape.some((k, i) => k !== w.shape[i + 2])) return [{ declined: 'TF.js takes the kernel size from the filter' }]
  if (a.auto_pad === 'SAME' || (invalid && a.auto_pad !== 'NOTSET')) return [{ declined: 'TF.js has one argument for padding' }]
  if (invalid && (a.group !== 1 || a.dilations.some(d => d !== 1))) return [{ declined: 'TF.js has no groups and no dilations here' }]
  const dilated = a.dilations.some(d => d > 1)
  if (dilated && !tame(x)) return [{ declined: 'TF.js has no dilation here, and zeros between the taps meet NaN or infinities' }]

  const sizes = x.shape.slice(2)
  const g = geometry(a, sizes, 'at the end')
  const eff = a.kernel_shape.map((k, i) => effective(k, a.dilations[i]!))
  const rows = sizes.map((n, i) => a.strides[i]! * (n - 1) + eff[i]!) // without any padding
  const strides = lift(a.strides, 1)
  const filter = (t: Tensor, dilate = dilated): Tensor => {
    const { dtype, data, shape } = dilate ? stuffed(t, a.dilations) : t
    const kernel = lift(shape.slice(2), 1)
    return permute({ dtype, data, shape: [shape[0]!, each, ...kernel] }, [...kernel.map((_, i) => i + 2), 1, 0])
  }
  const size = (out: readonly number[]) => [x.shape[0]!, ...lift(out, 1), each]
  const paths: Lowering<TfjsForm>[] = []
  const say = (path: string, call: Call, naive?: string) => {
    const grouped: Call = a.group > 1 && !invalid ? (tf, v, f) => inGroups(tf, a.group, v, f, (p, q) => call(tf, p, q)) : call
    const biased = (tf: any, t: readonly any[]) => (t[2] ? tf.add(grouped(tf, t[0], t[1]), t[2]) : grouped(tf, t[0], t[1]))
    const form = imageLast(rank + 2, true, biased, (t, i) => (i === 1 ? filter(t) : t))
    const named = a.group > 1 ? `split-${path}` : path
    paths.push(naive ? { path: named, form, naive } : { path: named, form })
  }
  const deconv =
    (pad: unknown, out: readonly number[] = g.out, ...more: unknown[]): Call =>
    (tf, v, f) =>
      rank === 3 ? tf.conv3dTranspose(v, f, size(out), strides, pad) : tf.conv2dTranspose(v, f, size(out), strides, pad, ...more)

  // A stride explains the size: fewer than `stride` rows lie past the last kernel.
  const explained = sizes.every((_, i) => {
    const past = g.out[i]! + g.begin[i]! + Math.max(0, g.end[i]!) - rows[i]!
    return past >= 0 && past < a.strides[i]!
  })
  const spare = sizes.map((_, i) => g.out[i]! + g.begin[i]! - rows[i]!) // rows past the last kernel that are part of the output
  const asValid = g.begin.every(p => p === 0) && spare.every((s, i) => s >= 0 && s < a.strides[i]!)
  // What 'same' would cut off is that of the convolution whose gradient this is.
  const forward = autoPads('SAME_UPPER', g.out, { ...a, kernel_shape: eff, dilations: a.dilations.map(() => 1) }, []).pads
  const sizeFits = sizes.every((n, i) => Math.ceil(g.out[i]! / a.strides[i]!) === n)
  const asSame = sizeFits && g.begin.every((p, i) => p === forward[i])
  const pads = liftPads([...g.begin, ...g.end.map(p => Math.max(0, p))])
  const explicit = padRows(pads)
  const number = new Set([...g.begin, ...g.end]).size === 1 && (rank === 2 || g.begin[0] === 0) ? g.begin[0]! : null

  if (rank < 3 && (explained || invalid)) {
    say('explicit', deconv(explicit))
    if (number !== null) say('number', deconv(number))
    if (!invalid) {
      say('floor', deconv(explicit, g.out, 'floor'))
      if (new Set(strides).size === 1) say('stride-number', (tf, v, f) => tf.conv2dTranspose(v, f, size(g.out), strides[0], explicit))
      if (x.shape[0] === 1)
        say('rank-3', (tf, v, f) => {
          const y = tf.conv2dTranspose(v.reshape(v.shape.slice(1)), f, size(g.out).slice(1), strides, explicit)
          return y.reshape([1, ...y.shape])
        })
    }
  }
  if (asValid || (invalid && rank === 3)) say('valid', deconv('valid'))
  if (asSame && !invalid) say('same', deconv('same'))
  if (invalid) return paths
  if (rank === 3 && x.shape[0] === 1 && asValid)
    say('rank-4', (tf, v, f) => {
      const y = tf.conv3dTranspose(v.reshape(v.shape.slice(1)), f, size(g.out).slice(1), strides, 'valid')
      return y.reshape([1, ...y.shape])
    })
  // Everything laid down, then cut out.
  const past = lift(
    spare.map(s => Math.max(0, s)),
    0,
  )
  say('valid-slice', (tf, v, f) => {
    const all = deconv('valid', rows)(tf, v, f)
    const padded = past.some(p => p > 0) ? tf.pad(all, [[0, 0], ...past.map(p => [0, p]), [0, 0]]) : all
    return tf.slice(padded, [0, ...lift(g.begin, 0), 0], size(g.out))
  })
  if (sizeFits && !asSame && a.group === 1)
    say(
      'as-same',
      deconv('same'),
      a.auto_pad === 'SAME_LOWER' ? "'same' cuts the odd row at the end" : "'same' cuts off other rows than the pads of a PyTorch model",
    )

  // Layers: sizes after Keras: 'valid' in·s + max(k − s, 0), or s·(in − 1) + k + outputPadding where that is given; 'same' in·s.
  if (rank > 1 && a.group === 1) {
    const keras = (path: string, more: object, fits: boolean, dilate = false) => {
      if (!fits) return
      const options = { filters: each, kernelSize: dilate ? [...a.kernel_shape] : eff, strides: [...a.strides], useBias: !!b, ...more }
      const call = (tf: any, t: readonly any[]) => layerOnce(rank === 3 ? 'conv3dTranspose' : 'conv2dTranspose', options)(tf, t)
      paths.push({ path, form: imageLast(rank + 2, true, call, (t, i) => (i === 1 ? filter(t, dilated && !dilate) : t)) })
    }
    const natural = sizes.every((n, i) => g.out[i] === n * a.strides[i]! + Math.max(0, eff[i]! - a.strides[i]!))
    keras('layers-valid', { padding: 'valid' }, asValid && natural)
    keras('layers-same', { padding: 'same' }, asSame && sizes.every((n, i) => g.out[i] === n * a.strides[i]!))
    keras('layers-output-padding', { padding: 'valid', outputPadding: spare }, rank === 2 && asValid && spare.some(s => s > 0))
    const one = a.strides.every(s => s === 1)
    keras('layers-dilation-rate', { padding: 'valid', dilationRate: [...a.dilations] }, rank === 2 && asValid && natural && dilated && one, true)
  }
  return paths
}

export default defineOp<A>({
  name: 'conv-transpose',
  spec: [
    'https://onnx.ai/onnx/operators/onnx__ConvTranspose.html',
    'https://js.tensorflow.org/api/latest/#conv2dTranspose',
    'https://js.tensorflow.org/api/latest/#layers.conv2dTranspose',
    'https://keras.io/api/layers/convolution_layers/convolution2d_transpose/',
  ],
  valid,
  invalid,
  operators: ['ConvTranspose'],
  fromOnnx({ attributes, inputs: [x, w, b] }) {
    if (!x || !w) return { declined: 'ConvTranspose without x or W' }
    const rank = x.shape.length - 2
    if (rank < 1 || rank > 3) return { declined: `ConvTranspose over ${rank} spatial axes` }
    const a = { ...defaults(rank), kernel_shape: w.shape.slice(2), ...attributes } as A
    // Early files write output_shape with batch and channels.
    return drawn<A>(a.output_shape ? { ...a, output_shape: a.output_shape.slice(-rank) } : a, x, w, b ?? null)
  },
  expect,
  simulate,
  onnx,
  tfjs,
})
