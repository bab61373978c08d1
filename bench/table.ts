/** What a terminal shows of a benchmark. Pure text within 110 columns. */
import type { Ink } from '../harness/terminal.ts'
import type { BenchFile, Row } from './types.ts'

export const time = (ms: number): string =>
  !Number.isFinite(ms)
    ? '–'
    : ms >= 1000
      ? `${(ms / 1000).toPrecision(3)} s`
      : ms >= 1
        ? `${ms.toPrecision(3)} ms`
        : `${(ms * 1000).toPrecision(3)} µs`
const percent = (v: number): string => `${v >= 0.0995 ? (100 * v).toFixed(0) : (100 * v).toFixed(1)} %`
const MARK: Record<Row['class'], string> = { right: '✓', 'less-precise': '◐', 'fast-but-wrong': '●', 'not-judged': '·' }

export function ratioText(r: NonNullable<Row['ratio']>): string {
  const said = `×${r.value.toPrecision(3)} (${r.interval[0].toPrecision(3)}–${Number.isFinite(r.interval[1]) ? r.interval[1].toPrecision(3) : '∞'})`
  return r.verdict === 'same' ? `${said} same` : r.verdict === 'unresolved' ? `${said} ?` : said
}
export function table(file: BenchFile, c: Ink): string[] {
  const lines: string[] = []
  const layers = new Map<string, Row[]>()
  for (const row of file.cells) {
    const key = `${row.op}\n${row.layer}`
    layers.set(key, [...(layers.get(key) ?? []), row])
  }
  const head = `  ${'backend'.padEnd(22)}${'rank'.padStart(4)}  ${'floor'.padStart(8)}  ${'median (95 %)'.padEnd(24)} ${'rate'.padStart(11)} ${'of ceiling'.padStart(10)}  time / first`
  for (const [key, rows] of layers) {
    const [op, layer] = key.split('\n') as [string, string]
    lines.push(`${c.bold(op)} ${layer}  ${c.dim(rows[0]!.source.slice(0, 60))}`, c.dim(head))
    for (const r of [...rows].sort((a, b) => a.floorMs - b.floorMs)) {
      const mark = r.class === 'fast-but-wrong' ? c.red(MARK[r.class]) : r.class === 'right' ? c.green(MARK[r.class]) : c.yellow(MARK[r.class])
      const rate = r.gflops === null ? `${r.gbs.toPrecision(3)} GB/s` : `${r.gflops.toPrecision(3)} GFLOP/s`
      const middle = `${time(r.medianMs)} (${time(r.interval[0])}–${time(r.interval[1])})`
      lines.push(
        `${mark} ${r.side.slice(0, 21).padEnd(22)}${String(r.rank ?? (r.software ? 'soft' : '–')).padStart(4)}  ${time(r.floorMs).padStart(8)}  ${middle.padEnd(24)} ${rate.padStart(13)} ${(r.share === null ? '–' : percent(r.share)).padStart(6)}  ${r.ratio ? ratioText(r.ratio) : 'reference'}`,
      )
      if (r.class !== 'right' && r.because) lines.push(c.dim(`    ${r.because.slice(0, 100)}`))
    }
  }
  const e = file.environment
  lines.push(
    '',
    c.dim('✓ right   ◐ less precise   ● fast but wrong: no rank   · not judged   soft: a software GPU, no rank   ?: unresolved'),
    c.dim(
      `ceilings: ${file.ceilings.wasmGflops.toPrecision(3)} GFLOP/s WASM SIMD, ${file.ceilings.nativeGflops?.toPrecision(3) ?? '–'} best of ONNX Runtime; copy ${file.ceilings.copy.map(x => `${x.gbs.toPrecision(2)} GB/s at ${x.mb} MB`).join(', ')}`,
    ),
    c.dim(
      `${e.cpu}, ${e.cores} cores, Node ${e.node}, load ${e.load.map(l => l.toFixed(1)).join(' → ')}${e.steal ? `, ${e.steal} ticks stolen` : ''}`,
    ),
  )
  if (e.load[0] > e.cores) lines.push(c.yellow('the machine was busy: floors hold, medians do not'))
  const reasons = new Map<string, number>()
  for (const m of file.missing) reasons.set(`${m.side}: ${m.reason}`, (reasons.get(`${m.side}: ${m.reason}`) ?? 0) + 1)
  for (const [reason, n] of [...reasons].slice(0, 12)) lines.push(c.dim(`not timed (${n}) ${reason.slice(0, 160)}`))
  if (!file.complete) lines.push(c.yellow('not complete: ended before all launches were made'))
  return lines
}
