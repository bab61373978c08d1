/** Operations that only move data: answers worked out by hand, laws, and lowerings that are total. */
import { describe, expect, it } from 'vitest'
import { type Expected, type Real, real, realise, sizeOf } from '../../harness/op.ts'
import { caseOf } from '../../harness/plan.ts'
import type { Case, Op } from '../../harness/types.ts'
import cast from '../../ops/cast.ts'
import centerCropPad from '../../ops/center-crop-pad.ts'
import concat from '../../ops/concat.ts'
import depthToSpace from '../../ops/depth-to-space.ts'
import expand from '../../ops/expand.ts'
import gather from '../../ops/gather.ts'
import gatherElements from '../../ops/gather-elements.ts'
import gatherNd from '../../ops/gather-nd.ts'
import pad from '../../ops/pad.ts'
import shapes from '../../ops/reshape.ts'
import reverse from '../../ops/reverse.ts'
import reverseSequence from '../../ops/reverse-sequence.ts'
import scatterNd from '../../ops/scatter-nd.ts'
import slice from '../../ops/slice.ts'
import spaceToDepth from '../../ops/space-to-depth.ts'
import split from '../../ops/split.ts'
import stridedSlice from '../../ops/strided-slice.ts'
import tile from '../../ops/tile.ts'
import transpose from '../../ops/transpose.ts'
import where from '../../ops/where.ts'

const ALL = [
  ...[pad, depthToSpace, spaceToDepth, transpose, ...shapes, concat, split, slice, stridedSlice, gather, gatherNd, gatherElements],
  ...[scatterNd, tile, expand, reverse, reverseSequence, cast, centerCropPad, where],
] as Op[]
const [reshape, flatten, squeeze, unsqueeze] = shapes as unknown as [Op, Op, Op, Op]

const input = (shape: number[], data: readonly number[], dtype: Real['dtype'] = 'float32'): Real => ({ dtype, shape, data: Float64Array.from(data) })
const count = (...shape: number[]): Real =>
  input(
    shape,
    Array.from({ length: sizeOf(shape) }, (_, i) => i),
  )
type Exact = Expected & { rule: 'exact' }
const run = (op: Op<any>, attributes: object, ...inputs: (Real | null)[]) => op.expect(attributes, inputs) as readonly Exact[]
const values = (op: Op<any>, attributes: object, ...inputs: Real[]) => Array.from(run(op, attributes, ...inputs)[0]!.value)
const shape = (op: Op<any>, attributes: object, ...inputs: Real[]) => [...run(op, attributes, ...inputs)[0]!.shape]

describe('pad', () => {
  const x = input([4], [1, 2, 3, 4])
  it('knows its five modes', () => {
    expect(values(pad, { mode: 'constant', pads: [2, 1], value: 9 }, x)).toEqual([9, 9, 1, 2, 3, 4, 9])
    expect(values(pad, { mode: 'edge', pads: [2, 1] }, x)).toEqual([1, 1, 1, 2, 3, 4, 4])
    expect(values(pad, { mode: 'reflect', pads: [2, 1] }, x)).toEqual([3, 2, 1, 2, 3, 4, 3])
    expect(values(pad, { mode: 'symmetric', pads: [2, 1] }, x)).toEqual([2, 1, 1, 2, 3, 4, 4])
    expect(values(pad, { mode: 'wrap', pads: [2, 1] }, x)).toEqual([3, 4, 1, 2, 3, 4, 1])
  })
  it('repeats mirrors and periods that are longer than the axis', () => {
    expect(values(pad, { mode: 'wrap', pads: [7, 0] }, input([3], [1, 2, 3]))).toEqual([3, 1, 2, 3, 1, 2, 3, 1, 2, 3])
    // the example of the operator's page
    const page = input([3, 2], [1, 1.2, 2.3, 3.4, 4.5, 5.7])
    expect(values(pad, { mode: 'reflect', pads: [0, 2, 0, 0] }, page)).toEqual([1, 1.2, 1, 1.2, 2.3, 3.4, 2.3, 3.4, 4.5, 5.7, 4.5, 5.7])
  })
  it('crops where amounts are negative, and lists axes from either end', () => {
    expect(values(pad, { mode: 'constant', pads: [-1, 2] }, x)).toEqual([2, 3, 4, 0, 0])
    const all = { mode: 'constant', pads: [0, 0, 4, 1, 0, 0, -4, -1] }
    expect(values(pad, all, count(1, 1, 4, 4))).toEqual(new Array(16).fill(0))
    expect(run(pad, { mode: 'constant', pads: [1, 0], axes: [-2] }, count(1, 2))[0]).toMatchObject({ shape: [2, 2] })
    expect(values(pad, { mode: 'constant', pads: [0, 1], axes: [-1], value: 5 }, count(2, 1))).toEqual([0, 5, 1, 5])
  })
  it('leaves open what a negative amount means beside a mirror', () => {
    const [e] = run(pad, { mode: 'edge', pads: [-1, 1] }, x)
    expect(Array.from(e!.value)).toEqual([2, 3, 4, 4])
    const [f] = run(pad, { mode: 'wrap', pads: [1, -1] }, x)
    expect(Array.from(f!.value)).toEqual([3, 1, 2, 3])
    expect(Array.from(f!.open![0]!.at)).toEqual([1, 0, 0, 0])
    expect(f!.open![0]!.answers!['extended first']![0]).toBe(4)
  })
})

