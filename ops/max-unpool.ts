/**
 * y[I[i]] = x[i], zeros elsewhere: I counts flat positions of the whole output, row by row, without padding. x and I [N, C, spatial];
 * y [N, C, stride·(in − 1) + kernel − begin − end per axis], or output_shape. (ONNX MaxUnpool-11; 22 only adds bfloat16)
 */
import {
  type Case,
  data,
  defineOp,
  drawn,
  type Expected,
  fill,
  flag,
  generator,
  int,
  ints,
  type Lowering,
  numbers,
  type OnnxForm,
  type OnnxNode,
  open,
  type Real,
  random,
  reshape,
  type Shape,
  sizeOf,
  stridesOf,
  type TensorSpec,
  type TfjsForm,
  tensor,
  unravel,
  values,
  withoutDefaults,
} from '../harness/op.ts'
import { int64, rankOf } from '../harness/windows.ts'

/** `output_shape` (an input of the node) is absent where the size follows from the window; it names all axes. */
type A = { kernel_shape: readonly number[]; strides: readonly number[]; pads: readonly number[]; output_shape?: readonly number[] }

/** The shape that the pool's attributes give. */
const inferred = (a: A, [n, c, ...sizes]: Shape): number[] => [
  n!,
  c!,
  ...sizes.map((s, i) => a.strides[i]! * (s - 1) + a.kernel_shape[i]! - a.pads[i]! - a.pads[i + sizes.length]!),
]

// ── Cases ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const fields = {
  rank: int(0, 4), // spatial axes: 1, 2, 2, 2, 3
  batch: int(1, 2),
  channels: int(1, 5),
  size: ints(3, 1, 6),
  kernel: ints(3, 1, 4),
  strides: ints(3, 1, 4),
  begin: ints(3, 0, 2),
  end: ints(3, 0, 2),
  larger: int(0, 5), // 4: output_shape as it is; 5: larger
  repeated: int(0, 7), // 7: several values for one place
  seed: int(0, 999),
  x: data(),
}
const valid = generator(fields, raw => {
  const rank = rankOf(raw.rank)
  const first = (v: readonly number[]) => v.slice(0, rank)
  const kernel_shape = first(raw.kernel)
  const sizes = first(raw.size).map(s => (rank === 3 ? Math.min(s, 3) : s))
  // Pads are smaller than the kernel, and leave as many places as there are values.
  const fits = (p: number, i: number) => Math.min(p, Math.floor((kernel_shape[i]! - 1) / 2))
  const a: A = { kernel_shape, strides: first(raw.strides), pads: [...first(raw.begin).map(fits), ...first(raw.end).map(fits)] }
  const shape = [raw.batch, raw.channels, ...sizes]
  const whole = inferred(a, shape)
  if (raw.larger > 3) a.output_shape = whole.map((n, i) => (raw.larger === 5 && i > 1 ? n + 1 : n))
  // Every plane keeps its values; places in a random order, as far as there are any.
  const next = random(raw.seed)
  const plane = sizeOf(whole.slice(2))
  const places = Array.from({ length: raw.batch * raw.channels }, (_, p) => {
    const order = Array.from({ length: plane }, (_, i) => i)
    for (let i = plane - 1; i > 0; i--) {
      const j = next() % (i + 1)
      ;[order[i], order[j]] = [order[j]!, order[i]!]
    }
    return Array.from({ length: sizeOf(sizes) }, (_, i) => p * plane + order[(raw.repeated === 7 ? i >> 1 : i) % plane]!)
  })
  return drawn<A>(a, fill(fields.x, raw.x, shape), values('int64', shape, places.flat()))
})
const spoilt = { what: int(0, 3), by: int(0, 3), at: int(0, 3), constant: flag, x: data('integers', 'normal') }
const invalid = generator(spoilt, ({ what, by, at, constant, x }) => {
  const a: A = { kernel_shape: [2, 2], strides: [2, 2], pads: [0, 0, 0, 0] }
  const places = [0, 2, 8, 10]
  if (what === 0) places[at] = 16 + by
  if (what === 1) places[at] = -1 - by
  if (what === 2) a.kernel_shape = [2] // of another rank than the image
  const shape = what === 3 ? [1, 1, 4, 1] : [1, 1, 2, 2]
  return drawn<A>(a, fill(spoilt.x, x, [1, 1, 2, 2]), values('int64', shape, places, constant === 1))
})

