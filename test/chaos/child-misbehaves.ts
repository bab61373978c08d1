/** A child backend without a runtime: doubles its input, unless the case tells it to misbehave. */
import { writeSync } from 'node:fs'
import { serialize } from 'node:v8'
import type { Backend, Tensor } from '../../harness/types.ts'
import { ieee32 } from '../../harness/types.ts'

const PIPE = 3
const never = () => new Promise<never>(() => {})
const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))
const forever = () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)

/** The batch in hand, as the harness sent it: only a liar looks at it. */
let batch = 0
let ids: string[] = []
function frame(message: unknown): Buffer {
  const body = serialize(message)
  const head = Buffer.alloc(4)
  head.writeUInt32LE(body.length)
  return Buffer.concat([head, body])
}
const answer = (i: number, of: number, y: Tensor) =>
  writeSync(PIPE, frame({ kind: 'end', batch: of, i, outcome: { status: 'outputs', outputs: [y], checksum: 0, ms: 0 } }))

async function misbehave(deed: string, right: Tensor): Promise<readonly Tensor[]> {
  const wrong = { ...right, data: new Float32Array(4) }
  const self = ids.indexOf(`c-${(right.data[3] as number) / 2}`)
  switch (deed) {
    case 'segfault':
      process.kill(process.pid, 'SIGSEGV')
      return never()
    case 'abort':
      process.abort()
      break
    case 'exit':
      process.exit(3)
      break
    case 'loop':
      for (;;);
    case 'native':
      forever()
      break
    case 'wait':
      return never()
    case 'late':
      await sleep(2500)
      break
    case 'linger':
      await sleep(1000)
      break
    case 'throw':
      throw new Error('as told')
    case 'exhaust': {
      const kept: number[][] = []
      for (;;) kept.push(Array.from({ length: 10_000 }, (_, i) => i + kept.length))
    }
    case 'noise':
      process.stdout.write(frame({ kind: 'end', batch, i: 0, outcome: { status: 'threw', message: 'a frame on stdout', ms: 0 } }))
      process.stdout.write(Buffer.from([255, 255, 255, 127, 0, 1]))
      process.stderr.write('{"kind":"done"}\n\0\xff')
      break
    case 'flood':
      for (let i = 0; i < 200; i++) process.stderr.write(`${'x'.repeat(20_000)}\n`)
      break
    case 'twice':
      answer(self, batch, right)
      answer(self, batch, wrong)
      break
    case 'strangers': // a job that nobody asked for, one that has not begun, one of another batch
      answer(999, batch, wrong)
      answer(self + 1, batch, wrong)
      answer(self, batch - 1, wrong)
      break
    case 'scribble':
      writeSync(PIPE, Buffer.from([8, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]))
      return never()
    case 'stray':
      Promise.reject(new Error('nobody caught this'))
      await sleep(50)
      break
    case 'closure':
      return [{ ...right, data: (() => {}) as never }]
    case 'shape':
      return [{ ...right, shape: [1, 5] }]
    case 'dtype':
      return [{ ...right, dtype: 'int32' }]
  }
  return [right]
}

export default {
  name: 'child-misbehaves',
  dialect: 'tfjs',
  host: 'child',
  arithmetic: ieee32,
  modes: ['default', 'unopenable', 'deadly'],
  async open(mode) {
    if (mode === 'unopenable') throw new Error('no such mode here')
    if (mode === 'deadly') process.exit(4)
    process.on('message', (m: { batch: number; jobs: { case: { id: string } }[] }) => {
      batch = m.batch
      ids = m.jobs.map(job => job.case.id)
    })
    return {
      identity: { runtime: 'none' },
      async run(form, [x]) {
        const right = { ...x!, data: Float32Array.from(x!.data as Float32Array, v => 2 * v) } satisfies Tensor
        return form.deed ? misbehave(form.deed, right) : [right]
      },
      async close() {},
    }
  },
} satisfies Backend
