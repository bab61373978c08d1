/** Images read between their pixels: answers by hand, what the operations have in common, and lowerings that are total. */
import { describe, expect, it } from 'vitest'
import { type Expected, type Real, sizeOf } from '../../harness/op.ts'
import { caseOf } from '../../harness/plan.ts'
import { halfAway, halfUp, PADS } from '../../harness/sampling.ts'
import type { Op } from '../../harness/types.ts'
import affineGrid from '../../ops/affine-grid.ts'
import crop from '../../ops/crop-and-resize.ts'
import gridSample from '../../ops/grid-sample.ts'
import transform from '../../ops/image-transform.ts'
import maxRoiPool from '../../ops/max-roi-pool.ts'
import roiAlign from '../../ops/roi-align.ts'
import rotate from '../../ops/rotate.ts'

type Plain = Exclude<Expected, { rule: 'either' } | { rule: 'decisions' }>
const input = (shape: number[], data: readonly number[], dtype: Real['dtype'] = 'float32'): Real => ({ dtype, shape, data: Float64Array.from(data) })
const ramp = (...shape: number[]): Real => {
  const data = Array.from({ length: sizeOf(shape) }, (_, i) => i + 1)
  return input(shape, data)
}
const run = (op: Op, attributes: object, ...inputs: Real[]): readonly Expected[] => op.expect(attributes as never, inputs)
const plain = (e: readonly Expected[], option = 0): Plain => (e[0]!.rule === 'either' ? e[0]!.options[option]!.expected : e[0]!) as Plain
const answer = (op: Op, attributes: object, ...inputs: Real[]) => Array.from(plain(run(op, attributes, ...inputs)).value)
const near = (a: readonly number[], b: readonly number[]) => {
  expect(a.length).toBe(b.length)
  for (const [i, v] of a.entries()) expect(v).toBeCloseTo(b[i]!, 6)
}

describe('padding', () => {
  it('folds indices as its name says', () => {
    const all = [-5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6]
    const of = (pad: (i: number, n: number) => number) => all.map(i => pad(i, 3))
    expect(of(PADS.reflectEdges)).toEqual([1, 2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0])
    expect(of(PADS.reflectCentres)).toEqual([1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2])
    expect(of(PADS.wrap)).toEqual([1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0])
    expect(of(PADS.fill).filter(i => i < 0).length).toBe(9)
    expect([halfUp(-0.5), halfAway(-0.5), halfAway(0.5), halfAway(-1.4)]).toEqual([0, -1, 1, -1])
  })
})

describe('crop-and-resize', () => {
  const base = { method: 'bilinear', extrapolation_value: -1 }
  const boxes = (...v: number[]) => input([v.length / 4, 4], v)
  const index = (...v: number[]) => input([v.length], v, 'int32')
  it('follows the box index, and crops of the same size are the image', () => {
    const y = answer(crop, { ...base, crop_size: [2, 2] }, ramp(2, 1, 2, 2), boxes(0, 0, 1, 1, 0, 0, 1, 1), index(1, 0))
    expect(y).toEqual([5, 6, 7, 8, 1, 2, 3, 4])
  })
  it('interpolates, extrapolates, takes the middle of the box for one pixel, and turns round with the box', () => {
    const x = input([1, 1, 1, 5], [0, 10, 20, 30, 40])
    expect(answer(crop, { ...base, crop_size: [1, 3] }, x, boxes(0, 0.125, 0, 0.375), index(0))).toEqual([5, 10, 15])
    expect(answer(crop, { ...base, crop_size: [1, 3] }, x, boxes(0, 0.5, 0, 1.5), index(0))).toEqual([20, 40, -1])
    expect(answer(crop, { ...base, crop_size: [1, 1] }, x, boxes(0, 0, 0, 0.75), index(0))).toEqual([15])
    expect(answer(crop, { ...base, crop_size: [1, 3] }, x, boxes(0, 1, 0, 0), index(0))).toEqual([40, 20, 0])
  })
  it('nearest rounds halves up', () => {
    const x = input([1, 1, 1, 5], [0, 10, 20, 30, 40])
    expect(answer(crop, { ...base, method: 'nearest', crop_size: [1, 3] }, x, boxes(0, 0.125, 0, 0.875), index(0))).toEqual([10, 20, 40])
  })
  it('asks only where rounding decides on the border', () => {
    const whole = (n: number, out: number) => run(crop, { ...base, crop_size: [out, out] }, ramp(1, 1, n, n), boxes(0, 0, 1, 1), index(0))[0]!
    expect(whole(28, 14).rule).toBe('either')
    expect(plain([whole(28, 14)]).value.at(-1)).toBe(784) // the corner itself, which float64 in TensorFlow's order puts outside
    expect(whole(9, 5).rule).toBe('error')
  })
})

