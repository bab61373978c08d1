/** quantize-, dequantize-linear, conv-integer, matmul-integer, q-linear-conv, q-linear-matmul: values computed by hand, ties, and laws that tie them together. */
import { describe, expect, test } from 'vitest'
import { judge, reference } from '../../harness/judge.ts'
import { entries, quantise } from '../../harness/quantised.ts'
import { tensor } from '../../harness/tensor.ts'
import { type Arithmetic, type Case, type Expected, ieee32, type Op, type TensorSpec, wgsl32 } from '../../harness/types.ts'
import convInteger from '../../ops/conv-integer.ts'
import dequantize from '../../ops/dequantize-linear.ts'
import matmulInteger from '../../ops/matmul-integer.ts'
import qConv from '../../ops/q-linear-conv.ts'
import qMatmul from '../../ops/q-linear-matmul.ts'
import quantize from '../../ops/quantize-linear.ts'

const of = (dtype: TensorSpec['dtype'], shape: number[], ...values: number[]): TensorSpec => ({ dtype, shape, recipe: { kind: 'values', values } })
const f = (shape: number[], ...values: number[]) => of('float32', shape, ...values)
const n = (shape: number[], ...values: number[]) => of('int32', shape, ...values)
const caseWith = (op: Op, attributes: Case['attributes'], inputs: (TensorSpec | null)[]): Case => ({ id: 'c', op: op.name, attributes, inputs })
const answer = (op: Op, attributes: Case['attributes'], ...inputs: (TensorSpec | null)[]) => [
  ...(reference(op, caseWith(op, attributes, inputs)).expected[0] as Extract<Expected, { rule: 'error' }>).value,
]
function verdict(op: Op, c: Case, value: readonly number[], arithmetic: Arithmetic = ieee32) {
  const ref = reference(op, c)
  const e = ref.expected[0] as Extract<Expected, { rule: 'error' }>
  return judge(
    c,
    ref,
    { status: 'outputs', outputs: [tensor(e.dtype, e.shape, value)], checksum: ref.checksum, ms: 0 },
    { arithmetic, dialect: 'onnx' },
  ).kind
}
const plain = { axis: 0, block_size: 0, to: 'uint8', zero_point: [] }
const window = { kernel_shape: [2], strides: [1], pads: [1, 0], dilations: [1], auto_pad: 'NOTSET', group: 1 }

describe('values by hand', () => {
  test('halves to even, then the zero point, then the ends', () => {
    expect([0.5, 1.5, 2.5, -0.5, -1.5].map(v => quantise(v, 3, 'uint8'))).toEqual([3, 5, 5, 3, 1])
    expect([quantise(300, 0, 'uint8'), quantise(-300, 0, 'int8'), quantise(Infinity, 7, 'int8')]).toEqual([255, -128, 127])
    expect(answer(quantize, { ...plain, zero_point: [3] }, f([5], 1, 3, 5, -1, -3), f([], 2))).toEqual([3, 5, 5, 3, 1])
  })
  test('scales and zero points along an axis, and of blocks', () => {
    expect(answer(quantize, { ...plain, axis: -1, zero_point: [0, 10] }, f([2, 2], 4, 4, 6, 6), f([2], 1, 2))).toEqual([4, 12, 6, 13])
    expect(answer(quantize, { ...plain, block_size: 2 }, f([3], 8, 8, 8), f([2], 1, 4))).toEqual([8, 8, 2])
    expect([0, 1, 2, 3, 4, 5].map(entries([3, 2], [2, 2], 0, 2))).toEqual([0, 1, 0, 1, 2, 3])
  })
  test('dequantize', () => {
    expect(answer(dequantize, { axis: 0, block_size: 0, from: 'uint8', zero_point: [128] }, n([3], 0, 128, 255), f([], 0.5))).toEqual([-64, 0, 63.5])
  })
  test('conv-integer: padding holds the zero point', () => {
    const a = { ...window, x_type: 'uint8', w_type: 'uint8', x_zero_point: [10], w_zero_point: [1] }
    expect(answer(convInteger, a, n([1, 1, 2], 11, 12), n([1, 1, 2], 3, 5))).toEqual([4, 2 + 8])
  })
  test('matmul-integer: zero points of rows and of columns', () => {
    const a = { a_type: 'uint8', b_type: 'uint8', a_zero_point: [0, 1], b_zero_point: [0, 2] }
    expect(answer(matmulInteger, a, n([2, 1], 3, 4), n([1, 2], 5, 6))).toEqual([15, 12, 15, 12])
  })
  test('q-linear-conv: scales of filters, bias in units of sx·sw', () => {
    const a = {
      ...window,
      pads: [0, 0],
      kernel_shape: [1],
      x_type: 'uint8',
      w_type: 'uint8',
      x_zero_point: [1],
      w_zero_point: [0, 0],
      y_zero_point: 5,
    }
    const inputs = [n([1, 1, 1], 4), n([2, 1, 1], 2, 3), f([], 0.5), f([2], 1, 2), f([], 2), n([2], 4, 1)]
    expect(answer(qConv, a, ...inputs)).toEqual([5 + 2, 5 + 5]) // (6 + 4)/4 = 2.5, (9 + 1)/2 = 5
  })
})

describe('ties', () => {
  test('a scale that is a power of two leaves no choice on IEEE hosts, another one does', () => {
    const certain = caseWith(quantize, plain, [f([1], 5), f([], 2)])
    expect(verdict(quantize, certain, [2])).toBe('agree')
    expect(verdict(quantize, certain, [3])).toBe('wrong')
    const either = caseWith(quantize, plain, [f([1], 7.5), f([], 3)])
    expect(verdict(quantize, either, [2])).toBe('agree')
    expect(verdict(quantize, either, [3])).toBe('agree')
    expect(verdict(quantize, either, [4])).toBe('wrong')
  })
  test('shaders may divide with 2.5 ULP, which decides nothing away from ties', () => {
    const c = caseWith(quantize, plain, [f([1], 5.25), f([], 2)])
    expect(verdict(quantize, c, [3], wgsl32)).toBe('agree')
    expect(verdict(quantize, c, [2], wgsl32)).toBe('wrong')
  })
})

describe('laws', () => {
  test('q-linear-matmul with scales of 1 is matmul-integer, saturated', () => {
    const zeros = { a_type: 'uint8', b_type: 'uint8', a_zero_point: [3], b_zero_point: [7] }
    const inputs = [n([2, 3], 1, 2, 3, 4, 5, 60), n([3, 2], 9, 8, 7, 6, 5, 4)]
    const one = f([], 1)
    const sums = answer(matmulInteger, zeros, ...inputs)
    expect(answer(qMatmul, { ...zeros, y_zero_point: 100 }, ...inputs, one, one, one)).toEqual(sums.map(v => Math.min(255, Math.max(0, v + 100))))
  })
  test('integers come back from dequantize and quantize', () => {
    const x = n([4], 0, 7, 128, 255)
    const y = answer(dequantize, { axis: 0, block_size: 0, from: 'uint8', zero_point: [99] }, x, f([], 0.125))
    expect(answer(quantize, { ...plain, zero_point: [99] }, f([4], ...y), f([], 0.125))).toEqual([0, 7, 128, 255])
  })
})
