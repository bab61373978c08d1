/** Folders and files of a run; every failure names the path and the way out. */
import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileError } from './errors.ts'

/** Makes a folder and its parents, one by one: Node's own recursive form never returns where the kernel says ENOENT for a folder that cannot exist (/proc). */
export function makeFolder(path: string, shown = path): void {
  try {
    const missing: string[] = []
    for (let dir = path; !existsSync(dir) && dirname(dir) !== dir; dir = dirname(dir)) missing.unshift(dir)
    for (const dir of missing)
      try {
        mkdirSync(dir)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      }
  } catch (error) {
    throw fileError('cannot make the folder', shown, error)
  }
}
/** Written beside its place and renamed: a kill leaves the old file or the new one. */
export function writeJson(path: string, value: unknown): void {
  try {
    writeFileSync(`${path}.part`, `${JSON.stringify(value, null, 1)}\n`)
    renameSync(`${path}.part`, path)
  } catch (error) {
    throw fileError('cannot write', path, error)
  }
}
