/** Outputs against what the reference says of them. Each rule of `Expected` has its function; the ladder names the least freedom that explains an output. */

import { evidence } from './evidence.ts'
import type { Bench, Reference, Tolerance } from './judge.ts'
import { gamma, LARGEST } from './op.ts'
import { real, toJson64, unravel } from './tensor.ts'
import type { Arithmetic, Dialect, DType, Expected, Kind, Real, Tensor, Verdict } from './types.ts'

type Plain = Exclude<Expected, { rule: 'either' } | { rule: 'decisions' }>
type Finding = Verdict & { output: number }

const SEVERITY: readonly Kind[] = ['agree', 'not-compared', 'convention', 'precision', 'wrong', 'non-finite', 'dtype', 'shape']
const worse = (a: Kind, b: Kind) => SEVERITY.indexOf(a) - SEVERITY.indexOf(b)
const agree = (rung: string | null, worst: number | null): Verdict => ({ kind: 'agree', rung, worst, ambiguous: 0 })

/** The dtype that a runtime of this dialect returns for ONNX's. */
export function dtypeIn(dialect: Dialect, dtype: DType): DType {
  if (dialect === 'onnx') return dtype
  if (dtype === 'bool') return 'bool'
  return dtype === 'float16' || dtype === 'float64' || dtype === 'float32' ? 'float32' : 'int32'
}

/** All outputs that the path returns; the worst of them is the verdict. */
export function compare(ref: Reference, outputs: readonly (Tensor | null)[], bench: Bench): Verdict {
  const observed = outputs.map(t => (t ? real(t) : null))
  const first = ref.expected[0]
  if (first?.rule === 'decisions') {
    const r = first.refute(observed, bench.arithmetic)
    if (r.wrong)
      return { kind: r.kind ?? 'wrong', rung: null, worst: null, ambiguous: r.ambiguous, because: r.wrong, evidence: evidence(observed, null) }
    if (r.convention) return { kind: 'convention', rung: 'exact', worst: null, ambiguous: r.ambiguous, because: r.convention }
    return { ...agree('exact', null), ambiguous: r.ambiguous }
  }
  let result: Finding | null = null
  ref.expected.forEach((expected, j) => {
    const y = observed[j]
    if (!y) return
    const verdict = { ...one(expected, y, ref, j, bench), output: j }
    if (verdict.element) verdict.element = { ...verdict.element, output: j }
    if (!result) result = verdict
    else {
      const [up, down] = worse(verdict.kind, result.kind) > 0 ? [verdict, result] : [result, verdict]
      result = {
        ...up,
        worst: up.worst === null && down.worst === null ? null : Math.max(up.worst ?? 0, down.worst ?? 0),
        ambiguous: up.ambiguous + down.ambiguous,
        rung: up.rung === 'exact' && down.rung ? down.rung : up.rung,
      }
    }
  })
  if (!result) return { kind: 'not-compared', rung: null, worst: null, ambiguous: 0, because: 'no output that the reference knows' }
  const { output: _, ...verdict } = result as Finding
  return verdict
}

/** @param pick finds the same admissible answer in the reference on rounded inputs */
function one(expected: Expected, y: Real, ref: Reference, j: number, bench: Bench, pick: (e: Expected) => Expected = e => e): Verdict {
  if (expected.rule === 'decisions') throw new Error('`decisions` judges all outputs at once and must stand alone')
  if (expected.rule === 'either') {
    const verdicts = expected.options.map((o, n) =>
      one(o.expected, y, ref, j, bench, e => {
        const outer = pick(e)
        return outer.rule === 'either' ? (outer.options[n] ?? outer.options[0]!).expected : outer
      }),
    )
    // the first admissible answer counts; what it leaves open (a convention of its own, nothing comparable) is no finding either
    const at = verdicts.findIndex(v => v.kind === 'agree' || v.kind === 'convention' || v.kind === 'not-compared')
    if (at <= 0) return verdicts[0]!
    const because = verdicts[at]!.kind === 'convention' ? `${expected.options[at]!.name}; ${verdicts[at]!.because}` : expected.options[at]!.name
    return { ...verdicts[at]!, kind: 'convention', because }
  }
  const dtype = dtypeIn(bench.dialect, expected.dtype)
  if (y.dtype !== dtype)
    return {
      kind: 'dtype',
      rung: null,
      worst: null,
      ambiguous: 0,
      because: `${y.dtype}, the definition gives ${dtype}`,
      evidence: evidence([y], null, false),
    }
  if (y.shape.length !== expected.shape.length || y.shape.some((n, i) => n !== expected.shape[i]) || y.data.length !== expected.value.length)
    return {
      kind: 'shape',
      rung: null,
      worst: null,
      ambiguous: 0,
      because: `shape [${y.shape}], the definition gives [${expected.shape}]`,
      evidence: evidence([y], null, false),
    }
  return elements(expected, y, ref, j, bench, pick)
}

