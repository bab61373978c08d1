/** A pinned wheel, fetched by pip (or by uv, which can run pip): no Python of the wheel's own version is needed, nothing is installed. */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { UserError } from '../errors.ts'
import { unzip } from './archive.ts'
import type { Wheel } from './pins.ts'
import { atLeast, bytes, lastLines, program, type Site } from './site.ts'
import { type Part, sha256, staged } from './staging.ts'

/** Tags of Linux x64, newest glibc first; which of them a pinned wheel has is for its hash to say. */
const PLATFORMS = [
  'manylinux_2_28_x86_64',
  'manylinux_2_27_x86_64',
  'manylinux_2_17_x86_64',
  'manylinux2014_x86_64',
  'manylinux_2_12_x86_64',
  'manylinux2010_x86_64',
  'manylinux1_x86_64',
]
const CANDIDATES: readonly (readonly string[])[] = [
  ['python3', '-m', 'pip'],
  ['python', '-m', 'pip'],
  ['pip3'],
  ['pip'],
  ['uv', 'tool', 'run', 'pip'],
]

export interface Pip {
  command: readonly string[]
  version: string
}
/** The first pip that answers. */
export async function findPip(site: Site): Promise<Pip | null> {
  for (const command of CANDIDATES) {
    const ran = await program(site, command[0]!, [...command.slice(1), '--version'])
    const version = /^pip (\d+(?:\.\d+)*)/.exec(ran.out.trim())?.[1]
    if (ran.status === 0 && version) return { command, version }
  }
  return null
}
export const NO_PIP =
  'pip is needed to fetch packages from PyPI, and there is none: install it (Debian, Ubuntu: apt-get install python3-pip; Fedora: dnf install python3-pip; or uv)'

export const nameOf = (w: Wheel): string => `${w.project} ${w.version}`
const downloads = (site: Site) => join(site.root, 'downloads')
const kept = (w: Wheel, site: Site) => join(downloads(site), `${w.project}-${w.version}-${w.sha256.slice(0, 16)}.whl`)

function sizeBelow(dir: string): number {
  let sum = 0
  try {
    for (const f of readdirSync(dir, { recursive: true, withFileTypes: true }))
      if (f.isFile()) sum += statSync(join(f.parentPath, f.name), { throwIfNoEntry: false })?.size ?? 0
  } catch {
    // it is being changed at this moment; the next look counts
  }
  return sum
}
/** What went wrong, in a sentence that says what to do. */
function explain(w: Wheel, text: string): UserError {
  const what = `${nameOf(w)} could not be fetched`
  if (/DO NOT MATCH THE HASHES|hashes? mismatch/i.test(text))
    return new UserError(
      `${what}: what came is not the pinned file (sha256 ${w.sha256}); the download was cut short, or the package index holds another file. It was refused and nothing was installed; the same command tries again`,
    )
  if (/No space left|ENOSPC/i.test(text))
    return new UserError(`${what}: the disk is full; free some, or set OPCOMPAT_CACHE to a folder on another disk`)
  if (/No matching distribution|Could not find a version/i.test(text) && !/ConnectionError|NewConnectionError|Max retries|timed out/i.test(text))
    return new UserError(`${what}: the package index that pip uses does not have it\n${lastLines(text)}`)
  if (/IncompleteRead|Connection(Error|Reset)|ProtocolError|timed out|timeout|Max retries|Temporary failure|EOF|incomplete/i.test(text))
    return new UserError(`${what}: the connection broke; the same command goes on from the last whole file\n${lastLines(text)}`)
  return new UserError(`${what}: pip says\n${lastLines(text, 6)}`)
}
async function verify(w: Wheel, file: string): Promise<void> {
  const { size } = statSync(file)
  if (size !== w.size) throw new UserError(`${nameOf(w)} was refused: ${size} bytes came, ${w.size} are pinned`)
  const found = await sha256(file)
  if (found !== w.sha256) throw new UserError(`${nameOf(w)} was refused: its sha256 is ${found}, pinned is ${w.sha256}`)
}

/** Path of the verified wheel in the cache; it stays there until what is made of it is whole. */
export async function fetchWheel(w: Wheel, site: Site): Promise<string> {
  const file = kept(w, site)
  if (existsSync(file)) {
    try {
      await verify(w, file)
      return file
    } catch {
      rmSync(file, { force: true })
    }
  }
  const pip = await findPip(site)
  if (!pip) throw new UserError(NO_PIP)
  mkdirSync(downloads(site), { recursive: true })
  return staged(site.root, 'download', async stage => {
    const temporary = join(stage, 'temporary')
    const target = join(stage, 'wheel')
    mkdirSync(temporary)
    const list = join(stage, 'requirements.txt')
    writeFileSync(list, `${w.project}==${w.version} --hash=sha256:${w.sha256}\n`)
    const options = [
      'download',
      '--no-cache-dir',
      '--disable-pip-version-check',
      '--no-input',
      '--progress-bar',
      'off',
      '--require-hashes',
      '--no-deps',
    ]
    const wanted = ['--only-binary=:all:', '--implementation', 'cp', ...(w.python ? ['--python-version', w.python] : [])]
    const resume = atLeast(pip.version, '25.1') ? ['--resume-retries', '5'] : []
    const args = [...options, ...wanted, ...PLATFORMS.flatMap(p => ['--platform', p]), ...resume, '-d', target, '-r', list]
    const ran = await program(site, pip.command[0]!, [...pip.command.slice(1), ...args], {
      env: { TMPDIR: temporary },
      watch: () => site.progress(`fetching ${nameOf(w)}:`, Math.min(w.size, sizeBelow(stage)), w.size),
    })
    const wheel = existsSync(target) ? readdirSync(target).find(f => f.endsWith('.whl')) : undefined
    if (ran.status !== 0 || !wheel) throw explain(w, `${ran.err}\n${ran.out}`)
    await verify(w, join(target, wheel))
    renameSync(join(target, wheel), file)
    return file
  })
}
/** A part that holds chosen members of a wheel. */
export function wheelPart(w: Wheel, keep: (name: string) => string | null): Part {
  return {
    folder: `${w.project}-${w.version}-${w.sha256.slice(0, 8)}`,
    title: nameOf(w),
    fetch: w.size,
    disk: w.unpacked,
    working: w.size,
    async make(stage, site) {
      const file = await fetchWheel(w, site)
      const n = await unzip(
        file,
        name => {
          const to = keep(name)
          return to && join(stage, to)
        },
        (done, of) => site.progress(`unpacking ${nameOf(w)}:`, done, of),
      )
      if (!n) throw new UserError(`${nameOf(w)} (${bytes(w.size)}) does not hold what is looked for`)
    },
    after: site => rmSync(kept(w, site), { force: true }), // what was made of it is listed and can be checked
  }
}
/** The shared libraries of NVIDIA's wheels, in their own folders (`nvidia/<part>/lib`). */
export const cudaPart = (w: Wheel): Part => wheelPart(w, name => (/^nvidia\/[\w-]+\/lib\/[^/]+\.so[^/]*$/.test(name) ? name : null))
