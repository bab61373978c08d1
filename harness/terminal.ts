/** What a terminal or a log shows: live progress, one matrix within 100 columns, the defects. Pure text; colour is an option. */
import { createColors } from 'picocolors'
import type { Progress } from './run.ts'
import { type Cell, causesIn, type Mark, markOf, type Summary } from './summary.ts'
import { type Defect, describe } from './triage.ts'

export type Ink = ReturnType<typeof createColors>
export const ink = (colour: boolean): Ink => createColors(colour)

const GLYPH: Record<Mark, string> = { right: '✓', imprecise: '◐', wrong: '●', crashes: '✱', refuses: '△', gap: '–', 'not-run': '·' }
const paint = (c: Ink, mark: Mark, text: string): string => {
  switch (mark) {
    case 'right':
      return c.green(text)
    case 'imprecise':
      return c.cyan(text)
    case 'wrong':
      return c.red(text)
    case 'crashes':
      return c.magenta(text)
    case 'refuses':
      return c.yellow(text)
    default:
      return c.dim(text)
  }
}
const COLUMNS: readonly { head: string; name: string; backends: readonly string[] }[] = [
  { head: 'onnxruntime-node', name: 'cpu', backends: ['ort-cpu'] },
  { head: 'onnxruntime-node', name: 'webgpu', backends: ['ort-webgpu'] },
  { head: 'onnxruntime-node', name: 'cuda', backends: ['ort-cuda'] },
  { head: 'onnxruntime-web', name: 'wasm', backends: ['ortweb-wasm', 'ortweb-wasm@chromium'] },
  { head: 'onnxruntime-web', name: 'webgpu', backends: ['ortweb-webgpu'] },
  { head: 'onnxruntime-web', name: 'jsep', backends: ['ortweb-jsep'] },
  { head: 'onnxruntime-web', name: 'webgl', backends: ['ortweb-webgl'] },
  { head: 'onnxruntime-web', name: 'webnn', backends: ['ortweb-webnn'] },
  { head: 'TensorFlow.js', name: 'cpu', backends: ['tfjs-cpu', 'tfjs-cpu@chromium'] },
  { head: 'TensorFlow.js', name: 'wasm', backends: ['tfjs-wasm', 'tfjs-wasm@chromium'] },
  { head: 'TensorFlow.js', name: 'webgl', backends: ['tfjs-webgl'] },
  { head: 'TensorFlow.js', name: 'webgpu', backends: ['tfjs-webgpu', 'tfjs-webgpu@chromium'] },
  { head: 'TensorFlow.js', name: 'node', backends: ['tfjs-node'] },
  { head: 'TensorFlow.js', name: 'gpu', backends: ['tfjs-node-gpu'] },
  { head: 'published', name: 'expected', backends: ['expected'] },
]
const WIDTH = 6
const SHORT: Record<string, string> = { 'onnxruntime-node': 'ort', 'onnxruntime-web': 'ort-web', 'TensorFlow.js': 'tf.js', published: 'given' }

/** op × backend; the number counts causes, not trials. Twins of one runtime in the browser share a column and show the worse of the two. */
export function matrix(summary: Summary, c: Ink): string[] {
  const cells = new Map(summary.cells.map(x => [`${x.op} ${x.backend}`, x]))
  const present = new Set(summary.cells.map(x => x.backend))
  const columns = COLUMNS.filter(col => col.backends.some(b => present.has(b)))
  const ops = [...new Set(summary.cells.map(x => x.op))]
  if (!ops.length) return ['  nothing was run']
  const first = Math.max(...ops.map(o => o.length), 8) + 2
  let heads = ' '.repeat(first + 2)
  let last = ''
  for (const col of columns) {
    const span = columns.filter(x => x.head === col.head).length
    if (col.head !== last)
      heads += (col.head.length < span * (WIDTH + 1) ? col.head : SHORT[col.head]!.slice(0, span * (WIDTH + 1) - 1)).padEnd(span * (WIDTH + 1))
    last = col.head
  }
  const names = ' '.repeat(first + 2) + columns.map(col => col.name.slice(0, WIDTH).padEnd(WIDTH + 1)).join('')
  const order: readonly Mark[] = ['not-run', 'gap', 'right', 'imprecise', 'refuses', 'wrong', 'crashes']
  const rows = ops.map(op => {
    const marks = columns.map(col => {
      const mark = col.backends
        .map(b => markOf(cells.get(`${op} ${b}`) as Cell | undefined, causesIn(summary.defects, op, [b])))
        .sort((a, b) => order.indexOf(b) - order.indexOf(a))[0]!
      const n = causesIn(summary.defects, op, col.backends).length
      return paint(c, mark, `${GLYPH[mark]}${n ? ` ${n}` : ''}`.padEnd(WIDTH + 1))
    })
    return `  ${op.padEnd(first)}${marks.join('')}`.trimEnd()
  })
  return [
    c.dim(heads.trimEnd()),
    c.dim(names.trimEnd()),
    ...rows,
    '',
    c.dim('  ✓ right   ◐ less precise   ● wrong   ✱ crashes   △ refuses   – cannot be said   · not run'),
    c.dim('  number: causes'),
  ]
}

