/** `catalogue show | update <run> | verify [ids] | measure`: what is known, kept as files that people read. */
import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { readRun } from '../../reports/write.ts'
import { loadBackends } from '../backends.ts'
import { KNOWN, type KnownDefect, type KnownFile, readKnown, sameAs } from '../catalogue.ts'
import { UserError } from '../errors.ts'
import { makeFolder, writeJson } from '../files.ts'
import type { Entry } from '../journal.ts'
import { loadOps } from '../ops.ts'
import { planned } from '../plan.ts'
import { slots } from '../run.ts'
import type { RunFile } from '../summary.ts'
import { shortBackends } from '../terminal.ts'
import { type Defect, describe } from '../triage.ts'
import { able, tryAll, tryOne } from '../trials.ts'
import type { Verdict } from '../types.ts'
import { hostOf } from './run.ts'

const out = (text: string) => process.stdout.write(`${text}\n`)

/** Entries by id, or all; an id that is none is an error. */
export function chosen(ids: readonly string[], known = readKnown()): KnownDefect[] {
  if (!ids.length) return known
  return ids.map(id => {
    const d = known.find(x => x.id === id)
    if (!d) throw new UserError(`the catalogue has no entry ${id}; npm run compat -- catalogue show lists all`)
    return d
  })
}

export async function catalogueShow(ids: readonly string[], json: boolean): Promise<number> {
  const entries = chosen(ids)
  if (json) {
    out(JSON.stringify(entries))
    return 0
  }
  for (const d of entries) {
    out(`${d.id}  ${d.status.padEnd(6)} ${d.op} ${d.kind} on ${shortBackends(d.backends)}`)
    out(`    when ${d.rule.text}`)
    if (d.instead) out(`    gives ${d.instead.sentence}`)
    if (d.recipe) out(`    ${d.recipe.text}`)
    if (ids.length) out(`    smallest ${describe(d.case)}\n    ${d.reason}\n    ${d.replay}`)
  }
  out(`${entries.length} entries in ${new Set(entries.map(d => d.op)).size} operations`)
  return 0
}

const versionOf = (run: RunFile, backend: string): string => {
  const identity = run.backends.find(b => b.name === backend)?.identity ?? {}
  return [identity['package'], identity['version']].filter(Boolean).join(' ') || backend
}

/** An entry from what a run found, or the entry that it had, brought up to date. */
export function entryFrom(d: Defect, run: RunFile, old: KnownDefect | undefined, spec: string | undefined): KnownDefect {
  const { hits: _, fingerprints: __, status, ...rest } = d
  const sighting = { run: run.name, date: run.started.slice(0, 10) }
  const state = status === 'fixed' ? ('fixed' as const) : ('known' as const)
  const versions = { ...old?.versions, [versionOf(run, d.way.backend)]: state }
  if (old) return { ...old, backends: d.backends, status: state, versions, ...(state === 'known' ? { lastSeen: sighting } : {}) }
  return {
    ...rest,
    status: state,
    versions,
    firstSeen: sighting,
    lastSeen: sighting,
    reason: spec ? `differs from the definition: ${spec}` : 'differs from the definition',
  }
}

export async function catalogueUpdate(dir: string, folder = KNOWN): Promise<number> {
  const run = readRun(resolve(dir))
  const path = join(resolve(dir), 'catalogue.json')
  if (!existsSync(path)) throw new UserError(`${dir} has no catalogue.json; npm run compat -- report ${dir} writes it`)
  const { defects } = JSON.parse(readFileSync(path, 'utf8')) as { defects: Defect[] }
  const ops = await loadOps()
  const known = new Map(readKnown(folder).map(d => [d.id, d]))
  const count = { new: 0, known: 0, fixed: 0, regressed: 0, 'not-reached': 0 }
  let small = 0
  for (const d of defects) {
    if (d.status === 'not-reached') {
      count['not-reached']++
      continue
    }
    if (d.status === 'new' && !d.shrunk && d.kind !== 'unstable') {
      small++
      continue
    }
    count[d.status]++
    known.set(d.id, entryFrom(d, run, known.get(d.id), ops.get(d.op)?.spec[0]))
  }
  makeFolder(folder)
  const byOp = new Map<string, KnownDefect[]>()
  for (const d of known.values()) (byOp.get(d.op) ?? byOp.set(d.op, []).get(d.op)!).push(d)
  for (const [op, list] of byOp)
    writeJson(join(folder, `${op}.json`), { schema: 1, op, defects: list.sort((a, b) => (a.id < b.id ? -1 : 1)) } satisfies KnownFile)
  out(
    `${count.new} new, ${count.known} seen again, ${count.regressed} regressed, ${count.fixed} fixed, ${count['not-reached']} not reached${small ? `; left out, not made small: ${small}` : ''}; ${known.size} entries in ${folder}`,
  )
  return 0
}

