/**
 * Rows [batch, class, box] of the boxes kept in every class: highest score first, while no box kept before overlaps by IoU > iou_threshold
 * (ONNX NonMaxSuppression-11). soft_nms_sigma > 0 (TF.js only): a kept box b multiplies the other scores by exp(−IoU²/2σ) instead of removing
 * boxes. (Bodla et al. 2017; TensorFlow NonMaxSuppressionV5)
 */

import type { Arithmetic, GivenNode, Lowering, OnnxForm, Real, Refutation, Tensor, TensorSpec, TfjsForm } from '../harness/op.ts'
import * as h from '../harness/op.ts'

/** float32 values; absent: no output boxes at all, IoU 0, every score. Inputs: boxes [batches, n, 4], scores [batches, classes, n]. */
type A = { max_output_boxes_per_class?: number; iou_threshold?: number; score_threshold?: number; center_point_box?: number; soft_nms_sigma?: number }

// ── Overlap ──────────────────────────────────────────────────────────────────

/** Intersection over union: its exact value, and what honest arithmetic may take it for. */
interface Overlap {
  value: number
  low: number
  high: number
}
type Span = readonly [from: number, to: number, fromError: number, toError: number]

/** What of an arithmetic an overlap depends on; the definition's own choice uses PLAIN. */
type Quotient = Pick<Arithmetic, 'u' | 'division'>
const PLAIN: Quotient = { u: 2 ** -24, division: 2 }

/** Extent along y (0) or x (1): corners [y1, x1, y2, x2] in any order, or [x, y, width, height], whose edges are one rounding off. */
function span(b: ArrayLike<number>, i: number, axis: 0 | 1, center: boolean, u: number): Span {
  if (!center) {
    const [p, q] = [b[4 * i + axis]!, b[4 * i + axis + 2]!]
    return [Math.min(p, q), Math.max(p, q), 0, 0]
  }
  const [c, size] = [b[4 * i + 1 - axis]!, b[4 * i + 3 - axis]!]
  const [from, to] = [c - size / 2, c + size / 2]
  return [from, to, rounding(from, u), rounding(to, u)]
}
const rounding = (edge: number, u: number): number => (Math.fround(edge) === edge ? 0 : u * Math.abs(edge))
/** Lengths of the intersection and of one extent, with the errors of the edges added s times. */
const common = (p: Span, q: Span, s: number): number =>
  Math.max(0, Math.min(p[1] + s * p[3], q[1] + s * q[3]) - Math.max(p[0] - s * p[2], q[0] - s * q[2]))
const length = (v: Span, s: number): number => Math.max(0, v[1] - v[0] + s * (v[2] + v[3]))

/**
 * c = (A + B + I)/U measures the cancellation in U = A + B − I; sums, products and the quotient are off by (8 + 5c)u relative, and a shader's
 * division by 5u more. Edges that are not exact (centre boxes) widen every length. Where all steps are exact only the quotient rounds.
 */
function overlap(b: ArrayLike<number>, i: number, j: number, center: boolean, a: Quotient): Overlap {
  let [A, B, I] = [1, 1, 1]
  const [low, high] = [
    { A: 1, B: 1, I: 1 },
    { A: 1, B: 1, I: 1 },
  ]
  const steps: number[] = []
  for (const axis of [0, 1] as const) {
    const [p, q] = [span(b, i, axis, center, a.u), span(b, j, axis, center, a.u)]
    if (p[1] < p[0] || q[1] < q[0]) return { value: 0, low: 0, high: 1 } // negative width: no rule
    const [lp, lq, li] = [length(p, 0), length(q, 0), common(p, q, 0)]
    ;[A, B, I] = [A * lp, B * lq, I * li]
    ;[low.A, low.B, low.I] = [low.A * length(p, -1), low.B * length(q, -1), low.I * common(p, q, -1)]
    ;[high.A, high.B, high.I] = [high.A * length(p, 1), high.B * length(q, 1), high.I * common(p, q, 1)]
    steps.push(...p.slice(0, 2), ...q.slice(0, 2), lp, lq, li)
  }
  const U = A + B - I
  if (!(A + B < h.LARGEST) || U <= 0) return { value: 0, low: 0, high: 1 } // overflow, NaN; 0/0 of two boxes without area is open
  const value = I / U
  steps.push(A, B, I, A + B, U, A - I, B - I)
  if (steps.every(v => Math.fround(v) === v)) {
    const margin = a.division <= 2 && Math.fround(value) === value ? 0 : a.division * a.u * value
    return { value, low: value - margin, high: value + margin }
  }
  if (high.I === 0) return { value: 0, low: 0, high: 0 }
  const relative = (8 + (5 * (A + B + I)) / U) * a.u
  const shader = a.division > 2 ? 5 * a.u : 0
  const least = (low.I / (high.A + high.B - low.I)) * (1 - relative) - shader
  const union = low.A + low.B - high.I
  return { value, low: I < 2 ** -100 ? 0 : Math.max(0, least), high: union > 0 ? Math.min(1, (high.I / union) * (1 + relative) + shader) : 1 }
}

