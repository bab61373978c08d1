/** conv-transpose: values computed by hand, and that it is the adjoint of convolution. */
import { describe, expect, test } from 'vitest'
import { judge, reference } from '../../harness/judge.ts'
import { caseOf } from '../../harness/plan.ts'
import { tensor } from '../../harness/tensor.ts'
import { type Case, type Expected, ieee32, type TensorSpec } from '../../harness/types.ts'
import conv from '../../ops/conv.ts'
import transposed from '../../ops/conv-transpose.ts'

const values = (shape: number[], ...numbers: number[]): TensorSpec => ({ dtype: 'float32', shape, recipe: { kind: 'values', values: numbers } })
const plain = { kernel_shape: [2], strides: [1], pads: [0, 0], dilations: [1], auto_pad: 'NOTSET', group: 1, output_padding: [0] }
const caseWith = (attributes: object, ...inputs: TensorSpec[]): Case => ({
  id: 'c',
  op: 'conv-transpose',
  attributes: { ...plain, ...attributes },
  inputs,
})
function answer(attributes: object, ...inputs: TensorSpec[]): { shape: readonly number[]; value: number[] } {
  const e = reference(transposed, caseWith(attributes, ...inputs)).expected[0]!
  const first = (e.rule === 'either' ? e.options[0]!.expected : e) as Extract<Expected, { rule: 'dot' }>
  return { shape: first.shape, value: [...first.value] }
}
const x = values([1, 1, 3], 1, 2, 3)
const w = (...v: number[]) => values([1, 1, v.length], ...v)

describe('values by hand', () => {
  test('every pixel lays down the kernel, not turned round', () => {
    expect(answer({}, x, w(10, 100)).value).toEqual([10, 120, 230, 300])
    expect(answer({ strides: [2] }, x, w(10, 100)).value).toEqual([10, 100, 20, 200, 30, 300])
    expect(answer({ dilations: [2] }, x, w(10, 100)).value).toEqual([10, 20, 130, 200, 300])
  })
  test('pads cut off, output_padding adds rows at the end', () => {
    expect(answer({ strides: [2], pads: [1, 0] }, x, w(10, 100)).value).toEqual([100, 20, 200, 30, 300])
    expect(answer({ strides: [3], output_padding: [2], pads: [0, 1] }, x, w(10, 100)).value).toEqual([10, 100, 0, 20, 200, 0, 30, 300, 0])
  })
  test('an odd total: ⌊total/2⌋ first only with SAME_UPPER', () => {
    const three = { kernel_shape: [3], strides: [2] }
    const k = w(10, 100, 1000)
    const all = answer(three, x, k).value // 7 rows
    expect(answer({ ...three, auto_pad: 'SAME_UPPER' }, x, k).value).toEqual(all.slice(0, 6))
    expect(answer({ ...three, auto_pad: 'SAME_LOWER' }, x, k).value).toEqual(all.slice(1, 7))
    expect(answer({ ...three, output_shape: [4] }, x, k).value).toEqual(all.slice(2, 6))
    expect(answer({ ...three, output_shape: [4], auto_pad: 'SAME_UPPER' }, x, k).value).toEqual(all.slice(1, 5))
  })
  test('groups and bias', () => {
    const e = answer({ group: 2, kernel_shape: [1] }, values([1, 4, 1], 1, 2, 3, 4), values([4, 1, 1], 1, 10, 100, 1000), values([2], 0.5, 0.25))
    expect(e).toEqual({ shape: [1, 2, 1], value: [21.5, 4300.25] })
  })
})

test('it is the adjoint of convolution: ⟨conv(x), y⟩ = ⟨x, transposed(y)⟩', () => {
  const attributes = { kernel_shape: [3, 2], strides: [2, 1], pads: [1, 0, 1, 1], dilations: [1, 2], auto_pad: 'NOTSET', group: 2 }
  const integers = (seed: number, ...shape: number[]): TensorSpec => ({
    dtype: 'float32',
    shape,
    recipe: { kind: 'integers', seed, low: -8, high: 8 },
  })
  const [image, kernel] = [integers(1, 2, 4, 5, 6), integers(2, 6, 2, 3, 2)]
  const forward = reference(conv, { id: 'c', op: 'conv', attributes, inputs: [image, kernel, null] })
  const y = forward.expected[0] as Extract<Expected, { rule: 'dot' }>
  const dy = integers(3, ...y.shape)
  const back = reference(transposed, { id: 'c', op: 'conv-transpose', attributes: { ...attributes, output_padding: [0, 0] }, inputs: [dy, kernel] })
  const dx = back.expected[0] as Extract<Expected, { rule: 'dot' }>
  expect(dx.shape).toEqual([2, 4, 5, 6])
  const dot = (a: Float64Array, b: Float64Array) => a.reduce((s, v, i) => s + v * b[i]!, 0)
  expect(dot(y.value, back.inputs[0]!.data)).toBe(dot(forward.inputs[0]!.data, dx.value))
})

test('the judge: one wrong pixel of integer data is wrong, a kernel turned round too', () => {
  const c = caseWith({}, x, w(10, 100))
  const ref = reference(transposed, c)
  const say = (...v: number[]) =>
    judge(
      c,
      ref,
      { status: 'outputs', outputs: [tensor('float32', [1, 1, 4], v)], checksum: ref.checksum, ms: 0 },
      { arithmetic: ieee32, dialect: 'onnx' },
    ).kind
  expect(say(10, 120, 230, 300)).toBe('agree')
  expect(say(10, 120, 230, 301)).toBe('wrong')
  expect(say(100, 210, 320, 30)).toBe('wrong')
})

test('half of the cases can be said in both dialects, and every lowering is total', () => {
  let both = 0
  for (let k = 0; k < 200; k++) {
    const c = caseOf(1, transposed, k)
    const [onnx, tfjs] = [transposed.onnx(c), transposed.tfjs(c)]
    if (c.valid !== false && onnx.some(l => 'path' in l) && tfjs.some(l => 'path' in l)) both++
  }
  expect(both).toBeGreaterThan(100)
})
