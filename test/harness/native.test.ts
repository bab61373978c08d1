/** Native backends: the trace that proves the device, what is in the way of a GPU, and hosts whose modes are processes. */
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it } from 'vitest'
import { telling } from '../../harness/backends/ort-cuda.ts'
import { loadBackends } from '../../harness/backends.ts'
import { elsewhere, inOneLine, readTrace, shortDevice } from '../../harness/dialects/tfjs-native.ts'
import { NotHere } from '../../harness/errors.ts'
import { childHost } from '../../harness/hosts/child.ts'
import type { Host, Job } from '../../harness/hosts/host.ts'
import { modesHost } from '../../harness/hosts/modes.ts'
import { findGpu, type Gpu, inTheWay, tensorflowFor } from '../../harness/setup/gpu.ts'
import { commitOf } from '../../harness/setup/ort.ts'
import { nativeRoot } from '../../harness/setup/site.ts'
import { placedTensorflow } from '../../harness/setup/tensorflow.ts'
import type { Backend, Outcome } from '../../harness/types.ts'

const backends = await loadBackends()
const named = (name: string) => backends.find(b => b.name === name)!

describe('the device that ran an operation', () => {
  const line = (op: string, device: string) =>
    `${op}\t/job:localhost/replica:0/task:0/device:${device}\t/job:localhost/replica:0/task:0/device:CPU:0\n`
  it('is read from the trace', () => {
    const [e] = readTrace(line('Conv2D', 'GPU:0'))
    expect([e!.operation, shortDevice(e!.device), shortDevice(e!.memory)]).toEqual(['Conv2D', 'GPU:0', 'CPU:0'])
  })
  it('one operation elsewhere is enough', () => {
    const trace = readTrace(`${line('Conv2D', 'GPU:0')}${line('NonMaxSuppressionV5', 'CPU:0')}NoOp\t-\t-\n`)
    expect(elsewhere(trace, 'GPU')).toBe('CPU:0 (NonMaxSuppressionV5)')
    expect(elsewhere(trace.slice(0, 1), 'GPU')).toBeNull()
    expect(elsewhere(trace.slice(0, 1), 'CPU')).toBe('GPU:0 (Conv2D)')
    expect(elsewhere([], 'GPU')).toBeNull()
  })
})

it("TensorFlow's own words stand in one line", () => {
  expect((inOneLine(new Error('Invalid TF_Status: 3\nMessage: indices[0] is repeated')) as Error).message).toBe(
    'Invalid TF_Status: 3: indices[0] is repeated',
  )
  const other = new Error('something else')
  expect(inOneLine(other)).toBe(other)
})

describe('what is in the way of a GPU', () => {
  const gpu: Gpu = { noDriver: null, driver: '580.65.06', devices: [{ name: 'H100', capability: '9.0' }], words: '' }
  it('every link of the chain has its own sentence', () => {
    expect(inTheWay({ ...gpu, noDriver: 'libcuda.so.1: cannot open shared object file' }, '13')).toMatchObject({
      reason: 'no NVIDIA driver: libcuda.so.1: cannot open shared object file',
      enable: expect.stringMatching(/series 580 or later .*1\.26\.0/),
    })
    expect(inTheWay({ ...gpu, driver: '535.104.05' }, '13')?.reason).toMatch(/535\.104\.05 is too old for CUDA 13/)
    expect(inTheWay({ ...gpu, driver: '535.104.05' }, '11')).toBeNull()
    expect(inTheWay({ ...gpu, devices: [], words: 'No devices were found' }, '11')?.reason).toMatch(/finds no device: No devices were found/)
    expect(inTheWay(gpu, '13')).toBeNull()
  })
  it('the TensorFlow that fits', () => {
    expect(tensorflowFor(gpu)).toBe('2.18.1')
    expect(tensorflowFor({ ...gpu, devices: [{ name: 'T4', capability: '7.5' }] })).toBe('2.9.1')
    expect(tensorflowFor({ ...gpu, devices: [] })).toBe('2.9.1')
  })
  it.runIf(findGpu().noDriver).each(['tfjs-node-gpu', 'ort-cuda'])('%s without a driver: the reason, and the next command', async name => {
    const error = await named(name).environment!(named(name).modes[0]!).catch(e => e)
    expect(error).toBeInstanceOf(NotHere)
    expect(error.message).toMatch(/no NVIDIA driver: .+/)
    expect(error.enable).toMatch(new RegExp(`driver of series \\d+ or later|npm run setup -- ${name}`))
  })
  it('the cause in a message of ONNX Runtime', () => {
    const long =
      'cuda_call.cc:154 [with ERRTYPE = cudaError] CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version ; GPU=-1 ; hostname=x'
    expect(telling(long)).toBe('CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version')
    expect(telling('Failed to load library /a/b.so with error: libcublasLt.so.13: cannot open shared object file: No such file or directory')).toBe(
      'libcublasLt.so.13: cannot open shared object file: No such file or directory',
    )
    expect(telling('something else')).toBeNull()
  })
  it('the commit of a library', () => {
    expect(commitOf(Buffer.from('\0ORT Build Info: git-branch=x, git-commit-id=f2c39fe2f, build type=Release\0'))).toBe('f2c39fe2f')
    expect(commitOf(Buffer.from('nothing'))).toBeNull()
  })
})

