/** The matrix operation × backend. Arrow keys walk its cells; hovering or focusing one tells its counts, choosing one lists its causes beside it. */
import { useMemo, useRef, useState } from 'preact/hooks'
import { type Column, FAMILY_ORDER, labelOf, MARK_WORDS, MARKS } from '../vocabulary.ts'
import { type Look, lookOf, type Model, number } from './model.ts'
import { CellPanel, News } from './panel.tsx'
import { Legend, Mark } from './parts.tsx'
import { change, link, type Route } from './route.ts'
import { Tip } from './tip.tsx'

interface Row {
  op: number
  name: string
  family: string
  looks: { look: Look; split: { label: string; look: Look }[] | null; backends: number[] }[]
}
const ONLY = [
  ['', 'all operations'],
  ['bad', 'wrong or crashing'],
  ['crashes', 'crashing'],
  ['refuses', 'refusing'],
  ['imprecise', 'less precise'],
  ['gap', 'not sayable somewhere'],
  ['clean', 'right everywhere'],
] as const

/** Twins are split only in cells where they differ. */
function cellOf(m: Model, op: number, column: Column): Row['looks'][number] {
  const backends = column.backends.map(b => m.numberOf.get(b)!)
  const look = lookOf(m, op, backends)
  const each = backends.map(b => ({
    label: m.backends[b]!.name.endsWith('@chromium') ? 'browser' : 'node',
    look: lookOf(m, op, [b]),
    ran: m.backends[b]!.status !== 'not-run',
  }))
  const ran = each.filter(e => e.ran)
  return { look, backends, split: ran.length > 1 && ran.some(e => e.look.mark !== ran[0]!.look.mark) ? ran : null }
}
function keeps(row: Row, only: string): boolean {
  const has = (...marks: string[]) => row.looks.some(l => marks.includes(l.look.mark))
  if (!only) return true
  if (only === 'bad') return has('wrong', 'crashes')
  if (only === 'clean') return !has('wrong', 'crashes', 'refuses', 'imprecise') && has('right')
  return has(only)
}
const causes = (r: Row) => r.looks.reduce((n, l) => n + l.look.count, 0)
const worst = (r: Row) => r.looks.reduce((n, l) => n + 20 ** Math.max(0, MARKS.indexOf(l.look.mark) - 2), 0)