// ── Reference ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** Positions in `from` as positions in a shape that holds it. */
function moved(places: Float64Array, from: Shape, to: Shape): Float64Array {
  const strides = stridesOf(to)
  return places.map(at => unravel(at, from).reduce((s, p, i) => s + p * strides[i]!, 0))
}
function scatter(x: Real, places: Float64Array, shape: Shape): Expected {
  const size = sizeOf(shape)
  const [value, first, hit, repeated] = [new Float64Array(size), new Float64Array(size), new Uint8Array(size), new Uint8Array(size)]
  for (let i = 0; i < places.length; i++) {
    const at = places[i]!
    if (hit[at]) repeated[at] = 1
    else first[at] = x.data[i]!
    hit[at] = 1
    value[at] = x.data[i]!
  }
  return { rule: 'exact', dtype: x.dtype, shape, value, open: open('which of several values for one place stays', repeated, { last: value, first }) }
}
/** With output_shape the text does not say which shape the indices count in: ONNX's own test counts in the inferred one, ONNX Runtime in output_shape. */
function expect(a: A, [x, places]: readonly (Real | null)[]): Expected[] {
  if (!x || !places) throw new Error('max-unpool needs x and indices')
  const whole = inferred(a, x.shape)
  const out = a.output_shape ?? whole
  const text = scatter(x, moved(places.data, whole, out), out)
  if (out.every((n, i) => n === whole[i])) return [text]
  return [
    {
      rule: 'either',
      options: [
        { name: 'indices count in the shape that the window gives', expected: text },
        { name: 'indices count in output_shape', expected: scatter(x, places.data, out) },
      ],
    },
  ]
}

// ── Lowerings ───────────────────────────────────────────────────────────────────────────────────────────────────────

function onnx(c: Case<A>): Lowering<OnnxForm>[] {
  const { kernel_shape, strides, pads, output_shape } = c.attributes
  const x = c.inputs[0]!
  const whole = { kernel_shape, strides, pads }
  const node = (attributes: object, shaped = output_shape): OnnxNode => ({
    op: 'MaxUnpool',
    in: shaped ? ['x0', 'x1', 'shape'] : ['x0', 'x1'],
    out: ['y0'],
    attributes: attributes as OnnxNode['attributes'],
  })
  const form = (opset: number, attributes: object, shaped = output_shape): OnnxForm => ({
    opset,
    nodes: [node(attributes, shaped)],
    ...(shaped ? { constants: { shape: int64(shaped) } } : {}),
  })
  const paths: Lowering<OnnxForm>[] = [
    { path: 'node', form: form(13, whole) },
    { path: 'opset-22', form: form(22, whole) },
    { path: 'opset-9', form: form(10, whole) },
    { path: 'constant-indices', form: { ...form(13, whole), initializers: [1] } },
  ]
  if (c.valid === false) return paths
  const rank = kernel_shape.length
  const defaults = { strides: new Array(rank).fill(1), pads: new Array(2 * rank).fill(0) }
  paths.push({ path: 'defaults-left-out', form: form(13, withoutDefaults(whole, defaults)) })
  if (!output_shape) paths.push({ path: 'output-shape', form: form(13, whole, inferred(c.attributes, x.shape)) })
  return paths
}
function tfjs(c: Case<A>): Lowering<TfjsForm>[] {
  const { attributes: a } = c
  const [x, places] = c.inputs as [TensorSpec, TensorSpec]
  if (c.valid === false) return [{ declined: 'TF.js has no unpooling that could refuse' }]
  const listed = places.recipe.kind === 'values' ? (places.recipe.values as number[]) : []
  if (new Set(listed).size < listed.length) return [{ declined: 'TF.js adds up what is scattered to one place' }]
  const whole = inferred(a, x.shape)
  const out = a.output_shape ?? whole
  const [count, size] = [sizeOf(x.shape), sizeOf(out)]
  const say = (path: string, call: (tf: any, at: any, v: any) => any): Lowering<TfjsForm> => ({
    path,
    form: {
      prepare: ([v, at]) => [reshape(v!, [count]), tensor('int32', [count, 1], moved(numbers(at!), whole, out))],
      call: (tf, [v, at]) => [call(tf, at, v)],
      finish: ([y]) => [reshape(y!, out)],
    },
  })
  return [
    say('scatter-nd', (tf, at, v) => tf.scatterND(at, v, [size])),
    say('sparse-to-dense', (tf, at, v) => tf.sparseToDense(at.reshape([count]), v, [size], 0)),
    say('tensor-scatter-update', (tf, at, v) => tf.tensorScatterUpdate(tf.zeros([size]), at, v)),
  ]
}

export default defineOp<A>({
  name: 'max-unpool',
  spec: ['https://onnx.ai/onnx/operators/onnx__MaxUnpool.html', 'https://js.tensorflow.org/api/latest/#scatterND'],
  valid,
  invalid,
  operators: ['MaxUnpool'],
  fromOnnx({ attributes, inputs: [x, places], values: read }) {
    const kernel = attributes.kernel_shape as readonly number[] | undefined
    if (!x || !places || !kernel) return { declined: 'MaxUnpool without x, indices or kernel_shape' }
    const shape = read(2)
    const a = {
      strides: kernel.map(() => 1),
      pads: [...kernel, ...kernel].map(() => 0),
      ...attributes,
      ...(shape ? { output_shape: shape } : {}),
    } as unknown
    return drawn<A>(a as A, x, places)
  },
  expect,
  onnx,
  tfjs,
})
