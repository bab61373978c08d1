/** resize: values computed by hand, laws, and every defence broken on purpose. */
import { describe, expect, test } from 'vitest'
import { judge, reference } from '../../harness/judge.ts'
import { numbers, random, realise, tensor } from '../../harness/tensor.ts'
import { type Case, type Expected, type GivenNode, ieee32, type TensorSpec } from '../../harness/types.ts'
import resize from '../../ops/resize.ts'

const row = (values: number[], dtype: TensorSpec['dtype'] = 'float32'): TensorSpec => ({
  dtype,
  shape: [values.length],
  recipe: { kind: 'values', values },
})
const caseOf = (attributes: Case['attributes'], x: TensorSpec): Case => ({ id: 'c-0', op: 'resize', attributes, inputs: [x] })
const answer = (attributes: Case['attributes'], x: TensorSpec): Expected => reference(resize, caseOf(attributes, x)).expected[0]!
type Plain = Exclude<Expected, { rule: 'either' } | { rule: 'decisions' }>
function plain(e: Expected): Plain {
  if (e.rule === 'either' || e.rule === 'decisions') throw new Error(`one answer, not ${e.rule}`)
  return e
}
/** The definition's values. */
const values = (attributes: Case['attributes'], x: TensorSpec): number[] => [...plain(answer(attributes, x)).value]
/** What the judge says of these outputs. */
function verdict(attributes: Case['attributes'], x: TensorSpec, data: number[], shape: readonly number[] = [data.length]) {
  const c = caseOf(attributes, x)
  const ref = reference(resize, c)
  const outputs = [tensor(x.dtype, shape, data)]
  return judge(c, ref, { status: 'outputs', outputs, checksum: ref.checksum, ms: 0 }, { arithmetic: ieee32, dialect: 'onnx' })
}
const near = (got: number[], want: number[]) => {
  expect(got.length).toBe(want.length)
  for (const [i, v] of got.entries()) expect(v).toBeCloseTo(want[i]!, 5)
}
/** Raw records of a generator, deterministic. */
function* raws(generator: typeof resize.valid, count: number, seed = 1) {
  const next = random(seed)
  const upTo = (min: number, max: number) => min + (next() % (max - min + 1))
  for (let k = 0; k < count; k++)
    yield Object.fromEntries(
      Object.entries(generator.fields as Record<string, any>).map(([name, f]) => [
        name,
        f.kind === 'int'
          ? upTo(f.min, f.max)
          : f.kind === 'ints'
            ? Array.from({ length: f.count }, () => upTo(f.min, f.max))
            : { kind: upTo(0, f.kinds.length - 1), at: upTo(0, 65535) },
      ]),
    )
}
const TRANSFORMS = ['half_pixel', 'pytorch_half_pixel', 'align_corners', 'asymmetric', 'half_pixel_symmetric']
const MODES = ['nearest', 'linear', 'cubic']

