/** A page backend without a runtime: doubles its input, unless the case tells it to misbehave. */

import type { Backend, Tensor } from '../../harness/types.ts'
import { ieee32 } from '../../harness/types.ts'

const never = () => new Promise<never>(() => {})
async function misbehave(deed: string): Promise<void> {
  switch (deed) {
    case 'loop':
      for (;;);
    case 'wait':
      return never()
    case 'linger':
      return new Promise(resolve => setTimeout(resolve, 1500))
    case 'throw':
      throw new Error('as told')
    case 'lose':
      throw new Error('device lost: as told')
    case 'exhaust': {
      // the renderer is started with a small heap: V8 ends it
      const kept: number[][] = []
      for (;;) kept.push(Array.from({ length: 10_000 }, (_, i) => i + kept.length))
    }
    case 'print':
      console.error('a shader did not compile, as told')
  }
}

let opened = 0
export default {
  name: 'page-misbehaves',
  dialect: 'tfjs',
  host: 'page',
  arithmetic: ieee32,
  modes: ['default', 'unopenable'],
  deviceLost: /device lost/,
  async open(mode) {
    if (mode === 'unopenable') throw new Error('no such mode here')
    opened++
    return {
      identity: { runtime: 'none', opened: String(opened) },
      async run(form, [x]) {
        if (form.deed) await misbehave(form.deed)
        return [{ ...x!, data: Float32Array.from(x!.data as Float32Array, v => 2 * v) } satisfies Tensor]
      },
      async close() {},
    }
  },
} satisfies Backend
