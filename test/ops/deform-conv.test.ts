/** deform-conv: samples by hand, and without offsets it is the convolution. */
import { expect, test } from 'vitest'
import { allowedOf } from '../../harness/compare.ts'
import { reference } from '../../harness/judge.ts'
import type { Case, Expected, TensorSpec } from '../../harness/types.ts'
import { ieee32 } from '../../harness/types.ts'
import conv from '../../ops/conv.ts'
import deform from '../../ops/deform-conv.ts'

type Plain = Exclude<Expected, { rule: 'either' } | { rule: 'decisions' }>
const values = (shape: number[], ...numbers: number[]): TensorSpec => ({ dtype: 'float32', shape, recipe: { kind: 'values', values: numbers } })
const plain = { kernel_shape: [1, 1], strides: [1, 1], pads: [0, 0, 0, 0], dilations: [1, 1], group: 1, offset_group: 1 }
const answer = (attributes: object, ...inputs: (TensorSpec | null)[]) =>
  reference(deform, { id: 'c', op: 'deform-conv', attributes: { ...plain, ...attributes }, inputs } as Case).expected[0] as Plain
const x = values([1, 1, 2, 2], 0, 4, 8, 16)
const one = values([1, 1, 1, 1], 1)
/** The same (y, x) offset everywhere. */
const by = (y: number, z: number) => values([1, 2, 2, 2], y, y, y, y, z, z, z, z)

test('offsets are pairs (y, x), corners off the image are 0', () => {
  expect([...answer({}, x, one, by(1, 0), null, null).value]).toEqual([8, 16, 0, 0])
  expect([...answer({}, x, one, by(0, 0.5), null, null).value]).toEqual([2, 2, 12, 8])
  expect([...answer({}, x, one, by(-0.5, 0), null, null).value]).toEqual([0, 2, 4, 10])
})
test('the mask multiplies, the bias is added once', () => {
  expect([...answer({}, x, one, by(0, 0), values([1], 100), values([1, 1, 2, 2], 1, 0.5, -1, 0)).value]).toEqual([100, 102, 92, 100])
})
test('quarters of a pixel are exact; elsewhere the bound has the slope of the image', () => {
  expect([...allowedOf(answer({}, x, one, by(0.25, -0.75), null, null), ieee32, false)]).toEqual([0, 0, 0, 0])
  const [first] = allowedOf(answer({}, x, one, by(0.3, 0), null, null), ieee32, false)
  expect(first).toBeGreaterThan(16 * 2 ** -24)
  expect(first).toBeLessThan(16 * 2 ** -19)
})
test('without offsets it is the convolution', () => {
  const integers = (seed: number, ...shape: number[]): TensorSpec => ({
    dtype: 'float32',
    shape,
    recipe: { kind: 'integers', seed, low: -8, high: 8 },
  })
  const attributes = { kernel_shape: [2, 3], strides: [2, 1], pads: [1, 0, 0, 2], dilations: [1, 2], group: 2 }
  const inputs = [integers(1, 2, 4, 5, 6), integers(2, 6, 2, 2, 3)]
  const c = { id: 'c', op: 'conv', attributes: { ...attributes, auto_pad: 'NOTSET' }, inputs: [...inputs, null] }
  const want = reference(conv, c as Case).expected[0] as Plain
  const zero: TensorSpec = { dtype: 'float32', shape: [2, 24, ...want.shape.slice(2)], recipe: { kind: 'constant', value: 0 } }
  const got = answer({ ...attributes, offset_group: 2 }, ...inputs, zero, null, null)
  expect(got.shape).toEqual(want.shape)
  expect([...got.value]).toEqual([...want.value].map(v => v + 0))
})
