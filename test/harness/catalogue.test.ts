import { describe, expect, it } from 'vitest'
import { type KnownDefect, meets, statusOf } from '../../harness/catalogue.ts'
import { entryFrom } from '../../harness/commands/catalogue.ts'
import type { Entry } from '../../harness/journal.ts'
import { balanced, measure } from '../../harness/measure.ts'
import { compareEntries } from '../../harness/order.ts'
import type { RunFile } from '../../harness/summary.ts'
import { catalogueOf, host, journalOf, op, type Plant } from './planted.ts'

const many: Plant = c => (c.inputs[0]!.shape[0]! >= 2 && c.inputs[0]!.shape[1]! >= 5 ? 'too many channels for a batch' : null)
const flipped: Plant = (c, right) => (c.attributes.flip && c.attributes.kernel_shape[0]! >= 3 ? right({ ...c.attributes, flip: 0 }) : null)
const doubled: Plant = (c, right) => {
  if (c.attributes.auto_pad !== 'VALID') return null
  const y = right(c.attributes)
  return { ...y, data: (y.data as Float32Array).map(v => v + 1) }
}
const run = {
  name: 'test',
  started: '2026-11-25T00:00:00Z',
  backends: [{ name: 'ort-cpu', identity: { package: 'onnxruntime-node', version: '1.30.0' } }],
} as unknown as RunFile
const known = (list: readonly ReturnType<typeof catalogueOf>[number][]): KnownDefect[] => list.map(d => entryFrom(d, run, undefined, op.spec[0]))

const entries = await journalOf([host('ort-cpu', [many, doubled, flipped]), host('ortweb-wasm', [many, flipped])], 80)
const found = catalogueOf(entries)

describe('clustering', () => {
  it('three causes on two backends of a runtime are three entries, each with its backends', () => {
    expect(found.map(d => d.kind).sort()).toEqual(['rejects-valid', 'wrong', 'wrong'])
    const by = (text: RegExp) => found.find(d => text.test(d.rule.text))!
    expect(by(/channels/).backends).toEqual(['ort-cpu', 'ortweb-wasm'])
    expect(by(/flip/).backends).toEqual(['ort-cpu', 'ortweb-wasm'])
    expect(by(/flip/).instead?.sentence).toBe('as if flip were 0')
    expect(by(/auto_pad is VALID/).backends).toEqual(['ort-cpu'])
    for (const d of found) expect(d.rule.checked!.inside.right / d.rule.checked!.inside.of, d.rule.text).toBeGreaterThan(0.85)
    expect(found.filter(d => d.rule.exact).length).toBeGreaterThanOrEqual(2)
  })
  it('8 shards give the same catalogue, byte for byte', async () => {
    const shards: Entry[] = []
    for (let i = 0; i < 8; i++)
      shards.push(...(await journalOf([host('ort-cpu', [many, doubled, flipped]), host('ortweb-wasm', [many, flipped])], 80, [], i, 8)))
    const unique = new Map(shards.map(e => [JSON.stringify([e.role, e.fingerprint, e.of, e.case.id, e.backend, e.path, e.mode]), e]))
    expect(JSON.stringify(catalogueOf([...unique.values()].sort(compareEntries)))).toBe(
      JSON.stringify(catalogueOf([...entries].sort(compareEntries))),
    )
  }, 120_000)
  it('under a budget, what a rule holds for is not followed again, and stands under its cause all the same', async () => {
    const hosts = [host('ort-cpu', [many, doubled, flipped]), host('ortweb-wasm', [many, flipped])]
    const hasty = await journalOf(hosts, 80, [], 0, 1, 1, Date.now() + 600_000)
    const leads = (list: readonly Entry[]) => list.filter(e => e.lead).length
    expect(leads(hasty)).toBeLessThan(leads(entries))
    const causes = (list: readonly Entry[]) => catalogueOf(list).map(d => `${d.kind} ${d.backends}`)
    expect(causes(hasty).sort()).toEqual(causes(entries).sort())
  }, 120_000)
  it('homogeneity, completeness and V', () => {
    const items = (pairs: string[]) => pairs.map(p => ({ cause: p[0]!, entry: p[1]!, weight: 1 }))
    expect(measure(items(['a1', 'a1', 'b2']))).toMatchObject({ homogeneity: 1, completeness: 1, v: 1 })
    expect(measure(items(['a1', 'b1'])).homogeneity).toBe(0)
    const split = measure(items(['a1', 'a2', 'b3', 'b3']))
    expect(split.homogeneity).toBeCloseTo(1)
    expect(split.completeness).toBeCloseTo(2 / 3)
    expect(balanced(items(['a1', 'a1', 'b2'])).map(i => i.weight)).toEqual([0.5, 0.5, 1])
  })
})

describe('the catalogue on disk', () => {
  it('what is right now and then is not announced as fixed because it was right once', () => {
    const [d] = known(found)
    const right = { verdict: { kind: 'agree', rung: 'exact', worst: 0, ambiguous: 0 } } as Entry
    expect(statusOf(d!, 0, right)).toBe('fixed')
    expect(statusOf({ ...d!, kind: 'unstable' }, 0, right)).toBe('not-reached')
  })
  it('what is known is known, without further work, and its id stays in another run of another seed', async () => {
    const list = known(found)
    const again = await journalOf([host('ort-cpu', [many, doubled, flipped]), host('ortweb-wasm', [many, flipped])], 60, list, 0, 1, 5)
    const after = catalogueOf(again, list)
    expect(after.map(d => d.status)).toEqual(['known', 'known', 'known'])
    expect(after.map(d => d.id).sort()).toEqual(found.map(d => d.id).sort())
    const probes = (list: readonly Entry[]) => list.filter(e => e.role === 'probe').length
    expect(probes(again)).toBeLessThan(probes(entries) / 2)
    for (const d of after) expect(d.hits).toBeGreaterThan(0)
  }, 60_000)
  it('fixed is announced, regressed too, a backend that is away is not reached, and news stay news', async () => {
    const list = known(found)
    const status = async (hosts: Parameters<typeof journalOf>[0], of = list) => {
      const j = await journalOf(hosts, 40, of)
      return Object.fromEntries(catalogueOf(j, of).map(d => [d.rule.text, d.status]))
    }
    const channels = found.find(d => /channels/.test(d.rule.text))!.rule.text
    expect((await status([host('ort-cpu', [doubled, flipped]), host('ortweb-wasm', [flipped])]))[channels]).toBe('fixed')
    expect((await status([host('tfjs-cpu', [])]))[channels]).toBe('not-reached')
    const fixed = list.map(d => ({ ...d, status: 'fixed' as const }))
    expect((await status([host('ort-cpu', [many])], fixed))[channels]).toBe('regressed')
    const less = list.filter(d => d.rule.text !== channels)
    expect((await status([host('ort-cpu', [many, doubled, flipped])], less))[channels]).toBe('new')
  }, 120_000)
  it('a case outside a rule does not meet it', () => {
    const d = known(found).find(x => /channels/.test(x.rule.text))!
    const c = (n: number, channels: number) => ({
      ...d.case,
      id: 'c',
      inputs: [{ dtype: 'float32' as const, shape: [n, channels, 3, 3], recipe: { kind: 'constant' as const, value: 1 } }],
    })
    expect(meets(d, op, c(2, 5))).toBe(true)
    expect(meets(d, op, c(1, 5))).toBe(false)
    expect(meets(d, op, c(2, 4))).toBe(false)
  })
})
