/** An operation for the tests of hosts: y = 2·x, and what the chaos backends are told to do (`deed`). */
import { defineOp, generator, int, values } from '../../harness/op.ts'

export default defineOp<{ deed?: string }>({
  name: 'double',
  spec: [],
  valid: generator({ n: int(1, 4) }, ({ n }) => ({ attributes: {}, inputs: [values('float32', [1, n], [1, 2, 3, 4].slice(0, n))] })),
  expect: (_, [x]) => [{ rule: 'exact', dtype: 'float32', shape: x!.shape, value: x!.data.map(v => 2 * v) }],
  onnx: () => [{ path: 'add', form: { opset: 13, nodes: [{ op: 'Add', in: ['x0', 'x0'], out: ['y0'], attributes: {} }] } }],
  tfjs: c => [{ path: 'add', form: { deed: c.attributes.deed, call: (tf: any, [x]: readonly any[]) => [tf.add(x, x)] } as any }],
})
