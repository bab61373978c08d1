/** Cases from files: JSON Lines, optionally gzipped, one ONNX node a line with its inputs and, where known, the published outputs. */
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { fileError, UserError } from './errors.ts'
import type { Tolerance } from './judge.ts'
import { opFor } from './ops.ts'
import { fromJson64, sizeOf, tensor } from './tensor.ts'
import { type Case, DTYPES, type DType, type Json64, type Op, type Tensor, type TensorSpec } from './types.ts'

export interface External {
  case: Case
  /** The op of this project that reads the node; absent: a gap, with its reason. */
  op?: Op
  gap?: string
  /** Published outputs, by position; null: none given, or not asked for. */
  expected: readonly (Tensor | null)[]
  tolerance: Tolerance
}
interface Line {
  id?: unknown
  op?: unknown
  opset?: number
  attributes?: Record<string, unknown>
  inputs?: readonly RawTensor[]
  outputs?: readonly RawTensor[]
  outputs_requested?: readonly string[]
  tolerance?: unknown
  valid?: boolean
}
interface RawTensor {
  name?: string
  dtype: string | null
  shape: number[] | null
  data: Json64[] | null
  constant?: boolean
}

const isDtype = (d: string): d is DType => (DTYPES as readonly string[]).includes(d)

export function readExternal(path: string, ops: ReadonlyMap<string, Op>): External[] {
  let text: string
  try {
    const bytes = readFileSync(path)
    text = (bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes).toString('utf8')
  } catch (error) {
    throw fileError('cannot read the cases in', path, error)
  }
  return text.split('\n').flatMap((line, i) => {
    if (!line.trim()) return []
    const where = `${path}, line ${i + 1}`
    let json: Line
    try {
      json = JSON.parse(line)
    } catch {
      throw new UserError(`${where}: not JSON; every line is one case {"id", "op", "opset", "attributes", "inputs", "outputs"}`)
    }
    return [readLine(json, where, i, ops)]
  })
}

function readLine(json: Line, where: string, index: number, ops: ReadonlyMap<string, Op>): External {
  if (typeof json !== 'object' || json === null || typeof json.op !== 'string')
    throw new UserError(`${where}: a case needs "op", the name of an ONNX operator`)
  if (json.inputs !== undefined && !Array.isArray(json.inputs)) throw new UserError(`${where}: "inputs" must be a list of {"dtype", "shape", "data"}`)
  const operator = json.op
  const inputs = json.inputs ?? []
  const outputs = json.outputs ?? []
  const id = typeof json.id === 'string' ? json.id : `line-${index + 1}`
  const tolerance = toleranceOf(json.tolerance)
  const unknown = [...inputs, ...outputs].find(t => t?.dtype && !isDtype(t.dtype))
  const base = { id, op: operator, attributes: (json.attributes ?? {}) as Case['attributes'], operator, opset: json.opset ?? 21 }
  const op = opFor(ops, operator)
  if (!op || unknown)
    return {
      case: { ...base, inputs: [] },
      gap: op ? `no dtype ${unknown!.dtype}` : `no operation for the ONNX operator ${operator}`,
      expected: [],
      tolerance,
    }
  const specs = inputs.map((t, j): TensorSpec | null => {
    if (!t || t.dtype === null) return null
    if (!Array.isArray(t.shape) || !Array.isArray(t.data)) throw new UserError(`${where}: input ${j} needs "shape" and "data"`)
    if (t.data.length !== sizeOf(t.shape))
      throw new UserError(`${where}: input ${j} has ${t.data.length} values, its shape [${t.shape}] holds ${sizeOf(t.shape)}`)
    return { dtype: t.dtype as DType, shape: t.shape, recipe: { kind: 'values', values: t.data }, ...(t.constant ? { constant: true } : {}) }
  })
  const asked = json.outputs_requested?.map(n => n !== '') ?? outputs.map(() => true)
  // `outputs` lists what was asked for; an output that was left out keeps its place empty
  let next = 0
  const full = outputs.length === asked.length
  const expected = asked.map((a, j) => {
    const t = full ? outputs[j] : a ? outputs[next++] : null
    return a && t?.dtype && t.data ? tensor(t.dtype as DType, t.shape ?? [], t.data.map(fromJson64)) : null
  })
  return {
    case: { ...base, op: op.name, inputs: specs, outputs: asked.length ? asked : [true], ...(json.valid === false ? { valid: false as const } : {}) },
    op,
    expected,
    tolerance,
  }
}

/** ONNX node tests: their own rtol and atol; values printed with few digits (WebNN): 1e-5·|r|. */
function toleranceOf(t: unknown): Tolerance {
  const o = (typeof t === 'object' && t !== null ? t : {}) as { rtol?: number; atol?: number; digits?: string }
  return { rtol: Number(o.rtol ?? (o.digits ? 1e-5 : 0)), atol: Number(o.atol ?? 0) }
}