describe('channel blocks', () => {
  it('DCR takes channels by offset, CRD by output channel', () => {
    const x = count(1, 8, 1, 1)
    expect(values(depthToSpace, { blocksize: 2, mode: 'DCR' }, x)).toEqual([0, 2, 4, 6, 1, 3, 5, 7])
    expect(values(depthToSpace, { blocksize: 2, mode: 'CRD' }, x)).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
  })
  it('space-to-depth undoes depth-to-space', () => {
    for (const mode of ['DCR', 'CRD']) {
      const x = count(2, 18, 2, 4)
      const [y] = run(depthToSpace, { blocksize: 3, mode }, x)
      expect(y!.shape).toEqual([2, 2, 6, 12])
      const back = run(spaceToDepth, { blocksize: 3, mode }, input([2, 2, 6, 12], Array.from(y!.value)))[0]!
      expect(Array.from(back.value)).toEqual(Array.from(x.data))
    }
  })
})

describe('axes', () => {
  it('transpose names the input axis of every output axis', () => {
    const perm = [1, 2, 0]
    expect(shape(transpose, { perm }, count(2, 3, 4))).toEqual([3, 4, 2])
    expect(values(transpose, { perm }, count(2, 3, 4)).slice(0, 4)).toEqual([0, 12, 1, 13])
    expect(values(transpose, {}, count(2, 3))).toEqual([0, 3, 1, 4, 2, 5])
  })
  it('reshape copies with 0, infers with −1', () => {
    expect(shape(reshape, { shape: [0, -1], allowzero: 0 }, count(2, 3, 4))).toEqual([2, 12])
    expect(shape(reshape, { shape: [0, 5], allowzero: 1 }, count(0, 3))).toEqual([0, 5])
    expect(shape(reshape, { shape: [], allowzero: 0 }, count(1, 1))).toEqual([])
  })
  it('flatten makes two axes, squeeze and unsqueeze count in different ranks', () => {
    expect(shape(flatten, { axis: -1 }, count(2, 3, 4))).toEqual([6, 4])
    expect(shape(flatten, { axis: 3 }, count(2, 3, 4))).toEqual([24, 1])
    expect(shape(squeeze, { axes: [-1] }, count(1, 3, 1))).toEqual([1, 3])
    expect(shape(squeeze, {}, count(1, 3, 1))).toEqual([3])
    expect(shape(unsqueeze, { axes: [-1, 0] }, count(3))).toEqual([1, 3, 1])
  })
})

