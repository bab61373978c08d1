/** The nouns. A case is data that anyone can paste; everything else is derived from it. Words: README.md. */

import type { Machine } from './machine.ts'

export const DTYPES = ['float32', 'float16', 'float64', 'int32', 'int64', 'uint8', 'int8', 'bool'] as const
export type DType = (typeof DTYPES)[number]
/** Row-major, outermost dimension first. */
export type Shape = readonly number[]
/** ONNX attribute names and values (TF.js argument names where ONNX has no such operator); an absent one takes the operator's default. */
export type Attributes = Readonly<Record<string, number | string | readonly number[]>>

/** Numbers as JSON can hold them: the four that it cannot are strings. */
export type Json64 = number | 'NaN' | 'Infinity' | '-Infinity' | '-0'

/** How to rebuild a tensor bit for bit: one short line of JSON, whatever the tensor's size. Only + − × ÷ √ and integers, so that every machine agrees. */
export type Recipe =
  | { kind: 'impulse'; at: number; value: number } // one element, zeros elsewhere: shows misplaced windows
  | { kind: 'constant'; value: number }
  | { kind: 'ramp'; start: number; step: number } // start + step·index: every element differs, every misplacement shows
  | { kind: 'integers'; seed: number; low: number; high: number } // sums stay exact while Σ|x||w| ≤ 2²⁴ (2¹¹ in half precision)
  | { kind: 'normal'; seed: number; scale: number } // (sum of four uniforms − 2)·√3, × scale
  | { kind: 'uniform'; seed: number; low: number; high: number }
  | { kind: 'cancel'; seed: number; scale: number } // pairs +v, −v(1 + 2⁻¹²): sums lose their leading digits
  | { kind: 'special'; seed: number; value: Json64 } // ordinary integers with one class of special value in a few positions
  | { kind: 'values'; values: readonly Json64[] }

export interface TensorSpec {
  dtype: DType
  shape: Shape
  recipe: Recipe
  /** The tensor is an initializer of the ONNX model, not fed. */
  constant?: boolean
}

/** One operation, its attributes and recipes for its inputs. `null` is an optional input that is left out. */
export interface Case<A extends Attributes = any> {
  id: string
  op: string
  attributes: A
  inputs: readonly (TensorSpec | null)[]
  /** Only in external cases: the ONNX node as it stands in the file (path `given`). */
  operator?: string
  opset?: number
  /** Which outputs the node names; absent: all that the path asks for. */
  outputs?: readonly boolean[]
  /** `false`: a runtime has to refuse it. */
  valid?: false
}

/** What a generator makes: a case before it has an identity. */
export interface Drawn<A extends Attributes = any> {
  attributes: A
  inputs: readonly (TensorSpec | null)[]
}

/** A tensor on the reference side, in float64, already rounded to its dtype. */
export interface Real {
  dtype: DType
  shape: Shape
  data: Float64Array
}

/** A tensor as it crosses processes. float16 as its bits in a Uint16Array, int64 as BigInt64Array, bool as Uint8Array. */
export interface Tensor {
  dtype: DType
  shape: Shape
  data: Float32Array | Float64Array | Uint16Array | Int32Array | BigInt64Array | Uint8Array | Int8Array
}

/**
 * What a backend's floating point promises; every bound takes this, never a bare unit roundoff.
 * Errors of functions are in units of `u` relative to the result unless said otherwise.
 */
export interface Arithmetic {
  /** Unit roundoff of one operation: 2⁻²⁴ rounds to nearest, 2⁻²³ where either neighbour is allowed (WGSL §15.7.4, GLSL ES 3.00 §4.5.1). */
  u: number
  /** Error of a quotient, in u: 2 allows a product with the reciprocal; WGSL grants 2.5 ULP. */
  division: number
  /** exp(x) is off by at most (exp[0] + exp[1]·|x|)·u·exp(x). */
  exp: readonly [number, number]
  /** log(x): relative error in u, and an absolute error for x in [0.5, 2]. */
  log: readonly [number, number]
  sqrt: number
  /** tanh: relative error in u, and an absolute error. */
  tanh: readonly [number, number]
  /** Results and inputs below 2⁻¹²⁶ may become zero. */
  flushesSubnormals: boolean
  /** NaN and infinities follow IEEE 754 (shader languages may assume that they do not occur). */
  nonFiniteDefined: boolean
  /** Lower rungs of the ladder that the runtime documents for itself (`tf32`, `f32-fast`): naming one of them is no alarm. */
  declares?: readonly string[]
}
/** Round to nearest; a quotient may be a product with the reciprocal (two roundings); elementary functions of common libm and vector libraries. */
export const ieee32: Arithmetic = {
  u: 2 ** -24,
  division: 2,
  exp: [4, 0],
  log: [6, 0],
  sqrt: 2,
  tanh: [16, 0],
  flushesSubnormals: false,
  nonFiniteDefined: true,
}
/** WGSL §15.7.4 "Floating Point Accuracy": either neighbour, division 2.5 ULP, exp 3 + 2|x| ULP, log 3 ULP or 2⁻²¹ in [0.5, 2], sqrt = 1 / inverseSqrt (2 ULP + 2.5 ULP), tanh 1e-5 absolute. */
export const wgsl32: Arithmetic = {
  u: 2 ** -23,
  division: 3,
  exp: [3, 2],
  log: [3, 2 ** -21],
  sqrt: 5,
  tanh: [0, 1e-5],
  flushesSubnormals: true,
  nonFiniteDefined: false,
}
/** GLSL ES 3.00 §4.5.1 highp: no stronger than WGSL anywhere; functions as OpenGL ES drivers document them, taken as in WGSL. */
export const glsl32: Arithmetic = { ...wgsl32 }

