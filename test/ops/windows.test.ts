/** Convolution and the pools: references against hand-made and slowly computed answers, laws of windows, and lowerings that are total. */
import { describe, expect, it } from 'vitest'
import { type Case, type Expected, halfBits, type Real, real, realise, sizeOf, stridesOf, tensor, unravel, values } from '../../harness/op.ts'
import { caseOf, covering } from '../../harness/plan.ts'
import { ieee32, type Op, wgsl32 } from '../../harness/types.ts'
import { padsOf } from '../../harness/windows.ts'
import averagePool from '../../ops/average-pool.ts'
import conv from '../../ops/conv.ts'
import maxPool from '../../ops/max-pool.ts'

const input = (shape: number[], data: readonly number[]): Real => ({ dtype: 'float32', shape, data: Float64Array.from(data) })
const ramp = (...shape: number[]): Real =>
  input(
    shape,
    Array.from({ length: sizeOf(shape) }, (_, i) => i + 1),
  )
const window = (kernel_shape: number[], more: object = {}) => ({
  kernel_shape,
  strides: kernel_shape.map(() => 1),
  dilations: kernel_shape.map(() => 1),
  pads: [...kernel_shape, ...kernel_shape].map(() => 0),
  auto_pad: 'NOTSET',
  ...more,
})
type Plain = Exclude<Expected, { rule: 'either' } | { rule: 'decisions' }>
const first = (e: readonly Expected[], j = 0): Plain => {
  const it = e[j]!
  return it.rule === 'either' ? (it.options[0]!.expected as Plain) : (it as Plain)
}
const conv1 = (more: object, x: Real, w: Real, b: Real | null = null) =>
  first(conv.expect({ group: 1, ...window(w.shape.slice(2), more) } as any, [x, w, b])) as Plain & { rule: 'dot' }
const average = (kernel: number[], more: object, x: Real) =>
  first(averagePool.expect({ ceil_mode: 0, count_include_pad: 0, ...window(kernel, more) } as any, [x]))
const maximum = (kernel: number[], more: object, x: Real, j = 0) =>
  first(maxPool.expect({ ceil_mode: 0, storage_order: 0, ...window(kernel, more) } as any, [x]), j)
const inputsOf = (c: Case) => c.inputs.map(s => (s ? real(realise(s)) : null))

