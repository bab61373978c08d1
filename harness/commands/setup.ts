/** `setup`: native runtimes that npm cannot bring, into the cache: what is fetched is pinned, what is made is listed, and nothing is ever half done. */
import { dirname } from 'node:path'
import { loadBackends } from '../backends.ts'
import { nearest, UserError } from '../errors.ts'
import { childHost } from '../hosts/child.ts'
import { checkBrowser } from '../setup/browser.ts'
import { findGpu, inTheWay } from '../setup/gpu.ts'
import { endPrograms, requireSpace, type Site, thisSite } from '../setup/site.ts'
import { alone, sweep } from '../setup/staging.ts'
import { type Choice, costOf, dryRun, isSetUp, setUp, TARGETS, type Target, verifyFiles } from '../setup/targets.ts'

export interface SetupFlags {
  dryRun?: boolean
  check?: boolean
  tensorflow?: string
}

/** `all` leaves out what cannot run on this machine, and says so. */
export function targetsOf(words: readonly string[], site: Site): Target[] {
  if (!words.length) throw new UserError(`what shall be set up? ${TARGETS.join(', ')} or all (npm run setup -- all --dry-run says what it costs)`)
  const chosen = new Set<Target>()
  for (const word of words) {
    if (word === 'all') {
      for (const target of TARGETS) {
        const way = target === 'ort-cuda' ? inTheWay(findGpu(), '13') : target === 'tfjs-node-gpu' ? inTheWay(findGpu(), '11') : null
        if (way) site.say(`${target}: left out, ${way.reason} (npm run setup -- ${target} sets it up all the same)`)
        else chosen.add(target)
      }
      continue
    }
    const target = TARGETS.find(t => t === word)
    if (!target) throw new UserError(`cannot set up ${word}; did you mean ${nearest(word, [...TARGETS, 'all'])}?`)
    chosen.add(target)
  }
  return TARGETS.filter(t => chosen.has(t))
}

/** Starts what was set up, as a run does: a process of its own, a first operation, and the device that ran it. A machine without a GPU is told, not failed. */
async function smoke(target: Target, site: Site, strict: boolean): Promise<void> {
  if (target === 'browser') return site.say(`  ✓ ${await checkBrowser(site)}`)
  const backend = (await loadBackends()).find(b => b.name === target)!
  const host = childHost(backend)
  try {
    const start = await host.start()
    if ('identity' in start)
      return site.say(
        `  ✓ runs: ${Object.entries(start.identity)
          .map(([k, v]) => `${k} ${v}`)
          .join(', ')}`,
      )
    const way = target === 'tfjs-node' ? null : inTheWay(findGpu(), target === 'ort-cuda' ? '13' : '11')
    if (!way || strict) throw new UserError(`${target} does not run: ${start.notRun}${start.enable ? `\n  to enable: ${start.enable}` : ''}`)
    site.say(`  · it cannot run on this machine: ${start.notRun}\n    to enable: ${start.enable}`)
  } finally {
    await host.close()
  }
}

export async function setupCommand(words: readonly string[], flags: SetupFlags, site: Site = thisSite()): Promise<number> {
  const choice: Choice = flags.tensorflow ? { tensorflow: flags.tensorflow } : {}
  const targets = targetsOf(words, site)
  if (flags.dryRun) {
    for (const target of targets) process.stdout.write(`${dryRun(target, site, choice).join('\n')}\n`)
    return 0
  }
  if (flags.check) {
    for (const target of targets) {
      site.say(target)
      await verifyFiles(target, site)
      site.say('  ✓ every file is as it was made')
      await smoke(target, site, true)
    }
    return 0
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(signal, () => {
      endPrograms()
      sweep(site.root, true)
      site.say('stopped; the same command goes on')
      process.exit(130)
    })
  await alone(site, async () => {
    sweep(site.root)
    for (const target of targets) {
      site.say(isSetUp(target, site) ? target : `${target}, into the cache ${dirname(site.root)}`)
      requireSpace(site, target, costOf(target, site, choice).peak)
      await setUp(target, site, choice)
      if (target !== 'browser') await smoke(target, site, false)
    }
  })
  return 0
}
