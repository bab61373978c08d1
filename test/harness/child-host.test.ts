/** The child host: every Node backend computes right in every mode, and whatever a child does costs one job. */
import { spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, test } from 'vitest'
import { loadBackends } from '../../harness/backends.ts'
import { type ChildOptions, childHost } from '../../harness/hosts/child.ts'
import type { Host, Job } from '../../harness/hosts/host.ts'
import { numbers } from '../../harness/tensor.ts'
import type { Backend, Outcome } from '../../harness/types.ts'
import misbehaves from '../chaos/child-misbehaves.ts'

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url))
const ops = [here('../chaos/page-op.ts')]
const linux = process.platform === 'linux'

const open: Host[] = []
afterEach(async () => {
  for (const host of open.splice(0)) await host.close()
})
function hostOf(backend: Backend, options: ChildOptions = {}): Host {
  const host = childHost(backend, { ops, ...options })
  open.push(host)
  return host
}
const chaosHost = (options: ChildOptions = {}) => hostOf(misbehaves, { file: here('../chaos/child-misbehaves.ts'), ...options })

/** Job i doubles [1, 2, 3, i]. */
const job = (deed: string, i: number, mode: string): Job => ({
  case: {
    id: `c-${i}`,
    op: 'double',
    attributes: deed ? { deed } : {},
    inputs: [{ dtype: 'float32', shape: [1, 4], recipe: { kind: 'values', values: [1, 2, 3, i] } }],
  },
  path: 'add',
  mode,
})
async function run(
  host: Host,
  deeds: readonly string[],
  { mode = host.backend.modes[0]!, deadlineMs = 20_000, seen = (_: number) => {} } = {},
): Promise<Outcome[]> {
  const outcomes: Outcome[] = []
  await host.run(
    deeds.map((deed, i) => job(deed, i, mode)),
    deadlineMs,
    (i, outcome) => {
      expect(i).toBe(outcomes.length) // each once, in order
      outcomes.push(outcome)
      seen(i)
    },
  )
  expect(outcomes).toHaveLength(deeds.length)
  return outcomes
}
/** `right`, or what happened instead. */
function told(outcome: Outcome, i: number): string {
  if (outcome.status === 'died') return `died: ${outcome.how}`
  if (outcome.status !== 'outputs') return outcome.status
  const [y] = outcome.outputs
  return String(y && numbers(y)) === String([2, 4, 6, 2 * i]) && String(y!.shape) === '1,4' && y!.dtype === 'float32' ? 'right' : 'other outputs'
}

/** Living processes below `root`, from /proc. */
function descendants(root: number): number[] {
  const all = readdirSync('/proc').flatMap(name => {
    try {
      const stat = readFileSync(`/proc/${Number(name)}/stat`, 'latin1')
      const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      return state === 'Z' ? [] : [{ pid: Number(name), parent: Number(parent) }]
    } catch {
      return []
    }
  })
  const below = (pid: number): number[] => all.filter(p => p.parent === pid).flatMap(p => [p.pid, ...below(p.pid)])
  return below(root)
}
const living = (pid: number): boolean => {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return false
  }
}
const children = () =>
  descendants(process.pid).filter(pid => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('scripts')
    } catch {
      return false
    }
  })

describe('every Node backend in every mode', async () => {
  const backends = (await loadBackends()).filter(b => b.host === 'child')
  test.each(backends.map(b => [b.name, b] as const))('%s', async (_, backend) => {
    const host = hostOf(backend)
    const start = await host.start()
    if ('notRun' in start && start.enable) return // not installed here: it says how to change that
    expect(start).toMatchObject({ identity: { package: expect.any(String), version: expect.stringMatching(/^\d/) } })
    for (const mode of backend.modes) expect((await run(host, ['', ''], { mode })).map(told), mode).toEqual(['right', 'right'])
    const starts = backend.environment ? backend.modes.length : 1 // a process for each mode
    expect(host.stats()).toMatchObject({ starts, cpuMs: expect.any(Number), rssBytes: expect.any(Number) })
    expect(host.stats().insideCpuMs!).toBeLessThanOrEqual(host.stats().cpuMs)
  })
})

