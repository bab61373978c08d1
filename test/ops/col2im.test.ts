/** col2im: blocks laid out by hand, and that it is the adjoint of cutting blocks out. */
import { expect, test } from 'vitest'
import { reference } from '../../harness/judge.ts'
import type { Case, Expected, TensorSpec } from '../../harness/types.ts'
import col2im from '../../ops/col2im.ts'

type Dot = Extract<Expected, { rule: 'dot' }>
const values = (shape: number[], ...numbers: number[]): TensorSpec => ({ dtype: 'float32', shape, recipe: { kind: 'values', values: numbers } })
const plain = { image_shape: [5], block_shape: [2], strides: [1], pads: [0, 0], dilations: [1] }
const answer = (attributes: object, x: TensorSpec) =>
  reference(col2im, { id: 'c', op: 'col2im', attributes: { ...plain, ...attributes }, inputs: [x] } as Case).expected[0] as Dot

test('overlaps add, channels stay apart', () => {
  const e = answer({}, values([1, 4, 4], 1, 2, 3, 4, 10, 20, 30, 40, 5, 6, 7, 8, 50, 60, 70, 80))
  expect(e.shape).toEqual([1, 2, 5])
  expect([...e.value]).toEqual([1, 12, 23, 34, 40, 5, 56, 67, 78, 80])
  expect([...e.terms.slice(0, 5)]).toEqual([0, 1, 1, 1, 0]) // one addition where two blocks meet
})
test('dilations with several channels, strides, and pads that cut off', () => {
  const x = values([1, 4, 3], 1, 2, 3, 10, 20, 30, 4, 5, 6, 40, 50, 60)
  expect([...answer({ dilations: [2] }, x).value]).toEqual([1, 2, 13, 20, 30, 4, 5, 46, 50, 60])
  expect([...answer({ strides: [2], pads: [1, 1], image_shape: [4] }, x).value]).toEqual([10, 2, 20, 3, 40, 5, 50, 6])
})
test('blocks of an image, row by row', () => {
  const e = answer(
    { image_shape: [2, 3], block_shape: [2, 2], strides: [1, 1], pads: [0, 0, 0, 0], dilations: [1, 1] },
    values([1, 4, 2], 1, 2, 3, 4, 5, 6, 7, 8),
  )
  expect([...e.value]).toEqual([1, 2 + 3, 4, 5, 6 + 7, 8])
})
