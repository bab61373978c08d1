/** max-pool-argmax: positions counted by hand in TF.js's order, and that both numberings agree. */
import { describe, expect, test } from 'vitest'
import { reference } from '../../harness/judge.ts'
import { tensor } from '../../harness/tensor.ts'
import type { Case, Expected, OnnxForm, TensorSpec } from '../../harness/types.ts'
import argmax from '../../ops/max-pool-argmax.ts'

const plain = { kernel_shape: [2, 2], strides: [2, 2], pads: [0, 0, 0, 0], auto_pad: 'NOTSET', include_batch_in_index: 0 }
const x = (shape: number[], ...numbers: number[]): TensorSpec => ({ dtype: 'float32', shape, recipe: { kind: 'values', values: numbers } })
const caseWith = (attributes: object, input: TensorSpec): Case => ({
  id: 'c',
  op: 'max-pool-argmax',
  attributes: { ...plain, ...attributes },
  inputs: [input],
})
type Exact = Extract<Expected, { rule: 'exact' }>
const answer = (attributes: object, input: TensorSpec) => reference(argmax, caseWith(attributes, input)).expected as Exact[]
// two images of two channels, 2 × 2: the maxima stand at (1, 0), (0, 1), (1, 1), (0, 0)
const two = x([2, 2, 2, 2], 1, 2, 9, 3, 1, 9, 2, 3, 1, 2, 3, 9, 9, 1, 2, 3)

describe('positions by hand: (y·W + x)·C + c', () => {
  test('without and with the batch', () => {
    expect([...answer({}, two)[1]!.value]).toEqual([2 * 2, 1 * 2 + 1, 3 * 2, 1])
    expect([...answer({ include_batch_in_index: 1 }, two)[1]!.value]).toEqual([4, 3, 8 + 6, 8 + 1])
    expect([...answer({}, two)[0]!.value]).toEqual([9, 9, 9, 9])
  })
  test('padding takes no part and no number', () => {
    const e = answer({ pads: [1, 1, 1, 1], strides: [1, 1] }, x([1, 1, 1, 2], -5, -4))
    expect([...e[1]!.value]).toEqual([0, 1, 1, 0, 1, 1])
  })
  test('which of equal maxima is meant is open, and both answers are numbered alike', () => {
    const [, index] = answer({}, x([1, 2, 2, 2], 7, 7, 7, 7, 1, 2, 3, 4))
    expect([...index!.open![0]!.at]).toEqual([1, 0])
    expect([...index!.open![0]!.answers!.last!]).toEqual([6, 7])
  })
})

test('ONNX indices, row by row and column by column, become the same numbers', () => {
  const c = caseWith({ include_batch_in_index: 1 }, two)
  const want = [...answer({ include_batch_in_index: 1 }, two)[1]!.value]
  const through = (path: string, indices: number[]) => {
    const way = argmax.onnx(c).find(l => 'path' in l && l.path === path) as { form: OnnxForm }
    const [, at] = way.form.finish!([tensor('float32', [2, 2, 1, 1], [9, 9, 9, 9]), tensor('int64', [2, 2, 1, 1], indices)])
    return Array.from(at!.data as BigInt64Array, Number)
  }
  expect(through('node', [2, 4 + 1, 8 + 3, 12])).toEqual(want)
  expect(through('column-major', [1, 4 + 2, 8 + 3, 12])).toEqual(want)
})
