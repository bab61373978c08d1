/** The journal: one line a trial, appended as it is judged; readable after a kill at any byte. Everything that is printed or drawn is computed from it. */
import { closeSync, existsSync, fstatSync, ftruncateSync, openSync, readSync, renameSync, writeFileSync, writeSync } from 'node:fs'
import { fileError } from './errors.ts'
import { compareEntries } from './order.ts'
import type { Case, Json64, Reuse, Role, Verdict } from './types.ts'

export interface Entry {
  schema: 1
  role: Role
  case: Case
  backend: string
  path: string
  mode: string
  verdict: Verdict
  /** Why the path is not equivalent to the case (a difference is a `trap`). */
  naive?: string
  /** Order of the case in the plan, for plan lines. */
  k?: number
  /** The fingerprint that a follow-up line belongs to, and the trial it came from. */
  fingerprint?: string
  of?: string
  /** Outputs of `smallest` and `probe` lines: values up to 4,096 elements, else a hash. */
  output?: readonly { dtype: string; shape: readonly number[]; values?: readonly Json64[]; hash?: string }[]
  expected?: readonly { dtype: string; shape: readonly number[]; values?: readonly Json64[]; hash?: string }[]
  /** `smallest` lines: the way that was made small; 2 and more: again, past a rule that did not cover the trial it came from. */
  lead?: number
  /** The generator's record of a smallest case, so that fresh cases can be drawn around it. */
  raw?: unknown
  /** `probe` lines: learned from or kept for the check, whether the case fails in the same way (`other`: something else), and facts of the right result. */
  step?: 'learn' | 'check'
  label?: 'fails' | 'passes' | 'other'
  facts?: Readonly<Record<string, number>>
  /** The batch's host died at this trial, which passed when it ran alone. */
  spoiled?: string
  /** Of an unstable trial: the shortest sequence found that gives it other bits than it has alone in a fresh process (none: another process does). */
  after?: readonly { case: Case; path: string; mode: string; reuse?: Reuse }[]
  /** Of a probe for a claim: which claim, from 1; the last one stands. */
  attempt?: number
  /** How the trial itself is run behind it (reuse.ts). */
  reuse?: Reuse
  runMs?: number
}

export interface Journal {
  write(entry: Entry): void
  /** Closes; after a clean end the lines stand in the order of the plan. */
  close(sorted: boolean): void
}

const texts = new WeakMap<Case, string>()
/** A case as JSON. Many trials share one case, and so do their lines and messages. */
export function textOf(c: Case): string {
  let known = texts.get(c)
  if (known === undefined) texts.set(c, (known = JSON.stringify(c)))
  return known
}
const lineOf = ({ schema, role, case: c, ...rest }: Entry): string =>
  `{"schema":${schema},"role":"${role}","case":${textOf(c)},${JSON.stringify(rest).slice(1)}`

export function openJournal(path: string): Journal {
  let fd: number
  try {
    fd = openSync(path, 'a+')
    cutTail(fd)
  } catch (error) {
    throw fileError('cannot write the journal', path, error)
  }
  return {
    write(entry) {
      const bytes = Buffer.from(`${lineOf(entry)}\n`)
      try {
        for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at)
      } catch (error) {
        throw fileError('cannot write the journal', path, error)
      }
    },
    close(sorted) {
      closeSync(fd)
      if (sorted) sortJournal(path)
    },
  }
}

/** A line without its end is what a kill left: cut, so that the next line starts clean. */
function cutTail(fd: number): void {
  const { size } = fstatSync(fd)
  const block = Buffer.alloc(65536)
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - block.length)
    const n = readSync(fd, block, 0, end - start, start)
    const at = block.subarray(0, n).lastIndexOf(10)
    if (at >= 0) {
      if (start + at + 1 < size) ftruncateSync(fd, start + at + 1)
      return
    }
    end = start
  }
  if (size > 0) ftruncateSync(fd, 0)
}

function sortJournal(path: string): void {
  const { entries } = readJournal(path)
  const lines = entries.sort(compareEntries).map(lineOf)
  try {
    writeFileSync(`${path}.sorting`, lines.length ? `${lines.join('\n')}\n` : '')
    renameSync(`${path}.sorting`, path)
  } catch (error) {
    throw fileError('cannot sort the journal (it is complete, in the order of arrival)', path, error)
  }
}

const BLOCK = 1 << 20
/** Whole lines of a file, in blocks: a journal may be larger than one string. What a kill left of a line is no line. */
function eachLine(path: string, line: (text: string) => void): void {
  const fd = openSync(path, 'r')
  try {
    const block = Buffer.alloc(BLOCK)
    let rest: Buffer[] = []
    for (let n = 0; (n = readSync(fd, block, 0, BLOCK, null)) > 0; ) {
      let start = 0
      for (let end = block.indexOf(10); end >= 0 && end < n; end = block.indexOf(10, start)) {
        const piece = block.toString('utf8', start, end)
        line(rest.length ? Buffer.concat([...rest, block.subarray(start, end)]).toString('utf8') : piece)
        rest = []
        start = end + 1
      }
      if (start < n) rest.push(Buffer.from(block.subarray(start, n)))
    }
  } finally {
    closeSync(fd)
  }
}

/** One line a trial: what its sequences found (`after`) takes the place of what its first run gave. */
export function settled(entries: readonly Entry[]): Entry[] {
  const trial = (e: Entry) => `${e.case.id}\n${e.backend}\n${e.path}\n${e.mode}`
  const found = new Set(entries.filter(e => e.role === 'plan' && e.after).map(trial))
  return found.size ? entries.filter(e => e.role !== 'plan' || e.after || !found.has(trial(e))) : [...entries]
}

/** All whole lines, one a trial; a line that is no entry is named with its number and left out, the rest is used. Lines of one case share its object: half the memory. */
export function readJournal(path: string): { entries: Entry[]; corrupt: number[] } {
  if (!existsSync(path)) throw fileError('no journal', path, { code: 'ENOENT' })
  const entries: Entry[] = []
  const corrupt: number[] = []
  const cases = new Map<string, { text: string; case: Case }>()
  let number = 0
  const take = (line: string) => {
    number++
    try {
      const e = JSON.parse(line) as Entry
      if (e.schema !== 1 || !e.case?.id || !e.verdict?.kind || !e.backend) throw new Error('not an entry')
      const at = line.indexOf('"case":')
      const known = cases.get(e.case.id)
      if (!known) cases.set(e.case.id, { text: line.slice(at, line.indexOf(',"backend":', at)), case: e.case })
      else if (line.startsWith(known.text, at)) e.case = known.case
      entries.push(e)
    } catch {
      corrupt.push(number)
    }
  }
  try {
    eachLine(path, take)
  } catch (error) {
    throw fileError('cannot read the journal', path, error)
  }
  return { entries: settled(entries), corrupt }
}
