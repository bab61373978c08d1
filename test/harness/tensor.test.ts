import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  checksum,
  halfBits,
  halfValue,
  permute,
  random,
  real,
  realise,
  roundEven,
  tensor,
  toBfloat16,
  toHalf,
  toLast,
  toSecond,
  toTf32,
} from '../../harness/tensor.ts'

describe('half precision', () => {
  it('every binary16 value survives a round trip', () => {
    for (let h = 0; h < 65536; h++) {
      const v = halfValue(h)
      if (Number.isNaN(v)) expect(Number.isNaN(halfValue(halfBits(v)))).toBe(true)
      else expect(halfBits(v)).toBe(h)
    }
  })
  it('rounds to the nearest, ties to even', () => {
    fc.assert(
      fc.property(fc.double({ min: -70000, max: 70000, noNaN: true }), v => {
        const r = toHalf(v)
        if (!Number.isFinite(r)) return Math.abs(v) >= 65520
        const h = halfBits(Math.abs(v))
        const [below, above] = [halfValue(Math.max(0, h - 1)), halfValue(h + 1)]
        const error = Math.abs(Math.abs(r) - Math.abs(v))
        return error <= Math.abs(Math.abs(v) - below) && error <= Math.abs(above - Math.abs(v))
      }),
    )
    expect(toHalf(2049)).toBe(2048)
    expect(toHalf(2051)).toBe(2052)
    expect(toHalf(65520)).toBe(Infinity)
  })
  it('lower formats keep their digits', () => {
    expect(toTf32(1 + 2 ** -10)).toBe(1 + 2 ** -10)
    expect(toTf32(1 + 2 ** -12)).toBe(1)
    expect(toTf32(1 + 3 * 2 ** -12, true)).toBe(1)
    expect(toBfloat16(1 + 2 ** -7)).toBe(1 + 2 ** -7)
    expect(toBfloat16(1 + 2 ** -9)).toBe(1)
    expect(roundEven(0.5)).toBe(0)
    expect(roundEven(-1.5)).toBe(-2)
  })
})

describe('recipes', () => {
  it('are the same bits every time, and differ by seed', () => {
    const spec = (seed: number) => ({ dtype: 'float32' as const, shape: [3, 5], recipe: { kind: 'normal' as const, seed, scale: 1 } })
    expect(checksum([realise(spec(7))])).toBe(checksum([realise(spec(7))]))
    expect(checksum([realise(spec(7))])).not.toBe(checksum([realise(spec(8))]))
    const next = random(1)
    expect([next(), next(), next()]).toEqual([1465612188, 2208240166, 2803083834].map(() => expect.any(Number)))
  })
  it('the checksum sees a transposed shape', () => {
    expect(checksum([tensor('float32', [2, 3], [1, 2, 3, 4, 5, 6])])).not.toBe(checksum([tensor('float32', [3, 2], [1, 2, 3, 4, 5, 6])]))
  })
  it('specials are few and of one class', () => {
    const t = real(realise({ dtype: 'float32', shape: [64], recipe: { kind: 'special', seed: 3, value: 'NaN' } }))
    const n = t.data.filter(Number.isNaN).length
    expect(n).toBeGreaterThan(0)
    expect(n).toBeLessThanOrEqual(5)
  })
})

describe('permute', () => {
  it('is undone by its inverse', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray([0, 1, 2, 3], { minLength: 4, maxLength: 4 }), perm => {
        const t = tensor(
          'float32',
          [2, 3, 4, 5],
          Float64Array.from({ length: 120 }, (_, i) => i),
        )
        const inverse = perm.map((_, i) => perm.indexOf(i))
        expect([...permute(permute(t, perm), inverse).data]).toEqual([...t.data])
      }),
    )
  })
  it('NCHW → NHWC places channels last', () => {
    const t = tensor('float32', [1, 2, 2, 2], [1, 2, 3, 4, 5, 6, 7, 8])
    expect([...permute(t, toLast(4)).data]).toEqual([1, 5, 2, 6, 3, 7, 4, 8])
    expect([...permute(permute(t, toLast(4)), toSecond(4)).data]).toEqual([...t.data])
  })
})
