/** The browser of the npm package: its archives are compared with their pinned hashes, unpacked into the cache, and the browser is started once. */
import { existsSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { unpackBrowser } from '../cache.ts'
import { UserError } from '../errors.ts'
import { startBrowser } from '../hosts/browser.ts'
import { BROWSER, BROWSER_VERSION } from './pins.ts'
import { packageOf, requireSpace, requireSystem, type Site } from './site.ts'
import { sha256 } from './staging.ts'

/** Of the libraries that the package brings for systems without NSS. */
const GLIBC = '2.34'
export const BROWSER_DISK = 206_000_000

function packageFolder(): string {
  let dir = dirname(createRequire(import.meta.url).resolve('@sparticuz/chromium'))
  while (!existsSync(join(dir, 'bin', 'chromium.br'))) {
    if (dirname(dir) === dir) throw new UserError('the package @sparticuz/chromium holds no browser: npm ci')
    dir = dirname(dir)
  }
  return dir
}
/** Folder of the installed version in the cache, or null. */
export function placedBrowser(cache: string): string | null {
  if (!existsSync(cache)) return null
  const prefix = `browser-${packageOf(packageFolder()).version}-`
  const name = readdirSync(cache).find(
    d => d.startsWith(prefix) && /^[0-9a-f]{8}$/.test(d.slice(prefix.length)) && existsSync(join(cache, d, 'manifest.json')),
  )
  return name ? join(cache, name) : null
}
/** Compares the archives with the pinned hashes (of one version of the package: another one is npm's own business). */
export async function verifyArchives(dir: string, pinned: Readonly<Record<string, string>> = BROWSER): Promise<void> {
  for (const [name, wanted] of Object.entries(pinned)) {
    const found = await sha256(join(dir, name))
    if (found !== wanted)
      throw new UserError(`${name} of @sparticuz/chromium was refused: its sha256 is ${found}, pinned is ${wanted}; npm ci installs it again`)
  }
}

export async function setupBrowser(site: Site): Promise<void> {
  requireSystem(site, 'the browser of the npm package', GLIBC)
  const pkg = packageFolder()
  const { version } = packageOf(pkg)
  if (version === BROWSER_VERSION) await verifyArchives(join(pkg, 'bin'))
  else site.say(`  ! @sparticuz/chromium ${version} is installed; hashes are pinned for ${BROWSER_VERSION} only`)
  requireSpace(site, 'the browser', BROWSER_DISK)
  await unpackBrowser()
  site.say(`  ✓ ${await checkBrowser(site)}`)
}
/** Starts the browser; says what runs. */
export async function checkBrowser(site: Site): Promise<string> {
  const started = await startBrowser(site.env)
  if ('notRun' in started) throw new UserError(`${started.notRun}; ${started.enable}`)
  const version = started.browser.version()
  await started.browser.close()
  return `Chromium ${version} starts`
}
