/** Beside the matrix: the causes of the chosen cell, or the news of the run. */
import { type Column, kindMark, labelOf } from '../vocabulary.ts'
import { countsOf, lookOf, type Model, number, planned, plural } from './model.ts'
import { Backends, defectMark, reachWords } from './parts.tsx'
import { link, type Route } from './route.ts'

const SHOWN = 12

export function CellPanel({ m, op, column, route }: { m: Model; op: number; column: Column; route: Route }) {
  const backends = column.backends.map(b => m.numberOf.get(b)!)
  const found = m.defectsAt(op, backends)
  const look = lookOf(m, op, backends)
  const title = {
    right: 'Right, as far as it was tried',
    imprecise: `Less precise, ${plural(look.count, 'cause')}`,
    wrong: `Wrong, silently, in ${plural(look.count, 'way')}`,
    crashes: `Crashes or hangs; ${plural(look.count, 'cause')} in all`,
    refuses: `Refuses valid calls, ${plural(look.count, 'cause')}`,
    gap: 'Cannot be said here',
    'not-run': 'Not run',
  }[look.mark]
  return (
    <>
      <p class="crumb">
        <a href={link('op', [m.ops[op]!.name])}>{m.ops[op]!.name}</a> ›{' '}
        <a href={link('backend', [column.backends[0]!])}>{`${column.head} ${column.name}`}</a>
        <a class="close" href={link('matrix', [], { ...route.query, cell: '' })}>
          Close
        </a>
      </p>
      <h2>{title}</h2>
      {backends.map(b => {
        const cell = m.cellAt(op, b)
        return cell ? (
          <p key={b} class="small counts">
            {backends.length > 1 && <b>{labelOf(m.backends[b]!.name)}: </b>}
            {number(planned(cell))} trials planned = {countsOf(cell).map(([what, n], i) => `${i ? ' + ' : ''}${number(n)} ${what}`)}
            {cell.gap && !cell.trials ? <>. {cell.gap}</> : null}
          </p>
        ) : (
          <p key={b} class="small">
            {labelOf(m.backends[b]!.name)}: not run{m.backends[b]!.reason ? ` (${m.backends[b]!.reason})` : ''}
          </p>
        )
      })}
      {!found.length && ['wrong', 'crashes', 'refuses', 'imprecise'].includes(look.mark) && (
        <p class="none">
          No cause is listed for this backend: its failures look like those of <a href={link('op', [m.ops[op]!.name])}>other backends</a>.
        </p>
      )}
      <Cards m={m} list={found} here={backends} />
      {found.length > SHOWN && (
        <p>
          <a href={link('defects', [], { op: m.ops[op]!.name, backend: column.backends[0] })}>All {found.length}</a>
        </p>
      )}
    </>
  )
}

function Cards({ m, list, here }: { m: Model; list: Model['defects']; here: readonly number[] }) {
  return (
    <ul class="cards">
      {list.slice(0, SHOWN).map(d => {
        const others = d.backends.filter(b => !here.includes(b))
        return (
          <li key={d.id} class={kindMark(d.kind)}>
            <a class="title" href={link('defect', [d.id])}>
              {d.sentence}
            </a>
            <code>{d.rule}</code>
            <span class="small">
              {defectMark(m, d)} {d.kind}
              {reachWords(d) && ` · ${reachWords(d)}`} ·{' '}
              {here.length ? (
                others.length ? (
                  <>
                    also on <Backends m={m} list={others} links={false} />
                  </>
                ) : (
                  'only here'
                )
              ) : (
                plural(d.hits, 'trial')
              )}
            </span>
          </li>
        )
      })}
    </ul>
  )
}

/** What nobody has to ask for: new ones first, else the worst. */
export function News({ m }: { m: Model }) {
  const fresh = m.defects.filter(
    d => d.news === 'new' || d.news === 'regressed' || (m.run.catalogued && (d.status === 'new' || d.status === 'regressed')),
  )
  const list = fresh.length ? fresh : m.defects
  return (
    <>
      <h2>{fresh.length ? 'New' : 'Worst first'}</h2>
      <p class="small">Choose a cell to see its causes.</p>
      <Cards m={m} list={list.slice(0, 5)} here={[]} />
      <p>
        <a href={link('defects')}>All {m.defects.length} defects</a>
      </p>
    </>
  )
}
