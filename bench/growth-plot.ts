/** Curves of `bench -- growth` as one SVG: a small log–log panel each, with a dashed line of exponent 1. */
import type { Curve } from './growth.ts'
import { logScale } from './plots.ts'

export function curves(list: readonly Curve[]): string {
  const [w, h, columns] = [270, 210, 3]
  const panels = list.map((c, i) => {
    const [left, top] = [(i % columns) * w, 30 + Math.floor(i / columns) * h]
    const x = logScale(
      c.points.map(p => p.x),
      left + 50,
      left + w - 14,
    )
    const y = logScale(
      c.points.map(p => p.ms),
      top + h - 44,
      top + 30,
    )
    const last = c.points.at(-1)!
    const first = c.points[0]!
    const path = c.points.map(p => `${x.at(p.x).toFixed(1)},${y.at(p.ms).toFixed(1)}`).join(' ')
    const linear = `${x.at(first.x).toFixed(1)},${y.at((last.ms * first.x) / last.x).toFixed(1)} ${x.at(last.x).toFixed(1)},${y.at(last.ms).toFixed(1)}`
    const ticks = [
      ...x.ticks.map(t => `<text x="${x.at(t).toFixed(1)}" y="${top + h - 30}" text-anchor="middle" fill="#666">${t}</text>`),
      ...y.ticks.map(t => `<text x="${left + 46}" y="${(y.at(t) + 4).toFixed(1)}" text-anchor="end" fill="#666">${t}</text>`),
    ]
    return `<g clip-path="url(#p${i})"><clipPath id="p${i}"><rect x="${left}" y="${top}" width="${w}" height="${h}"/></clipPath><text x="${left + 8}" y="${top + 16}" font-weight="600">${c.what}, exponent ${c.exponent.toFixed(2)}</text>${ticks.join('')}<text x="${left + w / 2}" y="${top + h - 14}" text-anchor="middle">${c.x} → CPU ms</text><polyline points="${linear}" fill="none" stroke="#999" stroke-dasharray="4 3"/><polyline points="${path}" fill="none" stroke="#2b6cb0" stroke-width="1.5"/>${c.points.map(p => `<circle cx="${x.at(p.x).toFixed(1)}" cy="${y.at(p.ms).toFixed(1)}" r="3" fill="#2b6cb0"/>`).join('')}</g>`
  })
  const height = 40 + Math.ceil(list.length / columns) * h
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${columns * w}" height="${height}" viewBox="0 0 ${columns * w} ${height}" font-family="system-ui, sans-serif" font-size="10" role="img" aria-label="growth"><rect width="100%" height="100%" fill="#fff"/><text x="8" y="20" font-size="14">time against size (dashed: linear)</text>${panels.join('')}</svg>\n`
}
