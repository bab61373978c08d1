/**
 * y[r, c, i, j] = maximum of x[n, c] over the pixels of bin i, j of region r = (n, x1, y1, x2, y2): corners round(corner · spatial_scale), both inclusive, at least one pixel;
 * bin i covers rows ⌊i·height/h⌋ … ⌈(i + 1)·height/h⌉ − 1 from the first, cut off at the image; an empty bin is 0. (ONNX MaxRoiPool-22; Girshick, Fast R-CNN, 2015, §2.1)
 */
import {
  type Case,
  data,
  defineOp,
  drawn,
  type Expected,
  fill,
  type GivenNode,
  generator,
  int,
  ints,
  LARGEST,
  type Lowering,
  type OnnxForm,
  open,
  type Real,
  values,
  withoutDefaults,
} from '../harness/op.ts'
import { halfAway } from '../harness/sampling.ts'

type A = { pooled_shape: readonly number[]; spatial_scale: number }

// ── Cases ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const fields = {
  pooled: ints(2, 1, 7),
  scale: int(0, 4),
  batch: int(1, 2),
  channels: int(1, 5),
  size: ints(2, 1, 17),
  rois: int(1, 4),
  corner: ints(16, 0, 17),
  index: ints(4, 0, 1),
  x: data(),
}
const SCALES = [1, 0.5, 0.25, 0.0625, 0.3].map(Math.fround)
const valid = generator(fields, raw => {
  const scale = SCALES[raw.scale]!
  const rois = Array.from({ length: raw.rois }, (_, k) => {
    const c = raw.corner.slice(4 * k, 4 * k + 4)
    const span = (d: number) => [Math.min(c[d]!, c[d + 2]!), Math.max(c[d]!, c[d + 2]!)].map(v => Math.min(v, raw.size[1 - d]! - 1))
    const [x, y] = [span(0), span(1)]
    // A third of a pixel beside its centre: no corner lies near a half.
    const corners = [x[0]!, y[0]!, x[1]!, y[1]!].map((v, i) => Math.fround((v + (i % 2 ? 0.3 : 0)) / scale))
    return [Math.min(raw.index[k]!, raw.batch - 1), ...corners]
  })
  return drawn<A>(
    { pooled_shape: raw.pooled, spatial_scale: scale },
    fill(fields.x, raw.x, [raw.batch, raw.channels, ...raw.size]),
    values('float32', [raw.rois, 5], rois.flat()),
  )
})
const FAULTS = ['four columns', 'rank', 'image 2', 'image −1', 'pooled 0', 'pooled −1', 'one pooled axis', 'image rank'] as const
const spoilt = { fault: int(0, FAULTS.length - 1), size: ints(2, 2, 6), x: data('integers') }
/** One fault each. */
const invalid = generator(spoilt, raw => {
  const fault = FAULTS[raw.fault]!
  const rois = fault === 'four columns' ? [2, 4] : fault === 'rank' ? [10] : [2, 5]
  const n = fault === 'image 2' ? 2 : fault === 'image −1' ? -1 : 0
  const pooled_shape = fault === 'pooled 0' ? [0, 2] : fault === 'pooled −1' ? [2, -1] : fault === 'one pooled axis' ? [2] : [2, 2]
  return drawn<A>(
    { pooled_shape, spatial_scale: 1 },
    fill(spoilt.x, raw.x, [2, ...(fault === 'image rank' ? [] : [1]), ...raw.size]),
    values('float32', rois, [n, 0, 0, 1, 1]),
  )
})

// ── Reference ───────────────────────────────────────────────────────────────────────────────────────────────────────