describe('values by hand', () => {
  const ten = row([0, 10])
  test.each([
    ['half_pixel', [0, 2.5, 7.5, 10]],
    ['half_pixel_symmetric', [0, 2.5, 7.5, 10]],
    ['pytorch_half_pixel', [0, 2.5, 7.5, 10]],
    ['align_corners', [0, 10 / 3, 20 / 3, 10]],
    ['asymmetric', [0, 5, 10, 10]],
  ])('linear, %s, 2 → 4', (coordinate_transformation_mode, want) =>
    near(values({ mode: 'linear', coordinate_transformation_mode, sizes: [4] }, ten), want),
  )

  test.each([
    ['round_prefer_floor', [1, 3]],
    ['round_prefer_ceil', [2, 4]],
    ['floor', [1, 3]],
    ['ceil', [2, 4]],
  ])('nearest, %s, coordinates ½ and 2½', (nearest_mode, want) => expect(values({ nearest_mode, sizes: [2] }, row([1, 2, 3, 4]))).toEqual(want))

  test('one output: pytorch_half_pixel reads pixel 0, half_pixel the middle', () => {
    near(values({ mode: 'linear', coordinate_transformation_mode: 'pytorch_half_pixel', sizes: [1] }, row([1, 2, 3])), [1])
    near(values({ mode: 'linear', sizes: [1] }, row([1, 2, 3])), [2])
  })
  test('coordinates use the given scale, not out/in', () =>
    near(values({ mode: 'linear', scales: [Math.fround(1.2)] }, row([1, 5, 2])), [1, 4, 3.25]))
  test('half_pixel_symmetric centres what the floor cut off', () =>
    near(values({ mode: 'linear', coordinate_transformation_mode: 'half_pixel_symmetric', scales: [Math.fround(0.6)] }, row([1, 2, 3, 4])), [
      5 / 3,
      10 / 3,
    ]))
  test('tf_half_pixel_for_nn', () =>
    expect(values({ coordinate_transformation_mode: 'tf_half_pixel_for_nn', nearest_mode: 'floor', sizes: [3] }, row([1, 2, 3, 4, 5]))).toEqual([
      1, 3, 5,
    ]))
  test('tf_crop_and_resize: inside, and outside the image', () => {
    const a = { mode: 'linear', coordinate_transformation_mode: 'tf_crop_and_resize', sizes: [3], extrapolation_value: 9 }
    near(values({ ...a, roi: [0.5, 1] }, row([1, 2, 3, 4, 5])), [3, 4, 5])
    near(values({ ...a, roi: [0.5, 1.5] }, row([1, 2, 3, 4, 5])), [3, 5, 9])
    near(values({ ...a, roi: [0.25, 0.75], sizes: [1] }, row([1, 2, 3, 4, 5])), [3])
    expect(values({ ...a, mode: 'nearest', roi: [0.5, 1.5] }, row([1, 2, 3, 4, 5]))).toEqual([3, 5, 9])
  })
  test('cubic halfway between pixels: weights −3/32, 19/32, 19/32, −3/32', () => {
    const a = { mode: 'cubic', coordinate_transformation_mode: 'asymmetric', scales: [2] }
    expect(values(a, row([0, 0, 1, 0, 0, 0]))[3]).toBeCloseTo(19 / 32)
    expect(values(a, row([0, 0, 1, 0, 0, 0]))[7]).toBeCloseTo(-3 / 32)
    expect(values({ ...a, cubic_coeff_a: -0.5 }, row([0, 0, 1, 0, 0, 0]))[3]).toBeCloseTo(9 / 16)
  })
  test('antialias: the border is repeated, with exclude_outside it is left out', () => {
    const a = { mode: 'linear', antialias: 1, sizes: [2] }
    near(values(a, row([1, 2, 3, 4])), [1.625, 3.375]) // (¼ + ¾ + ¾·2 + ¼·3)/2
    near(values({ ...a, exclude_outside: 1 }, row([1, 2, 3, 4])), [12 / 7, 23 / 7]) // (¾ + ¾·2 + ¼·3)/1¾
  })
  test('cubic on uint8: any rounding, and no judgement where the value leaves the type', () => {
    const a = { mode: 'cubic', scales: [2] }
    const x = row([0, 255, 0, 255], 'uint8')
    expect(verdict(a, x, [0, 67, 224, 215, 40, 31, 188, 255]).kind).toBe('agree')
    expect(verdict(a, x, [9, 66, 224, 215, 39, 30, 188, 7]).kind).toBe('agree')
    expect(verdict(a, x, [0, 67, 224, 217, 40, 31, 188, 255]).kind).toBe('wrong')
  })
  test('keep_aspect_ratio_policy: 4×6 into 3×3', () => {
    const x: TensorSpec = { dtype: 'float32', shape: [4, 6], recipe: { kind: 'ramp', start: 0, step: 1 } }
    const shape = (keep_aspect_ratio_policy: string) => plain(answer({ keep_aspect_ratio_policy, sizes: [3, 3] }, x)).shape
    expect([shape('stretch'), shape('not_larger'), shape('not_smaller')]).toEqual([
      [3, 3],
      [2, 3],
      [3, 5],
    ])
  })
  test('axes, negative and out of order', () => {
    const x: TensorSpec = { dtype: 'float32', shape: [2, 1, 3], recipe: { kind: 'ramp', start: 0, step: 1 } }
    const e = plain(answer({ axes: [-1, 0], sizes: [6, 4] }, x))
    expect(e.shape).toEqual([4, 1, 6])
    expect([...e.value].slice(0, 6)).toEqual([0, 0, 1, 1, 2, 2])
  })
})

