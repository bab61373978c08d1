/** From a smallest case to its rule: probes around it on the host, counterexamples on both sides of what was learned, fresh cases for the claim. */
import { createHash } from 'node:crypto'
import { say } from './atoms.ts'
import { type Facts, factsOf, resultFacts } from './facts.ts'
import type { Host } from './hosts/host.ts'
import type { Entry, Journal } from './journal.ts'
import { reference } from './judge.ts'
import { build, planned, type Raw } from './plan.ts'
import { Around, DEADLY, FAST, type Limits, needsResult, type Probe, SLOW } from './probes.ts'
import { learn, type Rule, ruleOf, type Sample } from './rules.ts'
import { content, strengthened } from './shrink.ts'
import { able, alike, Deaths, ends, listed, spoilsLater, type Turn, tryAll, type Way } from './trials.ts'
import { type Case, type Generator, isSlow, type Op, type Tensor, type Verdict } from './types.ts'

/** What a rule is learned for: one smallest case by one way. Equal causes have equal keys in every shard. */
export interface Cause extends Way {
  /** Kind of the defect; `unstable` where the bits differ from run to run though the failure stays. */
  kind: string
  op: Op
  generator: Generator
  raw: Raw
  case: Case
  verdict: Verdict
  /** Whether the outputs of another case are what this failure would give there; null: nothing to compare with. */
  explains?: ((c: Case, outputs: readonly (Tensor | null)[]) => boolean) | null
}
export const causeKey = (kind: string, c: Case, way: Way, raw: unknown): string =>
  `p-${createHash('sha256')
    .update(JSON.stringify([kind, c.op, content(c), c.valid, raw, way.backend, way.path, way.mode]))
    .digest('hex')
    .slice(0, 12)}`

/** Right more often than this on counterexamples: no further round. */
const GOOD = 0.02
const CHUNK = 16

/** Failures that end a process, or that make a page start its worker again, are probed least. */
const limitsOf = ({ verdict }: Cause, { backend }: Host): Limits =>
  ends(verdict, backend) || spoilsLater(verdict, backend) ? DEADLY : isSlow(backend) ? SLOW : FAST

export async function sharpen(
  cause: Cause,
  host: Host,
  journal: Journal,
  turn: Turn,
  over: () => boolean,
  limits: Limits = limitsOf(cause, host),
): Promise<Rule | null> {
  const key = causeKey(cause.kind, cause.case, cause, cause.raw)
  const { dialect } = host.backend
  const usable = (c: Case) => able(cause.op, c, dialect, cause.path)
  const smallest = factsOf(cause.case, resultOf(cause.op, cause.case))
  const samples: Sample[] = [{ id: cause.case.id, facts: smallest, fails: true }]
  const deaths = new Deaths(host.backend)
  const enough = () => over() || deaths.tooMany
  const run = (probes: readonly Probe[], step: 'learn' | 'check', attempt?: number) =>
    runProbes(cause, key, host, probes, { step, ...(attempt ? { attempt } : {}) }, journal, turn, enough, deaths)
  // with the smallest case's data a wrong place often holds the right value: such a pass says nothing about the rule
  const rich = strengthened(cause.generator, cause.raw, 'normal')
  const richer = rich && build(cause.op, cause.generator, rich)
  const seen = richer && usable(richer) ? await run([{ raw: rich, case: richer }], 'learn') : []
  samples.push(...seen)
  const telling = seen.some(s => s.fails)
  const around = new Around(cause.op, cause.generator, telling ? rich! : cause.raw, key, usable, telling)
  samples.push(...(await run(around.first(limits), 'learn')))
  if (over()) return null
  let predicate = learn(smallest, samples)
  const facts = (c: Case): Facts => (needsResult(predicate) ? factsOf(c, resultOf(cause.op, c)) : factsOf(c))
  for (let round = 0; round < limits.rounds && !enough(); round++) {
    const fresh = await run(around.sides(predicate, limits.side, facts), 'learn')
    samples.push(...fresh)
    const { support } = ruleOf(predicate, fresh, [])
    predicate = learn(smallest, samples)
    if (support.inside.passes + support.outside.fails <= GOOD * fresh.length) break
  }
  if (over()) return null
  for (let attempt = 1; ; attempt++) {
    const check = await run(around.sides(predicate, limits.check, facts), 'check', attempt)
    const rule = ruleOf(predicate, samples, check)
    if (rule.exact || attempt > limits.again || enough()) return rule
    const better = learn(smallest, [...samples, ...check])
    if (say(better) === say(predicate)) return rule
    samples.push(...check)
    predicate = better
  }
}

/** The rule again from journal lines: the same function of the same samples. */
export function ruleFrom(smallest: Entry, lines: readonly Entry[]): Rule | null {
  if (lines.length < 8) return null
  const facts = factsOf(smallest.case, smallest.facts)
  const sample = (e: Entry): Sample => ({ id: e.case.id, facts: factsOf(e.case, e.facts), fails: e.label === 'fails' })
  const known = lines.filter(e => e.label !== 'other')
  // cases of a claim that failed were learned from
  const last = Math.max(0, ...lines.map(e => e.attempt ?? 0))
  const fresh = (e: Entry) => e.step === 'check' && (e.attempt ?? 0) === last
  const samples = [{ id: smallest.case.id, facts, fails: true }, ...known.filter(e => !fresh(e)).map(sample)]
  return ruleOf(learn(facts, samples), samples, known.filter(fresh).map(sample))
}

export const resultOf = (op: Op, c: Case): Record<string, number> => (c.valid === false ? {} : resultFacts(reference(op, c).expected))

async function runProbes(
  cause: Cause,
  key: string,
  host: Host,
  probes: readonly Probe[],
  what: Pick<Entry, 'step' | 'attempt'>,
  journal: Journal,
  turn: Turn,
  over: () => boolean,
  deaths: Deaths,
): Promise<Sample[]> {
  const samples: Sample[] = []
  for (let at = 0; at < probes.length && !over(); at += CHUNK) {
    const jobs = probes.slice(at, at + CHUNK).map(x => ({ p: planned(cause.op, x.case, 0), path: cause.path, mode: cause.mode }))
    await tryAll(
      host,
      jobs,
      (i, { verdict, outcome, reference: ref }) => {
        const c = jobs[i]!.p.case
        deaths.note(verdict)
        const label = labelOf(cause, c, verdict, outcome.status === 'outputs' ? outcome.outputs : [])
        const facts = c.valid === false ? {} : resultFacts(ref.expected)
        if (label !== 'other') samples.push({ id: c.id, facts: factsOf(c, facts), fails: label === 'fails' })
        const { evidence: _, ...plain } = verdict
        journal.write({
          schema: 1,
          role: 'probe',
          case: c,
          backend: cause.backend,
          path: cause.path,
          mode: cause.mode,
          fingerprint: key,
          of: cause.case.id,
          verdict: plain,
          ...what,
          label,
          facts,
          ...listed(outcome, true),
        })
      },
      { turn },
    )
  }
  return samples
}

/** Another failure, a gap or a convention is left out: it is not a pass. */
function labelOf(cause: Cause, c: Case, verdict: Verdict, outputs: readonly (Tensor | null)[]): 'fails' | 'passes' | 'other' {
  if (verdict.kind === 'agree') return 'passes'
  if (!alike(verdict, cause.verdict)) return 'other'
  if (!cause.explains || !outputs.length) return 'fails'
  return cause.explains(c, outputs) ? 'fails' : 'other'
}
