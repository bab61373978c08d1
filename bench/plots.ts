/** Plots as SVG files: plain marks and words, readable without colour. Own code: a chart library would need a page to draw in. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileError } from '../harness/errors.ts'
import type { Session } from './session.ts'
import { figuresOf } from './statistics.ts'
import { time } from './table.ts'
import type { BenchFile, Row, Side } from './types.ts'

const INK = ['#2b6cb0', '#c05621', '#2f855a', '#805ad5', '#b83280', '#4a5568', '#b7791f', '#2c7a7b']
const SHAPES = ['circle', 'square', 'diamond', 'triangle'] as const
const esc = (t: string): string => t.replace(/[&<>"]/g, ch => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[ch]!)
const text = (x: number, y: number, t: string, more = ''): string => `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${more}>${esc(t)}</text>`
const line = (x1: number, y1: number, x2: number, y2: number, more = 'stroke="#999"'): string =>
  `<line x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}" ${more}/>`
function mark(x: number, y: number, n: number, title: string, hollow = false): string {
  const fill = hollow ? `fill="#fff" stroke="${INK[n % INK.length]}" stroke-width="1.5"` : `fill="${INK[n % INK.length]}"`
  const shape = SHAPES[n % SHAPES.length]!
  const at = (dx: number, dy: number) => `${(x + dx).toFixed(1)},${(y + dy).toFixed(1)}`
  const tag =
    shape === 'circle'
      ? `<circle cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="4" ${fill}>`
      : `<polygon points="${(shape === 'square' ? [at(-3.5, -3.5), at(3.5, -3.5), at(3.5, 3.5), at(-3.5, 3.5)] : shape === 'diamond' ? [at(0, -5), at(5, 0), at(0, 5), at(-5, 0)] : [at(0, -5), at(5, 4), at(-5, 4)]).join(' ')}" ${fill}>`
  return `${tag}<title>${esc(title)}</title></${shape === 'circle' ? 'circle' : 'polygon'}>`
}
const page = (w: number, h: number, title: string, body: readonly string[]): string =>
  `<svg xmlns="http://www.w3.org/2000/svg" width="${w}" height="${h}" viewBox="0 0 ${w} ${h}" font-family="system-ui, sans-serif" font-size="11" role="img" aria-label="${esc(title)}"><rect width="${w}" height="${h}" fill="#fff"/>${text(12, 20, title, 'font-size="14" font-weight="600"')}${body.join('')}</svg>\n`

interface Scale {
  at: (v: number) => number
  ticks: number[]
}
/** A logarithmic axis with a tick at every power of ten, and between them where there are few. */
export function logScale(values: readonly number[], from: number, to: number): Scale {
  const good = values.filter(v => v > 0 && Number.isFinite(v))
  const low = Math.log10(Math.min(...good, 1e9)) - 0.08
  const high = Math.max(Math.log10(Math.max(...good, 1e-9)), low + 0.1) + 0.08
  const ticks: number[] = []
  for (let e = Math.floor(low); e <= Math.ceil(high); e++)
    for (const m of high - low < 0.8 ? [1, 1.2, 1.5, 2, 3, 5, 7] : high - low < 2.5 ? [1, 2, 5] : [1])
      if (Math.log10(m * 10 ** e) >= low && Math.log10(m * 10 ** e) <= high) ticks.push(m * 10 ** e)
  return { at: v => from + ((Math.log10(v) - low) / (high - low)) * (to - from), ticks }
}
const legend = (sides: readonly string[], y: number): string[] =>
  sides.flatMap((s, i) => [mark(20 + (i % 4) * 160, y + Math.floor(i / 4) * 16, i, s), text(28 + (i % 4) * 160, y + 4 + Math.floor(i / 4) * 16, s)])
const short = (r: Row): string => `${r.op} ${r.layer}`.slice(0, 58)
const byLayer = (rows: readonly Row[]): Row[][] => {
  const m = new Map<string, Row[]>()
  for (const r of rows) m.set(`${r.op} ${r.layer}`, [...(m.get(`${r.op} ${r.layer}`) ?? []), r])
  return [...m.values()]
}

