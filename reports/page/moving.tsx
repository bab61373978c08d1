/** The porter's page: from one backend to another, what differs, worst reach first, and, as important, what moves as it is. */
import type { PageDefect } from '../page-data.ts'
import { kindMark, labelOf } from '../vocabulary.ts'
import { type Model, plural } from './model.ts'
import { DefectItem, Mark, Scroll } from './parts.tsx'
import { change, link, type Route } from './route.ts'

interface Difference {
  op: number
  defects: PageDefect[]
  /** Why the operation cannot be said over there, or values of attributes that cannot. */
  gap: string | null
  gaps: string[]
  conventions: { question: string; from: string; to: string }[]
  traps: string[]
  state: 'moves' | 'look' | 'cannot' | 'unknown'
  why?: string
}

export function differences(m: Model, from: number, to: number): Difference[] {
  return m.ops.map((o, op): Difference => {
    const [a, b] = [m.cellAt(op, from), m.cellAt(op, to)]
    const base: Difference = { op, defects: [], gap: null, gaps: [], conventions: [], traps: [], state: 'unknown' }
    const ran = (c: typeof a) => !!c && c.trials > 0
    if (!ran(a))
      return { ...base, why: a?.findings.gap ? `cannot be said on ${m.backends[from]!.label} either` : `not run on ${m.backends[from]!.label}` }
    if (!ran(b))
      return b?.findings.gap
        ? { ...base, state: 'cannot', gap: b.gap ?? 'no such operation' }
        : { ...base, why: `not run on ${m.backends[to]!.label}` }
    const defects = m.defectsAt(op, [to]).filter(d => !d.backends.includes(from))
    const gaps = o.support.flatMap(s =>
      s.attribute.startsWith('input') || s.attribute === 'call' || s.attribute === 'data'
        ? []
        : s.values.flatMap(v => {
            const [x, y] = [v.on[from], v.on[to]]
            return x && y && x[0] > 0 && y[0] + y[1] + y[3] === 0 && y[2] > 0 ? [`${s.attribute} = ${v.value}`] : []
          }),
    )
    const conventions = o.conventions.flatMap(c => {
      const answer = (b: number) =>
        c.answers
          .filter(x => x.on[b])
          .map(x => x.answer)
          .join(' or ')
      const [x, y] = [answer(from), answer(to)]
      return x !== y && (x || y) ? [{ question: c.question, from: x, to: y }] : []
    })
    const traps = o.traps.filter(t => t.on[to] && !t.on[from]).map(t => `${t.paths.join(', ')}: ${t.why}`)
    return { op, defects, gap: null, gaps, conventions, traps, state: defects.length || gaps.length ? 'look' : 'moves' }
  })
}

export function Moving({ m, route }: { m: Model; route: Route }) {
  const ran = m.backends.filter(b => b.trials > 0)
  const pick = (word: string | undefined, fallback: string | undefined) => (ran.some(b => b.name === word) ? word! : (fallback ?? ''))
  const from = pick(route.parts[0], ran[0]?.name)
  const to = pick(route.parts[1], ran.find(b => b.name !== from && b.name.startsWith('tfjs'))?.name ?? ran[1]?.name ?? from)
  const { op = '', q = '' } = route.query
  if (!ran.length) return <h1>No backend ran</h1>
  const all = differences(m, m.numberOf.get(from)!, m.numberOf.get(to)!).filter(
    d => (!op || m.ops[d.op]!.name === op) && (!q || m.ops[d.op]!.name.includes(q)),
  )
  const defects = all.flatMap(d => d.defects).sort((a, b) => m.defects.indexOf(a) - m.defects.indexOf(b))
  const cannot = all.filter(d => d.state === 'cannot')
  const partly = all.filter(d => d.gaps.length)
  const safe = all.filter(d => d.state === 'moves')
  const unknown = all.filter(d => d.state === 'unknown')
  const go = (a: string, b: string) => {
    location.hash = link('move', [a, b], route.query)
  }
  const most = route.query['all'] ? defects.length : 40
  return (
    <article class="moving">
      <h1>
        Moving from <Choice label="From" value={from} m={m} onPick={v => go(v, to)} /> to{' '}
        <Choice label="To" value={to} m={m} onPick={v => go(from, v)} />
      </h1>
      <form class="filters" aria-label="Filters" onSubmit={e => e.preventDefault()}>
        <label>
          Operation{' '}
          <select value={op} onChange={e => change(route, { op: e.currentTarget.value })}>
            <option value="">all</option>
            {m.ops.map(o => (
              <option key={o.name}>{o.name}</option>
            ))}
          </select>
        </label>
        <button type="button" onClick={() => go(to, from)}>
          Swap
        </button>
        <span class="small" role="status">
          {safe.length} {safe.length === 1 ? 'moves' : 'move'} as {safe.length === 1 ? 'it is' : 'they are'},{' '}
          {all.filter(d => d.state === 'look').length} to look at, {cannot.length} cannot be said, {unknown.length} not known
        </span>
      </form>
      {op && all[0] && <p class={`answer ${all[0].state}`}>{answer(m, all[0], to)}</p>}
      {from === to && <p class="none">Choose two different backends.</p>}
      {(defects.length > 0 || cannot.length > 0 || partly.length > 0) && (
        <section>
          <h2>
            Look at these before you move <i>{defects.length + cannot.length + partly.length}</i>
          </h2>
          <ul class="list">
            {cannot.map(d => (
              <li key={d.op} class="gap">
                <Mark mark="gap" />
                <div>
                  <a class="title" href={link('op', [m.ops[d.op]!.name])}>
                    {m.ops[d.op]!.name} cannot be said on {labelOf(to)}
                  </a>
                  <code>{d.gap}</code>
                </div>
                <span class="tail" />
              </li>
            ))}
            {defects.slice(0, most).map(d => (
              <DefectItem key={d.id} m={m} d={d} tail={<a href={link('defect', [d.id])}>{d.recipe ? 'what to write instead' : 'details'}</a>} />
            ))}
            {partly.map(d => (
              <li key={d.op} class="gap">
                <Mark mark="gap" label="partly not sayable" />
                <div>
                  <a class="title" href={link('op', [m.ops[d.op]!.name])}>
                    {m.ops[d.op]!.name}: {plural(d.gaps.length, 'attribute value')} that cannot be said on {labelOf(to)}
                  </a>
                  <code>{d.gaps.slice(0, 8).join(' · ')}</code>
                </div>
                <span class="tail" />
              </li>
            ))}
          </ul>
          {defects.length > most && (
            <button type="button" onClick={() => change(route, { all: '1' })}>
              {defects.length - most} more
            </button>
          )}
        </section>
      )}
      <section>
        <h2>
          {safe.length === 1 ? 'This moves as it is' : 'These move as they are'} <i>{safe.length}</i>
        </h2>
        {safe.length ? (
          <p class="safe">
            {safe.map(d => (
              <a key={d.op} href={link('op', [m.ops[d.op]!.name])}>
                <Mark mark="right" label={false} /> {m.ops[d.op]!.name}
              </a>
            ))}
          </p>
        ) : (
          <p class="none">None of the chosen operations.</p>
        )}
        <p class="small">
          No defect on {labelOf(to)} that {labelOf(from)} does not have, in the cases that both really ran.
        </p>
      </section>
      <Quiet m={m} all={all} from={from} to={to} />
      {unknown.length > 0 && (
        <section>
          <h2>
            Not known <i>{unknown.length}</i>
          </h2>
          <ul class="plain">
            {unknown.map(d => (
              <li key={d.op}>
                <Mark mark="not-run" label={false} /> <a href={link('op', [m.ops[d.op]!.name])}>{m.ops[d.op]!.name}</a>{' '}
                <span class="small">{d.why}</span>
              </li>
            ))}
          </ul>
        </section>
      )}
    </article>
  )
}

