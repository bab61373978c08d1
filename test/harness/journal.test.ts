import { appendFileSync, mkdtempSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Entry, openJournal, readJournal } from '../../harness/journal.ts'

const dir = () => mkdtempSync(join(tmpdir(), 'opcompat-journal-'))
const entry = (k: number, backend = 'ort-cpu'): Entry => ({
  schema: 1,
  role: 'plan',
  case: { id: `c-1-conv-${k}`, op: 'conv', attributes: {}, inputs: [] },
  backend,
  path: 'node',
  mode: 'all',
  k,
  verdict: { kind: 'agree', rung: 'exact', worst: 0, ambiguous: 0 },
})

describe('journal', () => {
  it('keeps every whole line after a kill at any byte, and goes on cleanly', () => {
    const path = join(dir(), 'journal.jsonl')
    const j = openJournal(path)
    for (let k = 0; k < 4; k++) j.write(entry(k))
    j.close(false)
    const whole = readFileSync(path)
    for (let cut = 0; cut <= whole.length; cut++) {
      writeFileSync(path, whole)
      truncateSync(path, cut)
      const lines = whole.subarray(0, cut).filter(b => b === 10).length
      expect(readJournal(path).entries.length).toBe(lines)
      const again = openJournal(path)
      again.write(entry(9))
      again.close(false)
      const after = readJournal(path)
      expect(after.entries.length).toBe(lines + 1)
      expect(after.corrupt).toEqual([])
    }
  })
  it('names a corrupt line and uses the rest', () => {
    const path = join(dir(), 'journal.jsonl')
    const j = openJournal(path)
    j.write(entry(0))
    j.close(false)
    appendFileSync(path, '{"schema":1,"role\n')
    const k = openJournal(path)
    k.write(entry(1))
    k.close(false)
    const { entries, corrupt } = readJournal(path)
    expect(entries.map(e => e.k)).toEqual([0, 1])
    expect(corrupt).toEqual([2])
  })
  it('stands in the order of the plan after a clean end', () => {
    const path = join(dir(), 'journal.jsonl')
    const j = openJournal(path)
    for (const [k, b] of [
      [2, 'ort-cpu'],
      [0, 'tfjs-wasm'],
      [0, 'ort-cpu'],
      [1, 'ort-cpu'],
    ] as const)
      j.write(entry(k, b))
    j.close(true)
    expect(readJournal(path).entries.map(e => `${e.k} ${e.backend}`)).toEqual(['0 ort-cpu', '0 tfjs-wasm', '1 ort-cpu', '2 ort-cpu'])
  })
  it('says so when the disk is full', () => {
    if (process.platform !== 'linux') return
    const j = openJournal('/dev/full')
    expect(() => j.write(entry(0))).toThrow(/disk is full/)
  })
  it('says so when the folder cannot be written', () => {
    expect(() => openJournal('/proc/nowhere/journal.jsonl')).toThrow(/journal/)
  })
})