const KIND_MARK: Record<string, Mark> = {
  crash: 'crashes',
  hang: 'crashes',
  'device-lost': 'crashes',
  'rejects-valid': 'refuses',
  precision: 'imprecise',
}
const WORST = [
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
export const bySeverity = (a: Defect, b: Defect): number => WORST.indexOf(a.kind) - WORST.indexOf(b.kind) || b.hits - a.hits || (a.id < b.id ? -1 : 1)

/** Backends in few words: a runtime's twins and families together. */
export function shortBackends(names: readonly string[]): string {
  const short = names.filter(n => !n.endsWith('@chromium') || !names.includes(n.replace('@chromium', '')))
  return short.length > 4 ? `${short.slice(0, 3).join(', ')} and ${short.length - 3} more` : short.join(', ')
}
const clip = (text: string, width: number) => (text.length > width ? `${text.slice(0, width - 1)}…` : text)

export function defectLines(d: Defect, c: Ink): string[] {
  const mark = KIND_MARK[d.kind] ?? 'wrong'
  const e = d.element
  const saw = e ? `expected ${e.expected}, got ${e.observed} at [${e.index}]` : d.because
  const small = describe(d.case)
  return [
    `${paint(c, mark, `${GLYPH[mark]} ${d.status.padEnd(9)}`)} ${c.bold(d.op)} ${d.kind} on ${shortBackends(d.backends)} by ${d.paths.slice(0, 2).join(', ')}`.slice(
      0,
      200,
    ),
    ...(d.rule.text && d.rule.text !== small ? [`    when ${clip(d.rule.text, 89)}`] : []),
    `    ${d.shrunk ? 'smallest' : 'not made small'}: ${clip(small, d.shrunk ? 84 : 78)}`,
    `    ${clip(saw, 94)}`,
    ...(d.instead ? [`    ${clip(d.instead.sentence, 94)}`] : []),
    ...(d.recipe ? [`    write instead: ${clip(d.recipe.text, 79)}`] : []),
    c.dim(`    ${d.hits} trial${d.hits === 1 ? '' : 's'}; npm run compat -- replay ${d.id}`),
  ]
}

const bar = (share: number, width = 20) => {
  const full = Math.max(0, Math.min(width, Math.floor(share * width)))
  return `${'━'.repeat(full)}${full < width && share > 0 ? '╸' : ''}`.padEnd(width)
}
const seconds = (ms: number) => `${Math.floor(ms / 60000)}:${String(Math.floor(ms / 1000) % 60).padStart(2, '0')}`

export function progressLines(all: readonly Progress[], c: Ink): string[] {
  return all.map(p => {
    const rate = p.elapsedMs > 0 ? (p.trials * 1000) / p.elapsedMs : 0
    const of = Number.isFinite(p.of) ? p.of : 0
    const share = of ? p.cases / of : 0
    const left = p.state === 'done' ? '' : p.state === 'running' && p.leftMs > 0 ? `${seconds(p.leftMs)} left` : p.state
    const name = p.state === 'not-run' ? c.dim(p.backend.padEnd(21)) : p.backend.padEnd(21)
    return `  ${name} ${c.cyan(bar(share))} ${(of ? `${p.cases} of ${of}` : `${p.cases}`).padStart(14)} ${`${rate < 10 ? rate.toFixed(1) : Math.round(rate)}/s`.padStart(8)} ${String(p.findings).padStart(5)} findings  ${c.dim(left)}`
  })
}
