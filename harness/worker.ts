/** Runs jobs on an opened backend; the same code in a Node child and in a browser's worker. Frameworks stay behind `backend.open`. */
import type { Job } from './hosts/host.ts'
import { canonical, lowerings } from './lower.ts'
import { checksum, numbers, realise, toJson64 } from './tensor.ts'
import type { Again, Backend, Case, Json64, Op, Opened, Outcome, Repeat, Tensor } from './types.ts'

export function messageOf(error: unknown): string {
  if (error instanceof Error) return error.message || error.name
  return typeof error === 'string' ? error : String((error as { message?: unknown })?.message ?? error)
}

/** Thrown by a backend whose runtime ran an operation elsewhere without saying so. */
export class FellBack extends Error {
  constructor(readonly to: string) {
    super(`ran on ${to}`)
  }
}

/** Outputs of an unexpected rank cannot be converted: they are judged as they are (`shape`). */
function finish(
  convert: ((outputs: readonly any[]) => readonly (Tensor | null)[]) | undefined,
  raw: readonly (Tensor | null)[],
): readonly (Tensor | null)[] {
  if (!convert) return raw
  try {
    return convert(raw)
  } catch {
    return raw
  }
}

const made = (c: Pick<Case, 'inputs'>): (Tensor | null)[] => c.inputs.map(s => (s ? realise(s) : null))

const NAMED = 64
/** What a second call gave otherwise (−0 as 0, any NaN as any other); undefined: nothing. */
function repeat(first: readonly (Tensor | null)[], second: readonly (Tensor | null)[] | { threw: string }): Repeat | undefined {
  if ('threw' in second) return { instead: `throws: ${second.threw}` }
  const differs: [number, number, Json64, Json64][] = []
  for (const [j, x] of first.entries()) {
    const y = second[j]
    if (!x && !y) continue
    if (x?.dtype !== y?.dtype || String(x?.shape) !== String(y?.shape) || x?.data.length !== y?.data.length)
      return { instead: 'gives another shape or type' }
    const [u, v] = [x!.data, y!.data]
    for (let i = 0; i < u.length; i++)
      if (u[i] !== v[i] && !(u[i] !== u[i] && v[i] !== v[i])) {
        const value = (t: Tensor) => toJson64(numbers({ ...t, data: t.data.slice(i, i + 1) })[0]!)
        if (differs.length < NAMED) differs.push([j, i, value(x!), value(y!)])
      }
  }
  return differs.length ? { differs } : undefined
}

export function worker(
  backend: Backend,
  ops: ReadonlyMap<string, Op>,
  now: () => number = () => performance.now(),
  /** Counts the time inside the runtime's own calls. */
  inside?: { ms: number },
) {
  const opened = new Map<string, Promise<Opened>>()
  /** What all ways of a case share. */
  interface Known {
    read: ReturnType<typeof canonical>
    offered: ReturnType<typeof lowerings>
    inputs: (Tensor | null)[]
    /** Of the case as the reference reads it, so that both sides know that they speak of the same numbers. */
    sum: number
  }
  const ways = new WeakMap<Case, Known>()
  async function open(mode: string): Promise<Opened> {
    const known = opened.get(mode)
    if (known) return known
    if (backend.exclusiveModes) {
      for (const other of opened.values()) await (await other).close()
      opened.clear()
    }
    const fresh = backend.open(mode)
    opened.set(mode, fresh)
    return fresh
  }
  /** Runtimes whose memory a trap has spoiled. */
  const spoilt = new Set<Opened>()
  async function run(job: Job): Promise<Outcome> {
    const { case: c, path, mode, reuse, renewed } = job
    const op = ops.get(c.op)
    if (!op) return { status: 'not-run', reason: `no operation ${c.op}` }
    const runtime = await open(mode)
    const trappedBefore = spoilt.delete(runtime)
    if (renewed || trappedBefore)
      try {
        await runtime.renew?.(trappedBefore)
      } catch (error) {
        return { status: 'died', how: 'trap', message: `the runtime cannot be renewed: ${messageOf(error)}` }
      }
    /** A trap is this case's own if it happens in a renewed runtime too. */
    const trapped = (how: string, message: string): Outcome | Promise<Outcome> => {
      if (!runtime.renew) return { status: 'died', how, message }
      spoilt.add(runtime)
      return renewed ? { status: 'died', how, message, alive: true } : run({ ...job, renewed: true })
    }
    // the trials of one case stand in one message, which keeps the case one object
    let known = ways.get(c)
    if (!known) {
      const read = canonical(op, c)
      const inputs = made('declined' in read ? c : read)
      ways.set(c, (known = { read, offered: lowerings(op, c, read, backend.dialect), inputs, sum: checksum(inputs) }))
    }
    const { read, offered, sum } = known
    const way = offered.find(l => 'path' in l && l.path === path)
    if (!way || !('path' in way)) return { status: 'not-run', reason: `${c.op} has no path ${path} for this case` }
    const { form } = way
    // a runtime may write into what it is given: every trial has a copy
    let inputs = 'nodes' in form && c.operator && read !== c ? made(c) : known.inputs.map(t => t && { ...t, data: t.data.slice() as Tensor['data'] })
    if (form.prepare) inputs = form.prepare(inputs)
    const prepared = runtime.prepare?.(form, inputs)
    const start = now()
    const spent = (): number => {
      const ms = now() - start
      if (inside) inside.ms += ms
      return ms
    }
    try {
      let second: Parameters<Again>[0] | undefined
      const raw = await runtime.run(form, inputs, prepared, reuse, x => {
        second = x
      })
      const ms = spent()
      const outputs = finish(form.finish, raw)
      if (second && 'threw' in second && backend.trap?.test(second.threw)) return await trapped('trap in a second call', second.threw)
      const again = second && repeat(outputs, 'threw' in second ? second : finish(form.finish, second))
      return { status: 'outputs', outputs, checksum: sum, ms, ...(again ? { again } : {}) }
    } catch (error) {
      const message = messageOf(error)
      const ms = spent()
      if (error instanceof FellBack) return { status: 'fell-back', to: error.to }
      if (backend.trap?.test(message)) return trapped('trap', message)
      if (backend.deviceLost?.test(message)) return { status: 'device-lost', message }
      if (/out of memory|bad_alloc|Array buffer allocation failed|Cannot enlarge memory|OutOfMemory/i.test(message))
        return { status: 'out-of-memory', message }
      return { status: 'threw', message, ms }
    }
  }
  return {
    open,
    run,
    close: async () => {
      for (const o of opened.values()) await (await o).close()
    },
  }
}
