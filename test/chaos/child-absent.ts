/** A backend whose runtime is not installed. */
import type { Backend } from '../../harness/types.ts'
import misbehaves from './child-misbehaves.ts'

const absent = 'no-such-runtime'
export default {
  ...misbehaves,
  name: 'child-absent',
  async open(): Promise<never> {
    throw await import(absent)
  },
} satisfies Backend
