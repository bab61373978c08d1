/**
 * y[n, c, o] = Σ x[n, c, o·strides − pads + k·dilations] / count over the kernel positions k on the image. count: those positions; with count_include_pad also the
 * ones in the declared padding, but never those past it, where ceil_mode lets the last window hang over. (ONNX AveragePool-19; 22 only adds bfloat16)
 */
import {
  type Case,
  type DType,
  data,
  defineOp,
  drawn,
  type Expected,
  fill,
  generator,
  int,
  type Lowering,
  type Machine,
  type OnnxForm,
  open,
  type Real,
  roundTo,
  sizeOf,
  type TfjsForm,
} from '../harness/op.ts'
import {
  drawPool,
  drawSpoilt,
  eitherCount,
  onnxPool,
  type PoolAttributes,
  poolAxes,
  poolFields,
  poolGeometry,
  readPool,
  spoiltPool,
  tfjsPool,
} from '../harness/pools.ts'
import { subnormals } from '../harness/windows.ts'

type A = PoolAttributes & { count_include_pad: number }

// ── Cases ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const fields = { ...poolFields, include: int(0, 1), half: int(0, 5), x: data() }
const valid = generator(fields, raw => {
  const { attributes, shape } = drawPool(raw)
  const dtype: DType = raw.own > 2 && raw.half === 5 ? 'float16' : 'float32'
  return drawn<A>({ ...attributes, count_include_pad: raw.include }, fill(fields.x, raw.x, shape, dtype))
})
const spoilt = { ...spoiltPool, x: data('integers', 'normal') }
const invalid = generator(spoilt, raw => {
  const { attributes, inputs } = drawSpoilt(raw, spoilt.x)
  return { attributes: { ...attributes, count_include_pad: 0 } as A, inputs }
})

// ── Reference ───────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * n − 1 additions and a division (or a product with the reciprocal, or with the reciprocal first): γ(n − 1 + division)·Σ|x|/count, n the elements that are not zero.
 * (NUMERICS: average pool, mean; Higham 2002, §3.1)
 */
function windows(a: A, x: Real): Expected[] {
  const g = poolGeometry(a, x.shape.slice(2))
  const axes = poolAxes(a, g)
  const [Z, Y, X] = axes
  const [batch, channels] = x.shape as [number, number]
  const { data } = x
  const small = subnormals(x)?.small
  const size = batch * channels * Z.out * Y.out * X.out
  const make = () => new Float64Array(size)
  const [value, magnitude, partial, terms] = [make(), make(), make(), make()]
  const spill = small && make()
  const empty = new Uint8Array(size)
  // Positions of each window that count, axis by axis: on the image, or on the image with its declared padding.
  const [nz, ny, nx] = axes.map((axis, i) => {
    const at = i - (3 - g.sizes.length)
    const [before, after] = at < 0 ? [0, 0] : [g.pads[at]!, g.pads[at + g.sizes.length]!]
    return axis.origin.map((start, o) => {
      if (!a.count_include_pad) return axis.end[o]! - axis.first[o]!
      let n = 0
      for (let k = 0; k < axis.kernel; k++) if (start + k * axis.dilation >= -before && start + k * axis.dilation < axis.size + after) n++
      return n
    })
  }) as [Int32Array, Int32Array, Int32Array]
  let i = 0
  for (let plane = 0; plane < batch * channels; plane++)
    for (let z = 0; z < Z.out; z++)
      for (let y = 0; y < Y.out; y++)
        for (let o = 0; o < X.out; o++, i++) {
          let [sum, absolute, lost, n] = [0, 0, 0, 0]
          for (let kz = Z.first[z]!; kz < Z.end[z]!; kz++)
            for (let ky = Y.first[y]!; ky < Y.end[y]!; ky++) {
              const row = ((plane * Z.size + Z.origin[z]! + kz * Z.dilation) * Y.size + Y.origin[y]! + ky * Y.dilation) * X.size + X.origin[o]!
              for (let k = X.first[o]!; k < X.end[o]!; k++) {
                const v = data[row + k * X.dilation]!
                if (v === 0) continue
                sum += v
                absolute += Math.abs(v)
                if (small) lost += small[row + k * X.dilation]!
                n++
              }
            }
          const count = Math.max(0, nz[z]!) * Math.max(0, ny[y]!) * Math.max(0, nx[o]!)
          empty[i] = count === 0 ? 1 : 0
          value[i] = sum / count
          magnitude[i] = count === 0 ? 0 : absolute / count
          partial[i] = absolute
          terms[i] = n
          if (spill) spill[i] = lost / count
        }
  const nothing = { NaN: value, zero: make() }
  return [
    {
      rule: 'dot',
      dtype: x.dtype,
      shape: [batch, channels, ...g.counts],
      value,
      magnitude,
      partial,
      terms,
      spill,
      also: arithmetic => arithmetic.division - 1,
      open: open('the mean of a window that lies in the padding', empty, nothing),
    },
  ]
}

