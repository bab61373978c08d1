/** Operations that are one function of one variable: a row says what differs, `scalarOp` makes the operation of it. */
import { expRelative, fillSpread, integers, inverse, isFloat, mapped, readBy, shapeFields, shapeOf, simulated, spread } from './elements.ts'
import { erf } from './machine.ts'
import * as h from './op.ts'

export type P = Record<string, number>
export type Attributes = Record<string, number | string>
export type Call = (tf: any, x: any) => any
export interface Row {
  name: string
  /** ONNX operator; absent: the op is said as another one (`node`). */
  operator: string
  /** Model opsets with another version of the operator; the first is the one of the path `node`. */
  opsets: readonly number[]
  /** Attributes: ONNX's default first, then other values. */
  choices?: Record<string, readonly (number | string)[]>
  /** dtypes besides float32 that a runtime claims. */
  dtypes?: readonly h.DType[]
  /** First opset with integers. */
  integers?: number
  /** More often than not the function has no value below zero. */
  positive?: boolean
  f: (x: number, p: P) => number
  error?: (a: h.Arithmetic, x: number, r: number, p: P) => number
  simulate?: (m: h.Machine, x: number, p: P) => number
  /** Questions that the text leaves open. */
  open?: (x: h.Real, value: Float64Array, p: P) => readonly h.Open[]
  /** Neighbours that ORT fuses it with (OPERATIONS, section 4). */
  fuses?: boolean
  /** Other ways of saying it in ONNX: nodes from `x0` to `y0`, scalars by name. */
  patterns?: (p: P) => Record<string, { nodes: h.OnnxNode[]; scalars?: Record<string, number>; opset?: number }>
  tfjs: (p: P) => Record<string, Call>
  naive?: (p: P) => Record<string, readonly [Call, string]>
  page?: string
}
export const f32 = Math.fround
export const node = (op: string, input: string | string[], out: string, attributes: h.Attributes = {}, domain?: string): h.OnnxNode => ({
  op,
  in: [input].flat(),
  out: [out],
  attributes,
  ...(domain ? { domain } : {}),
})
export const layer =
  (name: string): Call =>
  (tf, x) =>
    tf.layers.activation({ activation: name }).apply(x)
/** The activation argument of the fused calls, after a product with 1. */
export const fused = (activation: string, more: object = {}): Record<string, Call> => ({
  'fused-matmul': (tf, x) => tf.fused.matMul({ a: tf.reshape(x, [-1, 1]), b: tf.tensor2d([1], [1, 1]), activation, ...more }).reshape(x.shape),
  'fused-conv2d': (tf, x) =>
    tf.fused
      .conv2d({ x: tf.reshape(x, [1, 1, -1, 1]), filter: tf.ones([1, 1, 1, 1]), strides: 1, pad: 'valid', activation, ...more })
      .reshape(x.shape),
})

// ── Bounds ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const { logError } = h
export const base = (a: h.Arithmetic, r: number, S = 0) => 8 * a.u * Math.max(Math.abs(r), S)
export const sigma = (x: number) => 1 / (1 + Math.exp(-x))
export const softplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)))
/** 1/(1 + e⁻ˣ): the error of e⁻ˣ counts (1 − σ)-fold. */
export const sigmoidError = (a: h.Arithmetic, x: number) => base(a, 0, 1) + expRelative(a, x) * sigma(x) * (1 - sigma(x))
/** ln(1 + eˣ), as ONNX's function body says it: the error of eˣ counts σ-fold, that of the sum once. */
export const softplusError = (a: h.Arithmetic, x: number, r: number) =>
  base(a, r, 1) + expRelative(a, x) * sigma(x) + logError(a, 1 + Math.exp(Math.min(x, 700)))
/** Abramowitz & Stegun 7.1.26 (1.5·10⁻⁷, five products) is an honest erf; its e^(−x²) counts erfc-fold. */
export const erfError = (a: h.Arithmetic, x: number) => base(a, 0, 1) + (expRelative(a, x * x) + 2 * x * x * a.u) * (1 - erf(Math.abs(x)))
/** α(eᵗ − 1) with t = x/α′. */
export const eluError = (a: h.Arithmetic, x: number, scale: number, t = x) =>
  x > 0 ? 0 : Math.abs(scale) * (8 * a.u + Math.exp(t) * (expRelative(a, t) + Math.abs(t) * (1 + a.division) * a.u))
/** max(0, min(1, αx + β)): nothing is left of the error where the clamp certainly holds. */
export function hardError(a: h.Arithmetic, x: number, alpha: number, beta: number): number {
  const e = 4 * a.u * (Math.abs(alpha * x) + Math.abs(beta))
  return alpha * x + beta - e >= 1 || alpha * x + beta + e <= 0 ? 0 : e
}
export const clamp01 = (t: number) => Math.max(0, Math.min(1, t))

