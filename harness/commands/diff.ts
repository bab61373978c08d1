/** `diff <a> <b>`: what is new, gone or changed between two runs; only what both really executed is compared. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { UserError } from '../errors.ts'
import type { Summary } from '../summary.ts'
import type { Defect } from '../triage.ts'

interface Side {
  name: string
  defects: Defect[]
  summary: Summary
}
/** A run's folder, its catalogue.json, or `published`: the newest under reports/published. */
function side(word: string): Side {
  const published = resolve('reports/published')
  const path = word === 'published' && existsSync(published) ? join(published, readdirSync(published).sort().at(-1) ?? '') : resolve(word)
  if (!existsSync(path)) throw new UserError(`diff: there is no ${word}; give a run's folder, or its catalogue.json`)
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

export function difference(a: Side, b: Side): Difference {
  const cells = (s: Side) => new Set(s.summary.cells.filter(c => c.trials > 0).map(c => `${c.op} ${c.backend}`))
  const [ca, cb] = [cells(a), cells(b)]
  const both = (d: Defect) => d.backends.filter(x => ca.has(`${d.op} ${x}`) && cb.has(`${d.op} ${x}`))
  const brief = (d: Defect) => ({ id: d.id, op: d.op, kind: d.kind, backends: both(d) })
  const inA = new Map(a.defects.map(d => [d.id, d]))
  const inB = new Map(b.defects.map(d => [d.id, d]))
  const changed: Difference['changed'] = []
  for (const [id, d] of inB) {
    const old = inA.get(id)
    if (!old) continue
    const [x, y] = [both(old).join(', '), both(d).join(', ')]
    if (x !== y) changed.push({ id, op: d.op, what: `backends: ${x || 'none'} → ${y || 'none'}` })
  }
  return {
    schema: 1,
    added: b.defects.filter(d => !inA.has(d.id) && both(d).length).map(brief),
    gone: a.defects.filter(d => !inB.has(d.id) && both(d).length).map(brief),
    changed,
    notCompared: { onlyA: [...ca].filter(c => !cb.has(c)).length, onlyB: [...cb].filter(c => !ca.has(c)).length },
  }
}

export async function diffCommand(a: string, b: string, json: boolean): Promise<number> {
  const d = difference(side(a), side(b))
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
