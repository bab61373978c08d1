/**
 * y[1, i, j] = 255 where the grey value lies above the threshold (inverted: at or below it), else 0. Grey: the only channel, or 0.2989 R + 0.5870 G + 0.1140 B (CCIR 601).
 * binary: threshold · 255; otsu: the bin that divides the histogram of rounded values into two classes with the largest variance between them, the first of equals.
 * (tf.image.threshold; N. Otsu, IEEE Trans. SMC 9, 1979)
 */
import {
  type Case,
  type DType,
  defineOp,
  drawn,
  type Expected,
  flag,
  generator,
  int,
  type Lowering,
  type OnnxForm,
  type OnnxNode,
  open,
  permute,
  pick,
  type Real,
  type Recipe,
  roundEven,
  type TfjsForm,
  tensor,
} from '../harness/op.ts'

type A = { method: string; inverted: number; threshold: number }
const LUMA = [0.2989, 0.587, 0.114].map(Math.fround) as [number, number, number]

// ── Cases ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const fields = {
  otsu: int(0, 5), // 5
  colour: flag,
  inverted: flag,
  threshold: int(0, 5),
  height: int(1, 17),
  width: int(1, 17),
  integral: flag,
  picture: int(0, 4),
  seed: int(0, 999),
}
const THRESHOLDS = [0.5, 0, 1, 0.2, 0.25, 0.7].map(Math.fround)
const valid = generator(fields, raw => {
  const dtype: DType = raw.integral ? 'int32' : 'float32'
  const { seed } = raw
  const recipe: Recipe = pick<Recipe>(
    [
      { kind: 'integers', seed, low: 0, high: 255 },
      { kind: 'integers', seed, low: 40, high: 60 },
      { kind: 'constant', value: seed % 256 },
      { kind: 'impulse', at: seed, value: 255 },
      { kind: 'uniform', seed, low: 0, high: 255 },
    ],
    raw.picture,
  )
  const attributes = { method: raw.otsu === 5 ? 'otsu' : 'binary', inverted: raw.inverted, threshold: pick(THRESHOLDS, raw.threshold) }
  return drawn<A>(attributes, { dtype, shape: [raw.colour ? 3 : 1, raw.height, raw.width], recipe })
})
/** One fault each: a number of channels, a rank, a method. */
const FAULTS = ['two channels', 'four channels', 'rank 4', 'rank 2', 'method', 'bool'] as const
const spoilt = { fault: int(0, FAULTS.length - 1), height: int(1, 5), width: int(1, 5) }
const invalid = generator(spoilt, raw => {
  const fault = FAULTS[raw.fault]!
  const channels = { 'two channels': 2, 'four channels': 4 }[fault as string] ?? 1
  const shape = [...(fault === 'rank 4' ? [1] : []), ...(fault === 'rank 2' ? [] : [channels]), raw.height, raw.width]
  const attributes = { method: fault === 'method' ? 'adaptive' : 'binary', inverted: 0, threshold: 0.5 }
  return drawn<A>(attributes, { dtype: fault === 'bool' ? 'bool' : 'float32', shape, recipe: { kind: 'integers', seed: 1, low: 0, high: 1 } })
})

// ── Reference ───────────────────────────────────────────────────────────────────────────────────────────────────────

const U = 2 ** -23
/** Bins that rounding may choose, the definition's first; none where every pixel lies in one bin. `doubt`: a pixel that may lie in either of two bins. */
function otsu(grey: Float64Array, slack: Float64Array): { bins: number[]; doubt: boolean } {
  const histogram = new Float64Array(256)
  let doubt = false
  grey.forEach((v, i) => {
    histogram[Math.max(0, Math.min(255, roundEven(v)))]!++
    if (slack[i]! > 0 && roundEven(v - slack[i]!) !== roundEven(v + slack[i]!)) doubt = true
  })
  const total = grey.length
  const all = histogram.reduce((s, n, k) => s + n * k, 0)
  const found: { bin: number; variance: number; count: number }[] = []
  let [count, sum] = [0, 0]
  for (let bin = 0; bin < 255; bin++) {
    count += histogram[bin]!
    sum += histogram[bin]! * bin
    if (count === 0 || count === total || histogram[bin] === 0) continue // an empty bin divides as the one before it
    const apart = sum / count - (all - sum) / (total - count)
    found.push({ bin, variance: (count / total) * ((total - count) / total) * apart * apart, count })
  }
  const best = found.reduce((m, f) => Math.max(m, f.variance), 0)
  // Two weights, two means (each off by 3u of up to 255, against their difference), three products.
  const near = found.filter(f => f.variance > 0 && f.variance >= best - 40 * U * (best + 255 * Math.sqrt(best)))
  const first = near.find(f => f.variance === best)
  return { bins: first ? [first.bin, ...near.filter(f => f !== first).map(f => f.bin)] : [], doubt }
}

