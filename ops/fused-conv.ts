/**
 * y = f(b + Σ x·w): a convolution, its bias and its activation as one call, as TF.js's fused calls say it and as ONNX Runtime makes it of neighbours.
 * x [N, C, H, W], w [M, C/group, kh, kw], b [M], [1] or a scalar, slope (PRelu) broadcast to [M, H, W]. (ONNX Conv-11 and the activations' pages; TF.js fused.conv2d)
 * What the sum may err (γ_k·Σ|x||w|, NUMERICS §2) goes through the activation times its largest slope within reach; the activation adds its own error.
 */
import {
  type Arithmetic,
  type Case,
  data,
  defineOp,
  drawn,
  type Expected,
  eta,
  FINITE,
  fill,
  gamma,
  generator,
  int,
  LARGEST,
  type Lowering,
  type Machine,
  type OnnxForm,
  type OnnxNode,
  permute,
  pick,
  type Real,
  reshape,
  sizeOf,
  type Tensor,
  type TensorSpec,
  type TfjsForm,
  tanhError,
  tensor,
  windowCounts,
  without,
  withoutDefaults,
} from '../harness/op.ts'
import { eluError, hardError, sigmoidError } from '../harness/scalars.ts'
import {
  batchOf,
  CHANNELS,
  channelsOf,
  drawWindow,
  imageFirst,
  imageLast,
  layerOnce,
  padRows,
  padsOf,
  padWords,
  type WindowAttributes,
  windowFields,
} from '../harness/windows.ts'
import conv from './conv.ts'

/** `alpha` (leakyrelu, elu, hardsigmoid), `beta` (hardsigmoid), `min` and `max` (clip; relu6 is clip from 0 to 6) are float32 values. */
type A = WindowAttributes & { group: number; activation: string; alpha: number; beta: number; min: number; max: number }

// ── Activations ─────────────────────────────────────────────────────────────────────────────────────────────────────

interface Activation {
  f: (v: number, a: A, slope: number) => number
  /** Largest slope between low and high; absent: never above 1, and the function adds no error of its own. */
  steepest?: (low: number, high: number, a: A, slope: number) => number
  /** Error of the function at v, its own operations alone. */
  error?: (m: Arithmetic, v: number, a: A, slope: number) => number
  simulate?: (m: Machine, v: number, a: A, slope: number) => number
}
const clamp = (v: number, low: number, high: number) => Math.min(high, Math.max(low, v))
const sigma = (v: number) => 1 / (1 + Math.exp(-v))
/** Where a bell-shaped slope is largest: the place nearest to 0. */
const nearest = (low: number, high: number) => clamp(0, low, high)
const leaky = (slope: (a: A, s: number) => number): Activation => ({
  f: (v, a, s) => (v < 0 ? slope(a, s) * v : v),
  steepest: (low, high, a, s) => Math.max(high > 0 ? 1 : 0, low < 0 ? Math.abs(slope(a, s)) : 0),
  error: (m, v, a, s) => (v < 0 ? m.u * Math.abs(slope(a, s) * v) + eta(m) : 0),
  simulate: (m, v, a, s) => (v < 0 ? m.mul(slope(a, s), v) : v),
})
const ACTIVATIONS: Readonly<Record<string, Activation>> = {
  linear: { f: v => v },
  relu: { f: v => Math.max(0, v) },
  relu6: { f: v => clamp(v, 0, 6) },
  prelu: leaky((_, s) => s),
  elu: {
    f: (v, a) => (v < 0 ? a.alpha * Math.expm1(v) : v),
    steepest: (_, high, a) => Math.max(high > 0 ? 1 : 0, Math.abs(a.alpha) * Math.exp(Math.min(0, high))),
    error: (m, v, a) => (v < 0 ? eluError(m, v, a.alpha) + eta(m) : 0),
    simulate: (m, v, a) => (v < 0 ? m.mul(a.alpha, m.sub(m.exp(v), 1)) : v),
  },
  leakyrelu: leaky(a => a.alpha),
  sigmoid: {
    f: sigma,
    steepest: (low, high) => sigma(nearest(low, high)) * (1 - sigma(nearest(low, high))),
    error: sigmoidError,
    simulate: (m, v) => m.div(1, m.add(1, m.exp(-v))),
  },
  tanh: {
    f: Math.tanh,
    steepest: (low, high) => 1 - Math.tanh(nearest(low, high)) ** 2,
    error: tanhError,
    simulate: (m, v) => m.tanh(v),
  },
  hardsigmoid: {
    f: (v, a) => clamp(a.alpha * v + a.beta, 0, 1),
    steepest: (_, __, a) => Math.abs(a.alpha),
    error: (m, v, a) => hardError(m, v, a.alpha, a.beta) + eta(m),
    simulate: (m, v, a) => clamp(m.add(m.mul(a.alpha, v), a.beta), 0, 1),
  },
  clip: { f: (v, a) => clamp(v, a.min, a.max) },
}
const NAMES = Object.keys(ACTIVATIONS)
const COMMON = 7 // those that TF.js fuses come first

