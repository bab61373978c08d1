/**
 * Along each listed axis the elements start, start + step, … before end. Negative numbers count from the end; then start is clamped to [0, n] and end to [0, n],
 * or, for a negative step, start to [0, n − 1] and end to [−1, n − 1]. (ONNX Slice-13; before 10 without steps, as attributes)
 */
import {
  crossed,
  front,
  given,
  int32,
  int64,
  moved,
  moveFields,
  node,
  numbersOf,
  range,
  say,
  shapeIn,
  someAxes,
  turned,
  typeOf,
} from '../harness/moves.ts'
import * as h from '../harness/op.ts'

type A = { starts: readonly number[]; ends: readonly number[]; axes?: readonly number[]; steps?: readonly number[] }

// ── Cases ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What files write as "to the end". */
const END = 2 ** 63
const STEPS = [1, 1, 2, -1, 3, -2, -3, 7, -100, 100] as const
const fields = {
  ...moveFields,
  count: h.int(0, 6), // how many axes are listed
  order: h.int(0, 119),
  back: h.int(0, 1),
  axes: h.int(0, 2), // 0: the first ones, not listed
  starts: h.ints(6, 0, 11),
  lengths: h.ints(6, 0, 11),
  steps: h.ints(6, 0, STEPS.length - 1),
  plain: h.int(0, 2), // 0: every step 1
  ends: h.int(0, 3), // 0: as counted; 1: from the end; 2: far beyond; 3: the largest int64
  odd: h.int(0, 15), // 14: an empty result; 15: a start far before the axis
  x: h.data(),
}
const valid = h.generator(fields, raw => {
  const shape = shapeIn(raw, { least: 1, most: 3000, empty: true })
  const rank = shape.length
  const count = Math.max(1, Math.min(raw.count, rank))
  const listed = raw.axes ? someAxes(rank, count, raw.order) : range(count)
  const bounds = listed.map((axis, i) => {
    const n = shape[axis]!
    const step = raw.plain ? STEPS[raw.steps[i]!]! : 1
    const first = Math.floor((raw.starts[i]! * Math.max(0, n - 1)) / 11)
    const span = 1 + Math.floor((raw.lengths[i]! * Math.max(0, n - 1 - first)) / 11)
    if (raw.odd === 14 && i === 0) return [first, first, step]
    if (raw.odd === 15 && i === 0) return [-n - 3, step > 0 ? first + 1 : -n - 9, step]
    if (step > 0)
      return [
        first - (raw.back ? n : 0),
        raw.ends === 0 ? first + span : raw.ends === 1 ? (first + span < n ? first + span - n : n) : raw.ends === 2 ? n + 5 : END,
        step,
      ]
    const high = Math.min(n - 1, first + span)
    return [raw.ends === 2 ? n + 5 : raw.back ? high - n : high, first === 0 || raw.ends === 3 ? -END : first - 1 - (raw.ends === 1 ? n : 0), step]
  })
  return h.drawn<A>(
    {
      starts: bounds.map(b => b[0]!),
      ends: bounds.map(b => b[1]!),
      ...(raw.axes ? { axes: listed.map(a => (raw.axes === 2 ? a - rank : a)) } : {}),
      ...(raw.plain ? { steps: bounds.map(b => b[2]!) } : {}),
    },
    h.fill(fields.x, raw.x, shape, typeOf(raw)),
  )
})
const WRONG = ['step', 'axis', 'count', 'axis-twice', 'size-tfjs', 'begin-tfjs'] as const
const spoilt = { ...moveFields, wrong: h.int(0, WRONG.length - 1), x: h.data('integers', 'normal') }
const invalid = h.generator(spoilt, raw => {
  const wrong = WRONG[raw.wrong]!
  const shape = shapeIn(raw, { least: 1, most: 200 })
  const x = h.fill(spoilt.x, raw.x, shape)
  if (wrong === 'step') return h.drawn<A>({ starts: [0], ends: [1], axes: [0], steps: [0] }, x)
  if (wrong === 'axis') return h.drawn<A>({ starts: [0], ends: [1], axes: [raw.own & 1 ? shape.length : -shape.length - 1] }, x)
  if (wrong === 'count') return h.drawn<A>({ starts: [0, 0], ends: [1], axes: [0] }, x)
  if (wrong === 'axis-twice') return h.drawn<A>({ starts: [0, 0], ends: [1, 1], axes: [0, -shape.length] }, x)
  return h.drawn<A>({ starts: [wrong === 'begin-tfjs' ? -1 : 0], ends: [wrong === 'size-tfjs' ? shape[0]! + 1 : shape[0]!] }, x)
})

// ── Reference ───────────────────────────────────────────────────────────────────────────────────────────────────────

