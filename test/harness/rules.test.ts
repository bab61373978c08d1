import { describe, expect, it } from 'vitest'
import { satisfies } from '../../harness/atoms.ts'
import ortCpu from '../../harness/backends/ort-cpu.ts'
import { factsOf } from '../../harness/facts.ts'
import { caseOf } from '../../harness/plan.ts'
import { layerMatches } from '../../harness/reach.ts'
import { Deaths } from '../../harness/trials.ts'
import type { Backend, Kind } from '../../harness/types.ts'
import { catalogueOf, host, journalOf, op, type Plant } from './planted.ts'

const negative: Plant = (c, right) =>
  c.attributes.auto_pad.startsWith('SAME') && c.attributes.strides.some((s, i) => s > c.attributes.kernel_shape[i]!) && c.attributes.strides[0]! > 1
    ? right({ ...c.attributes, strides: [1, 1] })
    : null
const many: Plant = c => (c.inputs[0]!.shape[0]! >= 2 && c.inputs[0]!.shape[1]! >= 5 ? 'too many channels for a batch' : null)
const lower: Plant = (c, right) => (c.attributes.auto_pad === 'SAME_LOWER' ? right({ ...c.attributes, auto_pad: 'SAME_UPPER' }) : null)

/** Share of fresh cases on which the rule says what the plant does. */
function agreement(predicate: Parameters<typeof satisfies>[0], plant: Plant): number {
  let right = 0
  for (let k = 0; k < 500; k++) {
    const c = caseOf(77, op, k)
    const fails = plant(c, () => 'fails' as never, 'node') !== null
    if (satisfies(predicate, factsOf(c)) === fails) right++
  }
  return right / 500
}

describe('the search around a cause', () => {
  it('ends after a dozen deaths, or three hangs', () => {
    const dies = (kind: Kind, times: number, because?: string, more: Partial<Backend> = {}) => {
      const deaths = new Deaths({ ...ortCpu, ...more })
      for (let i = 0; i < times; i++) deaths.note({ kind, rung: null, worst: null, ambiguous: 0, ...(because ? { because } : {}) })
      return deaths.tooMany
    }
    expect([dies('crash', 11), dies('crash', 12), dies('hang', 2), dies('hang', 3), dies('wrong', 1000)]).toEqual([false, true, false, true, false])
    expect([dies('crash', 12, 'trap: unreachable'), dies('crash', 12, 'trap: unreachable', { renewable: true })]).toEqual([true, false])
  })
})

describe('rules', () => {
  it('"stride > kernel and SAME" is found, claimed and readable', async () => {
    const [d, ...more] = catalogueOf(await journalOf([host('ort-cpu', [negative])], 60)).filter(x => x.kind !== 'wrong' || x.rule.exact)
    expect(more.length).toBeLessThanOrEqual(1)
    expect(d!.rule.text).toMatch(/auto_pad/)
    expect(agreement(d!.rule.predicate, negative)).toBeGreaterThan(0.93)
  }, 60_000)
  it('a conjunction of two counts: batch ≥ 2 and channels ≥ 5', async () => {
    const found = catalogueOf(await journalOf([host('ort-cpu', [many])], 60))
    expect(found).toHaveLength(1)
    const { rule } = found[0]!
    expect(rule.exact).toBe(true)
    expect(rule.text).toContain('batch ≥ 2')
    expect(rule.text).toContain('channels ≥ 5')
    expect(rule.support!.inside.passes + rule.support!.outside.fails).toBe(0)
    expect(agreement(rule.predicate, many)).toBe(1)
  }, 60_000)
  it('padding on the other side is named, and a real layer is matched by the rule', async () => {
    const found = catalogueOf(await journalOf([host('ort-cpu', [lower])], 60))
    expect(found).toHaveLength(1)
    expect(found[0]!.instead!.sentence).toContain('SAME_UPPER')
    expect(agreement(found[0]!.rule.predicate, (c, right) => (lower(c, right, '') && odd(c) ? ('x' as never) : null))).toBeGreaterThan(0.9)
    const layer = (auto_pad: string) => ({
      op: 'WindowSum',
      attributes: { auto_pad, kernel_shape: [2, 2], strides: [1, 1], pads: [0, 0, 0, 0], flip: 0, group: 1 },
      input_shapes: [[1, 3, 8, 8]],
    })
    expect(layerMatches(found[0]!.rule.predicate, op, layer('SAME_LOWER'))).toBe(true)
    expect(layerMatches(found[0]!.rule.predicate, op, layer('VALID'))).toBe(false)
  }, 60_000)
})
/** Some axis pads an odd number of pixels. */
const odd = (c: Parameters<Plant>[0]) =>
  [0, 1].some(i => {
    const [size, k, s] = [c.inputs[0]!.shape[i + 2]!, c.attributes.kernel_shape[i]!, c.attributes.strides[i]!]
    return Math.max(0, (Math.ceil(size / s) - 1) * s + k - size) % 2 === 1
  })
