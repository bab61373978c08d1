/** The page host: every page backend computes one job right, and whatever a page does costs one job. */
import { spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, test } from 'vitest'
import { loadBackends } from '../../harness/backends.ts'
import type { Host, Job } from '../../harness/hosts/host.ts'
import { type PageOptions, pageHost } from '../../harness/hosts/page.ts'
import { pack, unpack } from '../../harness/hosts/page-wire.ts'
import { numbers } from '../../harness/tensor.ts'
import type { Backend, Outcome } from '../../harness/types.ts'
import misbehaves from '../chaos/page-misbehaves.ts'

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url))
const ops = [here('../chaos/page-op.ts')]
const linux = process.platform === 'linux'

const open: Host[] = []
afterEach(async () => {
  for (const host of open.splice(0)) await host.close()
})
function hostOf(backend: Backend, options: PageOptions = {}): Host {
  const host = pageHost(backend, { ops, ...options })
  open.push(host)
  return host
}
/** A small heap, so that a renderer that exhausts it dies soon. */
const chaosHost = () => hostOf(misbehaves, { file: here('../chaos/page-misbehaves.ts'), flags: ['--js-flags=--max-old-space-size=64'] })

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
  if (outcome.status !== 'outputs') return outcome.status
  const [y] = outcome.outputs
  return String(y && numbers(y)) === String([2, 4, 6, 2 * i]) && String(y!.shape) === '1,4' ? 'right' : `wrong: ${y && numbers(y)}`
}

interface Found {
  pid: number
  parent: number
  command: string
}
/** Processes below `root`, from /proc. */
function descendants(root: number): Found[] {
  const all = readdirSync('/proc').flatMap(name => {
    try {
      const stat = readFileSync(`/proc/${Number(name)}/stat`, 'latin1')
      const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      return state === 'Z' ? [] : [{ pid: Number(name), parent: Number(parent), command: readFileSync(`/proc/${name}/cmdline`, 'latin1') }]
    } catch {
      return []
    }
  })
  const below = (pid: number): Found[] => all.filter(p => p.parent === pid).flatMap(p => [p, ...below(p.pid)])
  return below(root)
}
const isGpu = (p: Found) => p.command.includes('--type=gpu-process')
const isBrowser = (p: Found) => p.command.includes('--remote-debugging-pipe') && !p.command.includes('--type=')
function killOwn(which: (p: Found) => boolean): void {
  for (const p of descendants(process.pid).filter(which)) process.kill(p.pid, 'SIGKILL')
}

describe('the wire', () => {
  test('tensors of every dtype keep their bits', () => {
    const outputs = [
      { dtype: 'float32', shape: [3], data: Float32Array.of(Number.NaN, -0, 1) },
      { dtype: 'float64', shape: [1], data: Float64Array.of(0.1) },
      { dtype: 'float16', shape: [1], data: Uint16Array.of(0x7e01) },
      { dtype: 'int64', shape: [1], data: BigInt64Array.of(-(2n ** 63n)) },
      { dtype: 'bool', shape: [1], data: Uint8Array.of(1) },
      { dtype: 'int8', shape: [0, 2], data: new Int8Array(0) },
      null,
      { dtype: 'int32', shape: [], data: Int32Array.of(7) },
    ] as const
    const message = { kind: 'outcome', n: 3, outcome: { status: 'outputs', outputs, checksum: 5, ms: 0.5 } } as const
    expect(unpack(pack(message))).toEqual(message)
  })
})

describe('one job on every page backend', async () => {
  const backends = (await loadBackends()).filter(b => b.host === 'page')
  test.each(backends.map(b => [b.name, b] as const))('%s', { timeout: 60_000 }, async (_, backend) => {
    const host = hostOf(backend)
    const start = await host.start()
    expect(start).toMatchObject({ identity: { package: expect.any(String), version: expect.stringMatching(/^\d/), browser: expect.any(String) } })
    for (const mode of backend.modes) expect((await run(host, ['', ''], { mode })).map(told), mode).toEqual(['right', 'right'])
  })
})

