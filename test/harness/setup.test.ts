/** Setup against a package index on this machine: what is fetched is verified, what is made is whole or absent, and every obstacle is one clear sentence. */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { setupCommand, targetsOf } from '../../harness/commands/setup.ts'
import { unzip } from '../../harness/setup/archive.ts'
import { pythonStandIns } from '../../harness/setup/compile.ts'
import type { Wheel } from '../../harness/setup/pins.ts'
import { addressOf, answers, download } from '../../harness/setup/publisher.ts'
import { atLeast, bytes, requireSystem, type Site, thisSite } from '../../harness/setup/site.ts'
import { alone, damaged, ensure, type Part, sweep, whole } from '../../harness/setup/staging.ts'
import { dryRun, TARGETS } from '../../harness/setup/targets.ts'
import { placedTensorflow, setupTensorflow } from '../../harness/setup/tensorflow.ts'
import { findPip, wheelPart } from '../../harness/setup/wheels.ts'
import { type FixtureServer, fixtureServer } from '../fixtures/setup/server.ts'
import { wheel, zip } from '../fixtures/setup/zip.ts'

const linux = process.platform === 'linux' && process.arch === 'x64'
const hash = (data: Buffer) => createHash('sha256').update(data).digest('hex')
const here = (name: string) => fileURLToPath(new URL(name, import.meta.url))

let server: FixtureServer
let base: string
let said: string[]
let site: Site
beforeAll(async () => {
  server = await fixtureServer()
})
afterAll(() => server.close())
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'opcompat-setup-'))
  said = []
  const env = {
    ...process.env,
    PIP_INDEX_URL: `${server.url}/simple/`,
    PIP_FIND_LINKS: '',
    PIP_EXTRA_INDEX_URL: '',
    PIP_CONFIG_FILE: '/dev/null',
    PIP_RETRIES: '0',
    PIP_DEFAULT_TIMEOUT: '10',
  }
  site = { ...thisSite(), root: join(base, 'native'), env, glibc: '2.36', free: () => 1e12, say: line => said.push(line), progress: () => {} }
  server.asked.length = 0
  server.cut.clear()
  server.files.clear()
})
afterEach(() => rmSync(base, { recursive: true, force: true }))

/** A program path that holds Node and these programs alone. */
function only(...programs: readonly string[]): NodeJS.ProcessEnv {
  const dir = join(base, 'bin')
  mkdirSync(dir)
  for (const p of programs) {
    const found = (process.env['PATH'] ?? '').split(':').find(d => existsSync(join(d, p)))
    if (found) symlinkSync(join(found, p), join(dir, p))
  }
  symlinkSync(process.execPath, join(dir, 'node'))
  return { ...site.env, PATH: dir, CXX: '' }
}
const content = { 'fixture/lib/libfixture.so.1': Buffer.alloc(200_000, 'library '), 'fixture/other.txt': 'not wanted' }
const FILE = 'opcompat_fixture-1.0-py3-none-any.whl'
/** A pinned wheel, and the part that holds its library. */
function fixture(o: { sent?: Buffer; sha256?: string; size?: number } = {}): Part {
  const data = wheel('opcompat-fixture', '1.0', content)
  server.files.set(FILE, o.sent ?? data)
  const w: Wheel = { project: 'opcompat-fixture', version: '1.0', size: o.size ?? data.length, sha256: o.sha256 ?? hash(data), unpacked: 200_000 }
  return wheelPart(w, name => (/\.so/.test(name) ? join('lib', name.split('/').at(-1)!) : null))
}
const nothingLeft = (root: string) => expect(existsSync(root) ? readdirSync(root).filter(f => f !== 'downloads') : []).toEqual([])
const fetched = () => server.asked.filter(a => a.includes('/files/')).length

