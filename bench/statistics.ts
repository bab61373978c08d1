/** Floors, bootstrap intervals and verdicts. Pure: the same bursts give the same figures anywhere. Figures behind the choices: README.md. */
import { random } from '../harness/tensor.ts'
import type { Burst, Verdict } from './types.ts'

/** A difference has to lie wholly beyond this: processes that run the same thing differ by 1 to 2 %. */
export const MARGIN = 0.01
/** An interval inside this is called the same. */
export const SAME = 0.05
/** Launches go on until half of the interval is no wider than this. */
export const WANTED = 0.03
/** Standard deviation of the log ratio of two runs of the same thing at different times: p95 of 12 % (BENCH.md, finding 6). */
export const SESSION = 0.12 / 1.96
const DRAWS = 2000

export const quantile = (sorted: ArrayLike<number>, q: number): number => {
  const at = (sorted.length - 1) * q
  const i = Math.floor(at)
  const a = sorted[i] ?? NaN
  return i + 1 < sorted.length ? a + (at - i) * (sorted[i + 1]! - a) : a
}
export const sorted = (values: Iterable<number>): Float64Array => Float64Array.from(values).sort()
export const median = (values: Iterable<number>): number => quantile(sorted(values), 0.5)
export const mean = (values: readonly number[]): number => values.reduce((s, v) => s + v, 0) / values.length

/** values[launch][visit] */
export type Nested = readonly (readonly number[])[]

/** Bursts of one contender as launches of visits. */
export function visitsOf(bursts: readonly Burst[]): { launch: number; round: number; times: number[] }[] {
  const visits = new Map<string, { launch: number; round: number; times: number[] }>()
  for (const b of bursts) {
    const key = `${b.launch} ${b.round}`
    const known = visits.get(key)
    if (known) known.times.push(...b.times)
    else visits.set(key, { launch: b.launch, round: b.round, times: [...b.times] })
  }
  return [...visits.values()].sort((a, b) => a.launch - b.launch || a.round - b.round)
}
const floorOf = (times: readonly number[]): number => times.reduce((m, t) => Math.min(m, t), Infinity)
function nested<V extends { launch: number }>(visits: readonly V[], value: (v: V) => number): number[][] {
  const launches = new Map<number, number[]>()
  for (const v of visits) {
    const known = launches.get(v.launch)
    if (known) known.push(value(v))
    else launches.set(v.launch, [value(v)])
  }
  return [...launches.values()]
}

/**
 * Log ratio of the two floors of every visit that has both: drift hits both sides of a visit alike.
 * Positive: `a` takes longer.
 */
export function pairedLogs(a: readonly Burst[], b: readonly Burst[]): number[][] {
  const others = new Map(visitsOf(b).map(v => [`${v.launch} ${v.round}`, floorOf(v.times)]))
  const pairs = visitsOf(a).flatMap(v => {
    const other = others.get(`${v.launch} ${v.round}`)
    return other === undefined ? [] : [{ launch: v.launch, y: Math.log(floorOf(v.times) / other) }]
  })
  return nested(pairs, p => p.y)
}
export const logFloors = (bursts: readonly Burst[]): number[][] => nested(visitsOf(bursts), v => Math.log(floorOf(v.times)))

/** Mean over launches of the median visit: one visit beside a busy neighbour moves nothing. */
const centre = (values: Nested): number => mean(values.map(v => median(v)))

/**
 * 95 % interval of the centre: launches are drawn again, then visits within each. With n launches the bootstrap's spread is too small by √(n/(n − 1)),
 * which is put back. One launch says nothing of the spread between processes: the interval is then infinite.
 */
