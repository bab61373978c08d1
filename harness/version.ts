/** Versions of this project and of the runtimes under test, as installed. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('..', import.meta.url))
export const VERSION: string = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')).version
