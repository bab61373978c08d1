import { describe, expect, it } from 'vitest'
import { loadOps } from '../../harness/ops.ts'
import { caseOf, columnsOf, contentId, covering, parsePlanId, planId, rawOf } from '../../harness/plan.ts'
import { caseInToken, replayToken } from '../../harness/replay-token.ts'
import { checksum, realise } from '../../harness/tensor.ts'
import type { Case } from '../../harness/types.ts'

const ops = await loadOps()

describe('plan', () => {
  it('case k is a function of (seed, op, k) alone', () => {
    for (const op of ops.values()) {
      const forward = [0, 1, 2, 50].map(k => JSON.stringify(caseOf(3, op, k)))
      const backward = [50, 2, 1, 0].map(k => JSON.stringify(caseOf(3, op, k))).reverse()
      expect(backward, op.name).toEqual(forward)
      expect(JSON.stringify(caseOf(4, op, 400)), op.name).not.toBe(JSON.stringify(caseOf(3, op, 400)).replace('c-3-', 'c-4-'))
    }
  })
  it('a case holds the same numbers after a journey as JSON', () => {
    const sum = (c: Case) => checksum(c.inputs.map(x => x && realise(x)))
    for (const op of ops.values())
      for (let k = 0; k < 40; k++) {
        const c = caseOf(3, op, k)
        expect(sum(JSON.parse(JSON.stringify(c))), c.id).toBe(sum(c))
      }
  })
  it('the first 300 cases of every operation cover at least 95 % of the pairs of field values', () => {
    for (const op of ops.values()) {
      const columns = columnsOf(op.valid.fields)
      const seen = new Set<string>()
      const value = (raw: any, c: (typeof columns)[number]) => (c.part === -1 ? raw[c.name] : c.part === -2 ? raw[c.name].kind : raw[c.name][c.part])
      const plain = { ...op, invalid: undefined }
      for (let k = 0; k < 300; k++) {
        const raw = rawOf(1, plain, k)
        for (let a = 0; a < columns.length; a++)
          for (let b = a + 1; b < columns.length; b++) seen.add(`${a} ${value(raw, columns[a]!)} ${b} ${value(raw, columns[b]!)}`)
      }
      let all = 0
      for (let a = 0; a < columns.length; a++) for (let b = a + 1; b < columns.length; b++) all += columns[a]!.values * columns[b]!.values
      expect(seen.size / Math.max(1, all), `${op.name}: ${seen.size} of ${all} pairs`).toBeGreaterThanOrEqual(all ? 0.95 : 0)
    }
  })
  it('a covering array lists each pair within its rows', () => {
    const fields = { a: { kind: 'int', min: 0, max: 3 }, b: { kind: 'int', min: 0, max: 2 }, c: { kind: 'ints', min: 1, max: 2, count: 2 } } as const
    const rows = covering(fields)
    expect(new Set(rows.map(r => `${r[0]} ${r[1]}`)).size).toBe(12)
    expect(rows.length).toBeLessThan(24)
  })
  it('ids say where a case comes from, tokens carry it', () => {
    expect(parsePlanId(planId(20261125, 'max-pool', 12))).toEqual({ seed: 20261125, op: 'max-pool', k: 12 })
    expect(parsePlanId('c-0123456789')).toBeNull()
    const c = { op: 'conv', attributes: { group: 2 }, inputs: [] }
    const full = { id: contentId(c), ...c }
    const token = replayToken(full, { backend: 'ort-cpu', path: 'node', mode: 'all' }).split(' ')[0]!
    expect(caseInToken(token)).toEqual(full)
    expect(() => caseInToken(`${token.slice(0, -4)}AAAA`)).toThrow(/damaged/)
  })
})
