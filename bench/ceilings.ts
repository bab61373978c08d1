/**
 * What this machine can do, measured in the same run: multiply-adds of a WASM SIMD kernel that loads operands from L1 (where all operands stay in registers,
 * a loop-invariant product, the figure is one that no kernel reaches), and a plain copy by size. Native code has wider vectors: its ceiling is the best square product of
 * ONNX Runtime that was seen, an observation, not a peak.
 */
import type { Ceilings } from './types.ts'

const leb = (n: number): number[] => {
  const out: number[] = []
  do {
    const rest = n >>> 7
    out.push((n & 127) | (rest ? 128 : 0))
    n = rest
  } while (n)
  return out
}
const section = (id: number, body: readonly number[]) => [id, ...leb(body.length), ...body]
const V128_LOAD = [0xfd, 0x00, 0x04]
const MUL = [0xfd, ...leb(0xe6)]
const ADD = [0xfd, ...leb(0xe4)]
const get = (i: number) => [0x20, i]
const set = (i: number) => [0x21, i]
/**
 * Eight accumulators; every vector that is loaded is multiplied with two that stay in registers, as the inner loop of a matrix product does it. Two loads a
 * multiply-add (nothing reused) reach a quarter of this, no loads at all half as much again: neither is what a good kernel does.
 */
const [ACCUMULATORS, REUSE, UNROLL] = [8, 2, 8]
const FLOPS = 2 * 4 * ACCUMULATORS * UNROLL

/** `run(n)`: n passes of the loop over operands in the first kilobytes of memory; FLOPS each. */
function kernel(): Uint8Array<ArrayBuffer> {
  const n = 0
  const base = 1
  const accumulator = (i: number) => 2 + i
  const loaded = 2 + ACCUMULATORS
  const factor = (j: number) => loaded + 1 + j
  const body: number[] = [0x03, 0x40] // loop
  for (let u = 0; u < UNROLL; u++)
    for (let i = 0; i < ACCUMULATORS; i += REUSE) {
      body.push(...get(base), ...V128_LOAD, ...leb(16 * (u * ACCUMULATORS + i)), ...set(loaded))
      for (let j = 0; j < REUSE; j++) {
        const at = accumulator(i + j)
        body.push(...get(at), ...get(loaded), ...get(factor(j)), ...MUL, ...ADD, ...set(at))
      }
    }
  // the place of the operands moves between 0 and 1024: base = (base + 64) & 1023; n = n − 1; again while n
  body.push(...get(base), 0x41, 0xc0, 0x00, 0x6a, 0x41, 0xff, 0x07, 0x71, ...set(base))
  body.push(...get(n), 0x41, 0x01, 0x6b, 0x22, n, 0x0d, 0x00, 0x0b)
  // what was computed is used, or it would be left out
  body.push(...get(accumulator(0)))
  for (let i = 1; i < ACCUMULATORS; i++) body.push(...get(accumulator(i)), ...ADD)
  body.push(0xfd, 0x1f, 0x00, 0x0b) // f32x4.extract_lane 0
  const locals = [2, 1, 0x7f, ...leb(ACCUMULATORS + 1 + REUSE), 0x7b]
  const code = [...locals, ...body]
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, [1, 0x60, 1, 0x7f, 1, 0x7d]),
    ...section(3, [1, 0]),
    ...section(5, [1, 0, 1]),
    ...section(7, [1, 3, 0x72, 0x75, 0x6e, 0, 0]),
    ...section(10, [1, ...leb(code.length), ...code]),
  ])
}
/** Best rate of `work` (operations a call) over some milliseconds. */
function best(work: () => void, each: number, ms: number): number {
  let top = 0
  work() // compiled, and its memory touched
  for (let until = performance.now() + ms; performance.now() < until; ) {
    const start = performance.now()
    work()
    top = Math.max(top, each / (performance.now() - start) / 1e6)
  }
  return top
}
export async function wasmGflops(ms = 150): Promise<number> {
  const { instance } = await WebAssembly.instantiate(kernel())
  const run = instance.exports['run'] as (n: number) => number
  const passes = 5000
  return best(() => void run(passes), passes * FLOPS, ms)
}
export const COPY_MB = [0.25, 1, 4, 16, 64] as const
export function copyGbs(mb: number, ms = 60): number {
  const n = (mb * 2 ** 20) / 4
  const [from, to] = [new Float32Array(n).fill(1), new Float32Array(n)]
  const often = Math.max(1, Math.round(1 / mb))
  return best(
    () => {
      for (let i = 0; i < often; i++) to.set(from)
    },
    2 * 4 * n * often,
    ms,
  )
}
export async function ceilings(before?: Ceilings): Promise<Ceilings> {
  const gflops = await wasmGflops()
  const copy = COPY_MB.map((mb, i) => ({ mb, gbs: Math.max(copyGbs(mb), before?.copy[i]?.gbs ?? 0) }))
  return { wasmGflops: Math.max(gflops, before?.wasmGflops ?? 0), nativeGflops: before?.nativeGflops ?? null, copy }
}
/** Copy rate for this many bytes: that of the nearest measured size, by logarithm. */
export function copyCeiling(c: Ceilings, bytes: number): { mb: number; gbs: number } {
  const mb = Math.max(bytes / 2 ** 20 / 2, 1e-3)
  return [...c.copy].sort((a, b) => Math.abs(Math.log(a.mb / mb)) - Math.abs(Math.log(b.mb / mb)))[0]!
}
