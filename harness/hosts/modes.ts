/** A backend whose modes are settings of the process (an environment variable that the runtime reads once): one host for each mode, started with its first job. */
import type { Backend } from '../types.ts'
import type { Host } from './host.ts'

export function modesHost(backend: Backend, hostOf: (backend: Backend) => Host): Host {
  const hosts = new Map<string, Host>()
  const of = (mode: string): Host => {
    let host = hosts.get(mode)
    if (!host) hosts.set(mode, (host = hostOf({ ...backend, modes: [mode] })))
    return host
  }
  const all = async (work: (host: Host) => Promise<void>) => void (await Promise.all([...hosts.values()].map(work)))
  return {
    backend,
    start: () => of(backend.modes[0]!).start(),
    async run(jobs, deadlineMs, done) {
      for (let from = 0; from < jobs.length; ) {
        const { mode } = jobs[from]!
        let end = from
        while (jobs[end]?.mode === mode) end++
        const first = from
        await of(mode).run(jobs.slice(from, end), deadlineMs, (i, outcome) => done(first + i, outcome))
        from = end
      }
    },
    restart: () => all(host => host.restart()),
    stats() {
      const sum = { starts: 0, cpuMs: 0, rssBytes: 0, insideCpuMs: 0, insideMs: 0 }
      for (const host of hosts.values()) for (const [key, value] of Object.entries(host.stats())) sum[key as keyof typeof sum] += value ?? 0
      return sum
    },
    close: () => all(host => host.close()),
  }
}