describe('pieces', () => {
  it('concat joins what split has cut', () => {
    const x = count(2, 7, 3)
    for (const a of [
      { axis: 1, split: [3, 0, 4], num_outputs: 3 },
      { axis: -2, num_outputs: 3 },
    ]) {
      const parts = run(split, a, x)
      expect(parts.map(p => p.shape[1])).toEqual(a.split ?? [3, 3, 1])
      const joined = run(concat, { axis: 1 }, ...parts.map(p => input([...p.shape], Array.from(p.value))))[0]!
      expect(Array.from(joined.value)).toEqual(Array.from(x.data))
    }
  })
  it('slice clamps as the text says', () => {
    const x = count(5)
    expect(values(slice, { starts: [-3], ends: [2 ** 63] }, x)).toEqual([2, 3, 4])
    expect(values(slice, { starts: [-1], ends: [-(2 ** 63)], axes: [0], steps: [-2] }, x)).toEqual([4, 2, 0])
    expect(values(slice, { starts: [-9], ends: [-19], steps: [-1] }, x)).toEqual([0])
    expect(values(slice, { starts: [4], ends: [2] }, x)).toEqual([])
    expect(values(slice, { starts: [1, 0], ends: [2, 2], axes: [-1, 0] }, count(3, 3))).toEqual([1, 4])
  })
  it('strided slice reads its masks', () => {
    const none = { beginMask: 0, endMask: 0, ellipsisMask: 0, newAxisMask: 0, shrinkAxisMask: 0 }
    const x = input([2, 4], [1, 2, 3, 4, 5, 6, 7, 8])
    const row = { begin: [1, 0], end: [2, 4], strides: [1, 2], ...none, shrinkAxisMask: 1 }
    expect(values(stridedSlice, row, x)).toEqual([5, 7])
    expect(shape(stridedSlice, row, x)).toEqual([2])
    const last = { begin: [0, -1, 0], end: [0, 0, 0], strides: [1, 1, 1], ...none, ellipsisMask: 1, shrinkAxisMask: 2, newAxisMask: 4 }
    expect(values(stridedSlice, last, x)).toEqual([4, 8])
    expect(shape(stridedSlice, last, x)).toEqual([2, 1])
    expect(values(stridedSlice, { begin: [0, 3], end: [0, 0], strides: [-1, -3], ...none, beginMask: 1, endMask: 3 }, x)).toEqual([8, 5, 4, 1])
  })
})

describe('indices', () => {
  const x = input([2, 3], [10, 11, 12, 20, 21, 22])
  const at = (s: number[], ...i: number[]) => input(s, i, 'int64')
  it('gather replaces the axis by the indices’ axes, or walks batches together', () => {
    expect(values(gather, { axis: 1 }, x, at([2], 2, -3))).toEqual([12, 10, 22, 20])
    expect(shape(gather, { axis: 1 }, x, at([]))).toEqual([2])
    expect(values(gather, { axis: 1, batch_dims: 1 }, x, at([2, 2], 0, 2, 1, 1))).toEqual([10, 12, 21, 21])
  })
  it('gather-nd and gather-elements', () => {
    expect(values(gatherNd, { batch_dims: 0 }, x, at([2, 2], 0, 1, -1, -1))).toEqual([11, 22])
    expect(values(gatherNd, { batch_dims: 1 }, x, at([2, 1], 2, 0))).toEqual([12, 20])
    expect(values(gatherElements, { axis: 0 }, x, at([1, 3], 1, 0, -1))).toEqual([20, 11, 22])
    expect(values(gatherElements, { axis: -1 }, x, at([2, 1], 2, 1))).toEqual([12, 21])
  })
  it('scatter-nd writes what gather-nd reads; repeated positions are open', () => {
    expect(values(scatterNd, { reduction: 'none' }, x, at([2, 2], 0, 1, 1, 2), input([2], [7, 8]))).toEqual([10, 7, 12, 20, 21, 8])
    expect(values(scatterNd, { reduction: 'add' }, x, at([2, 1], 0, 0), input([2, 3], [1, 2, 3, 1, 1, 1]))).toEqual([12, 14, 16, 20, 21, 22])
    const [e] = run(scatterNd, { reduction: 'none' }, x, at([2, 2], 0, 0, 0, 0), input([2], [7, 8]))
    expect(Array.from(e!.open![0]!.at)).toEqual([1, 0, 0, 0, 0, 0])
    expect(e!.open![0]!.answers!['the first']![0]).toBe(7)
  })
})

