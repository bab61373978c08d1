/** nms: rows computed by hand, laws, and every decision broken on purpose. */
import { describe, expect, test } from 'vitest'
import { random } from '../../harness/tensor.ts'
import { type Arithmetic, type Case, type GivenNode, ieee32, type Real, type Refutation, type TensorSpec, wgsl32 } from '../../harness/types.ts'
import nms from '../../ops/nms.ts'

const real = (shape: number[], data: number[], dtype: Real['dtype'] = 'float32'): Real => ({
  dtype,
  shape,
  data: Float64Array.from(data, v => (dtype === 'float32' ? Math.fround(v) : v)),
})
/** One image, one class. */
interface Scene {
  attributes: Case['attributes']
  boxes: number[][]
  scores: number[]
}
const inputs = ({ boxes, scores }: Scene): Real[] => [real([1, boxes.length, 4], boxes.flat()), real([1, 1, scores.length], scores)]
const rowsOf = (kept: number[]) =>
  real(
    [kept.length, 3],
    kept.flatMap(i => [0, 0, i]),
    'int64',
  )
function refute(scene: Scene, outputs: (Real | null)[], arithmetic: Arithmetic = ieee32): Refutation {
  const [e] = nms.expect(scene.attributes, inputs(scene))
  if (e?.rule !== 'decisions') throw new Error('nms is judged by decisions')
  return e.refute(outputs, arithmetic)
}
const judge = (scene: Scene, kept: number[], arithmetic?: Arithmetic) => refute(scene, [rowsOf(kept)], arithmetic)
const defined = (scene: Scene) => {
  const { value } = judge(scene, []).expected![0]!
  return [...value].filter((_, i) => i % 3 === 2)
}
const fits = (scene: Scene, kept: number[]) => expect(judge(scene, kept)).toMatchObject({ wrong: null, ambiguous: 0 })

/** IoU 0|1: 8/12 = ⅔, 1|2: 4/16 = ¼, 0|2: 2/18 = 1/9, box 3 far away. */
const scene: Scene = {
  attributes: { max_output_boxes_per_class: 4, iou_threshold: 0.5 },
  boxes: [
    [0, 0, 2, 5],
    [0, 1, 2, 6],
    [0, 4, 2, 9],
    [5, 5, 6, 6],
  ],
  scores: [4, 3, 2, 1],
}
const but = (attributes: Case['attributes'], rest: Partial<Scene> = {}): Scene => ({
  ...scene,
  ...rest,
  attributes: { ...scene.attributes, ...attributes },
})

