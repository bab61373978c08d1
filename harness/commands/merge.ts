/** `merge <runs…> --out DIR`: the shards of one plan as one run. A missing shard is shown as missing. */
import { existsSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { readHistory } from '../../reports/history.ts'
import { readRun, writeReports } from '../../reports/write.ts'
import { fileError, UserError } from '../errors.ts'
import { makeFolder, writeJson } from '../files.ts'
import { type Entry, readJournal } from '../journal.ts'
import { compareEntries } from '../order.ts'
import type { BackendStatus } from '../run.ts'
import type { RunFile } from '../summary.ts'
import { ink, matrix } from '../terminal.ts'

const key = (e: Entry) => [e.role, e.fingerprint ?? '', e.of ?? '', e.case.id, e.backend, e.path, e.mode].join('\u0000')

export async function mergeCommand(given: readonly string[], flags: { out?: string; force?: boolean; json?: boolean }): Promise<number> {
  if (!flags.out) throw new UserError('merge: give the folder of the merged run with --out')
  const dirs = given.map(g => {
    const path = resolve(g)
    if (!existsSync(path)) throw new UserError(`merge: there is no ${g}`)
    return statSync(path).isDirectory() ? path : dirname(path)
  })
  const out = resolve(flags.out)
  if (existsSync(join(out, 'run.json')) && !flags.force)
    throw new UserError(`--out ${flags.out} holds a run already; choose another folder, or --force to replace it`)
  const all = dirs.map((dir, i) => ({ dir, name: given[i]!, run: readRun(dir) }))
  const first = all[0]!.run
  all.forEach(({ run: r }, i) => {
    if ((r.shard?.n ?? 1) !== (first.shard?.n ?? 1))
      throw new UserError(
        `merge: ${given[i]} is one of ${r.shard?.n ?? 1} shards, ${given[0]} one of ${first.shard?.n ?? 1}; a plan is cut in one way only`,
      )
    if (r.plan !== first.plan || r.cases !== first.cases || r.catalogue !== first.catalogue)
      throw new UserError(
        `merge: ${given[i]} was made from another plan than ${given[0]} (plan ${r.plan}, ${r.cases} cases, seed ${r.seed}; there ${first.plan}, ${first.cases}, ${first.seed}); only shards of one plan are merged`,
      )
  })
  // a shard that was killed and started again elsewhere counts once: what ended cleanly is the whole of it
  const whole = new Set(all.filter(a => a.run.ended === 'clean').map(a => a.run.shard?.i ?? 1))
  const taken = all.filter(a => a.run.ended === 'clean' || !whole.has(a.run.shard?.i ?? 1))
  const runs = taken.map(a => a.run)
  const entries = new Map<string, Entry>()
  const corrupt: string[] = []
  for (const { dir, name } of taken) {
    const j = readJournal(join(dir, 'journal.jsonl'))
    for (const e of j.entries) entries.set(key(e), e)
    if (j.corrupt.length) corrupt.push(`${name}: lines ${j.corrupt.join(', ')}`)
  }
  const n = first.shard?.n ?? 1
  const here = new Set(runs.map(r => r.shard?.i ?? 1))
  const missing = Array.from({ length: n }, (_, i) => i + 1).filter(i => !here.has(i))
  const cut = runs.filter(r => r.ended !== 'clean').map(r => r.shard?.i ?? 1)
  try {
    makeFolder(out, flags.out)
    writeFileSync(
      join(out, 'journal.jsonl'),
      [...entries.values()]
        .sort(compareEntries)
        .map(e => `${JSON.stringify(e)}\n`)
        .join(''),
    )
  } catch (error) {
    throw fileError('cannot write the merged journal to', out, error)
  }
  const merged: RunFile = {
    ...first,
    name: out.split(/[\\/]/).pop()!,
    shard: null,
    ended: missing.length || cut.length ? 'interrupted' : 'clean',
    started: runs.map(r => r.started).sort()[0]!,
    backends: backends(runs),
    shards: { of: n, here: [...here].sort((a, b) => a - b), missing, cut },
  }
  writeJson(join(out, 'run.json'), merged)
  writeJson(join(out, 'history.json'), { ...readHistory(taken[0]!.dir), runs: [] }) // the catalogue that every shard compared with
  const { summary, defects } = await writeReports(out)
  if (flags.json) process.stdout.write(`${JSON.stringify({ ...summary, shards: merged.shards })}\n`)
  else {
    process.stdout.write(
      `${matrix(summary, ink(!process.env.NO_COLOR && !!process.stdout.isTTY)).join('\n')}\n\n${here.size} of ${n} shards, ${entries.size} journal lines, ${defects.length} defects; written to ${out}\n`,
    )
    if (missing.length) process.stdout.write(`missing: shard ${missing.join(', ')} of ${n}\n`)
    if (cut.length) process.stdout.write(`ended early: shard ${cut.join(', ')} of ${n}\n`)
    for (const c of corrupt) process.stdout.write(`left out, not readable: ${c}\n`)
  }
  return 0
}

/** A backend ran if it ran everywhere; its counts are sums. */
function backends(runs: readonly RunFile[]): BackendStatus[] {
  const all = new Map<string, BackendStatus>()
  for (const b of runs.flatMap(r => r.backends)) {
    const known = all.get(b.name)
    if (!known) all.set(b.name, { ...b })
    else {
      known.cases += b.cases
      known.elapsedMs += b.elapsedMs
      known.deaths += b.deaths
      if (known.status !== b.status) {
        known.status = 'partial'
        known.reason ??= b.reason ?? 'ran in some shards only'
      }
      if (!Object.keys(known.identity).length) known.identity = b.identity
    }
  }
  return [...all.values()]
}
