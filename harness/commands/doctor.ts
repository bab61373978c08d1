/** `doctor`: what runs on this machine, and what would enable the rest. */
import { loadBackends, selectBackends } from '../backends.ts'
import { words } from '../options.ts'
import { slots } from '../run.ts'
import { thisSite } from '../setup/site.ts'
import { setupLines } from '../setup/targets.ts'
import { ink } from '../terminal.ts'
import { hostOf } from './run.ts'

export async function doctorCommand(flags: { backends?: string; json?: boolean }): Promise<number> {
  const { backends } = selectBackends(await loadBackends(), words(flags.backends ?? 'all'))
  const turn = slots(2)
  const rows = await Promise.all(
    backends.map(b =>
      turn(async () => {
        const host = hostOf(b)
        process.stderr.isTTY && process.stderr.write(`\r  starting ${b.name.padEnd(24)}`)
        try {
          return { name: b.name, ...(await host.start()) }
        } finally {
          await host.close()
        }
      }),
    ),
  )
  process.stderr.isTTY && process.stderr.write(`\r${' '.repeat(40)}\r`)
  const native = await setupLines(thisSite())
  if (flags.json)
    process.stdout.write(
      `${JSON.stringify({ schema: 1, node: process.version, platform: `${process.platform}-${process.arch}`, backends: rows, native })}\n`,
    )
  else {
    const c = ink(!process.env.NO_COLOR && !!process.stdout.isTTY)
    process.stdout.write(`Node ${process.version} on ${process.platform}-${process.arch}\n\n`)
    for (const r of rows) {
      if ('identity' in r)
        process.stdout.write(
          `  ${c.green('✓')} ${r.name.padEnd(22)} ${Object.entries(r.identity)
            .map(([k, v]) => `${k} ${v}`)
            .join(', ')}\n`,
        )
      else
        process.stdout.write(
          `  ${c.dim('·')} ${r.name.padEnd(22)} not run: ${r.notRun}${r.enable ? `\n    ${' '.repeat(22)} to enable: ${r.enable}` : ''}\n`,
        )
    }
    process.stdout.write('\nnative runtimes\n')
    for (const l of native) process.stdout.write(`  ${l.ready ? c.green('✓') : c.dim('·')} ${l.name.padEnd(22)} ${l.text}\n`)
  }
  return 0
}