describe('archives', () => {
  const file = () => join(base, 'x.zip')
  it.each([true, false])('chosen members only, deflated: %s', async deflated => {
    writeFileSync(file(), zip({ 'a/b.txt': 'hello', 'c.so': Buffer.alloc(100_000, 'x'), 'empty.txt': '' }, deflated))
    expect(await unzip(file(), name => (name === 'c.so' ? null : join(base, 'out', name)))).toBe(2)
    expect(readFileSync(join(base, 'out/a/b.txt'), 'utf8')).toBe('hello')
    expect(existsSync(join(base, 'out/c.so'))).toBe(false)
  })
  it('a changed byte is found', async () => {
    const data = zip({ a: Buffer.alloc(1000, 'x') }, false)
    data[500] = 0
    writeFileSync(file(), data)
    await expect(unzip(file(), () => join(base, 'a'))).rejects.toThrow(/checksum differs/)
  })
  it('half an archive is none', async () => {
    writeFileSync(file(), zip({ a: Buffer.alloc(1000, 'x') }, false).subarray(0, 600))
    await expect(unzip(file(), () => join(base, 'a'))).rejects.toThrow(/not a zip archive/)
  })
})

describe('wheels, through the real pip', async () => {
  const pip = await findPip(thisSite())
  it.runIf(pip)('fetched once, verified, listed; a second run asks for nothing', async () => {
    const part = fixture()
    const place = await ensure(part, site)
    expect(readFileSync(join(place, 'lib/libfixture.so.1'))).toEqual(content['fixture/lib/libfixture.so.1'])
    expect(readdirSync(place).sort()).toEqual(['lib', 'manifest.json'])
    expect(await damaged(place)).toEqual([])
    expect(readdirSync(join(site.root, 'downloads'))).toEqual([])
    const before = server.asked.length
    expect(await ensure(part, site)).toBe(place)
    expect(server.asked.length).toBe(before)
  })
  it.runIf(pip)('a wrong hash is refused', async () => {
    await expect(ensure(fixture({ sha256: hash(Buffer.from('something else')) }), site)).rejects.toThrow(/not the pinned file .* refused/)
    nothingLeft(site.root)
  })
  it.runIf(pip)('a wrong size is refused', async () => {
    await expect(ensure(fixture({ size: 17 }), site)).rejects.toThrow(/refused: \d+ bytes came, 17 are pinned/)
    nothingLeft(site.root)
  })
  it.runIf(pip)('an interrupted download leaves nothing; the same command goes on', async () => {
    const part = fixture()
    server.cut.set(FILE, 20)
    await expect(ensure(part, site)).rejects.toThrow(/connection broke; the same command goes on|cut short, .* the same command tries again/)
    nothingLeft(site.root)
    server.cut.clear()
    expect(whole(await ensure(part, site))).toBe(true)
  })
  it.runIf(pip)('an index without the package', async () => {
    const part = fixture()
    server.files.clear()
    await expect(ensure(part, site)).rejects.toThrow(/package index that pip uses does not have it/)
  })
  it.runIf(pip)('a verified wheel of a killed setup is not fetched again', async () => {
    const part = fixture()
    const stop = { ...part, make: async (stage: string, s: Site) => part.make(stage, s).then(() => Promise.reject(new Error('killed'))) }
    await expect(ensure(stop, site)).rejects.toThrow('killed')
    const before = fetched()
    await ensure(part, site)
    expect(fetched()).toBe(before)
  })
  it('no pip', async () => {
    site.env = only()
    await expect(ensure(fixture(), site)).rejects.toThrow(/pip is needed .* apt-get install python3-pip/)
    nothingLeft(site.root)
  })
})

