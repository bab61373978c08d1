/**
 * The same elements in the same order under another shape.
 * reshape: −1 takes what is left, 0 copies the input's size unless allowzero (ONNX Reshape-14) · flatten: two axes, split at `axis` (Flatten-13) ·
 * squeeze: axes of length 1 removed, all of them without `axes` (Squeeze-13) · unsqueeze: axes of length 1 that stand at `axes` of the result (Unsqueeze-13).
 */
import { axisOf, front, given, int64, moveFields, node, numbersOf, range, type Said, say, shapeIn, someAxes, typeOf } from '../harness/moves.ts'
import * as h from '../harness/op.ts'

type Attributes = { shape?: readonly number[]; allowzero?: number; axis?: number; axes?: readonly number[] }
const fields = { ...moveFields, how: h.int(0, 5), at: h.int(0, 23), back: h.int(0, 1), given: h.int(0, 3), x: h.data() }
type Raw = Parameters<Parameters<typeof h.generator<typeof fields, Attributes>>[1]>[0]

type Call = (tf: any, t: any) => any
type Calls = Partial<Record<string, Call>>
interface Kind {
  operator: string
  draw: (raw: Raw, shape: number[]) => { attributes: Attributes; shape?: number[] }
  /** What has to be refused, by number. */
  spoil: readonly ((shape: number[]) => Attributes & { tfjs?: number })[]
  target: (a: Attributes, shape: h.Shape) => number[]
  fromOnnx: (n: h.GivenNode) => Attributes | { declined: string }
  onnx: (c: h.Case<Attributes>, target: number[]) => h.Lowering<h.OnnxForm>[]
  tfjs: (c: h.Case<Attributes>, target: number[]) => Calls
  naive?: (c: h.Case<Attributes>) => Partial<Record<string, [Call, string]>>
}

const product = h.sizeOf
/** One node with its parameter as an input: initializer, fed; newer opsets. */
const forms = (said: Omit<Said, 'opset'>, opset: number, more: readonly number[]) => [
  say('node', { ...said, opset }),
  ...more.map(o => say(`opset-${o}`, { ...said, opset: o })),
  ...(said.params ? [say('fed', { ...said, opset, fed: true })] : []),
]
/** Through a flat vector, which ONNX Runtime joins with what follows. */
const behindFlat = (core: h.OnnxNode, constants: Record<string, h.Tensor>, shape: h.Shape): h.Lowering<h.OnnxForm>[] =>
  product(shape)
    ? [
        {
          path: 'behind-reshapes',
          form: {
            opset: 14,
            constants: { ...constants, flat: int64([-1]), was: int64(shape) },
            nodes: [node('Reshape', ['x0', 'flat'], 'f'), node('Reshape', ['f', 'was'], 'w'), { ...core, in: ['w', ...core.in.slice(1)] }],
          },
        },
      ]
    : []

