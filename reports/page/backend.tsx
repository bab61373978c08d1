/** A backend: what it is, how far it came, each operation with its verdict and the least freedom that explains its numbers, modes, defects, speed. */
import { familyOf, MARK_WORDS } from '../vocabulary.ts'
import { lookOf, type Model, ms, number, plural } from './model.ts'
import { rungs } from './operation.tsx'
import { Crumbs, DefectItem, Mark, Scroll } from './parts.tsx'
import { link } from './route.ts'

export function Backend({ m, name }: { m: Model; name: string }) {
  const b = m.numberOf.get(name)
  if (b === undefined) return <h1>No backend {name} in this run</h1>
  const it = m.backends[b]!
  const found = m.defects.filter(d => d.backends.includes(b))
  const twins = m.columns.find(c => c.backends.includes(name))!.backends.filter(x => x !== name)
  const share = it.planned ? Math.round((100 * it.cases) / it.planned) : 0
  const facts: [string, string][] = [
    ...Object.entries(it.identity),
    ['cases', `${number(it.cases)}${it.planned && it.planned < 1e7 ? ` of ${number(it.planned)} planned (${share} %)` : ''}`],
    ['trials', number(it.trials)],
    ...(it.elapsedMs && it.trials
      ? [['speed of this run', `${number(Math.round((it.trials * 1000) / it.elapsedMs))} trials a second`] as [string, string]]
      : []),
    ...(it.deaths
      ? [
          ['deaths', `${plural(it.deaths, 'death, hang or lost device', 'deaths, hangs or lost devices')}: the host was started again`] as [
            string,
            string,
          ],
        ]
      : []),
  ]
  return (
    <article class="op-page">
      <Crumbs>
        <a href={link('matrix')}>Matrix</a> › {name}
      </Crumbs>
      <h1>{it.label}</h1>
      <p>
        {it.status === 'not-run' ? <b>Did not run. </b> : it.status === 'partial' ? <b>Ended early. </b> : null}
        {it.reason}{' '}
        {it.enable && (
          <>
            To enable it: <code>{it.enable}</code>
          </>
        )}
        {twins.map(t => (
          <a key={t} href={link('backend', [t])}>
            Its twin: {t}
          </a>
        ))}
      </p>
      <div class="split">
        <section>
          <h2>What ran</h2>
          <table class="data">
            <tbody>
              {facts.map(([k, v]) => (
                <tr key={k}>
                  <th scope="row">{k}</th>
                  <td>{v}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
        {Object.keys(it.modes).length > 0 && (
          <section>
            <h2>Modes</h2>
            <table class="data">
              <thead>
                <tr>
                  <th scope="col">mode</th>
                  <th scope="col" class="n">
                    trials
                  </th>
                  <th scope="col" class="n">
                    agree
                  </th>
                  <th scope="col" class="n">
                    failing
                  </th>
                  <th scope="col" class="n">
                    defects only here
                  </th>
                </tr>
              </thead>
              <tbody>
                {Object.entries(it.modes).map(([mode, [trials, agree, failing]]) => (
                  <tr key={mode}>
                    <th scope="row">{mode}</th>
                    <td class="n">{number(trials)}</td>
                    <td class="n">{number(agree)}</td>
                    <td class="n">{number(failing)}</td>
                    <td class="n">{found.filter(d => d.modes.length === 1 && d.modes[0] === mode && d.backends.length === 1).length || ''}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </section>
        )}
      </div>
      {it.trials > 0 && (
        <section>
          <h2>Operations</h2>
          <Scroll label="Operations">
            <table class="data">
              <thead>
                <tr>
                  <th scope="col">operation</th>
                  <th scope="col">verdict</th>
                  <th scope="col" class="n">
                    causes
                  </th>
                  <th scope="col" class="n">
                    trials
                  </th>
                  <th scope="col" class="n">
                    agree
                  </th>
                  <th scope="col">explained by</th>
                  <th scope="col" class="n">
                    largest error / bound
                  </th>
                  <th scope="col" class="n">
                    median call
                  </th>
                </tr>
              </thead>
              <tbody>
                {m.ops.map((o, op) => {
                  const cell = m.cellAt(op, b)
                  const look = lookOf(m, op, [b])
                  return (
                    <tr key={o.name}>
                      <th scope="row">
                        <a href={link('op', [o.name])}>{o.name}</a> <span class="small">{familyOf(o.name)}</span>
                      </th>
                      <td>
                        <Mark mark={look.mark} filled={look.filled} label={false} /> {MARK_WORDS[look.mark]}
                        {look.mark === 'gap' && cell?.gap ? <span class="small"> {cell.gap.slice(0, 90)}</span> : null}
                      </td>
                      <td class="n">{look.count || ''}</td>
                      <td class="n">{cell ? number(cell.trials) : ''}</td>
                      <td class="n">{cell ? number(cell.agree) : ''}</td>
                      <td>{cell ? rungs(cell.rungs) : ''}</td>
                      <td class="n">{cell?.worst != null ? cell.worst.toFixed(2) : ''}</td>
                      <td class="n">{cell?.medianMs != null ? ms(cell.medianMs) : ''}</td>
                    </tr>
                  )
                })}
              </tbody>
            </table>
          </Scroll>
        </section>
      )}
      <section>
        <h2>
          Defects <i>{found.length}</i>
        </h2>
        <ul class="list">
          {found.slice(0, 60).map(d => (
            <DefectItem key={d.id} m={m} d={d} />
          ))}
        </ul>
        {found.length > 60 && <a href={link('defects', [], { backend: name })}>All {found.length}</a>}
      </section>
    </article>
  )
}