/** Elements on which the specification is silent: compared with each named answer, never called wrong. */
export interface Open {
  question: string
  /** 1 where the question arises, one entry per element. */
  at: Uint8Array
  /** Named answers, so that the report can say which one a backend follows. */
  answers?: Readonly<Record<string, Float64Array>>
}

interface Output {
  /** The output tensor's dtype and shape (ONNX's; TF.js's int32 stands for int64, uint8 and int8, its float32 for float16). */
  dtype: DType
  shape: Shape
  open?: readonly Open[]
}
/** What the reference says of one output, and how far an honest implementation may stand from it. */
export type Expected =
  /** Bit for bit (−0 = +0, NaN = NaN). */
  | (Output & { rule: 'exact'; value: Float64Array })
  /**
   * Sums of products in any order: |y − value| ≤ γ(terms + also)·magnitude, magnitude = Σ|x||w|. (Higham 2002, §3.1)
   * On integer inputs with magnitude ≤ 2²⁴ the comparison is exact, unless `also` says that there is more than the sum.
   * `spill`: Σ|x||w| over terms with a subnormal factor (0 where there are none), allowed where inputs are flushed.
   */
  | (Output & {
      rule: 'dot'
      value: Float64Array
      magnitude: Float64Array
      terms: Float64Array
      also?: (arithmetic: Arithmetic) => number
      /** Largest partial sum before any division, where it is not `magnitude`: elements where it may overflow are not compared. */
      partial?: Float64Array
      spill?: Float64Array
      /** Where Winograd or FFT are possible: bound of the fast algorithm per element. */
      fast?: Float64Array
    })
  /** Anything else: allowed absolute error per element for this arithmetic, and why. NaN in `allowed` = not comparable (overflow, cancellation beyond ½). */
  | (Output & {
      rule: 'error'
      value: Float64Array
      allowed: (arithmetic: Arithmetic) => Float64Array
      because: string
      /** Wider freedoms that are honest too, in order (`one-pass` after `two-pass`); naming one is no alarm. */
      rungs?: readonly { name: string; allowed: (arithmetic: Arithmetic) => Float64Array }[]
    })
  /** Several admissible results (an output size that hangs on a rounding): the first is the definition, the others are named conventions. */
  | { rule: 'either'; options: readonly { name: string; expected: Expected }[] }
  /** Discrete decisions (NMS, top-k with rounding): judged over all outputs at once; must be the only entry of the list. */
  | { rule: 'decisions'; refute: (outputs: readonly (Real | null)[], arithmetic: Arithmetic) => Refutation }

export interface Refutation {
  /** Null when the outputs follow from some admissible resolution of the ambiguous decisions. */
  wrong: string | null
  kind?: 'wrong' | 'shape'
  ambiguous: number
  /** A definition's answer, for the report. */
  expected?: readonly { dtype: DType; shape: Shape; value: Float64Array }[]
  /** Which convention the output follows, where it is another one than the definition's first. */
  convention?: string
}

/** One way to say a case in a dialect, or why it cannot be said there. */
export type Lowering<Form> =
  | { path: string; form: Form }
  | { path: string; form: Form; naive: string } // what people write first, and why it is not the same
  | { declined: string }

