/** The two scripts of a page: its main thread, and the worker with the ops and one backend. */
import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { OPS } from '../ops.ts'

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url))
export const unpackBrowser = async () => '/tmp/pg/browser'
async function text(contents: string): Promise<string> {
  const r = await build({
    stdin: { contents, resolveDir: here('.'), loader: 'ts' },
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    mainFields: ['browser', 'module', 'main'],
    logLevel: 'silent',
    minify: false,
    define: { global: 'globalThis' },
  })
  return r.outputFiles[0]!.text
}
export async function pageScripts(
  backendFile: string,
  opFiles: readonly string[] = readdirSync(OPS)
    .filter(f => f.endsWith('.ts'))
    .sort()
    .map(f => OPS + f),
): Promise<Record<string, string>> {
  const entry = [
    `import { serve } from ${JSON.stringify(here('./page-worker.ts'))}`,
    `import backend from ${JSON.stringify(backendFile)}`,
    ...opFiles.map((file, i) => `import op${i} from ${JSON.stringify(file)}`),
    `serve(backend, [${opFiles.map((_, i) => `op${i}`).join(', ')}].flat())`,
  ].join('\n')
  const [main, worker] = await Promise.all([text(`import ${JSON.stringify(here('./page-main.ts'))}`), text(entry)])
  return { '/main.js': main, '/worker.js': worker }
}