describe('rows by hand', () => {
  test('a box is dropped above the threshold', () => {
    expect(defined(scene)).toEqual([0, 2, 3])
    fits(scene, [0, 2, 3])
  })
  test('IoU equal to the threshold is kept, and that is certain', () => {
    const equal = but({ iou_threshold: 0.25 }, { boxes: scene.boxes.slice(1, 3), scores: [2, 1] })
    expect(defined(equal)).toEqual([0, 1])
    fits(equal, [0, 1])
    expect(judge(equal, [0]).wrong).toMatch(/missing/)
  })
  test('threshold 0 keeps boxes that only touch', () => {
    const touching = but(
      { iou_threshold: 0 },
      {
        boxes: [
          [0, 0, 1, 1],
          [0, 1, 1, 2],
        ],
        scores: [2, 1],
      },
    )
    fits(touching, [0, 1])
    expect(judge(touching, [0]).wrong).toMatch(/missing/)
  })
  test('absent: no boxes at all, IoU 0, every score', () => {
    expect(defined({ ...scene, attributes: { iou_threshold: 0.5 } })).toEqual([])
    expect(defined({ ...scene, attributes: { max_output_boxes_per_class: 4 } })).toEqual([0, 3])
    expect(defined(but({}, { scores: [-4, -3, -2, -1] }))).toEqual([3, 2, 1])
  })
  test('the limit, and the score threshold', () => {
    expect(defined(but({ max_output_boxes_per_class: 2 }))).toEqual([0, 2])
    expect(defined(but({ score_threshold: 1 }))).toEqual([0, 2])
  })
  test('corners in any order, centre boxes', () => {
    expect(defined(but({}, { boxes: scene.boxes.map(([a, b, c, d]) => [c!, d!, a!, b!]) }))).toEqual([0, 2, 3])
    const centres = scene.boxes.map(([a, b, c, d]) => [(b! + d!) / 2, (a! + c!) / 2, d! - b!, c! - a!])
    expect(defined(but({ center_point_box: 1 }, { boxes: centres }))).toEqual([0, 2, 3])
    fits(but({ center_point_box: 1 }, { boxes: centres }), [0, 2, 3])
  })
  test('images and classes apart, rows in their order', () => {
    const boxes = real([2, 2, 4], [...scene.boxes[0]!, ...scene.boxes[1]!, ...scene.boxes[0]!, ...scene.boxes[3]!])
    const scores = real([2, 2, 2], [1, 2, 2, 1, 1, 2, 2, 1])
    const [e] = nms.expect({ max_output_boxes_per_class: 2, iou_threshold: 0.5 }, [boxes, scores])
    const rows = [0, 0, 1, 0, 1, 0, 1, 0, 1, 1, 0, 0, 1, 1, 0, 1, 1, 1]
    const said = (list: number[]) => (e?.rule === 'decisions' ? e.refute([real([list.length / 3, 3], list, 'int64')], ieee32) : null)
    expect(said(rows)).toMatchObject({ wrong: null })
    expect([...said(rows)!.expected![0]!.value]).toEqual(rows)
    expect(said([...rows.slice(6), ...rows.slice(0, 6)])).toMatchObject({ wrong: null, convention: expect.stringContaining('order') })
    const columns = rows.map((_, i) => rows[[1, -1, 0][i % 3]! + i]!) // image and class exchanged
    expect(said(columns)?.wrong).toMatch(/lower score/)
  })
})

describe('laws', () => {
  const next = random(7)
  const unit = () => (next() % 1000) / 1000
  const scenes = Array.from({ length: 60 }, (): Scene => {
    const n = next() % 9
    return {
      attributes: { max_output_boxes_per_class: next() % 10, iou_threshold: Math.fround(unit()) },
      boxes: Array.from({ length: n }, () => [unit(), unit(), unit(), unit()]),
      scores: Array.from({ length: n }, () => unit()),
    }
  })
  test('the definition is accepted', () => {
    for (const s of scenes) expect(judge(s, defined(s))).toMatchObject({ wrong: null })
  })
  test('threshold 1 keeps everything up to the limit', () => {
    for (const s of scenes)
      expect(defined({ ...s, attributes: { ...s.attributes, iou_threshold: 1 } }).length).toBe(
        Math.min(s.boxes.length, s.attributes.max_output_boxes_per_class as number),
      )
  })
  test('one dropped, one extra, two exchanged: refuted', () => {
    for (const s of scenes) {
      const kept = defined(s)
      const extra = s.boxes.findIndex((_, i) => !kept.includes(i))
      if (kept.length > 0) expect(judge(s, kept.slice(1)).wrong).not.toBeNull()
      if (extra >= 0) expect(judge(s, [...kept, extra]).wrong).not.toBeNull()
      if (kept.length > 1 && s.scores[kept[0]!] !== s.scores[kept[1]!]) expect(judge(s, [kept[1]!, kept[0]!, ...kept.slice(2)]).wrong).not.toBeNull()
    }
  })
})

