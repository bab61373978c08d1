/** Names that every report shares: columns of the matrix, families of operations, marks and their words. Pure; the page imports it, too. */
import type { Mark } from '../harness/summary.ts'

export interface Column {
  /** The runtime that heads a group of columns. */
  head: string
  name: string
  /** Twins of one runtime (Node and browser) share a column. */
  backends: readonly string[]
}
const column = (head: string, name: string, ...backends: string[]): Column => ({ head, name, backends })
export const COLUMNS: readonly Column[] = [
  column('onnxruntime-node', 'cpu', 'ort-cpu'),
  column('onnxruntime-node', 'webgpu', 'ort-webgpu'),
  column('onnxruntime-node', 'cuda', 'ort-cuda'),
  column('onnxruntime-web', 'wasm', 'ortweb-wasm', 'ortweb-wasm@chromium'),
  column('onnxruntime-web', 'webgpu', 'ortweb-webgpu'),
  column('onnxruntime-web', 'jsep', 'ortweb-jsep'),
  column('onnxruntime-web', 'webgl', 'ortweb-webgl'),
  column('onnxruntime-web', 'webnn', 'ortweb-webnn'),
  column('TensorFlow.js', 'cpu', 'tfjs-cpu', 'tfjs-cpu@chromium'),
  column('TensorFlow.js', 'wasm', 'tfjs-wasm', 'tfjs-wasm@chromium'),
  column('TensorFlow.js', 'webgl', 'tfjs-webgl'),
  column('TensorFlow.js', 'webgpu', 'tfjs-webgpu', 'tfjs-webgpu@chromium'),
  column('TensorFlow.js', 'node', 'tfjs-node'),
  column('TensorFlow.js', 'node-gpu', 'tfjs-node-gpu'),
  column('published', 'expected', 'expected'),
]
/** Columns of the backends that a run names; one that no list knows gets a column of its own. */
export function columnsOf(backends: readonly string[]): Column[] {
  const known = COLUMNS.map(c => ({ ...c, backends: c.backends.filter(b => backends.includes(b)) })).filter(c => c.backends.length)
  const listed = new Set(known.flatMap(c => c.backends))
  return [...known, ...backends.filter(b => !listed.has(b)).map(b => column('other', b, b))]
}
/** `TensorFlow.js wasm (browser)`. */
export function labelOf(backend: string): string {
  const c = COLUMNS.find(x => x.backends.includes(backend))
  if (!c) return backend
  return `${c.head} ${c.name}${backend.endsWith('@chromium') ? ' (browser)' : ''}`
}

const FAMILIES: readonly (readonly [string, RegExp])[] = [
  ['Convolution', /^(conv|conv-.*|fused-conv|depthwise.*|dilation2d|separable.*|deform.*|gemm|matmul)$/],
  ['Pooling', /pool/],
  ['Sampling', /^(resize|upsample|crop-and-resize|roi-.*|rotate|affine-grid|grid-sample|image-transform|flip.*)$/],
  ['Detection', /^(nms|non-max.*|top-k|threshold|image-threshold)$/],
  ['Normalisation', /norm$|^(lrn|.*softmax|mean-variance.*)$/],
  [
    'Selection and layout',
    /^(arg-.*|gather.*|scatter.*|pad|slice|concat|split|transpose|reshape|depth-to-space|space-to-depth|tile|expand|one-hot|where)$/,
  ],
  ['Reductions', /^reduce|^(sum|mean|cum-?sum)$/],
  ['Element by element', /.*/],
]
export const familyOf = (op: string): string => FAMILIES.find(([, names]) => names.test(op))![0]
export const FAMILY_ORDER: readonly string[] = FAMILIES.map(f => f[0])

/** Worst last. */
export const MARKS: readonly Mark[] = ['not-run', 'gap', 'right', 'imprecise', 'refuses', 'wrong', 'crashes']
export const MARK_WORDS: Readonly<Record<Mark, string>> = {
  right: 'right',
  imprecise: 'less precise',
  wrong: 'wrong',
  crashes: 'crashes',
  refuses: 'refuses',
  gap: 'cannot be said',
  'not-run': 'not run',
}
export const MARK_GLYPHS: Readonly<Record<Mark, string>> = {
  right: '✓',
  imprecise: '◐',
  wrong: '●',
  crashes: '✱',
  refuses: '△',
  gap: '–',
  'not-run': '·',
}
export function kindMark(kind: string): Mark {
  if (kind === 'crash' || kind === 'hang' || kind === 'device-lost') return 'crashes'
  if (kind === 'rejects-valid') return 'refuses'
  if (kind === 'precision') return 'imprecise'
  if (kind === 'gap') return 'gap'
  if (kind === 'agree' || kind === 'convention' || kind === 'trap') return 'right'
  return kind === 'not-run' || kind === 'not-compared' ? 'not-run' : 'wrong'
}
/** A kind of finding as a sentence's tag. */
export const KIND_WORDS: Readonly<Record<string, string>> = {
  agree: 'agrees',
  wrong: 'wrong, silently',
  precision: 'less precise than declared',
  shape: 'another shape',
  dtype: 'another dtype',
  'non-finite': 'NaN or infinity for finite values',
  'rejects-valid': 'refuses a valid call',
  'accepts-invalid': 'accepts an invalid call',
  crash: 'crashes',
  hang: 'hangs',
  'device-lost': 'loses the device',
  unstable: 'differs from run to run',
  fallback: 'ran elsewhere without saying so',
  gap: 'cannot be said',
  convention: 'follows its own convention',
  trap: 'the obvious form is not equivalent',
  'not-compared': 'not compared',
  'not-run': 'not run',
}
export const KIND_ORDER: readonly string[] = [
  'crash',
  'hang',
  'device-lost',
  'wrong',
  'non-finite',
  'unstable',
  'shape',
  'dtype',
  'fallback',
  'precision',
  'accepts-invalid',
  'rejects-valid',
]
