/** fused-conv: activations by hand, broadcasting of bias and slope, and that the bound is neither 0 nor wide. */
import { describe, expect, test } from 'vitest'
import { allowedOf } from '../../harness/compare.ts'
import { judge, reference } from '../../harness/judge.ts'
import { caseOf } from '../../harness/plan.ts'
import { tensor } from '../../harness/tensor.ts'
import { type Case, type Expected, ieee32, type TensorSpec } from '../../harness/types.ts'
import fused from '../../ops/fused-conv.ts'

const values = (shape: number[], ...numbers: number[]): TensorSpec => ({ dtype: 'float32', shape, recipe: { kind: 'values', values: numbers } })
const plain = {
  kernel_shape: [1, 1],
  strides: [1, 1],
  pads: [0, 0, 0, 0],
  dilations: [1, 1],
  auto_pad: 'NOTSET',
  group: 1,
  alpha: 0.5,
  beta: 0.5,
  min: -1,
  max: 2,
}
const x = values([1, 1, 2, 2], -2, -0.5, 1, 8)
const one = values([1, 1, 1, 1], 1)
const caseWith = (activation: string, inputs: (TensorSpec | null)[]): Case => ({
  id: 'c',
  op: 'fused-conv',
  attributes: { ...plain, activation },
  inputs,
})
type Plain = Exclude<Expected, { rule: 'either' } | { rule: 'decisions' }>
const answer = (activation: string, ...inputs: (TensorSpec | null)[]) => reference(fused, caseWith(activation, inputs)).expected[0] as Plain

describe('values by hand', () => {
  test.each([
    ['linear', [-2, -0.5, 1, 8]],
    ['relu', [0, 0, 1, 8]],
    ['relu6', [0, 0, 1, 6]],
    ['leakyrelu', [-1, -0.25, 1, 8]],
    ['clip', [-1, -0.5, 1, 2]],
    ['hardsigmoid', [0, 0.25, 1, 1]],
    ['sigmoid', [-2, -0.5, 1, 8].map(v => 1 / (1 + Math.exp(-v)))],
    ['tanh', [-2, -0.5, 1, 8].map(Math.tanh)],
    ['elu', [0.5 * Math.expm1(-2), 0.5 * Math.expm1(-0.5), 1, 8]],
  ])('%s', (activation, want) => {
    expect([...answer(activation, x, one, null, null).value]).toEqual(want)
  })
  test('the bias comes before the activation, as a scalar or one a filter', () => {
    expect([...answer('relu', x, one, values([], 1), null).value]).toEqual([0, 0.5, 2, 9])
    expect([...answer('relu', x, values([2, 1, 1, 1], 1, -1), values([2], 1, 0), null).value]).toEqual([0, 0.5, 2, 9, 2, 0.5, 0, 0])
  })
  test('slopes of a filter, a row, a column', () => {
    const minus = values([1, 1, 2, 2], -1, -2, -3, -4)
    const two = values([2, 1, 1, 1], 1, 1)
    expect([...answer('prelu', minus, two, null, values([2, 1, 1], 1, 10)).value]).toEqual([-1, -2, -3, -4, -10, -20, -30, -40])
    expect([...answer('prelu', minus, one, null, values([1, 2, 1], 1, 10)).value]).toEqual([-1, -2, -30, -40])
    expect([...answer('prelu', minus, one, null, values([1, 1, 2], 1, 10)).value]).toEqual([-1, -20, -3, -40])
  })
})

test('where an activation is flat nothing of the error is left, elsewhere a few units', () => {
  const e = answer('sigmoid', values([1, 1, 1, 2], 0.3, 40), values([1, 1, 1, 1], 0.7), null, null)
  const [steep, flat] = allowedOf(e, ieee32, false)
  expect(steep).toBeGreaterThan(2 ** -24)
  expect(steep).toBeLessThan(20 * 2 ** -24)
  expect(flat).toBeLessThan(20 * 2 ** -24)
})

test('the judge: integers through a clamp are exact, a bias added after it is wrong', () => {
  const c = caseWith('relu', [x, values([1, 1, 1, 1], 2), values([1], 3), null])
  const ref = reference(fused, c)
  const say = (...v: number[]) =>
    judge(
      c,
      ref,
      { status: 'outputs', outputs: [tensor('float32', [1, 1, 2, 2], v)], checksum: ref.checksum, ms: 0 },
      { arithmetic: ieee32, dialect: 'onnx' },
    ).kind
  expect(say(0, 2, 5, 19)).toBe('agree')
  expect(say(3, 3, 5, 19)).toBe('wrong')
  expect(say(0, 2, 5, 19 + 2 ** -19)).toBe('agree') // the image holds a half: the sum may round
  expect(say(0, 2, 5, 19.001)).not.toBe('agree')
})

test('half of the cases can be said in both dialects, and every lowering is total', () => {
  let both = 0
  for (let k = 0; k < 200; k++) {
    const c = caseOf(1, fused, k)
    const [onnx, tfjs] = [fused.onnx(c), fused.tfjs(c)]
    if (c.valid !== false && onnx.some(l => 'path' in l) && tfjs.some(l => 'path' in l)) both++
  }
  expect(both).toBeGreaterThan(100)
})