describe('each defence', () => {
  test.each([
    ['an overlapping box', [0, 1, 2, 3], /kept before/],
    ['a lower score first', [2, 0, 3], /lower score/],
    ['a box twice', [0, 2, 2, 3], /twice/],
    ['a box that does not exist', [0, 2, 9], /names nothing/],
    ['a box missing', [0, 3], /missing/],
  ])('%s', (_, kept, why) => expect(judge(scene, kept).wrong).toMatch(why))
  test('more than the limit, or a later box than the limit allows', () => {
    expect(judge(but({ max_output_boxes_per_class: 2 }), [0, 2, 3]).wrong).toMatch(/limit/)
    expect(judge(but({ max_output_boxes_per_class: 2 }), [0, 3]).wrong).toMatch(/missing/)
  })
  test('below the score threshold; equal to it is open', () => {
    expect(judge(but({ score_threshold: 1.5 }), [0, 2, 3]).wrong).toMatch(/below/)
    expect(judge(but({ score_threshold: 1 }), [0, 2, 3])).toMatchObject({ wrong: null, convention: expect.stringContaining('equal') })
    expect(judge(but({ score_threshold: 1 }), [0, 2]).convention).toBeUndefined()
  })
  test('equal scores: the lower index first, else a convention', () => {
    const equal = but({}, { scores: [1, 1, 1, 1] })
    fits(equal, [0, 2, 3])
    expect(judge(equal, [3, 2, 1])).toMatchObject({ wrong: null, convention: expect.stringContaining('equal scores') })
    expect(judge(equal, [0, 2]).wrong).toMatch(/missing/)
    const one = but({ max_output_boxes_per_class: 1 }, { scores: [1, 1, 1, 1] })
    expect(judge(one, [0]).convention).toBeUndefined()
    expect(judge(one, [3]).convention).toMatch(/equal scores/)
  })
  test('structure: type, rank, width', () => {
    const rows = rowsOf([0, 2, 3])
    expect(refute(scene, [{ ...rows, dtype: 'float32' }])).toMatchObject({ kind: 'shape' })
    expect(refute(scene, [{ ...rows, shape: [9] }])).toMatchObject({ kind: 'shape' })
    expect(refute(scene, [null])).toMatchObject({ kind: 'shape' })
    expect(refute(scene, [{ ...rows, dtype: 'int32' }])).toMatchObject({ wrong: null })
  })
  test('scores that are returned must be those of the boxes', () => {
    expect(refute(scene, [rowsOf([0, 2, 3]), real([3], [4, 2, 1])])).toMatchObject({ wrong: null })
    expect(refute(scene, [rowsOf([0, 2, 3]), real([3], [4, 3, 1])]).wrong).toMatch(/score 3/)
    expect(refute(scene, [rowsOf([0, 2, 3]), real([2], [4, 2])])).toMatchObject({ kind: 'shape' })
  })
  test('within rounding of the threshold both are accepted, a little further not', () => {
    const boxes = [
      [0, 0, 1.1, 1.3],
      [0, 0.1, 1.1, 1.4],
    ]
    const iou = 1.2 / 1.4
    const at = (t: number): Scene => but({ iou_threshold: Math.fround(t) }, { boxes, scores: [2, 1] })
    for (const kept of [[0], [0, 1]]) expect(judge(at(iou), kept)).toMatchObject({ wrong: null, ambiguous: 1 })
    expect(judge(at(iou + 1e-5), [0]).wrong).toMatch(/missing/)
    expect(judge(at(iou - 1e-5), [0, 1]).wrong).toMatch(/kept before/)
    expect(judge(at(iou - 2e-6), [0, 1]).wrong).toMatch(/kept before/)
    expect(judge(at(iou - 2e-6), [0, 1], wgsl32).wrong).toBeNull() // either-neighbour rounding, division 2.5 ULP
  })
  test('centre boxes far from the origin lose their overlap to rounding', () => {
    const far = (iou_threshold: number) =>
      but(
        { center_point_box: 1, iou_threshold },
        {
          boxes: [
            [10000.1, 10000.1, 0.3, 0.3],
            [10000.2, 10000.1, 0.3, 0.3],
          ],
          scores: [2, 1],
        },
      )
    for (const kept of [[0], [0, 1]]) expect(judge(far(0.5), kept).wrong).toBeNull()
    expect(judge(far(0.9), [0]).wrong).toMatch(/missing/)
  })
  test('boxes without area overlap nothing, and 0/0 is open', () => {
    const flat = but(
      { iou_threshold: 0 },
      {
        boxes: [
          [1, 1, 1, 1],
          [1, 1, 1, 1],
          [0, 0, 2, 2],
        ],
        scores: [3, 2, 1],
      },
    )
    expect(defined(flat)).toEqual([0, 1, 2])
    expect(judge(flat, [0, 2])).toMatchObject({ wrong: null, ambiguous: 1 })
    expect(judge(flat, [0, 1]).wrong).toMatch(/missing/)
  })
  test('NaN among the scores: a convention, never wrong; other classes are judged', () => {
    expect(judge(but({}, { scores: [4, NaN, 2, 1] }), [3])).toMatchObject({ wrong: null, convention: expect.stringContaining('NaN') })
  })
})

