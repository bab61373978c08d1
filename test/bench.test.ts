/** The benchmark's statistics on simulated bursts (how often is it wrong, how often does it find 10 %), its choices, and the contract of bench.json on a tiny run. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { compareFiles } from '../bench/compare.ts'
import { judgeOf, pick, sampled, spreadChannels } from '../bench/judge.ts'
import { allLayers, flopsOf, nameOf, pathsOf, spread, sweepLayers } from '../bench/layers.ts'
import { type Measured, measure, type Plan, type Runner } from '../bench/measure.ts'
import { launchesOf } from '../bench/options.ts'
import { planCell } from '../bench/pilot.ts'
import { rowsOf } from '../bench/rows.ts'
import { grouped, type Session } from '../bench/session.ts'
import { binomialLimits, bootstrap, difference, figuresOf, SESSION, verdictOf } from '../bench/statistics.ts'
import type { BenchFile, BenchLayer, Burst, Cell, Row, Side } from '../bench/types.ts'
import { loadBackends } from '../harness/backends.ts'
import { reference } from '../harness/judge.ts'
import { loadOps } from '../harness/ops.ts'
import { random, real, realise, tensor } from '../harness/tensor.ts'
import { ROOT } from '../harness/version.ts'

const layer = (name: string, bytes = 1000): BenchLayer => ({
  op: 'relu',
  layer: name,
  source: 'here',
  case: { id: 'b-1', op: 'relu', attributes: {}, inputs: [] },
  flops: 0,
  bytes,
})
const cell = (name: string, contenders: number): Cell => ({
  layer: layer(name),
  contenders: Array.from({ length: contenders }, (_, side) => ({ side, path: 'node' })),
  k: 10,
  repeats: 4,
  visits: 6,
})

/**
 * A process of its own speed (1.5 %), neighbours that come and go for a while (× 1.2 to 2 for stretches that hit both sides), calls with a tail upwards: what was
 * seen on two virtual cores (BENCH.md).
 */
function simulated(seed: number, cells: number, slower: readonly number[], process = 0.015) {
  const next = random(seed)
  const unit = () => next() / 2 ** 32
  const gauss = () => Array.from({ length: 12 }, unit).reduce((a, b) => a + b) - 6
  const bursts: Burst[][] = Array.from({ length: cells }, () => [])
  let busy = 1
  const plan: Plan = {
    cells: Array.from({ length: cells }, (_, i) => cell(`layer ${i}`, slower.length)),
    sides: slower.length,
    launches: [5, 14],
    seed,
    async start(side): Promise<Runner> {
      const own = bursts.map(() => Math.exp(process * gauss()))
      return {
        open: async () => ({ createMs: 1, firstMs: 5 }),
        async burst(c, _, k): Promise<Measured> {
          if (unit() < 0.03) busy = unit() < 0.6 ? 1 : 1.2 + 0.8 * unit()
          const times = Array.from(
            { length: k },
            () => 0.2 * own[c]! * slower[side]! * (1 + (busy - 1) * unit()) * (1 + 0.02 * unit() + (unit() < 0.1 ? unit() : 0)),
          )
          return { times, cpuMs: k * 0.2, switches: 0, faults: 0 }
        },
        memory: async () => ({ rss: 1e8, runtime: null }),
        close: async () => {},
      }
    },
    stopped: () => false,
    late: () => false,
    record(e) {
      if ('burst' in e) bursts[e.burst.cell]!.push(e.burst)
    },
    failed() {
      throw new Error('nothing fails here')
    },
  }
  return { plan, bursts }
}
const of = (bursts: readonly Burst[], contender: number) => bursts.filter(b => b.contender === contender)