// ── reshape ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A shape with as many elements: merged, split, reversed, with axes of 1. */
function another(raw: Raw, shape: number[]): number[] {
  const rank = shape.length
  const at = rank ? raw.at % rank : 0
  if (raw.how === 0 || rank === 0) return raw.back ? [1, product(shape)] : [product(shape)]
  if (raw.how === 1)
    return rank > 1 ? [...shape.slice(0, at), ...(at + 1 < rank ? [shape[at]! * shape[at + 1]!, ...shape.slice(at + 2)] : [shape[at]!])] : shape
  if (raw.how === 2) {
    const n = shape[at]!
    const part = range(n, 1).findLast(d => d <= Math.sqrt(n) && n % d === 0) ?? 1
    return rank < 6 ? [...shape.slice(0, at), part, n / part, ...shape.slice(at + 1)] : shape
  }
  if (raw.how === 3) return [...shape].reverse()
  if (raw.how === 4) return rank < 6 ? [...shape.slice(0, at), 1, ...shape.slice(at)] : shape
  return shape
}
const reshape: Kind = {
  operator: 'Reshape',
  draw(raw, shape) {
    const wanted = another(raw, shape)
    const empty = product(shape) === 0
    const allowzero = empty || raw.given === 3 ? 1 : 0
    const target: number[] = allowzero ? wanted : wanted.map((n, i) => (raw.given === 2 && n === shape[i] ? 0 : n))
    const at = raw.at % Math.max(1, target.length)
    const others = wanted.filter((_, i) => i !== at)
    if (raw.back && target.length && product(others) && !(allowzero && wanted.includes(0))) target[at] = -1
    return { attributes: { shape: target, allowzero } }
  },
  spoil: [
    shape => ({ shape: [product(shape) + 1], allowzero: 0 }),
    () => ({ shape: [-1, -1], allowzero: 0 }),
    shape => ({ shape: [-2, product(shape)], allowzero: 0 }),
    shape => ({ shape: [-1, product(shape) + 1], allowzero: 0 }),
    shape => ({ shape: [...shape, 0], allowzero: 0 }),
    () => ({ shape: [0, -1], allowzero: 1 }),
    shape => ({ shape: [product(shape) / 2 + 0.25, 2], allowzero: 0, tfjs: 1 }),
  ],
  target({ shape = [], allowzero }, from) {
    const out = shape.map((n, i) => (n === 0 && !allowzero ? (from[i] ?? 0) : n))
    const at = out.indexOf(-1)
    if (at >= 0) out[at] = product(from) / (product(out.filter(n => n !== -1)) || 1)
    return out
  },
  fromOnnx(n) {
    const shape = numbersOf(n, 'shape', 1)
    return shape ? { shape, allowzero: Number(n.attributes['allowzero'] ?? 0) } : { declined: 'a shape that only the run knows' }
  },
  onnx(c, target) {
    const { shape = [], allowzero = 0 } = c.attributes
    const x = c.inputs[0]!
    const params = [int64(shape)]
    const whole = { op: 'Reshape', attributes: { allowzero }, params }
    if (c.valid === false) return [say('node', { ...whole, opset: 14 })]
    const paths: h.Lowering<h.OnnxForm>[] = forms(whole, 14, [19, 21, 23, 25])
    paths.push(...behindFlat(node('Reshape', ['w', 'p0'], 'y0', { allowzero }), { p0: params[0]! }, x.shape))
    paths.push(say('resolved', { ...whole, attributes: { allowzero: product(target) ? 0 : 1 }, params: [int64(target)], opset: 14 }))
    if (allowzero === 0) paths.push(say('defaults', { op: 'Reshape', params, opset: 14 }), say('opset-5', { op: 'Reshape', params, opset: 9 }))
    if (target.length && x.shape.length && target[0] === x.shape[0] && product(target)) {
      // the way that exporters keep a batch: Shape, Gather, Concat
      const constants = { zero: int64([0]), rest: int64(target.slice(1)), ...(target.length > 1 ? {} : { rest: int64([]) }) }
      const nodes = [
        node('Shape', 'x0', 's'),
        node('Gather', ['s', 'zero'], 'n'),
        node('Concat', ['n', 'rest'], 'to', { axis: 0 }),
        node('Reshape', ['x0', 'to'], 'y0'),
      ]
      paths.push({ path: 'shape-of-shape', form: { opset: 14, constants, nodes } })
    }
    return paths
  },
  tfjs(c, target) {
    const { shape = [], allowzero } = c.attributes
    if (c.valid === false) return !allowzero && shape.includes(0) ? {} : { reshape: (tf, t) => tf.reshape(t, shape) }
    const x = c.inputs[0]!
    const rank = target.length
    const kept = rank > 1 && x.shape.length > 1 && target[0] === x.shape[0] && product(target) && x.dtype !== 'bool'
    return {
      reshape: (tf, t) => tf.reshape(t, target),
      method: (_, t) => t.reshape(target),
      ...(product(target) && rank ? { 'last-inferred': (tf, t) => tf.reshape(t, [...target.slice(0, -1), -1]) } : {}),
      ...(rank >= 1 && rank <= 5 ? { [`as${rank}d`]: (_: any, t: any) => t[`as${rank}D`](...target) } : {}),
      ...(rank === 1 ? { flatten: (_: any, t: any) => t.flatten() } : {}),
      'reshape-as': (tf, t) => t.reshapeAs(tf.zeros(target)),
      ...(kept ? { 'layers-reshape': (tf: any, t: any) => tf.layers.reshape({ targetShape: target.slice(1) }).apply(t) } : {}),
    }
  },
  naive(c) {
    const { shape = [], allowzero } = c.attributes
    return shape.includes(0) && !allowzero
      ? { 'zero-copies': [(tf, t) => tf.reshape(t, shape), 'a 0 is a size of 0 in TF.js, it copies nothing'] }
      : {}
  },
}