// ── Reference ────────────────────────────────────────────────────────────────

/** Boxes of a class up to which overlaps are kept. */
const MOST_KEPT = 256
/** One class of one image. Every backend's output is held against the same pairs, so that their overlaps are kept. */
class Group {
  private readonly pairs = new Map<string, Map<number, Overlap>>()
  private chosen: ReturnType<typeof select> | null = null
  constructor(
    readonly batch: number,
    readonly cls: number,
    readonly boxes: Float64Array,
    readonly scores: Float64Array,
    readonly s: Settings,
  ) {}
  overlap(i: number, j: number, a: Quotient): Overlap {
    if (this.scores.length > MOST_KEPT) return overlap(this.boxes, i, j, this.s.center, a)
    const name = `${a.u} ${a.division}`
    let known = this.pairs.get(name)
    if (!known) this.pairs.set(name, (known = new Map()))
    const at = i * this.scores.length + j
    let o = known.get(at)
    if (!o) known.set(at, (o = overlap(this.boxes, i, j, this.s.center, a)))
    return o
  }
  /** The definition's own choice. */
  select(): ReturnType<typeof select> {
    this.chosen ??= select(this)
    return this.chosen
  }
}
const groupsOf = (boxes: Real, scores: Real, s: Settings): Group[] => {
  const [batches, classes, n] = scores.shape as [number, number, number]
  return Array.from({ length: batches * classes }, (_, g) => {
    const batch = Math.floor(g / classes)
    const own = boxes.data.subarray(batch * n * 4, (batch + 1) * n * 4)
    return new Group(batch, g % classes, own, scores.data.subarray(g * n, (g + 1) * n), s)
  })
}
/** Settings with their defaults. */
const settingsOf = (a: A) => ({
  limit: Math.max(0, a.max_output_boxes_per_class ?? 0),
  iou: a.iou_threshold ?? 0,
  least: a.score_threshold,
  center: a.center_point_box === 1,
  sigma: a.soft_nms_sigma ?? 0,
})
type Settings = ReturnType<typeof settingsOf>

/** The definition: lower index first among equal scores; a score has to exceed the threshold. */
function select(g: Group): { kept: number[]; scores: number[] } {
  const { s } = g
  const left = new Map([...g.scores.entries()].filter(([, v]) => s.least === undefined || v > s.least))
  const kept: number[] = []
  const out: number[] = []
  while (left.size > 0 && kept.length < s.limit) {
    let best = -1
    for (const [i, v] of left) if (best < 0 || v > left.get(best)!) best = i
    kept.push(best)
    out.push(left.get(best)!)
    left.delete(best)
    for (const [i, v] of left) {
      const { value } = g.overlap(i, best, PLAIN)
      if (s.sigma > 0) left.set(i, v * Math.exp((-0.5 * value * value) / s.sigma))
      if (s.sigma > 0 ? s.least !== undefined && left.get(i)! <= s.least : value > s.iou) left.delete(i)
    }
  }
  return { kept, scores: out }
}

