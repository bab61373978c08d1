/** max-unpool: places by hand, what several values for one place mean, and ONNX's own output_shape example. */
import { expect, test } from 'vitest'
import { reference } from '../../harness/judge.ts'
import type { Case, Expected, TensorSpec } from '../../harness/types.ts'
import unpool from '../../ops/max-unpool.ts'

const values = (dtype: TensorSpec['dtype'], shape: number[], ...numbers: number[]): TensorSpec => ({
  dtype,
  shape,
  recipe: { kind: 'values', values: numbers },
})
const plain = { kernel_shape: [2, 2], strides: [2, 2], pads: [0, 0, 0, 0] }
const x = values('float32', [1, 1, 2, 2], 5, 6, 7, 8)
const answer = (attributes: object, ...places: number[]) => {
  const inputs = [x, values('int64', [1, 1, 2, 2], ...places)]
  return reference(unpool, { id: 'c', op: 'max-unpool', attributes: { ...plain, ...attributes }, inputs } as Case).expected[0]!
}
type Exact = Extract<Expected, { rule: 'exact' }>

test('values stand at their places, zeros elsewhere', () => {
  const e = answer({}, 5, 7, 13, 15) as Exact
  expect(e.shape).toEqual([1, 1, 4, 4])
  expect([...e.value]).toEqual([0, 0, 0, 0, 0, 5, 0, 6, 0, 0, 0, 0, 0, 7, 0, 8])
})
test('pads make the output smaller', () => {
  expect((answer({ pads: [0, 1, 0, 0] }, 0, 2, 3, 5) as Exact).shape).toEqual([1, 1, 4, 3])
})
test('the text does not say which of several values stays', () => {
  const e = answer({}, 5, 5, 13, 15) as Exact
  expect(e.open![0]!.answers!.last![5]).toBe(6)
  expect(e.open![0]!.answers!.first![5]).toBe(5)
})
test('a larger output_shape: ONNX counts in the inferred shape (test_maxunpool_export_with_output_shape)', () => {
  const e = answer({ output_shape: [1, 1, 5, 5] }, 5, 7, 13, 15)
  if (e.rule !== 'either') throw new Error('two readings')
  const [text, other] = e.options.map(o => [...(o.expected as Exact).value].map((v, i) => (v ? i : -1)).filter(i => i >= 0))
  expect(text).toEqual([6, 8, 16, 18])
  expect(other).toEqual([5, 7, 13, 15])
})