/** One row a layer: every side's ratio to the first with its interval. */
export function forest(file: BenchFile): string {
  const rows = file.cells.filter(c => c.ratio)
  const sides = [...new Set(file.cells.map(c => c.side))]
  const layers = byLayer(rows)
  const h = 70 + layers.length * 22
  const bounds = rows.flatMap(r => r.ratio!.interval.filter(Number.isFinite))
  const x = logScale([...bounds, ...rows.map(r => r.ratio!.value), 1], 360, 780)
  const body = [...legend(sides, 38)]
  for (const t of x.ticks)
    body.push(line(x.at(t), 56, x.at(t), h - 8, 'stroke="#eee"'), text(x.at(t), 54, `×${t}`, 'text-anchor="middle" fill="#666"'))
  body.push(line(x.at(1), 56, x.at(1), h - 8, 'stroke="#333"'))
  layers.forEach((list, i) => {
    const y = 74 + i * 22
    body.push(text(12, y + 4, short(list[0]!)))
    list.forEach((r, j) => {
      const at = y + (j - (list.length - 1) / 2) * 5
      const [a, b] = r.ratio!.interval
      body.push(
        line(
          x.at(Math.max(a, x.ticks[0]! / 10)),
          at,
          x.at(Number.isFinite(b) ? b : r.ratio!.value),
          at,
          `stroke="${INK[sides.indexOf(r.side) % INK.length]}"`,
        ),
      )
      body.push(mark(x.at(r.ratio!.value), at, sides.indexOf(r.side), `${r.side}: ×${r.ratio!.value.toPrecision(3)}, ${r.class}`, r.rank === null))
    })
  })
  return page(800, h, `time over the time of ${rows[0]?.ratio?.to ?? 'the first'} (log; hollow: no rank)`, body)
}
function scatter(
  title: string,
  points: { x: number; y: number; side: string; title: string; hollow: boolean; join?: string }[],
  xName: string,
  yName: string,
  extra?: (x: Scale, y: Scale) => string[],
  more: { x: number[]; y: number[] } = { x: [], y: [] },
): string {
  const sides = [...new Set(points.map(p => p.side))]
  const x = logScale([...points.map(p => p.x), ...more.x], 70, 770)
  const y = logScale([...points.map(p => p.y), ...more.y], 430, 70)
  const body = [...legend(sides, 38), line(70, 430, 770, 430), line(70, 70, 70, 430)]
  for (const t of x.ticks) body.push(line(x.at(t), 70, x.at(t), 430, 'stroke="#eee"'), text(x.at(t), 446, si(t), 'text-anchor="middle" fill="#666"'))
  for (const t of y.ticks) body.push(line(70, y.at(t), 770, y.at(t), 'stroke="#eee"'), text(64, y.at(t) + 4, si(t), 'text-anchor="end" fill="#666"'))
  body.push(text(420, 466, xName, 'text-anchor="middle"'), text(74, 64, yName))
  const joined = new Map<string, typeof points>()
  for (const p of points) if (p.join) joined.set(`${p.side} ${p.join}`, [...(joined.get(`${p.side} ${p.join}`) ?? []), p])
  for (const list of joined.values()) {
    const path = [...list].sort((a, b) => a.x - b.x).map(p => `${x.at(p.x).toFixed(1)},${y.at(p.y).toFixed(1)}`)
    body.push(`<polyline points="${path.join(' ')}" fill="none" stroke="${INK[sides.indexOf(list[0]!.side) % INK.length]}" opacity="0.5"/>`)
  }
  body.push(...(extra?.(x, y) ?? []))
  for (const p of points) body.push(mark(x.at(p.x), y.at(p.y), sides.indexOf(p.side), p.title, p.hollow))
  return page(800, 480, title, body)
}
const si = (v: number): string =>
  v >= 1e9 ? `${v / 1e9}G` : v >= 1e6 ? `${v / 1e6}M` : v >= 1e3 ? `${v / 1e3}k` : v >= 1 ? `${v}` : v.toPrecision(1)
const about = (r: Row): string => `${r.side}: ${short(r)}, ${time(r.floorMs)}, ${r.class}`

/** Time against bytes moved; the points of a sweep are joined. */
export const scaling = (file: BenchFile): string =>
  scatter(
    'floor of a call against size (log–log)',
    file.cells.map(r => ({
      x: r.bytes,
      y: r.floorMs,
      side: r.side,
      title: about(r),
      hollow: r.rank === null,
      ...(r.source.startsWith('sweep') ? { join: `${r.op} ${r.source}` } : {}),
    })),
    'bytes of inputs and outputs',
    'ms',
  )
