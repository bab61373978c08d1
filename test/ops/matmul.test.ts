/** Products and softmaxes by hand. */
import { describe, expect, test } from 'vitest'
import gemm from '../../ops/gemm.ts'
import matmul from '../../ops/matmul.ts'
import softmax from '../../ops/softmax.ts'
import { named, of, plain, value } from './values.ts'

describe('matmul', () => {
  test('matrices', () => expect(value(matmul, {}, of([2, 2], [1, 2, 3, 4]), of([2, 2], [5, 6, 7, 8]))).toEqual([19, 22, 43, 50]))
  test('vectors leave no axis behind', () => {
    expect(plain(matmul, {}, of([3], [1, 2, 3]), of([3], [4, 5, 6]))).toMatchObject({ shape: [] })
    expect(plain(matmul, {}, of([2], [1, 2]), of([5, 2, 3], new Array(30).fill(1))).shape).toEqual([5, 3])
    expect(plain(matmul, {}, of([4, 2], new Array(8).fill(1)), of([2], [1, 2])).shape).toEqual([4])
  })
  test('batches broadcast in different places', () => {
    const e = plain(matmul, {}, of([2, 1, 1, 1], [2, 3]), of([1, 2, 1, 1], [5, 7]))
    expect([...e.value]).toEqual([10, 14, 15, 21])
    expect(e.shape).toEqual([2, 2, 1, 1])
  })
  test('an inner axis of length 0 gives zeros', () => expect(value(matmul, {}, of([2, 0], []), of([0, 1], []))).toEqual([0, 0]))
})

describe('gemm', () => {
  const plainly = { alpha: 1, beta: 1, transA: 0, transB: 0 }
  const [a, b] = [of([1, 2], [1, 2]), of([2, 2], [1, 2, 3, 4])]
  test('C along the rows', () => expect(value(gemm, plainly, a, b, of([2], [10, 20]))).toEqual([17, 30]))
  test('transB turns square weights', () => expect(value(gemm, { ...plainly, transB: 1 }, a, b, null)).toEqual([5, 11]))
  test('factors', () => expect(value(gemm, { ...plainly, alpha: 2, beta: 0.5 }, a, b, of([], [4]))).toEqual([16, 22]))
  test('a column of C goes with the rows of A', () =>
    expect(value(gemm, plainly, of([2, 1], [1, 1]), of([1, 2], [0, 0]), of([2, 1], [3, 4]))).toEqual([3, 3, 4, 4]))
})

describe('softmax', () => {
  const op = (name: string) => named(softmax, name)
  const x = of([1, 2, 2], [0, 0, 0, Math.log(3)])
  const close = (got: number[], want: number[]) => got.forEach((v, i) => void expect(v).toBeCloseTo(want[i]!, 6))
  test('along the last axis', () => close(value(op('softmax'), { axis: -1, coerced: 0 }, x), [0.5, 0.5, 0.25, 0.75]))
  test('below opset 13 over everything from the axis on', () => close(value(op('softmax'), { axis: 1, coerced: 1 }, x), [1 / 6, 1 / 6, 1 / 6, 0.5]))
  test('log-softmax is its logarithm', () => close(value(op('log-softmax'), { axis: -1, coerced: 0 }, x), [0.5, 0.5, 0.25, 0.75].map(Math.log)))
  test('large numbers do not overflow', () => expect(value(op('softmax'), { axis: 0, coerced: 0 }, of([2], [1000, 1000]))).toEqual([0.5, 0.5]))
  test('hardmax marks the first maximum', () => expect(value(op('hardmax'), { axis: 1, coerced: 0 }, of([1, 3], [1, 2, 2]))).toEqual([0, 1, 0]))
  test('an axis of length 0', () => expect(plain(op('softmax'), { axis: -1, coerced: 0 }, of([2, 0], [])).shape).toEqual([2, 0]))
  test('defaults of the opsets', () => {
    const read = (opset: number) => op('softmax').fromOnnx!({ operator: 'Softmax', opset, attributes: {}, inputs: [], values: () => null })
    expect(read(11)).toMatchObject({ attributes: { axis: 1, coerced: 1 } })
    expect(read(13)).toMatchObject({ attributes: { axis: -1, coerced: 0 } })
  })
})
