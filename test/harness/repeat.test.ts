/** A second call of the same session: what it gives otherwise is `unstable`, where the definition determines it. */
import { describe, expect, test } from 'vitest'
import ortCpu from '../../harness/backends/ort-cpu.ts'
import tfjsCpu from '../../harness/backends/tfjs-cpu.ts'
import { judge, reference } from '../../harness/judge.ts'
import { loadOps } from '../../harness/ops.ts'
import { numbers, tensor } from '../../harness/tensor.ts'
import type { Again, Backend, Case, Outcome, Tensor, TfjsForm } from '../../harness/types.ts'
import { ieee32 } from '../../harness/types.ts'
import { worker } from '../../harness/worker.ts'
import remembered from '../chaos/remembers-op.ts'

const double = (x: Tensor, at = -1, as = 0): Tensor => ({ ...x, data: Float32Array.from(x.data as Float32Array, (v, i) => (i === at ? as : 2 * v)) })
/** A backend whose second call answers as told. */
const backend = (second: (x: Tensor, again: Again) => void): Backend => ({
  name: 'twice',
  dialect: 'tfjs',
  host: 'child',
  arithmetic: ieee32,
  modes: ['plain'],
  open: async () => ({
    identity: {},
    async run(_form, [x], _prepared, _reuse, again) {
      if (again) second(x!, again)
      return [double(x!)]
    },
    close: async () => {},
  }),
})
async function verdictOf(second: Parameters<typeof backend>[0], values: (number | 'NaN')[], open?: number) {
  const c: Case = {
    id: 'c',
    op: 'remembered',
    attributes: open ? { open } : {},
    inputs: [{ dtype: 'float32', shape: [1, values.length], recipe: { kind: 'values', values } }],
  }
  const w = worker(backend(second), new Map([['remembered', remembered as any]]))
  const outcome = await w.run({ case: c, path: 'call', mode: 'plain' })
  return judge(c, reference(remembered as any, c), outcome, { arithmetic: ieee32, dialect: 'tfjs' })
}

const sqrt = (await loadOps()).get('sqrt')!

describe('a second call', () => {
  test('that gives the same is nothing', async () => {
    expect((await verdictOf((x, again) => again([double(x)]), [1, 2, 3])).kind).toBe('agree')
  })
  test('that gives another bit is unstable, and says where', async () => {
    const v = await verdictOf((x, again) => again([double(x, 2, 6.0000005)]), [1, 2, 3])
    expect(v).toMatchObject({ kind: 'unstable', because: 'a second call gives other bits', element: { output: 0, index: [0, 2], expected: 6 } })
  })
  test('−0 is 0, and one NaN is as good as another', async () => {
    expect((await verdictOf((x, again) => again([double(x, 0, -0)]), [0, 'NaN', 3])).kind).toBe('agree')
    expect((await verdictOf((x, again) => again([double(x, 1, 7)]), [0, 'NaN', 3])).kind).toBe('unstable')
  })
  test('that is as right as the first, with other bits, is nothing', async () => {
    const c: Case = { id: 'c', op: 'root', attributes: {}, inputs: [{ dtype: 'float32', shape: [1], recipe: { kind: 'values', values: [2] } }] }
    const root = (near: number): Outcome => ({
      status: 'outputs',
      outputs: [tensor('float32', [1], [Math.SQRT2])],
      checksum: reference(sqrt, c).checksum,
      ms: 1,
      again: { differs: [[0, 0, Math.fround(Math.SQRT2), near]] },
    })
    const says = (near: number) => judge(c, reference(sqrt, c), root(near), { arithmetic: ieee32, dialect: 'tfjs' }).kind
    expect([says(Math.fround(Math.SQRT2) + 2 ** -23), says(1.5)]).toEqual(['agree', 'unstable'])
  })
  test('may differ in elements that the definition leaves open, not beside them', async () => {
    expect((await verdictOf((x, again) => again([double(x, 1, 9)]), [1, 2, 3], 1)).kind).toBe('agree')
    expect((await verdictOf((x, again) => again([double(x, 0, 9)]), [1, 2, 3], 1)).kind).toBe('unstable')
  })
  test('that throws, or gives another shape, is unstable', async () => {
    expect(await verdictOf((_, again) => again({ threw: 'busy' }), [1])).toMatchObject({ kind: 'unstable', because: 'a second call throws: busy' })
    expect((await verdictOf((x, again) => again([{ ...double(x), shape: [x.data.length] }]), [1])).because).toContain('another shape')
  })
})

describe('the dialects make it', () => {
  const x = tensor('float32', [2], [1, 2])
  const heard: (readonly (Tensor | null)[] | { threw: string })[] = []
  const hear: Again = y => heard.push(y)
  test('TF.js, with the same tensors', async () => {
    const opened = await tfjsCpu.open()
    let calls = 0
    const form: TfjsForm = { call: (tf, [t]) => [tf.mul(t, ++calls)] }
    const [first] = await opened.run(form, [x], undefined, undefined, hear)
    const second = heard.pop() as readonly Tensor[]
    expect([[...numbers(first!)], [...numbers(second[0]!)]]).toEqual([
      [1, 2],
      [2, 4],
    ])
    calls = 0
    const refuses: TfjsForm = {
      call(_tf, [t]) {
        if (calls++) throw new Error('once is enough')
        return [t.clone()]
      },
    }
    await opened.run(refuses, [x], undefined, undefined, hear)
    expect(heard.pop()).toEqual({ threw: 'once is enough' })
    expect(opened.memory!().numTensors).toBe(0)
  })
  test('ONNX Runtime, on the same session', async () => {
    const opened = await ortCpu.open('disabled')
    const form = { opset: 13, nodes: [{ op: 'Neg', in: ['x0'], out: ['y0'], attributes: {} }] }
    await opened.run(form, [x], undefined, undefined, hear)
    expect([...numbers((heard.pop() as readonly Tensor[])[0]!)]).toEqual([-1, -2])
  })
})
