/**
 * The cache folder (OPCOMPAT_CACHE, else the user's): bundles, and the browser and software GPU of the npm package @sparticuz/chromium, unpacked. Everything is
 * staged beside its place and renamed, so that runs that start together, or end half-way, leave no half-written thing.
 */
import { createReadStream, createWriteStream, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, statSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { homedir } from 'node:os'
import { basename, dirname, join, relative } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createBrotliDecompress } from 'node:zlib'
import { fileError, UserError } from './errors.ts'

export function cacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  if (env['OPCOMPAT_CACHE']) return env['OPCOMPAT_CACHE']
  if (process.platform === 'win32') return join(env['LOCALAPPDATA'] ?? join(homedir(), 'AppData', 'Local'), 'opcompat')
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches', 'opcompat')
  return join(env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'opcompat')
}

const MANIFEST = 'manifest.json'
/** Size in bytes of every file, by its path in the folder. */
type Manifest = Readonly<Record<string, number>>

function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(f => f.isFile() && f.name !== MANIFEST)
    .map(f => relative(folder, join(f.parentPath, f.name)))
    .sort()
}
/** What is wrong with a folder that was made by `unpacked`; null when nothing is. */
function fault(folder: string): string | null {
  try {
    const manifest = JSON.parse(readFileSync(join(folder, MANIFEST), 'utf8')) as Manifest
    for (const [file, bytes] of Object.entries(manifest)) {
      const found = statSync(join(folder, file), { throwIfNoEntry: false })?.size
      if (found === undefined) return `${file} is missing`
      if (found !== bytes) return `${file} has ${found} bytes instead of ${bytes}`
    }
    return null
  } catch {
    return `${MANIFEST} cannot be read`
  }
}

/** Staging folders of runs that were killed. */
const STALE_MS = 3_600_000
async function sweep(parent: string, name: string): Promise<void> {
  for (const entry of readdirSync(parent).filter(e => e.startsWith(`${name}.`))) {
    const age = Date.now() - (statSync(join(parent, entry), { throwIfNoEntry: false })?.mtimeMs ?? Date.now())
    if (age > STALE_MS) await rm(join(parent, entry), { recursive: true, force: true })
  }
}

/** The folder `name` of the cache, filled by `fill` when it is absent or damaged. */
export async function unpacked(name: string, fill: (folder: string) => Promise<void>, say = (line: string) => console.error(line)): Promise<string> {
  const parent = cacheFolder()
  const folder = join(parent, name)
  if (existsSync(folder)) {
    const wrong = fault(folder)
    if (!wrong) return folder
    say(`The cache folder ${folder} is damaged (${wrong}); it is made again.`)
  }
  try {
    mkdirSync(parent, { recursive: true })
    await sweep(parent, name)
    const stage = mkdtempSync(join(parent, `${name}.`))
    try {
      await fill(stage)
      const manifest: Manifest = Object.fromEntries(filesOf(stage).map(f => [f, statSync(join(stage, f)).size]))
      await writeFile(join(stage, MANIFEST), JSON.stringify(manifest))
      for (let attempt = 0; ; attempt++) {
        try {
          renameSync(stage, folder)
          return folder
        } catch (error) {
          // somebody else was faster, or the damaged one is still there
          if (!existsSync(folder) || attempt === 3) throw error
          if (!fault(folder)) return folder
          const away = mkdtempSync(join(parent, `${name}.`))
          renameSync(folder, join(away, basename(folder)))
          await rm(away, { recursive: true, force: true })
        }
      }
    } finally {
      await rm(stage, { recursive: true, force: true })
    }
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code ? fileError('the cache folder', folder, error) : error
  }
}

const require = createRequire(import.meta.url)
function chromiumPackage(): string {
  let folder: string
  try {
    folder = dirname(require.resolve('@sparticuz/chromium'))
  } catch {
    throw new UserError('the package @sparticuz/chromium is not installed; npm ci installs it')
  }
  while (!existsSync(join(folder, 'bin', 'chromium.br'))) {
    if (folder === dirname(folder)) throw new UserError('the package @sparticuz/chromium holds no bin/chromium.br; npm ci repairs it')
    folder = dirname(folder)
  }
  return folder
}

