/**
 * What an application does and a fresh session for every trial never shows: `again` the same session or tensors serve twice, `other` they served other
 * numbers before, `beside` a second session or set of tensors is used before the first one's outputs are read. The outputs have to be the same in all of them.
 */
import type { Reuse, Tensor } from './types.ts'
import { messageOf } from './worker.ts'

export const REUSES: readonly Reuse[] = ['again', 'other', 'beside']

/** The same shapes with other numbers: floats in reverse order; whole numbers (indices, sizes, axes) as they are. */
export const others = (inputs: readonly (Tensor | null)[]): (Tensor | null)[] =>
  inputs.map(t => (t?.dtype.startsWith('float') ? { ...t, data: (t.data as Float32Array).slice().reverse() } : t))

export const threw = (error: unknown): { threw: string } => ({ threw: messageOf(error) })

/** A call whose outcome does not count: other numbers may be refused. */
export async function attempt<T>(work: () => T | Promise<T>): Promise<T | null> {
  try {
    return await work()
  } catch {
    return null
  }
}
