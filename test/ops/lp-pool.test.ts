/** lp-pool and the global pools: values by hand, and bounds that are neither 0 nor wide. */
import { describe, expect, test } from 'vitest'
import { allowedOf } from '../../harness/compare.ts'
import { reference } from '../../harness/judge.ts'
import { type Case, type Expected, ieee32, type Op, type TensorSpec } from '../../harness/types.ts'
import globals from '../../ops/global-pool.ts'
import lp from '../../ops/lp-pool.ts'

type Plain = Exclude<Expected, { rule: 'either' } | { rule: 'decisions' }>
const values = (shape: number[], ...numbers: number[]): TensorSpec => ({ dtype: 'float32', shape, recipe: { kind: 'values', values: numbers } })
const plain = { kernel_shape: [2], strides: [1], pads: [0, 0], dilations: [1], auto_pad: 'NOTSET', ceil_mode: 0, p: 2 }
const caseOf = (op: string, attributes: Case['attributes'], x: TensorSpec): Case => ({ id: 'c', op, attributes, inputs: [x] })
const answer = (attributes: object, x: TensorSpec) => reference(lp, caseOf('lp-pool', { ...plain, ...attributes }, x)).expected[0] as Plain
const global = (name: string, attributes: Case['attributes'], x: TensorSpec) =>
  reference(globals.find(op => op.name === name) as Op, caseOf(name, attributes, x)).expected[0] as Plain

describe('lp-pool by hand', () => {
  const x = values([1, 1, 4], 3, -4, 0, 12)
  test.each([
    [{}, [5, 4, 12]],
    [{ p: 1 }, [7, 4, 12]],
    [{ p: 4 }, [(81 + 256) ** 0.25, 4, 12]],
    [{ pads: [1, 1], strides: [3] }, [3, 12]], // padding adds nothing
    [{ dilations: [2] }, [3, Math.sqrt(16 + 144)]],
    [{ strides: [3], ceil_mode: 1 }, [5, 12]],
  ])('%j', (attributes, want) => {
    const e = answer(attributes, x)
    expect(e.value.length).toBe(want.length)
    for (const [i, v] of want.entries()) expect(e.value[i]).toBeCloseTo(v, 12)
  })
  test('sums of integers are exact, roots are not; sums that may overflow are not compared', () => {
    expect([...allowedOf(answer({ p: 1 }, x), ieee32, true)]).toEqual([0, 0, 0])
    const [root] = allowedOf(answer({}, x), ieee32, true)
    expect(root).toBeGreaterThan(5 * 2 ** -24)
    expect(root).toBeLessThan(5 * 2 ** -18)
    expect(allowedOf(answer({}, values([1, 1, 2], 2e19, 1)), ieee32, false)[0]).toBeNaN()
  })
})

describe('global pools by hand', () => {
  const x = values([1, 2, 2, 2], 1, 2, 3, 6, -1, -2, -3, -8)
  test('mean, maximum and norm of every plane', () => {
    expect([...global('global-average-pool', {}, x).value]).toEqual([3, -3.5])
    expect([...global('global-max-pool', {}, x).value]).toEqual([6, -1])
    expect([...global('global-lp-pool', { p: 1 }, x).value]).toEqual([12, 14])
    expect(global('global-lp-pool', { p: 2 }, x).value[0]).toBeCloseTo(Math.sqrt(50), 12)
    expect(global('global-max-pool', {}, x).shape).toEqual([1, 2, 1, 1])
  })
  test('NaN is open in a maximum, with both answers', () => {
    const e = global('global-max-pool', {}, { dtype: 'float32', shape: [1, 1, 3], recipe: { kind: 'values', values: [1, 'NaN', 2] } })
    expect(e.open![0]!.answers).toEqual({ 'NaN is skipped': new Float64Array([2]), 'NaN wins': new Float64Array([Number.NaN]) })
  })
})
