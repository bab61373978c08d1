/** Tensors: recipes made real, dtypes rounded, layouts permuted. Pure; runs in the parent, in children and in pages. */
import type { DType, Json64, Real, Recipe, Shape, Tensor, TensorSpec } from './types.ts'

export const sizeOf = (shape: Shape): number => shape.reduce((a, b) => a * b, 1)
export const toJson64 = (v: number): Json64 =>
  Number.isNaN(v) ? 'NaN' : v === Infinity ? 'Infinity' : v === -Infinity ? '-Infinity' : Object.is(v, -0) ? '-0' : v
export const fromJson64 = (v: Json64): number => (typeof v === 'number' ? v : Number(v))

/** Row-major strides of a shape, in elements. */
export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length)
  for (let i = shape.length - 1, s = 1; i >= 0; i--) {
    strides[i] = s
    s *= shape[i]!
  }
  return strides
}
/** Position of a flat index. */
export function unravel(index: number, shape: Shape): number[] {
  const position = new Array<number>(shape.length)
  for (let i = shape.length - 1; i >= 0; i--) {
    position[i] = index % shape[i]!
    index = Math.floor(index / shape[i]!)
  }
  return position
}

const word = new Float32Array(1)
const bits = new Uint32Array(word.buffer)
/** Nearest binary16, ties to even, as its bits. (IEEE 754-2019 §4.3.1) */
export function halfBits(v: number): number {
  if (Number.isNaN(v)) return 0x7e00
  const sign = v < 0 || Object.is(v, -0) ? 0x8000 : 0
  const a = Math.abs(v)
  if (a >= 65520) return sign | 0x7c00
  if (a < 2 ** -14) return sign | roundEven(a * 2 ** 24) // subnormal: multiples of 2⁻²⁴; 2¹⁰ of them carry into the exponent
  word[0] = a
  let e = (bits[0]! >>> 23) - 127
  if (a < 2 ** e) e-- // rounding to float32 may have gone up to the next power of two
  return sign | ((e + 15) * 1024 + roundEven((a / 2 ** e - 1) * 1024)) // a carry moves into the exponent as it should
}
export function halfValue(h: number): number {
  const sign = h & 0x8000 ? -1 : 1
  const e = (h >> 10) & 31
  const m = h & 1023
  return sign * (e === 31 ? (m ? NaN : Infinity) : e === 0 ? m * 2 ** -24 : (1 + m / 1024) * 2 ** (e - 15))
}
/** Round half to even. */
export function roundEven(v: number): number {
  const f = Math.floor(v)
  const d = v - f
  return d > 0.5 || (d === 0.5 && f % 2 !== 0) ? f + 1 : f
}
/** bfloat16, ties to even (upper half of a float32). */
export function toBfloat16(v: number): number {
  if (!Number.isFinite(v)) return v
  word[0] = v
  bits[0] = (bits[0]! + 0x7fff + ((bits[0]! >>> 16) & 1)) & 0xffff0000
  return word[0]!
}
/** TF32: float32 with ten bits of mantissa, nearest or toward zero. */
export function toTf32(v: number, towardZero = false): number {
  if (!Number.isFinite(v)) return v
  word[0] = v
  bits[0] = towardZero ? bits[0]! & 0xffffe000 : (bits[0]! + 0xfff + ((bits[0]! >>> 13) & 1)) & 0xffffe000
  return word[0]!
}
export const toHalf = (v: number): number => halfValue(halfBits(v))

/** The value that a tensor of this dtype holds when it is given v (integers: truncated and wrapped, as typed arrays do). */
export function roundTo(dtype: DType, v: number): number {
  switch (dtype) {
    case 'float32':
      return Math.fround(v)
    case 'float64':
      return v
    case 'float16':
      return toHalf(v)
    case 'int32':
      return v | 0
    case 'int64':
      return Math.trunc(v)
    case 'uint8':
      return v & 255
    case 'int8':
      return (v << 24) >> 24
    case 'bool':
      return v ? 1 : 0
    default:
      return dtype satisfies never
  }
}

/** xorshift32 (Marsaglia 2003): integers only, the same bits everywhere. */
export function random(seed: number): () => number {
  let s = (Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ (seed >>> 13) ^ 0x5bd1e995) | 1
  const next = () => {
    s ^= s << 13
    s ^= s >>> 17
    s ^= s << 5
    return s >>> 0
  }
  for (let i = 0; i < 4; i++) next()
  return next
}

/** Four uniforms minus 2 have variance 1/3. √ is rounded correctly everywhere. */
const SQRT3 = Math.sqrt(3)

