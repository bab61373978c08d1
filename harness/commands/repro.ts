/** `repro <id> --as html|node|md`: a defect as a page, a script or an issue text that needs no opcompat. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { recentRuns } from '../cache.ts'
import { type KnownDefect, readKnown } from '../catalogue.ts'
import { fileError, UserError } from '../errors.ts'
import { loadOps } from '../ops.ts'
import { htmlForm, markdownForm, nodeForm } from '../repro/forms.ts'
import { materialOf } from '../repro/material.ts'
import { ROOT } from '../version.ts'

/** An entry of the catalogue, else a defect of the newest run on this machine that has it. */
export function findDefect(id: string): KnownDefect {
  const known = readKnown().find(d => d.id === id)
  if (known) return known
  const runs = join(ROOT, 'reports', 'runs')
  const here = existsSync(runs)
    ? readdirSync(runs)
        .sort()
        .reverse()
        .map(d => join(runs, d))
    : []
  for (const dir of [...recentRuns(), ...here]) {
    const path = join(dir, 'catalogue.json')
    if (!existsSync(path)) continue
    const found = (JSON.parse(readFileSync(path, 'utf8')) as { defects: KnownDefect[] }).defects.find(d => d.id === id)
    if (found) return found
  }
  throw new UserError(`no catalogue entry and no run on this machine has ${id}; npm run compat -- catalogue show lists the entries`)
}

const FORMS = { html: htmlForm, node: nodeForm, md: markdownForm }
export async function reproCommand(id: string, flags: { as?: string; out?: string }): Promise<number> {
  const form = FORMS[(flags.as ?? 'md') as keyof typeof FORMS]
  if (!form) throw new UserError(`--as ${flags.as}: give html, node or md`)
  const defect = findDefect(id)
  const op = (await loadOps()).get(defect.op)
  if (!op) throw new UserError(`repro ${id}: this version has no operation ${defect.op}`)
  const text = form(await materialOf(defect, op))
  if (!flags.out) process.stdout.write(text)
  else
    try {
      writeFileSync(flags.out, text)
    } catch (error) {
      throw fileError('cannot write', flags.out, error)
    }
  return 0
}
