/** An operation: every backend in one table, support attribute by attribute, the conventions that backends follow, traps. */
import type { Mark as MarkName } from '../../harness/summary.ts'
import type { PageSupport } from '../page-data.ts'
import { labelOf } from '../vocabulary.ts'
import { countsOf, lookOf, type Model, ms, number } from './model.ts'
import { Backends, Crumbs, DefectItem, Mark, Scroll } from './parts.tsx'
import { link } from './route.ts'
import { BenchTable } from './speed.tsx'

export function Operation({ m, name }: { m: Model; name: string }) {
  const op = m.ops.findIndex(o => o.name === name)
  if (op < 0) return <h1>No operation {name} in this run</h1>
  const o = m.ops[op]!
  const found = m.defects.filter(d => d.op === op)
  const bench = m.bench?.filter(c => c.op === name) ?? []
  const shown = m.backends.flatMap((b, i) => (m.cellAt(op, i) ? [{ b, i }] : []))
  return (
    <article class="op-page">
      <Crumbs>
        <a href={link('matrix')}>Matrix</a> › {o.family} › {name}
      </Crumbs>
      <h1>{name}</h1>
      <p class="small">
        {o.spec.map((s, i) => (
          <span key={s}>
            {i > 0 && ' · '}
            <a href={s} rel="noopener noreferrer">
              {s.replace(/^https?:\/\//, '').replace('onnx__', '')}
            </a>
          </span>
        ))}
      </p>
      <section>
        <h2>On every backend</h2>
        <Scroll label="On every backend">
          <table class="data">
            <thead>
              <tr>
                <th scope="col">backend</th>
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
                <th scope="col">the rest</th>
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
              {shown.map(({ b, i }) => {
                const cell = m.cellAt(op, i)!
                const look = lookOf(m, op, [i])
                return (
                  <tr key={b.name}>
                    <th scope="row">
                      <a href={link('backend', [b.name])}>{b.label}</a>
                    </th>
                    <td>
                      <Mark mark={look.mark} filled={look.filled} label={false} /> {verdict(look.mark)}
                    </td>
                    <td class="n">{look.count || ''}</td>
                    <td class="n">{number(cell.trials)}</td>
                    <td class="n">{number(cell.agree)}</td>
                    <td>
                      {countsOf(cell)
                        .filter(([w]) => w !== 'agree')
                        .map(([w, n]) => `${number(n)} ${w}`)
                        .join(', ')}
                      {cell.gap && !cell.trials ? <span class="small"> {cell.gap}</span> : null}
                    </td>
                    <td>{rungs(cell.rungs)}</td>
                    <td class="n">{cell.worst === null ? '' : cell.worst.toFixed(2)}</td>
                    <td class="n">{cell.medianMs === null ? '' : ms(cell.medianMs)}</td>
                  </tr>
                )
              })}
            </tbody>
          </table>
        </Scroll>
      </section>
      {found.length > 0 && (
        <section>
          <h2>
            Defects <i>{found.length}</i>
          </h2>
          <ul class="list">
            {found.slice(0, 60).map(d => (
              <DefectItem key={d.id} m={m} d={d} op={false} tail={<Backends m={m} list={d.backends} links={false} />} />
            ))}
          </ul>
          {found.length > 60 && <a href={link('defects', [], { op: name })}>All {found.length}</a>}
        </section>
      )}
      {o.conventions.length > 0 && (
        <section>
          <h2>Conventions</h2>
          <p class="small">What the specification leaves open: never called wrong, but not the same everywhere.</p>
          <Scroll label="Conventions">
            <table class="data">
              <tbody>
                {o.conventions.map(c =>
                  c.answers.map((a, i) => (
                    <tr key={c.question + a.answer}>
                      {i === 0 && (
                        <th scope="rowgroup" rowSpan={c.answers.length}>
                          {c.question}
                        </th>
                      )}
                      <td>{a.answer}</td>
                      <td>
                        <Backends m={m} list={Object.keys(a.on).map(Number)} />
                      </td>
                    </tr>
                  )),
                )}
              </tbody>
            </table>
          </Scroll>
        </section>
      )}
      {o.traps.length > 0 && (
        <section>
          <h2>Traps</h2>
          <p class="small">What people write first is not the same operation.</p>
          <Scroll label="Traps">
            <table class="data">
              <tbody>
                {o.traps.map(t => (
                  <tr key={t.why}>
                    <td>
                      <code>{t.paths.join(', ')}</code>
                    </td>
                    <td>{t.why}</td>
                    <td>
                      <Backends m={m} list={Object.keys(t.on).map(Number)} />
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </Scroll>
        </section>
      )}
      <Support m={m} op={op} tables={o.support} />
      {bench.length > 0 && (
        <section>
          <h2>Speed</h2>
          <BenchTable cells={bench} />
        </section>
      )}
    </article>
  )
}
const verdict = (mark: MarkName): string =>
  ({
    right: 'right',
    imprecise: 'less precise',
    wrong: 'wrong',
    crashes: 'crashes',
    refuses: 'refuses',
    gap: 'cannot be said',
    'not-run': 'not run',
  })[mark]
export const rungs = (r: Readonly<Record<string, number>>): string =>
  Object.entries(r)
    .sort((a, b) => b[1] - a[1])
    .map(([n]) => n)
    .slice(0, 3)
    .join(', ')

/** Failing trials under an attribute's value are not always its fault: the share says how often. */
function Support({ m, op, tables }: { m: Model; op: number; tables: readonly PageSupport[] }) {
  const backends = m.backends.flatMap((_, i) => (m.cellAt(op, i) ? [i] : []))
  if (!tables.length) return null
  return (
    <section>
      <h2>Support, attribute by attribute</h2>
      <p class="small">
        Share of the trials with this value that fail. A share far above its column's others points at the value; the defects above say exactly when.
      </p>
      <Scroll label="Support, attribute by attribute">
        <table class="data support">
          <thead>
            <tr>
              <th scope="col">attribute</th>
              <th scope="col">value</th>
              {backends.map(b => (
                <th key={b} scope="col" class="c">
                  {labelOf(m.backends[b]!.name)
                    .replace('onnxruntime-node', 'ort')
                    .replace('onnxruntime-web', 'ort-web')
                    .replace('TensorFlow.js', 'tf.js')}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {tables.map(t =>
              t.values.map((v, i) => (
                <tr key={t.attribute + v.value} class={i === 0 ? 'head' : ''}>
                  {i === 0 && (
                    <th scope="rowgroup" rowSpan={t.values.length}>
                      <code>{t.attribute}</code>
                    </th>
                  )}
                  <td>
                    <code>{v.value}</code>
                  </td>
                  {backends.map(b => (
                    <td key={b} class="c">
                      <Share four={v.on[b]} />
                    </td>
                  ))}
                </tr>
              )),
            )}
          </tbody>
        </table>
      </Scroll>
    </section>
  )
}
function Share({ four }: { four: readonly [number, number, number, number] | undefined }) {
  if (!four) return <Mark mark="not-run" />
  const [right, failing, gap, open] = four
  const ran = right + failing + open
  const title = `${right} right, ${failing} failing, ${gap} cannot be said, ${open} undecided`
  if (!ran)
    return (
      <span title={title}>
        <Mark mark="gap" />
      </span>
    )
  if (!failing)
    return (
      <span title={title}>
        {right ? <Mark mark="right" label={`right in ${right}`} /> : <Mark mark="not-run" label="undecided" />}
        {gap ? <small> –{gap}</small> : null}
      </span>
    )
  const percent = (100 * failing) / ran
  return (
    <span class={percent >= 50 ? 'high' : ''} title={title}>
      <Mark mark="wrong" filled={percent >= 50} label="failing" /> <small>{percent < 1 ? '<1' : Math.round(percent)} %</small>
    </span>
  )
}