describe('conv', () => {
  it('walks windows as written by hand', () => {
    const y = conv1({ strides: [2], pads: [1, 1] }, input([1, 1, 5], [1, 2, 3, 4, 5]), input([1, 1, 3], [1, 10, 100]))
    expect(Array.from(y.value)).toEqual([210, 432, 54])
    expect(y.shape).toEqual([1, 1, 3])
    expect(Array.from(y.terms)).toEqual([2, 3, 2])
  })
  it('keeps groups apart and adds the bias of each filter', () => {
    const y = conv1({ group: 2 }, input([1, 2, 2], [1, 2, 3, 4]), input([4, 1, 1], [1, 10, 1, -1]), input([4], [0, 0, 5, 5]))
    expect(Array.from(y.value)).toEqual([1, 2, 10, 20, 8, 9, 2, 1])
    expect(Array.from(y.magnitude)).toEqual([1, 2, 10, 20, 8, 9, 8, 9])
    expect(Array.from(y.terms)).toEqual(new Array(8).fill(2))
  })
  it('an impulse gives the kernel back, flipped', () => {
    const w = ramp(1, 1, 3, 4)
    for (const at of [0, 7, 19]) {
      const x = input([1, 1, 4, 5], new Array(20).fill(0))
      x.data[at] = 1
      const y = conv1({ pads: [2, 3, 2, 3] }, x, w)
      const [row, column] = [Math.floor(at / 5), at % 5]
      for (let r = 0; r < 3; r++) for (let c = 0; c < 4; c++) expect(y.value[(row + r) * y.shape[3]! + column + c]).toBe(w.data[(2 - r) * 4 + 3 - c])
      expect(y.value.reduce((a, v) => a + v, 0)).toBe(78)
    }
  })
  it('equals the definition, evaluated slowly, on drawn cases', () => {
    for (let k = 0; k < 60; k++) {
      const c = caseOf(5, conv, k)
      if (c.valid === false) continue
      const inputs = inputsOf(c)
      if (inputs.some(x => x && (x.data.length > 3000 || !x.data.every(Number.isFinite)))) continue
      const fast = first(conv.expect(c.attributes, inputs)) as Plain & { rule: 'dot' }
      const slow = slowConv(c.attributes, inputs as [Real, Real, Real | null], fast.shape)
      expect(slow.findIndex((v, i) => Math.abs(v - fast.value[i]!) > 1e-12 * fast.magnitude[i]!)).toBe(-1)
    }
  })
  it('SAME pads nothing where the stride leaves pixels over, and puts the odd pixel where it belongs', () => {
    const a = (auto_pad: string, k: number, s: number) => window([k], { auto_pad, strides: [s] }) as any
    expect(padsOf(a('SAME_UPPER', 1, 4), [16])).toEqual([0, 0])
    expect(padsOf(a('SAME_UPPER', 2, 1), [5])).toEqual([0, 1])
    expect(padsOf(a('SAME_LOWER', 2, 1), [5])).toEqual([1, 0])
    expect(Array.from(conv1({ auto_pad: 'SAME_UPPER', strides: [3] }, ramp(1, 1, 9), ramp(1, 1, 1)).value)).toEqual([1, 4, 7])
  })
  it('says what flushed inputs and fast algorithms may add', () => {
    const y = conv1({}, input([1, 1, 3], [2 ** -130, 1, 1]), input([1, 1, 2], [8, 1]))
    expect(y.spill?.[0]).toBe(2 ** -127)
    expect(y.spill?.[1]).toBe(0)
    expect(y.fast![0]).toBeGreaterThan(0)
    expect(conv1({ strides: [2] }, ramp(1, 1, 3), ramp(1, 1, 2)).fast).toBeUndefined()
  })
  it('reads nodes with every default left out', () => {
    const node = { operator: 'Conv', opset: 11, attributes: {}, inputs: [values('float32', [1, 1, 3, 3], [1]), values('float32', [1, 1, 2, 2], [1])] }
    const read = conv.fromOnnx!({ ...node, values: () => null })
    expect(read).toMatchObject({ attributes: { ...window([2, 2]), group: 1 } })
  })
})

function slowConv(a: any, [x, w, b]: [Real, Real, Real | null], shape: readonly number[]): number[] {
  const pads = padsOf(a, x.shape.slice(2))
  const [sx, sw] = [stridesOf(x.shape), stridesOf(w.shape)]
  const dot = (v: number[], s: number[]) => v.reduce((sum, p, i) => sum + p * s[i]!, 0)
  return Array.from({ length: sizeOf(shape) }, (_, i) => {
    const [n, m, ...o] = unravel(i, shape) as [number, number, ...number[]]
    let sum = b ? b.data[m]! : 0
    for (let t = 0; t < sizeOf(w.shape.slice(1)); t++) {
      const [c, ...k] = unravel(t, w.shape.slice(1)) as [number, ...number[]]
      const at = o.map((p, d) => p * a.strides[d] - pads[d]! + k[d]! * a.dilations[d])
      if (at.some((p, d) => p < 0 || p >= x.shape[d + 2]!)) continue
      const channel = Math.floor(m / (w.shape[0]! / a.group)) * w.shape[1]! + c
      sum += x.data[dot([n, channel, ...at], sx)]! * w.data[dot([m, c, ...k], sw)]!
    }
    return sum
  })
}

