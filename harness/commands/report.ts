/** `report <run>`: everything again from the journal, also after a kill. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { writeReports } from '../../reports/write.ts'
import { UserError } from '../errors.ts'
import { ink, matrix } from '../terminal.ts'

export async function reportCommand(dir: string, flags: { json?: boolean; history?: string }): Promise<number> {
  if (flags.history !== undefined && !existsSync(flags.history)) throw new UserError(`report: there is no ${flags.history} to take the history from`)
  const { summary, defects } = await writeReports(resolve(dir), flags.history)
  if (flags.json) process.stdout.write(`${JSON.stringify(summary)}\n`)
  else {
    const c = ink(!process.env.NO_COLOR && !!process.stdout.isTTY)
    process.stdout.write(`${matrix(summary, c).join('\n')}\n\n${defects.length} defects; written to ${resolve(dir)}\n`)
    if (summary.corruptLines.length)
      process.stdout.write(`journal lines that could not be read and were left out: ${summary.corruptLines.join(', ')}\n`)
  }
  return 0
}
