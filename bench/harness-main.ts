/**
 * One backend, the same cases twice in one process: as the harness runs them, and in a bare loop over prepared calls. The ratio of the two times says
 * whether work of the harness hides inside what is counted as the runtime's.
 */
import type { Job } from '../harness/hosts/host.ts'
import { canonical, lowerings } from '../harness/lower.ts'
import { caseOf } from '../harness/plan.ts'
import { realise } from '../harness/tensor.ts'
import type { Backend, Op } from '../harness/types.ts'
import { messageOf, worker } from '../harness/worker.ts'

const CHUNK = 16

export async function serve(backend: Backend, list: readonly Op[]): Promise<void> {
  const { names, seed, cases, skip } = JSON.parse(process.env.OPCOMPAT_BENCH!) as { names: string[]; seed: number; cases: number; skip: number[] }
  const ops = new Map(list.map(op => [op.name, op]))
  const inside = { ms: 0 }
  const w = worker(backend, ops, undefined, inside)
  const mode = backend.modes[0]!
  const opened = await w.open(mode)
  const jobs: { job: Job; bare: () => Promise<unknown> }[] = []
  for (let k = 0; jobs.length < cases && k < 4 * cases; k++) {
    if (skip.includes(k)) continue
    const op = ops.get(names[k % names.length]!)!
    const c = caseOf(seed, op, Math.floor(k / names.length))
    if (c.valid === false) continue
    const way = lowerings(op, c, canonical(op, c), backend.dialect).find(l => 'path' in l && !('naive' in l))
    if (!way || !('path' in way)) continue
    // refused cases throw before the kernel runs: they would measure the making of errors
    const tensors = c.inputs.map(s => (s ? realise(s) : null))
    const inputs = way.form.prepare ? way.form.prepare(tensors) : tensors
    const prepared = opened.prepare?.(way.form, inputs)
    try {
      await opened.run(way.form, inputs, prepared)
    } catch (error) {
      if (backend.trap?.test(messageOf(error))) {
        process.stdout.write(JSON.stringify({ trap: k })) // this process is spoiled: the parent starts another without that case
        process.exit(0)
      }
      continue
    }
    jobs.push({ job: { case: c, path: way.path, mode }, bare: () => opened.run(way.form, inputs, prepared, undefined, () => {}) })
  }
  let bareMs = 0
  inside.ms = 0
  const counted = async (chunk: typeof jobs) => {
    for (const j of chunk) await w.run(j.job)
  }
  const bare = async (chunk: typeof jobs) => {
    const start = performance.now()
    for (const j of chunk) await j.bare()
    bareMs += performance.now() - start
  }
  for (let at = 0, turn = 0; at < jobs.length; at += CHUNK, turn++) {
    const chunk = jobs.slice(at, at + CHUNK)
    for (const part of turn % 2 ? [bare, counted] : [counted, bare]) await part(chunk)
  }
  process.stdout.write(JSON.stringify({ trials: jobs.length, bareMs, countedMs: inside.ms }))
  process.exit(0)
}
