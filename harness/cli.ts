/** The command line: one thin layer over harness/commands. Bad usage and our own errors are one sentence and exit code 2. */
import { Command, CommanderError } from 'commander'
import { UserError } from './errors.ts'
import type { RunFlags } from './options.ts'
import { VERSION } from './version.ts'

const program = new Command('opcompat')
  .description('Does an operation run on a backend of ONNX Runtime or TensorFlow.js, is it right, and if not, when exactly?')
  .version(VERSION)
  .showHelpAfterError(false)
  .showSuggestionAfterError(true)
  .exitOverride()
  .configureOutput({ writeErr: text => process.stderr.write(text) })

let code = 0
const does = (work: () => Promise<number>) => async () => {
  code = await work()
}

program
  .command('run', { isDefault: true })
  .description('generate cases, run them on every backend, judge, make failures small, write the reports (default)')
  .option('--ops <names>', 'operations: names and globs, comma-separated (default: all)')
  .option('--backends <names>', 'names, globs or groups: all, node, browser, ort, ortweb, tfjs, onnx, gpu; with --from also expected (default: all)')
  .option('--cases <n>', 'cases per operation; alone: no time limit, the same journal every time (default 600)')
  .option('--budget <time>', 'time limit such as 90s, 10m, 2h (default 3m)')
  .option('--seed <n>', 'seed of the plan (default 1)')
  .option('--out <dir>', 'folder of the run (default reports/runs/<date>-<n>)')
  .option('--force', 'replace the run that --out holds')
  .option(
    '--shard <i/n>',
    'only every n-th case, beginning with the i-th; auto reads it from GitHub, GitLab, CircleCI, Buildkite, Kubernetes or Slurm',
  )
  .option('--from <file>', 'run external cases from a JSON Lines file (may be gzipped) instead of generated ones')
  .option('--shrink', 'with --from: make failing cases smaller, too')
  .option('--config <file>', 'the same options as JSON (default: opcompat.config.json where it exists)')
  .option('--with <packages>', 'other versions of the runtimes, e.g. onnxruntime-web@1.23.2 (comma-separated; installed into the cache)')
  .option('--list', 'list operations and backends, run nothing')
  .option('--json', 'the summary as one JSON document on stdout')
  .option('--no-color', 'no colour')
  .action((flags: RunFlags) => does(async () => (await import('./commands/run.ts')).runCommand(flags))())

program
  .command('doctor')
  .description('which backends run here, and what would enable the others')
  .option('--with <packages>', 'other versions of the runtimes, e.g. onnxruntime-web@1.23.2 (comma-separated; installed into the cache)')
  .option('--backends <names>', 'names, globs or groups')
  .option('--json', 'as JSON')
  .action(flags => does(async () => (await import('./commands/doctor.ts')).doctorCommand(flags))())

program
  .command('replay <case>')
  .description('one case again: an id that a report printed, a file, or JSON; exit code 1 if it still fails')
  .option('--backends <names>', 'where to run it')
  .option('--path <name>', 'only this path')
  .option('--with <packages>', 'other versions of the runtimes, e.g. onnxruntime-web@1.23.2 (comma-separated; installed into the cache)')
  .option('--mode <name>', 'in this mode')
  .option('--json', 'as JSON')
  .action((what, flags) => does(async () => (await import('./commands/replay.ts')).replayCommand(what, flags))())

program
  .command('report <run>')
  .description('write every report of a run folder again from its journal')
  .option('--history <dir>', 'copy the summaries of earlier runs below this folder into the run first')
  .option('--json', 'the summary as JSON')
  .action((dir, flags) => does(async () => (await import('./commands/report.ts')).reportCommand(dir, flags))())

program
  .command('calibrate')
  .description('the judge on trial: honest simulated backends raise no alarm, lying ones are caught')
  .option('--cases <n>', 'cases per operation (default 2000)')
  .option('--ops <names>', 'only these operations')
  .option('--seed <n>', 'seed of the cases')
  .option('--out <file>', 'where the figures go (default reports/calibration.json)')
  .action(flags => does(async () => (await import('./commands/calibrate.ts')).calibrateCommand(flags))())

program
  .command('merge <runs...>')
  .description('the shards of one plan as one run, with every report')
  .option('--out <dir>', 'folder of the merged run')
  .option('--force', 'replace the run that --out holds')
  .option('--json', 'the summary as JSON')
  .action((runs, flags) => does(async () => (await import('./commands/merge.ts')).mergeCommand(runs, flags))())

program
  .command('diff <a> <b>')
  .description('new, gone and changed defects between two runs (folders, or `published`); exit code 1 if something differs')
  .option('--json', 'as JSON')
  .action((a, b, flags) => does(async () => (await import('./commands/diff.ts')).diffCommand(a, b, !!flags.json))())

