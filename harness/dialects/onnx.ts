/**
 * ONNX: an OnnxForm as the bytes of a ModelProto, and a session of ONNX Runtime as an opened backend.
 * Field numbers: onnx.proto3 of the ONNX repository. Encoding happens for every trial, so messages are written straight into one buffer.
 */
import { PbfWriter } from 'pbf'
import { attempt, others, threw } from '../reuse.ts'
import type { Attributes, DType, OnnxForm, OnnxNode, Opened, Tensor } from '../types.ts'
import { FellBack } from '../worker.ts'

/** TensorProto.DataType. */
const ELEMENT: Record<DType, number> = { float32: 1, uint8: 2, int8: 3, int32: 6, int64: 7, bool: 9, float16: 10, float64: 11 }
/** IR version that onnxruntime-web's oldest provider still accepts, and the newest for opsets that need it. */
const irVersion = (opset: number) => (opset <= 21 ? 8 : 10)

/**
 * Attributes that the schemas declare as FLOAT or FLOATS (onnx.defs.get_all_schemas_with_history() of onnx 1.23); every other whole number is an INT.
 * `p` of LpPool was FLOAT only before opset 2.
 */
const FLOATS = new Set([
  'alpha',
  'beta',
  'gamma',
  'epsilon',
  'momentum',
  'bias',
  'lambd',
  'ratio',
  'scale',
  'spatial_scale',
  'extrapolation_value',
  'cubic_coeff_a',
  'scales',
  'height_scale',
  'width_scale',
  'max',
  'min',
  'value_float',
  'value_floats',
  'mean',
  'softcap',
  'clip',
  'high',
  'low',
  'weights',
  'activation_alpha',
  'activation_beta',
])
/** Two names whose type hangs on the operator: Pad-2 and Constant, the random operators and Dropout. */
const isFloat = (op: string, name: string) => (name === 'value' ? op === 'Pad' : name === 'seed' ? op !== 'Dropout' : FLOATS.has(name))

const TO_THE_END = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f)
/** An int64. 2⁶³ − 1 (Slice's "to the end") is 2⁶³ as a double. */
function int64(field: number, v: number, w: PbfWriter): void {
  w.writeTag(field, 0)
  if (v < 2 ** 63) w.writeVarint(v)
  else {
    w.realloc(TO_THE_END.length)
    w.buf.set(TO_THE_END, w.pos)
    w.pos += TO_THE_END.length
  }
}

function attribute(a: { op: string; name: string; value: Attributes[string] }, w: PbfWriter): void {
  w.writeStringField(1, a.name)
  const { value } = a
  if (typeof value === 'string') {
    w.writeStringField(4, value)
    w.writeVarintField(20, 3)
  } else if (typeof value === 'number') {
    if (isFloat(a.op, a.name) || !Number.isInteger(value)) {
      w.writeFloatField(2, value)
      w.writeVarintField(20, 1)
    } else {
      int64(3, value, w)
      w.writeVarintField(20, 2)
    }
  } else if (isFloat(a.op, a.name) || value.some(v => !Number.isInteger(v))) {
    for (const v of value) w.writeFloatField(7, v)
    w.writeVarintField(20, 6)
  } else {
    for (const v of value) int64(8, v, w)
    w.writeVarintField(20, 7)
  }
}
function node(n: OnnxNode, w: PbfWriter): void {
  for (const name of n.in) w.writeStringField(1, name)
  for (const name of n.out) w.writeStringField(2, name)
  w.writeStringField(4, n.op)
  for (const name in n.attributes) w.writeMessage(5, attribute, { op: n.op, name, value: n.attributes[name]! })
  if (n.domain) w.writeStringField(7, n.domain)
}
function initializer({ name, t }: { name: string; t: Tensor }, w: PbfWriter): void {
  for (const d of t.shape) w.writeVarintField(1, d)
  w.writeVarintField(2, ELEMENT[t.dtype])
  w.writeStringField(8, name)
  w.writeBytesField(9, new Uint8Array(t.data.buffer, t.data.byteOffset, t.data.byteLength))
}
const dimension = (d: number, w: PbfWriter) => w.writeVarintField(1, d)
function shape(dims: readonly number[], w: PbfWriter): void {
  for (const d of dims) w.writeMessage(1, dimension, d)
}
function tensorType(t: { dtype: DType; shape: readonly number[] | null }, w: PbfWriter): void {
  w.writeVarintField(1, ELEMENT[t.dtype])
  if (t.shape) w.writeMessage(2, shape, t.shape)
}
const type = (t: { dtype: DType; shape: readonly number[] | null }, w: PbfWriter) => w.writeMessage(1, tensorType, t)
function valueInfo(v: { name: string; dtype?: DType; shape: readonly number[] | null }, w: PbfWriter): void {
  w.writeStringField(1, v.name)
  if (v.dtype) w.writeMessage(2, type, { dtype: v.dtype, shape: v.shape })
}
interface Whole {
  form: OnnxForm
  inputs: readonly (Tensor | null)[]
  outputs: readonly string[]
  typed: boolean
}
function graph({ form, inputs, outputs, typed }: Whole, w: PbfWriter): void {
  for (const n of form.nodes) w.writeMessage(1, node, n)
  w.writeStringField(2, 'case')
  const fixed = form.initializers ?? []
  inputs.forEach((t, i) => {
    if (t && fixed.includes(i)) w.writeMessage(5, initializer, { name: `x${i}`, t })
  })
  for (const name in form.constants) w.writeMessage(5, initializer, { name, t: form.constants[name]! })
  inputs.forEach((t, i) => {
    if (t && !fixed.includes(i)) w.writeMessage(11, valueInfo, { name: `x${i}`, dtype: t.dtype, shape: t.shape })
  })
  for (const name of outputs) w.writeMessage(12, valueInfo, typed ? { name, dtype: 'float32', shape: [] } : { name, shape: null })
}
function opsetImport(o: { domain: string; version: number }, w: PbfWriter): void {
  w.writeStringField(1, o.domain)
  w.writeVarintField(2, o.version)
}
function model(whole: Whole, w: PbfWriter): void {
  const { form } = whole
  w.writeVarintField(1, irVersion(form.opset))
  w.writeMessage(7, graph, whole)
  w.writeMessage(8, opsetImport, { domain: '', version: form.opset })
  for (const domain of new Set(form.nodes.flatMap(n => n.domain ?? []))) w.writeMessage(8, opsetImport, { domain, version: 1 })
}