test('without a browser nothing is run, and the way out is named', async () => {
  const host = hostOf(misbehaves, { file: here('../chaos/page-misbehaves.ts'), env: { OPCOMPAT_BROWSER: here('no-such-browser') } })
  expect(await host.start()).toMatchObject({ notRun: expect.stringContaining('no-such-browser'), enable: expect.stringContaining('npm run setup') })
  expect((await run(host, ['', ''])).map(told)).toEqual(['not-run', 'not-run'])
})

describe('a page that misbehaves costs one job', { timeout: 60_000 }, () => {
  test('throws, loops, never settles, prints, loses its device', async () => {
    const deeds = ['', 'throw', '', 'loop', '', 'wait', 'print', 'lose', '']
    const host = chaosHost()
    const outcomes = await run(host, deeds, { deadlineMs: 2000 })
    expect(outcomes.map(told)).toEqual(['right', 'threw', 'right', 'hung', 'right', 'hung', 'right', 'device-lost', 'right'])
    expect(outcomes[6]).toMatchObject({ log: 'a shader did not compile, as told' })
    expect(outcomes[8]).not.toHaveProperty('log')
    expect(host.stats().starts).toBeGreaterThan(5)
    expect((await run(host, [''], { mode: 'unopenable' }))[0]).toMatchObject({
      status: 'not-run',
      reason: expect.stringContaining('no such mode here'),
    })
  })

  test('exhausts its heap, which ends the renderer', async () => {
    const outcomes = await run(chaosHost(), ['', 'exhaust', ''])
    expect(outcomes.map(told)).toEqual(['right', 'died', 'right'])
    expect(outcomes[1]).toMatchObject({ how: 'the renderer process crashed' })
  })

  test.runIf(linux)('the GPU process dies: its job is lost, the others are right', async () => {
    const outcomes = await run(chaosHost(), ['', 'linger', '', ''], { seen: i => i === 0 && killOwn(isGpu) })
    expect(outcomes.map(told)).toEqual(['right', 'device-lost', 'right', 'right'])
  })

  test.runIf(linux)('the GPU process dies under TF.js, which would go on with wrong numbers', async () => {
    const backend = (await loadBackends()).find(b => b.name === 'tfjs-webgl')!
    const outcomes = await run(hostOf(backend), new Array<string>(32).fill(''), { seen: i => i === 3 && killOwn(isGpu) })
    expect(outcomes.map(told).filter(t => t !== 'right')).toEqual(['device-lost'])
  })

  test.runIf(linux)('the browser dies', async () => {
    const outcomes = await run(chaosHost(), ['', 'linger', ''], { seen: i => i === 0 && killOwn(isBrowser) })
    expect(outcomes.map(told)).toEqual(['right', 'died', 'right'])
  })

  test.runIf(linux)('nothing is left when the parent is killed', async () => {
    const parent = spawn(process.execPath, ['--import', 'tsx', here('../chaos/page-orphan.ts')], { stdio: ['ignore', 'pipe', 'inherit'] })
    const [said] = await new Promise<Buffer[]>(resolve => parent.stdout.once('data', (...chunks) => resolve(chunks)))
    expect(String(said).trim()).toBe('ready')
    const below = descendants(parent.pid!).filter(p => p.command.includes('--type=') || isBrowser(p))
    expect(below.length).toBeGreaterThan(2)
    parent.kill('SIGKILL')
    const left = () =>
      readdirSync('/proc').filter(
        name => below.some(p => p.pid === Number(name)) && readFileSync(`/proc/${name}/stat`, 'latin1').includes(') Z') === false,
      )
    for (let i = 0; i < 100 && left().length; i++) await sleep(100)
    expect(left()).toEqual([])
  })
})