describe('copies', () => {
  it('tile, expand, reverse', () => {
    expect(values(tile, { repeats: [2, 2] }, input([1, 2], [1, 2]))).toEqual([1, 2, 1, 2, 1, 2, 1, 2])
    expect(values(expand, { shape: [2, 1] }, input([3], [1, 2, 3]))).toEqual([1, 2, 3, 1, 2, 3])
    expect(shape(expand, { shape: [1] }, count(2, 3))).toEqual([2, 3])
    expect(values(reverse, { axes: [-1] }, input([2, 2], [1, 2, 3, 4]))).toEqual([2, 1, 4, 3])
    const lengths = input([2], [3, 1], 'int64')
    expect(values(reverseSequence, { batch_axis: 1, time_axis: 0 }, input([3, 2], [0, 1, 2, 3, 4, 5]), lengths)).toEqual([4, 1, 2, 3, 0, 5])
  })
  it('center-crop-pad puts the odd one at the end', () => {
    expect(values(centerCropPad, { shape: [2] }, input([5], [1, 2, 3, 4, 5]))).toEqual([2, 3])
    expect(values(centerCropPad, { shape: [5] }, input([2], [1, 2]))).toEqual([0, 1, 2, 0, 0])
    expect(shape(centerCropPad, { shape: [3], axes: [-1] }, count(2, 5))).toEqual([2, 3])
  })
  it('where broadcasts all three', () => {
    expect(values(where, {}, input([2, 1], [1, 0], 'bool'), input([2], [1, 2]), input([], [9]))).toEqual([1, 2, 9, 9])
  })
})

describe('cast', () => {
  const to = (dtype: string, x: Real) => run(cast, { to: dtype }, x)[0]!
  it('truncates, wraps between integers, rounds to nearest even', () => {
    expect(Array.from(to('int32', input([4], [1.9, -1.9, 0.3, -0.7])).value, v => v + 0)).toEqual([1, -1, 0, 0])
    expect(Array.from(to('int8', input([3], [200, -129, 127], 'int64')).value)).toEqual([-56, 127, 127])
    expect(Array.from(to('float32', input([2], [16777217, 16777219], 'int32')).value)).toEqual([16777216, 16777220])
    expect(Array.from(to('float16', input([3], [65519, 65520, 2049])).value)).toEqual([65504, Infinity, 2048])
    expect(Array.from(to('bool', input([3], [0.3, -0, 2])).value)).toEqual([1, 0, 1])
  })
  it('leaves open what is beyond the range, with the usual answers', () => {
    const e = to('uint8', input([3], [300, -1, 5]))
    expect(Array.from(e.open![0]!.at)).toEqual([1, 1, 0])
    expect(Array.from(e.open![0]!.answers!['saturates']!)).toEqual([255, 0, 0])
    expect(Array.from(e.open![0]!.answers!['last bits of int32, its lowest beyond']!)).toEqual([44, 255, 0])
    expect(Array.from(to('int32', input([1], [Number.NaN])).open![0]!.at)).toEqual([1])
  })
})

describe.each(ALL.map(op => [op.name, op] as const))('%s', (_, op) => {
  const cases = Array.from({ length: 80 }, (_, k) => caseOf(7, op, k))
  it('has inputs, a reference and paths for every case, as JSON', () => {
    let [both, all] = [0, 0]
    for (const c of cases) {
      const again = JSON.parse(JSON.stringify(c)) as Case
      expect(again.attributes).toEqual(c.attributes)
      const paths = [op.onnx(again), op.tfjs(again)]
      for (const offered of paths) {
        expect(offered.length).toBeGreaterThan(0)
        const names = offered.flatMap(l => ('path' in l ? [l.path] : []))
        expect(new Set(names).size).toBe(names.length)
      }
      if (c.valid === false) continue
      const sayable = paths.map(offered => offered.some(l => 'path' in l))
      const odd = c.inputs.some(x => x && ['float16', 'float64', 'uint8', 'int8'].includes(x.dtype))
      all++
      if (sayable[0] && sayable[1] && !odd) both++
      for (const e of op.expect(
        c.attributes,
        c.inputs.map(x => x && real(realise(x))),
      ) as readonly Exact[]) {
        expect(e.value.length).toBe(sizeOf(e.shape))
        expect(e.value.length).toBeLessThan(6000)
      }
    }
    expect(both / all).toBeGreaterThan(0.5)
  })
  it('prepares tensors that fit their shapes', () => {
    for (const c of cases.slice(0, 40))
      for (const offered of [op.onnx(c), op.tfjs(c)])
        for (const l of offered) {
          if (!('form' in l) || !l.form.prepare || c.valid === false) continue
          for (const t of l.form.prepare(c.inputs.map(x => x && realise(x)))) if (t) expect(t.data.length).toBe(sizeOf(t.shape))
        }
  })
})
