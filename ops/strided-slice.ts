/**
 * TensorFlow's strided_slice, which is NumPy's x[begin:end:strides, …] with five masks over the entries of the specification: bit i of beginMask and endMask
 * says "from the first" and "to the last" of entry i, of ellipsisMask "all axes in between", of newAxisMask "an axis of length 1 here", of shrinkAxisMask
 * "only element begin, and the axis goes". Negative numbers count from the end; begin and end are clamped to [0, n] (step > 0) or [−1, n − 1] (step < 0).
 */
import { crossed, int64, moved, moveFields, node, range, shapeIn, typeOf } from '../harness/moves.ts'
import * as h from '../harness/op.ts'

type A = {
  begin: readonly number[]
  end: readonly number[]
  strides: readonly number[]
  beginMask: number
  endMask: number
  ellipsisMask: number
  newAxisMask: number
  shrinkAxisMask: number
}

// ── Cases ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const STEPS = [1, 1, 2, -1, 3, -2, 5] as const
const fields = {
  ...moveFields,
  begins: h.ints(6, 0, 11),
  lengths: h.ints(6, 0, 11),
  steps: h.ints(6, 0, STEPS.length - 1),
  back: h.ints(6, 0, 1),
  masks: h.ints(6, 0, 5), // 1: beginMask, 2: endMask, 3: both, 5: shrink
  ellipsis: h.int(0, 5), // 4, 5: somewhere
  fresh: h.int(0, 5), // 5: a new axis
  at: h.int(0, 5),
  fewer: h.int(0, 2), // 2: the last axes are not mentioned
  far: h.int(0, 5), // 5: end beyond the axis
  x: h.data(),
}
const valid = h.generator(fields, raw => {
  const shape = shapeIn(raw, { least: 1, most: 3000 })
  const rank = shape.length
  const a = {
    begin: [] as number[],
    end: [] as number[],
    strides: [] as number[],
    beginMask: 0,
    endMask: 0,
    ellipsisMask: 0,
    newAxisMask: 0,
    shrinkAxisMask: 0,
  }
  const add = (
    begin: number,
    end: number,
    stride: number,
    mask: { begin?: boolean; end?: boolean; ellipsis?: boolean; fresh?: boolean; shrink?: boolean } = {},
  ) => {
    const bit = 1 << a.begin.length
    a.begin.push(begin)
    a.end.push(end)
    a.strides.push(stride)
    if (mask.begin) a.beginMask |= bit
    if (mask.end) a.endMask |= bit
    if (mask.ellipsis) a.ellipsisMask |= bit
    if (mask.fresh) a.newAxisMask |= bit
    if (mask.shrink) a.shrinkAxisMask |= bit
  }
  const skipped = raw.ellipsis > 3 && rank > 1 ? raw.at % rank : -1
  for (let d = 0; d < rank; d++) {
    if (raw.fresh === 5 && d === raw.at % rank && rank < 6) add(0, 0, 1, { fresh: true })
    if (d === skipped) {
      add(0, 0, 1, { ellipsis: true })
      continue
    }
    if (raw.fewer === 2 && skipped < 0 && d === rank - 1 && d > 0) break
    const n = shape[d]!
    const step = STEPS[raw.steps[d]!]!
    const first = Math.floor((raw.begins[d]! * (n - 1)) / 11)
    const span = 1 + Math.floor((raw.lengths[d]! * (n - 1 - first)) / 11)
    const m = raw.masks[d]!
    const off = raw.back[d] ? n : 0
    if (m === 5) add(first - off, first - off + 1, 1, { shrink: true })
    else if (step > 0)
      add(first - off, raw.far === 5 ? n + 3 : first + span < n ? first + span - off : n, step, { begin: (m & 1) === 1, end: (m & 2) === 2 })
    else add(Math.min(n - 1, first + span) - off, first === 0 ? -n - 1 : first - 1 - n, step, { begin: (m & 1) === 1, end: (m & 2) === 2 })
  }
  return h.drawn<A>(a, h.fill(fields.x, raw.x, shape, typeOf(raw)))
})
const WRONG = ['stride', 'ellipses', 'shrink', 'too-many', 'shrink-backwards', 'lengths'] as const
const spoilt = { ...moveFields, wrong: h.int(0, WRONG.length - 1), x: h.data('integers', 'normal') }
const invalid = h.generator(spoilt, raw => {
  const wrong = WRONG[raw.wrong]!
  const shape = shapeIn(raw, { least: 2, rank: 5, most: 200 })
  const rank = shape.length
  const none = { beginMask: 0, endMask: 0, ellipsisMask: 0, newAxisMask: 0, shrinkAxisMask: 0 }
  const a = { begin: range(rank).map(() => 0), end: [...shape], strides: range(rank).map(() => 1), ...none }
  if (wrong === 'stride') a.strides[0] = 0
  if (wrong === 'ellipses') a.ellipsisMask = 3
  if (wrong === 'shrink') [a.begin[0], a.end[0], a.shrinkAxisMask] = [shape[0]!, shape[0]! + 1, 1]
  if (wrong === 'shrink-backwards') [a.strides[0], a.shrinkAxisMask] = [-1, 1]
  if (wrong === 'too-many') for (const list of [a.begin, a.strides, a.end]) list.push(1)
  if (wrong === 'lengths') a.end.pop()
  return h.drawn<A>(a, h.fill(spoilt.x, raw.x, shape))
})