const between = (v: number, low: number, high: number) => Math.max(low, Math.min(high, v))
/** Positions of one axis. */
function positions(start: number, end: number, step: number, n: number): number[] {
  if (n === 0) return []
  const from = between(start < 0 ? start + n : start, 0, step < 0 ? n - 1 : n)
  const to = between(end < 0 ? end + n : end, step < 0 ? -1 : 0, step < 0 ? n - 1 : n)
  return range(Math.ceil((to - from) / step), from, step)
}
interface Axis {
  start: number
  end: number
  step: number
  at: number[]
}
function whole(a: A, shape: h.Shape): Axis[] {
  const axes = shape.map((n): Axis => ({ start: 0, end: n, step: 1, at: range(n) }))
  a.starts.forEach((start, i) => {
    const d = front(a.axes?.[i] ?? i, shape.length)
    const [end, step] = [a.ends[i]!, a.steps?.[i] ?? 1]
    axes[d] = { start, end, step, at: positions(start, end, step, shape[d]!) }
  })
  return axes
}
function expect(a: A, x: h.Real): h.Expected[] {
  const at = whole(a, x.shape).map(d => d.at)
  return [
    moved(
      x,
      at.map(p => p.length),
      crossed(x.shape, at),
    ),
  ]
}

// ── Lowerings ───────────────────────────────────────────────────────────────────────────────────────────────────────

function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const a = c.attributes
  const x = c.inputs[0]!
  const rank = x.shape.length
  const steps = a.steps ?? a.starts.map(() => 1)
  const axes = a.axes ?? range(a.starts.length)
  if (c.valid === false && !a.axes) return [{ declined: 'ONNX clamps and counts from the end' }]
  const params = (of: typeof int64) => [of(a.starts), of(a.ends), of(axes), of(steps)]
  const full = { op: 'Slice', params: params(int64) }
  const paths: h.Lowering<h.OnnxForm>[] = [say('node', { ...full, opset: 13 })]
  if (c.valid === false) return paths
  paths.push(say('opset-10', { ...full, opset: 10 }), say('opset-11', { ...full, opset: 11 }), say('opset-21', { ...full, opset: 21 }))
  paths.push(say('int32', { ...full, params: params(int32), opset: 13 }), say('fed', { ...full, opset: 13, fed: true }))
  const first = axes.every((d, i) => d === i)
  const ones = steps.every(s => s === 1)
  if (first || ones)
    paths.push(
      say('defaults', { op: 'Slice', opset: 13, params: [int64(a.starts), int64(a.ends), first ? null : int64(axes), ones ? null : int64(steps)] }),
    )
  if (ones && axes.every(d => d >= 0))
    paths.push(say('attributes-1', { op: 'Slice', opset: 9, attributes: { starts: a.starts, ends: a.ends, axes } }))
  const resolved = whole(a, x.shape)
  if (rank > 1) {
    const { around, at } = turned(rank)
    paths.push(say('between-transposes', { ...full, params: [int64(a.starts), int64(a.ends), int64(axes.map(at)), int64(steps)], opset: 13, around }))
    const constants: Record<string, h.Tensor> = {}
    const nodes = axes.map((d, i) => {
      Object.assign(constants, {
        [`s${i}`]: int64([a.starts[i]!]),
        [`e${i}`]: int64([a.ends[i]!]),
        [`a${i}`]: int64([d]),
        [`t${i}`]: int64([steps[i]!]),
      })
      return node('Slice', [i ? `c${i - 1}` : 'x0', `s${i}`, `e${i}`, `a${i}`, `t${i}`], i === axes.length - 1 ? 'y0' : `c${i}`)
    })
    paths.push({ path: 'axis-by-axis', form: { opset: 13, constants, nodes } })
  }
  const one = resolved.findIndex((d, i) => d.at.length !== x.shape[i] || d.step !== 1)
  if (one >= 0 && resolved.every((d, i) => i === one || (d.step === 1 && d.at.length === x.shape[i])))
    paths.push(say('gather', { op: 'Gather', attributes: { axis: one }, params: [int64(resolved[one]!.at)], opset: 13 }))
  return paths
}