export function bootstrap(values: Nested, seed = 1): { estimate: number; low: number; high: number } {
  const estimate = centre(values)
  const n = values.length
  if (n < 2) return { estimate, low: -Infinity, high: Infinity }
  const next = random(seed)
  const draws = new Float64Array(DRAWS)
  const scratch = values.map(v => new Float64Array(v.length))
  for (let d = 0; d < DRAWS; d++) {
    let sum = 0
    for (let l = 0; l < n; l++) {
      const at = next() % n
      const launch = values[at]!
      const s = scratch[at]!
      for (let i = 0; i < s.length; i++) s[i] = launch[next() % launch.length]!
      s.sort()
      sum += quantile(s, 0.5)
    }
    draws[d] = sum / n
  }
  draws.sort()
  const wide = Math.sqrt(n / (n - 1))
  return { estimate, low: estimate + wide * (quantile(draws, 0.025) - estimate), high: estimate + wide * (quantile(draws, 0.975) - estimate) }
}

export interface Difference {
  verdict: Verdict
  /** time(a) / time(b) */
  ratio: number
  interval: readonly [number, number]
  /** Half of the interval, as a part: how far it is from what was wanted. */
  half: number
  /** Smallest difference that could have been called one. */
  detectable: number
}
export function verdictOf(low: number, high: number, margin = MARGIN, same = SAME): Verdict {
  if (low > Math.log1p(margin)) return 'slower'
  if (high < -Math.log1p(margin)) return 'faster'
  return low > -Math.log1p(same) && high < Math.log1p(same) ? 'same' : 'unresolved'
}
/** Is `a` faster or slower than `b`? */
export function difference(a: readonly Burst[], b: readonly Burst[], seed = 1): Difference {
  const logs = pairedLogs(a, b)
  if (!logs.length) return { verdict: 'unresolved', ratio: NaN, interval: [0, Infinity], half: Infinity, detectable: Infinity }
  return differenceOf(bootstrap(logs, seed))
}
export function differenceOf(i: { estimate: number; low: number; high: number }, margin = MARGIN, same = SAME): Difference {
  const half = (i.high - i.low) / 2
  return {
    verdict: verdictOf(i.low, i.high, margin, same),
    ratio: Math.exp(i.estimate),
    interval: [Math.exp(i.low), Math.exp(i.high)],
    half,
    detectable: Math.expm1(half + Math.log1p(margin)),
  }
}

export interface Figures {
  floorMs: number
  floorInterval: readonly [number, number]
  medianMs: number
  interval: readonly [number, number]
  p95Ms: number
  calls: number
  outliers: number
  launches: number
}
/** Figures of one contender. The floor is the (lower) middle one of the visits' floors, so that it cannot exceed the median of the calls. */
export function figuresOf(bursts: readonly Burst[]): Figures {
  const visits = visitsOf(bursts)
  const floors = sorted(visits.map(v => floorOf(v.times)))
  const calls = sorted(visits.flatMap(v => v.times))
  const medianMs = quantile(calls, 0.5)
  const floorMs = Math.min(medianMs, floors[Math.floor((floors.length - 1) / 2)]!)
  const around = (values: number[][], point: number): [number, number] => {
    const i = bootstrap(values)
    // with one launch there is no interval of processes: the range of the visits stands for it
    const flat = values.flat()
    const [low, high] = Number.isFinite(i.low) ? [i.low, i.high] : [Math.min(...flat), Math.max(...flat)]
    return [Math.min(point, Math.exp(low)), Math.max(point, Math.exp(high))]
  }
  return {
    floorMs,
    floorInterval: around(logFloors(bursts), floorMs),
    medianMs,
    interval: around(
      nested(visits, v => Math.log(median(v.times))),
      medianMs,
    ),
    p95Ms: quantile(calls, 0.95),
    calls: calls.length,
    outliers: calls.reduce((n, t) => n + (t > 3 * medianMs ? 1 : 0), 0),
    launches: new Set(visits.map(v => v.launch)).size,
  }
}

/** 95 % limits of a rate of which `hits` of `n` were seen (Wilson 1927): what a count can promise. */
export function binomialLimits(hits: number, n: number): [number, number] {
  if (!n) return [0, 1]
  const z = 1.96
  const p = hits / n
  const mid = p + (z * z) / (2 * n)
  const half = z * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n))
  return [Math.max(0, (mid - half) / (1 + (z * z) / n)), Math.min(1, (mid + half) / (1 + (z * z) / n))]
}
