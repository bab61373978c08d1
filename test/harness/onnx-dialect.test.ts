/** The ONNX dialect: what is encoded means the same to ONNX Runtime, attribute types included. */
import { PbfReader } from 'pbf'
import { beforeAll, describe, expect, test } from 'vitest'
import ortCpu from '../../harness/backends/ort-cpu.ts'
import { encode, outputsOf } from '../../harness/dialects/onnx.ts'
import { numbers, permute, tensor } from '../../harness/tensor.ts'
import type { Attributes, OnnxForm, OnnxNode, Opened, Tensor } from '../../harness/types.ts'

let opened: Opened
beforeAll(async () => {
  opened = await ortCpu.open('disabled')
})
const f32 = (shape: number[], ...values: number[]) => tensor('float32', shape, values)
const node = (op: string, inputs: string[], out: string[], attributes: Attributes = {}): OnnxNode => ({ op, in: inputs, out, attributes })
const one = (opset: number, op: string, inputs: number | string[], attributes: Attributes = {}, out = ['y0']): OnnxForm => ({
  opset,
  nodes: [node(op, typeof inputs === 'number' ? Array.from({ length: inputs }, (_, i) => `x${i}`) : inputs, out, attributes)],
})
const run = (form: OnnxForm, ...inputs: (Tensor | null)[]) => opened.run(form, inputs)
const values = async (form: OnnxForm, ...inputs: (Tensor | null)[]) => (await run(form, ...inputs)).map(y => y && [...numbers(y)])

describe('attributes have the type that the schema declares', () => {
  /** AttributeProto.type by attribute name, read back from the bytes of a model. */
  function typesIn(model: Uint8Array): Record<string, number> {
    const found: Record<string, number> = {}
    new PbfReader(model).readFields((tag, _, r) => {
      if (tag !== 7) return
      r.readMessage((tag, _, r) => {
        if (tag !== 1) return
        r.readMessage((tag, _, r) => {
          if (tag !== 5) return
          let name = ''
          let type = 0
          r.readMessage((tag, _, r) => {
            if (tag === 1) name = r.readString()
            if (tag === 20) type = r.readVarint()
          }, null)
          found[name] = type
        }, null)
      }, null)
    }, null)
    return found
  }
  const [FLOAT, INT, STRING, FLOATS, INTS] = [1, 2, 3, 6, 7]
  test.each([
    ['LRN', { alpha: 1, beta: 1, bias: 1, size: 3 }, { alpha: FLOAT, beta: FLOAT, bias: FLOAT, size: INT }],
    ['Conv', { group: 1, strides: [1, 1], auto_pad: 'VALID' }, { group: INT, strides: INTS, auto_pad: STRING }],
    ['Upsample', { scales: [1, 2], mode: 'nearest' }, { scales: FLOATS, mode: STRING }],
    ['Pad', { value: 0, pads: [0, 0] }, { value: FLOAT, pads: INTS }],
    ['Resize', { cubic_coeff_a: -1, extrapolation_value: 0, axes: [] }, { cubic_coeff_a: FLOAT, extrapolation_value: FLOAT, axes: INTS }],
    ['Dropout', { seed: 1 }, { seed: INT }],
    ['RandomUniform', { seed: 1, low: 0, high: 1 }, { seed: FLOAT, low: FLOAT, high: FLOAT }],
    ['LpPool', { p: 2 }, { p: INT }],
    ['Unknown', { size: 1, half: 0.5, halves: [1, 0.5] }, { size: INT, half: FLOAT, halves: FLOATS }],
  ] as const)('%s', (op, attributes, types) => {
    expect(typesIn(encode(one(13, op, 1, attributes), [f32([1], 1)]))).toEqual(types)
  })
  test('64-bit integers keep their value', () => {
    const model = encode(one(9, 'Slice', 1, { starts: [-1, -(2 ** 31), 2 ** 40], ends: [2 ** 63, 2 ** 53, 128] }), [f32([1], 1)])
    const text = Buffer.from(model).toString('hex')
    for (const bytes of [
      '40ffffffffffffffffff01',
      '4080808080f8ffffffff01',
      '40808080808020',
      '40ffffffffffffffff7f',
      '408080808080808010',
      '408001',
    ])
      expect(text).toContain(bytes)
  })
})