export interface OnnxNode {
  op: string
  in: readonly string[]
  out: readonly string[]
  attributes: Attributes
  /** Absent: the default ONNX domain. */
  domain?: string
}
/** A small model. Case inputs are called x0, x1, …; outputs y0, y1, … (y2 is compared with the reference's third output). */
export interface OnnxForm {
  opset: number
  nodes: readonly OnnxNode[]
  /** Tensors that are part of the path, as initializers. */
  constants?: Readonly<Record<string, Tensor>>
  /** Case inputs that are given as initializers instead of being fed. */
  initializers?: readonly number[]
  /** Case inputs whose dtype or shape the path changes on the host before they are fed. */
  prepare?: (inputs: readonly (Tensor | null)[]) => readonly (Tensor | null)[]
  /** Host-side conversion of the outputs back to canonical form. */
  finish?: (outputs: readonly Tensor[]) => readonly (Tensor | null)[]
}
/** `prepare` and `finish` run on the host (transposes, index conversions), so that only the operation itself is asked of the runtime. */
export interface TfjsForm {
  prepare?: (inputs: readonly (Tensor | null)[]) => readonly (Tensor | null)[]
  /** Called in the worker with the runtime's own `tf`; may return a promise (the Async forms). */
  call: (tf: any, inputs: readonly any[]) => readonly any[] | Promise<readonly any[]>
  finish?: (outputs: readonly Tensor[]) => readonly (Tensor | null)[]
}

/** A field of a generator's flat record; `kind` decides what `build` is handed. */
export type Field =
  | { kind: 'int'; min: number; max: number } // a number
  | { kind: 'ints'; min: number; max: number; count: number } // a tuple of numbers
  | { kind: 'data'; kinds: readonly string[] } // { kind, at }: see op.ts `fill`
export type Fields = Readonly<Record<string, Field>>
export interface RawData {
  kind: number
  at: number
}
export type RawOf<F extends Fields> = { [K in keyof F]: F[K]['kind'] extends 'int' ? number : F[K]['kind'] extends 'ints' ? number[] : RawData }
export interface Generator<F extends Fields = any, A extends Attributes = any> {
  /** Flat, small integers; smaller is plainer, so that shrinking any field makes the case simpler. */
  fields: F
  /** Total and monotone: every raw record gives a case. */
  build: (raw: RawOf<F>) => Drawn<A>
}

/** An ONNX node from a file, with its inputs' values. */
export interface GivenNode {
  operator: string
  opset: number
  attributes: Attributes
  inputs: readonly (TensorSpec | null)[]
  /** Values of input i as numbers, or null where it is absent. */
  values: (i: number) => number[] | null
}

export interface Op<A extends Attributes = any> {
  /** File name (or a row of a family's file), id, command-line name. */
  name: string
  /** The pages that the reference and the lowerings were read from. */
  spec: readonly string[]
  /** Cases that every runtime has to accept. */
  valid: Generator<any, A>
  /** Cases that every runtime has to refuse. */
  invalid?: Generator<any, A>
  /** ONNX operators whose nodes are cases of this op, for external cases. */
  operators?: readonly string[]
  /** Reads an ONNX node as a case: fills defaults of its opset, moves small constant inputs (pads, sizes, axes) into attributes. Absent: attributes as they are. */
  fromOnnx?: (node: GivenNode) => Drawn<A> | { declined: string }
  expect: (attributes: A, inputs: readonly (Real | null)[]) => readonly Expected[]
  /**
   * The same definition in the plainest order over a simulated arithmetic, for calibration: inputs read with `m.read`, every operation through `m`.
   * Needed wherever `expect` uses the rules `dot` or `error`; exact operations and decisions are simulated by their reference.
   */
  simulate?: (attributes: A, inputs: readonly (Real | null)[], m: Machine) => readonly (Real | null)[]
  /** Lies that only this operation can be told, for calibration: right outputs → wrong ones, or null where it would not show. */
  lies?: Readonly<Record<string, (c: Case<A>, right: readonly (Real | null)[], inputs: readonly (Real | null)[]) => readonly (Real | null)[] | null>>
  onnx: (c: Case<A>) => readonly Lowering<OnnxForm>[]
  tfjs: (c: Case<A>) => readonly Lowering<TfjsForm>[]
}

