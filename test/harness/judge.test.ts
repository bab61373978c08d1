import { describe, expect, it } from 'vitest'
import { judge, type Reference, reference } from '../../harness/judge.ts'
import { data as dataField, defineOp, drawn, type Expected, FINITE, fill, generator, int } from '../../harness/op.ts'
import { numbers, tensor } from '../../harness/tensor.ts'
import { type Arithmetic, type Case, ieee32, type Outcome, wgsl32 } from '../../harness/types.ts'

const kinds = dataField(...FINITE)
/** y = Σ x·w over the last axis: the smallest operation with a `dot` bound. */
const dot = defineOp({
  name: 'dot',
  spec: [],
  valid: generator({ n: int(1, 8), x: kinds }, raw => drawn({}, fill(kinds, raw.x, [1, raw.n]), fill(kinds, raw.x, [1, raw.n]))),
  expect(_, [x, w]): Expected[] {
    let [value, magnitude] = [0, 0]
    x!.data.forEach((v, i) => {
      value += v * w!.data[i]!
      magnitude += Math.abs(v * w!.data[i]!)
    })
    return [
      {
        rule: 'dot',
        dtype: 'float32',
        shape: [1],
        value: Float64Array.of(value),
        magnitude: Float64Array.of(magnitude),
        terms: Float64Array.of(x!.data.length),
      },
    ]
  },
  onnx: () => [],
  tfjs: () => [],
})
const values = (...v: number[]) => ({
  dtype: 'float32' as const,
  shape: [1, v.length],
  recipe: { kind: 'values' as const, values: v.map(x => (Number.isFinite(x) ? x : (String(x) as 'NaN'))) },
})
const caseOf = (x: number[], w: number[], valid?: false): Case => ({
  id: 'c',
  op: 'dot',
  attributes: {},
  inputs: [values(...x), values(...w)],
  ...(valid === false ? { valid } : {}),
})
const returns = (ref: Reference, y: number[], dtype: 'float32' | 'int32' = 'float32', shape = [y.length]): Outcome => ({
  status: 'outputs',
  outputs: [tensor(dtype, shape, y)],
  checksum: ref.checksum,
  ms: 1,
})
const says = (x: number[], w: number[], y: number[], arithmetic: Arithmetic = ieee32, shape?: number[]) => {
  const c = caseOf(x, w)
  const ref = reference(dot, c)
  return judge(c, ref, returns(ref, y, 'float32', shape), { arithmetic, dialect: 'onnx' })
}

describe('sums of products', () => {
  it('integers below 2²⁴ are exact: one off is wrong', () => {
    expect(says([3, 4], [5, 6], [39]).kind).toBe('agree')
    expect(says([3, 4], [5, 6], [39]).rung).toBe('exact')
    expect(says([3, 4], [5, 6], [Math.fround(39 + 2 ** -18)]).kind).toBe('wrong')
  })
  it('reals may be off by γ·Σ|x||w| and no more', () => {
    const [x, w] = [[0.1, 0.2, 0.3].map(Math.fround), [0.7, 0.11, 0.13].map(Math.fround)]
    const exact = x.reduce((s, v, i) => s + v * w[i]!, 0)
    const ulp = 2 ** -27
    expect(says(x, w, [Math.fround(exact) + ulp]).kind).toBe('agree')
    expect(says(x, w, [exact * (1 + 2 ** -20)]).kind).not.toBe('agree')
  })
  it('names a lower precision instead of calling it wrong', () => {
    const x = Array.from({ length: 16 }, (_, i) => Math.fround(1 / (i + 3)))
    const w = Array.from({ length: 16 }, (_, i) => Math.fround(1 / (2 * i + 7)))
    const half = (v: number) => Math.fround(numbers(tensor('float16', [1], [v]))[0]!)
    const v = says(x, w, [x.reduce((s, v, i) => Math.fround(s + half(v) * half(w[i]!)), 0)])
    expect(v.kind).toBe('precision')
    expect(['tf32', 'f16']).toContain(v.rung)
  })
  it('does not compare where a partial sum may overflow', () => {
    expect(says([3e38, 3e38, -3e38], [1, 1, 1], [Infinity]).kind).toBe('not-compared')
    expect(says([1e30, 1], [1, 1], [Infinity]).kind).toBe('non-finite')
  })
  it('a NaN among the inputs is a convention, a lost finite value is not', () => {
    expect(says([NaN, 1], [1, 1], [NaN]).kind).toBe('agree')
    expect(says([NaN, 1], [1, 1], [0]).kind).toBe('convention')
    expect(says([1, 1], [1, 1], [NaN]).kind).toBe('non-finite')
  })
  it('a shader may round either way, a CPU may not', () => {
    const [x, w] = [[0.1].map(Math.fround), [0.7].map(Math.fround)]
    const y = Math.fround(x[0]! * w[0]!) + 2 ** -27
    expect(says(x, w, [y]).kind).not.toBe('agree')
    expect(says(x, w, [y], wgsl32).kind).toBe('agree')
  })
  it('flushed subnormals agree only where results are flushed', () => {
    expect(says([2 ** -80], [2 ** -60], [0], { ...ieee32, flushesSubnormals: true }).kind).toBe('agree')
    expect(says([2 ** -80], [2 ** -60], [0]).kind).not.toBe('agree')
  })
})

describe('shape, dtype, refusal', () => {
  it('tells a wrong shape, a wrong dtype and the number of values', () => {
    expect(says([1], [1], [1], ieee32, [1, 1]).kind).toBe('shape')
    const c = caseOf([1], [1])
    const ref = reference(dot, c)
    expect(judge(c, ref, returns(ref, [1], 'int32'), { arithmetic: ieee32, dialect: 'onnx' }).kind).toBe('dtype')
  })
  const invalid = caseOf([1], [1], false)
  const ref = reference(dot, invalid)
  const bench = { arithmetic: ieee32, dialect: 'onnx' as const, noKernel: /no kernel/ }
  it('a case that has to be refused: refusing agrees, accepting is the finding, dying is a crash', () => {
    expect(judge(invalid, ref, { status: 'threw', message: 'bad stride', ms: 1 }, bench).kind).toBe('agree')
    expect(judge(invalid, ref, returns(ref, [1]), bench).kind).toBe('accepts-invalid')
    expect(judge(invalid, ref, { status: 'died', how: 'SIGSEGV', message: '' }, bench).kind).toBe('crash')
  })
  it('a missing kernel is a gap, any other error on a valid case is rejects-valid', () => {
    const c = caseOf([1], [1])
    const r = reference(dot, c)
    expect(judge(c, r, { status: 'threw', message: 'no kernel for dot', ms: 1 }, bench).kind).toBe('gap')
    expect(judge(c, r, { status: 'threw', message: 'bad shape', ms: 1 }, bench).kind).toBe('rejects-valid')
  })
  it('a difference on a naive path is a trap, a crash there is a crash', () => {
    const c = caseOf([1], [1])
    const r = reference(dot, c)
    expect(judge(c, r, returns(r, [2]), bench, true).kind).toBe('trap')
    expect(judge(c, r, { status: 'died', how: 'SIGSEGV', message: '' }, bench, true).kind).toBe('crash')
  })
  it('a host that rebuilt other inputs is not compared', () => {
    const c = caseOf([1], [1])
    const r = reference(dot, c)
    expect(judge(c, r, { ...returns(r, [1]), checksum: 1 } as Outcome, bench).kind).toBe('not-run')
  })
})
