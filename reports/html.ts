/** report.html: one file that needs no network. The page is bundled by esbuild when the report is written (kept in the cache), its data embedded as JSON. */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { deflateRawSync } from 'node:zlib'
import { bundled } from '../harness/bundle.ts'
import { cacheFolder } from '../harness/cache.ts'
import { makeFolder } from '../harness/files.ts'
import type { PageData } from './page-data.ts'

const PAGE = fileURLToPath(new URL('./page/', import.meta.url))
/** Beyond this many characters the data are embedded deflated: smaller on disk, a few milliseconds to open. */
const PLAIN = 800_000

/** uPlot formats with the browser's language at once, and some browsers have one that Intl refuses (en-US@posix). */
const LANGUAGE = "try{new Intl.NumberFormat(navigator.language)}catch{Object.defineProperty(navigator,'language',{value:'en',configurable:true})}"

/** Script and style of the page, from the cache where their sources have not changed. */
async function pageAssets(): Promise<{ script: string; style: string }> {
  const hash = createHash('sha256')
  for (const f of readdirSync(PAGE).sort()) hash.update(f).update(readFileSync(join(PAGE, f)))
  for (const f of ['html.ts', 'vocabulary.ts', 'history.ts', '../harness/tensor.ts', '../package-lock.json']) {
    const path = join(PAGE, '..', f)
    if (existsSync(path)) hash.update(readFileSync(path))
  }
  const dir = join(cacheFolder(), 'pages')
  const path = join(dir, `${hash.digest('hex').slice(0, 20)}.js`)
  const plot = readFileSync(createRequire(import.meta.url).resolve('uplot/dist/uPlot.min.css'), 'utf8')
  const style = `${plot.trim()}\n${readFileSync(join(PAGE, 'style.css'), 'utf8').replace(/\n\s*/g, '\n')}`
  if (existsSync(path)) return { script: readFileSync(path, 'utf8'), style }
  const script = await bundled({
    entryPoints: [join(PAGE, 'main.tsx')],
    platform: 'browser',
    format: 'iife',
    minify: true,
    jsx: 'automatic',
    jsxImportSource: 'preact',
    charset: 'ascii',
    legalComments: 'none',
    banner: { js: LANGUAGE },
  })
  makeFolder(dir)
  writeFileSync(`${path}.${process.pid}`, script)
  renameSync(`${path}.${process.pid}`, path)
  return { script, style }
}

/** Inside a script element only `</` and `<!--` would end it. */
const inScript = (text: string): string => text.replace(/<(?=\/|!--)/g, '\\u003c')
const inJson = (text: string): string => text.replace(/</g, '\\u003c').replace(/\u2028|\u2029/g, ' ')
const inText = (text: string): string => text.replace(/&/g, '&amp;').replace(/</g, '&lt;')

export async function html(data: PageData): Promise<string> {
  const { script, style } = await pageAssets()
  const json = JSON.stringify(data)
  const held =
    json.length <= PLAIN
      ? `<script type="application/json" id="data">${inJson(json)}</script>`
      : `<script type="text/plain" id="data" data-form="deflate">${deflateRawSync(json, { level: 9 }).toString('base64')}</script>`
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="opcompat ${inText(data.run.version)}">
<title>opcompat: ${inText(data.run.name)}</title>
<link rel="icon" href="data:,">
<style>
${style}</style>
</head>
<body>
<div id="page"><noscript><p>This page needs scripts; report.md beside it says the same as text.</p></noscript></div>
${held}
<script>${inScript(script)}</script>
</body>
</html>
`
}
