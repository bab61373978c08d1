/** Reductions, arg-max, top-k: axes, empty sets and ties by hand. */
import { describe, expect, test } from 'vitest'
import arg from '../../ops/arg.ts'
import reduce from '../../ops/reduce.ts'
import topK from '../../ops/top-k.ts'
import { named, of, plain, value } from './values.ts'

const x = of([2, 3], [1, 2, 3, 4, 5, 6])
const a = (axes?: number[], more: object = {}) => ({ ...(axes ? { axes } : {}), keepdims: 0, noop_with_empty_axes: 0, ...more })
const op = (name: string) => named(reduce, name)

describe('reduce', () => {
  test.each([
    ['reduce-sum', [6, 15]],
    ['reduce-mean', [2, 5]],
    ['reduce-max', [3, 6]],
    ['reduce-min', [1, 4]],
    ['reduce-prod', [6, 120]],
    ['reduce-l1', [6, 15]],
    ['reduce-l2', [Math.sqrt(14), Math.sqrt(77)]],
    ['reduce-sum-square', [14, 77]],
    ['reduce-log-sum', [Math.log(6), Math.log(15)]],
  ])('%s over the last axis', (name, expected) => expect(value(op(name), a([-1]), x)).toEqual(expected))
  test('log-sum-exp of equal numbers', () =>
    expect(value(op('reduce-log-sum-exp'), a(), of([4], [100, 100, 100, 100]))[0]).toBeCloseTo(100 + Math.log(4), 12))
  test('keepdims keeps axes of length 1; several axes in any order', () => {
    expect(plain(op('reduce-sum'), a([1, -2], { keepdims: 1 }), x).shape).toEqual([1, 1])
    expect(value(op('reduce-sum'), a([-2, 1]), x)).toEqual([21])
  })
  test('an empty list is all axes, or none with noop: the square stays', () => {
    expect(value(op('reduce-sum-square'), a([]), of([2], [2, 3]))).toEqual([13])
    expect(value(op('reduce-sum-square'), a([], { noop_with_empty_axes: 1 }), of([2], [2, 3]))).toEqual([4, 9])
  })
  test('the empty set', () => {
    const none = of([0], [])
    expect(value(op('reduce-sum'), a(), none)).toEqual([0])
    expect(value(op('reduce-prod'), a(), none)).toEqual([1])
    expect(value(op('reduce-max'), a(), none)).toEqual([-Infinity])
    expect(value(op('reduce-min'), a(), of([0], [], 'int8'))).toEqual([127])
    expect(plain(op('reduce-max'), a([1]), of([0, 2], [])).shape).toEqual([0])
  })
})

describe('arg and top-k', () => {
  const tie = of([1, 4], [2, 5, 5, 1])
  test('first and last of equal maxima', () => {
    const max = named(arg, 'arg-max')
    expect(value(max, { axis: 1, keepdims: 0, select_last_index: 0 }, tie)).toEqual([1])
    expect(value(max, { axis: -1, keepdims: 1, select_last_index: 1 }, tie)).toEqual([2])
    expect(value(named(arg, 'arg-min'), { axis: 1, keepdims: 0, select_last_index: 0 }, tie)).toEqual([3])
  })
  test('a vector gives a scalar', () =>
    expect(plain(named(arg, 'arg-max'), { axis: 0, keepdims: 0, select_last_index: 0 }, of([3], [1, 3, 2])).shape).toEqual([]))
  test('top-k: lower index first among equals, smallest too', () => {
    const both = (attributes: object) =>
      topK.expect({ axis: -1, k: 3, largest: 1, sorted: 1, ...attributes }, [tie]).map(e => ('value' in e ? [...e.value] : []))
    expect(both({})).toEqual([
      [5, 5, 2],
      [1, 2, 0],
    ])
    expect(both({ largest: 0 })).toEqual([
      [1, 2, 5],
      [3, 0, 1],
    ])
  })
  test('unsorted: any order, but the same elements', () => {
    const [e] = topK.expect({ axis: -1, k: 2, largest: 1, sorted: 0 }, [of([1, 3], [1, 3, 2])])
    if (e?.rule !== 'decisions') throw new Error('decisions expected')
    const refute = (values: number[], indices: number[]) => e.refute([of([1, 2], values), of([1, 2], indices, 'int64')], {} as never).wrong
    expect(refute([2, 3], [2, 1])).toBeNull()
    expect(refute([2, 3], [1, 2])).toMatch(/belong together/)
    expect(refute([1, 3], [0, 1])).toMatch(/indices/)
  })
})