/** y0, y1, … as the nodes name them, in order. */
export const outputsOf = (form: OnnxForm): string[] =>
  form.nodes.flatMap(n => n.out.filter(o => /^y\d+$/.test(o))).sort((a, b) => Number(a.slice(1)) - Number(b.slice(1)))

/** One buffer for all models; it grows to the largest. */
const writer = new PbfWriter(new Uint8Array(1 << 16))
/** `typedOutputs`: outputs carry a type, though it is not theirs. */
export function encode(form: OnnxForm, inputs: readonly (Tensor | null)[], typedOutputs = false): Uint8Array {
  writer.pos = 0
  model({ form, inputs, outputs: outputsOf(form), typed: typedOutputs }, writer)
  return writer.buf.slice(0, writer.pos)
}

interface OrtTensor {
  type: string
  dims: readonly number[]
  data: ArrayLike<number> & { buffer: ArrayBufferLike; byteOffset: number; length: number }
  getData?: () => Promise<OrtTensor['data']>
  dispose?: () => void
}
async function read(t: OrtTensor): Promise<Tensor> {
  const data = t.getData ? await t.getData() : t.data
  const dtype = t.type as DType
  if (!(dtype in ELEMENT)) throw new Error(`an output of type ${t.type}`)
  // a copy: the runtime's memory is released with the session; float16 as its bits, whatever class the runtime chose
  const copy = (
    dtype === 'float16' && !(data instanceof Uint16Array)
      ? new Uint16Array(data.buffer as ArrayBuffer, data.byteOffset, data.length)
      : (data as unknown as Uint16Array)
  ).slice()
  return { dtype, shape: [...t.dims], data: copy as Tensor['data'] }
}

export interface OrtExtras {
  identity: Readonly<Record<string, string>>
  /** Provider that has to run every node; `ran` tells which did (profiling), for runtimes without `disable_cpu_ep_fallback`. */
  ran?: (session: unknown) => string | null
  /** A tiny session that stays open: the native WebGPU provider rebuilds its device when the last one is released. */
  keepOpen?: boolean
  /** The WebGL runtime reads no model whose outputs have no type (and uses it for nothing). */
  typedOutputs?: boolean
}
/** ONNX Runtime (any package) as an opened backend: a fresh session for every trial, released whatever happens. */
async function readAll(form: OnnxForm, results: Record<string, OrtTensor>): Promise<(Tensor | null)[]> {
  const outputs: (Tensor | null)[] = []
  for (const name of outputsOf(form)) {
    const at = Number(name.slice(1))
    while (outputs.length < at) outputs.push(null)
    outputs[at] = results[name] ? await read(results[name]) : null
  }
  return outputs
}

export async function openOrt(ort: any, options: Record<string, unknown>, extras: OrtExtras): Promise<Opened> {
  const relu = () =>
    ort.InferenceSession.create(
      encode(
        { opset: 13, nodes: [{ op: 'Relu', in: ['x0'], out: ['y0'], attributes: {} }] },
        [{ dtype: 'float32', shape: [1], data: new Float32Array(1) }],
        extras.typedOutputs,
      ),
      options,
    )
  const kept = extras.keepOpen ? await relu() : null
  return {
    identity: extras.identity,
    prepare: (form: OnnxForm, inputs) => encode(form, inputs, extras.typedOutputs),
    async run(form: OnnxForm, inputs, model: Uint8Array = encode(form, inputs, extras.typedOutputs), reuse, again) {
      const session = await ort.InferenceSession.create(model, options)
      let second: any = null
      const fixed = form.initializers ?? []
      const held: OrtTensor[] = []
      const call = async (on: any, given: typeof inputs): Promise<Record<string, OrtTensor>> => {
        const feeds: Record<string, OrtTensor> = {}
        given.forEach((t, i) => {
          if (t && !fixed.includes(i)) held.push((feeds[`x${i}`] = new ort.Tensor(t.dtype, t.data, t.shape)))
        })
        const results: Record<string, OrtTensor> = await on.run(feeds)
        held.push(...Object.values(results))
        return results
      }
      try {
        if (reuse === 'again' || reuse === 'other') await attempt(() => call(session, reuse === 'again' ? inputs : others(inputs)))
        const results = await call(session, inputs)
        if (reuse === 'beside') {
          second = await attempt(() => ort.InferenceSession.create(model, options))
          if (second) await attempt(() => call(second, others(inputs)))
        }
        const elsewhere = extras.ran?.(session)
        if (elsewhere) throw new FellBack(elsewhere)
        const outputs = await readAll(form, results)
        if (again)
          again(
            await call(session, inputs)
              .then(r => readAll(form, r))
              .catch(threw),
          )
        return outputs
      } finally {
        for (const t of held) t.dispose?.()
        await second?.release()
        await session.release()
      }
    },
    async close() {
      await kept?.release()
    },
  }
}
