/** `npm run bench -- harness`: how much of the CPU time is the runtimes' own, where the rest goes, and trials per second. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadBackends, selectBackends } from '../harness/backends.ts'
import { childScript } from '../harness/bundle.ts'
import { childHost } from '../harness/hosts/child.ts'
import { openJournal } from '../harness/journal.ts'
import { loadOps } from '../harness/ops.ts'
import { integer, selectOps, words } from '../harness/options.ts'
import { caseOf, type Planned, planned } from '../harness/plan.ts'
import { runPlan } from '../harness/run.ts'

export interface HarnessFlags {
  json?: boolean
  cases?: string
  ops?: string
  backends?: string
  seed?: string
}
const FOUR = 'ort-cpu,ortweb-wasm,tfjs-cpu,tfjs-wasm'
/** At most so many walks over the plan. */
const PASSES = 6
const cpuMs = () => {
  const u = process.cpuUsage()
  return (u.user + u.system) / 1000
}

export async function harnessCommand(flags: HarnessFlags): Promise<number> {
  const ops = selectOps(await loadOps(), flags.ops ?? 'conv,max-pool,average-pool,resize,nms')
  const { backends } = selectBackends(await loadBackends(), words(flags.backends ?? FOUR))
  const cases = integer('--cases', flags.cases, 250, 10, 1_000_000)
  const seed = integer('--seed', flags.seed, 1, 0, 2 ** 31 - 1)
  const dir = mkdtempSync(join(tmpdir(), 'opcompat-bench-'))
  try {
    const whole = await straightLine(ops, backends, cases, seed, dir)
    const bare: { name: string; trials: number; bareMs: number; countedMs: number }[] = []
    for (const b of backends) {
      process.stderr.write(`bare loop: ${b.name}\n`)
      bare.push({
        name: b.name,
        ...(await bareLoop(
          b.name,
          ops.map(o => o.name),
          cases,
          seed,
        )),
      })
    }
    const sum = (pick: (b: (typeof bare)[number]) => number) => bare.reduce((n, b) => n + pick(b), 0)
    const result = {
      schema: 1,
      runtimeShare: whole.insideCpuMs / whole.cpuMs,
      // the bare loops at the speed seen in this run, for as many trials, on as many cores as the harness used
      wallShare: Math.min(1, whole.insideMs / (whole.wallMs * Math.min(2, backends.length))),
      callRatio: sum(b => b.bareMs) / sum(b => b.countedMs),
      trialsPerSecond: (whole.trials * 1000) / whole.wallMs,
      trials: whole.trials,
      cpu: { runtimesMs: whole.insideCpuMs, childrenMs: whole.childrenMs, parentMs: whole.parentMs },
      backends: whole.backends,
      bare,
    }
    if (flags.json) process.stdout.write(`${JSON.stringify(result)}\n`)
    else {
      const ms = (v: number) => `${(v / Math.max(1, whole.trials)).toFixed(3)} ms a trial`
      process.stdout.write(
        `${whole.trials} trials, ${result.trialsPerSecond.toFixed(0)} a second\nCPU inside the runtimes' calls  ${ms(whole.insideCpuMs)}\nCPU of the children besides     ${ms(whole.childrenMs - whole.insideCpuMs)}\nCPU of the parent               ${ms(whole.parentMs)}\nshare of the runtimes           ${(100 * result.runtimeShare).toFixed(1)} % of all CPU time; wall ${(100 * result.wallShare).toFixed(1)} %\nbare call / counted call        ${result.callRatio.toFixed(3)}\n`,
      )
      for (const b of whole.backends)
        process.stdout.write(
          `  ${b.name.padEnd(14)} ${String(b.trials).padStart(6)} trials   inside ${(b.insideCpuMs / Math.max(1, b.trials)).toFixed(3)} ms, besides ${((b.cpuMs - b.insideCpuMs) / Math.max(1, b.trials)).toFixed(3)} ms\n`,
        )
    }
    return 0
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

/** The whole line over all backends, runtimes at one thread; CPU time of every Node process from the first trial to the last. */
async function straightLine(
  ops: Parameters<typeof caseOf>[1][],
  backends: Awaited<ReturnType<typeof loadBackends>>,
  cases: number,
  seed: number,
  dir: string,
) {
  const single = backends.map(b => ({ ...b, modes: b.modes.filter(m => m !== 'threads') }))
  const hosts = single.map(b => childHost(b, {}))
  const dialects = new Map(backends.map(b => [b.name, b.dialect]))
  const cache = new Map<number, Planned>()
  // What kills a host costs the start of a runtime, not work of the harness, and some such calls only spoil memory for later ones: the first pass finds their
  // paths, the next ones go without these.
  const deadly = new Set<string>()
  // valid cases only: refused ones cost the making of errors, not kernels
  const at = (s: number): Planned | null => {
    let known = cache.get(s)
    if (!known) {
      const op = { ...ops[s % ops.length]!, invalid: undefined }
      const k = Math.floor(s / ops.length)
      const p = planned(op, caseOf(seed, op, k), k)
      known = { ...p, offered: dialect => p.offered(dialect).filter(l => !('path' in l) || !deadly.has(`${dialect} ${op.name} ${l.path}`)) }
      cache.set(s, known)
    }
    return known
  }
  try {
    for (const h of hosts) {
      const s = await h.start()
      if ('notRun' in s) throw new Error(`${h.backend.name}: ${s.notRun}`)
    }
    const journal = openJournal(join(dir, 'journal.jsonl'))
    let trials = 0
    const per = new Map<string, number>()
    const run = (length: number) =>
      runPlan({
        seed,
        length,
        sequence: at,
        everyPath: false,
        hosts,
        until: Infinity,
        stopped: () => false,
        journal: {
          ...journal,
          write: e => {
            if (['crash', 'hang', 'device-lost'].includes(e.verdict.kind) || e.spoiled)
              deadly.add(`${dialects.get(e.backend)} ${e.case.op} ${e.path}`)
            if (e.verdict.kind !== 'gap' && e.verdict.kind !== 'not-run') {
              trials++
              per.set(e.backend, (per.get(e.backend) ?? 0) + 1)
            }
            journal.write(e)
          },
        },
      })
    // Passes until hosts and parent are warm: one in which no host died (a fresh process compiles everything again), then the measured one.
    let before = hosts.map(h => ({ ...h.stats() }))
    let cpu = 0
    let wallMs = 0
    for (let pass = 0, clean = 0; pass < PASSES && clean < 2; pass++) {
      trials = 0
      per.clear()
      before = hosts.map(h => ({ ...h.stats() }))
      cpu = cpuMs()
      const start = performance.now()
      await run(ops.length * cases)
      wallMs = performance.now() - start
      clean = hosts.every((h, i) => h.stats().starts === before[i]!.starts) ? clean + 1 : 0
    }
    const parentMs = cpuMs() - cpu
    const backendsUsed = hosts.map((h, i) => {
      const s = h.stats()
      return {
        name: h.backend.name,
        trials: per.get(h.backend.name) ?? 0,
        cpuMs: s.cpuMs - before[i]!.cpuMs,
        insideCpuMs: (s.insideCpuMs ?? 0) - (before[i]!.insideCpuMs ?? 0),
        insideMs: (s.insideMs ?? 0) - (before[i]!.insideMs ?? 0),
      }
    })
    journal.close(false)
    const sum = (k: 'cpuMs' | 'insideCpuMs' | 'insideMs') => backendsUsed.reduce((n, b) => n + b[k], 0)
    return {
      trials,
      wallMs,
      parentMs,
      childrenMs: sum('cpuMs'),
      insideCpuMs: sum('insideCpuMs'),
      insideMs: sum('insideMs'),
      cpuMs: sum('cpuMs') + parentMs,
      backends: backendsUsed,
    }
  } finally {
    await Promise.all(hosts.map(h => h.close()))
  }
}

async function bareLoop(
  backend: string,
  names: string[],
  cases: number,
  seed: number,
): Promise<{ trials: number; bareMs: number; countedMs: number }> {
  const script = await childScript(
    fileURLToPath(new URL(`../harness/backends/${backend}.ts`, import.meta.url)),
    undefined,
    fileURLToPath(new URL('./harness-main.ts', import.meta.url)),
  )
  const skip: number[] = []
  for (;;) {
    const env = { ...process.env, OPCOMPAT_BENCH: JSON.stringify({ names, seed, cases: Math.min(400, cases), skip }) }
    const r = spawnSync(process.execPath, ['--no-warnings', script], { env, encoding: 'utf8', maxBuffer: 2 ** 26, timeout: 120_000 })
    const at = r.stdout.lastIndexOf('{"t')
    if (r.status !== 0 || at < 0) throw new Error(`the bare loop of ${backend} failed: ${r.stderr.slice(-300)}`)
    const said = JSON.parse(r.stdout.slice(at)) as { trap: number } | { trials: number; bareMs: number; countedMs: number }
    if (!('trap' in said)) return said
    skip.push(said.trap)
  }
}
