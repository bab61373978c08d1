/** batch-, instance-, group-, layer-, rms-, lp-norm, mvn, lrn: values computed by hand, and laws that tie them together. */
import { describe, expect, test } from 'vitest'
import { judge, reference } from '../../harness/judge.ts'
import { caseOf } from '../../harness/plan.ts'
import { tensor } from '../../harness/tensor.ts'
import { type Case, type Expected, ieee32, type Op, type TensorSpec } from '../../harness/types.ts'
import batch from '../../ops/batch-norm.ts'
import group from '../../ops/group-norm.ts'
import instance from '../../ops/instance-norm.ts'
import layer from '../../ops/layer-norm.ts'
import lp from '../../ops/lp-norm.ts'
import lrn from '../../ops/lrn.ts'
import mvn from '../../ops/mvn.ts'
import rms from '../../ops/rms-norm.ts'

type Values = Extract<Expected, { rule: 'error' }>
const of = (shape: number[], ...numbers: number[]): TensorSpec => ({ dtype: 'float32', shape, recipe: { kind: 'values', values: numbers } })
const normal = (seed: number, ...shape: number[]): TensorSpec => ({ dtype: 'float32', shape, recipe: { kind: 'normal', seed, scale: 1 } })
const caseWith = (op: Op, attributes: Case['attributes'], inputs: (TensorSpec | null)[]): Case => ({ id: 'c', op: op.name, attributes, inputs })
const all = (op: Op, attributes: Case['attributes'], ...inputs: (TensorSpec | null)[]) =>
  reference(op, caseWith(op, attributes, inputs)).expected as Values[]
const answer = (op: Op, attributes: Case['attributes'], ...inputs: (TensorSpec | null)[]) => [...all(op, attributes, ...inputs)[0]!.value]
const near = (a: readonly number[], b: readonly number[]) => {
  expect(a.length).toBe(b.length)
  a.forEach((v, i) => {
    expect(v).toBeCloseTo(b[i]!, 12)
  })
}
const verdict = (op: Op, c: Case, value: readonly number[]) => {
  const ref = reference(op, c)
  const e = ref.expected[0] as Values
  return judge(
    c,
    ref,
    { status: 'outputs', outputs: [tensor(e.dtype, e.shape, value)], checksum: ref.checksum, ms: 0 },
    { arithmetic: ieee32, dialect: 'onnx' },
  )
}

describe('values by hand', () => {
  test('batch-norm: 2·(x − 1)/√(3 + 1) + 10, channel by channel', () => {
    const a = { epsilon: 1, momentum: 0.9, training_mode: 0 }
    expect(answer(batch, a, of([1, 2, 2], 3, 5, 3, 5), of([2], 2, 4), of([2], 10, 20), of([2], 1, 3), of([2], 3, 0))).toEqual([12, 14, 20, 28])
  })
  test('batch-norm in training: the batch’s own moments, divided by n; momentum keeps the old', () => {
    const a = { epsilon: 0, momentum: 0.75, training_mode: 1 }
    const [y, mean, variance] = all(batch, a, of([2, 1, 1], 1, 5), of([1], 1), of([1], 0), of([1], 100), of([1], 8))
    expect([...y!.value]).toEqual([-1, 1])
    expect([...mean!.value]).toEqual([100 * 0.75 + 3 * 0.25])
    expect([...variance!.value]).toEqual([8 * 0.75 + 4 * 0.25])
  })
  test('layer-norm: mean and 1/σ are outputs; axis counts from the end', () => {
    const [y, mean, inverse] = all(layer, { axis: -1, epsilon: 0 }, of([2, 2], 1, 5, 2, 2.5), of([2], 1, 3), of([2], 0, 1))
    expect([...y!.value]).toEqual([-1, 4, -1, 4])
    expect([...mean!.value]).toEqual([3, 2.25])
    expect([...inverse!.value]).toEqual([0.5, 4])
    expect([mean!.shape, inverse!.shape]).toEqual([
      [2, 1],
      [2, 1],
    ])
  })
  test('rms-norm does not subtract the mean', () => {
    expect(answer(rms, { axis: 0, epsilon: 0 }, of([2], 1, 7), of([2], 1, 10))).toEqual([1 / 5, 70 / 5])
  })
  test('lp-norm, also of zeros', () => {
    expect(answer(lp, { axis: -1, p: 2 }, of([2, 2], 3, 4, 0, 0))).toEqual([0.6, 0.8, 0, 0])
    expect(answer(lp, { axis: 0, p: 1 }, of([2, 2], 3, 1, -1, 1))).toEqual([0.75, 0.5, -0.25, 0.5])
  })
  test('mvn adds 10⁻⁹ to √variance', () => {
    near(answer(mvn, { axes: [0, 2, 3] }, of([1, 1, 1, 2], 1, 5)), [-2 / (2 + Math.fround(1e-9)), 2 / (2 + Math.fround(1e-9))])
  })
  test('lrn divides alpha by the size; an even window reaches one further up', () => {
    const a = { alpha: 4, beta: 1, bias: 1 }
    near(answer(lrn, { ...a, size: 1 }, of([1, 3, 1], 1, 2, 3)), [1 / 5, 2 / 17, 3 / 37])
    near(answer(lrn, { ...a, size: 2 }, of([1, 3, 1], 1, 2, 3)), [1 / 11, 2 / 27, 3 / 19])
    near(answer(lrn, { ...a, size: 4 }, of([1, 3, 1], 1, 2, 3)), [1 / 15, 2 / 15, 3 / 14])
  })
})

