/** Threshold, flip, and grey: answers by hand. */
import { describe, expect, it } from 'vitest'
import type { Expected, Real } from '../../harness/op.ts'
import misc from '../../ops/image-misc.ts'
import threshold from '../../ops/image-threshold.ts'

type Plain = Exclude<Expected, { rule: 'either' } | { rule: 'decisions' }>
const [flip, toRgb, toGrey] = misc as [(typeof misc)[0], (typeof misc)[0], (typeof misc)[0]]
const input = (shape: number[], data: readonly number[], dtype: Real['dtype'] = 'float32'): Real => ({ dtype, shape, data: Float64Array.from(data) })
const list = (e: readonly Expected[]) => Array.from((e[0] as Plain).value)
const mask = (attributes: object, x: Real) => threshold.expect({ method: 'binary', inverted: 0, threshold: 0.5, ...attributes }, [x])

describe('image-threshold', () => {
  const x = input([1, 2, 3], [0, 50, 100, 200, 250, 30])
  it('is above threshold · 255, or at or below it', () => {
    expect(list(mask({}, x))).toEqual([0, 0, 0, 255, 255, 0])
    expect(list(mask({ inverted: 1 }, x))).toEqual([255, 255, 255, 0, 0, 255])
    expect(list(mask({ threshold: 0 }, x))).toEqual([0, 255, 255, 255, 255, 255])
  })
  it('weighs colours', () => {
    expect(list(mask({ threshold: 0.25 }, input([3, 1, 3], [255, 0, 0, 0, 255, 0, 0, 0, 255])))).toEqual([255, 255, 0])
  })
  it('otsu divides where the classes lie furthest apart', () => {
    expect(list(mask({ method: 'otsu' }, x))).toEqual([0, 0, 0, 255, 255, 0])
    expect(list(mask({ method: 'otsu' }, input([1, 1, 5], [10, 11, 12, 13, 14])))).toEqual([0, 0, 255, 255, 255]) // {10, 11 | 12 …} and {… 12 | 13, 14} are equal
    expect((mask({ method: 'otsu' }, input([1, 1, 2], [7, 7]))[0] as Plain).open?.[0]?.at[0]).toBe(1)
  })
})

describe('image-misc', () => {
  it('reverses columns only', () => expect(list(flip.expect({}, [input([1, 1, 2, 3], [1, 2, 3, 4, 5, 6])]))).toEqual([3, 2, 1, 6, 5, 4]))
  it('repeats the last axis', () => expect(list(toRgb.expect({}, [input([2, 1], [1, 2])]))).toEqual([1, 1, 1, 2, 2, 2]))
  it('weighs red, green and blue, and cuts integers off', () => {
    const [r, g, b] = list(toGrey.expect({}, [input([3, 3], [1, 0, 0, 0, 1, 0, 0, 0, 1])])) as [number, number, number]
    expect([r, g, b]).toEqual([0.2989, 0.587, 0.114].map(Math.fround))
    expect(list(toGrey.expect({}, [input([2, 3], [10, 0, 0, -10, 0, 0], 'int32')]))).toEqual([2, -2])
  })
})
