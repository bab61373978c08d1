/** Outputs that depend on history are found, with the shortest sequence that shows them; honest backends are never blamed. */
import { mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, test } from 'vitest'
import tfjsWasm from '../../harness/backends/tfjs-wasm.ts'
import { childHost } from '../../harness/hosts/child.ts'
import type { Host } from '../../harness/hosts/host.ts'
import { type Entry, openJournal, readJournal, settled } from '../../harness/journal.ts'
import { reference } from '../../harness/judge.ts'
import { caseOf, planned } from '../../harness/plan.ts'
import { caseInToken, replayToken } from '../../harness/replay-token.ts'
import { runPlan } from '../../harness/run.ts'
import { begins, EVERY, slotsOf, stepsOf } from '../../harness/sequences.ts'
import { difference, stateful } from '../../harness/stateful.ts'
import { tensor } from '../../harness/tensor.ts'
import { isFailing, type Outcome } from '../../harness/types.ts'
import { signature, witness } from '../../harness/witness.ts'
import backend from '../chaos/child-remembers.ts'
import op from '../chaos/remembers-op.ts'

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url))
const ops = new Map([[op.name, op]])
const open: Host[] = []
afterEach(async () => {
  for (const host of open.splice(0)) await host.close()
})

/** A run of the plan on the chaos backend in one of its modes, then its sequences. */
async function found(mode: string, { seed = 3, cases = 240 } = {}) {
  const host = childHost({ ...backend, modes: [mode] }, { file: here('../chaos/child-remembers.ts'), ops: [here('../chaos/remembers-op.ts')] })
  open.push(host)
  const lines: Entry[] = []
  const journal = { write: (e: Entry) => void lines.push(e), close: () => {} }
  const seen = witness(seed, ops)
  await runPlan({
    seed,
    sequence: k => planned(op, caseOf(seed, op, k), k),
    length: cases,
    everyPath: false,
    journal,
    hosts: [host],
    until: Infinity,
    stopped: () => false,
    note: seen.note,
  })
  const before = lines.length
  const total = await stateful({ seed, ops, hosts: [host], witness: seen, journal, until: Infinity, stopped: () => false })
  const unstable = lines.slice(before)
  expect(unstable).toHaveLength(total.unstable)
  for (const e of unstable) expect(e).toMatchObject({ role: 'plan', verdict: { kind: 'unstable' }, after: expect.any(Array) })
  // one line a trial: what was found takes the place of the first line
  expect(settled(lines)).toHaveLength(before)
  return { unstable, sequences: total.sequences, starts: host.stats().starts }
}
const nan = (e: { case: Entry['case'] }) => JSON.stringify(e.case.inputs).includes('NaN')

describe('a backend that', () => {
  test.each(['honest', 'other-nan'])('is %s is not blamed', async mode => {
    const { unstable, sequences, starts } = await found(mode)
    expect(unstable).toEqual([])
    expect(sequences).toBeGreaterThan(2)
    expect(starts).toBe(2)
  })
  test('is stale after NaN: one case with NaN before it', async () => {
    const { unstable } = await found('stale-after-nan')
    expect(unstable.length).toBeGreaterThan(0)
    for (const e of unstable) {
      expect(e.after).toHaveLength(1)
      expect(nan(e.after![0]!)).toBe(true)
      expect(e.verdict).toMatchObject({ because: 'other bits after remembered with NaN than alone in a fresh process', element: { observed: 'NaN' } })
    }
  })
  test('is wrong every third time: the case itself twice before it', async () => {
    const { unstable } = await found('every-third')
    expect(unstable.length).toBeGreaterThan(0)
    for (const e of unstable) expect(e.after!.map(s => s.case.id)).toEqual([e.case.id, e.case.id])
  })
  test('shows the length of a wider one: one wider case before it', async () => {
    const { unstable } = await found('buffer-of-the-widest')
    expect(unstable.length).toBeGreaterThan(0)
    const width = (c: Entry['case']) => c.inputs[0]!.shape.at(-1)!
    for (const e of unstable) {
      expect(e.after).toHaveLength(1)
      expect(width(e.after![0]!.case)).toBeGreaterThan(width(e.case))
    }
  })
  test('keeps values in a session: the trial alone, on a session used before', async () => {
    const { unstable } = await found('session')
    expect(unstable.length).toBeGreaterThan(0)
    for (const e of unstable) expect(e).toMatchObject({ after: [], reuse: 'other' })
  })
  test('hands out what lay in memory: nothing before it, another process', async () => {
    const { unstable } = await found('uninitialised')
    expect(unstable.length).toBeGreaterThan(0)
    for (const e of unstable) expect(e).toMatchObject({ after: [], verdict: { because: 'other bits in another fresh process' } })
  })
  test('changes what the definition leaves open: blamed only where it is not', async () => {
    const { unstable } = await found('open')
    expect(unstable.length).toBeGreaterThan(0)
    for (const e of unstable) expect(e.case.attributes).toEqual({})
  })
})