describe('models run', () => {
  test('float attributes that are whole numbers', async () => {
    expect(await values(one(13, 'Gemm', 2, { alpha: 2, transB: 1 }), f32([1, 2], 1, 2), f32([1, 2], 3, 4))).toEqual([[22]])
    expect(await values(one(10, 'Pad', 1, { pads: [1, 0], value: 7 }), f32([2], 1, 2))).toEqual([[7, 1, 2]])
    expect((await values(one(13, 'LRN', 1, { size: 1, alpha: 1, beta: 1, bias: 3 }), f32([1, 1, 1, 1], 1)))[0]).toEqual([0.25])
  })
  test('"to the end"', async () => {
    expect(await values(one(9, 'Slice', 1, { starts: [1], ends: [2 ** 63] }), f32([3], 1, 2, 3))).toEqual([[2, 3]])
  })
  test('an input that is left out, strings, constants of the path', async () => {
    const form: OnnxForm = {
      ...one(18, 'Resize', ['x0', '', 'scales'], { mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' }),
      constants: { scales: f32([1], 2) },
    }
    expect(await values(form, f32([2], 1, 2))).toEqual([[1, 1, 2, 2]])
  })
  test('case inputs as initializers', async () => {
    const form = { ...one(11, 'Conv', 3, { kernel_shape: [1, 1] }), initializers: [1, 2] }
    expect(await values(form, f32([1, 1, 1, 2], 3, 4), f32([1, 1, 1, 1], 2), f32([1], 1))).toEqual([[7, 9]])
  })
  test('several outputs, one of them left out', async () => {
    const k = tensor('int64', [1], [2])
    const [y0, y1] = await run(one(11, 'TopK', 2, {}, ['y0', 'y1']), f32([3], 5, 9, 7), k)
    expect([y0!.dtype, [...numbers(y0!)], y1!.dtype, [...numbers(y1!)]]).toEqual(['float32', [9, 7], 'int64', [1, 2]])
    expect(await values(one(11, 'TopK', 2, {}, ['unused', 'y1']), f32([3], 5, 9, 7), k)).toEqual([null, [1, 2]])
  })
  test('several nodes', async () => {
    const form: OnnxForm = { opset: 13, nodes: [node('Neg', ['x0'], ['t']), node('Relu', ['t'], ['y0'])] }
    expect(outputsOf(form)).toEqual(['y0'])
    expect(await values(form, f32([2], 1, -2))).toEqual([[0, 2]])
  })
  test('another domain', async () => {
    const form: OnnxForm = { opset: 13, nodes: [{ ...node('QuickGelu', ['x0'], ['y0'], { alpha: 1 }), domain: 'com.microsoft' }] }
    expect((await values(form, f32([1], 0)))[0]).toEqual([0])
  })
  test.each(['float32', 'float64', 'float16', 'int32', 'int64', 'uint8', 'int8', 'bool'] as const)('%s keeps its bits', async dtype => {
    const x = tensor(dtype, [2, 2], dtype === 'bool' ? [0, 1, 1, 0] : [0, 1, 2, 100])
    const [y] = await run(one(13, 'Transpose', 1, { perm: [1, 0] }), x)
    expect(y).toEqual({ dtype, shape: [2, 2], data: permute(x, [1, 0]).data })
  })
  test('scalars and tensors without elements', async () => {
    expect(await run(one(13, 'Neg', 1), f32([], 2))).toEqual([{ dtype: 'float32', shape: [], data: Float32Array.of(-2) }])
    expect(await run(one(13, 'Neg', 1), f32([0, 3]))).toEqual([{ dtype: 'float32', shape: [0, 3], data: new Float32Array(0) }])
  })
  test.each([7, 9, 11, 13, 17, 19, 21, 22, 24, 26])('opset %i', async opset => {
    expect(await values(one(opset, 'Relu', 1), f32([2], -1, 3))).toEqual([[0, 3]])
  })
  test('a model larger than the first buffer', async () => {
    const size = 100_000
    const form: OnnxForm = { ...one(13, 'Add', ['x0', 'big']), constants: { big: f32([size], ...new Array<number>(size).fill(1)) } }
    const [y] = await run(form, f32([1], 1))
    expect(numbers(y!).every(v => v === 2)).toBe(true)
    expect(await values(one(13, 'Relu', 1), f32([1], 1))).toEqual([[1]])
  })
  test('bytes of one model are not those of the next', () => {
    const first = encode(one(13, 'Relu', 1), [f32([1], 1)])
    const copy = first.slice()
    encode(one(13, 'Neg', 1), [f32([2], 1, 2)])
    expect(first).toEqual(copy)
  })
  test('a refused model throws what the runtime says, and the next one runs', async () => {
    await expect(run(one(13, 'NoSuchOperator', 1), f32([1], 1))).rejects.toThrow(/NoSuchOperator/)
    await expect(run(one(22, 'RoiAlign', 3), f32([1, 1, 1, 1], 1), f32([1, 4], 0, 0, 1, 1), tensor('int64', [1], [0]))).rejects.toThrow(
      ortCpu.noKernel,
    )
    expect(await values(one(13, 'Relu', 1), f32([1], 1))).toEqual([[1]])
  })
})