// ── Cases ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const { rank: _, ...images } = windowFields
const ALPHAS = [0.2, 0.01, 0.5, 0, 1.5, -0.5] as const
const fields = {
  own: int(0, 4), // 0 … 2: one call of TF.js can say it; 3, 4: all that ONNX has
  ...images,
  channels: int(0, CHANNELS.length - 1),
  filters: int(0, CHANNELS.length - 1),
  grouping: int(0, 4), // 0 … 2: one group; 3: depthwise; 4: two groups
  activation: int(0, NAMES.length - 1),
  alpha: int(0, ALPHAS.length - 1),
  bias: int(0, 7), // 0: none; 1 … 5: [M]; 6: a scalar; 7: [1]
  slope: int(0, 6), // which axes of [M, H, W] it varies over
  x: data(...FINITE, 'nan', 'inf', '-inf', 'largest', '-0', 'subnormal'),
  w: data(...FINITE),
  b: data('integers', 'normal', 'large'),
  s: data('normal', 'integers', 'negative', 'ramp', 'impulse'),
}
const valid = generator(fields, raw => {
  const common = raw.own < 3
  const { window, sizes } = drawWindow({ ...raw, rank: 1 }, true, () => 4)
  // No stride next to a dilation in TF.js; no SAME_* next to one in ONNX Runtime, which is conv's to find.
  if ((common && window.strides.some(s => s > 1)) || window.auto_pad.startsWith('SAME')) window.dilations = window.dilations.map(() => 1)
  const [c, m] = [channelsOf({ ...raw, rank: 1 }, raw.channels), channelsOf({ ...raw, rank: 1 }, raw.filters)]
  const group = raw.grouping < 3 ? 1 : raw.grouping === 3 ? c : common ? 1 : 2
  // fused.depthwiseConv2d has no explicit pads
  if (common && raw.grouping === 3 && window.auto_pad === 'NOTSET') {
    window.pads = window.pads.map(() => window.pads[0]!)
    for (const side of ['kernel_shape', 'strides', 'dilations'] as const) window[side] = [window[side][0]!, window[side][0]!]
  }
  const [channels, filters] = group === 1 ? [c, m] : raw.grouping === 3 ? [c, c * (1 + (m % 2))] : [2 * Math.min(c, 16), 2 * Math.min(m, 16)]
  for (let i = 0; i < 2; i++)
    if (window.auto_pad === 'NOTSET')
      sizes[i] = Math.max(sizes[i]!, (window.kernel_shape[i]! - 1) * window.dilations[i]! + 1 - window.pads[i]! - window.pads[i + 2]!)
  const activation = NAMES[common ? raw.activation % COMMON : raw.activation]!
  const alpha = activation === 'elu' && common ? 1 : Math.fround(pick(ALPHAS, raw.alpha))
  const [min, max] = activation === 'relu6' ? [0, 6] : [-(raw.alpha + 1), raw.alpha / 2]
  const a: A = { ...window, group, activation, alpha, beta: 0.5, min, max }
  const [h, w] = windowCounts(sizes, { ...a, pads: padsOf(a, sizes) }) as [number, number]
  const slopes = [[filters, 1, 1], [], [1], [1, h, 1], [1, 1, w], [filters, h, w], [filters, 1, w]]
  return drawn<A>(
    a,
    fill(fields.x, raw.x, [batchOf(raw.batch), channels, ...sizes]),
    fill(fields.w, raw.w, [filters, channels / group, ...a.kernel_shape]),
    raw.bias ? fill(fields.b, raw.b, raw.bias < 6 ? [filters] : raw.bias === 6 ? [] : [1]) : null,
    activation === 'prelu' ? fill(fields.s, raw.s, slopes[raw.slope]!) : null,
  )
})
const spoilt = { what: int(0, 6), by: int(0, 3), activation: int(0, COMMON - 1), x: data('integers', 'normal') }
const invalid = generator(spoilt, ({ what, by, x, ...raw }) => {
  const activation = what > 3 ? 'prelu' : NAMES[raw.activation]!
  const window = { kernel_shape: [2, 2], strides: [1, 1], pads: [0, 0, 0, 0], dilations: [1, 1], auto_pad: 'NOTSET' }
  const a: A = { ...window, group: 1, activation, alpha: 1, beta: 0.5, min: 0, max: 6 }
  if (what === 0) a.kernel_shape = [7 + by, 2]
  if (what === 1) a.strides = by % 2 ? [1, 0] : [0, 1]
  const slope = what === 4 ? [3 + by, 1, 1] : what === 5 ? [1, 2, 3, 4, 4] : what === 6 ? [2, 3, 1] : [2, 1, 1]
  return drawn<A>(
    a,
    fill(spoilt.x, x, [1, 2, 5, 5]),
    fill(spoilt.x, x, [2, what === 2 ? 3 + by : 2, ...a.kernel_shape]),
    fill(spoilt.x, x, [what === 3 ? 3 + by : 2]),
    activation === 'prelu' ? fill(spoilt.x, x, slope) : null,
  )
})