function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  const a = c.attributes
  const x = c.inputs[0]!
  const rank = x.shape.length
  if (c.valid === false) {
    if (a.axes)
      return a.steps
        ? [{ path: 'strided-slice', form: h.plainly((tf, [t]) => tf.stridedSlice(t, [0], [1], [0])) }]
        : [{ declined: 'TF.js lists no axes' }]
    return [{ path: 'slice', form: h.plainly((tf, [t]) => tf.slice(t, [...a.starts], [a.ends[0]! - Math.max(0, a.starts[0]!)])) }]
  }
  const axes = whole(a, x.shape)
  const begin = axes.map(d => d.at[0] ?? 0)
  const size = axes.map(d => d.at.length)
  const paths: h.Lowering<h.TfjsForm>[] = []
  const push = (path: string, call: (tf: any, t: any) => any) => paths.push({ path, form: h.plainly((tf, [t]) => call(tf, t)) })
  const adjacent = axes.every(d => d.step === 1 || d.at.length <= 1)
  const full = size.every(n => n > 0)
  if (adjacent) {
    push('slice', (tf, t) => tf.slice(t, begin, size))
    push('method', (_, t) => t.slice(begin, size))
    if (rank === 1) push('slice1d', (tf, t) => tf.slice1d(t, begin[0], size[0]))
    else if (rank <= 4) push(`slice${rank}d`, (tf, t) => tf[`slice${rank}d`](t, begin, size))
    if (full && axes.some((d, i) => begin[i]! + d.at.length === x.shape[i]))
      push('size-inferred', (tf, t) =>
        tf.slice(
          t,
          begin,
          size.map((n, i) => (begin[i]! + n === x.shape[i] ? -1 : n)),
        ),
      )
    if (begin.slice(1).every(b => b === 0) && size.slice(1).every((n, i) => n === x.shape[i + 1]))
      push('first-axis-number', (tf, t) => tf.slice(t, begin[0], size[0]))
    if (full && begin.some(b => b > 0))
      paths.push({
        path: 'begin-end',
        naive: 'tf.slice takes begin and size, not begin and end',
        form: h.plainly((tf, [t]) =>
          tf.slice(
            t,
            begin,
            size.map((n, i) => begin[i]! + n),
          ),
        ),
      })
  }
  if (full) {
    const last = axes.map(d => d.at[d.at.length - 1]!)
    /** Behind the last element; the mask says "to the beginning" where a negative step ends there. */
    const end = axes.map((d, i) => last[i]! + Math.sign(d.step))
    const mask = end.reduce((m, e, i) => (e < 0 ? m | (1 << i) : m), 0)
    const steps = axes.map(d => (d.at.length === 1 ? Math.sign(d.step) : d.step))
    push('strided-slice', (tf, t) => tf.stridedSlice(t, begin, end, steps, 0, mask))
    const masks = (of: (i: number) => boolean) => axes.reduce((m, _, i) => (of(i) ? m | (1 << i) : m), 0)
    const atBegin = masks(i => begin[i] === (steps[i]! > 0 ? 0 : x.shape[i]! - 1))
    const toEnd = masks(i => (steps[i]! > 0 ? end[i] === x.shape[i] : end[i]! < 0))
    if (atBegin || toEnd) push('strided-slice-masks', (tf, t) => tf.stridedSlice(t, begin, end, steps, atBegin, toEnd | mask))
    if (axes.every((d, i) => d.at.length === x.shape[i]) && axes.some(d => d.step === -1) && axes.every(d => Math.abs(d.step) === 1))
      push('reverse', (tf, t) =>
        tf.reverse(
          t,
          range(rank).filter(i => axes[i]!.step === -1),
        ),
      )
  } else if (rank === a.starts.length && !a.axes && a.starts.every(s => Math.abs(s) < 2 ** 31) && a.ends.every(e => Math.abs(e) < 2 ** 31))
    paths.push({
      path: 'strided-slice-empty',
      naive: 'tf.stridedSlice does not clamp as ONNX does',
      form: h.plainly((tf, [t]) => tf.stridedSlice(t, a.starts, a.ends, a.steps ?? a.starts.map(() => 1))),
    })
  if (full)
    push('gather', (tf, t) =>
      axes.reduce((u, d, i) => (d.step === 1 && d.at.length === x.shape[i] ? u : tf.gather(u, tf.tensor1d(d.at, 'int32'), i)), tf.clone(t)),
    )
  return paths.some(l => !('naive' in l)) ? paths : [{ declined: 'an empty result of a step other than 1' }]
}

export default h.defineOp<A>({
  name: 'slice',
  spec: [
    'https://onnx.ai/onnx/operators/onnx__Slice.html',
    'https://js.tensorflow.org/api/latest/#slice',
    'https://js.tensorflow.org/api/latest/#stridedSlice',
  ],
  valid,
  invalid,
  operators: ['Slice'],
  fromOnnx(n) {
    const [starts, ends] = [numbersOf(n, 'starts', 1), numbersOf(n, 'ends', 2)]
    if (!starts || !ends) return { declined: 'limits that only the run knows' }
    return { attributes: given({ starts, ends, axes: numbersOf(n, 'axes', 3), steps: numbersOf(n, 'steps', 4) }), inputs: n.inputs }
  },
  expect: (a, [x]) => expect(a, x!),
  onnx,
  tfjs,
})
