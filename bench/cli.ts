/** `npm run bench`: kernels and the harness itself. Method: bench/README.md. */
import { Command, CommanderError } from 'commander'
import { UserError } from '../harness/errors.ts'

let code = 0
const measured = (c: Command): Command =>
  c
    .option('--ops <names>', 'operations, names and globs')
    .option('--layers <n>', 'layers an operation, spread over their costs')
    .option('--match <pattern>', 'only layers whose name or source matches this regular expression')
    .option('--launches <n>', 'fresh processes a side: a number, or least..most until half of the interval is within 3 % (5..14)')
    .option('--visits <n>', 'visits a launch (6)')
    .option('--budget <time>', 'wall time, e.g. 60s or 10m: dear layers are left out, then visits, then launches')
    .option('--allocator <which>', 'tuned: output buffers are kept (glibc); default: as users run it', 'tuned')
    .option('--seed <n>', 'seed of the order')
    .option('--json', 'one JSON document on stdout, progress on stderr')

const program = new Command('bench')
  .description('time kernels on the layers of real models, and the harness itself')
  .exitOverride()
  .enablePositionalOptions()
measured(program)
  .option('--backends <names>', 'backends in Node, names, globs and groups (default: ort-cpu,ortweb-wasm,tfjs-cpu,tfjs-wasm)')
  .option('--modes <names>', "modes, e.g. all,threads (default: each backend's first)")
  .option('--paths <names>', 'ways of saying the operation: names, globs, or all (default: the one that people deploy)')
  .option('--sweeps', 'one parameter at a time instead of layers of models')
  .option('--out <dir>', 'writes bench.json, bursts.jsonl and the plots there')
  .option('--force', 'replace the benchmark in --out')
  .addHelpText(
    'after',
    '\nExamples:\n  npm run bench -- --ops conv,resize,nms --backends ort-cpu,tfjs-wasm --budget 3m --out bench-a\n  npm run bench -- compare bench-a bench-b --fail-on slower\n  npm run bench -- ab ort-cpu:all ort-cpu:disabled --ops conv\n  npm run bench -- aa --delay 10%',
  )
  .action(async flags => {
    code = await (await import('./kernels.ts')).kernelsCommand(flags)
  })
measured(program.command('aa'))
  .description('identical sides, and one that is delayed: how often the method is wrong here')
  .option('--backends <names>', 'backends in Node (default: ort-cpu,ortweb-wasm,tfjs-cpu,tfjs-wasm)')
  .option('--delay <percent>', 'a third side whose calls are longer by this much')
  .option('--cells <n>', 'at least this many cells (44)')
  .action(async flags => {
    code = await (await import('./pairs.ts')).aaCommand(flags)
  })
measured(program.command('ab <a> <b>'))
  .description('two sides interleaved: backend[:mode][%allocator][+folder with node_modules of another version]')
  .option('--fail-on <verdict>', 'exit 1 where b is `slower` than a')
  .action(async (a, b, flags) => {
    code = await (await import('./pairs.ts')).abCommand(a, b, flags)
  })
program
  .command('compare <a> <b>')
  .description('two stored runs: faster, slower, the same, or unresolved (then `ab` decides)')
  .option('--fail-on <verdict>', 'exit 1 where b is `slower` than a')
  .option('--json', 'as JSON')
  .action(async (a, b, flags) => {
    code = await (await import('./compare.ts')).compareCommand(a, b, flags)
  })
program
  .command('growth')
  .description('time and memory against trials, tensor size and journal length')
  .option('--most <n>', 'largest number of trials (default 8000)')
  .option('--json', 'as JSON')
  .option('--out <dir>', 'writes growth.json and growth.svg there')
  .action(async flags => {
    code = await (await import('./growth.ts')).growthCommand(flags)
  })
program
  .command('harness')
  .description('share of the CPU time that the runtimes themselves use, and trials per second')
  .option('--json', 'as JSON')
  .option('--cases <n>', 'cases per operation (default 250)')
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
