/** Every view has its own address: `#/view/part/part?key=value`. A link shows exactly what its sender saw. */
import { useEffect, useState } from 'preact/hooks'

export interface Route {
  view: string
  parts: string[]
  query: Readonly<Record<string, string>>
}
export function parse(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?')
  const [view = '', ...parts] = path.split('/').map(decode)
  return { view: view || 'matrix', parts: parts.filter(Boolean), query: Object.fromEntries(new URLSearchParams(query)) }
}
function decode(s: string): string {
  try {
    return decodeURIComponent(s)
  } catch {
    return s
  }
}
/** Address of a view; empty values are left out. */
export function link(view: string, parts: readonly string[] = [], query: Readonly<Record<string, string | undefined>> = {}): string {
  const filled = Object.entries(query).filter((e): e is [string, string] => !!e[1])
  const tail = filled.length ? `?${new URLSearchParams(filled)}` : ''
  const head = view === 'matrix' ? '' : [view, ...parts].map(p => encodeURIComponent(p).replace(/%40/g, '@')).join('/')
  return `#/${head}${tail}`
}
/** The same view with other values, without a new entry in the browser's history. */
export function change(route: Route, query: Readonly<Record<string, string | undefined>>): void {
  const to = link(route.view, route.parts, { ...route.query, ...query })
  if (to !== location.hash) {
    history.replaceState(null, '', to)
    dispatchEvent(new HashChangeEvent('hashchange'))
  }
}
export function useRoute(): Route {
  const [route, set] = useState(() => parse(location.hash))
  useEffect(() => {
    const on = () => set(parse(location.hash))
    addEventListener('hashchange', on)
    return () => removeEventListener('hashchange', on)
  }, [])
  return route
}
