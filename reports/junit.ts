/** junit.xml: one test case per operation × backend, in the form that Jenkins, GitLab, Buildkite and the GitHub actions read. */
import { type Cell, failures, markOf } from '../harness/summary.ts'
import { bySeverity } from '../harness/terminal.ts'
import type { Defect } from '../harness/triage.ts'
import type { Reported } from './write.ts'

/** XML 1.0 has no control characters, escaped or not, and no lone surrogates. */
const clean = (s: string): string =>
  s
    .replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '�')
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/"/g, '&quot;')
const attribute = (s: string): string => clean(s).replace(/[\n\r\t]/g, ' ')

/** A known defect does not fail the job: it is skipped, with its reason; anything else that fails does. */
const quiet = (d: Defect): boolean => d.status === 'known' || d.status === 'not-reached'
const lines = (d: Defect): string =>
  [`${d.id} ${d.kind} (${d.status})`, `rule: ${d.rule.text}`, `${d.because}`, `replay: ${d.replay}`, ...d.links].filter(Boolean).join('\n')

export function junit({ run, summary, defects }: Reported): string {
  const out: string[] = []
  const cells = new Map(summary.cells.map(c => [`${c.op} ${c.backend}`, c]))
  const ops = [...new Set([...run.ops, ...summary.cells.map(c => c.op)])].sort()
  const on = new Map<string, Defect[]>()
  for (const d of [...defects].sort(bySeverity))
    if (d.status !== 'fixed') for (const b of d.backends) (on.get(`${d.op} ${b}`) ?? on.set(`${d.op} ${b}`, []).get(`${d.op} ${b}`)!).push(d)
  const total = { tests: 0, failures: 0, skipped: 0 }
  for (const b of summary.backends) {
    const body: string[] = []
    const count = { tests: 0, failures: 0, skipped: 0 }
    for (const op of ops) {
      const cell = cells.get(`${op} ${b.name}`)
      const found = on.get(`${op} ${b.name}`) ?? []
      const loud = found.filter(d => !quiet(d))
      const why = loud.length ? null : skipped(cell, found, b.reason)
      count.tests++
      body.push(`    <testcase classname="${attribute(b.name)}" name="${attribute(op)}" time="0">`)
      for (const d of loud)
        body.push(
          `      <failure type="${attribute(d.kind)}" message="${attribute(`${d.op} ${d.kind} on ${d.backends.join(', ')}: ${d.rule.text}`)}">${clean(lines(d))}</failure>`,
        )
      if (!loud.length && why === null && cell && failures(cell))
        body.push(`      <failure type="unexplained" message="${failures(cell)} failing trials that belong to no defect"/>`)
      if (loud.length || (why === null && cell && failures(cell))) count.failures++
      if (why !== null) {
        count.skipped++
        body.push(`      <skipped message="${attribute(why)}"/>`)
      }
      if (cell)
        body.push(
          `      <system-out>${clean(counts(cell))}${found
            .filter(quiet)
            .map(d => `\n\n${clean(lines(d))}`)
            .join('')}</system-out>`,
        )
      body.push('    </testcase>')
    }
    for (const k of ['tests', 'failures', 'skipped'] as const) total[k] += count[k]
    out.push(
      `  <testsuite name="${attribute(b.name)}" tests="${count.tests}" failures="${count.failures}" errors="0" skipped="${count.skipped}" time="0">`,
      '    <properties>',
      ...Object.entries(b.identity).map(([k, v]) => `      <property name="${attribute(k)}" value="${attribute(String(v))}"/>`),
      `      <property name="status" value="${attribute(b.status)}"/>`,
      '    </properties>',
      ...body,
      '  </testsuite>',
    )
  }
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="${attribute(`opcompat ${run.version} ${run.name}`)}" tests="${total.tests}" failures="${total.failures}" errors="0" skipped="${total.skipped}" time="0">`,
    ...out,
    '</testsuites>',
    '',
  ].join('\n')
}

/** Why a test case counts as skipped; null: it passed, or fails. */
function skipped(cell: Cell | undefined, found: readonly Defect[], reason: string | undefined): string | null {
  if (found.length) return `known: ${found.map(d => `${d.id} ${d.kind} (${d.rule.text})`).join('; ')}`
  if (!cell) return `not run${reason ? `: ${reason}` : ''}`
  const mark = markOf(cell)
  if (mark === 'gap') return 'cannot be said on this backend'
  if (mark === 'not-run') return cell.notCompared ? 'nothing could be compared' : 'not run'
  return null
}
const counts = (c: Cell): string =>
  `${c.trials} trials: ${c.agree} agree, ${failures(c)} failing, ${c.notCompared} not compared, ${c.findings.convention ?? 0} conventions, ${c.findings.trap ?? 0} traps; ${c.findings.gap ?? 0} cannot be said, ${c.notRun} not run`