describe('laws', () => {
  const image: TensorSpec = { dtype: 'float32', shape: [2, 5, 4], recipe: { kind: 'normal', seed: 3, scale: 1 } }
  const data = [...numbers(realise(image))]
  test.each(MODES.flatMap(m => TRANSFORMS.map(t => [m, t])))('the same size is the identity: %s, %s', (mode, coordinate_transformation_mode) => {
    expect(values({ mode, coordinate_transformation_mode, sizes: [2, 5, 4] }, image)).toEqual(data)
    expect(values({ mode, coordinate_transformation_mode, axes: [-1], scales: [1] }, image)).toEqual(data)
  })
  test.each(MODES.flatMap(m => TRANSFORMS.map(t => [m, t])))('a constant stays constant: %s, %s', (mode, coordinate_transformation_mode) => {
    const x: TensorSpec = { ...image, recipe: { kind: 'constant', value: 3 } }
    for (const antialias of mode === 'nearest' ? [0] : [0, 1])
      for (const v of values({ mode, coordinate_transformation_mode, antialias, sizes: [2, 3, 9] }, x)) expect(v).toBeCloseTo(3, 9)
  })
  test('nearest picks elements of the input', () => {
    for (const nearest_mode of ['round_prefer_floor', 'round_prefer_ceil', 'floor', 'ceil'])
      for (const v of values({ nearest_mode, sizes: [3, 7, 2] }, image)) expect(data).toContain(v)
  })
  test('linear stays between its neighbours', () => {
    for (const v of values({ mode: 'linear', sizes: [2, 13, 11] }, image)) expect(v >= Math.min(...data) && v <= Math.max(...data)).toBe(true)
  })
  test('every raw record gives a case, and half of them can be said in both dialects', () => {
    let both = 0
    for (const raw of raws(resize.valid, 300)) {
      const c: Case = { id: 'c-0', op: 'resize', ...resize.valid.build(raw as any) }
      const said = [resize.onnx(c), resize.tfjs(c)].map(list => list.some(l => 'path' in l && !('naive' in l)))
      expect(said[0] || resize.onnx(c).some(l => 'declined' in l)).toBe(true)
      expect(new Set(resize.onnx(c).map(l => ('path' in l ? l.path : ''))).size).toBe(resize.onnx(c).length)
      if (said[0] && said[1] && ['float32', 'int32'].includes(c.inputs[0]!.dtype)) both++
      expect(reference(resize, c).expected.length).toBe(1)
    }
    expect(both).toBeGreaterThanOrEqual(150)
  })
  test('the plainest record is a plain case', () => {
    const least = Object.fromEntries(
      Object.entries(resize.valid.fields as Record<string, any>).map(([n, f]) => [
        n,
        f.kind === 'int' ? f.min : f.kind === 'ints' ? new Array(f.count).fill(f.min) : { kind: 0, at: 0 },
      ]),
    )
    expect(resize.valid.build(least as any).attributes).toEqual({ mode: 'nearest', sizes: [1, 1, 1, 1] })
  })
})

