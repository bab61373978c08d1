/** Every report of a run, rebuilt from its folder: the journal and run.json go in, catalogue, summary and pages come out. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadBackends } from '../harness/backends.ts'
import { contextOf, knownOf } from '../harness/context.ts'
import { fileError, UserError } from '../harness/errors.ts'
import { readJournal } from '../harness/journal.ts'
import { loadOps } from '../harness/ops.ts'
import { replayToken } from '../harness/replay-token.ts'
import { type RunFile, type Summary, summarise } from '../harness/summary.ts'
import { type Defect, defects as findDefects } from '../harness/triage.ts'
import { badge, badgeSvg } from './badge.ts'
import { pageData, readBench } from './data.ts'
import { gatherHistory, readHistory } from './history.ts'
import { html } from './html.ts'
import { junit } from './junit.ts'
import { markdown } from './markdown.ts'

export interface Reported {
  run: RunFile
  summary: Summary
  defects: Defect[]
}

export function readRun(dir: string): RunFile {
  const path = join(dir, 'run.json')
  if (!existsSync(path)) throw new UserError(`${dir} holds no run (no run.json); give the folder that a run wrote`)
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as RunFile
  } catch (error) {
    throw fileError('cannot read', path, error)
  }
}

/** Jobs before an unstable trial that its replay command carries; longer histories stay in the journal. */
const CARRIED = 8
/** Times differ from run to run and from shard to shard: the catalogue is the same without them, and the pages show them. */
function timeless(d: Defect): Defect {
  if (!d.recipe || d.recipe.cost === null || d.recipe.cost === undefined) return d
  return { ...d, recipe: { ...d.recipe, cost: null, text: d.recipe.text.replace(/[;,]? ?takes [\d.]+ × the time/, '') } }
}

/** @param historyFolder copies the summaries of earlier runs below this folder first; without it the run's own history.json counts */
export async function writeReports(dir: string, historyFolder?: string): Promise<Reported> {
  const run = readRun(dir)
  if (historyFolder) gatherHistory(dir, run, historyFolder)
  const { entries, corrupt } = readJournal(join(dir, 'journal.jsonl'))
  const ops = await loadOps()
  const defects = findDefects(
    entries,
    (c, way, past) => `npm run compat -- replay ${replayToken(c, way, past && past.after.length <= CARRIED ? past : undefined)}`,
    contextOf(ops, knownOf(dir)),
  )
  const summary = summarise(run, entries, defects, corrupt)
  const write = (name: string, text: string) => {
    try {
      writeFileSync(join(dir, name), text)
    } catch (error) {
      throw fileError('cannot write', join(dir, name), error)
    }
  }
  const reported = { run, summary, defects }
  write('catalogue.json', `${JSON.stringify({ schema: 1, plan: run.plan, defects: defects.map(timeless) }, null, 1)}\n`)
  write('summary.json', `${JSON.stringify(summary, null, 1)}\n`)
  write('report.md', markdown(reported))
  write('junit.xml', junit(reported))
  write('badge.json', `${JSON.stringify(badge(reported))}\n`)
  write('badge.svg', badgeSvg(badge(reported)))
  const known = { ops, arithmetic: new Map((await loadBackends()).map(b => [b.name, b.arithmetic])) }
  write('report.html', await html(pageData(run, summary, defects, entries, readHistory(dir), readBench(dir), known)))
  return reported
}