/** NaN in a comparison: the text says what is greater, not what is NaN. */
export const nanOpen =
  (question: string, answers: (x: h.Real, value: Float64Array) => Record<string, Float64Array>) => (x: h.Real, value: Float64Array) =>
    h.open(
      question,
      Uint8Array.from(x.data, v => (v !== v ? 1 : 0)),
      answers(x, value),
    )
export const constant = (like: Float64Array, v: number) => new Float64Array(like.length).fill(v)
export const clampNaN = (low: number, high: number) =>
  nanOpen('NaN in a clamp', (_, v) => ({ NaN: constant(v, Number.NaN), 'the lower limit': constant(v, low), 'the upper limit': constant(v, high) }))

// ── A row as an operation ───────────────────────────────────────────────────────────────────────────────────────────

const KINDS = [
  'integers',
  'span',
  'edges',
  'ramp',
  'normal',
  'negative',
  'small',
  'large',
  'tiny',
  'impulse',
  'nan',
  'inf',
  '-inf',
  '-0',
  'subnormal',
  'largest',
] as const
/** Values of the attributes as numbers; words stay words. */
const plain = (row: Row, a: Attributes): Attributes => Object.fromEntries(Object.keys(row.choices ?? {}).map(n => [n, a[n] ?? row.choices![n]![0]!]))
const defaultsOf = (row: Row): Attributes => Object.fromEntries(Object.entries(row.choices ?? {}).map(([n, c]) => [n, c[0]!]))

/** A depthwise convolution with ones: changes nothing, and is what ORT fuses with. */
export const identityConv = (channels: number): { conv: (from: string, to: string) => h.OnnxNode; one: h.Tensor } => ({
  conv: (from, to) => node('Conv', [from, 'one'], to, { group: channels, kernel_shape: [1, 1] }),
  one: h.tensor('float32', [channels, 1, 1, 1], new Array(channels).fill(1)),
})
/** Two nodes before and after the operation that change nothing, so that the optimiser meets it behind a product or between transposes. */
export function neighbours(
  row: Pick<Row, 'opsets' | 'fuses'>,
  x: h.TensorSpec,
  act: (from: string, to: string) => h.OnnxNode,
): h.Lowering<h.OnnxForm>[] {
  const paths: h.Lowering<h.OnnxForm>[] = []
  const size = h.sizeOf(x.shape)
  const opset = row.opsets[0]!
  if (x.shape.length > 1 && size > 0) {
    const perm = [...x.shape.keys()].reverse()
    paths.push({
      path: 'between-transposes',
      form: { opset, nodes: [node('Transpose', 'x0', 't', { perm }), act('t', 'u'), node('Transpose', 'u', 'y0', { perm: inverse(perm) })] },
    })
  }
  if (!row.fuses || x.dtype !== 'float32' || size === 0) return paths
  const channels = size % 16 === 0 ? 16 : 1
  const back = ([y]: readonly h.Tensor[]) => [h.reshape(y!, x.shape)]
  const { conv, one } = identityConv(channels)
  paths.push({
    path: 'after-conv', // a depthwise convolution with 1: FusedConv
    form: {
      opset,
      prepare: t => [h.reshape(t[0]!, [1, channels, 1, size / channels])],
      constants: { one },
      nodes: [conv('x0', 'c'), act('c', 'y0')],
      finish: back,
    },
  })
  paths.push({
    path: 'after-gemm', // a product with [[1]]: FusedGemm
    form: {
      opset,
      prepare: t => [h.reshape(t[0]!, [size, 1])],
      constants: { one: h.tensor('float32', [1, 1], [1]) },
      nodes: [node('Gemm', ['x0', 'one'], 'c'), act('c', 'y0')],
      finish: back,
    },
  })
  return paths
}

