/** `report <run>`: everything again from the journal, also after a kill. */
import { resolve } from 'node:path'
import { writeReports } from '../../reports/write.ts'
import { ink, matrix } from '../terminal.ts'

export async function reportCommand(dir: string, json: boolean): Promise<number> {
  const { summary, defects } = await writeReports(resolve(dir))
  if (json) process.stdout.write(`${JSON.stringify(summary)}\n`)
  else {
    const c = ink(!process.env.NO_COLOR && !!process.stdout.isTTY)
    process.stdout.write(`${matrix(summary, c).join('\n')}\n\n${defects.length} defects; written to ${resolve(dir)}\n`)
    if (summary.corruptLines.length)
      process.stdout.write(`journal lines that could not be read and were left out: ${summary.corruptLines.join(', ')}\n`)
  }
  return 0
}
