/** Shapes that the twelve models of corpora/layers.jsonl.gz do not have: heads of detectors and segmenters, NMS, images up to 1024², and sweeps of one parameter. */
import { random } from '../harness/tensor.ts'
import type { Attributes, TensorSpec } from '../harness/types.ts'

export interface Extra {
  op: string
  layer: string
  source: string
  attributes: Attributes
  inputs: (TensorSpec | null)[]
}
const normal = (shape: readonly number[], seed: number, scale = 1): TensorSpec => ({
  dtype: 'float32',
  shape,
  recipe: { kind: 'normal', seed, scale },
})

interface ConvShape {
  size: number
  channels: number
  filters: number
  kernel?: number
  stride?: number
  dilation?: number
  depthwise?: boolean
}
function conv(source: string, name: string, s: ConvShape): Extra {
  const { size, channels, filters, kernel = 1, stride = 1, dilation = 1 } = s
  const depth = s.depthwise ? 1 : channels
  const pad = (dilation * (kernel - 1)) / 2
  const two = (v: number) => [v, v]
  return {
    op: 'conv',
    layer: `${name} 1x${channels}x${size}x${size} ${filters}x${depth}x${kernel}x${kernel}${stride > 1 ? ` s${stride}` : ''}${pad ? ` p${pad}` : ''}${dilation > 1 ? ` d${dilation}` : ''}`,
    source,
    attributes: {
      kernel_shape: two(kernel),
      strides: two(stride),
      dilations: two(dilation),
      pads: [pad, pad, pad, pad],
      auto_pad: 'NOTSET',
      group: s.depthwise ? channels : 1,
    },
    inputs: [
      normal([1, channels, size, size], 1),
      normal([filters, depth, kernel, kernel], 2, 1 / Math.sqrt(depth * kernel * kernel)),
      normal([filters], 3),
    ],
  }
}
function upConv(source: string, name: string, size: number, channels: number, filters: number): Extra {
  return {
    op: 'conv-transpose',
    layer: `${name} 1x${channels}x${size}x${size} ${channels}x${filters}x2x2 s2`,
    source,
    attributes: {
      kernel_shape: [2, 2],
      strides: [2, 2],
      dilations: [1, 1],
      pads: [0, 0, 0, 0],
      output_padding: [0, 0],
      auto_pad: 'NOTSET',
      group: 1,
    },
    inputs: [normal([1, channels, size, size], 1), normal([channels, filters, 2, 2], 2, 1 / Math.sqrt(channels)), normal([filters], 3)],
  }
}
function resize(source: string, from: number, to: number, channels: number, how: 'nearest' | 'linear'): Extra {
  const attributes: Attributes =
    how === 'nearest'
      ? { mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor', sizes: [1, channels, to, to] }
      : { mode: 'linear', coordinate_transformation_mode: 'half_pixel', sizes: [1, channels, to, to] }
  return { op: 'resize', layer: `${how} 1x${channels}x${from}² to ${to}²`, source, attributes, inputs: [normal([1, channels, from, from], 1)] }
}
/** Boxes as a detector gives them: clusters of jittered copies around objects on a 640² image, scores uniform. */
function nms(boxes: number, source: string): Extra {
  const next = random(boxes)
  const unit = () => next() / 2 ** 32
  const objects = Array.from({ length: Math.max(4, Math.round(Math.sqrt(boxes))) }, () => [
    unit() * 600,
    unit() * 600,
    16 + unit() * 140,
    16 + unit() * 140,
  ])
  const values = Array.from({ length: boxes }, () => {
    const [y, x, h, w] = objects[next() % objects.length]!
    const [y1, x1] = [Math.fround(y! + 12 * (unit() - 0.5)), Math.fround(x! + 12 * (unit() - 0.5))]
    return [y1, x1, Math.fround(y1 + h! * (0.8 + 0.4 * unit())), Math.fround(x1 + w! * (0.8 + 0.4 * unit()))]
  }).flat()
  return {
    op: 'nms',
    layer: `${boxes} boxes, at most 200`,
    source,
    attributes: { max_output_boxes_per_class: 200, iou_threshold: 0.5, score_threshold: 0.0625 },
    inputs: [
      { dtype: 'float32', shape: [1, boxes, 4], recipe: { kind: 'values', values } },
      { dtype: 'float32', shape: [1, 1, boxes], recipe: { kind: 'uniform', seed: boxes, low: 0, high: 1 } },
    ],
  }
}

const SSD = 'SSD-MobileNet v1, box predictors (Liu et al. 2016; Howard et al. 2017)'
const RETINA = 'RetinaNet head (Lin et al. 2017, section 4)'
const YOLO = 'YOLOv3 head, 255 = 3·(80 + 5) (Redmon and Farhadi 2018)'
const DEEPLAB = 'DeepLabv3 ASPP at output stride 16 (Chen et al. 2017, section 3.3)'
const UNET = 'U-Net decoder (Ronneberger et al. 2015, figure 1)'
const FPN = 'feature pyramid, top-down path (Lin et al. 2017, section 3)'
const IMAGE = 'image preparation, 3 channels'

export const extras = (): Extra[] => [
  conv(SSD, 'ssd box', { size: 19, channels: 512, filters: 12 }),
  conv(SSD, 'ssd class', { size: 10, channels: 1024, filters: 546 }),
  conv(RETINA, 'retinanet tower', { size: 20, channels: 256, filters: 256, kernel: 3 }),
  conv(RETINA, 'retinanet box', { size: 40, channels: 256, filters: 36, kernel: 3 }),
  conv(YOLO, 'yolo head', { size: 52, channels: 256, filters: 255 }),
  conv(YOLO, 'yolo head', { size: 13, channels: 1024, filters: 255 }),
  conv(DEEPLAB, 'aspp', { size: 33, channels: 320, filters: 256, kernel: 3, dilation: 6 }),
  conv(DEEPLAB, 'aspp depthwise', { size: 33, channels: 320, filters: 320, kernel: 3, dilation: 12, depthwise: true }),
  conv(DEEPLAB, 'classes', { size: 129, channels: 256, filters: 21 }),
  upConv(UNET, 'u-net up', 28, 512, 256),
  upConv(UNET, 'u-net up', 112, 128, 64),
  ...[100, 1000, 5000, 20_000].map(n => nms(n, 'boxes of a one-stage detector: clusters around √n objects on 640²')),
  resize(FPN, 20, 40, 256, 'nearest'),
  resize(FPN, 40, 80, 256, 'nearest'),
  resize('DeepLabv3, scores to the image', 33, 513, 21, 'linear'),
  resize(IMAGE, 224, 1024, 3, 'linear'),
  resize(IMAGE, 512, 1024, 3, 'linear'),
  resize(IMAGE, 1024, 224, 3, 'linear'),
  resize(IMAGE, 1024, 512, 3, 'nearest'),
  resize(IMAGE, 512, 1024, 3, 'nearest'),
]

/** One parameter at a time, everything else fixed: the curves of the scaling plot. */
export const sweeps = (): Extra[] => {
  const base = { size: 28, channels: 64, filters: 64, kernel: 3 }
  const s = (what: string) => `sweep: ${what}`
  return [
    ...[7, 14, 28, 56, 112].map(size => conv(s('image size'), 'size', { ...base, size })),
    ...[8, 16, 32, 64, 128, 256].map(channels => conv(s('channels'), 'channels', { ...base, channels })),
    ...[8, 16, 32, 128, 256].map(filters => conv(s('filters'), 'filters', { ...base, filters })),
    ...[1, 3, 5, 7].map(kernel => conv(s('kernel'), 'kernel', { ...base, kernel })),
    ...[64, 128, 256, 512, 1024].map(to => resize(s('output size'), 128, to, 3, 'linear')),
    ...[100, 300, 1000, 3000, 10_000].map(n => nms(n, s('boxes'))),
  ]
}
