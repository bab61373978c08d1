/** Other published versions of a runtime's packages: installed by npm, each set into a folder of its own in the cache, only what is needed. */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { cacheFolder } from './cache.ts'
import { UserError } from './errors.ts'
import { makeFolder } from './files.ts'

const INSTALL_MS = 300_000

export interface Ran {
  code: number | null
  signal: string | null
  text: string
}
export function ran(command: string, args: readonly string[], cwd: string, ms: number): Promise<Ran> {
  return new Promise(resolve => {
    const child = spawn(command, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'], shell: process.platform === 'win32' && command === 'npm' })
    let text = ''
    const keep = (b: Buffer) => {
      text = (text + b.toString('utf8')).slice(-1_000_000)
    }
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    const timer = setTimeout(() => child.kill('SIGKILL'), ms)
    child.on('error', error => resolve({ code: 2, signal: null, text: error.message }))
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      resolve({ code, signal, text })
    })
  })
}

/** The folder that holds these packages (`name@version`); staged and renamed, so that a kill leaves nothing half done. Throws what npm says. */
export async function installed(packages: readonly string[]): Promise<string> {
  const base = join(cacheFolder(), 'versions')
  makeFolder(base)
  const dir = join(base, packages[0]!.replace(/[^\w.]+/g, '-').replace(/^-/, ''))
  if (existsSync(join(dir, 'installed'))) return dir
  const staged = `${dir}.${process.pid}`
  mkdirSync(staged, { recursive: true })
  writeFileSync(join(staged, 'package.json'), '{ "private": true, "type": "module" }\n')
  const r = await ran(
    'npm',
    ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--legacy-peer-deps', '--loglevel=error', ...packages],
    staged,
    INSTALL_MS,
  )
  if (r.code !== 0) {
    rmSync(staged, { recursive: true, force: true })
    const lines = r.text.split('\n').map(l => l.replace(/^npm (err!|error) (notarget )?/i, '').trim())
    const why = lines.find(l => /no matching version/i.test(l)) ?? lines.find(Boolean)
    throw new UserError(`npm cannot install ${packages.join(' ')}: ${why ?? `exit code ${r.code}`}`)
  }
  writeFileSync(join(staged, 'installed'), packages.join(' '))
  try {
    rmSync(dir, { recursive: true, force: true })
    renameSync(staged, dir)
  } catch (error) {
    rmSync(staged, { recursive: true, force: true })
    if (!existsSync(join(dir, 'installed'))) throw error // else another run was faster
  }
  return dir
}

/** Packages of TensorFlow.js hang together: one version for all of them. */
const TFJS = ['@tensorflow/tfjs', '@tensorflow/tfjs-backend-wasm', '@tensorflow/tfjs-backend-webgpu']
const SETS: Readonly<Record<string, readonly string[]>> = {
  'onnxruntime-node': ['onnxruntime-node'],
  'onnxruntime-web': ['onnxruntime-web'],
  ...Object.fromEntries(TFJS.map(name => [name, TFJS])),
}
/** Folder by what a package's name begins with. */
const instead: { belongs: RegExp; require: NodeJS.Require }[] = []

/** `--with onnxruntime-web@1.23.2,…`: from here on these versions run in the place of the project's own. */
export async function runWith(specs: readonly string[]): Promise<void> {
  for (const spec of specs) {
    const [, name, version] = /^(@?[^@]+)@(\d+\.\d+\.\d+\S*)$/.exec(spec) ?? []
    const set = name === undefined ? undefined : SETS[name]
    if (!set) throw new UserError(`--with ${spec}: give package@version, e.g. onnxruntime-web@1.23.2; packages: ${Object.keys(SETS).join(', ')}`)
    process.stderr.write(`${spec}: installing into the cache, where it is not there yet\n`)
    const dir = await installed(set.map(p => `${p}@${version}`))
    const belongs = name!.startsWith('@tensorflow/') ? /^@tensorflow\/tfjs(?!-node)/ : new RegExp(`^(${name}|onnxruntime-common)(/|$)`)
    instead.push({ belongs, require: createRequire(join(dir, 'package.json')) })
  }
}
/** A module's file as it is seen from `from`, or in the version that was asked for. */
export const resolveModule = (path: string, from: string): string =>
  (instead.find(i => i.belongs.test(path))?.require ?? createRequire(from)).resolve(path)
/** The folder from which packages of another version are bundled; null: the project's own. */
export function bundledFrom(path: string): string | null {
  const other = instead.find(i => i.belongs.test(path))
  return other ? other.require.resolve.paths('x')![0]!.replace(/node_modules$/, '') : null
}
