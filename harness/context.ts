/** What a report needs beside the journal: operations, the catalogue that the run compares with (as copied into its folder), layers of models. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type KnownDefect, matcher, sameCause, statusOf } from './catalogue.ts'
import { observedOf } from './cluster.ts'
import { insteadOf } from './instead.ts'
import { reachOf } from './reach.ts'
import { codeOf, recipeOf } from './recipe.ts'
import { type Context, dialectOf } from './triage.ts'
import type { Op } from './types.ts'

/** Entries that the run compares with: history.json beside it. */
export function knownOf(dir: string): KnownDefect[] {
  const path = join(dir, 'history.json')
  if (!existsSync(path)) return []
  return (JSON.parse(readFileSync(path, 'utf8')) as { known?: KnownDefect[] }).known ?? []
}

export function contextOf(ops: ReadonlyMap<string, Op>, known: readonly KnownDefect[]): Context {
  return {
    ops,
    known,
    matcher: matcher(known, ops),
    statusOf,
    sameCause: sameCause(known, ops),
    insteadOf({ show, shrunk }) {
      const op = ops.get(show.case.op)
      if (!op || !shrunk || show.verdict.kind !== 'wrong' || show.case.operator) return null
      const found = insteadOf(op, show.case, observedOf(show))
      return found ? { name: found.name, sentence: found.sentence } : null
    },
    recipeOf(c, entries) {
      const op = ops.get(c.show.case.op)
      const found = c.shrunk ? recipeOf(c, entries) : null
      if (!op || !found) return found
      const code = codeOf(op, c.show.case, dialectOf(c.show.backend), found.path)
      return code ? { ...found, code } : found
    },
    reachOf(name, rule, backend, paths) {
      const op = ops.get(name)
      return op ? reachOf(op, rule.predicate, dialectOf(backend), paths) : []
    },
  }
}
