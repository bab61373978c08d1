/** One sentence that says what happens, in the user's terms: operation, backends, what comes out. */
import { shortBackends } from '../harness/terminal.ts'
import type { Defect } from '../harness/triage.ts'
import type { Picture } from './pictures.ts'
import { labelOf } from './vocabulary.ts'

/** Backends as people call them: one runtime's are said together. */
export function onBackends(names: readonly string[]): string {
  if (names.length === 1) return labelOf(names[0]!)
  const plain = names.filter(n => !n.endsWith('@chromium') || !names.includes(n.replace('@chromium', '')))
  const heads = new Map<string, string[]>()
  for (const n of plain) {
    const label = labelOf(n)
    const cut = label.indexOf(' ')
    const head = cut < 0 ? label : label.slice(0, cut)
    ;(heads.get(head) ?? heads.set(head, []).get(head)!).push(cut < 0 ? '' : label.slice(cut + 1))
  }
  if (plain.length > 5 && heads.size > 1) return shortBackends(plain)
  return [...heads].map(([head, tails]) => `${head} ${tails.join(', ')}`.trim()).join(' and ')
}

export function sentence(d: Defect, p: Picture): string {
  const on = `${d.op} on ${onBackends(d.backends)}`
  switch (d.kind) {
    case 'wrong':
      return `${on} ${looks(p)}`
    case 'non-finite':
      return `${on} returns ${d.element ? d.element.observed : 'NaN or infinity'} where finite values belong`
    case 'precision':
      return `${on} computes with ${(d.rung ?? 'lower precision').replace('-', ' ')}${/accumulation/.test(d.rung ?? '') ? '' : ' inputs'}`
    case 'shape':
      return `${on} returns ${/shape \[/.test(d.because) ? d.because.replace(/^shape (\[[^\]]*\]), the definition gives (\[[^\]]*\]).*/, 'shape $1 for $2') : 'another shape'}`
    case 'dtype':
      return `${on} returns ${d.because.replace(/, the definition gives (\w+).*/, ' for $1')}`
    case 'rejects-valid':
      return `${on} refuses a valid call`
    case 'accepts-invalid':
      return `${on} accepts an invalid call`
    case 'crash':
      return `${on} crashes`
    case 'hang':
      return `${on} never returns`
    case 'device-lost':
      return `${on} loses the device`
    case 'unstable':
      return `${on} differs from run to run`
    case 'fallback':
      return `${on} ran elsewhere without saying so`
    default:
      return `${on}: ${d.kind}`
  }
}

function looks(p: Picture): string {
  const at = p.bad.map(i => p.observed?.values?.[i])
  if (!at.length) return 'returns wrong values'
  if (at.every(v => v === 0 || v === '-0'))
    return p.differing === (p.observed?.values?.length ?? 0) ? 'returns zeros' : 'returns zeros for some elements'
  if (at.every(v => v === 'NaN')) return 'returns NaN'
  const expected = p.bad.map(i => p.expected?.values?.[i])
  if (expected.every(v => v === 'NaN')) return 'loses NaN'
  const ratios = p.bad.map((i, n) => Number(at[n]) / Number(p.expected?.values?.[i]))
  if (ratios.length > 1 && ratios.every(r => Number.isFinite(r) && Math.abs(r - ratios[0]!) < 1e-6 * Math.abs(r))) {
    if (ratios[0] === -1) return 'returns values of the other sign'
    return `returns values that are ${Number(ratios[0]!.toPrecision(3))} × the right ones`
  }
  if (at.length > 1 && at.every(v => v === at[0])) return 'returns one value everywhere'
  const all = p.observed?.values?.length ?? 0
  return p.differing < all ? `returns ${p.differing} of ${all} elements wrong` : 'returns wrong values'
}
