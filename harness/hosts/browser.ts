/** Finding and starting the browser, and watching its processes. One browser for each page backend: a GPU process that dies spoils only its own. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Browser, CDPSession } from 'playwright-core'
import { unpackBrowser } from '../cache.ts'

export interface Running {
  version: string
  /** False once the GPU process that the page was opened with has ended. Takes 20 µs, so that it is asked for every outcome. */
  gpuAlive(): boolean
  /** Process ids by kind (`browser`, `renderer`, `GPU`, …). */
  processes(): Promise<readonly Process[]>
  close(): Promise<void>
}
export interface Process {
  type: string
  id: number
  /** Seconds. */
  cpuTime: number
}
export interface Found {
  executablePath?: string
  channel?: string
  env?: Record<string, string>
}

const ENABLE = 'npm run setup -- browser, or install Chrome or Edge, or set OPCOMPAT_BROWSER to a Chromium'
const CLOSE_MS = 5000

/**
 * Bisected on Chromium 147: --enable-unsafe-webgpu gives an adapter, --use-angle=swiftshader a WebGL2 that TF.js accepts ("major performance caveat"), the
 * feature gives navigator.ml, --use-webgpu-adapter=swiftshader makes runs equal on machines with a GPU. OPCOMPAT_GPU=hardware asks for the real one.
 * Without the trap handler a WebAssembly access out of bounds is an error of that job; with it, it kills this Chromium's renderer. The list replaces
 * Playwright's, whose entries that matter to a page without interface are repeated.
 */
const DISABLED = [
  'WebAssemblyTrapHandler',
  'DestroyProfileOnBrowserClose',
  'MediaRouter',
  'NetworkTimeServiceQuerying',
  'OptimizationHints',
  'PaintHolding',
]
function flags(env: NodeJS.ProcessEnv): string[] {
  const linux = process.platform === 'linux'
  const hardware = env['OPCOMPAT_GPU'] === 'hardware'
  const features = ['WebMachineLearningNeuralNetwork', ...(hardware && linux ? ['Vulkan'] : [])]
  const gpu = hardware
    ? ['--ignore-gpu-blocklist', ...(linux ? ['--use-angle=vulkan'] : [])]
    : ['--use-webgpu-adapter=swiftshader', '--use-angle=swiftshader']
  return ['--enable-unsafe-webgpu', ...gpu, `--enable-features=${features.join()}`, `--disable-features=${DISABLED.join()}`]
}

/** Browsers to try, in order: the one that the user names, the one from the npm package (Linux x64), those that are installed. */
export async function candidates(env: NodeJS.ProcessEnv): Promise<readonly Found[]> {
  if (env['OPCOMPAT_BROWSER']) return [{ executablePath: env['OPCOMPAT_BROWSER'] }]
  const installed: Found[] = [{ channel: 'chrome' }, { channel: 'msedge' }]
  if (process.platform !== 'linux' || process.arch !== 'x64') return installed
  const folder = await unpackBrowser()
  return [{ executablePath: join(folder, 'chromium'), env: { LD_LIBRARY_PATH: join(folder, 'al2023', 'lib') } }, ...installed]
}

export async function startBrowser(
  env: NodeJS.ProcessEnv,
  extra: readonly string[] = [],
): Promise<{ browser: Browser } | { notRun: string; enable: string }> {
  const { chromium } = await import('playwright-core')
  const reasons: string[] = []
  try {
    for (const found of await candidates(env)) {
      try {
        const browser = await chromium.launch({
          ...found,
          args: [...flags(env), ...extra],
          env: { ...(env as Record<string, string>), ...found.env },
          handleSIGINT: false, // Ctrl-C reaches the whole group: the parent ends its browsers itself
          handleSIGTERM: false,
          handleSIGHUP: false,
        })
        return { browser }
      } catch (error) {
        reasons.push(`${found.channel ?? found.executablePath}: ${(error as Error).message.split('\n')[0]}`)
      }
    }
  } catch (error) {
    reasons.push((error as Error).message)
  }
  return { notRun: `no browser could be started (${reasons.join('; ')})`, enable: ENABLE }
}

/** A process that has ended but is not yet reaped counts as ended (state Z on Linux). */
function alive(pid: number): boolean {
  try {
    if (process.platform === 'linux') return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
/** Resident bytes of processes, where the system tells (Linux). */
export function residentBytes(pids: readonly number[]): number {
  let pages = 0
  for (const pid of pids) {
    const file = `/proc/${pid}/statm`
    try {
      if (existsSync(file)) pages += Number(readFileSync(file, 'latin1').split(' ')[1])
    } catch {} // it has just ended
  }
  return pages * 4096
}

/** Opens the page and learns which processes belong to it. */
export async function openPage(browser: Browser, url: string, printed: (line: string) => void, died: (how: string) => void): Promise<Running> {
  let closing = false
  const page = await browser.newPage()
  page.on('console', message => printed(`${message.type()}: ${message.text()}`))
  page.on('pageerror', error => printed(`error: ${error.message}`))
  page.on('crash', () => died('the renderer process crashed'))
  browser.on('disconnected', () => closing || died('the browser process ended'))
  const system: CDPSession = await browser.newBrowserCDPSession()
  const processes = async () => (await system.send('SystemInfo.getProcessInfo')).processInfo as Process[]
  await page.goto(url)
  const first = await processes()
  const gpu = first.find(p => p.type === 'GPU')?.id
  const main = first.find(p => p.type === 'browser')?.id
  return {
    version: browser.version(),
    gpuAlive: () => gpu === undefined || alive(gpu),
    processes,
    async close() {
      closing = true
      const late = setTimeout(() => main !== undefined && alive(main) && process.kill(main, 'SIGKILL'), CLOSE_MS)
      await browser.close().catch(() => {}) // it may be gone already
      clearTimeout(late)
    },
  }
}
