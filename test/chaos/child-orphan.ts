/** A parent that a test kills while its child loops: a looping thread hears of nothing. */
import { fileURLToPath } from 'node:url'
import { childHost } from '../../harness/hosts/child.ts'
import misbehaves from './child-misbehaves.ts'

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url))
const host = childHost(misbehaves, { file: here('child-misbehaves.ts'), ops: [here('page-op.ts')] })
const start = await host.start()
console.log('identity' in start ? 'ready' : start.notRun)
const inputs = [{ dtype: 'float32', shape: [1, 1], recipe: { kind: 'values', values: [1] } }] as const
await host.run([{ case: { id: 'c-0', op: 'double', attributes: { deed: 'loop' }, inputs }, path: 'add', mode: 'default' }], 60_000, () => {})
