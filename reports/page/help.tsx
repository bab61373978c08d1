/** How to read this: once, in one place. */
import { MARK_WORDS } from '../vocabulary.ts'
import type { Model } from './model.ts'
import { Mark } from './parts.tsx'
import { link } from './route.ts'

const SAYS: Record<keyof typeof MARK_WORDS, string> = {
  right: 'Every output lies within the bound that rounding explains, in everything that was tried.',
  imprecise: 'Only a lower precision than the backend declares (tf32, f16, bf16) explains it.',
  wrong: 'Wrong values, shape or dtype, an invalid call accepted, or results that differ from run to run. Nobody is told.',
  crashes: 'The process died, hung, or lost its device.',
  refuses: 'A call that is valid by the specification is rejected.',
  gap: 'The runtime has no such operation, or no kernel for it.',
  'not-run': 'Not reached, or nothing could be compared. Never counted as a pass.',
}
export function Help({ m }: { m: Model }) {
  return (
    <article class="list-page help">
      <h1>How to read this</h1>
      <table class="data">
        <tbody>
          {(Object.keys(MARK_WORDS) as (keyof typeof MARK_WORDS)[]).map(k => (
            <tr key={k}>
              <td>
                <Mark mark={k} label={false} />
              </td>
              <th scope="row">{MARK_WORDS[k]}</th>
              <td>{SAYS[k]}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <h2>Filled and hollow</h2>
      <p>
        {m.run.reached
          ? 'The rule of every defect is run over the layers of real models. A filled mark is a defect that some of these layers meet; a hollow one lives in corners. Every list is in the same order: reach first, then severity.'
          : 'In this run no rule was run over layers of real models, so that marks are filled throughout.'}
      </p>
      <h2>The number counts causes</h2>
      <p>
        It does not grow because the run was longer. How many trials failed stands on each defect's own page, and in the counts that a cell shows when
        you point at it.
      </p>
      <h2>An alarm is a proof</h2>
      <p>
        Expected values come from a float64 reference; how far an honest implementation may stand from them is derived for each element of each case.
        What the specification leaves open (NaN in max pooling, ties after rounding, subnormals) is a <i>convention</i>: told on the page of the
        operation, never called wrong. A <i>trap</i> is the form that people write first though it is another operation.
      </p>
      <h2>Three questions, three clicks</h2>
      <ul class="plain">
        <li>
          Can I move an operation from one backend to another? <a href={link('move')}>Moving from … to …</a>, choose both, choose the operation.
        </li>
        <li>
          What broke since yesterday? <a href={link('history')}>History</a>.
        </li>
        <li>
          Which backend is fastest and right for a layer? <a href={link('speed', [], { op: 'conv', q: '3x3' })}>Speed</a>.
        </li>
      </ul>
      <h2>Keyboard</h2>
      <p>
        <kbd>/</kbd> searches. In the matrix the arrow keys walk the cells and <kbd>Enter</kbd> opens one. Every view, with its filters, has its own
        address.
      </p>
      <p class="small">
        opcompat {m.run.version}, run {m.run.name}, seed {m.run.seed}, plan {m.run.plan}, Node {m.run.node} on {m.run.platform}.
      </p>
    </article>
  )
}