describe('image-transform', () => {
  const base = { interpolation: 'nearest', fill_mode: 'constant', fill_value: -7, output_shape: [] }
  const x = input([1, 1, 1, 4], [1, 2, 3, 4])
  const shift = (by: number) => input([1, 8], [1, 0, by, 0, 1, 0, 0, 0])
  it('reads the output point in the input', () => {
    expect(answer(transform, base, x, shift(1))).toEqual([2, 3, 4, -7])
    expect(answer(transform, base, x, shift(-0.5))).toEqual([-7, 2, 3, 4])
    expect(answer(transform, { ...base, interpolation: 'bilinear' }, x, shift(0.5))).toEqual([1.5, 2.5, 3.5, -1.5])
    expect(answer(transform, { ...base, output_shape: [1, 2] }, x, input([1, 8], [2, 0, 0, 0, 1, 0, 0, 0]))).toEqual([1, 3])
  })
  it('one matrix serves the batch', () => {
    expect(answer(transform, base, ramp(2, 1, 2, 2), shift(0))).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
  })
  it('fills as documented: nearest, reflect, wrap', () => {
    expect(answer(transform, { ...base, fill_mode: 'nearest' }, x, shift(-2))).toEqual([1, 1, 1, 2])
    expect(answer(transform, { ...base, fill_mode: 'reflect' }, x, shift(-2))).toEqual([2, 1, 1, 2])
    expect(answer(transform, { ...base, fill_mode: 'reflect' }, x, shift(6))).toEqual([2, 1, 1, 2])
    const wrap = run(transform, { ...base, fill_mode: 'wrap' }, x, shift(3))
    expect(Array.from(plain(wrap).value)).toEqual([4, 1, 2, 3])
    expect(Array.from(plain(wrap, 1).value)).toEqual([4, 1, 2, 1]) // TensorFlow: 6 − 4·⌊6/3⌋, clamped
  })
  it('divides by the projection, and fills at infinity', () => {
    expect(answer(transform, base, x, input([1, 8], [2, 0, 0, 0, 1, 0, 1, 0]))).toEqual([1, 2, 2, 3]) // 0, 1, 4/3, 6/4 (away from zero)
    expect(answer(transform, base, x, input([1, 8], [1, 0, 0, 0, 1, 0, -1, 0]))[1]).toBe(-7)
  })
})

describe('rotate', () => {
  const base = { fill_value: [0], center: [0.5, 0.5] }
  it('half a turn about center·size, not the middle of the pixels', () => {
    const x = input([1, 1, 1, 4], [1, 2, 3, 4])
    expect(answer(rotate, { ...base, radians: Math.fround(Math.PI), center: [0.5, 0] }, x)).toEqual([0, 4, 3, 2])
    expect(answer(rotate, { ...base, radians: 0 }, x)).toEqual([1, 2, 3, 4])
  })
  it('fills by channel, the fourth one opaque', () => {
    const y = answer(rotate, { radians: Math.fround(Math.PI), fill_value: [1, 2, 3], center: [1.5, 1.5] }, ramp(1, 4, 1, 1))
    expect(y).toEqual([1, 2, 3, 255])
    expect(answer(rotate, { radians: Math.fround(Math.PI), fill_value: [0.125], center: [1.5, 1.5] }, ramp(1, 5, 1, 1))).toEqual(
      new Array(5).fill(0.125),
    )
  })
})

describe('grid-sample', () => {
  const base = { mode: 'linear', padding_mode: 'zeros', align_corners: 0 }
  const x = input([1, 1, 1, 4], [1, 2, 3, 4])
  const at = (...v: number[]) =>
    input(
      [1, 1, v.length, 2],
      v.flatMap(p => [p, 0]),
    )
  it('places −1 and 1 on the outer edges, or on the outer centres', () => {
    expect(answer(gridSample, base, x, at(-1, -0.75, 0, 1))).toEqual([0.5, 1, 2.5, 2])
    expect(answer(gridSample, { ...base, align_corners: 1 }, x, at(-1, 0, 1, 2))).toEqual([1, 2.5, 4, 0])
  })
  it('pads', () => {
    expect(answer(gridSample, { ...base, padding_mode: 'border' }, x, at(-1, 3))).toEqual([1, 4])
    expect(answer(gridSample, { ...base, padding_mode: 'reflection' }, x, at(1.25, 1.75))).toEqual([4, 3])
    expect(answer(gridSample, { ...base, padding_mode: 'reflection', align_corners: 1 }, x, at(1.5))).toEqual([3.25])
  })
  it('nearest: halves to even in two dimensions, open in three', () => {
    const nearest = { ...base, mode: 'nearest' }
    expect(answer(gridSample, nearest, x, at(-0.5, 0, 0.5))).toEqual([1, 3, 3])
    const volume = plain(run(gridSample, nearest, ramp(1, 1, 1, 1, 4), input([1, 1, 1, 1, 3], [-0.5, 0, 0])))
    expect(volume.open?.[0]?.at[0]).toBe(1)
  })
  it('cubic keeps lines straight inside, and its weights are Keys’', () => {
    const cubic = { ...base, mode: 'cubic' }
    near(answer(gridSample, cubic, input([1, 1, 1, 6], [1, 2, 3, 4, 5, 6]), at(0)), [3.5])
    near(answer(gridSample, cubic, input([1, 1, 1, 6], [0, 1, 0, 0, 0, 0]), at(0)), [-0.09375])
  })
})

