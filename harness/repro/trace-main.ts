/** A child that traces one TF.js form: case and path in, code out. */
import { canonical, lowerings } from '../lower.ts'
import { realise } from '../tensor.ts'
import type { Backend, Case, Op, TfjsForm } from '../types.ts'
import { type Traced, trace } from './trace.ts'

export function serve(backend: Backend, ops: readonly Op[]): void {
  process.on('message', async ({ case: c, path }: { case: Case; path: string }) => {
    let answer: Traced = { lines: [], outputs: [], shapes: [], threw: 'the path is not offered' }
    try {
      const op = ops.find(o => o.name === c.op)!
      const own = canonical(op, c) as Case
      const way = lowerings(op, c, own, 'tfjs').find(l => 'path' in l && l.path === path)
      if (way && 'path' in way) {
        const form = way.form as TfjsForm
        let inputs = own.inputs.map(s => (s ? realise(s) : null)) as Parameters<NonNullable<TfjsForm['prepare']>>[0]
        if (form.prepare) inputs = form.prepare(inputs)
        const opened = await backend.open(backend.modes[0]!)
        await opened.run(
          {
            ...form,
            call: async (tf: any, t: readonly any[]) => {
              answer = await trace(form.call, tf, t)
              return []
            },
          },
          inputs,
        )
      }
    } catch (error) {
      answer = { ...answer, threw: (error as Error).message }
    }
    process.send!(answer, () => process.exit(0))
  })
}
