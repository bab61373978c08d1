/** Time inside the runtimes' own calls, summed up in the process that makes them; everything else is the harness's. */
const spent = { cpuMs: 0, wallMs: 0 }
const cpu = typeof process === 'undefined' || !process.cpuUsage ? null : () => process.cpuUsage()

/** Runs a call into a runtime and counts it. */
export async function metered<T>(call: () => T | Promise<T>): Promise<T> {
  const before = cpu?.()
  const start = performance.now()
  try {
    return await call()
  } finally {
    spent.wallMs += performance.now() - start
    if (before) {
      const after = cpu!()
      spent.cpuMs += (after.user + after.system - before.user - before.system) / 1000
    }
  }
}
export const runtimeSpent = (): Readonly<typeof spent> => spent