// ── Reference ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** A tensor that broadcasts to [M, H, W], element by element of the output. */
function broadcast(t: Real | null, shape: readonly number[]): (i: number) => number {
  if (!t) return () => 0
  const [filters, h, w] = shape.slice(1) as [number, number, number]
  const [m, y, x] = [1, 1, 1, ...t.shape].slice(-3) as [number, number, number]
  return i => t.data[((m === 1 ? 0 : Math.floor(i / (h * w)) % filters) * y + (y === 1 ? 0 : Math.floor(i / w) % h)) * x + (x === 1 ? 0 : i % w)]!
}
const wide = (b: Real | null, filters: number): Real | null =>
  b && (b.shape.length === 0 || b.shape[0] === 1) ? { ...b, shape: [filters], data: new Float64Array(filters).fill(b.data[0]!) } : b

function expect(a: A, [x, w, b, s]: readonly (Real | null)[]): Expected[] {
  if (!x || !w) throw new Error('fused-conv needs x and w')
  const sum = conv.expect(a, [x, w, wide(b ?? null, w.shape[0]!)])[0] as Extract<Expected, { rule: 'dot' }>
  const act = ACTIVATIONS[a.activation]!
  const slope = broadcast(s ?? null, sum.shape)
  const value = sum.value.map((v, i) => act.f(v, a, slope(i)))
  const { steepest, error } = act
  // A clamp moves no two values further apart: the bound of the sum holds, and exact sums stay exact.
  if (!steepest || !error) return [{ ...sum, value }]
  const integral = [x, w, b].every(t => !t || t.data.every(Number.isInteger))
  const allowed = (m: Arithmetic) =>
    value.map((_, i) => {
      const [k, size, v] = [sum.terms[i]!, sum.magnitude[i]!, sum.value[i]!]
      const g = gamma(k, m.u)
      if (!((1 + g) * Math.max(size, Math.abs(value[i]!)) < LARGEST)) return NaN
      const flushed = m.flushesSubnormals ? (sum.spill?.[i] ?? 0) : 0
      const e = integral && size <= 2 ** 24 ? 0 : g * size + k * eta(m) * (1 + g) + flushed + 2 ** -52 * k * size
      const own = Math.max(error(m, v - e, a, slope(i)), error(m, v, a, slope(i)), error(m, v + e, a, slope(i)))
      return steepest(v - e, v + e, a, slope(i)) * e * (1 + 4 * m.u) + own + 2 ** -50 * Math.abs(value[i]!)
    })
  const because = `γ_k·Σ|x||w| through the slope of ${a.activation}, and its own error (NUMERICS §2, activations)`
  return [{ rule: 'error', dtype: sum.dtype, shape: sum.shape, value, allowed, because }]
}
function simulate(a: A, [x, w, b, s]: readonly (Real | null)[], m: Machine): Real[] {
  const { shape } = conv.expect(a, [x!, w!, null])[0] as Extract<Expected, { rule: 'dot' }>
  const [, filters, oh, ow] = shape as [number, number, number, number]
  const [, channels, H, W] = x!.shape as [number, number, number, number]
  const [kh, kw] = a.kernel_shape as [number, number]
  const depth = channels / a.group
  const [top, left] = padsOf(a, [H, W]) as [number, number]
  const [bias, slope] = [broadcast(b ? { ...b, shape: [b.data.length, 1, 1] } : null, shape), broadcast(s ?? null, shape)]
  const [xs, ws] = [x!.data.map(m.read), w!.data.map(m.read)]
  const act = ACTIVATIONS[a.activation]!
  const result = new Float64Array(sizeOf(shape))
  const [p, q]: [number[], number[]] = [[], []]
  for (let o = 0; o < result.length; o++) {
    const [n, f, y, z] = [Math.floor(o / (filters * oh * ow)), Math.floor(o / (oh * ow)) % filters, Math.floor(o / ow) % oh, o % ow]
    const first = Math.floor(f / (filters / a.group)) * depth
    let count = 0
    for (let c = 0; c < depth; c++)
      for (let i = 0; i < kh; i++)
        for (let j = 0; j < kw; j++) {
          const [row, column] = [y * a.strides[0]! - top + i * a.dilations[0]!, z * a.strides[1]! - left + j * a.dilations[1]!]
          if (row < 0 || row >= H || column < 0 || column >= W) continue
          p[count] = xs[((n * channels + first + c) * H + row) * W + column]!
          q[count++] = ws[((f * depth + c) * kh + i) * kw + j]!
        }
    const start = m.read(bias(o))
    let sum = start
    // Accumulation in half precision is a rung of plain sums; curved activations are judged without it.
    if (act.steepest && m.rung === 'f16-accumulation') for (let i = 0; i < count; i++) sum = m.add(sum, m.mul(p[i]!, q[i]!))
    else sum = m.dot(p, q, count, start)
    result[o] = Number.isFinite(sum) && act.simulate ? act.simulate(m, sum, a, m.read(slope(o))) : act.f(sum, a, m.read(slope(o)))
  }
  return [{ dtype: 'float32', shape, data: result }]
}