describe('affine-grid', () => {
  const theta = input([1, 2, 3], [1, 0, 0, 0, 1, 0.5])
  it('is x, y of every position, edges or corners', () => {
    expect(answer(affineGrid, { align_corners: 0, size: [1, 1, 1, 2] }, theta)).toEqual([-0.5, 0.5, 0.5, 0.5])
    expect(answer(affineGrid, { align_corners: 1, size: [1, 1, 2, 2] }, theta)).toEqual([-1, -0.5, 1, -0.5, -1, 1.5, 1, 1.5])
  })
  it('an axis of one with aligned corners has two readings', () => {
    const e = run(affineGrid, { align_corners: 1, size: [1, 1, 2, 1] }, theta)
    expect([plain(e).value[0], plain(e, 1).value[0]]).toEqual([-1, 0])
  })
})

describe('regions', () => {
  const base = {
    mode: 'avg',
    output_height: 1,
    output_width: 1,
    sampling_ratio: 1,
    spatial_scale: 1,
    coordinate_transformation_mode: 'output_half_pixel',
  }
  const x = ramp(1, 1, 4, 4)
  const of = (...roi: number[]) => [x, input([1, 4], roi), input([1], [0], 'int64')] as const
  it('roi-align samples the middle of a bin, half a pixel earlier with half_pixel', () => {
    expect(answer(roiAlign, base, ...of(0, 0, 2, 2))).toEqual([6])
    expect(answer(roiAlign, { ...base, coordinate_transformation_mode: 'half_pixel' }, ...of(0, 0, 2, 2))).toEqual([3.5])
    expect(answer(roiAlign, { ...base, spatial_scale: 0.5 }, ...of(0, 0, 4, 4))).toEqual([6])
  })
  it('roi-align: a plane keeps its mean for any number of samples; outside is zero, the rim is moved in', () => {
    for (const sampling_ratio of [0, 1, 2, 4]) expect(answer(roiAlign, { ...base, sampling_ratio }, ...of(0, 0, 2, 2))).toEqual([6])
    expect(answer(roiAlign, base, ...of(-4, -4, -2.5, -2.5))).toEqual([0])
    expect(answer(roiAlign, base, ...of(-1.5, -1.5, 0.5, 0.5))).toEqual([1])
  })
  it('roi-align max: weighted pixels, or samples', () => {
    const e = run(roiAlign, { ...base, mode: 'max', coordinate_transformation_mode: 'half_pixel' }, ...of(0, 0, 2, 2))
    expect([plain(e).value[0], plain(e, 1).value[0]]).toEqual([6 / 4, 3.5])
  })
  it('max-roi-pool includes both corners, overlaps bins and leaves none without a pixel', () => {
    const pool = (pooled_shape: number[], ...roi: number[]) => answer(maxRoiPool, { pooled_shape, spatial_scale: 1 }, x, input([1, 5], roi))
    expect(pool([1, 1], 0, 0, 0, 2, 1)).toEqual([7])
    expect(pool([2, 2], 0, 0, 0, 2, 2)).toEqual([6, 7, 10, 11])
    expect(pool([1, 3], 0, 1, 1, 1, 1)).toEqual([6, 6, 6])
    expect(pool([1, 1], 0, 5, 5, 6, 6)).toEqual([0])
  })
})

describe('lowerings', () => {
  it.each([crop, transform, rotate, gridSample, affineGrid, roiAlign, maxRoiPool])('of $name are total', op => {
    for (let k = 0; k < 40; k++) {
      const c = caseOf(3, op as Op, k)
      for (const l of [...op.onnx(c as never), ...op.tfjs(c as never)]) expect('path' in l || l.declined.length > 0).toBe(true)
    }
  })
})
