/** The list of defects with its filters, and the results of a search over everything. */
import { useMemo } from 'preact/hooks'
import type { PageDefect } from '../page-data.ts'
import { KIND_ORDER } from '../vocabulary.ts'
import { type Model, plural } from './model.ts'
import { DefectItem, Mark } from './parts.tsx'
import { change, link, type Route } from './route.ts'

const PAGE = 100
const tokensOf = (q: string) => q.toLowerCase().split(/\s+/).filter(Boolean)

function Pick({ label, value, options, onPick }: { label: string; value: string; options: readonly string[]; onPick: (v: string) => void }) {
  return (
    <label>
      {label}{' '}
      <select value={value} onChange={e => onPick(e.currentTarget.value)}>
        <option value="">any</option>
        {options.map(o => (
          <option key={o}>{o}</option>
        ))}
      </select>
    </label>
  )
}
const SORTS: Record<string, (m: Model) => (a: PageDefect, b: PageDefect) => number> = {
  operation: m => (a, b) => (m.ops[a.op]!.name < m.ops[b.op]!.name ? -1 : m.ops[a.op]!.name > m.ops[b.op]!.name ? 1 : 0),
  trials: () => (a, b) => b.hits - a.hits,
  backends: () => (a, b) => b.backends.length - a.backends.length,
}

export function Defects({ m, route }: { m: Model; route: Route }) {
  const { q = '', op = '', backend = '', kind = '', status = '', sort = '', show = '' } = route.query
  const list = useMemo(() => {
    const tokens = tokensOf(q)
    const b = m.numberOf.get(backend)
    const found = m.defects.filter(
      d =>
        (!op || m.ops[d.op]!.name === op) &&
        (!backend || (b !== undefined && d.backends.includes(b))) &&
        (!kind || d.kind === kind) &&
        (!status || d.status === status) &&
        (!tokens.length || tokens.every(t => m.textOf(d).includes(t))),
    )
    return SORTS[sort] ? [...found].sort(SORTS[sort](m)) : found
  }, [m, q, op, backend, kind, status, sort])
  const most = Number(show) || PAGE
  const kinds = KIND_ORDER.filter(k => m.defects.some(d => d.kind === k))
  return (
    <section class="list-page">
      <h1>
        Defects <i>{m.defects.length}</i>
      </h1>
      <form class="filters" aria-label="Filters" onSubmit={e => e.preventDefault()}>
        <label>
          Text{' '}
          <input
            type="search"
            value={q}
            placeholder="attribute, package, message …"
            onInput={e => change(route, { q: e.currentTarget.value, show: '' })}
          />
        </label>
        <Pick
          label="Operation"
          value={op}
          options={m.ops.filter((_, i) => m.defects.some(d => d.op === i)).map(o => o.name)}
          onPick={v => change(route, { op: v })}
        />
        <Pick label="Backend" value={backend} options={m.backends.map(b => b.name)} onPick={v => change(route, { backend: v })} />
        <Pick label="Kind" value={kind} options={kinds} onPick={v => change(route, { kind: v })} />
        <Pick label="Status" value={status} options={[...new Set(m.defects.map(d => d.status))]} onPick={v => change(route, { status: v })} />
        <label>
          Sort by{' '}
          <select value={sort} onChange={e => change(route, { sort: e.currentTarget.value })}>
            <option value="">{m.run.reached ? 'reach, then severity' : 'severity'}</option>
            {Object.keys(SORTS).map(s => (
              <option key={s}>{s}</option>
            ))}
          </select>
        </label>
        <span class="small" role="status">
          {list.length} of {m.defects.length}
        </span>
      </form>
      <ul class="list">
        {list.slice(0, most).map(d => (
          <DefectItem key={d.id} m={m} d={d} tail={d.recipe ? <a href={link('defect', [d.id])}>what to write instead</a> : undefined} />
        ))}
      </ul>
      {!list.length && <p class="none">No defect fits these filters.</p>}
      {list.length > most && (
        <button type="button" onClick={() => change(route, { show: String(most + PAGE) })}>
          {plural(list.length - most, 'more defect')}
        </button>
      )}
    </section>
  )
}

/** Operations, backends, attributes, packages, defects: every word has to occur. */
export function Find({ m, route }: { m: Model; route: Route }) {
  const q = route.query['q'] ?? ''
  const tokens = tokensOf(q)
  const fits = (text: string) => tokens.length > 0 && tokens.every(t => text.toLowerCase().includes(t))
  const ops = m.ops.filter(o =>
    fits(`${o.name} ${o.family} ${o.support.map(s => `${s.attribute} ${s.values.map(v => `${s.attribute}=${v.value}`).join(' ')}`).join(' ')}`),
  )
  const backends = m.backends.filter(b => fits(`${b.name} ${b.label} ${Object.values(b.identity).join(' ')}`))
  const defects = tokens.length ? m.defects.filter(d => tokens.every(t => m.textOf(d).includes(t))) : []
  return (
    <section class="list-page" aria-live="polite">
      <h1>{q ? `“${q}”` : 'Search'}</h1>
      <p class="small" role="status">
        {plural(ops.length, 'operation')}, {plural(backends.length, 'backend')}, {plural(defects.length, 'defect')}
      </p>
      {ops.length > 0 && (
        <p class="chips">
          {ops.slice(0, 40).map(o => (
            <a key={o.name} href={link('op', [o.name])}>
              {o.name}
            </a>
          ))}
        </p>
      )}
      {backends.length > 0 && (
        <p class="chips">
          {backends.map(b => (
            <a key={b.name} href={link('backend', [b.name])}>
              {b.label}
            </a>
          ))}
        </p>
      )}
      <ul class="list">
        {defects.slice(0, 60).map(d => (
          <DefectItem key={d.id} m={m} d={d} />
        ))}
      </ul>
      {defects.length > 60 && (
        <p>
          <a href={link('defects', [], { q })}>All {defects.length} defects</a>
        </p>
      )}
      {tokens.length > 0 && !ops.length && !backends.length && !defects.length && (
        <p class="none">
          <Mark mark="not-run" label={false} /> Nothing has all of these words.
        </p>
      )}
    </section>
  )
}
