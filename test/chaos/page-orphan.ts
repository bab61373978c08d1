/** A parent that a test kills: starts a page host and says so. */
import { fileURLToPath } from 'node:url'
import { pageHost } from '../../harness/hosts/page.ts'
import misbehaves from './page-misbehaves.ts'

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url))
const host = pageHost(misbehaves, { file: here('page-misbehaves.ts'), ops: [here('page-op.ts')] })
const start = await host.start()
console.log('identity' in start ? 'ready' : start.notRun)
setInterval(() => {}, 1000)