interface Finding {
  wrong: string | null
  ambiguous: number
  conventions: Set<string>
}

/** Hard suppression: every decision of the output, in its own order. */
function refuteHard(g: Group, kept: readonly number[], a: Arithmetic): Finding {
  const { s } = g
  const f: Finding = { wrong: null, ambiguous: 0, conventions: new Set() }
  const name = (i: number) => `box ${i} of class ${g.cls}, image ${g.batch}`
  const score = (i: number) => g.scores[i]!
  const fail = (why: string): Finding => ({ ...f, wrong: why })
  for (const [r, i] of kept.entries()) {
    const before = kept[r - 1]
    if (s.least !== undefined && score(i) < s.least) return fail(`${name(i)} is kept, its score ${score(i)} is below the threshold ${s.least}`)
    if (score(i) === s.least) f.conventions.add('a score equal to the threshold is kept')
    if (before !== undefined && score(i) > score(before)) return fail(`${name(i)} comes after a box of lower score`)
    if (before !== undefined && score(i) === score(before) && i < before) f.conventions.add('equal scores: not in the order of the boxes')
    for (const k of kept.slice(0, r)) {
      const { low, high, value } = g.overlap(k, i, a)
      if (low > s.iou) return fail(`${name(i)} is kept, though box ${k} was kept before with IoU ${value} > ${s.iou}`)
      if (high > s.iou) f.ambiguous++
    }
  }
  const inside = new Set(kept)
  const last = kept.at(-1)
  for (let i = 0; i < g.scores.length; i++) {
    if (inside.has(i) || (s.least !== undefined && score(i) <= s.least) || score(i) === -Infinity) continue
    // Suppressed by a box of higher score, or of the same (the order of equals is open)?
    const before = kept.filter(k => score(k) >= score(i)).map(k => ({ k, ...g.overlap(k, i, a) }))
    const possible = before.filter(o => o.high > s.iou)
    const certain = possible.filter(o => o.low > s.iou)
    const late = kept.length >= s.limit && (last === undefined || score(last) >= score(i))
    if (certain.some(o => score(o.k) > score(i) || o.k < i) || (late && (last === undefined || score(last) > score(i) || last < i))) continue
    if (possible.length === 0 && !late) return fail(`${name(i)} (score ${score(i)}) is missing, no box kept before it has IoU > ${s.iou}`)
    if (certain.length > 0 || late) f.conventions.add('equal scores: not in the order of the boxes')
    else f.ambiguous++
  }
  return f
}

/** Soft suppression: every kept box must have had the highest decayed score when it was taken, within the error of the decay. */
function refuteSoft(g: Group, kept: readonly number[], given: readonly number[] | null, a: Arithmetic): Finding {
  const { s } = g
  const f: Finding = { wrong: null, ambiguous: 0, conventions: new Set() }
  const name = (i: number) => `box ${i} of class ${g.cls}, image ${g.batch}`
  // Decayed scores, as a range: the exponent IoU²/2σ takes four roundings besides those of IoU.
  const low = Float64Array.from(g.scores)
  const high = Float64Array.from(g.scores)
  const left = new Set(g.scores.keys())
  const least = s.least ?? -Infinity
  for (const [r, i] of kept.entries()) {
    left.delete(i)
    if (high[i]! < least) return { ...f, wrong: `${name(i)} is kept, its score is at most ${high[i]} by then, below the threshold` }
    for (const k of left)
      if (low[k]! > high[i]! && low[k]! > least) return { ...f, wrong: `${name(i)} is taken before box ${k}, whose score is higher by then` }
    if ([...left].some(k => high[k]! >= low[i]!)) f.ambiguous++
    const y = given?.[r]
    if (y !== undefined && !(y >= low[i]! - h.eta(a) && y <= high[i]! + h.eta(a)))
      return { ...f, wrong: `${name(i)} has score ${y}, not ${low[i]} … ${high[i]}` }
    for (const k of left) {
      const o = g.overlap(k, i, a)
      const decay = (iou: number, error: number) => {
        const t = (0.5 * iou * iou) / s.sigma
        return Math.exp(-t) * (1 + error * (a.u * (a.exp[0] + a.exp[1] * t + 4 * t + a.division * t + 2)))
      }
      low[k] = low[k]! * Math.max(0, decay(o.high, -1))
      high[k] = high[k]! * Math.min(1, decay(o.low, 1))
    }
  }
  if (kept.length < s.limit)
    for (const k of left) {
      if (low[k]! > least)
        return { ...f, wrong: `${name(k)} is missing, its score is at least ${low[k]} at the end, and soft suppression removes nothing else` }
      if (high[k]! > least) f.ambiguous++
    }
  return f
}

