/**
 * The judge on trial: honest simulated backends must raise no alarm above their rung, lying ones must be caught.
 * Everything is a function of (seed, operation, number of cases).
 */
import { judge, reference } from './judge.ts'
import { attributeLies, LIES, type Lie, outputsOf } from './lies.ts'
import { HONEST, type Machine } from './machine.ts'
import { build, draw, rawOf } from './plan.ts'
import { real, tensor } from './tensor.ts'
import { type Case, ieee32, isFailing, type Op, type Outcome, type Real } from './types.ts'

export interface Trialled {
  op: string
  cases: number
  /** Honest outputs judged, and alarms among them. */
  honest: number
  falseAlarms: number
  lies: number
  caught: number
  /** Largest error/bound of an honest float32 evaluation; null for exact operations. */
  worst: number | null
  alarms: { machine: string; case: Case; because: string }[]
  survivors: string[]
  /** Lies that could never be told on any case of the operation are not counted. */
  told: Record<string, { cases: number; caught: number; first: number | null }>
}
const PER_CASE = 4
const WITHIN = 500

const asOutcome = (outputs: readonly (Real | null)[], checksum: number): Outcome => ({
  status: 'outputs',
  outputs: outputs.map(y => (y ? tensor(y.dtype, y.shape, y.data) : null)),
  checksum,
  ms: 0,
})

/** Half precision and its kin lose what lies outside their range: such a backend is not honest about this case at all, whatever its rung. */
function holds(m: Machine, ref: ReturnType<typeof reference>): boolean {
  if (m.rung === 'f32') return true
  // the rung of half-precision accumulators is defined for sums of products alone
  const plain = ref.expected.map(e => (e.rule === 'either' ? e.options[0]!.expected : e))
  if (m.rung === 'f16-accumulation' && plain.some(e => e.rule !== 'dot')) return false
  const half = m.rung.startsWith('f16')
  const [low, high] = half ? [2 ** -14, 2 ** 15] : [2 ** -100, 2 ** 100]
  const within = (v: number) => v === 0 || !Number.isFinite(v) || (Math.abs(v) >= low && Math.abs(v) <= high)
  const sums = plain.every(e => e.rule !== 'dot' || (e.partial ?? e.magnitude).every(v => !(v > high)))
  return (
    sums &&
    ref.inputs.every(x => !x || x.data.every(within)) &&
    plain.every(e => !('value' in e) || e.value.every(v => !(Number.isFinite(v) && Math.abs(v) > high)))
  )
}

/** The plainest case that the generator makes. */
function plainest(op: Op): Case {
  const zero = Object.fromEntries(
    Object.entries(op.valid.fields as Record<string, any>).map(([n, f]) => [
      n,
      f.kind === 'int' ? f.min : f.kind === 'ints' ? new Array(f.count).fill(f.min) : { kind: 0, at: 0 },
    ]),
  )
  return build(op, op.valid, zero)
}

export function calibrate(op: Op, cases: number, seed: number, progress?: (k: number) => void): Trialled {
  const plainOp = { ...op, invalid: undefined }
  const plain = plainest(op)
  const lies = [
    ...LIES,
    ...attributeLies(Object.keys(plain.attributes), plain.attributes),
    ...Object.entries(op.lies ?? {}).map(([name, tell]): Lie => ({ name, tell: (c, ref, right) => tell(c, right, ref.inputs) })),
  ]
  const result: Trialled = { op: op.name, cases, honest: 0, falseAlarms: 0, lies: 0, caught: 0, worst: null, alarms: [], survivors: [], told: {} }
  const open = new Set(lies)
  for (let k = 0; k < cases; k++) {
    progress?.(k)
    const c = build(plainOp, op.valid, rawOf(seed, plainOp, k))
    const ref = reference(op, c)
    const first = ref.expected[0]
    const right = first?.rule === 'decisions' ? decided(ref, first) : outputsOf(ref.expected)
    if (!right) continue
    for (let i = 0; i < (op.simulate ? PER_CASE : 1); i++) {
      const drawn = HONEST[(draw(seed, op.name, k, 'machine') + i * 4) % HONEST.length]!
      const m = holds(drawn, ref) ? drawn : HONEST[0]!
      const outputs = op.simulate ? op.simulate(c.attributes, ref.inputs, m) : right
      honest(result, c, ref, outputs, op.simulate ? m : HONEST[0]!)
    }
    if (k >= WITHIN && !open.size) continue
    for (const lie of [...open]) {
      const wrong = lie.tell(c, ref, right, op, draw(seed, op.name, k, lie.name))
      if (!wrong || same(wrong, right)) continue
      const tally = (result.told[lie.name] ??= { cases: 0, caught: 0, first: null })
      tally.cases++
      const verdict = judge(c, ref, asOutcome(wrong, ref.checksum), { arithmetic: ieee32, dialect: 'onnx' })
      if (!isFailing(verdict.kind)) continue
      tally.caught++
      tally.first ??= k
      open.delete(lie)
    }
  }
  const told = Object.entries(result.told)
  result.lies = told.length
  result.caught = told.filter(([, t]) => t.caught > 0 && t.first! < WITHIN).length
  result.survivors = told.filter(([, t]) => !(t.caught > 0 && t.first! < WITHIN)).map(([n]) => n)
  return result
}

function honest(result: Trialled, c: Case, ref: ReturnType<typeof reference>, outputs: readonly (Real | null)[], m: Machine): void {
  result.honest++
  const verdict = judge(c, ref, asOutcome(outputs, ref.checksum), { arithmetic: m.arithmetic, dialect: 'onnx' })
  if (m.rung === 'f32' && verdict.kind === 'agree' && verdict.worst) result.worst = Math.max(result.worst ?? 0, verdict.worst)
  if (!isFailing(verdict.kind) || (m.rung !== 'f32' && verdict.kind === 'precision')) return
  result.falseAlarms++
  if (result.alarms.length < 5)
    result.alarms.push({
      machine: m.name,
      case: c,
      because: `${verdict.kind}: ${verdict.because ?? ''} ${verdict.element ? `at [${verdict.element.index}] expected ${verdict.element.expected} observed ${verdict.element.observed} allowed ${verdict.element.allowed}` : ''}`,
    })
}

function decided(
  ref: ReturnType<typeof reference>,
  first: Extract<(typeof ref.expected)[number], { rule: 'decisions' }>,
): readonly (Real | null)[] | null {
  const answer = first.refute([], ieee32).expected
  return answer ? answer.map(a => ({ dtype: a.dtype, shape: a.shape, data: Float64Array.from(a.value) })) : null
}
function same(a: readonly (Real | null)[], b: readonly (Real | null)[]): boolean {
  return a.every((x, i) => {
    const y = b[i]
    if (!x || !y) return x === y
    const [p, q] = [real(tensor(x.dtype, x.shape, x.data)), real(tensor(y.dtype, y.shape, y.data))]
    return (
      p.dtype === q.dtype && p.shape.join() === q.shape.join() && p.data.every((v, n) => v === q.data[n] || (v !== v && q.data[n] !== q.data[n]!))
    )
  })
}
