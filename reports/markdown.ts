/** report.md: the matrix, what did not run, and every defect with its smallest case and replay command. */
import { rank } from '../harness/backends.ts'
import { type Cell, causesIn, failures, type Mark, markOf } from '../harness/summary.ts'
import { bySeverity } from '../harness/terminal.ts'
import { type Defect, describe } from '../harness/triage.ts'
import type { Reported } from './write.ts'

const WORDS: Record<Mark, string> = { right: '✓', imprecise: '◐', wrong: '●', crashes: '✱', refuses: '△', gap: '–', 'not-run': '·' }
const cell = (s: string) => s.replace(/\|/g, '\\|').replace(/\n/g, ' ')
const code = (s: string) => `\`${s.replace(/`/g, 'ʼ')}\``

export function markdown({ run, summary, defects }: Reported): string {
  const out: string[] = []
  const cells = new Map(summary.cells.map(c => [`${c.op} ${c.backend}`, c]))
  const names = summary.backends.map(b => b.name).sort((a, b) => rank(a) - rank(b))
  const ran = summary.backends.filter(b => b.status !== 'not-run')
  const trials = summary.backends.reduce((n, b) => n + b.trials, 0)
  out.push(`# opcompat ${run.version}: ${run.name}`, '')
  out.push(
    `Seed ${run.seed}, ${run.ops.length || 'external'} operations, ${ran.length} of ${summary.backends.length} backends, ${trials.toLocaleString('en')} trials; ${summary.ended === 'clean' ? 'ended as planned' : summary.ended === 'interrupted' ? '**interrupted**' : '**killed: rebuilt from the journal**'}.`,
    '',
  )
  if (run.shards?.missing.length) out.push(`**Missing: shard ${run.shards.missing.join(', ')} of ${run.shards.of}**; its cases were not run.`, '')
  if (run.shards?.cut.length) out.push(`**Ended early: shard ${run.shards.cut.join(', ')} of ${run.shards.of}**; what it had written is in.`, '')
  if (summary.corruptLines.length) out.push(`Journal lines that could not be read: ${summary.corruptLines.join(', ')}.`, '')
  out.push('✓ right · ◐ less precise · ● wrong · ✱ crashes · △ refuses · – cannot be said · · not run. Numbers: causes.', '')
  out.push(`| operation | ${names.join(' | ')} |`, `|---|${names.map(() => '---').join('|')}|`)
  for (const op of [...new Set(summary.cells.map(c => c.op))])
    out.push(
      `| ${op} | ${names
        .map(b => {
          const causes = causesIn(defects, op, [b])
          return `${WORDS[markOf(cells.get(`${op} ${b}`), causes)]}${causes.length ? ` ${causes.length}` : ''}`
        })
        .join(' | ')} |`,
    )
  out.push('', '## Backends', '', '| backend | status | cases | trials | runtime |', '|---|---|---|---|---|')
  for (const b of summary.backends)
    out.push(
      `| ${b.name} | ${b.status}${b.reason ? `: ${cell(b.reason)}` : ''}${b.enable ? ` (${code(b.enable)})` : ''} | ${b.cases} | ${b.trials} | ${cell(
        Object.entries(b.identity)
          .map(([k, v]) => `${k} ${v}`)
          .join(', '),
      )} |`,
    )
  out.push(
    '',
    '## What was compared',
    '',
    '| operation | backend | trials | agree | failing | convention | trap | gap | not compared | not run | worst error/bound |',
    '|---|---|---|---|---|---|---|---|---|---|---|',
  )
  for (const c of summary.cells) out.push(`| ${row(c).join(' | ')} |`)
  out.push('', `## Defects (${defects.length})`, '')
  for (const d of [...defects].sort(bySeverity)) out.push(...defect(d))
  return `${out.join('\n')}\n`
}

function row(c: Cell): (string | number)[] {
  return [
    c.op,
    c.backend,
    c.trials,
    c.agree,
    failures(c),
    c.findings.convention ?? 0,
    c.findings.trap ?? 0,
    c.findings.gap ?? 0,
    c.notCompared,
    c.notRun,
    c.worst === null ? '' : c.worst.toFixed(2),
  ]
}

const list = (t: NonNullable<Defect['observed']>[number] | undefined) => {
  if (!t) return 'nothing'
  const v = t.values
    ? t.values.length > 24
      ? `${t.values.slice(0, 24).join(' ')} … (${t.values.length} values)`
      : t.values.join(' ')
    : `hash ${t.hash}`
  return `${t.dtype} [${t.shape}] ${v}`
}
const checked = (d: Defect): string => {
  const c = d.rule.checked
  return c ? ` On fresh cases ${c.inside.right} of ${c.inside.of} inside fail, ${c.outside.right} of ${c.outside.of} just outside do not.` : ''
}
function defect(d: Defect): string[] {
  const e = d.element
  return [
    `### ${d.id} · ${d.op} ${d.kind} on ${d.backends.join(', ')}`,
    '',
    `${d.status}; ${d.hits} trial${d.hits === 1 ? '' : 's'}; paths ${d.paths.join(', ')}; modes ${d.modes.join(', ')}. ${cell(d.because)}`,
    '',
    ...(d.rule.support ? [`When: ${code(d.rule.text)}.${checked(d)}`, ''] : []),
    ...(d.instead ? [`The output is ${d.instead.sentence}.`, ''] : []),
    ...(d.recipe ? [`Way around: ${d.recipe.text}.`, ''] : []),
    ...(d.reach.length
      ? [
          `Layers of real models like this: ${d.reach
            .slice(0, 6)
            .map(r => `${r.model} (${r.layers})`)
            .join(', ')}${d.reach.length > 6 ? ` and ${d.reach.length - 6} more models` : ''}.`,
          '',
        ]
      : []),
    `Smallest case${d.shrunk ? '' : ' (not made smaller)'}: ${code(describe(d.case))}`,
    '',
    ...(d.observed?.length ? [`Expected ${code(list(d.expected?.[e?.output ?? 0]))}, observed ${code(list(d.observed[e?.output ?? 0]))}.`, ''] : []),
    ...(e ? [`First wrong element [${e.index}]: expected ${e.expected}, observed ${e.observed}, allowed error ${e.allowed ?? 0}.`, ''] : []),
    code(d.replay),
    '',
  ]
}