function generate(recipe: Recipe, size: number): Float64Array {
  const data = new Float64Array(size)
  switch (recipe.kind) {
    case 'impulse':
      if (size > 0) data[Math.min(size - 1, recipe.at)] = recipe.value
      return data
    case 'constant':
      return data.fill(recipe.value)
    case 'ramp':
      for (let i = 0; i < size; i++) data[i] = recipe.start + recipe.step * i
      return data
    case 'integers': {
      const next = random(recipe.seed)
      const span = recipe.high - recipe.low + 1
      for (let i = 0; i < size; i++) data[i] = recipe.low + (next() % span)
      return data
    }
    case 'uniform': {
      const next = random(recipe.seed)
      for (let i = 0; i < size; i++) data[i] = recipe.low + (recipe.high - recipe.low) * (next() * 2 ** -32)
      return data
    }
    case 'normal': {
      const next = random(recipe.seed)
      for (let i = 0; i < size; i++) {
        const sum = (next() + next() + next() + next()) * 2 ** -32 - 2
        data[i] = sum * SQRT3 * recipe.scale
      }
      return data
    }
    case 'cancel': {
      const next = random(recipe.seed)
      for (let i = 0; i < size; i += 2) {
        const v = (1 + next() * 2 ** -32) * recipe.scale
        data[i] = v
        if (i + 1 < size) data[i + 1] = -v * (1 + 2 ** -12)
      }
      return data
    }
    case 'special': {
      const next = random(recipe.seed)
      for (let i = 0; i < size; i++) data[i] = 1 + (next() % 8)
      const value = fromJson64(recipe.value)
      for (let k = 0; k <= size >> 4 && k < size; k++) data[next() % size] = value
      return data
    }
    case 'values':
      for (let i = 0; i < size; i++) data[i] = fromJson64(recipe.values[i % Math.max(1, recipe.values.length)] ?? 0)
      return data
    default:
      return recipe satisfies never
  }
}

export function emptyData(dtype: DType, size: number): Tensor['data'] {
  switch (dtype) {
    case 'float32':
      return new Float32Array(size)
    case 'float64':
      return new Float64Array(size)
    case 'float16':
      return new Uint16Array(size)
    case 'int32':
      return new Int32Array(size)
    case 'int64':
      return new BigInt64Array(size)
    case 'uint8':
    case 'bool':
      return new Uint8Array(size)
    case 'int8':
      return new Int8Array(size)
    default:
      return dtype satisfies never
  }
}

/** Numbers → a tensor of this dtype, each rounded once. */
export function tensor(dtype: DType, shape: Shape, values: ArrayLike<number>): Tensor {
  const data = emptyData(dtype, values.length)
  if (data instanceof BigInt64Array) for (let i = 0; i < values.length; i++) data[i] = BigInt(Math.trunc(values[i]!))
  else if (dtype === 'float16') for (let i = 0; i < values.length; i++) data[i] = halfBits(values[i]!)
  else if (dtype === 'bool') for (let i = 0; i < values.length; i++) data[i] = values[i] ? 1 : 0
  else (data as Float32Array).set(values)
  return { dtype, shape, data }
}

/** What the runtime is given. */
export const realise = (spec: TensorSpec): Tensor => tensor(spec.dtype, spec.shape, generate(spec.recipe, sizeOf(spec.shape)))
/** What the reference is given: the same values in float64. */
export const real = (t: Tensor): Real => ({ dtype: t.dtype, shape: t.shape, data: numbers(t) })

export function numbers(t: Tensor): Float64Array {
  if (t.data instanceof BigInt64Array) {
    const out = new Float64Array(t.data.length)
    for (let i = 0; i < out.length; i++) out[i] = Number(t.data[i])
    return out
  }
  if (t.dtype === 'float16') {
    const out = new Float64Array(t.data.length)
    for (let i = 0; i < out.length; i++) out[i] = halfValue(t.data[i] as number)
    return out
  }
  return Float64Array.from(t.data as Float32Array)
}

/** FNV-1a over words of 32 bits: tells whether two processes rebuilt the same inputs, and whether two outputs are the same bits. */
export function checksum(tensors: readonly (Tensor | null)[]): number {
  let h = 0x811c9dc5
  for (const t of tensors) {
    if (!t) continue
    const { buffer, byteOffset, byteLength } = t.data
    const words = byteOffset % 4 === 0 ? byteLength >> 2 : 0
    const whole = words ? new Int32Array(buffer, byteOffset, words) : []
    for (let i = 0; i < words; i++) h = Math.imul(h ^ whole[i]!, 0x01000193) ^ (h >>> 15)
    const rest = new Uint8Array(buffer, byteOffset + 4 * words, byteLength - 4 * words)
    for (let i = 0; i < rest.length; i++) h = Math.imul(h ^ rest[i]!, 0x01000193)
    for (const d of t.shape) h = Math.imul(h ^ d, 0x01000193)
  }
  return h >>> 0
}

/** Axis i of the result is axis perm[i] of the tensor (NumPy's transpose, on the host). */
export function permute(t: Tensor, perm: readonly number[]): Tensor {
  const shape = perm.map(p => t.shape[p]!)
  const from = stridesOf(t.shape)
  const step = perm.map(p => from[p]!)
  const data = emptyData(t.dtype, t.data.length) as any
  const source = t.data as any
  const at = new Array<number>(shape.length).fill(0)
  let offset = 0
  for (let i = 0; i < data.length; i++) {
    data[i] = source[offset]
    for (let d = shape.length - 1; d >= 0; d--) {
      offset += step[d]!
      if (++at[d]! < shape[d]!) break
      offset -= step[d]! * shape[d]!
      at[d] = 0
    }
  }
  return { dtype: t.dtype, shape, data }
}
export const reshape = (t: Tensor, shape: Shape): Tensor => ({ ...t, shape })
/** N, C, spatial → N, spatial, C, and back. */
export const toLast = (rank: number): number[] => [0, ...Array.from({ length: rank - 2 }, (_, i) => i + 2), 1]
export const toSecond = (rank: number): number[] => [0, rank - 1, ...Array.from({ length: rank - 2 }, (_, i) => i + 1)]