type Found = 'same' | 'gone' | 'other' | 'not here'
/** Replays the smallest case of every entry; what changed is tried once more alone in a fresh process. */
export async function catalogueVerify(ids: readonly string[], json: boolean): Promise<number> {
  const entries = chosen(ids)
  const ops = await loadOps()
  const backends = await loadBackends()
  const turn = slots(2)
  const results = new Map<string, { id: string; found: Found; says: string }>()
  const say = (d: KnownDefect, found: Found, says: string) => {
    results.set(d.id, { id: d.id, found, says })
  }
  const all = (list: readonly KnownDefect[], found: Found, says: string) => {
    for (const d of list) say(d, found, says)
  }
  const names = [...new Set(entries.map(d => d.way.backend))]
  await Promise.all(
    names.map(name =>
      turn(async () => {
        const mine = entries.filter(d => d.way.backend === name)
        const backend = backends.find(b => b.name === name)
        if (!backend) return all(mine, 'not here', `no backend ${name}`)
        const host = hostOf(backend)
        try {
          const start = await host.start()
          if ('notRun' in start) return all(mine, 'not here', `${name}: ${start.notRun}`)
          const jobs = mine.flatMap(d => {
            const op = ops.get(d.op)
            if (op && able(op, d.case, backend.dialect, d.way.path)) return [{ d, p: planned(op, d.case, 0), path: d.way.path, mode: d.way.mode }]
            say(d, 'other', `${d.op} has no path ${d.way.path} for the case any more`)
            return []
          })
          const judged = (d: KnownDefect, v: Verdict): Found => {
            if (v.kind === 'not-run') return 'not here'
            const line = { verdict: v } as Entry
            const failsSo = sameAs(d, line)
            const gone = ['agree', 'gap', 'convention', 'not-compared'].includes(v.kind)
            if (d.status === 'fixed') return gone ? 'same' : 'other'
            return failsSo ? 'same' : gone ? 'gone' : 'other'
          }
          const again: typeof jobs = []
          for (let at = 0; at < jobs.length; at += 8) {
            const chunk = jobs.slice(at, at + 8)
            await tryAll(host, chunk, (i, { verdict }) => {
              const { d } = chunk[i]!
              const found = judged(d, verdict)
              say(d, found, `${verdict.kind}${verdict.because ? `: ${verdict.because}` : ''}`)
              if (found === 'gone' || found === 'other') again.push(chunk[i]!)
            })
          }
          for (const j of again) {
            await host.restart()
            const { verdict } = await tryOne(host, j.p, j.path, j.mode)
            say(j.d, judged(j.d, verdict), `${verdict.kind}${verdict.because ? `: ${verdict.because}` : ''}`)
          }
        } finally {
          await host.close()
        }
      }),
    ),
  )
  const list = entries.map(d => ({ ...results.get(d.id)!, op: d.op, kind: d.kind, backend: d.way.backend }))
  const count = (f: Found) => list.filter(r => r.found === f).length
  const changed = count('gone') + count('other')
  if (json) out(JSON.stringify({ schema: 1, entries: list }))
  else {
    for (const r of list)
      if (r.found !== 'same')
        out(
          `${r.id}  ${r.op} ${r.kind} on ${r.backend}: ${{ gone: 'fixed, it no longer fails', other: 'fails otherwise', 'not here': 'not here' }[r.found]} (${r.says})`,
        )
    out(
      `${list.length} entries: ${count('same')} as written, ${count('gone')} fixed, ${count('other')} otherwise, ${count('not here')} on backends that are not here`,
    )
  }
  return changed ? 1 : 0
}
