/**
 * What a rule may speak of: quantities of a case, computed generically from its attributes and the shapes, dtypes and recipes of its inputs.
 * Axis quantities are lists, one number a spatial axis. Names are the field's own words, because they are what a reader of a rule sees.
 */
import type { Attributes, Expected, Recipe, Shape, TensorSpec } from './types.ts'

export type Fact = number | string | readonly number[]
export type Facts = ReadonlyMap<string, Fact>
/** What facts are computed from: a case, or a layer of a model. */
export interface Described {
  attributes: Attributes
  inputs: readonly ((Pick<TensorSpec, 'dtype' | 'shape'> & { recipe?: Recipe }) | null)[]
  valid?: false
}

const product = (v: Shape) => v.reduce((a, b) => a * b, 1)
/** ONNX writes plurals; a rule speaks of one axis. */
const SINGULAR: Readonly<Record<string, string>> = {
  kernel_shape: 'kernel',
  strides: 'stride',
  dilations: 'dilation',
  scales: 'scale',
  sizes: 'target size',
}

/** The kind of data, as the generators name it. */
export function dataKind(r: Recipe | undefined): string {
  if (!r) return 'ordinary'
  if (r.kind === 'special')
    return `some ${r.value === 'NaN' ? 'NaN' : r.value === 'Infinity' || r.value === '-Infinity' ? 'infinite' : r.value === '-0' ? '-0' : 'extreme'}`
  if (r.kind === 'normal') return r.scale < 1e-10 ? 'tiny' : r.scale > 100 ? 'large' : 'ordinary'
  if (r.kind === 'uniform') return 'ordinary'
  if (r.kind === 'integers') return r.high < 0 ? 'negative integers' : 'integers'
  return r.kind
}

export function factsOf(c: Described, result?: Readonly<Record<string, number>>): Facts {
  const facts = new Map<string, Fact>()
  const x = c.inputs[0]
  const shape = x?.shape ?? []
  const rank = shape.length
  const spatial = Math.max(0, rank - 2)
  facts.set('call', c.valid === false ? 'invalid' : 'valid')
  facts.set('rank', rank)
  if (x) facts.set('dtype', x.dtype)
  facts.set('elements', product(shape))
  if (rank >= 3) {
    facts.set('batch', shape[0]!)
    facts.set('channels', shape[1]!)
    facts.set('size', shape.slice(2))
    facts.set('pixels', product(shape.slice(2)))
  }
  if (rank) facts.set('x0 shape', shape)
  c.inputs.forEach((s, i) => {
    if (s) facts.set(`x${i} data`, dataKind(s.recipe))
    if (!i) return
    facts.set(`x${i}`, s ? 'given' : 'absent')
    if (!s) return
    facts.set(`x${i} rank`, s.shape.length)
    s.shape.slice(0, 4).forEach((n, d) => {
      facts.set(`x${i} dim ${d}`, n)
    })
    if (x && s.dtype !== x.dtype) facts.set(`x${i} dtype`, s.dtype)
  })
  for (const [name, v] of Object.entries(c.attributes)) {
    const called = SINGULAR[name] ?? name
    if (v === null || v === undefined) continue // a number that JSON cannot hold
    if (typeof v !== 'object') {
      facts.set(called, v)
      if (name === 'axis' && typeof v === 'number' && rank) facts.set('axis from the end', v < 0 ? -v : rank - v)
    } else if (name === 'pads' && v.length % 2 === 0) {
      const half = v.length / 2
      facts.set('begin', v.slice(0, half))
      facts.set('end', v.slice(half))
    } else if (v.length) facts.set(called, v)
    else facts.set(`${called} entries`, 0)
  }
  windowFacts(facts, c.attributes, shape.slice(2), spatial)
  countFacts(facts, c)
  scaleFacts(facts, shape)
  for (const [name, v] of Object.entries(result ?? {})) if (typeof v === 'number') facts.set(name, v)
  return facts
}

const list = (facts: Facts, name: string): readonly number[] | undefined => {
  const v = facts.get(name)
  return typeof v === 'object' ? v : undefined
}