/** Half-precision outputs: every operation may round to 11 bits. */
export const inDtype = (a: Arithmetic, dtype: DType): Arithmetic =>
  dtype === 'float16' ? { ...a, u: Math.max(a.u, 2 ** -11) } : dtype === 'float64' && a.u === 2 ** -24 ? { ...a, u: 2 ** -53 } : a

const bounds = new WeakMap<Plain, { a: Arithmetic; integral: boolean; allowed: Float64Array }[]>()
/** Allowed error of one output under an arithmetic; NaN = not comparable. One reference serves many trials, and so do its bounds. */
export function allowedOf(e: Plain, a: Arithmetic, integral: boolean): Float64Array {
  const known = bounds.get(e)
  const found = known?.find(k => k.a === a && k.integral === integral)
  if (found) return found.allowed
  const allowed = derive(e, a, integral)
  if (known) known.push({ a, integral, allowed })
  else bounds.set(e, [{ a, integral, allowed }])
  return allowed
}
function derive(e: Plain, a: Arithmetic, integral: boolean): Float64Array {
  const size = e.value.length
  if (e.rule === 'exact') return new Float64Array(size)
  const b = inDtype(a, e.dtype)
  if (e.rule === 'error') return e.allowed(b)
  const out = new Float64Array(size)
  const half = e.dtype === 'float16'
  const eta = half ? (a.flushesSubnormals ? 2 ** -14 : 2 ** -24) : a.flushesSubnormals ? 2 ** -126 : 2 ** -149
  const largest = half ? 65504 : e.dtype === 'float64' ? Number.MAX_VALUE : LARGEST
  const exactBelow = half ? 2 ** 11 : 2 ** 24
  const also = e.also?.(b) ?? 0
  for (let i = 0; i < size; i++) {
    const k = e.terms[i]!
    const m = e.magnitude[i]!
    const g = gamma(k + also, b.u)
    if (!((1 + g) * (e.partial ? e.partial[i]! : m) < largest)) out[i] = NaN
    else if (integral && !e.also && m <= exactBelow) out[i] = 0
    else out[i] = g * m + k * eta * (1 + g) + (a.flushesSubnormals && e.spill ? e.spill[i]! : 0) + 2 ** -52 * k * m
  }
  return out
}

interface Tally {
  /** Largest error / allowed. */
  worst: number
  /** First element that the bound does not explain, −1: none. */
  bad: number
  count: number
  notCompared: number
  inexact: boolean
}
/** Walks the elements under one bound. `skip` marks those that are open. */
function tally(value: Float64Array, allowed: Float64Array, y: Float64Array, skip: Uint8Array | null, flush: boolean, tolerance?: Tolerance): Tally {
  const t: Tally = { worst: 0, bad: -1, count: 0, notCompared: 0, inexact: false }
  for (let i = 0; i < value.length; i++) {
    if (skip?.[i]) continue
    const v = value[i]!
    const w = y[i]!
    if (v === w || (v !== v && w !== w)) continue
    const limit = allowed[i]! + (tolerance ? tolerance.atol + tolerance.rtol * Math.abs(v) : 0)
    if (limit !== limit && Number.isFinite(v)) {
      t.notCompared++
      continue
    }
    const error = Math.abs(w - v)
    t.inexact = true
    if (error <= limit || (flush && w === 0 && Math.abs(v) < 2 ** -126)) {
      if (limit > 0) t.worst = Math.max(t.worst, error / limit)
      continue
    }
    if (t.bad < 0) t.bad = i
    t.count++
    if (error > 0 && limit > 0) t.worst = Math.max(t.worst, error / limit)
    else t.worst = Infinity
  }
  return t
}

