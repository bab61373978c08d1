/** Our own errors: they stop the run with one sentence that names the input and the way out. The runtimes' errors become verdicts instead. */
export class UserError extends Error {}

/** Levenshtein distance, for "did you mean". */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1))
    row = next
  }
  return row[b.length]!
}
export function nearest(word: string, names: Iterable<string>): string | undefined {
  return [...names].map(n => [distance(word, n), n] as const).sort((x, y) => x[0] - y[0] || (x[1] < y[1] ? -1 : 1))[0]?.[1]
}
/** What the operating system says, in a sentence that helps. */
export function fileError(what: string, path: string, error: unknown): UserError {
  const code = (error as NodeJS.ErrnoException).code
  const why =
    code === 'ENOSPC'
      ? 'the disk is full; free some space, nothing that was written is lost'
      : code === 'EACCES' || code === 'EPERM' || code === 'EROFS'
        ? 'it may not be written or read; choose another folder with --out or OPCOMPAT_CACHE'
        : code === 'ENOENT'
          ? 'there is no such file or folder'
          : code === 'ENOTDIR'
            ? 'a part of the path is a file, not a folder'
            : code === 'EMFILE'
              ? 'too many open files'
              : String((error as Error).message ?? error)
  return new UserError(`${what} ${path}: ${why}`)
}
/** A backend that is not set up on this machine: the true reason, and the command (or the thing) that would change it. */
export class NotHere extends Error {
  constructor(
    reason: string,
    readonly enable: string,
  ) {
    super(reason)
  }
}
