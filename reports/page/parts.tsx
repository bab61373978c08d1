/** Small parts that all views share: marks, lists of defects, copy buttons, names of backends. */
import type { ComponentChildren } from 'preact'
import { useRef, useState } from 'preact/hooks'
import type { Mark as MarkName } from '../../harness/summary.ts'
import type { PageDefect } from '../page-data.ts'
import { columnsOf, KIND_WORDS, kindMark, MARK_WORDS } from '../vocabulary.ts'
import type { Model } from './model.ts'
import { plural } from './model.ts'
import { link } from './route.ts'

/** Shapes of the marks, drawn once: the same on every machine, whatever its fonts. */
export function Shapes() {
  const star = [0, 60, 120].map(a => <path key={a} d="M8 2v12" transform={`rotate(${a} 8 8)`} />)
  return (
    <svg class="shapes" aria-hidden="true" width="0" height="0">
      <symbol id="m-right" viewBox="0 0 16 16">
        <path class="line" d="M3 8.6l3.4 3.6L13 4.4" />
      </symbol>
      <symbol id="m-imprecise" viewBox="0 0 16 16">
        <circle class="line" cx="8" cy="8" r="5" />
        <path class="fill" d="M8 3a5 5 0 0 0 0 10z" />
      </symbol>
      <symbol id="m-wrong" viewBox="0 0 16 16">
        <circle class="fill" cx="8" cy="8" r="5.4" />
      </symbol>
      <symbol id="m-wrong-o" viewBox="0 0 16 16">
        <circle class="line" cx="8" cy="8" r="4.8" />
      </symbol>
      <symbol id="m-crashes" viewBox="0 0 16 16">
        <g class="line thick">{star}</g>
      </symbol>
      <symbol id="m-crashes-o" viewBox="0 0 16 16">
        <g class="line thin">{star}</g>
      </symbol>
      <symbol id="m-refuses" viewBox="0 0 16 16">
        <path class="fill line" d="M8 3.2L13.4 12.6H2.6z" />
      </symbol>
      <symbol id="m-refuses-o" viewBox="0 0 16 16">
        <path class="line" d="M8 3.2L13.4 12.6H2.6z" />
      </symbol>
      <symbol id="m-gap" viewBox="0 0 16 16">
        <path class="line" d="M4 8h8" />
      </symbol>
      <symbol id="m-not-run" viewBox="0 0 16 16">
        <circle class="fill" cx="8" cy="8" r="1.5" />
      </symbol>
    </svg>
  )
}
const HOLLOW: readonly MarkName[] = ['wrong', 'crashes', 'refuses']
export function Mark({ mark, filled = true, label }: { mark: MarkName; filled?: boolean; label?: string | false }) {
  const shape = !filled && HOLLOW.includes(mark) ? `${mark}-o` : mark
  const words = label ?? MARK_WORDS[mark]
  return (
    <span class={`m ${mark}`}>
      <svg aria-hidden="true" width="16" height="16">
        <use href={`#m-${shape}`} />
      </svg>
      {words && <span class="sr">{words}</span>}
    </span>
  )
}
export const defectMark = (m: Model, d: PageDefect) => (
  <Mark mark={kindMark(d.kind)} filled={!m.run.reached || d.reach.layers > 0} label={KIND_WORDS[d.kind] ?? d.kind} />
)

export function Legend({ m }: { m: Model }) {
  return (
    <ul class="legend" aria-label="Marks">
      {(Object.keys(MARK_WORDS) as MarkName[]).map(k => (
        <li key={k}>
          <Mark mark={k} label={false} /> {MARK_WORDS[k]}
        </li>
      ))}
      {m.run.reached && (
        <li>
          <Mark mark="wrong" filled={false} label={false} /> hollow: only in corners; filled: layers of real models are hit
        </li>
      )}
      <li>number: causes, not trials</li>
    </ul>
  )
}