// ── ONNX ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const defaults = { strides: [1, 1], dilations: [1, 1], pads: [0, 0, 0, 0], auto_pad: 'NOTSET', group: 1 }
/** Nodes from `sum` to `y0`, by path; scalars of the model by name. */
function activate(a: A, opset: number): { nodes: OnnxNode[]; constants?: Record<string, Tensor> } {
  const node = (op: string, attributes: object = {}, more: string[] = []): OnnxNode => ({
    op,
    in: ['sum', ...more],
    out: ['y0'],
    attributes: attributes as OnnxNode['attributes'],
  })
  const limits = { low: tensor('float32', [], [a.min]), high: tensor('float32', [], [a.max]) }
  switch (a.activation) {
    case 'relu':
      return { nodes: [node('Relu')] }
    case 'relu6':
    case 'clip':
      return opset < 11 ? { nodes: [node('Clip', { min: a.min, max: a.max })] } : { nodes: [node('Clip', {}, ['low', 'high'])], constants: limits }
    case 'prelu':
      return { nodes: [node('PRelu', {}, ['x3'])] }
    case 'elu':
      return { nodes: [node('Elu', { alpha: a.alpha })] }
    case 'leakyrelu':
      return { nodes: [node('LeakyRelu', { alpha: a.alpha })] }
    case 'hardsigmoid':
      return { nodes: [node('HardSigmoid', { alpha: a.alpha, beta: a.beta })] }
    default:
      return { nodes: [node(a.activation === 'tanh' ? 'Tanh' : 'Sigmoid')] }
  }
}
function onnx(c: Case<A>): Lowering<OnnxForm>[] {
  const { attributes: a } = c
  const [, w, b, s] = c.inputs as [TensorSpec, TensorSpec, TensorSpec | null, TensorSpec | null]
  const [filters] = w.shape as [number]
  const window = without(a, 'activation', 'alpha', 'beta', 'min', 'max', ...(a.auto_pad === 'NOTSET' ? [] : ['pads']))
  const linear = a.activation === 'linear'
  const scalar = !!b && b.shape[0] !== filters // Conv takes one bias a filter
  const form = (opset: number, o: { constant?: boolean; add?: boolean; window?: object; before?: OnnxNode } = {}): OnnxForm => {
    const { nodes, constants } = linear ? { nodes: [], constants: undefined } : activate(a, opset)
    const out = linear ? 'y0' : 'sum'
    const attributes = (o.window ?? window) as OnnxNode['attributes']
    const own = b && !o.add && !(scalar && c.valid !== false)
    const sum: OnnxNode[] =
      own || !b
        ? [{ op: 'Conv', in: own ? ['x0', 'x1', 'x2'] : ['x0', 'x1'], out: [out], attributes }]
        : [
            { op: 'Conv', in: ['x0', 'x1'], out: ['plain'], attributes },
            { op: 'Add', in: ['plain', 'x2'], out: [out], attributes: {} },
          ]
    const after = o.before ? [o.before, ...nodes.map(n => ({ ...n, in: ['before', ...n.in.slice(1)] }))] : nodes
    return {
      opset,
      nodes: [...sum, ...after],
      constants,
      initializers: o.constant ? [1, 2, 3].filter(i => c.inputs[i]) : [],
      ...(own || !b || scalar ? {} : { prepare: t => t.map((v, i) => (v && i === 2 ? reshape(v, [filters, 1, 1]) : v)) }),
    }
  }
  const paths: Lowering<OnnxForm>[] = [
    { path: 'node', form: form(16) },
    { path: 'constant-weights', form: form(16, { constant: true }) },
    { path: 'opset-22', form: form(22, { constant: true }) },
  ]
  if (c.valid === false) return paths
  paths.push({ path: 'opset-10', form: form(10, { constant: true }) })
  paths.push({ path: 'defaults-left-out', form: form(16, { constant: true, window: without(withoutDefaults(window, defaults), 'kernel_shape') }) })
  if (b && !scalar) paths.push({ path: 'add-bias', form: form(16, { constant: true, add: true }) })
  const relu: OnnxNode = { op: 'Relu', in: ['sum'], out: ['before'], attributes: {} }
  if (a.activation === 'relu6') paths.push({ path: 'relu-clip', form: form(16, { constant: true, before: relu }) })
  if (s && sizeOf(s.shape) === 1)
    paths.push({ path: 'slope-of-rank-4', form: { ...form(16, { constant: true }), prepare: t => raised(t, form(16).prepare) } })
  return paths
}
type Tensors = readonly (Tensor | null)[]
/** The one slope of all elements as [1, 1, 1, 1]. */
const raised = (t: Tensors, before: OnnxForm['prepare']): Tensors =>
  (before ? before(t) : t).map((v, i) => (v && i === 3 ? reshape(v, [1, 1, 1, 1]) : v))