program
  .command('setup [what...]')
  .description('native runtimes into the cache: tfjs-node, tfjs-node-gpu, ort-cuda, browser or all')
  .option('--dry-run', 'say what would be fetched and how big it is')
  .option('--check', 'test what is there: every file, then a first operation')
  .option('--tensorflow <version>', 'for tfjs-node-gpu: 2.9.1 (CUDA 11) or 2.18.1 (CUDA 12); default: what fits the GPU')
  .action((what, flags) => does(async () => (await import('./commands/setup.ts')).setupCommand(what, flags))())

program
  .command('nightly [step]')
  .description('the nightly job: plan (seed and shards for a CI), finish (merge, history, diff, issues, publish); --local plays a whole night here')
  .option('--local', 'shards as processes, one of them killed and started again, then everything that finish does')
  .option('--shards <n>', 'how many shards (default 8; --local 2)')
  .option('--from <dir>', 'finish: the folder that holds the folders of the shards')
  .option('--site <dir>', 'folder of the published site, with the runs before this one')
  .option('--out <dir>', 'working folder (default reports/runs/nightly)')
  .option('--name <name>', 'name of the night (default: today)')
  .option('--seed <n>', 'seed of the plan (default: today as yyyymmdd)')
  .option('--cases <n>', '--local: cases per operation')
  .option('--ops <names>', '--local: operations')
  .option('--backends <names>', '--local: backends')
  .option('--issues', 'finish: open, update and close issues by GITHUB_TOKEN and GITHUB_REPOSITORY; without it they are written to files only')
  .option('--json', 'as JSON')
  .action((step, flags) => does(async () => (await import('./commands/nightly.ts')).nightlyCommand(step, flags))())

program
  .command('coverage [run]')
  .description('what the generators draw: cases sayable in each dialect, paths, pairs of attribute values; with a run also what was run and judged')
  .option('--ops <names>', 'only these operations')
  .option('--cases <n>', 'cases per operation (default 300)')
  .option('--seed <n>', 'seed of the cases')
  .option('--json', 'as JSON')
  .action((run, flags) => does(async () => (await import('./commands/coverage.ts')).coverageCommand(run, flags))())

program
  .command('repro <id>')
  .description('a defect as a page, a Node script or an issue text that needs no opcompat')
  .option('--as <form>', 'html, node or md (default md)')
  .option('--out <file>', 'write it there instead of printing it')
  .action((id, flags) => does(async () => (await import('./commands/repro.ts')).reproCommand(id, flags))())

program
  .command('bisect <id>')
  .description('in which published version of its npm package a defect came or went')
  .option('--last <n>', 'how many minor versions back (default 12)')
  .option('--json', 'as JSON')
  .action((id, flags) => does(async () => (await import('./commands/bisect.ts')).bisectCommand(id, flags))())

const catalogue = program
  .command('catalogue')
  .description('the known defects: show, update from a run, verify on this machine, measure the clustering')
catalogue
  .command('show [ids...]', { isDefault: true })
  .description('the entries')
  .option('--json', 'as JSON')
  .action((ids, flags) => does(async () => (await import('./commands/catalogue.ts')).catalogueShow(ids, !!flags.json))())
catalogue
  .command('update <run>')
  .description('takes what a run found into reports/known')
  .action(run => does(async () => (await import('./commands/catalogue.ts')).catalogueUpdate(run))())
catalogue
  .command('verify [ids...]')
  .description('replays the smallest case of every entry; exit code 1 if one changed')
  .option('--with <packages>', 'other versions of the runtimes, e.g. onnxruntime-web@1.23.2 (comma-separated; installed into the cache)')
  .option('--json', 'as JSON')
  .action((ids, flags) => does(async () => (await import('./commands/catalogue.ts')).catalogueVerify(ids, !!flags.json))())
catalogue
  .command('measure')
  .description('homogeneity and completeness of the clustering over the known defects in corpora/')
  .option('--run <dir>', 'the defects of this run instead of the catalogue')
  .option('--json', 'as JSON')
  .action(flags => does(async () => (await import('./commands/measure.ts')).catalogueMeasure(flags))())

program.hook('preAction', async (_, command) => {
  const { with: specs } = command.opts() as { with?: string }
  if (specs) await (await import('./versions.ts')).runWith(specs.split(',').map(s => s.trim()))
})

try {
  await program.parseAsync(process.argv)
} catch (error) {
  if (error instanceof CommanderError) code = error.exitCode === 0 ? 0 : 2
  else if (error instanceof UserError) {
    process.stderr.write(`opcompat: ${error.message}\n`)
    code = 2
  } else {
    process.stderr.write(
      `opcompat: an error of ours: ${(error as Error)?.message ?? error}\n  (OPCOMPAT_DEBUG=1 shows where; please report it with the command)\n`,
    )
    if (process.env.OPCOMPAT_DEBUG) process.stderr.write(`${(error as Error)?.stack}\n`)
    code = 2
  }
}
process.exitCode = code