// ── flatten ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const flatten: Kind = {
  operator: 'Flatten',
  draw(raw, shape) {
    const rank = shape.length
    const axis = raw.how === 0 ? Math.min(1, rank) : raw.at % (rank + 1)
    return { attributes: { axis: raw.back && axis < rank ? axis - rank : axis } }
  },
  spoil: [shape => ({ axis: shape.length + 1 }), shape => ({ axis: -shape.length - 1 })],
  target({ axis = 1 }, shape) {
    const at = front(axis, shape.length)
    return [product(shape.slice(0, at)), product(shape.slice(at))]
  },
  fromOnnx: n => ({ axis: Number(n.attributes['axis'] ?? 1) }),
  onnx(c) {
    const { axis = 1 } = c.attributes
    const x = c.inputs[0]!
    const whole = { op: 'Flatten', attributes: { axis } }
    if (c.valid === false) return [say('node', { ...whole, opset: 13 })]
    const paths: h.Lowering<h.OnnxForm>[] = forms(whole, 13, [11, 21, 25])
    if (axis >= 0) paths.push(say('opset-9', { ...whole, opset: 9 }))
    if (axis === 1) paths.push(say('defaults', { op: 'Flatten', opset: 13 }))
    return [...paths, ...behindFlat(node('Flatten', 'w', 'y0', { axis }), {}, x.shape)]
  },
  tfjs(c, target) {
    if (c.valid === false) return {}
    const { shape, dtype } = c.inputs[0]!
    const image = shape.length > 2 && front(c.attributes.axis ?? 1, shape.length) === 1 && product(shape) && dtype !== 'bool'
    return {
      reshape: (tf, t) => tf.reshape(t, target),
      ...(image ? { 'layers-flatten': (tf: any, t: any) => tf.layers.flatten().apply(t) } : {}),
      ...(target[0] && product(shape) ? { 'reshape-inferred': (tf: any, t: any) => tf.reshape(t, [target[0], -1]) } : {}),
    }
  },
  naive: c => (c.inputs[0]!.shape.length > 1 ? { 'tf-flatten': [(_, t) => t.flatten(), 'Tensor.flatten makes one axis, ONNX Flatten two'] } : {}),
}

// ── squeeze, unsqueeze ──────────────────────────────────────────────────────────────────────────────────────────────

/** Axes as an input since 13, as an attribute before (negative ones since 11). */
function axesForms(op: string, c: h.Case<Attributes>): h.Lowering<h.OnnxForm>[] {
  const { axes } = c.attributes
  const whole = { op, params: [axes ? int64(axes) : null] }
  if (c.valid === false) return [say('node', { ...whole, opset: 13 })]
  const paths: h.Lowering<h.OnnxForm>[] = forms(axes ? whole : { op }, 13, [21, 23, 24, 25])
  const attributes: h.Attributes = axes ? { axes } : {}
  paths.push(say('attributes-11', { op, attributes, opset: 11 }))
  if (!axes?.some(a => a < 0)) paths.push(say('attributes-1', { op, attributes, opset: 9 }))
  const constants: Record<string, h.Tensor> = axes ? { p0: int64(axes) } : {}
  return [...paths, ...behindFlat(node(op, axes ? ['w', 'p0'] : ['w'], 'y0'), constants, c.inputs[0]!.shape)]
}
const squeeze: Kind = {
  operator: 'Squeeze',
  draw(raw, shape) {
    const rank = shape.length
    const ones = someAxes(rank, 1 + (raw.at % 3), raw.at)
    const sizes = shape.map((n, i) => (ones.includes(i) ? 1 : n))
    if (raw.given === 0 || rank === 0) return { attributes: {}, shape: sizes }
    return { attributes: { axes: ones.map(a => (raw.back ? a - rank : a)) }, shape: sizes }
  },
  spoil: [
    shape => ({ axes: [shape.findIndex(n => n > 1)].map(a => Math.max(0, a)) }),
    shape => ({ axes: [shape.length] }),
    shape => ({ axes: [-shape.length - 1] }),
  ],
  target({ axes }, shape) {
    const gone = axes?.map(a => front(a, shape.length))
    return shape.filter((n, i) => (gone ? !gone.includes(i) : n !== 1))
  },
  fromOnnx: n => given({ axes: numbersOf(n, 'axes', 1) }),
  onnx: c => axesForms('Squeeze', c),
  tfjs(c, target) {
    const { axes } = c.attributes
    if (c.valid === false) return { squeeze: (tf, t) => tf.squeeze(t, axes) }
    return {
      squeeze: (tf, t) => tf.squeeze(t, axes),
      method: (_, t) => t.squeeze(axes),
      ...(axes?.length === 1 ? { 'one-after-other': (tf: any, t: any) => tf.squeeze(t, [axes[0]]) } : {}),
      reshape: (tf, t) => tf.reshape(t, target),
    }
  },
}
const unsqueeze: Kind = {
  operator: 'Unsqueeze',
  draw(raw, shape) {
    const count = 1 + (raw.how % Math.max(1, Math.min(3, 6 - shape.length)))
    const rank = shape.length + count
    return { attributes: { axes: someAxes(rank, count, raw.at).map(a => (raw.back ? a - rank : a)) }, shape: rank > 6 ? shape.slice(0, 5) : shape }
  },
  spoil: [() => ({ axes: [0, 0] }), shape => ({ axes: [shape.length + 1] }), shape => ({ axes: [-shape.length - 2] })],
  target({ axes = [] }, shape) {
    const rank = shape.length + axes.length
    const fresh = axes.map(a => front(a, rank))
    let next = 0
    return range(rank).map(i => (fresh.includes(i) ? 1 : shape[next++]!))
  },
  fromOnnx(n) {
    const axes = numbersOf(n, 'axes', 1)
    return axes ? { axes } : { declined: 'axes that only the run knows' }
  },
  onnx: c => axesForms('Unsqueeze', c),
  tfjs(c, target) {
    const { axes = [] } = c.attributes
    if (c.valid === false) return axes.length > 1 ? {} : { 'expand-dims': (tf, t) => tf.expandDims(t, axes[0]) }
    const rank = target.length
    const ascending = axes.map(a => front(a, rank)).sort((a, b) => a - b)
    return {
      'expand-dims': (tf, t) => ascending.reduce((u, a) => tf.expandDims(u, a), t),
      method: (_, t) => ascending.reduce((u, a) => u.expandDims(a), t),
      ...(axes.length === 1 ? { 'expand-dims-given': (tf: any, t: any) => tf.expandDims(t, axes[0]) } : {}),
      ...(axes.length === 1 && ascending[0] === 0 ? { 'expand-dims-defaults': (tf: any, t: any) => tf.expandDims(t) } : {}),
      ...(axes.length === 1 ? { stack: (tf: any, t: any) => tf.stack([t], ascending[0]) } : {}),
      reshape: (tf, t) => tf.reshape(t, target),
    }
  },
}