describe('a child that misbehaves costs one job', () => {
  /** The guilty job between two that are right before it and two after it. */
  const around = async (deed: string, options: ChildOptions = {}, deadlineMs = 20_000): Promise<[string, Outcome]> => {
    const outcomes = await run(chaosHost(options), ['', '', deed, '', ''], { deadlineMs })
    const all = outcomes.map(told)
    expect([all[0], all[1], all[3], all[4]], deed).toEqual(['right', 'right', 'right', 'right'])
    return [all[2]!, outcomes[2]!]
  }

  test.each([
    ['segfault', 'died: SIGSEGV'],
    ['abort', 'died: SIGABRT'],
    ['exit', 'died: exit 3'],
    ['throw', 'threw'],
    ['noise', 'right'],
    ['flood', 'right'],
    ['twice', 'right'],
    ['strangers', 'right'],
    ['stray', 'right'],
    ['closure', 'threw'],
    ['shape', 'other outputs'],
    ['dtype', 'other outputs'],
    ['scribble', 'died: SIGKILL'],
  ])('%s: %s', async (deed, expected) => {
    expect((await around(deed))[0]).toBe(expected)
  })

  test.each(['loop', 'native', 'wait', 'late'])('%s: hung', async deed => {
    const [status, outcome] = await around(deed, {}, 1000)
    expect(status).toBe('hung')
    expect(outcome).toMatchObject({ afterMs: 1000 })
  })

  test('a leak ends at the heap limit', async () => {
    const [status] = await around('exhaust', { nodeArgs: ['--max-old-space-size=64'] })
    expect(status).toBe('out-of-memory')
  })

  test('one batch with everything in it', async () => {
    const deeds = ['', 'segfault', 'exit', '', 'wait', 'noise', 'twice', 'abort', '', 'throw', 'loop', '']
    const host = chaosHost()
    expect((await run(host, deeds, { deadlineMs: 1500 })).map(told)).toEqual([
      'right',
      'died: SIGSEGV',
      'died: exit 3',
      'right',
      'hung',
      'right',
      'right',
      'died: SIGABRT',
      'right',
      'threw',
      'hung',
      'right',
    ])
    expect((await run(host, ['', ''])).map(told)).toEqual(['right', 'right'])
  })

  test('modes that cannot be opened are not run, and blame no operation', async () => {
    const host = chaosHost()
    const [refused] = await run(host, [''], { mode: 'unopenable' })
    expect(refused).toMatchObject({ status: 'not-run', reason: expect.stringContaining('no such mode here') })
    expect((await run(host, ['', ''], { mode: 'deadly' })).map(o => o.status)).toEqual(['not-run', 'not-run'])
    expect((await run(host, ['', ''])).map(told)).toEqual(['right', 'right'])
  })

  test('a host that was restarted, or grew too large, goes on in a fresh process', async () => {
    const host = chaosHost({ maxRss: 1 })
    for (let i = 0; i < 3; i++) expect((await run(host, ['', ''])).map(told)).toEqual(['right', 'right'])
    expect(host.stats().starts).toBe(3)
    await host.restart()
    expect((await run(host, [''])).map(told)).toEqual(['right'])
    expect(host.stats().starts).toBe(4)
    // one that has run nothing is a fresh process already
    const idle = chaosHost()
    await idle.start()
    await idle.restart()
    expect((await run(idle, [''])).map(told)).toEqual(['right'])
    expect(idle.stats().starts).toBe(1)
  })

  test('a backend whose package is absent says so', async () => {
    const start = await hostOf(misbehaves, { file: here('../chaos/child-absent.ts') }).start()
    expect(start).toMatchObject({ notRun: expect.stringContaining('no-such-runtime'), enable: 'npm install no-such-runtime' })
  })

  test.runIf(linux)('Ctrl-C and the end of a time limit reach the child too, and change nothing', async () => {
    const outcomes = await run(chaosHost(), ['', 'linger', ''], {
      seen: i => {
        if (i === 0) for (const pid of children()) for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.kill(pid, signal)
      },
    })
    expect(outcomes.map(told)).toEqual(['right', 'right', 'right'])
  })

  test.runIf(linux)('killed from outside', async () => {
    const outcomes = await run(chaosHost(), ['', 'linger', ''], {
      seen: i => {
        if (i === 0) for (const pid of children()) process.kill(pid, 'SIGKILL')
      },
    })
    expect(outcomes.map(told)).toEqual(['right', 'died: SIGKILL', 'right'])
  })

  test.runIf(linux)('nothing is left when the parent is killed, even while the child loops', async () => {
    const parent = spawn(process.execPath, ['--import', 'tsx', here('../chaos/child-orphan.ts')], { stdio: ['ignore', 'pipe', 'inherit'] })
    const said = await new Promise<Buffer>(resolve => parent.stdout.once('data', resolve))
    expect(String(said).trim()).toBe('ready')
    await sleep(500) // the loop begins
    const below = descendants(parent.pid!)
    expect(below.length).toBeGreaterThan(0)
    parent.kill('SIGKILL')
    for (let i = 0; i < 50 && below.some(living); i++) await sleep(100)
    expect(below.filter(living)).toEqual([])
  })
})
