/** What setup works with: the cache, the environment, and the words that it says. Tests hand in a site of their own. */
import { spawn } from 'node:child_process'
import { existsSync, readFileSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { cacheFolder } from '../cache.ts'
import { UserError } from '../errors.ts'

export interface Site {
  /** Everything native lies below this folder. */
  root: string
  env: NodeJS.ProcessEnv
  /** Bytes that may still be written there. */
  free: () => number
  /** Version of the C library, or null where it is not glibc. */
  glibc: string | null
  /** A line for the reader. */
  say: (line: string) => void
  /** Bytes done of a step that takes long; `of` 0: unknown. */
  progress: (what: string, done: number, of: number) => void
}

const TICK_MS = 500
export const SIZE_UNITS = ['B', 'kB', 'MB', 'GB'] as const
/** 207453921 → "207 MB" (powers of ten, as package registries count). */
export function bytes(n: number): string {
  let unit = 0
  let v = n
  while (v >= 999.5 && unit < SIZE_UNITS.length - 1) {
    v /= 1000
    unit++
  }
  return `${v < 10 && unit > 0 ? v.toFixed(1) : Math.round(v)} ${SIZE_UNITS[unit]}`
}

export const nativeRoot = (): string => join(cacheFolder(), 'native')

/** This machine; progress is a line that moves on a terminal, and a line now and then in a log. */
export function thisSite(out: NodeJS.WriteStream = process.stderr): Site {
  const live = !!out.isTTY
  let open = false
  let told = ''
  let at = 0
  const clear = () => {
    if (open) out.write(`\r${' '.repeat(78)}\r`)
    open = false
  }
  return {
    root: nativeRoot(),
    env: process.env,
    free: () => freeBytes(nativeRoot()),
    glibc: glibcVersion(),
    say(line) {
      clear()
      out.write(`${line}\n`)
    },
    progress(what, done, of) {
      const text = `    ${what} ${bytes(done)}${of ? ` of ${bytes(of)} (${Math.min(100, Math.floor((100 * done) / of))} %)` : ''}`
      if (live) {
        out.write(`\r${text.padEnd(78).slice(0, 78)}`)
        open = true
      } else if (text !== told && Date.now() - at > 5000) {
        out.write(`${text}\n`)
        at = Date.now()
      }
      told = text
    },
  }
}

/** Free bytes of the disk that holds a folder which may not exist yet. */
export function freeBytes(folder: string): number {
  let dir = folder
  while (!existsSync(dir) && dir !== join(dir, '..')) dir = join(dir, '..')
  const { bavail, bsize } = statfsSync(dir)
  return bavail * bsize
}
function glibcVersion(): string | null {
  if (process.platform !== 'linux') return null
  const { header } = process.report.getReport() as unknown as { header: { glibcVersionRuntime?: string } }
  return header.glibcVersionRuntime ?? null
}
/** Whether version `a` is at least `b`, number by number. */
export function atLeast(a: string, b: string): boolean {
  const x = a.split('.').map(Number)
  const y = b.split('.').map(Number)
  for (let i = 0; i < Math.max(x.length, y.length); i++) if ((x[i] ?? 0) !== (y[i] ?? 0)) return (x[i] ?? 0) > (y[i] ?? 0)
  return true
}

/** Linux x64 with a C library that is new enough, or the sentence that says what is in the way. */
export function requireSystem(site: Site, what: string, glibc: string, platform: string = `${process.platform}-${process.arch}`): void {
  if (platform !== 'linux-x64') throw new UserError(`${what} is set up on Linux x64 only; this is ${platform}`)
  if (site.glibc === null)
    throw new UserError(`${what} needs glibc ${glibc} or later; this system has another C library (musl?). A Debian or Ubuntu image works`)
  if (!atLeast(site.glibc, glibc))
    throw new UserError(`${what} needs glibc ${glibc} or later, this system has ${site.glibc}; a newer distribution (or container image) is needed`)
}
export function requireSpace(site: Site, what: string, needed: number): void {
  const free = site.free()
  if (free < needed)
    throw new UserError(
      `${what} needs ${bytes(needed)} of disk in ${site.root}, ${bytes(free)} are free; free some, or set OPCOMPAT_CACHE to a folder on another disk`,
    )
}

/** Programs that this process has started and that must not outlive it. */
const children = new Set<ReturnType<typeof spawn>>()
export function endPrograms(): void {
  for (const child of children) child.kill('SIGKILL')
}

export interface Ran {
  /** Exit status; null: it could not be started or was killed. */
  status: number | null
  out: string
  err: string
  /** Set where there is no such program. */
  missing: boolean
}
/** Runs a program to its end; `watch` is called while it runs. */
export function program(
  site: Site,
  command: string,
  args: readonly string[],
  o: { cwd?: string; env?: Record<string, string>; watch?: () => void } = {},
): Promise<Ran> {
  return new Promise(resolve => {
    const child = spawn(command, args, { cwd: o.cwd, env: { ...site.env, ...o.env }, stdio: ['ignore', 'pipe', 'pipe'] })
    children.add(child)
    const timer = o.watch && setInterval(o.watch, TICK_MS)
    const out: Buffer[] = []
    const err: Buffer[] = []
    child.stdout.on('data', (b: Buffer) => out.push(b))
    child.stderr.on('data', (b: Buffer) => err.push(b))
    const end = (status: number | null, missing: boolean, more = '') => {
      if (timer) clearInterval(timer)
      children.delete(child)
      resolve({ status, missing, out: Buffer.concat(out).toString(), err: Buffer.concat(err).toString() + more })
    }
    child.on('error', error => end(null, (error as NodeJS.ErrnoException).code === 'ENOENT', error.message))
    child.on('close', status => end(status, false))
  })
}
/** The last lines that say something, for a message. */
export const lastLines = (text: string, n = 3): string => text.trim().split('\n').slice(-n).join('\n').slice(-1500)

/** A package.json, read. */
export const packageOf = (folder: string): { version: string; name: string } => JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
