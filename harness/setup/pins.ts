/**
 * Everything that `npm run setup` may fetch, pinned by size and sha256 (bytes as the package registries hold them; CUDA libraries downloaded and hashed one
 * by one). Nothing else is ever used.
 */

export interface Wheel {
  /** Name on PyPI. */
  project: string
  version: string
  /** Python that the wheel is tagged for, e.g. `310`; absent: any. Python itself is not needed to be that one. */
  python?: string
  /** Bytes of the file. */
  size: number
  sha256: string
  /** Bytes on disk of what is kept of it. */
  unpacked: number
}

/** The same version that @tensorflow/tfjs-node 4.22.0 names (LIBTENSORFLOW_VERSION of its scripts/deps-constants.js). */
export const TENSORFLOW_CPU: Wheel = {
  project: 'tensorflow-cpu',
  version: '2.9.1',
  python: '310',
  size: 207453921,
  sha256: '6666ddeae45e1f41da788cb4bdea3435aba16edb0bc17b7ac00631c7c9eb052e',
  unpacked: 507_800_000,
}
export const TENSORFLOW_GPU: Wheel = {
  project: 'tensorflow',
  version: '2.9.1',
  python: '310',
  size: 511725740,
  sha256: 'add2f4e55fd7209a5cb01d815364adc9827184d74a83c2f1616c72be2e85c8b7',
  unpacked: 972_000_000,
}
/** For GPUs newer than TensorFlow 2.9.1 (compute capability 9.0 and up), which it could only reach through PTX. */
export const TENSORFLOW_GPU_NEW: Wheel = {
  project: 'tensorflow',
  version: '2.18.1',
  python: '311',
  size: 615510377,
  sha256: 'c9f87e5d2a680a4595f5dc30daf6bbaec9d4129b46d7ef1b2af63c46ac7d2828',
  unpacked: 1_290_000_000,
}
/** The wheel whose CUDA provider is of the very commit of onnxruntime-node 1.30.0. */
export const ORT_CUDA: Wheel = {
  project: 'onnxruntime-gpu',
  version: '1.30.0',
  python: '311',
  size: 246658419,
  sha256: '4fbf0c5d7b5fb99266c2e8a802e3e64af68bdc383e0f3c7349b985f1087eedaa',
  unpacked: 300_000_000,
}
/** sha256 of the two libraries in that wheel. */
export const ORT_PROVIDERS: Readonly<Record<string, string>> = {
  'libonnxruntime_providers_cuda.so': '9d7587acb137b31bf84e4d32dc444b969bb601d098b01395effcacfe4341e364',
  'libonnxruntime_providers_shared.so': '086ec1d5388f64153d9c63470d126693db9a182c8ce236d3a1119068471b8a0d',
}

/**
 * Archives that the install script of @tensorflow/tfjs-node(-gpu) 4.22.0 itself would fetch; where from stands in that script. Their sha256 as other projects
 * have pinned them (the CPU one alike in four of them); their sizes are learned from the host.
 */
export const PUBLISHER = {
  cpu: {
    archive: 'cpu-linux-x86_64',
    version: '2.9.1',
    sha256: '7f510d2546e3db5e10b1d119463689003d587842892ad3c95bca51cf82820173',
    unpacked: 450_000_000,
  },
  gpu: {
    archive: 'gpu-linux-x86_64',
    version: '2.9.1',
    sha256: '20c46f761d5905f592c4eac0812e8e50d9cb439f9440a9391912cf4c02ed8be8',
    unpacked: 950_000_000,
  },
} as const