/** Differences that are nobody's fault. */
function Quiet({ m, all, from, to }: { m: Model; all: readonly Difference[]; from: string; to: string }) {
  const conventions = all.filter(d => d.conventions.length)
  const traps = all.filter(d => d.traps.length)
  return (
    <>
      {conventions.length > 0 && (
        <section>
          <h2>Where the specification is silent, and the two differ</h2>
          <Scroll label="Conventions">
            <table class="data">
              <thead>
                <tr>
                  <th scope="col">operation</th>
                  <th scope="col">question</th>
                  <th scope="col">{labelOf(from)}</th>
                  <th scope="col">{labelOf(to)}</th>
                </tr>
              </thead>
              <tbody>
                {conventions.flatMap(d =>
                  d.conventions.map(c => (
                    <tr key={`${d.op}${c.question}`}>
                      <th scope="row">
                        <a href={link('op', [m.ops[d.op]!.name])}>{m.ops[d.op]!.name}</a>
                      </th>
                      <td>{c.question}</td>
                      <td>{c.from || 'as the definition'}</td>
                      <td>{c.to || 'as the definition'}</td>
                    </tr>
                  )),
                )}
              </tbody>
            </table>
          </Scroll>
        </section>
      )}
      {traps.length > 0 && (
        <section>
          <h2>Traps over there: the obvious form is another operation</h2>
          <ul class="plain">
            {traps.flatMap(d =>
              d.traps.map(t => (
                <li key={d.op + t}>
                  <a href={link('op', [m.ops[d.op]!.name])}>{m.ops[d.op]!.name}</a> {t}
                </li>
              )),
            )}
          </ul>
        </section>
      )}
    </>
  )
}

function answer(m: Model, d: Difference, to: string): string {
  const name = m.ops[d.op]!.name
  if (d.state === 'moves') return `Yes: in everything that was tried, ${name} does on ${labelOf(to)} what it did before.`
  if (d.state === 'cannot') return `No: ${name} cannot be said on ${labelOf(to)}.`
  if (d.state === 'unknown') return `Not known: ${name} was ${d.why}.`
  const hit = d.defects.filter(x => x.reach.layers > 0).length
  const crash = d.defects.some(x => kindMark(x.kind) === 'crashes')
  const parts = [
    d.defects.length
      ? `${plural(d.defects.length, 'defect')}${m.run.reached ? (hit ? `, ${hit} of them on calls that real layers make` : ', none of them on calls that real layers make') : ''}`
      : '',
    d.gaps.length ? `${plural(d.gaps.length, 'attribute value')} that cannot be said` : '',
  ].filter(Boolean)
  return `With care: ${parts.join('; ')}${crash ? '; it can crash' : ''}.`
}

function Choice({ label, value, m, onPick }: { label: string; value: string; m: Model; onPick: (v: string) => void }) {
  return (
    <select class="pick" aria-label={label} value={value} onChange={e => onPick(e.currentTarget.value)}>
      {[...new Set(m.columns.map(c => c.head))].map(h => (
        <optgroup key={h} label={h}>
          {m.columns
            .filter(c => c.head === h)
            .flatMap(c => c.backends)
            .map(b => (
              <option key={b} value={b} disabled={!m.backends[m.numberOf.get(b)!]!.trials}>
                {labelOf(b)}
                {m.backends[m.numberOf.get(b)!]!.trials ? '' : ' (not run)'}
              </option>
            ))}
        </optgroup>
      ))}
    </select>
  )
}