describe('laws', () => {
  const x = normal(5, 2, 4, 3, 2)
  const [s, b] = [normal(6, 4), normal(7, 4)]
  const epsilon = Math.fround(1e-3)
  test('one group a channel is instance-norm', () => {
    expect(answer(group, { num_groups: 4, epsilon }, x, s, b)).toEqual(answer(instance, { epsilon }, x, s, b))
  })
  test('parameters of groups are those of their channels', () => {
    const wide = answer(group, { num_groups: 2, epsilon }, x, of([4], 2, 2, 3, 3), of([4], 5, 5, 7, 7))
    expect(answer(group, { num_groups: 2, epsilon }, x, of([2], 2, 3), of([2], 5, 7))).toEqual(wide)
  })
  test('one group is layer-norm over everything but the batch', () => {
    const one = answer(group, { num_groups: 1, epsilon }, x, of([4], 1, 1, 1, 1), of([4], 0, 0, 0, 0))
    expect(answer(layer, { axis: 1, epsilon }, x, of([1], 1), null)).toEqual(one)
  })
  test('batch-norm with the moments of one image is instance-norm', () => {
    const one = normal(8, 1, 4, 3, 2)
    const a = { epsilon, momentum: 1, training_mode: 1 }
    expect(all(batch, a, one, s, b, s, b)[0]!.value).toEqual(all(instance, { epsilon }, one, s, b)[0]!.value)
  })
})

test('the verdict: rounded to float32 agrees; division by n − 1 and another ε are wrong', () => {
  const c = caseWith(instance, { epsilon: Math.fround(1e-5) }, [normal(9, 1, 2, 4, 4), of([2], 1, 1), of([2], 0, 0)])
  const e = reference(instance, c).expected[0] as Values
  expect(verdict(instance, c, [...e.value]).kind).toBe('agree')
  expect(
    verdict(
      instance,
      c,
      [...e.value].map(v => v * Math.sqrt(15 / 16)),
    ).kind,
  ).toBe('wrong')
  const other = answer(instance, { epsilon: 0.5 }, ...c.inputs)
  expect(verdict(instance, c, other).kind).toBe('wrong')
})
test('E[x²] − E[x]² is a rung of its own', () => {
  // 1000 ± 1: the square of the mean takes the leading digits away
  const c = caseWith(instance, { epsilon: Math.fround(1e-5) }, [
    of([1, 1, 8], 999, 1001, 1000, 1000.5, 999.25, 1000, 1001, 999),
    of([1], 1),
    of([1], 0),
  ])
  const e = reference(instance, c).expected[0] as Values
  const off = [...e.value].map(v => v * (1 + 2 ** -10))
  expect(verdict(instance, c, off)).toMatchObject({ kind: 'agree', rung: 'one-pass' })
})
test('every case has a way of being said, and at least half in both dialects', () => {
  for (const op of [batch, group, instance, layer, lp, lrn, mvn, rms]) {
    let both = 0
    for (let k = 0; k < 60; k++) {
      const c = caseOf(1, op, k)
      const [onnx, tfjs] = [op.onnx(c), op.tfjs(c)].map(l => l.some(p => 'path' in p && !('naive' in p)))
      expect(onnx, `${op.name} ${k}`).toBe(true)
      if (tfjs && c.inputs[0]!.dtype === 'float32') both++
    }
    expect(both, op.name).toBeGreaterThanOrEqual(30)
  }
})
