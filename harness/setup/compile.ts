/**
 * The addon of tfjs-node, compiled against TensorFlow's library with nothing but a C++ compiler: Node's stable C interface comes from the npm package
 * node-api-headers, so that one build serves Node 20, 22 and 24.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { UserError } from '../errors.ts'
import { lastLines, program, type Site } from './site.ts'

export const TRACE = fileURLToPath(new URL('../../native/tfe-trace.c', import.meta.url))
/** Version of Node-API that tfjs-node's binding is written for; the folder of the addon is named after it. */
const NAPI = 8

export interface Compiler {
  command: string
  version: string
}
/** $CXX, else the first of the usual names. */
export async function findCompiler(site: Site): Promise<Compiler | null> {
  for (const command of [site.env['CXX'], 'g++', 'c++', 'clang++']) {
    if (!command) continue
    const ran = await program(site, command, ['--version'])
    if (ran.status === 0) return { command, version: ran.out.split('\n')[0]! }
  }
  return null
}
export const NO_COMPILER =
  'a C++ compiler is needed to build the addon, and there is none: install one (Debian, Ubuntu: apt-get install g++; Fedora: dnf install gcc-c++ binutils; Alpine has no glibc and cannot be used) or name yours in CXX'

async function compile(site: Site, compiler: Compiler, what: string, args: readonly string[]): Promise<void> {
  const ran = await program(site, compiler.command, args)
  if (ran.status === 0) return
  const full = /No space left/i.test(ran.err) ? 'the disk is full' : `${compiler.command} says\n${lastLines(ran.err, 8)}`
  throw new UserError(`${what} could not be compiled: ${full}`)
}

/**
 * C source that defines the symbols of CPython which TensorFlow's Python extension asks for: the library is loaded without Python, and the C API never calls them.
 * Exceptions are null pointers, types zeroed objects, functions end the process and say which one was called.
 */
export function pythonStandIns(undefinedSymbols: string): string {
  const names = new Set(
    undefinedSymbols
      .split('\n')
      .map(l => l.trim().split(/\s+/).at(-1)!.split('@')[0]!)
      .filter(s => /^_?Py\w+$/.test(s)),
  )
  const lines = [...names].sort().map(s => {
    if (s.startsWith('PyExc_')) return `void *${s} = 0;`
    if (/(_Type|Struct)$/.test(s)) return `char ${s}[1024] __attribute__((aligned(16))) = {0};`
    return `void *${s}(void) { fputs("opcompat: TensorFlow called Python's ${s}\\n", stderr); abort(); }`
  })
  return ['#include <stdio.h>', '#include <stdlib.h>', ...lines, ''].join('\n')
}
async function standIns(site: Site, library: string): Promise<string> {
  const ran = await program(site, 'nm', ['-D', '--undefined-only', library])
  if (ran.missing) throw new UserError('nm is needed to build the addon, and there is none: install binutils')
  if (ran.status !== 0) throw new UserError(`nm cannot read TensorFlow's library: ${lastLines(ran.err)}`)
  return pythonStandIns(ran.out)
}

export interface Build {
  /** Folder of the npm package (tfjs-node or tfjs-node-gpu) that gets the addon; `deps/lib` in it holds TensorFlow. */
  pkg: string
  /** TensorFlow's headers. */
  include: string
  /** Include folder of node-api-headers. */
  headers: string
  /** File name of TensorFlow's library in deps/lib, and whether it is a Python extension. */
  library: string
  python: boolean
}
/** Builds deps/lib/libtfe_trace.so and lib/napi-v8/tfjs_binding.node. All library paths are relative ($ORIGIN): the folder may be moved. */
export async function buildAddon(b: Build, site: Site, scratch: string): Promise<void> {
  const compiler = await findCompiler(site)
  if (!compiler) throw new UserError(NO_COMPILER)
  const lib = join(b.pkg, 'deps', 'lib')
  const sources = ['-x', 'c', TRACE]
  if (b.python) {
    const file = join(scratch, 'python.c')
    writeFileSync(file, await standIns(site, join(lib, b.library)))
    sources.push('-x', 'c', file) // g++ forgets the language after one file
  }
  const trace = join(lib, 'libtfe_trace.so')
  await compile(site, compiler, 'the trace of operations', [
    '-shared',
    '-fPIC',
    '-O1',
    '-w',
    ...sources,
    '-x',
    'none',
    '-Wl,-soname,libtfe_trace.so',
    '-o',
    trace,
    '-ldl',
  ])
  const out = join(b.pkg, 'lib', `napi-v${NAPI}`)
  const addon = join(out, 'tfjs_binding.node')
  mkdirSync(out, { recursive: true })
  await compile(site, compiler, 'the addon of tfjs-node', [
    '-std=c++17',
    '-O2',
    '-w',
    '-fPIC',
    '-shared',
    `-DNAPI_VERSION=${NAPI}`,
    '-DNODE_GYP_MODULE_NAME=tfjs_binding',
    '-DBUILDING_NODE_EXTENSION',
    `-I${b.headers}`,
    `-I${b.include}`,
    `-I${dirname(b.pkg)}`,
    '-o',
    addon,
    ...['tfjs_backend.cc', 'tfjs_binding.cc'].map(f => join(b.pkg, 'binding', f)),
    `-L${lib}`,
    // the order is the order of look-up: the trace's TFE_Execute stands before TensorFlow's; nobody asks for the stand-ins by name, so none may be dropped
    '-Wl,--no-as-needed',
    '-l:libtfe_trace.so',
    `-l:${b.library}`,
    '-l:libtensorflow_framework.so.2',
    '-Wl,-rpath,$ORIGIN/../../deps/lib',
  ])
  const loaded = await program(site, process.execPath, ['-e', `require(${JSON.stringify(addon)})`], { env: { TF_CPP_MIN_LOG_LEVEL: '2' } })
  if (loaded.status !== 0)
    throw new UserError(`the addon of tfjs-node was built, but it cannot be loaded: ${lastLines(loaded.err.replace(/\n\s+at [^\n]*/g, ''), 4)}`)
}
