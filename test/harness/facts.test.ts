import { describe, expect, it } from 'vitest'
import { type Atom, holds, satisfies, say } from '../../harness/atoms.ts'
import { factsOf } from '../../harness/facts.ts'
import { alternatives, close, insteadOf } from '../../harness/instead.ts'
import { loadOps } from '../../harness/ops.ts'
import { caseOf } from '../../harness/plan.ts'
import { reachOf } from '../../harness/reach.ts'
import { normalised } from '../../harness/triage.ts'

const conv = (auto_pad: string, size = 7, kernel = 2, stride = 4) =>
  factsOf({
    attributes: { kernel_shape: [kernel, kernel], strides: [stride, stride], pads: [0, 0, 0, 0], dilations: [1, 1], auto_pad, group: 2 },
    inputs: [
      { dtype: 'float32', shape: [1, 8, size, size] },
      { dtype: 'float32', shape: [6, 4, kernel, kernel] },
    ],
  })

describe('facts', () => {
  it('quantities of windows and groups come from attributes and shapes', () => {
    const f = conv('SAME_UPPER')
    expect(f.get('windows')).toEqual([2, 2])
    expect(f.get('span')).toEqual([6, 6])
    expect(f.get('total padding')).toEqual([-1, -1])
    expect(f.get('channels per group')).toBe(4)
    expect(f.get('terms of a sum')).toBe(16)
    expect(conv('VALID').get('left over')).toEqual([1, 1])
  })
  it('what nobody knows is neither true nor false', () => {
    const atom: Atom = { fact: 'result minimum', is: '<', value: 0 }
    expect(holds(atom, conv('VALID'))).toBeUndefined()
    expect(satisfies({ all: [atom] }, conv('VALID'))).toBe(false)
    expect(satisfies({ all: [] }, conv('VALID'))).toBe(true)
  })
  it('rules read as one line', () => {
    expect(
      say({
        all: [
          { fact: 'stride', on: 'any', is: '>', than: 'kernel' },
          { fact: 'auto_pad', is: 'in', value: ['SAME_LOWER', 'SAME_UPPER'] },
        ],
      }),
    ).toBe('stride > kernel on some axis and auto_pad is SAME_LOWER or SAME_UPPER')
    expect(
      say({
        any: [{ all: [{ fact: 'channels', is: '>=', value: 5 }] }, { all: [{ fact: 'total padding', on: 'any', is: 'not divisible by', value: 2 }] }],
      }),
    ).toBe('channels ≥ 5, or total padding is odd on some axis')
  })
  it('a rule reaches the layers of real models that it matches', async () => {
    const op = (await loadOps()).get('conv')!
    const strided = reachOf(op, { all: [{ fact: 'stride', on: 'any', is: '>', than: 'kernel' }] }, 'onnx', ['node'])
    expect(strided.find(r => r.model.includes('resnet'))?.layers).toBeGreaterThan(0)
    expect(reachOf(op, { all: [{ fact: 'kernel', on: 'any', is: '>', value: 99 }] }, 'onnx', ['node'])).toEqual([])
    expect(reachOf(op, { all: [{ fact: 'call', is: '=', value: 'invalid' }] }, 'onnx', ['node'])).toEqual([])
    // volumes are said by another way, which no layer of these models takes
    const always = { all: [{ fact: 'batch', is: '>=', value: 1 }] } as const
    expect(reachOf(op, always, 'tfjs', ['conv2d-explicit']).length).toBeGreaterThan(0)
    expect(reachOf(op, always, 'tfjs', ['split-conv3d-concat'])).toEqual([])
  })
})

describe('instead', () => {
  it('what is right in every output that it speaks of explains nothing', async () => {
    // the window's largest value is right, its index is not: "the input unchanged" says nothing of that
    const op = (await loadOps()).get('max-pool-argmax')!
    const c = caseOf(1, { ...op, invalid: undefined }, 0)
    const one = {
      ...c,
      attributes: { ...c.attributes, kernel_shape: [1, 1], strides: [1, 1], pads: [0, 0, 0, 0], auto_pad: 'VALID' },
      inputs: [{ dtype: 'float32' as const, shape: [1, 1, 1, 1], recipe: { kind: 'values' as const, values: [5] } }],
    }
    const outputs = (index: number) => [5, index].map(v => ({ shape: [1, 1, 1, 1], data: [v] }))
    expect(insteadOf(op, one, outputs(-1))).toBeNull()
  })
  it('nothing but an infinity is close to an infinity', () => {
    expect([close(Infinity, Infinity), close(NaN, NaN), close(1, 1 + 1e-6)]).toEqual([true, true, true])
    expect([close(0, -Infinity), close(Infinity, -Infinity), close(NaN, 1), close(1, 1.1)]).toEqual([false, false, false, false])
  })
  it('every alternative of every operation is total, and has one name', async () => {
    for (const op of (await loadOps()).values())
      for (let k = 0; k < 3; k++) {
        const list = [...alternatives(op, caseOf(9, { ...op, invalid: undefined }, k))]
        expect(new Set(list.map(a => a.name)).size, op.name).toBe(list.length)
      }
  }, 120_000)
  it('an ignored attribute is named', async () => {
    const op = (await loadOps()).get('average-pool')!
    const c = {
      id: 'c',
      op: op.name,
      attributes: {
        kernel_shape: [2, 2],
        strides: [1, 1],
        pads: [1, 0, 0, 1],
        dilations: [1, 1],
        auto_pad: 'NOTSET',
        ceil_mode: 0,
        count_include_pad: 1,
      },
      inputs: [{ dtype: 'float32' as const, shape: [1, 1, 3, 3], recipe: { kind: 'ramp' as const, start: 1, step: 1 } }],
    }
    const without = [...alternatives(op, c)].find(a => a.name === 'count_include_pad ignored')!.evaluate()!
    expect(insteadOf(op, c, without)!.sentence).toBe('as if count_include_pad were 0')
    const moved = [...alternatives(op, c)].find(a => a.name === 'pads other side')!.evaluate()!
    expect(insteadOf(op, c, moved)!.sentence).toBe('padding on the other side')
  })
})

it('the same message of two packages of a runtime is the same', () => {
  const node =
    "Non-zero status code returned while running Conv node. Name:'y0_nchwc' Status Message: Dilation not supported for AutoPadType::SAME_UPPER"
  const web =
    "failed to call OrtRun(). ERROR_CODE: 2, ERROR_MESSAGE: Non-zero status code returned while running Conv node. Name:'' Status Message: Dilation not supported for AutoPadType::SAME_UPPER"
  expect(normalised(web)).toBe(normalised(node))
  expect(normalised('a.h:88 ns::F::F(const T&, int) [with T = X] pads < 3')).toBe(normalised('a.h:89 ns::F::F(const T &, int) [T = X] pads < 4'))
})