/** For TensorFlow 2.9.1, built with CUDA 11.2 and cuDNN 8. */
export const CUDA_11: readonly Wheel[] = [
  {
    project: 'nvidia-cuda-runtime-cu11',
    version: '11.8.89',
    size: 875592,
    sha256: '92d04069a987e1fbc9213f8376d265df0f7bb42617d44f5eda1f496acea7f2d1',
    unpacked: 710120,
  },
  {
    project: 'nvidia-cublas-cu11',
    version: '11.11.3.6',
    size: 417870460,
    sha256: '60252822adea5d0b10cd990a7dc7bedf7435f30ae40083c7a624a85a43225abc',
    unpacked: 670040168,
  },
  {
    project: 'nvidia-cudnn-cu11',
    version: '8.9.6.50',
    size: 699874407,
    sha256: '319a8f7ca3d65139f1b69998595c7076ae0e4271a325e5dfde50a3ca31f55584',
    unpacked: 1114520464,
  },
  {
    project: 'nvidia-cufft-cu11',
    version: '10.9.0.58',
    size: 168405419,
    sha256: 'e21037259995243cc370dd63c430d77ae9280bedb68d5b5a18226bfc92e5d748',
    unpacked: 280779984,
  },
  {
    project: 'nvidia-curand-cu11',
    version: '10.3.0.86',
    size: 58124497,
    sha256: 'cd4cffbf78bb06580206b4814d5dc696d1161c902aae37b2bba00056832379e6',
    unpacked: 101334448,
  },
  {
    project: 'nvidia-cusolver-cu11',
    version: '11.4.1.48',
    size: 128246438,
    sha256: 'ea9fb1ad8c644ca9ed55af13cc39af3b7ba4c3eb5aef18471fe1fe77d94383cb',
    unpacked: 490780048,
  },
  {
    project: 'nvidia-cusparse-cu11',
    version: '11.7.5.86',
    size: 204126227,
    sha256: '8d7cf1628fd8d462b5d2ba6678fae34733a48ecb80495b9c68672ec6a6dde5ef',
    unpacked: 279899536,
  },
]
/** For TensorFlow 2.18.1, built with CUDA 12.5 and cuDNN 9; the libraries of `tensorflow[and-cuda]` without the compiler, which only XLA calls. */
export const CUDA_12: readonly Wheel[] = [
  {
    project: 'nvidia-cublas-cu12',
    version: '12.5.3.2',
    size: 363313169,
    sha256: 'ca070ad70e9fa6654084575d01bd001f30cc4665e33d4bb9fc8e0f321caa034b',
    unpacked: 551706504,
  },
  {
    project: 'nvidia-cuda-cupti-cu12',
    version: '12.5.82',
    size: 13811507,
    sha256: 'bde77a5feb66752ec61db2adfe47f56b941842825b4c7e2068aff27c9d107953',
    unpacked: 43952208,
  },
  {
    project: 'nvidia-cuda-nvrtc-cu12',
    version: '12.5.82',
    size: 24873108,
    sha256: '3dbd97b0104b4bfbc3c4f8c79cd2496307c89c43c29a9f83125f1d76296ff3fd',
    unpacked: 68243664,
  },
  {
    project: 'nvidia-cuda-runtime-cu12',
    version: '12.5.82',
    size: 895707,
    sha256: '3e79a060e126df40fd3a068f3f787eb000fa51b251ec6cd97d09579632687115',
    unpacked: 712032,
  },
  {
    project: 'nvidia-cudnn-cu12',
    version: '9.3.0.75',
    size: 577163502,
    sha256: '9ad9c6929ebb5295eb4a1728024666d1c88283373e265a0c5c883e6f9d5cd76d',
    unpacked: 885338960,
  },
  {
    project: 'nvidia-cufft-cu12',
    version: '11.2.3.61',
    size: 192524114,
    sha256: '9a6e8df162585750f61983a638104a48c756aa13f9f48e19ab079b38e3c828b8',
    unpacked: 278929256,
  },
  {
    project: 'nvidia-curand-cu12',
    version: '10.3.6.82',
    size: 56309107,
    sha256: '2823fb27de4e44dbb22394a6adf53aa6e1b013aca0f8c22867d1cfae58405536',
    unpacked: 96529840,
  },
  {
    project: 'nvidia-cusolver-cu12',
    version: '11.6.3.83',
    size: 130341232,
    sha256: '93cfafacde4428b71778eeb092ec615a02a3d05404da1bcf91c53e3fa1bce42b',
    unpacked: 218141696,
  },
  {
    project: 'nvidia-cusparse-cu12',
    version: '12.5.1.3',
    size: 217558979,
    sha256: '016df8e993c437e8301e62739f01775cba988fd5253cd4c64173f8e8d2f8e752',
    unpacked: 295715544,
  },
  {
    project: 'nvidia-nccl-cu12',
    version: '2.21.5',
    size: 188654414,
    sha256: '8579076d30a8c24988834445f8d633c697d42397e92ffc3f63fa26766d25e0a0',
    unpacked: 251616632,
  },
  {
    project: 'nvidia-nvjitlink-cu12',
    version: '12.5.82',
    size: 21298879,
    sha256: 'f9b37bc5c8cf7509665cb6ada5aaa0ce65618f2332b7d3e78e9790511f111212',
    unpacked: 54560656,
  },
]
/** For ONNX Runtime 1.30.0, built with CUDA 13.0 and cuDNN 9. */
export const CUDA_13: readonly Wheel[] = [
  {
    project: 'nvidia-cublas',
    version: '13.0.2.14',
    size: 420882912,
    sha256: '0cf238ffdbe46c00cb9aa98e7bca745c223a5ca5a53e686ac8b3e5a08fe80d6c',
    unpacked: 594710696,
  },
  {
    project: 'nvidia-cuda-runtime',
    version: '13.0.96',
    size: 2243632,
    sha256: '7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548',
    unpacked: 704288,
  },
  {
    project: 'nvidia-cufft',
    version: '12.0.0.61',
    size: 214085489,
    sha256: '6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3',
    unpacked: 287534056,
  },
  {
    project: 'nvidia-curand',
    version: '10.4.0.35',
    size: 59544258,
    sha256: '1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc',
    unpacked: 132698328,
  },
  {
    project: 'nvidia-cuda-nvrtc',
    version: '13.0.88',
    size: 90215200,
    sha256: 'ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575',
    unpacked: 227912592,
  },
  {
    project: 'nvidia-cudnn-cu13',
    version: '9.28.1.4',
    size: 516817937,
    sha256: 'a54f205b1db1f2895d99f398754db1369816f0569dd459731f925635cf7b65ec',
    unpacked: 940113128,
  },
]

/** sha256 of the archives inside the npm package @sparticuz/chromium 147.0.0, whose own hash stands in package-lock.json. */
export const BROWSER: Readonly<Record<string, string>> = {
  'chromium.br': '64d813a054f76fc32b8010e305d87e6d7a45aa76ee02d36e66c03c8ca6667e8d',
  'swiftshader.tar.br': 'f957ea867313f9815b71dc2ed30cce301e01db4f3973fbdb31ffa5391b0ec45a',
  'al2023.tar.br': '2e22542d8c66b83194172f4bbbef0a79b80bbeb99d69abf3962d85c1351f478d',
  'fonts.tar.br': '78620f052a57d98716b8da709e9de5c14a5ae606e60810009f5051ab46e2a588',
}
export const BROWSER_VERSION = '147.0.0'
