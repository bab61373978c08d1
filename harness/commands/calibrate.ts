/** `npm run calibrate`: the judge on trial, over every operation; writes the figures and a page. */
import { writeFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { calibrate, type Trialled } from '../calibrate.ts'
import { fileError } from '../errors.ts'
import { makeFolder } from '../files.ts'
import { loadOps } from '../ops.ts'
import { integer, selectOps } from '../options.ts'

export async function calibrateCommand(flags: { cases?: string; out?: string; ops?: string; seed?: string }): Promise<number> {
  const cases = integer('--cases', flags.cases, 2000, 1, 1_000_000)
  const seed = integer('--seed', flags.seed, 20261125, 0, 2 ** 31 - 1)
  const ops = selectOps(await loadOps(), flags.ops)
  const out = resolve(flags.out ?? 'reports/calibration.json')
  const results: Trialled[] = []
  for (const op of ops) {
    const start = Date.now()
    const r = calibrate(op, cases, seed)
    results.push(r)
    process.stderr.write(
      `${op.name.padEnd(22)} ${String(r.honest).padStart(7)} honest, ${r.falseAlarms} false alarms; ${r.caught} of ${r.lies} lies caught${r.survivors.length ? ` (survived: ${r.survivors.join(', ')})` : ''}; worst error/bound ${r.worst?.toFixed(3) ?? '–'}  ${((Date.now() - start) / 1000).toFixed(1)} s\n`,
    )
    for (const a of r.alarms)
      process.stderr.write(
        `    false alarm, ${a.machine}: ${a.because}\n      ${JSON.stringify({ op: a.case.op, attributes: a.case.attributes, inputs: a.case.inputs }).slice(0, 600)}\n`,
      )
  }
  try {
    makeFolder(dirname(out))
    writeFileSync(out, `${JSON.stringify({ schema: 1, cases, seed, ops: results.map(({ alarms: _, ...r }) => r) }, null, 1)}\n`)
    writeFileSync(out.replace(/\.json$/, '.md'), page(results, cases))
  } catch (error) {
    throw fileError('cannot write', out, error)
  }
  const sum = (pick: (r: Trialled) => number) => results.reduce((n, r) => n + pick(r), 0)
  process.stdout.write(
    `${results.length} operations, ${sum(r => r.honest)} honest outputs, ${sum(r => r.falseAlarms)} false alarms, ${sum(r => r.caught)} of ${sum(r => r.lies)} lies caught; ${out}\n`,
  )
  return results.every(r => r.falseAlarms === 0 && r.caught === r.lies) ? 0 : 1
}

function page(results: readonly Trialled[], cases: number): string {
  const rows = results.map(
    r =>
      `| ${r.op} | ${r.honest} | ${r.falseAlarms} | ${r.caught} of ${r.lies} | ${r.worst === null ? 'exact' : r.worst.toFixed(3)} | ${r.survivors.join(', ')} |`,
  )
  const lies = results.flatMap(r => Object.entries(r.told).map(([name, t]) => `| ${r.op} | ${name} | ${t.cases} | ${t.first ?? 'never'} |`))
  return `# The judge on trial

${cases} cases an operation. Honest simulated backends (summation orders, FMA, pairwise and blocked sums, reciprocals, one-pass variance, rough elementary functions, flushed subnormals,
shader rounding, tf32, bf16 and f16 inputs, f16 accumulation) must raise no alarm above their rung; every lie must be caught within 500 cases.

| operation | honest outputs | false alarms | lies caught | worst error/bound (float32) | survived |
|---|---|---|---|---|---|
${rows.join('\n')}

## Every lie

| operation | lie | cases on which it could be told | first caught at case |
|---|---|---|---|
${lies.join('\n')}
`
}