function refute(groups: readonly Group[], s: Settings, outputs: readonly (Real | null)[], arithmetic: Arithmetic): Refutation {
  const rows = groups.flatMap(g => g.select().kept.flatMap(i => [g.batch, g.cls, i]))
  const expected = [{ dtype: 'int64' as const, shape: [rows.length / 3, 3], value: Float64Array.from(rows) }]
  const fails = (wrong: string, kind: 'wrong' | 'shape' = 'wrong', ambiguous = 0): Refutation => ({ wrong, kind, ambiguous, expected })
  const y = outputs[0]
  if (!y) return fails('no output', 'shape')
  if (y.dtype !== 'int64' && y.dtype !== 'int32') return fails(`indices of type ${y.dtype}`, 'shape')
  if (y.shape.length !== 2 || y.shape[1] !== 3 || y.data.length !== y.shape[0]! * 3)
    return fails(`shape [${y.shape}], the definition gives rows of 3`, 'shape')
  const given = outputs[1] ?? null
  if (given && given.data.length !== y.shape[0]) return fails(`${given.data.length} scores for ${y.shape[0]} rows`, 'shape')

  const kept = groups.map(() => ({ boxes: [] as number[], scores: [] as number[] }))
  const conventions = new Set<string>()
  let previous = -1
  for (let r = 0; r < y.shape[0]!; r++) {
    const [batch, cls, box] = [y.data[3 * r]!, y.data[3 * r + 1]!, y.data[3 * r + 2]!]
    const at = groups.findIndex(g => g.batch === batch && g.cls === cls)
    if (at < 0 || !(box >= 0 && box < groups[at]!.scores.length)) return fails(`row ${r} [${batch}, ${cls}, ${box}] names nothing`)
    if (kept[at]!.boxes.includes(box)) return fails(`row ${r} [${batch}, ${cls}, ${box}] comes twice`)
    kept[at]!.boxes.push(box)
    if (given) kept[at]!.scores.push(given.data[r]!)
    if (at < previous) conventions.add('rows are not ordered by image and class')
    previous = at
  }
  let ambiguous = 0
  for (const [at, g] of groups.entries()) {
    const { boxes: list, scores: values } = kept[at]!
    if (list.length > s.limit) return fails(`${list.length} boxes of class ${g.cls}, image ${g.batch}, the limit is ${s.limit}`, 'wrong', ambiguous)
    if (g.scores.some(Number.isNaN) || (s.sigma > 0 && g.scores.some(v => v < 0))) {
      // NaN has no place in an order; a decay raises a negative score.
      if (g.select().kept.join() !== list.join()) conventions.add('scores that are NaN, or negative with soft suppression')
      ambiguous += list.length
      continue
    }
    const f = s.sigma > 0 ? refuteSoft(g, list, given && values, arithmetic) : refuteHard(g, list, arithmetic)
    ambiguous += f.ambiguous
    if (f.wrong) return fails(f.wrong, 'wrong', ambiguous)
    const bad = s.sigma > 0 || !given ? -1 : list.findIndex((i, r) => values[r] !== g.scores[i])
    if (bad >= 0) return fails(`box ${list[bad]} of class ${g.cls}, image ${g.batch} is returned with score ${values[bad]}`, 'wrong', ambiguous)
    for (const c of f.conventions) conventions.add(c)
  }
  return { wrong: null, ambiguous, expected, ...(conventions.size > 0 ? { convention: [...conventions].join('; ') } : {}) }
}