function elements(e: Plain, y: Real, ref: Reference, j: number, bench: Bench, pick: (e: Expected) => Expected): Verdict {
  const { arithmetic: a } = bench
  const size = e.value.length
  const anyNonFinite = ref.nonFinite.some(Boolean)
  // Elements on which the text is silent are compared with its named answers, nothing else.
  let skip: Uint8Array | null = null
  let convention: string | null = null
  const openAt = (i: number) => {
    ;(skip ??= new Uint8Array(size))[i] = 1
  }
  for (const o of e.open ?? []) {
    const answers = Object.entries(o.answers ?? {})
    const fits = answers.map(() => true)
    let differs = false
    for (let i = 0; i < size; i++) {
      if (!o.at[i]) continue
      openAt(i)
      const w = y.data[i]!
      if (!equal(w, e.value[i]!)) differs = true
      answers.forEach(([, v], n) => {
        if (!equal(w, v[i]!)) fits[n] = false
      })
    }
    const named = fits.indexOf(true)
    // with NaN or an infinity among the inputs the report wants to know which answer a backend follows, also when it is the first one
    if (differs || (anyNonFinite && named >= 0 && o.at.some(Boolean)))
      convention ??= `${o.question}: ${named >= 0 ? answers[named]![0] : 'another answer'}`
  }
  // NaN and infinities among the inputs (products with padding are open in w; shader languages promise nothing).
  const weights = e.rule === 'dot' && ref.nonFinite.slice(1).some(Boolean)
  if (anyNonFinite && (!a.nonFiniteDefined || weights || e.rule !== 'exact')) {
    for (let i = 0; i < size; i++) {
      const [v, w] = [e.value[i]!, y.data[i]!]
      const loose = !a.nonFiniteDefined || weights || !Number.isFinite(v)
      if (!loose || skip?.[i] || (Number.isFinite(v) && Number.isFinite(w))) continue // finite on both sides: judged below
      openAt(i)
      if (!equal(w, v)) convention ??= `non-finite input: gives ${label(w)} where IEEE 754 arithmetic gives ${label(v)}`
      else if (weights) convention ??= 'non-finite weights: as IEEE 754 arithmetic'
    }
  }
  const allowed = allowedOf(e, a, ref.integral)
  const first = tally(e.value, allowed, y.data, skip, a.flushesSubnormals, bench.tolerance)
  const ambiguous = skip ? (skip as Uint8Array).reduce((n, v) => n + v, 0) : 0
  const common = { ambiguous, ...(first.notCompared ? { notCompared: first.notCompared } : {}) }
  const done = (kind: Kind, rung: string | null, t: Tally, because?: string): Verdict => ({
    kind,
    rung,
    worst: finite(t.worst),
    ...common,
    ...(because ? { because } : {}),
  })
  const passes = (rung: string, t: Tally) => {
    if (convention) return done('convention', rung, t, convention)
    if (first.notCompared === size && size > 0) return done('not-compared', null, t, 'a partial sum may overflow')
    return done('agree', rung, t)
  }
  if (first.bad < 0) return passes(first.inexact ? (e.dtype === 'float16' ? 'f16' : 'f32') : 'exact', first)
  const i = first.bad
  const element = {
    output: 0,
    index: unravel(i, e.shape),
    expected: toJson64(e.value[i]!),
    observed: toJson64(y.data[i]!),
    allowed: allowed[i]!,
  }
  // The ladder below the declared arithmetic.
  if (e.rule === 'error')
    for (const rung of e.rungs ?? []) {
      const t = tally(e.value, rung.allowed(inDtype(a, e.dtype)), y.data, skip, a.flushesSubnormals, bench.tolerance)
      if (t.bad < 0) return passes(rung.name, t)
    }
  if (e.rule === 'dot' && e.fast && a.declares?.includes('f32-fast')) {
    const t = tally(e.value, e.fast, y.data, skip, a.flushesSubnormals, bench.tolerance)
    if (t.bad < 0) return passes('f32-fast', t)
  }
  if (e.rule !== 'exact' && e.dtype === 'float32' && !bench.tolerance) {
    for (const [name, t] of lower(e, y, ref, j, a, skip, pick)) {
      if (t.bad >= 0 || t.notCompared === size) continue
      return a.declares?.includes(name)
        ? passes(name, t)
        : {
            ...done('precision', name, t, `explained by ${name} ${name.endsWith('accumulation') ? '' : 'inputs'}`.trim()),
            element,
            evidence: evidence([y], { expected: e, skip, allowed }),
          }
    }
  }
  const lostFinite = firstWhere(size, n => !skip?.[n] && Number.isFinite(e.value[n]!) && !Number.isFinite(y.data[n]!) && !Number.isNaN(allowed[n]!))
  if (lostFinite >= 0) {
    const at = { ...element, index: unravel(lostFinite, e.shape), expected: toJson64(e.value[lostFinite]!), observed: toJson64(y.data[lostFinite]!) }
    return {
      ...done('non-finite', null, first, `${first.count} of ${size} elements`),
      element: at,
      evidence: evidence([y], { expected: e, skip, allowed }),
    }
  }
  return {
    ...done('wrong', null, first, `${first.count} of ${size} elements differ beyond the bound`),
    element,
    evidence: evidence([y], { expected: e, skip, allowed }),
  }
}

/**
 * Rungs of lower precision, least freedom first. For sums: γ_k(2u) around the reference on rounded inputs (exact in float32); else the op's own bound at that
 * unit roundoff. A bias may be rounded or not, so that both references are asked.
 */
