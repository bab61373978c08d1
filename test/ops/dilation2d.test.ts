/** dilation2d: maxima by hand, padding that takes no part, and the bound of one addition. */
import { expect, test } from 'vitest'
import { allowedOf } from '../../harness/compare.ts'
import { reference } from '../../harness/judge.ts'
import type { Case, Expected, TensorSpec } from '../../harness/types.ts'
import { ieee32 } from '../../harness/types.ts'
import dilation from '../../ops/dilation2d.ts'

type Plain = Extract<Expected, { rule: 'error' }>
const values = (shape: number[], ...numbers: number[]): TensorSpec => ({ dtype: 'float32', shape, recipe: { kind: 'values', values: numbers } })
const plain = { kernel_shape: [1, 2], strides: [1, 1], dilations: [1, 1], auto_pad: 'VALID' }
const answer = (attributes: object, ...inputs: TensorSpec[]) =>
  reference(dilation, { id: 'c', op: 'dilation2d', attributes: { ...plain, ...attributes }, inputs } as Case).expected[0] as Plain
const x = values([1, 1, 1, 4], -5, -1, -7, -2)

test('the largest sum of image and filter', () => {
  expect([...answer({}, x, values([1, 1, 2], 0, 0)).value]).toEqual([-1, -1, -2])
  expect([...answer({}, x, values([1, 1, 2], 0, -10)).value]).toEqual([-5, -1, -7])
  expect([...answer({ dilations: [1, 2] }, x, values([1, 1, 2], 3, 0)).value]).toEqual([-2, 2])
})
test('padding takes no part, negative numbers stay negative, the odd pixel is at the end', () => {
  expect([...answer({ auto_pad: 'SAME_UPPER' }, x, values([1, 1, 2], 0, 0)).value]).toEqual([-1, -1, -2, -2])
  expect([...answer({ auto_pad: 'SAME_UPPER', strides: [1, 3] }, x, values([1, 1, 2], 0, 0)).value]).toEqual([-1, -2])
})
test('sums of integers are exact, others round once', () => {
  expect([...allowedOf(answer({}, x, values([1, 1, 2], 0, 0)), ieee32, true)]).toEqual([0, 0, 0])
  expect(allowedOf(answer({}, x, values([1, 1, 2], 0.1, 0)), ieee32, false)[1]).toBeCloseTo(0.9 * 2 ** -24, 12)
})