describe('what rounding leaves open, and nothing else', () => {
  const openAt = (attributes: Case['attributes'], x: TensorSpec) => {
    const e = answer(attributes, x)
    return e.rule === 'exact' ? [...(e.open?.[0]?.at ?? [])].flatMap((v, i) => (v ? [i] : [])) : null
  }
  test('a tie with exact steps is decided', () => {
    expect(openAt({ sizes: [2] }, row([1, 2, 3, 4]))).toEqual([])
    expect(verdict({ sizes: [2] }, row([1, 2, 3, 4]), [2, 4]).kind).toBe('wrong')
  })
  test('45 → 33 puts outputs 11 and 22 on a jump of floor: a convention, with both answers', () => {
    const a = { coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor', sizes: [33] }
    const x: TensorSpec = { dtype: 'float32', shape: [45], recipe: { kind: 'ramp', start: 1, step: 1 } }
    expect(openAt(a, x)).toEqual([11, 22])
    const right = values(a, x)
    expect(verdict(a, x, right).kind).toBe('agree')
    expect(verdict(a, x, right.with(11, 15))).toMatchObject({ kind: 'convention' })
    expect(verdict(a, x, right.with(12, 18)).kind).toBe('wrong')
  })
  test('an output size that hangs on a rounding has two answers, an exact one has one', () => {
    const e = answer({ scales: [Math.fround(2 / 3)] }, row([1, 2, 3]))
    expect(e.rule === 'either' && e.options.map(o => plain(o.expected).shape)).toEqual([[2], [1]])
    expect(answer({ scales: [1.5] }, row([1, 2, 3, 4])).rule).toBe('exact')
    expect(answer({ scales: [Math.fround(0.8)] }, row([1, 2])).rule).toBe('exact')
  })
  test('a neighbour of weight zero may or may not be read', () => {
    const a = { mode: 'linear', sizes: [4] }
    const x: TensorSpec = { dtype: 'float32', shape: [4], recipe: { kind: 'values', values: [1, 'NaN', 2, 3] } }
    expect(verdict(a, x, [1, NaN, 2, 3]).because).toContain('a pixel of weight 0 is not read')
    expect(verdict(a, x, [NaN, NaN, 2, 3]).kind).toBe('convention')
    expect(verdict(a, x, [1, NaN, 2, NaN]).kind).toBe('non-finite')
  })
})

describe('lies are caught', () => {
  const x: TensorSpec = { dtype: 'float32', shape: [7, 6], recipe: { kind: 'integers', seed: 5, low: -8, high: 8 } }
  const said = (a: Case['attributes']) => {
    const e = plain(answer(a, x))
    return { shape: e.shape, value: [...e.value].map(Math.fround) }
  }
  test.each(MODES)('one wrong border pixel, another coordinate mode, exchanged axes: %s', mode => {
    const a = { mode, sizes: [5, 9] }
    const { shape, value } = said(a)
    expect(verdict(a, x, value, shape).kind).toBe('agree')
    expect(verdict(a, x, value.with(-1, value.at(-1)! + 0.01), shape).kind).toBe('wrong')
    for (const coordinate_transformation_mode of ['asymmetric', 'align_corners'])
      expect(verdict(a, x, said({ ...a, coordinate_transformation_mode }).value, shape).kind).toBe('wrong')
    expect(verdict(a, x, value, [9, 5]).kind).toBe('shape')
  })
  test('antialias ignored, another border rule, another cubic coefficient', () => {
    const a = { mode: 'cubic', antialias: 1, sizes: [3, 4] }
    const { shape } = said(a)
    for (const lie of [{ antialias: 0 }, { exclude_outside: 1 }, { cubic_coeff_a: -0.5 }])
      expect(verdict(a, x, said({ ...a, ...lie }).value, shape).kind).toBe('wrong')
  })
  test('a scale that is recomputed from the sizes', () =>
    expect(verdict({ mode: 'linear', scales: [1.3125, 1] }, x, said({ mode: 'linear', sizes: [9, 6] }).value, [9, 6]).kind).toBe('wrong'))
})

describe('dialects', () => {
  const given = (operator: string, opset: number, attributes: Case['attributes'], ...lists: (number[] | null)[]): any => {
    const inputs = [{ dtype: 'float32', shape: [1, 1, 2, 2], recipe: { kind: 'constant', value: 1 } } as TensorSpec, ...lists.map(l => l && row(l))]
    const node: GivenNode = { operator, opset, attributes, inputs, values: i => lists[i - 1] ?? null }
    return resize.fromOnnx!(node)
  }
  test('nodes of every opset', () => {
    const early = { coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor', scales: [1, 1, 2, 2] }
    expect(given('Upsample', 7, { scales: [1, 1, 2, 2] }).attributes).toEqual(early)
    expect(given('Upsample', 9, { mode: 'nearest' }, [1, 1, 2, 2]).attributes).toEqual({ mode: 'nearest', ...early })
    expect(given('Resize', 10, { mode: 'linear' }, [1, 1, 2, 0.5]).attributes).toMatchObject({ mode: 'linear', scales: [1, 1, 2, 0.5] })
    expect(given('Resize', 10, {}, [1, 1, 2, 0.5])).toHaveProperty('declined')
    expect(given('Resize', 11, {}, [], [], [1, 1, 4, 4]).attributes).toEqual({ sizes: [1, 1, 4, 4] })
    expect(given('Resize', 13, {}, null, [1, 1, 2, 2]).attributes).toEqual({ scales: [1, 1, 2, 2] })
    const crop = { coordinate_transformation_mode: 'tf_crop_and_resize' }
    expect(given('Resize', 19, crop, [0, 0, 0, 0, 1, 1, 1, 1], null, [1, 1, 3, 3]).attributes).toMatchObject({ roi: [0, 0, 0, 0, 1, 1, 1, 1] })
  })
  const image: TensorSpec = { dtype: 'float32', shape: [1, 2, 4, 6], recipe: { kind: 'constant', value: 1 } }
  const tf = (a: Case['attributes'], x = image) => resize.tfjs(caseOf(a, x)).map(l => ('path' in l ? l.path + ('naive' in l ? '*' : '') : 'declined'))
  const onnx = (a: Case['attributes']) => resize.onnx(caseOf(a, image)).flatMap(l => ('path' in l ? [l.path] : []))
  test('tf paths are marked naive exactly where they differ', () => {
    const to = (h: number, w: number) => ({ sizes: [1, 2, h, w] })
    expect(tf({ mode: 'linear', ...to(5, 7) })).toEqual(['bilinear*', 'bilinear-half-pixel', 'bilinear-rank-3', 'layers-resizing*'])
    expect(tf({ mode: 'linear', coordinate_transformation_mode: 'asymmetric', ...to(8, 6) })).toContain('up-sampling-2d')
    expect(tf({ mode: 'linear', coordinate_transformation_mode: 'align_corners', ...to(5, 7) })).toContain('bilinear-align-corners')
    expect(tf({ mode: 'linear', coordinate_transformation_mode: 'pytorch_half_pixel', ...to(1, 7) })).toContain('bilinear-half-pixel*')
    expect(tf({ ...to(2, 6) })).toContain('nearest-half-pixel*') // coordinates ½ and 2½ are ties
    expect(tf(to(7, 11), { ...image, shape: [1, 2, 3, 5] })).toContain('nearest-half-pixel') // no coordinate is a tie
    expect(tf({ ...to(8, 12) })).toEqual(['nearest', 'nearest-half-pixel', 'nearest-rank-3', 'layers-resizing*', 'up-sampling-2d'])
    expect(tf({ mode: 'linear', antialias: 1, ...to(2, 3) }).filter(p => !p.endsWith('*'))).toEqual([])
    expect(tf({ mode: 'linear', scales: [1, 1, 1.3125, 1] }).filter(p => !p.endsWith('*'))).toEqual([])
    for (const a of [{ mode: 'cubic', ...to(5, 7) }, { sizes: [1, 4, 4, 6] }]) expect(tf(a)).toEqual(['declined'])
  })
  test('onnx paths: an opset that has the words', () => {
    expect(onnx({ coordinate_transformation_mode: 'tf_half_pixel_for_nn', sizes: [1, 2, 5, 7] })).toEqual(['node', 'fed'])
    expect(onnx({ mode: 'linear', antialias: 1, sizes: [1, 2, 5, 7] })).not.toContain('opset-13')
    expect(onnx({ coordinate_transformation_mode: 'half_pixel_symmetric', sizes: [1, 2, 5, 7] })).not.toContain('opset-18')
    const early = { coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' }
    expect(onnx({ ...early, scales: [1, 1, 2, 2] })).toEqual(
      expect.arrayContaining(['opset-10', 'upsample-9', 'upsample-7', 'sizes', 'axes', 'nhwc']),
    )
    expect(onnx({ ...early, scales: [1, 1, 0.5, 2] })).not.toContain('opset-10')
    expect(onnx({ keep_aspect_ratio_policy: 'not_larger', axes: [2, 3], sizes: [5, 7] })).not.toContain('all-axes')
    expect(onnx({ scales: [1, 1, Math.fround(1.1), 1] })).not.toContain('sizes')
  })
  test('every fault leaves something to run in ONNX', () => {
    for (const raw of raws(resize.invalid!, 60)) {
      const c: Case = { id: 'c-0', op: 'resize', ...resize.invalid!.build(raw as any), valid: false }
      expect(resize.onnx(c).some(l => 'path' in l)).toBe(true)
      expect(resize.tfjs(c).length).toBeGreaterThan(0)
    }
  })
})