describe.runIf(placedTensorflow(nativeRoot(), 'tfjs-node'))('tfjs-node, where it is set up', () => {
  const file = fileURLToPath(new URL('../chaos/child-wants-gpu.ts', import.meta.url))
  const ops = [fileURLToPath(new URL('../chaos/page-op.ts', import.meta.url))]
  const inputs = [{ dtype: 'float32', shape: [1, 4], recipe: { kind: 'values', values: [1, 2, 3, 4] } }] as const
  async function double(host: Host, modes: readonly string[]): Promise<Outcome[]> {
    const outcomes: Outcome[] = []
    try {
      await host.run(
        modes.map(mode => ({ case: { id: 'c', op: 'double', attributes: {}, inputs }, path: 'add', mode })),
        20_000,
        (_, o) => outcomes.push(o),
      )
      return outcomes
    } finally {
      await host.close()
    }
  }
  it('runs the version that the package names, in both modes, each in a process of its own', async () => {
    const host = childHost(named('tfjs-node'), { ops })
    expect(await host.start()).toMatchObject({ identity: { version: '4.22.0', runtime: 'TensorFlow 2.9.1', device: 'CPU:0' } })
    const outcomes = await double(host, named('tfjs-node').modes)
    expect(outcomes.map(o => o.status === 'outputs' && [...o.outputs[0]!.data])).toEqual([
      [2, 4, 6, 8],
      [2, 4, 6, 8],
    ])
    expect(host.stats().starts).toBe(2)
  })
  it('an operation that ran on the CPU where a GPU is wanted is a fallback, never a pass', async () => {
    const { default: wants } = await import('../chaos/child-wants-gpu.ts')
    const [outcome] = await double(childHost(wants, { file, ops }), wants.modes)
    expect(outcome).toEqual({ status: 'fell-back', to: expect.stringMatching(/^CPU:0 \(Add\w*\)$/) })
  })
})

describe('modes that are processes', () => {
  const seen: string[] = []
  afterEach(() => void seen.splice(0))
  const fake = (b: Backend): Host => ({
    backend: b,
    start: async () => ({ identity: { mode: b.modes[0]! } }),
    run: async (jobs, _, done) =>
      jobs.forEach((j, i) => {
        seen.push(`${b.modes[0]}:${j.case.id}`)
        done(i, { status: 'threw', message: j.case.id, ms: 1 })
      }),
    restart: async () => void seen.push(`restart ${b.modes[0]}`),
    stats: () => ({ starts: 1, cpuMs: 2, rssBytes: 3 }),
    close: async () => void seen.push(`close ${b.modes[0]}`),
  })
  const job = (id: string, mode: string): Job => ({ case: { id, op: 'x', attributes: {}, inputs: [] }, path: 'p', mode })
  it('each job goes to its own, outcomes come in order', async () => {
    const host = modesHost({ ...named('tfjs-node') }, fake)
    expect(await host.start()).toEqual({ identity: { mode: 'onednn' } })
    const outcomes: [number, Outcome][] = []
    await host.run([job('a', 'onednn'), job('b', 'eigen'), job('c', 'eigen'), job('d', 'onednn')], 1000, (i, o) => outcomes.push([i, o]))
    expect(outcomes.map(([i, o]) => `${i}${(o as { message: string }).message}`)).toEqual(['0a', '1b', '2c', '3d'])
    expect(seen).toEqual(['onednn:a', 'eigen:b', 'eigen:c', 'onednn:d'])
    expect(host.stats()).toMatchObject({ starts: 2, cpuMs: 4, rssBytes: 6 })
    await host.close()
    expect(seen.slice(-2).sort()).toEqual(['close eigen', 'close onednn'])
  })
})
