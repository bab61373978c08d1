/** What every form of a repro is written from: model bytes or calls, inputs and expected outputs as they go in and come out, what was observed. */
import { fork } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { childScript } from '../bundle.ts'
import type { KnownDefect } from '../catalogue.ts'
import { encode, outputsOf } from '../dialects/onnx.ts'
import { UserError } from '../errors.ts'
import { reference } from '../judge.ts'
import { canonical, lowerings } from '../lower.ts'
import { numbers, realise, sizeOf, tensor, toJson64 } from '../tensor.ts'
import { dialectOf } from '../triage.ts'
import { listExpected } from '../trials.ts'
import type { Case, Dialect, Json64, OnnxForm, Op, Tensor, TfjsForm } from '../types.ts'
import { ROOT } from '../version.ts'
import type { Traced } from './trace.ts'

export interface Flat {
  name: string
  dtype: string
  shape: readonly number[]
  values: readonly Json64[]
}
export interface Material {
  defect: KnownDefect
  dialect: Dialect
  spec: readonly string[]
  versions: Record<string, string>
  inputs: Flat[]
  /** ONNX: the model, base64. TF.js: the calls. */
  model?: string
  calls?: Traced
  outputs: string[]
  /** In the layout in which the call returns them; null: a conversion on the host lies between. */
  expected: Flat[] | null
  /** In the layout of the definition. */
  definition: Flat[]
  /** The call has to be refused. */
  mustFail: boolean
}

export const flat = (name: string, t: Tensor): Flat => ({ name, dtype: t.dtype, shape: t.shape, values: Array.from(numbers(t), toJson64) })
const versionOf = (name: string): string => JSON.parse(readFileSync(`${ROOT}node_modules/${name}/package.json`, 'utf8')).version
const PACKAGES = [
  'onnxruntime-node',
  'onnxruntime-web',
  '@tensorflow/tfjs',
  '@tensorflow/tfjs-backend-wasm',
  '@tensorflow/tfjs-backend-webgpu',
  'webgpu',
  'playwright-core',
]

export async function materialOf(defect: KnownDefect, op: Op): Promise<Material> {
  const c = defect.case
  const dialect: Dialect = dialectOf(defect.way.backend)
  const own = canonical(op, c)
  if ('declined' in own) throw new UserError(`repro ${defect.id}: ${own.declined}`)
  const way = lowerings(op, c, own, dialect).find(l => 'path' in l && l.path === defect.way.path)
  if (!way || !('path' in way)) throw new UserError(`repro ${defect.id}: ${c.op} has no path ${defect.way.path} for its smallest case any more`)
  const form = way.form as OnnxForm & TfjsForm
  let given: readonly (Tensor | null)[] = own.inputs.map(s => (s ? realise(s) : null))
  if (form.prepare) given = form.prepare(given)
  const definition = (c.valid === false ? [] : reference(op, own).expected.flatMap(listExpected)).map((e, i) => ({
    name: `y${i}`,
    dtype: e.dtype,
    shape: e.shape,
    values: e.values ?? [],
  }))
  const fixed = dialect === 'onnx' ? (form.initializers ?? []) : []
  const base = {
    defect,
    dialect,
    spec: op.spec,
    versions: Object.fromEntries(PACKAGES.map(p => [p, versionOf(p)])),
    inputs: given.flatMap((t, i) => (t && !fixed.includes(i) ? [flat(`x${i}`, t)] : [])),
    definition,
    mustFail: c.valid === false,
  }
  if (dialect === 'onnx') {
    const model = Buffer.from(encode(form, given, defect.way.backend === 'ortweb-webgl')).toString('base64')
    const outputs = outputsOf(form)
    const raw = form.finish ? null : definition.filter(d => outputs.includes(d.name))
    return { ...base, model, outputs, expected: raw }
  }
  const calls = await traced(c, defect.way.path)
  return { ...base, calls, outputs: calls.outputs, expected: unfinished(form, calls.shapes, definition) }
}

/** Expected values in the layout of the call's own output: found by sending positions through the conversion. Null where it is more than a new layout. */
function unfinished(form: TfjsForm, shapes: readonly (readonly number[])[], definition: readonly Flat[]): Flat[] | null {
  if (!form.finish) return definition.map(d => ({ ...d }))
  if (shapes.length !== 1 || definition.length < 1) return null
  const size = sizeOf(shapes[0]!)
  const want = definition[0]!
  try {
    const [y] = form.finish([
      tensor(
        'float32',
        shapes[0]!,
        Float64Array.from({ length: size }, (_, i) => i),
      ),
    ])
    if (!y || y.data.length !== want.values.length || y.data.length !== size) return null
    const values = new Array<Json64>(size)
    for (let i = 0; i < size; i++) values[Number(y.data[i])] = want.values[i]!
    return values.some(v => v === undefined) || Object.keys(values).length !== size ? null : [{ ...want, shape: shapes[0]!, values }]
  } catch {
    return null
  }
}

const PATIENCE_MS = 60_000
/** In a child, on the CPU backend: its calls are the same on every backend. */
async function traced(c: Case, path: string): Promise<Traced> {
  const here = (name: string) => fileURLToPath(new URL(name, import.meta.url))
  const script = await childScript(here('../backends/tfjs-cpu.ts'), undefined, here('./trace-main.ts'))
  return new Promise(resolve => {
    const child = fork(script, { stdio: ['ignore', 'ignore', 'ignore', 'ipc'], serialization: 'advanced' })
    const end = (t: Traced) => {
      clearTimeout(timer)
      child.kill('SIGKILL')
      resolve(t)
    }
    const timer = setTimeout(() => end({ lines: [], outputs: [], shapes: [], threw: 'the call does not return' }), PATIENCE_MS)
    child.on('message', m => end(m as Traced))
    child.on('exit', () => end({ lines: [], outputs: [], shapes: [], threw: 'the process ended' }))
    child.send({ case: c, path })
  })
}
