/** Arithmetic of two tensors: broadcasting and integers by hand. */
import { expect, test } from 'vitest'
import { broadcast, sources } from '../../harness/elements.ts'
import elementwise from '../../ops/elementwise.ts'
import { named, of, plain, value } from './values.ts'

const op = (name: string) => named(elementwise, name)
test('shapes are aligned at the right', () => {
  expect(broadcast([2, 3], [3])).toEqual([2, 3])
  expect(broadcast([3, 1], [1, 4])).toEqual([3, 4])
  expect(broadcast([0, 1], [5])).toEqual([0, 5])
  expect([...sources([3, 1], [2, 3, 2])]).toEqual([0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2])
})
test('[2, 2] + [2] adds along the last axis', () =>
  expect(value(op('add'), {}, of([2, 2], [1, 2, 3, 4]), of([2], [10, 20]))).toEqual([11, 22, 13, 24]))
test('integers divide toward zero', () => expect(value(op('div'), {}, of([2], [-7, 7], 'int32'), of([2], [2, -2], 'int32'))).toEqual([-3, -3]))
test('overflow of uint8 is open and named', () => {
  const e = plain(op('add'), {}, of([2], [250, 1], 'uint8'), of([2], [10, 1], 'uint8'))
  expect([...e.value]).toEqual([4, 2])
  expect([...e.open![0]!.at]).toEqual([1, 0])
})
test('three operands of max', () => expect(value(op('max'), {}, of([2], [1, 5]), of([1], [3]), of([], [4]))).toEqual([4, 5]))
test('NaN among the operands of min is open', () => {
  const e = plain(op('min'), {}, of([2], [Number.NaN, 1]), of([2], [1, 2]))
  expect([...e.open![0]!.at]).toEqual([1, 0])
})
test('a quotient may be a product with the reciprocal, a sum is one rounding', () => {
  const allowed = (name: string, a: number, b: number) => {
    const e = plain(op(name), {}, of([1], [a]), of([1], [b]))
    return e.rule === 'error'
      ? e.allowed({
          u: 2 ** -24,
          division: 2,
          exp: [4, 0],
          log: [6, 0],
          sqrt: 2,
          tanh: [16, 0],
          flushesSubnormals: false,
          nonFiniteDefined: true,
        })[0]!
      : Number.NaN
  }
  expect(allowed('add', 1, 1) / 2 ** -23).toBeCloseTo(1, 5)
  expect(allowed('div', 1, 1) / 2 ** -23).toBeCloseTo(1, 5)
})
