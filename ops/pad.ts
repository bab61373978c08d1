/**
 * Each axis is extended by pads[i] elements before and pads[i + n] after it (n: number of axes listed); negative amounts remove elements first.
 * constant: `value`; edge: the nearest element; reflect: mirrored without the edge, again and again where the amount is larger (the operator page prints
 * such an example); wrap: periodic. (ONNX Pad-19) symmetric: mirrored with the edge. (TF.js mirrorPad)
 */

import { crossed, front, given, int64, moved, moveFields, node, numbersOf, range, say, shapeIn, someAxes, turned, typeOf } from '../harness/moves.ts'
import * as h from '../harness/op.ts'

/** `value`: what JSON cannot hold is a string. */
type A = { mode: string; pads: readonly number[]; axes?: readonly number[]; value?: number | string }
const fillOf = (a: A) => Number(a.value ?? 0)

// ── Cases ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const MODES = ['constant', 'reflect', 'edge', 'constant', 'symmetric', 'wrap', 'constant'] as const
const VALUES = [0, 0, 1, -2.5, 7, 1e-40, -0, Infinity, -Infinity, -3.4028234663852886e38, 1e30, 0.1] as const
const fields = {
  ...moveFields,
  mode: h.int(0, MODES.length - 1),
  amounts: h.ints(12, 0, 7), // 0, 1, 2, 3, n − 1, n; then negative
  signs: h.int(0, 3), // 0, 1: no negative amount; 2: some; 3: all
  image: h.int(0, 1), // batch and channels stay as they are
  far: h.int(0, 15), // 14, 15: an amount beyond the axis
  axes: h.int(0, 2), // 0: none; 1: all, 2: some are listed
  order: h.int(0, 63),
  back: h.int(0, 1),
  value: h.int(0, VALUES.length - 1),
  x: h.data(),
}
const valid = h.generator(fields, raw => {
  const mode = MODES[raw.mode]!
  const dtype = typeOf(raw)
  const shape = shapeIn(raw, { least: 1, most: 400, empty: mode === 'constant' })
  const rank = shape.length
  const listed = raw.axes === 0 ? range(rank) : someAxes(rank, raw.axes === 1 ? rank : 1 + (raw.order % rank), raw.order)
  let room = 3000 / Math.max(1, h.sizeOf(shape))
  const amount = (i: number, end: number, n: number): number => {
    const steps = raw.amounts[2 * i + end]!
    if (raw.image && rank === 4 && listed[i]! < 2) return 0
    if (raw.signs === 3 || (raw.signs === 2 && steps > 4)) return 0 - Math.min(Math.floor((n - (mode === 'constant' ? 0 : 1)) / 2), steps & 3)
    const longest = { constant: n + 3, edge: n + 3, reflect: n - 1, symmetric: n, wrap: n }[mode]
    const wanted = steps < 4 ? steps : steps < 6 ? n - 1 : n
    return Math.max(0, Math.min(longest, wanted, Math.floor((n * (room - 1)) / 2)))
  }
  const ends = listed.map((axis, i) => {
    const n = shape[axis]!
    const b = amount(i, 0, n)
    const e = amount(i, 1, n + Math.min(0, b))
    room /= (n + Math.max(0, b) + Math.max(0, e)) / Math.max(1, n)
    return [e < 0 ? Math.min(b, Math.max(0, n + e - 1)) : b, e] as [number, number]
  })
  if ((mode === 'wrap' && raw.far > 13) || (mode === 'reflect' && raw.far === 15)) {
    const i = listed.findIndex((axis, j) => shape[axis]! > 1 && shape[axis]! < 20 && ends[j]!.every(p => p >= 0))
    if (i >= 0) ends[i]![raw.back as 0 | 1] = shape[listed[i]!]! + 1 + (raw.order & 7)
  }
  const value = VALUES[raw.value]!
  return h.drawn<A>(
    {
      mode,
      pads: [...ends.map(e => e[0]!), ...ends.map(e => e[1]!)],
      ...(raw.axes ? { axes: listed.map(a => (raw.back ? a - rank : a)) } : {}),
      ...(mode === 'constant' && raw.value ? { value: h.toJson64(limited(value, dtype)) } : {}),
    },
    h.fill(fields.x, raw.x, shape, dtype),
  )
})
/** A number that the dtype holds. */
function limited(v: number, dtype: h.DType): number {
  if (dtype === 'float32') return Math.fround(v)
  if (dtype === 'float16') return h.toHalf(v)
  if (dtype === 'float64') return v
  return dtype === 'bool' ? (v ? 1 : 0) : Math.trunc(Math.max(dtype === 'uint8' ? 0 : -100, Math.min(100, v)))
}