function op(name: string, kind: Kind): h.Op<Attributes> {
  const valid = h.generator(fields, raw => {
    const drawn = kind.draw(raw, shapeIn(raw, { rank: name === 'unsqueeze' ? 5 : 6, most: 2000, empty: true }))
    const shape = drawn.shape ?? shapeIn(raw, { most: 2000, empty: true })
    return h.drawn<Attributes>(drawn.attributes, h.fill(fields.x, raw.x, shape, typeOf(raw)))
  })
  const spoilt = { ...moveFields, wrong: h.int(0, kind.spoil.length - 1), x: h.data('integers', 'normal') }
  const invalid = h.generator(spoilt, raw => {
    const shape = shapeIn(raw, { least: 1, most: 200 })
    shape[axisOf(shape.length, raw.type)] = 3
    const { tfjs: _, ...attributes } = kind.spoil[raw.wrong]!(shape)
    return h.drawn<Attributes>(attributes, h.fill(spoilt.x, raw.x, shape))
  })
  const whole = (a: Attributes) => [...(a.shape ?? []), ...(a.axes ?? [])].every(Number.isInteger)
  return h.defineOp<Attributes>({
    name,
    spec: [
      `https://onnx.ai/onnx/operators/onnx__${kind.operator}.html`,
      `https://js.tensorflow.org/api/latest/#${name === 'unsqueeze' ? 'expandDims' : name === 'squeeze' ? 'squeeze' : 'reshape'}`,
    ],
    valid,
    invalid,
    operators: [kind.operator],
    fromOnnx(n) {
      const a = kind.fromOnnx(n)
      return 'declined' in a ? a : { attributes: a, inputs: n.inputs }
    },
    expect: (a, [x]) => [{ rule: 'exact', dtype: x!.dtype, shape: kind.target(a, x!.shape), value: x!.data }],
    onnx: c =>
      whole(c.attributes)
        ? kind.onnx(c, c.valid === false ? [] : kind.target(c.attributes, c.inputs[0]!.shape))
        : [{ declined: 'sizes are integers in ONNX' }],
    tfjs(c) {
      const target = c.valid === false ? [] : kind.target(c.attributes, c.inputs[0]!.shape)
      const paths: h.Lowering<h.TfjsForm>[] = Object.entries(kind.tfjs(c, target) as Record<string, Call>).map(([path, call]) => ({
        path,
        form: h.plainly((tf, [t]) => call(tf, t)),
      }))
      if (!paths.length) return [{ declined: 'TF.js has no such argument' }]
      if (c.valid !== false)
        for (const [path, [call, naive]] of Object.entries((kind.naive?.(c) ?? {}) as Record<string, [Call, string]>))
          paths.push({ path, naive, form: h.plainly((tf, [t]) => call(tf, t)) })
      return paths
    },
  })
}

export default [op('reshape', reshape), op('flatten', flatten), op('squeeze', squeeze), op('unsqueeze', unsqueeze)]