function* lower(
  e: Plain,
  y: Real,
  ref: Reference,
  j: number,
  a: Arithmetic,
  skip: Uint8Array | null,
  pick: (e: Expected) => Expected,
): Generator<[string, Tally]> {
  if (e.rule !== 'dot' || !gross(e, y.data, skip))
    for (const precision of ref.inputs.length > 2 ? ROUNDED : ROUNDED.slice(0, 4)) {
      const found = ref.rounded(precision)[j]
      const r = found && pick(found)
      if (!r || r.rule === 'either' || r.rule === 'decisions' || r.value.length !== e.value.length) continue
      const t = tally(r.value, allowedOf(r, doubled(a), ref.integral), y.data, skip, a.flushesSubnormals)
      if (t.bad >= 0 && r.rule === 'dot' && meanTerms(r.terms) > 256 && rms(y.data, r.value) < rms(y.data, e.value) / 8) t.bad = -1
      yield [precision.split('-')[0]!, t]
    }
  if (e.rule !== 'dot') return
  // nothing that half precision cannot hold; NaN and infinities are open above
  const peaks = ref.inputs.map(x => (x ? x.data.reduce((m, v) => (Number.isFinite(v) ? Math.max(m, Math.abs(v)) : m), 0) : 0))
  if (peaks.some(p => p >= 65520)) return
  const largest = peaks.reduce((sum, p) => sum + p, 0)
  // f16 accumulation: [(1 + 2⁻¹¹)²(1 + k·2⁻¹¹) − 1]·b + 2⁻²⁵·(Σ|x| + Σ|w| + k), the last sums bounded by what the case holds.
  const allowed = e.value.map((_, i) => {
    const k = e.terms[i]!
    const b = e.magnitude[i]!
    if (ref.integral && !e.also && b <= 2 ** 11) return 0 // integers up to 2¹¹ are exact in half precision, too
    return (1 + k * 2 ** -11) * (e.partial ? e.partial[i]! : b) < 65504
      ? ((1 + 2 ** -11) ** 2 * (1 + k * 2 ** -11) - 1) * b + (a.flushesSubnormals ? 2 ** -14 : 2 ** -25) * (largest * k + k)
      : NaN
  })
  yield ['f16-accumulation', tally(e.value, allowed, y.data, skip, a.flushesSubnormals)]
}
const ROUNDED = ['tf32', 'tf32-rz', 'f16', 'bf16', 'tf32-factors', 'f16-factors', 'bf16-factors']
/** Inputs in bfloat16 move a sum by at most (2·2⁻⁸ + 2⁻¹⁶)·Σ|x||w|, and its rounding by γ_k: what lies twice as far is no rung of inputs. */
function gross(e: Extract<Plain, { rule: 'dot' }>, y: Float64Array, skip: Uint8Array | null): boolean {
  for (let i = 0; i < y.length; i++) {
    const m = e.magnitude[i]!
    if (!skip?.[i] && m > 2 ** -100 && m < 2 ** 100 && Math.abs(y[i]! - e.value[i]!) > (2 ** -6 + 4 * gamma(e.terms[i]!, 2 ** -22)) * m) return true
  }
  return false
}
// One object for each arithmetic, so that bounds derived under it are found again.
const twice = new WeakMap<Arithmetic, Arithmetic>()
function doubled(a: Arithmetic): Arithmetic {
  let known = twice.get(a)
  if (!known) twice.set(a, (known = { ...a, u: 2 * a.u }))
  return known
}

/** Which elements of n a definition leaves open. */
export function openAt(e: Expected | undefined, n: number): (i: number) => boolean {
  if (!e || e.rule === 'decisions') return () => false
  if (e.rule === 'either') {
    const all = e.options.map(x => openAt(x.expected, n))
    return i => all.some(open => open(i))
  }
  const { open } = e
  return open && e.value.length === n ? i => open.some(x => x.at[i]) : () => false
}

const equal = (a: number, b: number) => a === b || (a !== a && b !== b)
const label = (v: number) => (Number.isFinite(v) ? 'a finite number' : String(v))
const finite = (v: number): number | null => (Number.isFinite(v) ? v : null)
const firstWhere = (size: number, is: (i: number) => boolean) => {
  for (let i = 0; i < size; i++) if (is(i)) return i
  return -1
}
const meanTerms = (terms: Float64Array) => terms.reduce((s, v) => s + v, 0) / Math.max(1, terms.length)
function rms(a: Float64Array, b: Float64Array): number {
  let s = 0
  for (let i = 0; i < a.length; i++) s += (a[i]! - b[i]!) ** 2
  return Math.sqrt(s / Math.max(1, a.length))
}