// ── Lowerings ────────────────────────────────────────────────────────────────

function onnx(a: A): Lowering<OnnxForm>[] {
  if (a.soft_nms_sigma) return [{ declined: 'NonMaxSuppression has no soft suppression' }]
  const parameters = (shape: number[], skip: (v: number, i: number) => boolean): Record<string, Tensor> => {
    const out: Record<string, Tensor> = {}
    for (const [i, name] of (['max_output_boxes_per_class', 'iou_threshold', 'score_threshold'] as const).entries()) {
      const v = a[name]
      if (v !== undefined && !skip(v, i)) out[name] = h.tensor(i === 0 ? 'int64' : 'float32', shape, [v])
    }
    return out
  }
  const node = (opset: number, constants: Record<string, Tensor>, explicit = true): OnnxForm => {
    const inputs = ['max_output_boxes_per_class', 'iou_threshold', 'score_threshold'].map(name => (constants[name] ? name : ''))
    while (inputs.at(-1) === '') inputs.pop()
    const attributes: h.OnnxNode['attributes'] = explicit || a.center_point_box === 1 ? { center_point_box: a.center_point_box ?? 0 } : {}
    return { opset, nodes: [{ op: 'NonMaxSuppression', in: ['x0', 'x1', ...inputs], out: ['y0'], attributes }], constants }
  }
  const whole = parameters([1], () => false)
  const names = Object.keys(whole)
  const form = node(11, whole)
  const fed: OnnxForm = {
    opset: 11,
    nodes: form.nodes.map(n => ({ ...n, in: n.in.map(i => (names.includes(i) ? `x${names.indexOf(i) + 2}` : i)) })),
    prepare: ([boxes, scores]) => [boxes!, scores!, ...names.map(n => whole[n]!)],
  }
  return [
    { path: 'node', form },
    { path: 'opset-10', form: node(10, whole) },
    {
      path: 'scalars',
      form: node(
        11,
        parameters([], () => false),
      ),
    },
    {
      path: 'defaults-left-out',
      form: node(
        11,
        parameters([1], (v, i) => i < 2 && v === 0),
        false,
      ),
    },
    { path: 'fed', form: fed },
  ]
}

type Call = (tf: any, boxes: any, scores: any) => any
/** Corners of centre boxes, [y1, x1, y2, x2]. */
function corners(b: Tensor): Tensor {
  const v = h.numbers(b)
  return h.tensor(
    'float32',
    b.shape,
    v.map((_, k) => {
      const i = k - (k % 4)
      const edge = k % 4 < 2 ? -0.5 : 0.5
      return v[i + 1 - (k % 2)]! + edge * v[i + 3 - (k % 2)]!
    }),
  )
}
/**
 * Splits the inputs on the host, calls once per image and class and joins the rows on the host. Each call gives [indices], [indices, scores] or
 * [indices, number of valid ones].
 */
function looped(boxes: TensorSpec, scores: TensorSpec, center: boolean, call: Call, then: 'indices' | 'scores' | 'valid'): TfjsForm {
  const [images, classes] = scores.shape as [number, number]
  const part = (t: Tensor, i: number, shape: number[]): Tensor => ({
    dtype: t.dtype,
    shape,
    data: t.data.slice(i * h.sizeOf(shape), (i + 1) * h.sizeOf(shape)),
  })
  const width = then === 'indices' ? 1 : 2
  return {
    prepare: ([b, s]) => [
      ...Array.from({ length: images }, (_, i) => part(center ? corners(b!) : b!, i, boxes.shape.slice(1))),
      ...Array.from({ length: images * classes }, (_, i) => part(s!, i, scores.shape.slice(2))),
    ],
    call: async (tf, t) => {
      const out: any[] = []
      for (let g = 0; g < images * classes; g++) out.push(...(await call(tf, t[Math.floor(g / classes)], t[images + g])))
      return out
    },
    finish: out => {
      const rows: number[] = []
      const values: number[] = []
      for (let g = 0; g < images * classes; g++) {
        const [indices, second] = [h.numbers(out[g * width]!), width === 2 ? h.numbers(out[g * width + 1]!) : null]
        const count = then === 'valid' ? second![0]! : indices.length
        for (let r = 0; r < count; r++) rows.push(Math.floor(g / classes), g % classes, indices[r]!)
        if (then === 'scores') values.push(...second!)
      }
      const y = h.tensor(out[0]!.dtype, [rows.length / 3, 3], rows)
      return then === 'scores' ? [y, h.tensor(out[1]!.dtype, [values.length], values)] : [y]
    },
  }
}