function expect(a: A, [x]: readonly (Real | null)[]): Expected[] {
  const [channels, height, width] = x!.shape as [number, number, number]
  const pixels = height * width
  const grey = new Float64Array(pixels)
  const slack = new Float64Array(pixels)
  for (let i = 0; i < pixels; i++) {
    for (let c = 0; c < channels; c++) grey[i]! += x!.data[c * pixels + i]! * (channels === 1 ? 1 : LUMA[c]!)
    slack[i] = channels === 1 ? 0 : 4 * U * grey[i]! // three products of positive numbers and two sums
  }
  const at = new Uint8Array(pixels)
  let limits = [a.threshold * 255]
  let off = Number.isInteger(a.threshold * 256) ? 0 : U * limits[0]!
  if (a.method === 'otsu') {
    const { bins, doubt } = otsu(grey, slack)
    if (doubt || bins.length === 0) at.fill(1)
    limits = bins.length ? bins : [-1]
    off = 0
  }
  const mask = (limit: number) => grey.map(v => (v > limit !== (a.inverted === 1) ? 255 : 0))
  const masks = limits.map(mask)
  const value = masks[0]!
  for (let i = 0; i < pixels; i++) {
    if (masks.some(m => m[i] !== value[i])) at[i] = 1
    const near = slack[i]! + off
    if (near > 0 && limits.some(limit => Math.abs(grey[i]! - limit) <= near)) at[i] = 1
  }
  const answers = { 'the exact value': value, 'the other side': value.map(v => 255 - v) }
  const question = a.method === 'otsu' ? 'a threshold that rounding chooses, or none' : 'a value that rounding may put on either side'
  return [{ rule: 'exact', dtype: 'int32', shape: [1, height, width], value, open: open(question, at, answers) }]
}

// ── Lowerings ───────────────────────────────────────────────────────────────────────────────────────────────────────

function onnx(c: Case<A>): Lowering<OnnxForm>[] {
  const { attributes: a } = c
  const { shape, dtype } = c.inputs[0]!
  if (c.valid === false) return [{ declined: 'ONNX has no threshold of images that could refuse them' }]
  if (a.method === 'otsu') return [{ declined: 'ONNX has no histogram' }]
  const constants: Record<string, ReturnType<typeof tensor>> = { limit: tensor('float32', [], [Math.fround(a.threshold * 255)]) }
  const nodes: OnnxNode[] = []
  let x = 'x0'
  const step = (op: string, inputs: string[], attributes: Record<string, number> = {}) => {
    const out = `t${nodes.length}`
    nodes.push({ op, in: inputs, out: [out], attributes })
    return out
  }
  if (dtype === 'int32') x = step('Cast', [x], { to: 1 })
  if (shape[0] === 3) {
    constants.luma = tensor('float32', [3, 1, 1], LUMA)
    constants.axes = tensor('int64', [1], [0])
    x = step('ReduceSum', [step('Mul', [x, 'luma']), 'axes'], { keepdims: 1 })
  }
  const condition = step(a.inverted ? 'LessOrEqual' : 'Greater', [x, 'limit'])
  Object.assign(constants, { high: tensor('int32', [], [255]), low: tensor('int32', [], [0]) })
  const chosen: OnnxNode = { op: 'Where', in: [condition, 'high', 'low'], out: ['y0'], attributes: {} }
  return [{ path: 'compare-and-where', form: { opset: 16, nodes: [...nodes, chosen], constants } }]
}

function tfjs(c: Case<A>): Lowering<TfjsForm>[] {
  const { attributes: a } = c
  const { shape } = c.inputs[0]!
  const say = (...rest: readonly unknown[]): TfjsForm =>
    shape.length === 3
      ? {
          prepare: ([x]) => [permute(x!, [1, 2, 0])],
          call: (tf, [x]) => [tf.image.threshold(x, ...rest)],
          finish: ([y]) => [permute(y!, [2, 0, 1])],
        }
      : { call: (tf, [x]) => [tf.image.threshold(x, ...rest)] }
  const paths: Lowering<TfjsForm>[] = [{ path: 'threshold', form: say(a.method, a.inverted === 1, a.threshold) }]
  if (c.valid === false || a.threshold !== 0.5) return paths
  const fewer = a.inverted ? [a.method, true] : a.method === 'otsu' ? [a.method] : []
  return [...paths, { path: 'defaults-left-out', form: say(...fewer) }]
}

export default defineOp<A>({
  name: 'image-threshold',
  spec: ['https://js.tensorflow.org/api/latest/#image.threshold'],
  valid,
  invalid,
  expect,
  onnx,
  tfjs,
})