describe('average-pool', () => {
  it('a constant image stays constant, whatever the window, unless padding counts', () => {
    for (const more of [{}, { strides: [2, 3] }, { pads: [1, 2, 0, 1] }, { dilations: [2, 1] }, { ceil_mode: 1, strides: [3, 3] }]) {
      const x = input([2, 1, 7, 8], new Array(112).fill(3))
      expect(new Set(average([2, 3], more, x).value)).toEqual(new Set([3]))
    }
    expect(Array.from(average([2], { pads: [1, 1], count_include_pad: 1 }, input([1, 1, 2], [4, 4])).value)).toEqual([2, 4, 2])
  })
  it('counts declared padding, never the overhang that ceil_mode makes', () => {
    const y = average([3], { strides: [2], pads: [0, 1], ceil_mode: 1, count_include_pad: 1 }, input([1, 1, 4], [3, 3, 3, 3]))
    expect(Array.from(y.value)).toEqual([3, 2]) // 3 + 3 + padding over three
    const over = average([3], { strides: [3], ceil_mode: 1, count_include_pad: 1 }, input([1, 1, 4], [3, 3, 3, 3]))
    expect(Array.from(over.value)).toEqual([3, 3]) // one element, two positions past the end
  })
  it('allows one division on top of the additions', () => {
    const y = average([2], {}, ramp(1, 1, 3)) as Plain & { rule: 'dot' }
    expect(Array.from(y.terms)).toEqual([2, 2])
    expect(Array.from(y.partial!)).toEqual([3, 5])
    expect([y.also!(ieee32), y.also!(wgsl32)]).toEqual([1, 2])
  })
  it('admits both counts where the text and shape inference differ', () => {
    const [y] = averagePool.expect({ ...window([4], { strides: [2], auto_pad: 'VALID' }), ceil_mode: 1, count_include_pad: 0 } as any, [
      ramp(1, 1, 9),
    ])
    expect(y!.rule === 'either' && y!.options.map(o => (o.expected as Plain).shape[2])).toEqual([3, 4])
  })
})

describe('max-pool', () => {
  it('padding never wins, and indices name the place on the image', () => {
    const x = input([1, 2, 2, 3], [-1, -2, -3, -4, -5, -6, -7, -8, -9, -3, -2, -1])
    const more = { pads: [1, 0, 0, 1], strides: [1, 2] }
    expect(Array.from(maximum([2, 2], more, x).value)).toEqual([-1, -3, -1, -3, -7, -9, -2, -1])
    expect(Array.from(maximum([2, 2], more, x, 1).value)).toEqual([0, 2, 0, 2, 6, 8, 10, 11])
    expect(Array.from(maximum([2, 2], { ...more, storage_order: 1 }, x, 1).value)).toEqual([0, 4, 0, 4, 6, 10, 9, 11])
  })
  it('drops windows that start in the end padding', () => {
    expect(maximum([2], { strides: [2], pads: [1, 1], ceil_mode: 1 }, ramp(1, 1, 3)).shape).toEqual([1, 1, 2])
    expect(Array.from(maximum([2], { strides: [2], ceil_mode: 1 }, ramp(1, 1, 3)).value)).toEqual([2, 3])
  })
  it('leaves NaN, empty windows and ties open, with answers', () => {
    const y = maximum([2], {}, input([1, 1, 4], [NaN, 1, 2, NaN]))
    const [open] = y.open!
    expect(Array.from(open!.at)).toEqual([1, 0, 1])
    expect(Object.values(open!.answers!).map(a => [a[0], a[2]])).toEqual([
      [1, 2],
      [NaN, NaN],
      [NaN, 2],
    ])
    expect(maximum([2], { dilations: [3], pads: [1, 1] }, ramp(1, 1, 2)).open).toHaveLength(1) // taps at −1 and 2 miss an image of two
    const tie = maximum([2], {}, input([1, 1, 3], [5, 5, 1]), 1).open![0]!
    expect(Array.from(tie.at)).toEqual([1, 0])
    expect([tie.answers!.first![0], tie.answers!.last![0]]).toEqual([0, 1])
  })
})

