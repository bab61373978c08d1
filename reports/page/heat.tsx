/** A tensor as a picture: its last two axes as a grid of numbers on a scale of one colour, earlier axes side by side; differing elements are framed. */
import { fromJson64, numbers, realise, sizeOf, toJson64, unravel } from '../../harness/tensor.ts'
import type { Json64, TensorSpec } from '../../harness/types.ts'
import type { PageTensor } from '../page-data.ts'

const ROWS = 12
const COLS = 14
const PANELS = 6
/** Cells are narrow: four characters. */
export function short(v: Json64 | undefined): string {
  if (v === undefined) return '?'
  if (typeof v === 'string') return v.replace('Infinity', '∞').replace('-', '−')
  if (v === 0) return '0'
  const a = Math.abs(v)
  const text =
    a >= 1000 && a < 100000
      ? String(Math.round(v))
      : Number.isInteger(v) && a < 1000
        ? String(v)
        : a >= 1000 || a < 0.01
          ? v.toExponential(1).replace('e+', 'e')
          : String(Number(v.toPrecision(a >= 100 ? 4 : 3)))
  return text.replace(/^0\./, '.').replace(/^-0\./, '-.').replace('-', '−')
}
export function valuesOf(spec: TensorSpec): Json64[] {
  return sizeOf(spec.shape) > 65536 ? [] : [...numbers(realise(spec))].map(toJson64)
}
export type Range = readonly [number, number]
export function rangeOf(...lists: readonly (readonly Json64[] | undefined)[]): Range {
  let [low, high] = [Infinity, -Infinity]
  for (const v of lists.flatMap(l => l ?? []).map(fromJson64))
    if (Number.isFinite(v)) {
      low = Math.min(low, v)
      high = Math.max(high, v)
    }
  return low > high ? [0, 0] : [low, high]
}

export function Heat({ name, t, bad, range, note }: { name: string; t: PageTensor; bad?: ReadonlySet<number>; range?: Range; note?: string }) {
  const { shape, values, dtype } = t
  const rank = shape.length
  const cols = rank ? shape[rank - 1]! : 1
  const rows = rank > 1 ? shape[rank - 2]! : 1
  const lead = shape.slice(0, -2)
  const panels = rank > 2 ? sizeOf(lead) : 1
  const size = sizeOf(shape)
  const scale = range ?? rangeOf(values)
  const title = `${name} ${dtype === 'float32' ? '' : `${dtype} `}[${shape.join(',')}]`
  const spoken = `${title}${values && size <= 64 ? `: ${values.slice(0, 64).join(' ')}` : ''}${bad?.size ? `; ${bad.size} elements differ` : ''}`
  const cut = rows > ROWS || cols > COLS || panels > PANELS
  return (
    <figure class="heat">
      <figcaption>{title}</figcaption>
      {size === 0 ? (
        <p class="none">no elements</p>
      ) : !values?.length ? (
        <p class="none">too large to show</p>
      ) : (
        <div class="panels" role="img" aria-label={spoken}>
          {Array.from({ length: Math.min(PANELS, panels) }, (_, p) => (
            <div key={p}>
              {panels > 1 && <span class="at">[{unravel(p, lead).join(',')}]</span>}
              <div class="grid" style={{ gridTemplateColumns: `repeat(${Math.min(COLS, cols)}, auto)` }}>
                {Array.from({ length: Math.min(ROWS, rows) * Math.min(COLS, cols) }, (_, k) => {
                  const r = Math.floor(k / Math.min(COLS, cols))
                  const i = (p * rows + r) * cols + (k % Math.min(COLS, cols))
                  const v = values[i]
                  const n = v === undefined ? NaN : fromJson64(v)
                  const share = Number.isFinite(n) && scale[1] > scale[0] ? (n - scale[0]) / (scale[1] - scale[0]) : Number.isFinite(n) ? 0.35 : 0
                  const look = `${bad?.has(i) ? 'bad ' : ''}${Number.isFinite(n) ? '' : 'odd '}`
                  return (
                    <b key={i} class={look} style={{ '--t': `${Math.round(share * 100)}%` }} title={v === undefined ? undefined : String(v)}>
                      {short(v)}
                    </b>
                  )
                })}
              </div>
            </div>
          ))}
        </div>
      )}
      {cut && values?.length ? (
        <p class="small">
          the first {Math.min(rows, ROWS)} × {Math.min(cols, COLS)} of {panels > 1 ? `${panels} planes` : `${rows} × ${cols}`}
        </p>
      ) : null}
      {note && <p class="note">{note}</p>}
    </figure>
  )
}
