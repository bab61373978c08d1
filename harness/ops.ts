/** The folder is the registry: every file of ops/ is loaded; a family's file exports a list. */
import { readdirSync } from 'node:fs'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { Op } from './types.ts'

export const OPS = fileURLToPath(new URL('../ops/', import.meta.url))

let loaded: Promise<ReadonlyMap<string, Op>> | undefined
/** All operations by name, sorted. */
export function loadOps(): Promise<ReadonlyMap<string, Op>> {
  loaded ??= (async () => {
    const files = readdirSync(OPS)
      .filter(f => f.endsWith('.ts'))
      .sort()
    const modules = await Promise.all(files.map(f => import(pathToFileURL(OPS + f).href)))
    const ops = modules.flatMap(m => [m.default].flat() as Op[])
    return new Map(ops.sort((a, b) => (a.name < b.name ? -1 : 1)).map(op => [op.name, op]))
  })()
  return loaded
}
/** The op that reads nodes of this ONNX operator. */
export function opFor(ops: ReadonlyMap<string, Op>, operator: string): Op | undefined {
  for (const op of ops.values()) if (op.operators?.includes(operator)) return op
  return undefined
}
