/** `npm run bench`: kernels and the harness itself. Method: bench/README.md. */
import { Command, CommanderError } from 'commander'
import { UserError } from '../harness/errors.ts'

const program = new Command('bench').description('time kernels, and the harness itself').exitOverride()
let code = 0
program
  .command('harness')
  .description('share of the CPU time that the runtimes themselves use, and trials per second')
  .option('--json', 'as JSON')
  .option('--cases <n>', 'cases per operation (default 400)')
  .option('--ops <names>', 'operations (default: conv, max-pool, average-pool, resize, nms)')
  .option('--backends <names>', 'CPU backends in Node')
  .option('--seed <n>', 'seed of the cases')
  .action(async flags => {
    code = await (await import('./harness.ts')).harnessCommand(flags)
  })

try {
  await program.parseAsync(process.argv)
} catch (error) {
  if (error instanceof CommanderError) code = error.exitCode === 0 ? 0 : 2
  else {
    process.stderr.write(`bench: ${error instanceof UserError ? error.message : `an error of ours: ${(error as Error)?.message ?? error}`}\n`)
    code = 2
  }
}
process.exitCode = code
