/** `diff <a> <b>`: what is new, gone or changed between two runs; only what both really executed is compared. */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { runsIn } from '../../reports/history.ts'
import { UserError } from '../errors.ts'
import type { Summary } from '../summary.ts'
import type { Defect } from '../triage.ts'

interface Side {
  name: string
  defects: Defect[]
  summary: Summary
}
/** A run's folder, its catalogue.json, a folder of runs (its newest counts), or `published`: the newest below reports/published or OPCOMPAT_PUBLISHED. */
function side(word: string): Side {
  const asked = word === 'published' ? resolve(process.env['OPCOMPAT_PUBLISHED'] ?? 'reports/published') : resolve(word)
  if (!existsSync(asked)) throw new UserError(`diff: there is no ${word === 'published' ? asked : word}; give a run's folder, or its catalogue.json`)
  const newest = statSync(asked).isDirectory() && !existsSync(join(asked, 'catalogue.json')) ? runsIn(asked).at(-1)?.dir : undefined
  const path = newest ?? asked
  const dir = statSync(path).isDirectory() ? path : join(path, '..')
  const read = <T>(name: string): T => {
    const file = join(dir, name)
    if (!existsSync(file)) throw new UserError(`diff: ${word} has no ${name}; npm run compat -- report ${word} writes it`)
    try {
      return JSON.parse(readFileSync(file, 'utf8')) as T
    } catch (error) {
      throw new UserError(`diff: ${file} is not JSON (${(error as Error).message})`)
    }
  }
  return { name: word, defects: read<{ defects: Defect[] }>('catalogue.json').defects, summary: read<Summary>('summary.json') }
}

export interface Difference {
  schema: 1
  added: { id: string; op: string; kind: string; backends: string[] }[]
  gone: Difference['added']
  changed: { id: string; op: string; what: string }[]
  /** Operation × backend cells that only one of the two executed: left out of the comparison. */
  notCompared: { onlyA: number; onlyB: number }
}

/** A known defect that a run did not reach is no news; one that is listed as fixed is gone. */
export function difference(a: Side, b: Side): Difference {
  const cells = (s: Side) => new Set(s.summary.cells.filter(c => c.trials > 0).map(c => `${c.op} ${c.backend}`))
  const [ca, cb] = [cells(a), cells(b)]
  const both = (d: Defect) => d.backends.filter(x => ca.has(`${d.op} ${x}`) && cb.has(`${d.op} ${x}`))
  const brief = (d: Defect) => ({ id: d.id, op: d.op, kind: d.kind, backends: both(d) })
  const live = (s: Side) => new Map(s.defects.filter(d => d.status !== 'fixed' && d.status !== 'not-reached').map(d => [d.id, d]))
  const unreached = (s: Side) => new Set(s.defects.filter(d => d.status === 'not-reached').map(d => d.id))
  const [inA, inB] = [live(a), live(b)]
  const [notA, notB] = [unreached(a), unreached(b)]
  const changed: Difference['changed'] = []
  for (const [id, d] of inB) {
    const old = inA.get(id)
    if (!old) continue
    const say = (what: string, x: string, y: string) => x !== y && changed.push({ id, op: d.op, what: `${what}: ${x || 'none'} → ${y || 'none'}` })
    say('backends', both(old).join(', '), both(d).join(', '))
    say('kind', old.kind, d.kind)
  }
  return {
    schema: 1,
    added: [...inB.values()].filter(d => !inA.has(d.id) && !notA.has(d.id) && both(d).length).map(brief),
    gone: [...inA.values()].filter(d => !inB.has(d.id) && !notB.has(d.id) && both(d).length).map(brief),
    changed,
    notCompared: { onlyA: [...ca].filter(c => !cb.has(c)).length, onlyB: [...cb].filter(c => !ca.has(c)).length },
  }
}

export const compareRuns = (a: string, b: string): Difference => difference(side(a), side(b))
export async function diffCommand(a: string, b: string, json: boolean): Promise<number> {
  const d = compareRuns(a, b)
  const out = (text: string) => process.stdout.write(`${text}\n`)
  if (json) out(JSON.stringify(d))
  else {
    for (const x of d.added) out(`new      ${x.id}  ${x.op} ${x.kind} on ${x.backends.join(', ')}`)
    for (const x of d.gone) out(`gone     ${x.id}  ${x.op} ${x.kind} on ${x.backends.join(', ')}`)
    for (const x of d.changed) out(`changed  ${x.id}  ${x.op} ${x.what}`)
    out(
      `${d.added.length} new, ${d.gone.length} gone, ${d.changed.length} changed; cells that only one of the two ran, left out: ${d.notCompared.onlyA} of ${a}, ${d.notCompared.onlyB} of ${b}`,
    )
  }
  return d.added.length || d.gone.length || d.changed.length ? 1 : 0
}