const WRONG = ['count', 'crop', 'axis', 'mode', 'negative-tfjs', 'mirror-tfjs', 'fraction'] as const
const spoilt = { ...moveFields, wrong: h.int(0, WRONG.length - 1), at: h.int(0, 5), x: h.data('integers', 'normal') }
const invalid = h.generator(spoilt, raw => {
  const shape = shapeIn(raw, { least: 1, most: 200 })
  const rank = shape.length
  const at = raw.at % rank
  const pads = new Array<number>(2 * rank).fill(0)
  pads[at] = 1
  const x = h.fill(spoilt.x, raw.x, shape)
  const wrong = WRONG[raw.wrong]!
  if (wrong === 'count') return h.drawn<A>({ mode: 'constant', pads: pads.slice(0, -1) }, x)
  if (wrong === 'crop')
    return h.drawn<A>({ mode: 'constant', pads: pads.map((_, i) => (i === at ? -shape[at]! : i === at + rank ? -1 - raw.own : 0)) }, x)
  if (wrong === 'axis') return h.drawn<A>({ mode: 'constant', pads: [1, 1], axes: [raw.own & 1 ? rank : -rank - 1] }, x)
  if (wrong === 'mode') return h.drawn<A>({ mode: raw.own & 1 ? 'REFLECT' : 'mirror', pads }, x)
  if (wrong === 'negative-tfjs') return h.drawn<A>({ mode: 'constant', pads: pads.map(p => 0 - Math.min(p, shape[at]!)) }, x)
  if (wrong === 'mirror-tfjs') return h.drawn<A>({ mode: raw.own & 1 ? 'reflect' : 'symmetric', pads: pads.map(p => p * (shape[at]! + 1)) }, x)
  return h.drawn<A>({ mode: 'constant', pads: pads.map(p => p / 2) }, x)
})

// ── Reference ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** Amounts before and after every axis. */
function amounts(a: A, rank: number): [number, number][] {
  const out = range(rank).map((): [number, number] => [0, 0])
  const listed = a.axes ?? range(rank)
  listed.forEach((axis, i) => {
    out[front(axis, rank)] = [a.pads[i] ?? 0, a.pads[i + listed.length] ?? 0]
  })
  return out
}
const modulo = (i: number, n: number) => i - Math.floor(i / n) * n
/** Which element of an axis of n stands at position i, which may lie outside; −1: none. */
function mirrored(mode: string, i: number, n: number): number {
  if (i >= 0 && i < n) return i
  if (n === 0 || mode === 'constant') return -1
  if (mode === 'edge') return i < 0 ? 0 : n - 1
  if (mode === 'wrap') return modulo(i, n)
  if (mode === 'symmetric') return modulo(i, 2 * n) < n ? modulo(i, 2 * n) : 2 * n - 1 - modulo(i, 2 * n)
  if (n === 1) return 0
  const j = modulo(i, 2 * n - 2)
  return j < n ? j : 2 * n - 2 - j
}
function expect(a: A, x: h.Real): h.Expected[] {
  const ends = amounts(a, x.shape.length)
  const shape = x.shape.map((n, d) => Math.max(0, n + ends[d]![0] + ends[d]![1]))
  /** Elements are removed first, and what is left is extended; or the extended tensor is cut. */
  const walk = (cutFirst: boolean) =>
    crossed(
      x.shape,
      x.shape.map((n, d) => {
        const [b, e] = ends[d]!
        const first = cutFirst ? Math.max(0, -b) : 0
        const left = cutFirst ? Math.max(0, n - first - Math.max(0, -e)) : n
        return range(shape[d]!).map(i => {
          const at = mirrored(a.mode, i - b - first, left)
          return at < 0 ? -1 : at + first
        })
      }),
    )
  const value = limited(fillOf(a), x.dtype)
  const [main, other] = [walk(true), walk(false)]
  // Negative amounts are defined for whole tensors; what stands beside them in the other modes may be read either way.
  const unclear = a.mode === 'constant' ? new Uint8Array(0) : Uint8Array.from(main, (v, i) => (v !== other[i] ? 1 : 0))
  const [cut, whole] = [main, other].map(m => moved(x, shape, m, value)) as [
    h.Expected & { value: Float64Array },
    h.Expected & { value: Float64Array },
  ]
  const single = ends.some(([b, e], d) => a.mode === 'reflect' && x.shape[d] === 1 && (b > 0 || e > 0))
  const inside = crossed(
    x.shape,
    x.shape.map((n, d) => range(shape[d]!).map(i => mirrored('constant', i - ends[d]![0], n))),
  )
  return [
    {
      ...cut,
      open: [
        ...h.open('negative amounts in this mode', unclear, { 'cut first': cut.value, 'extended first': whole.value }),
        ...(single
          ? h.open(
              'the mirror image of a single element',
              Uint8Array.from(inside, i => (i < 0 ? 1 : 0)),
              { 'the element': cut.value },
            )
          : []),
      ],
    } as h.Expected,
  ]
}

