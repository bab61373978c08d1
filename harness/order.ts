/** The order of the plan, in which journals are sorted and representatives are chosen. */
import { rank } from './backends.ts'
import type { Entry } from './journal.ts'
import type { Role } from './types.ts'

const ROLES: readonly Role[] = ['plan', 'confirm', 'smallest', 'probe']
const text = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)
/** (k, op, backend, path, mode), lowest first. */
export const compareEntries = (a: Entry, b: Entry): number =>
  ROLES.indexOf(a.role) - ROLES.indexOf(b.role) ||
  (a.k ?? 0) - (b.k ?? 0) ||
  text(a.case.op, b.case.op) ||
  text(a.fingerprint ?? '', b.fingerprint ?? '') ||
  text(a.case.id, b.case.id) ||
  rank(a.backend) - rank(b.backend) ||
  text(a.path, b.path) ||
  text(a.mode, b.mode)
