/** Activations and scalar functions: values by hand, laws between them, and bounds that neither refuse float32 nor let a wrong constant pass. */
import { describe, expect, test } from 'vitest'
import { judge, reference } from '../../harness/judge.ts'
import { tensor } from '../../harness/tensor.ts'
import { type Case, ieee32, wgsl32 } from '../../harness/types.ts'
import activations from '../../ops/activations.ts'
import clip from '../../ops/clip.ts'
import prelu from '../../ops/prelu.ts'
import scalars from '../../ops/scalar-functions.ts'
import { named, of, value } from './values.ts'

const all = [...activations, ...scalars]
const at = (name: string, x: number, attributes: Case['attributes'] = {}) => value(named(all, name), attributes, of([1], [x]))[0]!
const kindOf = (name: string, x: readonly number[], y: readonly number[], attributes: Case['attributes'] = {}) => {
  const op = named(all, name)
  const c: Case = { id: 'c-t', op: name, attributes, inputs: [{ dtype: 'float32', shape: [x.length], recipe: { kind: 'values', values: x } }] }
  const ref = reference(op, c)
  const outputs = [tensor('float32', [y.length], y)]
  return judge(c, ref, { status: 'outputs', outputs, checksum: ref.checksum, ms: 0 }, { arithmetic: ieee32, dialect: 'onnx' }).kind
}

describe('values by hand', () => {
  test.each([
    ['relu', -1, 0],
    ['relu6', 7, 6],
    ['leaky-relu', -2, -2 * Math.fround(0.01)],
    ['elu', -1, Math.exp(-1) - 1],
    ['celu', -1, Math.exp(-1) - 1],
    ['sigmoid', 0, 0.5],
    ['hard-sigmoid', 1, Math.fround(0.2) + 0.5],
    ['hard-swish', 1, 4 / 6],
    ['softplus', 0, Math.LN2],
    ['softsign', -3, -0.75],
    ['swish', 0, 0],
    ['thresholded-relu', 1, 0],
    ['erf', 0.5, 0.5204998778130465],
    ['sign', -2, -1],
    ['reciprocal', -4, -0.25],
  ])('%s(%f) = %f', (name, x, y) => expect(at(name, x)).toBeCloseTo(y, 12))
  test.each([
    [0.5, 0],
    [1.5, 2],
    [2.5, 2],
    [-1.5, -2],
    [-2.5, -2],
  ])('round(%f) = %f: half to even', (x, y) => expect(at('round', x)).toBe(y))
  test('the two gelus differ', () => {
    expect(at('gelu', 1, { approximate: 'none' })).toBeCloseTo(0.8413447460685429, 12)
    expect(at('gelu', 1, { approximate: 'tanh' })).toBeCloseTo(0.8411919906082768, 12)
  })
  test('softplus and mish stay finite where the exponential overflows', () => {
    expect(at('softplus', 1000)).toBe(1000)
    expect(at('mish', 1000)).toBe(1000)
  })
})

describe('laws', () => {
  const xs = [-20, -3, -0.5, 0, 0.25, 1, 6, 30]
  test('σ(x) + σ(−x) = 1', () => {
    for (const x of xs) expect(at('sigmoid', x) + at('sigmoid', -x)).toBeCloseTo(1, 14)
  })
  test('celu with alpha 1 is elu', () => {
    for (const x of xs) expect(at('celu', x, { alpha: 1 })).toBeCloseTo(at('elu', x, { alpha: 1 }), 14)
  })
  test('softplus(x) − softplus(−x) = x', () => {
    for (const x of xs) expect(at('softplus', x) - at('softplus', -x)).toBeCloseTo(x, 12)
  })
})

describe('bounds', () => {
  const xs = [-9, -2, -0.1, 0.3, 1, 5]
  test.each(all.map(op => op.name).filter(n => n !== 'swish'))('%s rounded to float32 agrees, on shaders too', name => {
    const op = named(all, name)
    for (const arithmetic of [ieee32, wgsl32]) {
      const attributes = op.valid.build({ ...plainest(op.valid.fields) }).attributes
      const inputs = [
        {
          dtype: 'float32' as const,
          shape: [6],
          recipe: { kind: 'values' as const, values: xs.map(x => (name === 'sqrt' || name === 'log' ? Math.abs(x) : x)) },
        },
      ]
      const c: Case = { id: 'c-t', op: name, attributes, inputs }
      const ref = reference(op, c)
      const [e] = ref.expected
      const outputs = [tensor('float32', [6], e?.rule === 'decisions' || e?.rule === 'either' || !e ? [] : e.value)]
      expect(judge(c, ref, { status: 'outputs', outputs, checksum: ref.checksum, ms: 0 }, { arithmetic, dialect: 'onnx' }).kind).toBe('agree')
    }
  })
  test('the slope of PyTorch in hard-sigmoid is wrong', () =>
    expect(kindOf('hard-sigmoid', [1], [1 / 6 + 0.5], { alpha: Math.fround(0.2), beta: 0.5 })).toBe('wrong'))
  test('the approximation by tanh is not gelu', () => expect(kindOf('gelu', [1], [0.8411919906], { approximate: 'none' })).toBe('wrong'))
  test('one neighbour is far enough for abs', () => expect(kindOf('abs', [-1.5], [1.5000001])).toBe('wrong'))
  test('the sign of a tiny number is not zero', () => expect(kindOf('sign', [1e-20], [0])).toBe('precision'))
})
const plainest = (fields: Record<string, any>) =>
  Object.fromEntries(
    Object.entries(fields).map(([n, f]) => [n, f.kind === 'int' ? f.min : f.kind === 'ints' ? new Array(f.count).fill(f.min) : { kind: 0, at: 0 }]),
  )

describe('clip and prelu', () => {
  test('min above max: everything is max', () => expect(value(clip, { min: 5, max: 2 }, of([3], [0, 3, 9]))).toEqual([2, 2, 2]))
  test('absent limits leave numbers alone', () => expect(value(clip, {}, of([2], [-1e30, 1e30]))).toEqual([Math.fround(-1e30), Math.fround(1e30)]))
  test('opset 6 has its limits as attributes', () => {
    const read = clip.fromOnnx!({ operator: 'Clip', opset: 6, attributes: { min: 0, max: 1 }, inputs: [null], values: () => null })
    expect(read).toMatchObject({ attributes: { min: 0, max: 1 } })
  })
  test('a slope per channel', () => expect(value(prelu, {}, of([1, 2, 2], [-1, 1, -1, -2]), of([2, 1], [0.5, 2]))).toEqual([-0.5, 1, -2, -4]))
})