describe('parts', () => {
  const part = (make: Part['make'] = async stage => writeFileSync(join(stage, 'a'), 'contents')): Part => ({
    folder: 'p-1',
    title: 'a part',
    fetch: 0,
    disk: 1000,
    make,
  })
  it('a full disk is said before anything is done', async () => {
    site.free = () => 999
    let made = 0
    await expect(
      ensure(
        part(async () => void made++),
        site,
      ),
    ).rejects.toThrow(/needs 1.0 kB of disk .* 999 B are free; .*OPCOMPAT_CACHE/)
    expect(made).toBe(0)
  })
  it('a disk that becomes full', async () => {
    const full = part(async () => Promise.reject(Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' })))
    await expect(ensure(full, site)).rejects.toThrow(/the disk is full/)
    nothingLeft(site.root)
  })
  it('a damaged part is made again', async () => {
    const place = await ensure(part(), site)
    writeFileSync(join(place, 'a'), 'Contents')
    expect(await damaged(place)).toEqual(['a'])
    writeFileSync(join(place, 'a'), 'shorter')
    expect(whole(place)).toBe(false)
    expect(readFileSync(join(await ensure(part(), site), 'a'), 'utf8')).toBe('contents')
    expect(readdirSync(site.root)).toEqual(['p-1'])
  })
  it('two setups at once make it once', async () => {
    let made = 0
    const slow = part(async stage => {
      made++
      await sleep(100)
      writeFileSync(join(stage, 'a'), 'contents')
    })
    await Promise.all([1, 2, 3].map(() => alone(site, () => ensure(slow, site))))
    expect(made).toBe(1)
    expect(said.some(l => /another setup is at work/.test(l))).toBe(linux)
  })
  it('without the lock both finish, too', async () => {
    const slow = part(async stage => {
      await sleep(50)
      writeFileSync(join(stage, 'a'), 'contents')
    })
    const places = await Promise.all([ensure(slow, site), ensure(slow, site)])
    expect(new Set(places).size).toBe(1)
    expect(readdirSync(site.root)).toEqual(['p-1'])
  })
  it.runIf(linux)('killed at any moment: nothing half done, nothing left, the next one works', async () => {
    const run = (ms: number | null) =>
      new Promise<number | null>(resolve => {
        const child = spawn(process.execPath, ['--import', 'tsx', here('../fixtures/setup/slow-part.ts'), site.root, '10'], {
          stdio: ['ignore', 'ignore', 'pipe'],
        })
        if (ms !== null) child.stderr.once('data', () => setTimeout(() => child.kill('SIGKILL'), ms))
        child.on('close', resolve)
      })
    for (const ms of [0, 40, 90, 150, 190, 210, 230]) {
      await run(ms)
      const place = join(site.root, 'slow-1')
      expect(!existsSync(place) || whole(place)).toBe(true)
      rmSync(place, { recursive: true, force: true })
    }
    expect(await run(null)).toBe(0)
    expect(readdirSync(site.root)).toEqual(['slow-1'])
  })
  it('what others have begun is not swept', () => {
    mkdirSync(join(site.root, `p.part-0-${process.pid}-01234567`), { recursive: true }) // another namespace, today
    sweep(site.root)
    expect(readdirSync(site.root)).toHaveLength(1)
  })
})

describe("the publisher's archive", () => {
  const data = Buffer.alloc(300_000, 'archive ')
  it('goes on where it stopped', async () => {
    server.files.set('x.tar.gz', data)
    server.cut.set('x.tar.gz', 1)
    const file = join(base, 'x')
    await download(`${server.url}/files/x.tar.gz`, file, hash(data), 'x', site)
    expect(readFileSync(file)).toEqual(data)
    expect(server.asked[1]).toMatch(/bytes=1\d{5}-$/)
  })
  it('a wrong hash is refused and forgotten', async () => {
    server.files.set('x.tar.gz', data)
    await expect(download(`${server.url}/files/x.tar.gz`, join(base, 'x'), hash(Buffer.from('')), 'x', site)).rejects.toThrow(/refused: its sha256/)
    expect(readdirSync(base).filter(f => f.startsWith('x'))).toEqual([])
  })
  it('a host that does not answer is not waited for', async () => {
    const start = Date.now()
    expect(await answers('http://127.0.0.1:1/x')).toBeNull()
    expect(await answers(`${server.url}/files/none`)).toBeNull()
    expect(Date.now() - start).toBeLessThan(4000)
  })
  it('the address is the one of the package, or of its variables', () => {
    const pkg = join(base, 'pkg')
    mkdirSync(join(pkg, 'scripts'), { recursive: true })
    writeFileSync(join(pkg, 'scripts/install.js'), "const BASE_HOST = CDN_STORAGE || 'http://host.invalid/';\n")
    const cpu = { archive: 'cpu-linux-x86_64', version: '2.9.1' } as never
    expect(addressOf(cpu, pkg, {})).toBe('http://host.invalid/tensorflow/libtensorflow/libtensorflow-cpu-linux-x86_64-2.9.1.tar.gz')
    expect(addressOf(cpu, pkg, { TFJS_NODE_BASE_URI: 'http://b/' })).toBe('http://b/cpu-linux-x86_64-2.9.1.tar.gz')
    expect(addressOf(cpu, join(base, 'none'), {})).toBeNull()
  })
})

describe('obstacles', () => {
  it.runIf(linux)('no compiler is said before anything is fetched', async () => {
    site.env = only('python3', 'pip', 'npm')
    await expect(setupTensorflow('tfjs-node', site)).rejects.toThrow(/C\+\+ compiler is needed .* apt-get install g\+\+/)
    expect(existsSync(site.root)).toBe(false)
  })
  it('an old or another C library, another system', () => {
    expect(() => requireSystem({ ...site, glibc: '2.12' }, 'x', '2.17', 'linux-x64')).toThrow(/needs glibc 2.17 or later, this system has 2.12/)
    expect(() => requireSystem({ ...site, glibc: null }, 'x', '2.17', 'linux-x64')).toThrow(/another C library/)
    expect(() => requireSystem(site, 'x', '2.17', 'darwin-arm64')).toThrow(/Linux x64 only; this is darwin-arm64/)
    expect([atLeast('2.9', '2.17'), atLeast('2.36', '2.17'), atLeast('2', '2.0')]).toEqual([false, true, true])
  })
  it('too little disk for all of it is said before anything is fetched', async () => {
    site.free = () => 600e6
    await expect(setupCommand(['tfjs-node'], {}, site)).rejects.toThrow(/tfjs-node needs 7\d\d MB of disk in .*, 600 MB are free/)
    expect(existsSync(site.root)).toBe(false)
  })
  it('unknown words', () => {
    expect(() => targetsOf(['tfjs-nodes'], site)).toThrow(/did you mean tfjs-node\?/)
    expect(() => targetsOf([], site)).toThrow(/what shall be set up/)
  })
  it('--check of what is not there', async () => {
    await expect(setupCommand(['tfjs-node'], { check: true }, site)).rejects.toThrow(/not set up: npm run setup -- tfjs-node/)
  })
})

it('--dry-run says what would be fetched and how big it is, and does nothing', () => {
  for (const target of TARGETS) expect(dryRun(target, site, {}).at(-1)).toMatch(/in all .* to fetch, .* on disk; .* are free|nothing to do/)
  expect(dryRun('tfjs-node', site, {}).join('\n')).toMatch(/tensorflow-cpu 2\.9\.1 +207 MB to fetch/)
  expect(existsSync(site.root)).toBe(false)
  expect([bytes(999), bytes(207_453_921), bytes(1_290_000_000)]).toEqual(['999 B', '207 MB', '1.3 GB'])
})
it("stand-ins for Python's symbols, and for nothing else", () => {
  const c = pythonStandIns('                 U PyTuple_Type\n U PyExc_ValueError\n U _PyObject_New\n U _Py_NoneStruct@V1\n U memcpy@GLIBC_2.14\n')
  expect(
    c
      .split('\n')
      .filter(l => /Py|mem/.test(l))
      .map(l => l.replace(/\(.*| = .*|\[.*/, '')),
  ).toEqual(['void *PyExc_ValueError', 'char PyTuple_Type', 'void *_PyObject_New', 'char _Py_NoneStruct'])
})
it('npm ci takes nothing away: what is set up lies in the cache', () => {
  const placed = placedTensorflow(thisSite().root, 'tfjs-node')
  if (placed) expect(dirname(placed.pkg).startsWith(thisSite().root)).toBe(true)
  expect(placedTensorflow(site.root, 'tfjs-node')).toBeNull()
})
