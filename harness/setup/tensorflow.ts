/**
 * tfjs-node and tfjs-node-gpu in the cache: the npm package, TensorFlow's library, and the addon built from both. The project's node_modules is not touched, so
 * that `npm ci` neither grows by what most people never use nor takes anything away.
 */
import { createHash } from 'node:crypto'
import { copyFileSync, cpSync, linkSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { UserError } from '../errors.ts'
import { buildAddon, findCompiler, NO_COMPILER, TRACE } from './compile.ts'
import { CUDA_11, CUDA_12, PUBLISHER, TENSORFLOW_CPU, TENSORFLOW_GPU, TENSORFLOW_GPU_NEW, type Wheel } from './pins.ts'
import { addressOf, answers, publisherFolder, publisherPart } from './publisher.ts'
import { lastLines, program, requireSystem, type Site } from './site.ts'
import { ensure, type Part, placeOf, whole } from './staging.ts'
import { cudaPart, wheelPart } from './wheels.ts'

export type Native = 'tfjs-node' | 'tfjs-node-gpu'
/** TensorFlow.js that the npm packages are of. */
export const TFJS = '4.22.0'
const NPM = fileURLToPath(new URL('../../native/npm/', import.meta.url))
/** Raised when what is built changes without its inputs changing. */
const RECIPE = 2
/** Wheels are manylinux2014; the addon is built here. */
const GLIBC = '2.17'

/** One TensorFlow that a package can stand on. */
export interface Variant {
  tensorflow: string
  /** Folder of the part that holds the library. */
  library: string
  cuda: readonly Wheel[]
  part: Part | null
}
const fromWheel = (w: Wheel, cuda: readonly Wheel[]): Variant => {
  const part = tensorflowPart(w)
  return { tensorflow: w.version, library: part.folder, cuda, part }
}
/** All that may be found in a cache, the best first. `part` is null where only the publisher's host can give it. */
export function variants(native: Native): readonly Variant[] {
  if (native === 'tfjs-node')
    return [{ tensorflow: '2.9.1', library: publisherFolder(PUBLISHER.cpu), cuda: [], part: null }, fromWheel(TENSORFLOW_CPU, [])]
  return [
    fromWheel(TENSORFLOW_GPU_NEW, CUDA_12),
    { tensorflow: '2.9.1', library: publisherFolder(PUBLISHER.gpu), cuda: CUDA_11, part: null },
    fromWheel(TENSORFLOW_GPU, CUDA_11),
  ]
}

/** Library and headers of TensorFlow's Python wheel. From 2.18 on the C API has a library of its own; before, it is the Python extension. */
function tensorflowPart(w: Wheel): Part {
  const own = w.version !== TENSORFLOW_CPU.version
  const libraries = own
    ? /^tensorflow\/libtensorflow_(framework|cc)\.so\.2$/
    : /^tensorflow\/(libtensorflow_framework\.so\.2|python\/_pywrap_tensorflow_internal\.so)$/
  return wheelPart(w, name => {
    const header = /^tensorflow\/include\/(tensorflow\/(?:c|core\/platform)\/.*|(?:xla\/)?tsl\/(?:c|platform)\/.*)$/.exec(name)?.[1]
    if (header) return join('include', header)
    return libraries.test(name) ? join('lib', name.split('/').at(-1)!) : null
  })
}

const hashOf = (...texts: readonly (string | Buffer)[]): string => {
  const h = createHash('sha256')
  for (const t of texts) h.update(t).update('\0')
  return h.digest('hex').slice(0, 8)
}
const lockFile = () => readFileSync(join(NPM, 'package-lock.json'))

/** The npm packages, as the lock file beside them pins them (npm checks their sha512). */
export function npmPart(): Part {
  return {
    folder: `npm-${TFJS}-${hashOf(lockFile())}`,
    title: `@tensorflow/tfjs-node ${TFJS} (npm)`,
    fetch: 3_000_000,
    disk: 16_000_000,
    async make(stage, site) {
      cpSync(NPM, stage, { recursive: true })
      const npm = site.env['npm_execpath']?.endsWith('.js') ? [process.execPath, site.env['npm_execpath']] : ['npm']
      const options = [
        'ci',
        '--ignore-scripts',
        '--prefer-offline',
        '--no-audit',
        '--no-fund',
        '--loglevel=error',
        '--omit-lockfile-registry-resolved',
      ]
      const ran = await program(site, npm[0]!, [...npm.slice(1), ...options], { cwd: stage })
      if (ran.missing) throw new UserError('npm is needed, and there is none on the PATH')
      if (ran.status === 0) return
      const text = `${ran.err}\n${ran.out}`
      if (/EINTEGRITY/.test(text)) throw new UserError('an npm package was refused: its sha512 is not the one of native/npm/package-lock.json')
      if (/ENOSPC|no space left/i.test(text)) throw new UserError('the npm packages could not be installed: the disk is full')
      throw new UserError(`the npm packages could not be installed: npm says\n${lastLines(text, 6)}`)
    },
  }
}

const packageIn = (dir: string, native: Native) => join(dir, 'node_modules', '@tensorflow', native)
const buildFolder = (native: Native, v: Variant): string =>
  `${native}-${TFJS}-${v.tensorflow}-${hashOf(String(RECIPE), native, lockFile(), readFileSync(TRACE), v.library)}`

/** Another name for the same bytes, where the file system has such; links keep their target. */
function same(from: string, to: string, link: string | null): void {
  if (link) symlinkSync(link, to)
  else
    try {
      linkSync(from, to)
    } catch {
      copyFileSync(from, to)
    }
}
function buildPart(native: Native, v: Variant, npm: string, library: string): Part {
  return {
    folder: buildFolder(native, v),
    title: `@tensorflow/${native} ${TFJS} on TensorFlow ${v.tensorflow}, built here`,
    fetch: 0,
    disk: 20_000_000,
    async make(stage, site) {
      cpSync(npm, stage, { recursive: true, verbatimSymlinks: true })
      rmSync(join(stage, 'manifest.json'), { force: true })
      rmSync(packageIn(stage, native === 'tfjs-node' ? 'tfjs-node-gpu' : 'tfjs-node'), { recursive: true, force: true })
      const lib = join(packageIn(stage, native), 'deps', 'lib')
      mkdirSync(lib, { recursive: true })
      const from = join(library, 'lib')
      for (const f of readdirSync(from, { withFileTypes: true }))
        same(join(from, f.name), join(lib, f.name), f.isSymbolicLink() ? readlinkSync(join(from, f.name)) : null)
      const names = readdirSync(lib)
      const main = ['libtensorflow_cc.so.2', 'libtensorflow.so.2', '_pywrap_tensorflow_internal.so'].find(n => names.includes(n))
      if (!main) throw new UserError(`${from} holds no TensorFlow library`)
      const headers = join(stage, 'node_modules', 'node-api-headers', 'include')
      const scratch = join(stage, 'scratch')
      mkdirSync(scratch)
      await buildAddon(
        { pkg: packageIn(stage, native), include: join(library, 'include'), headers, library: main, python: main.startsWith('_pywrap') },
        site,
        scratch,
      )
      rmSync(scratch, { recursive: true })
    },
  }
}

export interface Placed {
  /** Folder of the npm package with its addon. */
  pkg: string
  tensorflow: string
  /** Folders of CUDA libraries, for LD_LIBRARY_PATH. */
  libraries: readonly string[]
}
const cudaFolders = (place: string): string[] => {
  const nvidia = join(place, 'nvidia')
  return readdirSync(nvidia).map(d => join(nvidia, d, 'lib'))
}
export const cudaLibraries = (root: string, wheels: readonly Wheel[]): string[] => [
  ...new Set(wheels.flatMap(w => cudaFolders(placeOf(root, cudaPart(w))))),
]
/** What is set up in a cache, whole. */
export function placedTensorflow(root: string, native: Native): Placed | null {
  for (const v of variants(native)) {
    const dir = join(root, buildFolder(native, v))
    if (!whole(dir) || !v.cuda.every(w => whole(placeOf(root, cudaPart(w))))) continue
    return { pkg: packageIn(dir, native), tensorflow: v.tensorflow, libraries: cudaLibraries(root, v.cuda) }
  }
  return null
}

/** Parts that a setup from PyPI makes, for `--dry-run` and `doctor`. */
export function tensorflowParts(native: Native, tensorflow = '2.9.1'): Part[] {
  const v = variants(native).find(x => x.part && x.tensorflow === tensorflow)
  if (!v)
    throw new UserError(
      `${native} stands on TensorFlow ${variants(native)
        .map(x => x.tensorflow)
        .join(' or ')}, not ${tensorflow}`,
    )
  return [npmPart(), v.part!, ...v.cuda.map(cudaPart), buildPart(native, v, '', '')]
}

export async function setupTensorflow(native: Native, site: Site, tensorflow = '2.9.1'): Promise<void> {
  requireSystem(site, native, GLIBC)
  const placed = placedTensorflow(site.root, native)
  if (placed?.tensorflow === tensorflow) return site.say(`  ✓ @tensorflow/${native} ${TFJS} on TensorFlow ${tensorflow}: is there`)
  if (!(await findCompiler(site))) throw new UserError(NO_COMPILER) // before anything is fetched
  const npm = await ensure(npmPart(), site)
  const wanted = variants(native).filter(v => v.tensorflow === tensorflow)
  const candidates: readonly { variant: Variant; part: Part }[] = await sources(native, npm, wanted, site)
  for (const [i, { variant, part }] of candidates.entries())
    try {
      const library = await ensure(part, site)
      for (const w of variant.cuda) await ensure(cudaPart(w), site)
      await ensure(buildPart(native, variant, npm, library), site)
      return
    } catch (error) {
      if (!(error instanceof UserError) || i === candidates.length - 1) throw error
      site.say(`  ! ${error.message}\n  · from PyPI instead`)
    }
}
/** Where the library may come from, in order: what is there already, the publisher's own archive where its host answers, the wheel. */
async function sources(native: Native, npm: string, wanted: readonly Variant[], site: Site): Promise<{ variant: Variant; part: Part }[]> {
  const wheel = wanted.find(v => v.part)!
  const last = { variant: wheel, part: wheel.part! }
  const published = wanted.find(v => !v.part)
  if (!published || whole(join(site.root, wheel.library))) return [last]
  const archive = PUBLISHER[native === 'tfjs-node' ? 'cpu' : 'gpu']
  const address = addressOf(archive, packageIn(npm, native), site.env)
  const there = whole(join(site.root, published.library))
  const size = there || !address ? 0 : await answers(address)
  if (address && size !== null) return [{ variant: published, part: publisherPart(archive, address, size) }, last]
  site.say("  · the publisher's host does not answer: TensorFlow comes from PyPI")
  return [last]
}