// ── Lowerings ───────────────────────────────────────────────────────────────────────────────────────────────────────

function onnx(c: h.Case<A>): h.Lowering<h.OnnxForm>[] {
  const { mode, pads, axes } = c.attributes
  const x = c.inputs[0]!
  const rank = x.shape.length
  const ends = amounts(c.attributes, rank)
  const bad = c.valid === false
  if (pads.some(p => !Number.isInteger(p))) return [{ declined: 'amounts are integers in ONNX' }]
  if (mode === 'symmetric' && (bad || pads.some(p => p > 1 || p < 0))) return [{ declined: 'ONNX has no symmetric padding' }]
  if (bad && mode === 'constant' && !axes && pads.length === 2 * rank && ends.every(([b, e], d) => x.shape[d]! + b + e >= 0))
    return [{ declined: 'negative amounts crop in ONNX' }]
  if (bad && mode === 'reflect') return [{ declined: 'ONNX reflects again and again' }]
  const written = mode === 'symmetric' ? 'edge' : mode
  const value = fillOf(c.attributes)
  const fill = written === 'constant' ? h.tensor(x.dtype, [], [value]) : null
  const all = bad && !axes ? [...pads] : [...ends.map(e => e[0]), ...ends.map(e => e[1])]
  const least = axes ? 18 : mode === 'wrap' ? 19 : x.dtype === 'bool' ? 13 : 11
  const listed = axes ? int64(axes) : null
  const full = { op: 'Pad', attributes: { mode: written }, params: [int64(pads), fill, listed] }
  const base = Math.max(13, least)
  const paths = [say('node', { ...full, opset: base })]
  if (bad) return paths
  for (const opset of [19, 21, 23, 25].filter(o => o > base)) paths.push(say(`opset-${opset}`, { ...full, opset }))
  paths.push(say('fed-pads', { ...full, opset: base, fed: true }))
  const plain = {
    op: 'Pad',
    attributes: (written === 'constant' ? {} : { mode: written }) as h.Attributes,
    params: [int64(pads), Object.is(value, 0) ? null : fill, listed],
  }
  if (written === 'constant') paths.push(say('defaults', { ...plain, opset: base }))
  const listing = range(rank).filter(d => ends[d]![0] || ends[d]![1])
  const some = listing.length ? [...listing].reverse() : [0]
  const sorted = {
    params: [int64([...some.map(d => ends[d]![0]), ...some.map(d => ends[d]![1])]), fill, int64(some.map((d, i) => (i % 2 ? d : d - rank)))],
  }
  paths.push(say('axes-needed', { ...full, ...sorted, opset: Math.max(18, base) }))
  if (axes) paths.push(say('axes-resolved', { ...full, params: [int64(all), fill], opset: Math.max(13, mode === 'wrap' ? 19 : 13) }))
  const old = mode !== 'wrap' && x.dtype !== 'bool'
  if (old) paths.push(say('opset-11', { ...full, params: [int64(all), fill], opset: 11 }))
  if (old && x.dtype.startsWith('float') && Object.is(value, Math.fround(value)))
    paths.push(say('attributes-2', { op: 'Pad', opset: 9, attributes: { mode: written, pads: all, value } }))
  if (rank > 1) {
    const { perm, around } = turned(rank)
    const order = [...perm.map(d => ends[d]![0]), ...perm.map(d => ends[d]![1])]
    paths.push({
      ...say('between-transposes', { ...full, params: [int64(order), fill], opset: Math.max(13, mode === 'wrap' ? 19 : 13), around }),
    })
  }
  if (
    x.dtype === 'float32' &&
    rank === 4 &&
    h.sizeOf(x.shape) &&
    mode === 'constant' &&
    all.every(p => p >= 0) &&
    x.shape.every((n, d) => n + ends[d]![0] + ends[d]![1] > 0)
  )
    paths.push(...neighbours(c, all))
  return paths
}
/** Pad before a window of 1 × 1, which ONNX Runtime folds into it where the value is 0. */
function neighbours(c: h.Case<A>, all: readonly number[]): { path: string; form: h.OnnxForm }[] {
  const x = c.inputs[0]!
  const channels = x.shape[1]! + all[1]! + all[5]!
  const value = h.tensor('float32', [], [fillOf(c.attributes)])
  const before = node('Pad', ['x0', 'amounts', 'value'], 'padded')
  const constants = { amounts: int64(all), value }
  const window = (op: string, path: string) => ({
    path,
    form: { opset: 13, constants, nodes: [before, node(op, 'padded', 'y0', { kernel_shape: [1, 1] })] },
  })
  const w = h.tensor('float32', [channels, 1, 1, 1], new Array(channels).fill(1))
  return [
    {
      path: 'before-conv',
      form: { opset: 13, constants: { ...constants, w }, nodes: [before, node('Conv', ['padded', 'w'], 'y0', { group: channels })] },
    },
    ...(h.tame(x) && Math.abs(fillOf(c.attributes)) < 1e30
      ? [window('AveragePool', 'before-average-pool'), window('MaxPool', 'before-max-pool')]
      : []),
  ]
}