/** GFLOP/s against flops a byte, under the two ceilings of this run. */
export function roofline(file: BenchFile): string {
  const rows = file.cells.filter(r => r.gflops !== null && r.flops > 0)
  const copy = [...file.ceilings.copy].sort((a, b) => a.gbs - b.gbs)
  const gbs = copy[copy.length >> 1]?.gbs ?? 1
  const top = file.ceilings.wasmGflops
  const native = file.ceilings.nativeGflops
  return scatter(
    `roofline: ${top.toPrecision(3)} GFLOP/s WASM SIMD, ${gbs.toPrecision(3)} GB/s copy${native ? `; dashed: best of native code` : ''}`,
    rows.map(r => ({ x: r.flops / r.bytes, y: r.gflops!, side: r.side, title: about(r), hollow: r.rank === null })),
    'flops a byte',
    'GFLOP/s',
    (x, y) => {
      const knee = top / gbs
      const left = x.ticks[0] ?? knee / 10
      return [
        line(x.at(Math.min(left, knee)), y.at(Math.min(left, knee) * gbs), x.at(knee), y.at(top), 'stroke="#333" stroke-width="1.5"'),
        line(x.at(knee), y.at(top), 770, y.at(top), 'stroke="#333" stroke-width="1.5"'),
        ...(native ? [line(x.at(Math.max(left, native / gbs)), y.at(native), 770, y.at(native), 'stroke="#333" stroke-dasharray="5 3"')] : []),
      ]
    },
    { x: [top / gbs], y: native ? [top, native] : [top] },
  )
}
/** Floor to median of every launch: how far processes differ, and how much noise lay above the floor. */
export function spreadPlot(s: Session, sides: readonly Side[]): string {
  const cells = s.cells.flatMap((c, i) => c.contenders.map((x, j) => ({ c, i, j, side: sides[x.side]!.name })))
  const rows = cells
    .map(e => ({ ...e, bursts: s.bursts.filter(b => b.cell === e.i && b.contender === e.j) }))
    .filter(e => e.bursts.length)
    .slice(0, 80)
  const h = 60 + rows.length * 16
  const parts = rows.map(e => {
    const all = figuresOf(e.bursts).floorMs
    const launches = [...new Set(e.bursts.map(b => b.launch))].map(l => figuresOf(e.bursts.filter(b => b.launch === l)))
    return { ...e, launches: launches.map(f => [f.floorMs / all, f.medianMs / all] as const) }
  })
  const x = logScale([...parts.flatMap(p => p.launches.flat()), 1], 360, 780)
  const body: string[] = []
  for (const t of x.ticks)
    body.push(line(x.at(t), 46, x.at(t), h - 8, 'stroke="#eee"'), text(x.at(t), 42, `×${t}`, 'text-anchor="middle" fill="#666"'))
  parts.forEach((p, i) => {
    const y = 58 + i * 16
    body.push(text(12, y + 4, `${p.side} ${p.c.layer.op} ${p.c.layer.layer}`.slice(0, 56)))
    p.launches.forEach(([a, b], l) => {
      body.push(
        line(
          x.at(a),
          y - 5 + (10 * l) / Math.max(1, p.launches.length - 1),
          x.at(b),
          y - 5 + (10 * l) / Math.max(1, p.launches.length - 1),
          'stroke="#2b6cb0"',
        ),
      )
    })
  })
  return page(800, h, 'floor to median of every launch, over the floor of all', body)
}
/** First run over the floor. */
export const coldStart = (file: BenchFile): string =>
  scatter(
    'first run (with creation) against the floor',
    file.cells.map(r => ({ x: r.floorMs, y: r.createMs + r.firstMs, side: r.side, title: about(r), hollow: r.rank === null })),
    'floor, ms',
    'creation and first run, ms',
  )

export function writePlots(dir: string, file: BenchFile, s: Session, sides: readonly Side[]): void {
  if (!file.cells.length) return
  const plots: Record<string, () => string> = {
    'bench-ratios.svg': () => forest(file),
    'bench-size.svg': () => scaling(file),
    'bench-roofline.svg': () => roofline(file),
    'bench-launches.svg': () => spreadPlot(s, sides),
    'bench-cold.svg': () => coldStart(file),
  }
  for (const [name, draw] of Object.entries(plots)) {
    if (name === 'bench-ratios.svg' && !file.cells.some(c => c.ratio)) continue
    if (name === 'bench-roofline.svg' && !file.cells.some(c => c.gflops !== null)) continue
    try {
      writeFileSync(join(dir, name), draw())
    } catch (error) {
      throw fileError('cannot write', join(dir, name), error)
    }
  }
}