function tfjs(a: A, boxes: TensorSpec, scores: TensorSpec): Lowering<TfjsForm>[] {
  if (boxes.shape.length !== 3 || scores.shape.length !== 3) return [{ declined: 'not a list of images with boxes [n, 4] and scores [classes, n]' }]
  const { limit, iou, least, center, sigma } = settingsOf(a)
  const form = (call: Call, then: 'indices' | 'scores' | 'valid', convert = center) => looped(boxes, scores, convert, call, then)
  const scored = (r: any) => [r.selectedIndices, r.selectedScores]
  const counted = (r: any) => [r.selectedIndices, r.validOutputs]
  const soft = sigma > 0 ? [sigma] : []
  const paths: Lowering<TfjsForm>[] = [
    { path: 'with-score', form: form((tf, b, s) => scored(tf.image.nonMaxSuppressionWithScore(b, s, limit, iou, least, ...soft)), 'scores') },
    {
      path: 'with-score-async',
      form: form(async (tf, b, s) => scored(await tf.image.nonMaxSuppressionWithScoreAsync(b, s, limit, iou, least, ...soft)), 'scores'),
    },
  ]
  if (sigma > 0) return paths
  paths.unshift(
    { path: 'nms', form: form((tf, b, s) => [tf.image.nonMaxSuppression(b, s, limit, iou, least)], 'indices') },
    { path: 'async', form: form(async (tf, b, s) => [await tf.image.nonMaxSuppressionAsync(b, s, limit, iou, least)], 'indices') },
  )
  for (const pad of [false, true]) {
    const path = pad ? 'pad-to-max' : 'padded'
    paths.push(
      { path, form: form((tf, b, s) => counted(tf.image.nonMaxSuppressionPadded(b, s, limit, iou, least, pad)), 'valid') },
      {
        path: `${path}-async`,
        form: form(async (tf, b, s) => counted(await tf.image.nonMaxSuppressionPaddedAsync(b, s, limit, iou, least, pad)), 'valid'),
      },
    )
  }
  if (iou !== 0.5)
    paths.push({
      path: 'default-iou',
      form: form((tf, b, s) => [tf.image.nonMaxSuppression(b, s, limit, undefined, least)], 'indices'),
      naive: 'the default IoU threshold is 0.5, not 0',
    })
  const decimal = (v: number) => Number(v.toPrecision(7))
  if (decimal(iou) !== iou || (least !== undefined && decimal(least) !== least))
    paths.push({
      path: 'decimal-thresholds',
      form: form((tf, b, s) => [tf.image.nonMaxSuppression(b, s, limit, decimal(iou), least === undefined ? least : decimal(least))], 'indices'),
      naive: 'a threshold written as 0.1 is a double here and a float32 in ONNX',
    })
  if (center)
    paths.push({
      path: 'centre-as-corners',
      form: form((tf, b, s) => [tf.image.nonMaxSuppression(b, s, limit, iou, least)], 'indices', false),
      naive: 'tf takes corners, not centre and size',
    })
  return paths
}

