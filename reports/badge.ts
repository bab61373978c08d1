/** badge.json (the endpoint form that shields.io reads) and badge.svg: what a README shows of the newest run. */
import type { Reported } from './write.ts'

export interface Badge {
  schemaVersion: 1
  label: string
  message: string
  color: string
}
export function badge({ summary, defects }: Reported): Badge {
  const live = defects.filter(d => d.status !== 'fixed' && d.status !== 'not-reached')
  const fresh = live.filter(d => d.status === 'new' || d.status === 'regressed').length
  const ran = summary.backends.filter(b => b.trials > 0).length
  const whole = summary.ended === 'clean'
  const what = !ran
    ? 'nothing ran'
    : `${live.length} defect${live.length === 1 ? '' : 's'}${fresh ? `, ${fresh} new` : ''}, ${ran} backend${ran === 1 ? '' : 's'}`
  return {
    schemaVersion: 1,
    label: 'opcompat',
    message: whole || !ran ? what : `${what} (incomplete)`,
    color: !ran || !whole ? 'lightgrey' : fresh ? 'orange' : live.length ? 'blue' : 'brightgreen',
  }
}
const COLOURS: Record<string, string> = { lightgrey: '#767676', orange: '#b45309', blue: '#0b5cad', brightgreen: '#18794e' }
const WIDTH = 6.6
const escaped = (s: string) => s.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/"/g, '&quot;')

export function badgeSvg(b: Badge): string {
  const left = Math.round(b.label.length * WIDTH + 14)
  const right = Math.round(b.message.length * WIDTH + 14)
  const text = escaped(`${b.label}: ${b.message}`)
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${left + right}" height="20" role="img" aria-label="${text}"><title>${text}</title>`,
    `<clipPath id="r"><rect width="${left + right}" height="20" rx="3"/></clipPath>`,
    `<g clip-path="url(#r)"><rect width="${left}" height="20" fill="#3b4252"/><rect x="${left}" width="${right}" height="20" fill="${COLOURS[b.color]}"/></g>`,
    `<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11"><text x="${left / 2}" y="14">${escaped(b.label)}</text>`,
    `<text x="${left + right / 2}" y="14">${escaped(b.message)}</text></g></svg>`,
    '',
  ].join('\n')
}
