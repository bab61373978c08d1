/**
 * Max pooling of images that also says where each maximum stands, in TF.js's numbering: (y·W + x)·C + c, plus n·H·W·C with include_batch_in_index.
 * x [N, C, H, W]; both outputs [N, C, H′, W′]. (TF.js maxPoolWithArgmax; ONNX MaxPool-8 to 22 with Indices, which count ((n·C + c)·H + y)·W + x: converted on the host)
 */
import {
  type Case,
  type DType,
  data,
  defineOp,
  drawn,
  type Expected,
  fill,
  flag,
  generator,
  int,
  type Lowering,
  type OnnxForm,
  permute,
  pick,
  type Shape,
  type Tensor,
  type TfjsForm,
  tensor,
  toLast,
  toSecond,
  without,
} from '../harness/op.ts'
import { drawPool, drawSpoilt, type PoolAttributes, poolFields, spoiltPool } from '../harness/pools.ts'
import { padRows, padsOf, padWords } from '../harness/windows.ts'
import maxPool from './max-pool.ts'

type A = Omit<PoolAttributes, 'ceil_mode' | 'dilations'> & { include_batch_in_index: number }

// ── Cases ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const { ceil: _, rank: __, dilations: ___, ...images } = poolFields
const fields = { ...images, batched: flag, type: int(0, 4), x: data() }
const valid = generator(fields, raw => {
  const { attributes, shape } = drawPool({ ...raw, rank: 1, ceil: 0, dilations: [1, 1, 1] })
  // float32 is common ground; of the others TF.js has int32, ONNX the rest.
  const dtype: DType = raw.own < 3 ? 'float32' : pick(['float32', 'int32', 'uint8', 'int8', 'float16'] as const, raw.type)
  const a = without(attributes, 'ceil_mode', 'dilations') as A
  return drawn<A>({ ...a, include_batch_in_index: raw.batched }, fill(fields.x, raw.x, shape, dtype))
})
const { rank: ____, ...plainly } = spoiltPool
const spoilt = { ...plainly, x: data('integers', 'negative') }
const invalid = generator(spoilt, raw => {
  const { attributes, inputs } = drawSpoilt({ ...raw, what: pick([0, 0, 2, 3, 4, 5, 6, 7, 8, 2], raw.what), rank: 2 }, spoilt.x)
  return { attributes: { ...(without(attributes, 'ceil_mode', 'dilations') as A), include_batch_in_index: 0 }, inputs }
})

// ── Reference ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** ONNX's flat index in TF.js's numbering; `column`: planes were counted column by column (storage_order 1). */
function renumber(index: number, [, channels, height, width]: Shape, batched: boolean, column = false): number {
  const [c, h, w] = [channels!, height!, width!]
  const [plane, at] = [Math.floor(index / (h * w)), index % (h * w)]
  const pixel = column ? (at % h) * w + Math.floor(at / h) : at
  const n = Math.floor(plane / c)
  return (batched ? n * h * w * c : 0) + pixel * c + (plane % c)
}
const whole = (a: A) => ({ ...a, ceil_mode: 0, dilations: [1, 1], storage_order: 0 })
function expect(a: A, inputs: Parameters<typeof maxPool.expect>[1]): Expected[] {
  const { shape } = inputs[0]!
  const [value, index] = maxPool.expect(whole(a), inputs) as [Expected, Extract<Expected, { rule: 'exact' }>]
  const renumbered = (v: Float64Array) => v.map(i => renumber(i, shape, a.include_batch_in_index === 1))
  const open = index.open?.map(o => ({
    ...o,
    answers: Object.fromEntries(Object.entries(o.answers ?? {}).map(([name, v]) => [name, renumbered(v)])),
  }))
  return [value, { ...index, value: renumbered(index.value), open }]
}

// ── Lowerings ───────────────────────────────────────────────────────────────────────────────────────────────────────