describe('soft suppression', () => {
  const soft = but({ soft_nms_sigma: 0.5 })
  // 3·exp(−(⅔)²), 2·exp(−1/81): box 2 overtakes box 1 (IoU 1|2 = ¼), which ends at 3·exp(−4/9 − 1/16).
  const scores = [4, 2 * Math.exp(-1 / 81), 3 * Math.exp(-4 / 9 - 1 / 16), 1]
  test('scores decay, nothing is removed', () => {
    expect(defined(soft)).toEqual([0, 2, 1, 3])
    expect(refute(soft, [rowsOf([0, 2, 1, 3]), real([4], scores)])).toMatchObject({ wrong: null, ambiguous: 0 })
  })
  test('a removed box, another order, an undecayed score are refuted', () => {
    expect(judge(soft, [0, 2, 3]).wrong).toMatch(/before box 1/)
    expect(judge(soft, [0, 2, 1]).wrong).toMatch(/missing/)
    expect(judge(soft, [0, 1, 2, 3]).wrong).toMatch(/before box 2/)
    expect(refute(soft, [rowsOf([0, 2, 1, 3]), real([4], [4, 2, 3, 1])]).wrong).toMatch(/score 2/)
  })
  test('a score that decays below the threshold ends it', () => {
    const high = but({ soft_nms_sigma: 0.5, score_threshold: 1.9 })
    fits(high, [0, 2])
    expect(judge(high, [0, 2, 1]).wrong).toMatch(/below the threshold/)
  })
})