function expect(a: A, [x, rois]: readonly (Real | null)[]): Expected[] {
  const [batch, channels, height, width] = x!.shape as [number, number, number, number]
  const [rows, columns] = a.pooled_shape as [number, number]
  const regions = rois!.shape[0]!
  const size = regions * channels * rows * columns
  const [value, other] = [new Float64Array(size), new Float64Array(size)]
  const [jump, nan] = [new Uint8Array(size), new Uint8Array(size)]
  for (let r = 0; r < regions; r++) {
    const row = rois!.data.subarray(5 * r, 5 * r + 5)
    const scaled = row.map((v, i) => (i === 0 ? v : v * a.spatial_scale))
    const [n, x1, y1, x2, y2] = scaled.map((v, i) => (i === 0 ? v : halfAway(v))) as unknown as [number, number, number, number, number]
    const half = scaled.subarray(1).some(v => Math.abs(v - Math.floor(v) - 0.5) <= 2 ** -22 * (Math.abs(v) + 1))
    if (n < 0 || n >= batch) throw new Error('max-roi-pool: a region of an image that is not there')
    /** First pixel of bin i and the one behind its last: exact quotients, and those of float32 where a bin does not end on a whole pixel. */
    const bins = (start: number, end: number, out: number, limit: number, i: number, rounded: boolean) => {
      const length = Math.max(1, end - start + 1)
      const bin = Math.fround(length / out)
      const [from, to] = rounded ? [Math.fround(i * bin), Math.fround((i + 1) * bin)] : [(i * length) / out, ((i + 1) * length) / out]
      return [Math.floor(from), Math.ceil(to)].map(v => Math.max(0, Math.min(limit, v + start))) as [number, number]
    }
    for (let i = 0; i < rows; i++)
      for (let j = 0; j < columns; j++) {
        const both = [false, true].map(f => [bins(y1, y2, rows, height, i, f), bins(x1, x2, columns, width, j, f)] as const)
        const differs = both[0]!.some((b, d) => b.some((v, e) => v !== both[1]![d]![e]))
        for (let c = 0; c < channels; c++) {
          const at = ((r * channels + c) * rows + i) * columns + j
          const [exact, float] = both.map(([v, h]) => {
            let best = -Infinity
            for (let p = v[0]; p < v[1]; p++)
              for (let q = h[0]; q < h[1]; q++) {
                const pixel = x!.data[((n * channels + c) * height + p) * width + q]!
                if (Number.isNaN(pixel)) nan[at] = 1
                else best = Math.max(best, pixel)
              }
            return v[1] <= v[0] || h[1] <= h[0] ? 0 : best
          }) as [number, number]
          value[at] = exact
          other[at] = float
          jump[at] = half || differs ? 1 : 0
        }
      }
  }
  const answers = { 'exact quotients': value, 'quotients of float32': other }
  const lowest = value.map((v, i) => (nan[i] && v === -Infinity ? -LARGEST : v))
  const skipped = { 'NaN is skipped': value, 'NaN is skipped, nothing else is the lowest number': lowest }
  const unclear = [...open('a corner or an end of a bin that rounding moves', jump, answers), ...open('the maximum of a bin with NaN', nan, skipped)]
  return [{ rule: 'exact', dtype: x!.dtype, shape: [regions, channels, rows, columns], value, open: unclear }]
}

// ── Lowerings ───────────────────────────────────────────────────────────────────────────────────────────────────────

function onnx(c: Case<A>): Lowering<OnnxForm>[] {
  const form = (opset: number, attributes = c.attributes as Partial<A>, initializers?: number[]): OnnxForm => ({
    opset,
    nodes: [{ op: 'MaxRoiPool', in: ['x0', 'x1'], out: ['y0'], attributes: attributes as A }],
    ...(initializers ? { initializers } : {}),
  })
  const paths: Lowering<OnnxForm>[] = [{ path: 'node', form: form(13) }]
  if (c.valid === false) return paths
  return [
    ...paths,
    { path: 'defaults-left-out', form: form(9, withoutDefaults(c.attributes, { spatial_scale: 1 })) },
    { path: 'constant-regions', form: form(13, c.attributes, [1]) },
    { path: 'opset-22', form: form(22) },
  ]
}

export default defineOp<A>({
  name: 'max-roi-pool',
  spec: ['https://onnx.ai/onnx/operators/onnx__MaxRoiPool.html'],
  operators: ['MaxRoiPool'],
  fromOnnx: ({ attributes, inputs }: GivenNode) => ({ attributes: { spatial_scale: 1, ...attributes } as A, inputs }),
  valid,
  invalid,
  expect,
  lies: {
    'regions end before their last pixel': (c, _right, [x, rois]) => {
      const shorter = { ...rois!, data: rois!.data.map((v, i) => (i % 5 > 2 ? v - 1 / c.attributes.spatial_scale : v)) }
      const e = expect(c.attributes, [x!, shorter])[0]!
      return e.rule === 'exact' ? [{ dtype: e.dtype, shape: e.shape, data: e.value }] : null
    },
  },
  onnx,
  tfjs: () => [{ declined: 'TF.js has no pooling of regions' }],
})
