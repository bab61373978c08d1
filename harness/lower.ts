/** The ways of saying a case to a backend: what the op's file offers, or, for an external case in its own dialect, the node exactly as it stands in the file. */
import { numbers, realise } from './tensor.ts'
import type { Case, Dialect, Lowering, OnnxForm, Op, TfjsForm } from './types.ts'

/** The node of an external case: attributes as written, inputs named by position, initializers where the file says so. */
export function given(c: Case): OnnxForm {
  const last = c.inputs.reduce((n, x, i) => (x ? i + 1 : n), 0)
  const names = c.inputs.slice(0, last).map((x, i) => (x ? `x${i}` : ''))
  const out = (c.outputs ?? [true]).map((asked, j) => (asked ? `y${j}` : ''))
  return {
    opset: c.opset ?? 21,
    nodes: [{ op: c.operator!, in: names, out, attributes: c.attributes }],
    initializers: c.inputs.flatMap((x, i) => (x?.constant ? [i] : [])),
  }
}

/** dtypes that TF.js has no tensor for; int64 (indices) travels as int32. */
const noTfjs = new Set(['float16', 'float64', 'uint8', 'int8'])

export function lowerings(op: Op, c: Case, canonical: Case | { declined: string }, dialect: Dialect): readonly Lowering<any>[] {
  if ('declined' in canonical) return [canonical]
  if (dialect === 'onnx' && c.operator) return [{ path: 'given', form: given(c) } satisfies Lowering<OnnxForm>]
  if (dialect === 'onnx') return op.onnx(canonical)
  const odd = canonical.inputs.find(x => x && noTfjs.has(x.dtype))
  if (odd) return [{ declined: `TF.js has no ${odd.dtype}` }]
  return op.tfjs(canonical) satisfies readonly Lowering<TfjsForm>[]
}

/** The case in the op's own terms: generated cases are that already, external ones are read by `fromOnnx`. */
export function canonical(op: Op, c: Case): Case | { declined: string } {
  if (!c.operator) return c
  const read = op.fromOnnx?.({
    operator: c.operator,
    opset: c.opset ?? 21,
    attributes: c.attributes,
    inputs: c.inputs,
    values: i => {
      const spec = c.inputs[i]
      return spec ? Array.from(numbers(realise(spec))) : null
    },
  }) ?? { attributes: c.attributes, inputs: c.inputs }
  const { operator: _, opset: __, ...rest } = c
  // a node that has to be refused needs no reading: it is given as it is, and nothing is compared
  if ('declined' in read) return c.valid === false ? { ...rest, attributes: c.attributes } : read
  return { ...rest, ...read }
}