describe('dialects', () => {
  const spec = (shape: number[]): TensorSpec => ({ dtype: 'float32', shape, recipe: { kind: 'constant', value: 1 } })
  const caseOf = (attributes: Case['attributes']): Case => ({ id: 'c-0', op: 'nms', attributes, inputs: [spec([2, 3, 4]), spec([2, 2, 3])] })
  const tf = (a: Case['attributes']) => nms.tfjs(caseOf(a)).map(l => ('path' in l ? l.path + ('naive' in l ? '*' : '') : 'declined'))
  test('tf calls, and the porter’s ways', () => {
    const calls = ['nms', 'async', 'with-score', 'with-score-async', 'padded', 'padded-async', 'pad-to-max', 'pad-to-max-async']
    expect(tf({ max_output_boxes_per_class: 3, iou_threshold: 0.5 })).toEqual(calls)
    const fussy = { max_output_boxes_per_class: 3, score_threshold: Math.fround(0.1), center_point_box: 1 }
    expect(tf(fussy).slice(8)).toEqual(['default-iou*', 'decimal-thresholds*', 'centre-as-corners*'])
    expect(tf({ soft_nms_sigma: 0.5 })).toEqual(['with-score', 'with-score-async'])
    expect(nms.onnx(caseOf({ soft_nms_sigma: 0.5 }))).toEqual([{ declined: expect.any(String) }])
  })
  test('one call per image and class, centre boxes as corners, rows joined', async () => {
    const l = nms.tfjs(caseOf({ max_output_boxes_per_class: 3, center_point_box: 1 })).find(p => 'path' in p && p.path === 'pad-to-max')!
    if (!('path' in l)) throw new Error('declined')
    const boxes = { dtype: 'float32' as const, shape: [2, 3, 4], data: new Float32Array(24).fill(2) }
    const fed = l.form.prepare!([boxes, { dtype: 'float32', shape: [2, 2, 3], data: Float32Array.from({ length: 12 }, (_, i) => i) }])
    expect(fed.map(t => t!.shape)).toEqual([[3, 4], [3, 4], [3], [3], [3], [3]])
    expect([...(fed[0]!.data as Float32Array)].slice(0, 4)).toEqual([1, 1, 3, 3])
    expect([...(fed[4]!.data as Float32Array)]).toEqual([6, 7, 8])
    const asked: unknown[] = []
    const fake = {
      image: {
        nonMaxSuppressionPadded: (...args: unknown[]) => {
          asked.push(args.slice(2))
          return { selectedIndices: 'i', validOutputs: 'v' }
        },
      },
    }
    expect(await l.form.call(fake, fed)).toEqual(['i', 'v', 'i', 'v', 'i', 'v', 'i', 'v'])
    expect(asked).toEqual(new Array(4).fill([3, 0, undefined, true]))
    const indices = { dtype: 'int32' as const, shape: [3], data: Int32Array.from([2, 0, 0]) }
    const valid = (n: number) => ({ dtype: 'int32' as const, shape: [], data: Int32Array.from([n]) })
    const [y] = l.form.finish!([indices, valid(1), indices, valid(0), indices, valid(2), indices, valid(0)])
    expect(y).toMatchObject({ shape: [3, 3], data: Int32Array.from([0, 0, 2, 1, 0, 2, 1, 0, 0]) })
  })
  test('onnx inputs are left out from the end only', () => {
    const ins = (a: Case['attributes'], path: string) =>
      nms.onnx(caseOf(a)).flatMap(l => ('path' in l && l.path === path ? [l.form.nodes[0]!.in] : []))[0]
    expect(ins({ max_output_boxes_per_class: 3, score_threshold: 0.5 }, 'node')).toEqual([
      'x0',
      'x1',
      'max_output_boxes_per_class',
      '',
      'score_threshold',
    ])
    expect(ins({ max_output_boxes_per_class: 3, iou_threshold: 0 }, 'defaults-left-out')).toEqual(['x0', 'x1', 'max_output_boxes_per_class'])
    expect(ins({ max_output_boxes_per_class: 3, iou_threshold: 0.5 }, 'fed')).toEqual(['x0', 'x1', 'x2', 'x3'])
  })
  test('fromOnnx', () => {
    const given: (number[] | null)[] = [[], [], [3], null, [Math.fround(0.1)]]
    const list = given.map((v, i) => (i < 2 ? spec([1, 1, 4]) : v && spec([1])))
    const node: GivenNode = {
      operator: 'NonMaxSuppression',
      opset: 11,
      attributes: { center_point_box: 1 },
      inputs: list,
      values: i => given[i] ?? null,
    }
    const read = nms.fromOnnx!(node) as { attributes: object; inputs: unknown[] }
    expect(read.attributes).toEqual({ center_point_box: 1, max_output_boxes_per_class: 3, score_threshold: Math.fround(0.1) })
    expect(read.inputs.length).toBe(2)
    expect(nms.fromOnnx!({ ...node, inputs: [null, null] })).toHaveProperty('declined')
  })
  test('every raw record gives a case; thresholds are float32; half of the cases are sayable in both', () => {
    const next = random(3)
    let both = 0
    const draw = (fields: Record<string, any>): any =>
      Object.fromEntries(Object.entries(fields).map(([name, f]) => [name, f.min + (next() % (f.max - f.min + 1))]))
    for (let k = 0; k < 400; k++) {
      const c: Case = { id: 'c-0', op: 'nms', ...nms.valid.build(draw(nms.valid.fields)) }
      const a = c.attributes as Record<string, number>
      expect(
        a.iou_threshold === undefined || (Math.fround(a.iou_threshold) === a.iou_threshold && a.iou_threshold >= 0 && a.iou_threshold <= 1),
      ).toBe(true)
      expect(a.score_threshold === undefined || Math.fround(a.score_threshold) === a.score_threshold).toBe(true)
      if ([nms.onnx(c), nms.tfjs(c)].every(l => 'path' in l[0]!)) both++
      const wrong: Case = { id: 'c-0', op: 'nms', ...nms.invalid!.build(draw(nms.invalid!.fields)), valid: false }
      expect(nms.onnx(wrong).length + nms.tfjs(wrong).length).toBeGreaterThan(1)
    }
    expect(both).toBeGreaterThanOrEqual(200)
  })
})