/** Windows over space: effective kernel, output size, span (what all windows of an axis reach over), total padding: also negative, where SAME asks for less than nothing. */
function windowFacts(facts: Map<string, Fact>, a: Attributes, sizes: Shape, spatial: number): void {
  const kernel = list(facts, 'kernel')
  const ones = new Array<number>(spatial).fill(1)
  const fits = (v: readonly number[] | undefined) => (v?.length === spatial ? v : undefined)
  const begin = list(facts, 'begin')
  const end = list(facts, 'end')
  if (begin && end && begin.length === end.length) {
    facts.set(
      'total padding',
      begin.map((b, i) => b + end[i]!),
    )
    facts.set(
      'begin − end',
      begin.map((b, i) => b - end[i]!),
    )
  }
  if (!kernel || kernel.length !== spatial || !spatial) return
  const stride = fits(list(facts, 'stride')) ?? ones
  const dilation = fits(list(facts, 'dilation')) ?? ones
  const effective = kernel.map((k, i) => (k - 1) * dilation[i]! + 1)
  const same = typeof a['auto_pad'] === 'string' && a['auto_pad'].startsWith('SAME')
  const declared = fits(begin) && fits(end) ? begin!.map((b, i) => b + end![i]!) : ones.map(() => 0)
  const left = sizes.map((n, i) => n + declared[i]! - effective[i]!)
  const up = a['ceil_mode'] === 1
  const out = sizes.map((n, i) => (same ? Math.ceil(n / stride[i]!) : Math.max(0, (up ? Math.ceil : Math.floor)(left[i]! / stride[i]!) + 1)))
  const span = out.map((o, i) => (o - 1) * stride[i]! + effective[i]!)
  facts.set('effective kernel', effective)
  facts.set('windows', out)
  facts.set('span', span)
  facts.set('kernel volume', product(kernel))
  if (same)
    facts.set(
      'total padding',
      span.map((s, i) => s - sizes[i]!),
    )
  else
    facts.set(
      'left over',
      span.map((s, i) => sizes[i]! + declared[i]! - s),
    )
}

/** Channels of a group, terms of a sum. */
function countFacts(facts: Map<string, Fact>, c: Described): void {
  const channels = facts.get('channels')
  const group = facts.get('group')
  const w = c.inputs[1]?.shape
  if (typeof group === 'number' && typeof channels === 'number' && group > 0) facts.set('channels per group', channels / group)
  if (typeof group === 'number' && w && w.length > 2) {
    facts.set('filters', w[0]!)
    if (group > 0) facts.set('filters per group', w[0]! / group)
  }
  if (w && w.length > 2 && w.length === c.inputs[0]?.shape.length) facts.set('terms of a sum', product(w.slice(1)))
}

/** Resizing: scales that are not whole, target sizes as scales, the fraction of the scaled size. */
function scaleFacts(facts: Map<string, Fact>, shape: Shape): void {
  const whole = (v: readonly number[]) => (v.length === shape.length ? shape : v.length === shape.length - 2 ? shape.slice(2) : undefined)
  const scale = list(facts, 'scale')
  const target = list(facts, 'target size')
  if (scale) {
    const from = whole(scale)
    if (from)
      facts.set(
        'fraction of the scaled size',
        scale.map((s, i) => Math.round((s * from[i]! - Math.floor(s * from[i]!)) * 1e6) / 1e6),
      )
  } else if (target) {
    const from = whole(target)
    if (from)
      facts.set(
        'scale',
        target.map((t, i) => t / from[i]!),
      )
  }
}

/** Facts of the expected output (not of the input): what a maximum, a NaN or a zero in it has to do with a failure. */
export function resultFacts(expected: readonly Expected[]): Record<string, number> {
  let first = expected[0]
  while (first?.rule === 'either') first = first.options[0]!.expected
  if (!first || first.rule === 'decisions') return {}
  let [least, most, nan, inf, nonzero] = [Infinity, -Infinity, 0, 0, 0]
  for (const v of first.value) {
    if (Number.isNaN(v)) nan = 1
    else if (!Number.isFinite(v)) inf = 1
    else {
      if (v < least) least = v
      if (v > most) most = v
      if (v !== 0) nonzero = 1
    }
  }
  const size = first.value.length
  return {
    'result elements': size,
    ...(least <= most ? { 'result minimum': least, 'result maximum': most } : {}),
    'result NaN': nan,
    'result infinite': inf,
    'result all zero': nonzero || nan || inf ? 0 : 1,
  }
}
export const isResultFact = (name: string): boolean => name.startsWith('result ')