function onnx(c: Case<A>): Lowering<OnnxForm>[] {
  const { attributes: a } = c
  const x = c.inputs[0]!
  if (x.dtype === 'int32') return [{ declined: 'MaxPool has no int32' }]
  if (![...a.strides, ...a.pads].every(Number.isInteger)) return [{ declined: 'ONNX attributes are integers' }]
  const window = without(a, 'include_batch_in_index', ...(a.auto_pad === 'NOTSET' || a.pads.some(p => p !== 0) ? [] : ['pads']))
  const batched = a.include_batch_in_index === 1
  const form = (opset: number, more: object = {}, column = false): OnnxForm => ({
    opset,
    nodes: [{ op: 'MaxPool', in: ['x0'], out: ['y0', 'y1'], attributes: { ...window, ...more } }],
    finish: ([y, at]) => [y!, at ? renumberAll(at, x.shape, batched, column) : null],
  })
  const paths: Lowering<OnnxForm>[] = [
    { path: 'node', form: form(13, { storage_order: 0 }) },
    { path: 'opset-22', form: form(22, { storage_order: 0, dilations: [1, 1], ceil_mode: 0 }) },
    { path: 'column-major', form: form(13, { storage_order: 1 }, true) },
    { path: 'opset-11', form: form(11) },
  ]
  if (x.dtype.endsWith('int8')) paths.splice(3)
  else paths.push({ path: 'opset-8', form: form(9, { storage_order: 1 }, true) })
  if (c.valid === false) return paths
  const { finish: _, ...raw } = form(13)
  paths.push({ path: 'unconverted', form: raw, naive: 'ONNX counts planes, then pixels; TF.js pixels, then channels' })
  return paths
}
const renumberAll = (at: Tensor, shape: Shape, batched: boolean, column: boolean): Tensor =>
  tensor(
    at.dtype,
    at.shape,
    Float64Array.from(at.data as BigInt64Array, (v: bigint) => renumber(Number(v), shape, batched, column)),
  )

function tfjs(c: Case<A>): Lowering<TfjsForm>[] {
  const { attributes: a } = c
  const x = c.inputs[0]!
  const invalid = c.valid === false
  const pads = padsOf(whole(a), x.shape.slice(2))
  const words = padWords(whole(a), pads, x.shape.slice(2))
  const [window, strides] = [[...a.kernel_shape], [...a.strides]]
  const paths: Lowering<TfjsForm>[] = []
  const batched = a.include_batch_in_index === 1
  const say = (path: string, pad: unknown, size: unknown = window, step: unknown = strides, ...more: unknown[]) =>
    paths.push({
      path,
      form: {
        prepare: t => [permute(t[0]!, toLast(4))],
        call: (tf, t) => {
          const { result, indexes } = tf.maxPoolWithArgmax(t[0], size, step, pad, ...more)
          return [result, indexes]
        },
        finish: ([y, at]) => [permute(y!, toSecond(4)), permute(at!, toSecond(4))],
      },
    })
  const forms: [string, unknown][] = [['explicit', a.auto_pad === 'SAME' ? 'SAME' : padRows(pads)]]
  if (words.valid) forms.push(['valid', 'valid'])
  if (words.same && !invalid) forms.push(['same', 'same'])
  if (words.number !== null) forms.push(['number', words.number])
  for (const [name, pad] of forms) say(name, pad, window, strides, batched)
  if (invalid) return paths
  const pad = words.valid ? 'valid' : words.same ? 'same' : padRows(pads)
  if (!batched) say('defaults-left-out', pad)
  if (window[0] === window[1] && strides[0] === strides[1]) say('scalars', pad, window[0], strides[0], batched)
  return paths
}

export default defineOp<A>({
  name: 'max-pool-argmax',
  spec: ['https://onnx.ai/onnx/operators/onnx__MaxPool.html', 'https://js.tensorflow.org/api/latest/#maxPoolWithArgmax'],
  valid,
  invalid,
  expect,
  onnx,
  tfjs,
})
