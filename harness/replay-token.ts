/** Names under which a case can be replayed on any machine: a planned case is rebuilt from its id, any other carries itself in the name. */
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import { UserError } from './errors.ts'
import { contentId, parsePlanId } from './plan.ts'
import type { Past } from './stateful.ts'
import type { Case } from './types.ts'

export interface Way {
  backend: string
  path: string
  mode: string
}
/** `c-1-conv-17 --backends …` or `c-4f1d….<case> --backends …`; what an unstable trial needs before it is carried, too. */
export function replayToken(c: Case, way: Way, past?: Past): string {
  const carried = past ? { ...c, past } : c
  const name = parsePlanId(c.id) && !past ? c.id : `${contentId(c)}.${deflateRawSync(JSON.stringify(carried), { level: 9 }).toString('base64url')}`
  const quote = (s: string) => (/^[\w@.-]+$/.test(s) ? s : `'${s}'`)
  return `${name} --backends ${quote(way.backend)}${way.path ? ` --path ${quote(way.path)}` : ''}${way.mode ? ` --mode ${quote(way.mode)}` : ''}`
}
export function caseInToken(token: string): (Case & { past?: Past }) | null {
  const m = /^c-[0-9a-f]{10}\.([\w-]+)$/.exec(token)
  if (!m) return null
  try {
    return JSON.parse(inflateRawSync(Buffer.from(m[1]!, 'base64url')).toString()) as Case & { past?: Past }
  } catch {
    throw new UserError(`replay ${token.slice(0, 40)}…: the case in it is damaged; copy the whole command`)
  }
}
