/** What is new, regressed and no longer seen against earlier runs, and the trend of every backend with its package versions. */
import { useMemo } from 'preact/hooks'
import { kindMark } from '../vocabulary.ts'
import { type Model, number, plural } from './model.ts'
import { DefectItem, Mark, Scroll, Strip } from './parts.tsx'
import { PALETTE, Plot } from './plot.tsx'
import { change, type Route } from './route.ts'

export function History({ m, route }: { m: Model; route: Route }) {
  const { backend = '', measure = 'causes' } = route.query
  const earlier = m.history.length - 1
  const fresh = m.defects.filter(d => d.news === 'new')
  const back = m.defects.filter(d => d.news === 'regressed' || d.status === 'regressed')
  const gone = m.past.filter(d => d.news === 'gone')
  const fixed = m.defects.filter(d => d.status === 'fixed')
  const before = m.history.at(-2)
  return (
    <article class="list-page">
      <h1>History</h1>
      {!before ? (
        <p>
          This run was compared with no earlier one.{' '}
          <code>
            npm run compat -- report {'<run>'} --history {'<folder of runs>'}
          </code>{' '}
          copies earlier summaries beside it; the nightly job does so by itself.
        </p>
      ) : (
        <>
          <p>
            Against {plural(earlier, 'earlier run')}, the newest of them <b>{before.name}</b> ({before.date}). Only what both runs really executed is
            compared.
            {before.seed !== m.run.seed && ' Their seeds differ: what is no longer seen may only not have been drawn.'}
          </p>
          <News m={m} title="New" list={fresh} none="Nothing new." />
          {back.length > 0 && <News m={m} title="Back again" list={back} none="" />}
          <section>
            <h2>
              No longer seen <i>{gone.length + fixed.length}</i>
            </h2>
            <ul class="list">
              {fixed.map(d => (
                <DefectItem key={d.id} m={m} d={d} tail="fixed: its smallest case passes" />
              ))}
              {gone.slice(0, 60).map(d => (
                <li key={d.id} class="right">
                  <Mark mark={kindMark(d.kind)} label={d.kind} />
                  <div>
                    <span class="title">
                      {d.op} {d.kind} on {d.backends.join(', ')}
                    </span>
                    <code>{d.id}</code>
                  </div>
                  <span class="tail">
                    <Strip track={d.track} runs={m.history} />
                  </span>
                </li>
              ))}
            </ul>
            {!gone.length && !fixed.length && <p class="none">Everything that was seen before is still there.</p>}
          </section>
          <Trend m={m} route={route} backend={backend} measure={measure} />
        </>
      )}
    </article>
  )
}
function News({ m, title, list, none }: { m: Model; title: string; list: Model['defects']; none: string }) {
  return (
    <section>
      <h2>
        {title} <i>{list.length}</i>
      </h2>
      <ul class="list">
        {list.slice(0, 60).map(d => (
          <DefectItem key={d.id} m={m} d={d} tail={<Strip track={d.track} runs={m.history} />} />
        ))}
      </ul>
      {!list.length && <p class="none">{none}</p>}
    </section>
  )
}

const DASHES: readonly (number[] | undefined)[] = [undefined, [6, 4], [2, 3], [10, 3, 2, 3]]
function Trend({ m, route, backend, measure }: { m: Model; route: Route; backend: string; measure: string }) {
  const shown = m.backends.map((b, i) => ({ b, i })).filter(({ b, i }) => (!backend || b.name === backend) && m.history.some(r => r.on[i]))
  const x = useMemo(() => m.history.map((_, i) => i), [m])
  const labels = useMemo(() => m.history.map(r => (new Set(m.history.map(h => h.date)).size === m.history.length ? r.date.slice(5) : r.name)), [m])
  const value = (on: readonly [number, number, number, string] | undefined) =>
    !on ? null : measure === 'causes' ? on[2] : measure === 'agree' ? Math.round((1000 * on[1]) / on[0]) / 10 : on[0]
  const series = useMemo(
    () =>
      shown.map(({ b, i }, n) => ({
        label: b.name,
        values: m.history.map(r => value(r.on[i])),
        colour: PALETTE[n % PALETTE.length]!,
        dash: DASHES[Math.floor(n / PALETTE.length) % DASHES.length],
      })),
    [m, backend, measure],
  )
  const versions = shown.flatMap(({ b, i }) =>
    m.history.flatMap((r, n) => {
      const [now, old] = [r.on[i]?.[3], m.history.slice(0, n).findLast(h => h.on[i])?.on[i]?.[3]]
      return now && old && now !== old ? [{ run: r, b, old, now }] : []
    }),
  )
  return (
    <section>
      <h2>Trend</h2>
      <form class="filters" aria-label="Trend" onSubmit={e => e.preventDefault()}>
        <label>
          Backend{' '}
          <select value={backend} onChange={e => change(route, { backend: e.currentTarget.value })}>
            <option value="">all</option>
            {m.backends.map(b => (
              <option key={b.name}>{b.name}</option>
            ))}
          </select>
        </label>
        <label>
          Measure{' '}
          <select value={measure} onChange={e => change(route, { measure: e.currentTarget.value })}>
            <option value="causes">causes</option>
            <option value="agree">trials that agree, %</option>
            <option value="trials">trials</option>
          </select>
        </label>
      </form>
      <Plot
        title={measure === 'causes' ? 'Causes per backend' : measure === 'agree' ? 'Trials that agree, in per cent' : 'Trials'}
        x={x}
        labels={labels}
        series={series}
        height={260}
      />
      {versions.length > 0 && (
        <ul class="plain">
          {versions.map(v => (
            <li key={v.run.name + v.b.name}>
              {v.run.date} {v.b.name}: {v.old} → <b>{v.now}</b>
            </li>
          ))}
        </ul>
      )}
      <details>
        <summary>The same as a table</summary>
        <Scroll label="Runs">
          <table class="data">
            <thead>
              <tr>
                <th scope="col">run</th>
                <th scope="col" class="n">
                  trials
                </th>
                <th scope="col" class="n">
                  causes
                </th>
                {shown.map(({ b }) => (
                  <th key={b.name} scope="col" class="n">
                    {b.name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {[...m.history].reverse().map(r => (
                <tr key={r.name}>
                  <th scope="row">
                    {r.name}
                    {r.ended !== 'clean' && <span class="small"> {r.ended}</span>}
                  </th>
                  <td class="n">{number(r.trials)}</td>
                  <td class="n">{r.failing}</td>
                  {shown.map(({ b, i }) => (
                    <td key={b.name} class="n">
                      {r.on[i] ? (value(r.on[i]) ?? '') : <Mark mark="not-run" />}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      </details>
    </section>
  )
}