export function scalarOp(row: Row): h.Op<Attributes> {
  const names = Object.keys(row.choices ?? {})
  const fields = {
    ...shapeFields,
    type: h.int(0, 7), // 0 … 5: float32; above: what else a runtime claims
    choice: h.ints(Math.max(1, names.length), 0, 5),
    x: spread(...(row.positive ? ['positive'] : []), ...KINDS),
  }
  const valid = h.generator(fields, raw => {
    const others = row.dtypes ?? []
    const dtype: h.DType = raw.type < 6 || !others.length ? 'float32' : others[(raw.type + raw.choice[0]!) % others.length]!
    const attributes = Object.fromEntries(names.map((n, i) => [n, h.pick(row.choices![n]!, raw.choice[i]!)]))
    return h.drawn<Attributes>(attributes, fillSpread(fields.x, raw.x, shapeOf(raw, { empty: true }), dtype))
  })
  const exact = !row.error
  const written = (a: Attributes) => (row.operator === 'Clip' ? {} : plain(row, a))
  const extra = row.operator === 'Clip' ? ['low', 'high'] : []
  const constants: Record<string, h.Tensor> = row.operator === 'Clip' ? { low: h.tensor('float32', [], [0]), high: h.tensor('float32', [], [6]) } : {}
  return h.defineOp<Attributes>({
    name: row.name,
    spec: [`https://onnx.ai/onnx/operators/onnx__${row.operator}.html`, 'https://js.tensorflow.org/api/latest/'],
    valid,
    operators: row.operator === 'Clip' ? [] : [row.operator],
    fromOnnx: n => ({
      attributes: plain(row, Object.fromEntries(Object.entries(n.attributes).map(([k, v]) => [k, typeof v === 'number' ? f32(v) : String(v)]))),
      inputs: n.inputs,
    }),
    expect(a, [x]) {
      const p = plain(row, a) as P
      const f = (v: number) => row.f(v, p)
      if (!isFloat(x!.dtype)) return [integers(x!.dtype, x!.shape, x!.data.map(f), row.open?.(x!, x!.data.map(f), p))]
      const value = x!.data.map(f)
      const unclear = row.open?.(x!, value, p) ?? []
      if (exact) return [{ rule: 'exact', dtype: x!.dtype, shape: x!.shape, value, open: unclear }]
      return [mapped({ f, error: (m, v, r) => row.error!(m, v, r, p) }, x!, 'NUMERICS: activations', unclear)]
    },
    ...(exact
      ? {}
      : {
          simulate: (a: Attributes, [x]: readonly (h.Real | null)[], m: h.Machine) => {
            const p = plain(row, a) as P
            const f = (v: number) => (Number.isFinite(v) ? row.simulate!(m, v, p) : row.f(v, p))
            return [simulated(x!.dtype, x!.shape, readBy(m, x!)[0]!.map(f))]
          },
        }),
    onnx(c) {
      const x = c.inputs[0]!
      const a = written(c.attributes)
      const opsets = row.opsets.filter(o => isFloat(x.dtype) || o >= (row.integers ?? 13))
      const act = (attributes: Attributes, from = 'x0', to = 'y0') => node(row.operator, [from, ...extra], to, attributes)
      const paths: h.Lowering<h.OnnxForm>[] = opsets.map((opset, i) => ({
        path: i === 0 ? 'node' : `opset-${opset}`,
        form: { opset, constants, nodes: [act(a)] },
      }))
      const left = h.withoutDefaults(a, defaultsOf(row)) as Attributes
      if (Object.keys(left).length < Object.keys(a).length)
        paths.push({ path: 'defaults', form: { opset: row.opsets[0]!, constants, nodes: [act(left)] } })
      for (const l of neighbours(row, x, (from, to) => act(a, from, to)))
        if ('form' in l) paths.push({ ...l, form: { ...l.form, constants: { ...constants, ...l.form.constants } } })
      if (x.dtype === 'float32' && x.shape.length > 0)
        for (const [path, { nodes, scalars, opset }] of Object.entries(row.patterns?.(plain(row, c.attributes) as P) ?? {}))
          paths.push({
            path,
            form: {
              opset: opset ?? row.opsets[0]!,
              nodes,
              constants: Object.fromEntries(Object.entries(scalars ?? {}).map(([n, v]) => [n, h.tensor('float32', [], [v])])),
            },
          })
      return paths
    },
    tfjs(c) {
      const x = c.inputs[0]!
      const p = plain(row, c.attributes) as P
      const fits = ([name]: [string, unknown]) =>
        !/^(layers|fused|gelu-new)/.test(name) ||
        (x.dtype === 'float32' && x.shape.length > 1 && (!name.startsWith('fused') || h.sizeOf(x.shape) > 0))
      const paths: h.Lowering<h.TfjsForm>[] = Object.entries(row.tfjs(p))
        .filter(fits)
        .map(([path, call]) => ({ path, form: h.plainly((tf, t) => call(tf, t[0])) }))
      if (!paths.length) return [{ declined: 'TF.js has it only as a layer, for two axes and more' }]
      for (const [path, [call, naive]] of Object.entries(row.naive?.(p) ?? {}).filter(fits))
        paths.push({ path, naive, form: h.plainly((tf, t) => call(tf, t[0])) })
      return paths
    },
  })
}