export type Dialect = 'onnx' | 'tfjs'
/** What the session or the tensors of a trial served for before it, or beside it; absent: nothing (reuse.ts). */
export type Reuse = 'again' | 'other' | 'beside'
export type Again = (outputs: readonly (Tensor | null)[] | { threw: string }) => void
/** What a second call gave otherwise: elements [output, flat index, first, second], the first ones, or why there is nothing to compare. */
export type Repeat = { differs: readonly [number, number, Json64, Json64][] } | { instead: string }
export interface Opened {
  /** package, version, runtime, adapter, driver: what the report names. */
  identity: Readonly<Record<string, string>>
  /** Work of ours before the runtime is called (encoding a model): not counted as the runtime's time. */
  prepare?: (form: any, inputs: readonly (Tensor | null)[]) => unknown
  /**
   * Throws what the runtime throws. Output j is `yj`. Where `again` is given, the same session or tensors then serve a second call, whose outputs it hears:
   * what runtimes keep between calls (buffers, textures, shapes) must not show.
   */
  run: (form: any, inputs: readonly (Tensor | null)[], prepared?: any, reuse?: Reuse, again?: Again) => Promise<readonly (Tensor | null)[]>
  /** Puts the runtime into the state of a fresh process, with memory that holds nothing of earlier trials. @param whole after a trap: nothing of it is kept */
  renew?: (whole: boolean) => Promise<void>
  close: () => Promise<void>
  /** Bytes or counts that the runtime itself reports, for leak checks. */
  memory?: () => Readonly<Record<string, number>>
}
export interface Backend {
  /** File name in harness/backends. */
  name: string
  dialect: Dialect
  host: 'child' | 'page'
  /** Groups for --backends, besides `node`/`browser` and the dialect: e.g. `gpu`. */
  groups?: readonly string[]
  arithmetic: Arithmetic
  /** Settings that choose another kernel. The first is the default. */
  modes: readonly string[]
  /** What the host needs besides its packages. */
  needs?: readonly ('vulkan' | 'chromium')[]
  /** Nodes that the runtime lacks say so with this message: then the verdict is `gap`. */
  noKernel?: RegExp
  /** A WebAssembly trap: the instance's memory can no longer be trusted, so that it counts as a death and the host is started again, or renewed. */
  trap?: RegExp
  /**
   * Its runtime can be renewed in milliseconds: what fails is judged by a second run in a renewed one, so that a verdict hangs on no earlier trial, and a
   * trap does not end the process.
   */
  renewable?: true
  /** The device is gone: the host is started again. */
  deviceLost?: RegExp
  /** Relative cost of a trial (1 = a CPU backend): sizes batches and deadlines. */
  cost?: number
  /** Deadline of a trial, where hangs are usual and answers quick. */
  deadlineMs?: number
  /** Two modes cannot be open at once: the worker closes one before it opens the next. */
  exclusiveModes?: boolean
  /** Errors after which later sessions fail too: what runs the backend is started again. */
  recycleOnError?: RegExp
  /**
   * What has to stand in the environment before the process starts, by mode; each mode then has a process of its own. Asked in the parent; throws NotHere
   * where the backend is not set up.
   */
  environment?: (mode: string) => Promise<Readonly<Record<string, string>>>
  /** The only place where a runtime is imported; runs in a process that may die. */
  open: (mode: string) => Promise<Opened>
}

/** Its trials cost so much that it takes few of everything. */
export const isSlow = (b: Backend): boolean => (b.cost ?? 1) > 5

/** What the host saw of one trial. */
export type Outcome =
  | { status: 'outputs'; outputs: readonly (Tensor | null)[]; checksum: number; ms: number; again?: Repeat; cpuMs?: number; log?: string }
  | { status: 'threw'; message: string; ms: number }
  | { status: 'died'; how: string; message: string; alive?: true } // `alive`: a trap; the runtime was renewed, and the process goes on
  | { status: 'hung'; afterMs: number; message?: string } // `message`: what was printed meanwhile
  | { status: 'device-lost'; message: string }
  | { status: 'out-of-memory'; message: string }
  | { status: 'fell-back'; to: string }
  /** The host could not be used at all: not a finding about the operation. */
  | { status: 'not-run'; reason: string }

export const FAILING = [
  'wrong',
  'precision',
  'shape',
  'dtype',
  'non-finite',
  'rejects-valid',
  'accepts-invalid',
  'crash',
  'hang',
  'device-lost',
  'unstable',
  'fallback',
] as const
export type Failing = (typeof FAILING)[number]
export type Kind = Failing | 'agree' | 'gap' | 'convention' | 'trap' | 'not-compared' | 'not-run'
export const isFailing = (kind: Kind): kind is Failing => (FAILING as readonly string[]).includes(kind)

/** Position of the worst (or first wrong) element. */
export interface Element {
  output: number
  index: readonly number[]
  expected: Json64
  observed: Json64
  /** Largest distance that is still honest. */
  allowed?: number
}
export interface Verdict {
  kind: Kind
  /** The ladder's name of the least freedom that explains the output; null when nothing does. */
  rung: string | null
  /** Largest error / bound over the compared elements; null where nothing was compared with a bound. */
  worst: number | null
  /** Decisions (or elements) that rounding could have turned either way. */
  ambiguous: number
  /** Elements left out because the definition gives no comparable value. */
  notCompared?: number
  element?: Element
  because?: string
  /** What failing outputs look like: the parts of a fingerprint that depend on one trial alone. */
  evidence?: Evidence
}
/** `space` etc. say where the differing elements lie; `hash` tells which backends return the same output. */
export interface Evidence {
  value: 'zero' | 'nan' | 'inf' | 'nan-lost' | 'constant' | 'ratio' | 'other' | 'few'
  batch: string
  channels: string
  space: string
  hash: string
  differing: number
  of: number
}
export type Role = 'plan' | 'confirm' | 'smallest' | 'probe'
export interface Trial {
  case: Case
  backend: string
  path: string
  mode: string
}
