/** Small tensors and the reference's answers, for tests of operations. */
import { tensor, real as toReal } from '../../harness/tensor.ts'
import type { Attributes, DType, Expected, Op, Real } from '../../harness/types.ts'

export const of = (shape: readonly number[], data: readonly number[], dtype: DType = 'float32'): Real => toReal(tensor(dtype, shape, data))
export type Plain = Exclude<Expected, { rule: 'either' } | { rule: 'decisions' }>
export function plain(op: Op, attributes: Attributes, ...inputs: (Real | null)[]): Plain {
  const [e] = op.expect(attributes, inputs)
  if (!e || e.rule === 'either' || e.rule === 'decisions') throw new Error('one plain result expected')
  return e
}
export const value = (op: Op, attributes: Attributes, ...inputs: (Real | null)[]): number[] => [...plain(op, attributes, ...inputs).value]
export const named = (ops: readonly Op[], name: string): Op => {
  const op = ops.find(o => o.name === name)
  if (!op) throw new Error(`no operation ${name}`)
  return op
}