describe('memory that a trial has spoiled', () => {
  /** Failing trials of a plan in which every case behind one with NaN is answered wrongly. */
  async function failing(more: { renewable?: true }) {
    const host = childHost(
      { ...backend, ...more, modes: ['stale-after-nan'] },
      { file: here('../chaos/child-remembers.ts'), ops: [here('../chaos/remembers-op.ts')] },
    )
    open.push(host)
    const lines: Entry[] = []
    await runPlan({
      seed: 3,
      sequence: k => planned(op, caseOf(3, op, k), k),
      length: 120,
      everyPath: false,
      journal: { write: (e: Entry) => void lines.push(e), close: () => {} },
      hosts: [host],
      until: Infinity,
      stopped: () => false,
    })
    expect(new Set(lines.map(e => e.case.id)).size).toBe(120)
    return lines.filter(e => isFailing(e.verdict.kind)).length
  }
  test('is not what a renewable runtime is judged by', async () => {
    expect(await failing({})).toBeGreaterThan(20)
    expect(await failing({ renewable: true })).toBe(0)
  })
  test('tfjs-wasm is as right after a renewal as before', async () => {
    const opened = await tfjsWasm.open()
    const square = async () => {
      const form = { call: (tf: any, [x]: any[]) => [tf.square(x)] }
      return [...(await opened.run(form, [tensor('float32', [4], [1, 2, 3, 4])]))[0]!.data]
    }
    const memory = opened.memory!()
    for (let i = 0; i < 3; i++) {
      expect(await square()).toEqual([1, 4, 9, 16])
      await opened.renew!(i % 2 === 1)
    }
    expect(await square()).toEqual([1, 4, 9, 16])
    expect(opened.memory!()).toEqual(memory)
  })
})

describe('sequences', () => {
  const drawn = Array.from({ length: 12 * EVERY }, (_, k) => k).filter(k => begins(1, op, k))
  test('one begins in every block of cases, and is a function of (seed, op, k)', () => {
    expect(drawn).toHaveLength(12)
    expect(new Set(drawn.map(k => Math.floor(k / EVERY))).size).toBe(drawn.length)
    for (const k of drawn) expect(JSON.stringify(slotsOf(1, ops, op, k))).toBe(JSON.stringify(slotsOf(1, ops, op, k)))
  })
  test('at most six jobs, the trial three times, and all kinds of company over some of them', () => {
    const company = { none: 0, nan: 0, refused: 0, reused: 0 }
    for (const k of drawn) {
      const slots = slotsOf(1, ops, op, k)
      const target = { case: caseOf(1, op, k), path: 'call', mode: 'honest' }
      const { steps, trials } = stepsOf(slots, target, backend, 1, () => false)
      expect(steps.length).toBeLessThanOrEqual(6)
      expect(trials.map(at => steps[at]!.case.id)).toEqual(trials.map(() => target.case.id))
      for (const { disturbance: d, reuse } of slots) {
        if (!d) company.none++
        else if (d.case.valid === false) company.refused++
        else if (nan(d)) company.nan++
        if (reuse) company.reused++
      }
      expect(stepsOf(slots, target, backend, 1, s => s.case.id !== target.case.id).steps.every(s => s.case.id === target.case.id)).toBe(true)
    }
    for (const n of Object.values(company)) expect(n).toBeGreaterThan(0)
  })
})

test('bits: NaN is NaN, −0 is 0, shape and type belong to them', () => {
  const outputs = (data: Float32Array, shape = [data.length]): Outcome => ({
    status: 'outputs',
    outputs: [{ dtype: 'float32', shape, data }],
    checksum: 0,
    ms: 0,
  })
  const other = new Float32Array(new Uint32Array([0xffc00001]).buffer)
  expect(signature(outputs(Float32Array.of(Number.NaN)))).toBe(signature(outputs(other)))
  expect(signature(outputs(Float32Array.of(0)))).toBe(signature(outputs(Float32Array.of(-0))))
  expect(signature(outputs(Float32Array.of(1)))).not.toBe(signature(outputs(Float32Array.of(1 + 2 ** -23))))
  expect(signature(outputs(new Float32Array(4), [4]))).not.toBe(signature(outputs(new Float32Array(4), [2, 2])))
  expect(signature({ status: 'hung', afterMs: 1 })).toBeNull()
  const ref = reference(op, caseOf(1, op, 0))
  expect(difference(outputs(Float32Array.of(1)), { status: 'hung', afterMs: 1 }, ref)).toBeNull()
  expect(difference(outputs(Float32Array.of(1)), { status: 'threw', message: 'x', ms: 0 }, ref)).toEqual({ instead: 'throws: x' })
})

test('a journal holds one line a trial, also when it was cut before it was sorted; the name of a replay carries the sequence', () => {
  const path = join(mkdtempSync(join(tmpdir(), 'opcompat-')), 'journal.jsonl')
  const c = caseOf(1, op, 0)
  const way = { backend: 'child-remembers', path: 'call', mode: 'honest' }
  const verdict = { kind: 'agree', rung: 'exact', worst: 0, ambiguous: 0 } as const
  const first: Entry = { schema: 1, role: 'plan', case: c, ...way, k: 0, verdict }
  const after = [{ case: caseOf(1, op, 1), path: 'call', mode: 'honest' }]
  const later: Entry = { ...first, verdict: { ...verdict, kind: 'unstable', rung: null }, after }
  const journal = openJournal(path)
  for (const e of [first, { ...first, mode: 'open' }, later]) journal.write(e)
  journal.close(false)
  expect(readJournal(path).entries.map(e => [e.mode, e.verdict.kind])).toEqual([
    ['open', 'agree'],
    ['honest', 'unstable'],
  ])
  openJournal(path).close(true)
  expect(readFileSync(path, 'utf8').trim().split('\n')).toHaveLength(2)
  const token = replayToken(c, way, { after }).split(' ')[0]!
  expect(caseInToken(token)).toEqual({ ...c, past: { after } })
})
