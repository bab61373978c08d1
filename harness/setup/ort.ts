/**
 * ort-cuda in the cache: a copy of the installed onnxruntime-node (its Linux x64 files only) with the CUDA provider of the very same commit beside it, and
 * the CUDA 13 libraries. The project's node_modules is not touched.
 */
import { createHash } from 'node:crypto'
import { copyFileSync, cpSync, existsSync, linkSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { UserError } from '../errors.ts'
import { CUDA_13, ORT_CUDA, ORT_PROVIDERS } from './pins.ts'
import { packageOf, program, requireSystem, type Site } from './site.ts'
import { ensure, type Part, placeOf, sha256, whole } from './staging.ts'
import { cudaLibraries } from './tensorflow.ts'
import { cudaPart, wheelPart } from './wheels.ts'

const RECIPE = 1
/** The wheel is manylinux_2_28. */
const GLIBC = '2.28'
const NATIVE = join('bin', 'napi-v6', 'linux', 'x64')
const WHEEL_LIBRARY = `libonnxruntime.so.${ORT_CUDA.version}`
const CUDA_PROVIDER = 'libonnxruntime_providers_cuda.so'

const providersPart = (): Part =>
  wheelPart(ORT_CUDA, name => {
    const file = /^onnxruntime\/capi\/([^/]+)$/.exec(name)?.[1]
    return file && (file in ORT_PROVIDERS || file === WHEEL_LIBRARY) ? file : null
  })

/** Folder of an installed package, found upwards from its entry. */
function installed(name: string): string {
  let dir: string
  try {
    dir = dirname(createRequire(import.meta.url).resolve(name))
  } catch {
    throw new UserError(`${name} is not installed: npm ci`)
  }
  while (!existsSync(join(dir, 'package.json')) || packageOf(dir).name !== name) {
    if (dirname(dir) === dir) throw new UserError(`${name} is not installed: npm ci`)
    dir = dirname(dir)
  }
  return dir
}
/** ONNX Runtime writes the commit that it was built from into every library. */
export const commitOf = (library: Buffer): string | null => /git-commit-id=([0-9a-f]+)/.exec(library.toString('latin1'))?.[1] ?? null

const buildFolder = (): string =>
  `ort-cuda-${ORT_CUDA.version}-${createHash('sha256').update(`${RECIPE} ${ORT_CUDA.sha256}`).digest('hex').slice(0, 8)}`
function buildPart(providers: string): Part {
  return {
    folder: buildFolder(),
    title: `onnxruntime-node ${ORT_CUDA.version} with its CUDA provider`,
    fetch: 0,
    disk: 50_000_000,
    async make(stage) {
      const from = installed('onnxruntime-node')
      const { version } = packageOf(from)
      if (version !== ORT_CUDA.version)
        throw new UserError(`onnxruntime-node ${version} is installed; the pinned CUDA provider is of ${ORT_CUDA.version} and fits no other: npm ci`)
      const to = join(stage, 'node_modules', 'onnxruntime-node')
      for (const name of ['package.json', 'dist', NATIVE]) cpSync(join(from, name), join(to, name), { recursive: true })
      cpSync(installed('onnxruntime-common'), join(stage, 'node_modules', 'onnxruntime-common'), { recursive: true })
      const own = commitOf(readFileSync(join(to, NATIVE, 'libonnxruntime.so.1')))
      const theirs = commitOf(readFileSync(join(providers, WHEEL_LIBRARY)))
      if (!own || own !== theirs) throw new UserError(`onnxruntime-node is of commit ${own}, the wheel of ${theirs}: the provider does not fit`)
      for (const [name, pinned] of Object.entries(ORT_PROVIDERS)) {
        const source = join(providers, name)
        if ((await sha256(source)) !== pinned) throw new UserError(`${name} of ${ORT_CUDA.project} was refused: its sha256 is not the pinned one`)
        try {
          linkSync(source, join(to, NATIVE, name))
        } catch {
          copyFileSync(source, join(to, NATIVE, name))
        }
      }
    },
  }
}

export interface PlacedOrt {
  pkg: string
  libraries: readonly string[]
}
export function placedOrt(root: string): PlacedOrt | null {
  const dir = join(root, buildFolder())
  if (!whole(dir) || !CUDA_13.every(w => whole(placeOf(root, cudaPart(w))))) return null
  return { pkg: join(dir, 'node_modules', 'onnxruntime-node'), libraries: cudaLibraries(root, CUDA_13) }
}
export const ortParts = (): Part[] => [providersPart(), ...CUDA_13.map(cudaPart), buildPart('')]

export async function setupOrt(site: Site): Promise<void> {
  requireSystem(site, 'ort-cuda', GLIBC)
  if (placedOrt(site.root)) return site.say(`  ✓ onnxruntime-node ${ORT_CUDA.version} with its CUDA provider: is there`)
  const providers = await ensure(providersPart(), site)
  for (const w of CUDA_13) await ensure(cudaPart(w), site)
  await ensure(buildPart(providers), site)
  const lacks = await missingLibraries(placedOrt(site.root)!, site)
  const other = lacks.filter(l => l !== 'libcuda.so.1')
  if (other.length) throw new UserError(`the CUDA provider still lacks ${other.join(', ')}`)
}
/** Libraries that the provider cannot find; `libcuda.so.1` comes with the driver alone. */
export async function missingLibraries(placed: PlacedOrt, site: Site): Promise<string[]> {
  const provider = join(placed.pkg, NATIVE, CUDA_PROVIDER)
  const ran = await program(site, 'ldd', [provider], { env: { LD_LIBRARY_PATH: placed.libraries.join(':') } })
  return [...ran.out.matchAll(/^\s*(\S+) => not found/gm)].map(m => m[1]!)
}