// ── TF.js ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const LAYERS: Readonly<Record<string, string>> = { linear: 'linear', relu: 'relu', relu6: 'relu6', sigmoid: 'sigmoid', tanh: 'tanh', elu: 'elu' }
const apply = (tf: any, a: A, v: any, slope: any): any => {
  switch (a.activation) {
    case 'linear':
      return v
    case 'prelu':
      return tf.prelu(v, slope)
    case 'leakyrelu':
      return tf.leakyRelu(v, a.alpha)
    case 'hardsigmoid':
      return tf.clipByValue(tf.add(tf.mul(v, a.alpha), a.beta), 0, 1)
    case 'clip':
      return tf.clipByValue(v, a.min, a.max)
    case 'elu':
      return a.alpha === 1 ? tf.elu(v) : tf.where(tf.less(v, 0), tf.mul(tf.elu(v), a.alpha), v)
    default:
      return tf[a.activation](v)
  }
}
function tfjs(c: Case<A>): Lowering<TfjsForm>[] {
  const { attributes: a } = c
  const [x, w, b, s] = c.inputs as [TensorSpec, TensorSpec, TensorSpec | null, TensorSpec | null]
  const [filters, depth] = w.shape as [number, number]
  const channels = x.shape[1]!
  const invalid = c.valid === false
  const depthwise = a.group === channels && depth === 1 && a.group > 1
  if (a.group > 1 && !depthwise) return [{ declined: 'TF.js has no groups' }]
  if (a.strides.some(v => v > 1) && a.dilations.some(d => d > 1)) return [{ declined: 'TF.js takes no stride next to a dilation' }]
  const pads = padsOf(a, x.shape.slice(2))
  const words = padWords(a, pads, x.shape.slice(2))
  const [strides, dilations] = [[...a.strides], [...a.dilations]]
  const { activation } = a
  const fusable = NAMES.indexOf(activation) < COMMON && (activation !== 'elu' || a.alpha === 1)

  const weights = (t: Tensor): Tensor =>
    depthwise ? permute(reshape(t, [channels, filters / channels, ...a.kernel_shape]), [2, 3, 0, 1]) : permute(t, [2, 3, 1, 0])
  const vector = (t: Tensor) => reshape(t, [filters])
  const others =
    (flat: boolean) =>
    (t: Tensor, i: number): Tensor => {
      if (i === 1) return weights(t)
      if (i !== 3 || t.shape.length !== 3) return t
      return flat ? vector(t) : permute(t, [1, 2, 0])
    }
  const paths: Lowering<TfjsForm>[] = []
  const say = (path: string, call: (tf: any, t: readonly any[]) => any, o: { flat?: boolean; naive?: string } = {}) => {
    const form = imageLast(4, false, call, others(!!o.flat))
    paths.push(o.naive ? { path, form, naive: o.naive } : { path, form })
  }
  const fused =
    (pad: unknown, more: object = {}) =>
    (tf: any, [v, filter, bias, preluActivationWeights]: readonly any[]) => {
      const options = { x: v, filter, strides, pad, dilations, bias: bias ?? undefined, activation, ...more }
      const given = preluActivationWeights ? { ...options, preluActivationWeights } : options
      return tf.fused[depthwise ? 'depthwiseConv2d' : 'conv2d'](activation === 'leakyrelu' ? { leakyreluAlpha: a.alpha, ...given } : given)
    }
  // One number of pads for both axes goes with one kernel size, stride and dilation for both: the others are conv's to find.
  const square = [a.kernel_shape, a.strides, a.dilations].every(([p, q]) => p === q)
  const number = square ? words.number : null
  const pad = words.valid ? 'valid' : words.same ? 'same' : depthwise ? number : padRows(pads)
  if (pad !== null && fusable) {
    if (!depthwise) say('fused-explicit', fused(padRows(pads)))
    if (words.valid) say('fused-valid', fused('valid'))
    if (words.same && !invalid) say('fused-same', fused('same'))
    if (number !== null && !invalid) say('fused-number', fused(number))
    if (invalid) return paths
    const perChannel = s?.shape.length === 3 && s.shape[0] === filters && sizeOf(s.shape) === filters
    if (perChannel) say('fused-prelu-vector', fused(pad), { flat: true })
    if (x.shape[0] === 1)
      say('fused-rank-3', (tf, [v, ...rest]) => {
        const y = fused(pad)(tf, [v.reshape(v.shape.slice(1)), ...rest])
        return y.reshape([1, ...y.shape])
      })
    if (activation === 'linear') say('fused-no-activation', fused(pad, { activation: undefined }))
    if (!depthwise && (!s || sizeOf(s.shape) === 1) && (!b || b.shape.length < 2)) {
      const rows = pad === 'valid' || pad === 'same' ? pad : padRows(pads, 'NCHW')
      const form = imageFirst(4, fused(rows, { dataFormat: 'NCHW' }), others(false))
      paths.push({ path: 'fused-nchw', form, naive: 'fused.conv2d takes the argument NCHW, but its text says that only NHWC is supported' })
    }
    if (activation === 'leakyrelu' && a.alpha !== Math.fround(0.2))
      say('fused-default-alpha', fused(pad, { leakyreluAlpha: undefined }), { naive: 'fused calls have a leaky slope of 0.2 by default, ONNX 0.01' })
  }
  if (invalid) return paths.length ? paths : [{ declined: 'no call of TF.js says this' }]
  const rows = words.valid ? 'valid' : words.same ? 'same' : padRows(pads)
  say('parts', (tf, [v, filter, bias, slope]) => {
    const sum = tf[depthwise ? 'depthwiseConv2d' : 'conv2d'](v, filter, strides, rows, 'NHWC', dilations)
    return apply(tf, a, bias ? tf.add(sum, bias) : sum, slope)
  })
  const word = words.valid ? 'valid' : words.same ? 'same' : null
  const hard = activation === 'hardsigmoid' && a.alpha === Math.fround(0.2)
  const named = hard ? 'hardSigmoid' : activation === 'elu' && a.alpha !== 1 ? undefined : LAYERS[activation]
  if (word && named && !depthwise && (!b || b.shape[0] === filters)) {
    const options = { filters, kernelSize: [...a.kernel_shape], strides, padding: word, dilationRate: dilations, useBias: !!b, activation: named }
    say('layers-conv2d', (tf, t) => layerOnce('conv2d', options)(tf, t.slice(0, 3)))
  }
  return paths
}

export default defineOp<A>({
  name: 'fused-conv',
  spec: [
    'https://onnx.ai/onnx/operators/onnx__Conv.html',
    'https://onnx.ai/onnx/operators/onnx__PRelu.html',
    'https://js.tensorflow.org/api/latest/#fused.conv2d',
    'https://js.tensorflow.org/api/latest/#fused.depthwiseConv2d',
  ],
  valid,
  invalid,
  expect,
  simulate,
  onnx,
  tfjs,
})