describe('the decision', () => {
  it('calls identical sides different in at most 5 % and finds 10 % in at least 90 %, on simulated machines', async () => {
    let [cells, different, found] = [0, 0, 0]
    for (const seed of [1, 2, 3]) {
      const { plan, bursts } = simulated(seed, 20, [1, 1, 1.1])
      expect(await measure(plan)).toBe(true)
      for (const b of bursts) {
        cells++
        if (['faster', 'slower'].includes(difference(of(b, 1), of(b, 0)).verdict)) different++
        if (difference(of(b, 2), of(b, 0)).verdict === 'slower') found++
      }
    }
    expect(different).toBeLessThanOrEqual(0.05 * cells)
    expect(found).toBeGreaterThanOrEqual(0.9 * cells)
  })
  it('goes on until intervals are narrow, and stops early where they are', async () => {
    const quiet = simulated(4, 4, [1, 1], 0.002)
    await measure(quiet.plan)
    expect(new Set(quiet.bursts.flat().map(b => b.launch)).size).toBe(5)
    const loud = simulated(4, 4, [1, 1], 0.08)
    await measure(loud.plan)
    expect(new Set(loud.bursts.flat().map(b => b.launch)).size).toBeGreaterThan(5)
  })
  it('has a margin of 1 % and an equivalence of 5 %', () => {
    expect(verdictOf(0.011, 0.02)).toBe('slower')
    expect(verdictOf(0.005, 0.02)).toBe('same')
    expect(verdictOf(-0.03, -0.012)).toBe('faster')
    expect(verdictOf(-0.03, 0.09)).toBe('unresolved')
  })
  it('says nothing from one launch', () => {
    const one = simulated(5, 1, [1, 2])
    const only = async () => {
      await measure({ ...one.plan, launches: [1, 1] })
      return difference(of(one.bursts[0]!, 1), of(one.bursts[0]!, 0))
    }
    return expect(only()).resolves.toMatchObject({ verdict: 'unresolved' })
  })
  it('bootstraps the same interval every time, around its estimate', () => {
    const values = [
      [0.1, 0.12, 0.11],
      [0.13, 0.1, 0.12],
      [0.09, 0.1, 0.11],
    ]
    const i = bootstrap(values)
    expect(bootstrap(values)).toEqual(i)
    expect(i.low).toBeLessThan(i.estimate)
    expect(i.high).toBeGreaterThan(i.estimate)
  })
  it('knows what a count can promise', () => {
    expect(binomialLimits(0, 56)[1]).toBeCloseTo(0.064, 2)
    expect(binomialLimits(0, 0)).toEqual([0, 1])
  })
})

describe('the plan of measuring', () => {
  it('takes all contenders of a cell in every visit, in changing order, and every cell in every round', async () => {
    const { plan, bursts } = simulated(7, 3, [1, 1, 1])
    await measure(plan)
    const orders = new Set<string>()
    for (const list of bursts) {
      const visits = new Map<string, Burst[]>()
      for (const b of list) visits.set(`${b.launch} ${b.round}`, [...(visits.get(`${b.launch} ${b.round}`) ?? []), b])
      for (const v of visits.values()) {
        expect(v.length).toBe(12)
        expect(v.map(b => b.position)).toEqual(v.map((_, i) => i))
        for (let r = 0; r < 4; r++) expect(new Set(v.slice(3 * r, 3 * r + 3).map(b => b.contender)).size).toBe(3)
        orders.add(v.map(b => b.contender).join(''))
      }
      expect(visits.size).toBeGreaterThanOrEqual(30)
    }
    expect(orders.size).toBeGreaterThan(50)
  })
  it('keeps the others when one contender dies, and what is done when it is stopped', async () => {
    const { plan, bursts } = simulated(8, 2, [1, 1])
    const failed: string[] = []
    const start = plan.start
    await measure({
      ...plan,
      launches: [3, 3],
      failed: (c, i, reason) => failed.push(`${c} ${i} ${reason}`),
      start: async (side, launch) => {
        const runner = await start(side, launch)
        return side === 1
          ? { ...runner, burst: async (c, i, k) => (c === 0 && launch === 1 ? Promise.reject(new Error('died')) : runner.burst(c, i, k)) }
          : runner
      },
    })
    expect(failed).toEqual(['0 1 died'])
    expect(new Set(of(bursts[0]!, 0).map(b => b.launch)).size).toBe(3)
    expect(new Set(of(bursts[0]!, 1).map(b => b.launch)).size).toBe(1)
    const again = simulated(9, 2, [1, 1])
    let bursting = 0
    expect(await measure({ ...again.plan, stopped: () => bursting++ > 60 })).toBe(false)
    expect(again.bursts.flat().length).toBeGreaterThan(10)
  })
  it('chooses k from the fastest, bounded by the slowest', () => {
    const known = (callMs: number) => ({ callMs, createMs: 1, firstMs: 1, judged: { class: 'right' as const }, outputBytes: 0, flops: 0 })
    const subject = {
      layer: layer('a'),
      contenders: [
        { side: 0, path: 'p' },
        { side: 1, path: 'q' },
      ],
    }
    expect(planCell(subject, [known(0.02), known(0.1)], 6)).toMatchObject({ k: 100, repeats: 4, visits: 6 })
    expect(planCell(subject, [known(0.02), known(20)], 6)).toMatchObject({ k: 3 })
    expect(planCell(subject, [known(0.02), known(900)], 6)).toMatchObject({ k: 1, repeats: 1, visits: 6 })
    expect(planCell(subject, [null, null], 6)).toBeNull()
  })
  it('groups cells by memory and by the sides that they share', () => {
    const big = { ...cell('big', 2), layer: layer('big', 140e6) }
    expect(grouped([big, cell('a', 2), big])).toEqual([[0, 1], [2]])
    const other: Cell = { ...cell('b', 1), contenders: [{ side: 5, path: 'node' }] }
    expect(grouped([cell('a', 2), other])).toEqual([[0], [1]])
  })
  it('reads --launches', () => {
    expect(launchesOf('3', [5, 14])).toEqual([3, 3])
    expect(launchesOf('3..9', [5, 14])).toEqual([3, 9])
    expect(() => launchesOf('9..3', [5, 14])).toThrow(/--launches 9\.\.3/)
  })
})

