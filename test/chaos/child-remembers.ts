/** A child backend that doubles its input, and whose modes remember in different ways what ran before: each is one lie about history. */
import type { Backend, Reuse, Tensor } from '../../harness/types.ts'
import { ieee32 } from '../../harness/types.ts'

const double = (x: Tensor): Tensor => ({ ...x, data: Float32Array.from(x.data as Float32Array, v => 2 * v) })
const spoilt = (y: Tensor, v: number): Tensor => ({ ...y, data: (y.data as Float32Array).map((w, i) => (i === 0 ? v : w)) })

/** Shared by all modes, as a runtime's memory is. */
let calls = 0
let poisoned = false
let widest = 0

function answer(mode: string, x: Tensor, reuse?: Reuse): Tensor {
  const right = double(x)
  calls++
  const stale = poisoned
  poisoned ||= [...(x.data as Float32Array)].some(Number.isNaN)
  const wider = widest > x.data.length
  widest = Math.max(widest, x.data.length)
  switch (mode) {
    case 'stale-after-nan':
      return stale ? spoilt(right, Number.NaN) : right
    case 'every-third':
      return calls % 3 === 0 ? spoilt(right, -1) : right
    case 'buffer-of-the-widest':
      return wider ? spoilt(right, widest) : right
    case 'session':
      return reuse === 'other' ? spoilt(right, -2) : right
    case 'uninitialised':
      return spoilt(right, process.pid)
    case 'open':
      return { ...right, data: (right.data as Float32Array).map((v, i) => (i === 1 ? calls : v)) }
    case 'other-nan': {
      // another NaN is NaN
      const y = new Float32Array(right.data as Float32Array)
      const words = new Uint32Array(y.buffer)
      for (let i = 0; i < y.length; i++) if (Number.isNaN(y[i]!)) words[i] = 0x7fc00000 | calls
      return { ...right, data: y }
    }
    default:
      return right
  }
}

export default {
  name: 'child-remembers',
  dialect: 'tfjs',
  host: 'child',
  arithmetic: ieee32,
  modes: ['honest', 'stale-after-nan', 'every-third', 'buffer-of-the-widest', 'session', 'uninitialised', 'open', 'other-nan'],
  async open(mode) {
    return {
      identity: { runtime: 'none' },
      async run(form, [x], _prepared, reuse) {
        if (form.refuses) throw new Error('an invalid case')
        return [answer(mode, x!, reuse)]
      },
      async renew() {
        poisoned = false
      },
      async close() {},
    }
  },
} satisfies Backend
