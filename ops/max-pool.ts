/**
 * y[n, c, o] = max of x[n, c, o·strides − pads + k·dilations] over the kernel positions k that lie on the image; padding takes no part.
 * The second output says where: (n·C + c)·D₁…D_r + the position in the plane, row-major, or column-major with storage_order 1. (ONNX MaxPool-12; 22 only adds bfloat16)
 */
import {
  type Case,
  type DType,
  data,
  defineOp,
  drawn,
  type Expected,
  fill,
  fromJson64,
  generator,
  int,
  LARGEST,
  type Lowering,
  type OnnxForm,
  open,
  permute,
  pick,
  type Real,
  type Tensor,
  type TensorSpec,
  type TfjsForm,
  tensor,
  toLast,
  toSecond,
  without,
} from '../harness/op.ts'
import {
  drawPool,
  drawSpoilt,
  eitherCount,
  nonNegative,
  onnxPool,
  type PoolAttributes,
  poolAxes,
  poolFields,
  poolGeometry,
  readPool,
  spoiltPool,
  tfjsPool,
} from '../harness/pools.ts'
import { padRows, padWords } from '../harness/windows.ts'

type A = PoolAttributes & { storage_order: number }

// ── Cases ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const fields = { ...poolFields, storage: int(0, 1), type: int(0, 5), x: data() }
const valid = generator(fields, raw => {
  const { attributes, shape } = drawPool(raw)
  // float32 is common ground; of the others ONNX has uint8, int8 and float16, TF.js has int32.
  const dtype: DType = raw.own < 3 ? 'float32' : pick(['float32', 'float32', 'int32', 'uint8', 'int8', 'float16'] as const, raw.type)
  return drawn<A>({ ...attributes, storage_order: raw.storage }, fill(fields.x, raw.x, shape, dtype))
})
const spoilt = { ...spoiltPool, x: data('integers', 'negative') }
const invalid = generator(spoilt, raw => {
  const { attributes, inputs } = drawSpoilt(raw, spoilt.x)
  return { attributes: { ...attributes, storage_order: 0 } as A, inputs }
})

// ── Reference ───────────────────────────────────────────────────────────────────────────────────────────────────────

const lowest = (dtype: DType): number => ({ float16: -65504, int32: -(2 ** 31), int8: -128, uint8: 0 })[dtype as string] ?? -LARGEST

function windows(a: A, x: Real): Expected[] {
  const g = poolGeometry(a, x.shape.slice(2))
  const [Z, Y, X] = poolAxes(a, g)
  const [batch, channels] = x.shape as [number, number]
  const { data } = x
  const size = batch * channels * Z.out * Y.out * X.out
  const make = () => new Float64Array(size)
  const [value, propagated, leading, index, last] = [make(), make(), make(), make(), make()]
  const [empty, nan, tie] = [new Uint8Array(size), new Uint8Array(size), new Uint8Array(size)]
  let i = 0
  for (let plane = 0; plane < batch * channels; plane++)
    for (let z = 0; z < Z.out; z++)
      for (let y = 0; y < Y.out; y++)
        for (let o = 0; o < X.out; o++, i++) {
          let best = -Infinity
          let [seen, first, final, nans, led] = [0, -1, -1, 0, false]
          for (let kz = Z.first[z]!; kz < Z.end[z]!; kz++)
            for (let ky = Y.first[y]!; ky < Y.end[y]!; ky++)
              for (let kx = X.first[o]!; kx < X.end[o]!; kx++) {
                const [pz, py, px] = [Z.origin[z]! + kz * Z.dilation, Y.origin[y]! + ky * Y.dilation, X.origin[o]! + kx * X.dilation]
                const v = data[((plane * Z.size + pz) * Y.size + py) * X.size + px]!
                const at = a.storage_order ? pz + Z.size * (py + Y.size * px) : (pz * Y.size + py) * X.size + px
                if (v !== v) {
                  led ||= seen === 0
                  nans++
                } else if (first < 0 || v > best) {
                  best = v
                  first = final = at
                } else if (v === best) final = at
                seen++
              }
          value[i] = best
          propagated[i] = nans ? NaN : best
          leading[i] = led ? NaN : best
          const start = plane * Z.size * Y.size * X.size
          index[i] = start + first
          last[i] = start + final
          empty[i] = seen === 0 ? 1 : 0
          nan[i] = nans ? 1 : 0
          tie[i] = first === final && !nans && seen ? 0 : 1
        }
  const shape = [batch, channels, ...g.counts]
  const nothing = { '-Infinity': value, zero: make(), 'the lowest number': value.map(() => lowest(x.dtype)) }
  const unclear = [
    ...open('the maximum of a window that lies in the padding', empty, nothing),
    ...open('the maximum of a window with NaN', nan, { 'NaN is skipped': value, 'NaN wins': propagated, 'NaN wins where it comes first': leading }),
  ]
  return [
    { rule: 'exact', dtype: x.dtype, shape, value, open: unclear },
    { rule: 'exact', dtype: 'int64', shape, value: index, open: open('which of equal maxima has its index returned', tie, { first: index, last }) },
  ]
}

