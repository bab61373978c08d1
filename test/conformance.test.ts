/** Published outputs that nobody on this project computed, against the project's references and bounds. */
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { type External, readExternal } from '../harness/external.ts'
import { judge, reference } from '../harness/judge.ts'
import { canonical } from '../harness/lower.ts'
import { loadOps } from '../harness/ops.ts'
import { type Case, ieee32, type Verdict } from '../harness/types.ts'

const corpora = fileURLToPath(new URL('../corpora/', import.meta.url))
const ops = await loadOps()
const exceptions = new Map(
  (JSON.parse(readFileSync(`${corpora}exceptions.json`, 'utf8')) as { id: string; reason: string; link: string }[]).map(e => [e.id, e]),
)

function verdictOf(x: External): Verdict | null {
  if (!x.op || x.gap || !x.expected.some(Boolean)) return null
  const c = canonical(x.op, x.case)
  if ('declined' in c) return null
  const ref = reference(x.op, c as Case)
  return judge(
    c as Case,
    ref,
    { status: 'outputs', outputs: x.expected, checksum: ref.checksum, ms: 0 },
    { arithmetic: ieee32, dialect: 'onnx', tolerance: x.tolerance },
  )
}

describe('published cases', () => {
  for (const file of readdirSync(`${corpora}conformance`).sort())
    it(file, () => {
      const failed: string[] = []
      let agreed = 0
      for (const x of readExternal(`${corpora}conformance/${file}`, ops)) {
        const v = verdictOf(x)
        if (!v) continue
        if (v.kind === 'agree') {
          agreed++
          expect(exceptions.has(x.case.id), `${x.case.id} is listed as an exception but agrees`).toBe(false)
        } else if (!['convention', 'not-compared'].includes(v.kind) && !exceptions.has(x.case.id))
          failed.push(`${x.case.id}: ${v.kind} ${v.because ?? ''} ${JSON.stringify(v.element ?? '')}`)
      }
      expect(failed).toEqual([])
      expect(agreed).toBeGreaterThan(20)
    })
  it('a wrong published value is noticed', () => {
    const x = readExternal(`${corpora}conformance/torch.jsonl.gz`, ops).find(e => verdictOf(e)?.kind === 'agree' && e.expected[0]!.data.length > 1)!
    const data = x.expected[0]!.data.slice() as Float32Array
    data[0] = data[0]! + 1
    expect(verdictOf({ ...x, expected: [{ ...x.expected[0]!, data }] })!.kind).not.toBe('agree')
  })
  it('every exception has its reason and a link', () => {
    for (const e of exceptions.values()) expect(e.reason.length > 20 && e.link.startsWith('https://'), e.id).toBe(true)
  })
})
