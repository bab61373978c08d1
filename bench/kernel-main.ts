/** The benchmark's process: holds kernels of one backend in one mode and runs bursts of them as it is asked. Time is taken here, around the call and its read-back. */
import { Worker } from 'node:worker_threads'
import { Bench } from 'tinybench'
import { lowerings } from '../harness/lower.ts'
import { checksum, realise } from '../harness/tensor.ts'
import type { Backend, Case, Op, Tensor } from '../harness/types.ts'
import { messageOf } from '../harness/worker.ts'
import type { Held, Holding } from './held-onnx.ts'
import { holdTfjs } from './held-tfjs.ts'

export type Ask =
  | { do: 'open'; id: string; case: Case; path: string; outputs: boolean; warmMs: number; warmCalls: number }
  | { do: 'burst'; id: string; k: number }
  | { do: 'drop'; id: string }
  | { do: 'memory' }
export interface Warm {
  createMs: number
  firstMs: number
  /** Fastest of the warm-up's calls. */
  callMs: number
  checksum: number
  outputBytes: number
  outputs?: readonly (Tensor | null)[]
}

/** A kernel that never returns would outlive a parent that was killed. */
function dieWithParent(): void {
  const watch = new Worker(`const p = ${process.ppid}; setInterval(() => { if (process.ppid !== p) process.kill(process.pid, 'SIGKILL') }, 1000)`, {
    eval: true,
  })
  watch.unref()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
  process.on('disconnect', () => process.exit(0))
}

export async function serve(backend: Backend, list: readonly Op[]): Promise<void> {
  dieWithParent()
  const ops = new Map(list.map(op => [op.name, op]))
  const { mode, delay } = JSON.parse(process.env['OPCOMPAT_BENCH_SIDE']!) as { mode: string; delay: number }
  const held = new Map<string, { kernel: Held; bursts: Map<number, Bench> }>()
  let opened: Holding
  try {
    opened = (await backend.open(mode)) as Holding
  } catch (error) {
    process.send!({ failed: messageOf(error) })
    return
  }

  /** The timestamps of a burst in order (tinybench hands its samples out sorted). */
  const stamps: number[] = []
  const now = () => {
    const t = performance.now()
    stamps.push(t)
    return t
  }
  const spin = (since: number) => {
    const until = performance.now() + (performance.now() - since) * delay
    while (performance.now() < until);
  }
  async function open(m: Extract<Ask, { do: 'open' }>): Promise<Warm> {
    const op = ops.get(m.case.op)!
    const way = lowerings(op, m.case, m.case, backend.dialect).find(l => 'path' in l && l.path === m.path)
    if (!way || !('path' in way)) throw new Error(`${m.case.op} has no path ${m.path} for this layer`)
    const { form } = way
    const tensors = m.case.inputs.map(s => (s ? realise(s) : null))
    const sum = m.outputs ? checksum(tensors) : 0
    const inputs = form.prepare ? form.prepare(tensors) : tensors
    const start = performance.now()
    const kernel = await (opened.hold ? opened.hold(form, inputs) : holdTfjs(opened, form, inputs))
    const created = performance.now()
    await kernel.call()
    const first = performance.now()
    const raw = m.outputs ? await kernel.outputs() : undefined
    let callMs = Infinity
    const warmed = performance.now()
    for (let n = 0; n < m.warmCalls || performance.now() - warmed < m.warmMs; n++) {
      const s = performance.now()
      await kernel.call()
      callMs = Math.min(callMs, performance.now() - s)
    }
    held.set(m.id, { kernel, bursts: new Map() })
    const outputs = raw && form.finish ? form.finish(raw as Tensor[]) : raw
    return {
      createMs: created - start,
      firstMs: first - created,
      callMs,
      checksum: sum,
      outputBytes: (raw ?? []).reduce((n: number, t) => n + (t?.data.byteLength ?? 0), 0),
      ...(outputs ? { outputs } : {}),
    }
  }
  async function burst(m: Extract<Ask, { do: 'burst' }>) {
    const h = held.get(m.id)
    if (!h) throw new Error('the kernel is not open in this process')
    const { kernel } = h
    let bench = h.bursts.get(m.k)
    if (!bench) {
      bench = new Bench({ time: 0, iterations: m.k, warmup: false, throws: true, now })
      const call = delay
        ? async () => {
            const since = performance.now()
            await kernel.call()
            spin(since)
          }
        : async () => {
            await kernel.call()
          }
      bench.add('call', call, { async: true })
      h.bursts.set(m.k, bench)
    }
    await kernel.call() // untimed: what the neighbours left in the caches
    const [task] = bench.tasks
    task!.reset()
    stamps.length = 0
    const before = process.resourceUsage()
    await task!.run()
    const after = process.resourceUsage()
    const times = Array.from({ length: m.k }, (_, i) => stamps[2 * i + 1]! - stamps[2 * i]!)
    if (stamps.length !== 2 * m.k) throw new Error(`tinybench took ${stamps.length} timestamps for ${m.k} calls`)
    return {
      times,
      cpuMs: (after.userCPUTime + after.systemCPUTime - before.userCPUTime - before.systemCPUTime) / 1000,
      switches: after.involuntaryContextSwitches - before.involuntaryContextSwitches,
      faults: after.minorPageFault + after.majorPageFault - before.minorPageFault - before.majorPageFault,
    }
  }
  async function answer(m: Ask): Promise<unknown> {
    switch (m.do) {
      case 'open':
        return open(m)
      case 'burst':
        return burst(m)
      case 'drop':
        await held.get(m.id)?.kernel.release()
        held.delete(m.id)
        return null
      case 'memory': {
        const told = opened.memory?.() ?? {}
        return { rss: process.memoryUsage.rss(), runtime: told['numBytesInGPU'] ?? told['numBytes'] ?? null }
      }
      default:
        return m satisfies never
    }
  }
  process.on('message', async (m: Ask) => {
    try {
      process.send!({ answer: await answer(m) })
    } catch (error) {
      process.send!({ failed: messageOf(error) })
    }
  })
  process.send!({ answer: opened.identity })
}