let browser: Promise<string> | undefined
/**
 * The folder with `chromium`, SwiftShader (libvulkan.so.1, vk_swiftshader_icd.json, libGLESv2.so …) and `al2023/lib` (libnspr4, libnss3, libexpat), unpacked when
 * it is first asked for: some four seconds, 206 MB. Linux x64 only.
 */
export function unpackBrowser(): Promise<string> {
  browser ??= (async () => {
    const folder = chromiumPackage()
    const version = String(JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).version)
    const { extract } = createRequire(join(folder, 'package.json'))('tar-fs') as { extract: (to: string) => NodeJS.WritableStream }
    const read = (file: string) => createReadStream(join(folder, 'bin', file))
    return unpacked(`browser-${version}`, async to => {
      await pipeline(read('chromium.br'), createBrotliDecompress(), createWriteStream(join(to, 'chromium'), { mode: 0o755 }))
      const parts = [
        ['swiftshader.tar.br', '.'],
        ['al2023.tar.br', 'al2023'],
        ['fonts.tar.br', 'fonts'],
      ] as const
      for (const [file, at] of parts) await pipeline(read(file), createBrotliDecompress(), extract(join(to, at)))
    })
  })()
  browser.catch(() => {
    browser = undefined // the next one tries again
  })
  return browser
}

const ICD_FOLDERS = ['/etc/vulkan/icd.d', '/usr/share/vulkan/icd.d', '/usr/local/share/vulkan/icd.d']
const LOADERS = ['/usr/lib/x86_64-linux-gnu', '/usr/lib64', '/usr/lib', '/lib/x86_64-linux-gnu'].map(folder => `${folder}/libvulkan.so.1`)
/** The Vulkan driver of a GPU that this machine has: its description file, or null. Mesa's lavapipe is no GPU, and Dawn refuses it. */
function hardwareDriver(): string | null {
  const found = ICD_FOLDERS.flatMap(folder =>
    existsSync(folder)
      ? readdirSync(folder)
          .filter(f => f.endsWith('.json') && !/lvp|lavapipe|swiftshader/i.test(f))
          .map(f => join(folder, f))
      : [],
  )
  if (existsSync('/dev/nvidia0')) return found.find(f => /nvidia/i.test(f)) ?? null
  const rendering = existsSync('/dev/dri') && readdirSync('/dev/dri').some(f => f.startsWith('renderD'))
  return rendering ? (found.find(f => !/nvidia/i.test(f)) ?? null) : null
}

/**
 * Environment of a process that uses Vulkan (ONNX Runtime's WebGPU, Dawn): a GPU's own driver, where there is one, else SwiftShader.
 * OPCOMPAT_SOFTWARE_GPU=1 asks for SwiftShader; VK_ICD_FILENAMES or VK_DRIVER_FILES of the user stand.
 */
export async function vulkanEnvironment(env: NodeJS.ProcessEnv = process.env): Promise<Record<string, string>> {
  if (process.platform !== 'linux') return {} // Metal and Direct3D need no files of ours
  const software = env['OPCOMPAT_SOFTWARE_GPU'] === '1'
  const chosen = env['VK_ICD_FILENAMES'] ?? env['VK_DRIVER_FILES']
  const driver = software ? null : (chosen ?? hardwareDriver())
  if (driver && LOADERS.some(existsSync)) return chosen ? {} : { VK_ICD_FILENAMES: driver }
  if (process.arch !== 'x64') throw new UserError('no Vulkan driver was found; install one (SwiftShader comes with the browser package for x64 only)')
  const folder = await unpackBrowser()
  const LD_LIBRARY_PATH = [folder, env['LD_LIBRARY_PATH']].filter(Boolean).join(':')
  return { LD_LIBRARY_PATH, VK_ICD_FILENAMES: driver ?? join(folder, 'vk_swiftshader_icd.json') }
}
