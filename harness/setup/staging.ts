/**
 * Parts of a setup in the cache. A part is made beside its place, listed (size and sha256 of every file) and renamed, so that a kill at any moment leaves
 * either the whole part or none; what a killed setup left behind is swept by the next one.
 */
import { createHash, randomBytes } from 'node:crypto'
import {
  createReadStream,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join, relative } from 'node:path'
import { fileError, UserError } from '../errors.ts'
import { makeFolder } from '../files.ts'
import { bytes, requireSpace, type Site } from './site.ts'

export interface Part {
  /** Folder below the cache's root; holds the hash of what went in, so that other contents have another name. */
  folder: string
  /** What the reader is told. */
  title: string
  /** Bytes to fetch, and bytes on disk once it is made; as good as they are known. */
  fetch: number
  disk: number
  /** Bytes that are needed on the way besides `disk` (an archive beside what it holds). */
  working?: number
  make: (stage: string, site: Site) => Promise<void>
  /** What is no longer needed once the part is in its place. */
  after?: (site: Site) => void
}

const SCHEMA = 1
const MANIFEST = 'manifest.json'
interface Manifest {
  schema: number
  /** Relative path → size in bytes and sha256. */
  files: Record<string, { size: number; sha256: string }>
}

export async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 22 })) hash.update(chunk as Buffer)
  return hash.digest('hex')
}
/** Regular files below a folder, sorted; links lead to files that are listed themselves. */
function filesOf(dir: string): string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter(f => f.isFile())
    .map(f => relative(dir, join(f.parentPath, f.name)))
    .filter(f => f !== MANIFEST)
    .sort()
}
async function list(dir: string): Promise<void> {
  const files: Manifest['files'] = {}
  for (const name of filesOf(dir)) {
    const path = join(dir, name)
    files[name] = { size: statSync(path).size, sha256: await sha256(path) }
  }
  if (!Object.keys(files).length) throw new Error('nothing was made')
  writeFileSync(join(dir, MANIFEST), `${JSON.stringify({ schema: SCHEMA, files } satisfies Manifest)}\n`)
}
function manifestOf(dir: string): Manifest | null {
  try {
    const read = JSON.parse(readFileSync(join(dir, MANIFEST), 'utf8')) as Manifest
    return read.schema === SCHEMA ? read : null
  } catch {
    return null
  }
}
export const placeOf = (root: string, part: Pick<Part, 'folder'>): string => join(root, part.folder)

/** Every listed file is there in its size: quick enough to be asked before every run. */
export function whole(dir: string): boolean {
  const manifest = manifestOf(dir)
  if (!manifest) return false
  return Object.entries(manifest.files).every(([name, { size }]) => {
    const found = lstatSync(join(dir, name), { throwIfNoEntry: false })
    return found?.isFile() && found.size === size
  })
}
/** Files that are missing or differ from the list, by their contents. */
export async function damaged(dir: string): Promise<string[]> {
  const manifest = manifestOf(dir)
  if (!manifest) return [MANIFEST]
  const bad: string[] = []
  for (const [name, { size, sha256: wanted }] of Object.entries(manifest.files)) {
    const path = join(dir, name)
    if (lstatSync(path, { throwIfNoEntry: false })?.size !== size || (await sha256(path)) !== wanted) bad.push(name)
  }
  return bad
}

/** `<folder>.part-<pid namespace>-<pid>-<random>`: says whose it is, so that it is swept only when that process is gone. */
const stageName = (folder: string) => `${folder}.part-${namespace()}-${process.pid}-${randomBytes(4).toString('hex')}`
const STAGE = /\.part-(\d+)-(\d+)-[0-9a-f]{8}$/
const DAY_MS = 86_400_000
function namespace(): string {
  try {
    return /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? '0'
  } catch {
    return '0'
  }
}
const living = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
/** Removes what killed setups left behind (with `own`, what this process has begun); another machine's or container's only when it is a day old. */
export function sweep(root: string, own = false): void {
  if (!existsSync(root)) return
  for (const name of readdirSync(root)) {
    const mark = STAGE.exec(name)
    if (!mark) continue
    const path = join(root, name)
    const gone =
      mark[1] === namespace()
        ? !living(Number(mark[2])) || (own && Number(mark[2]) === process.pid)
        : Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0) > DAY_MS
    if (gone) rmSync(path, { recursive: true, force: true })
  }
}

/** A folder of our own for what is not yet whole; removed whatever happens. */
export async function staged<T>(root: string, folder: string, work: (stage: string) => Promise<T>): Promise<T> {
  const stage = join(root, stageName(folder))
  try {
    makeFolder(root)
    mkdirSync(stage)
    return await work(stage)
  } catch (error) {
    throw error instanceof UserError || !(error as NodeJS.ErrnoException).code ? error : fileError('cannot write', stage, error)
  } finally {
    rmSync(stage, { recursive: true, force: true })
  }
}
/** Puts a finished folder or file into its place; a damaged one that stands there goes first. */
export function install(stage: string, place: string, good: (path: string) => boolean): void {
  mkdirSync(dirname(place), { recursive: true })
  if (existsSync(place) && !good(place)) {
    const old = stageName(place)
    renameSync(place, old)
    rmSync(old, { recursive: true, force: true })
  }
  try {
    renameSync(stage, place)
  } catch (error) {
    if (!good(place)) throw error // another setup was quicker: its part is as good
  }
}

/** Makes a part unless it is there; returns its place. */
export async function ensure(part: Part, site: Site): Promise<string> {
  const place = placeOf(site.root, part)
  if (whole(place)) {
    site.say(`  ✓ ${part.title}: is there`)
    part.after?.(site)
    return place
  }
  if (existsSync(place)) site.say(`  ! ${part.title}: damaged; it is made again`)
  requireSpace(site, part.title, part.disk + (part.working ?? 0))
  site.say(`  … ${part.title}${part.fetch ? ` (${bytes(part.fetch)} to fetch)` : ''}`)
  const started = Date.now()
  await staged(site.root, part.folder, async stage => {
    const made = join(stage, 'made')
    mkdirSync(made)
    await part.make(made, site)
    await list(made)
    install(made, place, whole)
  })
  part.after?.(site)
  site.say(`  ✓ ${part.title} (${((Date.now() - started) / 1000).toFixed(1)} s)`)
  return place
}

/**
 * One setup at a time on this machine and cache: a name in the kernel (an abstract socket), which goes with its process, so that no kill leaves a lock behind.
 * A second one waits. Where there are no such names parts are still made aside and renamed: two setups then only fetch twice.
 */
export async function alone<T>(site: Site, work: () => Promise<T>): Promise<T> {
  if (process.platform !== 'linux') return work()
  const path = `\0opcompat-setup-${createHash('sha256').update(site.root).digest('hex').slice(0, 32)}`
  let told = false
  for (;;) {
    const server = createServer(socket => socket.end(`${process.pid}\n`))
    const code = await new Promise<string | null>(resolve => {
      server.once('error', error => resolve((error as NodeJS.ErrnoException).code ?? 'unknown'))
      server.listen({ path }, () => resolve(null))
    })
    if (code !== 'EADDRINUSE') {
      server.unref()
      try {
        return await work()
      } finally {
        server.close()
      }
    }
    if (!told) site.say('another setup is at work on this cache; waiting for it')
    told = true
    await new Promise(resolve => setTimeout(resolve, 300))
  }
}