// ── Reference ───────────────────────────────────────────────────────────────────────────────────────────────────────

const between = (v: number, low: number, high: number) => Math.max(low, Math.min(high, v))
interface Walk {
  /** Of every axis of the input: its positions. */
  at: number[][]
  steps: number[]
  shape: number[]
}
function walk(a: A, from: h.Shape): Walk {
  const bit = (mask: number, i: number) => (mask >> i) & 1
  const named = a.begin.filter((_, i) => !bit(a.ellipsisMask, i) && !bit(a.newAxisMask, i)).length
  const at: number[][] = []
  const steps: number[] = []
  const shape: number[] = []
  const all = (count: number) => {
    for (let i = 0; i < count; i++) {
      const n = from[at.length]!
      at.push(range(n))
      steps.push(1)
      shape.push(n)
    }
  }
  a.begin.forEach((begin, i) => {
    if (bit(a.ellipsisMask, i)) all(from.length - named)
    else if (bit(a.newAxisMask, i)) shape.push(1)
    else {
      const n = from[at.length]!
      const step = a.strides[i]!
      const [low, high] = step > 0 ? [0, n] : [-1, n - 1]
      const point = (v: number) => (v < 0 ? v + n : v)
      if (bit(a.shrinkAxisMask, i)) {
        at.push([point(begin)])
        steps.push(1)
        return
      }
      const first = bit(a.beginMask, i) ? (step > 0 ? 0 : n - 1) : between(point(begin), low, high)
      const end = bit(a.endMask, i) ? (step > 0 ? n : -1) : between(point(a.end[i]!), low, high)
      at.push(range(Math.ceil((end - first) / step), first, step))
      steps.push(step)
      shape.push(at[at.length - 1]!.length)
    }
  })
  all(from.length - at.length)
  return { at, steps, shape }
}
function expect(a: A, x: h.Real): h.Expected[] {
  const { at, shape } = walk(a, x.shape)
  return [moved(x, shape, crossed(x.shape, at))]
}

// ── Lowerings ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** Slice with the numbers resolved, then Reshape for axes that come and go. */
function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const x = c.inputs[0]!
  if (c.valid === false) return [{ declined: 'ONNX has neither masks nor axes that go' }]
  const { at, steps, shape } = walk(c.attributes, x.shape)
  if (at.some(p => !p.length)) return [{ declined: 'an empty result is a case of slice' }]
  const ends = at.map((p, d) => p[p.length - 1]! + Math.sign(steps[d]!))
  const constants = {
    starts: int64(at.map(p => p[0]!)),
    ends: int64(ends.map((e, d) => (e < 0 ? -x.shape[d]! - 1 : e))),
    axes: int64(range(at.length)),
    steps: int64(steps),
    to: int64(shape),
  }
  const slice = node('Slice', ['x0', 'starts', 'ends', 'axes', 'steps'], 's')
  const gone = range(at.length).filter(d => at[d]!.length === 1)
  const paths: h.Lowering<h.OnnxForm>[] = [
    { path: 'slice-reshape', form: { opset: 13, constants, nodes: [slice, node('Reshape', ['s', 'to'], 'y0')] } },
  ]
  if (!c.attributes.newAxisMask && c.attributes.shrinkAxisMask && shape.length + gone.length === at.length)
    paths.push({
      path: 'slice-squeeze',
      form: { opset: 13, constants: { ...constants, gone: int64(gone) }, nodes: [slice, node('Squeeze', ['s', 'gone'], 'y0')] },
    })
  return paths
}

function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  const a = c.attributes
  const x = c.inputs[0]!
  const paths: h.Lowering<h.TfjsForm>[] = []
  const push = (path: string, call: (tf: any, t: any) => any) => paths.push({ path, form: h.plainly((tf, [t]) => call(tf, t)) })
  const masks = [a.beginMask, a.endMask, a.ellipsisMask, a.newAxisMask, a.shrinkAxisMask]
  push('strided-slice', (tf, t) => tf.stridedSlice(t, a.begin, a.end, a.strides, ...masks))
  if (c.valid === false) return paths
  push('method', (_, t) => t.stridedSlice(a.begin, a.end, a.strides, ...masks))
  if (a.strides.every(s => s === 1)) push('no-strides', (tf, t) => tf.stridedSlice(t, a.begin, a.end, undefined, ...masks))
  if (masks.every(m => m === 0)) push('no-masks', (tf, t) => tf.stridedSlice(t, a.begin, a.end, a.strides))
  const { at, steps, shape } = walk(a, x.shape)
  if (at.every((p, d) => p.length && steps[d] === 1))
    push('slice-reshape', (tf, t) =>
      tf.reshape(
        tf.slice(
          t,
          at.map(p => p[0]!),
          at.map(p => p.length),
        ),
        shape,
      ),
    )
  return paths
}

export default h.defineOp<A>({
  name: 'strided-slice',
  spec: ['https://js.tensorflow.org/api/latest/#stridedSlice', 'https://www.tensorflow.org/api_docs/python/tf/strided_slice'],
  valid,
  invalid,
  expect: (a, [x]) => expect(a, x!),
  onnx,
  tfjs,
})
