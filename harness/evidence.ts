/** What a failing output looks like: where the differing elements lie and what stands there. Parts of a fingerprint (triage.ts); computed from one trial alone. */
import type { Evidence, Real, Shape } from './types.ts'

interface Against {
  expected: { value: Float64Array; shape: Shape }
  skip: Uint8Array | null
  allowed: Float64Array
}

/** FNV-1a over shapes and, if `values`, words of bits (−0 as +0): equal outputs have equal hashes on every backend. */
export function hash(outputs: readonly (Real | null)[], values = true): string {
  let h = 0x811c9dc5
  const word = new Float64Array(1)
  const halves = new Uint32Array(word.buffer)
  for (const y of outputs) {
    if (!y) continue
    for (const n of y.shape) h = Math.imul(h ^ n, 0x01000193)
    for (const v of values ? y.data : []) {
      word[0] = v === 0 ? 0 : v
      h = Math.imul(h ^ halves[0]!, 0x01000193) ^ (h >>> 15)
      h = Math.imul(h ^ halves[1]!, 0x01000193) ^ (h >>> 15)
    }
  }
  return (h >>> 0).toString(16).padStart(8, '0')
}

/** @param values false where a shape or type of its own is the finding: behind it a runtime may show memory of anything */
export function evidence(outputs: readonly (Real | null)[], against: Against | null, values = true): Evidence {
  const name = hash(outputs, values)
  if (!against) return { value: 'other', batch: 'all', channels: 'same', space: 'all', hash: name, differing: 0, of: 0 }
  const y = outputs[0]!
  const { expected, skip, allowed } = against
  const shape = expected.shape
  const wrong: number[] = []
  for (let i = 0; i < expected.value.length; i++) {
    const v = expected.value[i]!
    const w = y.data[i]!
    if (!skip?.[i] && !(v === w || (v !== v && w !== w)) && !(Math.abs(w - v) <= allowed[i]!) && !(allowed[i]! !== allowed[i]! && Number.isFinite(v)))
      wrong.push(i)
  }
  const n = shape[0] ?? 1
  const c = shape.length > 1 ? shape[1]! : 1
  const plane = Math.max(1, expected.value.length / Math.max(1, n * c))
  const perBatch = new Map<number, number>()
  const perChannel = new Map<number, number>()
  const inPlane = new Set<number>()
  for (const i of wrong) {
    perBatch.set(Math.floor(i / (c * plane)), 1)
    perChannel.set(Math.floor(i / plane) % c, 1)
    inPlane.add(i % plane)
  }
  const spatial = shape.slice(2)
  const edge = [...inPlane].every(p => {
    for (let d = spatial.length - 1, rest = p; d >= 0; d--) {
      const at = rest % spatial[d]!
      rest = Math.floor(rest / spatial[d]!)
      if (at === 0 || at === spatial[d]! - 1) return true
    }
    return false
  })
  const least = Math.min(...perBatch.keys())
  return {
    value: valueClass(wrong, expected.value, y.data),
    batch: perBatch.size === n ? 'all' : least > 0 && perBatch.size === n - least ? 'from-index' : 'some',
    channels: perChannel.size === c ? 'same' : 'differ',
    space: inPlane.size >= plane ? 'all' : edge ? 'edge' : 'some',
    hash: name,
    differing: wrong.length,
    of: expected.value.length,
  }
}

function valueClass(wrong: readonly number[], v: Float64Array, y: Float64Array): Evidence['value'] {
  const distinct = new Set(wrong.map(i => v[i]!))
  if (wrong.some(i => Number.isNaN(v[i]!) && !Number.isNaN(y[i]!))) return 'nan-lost'
  if (wrong.every(i => y[i] === 0)) return 'zero'
  if (wrong.every(i => Number.isNaN(y[i]!))) return 'nan'
  if (wrong.some(i => !Number.isFinite(y[i]!) && Number.isFinite(v[i]!))) return 'inf'
  if (distinct.size < 3) return 'few'
  if (wrong.every(i => y[i] === y[wrong[0]!])) return 'constant'
  const ratio = y[wrong[0]!]! / v[wrong[0]!]!
  if (Number.isFinite(ratio) && wrong.every(i => Math.abs(y[i]! / v[i]! - ratio) < 1e-5 * Math.abs(ratio))) return 'ratio'
  return 'other'
}
