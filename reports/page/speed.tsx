/** Speed beside correctness: fast but wrong is visible, and only what is right is ranked. */
import type { BenchCell } from '../page-data.ts'
import { labelOf } from '../vocabulary.ts'
import { lookOf, type Model, ms } from './model.ts'
import { Mark, Scroll } from './parts.tsx'
import { change, link, type Route } from './route.ts'

const CLASS = {
  right: ['right', 'right'],
  'less-precise': ['imprecise', 'less precise'],
  'fast-but-wrong': ['wrong', 'fast but wrong'],
  'not-judged': ['not-run', 'not judged'],
} as const

export function BenchTable({ cells }: { cells: readonly BenchCell[] }) {
  const groups = new Map<string, BenchCell[]>()
  for (const c of cells) (groups.get(`${c.op}\n${c.layer}`) ?? groups.set(`${c.op}\n${c.layer}`, []).get(`${c.op}\n${c.layer}`)!).push(c)
  return (
    <>
      {[...groups.values()].map(list => {
        const ranked = [...list].sort((a, b) => (a.rank ?? 1e9) - (b.rank ?? 1e9) || a.floorMs - b.floorMs)
        const best = ranked[0]?.rank === null ? undefined : ranked[0]
        const most = Math.max(...list.map(c => c.floorMs))
        const least = Math.min(...list.map(c => c.floorMs))
        const width = (t: number) => (most > least ? 4 + (96 * Math.log(t / least)) / Math.log(most / least) : 50)
        return (
          <div key={list[0]!.op + list[0]!.layer} class="bench">
            <h3>
              <a href={link('op', [list[0]!.op])}>{list[0]!.op}</a> {list[0]!.layer}
            </h3>
            <table class="data">
              <thead class="sr">
                <tr>
                  <th scope="col">rank</th>
                  <th scope="col">backend</th>
                  <th scope="col">verdict</th>
                  <th scope="col">time</th>
                  <th scope="col">share</th>
                </tr>
              </thead>
              <tbody>
                {ranked.map(c => (
                  <tr key={c.backend + c.path + c.mode} class={c.class === 'fast-but-wrong' ? 'wrong' : ''}>
                    <td class="n">{c.rank ?? ''}</td>
                    <th scope="row">
                      <a href={link('backend', [c.backend])}>{labelOf(c.backend)}</a>{' '}
                      <span class="small">{[c.path, c.mode].filter(Boolean).join(', ')}</span>
                    </th>
                    <td class="verdict">
                      <Mark mark={CLASS[c.class][0]} label={false} /> {CLASS[c.class][1]}
                    </td>
                    <td class="n" title={`median ${ms(c.medianMs)}, interval ${ms(c.interval[0])} to ${ms(c.interval[1])}`}>
                      {ms(c.floorMs)}
                    </td>
                    <td class="bar">
                      <i class={c.class} style={{ width: `calc((100% - 150px) * ${width(c.floorMs).toFixed(1)} / 100)` }} />{' '}
                      <span class="small">
                        {best && c.rank !== null ? (c === best ? 'fastest that is right' : `${(c.floorMs / best.floorMs).toPrecision(2)} ×`) : ''}
                      </span>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )
      })}
    </>
  )
}

export function Speed({ m, route }: { m: Model; route: Route }) {
  const { op = '', q = '', wrong = '' } = route.query
  if (!m.bench) return <Calls m={m} />
  const tokens = q.toLowerCase().replaceAll('×', 'x').split(/\s+/).filter(Boolean)
  const layers = m.bench.filter(
    c => (!op || c.op === op) && tokens.every(t => `${c.op} ${c.layer} ${c.backend}`.toLowerCase().replaceAll('×', 'x').includes(t)),
  )
  const keys = [...new Set(layers.map(c => `${c.op}\n${c.layer}`))]
  const kept = new Set(keys.slice(0, Number(route.query['show']) || 12))
  const list = layers.filter(c => kept.has(`${c.op}\n${c.layer}`) && (!wrong || c.class === wrong))
  return (
    <article class="list-page">
      <h1>Speed, beside correctness</h1>
      <p class="small">
        The floor of repeated calls on shapes that real models have; bars are logarithmic. Only what is right, or less precise, is ranked. Hover a
        time for its median and interval.
      </p>
      <form class="filters" aria-label="Filters" onSubmit={e => e.preventDefault()}>
        <label>
          Operation{' '}
          <select value={op} onChange={e => change(route, { op: e.currentTarget.value, show: '' })}>
            <option value="">all</option>
            {[...new Set(m.bench.map(c => c.op))].map(o => (
              <option key={o}>{o}</option>
            ))}
          </select>
        </label>
        <label>
          Layer{' '}
          <input type="search" value={q} placeholder="3x3, mobilenet, wasm …" onInput={e => change(route, { q: e.currentTarget.value, show: '' })} />
        </label>
        <label>
          Show{' '}
          <select value={wrong} onChange={e => change(route, { wrong: e.currentTarget.value })}>
            <option value="">everything</option>
            {Object.entries(CLASS).map(([k, [, words]]) => (
              <option key={k} value={k}>
                {words}
              </option>
            ))}
          </select>
        </label>
        <span class="small" role="status">
          {keys.length} layers
        </span>
      </form>
      <BenchTable cells={list} />
      {keys.length > kept.size && (
        <button type="button" onClick={() => change(route, { show: String(kept.size + 24) })}>
          {keys.length - kept.size} more layers
        </button>
      )}
    </article>
  )
}

/** Without a benchmark: what the calls of this run's small cases took, for orientation only. */
function Calls({ m }: { m: Model }) {
  const shown = m.backends.flatMap((b, i) => (b.trials ? [i] : []))
  return (
    <article class="list-page">
      <h1>Speed</h1>
      <p>
        This run holds no benchmark. <code>npm run bench -- … --out {'<run folder>'}</code> adds one. Below: the median time of a call of this run's
        cases, which are small: it shows overhead, not throughput.
      </p>
      <Scroll label="Median calls">
        <table class="data">
          <thead>
            <tr>
              <th scope="col">operation</th>
              {shown.map(b => (
                <th key={b} scope="col" class="n">
                  {m.backends[b]!.name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {m.ops.map((o, op) => (
              <tr key={o.name}>
                <th scope="row">
                  <a href={link('op', [o.name])}>{o.name}</a>
                </th>
                {shown.map(b => {
                  const t = m.cellAt(op, b)?.medianMs
                  return (
                    <td key={b} class="n">
                      {t == null ? <Mark mark="not-run" /> : ms(t)} {t != null && <Mark mark={lookOf(m, op, [b]).mark} />}
                    </td>
                  )
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </article>
  )
}