export function Copy({ text, what = 'Copy' }: { text: string; what?: string }) {
  const [said, say] = useState('')
  const late = useRef<ReturnType<typeof setTimeout> | undefined>(undefined)
  const done = (words: string) => {
    say(words)
    clearTimeout(late.current)
    late.current = setTimeout(() => say(''), 1600)
  }
  return (
    <button
      type="button"
      class="copy"
      onClick={() => {
        copy(text).then(
          () => done('Copied'),
          () => done('Select and copy by hand'),
        )
      }}
    >
      <span aria-live="polite">{said || what}</span>
    </button>
  )
}
/** A page that was opened from disk may lack the clipboard interface. */
async function copy(text: string): Promise<void> {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text)
      return
    } catch {
      // not allowed: the old way below
    }
  }
  const area = document.createElement('textarea')
  area.value = text
  area.style.cssText = 'position:fixed;opacity:0'
  document.body.append(area)
  area.select()
  const done = document.execCommand('copy')
  area.remove()
  if (!done) throw new Error('not copied')
}
export function Code({ text, what }: { text: string; what?: string }) {
  return (
    <div class="code">
      <Copy text={text} what={what} />
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls has to be reachable by keyboard */}
      <pre tabIndex={0}>{text}</pre>
    </div>
  )
}

/** Backends in few words: twins and members of one runtime together. */
export function Backends({ m, list, links = true }: { m: Model; list: readonly number[]; links?: boolean }) {
  const columns = columnsOf(list.map(b => m.backends[b]!.name))
  const heads = [...new Set(columns.map(c => c.head))]
  return (
    <>
      {heads.map((head, i) => (
        <span key={head}>
          {i > 0 && '; '}
          {head === 'other' || head === 'published' ? '' : `${head} `}
          {columns
            .filter(c => c.head === head)
            .map((c, j) => {
              const browser = c.backends.every(b => b.endsWith('@chromium')) ? ' (browser)' : ''
              return (
                <span key={c.name}>
                  {j > 0 && ', '}
                  {links ? <a href={link('backend', [c.backends[0]!])}>{c.name + browser}</a> : c.name + browser}
                </span>
              )
            })}
        </span>
      ))}
    </>
  )
}

export const reachWords = (d: PageDefect): string =>
  d.reach.layers ? `${plural(d.reach.layers, 'layer')} of ${d.reach.models.length ? plural(d.reach.models.length, 'real model') : 'real models'}` : ''

/** One line of a list of defects. */
export function DefectItem({ m, d, op = true, tail }: { m: Model; d: PageDefect; op?: boolean; tail?: ComponentChildren }) {
  return (
    <li class={kindMark(d.kind)}>
      {defectMark(m, d)}
      <div>
        <a class="title" href={link('defect', [d.id])}>
          {op ? d.sentence : d.sentence.replace(/^\S+ on /, 'on ')}
        </a>
        <code>{d.rule}</code>
        <span class="small">
          {[d.status === 'new' && !m.run.catalogued ? '' : d.status, reachWords(d), plural(d.hits, 'trial')].filter(Boolean).join(' · ')}
        </span>
      </div>
      <span class="tail">{tail}</span>
    </li>
  )
}
export function Crumbs({ children }: { children: ComponentChildren }) {
  return (
    <nav class="crumb" aria-label="Where you are">
      {children}
    </nav>
  )
}
/** Seen in which runs: one square a run. */
const NIGHTS = 21
export function Strip({ track: whole, runs: all }: { track: string; runs: readonly { name: string }[] }) {
  const track = whole.slice(-NIGHTS)
  const runs = all.slice(-NIGHTS)
  const seen = [...track].filter(c => c === '1').length
  return (
    <span class="strip" role="img" aria-label={`seen in ${seen} of the last ${track.length} runs`}>
      {[...track].map((c, i) => (
        <i key={i} class={c === '1' ? 'on' : c === '0' ? 'off' : 'none'} title={runs[i]?.name} />
      ))}
    </span>
  )
}

/** A wide table scrolls by itself, also by keyboard. */
export function Scroll({ label, children }: { label: string; children: ComponentChildren }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls has to be reachable by keyboard
    <section class="scroll" tabIndex={0} aria-label={label}>
      {children}
    </section>
  )
}
