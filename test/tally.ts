/** A reporter: the plain closing line that every CI can read. */
import type { Reporter, TestModule } from 'vitest/node'

export default class Tally implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const count = { passed: 0, failed: 0, skipped: 0 }
    for (const m of modules) {
      for (const t of m.children.allTests()) {
        const { state } = t.result()
        if (state === 'passed' || state === 'failed') count[state]++
        else count.skipped++
      }
      if (m.errors().length) count.failed++
    }
    process.stdout.write(`\n${count.passed} passed, ${count.failed} failed${count.skipped ? `, ${count.skipped} skipped` : ''}\n`)
  }
}
