/**
 * What an outcome means. Pure: the same case, reference and outcome give the same verdict anywhere.
 * An alarm is a proof: every tolerance is derived from this case's own numbers; what cannot be proved wrong is not called wrong.
 */
import { compare, openAt } from './compare.ts'
import { checksum, fromJson64, real, realise, tensor, toBfloat16, toHalf, toTf32, unravel } from './tensor.ts'
import type { Arithmetic, Backend, Case, Dialect, Expected, Kind, Op, Outcome, Real, Tensor, Verdict } from './types.ts'
import { isFailing } from './types.ts'

/** Inputs of lower precision than the case's: the reference is evaluated again on them to name what a backend computed with. */
export const ROUNDINGS: Readonly<Record<string, (v: number) => number>> = {
  tf32: v => toTf32(v),
  'tf32-rz': v => toTf32(v, true),
  f16: toHalf,
  bf16: toBfloat16,
}

/** One evaluation of the reference; serves every backend that runs the case. */
export interface Reference {
  inputs: readonly (Real | null)[]
  /** Checksum of the inputs: a host that rebuilt others is not compared. */
  checksum: number
  expected: readonly Expected[]
  /** The reference on inputs rounded to this precision (`…-factors`: only the first two, without a bias), evaluated on demand. */
  rounded: (precision: string) => readonly Expected[]
  /** All input values are integers: sums below 2²⁴ are exact. */
  integral: boolean
  /** Inputs that hold NaN or an infinity. */
  nonFinite: readonly boolean[]
}

export function reference(op: Op, c: Case): Reference {
  const tensors = c.inputs.map(s => (s ? realise(s) : null))
  const inputs = tensors.map(t => (t ? real(t) : null))
  const cache = new Map<string, readonly Expected[]>()
  return {
    inputs,
    checksum: checksum(tensors),
    expected: c.valid === false ? [] : op.expect(c.attributes, inputs),
    rounded(precision) {
      let known = cache.get(precision)
      if (!known) {
        const [name, only] = precision.endsWith('-factors') ? [precision.slice(0, -8), 2] : [precision, Infinity]
        const round = ROUNDINGS[name]!
        const lower = inputs.map((x, i) =>
          x && i < only && x.dtype === 'float32' && x.data.some(v => round(v) !== v) ? { ...x, data: x.data.map(round) } : x,
        )
        // small integers lose nothing: the reference on them is the same
        cache.set(precision, (known = lower.every((x, i) => x === inputs[i]) ? this.expected : op.expect(c.attributes, lower)))
      }
      return known
    },
    integral: inputs.every(x => !x || x.data.every(Number.isInteger)),
    nonFinite: inputs.map(x => !!x && !x.data.every(Number.isFinite)),
  }
}

/** What the source of published numbers grants beyond our own bound. */
export interface Tolerance {
  rtol: number
  atol: number
}
export interface Bench {
  arithmetic: Arithmetic
  dialect: Dialect
  noKernel?: RegExp
  tolerance?: Tolerance
}
export const benchOf = (b: Backend): Bench => ({ arithmetic: b.arithmetic, dialect: b.dialect, noKernel: b.noKernel })

const says = (kind: Kind, because?: string, rest: Partial<Verdict> = {}): Verdict => ({
  kind,
  rung: null,
  worst: null,
  ambiguous: 0,
  ...rest,
  ...(because ? { because } : {}),
})

/** First line of a message, addresses and counters removed, so that the same failure reads the same everywhere. */
export const gist = (message: string): string =>
  (message.split('\n').find(l => l.trim()) ?? '')
    .replace(/\u001b\[[0-9;]*m/g, '')
    .replace(/0x[0-9a-f]{4,}/gi, '0x…')
    .replace(/(?:file:\/\/|\/)[^\s:'"]*\/([^\s/:'"]+)/g, '$1')
    .replace(/\b\d{5,}\b/g, '#')
    .trim()
    .slice(0, 300)

/**
 * @param c the canonical case; `valid: false` turns acceptance into the finding
 * @param naive the path is marked as not equivalent: a difference is a `trap`, not a defect
 */
export function judge(c: Case, ref: Reference, outcome: Outcome, bench: Bench, naive = false): Verdict {
  const verdict = plain(c, ref, outcome, bench)
  const excused = naive && isFailing(verdict.kind) && !['crash', 'hang', 'device-lost'].includes(verdict.kind)
  return excused ? { ...verdict, kind: 'trap' } : verdict
}

/**
 * A second call of the same session has to be as right as the first. Other bits alone are no finding: TF.js runs small tensors on the CPU until they are on the
 * GPU, and both may be admissible.
 */
function repeated(first: Verdict, { outputs, again }: Extract<Outcome, { status: 'outputs' }>, ref: Reference, bench: Bench): Verdict {
  if (!again) return first
  if ('instead' in again) return { ...first, kind: 'unstable', because: `a second call ${gist(again.instead)}` }
  const second = outputs.map(t => t && { ...t, data: t.data.slice() as Tensor['data'] })
  for (const [j, i, , v] of again.differs) second[j]!.data.set(tensor(second[j]!.dtype, [1], [fromJson64(v)]).data as any, i)
  if (isFailing(compare(ref, second, bench).kind) === isFailing(first.kind)) return first
  const [output, i, expected, observed] = again.differs.find(([j, i]) => !openAt(ref.expected[j], outputs[j]!.data.length)(i)) ?? again.differs[0]!
  const element = { output, index: unravel(i, outputs[output]!.shape), expected, observed }
  return { ...first, kind: 'unstable', because: 'a second call gives other bits', element }
}

function plain(c: Case, ref: Reference, outcome: Outcome, bench: Bench): Verdict {
  switch (outcome.status) {
    case 'not-run':
      return says('not-run', outcome.reason)
    case 'died':
      return says('crash', gist(`${outcome.how}: ${outcome.message}`))
    case 'out-of-memory':
      return says('crash', gist(`out of memory: ${outcome.message}`))
    case 'hung':
      return says('hang', `no answer within the deadline`)
    case 'device-lost':
      return says('device-lost', gist(outcome.message))
    case 'fell-back':
      return says('fallback', `ran on ${outcome.to}`)
    case 'threw':
      if (bench.noKernel?.test(outcome.message)) return says('gap', gist(outcome.message))
      return c.valid === false ? says('agree', `refused: ${gist(outcome.message)}`) : says('rejects-valid', gist(outcome.message))
    case 'outputs': {
      if (c.valid === false) {
        const shapes = outcome.outputs.map(t => (t ? `${t.dtype}[${t.shape}]` : 'nothing')).join(', ')
        return says('accepts-invalid', `returned ${shapes}`)
      }
      if (outcome.checksum !== ref.checksum) return says('not-run', 'the host rebuilt other inputs than the parent')
      const verdict = repeated(compare(ref, outcome.outputs, bench), outcome, ref, bench)
      return outcome.log && isFailing(verdict.kind) ? { ...verdict, because: `${verdict.because ?? ''} (console: ${gist(outcome.log)})` } : verdict
    }
    default:
      return outcome satisfies never
  }
}
