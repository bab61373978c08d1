import { describe, expect, it } from 'vitest'
import { partsOf } from '../../harness/parts.ts'
import { build, caseOf, rawOf } from '../../harness/plan.ts'
import { shrink, strengthened } from '../../harness/shrink.ts'
import { catalogueOf, host, journalOf, op, type Plant } from './planted.ts'

const wide: Plant = c => (c.attributes.strides[1]! > c.attributes.kernel_shape[1]! && c.attributes.pads[0]! > 0 ? 'stride beyond the kernel' : null)
const fails = (c: ReturnType<typeof caseOf>) => wide(c, () => 'fails' as never, '') !== null

describe('shrink', () => {
  it('no single field of a smallest case can be made smaller', async () => {
    let seen = 0
    for (let k = 0; k < 80; k++) {
      if (!fails(caseOf(1, op, k))) continue
      seen++
      const result = await shrink(op, op.valid, rawOf(1, op, k), async batch => batch.findIndex(fails), 300, 8)
      expect(result.minimal).toBe(true)
      for (const p of partsOf(op.valid.fields)) {
        if (p.at === -3) continue
        const v = result.raw[p.name]!
        const value = p.at === -1 ? (v as number) : p.at === -2 ? (v as { kind: number }).kind : (v as number[])[p.at]!
        if (value === p.min) continue
        const smaller = {
          ...result.raw,
          [p.name]:
            p.at === -1 ? value - 1 : p.at === -2 ? { ...(v as object), kind: value - 1 } : (v as number[]).map((w, i) => (i === p.at ? w - 1 : w)),
        }
        const c = build(op, op.valid, smaller as typeof result.raw)
        if (JSON.stringify([c.attributes, c.inputs]) !== JSON.stringify([result.case.attributes, result.case.inputs]))
          expect(fails(c), `${p.name} ${p.at}`).toBe(false)
      }
    }
    expect(seen).toBeGreaterThan(2)
  })
  it('the result does not depend on the size of a batch', async () => {
    const k = Array.from({ length: 200 }, (_, i) => i).find(i => fails(caseOf(1, op, i)))!
    const [one, eight] = await Promise.all([1, 8].map(n => shrink(op, op.valid, rawOf(1, op, k), async batch => batch.findIndex(fails), 300, n)))
    expect(one!.case).toEqual(eight!.case)
  })
  it('data are made integers first, and stay that', () => {
    const raw = { ...rawOf(1, op, 0), x: { kind: 2, at: 7 } }
    expect(strengthened(op.valid, raw)!.x).toEqual({ kind: 1, at: 7 })
    expect(strengthened(op.valid, strengthened(op.valid, raw)!)).toBeNull()
  })
  it('a smallest case has the plainest path and mode', async () => {
    const [d] = catalogueOf(await journalOf([host('ort-cpu', [wide])], 60))
    expect(d!.way).toEqual({ backend: 'ort-cpu', path: 'node', mode: 'all' })
    expect(d!.case.attributes).toMatchObject({ kernel_shape: [1, 1], strides: [1, 2], pads: [1, 0, 0, 0], flip: 0 })
    expect(d!.case.inputs[0]!.shape).toEqual([1, 1, 1, 1])
  })
})