// ── Lowerings ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** What padding may hold without winning; null where −Infinity itself must win. */
function padding(x: TensorSpec): number | null {
  if (nonNegative(x)) return 0
  if (x.recipe.kind === 'special' && fromJson64(x.recipe.value) === -Infinity) return null
  return lowest(x.dtype)
}

function onnx(c: Case<A>): Lowering<OnnxForm>[] {
  const { attributes: a } = c
  const x = c.inputs[0]!
  if (x.dtype === 'int32') return [{ declined: 'MaxPool has no int32' }]
  const plain = a.dilations.every(d => d === 1) && a.ceil_mode === 0
  const opsets = x.dtype.endsWith('int8') ? [13, 22] : plain ? [13, 22, 11, 10, 9] : [13, 22, 11, 10]
  const paths = onnxPool(c, { operator: 'MaxPool', opsets, more: { storage_order: 0 }, padding: padding(x) })
  const written = without(a, ...(a.auto_pad === 'NOTSET' ? [] : ['pads']))
  if (c.valid !== false && 'path' in paths[0]!)
    paths.push({ path: 'indices', form: { opset: 13, nodes: [{ op: 'MaxPool', in: ['x0'], out: ['y0', 'y1'], attributes: written }] } })
  return paths
}

/** TF.js's flat index ((n·)H·W·C order, n only with includeBatchInIndex) as ONNX's. */
function toOnnxIndex(indexes: Tensor, batched: boolean, [, channels, height, width]: readonly number[], column: boolean): Tensor {
  const [c, h, w] = [channels!, height!, width!]
  const each = indexes.data.length / (indexes.shape[0] || 1)
  const numbers = Float64Array.from(indexes.data as Int32Array, (v, i) => {
    const n = Math.floor(i / each)
    const inImage = batched ? v - n * h * w * c : v
    const [pixel, channel] = [Math.floor(inImage / c), inImage % c]
    const [py, px] = [Math.floor(pixel / w), pixel % w]
    return (n * c + channel) * h * w + (column ? py + h * px : pixel)
  })
  return tensor('int32', indexes.shape, numbers)
}

function tfjs(c: Case<A>): Lowering<TfjsForm>[] {
  const { attributes: a } = c
  const x = c.inputs[0]!
  const paths = tfjsPool(c, { kind: 'max', excluded: true, padding: padding(x) })
  const { pads, sizes, counts, floor } = poolGeometry(a, x.shape.slice(2))
  if (c.valid === false || sizes.length !== 2 || a.dilations.some(d => d > 1) || counts.some((n, i) => n !== floor[i])) return paths
  const words = padWords(a, pads, sizes)
  for (const batched of [false, true])
    paths.push({
      path: batched ? 'argmax-batch-index' : 'argmax',
      form: {
        prepare: t => [permute(t[0]!, toLast(4))],
        call: (tf, t) => {
          const pad = words.valid ? 'valid' : words.same ? 'same' : padRows(pads)
          const { result, indexes } = tf.maxPoolWithArgmax(t[0], a.kernel_shape, a.strides, pad, batched)
          return [result, indexes]
        },
        finish: ([y, at]) => [permute(y!, toSecond(4)), permute(toOnnxIndex(at!, batched, x.shape, a.storage_order === 1), toSecond(4))],
      },
    })
  return paths
}

export default defineOp<A>({
  name: 'max-pool',
  spec: [
    'https://onnx.ai/onnx/operators/onnx__MaxPool.html',
    'https://js.tensorflow.org/api/latest/#maxPool',
    'https://js.tensorflow.org/api/latest/#pool',
    'https://js.tensorflow.org/api/latest/#maxPoolWithArgmax',
  ],
  valid,
  invalid,
  operators: ['MaxPool'],
  fromOnnx: node => readPool<A>(node, { storage_order: 0 }),
  expect: (a, [x]) => eitherCount(a, x!.shape.slice(2), b => windows(b, x!)),
  onnx,
  tfjs,
})