/** The same over a simulated machine: a sum and a quotient. */
function simulate(a: A, [x]: readonly (Real | null)[], m: Machine): Real[] {
  const g = poolGeometry(a, x!.shape.slice(2))
  const [Z, Y, X] = poolAxes(a, g)
  const read = x!.dtype === 'float32' ? m.read : (v: number) => v
  const shape = [x!.shape[0]!, x!.shape[1]!, ...g.counts]
  const data = new Float64Array(sizeOf(shape))
  const inside = (i: number, o: number) => {
    const [axis, at] = [[Z, Y, X][i]!, i - (3 - g.sizes.length)]
    const [before, after] = a.count_include_pad && at >= 0 ? [g.pads[at]!, g.pads[at + g.sizes.length]!] : [0, 0]
    let n = 0
    for (let k = 0; k < axis.kernel; k++) {
      const p = axis.origin[o]! + k * axis.dilation
      if (p >= -before && p < axis.size + after) n++
    }
    return n
  }
  for (let i = 0; i < data.length; i++) {
    const [o, y, z] = [i % X.out, Math.floor(i / X.out) % Y.out, Math.floor(i / (X.out * Y.out)) % Z.out]
    const plane = Math.floor(i / (X.out * Y.out * Z.out))
    const values: number[] = []
    for (let kz = Z.first[z]!; kz < Z.end[z]!; kz++)
      for (let ky = Y.first[y]!; ky < Y.end[y]!; ky++)
        for (let k = X.first[o]!; k < X.end[o]!; k++) {
          const row = ((plane * Z.size + Z.origin[z]! + kz * Z.dilation) * Y.size + Y.origin[y]! + ky * Y.dilation) * X.size
          values.push(read(x!.data[row + X.origin[o]! + k * X.dilation]!))
        }
    data[i] = roundTo(x!.dtype, m.div(m.dot(values, null), inside(0, z) * inside(1, y) * inside(2, o)))
  }
  return [{ dtype: x!.dtype, shape, data }]
}

// ── Lowerings ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** Zeros around the image are the declared padding where it counts and no window hangs over it. */
function padding(c: Case<A>): number | null {
  const { counts, floor } = poolGeometry(c.attributes, c.inputs[0]!.shape.slice(2))
  return c.attributes.count_include_pad && counts.every((n, i) => n === floor[i]) ? 0 : null
}

function onnx(c: Case<A>): Lowering<OnnxForm>[] {
  const { attributes: a } = c
  const opsets = a.dilations.some(d => d !== 1) ? [19, 22] : a.ceil_mode ? [13, 19, 22, 10] : [13, 19, 22, 10, 9]
  return onnxPool(c, { operator: 'AveragePool', opsets, more: { count_include_pad: 0 }, padding: padding(c) })
}

const tfjs = (c: Case<A>): Lowering<TfjsForm>[] => tfjsPool(c, { kind: 'avg', excluded: c.attributes.count_include_pad === 0, padding: padding(c) })

export default defineOp<A>({
  name: 'average-pool',
  spec: [
    'https://onnx.ai/onnx/operators/onnx__AveragePool.html',
    'https://js.tensorflow.org/api/latest/#avgPool',
    'https://js.tensorflow.org/api/latest/#pool',
  ],
  valid,
  invalid,
  operators: ['AveragePool'],
  fromOnnx: node => readPool<A>(node, { count_include_pad: 0 }),
  simulate,
  expect: (a, [x]) => eitherCount(a, x!.shape.slice(2), b => windows(b, x!)),
  onnx,
  tfjs,
})
