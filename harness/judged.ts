/** Jobs on a host, each outcome judged once; on a renewable backend no verdict hangs on what ran before. */
import type { Host, Job } from './hosts/host.ts'
import { isFailing, type Outcome, type Verdict } from './types.ts'

/** Whether memory that an earlier trial has spoiled, or left behind, may be the reason of the verdict. A process that died is a fresh one already. */
const doubtful = (v: Verdict): boolean => v.kind === 'trap' || (isFailing(v.kind) && !['accepts-invalid', 'crash', 'hang'].includes(v.kind))

/** `done` hears every job once: in order, but those that a `renewable` backend has run again in a renewed runtime, and then from that run, last. */
export async function runJudged(
  host: Host,
  jobs: readonly Job[],
  deadlineMs: number,
  judged: (i: number, outcome: Outcome) => Verdict,
  done: (i: number, outcome: Outcome, verdict: Verdict) => void,
): Promise<void> {
  const again: number[] = []
  await host.run(jobs, deadlineMs, (i, outcome) => {
    const verdict = judged(i, outcome)
    if (host.backend.renewable && doubtful(verdict)) again.push(i)
    else done(i, outcome, verdict)
  })
  if (!again.length) return
  const renewed = again.map(i => ({ ...jobs[i]!, renewed: true as const }))
  await host.run(renewed, deadlineMs, (n, outcome) => done(again[n]!, outcome, judged(again[n]!, outcome)))
}
