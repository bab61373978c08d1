/**
 * TensorFlow's library from the publisher of tfjs-node, where its host answers: the address is the one that the package's own install script names (with the
 * environment variables that it obeys), the file is pinned by its sha256, and an interrupted download goes on where it stopped.
 */
import { createWriteStream, existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { UserError } from '../errors.ts'
import type { PUBLISHER } from './pins.ts'
import { lastLines, program, type Site } from './site.ts'
import { type Part, sha256 } from './staging.ts'

type Archive = (typeof PUBLISHER)['cpu' | 'gpu']
const PROBE_MS = 3000
const ATTEMPTS = 3

/** Where scripts/install.js of the package would fetch the archive from: TFJS_NODE_BASE_URI, TFJS_NODE_CDN_STORAGE, else its own constant. */
export function addressOf(archive: Archive, pkg: string, env: NodeJS.ProcessEnv): string | null {
  const script = join(pkg, 'scripts', 'install.js')
  const text = existsSync(script) ? readFileSync(script, 'utf8') : ''
  const host = env['TFJS_NODE_CDN_STORAGE'] || env['CDN_STORAGE'] || /BASE_HOST\s*=\s*CDN_STORAGE\s*\|\|\s*'([^']+)'/.exec(text)?.[1]
  const base = env['TFJS_NODE_BASE_URI'] || (host && `${host}tensorflow/libtensorflow/libtensorflow-`)
  return base ? `${base}${archive.archive}-${archive.version}.tar.gz` : null
}
/** Size of the archive if its host answers soon; null: it does not. */
export async function answers(address: string): Promise<number | null> {
  try {
    const response = await fetch(address, { method: 'HEAD', signal: AbortSignal.timeout(PROBE_MS) })
    return response.ok ? Number(response.headers.get('content-length') ?? 0) : null
  } catch {
    return null
  }
}

/** Downloads into `<file>`, continuing what is there; the pinned hash decides whether it is kept. */
export async function download(address: string, file: string, pinned: string, what: string, site: Site): Promise<void> {
  const part = `${file}.unfinished`
  let reason = ''
  for (let i = 0; i < ATTEMPTS; i++) {
    const have = statSync(part, { throwIfNoEntry: false })?.size ?? 0
    try {
      const response = await fetch(address, have ? { headers: { range: `bytes=${have}-` } } : {})
      if (response.status === 416) {
        if ((await sha256(part)) !== pinned) rmSync(part, { force: true })
        else break
        continue
      }
      if (!response.ok || !response.body) throw new Error(`the host answers ${response.status}`)
      const goesOn = response.status === 206
      let done = goesOn ? have : 0
      const of = done + Number(response.headers.get('content-length') ?? 0)
      const body = Readable.fromWeb(response.body as never)
      body.on('data', (chunk: Buffer) => site.progress(`fetching ${what}:`, (done += chunk.length), of))
      await pipeline(body, createWriteStream(part, { flags: goesOn ? 'a' : 'w' }))
      reason = ''
      break
    } catch (error) {
      const e = error as NodeJS.ErrnoException & { cause?: Error }
      if (e.code === 'ENOSPC')
        throw new UserError(`${what} could not be fetched: the disk is full; free some, or set OPCOMPAT_CACHE to a folder on another disk`)
      reason = [e.message, e.cause?.message].filter(Boolean).join(': ')
    }
  }
  if (reason) throw new UserError(`${what} could not be fetched: the connection broke (${reason}); the same command goes on where it stopped`)
  const found = await sha256(part)
  if (found !== pinned) {
    rmSync(part, { force: true })
    throw new UserError(`${what} was refused: its sha256 is ${found}, pinned is ${pinned}`)
  }
  renameSync(part, file)
}

/** `lib/` and `include/` of the publisher's archive. */
export function publisherPart(archive: Archive, address: string, size: number): Part {
  const title = `libtensorflow ${archive.version} (${archive.archive}, from the publisher of tfjs-node)`
  const kept = (site: Site) => join(site.root, 'downloads', `libtensorflow-${archive.archive}-${archive.sha256.slice(0, 16)}.tar.gz`)
  return {
    folder: publisherFolder(archive),
    title,
    fetch: size,
    disk: archive.unpacked,
    working: size,
    async make(stage, site) {
      mkdirSync(join(site.root, 'downloads'), { recursive: true })
      const file = kept(site)
      if (!existsSync(file) || (await sha256(file)) !== archive.sha256) await download(address, file, archive.sha256, title, site)
      const ran = await program(site, 'tar', ['-xzf', file, '-C', stage])
      if (ran.missing) throw new UserError('tar is needed to unpack TensorFlow, and there is none: install it')
      if (ran.status !== 0) throw new UserError(`${title} could not be unpacked: ${lastLines(ran.err)}`)
    },
    after: site => rmSync(kept(site), { force: true }),
  }
}
export const publisherFolder = (archive: Archive): string => `libtensorflow-${archive.archive}-${archive.version}-${archive.sha256.slice(0, 8)}`
