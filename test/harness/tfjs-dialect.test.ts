/** The TF.js dialect: dtypes there and back, promises, and nothing left behind on any way out. */
import { beforeAll, describe, expect, test } from 'vitest'
import tfjsCpu from '../../harness/backends/tfjs-cpu.ts'
import { numbers, tensor } from '../../harness/tensor.ts'
import type { Opened, Tensor, TfjsForm } from '../../harness/types.ts'

let opened: Opened
beforeAll(async () => {
  opened = await tfjsCpu.open()
})
const run = (call: TfjsForm['call'], ...inputs: (Tensor | null)[]) => opened.run({ call }, inputs)

test.each([
  ['float32', 'float32'],
  ['int32', 'int32'],
  ['int64', 'int32'],
  ['bool', 'bool'],
] as const)('%s travels as %s', async (dtype, as) => {
  const [y] = await run((_, [x]) => [x.clone()], tensor(dtype, [1, 2], [0, 1]))
  expect(y).toMatchObject({ dtype: as, shape: [1, 2] })
  expect([...numbers(y!)]).toEqual([0, 1])
})
test('an input that is left out, an output that is left out, a promise', async () => {
  const outputs = await run(async (tf, [x, none]) => [none, await tf.whereAsync(x)], tensor('bool', [3], [0, 1, 1]), null)
  expect([outputs[0], [...numbers(outputs[1]!)]]).toEqual([null, [1, 2]])
})
describe('nothing is left', () => {
  const x = tensor('float32', [2, 2], [1, 2, 3, 4])
  test.each<[string, TfjsForm['call']]>([
    ['after a call', (tf, [x]) => [tf.add(tf.mul(x, x), x)]],
    ['after tensors that nobody returns', (tf, [x]) => [tf.tidy(() => tf.add(x, x)), tf.neg(x)].slice(1)],
    ['after a promise', async (tf, [x]) => [await tf.whereAsync(tf.greater(x, 1))]],
    ['when the runtime refuses', (tf, [x]) => [tf.matMul(tf.add(x, x), tf.zeros([3, 3]))]],
    ['when a promise is refused', (tf, [x]) => Promise.reject(new Error(String(tf.add(x, x).shape)))],
    ['when it throws inside a tidy', (tf, [x]) => tf.tidy(() => [tf.reshape(tf.add(x, x), [7])])],
    ['when an output is no tensor', (tf, [x]) => [tf.add(x, x), { data: () => Promise.reject(new Error('none')) }]],
    ['of kept tensors', (tf, [x]) => [tf.keep(tf.add(x, x))]],
    ['of variables', (tf, [x]) => [tf.variable(x).add(x)]],
  ])('%s', async (_, call) => {
    const before = opened.memory!()
    await run(call, x).catch(() => {})
    expect(opened.memory!()).toEqual(before)
  })
})