const names = (list: readonly object[]) => list.flatMap(l => ('path' in l ? [l.path as string] : []))
describe.each([conv, maxPool, averagePool] as Op[])('$name as a generator', op => {
  const cases = Array.from({ length: 300 }, (_, k) => caseOf(2, op, k))
  it('builds every record: the plainest, the largest, and each row of the covering array', () => {
    expect(covering(op.valid.fields).length).toBeGreaterThan(20)
    for (const generator of [op.valid, op.invalid!])
      for (const end of ['min', 'max'] as const) {
        const raw = Object.fromEntries(
          Object.entries(generator.fields as Record<string, any>).map(([name, f]) => [
            name,
            f.kind === 'int' ? f[end] : f.kind === 'ints' ? new Array(f.count).fill(f[end]) : { kind: end === 'min' ? 0 : f.kinds.length - 1, at: 0 },
          ]),
        )
        expect(generator.build(raw).inputs[0]!.shape.length).toBeGreaterThan(2)
      }
  })
  it('lowerings are total, their names unique, their conversions run', () => {
    for (const c of cases)
      for (const list of [op.onnx(c), op.tfjs(c)]) {
        expect(list.length).toBeGreaterThan(0)
        for (const l of list) {
          if (!('path' in l)) expect(l.declined).toMatch(/\w+ \w+/)
          else if (l.form.prepare) expect(l.form.prepare(c.inputs.map(s => (s ? realise(s) : null)))).toHaveLength(c.inputs.length)
        }
        expect(new Set(names(list)).size).toBe(names(list).length)
      }
  })
  it('says at least half of the valid cases in both dialects', () => {
    const valid = cases.filter(c => c.valid !== false && c.inputs[0]!.dtype === 'float32')
    const both = valid.filter(c => names(op.onnx(c)).length && op.tfjs(c).some(l => 'path' in l && !('naive' in l)))
    expect(both.length).toBeGreaterThan(cases.length / 2)
  })
  it('has an answer for every valid case, quickly', () => {
    let outputs = 0
    for (const c of cases) {
      if (c.valid === false) continue
      const e = first(op.expect(c.attributes, inputsOf(c)))
      expect(e.value.length).toBe(sizeOf(e.shape))
      expect(e.value.length).toBeLessThan(20_000)
      outputs += e.value.length
    }
    expect(outputs / cases.length).toBeLessThan(1000)
  })
  it('reaches the corners: no batch, all ranks, strides past the kernel, odd pads, wide channels', () => {
    const some = (what: (c: Case) => boolean) => expect(cases.some(c => c.valid !== false && what(c))).toBe(true)
    some(c => c.inputs[0]!.shape[0] === 0)
    for (const rank of [3, 4, 5]) some(c => c.inputs[0]!.shape.length === rank)
    some(c => c.attributes.strides.some((s: number, i: number) => s > c.attributes.kernel_shape[i]) && c.attributes.auto_pad === 'SAME_UPPER')
    some(c => c.attributes.kernel_shape.some((k: number) => k === 1) && c.attributes.kernel_shape.some((k: number) => k > 1))
    for (const n of [16, 17]) some(c => c.inputs[0]!.shape[1] === n)
    for (const n of [16, 17, 33]) some(c => c.inputs[0]!.shape.at(-1) === n)
    some(c => c.inputs[0]!.dtype === 'float16')
  })
})

it('half-precision tensors reach the references as their values', () => {
  const x = real(tensor('float16', [1, 1, 2], [0.1, 0.2]))
  expect(halfBits(x.data[0]!)).toBe(halfBits(0.1))
  expect(first(maxPool.expect({ ...window([2]), ceil_mode: 0, storage_order: 0 } as any, [x])).dtype).toBe('float16')
})
