/** Wheels are zip archives: chosen members are unpacked, their CRC-32 checked. APPNOTE.TXT 6.3.10 §4.3 (structure), §4.5.3 (sizes beyond 4 GiB). */
import { closeSync, createReadStream, createWriteStream, fstatSync, mkdirSync, openSync, readSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import zlib from 'node:zlib'
import { UserError } from '../errors.ts'

interface Member {
  name: string
  method: number
  crc: number
  packed: number
  size: number
  at: number
}
const END = Buffer.from([0x50, 0x4b, 5, 6])
const ENTRY = 0x02014b50
const WIDE = 0xffffffff

function readAt(fd: number, at: number, length: number): Buffer {
  const b = Buffer.alloc(length)
  const n = readSync(fd, b, 0, length, at)
  if (n !== length) throw new UserError('the archive ends too early')
  return b
}
/** The central directory. */
function membersOf(fd: number): Member[] {
  const { size } = fstatSync(fd)
  const tailSize = Math.min(size, 65_557)
  const tail = readAt(fd, size - tailSize, tailSize)
  const end = tail.lastIndexOf(END)
  if (end < 0) throw new UserError('not a zip archive')
  const count = tail.readUInt16LE(end + 10)
  const directory = readAt(fd, tail.readUInt32LE(end + 16), tail.readUInt32LE(end + 12))
  const members: Member[] = []
  let p = 0
  for (let i = 0; i < count; i++) {
    if (directory.readUInt32LE(p) !== ENTRY) throw new UserError('the archive has no valid directory')
    const nameLength = directory.readUInt16LE(p + 28)
    const member = {
      method: directory.readUInt16LE(p + 10),
      crc: directory.readUInt32LE(p + 16),
      packed: directory.readUInt32LE(p + 20),
      size: directory.readUInt32LE(p + 24),
      at: directory.readUInt32LE(p + 42),
      name: directory.toString('utf8', p + 46, p + 46 + nameLength),
    }
    if (member.packed === WIDE || member.size === WIDE || member.at === WIDE) throw new UserError(`${member.name}: larger than 4 GiB`)
    members.push(member)
    p += 46 + nameLength + directory.readUInt16LE(p + 30) + directory.readUInt16LE(p + 32)
  }
  return members
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1
  return n >>> 0
})
function crcOf(data: Buffer, before: number): number {
  const native = (zlib as { crc32?: (data: Buffer, before: number) => number }).crc32 // Node 20.15, 22.2 and later
  if (native) return native(data, before)
  let crc = ~before >>> 0
  for (const byte of data) crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ byte) & 255]!
  return ~crc >>> 0
}

/**
 * Unpacks the members that `to` gives a path; shared libraries are made executable. Returns how many.
 * @param progress bytes unpacked so far, and of how many
 */
export async function unzip(
  file: string,
  to: (name: string) => string | null,
  progress: (done: number, of: number) => void = () => {},
): Promise<number> {
  const fd = openSync(file, 'r')
  try {
    const chosen = membersOf(fd).flatMap(m => {
      const path = m.name.endsWith('/') ? null : to(m.name)
      return path ? [{ ...m, path }] : []
    })
    const all = chosen.reduce((sum, m) => sum + m.size, 0)
    let done = 0
    for (const m of chosen) {
      mkdirSync(dirname(m.path), { recursive: true })
      const mode = /\.so(\.|$)/.test(m.name) ? 0o755 : 0o644
      const header = readAt(fd, m.at, 30)
      const start = m.at + 30 + header.readUInt16LE(26) + header.readUInt16LE(28)
      if (m.method !== 0 && m.method !== 8) throw new UserError(`${m.name}: packed by a method that zip archives of Python do not use (${m.method})`)
      if (m.packed === 0) {
        writeFileSync(m.path, '', { mode })
        continue
      }
      let crc = 0
      let size = 0
      const check = new Transform({
        transform(chunk: Buffer, _, next) {
          crc = crcOf(chunk, crc)
          size += chunk.length
          done += chunk.length
          progress(done, all)
          next(null, chunk)
        },
      })
      const source = createReadStream(file, { start, end: start + m.packed - 1, highWaterMark: 1 << 21 })
      const target = createWriteStream(m.path, { mode })
      if (m.method === 8) await pipeline(source, zlib.createInflateRaw({ chunkSize: 1 << 20 }), check, target)
      else await pipeline(source, check, target)
      if (crc !== m.crc || size !== m.size) throw new UserError(`${m.name}: the archive is damaged (its checksum differs)`)
    }
    return chosen.length
  } finally {
    closeSync(fd)
  }
}
