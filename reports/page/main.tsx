/** Starts the page: reads the embedded data, then draws the view that the address names. */
import { render } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import type { PageData } from '../page-data.ts'
import { Backend } from './backend.tsx'
import { Defect } from './defect.tsx'
import { Defects, Find } from './defects.tsx'
import { Help } from './help.tsx'
import { History } from './history.tsx'
import { Matrix } from './matrix.tsx'
import { type Model, modelOf } from './model.ts'
import { Moving } from './moving.tsx'
import { Operation } from './operation.tsx'
import { Shapes } from './parts.tsx'
import { link, type Route, useRoute } from './route.ts'
import { Speed } from './speed.tsx'

const VIEWS: readonly (readonly [string, string, readonly string[]])[] = [
  ['matrix', 'Matrix', ['op', 'backend']],
  ['move', 'Moving from … to …', []],
  ['defects', 'Defects', ['defect']],
  ['speed', 'Speed', []],
  ['history', 'History', []],
  ['help', 'How to read this', []],
]

function View({ m, route }: { m: Model; route: Route }) {
  const [first = ''] = route.parts
  switch (route.view) {
    case 'move':
      return <Moving m={m} route={route} />
    case 'defects':
      return <Defects m={m} route={route} />
    case 'defect':
      return <Defect key={first} m={m} id={first} />
    case 'op':
      return <Operation m={m} name={first} />
    case 'backend':
      return <Backend m={m} name={first} />
    case 'speed':
      return <Speed m={m} route={route} />
    case 'history':
      return <History m={m} route={route} />
    case 'help':
      return <Help m={m} />
    case 'find':
      return <Find m={m} route={route} />
    default:
      return <Matrix m={m} route={route} />
  }
}
function titleOf(route: Route, m: Model): string {
  const view = VIEWS.find(v => v[0] === route.view)?.[1]
  if (route.view === 'defect') return m.defectById.get(route.parts[0] ?? '')?.sentence ?? 'Defect'
  return view ?? (route.parts.join(' ') || 'Search')
}

function App({ m }: { m: Model }) {
  const route = useRoute()
  const search = useRef<HTMLInputElement>(null)
  const main = useRef<HTMLElement>(null)
  const place = `${route.view}/${route.parts.join('/')}`
  const last = useRef(place)
  useEffect(() => {
    document.title = `${titleOf(route, m)} · opcompat ${m.run.name}`
    if (last.current === place) return
    last.current = place
    if (document.activeElement !== search.current) {
      scrollTo(0, 0)
      main.current?.focus({ preventScroll: true }) // a screen reader goes on with the new view
    }
  }, [place])
  useEffect(() => {
    const on = (e: KeyboardEvent) => {
      const typing = e.target instanceof HTMLElement && /^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName)
      if (e.key !== '/' || typing || e.ctrlKey || e.metaKey || e.altKey) return
      e.preventDefault()
      search.current?.focus()
    }
    addEventListener('keydown', on)
    return () => removeEventListener('keydown', on)
  }, [])
  return (
    <>
      <Shapes />
      <a
        class="skip"
        href={location.hash || '#/'}
        onClick={e => {
          e.preventDefault()
          main.current?.focus()
        }}
      >
        To the content
      </a>
      <header>
        <a class="logo" href="#/">
          op<b>compat</b>
        </a>
        <nav aria-label="Views">
          {VIEWS.map(([view, name, under]) => (
            <a
              key={view}
              href={link(view)}
              class={route.view === view || under.includes(route.view) ? 'on' : ''}
              aria-current={route.view === view ? 'page' : undefined}
            >
              {name} {view === 'defects' && <i>{m.defects.length}</i>}
            </a>
          ))}
        </nav>
        <search class="find">
          <form
            onSubmit={e => {
              e.preventDefault()
              location.hash = link('find', [], { q: search.current?.value })
            }}
          >
            <input
              ref={search}
              type="search"
              aria-label="Search operations, backends, kinds, attributes, packages"
              placeholder="Search"
              value={route.view === 'find' ? (route.query['q'] ?? '') : ''}
              onInput={e => {
                const to = link('find', [], { q: e.currentTarget.value })
                if (route.view === 'find') {
                  history.replaceState(null, '', to)
                  dispatchEvent(new HashChangeEvent('hashchange'))
                } else location.hash = to
              }}
            />
            <kbd>/</kbd>
          </form>
        </search>
      </header>
      <main ref={main} tabIndex={-1}>
        <View m={m} route={route} />
      </main>
      <footer>
        opcompat {m.run.version} · {m.run.name} · seed {m.run.seed}
        {m.run.cases !== null && m.run.cases < 1e6 ? ` · ${m.run.cases} cases an operation` : ''} · plan {m.run.plan}
        {m.run.shard ? ` · shard ${m.run.shard.i} of ${m.run.shard.n}` : ''}
      </footer>
    </>
  )
}

async function read(): Promise<PageData> {
  const el = document.getElementById('data')!
  const text = el.textContent ?? ''
  if (el.dataset['form'] !== 'deflate') return JSON.parse(text) as PageData
  const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0))
  return (await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate-raw'))).json()) as PageData
}
const page = document.getElementById('page')!
read().then(
  data => {
    page.textContent = ''
    render(<App m={modelOf(data)} />, page)
    performance.mark('drawn')
  },
  error => {
    page.textContent = `This page could not be read: ${error}. report.md beside it says the same as text.`
  },
)