function fromOnnx({ attributes, inputs, values }: GivenNode): { attributes: A; inputs: readonly TensorSpec[] } | { declined: string } {
  if (!inputs[0] || !inputs[1]) return { declined: 'NonMaxSuppression without boxes or scores' }
  const a: A = { ...attributes }
  for (const [i, name] of (['max_output_boxes_per_class', 'iou_threshold', 'score_threshold'] as const).entries()) {
    const v = inputs[i + 2] ? values(i + 2)?.[0] : undefined
    if (v !== undefined) a[name] = v
  }
  return { attributes: a, inputs: [inputs[0], inputs[1]] }
}

// ── Cases ────────────────────────────────────────────────────────────────────

/** The float32 value `steps` places further. */
function beside(v: number, steps: number): number {
  const word = new Float32Array([v])
  const bits = new Int32Array(word.buffer)
  if (v === 0) return steps === 0 ? 0 : steps * 2 ** -149
  bits[0] = bits[0]! + (v > 0 ? steps : -steps)
  return word[0]!
}

const fields = {
  own: h.int(0, 3), // 3: soft suppression, which only TF.js has
  images: h.int(1, 2),
  classes: h.int(1, 3),
  n: h.int(0, 12),
  boxes: h.int(0, 5), // identical; integers 0…6 (many equal, flipped and empty ones); integers 0…40; reals; reals far from 0; clusters
  boxSeed: h.int(0, 9999),
  scores: h.int(0, 6), // rising; all equal; integers (ties); 0…1; −1…1; with −0; with NaN
  scoreSeed: h.int(0, 9999),
  center: h.flag,
  limit: h.int(0, 14), // 0: as many as there are boxes; 1…12; 13: none; 14: absent
  iouBy: h.int(0, 5), // eighths; twentieths; the IoU of two boxes, one place below it, one above; absent
  iou: h.int(0, 20),
  scoreBy: h.int(0, 5), // absent; the score of a box, one place below it, one above; tenths; 0
  score: h.int(0, 12),
  sigma: h.int(1, 10),
}

/** Groups of boxes like a detector's: four centres, every box a little off one of them. */
function clusters(seed: number, n: number, center: boolean): number[] {
  const next = h.random(seed)
  const jitter = () => (next() % 1000) / 1000
  return Array.from({ length: n }, (_, i) => {
    const [y, x, height, width] = [10 * (i % 2) + jitter(), 10 * (i % 4 > 1 ? 1 : 0) + jitter(), 4 + jitter(), 5 + jitter()]
    return (center ? [x, y, width, height] : [y, x, y + height, x + width]).map(Math.fround)
  }).flat()
}

const valid = h.generator(fields, (raw): { attributes: A; inputs: TensorSpec[] } => {
  const { images, classes, n } = raw
  const soft = raw.own === 3
  const seeds: TensorSpec['recipe'][] = [
    { kind: 'values', values: raw.center ? [1, 1, 2, 2] : [0, 0, 2, 2] },
    { kind: 'integers', seed: raw.boxSeed, low: 0, high: 6 },
    { kind: 'integers', seed: raw.boxSeed, low: 0, high: 40 },
    { kind: 'uniform', seed: raw.boxSeed, low: 0, high: 1 },
    { kind: 'uniform', seed: raw.boxSeed, low: 10000, high: 10004 },
    { kind: 'values', values: clusters(raw.boxSeed, images * n, raw.center === 1) },
  ]
  const ranks: TensorSpec['recipe'][] = [
    { kind: 'ramp', start: 1, step: 1 },
    { kind: 'constant', value: 1 },
    { kind: 'integers', seed: raw.scoreSeed, low: 0, high: 4 },
    { kind: 'uniform', seed: raw.scoreSeed, low: 0, high: 1 },
    { kind: 'uniform', seed: raw.scoreSeed, low: soft ? 0 : -1, high: 1 },
    { kind: 'special', seed: raw.scoreSeed, value: '-0' },
    { kind: 'special', seed: raw.scoreSeed, value: soft ? 8 : 'NaN' },
  ]
  const boxes: TensorSpec = { dtype: 'float32', shape: [images, n, 4], recipe: seeds[raw.boxes]! }
  const scores: TensorSpec = { dtype: 'float32', shape: [images, classes, n], recipe: ranks[raw.scores]! }
  const a: A = {}
  if (raw.limit < 14) a.max_output_boxes_per_class = raw.limit === 0 ? n : raw.limit === 13 ? 0 : raw.limit
  // Thresholds on and beside what the data give.
  const [b, s] = [h.realise(boxes).data as Float32Array, h.realise(scores).data as Float32Array]
  const two = [raw.iou % Math.max(1, n), (raw.iou + 1) % Math.max(1, n)] as const
  const actual = n > 1 ? Math.fround(overlap(b, two[0], two[1], raw.center === 1, PLAIN).value) : 0
  const near = Math.max(0, Math.min(1, beside(actual, [0, 0, 0, -1, 1, 0][raw.iouBy]!)))
  if (raw.iouBy < 5) a.iou_threshold = raw.iouBy === 0 ? Math.min(8, raw.iou) / 8 : raw.iouBy === 1 ? Math.fround(raw.iou / 20) : near
  const one = s.length > 0 && Number.isFinite(s[raw.score % s.length]!) ? s[raw.score % s.length]! : 0
  if (raw.scoreBy > 0)
    a.score_threshold = raw.scoreBy < 4 ? beside(one, [0, 0, -1, 1][raw.scoreBy]!) : raw.scoreBy === 4 ? Math.fround(raw.score / 10) : 0
  if (raw.center) a.center_point_box = 1
  if (soft) a.soft_nms_sigma = Math.fround(raw.sigma / 10)
  return { attributes: a, inputs: [boxes, scores] }
})