export function Matrix({ m, route }: { m: Model; route: Route }) {
  const { q = '', only = '', sort = 'family', runtime = '', cell = '' } = route.query
  const heads = [...new Set(m.columns.map(c => c.head))]
  const columns = m.columns.filter(c => !runtime || c.head === runtime)
  const rows = useMemo(() => {
    const tokens = q.toLowerCase().split(/\s+/).filter(Boolean)
    const list = m.ops
      .map((o, op): Row => ({ op, name: o.name, family: o.family, looks: columns.map(c => cellOf(m, op, c)) }))
      .filter(r => tokens.every(t => `${r.name} ${r.family}`.toLowerCase().includes(t)) && keeps(r, only))
    const families = (r: Row) =>
      sort === 'family' ? FAMILY_ORDER.indexOf(r.family) : sort === 'causes' ? -causes(r) : sort === 'worst' ? -worst(r) : 0
    return list.sort((a, b) => families(a) - families(b) || (a.name < b.name ? -1 : 1))
  }, [m, q, only, sort, runtime])
  const grid = useRef<HTMLTableElement>(null)
  const [tip, setTip] = useState<{ op: number; backends: number[]; at: DOMRect } | null>(null)
  const [chosenOp, chosenBackend] = cell.split('~')
  const chosen = m.ops.findIndex(o => o.name === chosenOp)
  const chosenColumn = m.columns.find(c => c.backends.includes(chosenBackend ?? ''))
  const entry = chosen >= 0 && chosenColumn ? cell : rows[0] && columns[0] ? `${rows[0].name}~${columns[0].backends[0]}` : ''

  const step = (e: KeyboardEvent) => {
    const by = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[e.key]
    const at = (e.target as HTMLElement).closest<HTMLElement>('[data-at]')?.dataset['at']?.split(',').map(Number)
    if (!by || !at) return
    const next = grid.current?.querySelector<HTMLElement>(`[data-at="${at[0]! + by[0]!},${at[1]! + by[1]!}"] a`)
    if (!next) return
    e.preventDefault()
    next.focus()
  }
  let family = ''
  return (
    <>
      <Head m={m} />
      <form class="filters" aria-label="Filters" onSubmit={e => e.preventDefault()}>
        <label>
          Operation <input type="search" value={q} placeholder="conv, pooling …" onInput={e => change(route, { q: e.currentTarget.value })} />
        </label>
        <label>
          Show{' '}
          <select value={only} onChange={e => change(route, { only: e.currentTarget.value })}>
            {ONLY.map(([value, words]) => (
              <option key={value} value={value}>
                {words}
              </option>
            ))}
          </select>
        </label>
        <label>
          Runtime{' '}
          <select value={runtime} onChange={e => change(route, { runtime: e.currentTarget.value })}>
            <option value="">all</option>
            {heads.map(h => (
              <option key={h}>{h}</option>
            ))}
          </select>
        </label>
        <label>
          Sort by{' '}
          <select value={sort} onChange={e => change(route, { sort: e.currentTarget.value === 'family' ? '' : e.currentTarget.value })}>
            <option value="family">family</option>
            <option value="name">name</option>
            <option value="worst">worst first</option>
            <option value="causes">most causes first</option>
          </select>
        </label>
        {(q || only || runtime || route.query['sort']) && (
          <button type="button" onClick={() => change(route, { q: '', only: '', runtime: '', sort: '' })}>
            Clear
          </button>
        )}
        <span class="small" role="status">
          {rows.length} of {m.ops.length} operations
        </span>
      </form>
      <div class="two">
        <div>
          {/* biome-ignore lint/a11y/noStaticElementInteractions: leaving the area hides the tip, nothing is operated by it */}
          <div class="scroll" onMouseLeave={() => setTip(null)}>
            {/* biome-ignore lint/a11y/noNoninteractiveElementToInteractiveRole: a grid is a table whose cells are walked with the arrow keys */}
            <table class="matrix" role="grid" aria-label="Operations by backend" ref={grid} onKeyDown={step}>
              <thead>
                <tr>
                  <td class="corner" />
                  {heads
                    .filter(h => columns.some(c => c.head === h))
                    .map(h => (
                      <th key={h} class="g" scope="colgroup" colSpan={columns.filter(c => c.head === h).length}>
                        <span>{h}</span>
                      </th>
                    ))}
                </tr>
                <tr>
                  <td class="corner" />
                  {columns.map((c, i) => (
                    <th key={c.backends[0]} class={`b${columns[i - 1]?.head !== c.head ? ' first' : ''}`} scope="col">
                      <a href={link('backend', [c.backends[0]!])} aria-label={labelOf(c.backends[0]!)}>
                        {c.name}
                      </a>
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {rows.map((r, y) => {
                  const head = sort === 'family' && r.family !== family
                  family = r.family
                  return [
                    head && (
                      <tr key={r.family} class="fam">
                        <th colSpan={columns.length + 1} scope="rowgroup">
                          {r.family}
                        </th>
                      </tr>
                    ),
                    <tr key={r.name}>
                      <th class="op" scope="row">
                        <a href={link('op', [r.name])}>{r.name}</a>
                      </th>
                      {r.looks.map((l, x) => {
                        const id = `${r.name}~${columns[x]!.backends[0]}`
                        const first = columns[x - 1]?.head !== columns[x]!.head ? ' first' : ''
                        const show = (e: { currentTarget: Element }) =>
                          setTip({ op: r.op, backends: l.backends, at: e.currentTarget.getBoundingClientRect() })
                        return (
                          <td
                            key={id}
                            data-at={`${y},${x}`}
                            class={`${l.look.mark}${l.look.filled ? ' hit' : ''}${first}${chosen === r.op && chosenColumn === columns[x] ? ' sel' : ''}`}
                          >
                            <a
                              href={link('matrix', [], { ...route.query, cell: id })}
                              tabIndex={id === entry ? 0 : -1}
                              onMouseEnter={show}
                              onFocus={show}
                              onBlur={() => setTip(null)}
                            >
                              <span class="sr">{spoken(r.name, columns[x]!, l)}</span>
                              <span class="face" aria-hidden="true">
                                {l.split ? (
                                  l.split.map(s => (
                                    <span key={s.label} class="half">
                                      <Mark mark={s.look.mark} filled={s.look.filled} label={false} />
                                      <small>{s.label}</small>
                                    </span>
                                  ))
                                ) : (
                                  <>
                                    <Mark mark={l.look.mark} filled={l.look.filled} label={false} />
                                    <small>{l.look.count || ''}</small>
                                  </>
                                )}
                              </span>
                            </a>
                          </td>
                        )
                      })}
                    </tr>,
                  ]
                })}
              </tbody>
            </table>
          </div>
          {!rows.length && <p class="none">No operation fits these filters.</p>}
          <Legend m={m} />
        </div>
        <aside aria-label={chosen >= 0 && chosenColumn ? 'The chosen cell' : 'News'}>
          {chosen >= 0 && chosenColumn ? <CellPanel m={m} op={chosen} column={chosenColumn} route={route} /> : <News m={m} />}
        </aside>
      </div>
      {tip && <Tip m={m} {...tip} />}
    </>
  )
}

function spoken(op: string, column: Column, l: Row['looks'][number]): string {
  const what = l.split
    ? l.split.map(s => `${s.label} ${MARK_WORDS[s.look.mark]}`).join(', ')
    : `${MARK_WORDS[l.look.mark]}${l.look.count && !l.look.filled ? ', only in corners' : ''}`
  return `${op} on ${column.head} ${column.name}: ${what}${l.look.count ? `, ${l.look.count} ${l.look.count === 1 ? 'cause' : 'causes'}` : ''}`
}

/** What was looked at, in two lines; what did not run is never left out. */
function Head({ m }: { m: Model }) {
  const bad = m.ops.filter(
    (_, op) =>
      m.defectsAt(
        op,
        m.backends.map((_, b) => b),
      ).length,
  ).length
  const ran = m.backends.filter(b => b.trials > 0)
  const not = m.backends.filter(b => b.trials === 0)
  const partial = m.backends.filter(b => b.status === 'partial' && b.trials > 0)
  const trials = m.backends.reduce((n, b) => n + b.trials, 0)
  const several = m.history.length > 1
  const count = (test: (d: Model['defects'][number]) => boolean) => m.defects.filter(test).length
  const fresh = count(d => d.status === 'regressed' || (several ? d.news === 'new' || d.news === 'regressed' : d.status === 'new'))
  const fixed = count(d => d.status === 'fixed') + m.past.filter(p => p.news === 'gone').length
  const { shards } = m.run
  return (
    <section class="head">
      <div>
        <h1>
          {bad === 0
            ? 'Nothing is wrong in what was run.'
            : bad === m.ops.length
              ? 'Every operation is wrong somewhere. Here is where.'
              : `${bad} of ${m.ops.length} operations are wrong somewhere. Here is where.`}
        </h1>
        <p>
          {number(trials)} trials of {m.ops.length} {m.ops.length === 1 ? 'operation' : 'operations'} on {ran.length}{' '}
          {ran.length === 1 ? 'backend' : 'backends'}, {m.run.date}, seed {m.run.seed}.{' '}
          {not.length > 0 && (
            <>
              <b>{not.length === 1 ? 'One' : not.length} did not run</b>:{' '}
              {not.map((b, i) => (
                <span key={b.name}>
                  {i > 0 && ', '}
                  <a href={link('backend', [b.name])}>{b.name}</a>
                  {(b.enable || b.reason) && <> ({b.enable ? <code>{b.enable}</code> : b.reason})</>}
                </span>
              ))}
              .{' '}
            </>
          )}
          {partial.length > 0 && (
            <>
              <b>Ended early</b>: {partial.map(b => `${b.name}${b.reason ? ` (${b.reason})` : ''}`).join(', ')}.
            </>
          )}
        </p>
        {(m.run.ended !== 'clean' || m.run.corrupt > 0) && (
          <p class="warn">
            {shards?.missing.length ? (
              <>
                <b>
                  Shard {shards.missing.join(', ')} of {shards.of} is missing
                </b>
                : its cases were not run.{' '}
              </>
            ) : null}
            {shards?.cut.length ? (
              <>
                <b>
                  Shard {shards.cut.join(', ')} of {shards.of} ended early
                </b>
                : what it had written is in.{' '}
              </>
            ) : null}
            {!shards &&
              (m.run.ended === 'killed' ? 'This run was killed; everything here is rebuilt from its journal.' : 'This run was interrupted.')}
            {m.run.corrupt > 0 && ` ${m.run.corrupt} journal lines could not be read and are left out.`}
          </p>
        )}
      </div>
      <dl>
        <div>
          <dt>{several ? `new since ${m.history.at(-2)!.date === m.run.date ? m.history.at(-2)!.name : m.history.at(-2)!.date}` : 'new'}</dt>
          <dd class={fresh ? 'bad' : ''}>
            <a href={several ? link('history') : link('defects', [], { status: 'new' })}>{fresh}</a>
          </dd>
        </div>
        <div>
          <dt>{several ? 'no longer seen' : 'fixed'}</dt>
          <dd class={fixed ? 'good' : ''}>
            <a href={link('history')}>{fixed}</a>
          </dd>
        </div>
        <div>
          <dt>defects</dt>
          <dd>
            <a href={link('defects')}>{m.defects.length}</a>
          </dd>
        </div>
      </dl>
    </section>
  )
}
