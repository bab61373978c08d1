/** uPlot in the page's colours: lines over runs and bars of a histogram. Every chart has its numbers as a table beside it. */
import { useEffect, useRef } from 'preact/hooks'
import uPlot from 'uplot'

export interface Series {
  label: string
  values: (number | null)[]
  /** Dash pattern: lines are told apart by more than colour. */
  dash?: number[]
  colour: string
}
const css = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim()
export const PALETTE = ['--accent', '--wrong', '--ok', '--crash', '--prec', '--ref']

export function Plot({
  x,
  labels,
  series,
  bars,
  height = 220,
  title,
}: {
  x: number[]
  labels: string[]
  series: Series[]
  bars?: boolean
  height?: number
  title: string
}) {
  const box = useRef<HTMLDivElement>(null)
  useEffect(() => {
    const el = box.current
    if (!el) return
    let plot: uPlot | undefined
    const draw = () => {
      plot?.destroy()
      const ink = css('--dim')
      const axis = { stroke: ink, grid: { stroke: css('--line'), width: 1 }, ticks: { show: false }, font: '12px system-ui, sans-serif' }
      const every = bars ? 1 : Math.max(1, Math.ceil((labels.length * 80) / Math.max(200, el.clientWidth)))
      plot = new uPlot(
        {
          width: Math.max(200, el.clientWidth),
          height,
          cursor: { show: !bars, y: false },
          legend: { show: !bars, live: true },
          scales: {
            x: { time: false, ...(bars ? { range: (): [number, number] => [-0.6, labels.length - 0.4] } : {}) },
            y: { range: (_, __, max) => [0, Math.max(1, max * 1.08)] },
          },
          axes: [
            { ...axis, grid: { show: false }, splits: () => x.filter((_, i) => i % every === 0), values: (_, at) => at.map(v => labels[v] ?? '') },
            { ...axis, size: 46, values: (_, at) => at.map(v => (Number.isInteger(v) ? v.toLocaleString('en') : '')) },
          ],
          series: [
            { label: 'run', value: (_, v) => (v === null ? '' : (labels[v] ?? '')) },
            ...series.map(
              (s): uPlot.Series => ({
                label: s.label,
                stroke: css(s.colour),
                width: 2,
                dash: s.dash,
                points: { show: !bars && x.length < 3 },
                ...(bars ? { fill: css(s.colour), width: 0, paths: uPlot.paths.bars!({ size: [0.7, 60] }) } : {}),
              }),
            ),
          ],
        },
        [x, ...series.map(s => s.values)] as uPlot.AlignedData,
        el,
      )
    }
    draw()
    const dark = matchMedia('(prefers-color-scheme: dark)')
    dark.addEventListener('change', draw)
    const size = new ResizeObserver(() => plot && Math.abs(plot.width - el.clientWidth) > 8 && el.clientWidth > 0 && draw())
    size.observe(el)
    return () => {
      dark.removeEventListener('change', draw)
      size.disconnect()
      plot?.destroy()
    }
  }, [x, labels, series, bars, height])
  return (
    <figure class="plot">
      <figcaption>{title}</figcaption>
      <div ref={box} aria-hidden="true" />
    </figure>
  )
}