describe('figures of a contender', () => {
  it('has 0 < floor ≤ median within its interval, however ragged the calls', () => {
    const next = random(3)
    for (let n = 0; n < 200; n++) {
      const bursts: Burst[] = Array.from({ length: 1 + (next() % 12) }, (_, i) => ({
        cell: 0,
        contender: 0,
        launch: i >> 1,
        round: i & 1,
        position: 0,
        times: Array.from({ length: 4 }, () => 0.01 + (next() / 2 ** 32) ** 6),
        cpuMs: 1,
        switches: 0,
        faults: 0,
      }))
      const f = figuresOf(bursts)
      expect(f.floorMs).toBeGreaterThan(0)
      expect(f.floorMs).toBeLessThanOrEqual(f.medianMs)
      expect(f.interval[0]).toBeLessThanOrEqual(f.medianMs)
      expect(f.interval[1]).toBeGreaterThanOrEqual(f.medianMs)
    }
  })
})

describe('layers', () => {
  it('come from models with their source, are distinct, and can be said in both dialects', async () => {
    const ops = await loadOps()
    const known = allLayers(ops)
    expect(known.get('conv')!.length).toBeGreaterThan(300)
    for (const [op, list] of known) {
      expect(new Set(list.map(l => l.layer)).size).toBe(list.length)
      for (const l of spread(list, 3)) {
        expect(l.source).not.toBe('')
        expect(pathsOf(ops.get(op)!, l, 'onnx').length, `${op} ${l.layer}`).toBe(1)
      }
    }
    expect(known.get('nms')!.map(l => l.case.inputs[0]!.shape[1])).toEqual([100, 1000, 5000, 20_000])
    expect(known.get('resize')!.some(l => l.layer.includes('1024'))).toBe(true)
    expect(sweepLayers().length).toBeGreaterThan(20)
    expect(nameOf([[1, 3, 8, 8]], { strides: [2, 2], pads: [0, 0, 1, 1], group: 1 })).toBe('1x3x8x8 p0.0.1.1 s2')
  })
  it('count two flops a multiply-add', async () => {
    const c = allLayers(await loadOps())
      .get('conv')!
      .find(l => l.layer.startsWith('1x64x56x56 64x64x3x3'))!.case
    expect(flopsOf(c, [1, 64, 56, 56])).toBe(2 * 64 * 56 * 56 * 64 * 9)
  })
})

