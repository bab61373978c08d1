/** The cache folder (OPCOMPAT_CACHE, else the user's), and the browser and software GPU that are unpacked into it once from their npm package. */
import { createHash, randomBytes } from 'node:crypto'
import {
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { homedir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createBrotliDecompress } from 'node:zlib'
import { fileError, UserError } from './errors.ts'
import { makeFolder } from './files.ts'

export function cacheFolder(): string {
  const dir =
    process.env.OPCOMPAT_CACHE ||
    (process.platform === 'win32'
      ? join(process.env.LOCALAPPDATA ?? homedir(), 'opcompat')
      : process.platform === 'darwin'
        ? join(homedir(), 'Library', 'Caches', 'opcompat')
        : join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'opcompat'))
  makeFolder(dir)
  return dir
}

const require = createRequire(import.meta.url)
/** The package's folder; layouts differ between versions, so that its archives are looked for upwards. */
function chromiumPackage(): string {
  let dir = dirname(require.resolve('@sparticuz/chromium'))
  while (!existsSync(join(dir, 'bin', 'chromium.br'))) {
    const up = dirname(dir)
    if (up === dir) throw new UserError('the package @sparticuz/chromium holds no browser; npm ci installs it')
    dir = up
  }
  return dir
}

const ARCHIVES = ['chromium.br', 'swiftshader.tar.br', 'al2023.tar.br', 'fonts.tar.br'] as const
const NEEDED = ['chromium', 'libvulkan.so.1', 'libvk_swiftshader.so', 'vk_swiftshader_icd.json', 'al2023/lib/libnss3.so']
interface Manifest {
  /** Size in bytes of every file that has to be there. */
  files: Record<string, number>
}
const filesOf = (dir: string): string[] =>
  readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter(f => f.isFile())
    .map(f => relative(dir, join(f.parentPath, f.name)))
const whole = (dir: string): boolean => {
  try {
    const { files } = JSON.parse(readFileSync(join(dir, 'manifest.json'), 'utf8')) as Manifest
    return NEEDED.every(f => f in files) && Object.entries(files).every(([f, size]) => statSync(join(dir, f)).size === size)
  } catch {
    return false
  }
}

let unpacking: Promise<string> | undefined
/**
 * Headless Chromium, SwiftShader (a Vulkan driver in software) and the libraries that they need, unpacked once: some 200 MB, some seconds.
 * Unpacked beside its place and renamed, so that a kill leaves nothing half done and two runs may start together; a damaged folder is made again.
 * Linux x64 only.
 */
export function unpackBrowser(): Promise<string> {
  unpacking ??= (async () => {
    if (process.platform !== 'linux' || process.arch !== 'x64') throw new UserError('the npm package carries a browser for Linux x64 only')
    const pkg = chromiumPackage()
    const { version } = JSON.parse(readFileSync(join(pkg, 'package.json'), 'utf8')) as { version: string }
    const sizes = ARCHIVES.map(a => (existsSync(join(pkg, 'bin', a)) ? statSync(join(pkg, 'bin', a)).size : 0))
    const name = `browser-${version}-${createHash('sha256').update(JSON.stringify(sizes)).digest('hex').slice(0, 8)}`
    const place = join(cacheFolder(), name)
    if (whole(place)) return place
    if (existsSync(place)) process.stderr.write(`the cached browser in ${place} is damaged; it is unpacked again\n`)
    const stage = `${place}.${randomBytes(4).toString('hex')}`
    try {
      mkdirSync(stage, { recursive: true })
      const { extract } = createRequire(join(pkg, 'package.json'))('tar-fs') as { extract: (dir: string) => NodeJS.WritableStream }
      const open = (a: string) => createReadStream(join(pkg, 'bin', a))
      await pipeline(open('chromium.br'), createBrotliDecompress(), createWriteStream(join(stage, 'chromium'), { mode: 0o755 }))
      await pipeline(open('swiftshader.tar.br'), createBrotliDecompress(), extract(stage))
      await pipeline(open('al2023.tar.br'), createBrotliDecompress(), extract(join(stage, 'al2023')))
      if (existsSync(join(pkg, 'bin', 'fonts.tar.br'))) await pipeline(open('fonts.tar.br'), createBrotliDecompress(), extract(join(stage, 'fonts')))
      const files = Object.fromEntries(filesOf(stage).map(f => [f, statSync(join(stage, f)).size]))
      writeFileSync(join(stage, 'manifest.json'), JSON.stringify({ files } satisfies Manifest))
      if (existsSync(place) && !whole(place)) renameSync(place, `${stage}.old`)
      try {
        renameSync(stage, place)
      } catch (error) {
        if (!whole(place)) throw error // another run was quicker: its folder is as good
      }
      return place
    } catch (error) {
      unpacking = undefined
      throw error instanceof UserError ? error : fileError('cannot unpack the browser into', stage, error)
    } finally {
      rmSync(stage, { recursive: true, force: true })
      rmSync(`${stage}.old`, { recursive: true, force: true })
    }
  })()
  return unpacking
}

/** A Vulkan driver of a real GPU, as the loader would find it. */
function systemVulkan(): boolean {
  if (process.env.OPCOMPAT_SOFTWARE_GPU === '1') return false
  if (process.env.VK_ICD_FILENAMES) return true
  const icds = [
    '/usr/share/vulkan/icd.d/nvidia_icd.json',
    '/etc/vulkan/icd.d/nvidia_icd.json',
    '/usr/share/vulkan/icd.d/radeon_icd.x86_64.json',
    '/usr/share/vulkan/icd.d/intel_icd.x86_64.json',
  ]
  return existsSync('/dev/dri/renderD128') || existsSync('/dev/nvidia0') ? icds.some(f => existsSync(f)) : false
}

/**
 * Environment of a process that uses Vulkan through Dawn: the real driver where there is one, else SwiftShader from the cache.
 * Both variables have to be set before the process starts; either alone fails.
 */
export async function vulkanEnvironment(): Promise<Record<string, string>> {
  if (process.platform !== 'linux') return {}
  if (systemVulkan()) return {}
  const dir = await unpackBrowser()
  return { LD_LIBRARY_PATH: [dir, process.env.LD_LIBRARY_PATH].filter(Boolean).join(':'), VK_ICD_FILENAMES: join(dir, 'vk_swiftshader_icd.json') }
}

const RUNS = 200
/** Folders of the newest runs on this machine, so that `replay d-…` finds a defect wherever its run was written. */
export function recentRuns(): string[] {
  try {
    return readFileSync(join(cacheFolder(), 'runs.txt'), 'utf8').split('\n').filter(Boolean).reverse()
  } catch {
    return []
  }
}
export function rememberRun(dir: string): void {
  const others = recentRuns()
    .filter(d => d !== dir)
    .reverse()
    .slice(-RUNS)
  try {
    writeFileSync(join(cacheFolder(), 'runs.txt'), `${[...others, dir].join('\n')}\n`)
  } catch {
    // a convenience only: the report's own commands carry their cases
  }
}