function tfjs(c: h.Case<A>): h.Lowering<h.TfjsForm>[] {
  const { mode, pads, axes } = c.attributes
  const x = c.inputs[0]!
  const rank = x.shape.length
  const value = fillOf(c.attributes)
  const ends = amounts(c.attributes, rank)
  if (c.valid === false) {
    if (axes || mode === 'REFLECT') return [{ declined: 'TF.js lists every axis and has two mirrors' }]
    if (mode !== 'constant') return [{ path: 'mirror-pad', form: h.plainly((tf, [t]) => tf.mirrorPad(t, ends, mode)) }]
    const rows = pads.length === 2 * rank ? ends : ends.slice(0, -1)
    return [{ path: 'pad', form: h.plainly((tf, [t]) => tf.pad(t, rows, value)) }]
  }
  const negative = pads.some(p => p < 0)
  const paths: h.Lowering<h.TfjsForm>[] = []
  const push = (path: string, call: (tf: any, t: any) => any) => paths.push({ path, form: h.plainly((tf, [t]) => call(tf, t)) })
  const spatial = rank === 4 && ends[0]!.every(p => p === 0) && ends[1]!.every(p => p === 0) && x.dtype !== 'bool'
  if (mode === 'constant' && !negative) {
    push('pad', (tf, t) => tf.pad(t, ends, value))
    if (!value) push('pad-no-value', (tf, t) => tf.pad(t, ends))
    if (rank === 1) push('pad1d', (tf, t) => tf.pad1d(t, ends[0], value))
    else if (rank <= 4) push(`pad${rank}d`, (tf, t) => tf[`pad${rank}d`](t, ends, value))
    if (rank > 1 && rank <= 4 && !value && ends[0]!.every(p => p === 0) && h.sizeOf(x.shape))
      push('space-to-batch', (tf, t) =>
        tf.spaceToBatchND(
          t,
          range(rank - 1).map(() => 1),
          ends.slice(1),
        ),
      )
    if (spatial && !value) paths.push(...layer('zeroPadding2d', 'padding', ends.slice(2)))
  }
  if (mode === 'constant' && pads.every(p => p <= 0) && spatial && x.shape.every((n, d) => n + ends[d]![0] + ends[d]![1] > 0))
    paths.push(
      ...layer(
        'cropping2D',
        'cropping',
        ends.slice(2).map(e => e.map(p => -p)),
      ),
    )
  if (mode === 'constant' && negative) {
    const begin = ends.map(([b]) => Math.max(0, -b))
    const size = x.shape.map((n, d) => n - begin[d]! - Math.max(0, -ends[d]![1]))
    if (size.every(n => n >= 0))
      push('slice-pad', (tf, t) =>
        tf.pad(
          tf.slice(t, begin, size),
          ends.map(e => e.map(p => Math.max(0, p))),
          value,
        ),
      )
    paths.push({
      path: 'pad-negative',
      naive: 'tf.pad knows no negative amounts: TensorFlow refuses them',
      form: h.plainly((tf, [t]) => tf.pad(t, ends, value)),
    })
  }
  if (mode !== 'constant' && !negative) {
    const fits = (off: number) => ends.every(e => e.every((p, i) => p <= x.shape[ends.indexOf(e)]! - off && i >= 0))
    if (mode === 'reflect' && fits(1)) push('mirror-pad', (tf, t) => tf.mirrorPad(t, ends, 'reflect'))
    if (mode === 'symmetric' && fits(0)) push('mirror-pad', (tf, t) => tf.mirrorPad(t, ends, 'symmetric'))
    if (mode === 'edge' && pads.every(p => p <= 1) && fits(0)) push('mirror-pad-symmetric', (tf, t) => tf.mirrorPad(t, ends, 'symmetric'))
    if (mode === 'edge' && fits(0) && pads.some(p => p > 1))
      paths.push({
        path: 'symmetric-for-edge',
        naive: 'symmetric mirrors: it is the edge for an amount of 1 only',
        form: h.plainly((tf, [t]) => tf.mirrorPad(t, ends, 'symmetric')),
      })
    push('gather', (tf, t) =>
      ends.reduce(
        (u, [b, e], d) =>
          b || e
            ? tf.gather(
                u,
                tf.tensor1d(
                  range(x.shape[d]! + b + e).map(i => mirrored(mode, i - b, x.shape[d]!)),
                  'int32',
                ),
                d,
              )
            : u,
        tf.clone(t),
      ),
    )
  }
  return paths.length ? paths : [{ declined: 'TF.js has no call for negative amounts in this mode' }]
}
/** The layers take rows and columns: two pairs, two numbers or one; images in both orders. */
function layer(name: string, argument: string, [rows, columns]: readonly (readonly number[])[]): { path: string; form: h.TfjsForm }[] {
  const same = (e: readonly number[]) => e[0] === e[1]
  const words = [
    ['pairs', [rows, columns]],
    ...(same(rows!) && same(columns!) ? [['numbers', [rows![0], columns![0]]]] : []),
    ...(same(rows!) && same(columns!) && rows![0] === columns![0] ? [['number', rows![0]]] : []),
  ] as [string, unknown][]
  const last = words.map(([word, v]) => ({
    path: `layers-${name}-${word}`,
    form: h.channelsLast(4, (tf, [t]) => tf.layers[name]({ [argument]: v }).apply(t)),
  }))
  const first = {
    path: `layers-${name}-channels-first`,
    form: h.plainly((tf, [t]) => tf.layers[name]({ [argument]: [rows, columns], dataFormat: 'channelsFirst' }).apply(t)),
  }
  return [...last, first]
}

export default h.defineOp<A>({
  name: 'pad',
  spec: [
    'https://onnx.ai/onnx/operators/onnx__Pad.html',
    'https://js.tensorflow.org/api/latest/#pad',
    'https://js.tensorflow.org/api/latest/#mirrorPad',
    'https://js.tensorflow.org/api/latest/#layers.zeroPadding2d',
  ],
  valid,
  invalid,
  operators: ['Pad'],
  fromOnnx(n) {
    const pads = numbersOf(n, 'pads', 1)
    if (!pads) return { declined: 'amounts that only the run knows' }
    const value = n.opset < 11 ? (n.attributes['value'] as number | undefined) : numbersOf(n, '', 2)?.[0]
    return {
      attributes: given({ mode: String(n.attributes['mode'] ?? 'constant'), pads, axes: numbersOf(n, '', 3), value }),
      inputs: n.inputs,
    }
  },
  expect: (a, [x]) => expect(a, x!),
  onnx,
  tfjs,
})
