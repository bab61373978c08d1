/** What can be set up, what each costs, and what is there: the words of `setup`, `setup --dry-run`, `setup --check` and `doctor`. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { UserError } from '../errors.ts'
import { BROWSER_DISK, placedBrowser, setupBrowser } from './browser.ts'
import { findCompiler } from './compile.ts'
import { findGpu, inTheWay, systemCuda, tensorflowFor } from './gpu.ts'
import { ortParts, placedOrt, setupOrt } from './ort.ts'
import { BROWSER_VERSION } from './pins.ts'
import { bytes, type Site } from './site.ts'
import { damaged, type Part, placeOf, whole } from './staging.ts'
import { placedTensorflow, setupTensorflow, tensorflowParts } from './tensorflow.ts'
import { findPip } from './wheels.ts'

export const TARGETS = ['tfjs-node', 'tfjs-node-gpu', 'ort-cuda', 'browser'] as const
export type Target = (typeof TARGETS)[number]
export interface Choice {
  /** Version of TensorFlow for tfjs-node-gpu; absent: the one that fits the GPU. */
  tensorflow?: string
}

export function partsOf(target: Target, choice: Choice): Part[] {
  switch (target) {
    case 'tfjs-node':
      return tensorflowParts('tfjs-node')
    case 'tfjs-node-gpu':
      return tensorflowParts('tfjs-node-gpu', choice.tensorflow ?? tensorflowFor(findGpu()))
    case 'ort-cuda':
      return ortParts()
    case 'browser':
      return []
    default:
      return target satisfies never
  }
}
export async function setUp(target: Target, site: Site, choice: Choice): Promise<void> {
  switch (target) {
    case 'tfjs-node':
      return setupTensorflow('tfjs-node', site)
    case 'tfjs-node-gpu':
      return setupTensorflow('tfjs-node-gpu', site, choice.tensorflow ?? tensorflowFor(findGpu()))
    case 'ort-cuda':
      return setupOrt(site)
    case 'browser':
      return setupBrowser(site)
    default:
      return target satisfies never
  }
}
/** Whether it is set up, by names and sizes of files. */
export function isSetUp(target: Target, site: Site): boolean {
  switch (target) {
    case 'tfjs-node':
    case 'tfjs-node-gpu':
      return placedTensorflow(site.root, target) !== null
    case 'ort-cuda':
      return placedOrt(site.root) !== null
    case 'browser':
      return placedBrowser(join(site.root, '..')) !== null
    default:
      return target satisfies never
  }
}
export interface Cost {
  fetch: number
  disk: number
  /** Largest disk use on the way. */
  peak: number
}
/** What is still to fetch and to write. */
export function costOf(target: Target, site: Site, choice: Choice = {}): Cost {
  if (isSetUp(target, site)) return { fetch: 0, disk: 0, peak: 0 }
  if (target === 'browser') return { fetch: 0, disk: BROWSER_DISK, peak: BROWSER_DISK }
  const left = partsOf(target, choice).filter(p => !whole(placeOf(site.root, p)))
  const disk = left.reduce((sum, p) => sum + p.disk, 0)
  return { fetch: left.reduce((sum, p) => sum + p.fetch, 0), disk, peak: disk + Math.max(0, ...left.map(p => p.working ?? 0)) }
}

/** Lines of `--dry-run`. */
export function dryRun(target: Target, site: Site, choice: Choice): string[] {
  const ready = isSetUp(target, site)
  const parts = partsOf(target, choice)
  const rows = parts.map(p => {
    const there = ready || whole(placeOf(site.root, p))
    return `  ${there ? '✓' : '·'} ${p.title.padEnd(64)} ${there ? 'is there' : `${bytes(p.fetch).padStart(7)} to fetch, ${bytes(p.disk).padStart(7)} on disk`}`
  })
  if (target === 'browser')
    rows.push(
      `  ${ready ? '✓' : '·'} ${`Chromium of the npm package @sparticuz/chromium ${BROWSER_VERSION}`.padEnd(64)} ${ready ? 'is there' : 'nothing to fetch'}`,
    )
  const cost = costOf(target, site, choice)
  const all = ready
    ? '  nothing to do'
    : `  in all ${bytes(cost.fetch)} to fetch, ${bytes(cost.disk)} on disk; ${bytes(site.free())} are free in ${site.root}`
  const own =
    target.startsWith('tfjs') && !ready ? ['  (TensorFlow comes from the publisher of tfjs-node instead where its host answers: about as much)'] : []
  return [target, ...rows, ...own, all]
}

/** Contents of every file, against the list made when it was set up. */
export async function verifyFiles(target: Target, site: Site): Promise<void> {
  if (!isSetUp(target, site)) throw new UserError(`${target} is not set up: npm run setup -- ${target}`)
  if (target === 'browser') return
  const root = target === 'ort-cuda' ? join(placedOrt(site.root)!.pkg, '..', '..') : join(placedTensorflow(site.root, target)!.pkg, '..', '..', '..')
  const cuda =
    target === 'tfjs-node'
      ? []
      : partsOf(target, {})
          .map(p => placeOf(site.root, p))
          .filter(p => existsSync(p))
  for (const dir of new Set([root, ...cuda])) {
    const bad = await damaged(dir)
    if (bad.length) throw new UserError(`${target} is damaged (${bad.slice(0, 3).join(', ')}); remove ${dir} and run npm run setup -- ${target}`)
  }
}

/** What `doctor` says of native parts: name, whether it is there, and a sentence. */
export interface SetupLine {
  name: string
  ready: boolean
  text: string
}
export async function setupLines(site: Site): Promise<SetupLine[]> {
  const gpu = findGpu()
  const [pip, compiler] = await Promise.all([findPip(site), findCompiler(site)])
  const cuda = systemCuda()
  const lines: SetupLine[] = [
    { name: 'NVIDIA driver', ready: !gpu.noDriver, text: gpu.noDriver ?? `${gpu.driver ?? 'version unknown'}` },
    {
      name: 'NVIDIA devices',
      ready: gpu.devices.length > 0,
      text: gpu.devices.map(d => `${d.name} (compute capability ${d.capability})`).join(', ') || gpu.words || 'none found',
    },
    { name: 'CUDA, cuDNN', ready: cuda.length > 0, text: cuda.length ? cuda.join(', ') : 'none on the system; setup brings its own into the cache' },
    { name: 'C++ compiler', ready: !!compiler, text: compiler ? compiler.version : 'none; needed for tfjs-node and tfjs-node-gpu' },
    { name: 'pip', ready: !!pip, text: pip ? `${pip.version} (${pip.command.join(' ')})` : 'none; needed for all but the browser' },
    { name: 'C library', ready: !!site.glibc, text: site.glibc ? `glibc ${site.glibc}` : 'not glibc' },
  ]
  for (const target of TARGETS) {
    const ready = isSetUp(target, site)
    const cost = costOf(target, site)
    const way = target === 'ort-cuda' ? inTheWay(gpu, '13') : target === 'tfjs-node-gpu' ? inTheWay(gpu, '11') : null
    const price = `npm run setup -- ${target}: ${cost.fetch ? `${bytes(cost.fetch)} to fetch, ` : ''}${bytes(cost.disk)} on disk`
    lines.push({ name: target, ready, text: `${ready ? 'set up' : price}${way ? `; of no use here: ${way.reason}` : ''}` })
  }
  return lines
}
