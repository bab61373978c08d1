/** What this machine has of NVIDIA: the driver's library, devices, CUDA and cuDNN; in the words of the driver and the dynamic linker. */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'

export interface Gpu {
  /** Why the driver's library cannot be loaded, in the linker's words; null: it can. */
  noDriver: string | null
  /** Version such as `535.104.05`, where it is told. */
  driver: string | null
  devices: readonly { name: string; capability: string }[]
  /** What nvidia-smi says where it lists no device. */
  words: string
}
/** Loading it as a module of Node gives the linker's own message; a library that loads is refused as "no module", which is the good answer. */
const LOAD = `try { process.dlopen({ exports: {} }, 'libcuda.so.1') } catch (e) { process.stdout.write(String(e.message)) }`

let known: Gpu | undefined
export function findGpu(): Gpu {
  known ??= look()
  return known
}
function look(): Gpu {
  if (process.platform !== 'linux') return { noDriver: `no CUDA driver on ${process.platform}`, driver: null, devices: [], words: '' }
  const said = spawnSync(process.execPath, ['-e', LOAD], { encoding: 'utf8', timeout: 20_000 }).stdout.trim()
  const loads = /self-register/.test(said)
  const smi = spawnSync('nvidia-smi', ['--query-gpu=name,compute_cap,driver_version', '--format=csv,noheader'], { encoding: 'utf8', timeout: 20_000 })
  const rows =
    smi.status === 0
      ? smi.stdout
          .trim()
          .split('\n')
          .map(l => l.split(',').map(x => x.trim()))
      : []
  const proc = '/proc/driver/nvidia/version'
  const kernel = existsSync(proc) ? (/Kernel Module.*?\s(\d+\.\d+(?:\.\d+)?)\s/.exec(readFileSync(proc, 'utf8'))?.[1] ?? null) : null
  return {
    noDriver: loads ? null : said || 'libcuda.so.1 cannot be loaded',
    driver: rows[0]?.[2] ?? kernel,
    devices: rows.filter(r => r.length >= 3).map(r => ({ name: r[0]!, capability: r[1]! })),
    words: smi.error ? '' : `${smi.stdout}${smi.stderr}`.trim().split('\n').slice(0, 3).join(' '),
  }
}
/** TensorFlow that fits the device: 2.9.1 reaches compute capability 9.0 and up only through PTX, which the driver compiles at every first use. */
export const tensorflowFor = (gpu: Gpu): string => (gpu.devices.some(d => Number(d.capability) >= 9) ? '2.18.1' : '2.9.1')

/** Smallest driver series for each CUDA (NVIDIA, CUDA Toolkit Release Notes, table "minimum required driver version for minor version compatibility"). */
export const DRIVER_SERIES = { '11': 450, '12': 525, '13': 580 } as const
/** Why this machine cannot run CUDA of that version, and what would change it; null: nothing is in the way that can be seen from outside. */
export function inTheWay(gpu: Gpu, cuda: keyof typeof DRIVER_SERIES): { reason: string; enable: string } | null {
  const series = DRIVER_SERIES[cuda]
  const older =
    cuda === '13'
      ? ' (an older driver runs onnxruntime-gpu 1.26.0, the last wheel for CUDA 12, only with onnxruntime-node 1.26.0, not with this version)'
      : ''
  if (gpu.noDriver) return { reason: `no NVIDIA driver: ${gpu.noDriver}`, enable: `an NVIDIA GPU with a driver of series ${series} or later${older}` }
  if (gpu.driver && Number.parseInt(gpu.driver, 10) < series)
    return { reason: `the NVIDIA driver ${gpu.driver} is too old for CUDA ${cuda}`, enable: `a driver of series ${series} or later${older}` }
  if (!gpu.devices.length && gpu.words) return { reason: `the NVIDIA driver finds no device: ${gpu.words}`, enable: 'a GPU that nvidia-smi lists' }
  return null
}

/** CUDA and cuDNN libraries that the system's own linker finds, by file name. */
export function systemCuda(): string[] {
  for (const ldconfig of ['ldconfig', '/sbin/ldconfig', '/usr/sbin/ldconfig']) {
    const ran = spawnSync(ldconfig, ['-p'], { encoding: 'utf8' })
    if (ran.status === 0) return [...new Set([...ran.stdout.matchAll(/^\s*(lib(?:cudart|cublas|cudnn)\.so\.\d+)\s/gm)].map(m => m[1]!))].sort()
  }
  return []
}

/**
 * What a runtime printed while it looked for a GPU: its libraries log to the process's own standard error, so that it is asked once more in a process that is listened to.
 * @param script JavaScript (CommonJS) that starts the runtime
 */
export function wordsOf(script: string, pattern: RegExp, env: Record<string, string> = {}): string {
  const ran = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8', timeout: 60_000, env: { ...process.env, ...env } })
  const lines = `${ran.stderr}\n${ran.stdout}`
    .split('\n')
    .filter(l => pattern.test(l))
    .map(l =>
      l
        .replace(/^[\d: .-]+[IWEF] \S+\] |^.*?\[E:onnxruntime[^\]]*\] /, '')
        .replace(/; LD_LIBRARY_PATH:.*$/, '')
        .trim(),
    )
  return [...new Set(lines)].slice(0, 3).join('; ').slice(0, 600)
}
