/** The counts of a cell, beside it, on hover and focus. */
import { countsOf, type Model, number, planned } from './model.ts'

export function Tip({ m, op, backends, at }: { m: Model; op: number; backends: readonly number[]; at: DOMRect }) {
  const left = Math.max(8, Math.min(at.left, innerWidth - 250))
  const below = at.bottom < innerHeight - 190
  return (
    <div class="tip" role="tooltip" style={{ left, ...(below ? { top: at.bottom + 6 } : { bottom: innerHeight - at.top + 6 }) }}>
      {backends.map(b => {
        const cell = m.cellAt(op, b)
        return (
          <div key={b}>
            <b>{m.backends[b]!.name}</b>
            {cell ? (
              <table>
                <tbody>
                  {countsOf(cell).map(([what, n]) => (
                    <tr key={what}>
                      <td>{what}</td>
                      <td>{number(n)}</td>
                    </tr>
                  ))}
                  <tr class="sum">
                    <td>planned trials</td>
                    <td>{number(planned(cell))}</td>
                  </tr>
                </tbody>
              </table>
            ) : (
              <p>not run</p>
            )}
          </div>
        )
      })}
    </div>
  )
}