/** One fault each: shapes of boxes and scores that do not fit, a threshold that is no IoU. */
const FAULTS: readonly { boxes?: (n: number) => number[]; scores?: (n: number) => number[]; iou?: number }[] = [
  { boxes: n => [1, n, 3] },
  { boxes: n => [1, n, 5] },
  { boxes: n => [1, n + 1, 4] },
  { scores: n => [1, 1, n + 1] },
  { scores: n => [2, 1, n] },
  { boxes: n => [n, 4] },
  { scores: n => [1, n] },
  { iou: -0.5 },
  { iou: 1.5 },
]
const faulty = { fault: h.int(0, FAULTS.length - 1), n: h.int(1, 4), limit: h.int(1, 3), center: h.flag, seed: h.int(0, 99) }
const invalid = h.generator(faulty, (raw): { attributes: A; inputs: TensorSpec[] } => {
  const fault = FAULTS[raw.fault]!
  const spec = (shape: number[], high: number): TensorSpec => ({
    dtype: 'float32',
    shape,
    recipe: { kind: 'integers', seed: raw.seed, low: 0, high },
  })
  const a: A = { max_output_boxes_per_class: raw.limit, iou_threshold: fault.iou ?? 0.5 }
  if (raw.center) a.center_point_box = 1
  return { attributes: a, inputs: [spec(fault.boxes?.(raw.n) ?? [1, raw.n, 4], 6), spec(fault.scores?.(raw.n) ?? [1, 1, raw.n], 9)] }
})

export default h.defineOp<A>({
  name: 'nms',
  spec: [
    'https://onnx.ai/onnx/operators/onnx__NonMaxSuppression.html',
    'https://js.tensorflow.org/api/latest/#image.nonMaxSuppression',
    'https://js.tensorflow.org/api/latest/#image.nonMaxSuppressionWithScore',
    'https://js.tensorflow.org/api/latest/#image.nonMaxSuppressionPadded',
    'https://arxiv.org/abs/1704.04503',
  ],
  operators: ['NonMaxSuppression'],
  valid,
  invalid,
  fromOnnx,
  expect(a, [boxes, scores]) {
    const s = settingsOf(a)
    const groups = groupsOf(boxes!, scores!, s)
    return [{ rule: 'decisions', refute: (outputs, arithmetic) => refute(groups, s, outputs, arithmetic) }]
  },
  onnx: ({ attributes }) => onnx(attributes),
  tfjs: ({ attributes, inputs: [boxes, scores] }) => tfjs(attributes, boxes!, scores!),
})
