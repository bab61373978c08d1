/** A defect on one screen: what happens, when, what it is instead, what to write instead, the smallest case as a picture, who agrees, how to see it oneself. */
import { useMemo, useState } from 'preact/hooks'
import type { TensorSpec } from '../../harness/types.ts'
import type { PageDefect } from '../page-data.ts'
import { KIND_WORDS, kindMark } from '../vocabulary.ts'
import { Heat, rangeOf, short, valuesOf } from './heat.tsx'
import { type Model, plural } from './model.ts'
import { Backends, Code, Copy, Crumbs, defectMark, Mark, reachWords, Strip } from './parts.tsx'
import { Plot } from './plot.tsx'
import { link } from './route.ts'

interface CaseData {
  op: string
  attributes: Record<string, unknown>
  inputs: (TensorSpec | null)[]
  valid?: boolean
}

export function Defect({ m, id }: { m: Model; id: string }) {
  const d = m.defectById.get(id)
  if (!d)
    return (
      <section class="defect">
        <h1>No defect {id} in this run</h1>
        <p>
          It may belong to another run. <a href={link('defects')}>All defects of this one</a>
        </p>
      </section>
    )
  const op = m.ops[d.op]!.name
  const c = d.case as CaseData
  return (
    <article class="defect">
      <Crumbs>
        <a href={link('matrix')}>Matrix</a> › <a href={link('op', [op])}>{op}</a> › <a href={link('defects', [], { kind: d.kind })}>{d.kind}</a> ›{' '}
        {d.id}
      </Crumbs>
      <h1>{d.sentence}</h1>
      <div class="meta">
        <span class={`tag ${kindMark(d.kind)}`}>
          {defectMark(m, d)} {KIND_WORDS[d.kind] ?? d.kind}
        </span>
        <span class="tag">{d.status}</span>
        {reachWords(d) ? (
          <span class="tag">hits {reachWords(d)}</span>
        ) : m.run.reached ? (
          <span class="tag">no layer of the real models looked at</span>
        ) : null}
        {[...new Set(d.backends.map(b => m.backends[b]!.package))].filter(Boolean).map(p => (
          <span key={p} class="tag">
            {p}
          </span>
        ))}
        {d.links.map(l => (
          <a key={l} href={l} rel="noopener noreferrer">
            {l.replace(/^https?:\/\/github\.com\/[^/]+\/([^/]+)\/(?:issues|pull)\//, '$1#').replace(/^https?:\/\//, '')}
          </a>
        ))}
        <CopyLink />
      </div>
      <div class="facts">
        <section>
          <h2>When</h2>
          <p class="rule">
            <code>{d.rule}</code>
          </p>
          <p class="small">
            {d.ruled
              ? (d.measured ?? `${plural(d.hits, 'trial')} of this run failed like this`)
              : 'The smallest case that still fails; no wider rule was learned.'}
            {d.reach.models.length > 0 && (
              <>
                {' '}
                Layers of {d.reach.models.slice(0, 4).join(', ')}
                {d.reach.models.length > 4 ? ` and ${d.reach.models.length - 4} more` : ''} match.
              </>
            )}
          </p>
        </section>
        <section>
          <h2>What it is instead</h2>
          <p>{d.instead ?? insteadOf(d)}</p>
          {d.because && !d.instead && d.because !== insteadOf(d) && (
            <p class="small">
              <q>{d.because}</q>
            </p>
          )}
        </section>
        <section>
          <h2>Write this instead</h2>
          {d.recipe ? (
            <>
              {d.recipe.code && <Code text={d.recipe.code} />}
              <p class="small">
                {d.recipe.text} {d.recipe.cost && `Costs ${d.recipe.cost}.`}
              </p>
            </>
          ) : (
            <Alternatives m={m} d={d} />
          )}
        </section>
      </div>
      <section>
        <h2>Smallest case{d.shrunk ? '' : ' (as it was drawn, not made smaller)'}</h2>
        <p class="small">
          <code>{d.caseText}</code> · {d.paths.length > 1 ? 'paths' : 'path'} {d.paths.join(', ')} · {d.modes.length > 1 ? 'modes' : 'mode'}{' '}
          {d.modes.join(', ')}
        </p>
        <Pictures m={m} d={d} c={c} />
      </section>
      <div class="split">
        <section>
          <h2>Who agrees with the definition</h2>
          <Agreement m={m} d={d} />
        </section>
        <SeeIt m={m} d={d} c={c} />
      </div>
      <section class="split">
        <div>{d.histogram?.slice(1).some(Boolean) && <Errors d={d} />}</div>
        <div>
          <h2>Seen</h2>
          <p>
            <Strip track={d.track} runs={m.history} />
          </p>
          <p class="small">
            {d.firstSeen ? `First seen ${d.firstSeen}. ` : `First seen in ${m.history[d.track.indexOf('1')]?.name ?? m.run.name}. `}
            {d.lastSeen ? `Last seen ${d.lastSeen}. ` : `Last seen in ${m.history[d.track.lastIndexOf('1')]?.name ?? m.run.name}. `}
            {plural(d.hits, 'trial')} of this run.
          </p>
          {d.reason && <p class="small">{d.reason}</p>}
          {d.related?.length ? (
            <p class="small">
              Perhaps the same cause:{' '}
              {d.related.map((id, i) => (
                <span key={id}>
                  {i > 0 && ', '}
                  <a href={link('defect', [id])}>{id}</a>
                </span>
              ))}
            </p>
          ) : null}
        </div>
      </section>
    </article>
  )
}

function insteadOf(d: PageDefect): string {
  if (d.kind === 'crash') return 'The process that runs it ends.'
  if (d.kind === 'hang') return 'It does not come back within the deadline; the host had to be ended.'
  if (d.kind === 'rejects-valid') return 'An error, though the call is valid by the specification.'
  if (d.kind === 'accepts-invalid') return 'It returns something, though the call has no meaning by the specification.'
  if (d.kind === 'shape' || d.kind === 'dtype') return d.because
  if (d.differing && d.observed?.values)
    return `${d.differing} of ${d.observed.values.length} elements lie outside the bound; no other definition that was tried gives these values.`
  return d.because || 'Nothing that was tried explains it.'
}
/** Without a verified recipe: what else this operation can be run on. */
function Alternatives({ m, d }: { m: Model; d: PageDefect }) {
  const good = d.row.filter(([, kind]) => kind === 'agree').map(([b]) => b)
  return good.length ? (
    <p>
      No rewrite is verified. The same call is right on <Backends m={m} list={good} />.
    </p>
  ) : (
    <p class="small">No rewrite is verified, and no backend of this run gets the smallest case right.</p>
  )
}

function CopyLink() {
  return <Copy text={location.href} what="Copy link" />
}

function Pictures({ m, d, c }: { m: Model; d: PageDefect; c: CaseData }) {
  const inputs = useMemo(() => c.inputs.map(x => x && { dtype: x.dtype, shape: x.shape, values: valuesOf(x) }), [c])
  const bad = useMemo(() => new Set(d.bad), [d])
  const range = rangeOf(d.expected?.values, d.observed?.values)
  const names = { conv: ['x', 'w', 'bias'], resize: ['x'] }[c.op] ?? []
  const total = d.observed?.values?.length ?? 0
  return (
    <div class="maps">
      {inputs.map((t, i) => t && <Heat key={`x${i}`} name={names[i] ?? `x${i}`} t={t} />)}
      {(d.expected || d.observed) && (
        <span class="arrow" aria-hidden="true">
          →
        </span>
      )}
      {d.expected && <Heat name="expected" t={d.expected} range={range} />}
      {d.observed ? (
        <Heat
          name={m.backends[d.backends[0] ?? 0]?.label ?? 'observed'}
          t={d.observed}
          bad={bad}
          range={range}
          note={d.differing ? `${d.differing} of ${total}${total >= 256 ? ' shown' : ''} elements outside the bound (${d.bound})` : d.because}
        />
      ) : (
        <figure class="heat says">
          <figcaption>{m.backends[d.backends[0] ?? 0]?.label}</figcaption>
          <p>{d.because || KIND_WORDS[d.kind]}</p>
        </figure>
      )}
    </div>
  )
}

function Agreement({ m, d }: { m: Model; d: PageDefect }) {
  const rows = new Map<string, { kind: string; what: string; list: number[] }>()
  for (const [b, kind, rung, because] of d.row) {
    const what =
      kind === 'agree'
        ? rung || 'agrees'
        : kind === d.kind
          ? KIND_WORDS[kind]!
          : kind === 'gap' || kind === 'not-run'
            ? because || kind
            : (KIND_WORDS[kind] ?? kind)
    const key = `${kind} ${what}`
    const row = rows.get(key) ?? rows.set(key, { kind, what, list: [] }).get(key)!
    row.list.push(b)
  }
  const order = (kind: string) =>
    ['agree', 'convention', 'trap'].includes(kind)
      ? 0
      : kind === d.kind
        ? 10
        : kind === 'gap' || kind === 'not-run' || kind === 'not-compared'
          ? 50
          : 20
  const asked = new Set(d.row.map(r => r[0]))
  const unasked = m.backends.flatMap((b, i) => (asked.has(i) || b.status === 'not-run' ? [] : [i]))
  return (
    <table class="agree">
      <tbody>
        {[...rows.values()]
          .sort((a, b) => order(a.kind) - order(b.kind))
          .map(r => (
            <tr key={r.kind + r.what} class={r.kind === d.kind ? 'this' : ''}>
              <td>
                <Mark mark={kindMark(r.kind)} label={KIND_WORDS[r.kind]} />
              </td>
              <td>
                <Backends m={m} list={r.list} />
              </td>
              <td>{r.what}</td>
            </tr>
          ))}
        {unasked.length > 0 && (
          <tr>
            <td>
              <Mark mark="not-run" />
            </td>
            <td>
              <Backends m={m} list={unasked} />
            </td>
            <td>this case was not run there</td>
          </tr>
        )}
      </tbody>
    </table>
  )
}

const FORMS = ['Replay', 'Page for any browser', 'Node script', 'Issue text', 'Case as JSON'] as const
function SeeIt({ m, d, c }: { m: Model; d: PageDefect; c: CaseData }) {
  const [form, choose] = useState<(typeof FORMS)[number]>('Replay')
  const text = {
    Replay: d.replay,
    'Page for any browser': `npm run compat -- repro ${d.id} --as html --out ${d.id}.html`,
    'Node script': `npm run compat -- repro ${d.id} --as node --out ${d.id}.mjs`,
    'Issue text': issueText(m, d),
    'Case as JSON': JSON.stringify(c, null, 1),
  }[form]
  return (
    <section>
      <h2>See it yourself</h2>
      <fieldset class="forms">
        <legend class="sr">Form</legend>
        {FORMS.map(f => (
          <button key={f} type="button" aria-pressed={f === form} onClick={() => choose(f)}>
            {f}
          </button>
        ))}
      </fieldset>
      <Code text={text} />
    </section>
  )
}

/** What a maintainer needs, as Markdown. */
function issueText(m: Model, d: PageDefect): string {
  const list = (t: PageDefect['observed']) => (t?.values ? `${t.dtype}[${t.shape}] ${t.values.slice(0, 40).map(short).join(' ')}` : 'nothing')
  const packages = [...new Set(d.backends.map(b => m.backends[b]!.package))].filter(Boolean)
  const rows = d.row.map(([b, kind, rung]) => `| ${m.backends[b]!.label} | ${kind === 'agree' ? `agrees (${rung})` : kind} |`)
  return [
    `### ${d.sentence}`,
    '',
    `**Versions:** ${packages.join(', ') || 'unknown'}; Node ${m.run.node}, ${m.run.platform}`,
    `**When:** \`${d.rule}\``,
    ...(d.instead ? [`**What it is instead:** ${d.instead}`] : []),
    '',
    `Smallest case: \`${d.caseText}\``,
    '',
    `Expected \`${list(d.expected)}\``,
    `Observed \`${d.observed ? list(d.observed) : d.because}\``,
    '',
    '| backend | verdict |',
    '|---|---|',
    ...rows,
    ...(d.recipe?.code ? ['', 'Works instead:', '```js', d.recipe.code, '```'] : []),
    '',
    `Specification: ${m.ops[d.op]!.spec[0] ?? ''}`,
    '',
    '```bash',
    d.replay,
    '```',
  ].join('\n')
}

const BINS = ['≤ 1', '≤ 10', '≤ 10²', '≤ 10³', '≤ 10⁴', '≤ 10⁵', 'more', 'no bound']
function Errors({ d }: { d: PageDefect }) {
  const bins = d.histogram!
  const series = useMemo(() => [{ label: 'elements', values: [...bins], colour: '--accent' }], [bins])
  const x = useMemo(() => bins.map((_, i) => i), [bins])
  return (
    <>
      <h2>Error / bound</h2>
      <Plot bars title="Elements of the smallest case by how far they stand beyond their bound" x={x} labels={BINS} series={series} height={150} />
      <p class="sr">{bins.map((n, i) => (n ? `${BINS[i]}: ${n}. ` : '')).join('')}</p>
    </>
  )
}