describe('the judge of large layers', () => {
  it('judges whole channels of a large convolution exactly as in the whole, and finds a wrong one among them', async () => {
    const ops = await loadOps()
    const op = ops.get('conv')!
    const small = allLayers(ops)
      .get('conv')!
      .find(l => l.layer.startsWith('retinanet tower'))!
    const sample = sampled(small)!
    expect(sample.channels[0]).toBe(0)
    expect(sample.channels.at(-1)).toBe(255)
    const part = reference(op, sample.case).expected[0] as { value: Float64Array; shape: readonly number[] }
    expect(part.shape).toEqual([1, sample.channels.length, 20, 20])
    // an output that is the reference in the judged channels and zero elsewhere
    const whole = new Float64Array(256 * 400)
    for (const [i, c] of sample.channels.entries()) whole.set(part.value.subarray(i * 400, i * 400 + 400), c * 400)
    const output = tensor('float32', [1, 256, 20, 20], whole)
    const backend = (await loadBackends()).find(b => b.name === 'ort-cpu')!
    const { checksum } = await import('../harness/tensor.ts')
    const sum = checksum(small.case.inputs.map(s => (s ? realise(s) : null)))
    const judged = judgeOf(op, small)
    expect(judged(backend, [output], sum)).toMatchObject({ class: 'right', because: expect.stringMatching(/of 256 channels judged/) })
    output.data[255 * 400 + 7] = 1e3
    expect(judged(backend, [output], sum).class).toBe('fast-but-wrong')
    expect(judged(backend, [output], sum + 1).class).toBe('not-judged')
  })
  it('picks slices and spreads channels', () => {
    const t = tensor('float32', [2, 3, 2], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
    expect([...real(pick(t, 1, [0, 2])).data]).toEqual([0, 1, 4, 5, 6, 7, 10, 11])
    expect(spreadChannels(10, 3)).toEqual([0, 5, 9])
    expect(spreadChannels(2, 5)).toEqual([0, 1])
  })
})

describe('rows', () => {
  const side = (name: string) => ({ name, backend: { name }, mode: 'plain', allocator: 'tuned' }) as unknown as Side
  it('ranks only what is right, on real hardware, by certain differences', async () => {
    const { plan, bursts } = simulated(11, 1, [1, 1.003, 1.5, 0.5, 0.7], 0.003)
    await measure(plan)
    const classes = ['right', 'right', 'less-precise', 'fast-but-wrong', 'right'] as const
    const s = {
      cells: plan.cells,
      known: [classes.map(c => ({ callMs: 0.2, createMs: 1, firstMs: 5, judged: { class: c }, outputBytes: 1000, flops: 0 }))],
      bursts: bursts[0]!,
      colds: [],
      memory: [],
      missing: [],
      identities: { soft: { software: 'yes' } },
      ceilings: { wasmGflops: 20, nativeGflops: null, copy: [{ mb: 1, gbs: 10 }] },
    } as unknown as Session
    const { rows } = rowsOf(s, ['a', 'b', 'c', 'liar', 'soft'].map(side))
    expect(rows.map(r => r.rank)).toEqual([1, 1, 3, null, null])
    expect(rows[3]!.ratio!.verdict).toBe('faster')
  })
})

describe('stored runs', () => {
  const file = (times: number[], cpu = 'x'): BenchFile => {
    const cells = times.map((floorMs, i) => ({
      op: 'conv',
      layer: `l${i}`,
      backend: 'b',
      side: 'b',
      path: 'p',
      mode: 'm',
      floorMs,
      floorInterval: [floorMs * 0.99, floorMs * 1.01],
      medianMs: floorMs * 1.1,
    }))
    return { schema: 1, cells: cells as unknown as Row[], environment: { cpu, cores: 2 } } as BenchFile
  }
  const many = Array.from({ length: 20 }, (_, i) => 1 + i / 10)
  it('are unresolved within what sessions differ by, and slower beyond it', () => {
    const c = compareFiles(file(many), file(many.map((t, i) => (i === 3 ? t * 1.6 : t * 1.05))))
    expect(c.rows.filter(r => r.difference.verdict === 'slower').map(r => r.a.layer)).toEqual(['l3'])
    expect(c.rows.filter(r => r.difference.verdict === 'unresolved').length).toBe(19)
  })
  it('call identical sessions different in at most 5 % of the cells, also where a whole session moved', () => {
    let [cells, different] = [0, 0]
    const next = random(5)
    const gauss = () => Array.from({ length: 12 }, () => next() / 2 ** 32).reduce((a, b) => a + b) - 6
    for (let n = 0; n < 30; n++) {
      const moved = n % 3 === 2 ? 1.4 : 1
      const c = compareFiles(file(many), file(many.map(t => t * moved * Math.exp(SESSION * gauss()))))
      cells += c.rows.length
      different += c.rows.filter(r => ['faster', 'slower'].includes(r.difference.verdict)).length
    }
    expect(different / cells).toBeLessThanOrEqual(0.05)
  })
  it('of different machines have only ratios in common', () => {
    const c = compareFiles(file(many), file(many, 'y'))
    expect(c).toMatchObject({ ratios: true, rows: [] })
  })
})

describe('npm run bench', () => {
  const dir = mkdtempSync(join(tmpdir(), 'opcompat-bench-test-'))
  afterAll(() => rmSync(dir, { recursive: true, force: true }))
  const tsx = join(ROOT, 'node_modules', 'tsx', 'dist', 'cli.mjs')
  const bench = (...args: string[]) => spawnSync(process.execPath, [tsx, join(ROOT, 'bench', 'cli.ts'), ...args], { encoding: 'utf8', cwd: ROOT })
  const out = join(dir, 'run')
  let first: ReturnType<typeof bench>
  beforeAll(() => {
    first = bench(
      '--ops',
      'relu,conv',
      '--layers',
      '2',
      '--match',
      '1x(32|64)x[0-9]{1,2}x',
      '--backends',
      'ort-cpu,tfjs-cpu',
      '--launches',
      '2',
      '--visits',
      '1',
      '--budget',
      '60s',
      '--out',
      out,
    )
  })
  it('writes bench.json by its schema, bursts and plots', () => {
    expect(first.stderr + first.stdout).toMatch(/reference/)
    expect(first.status).toBe(0)
    const file = JSON.parse(readFileSync(join(out, 'bench.json'), 'utf8')) as BenchFile
    const check = new Ajv2020({ strict: false }).compile(JSON.parse(readFileSync(join(ROOT, 'reports', 'schemas', 'bench.json'), 'utf8')))
    check(file)
    expect(check.errors).toBeNull()
    expect(file.cells.length).toBeGreaterThanOrEqual(4)
    for (const c of file.cells) {
      expect(c.class).toBe('right')
      expect(c.floorMs).toBeLessThanOrEqual(c.medianMs)
    }
    const bursts = readFileSync(join(out, 'bursts.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map(l => JSON.parse(l) as { burst?: Burst })
    expect(bursts.filter(b => b.burst).length).toBeGreaterThanOrEqual(file.cells.length * 2)
    for (const name of ['ratios', 'size', 'launches', 'cold'])
      expect(readFileSync(join(out, `bench-${name}.svg`), 'utf8')).toMatch(/^<svg.*<\/svg>\s*$/s)
  })
  it('compares stored runs, and says why it cannot', () => {
    const c = bench('compare', out, out, '--json')
    expect(c.status).toBe(0)
    expect(JSON.parse(c.stdout)).toMatchObject({ faster: 0, slower: 0 })
    const slow = JSON.parse(readFileSync(join(out, 'bench.json'), 'utf8')) as BenchFile
    const path = join(dir, 'slow.json')
    writeFileSync(
      path,
      JSON.stringify({
        ...slow,
        cells: slow.cells.map((r, i) => (i ? r : { ...r, floorMs: 40 * r.floorMs, floorInterval: r.floorInterval.map(v => 40 * v) })),
      }),
    )
    expect(bench('compare', out, path, '--fail-on', 'slower').status).toBe(1)
    expect(bench('compare', out, join(dir, 'nowhere')).stderr).toMatch(/no bench\.json there/)
  })
  it('names what is wrong with its options, and the way out', () => {
    expect(bench('--ops', 'convv').stderr).toMatch(/unknown operation convv; did you mean conv\?/)
    expect(bench('--backends', 'ort-cp').stderr).toMatch(/did you mean ort-cpu\?/)
    expect(bench('ab', 'ort-cpu:fast', 'ort-cpu').stderr).toMatch(/ort-cpu has the modes all, basic/)
    const again = bench('--ops', 'relu', '--backends', 'ort-cpu', '--out', out)
    expect(again.stderr).toMatch(/holds a benchmark already/)
    expect(again.status).toBe(2)
    expect(existsSync(join(out, 'bench.json'))).toBe(true)
  })
})
