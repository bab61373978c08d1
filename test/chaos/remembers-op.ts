/** An operation for child-remembers: y = 2·x; what becomes of element 1 is left open where `open` says so. */

import { data, defineOp, fill, generator, int, values } from '../../harness/op.ts'
import type { Attributes } from '../../harness/types.ts'

const fields = { n: int(1, 9), open: int(0, 1), x: data('integers', 'nan') }
export default defineOp<{ open?: number } & Attributes>({
  name: 'remembered',
  spec: [],
  valid: generator(fields, ({ n, open, x }) => ({ attributes: (open ? { open } : {}) as Attributes, inputs: [fill(fields.x, x, [1, n + 2])] })),
  invalid: generator({ n: int(1, 4) }, ({ n }) => ({ attributes: {}, inputs: [values('float32', [n], [1, 2, 3, 4].slice(0, n))] })),
  expect: (a, [x]) => [
    {
      rule: 'exact',
      dtype: 'float32',
      shape: x!.shape,
      value: x!.data.map(v => 2 * v),
      open: a.open ? [{ question: 'element 1', at: Uint8Array.from(x!.data, (_, i) => (i === 1 ? 1 : 0)) }] : [],
    },
  ],
  onnx: () => [{ declined: 'spoken in one dialect' }],
  tfjs: c => [{ path: 'call', form: { refuses: c.valid === false, call: () => [] } as any }],
})
