/** Every command that the README shows is run, exactly as it stands there (the two that install and test everything apart). */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const text = readFileSync(join(root, 'README.md'), 'utf8')
const commands = [...text.matchAll(/```bash\n([\s\S]*?)```/g)].flatMap(m => m[1]!.trim().split('\n')).filter(c => !c.startsWith('npm ci'))

describe('README', () => {
  it('shows commands', () => expect(commands.length).toBeGreaterThan(5))
  for (const command of commands)
    it(command, () => {
      const out = mkdtempSync(join(tmpdir(), 'opcompat-readme-'))
      const [program, ...args] = command.split(' ')
      const extra =
        /--cases/.test(command) && !/--out/.test(command) ? ['--out', join(out, 'run')] : /--from/.test(command) ? ['--out', join(out, 'run')] : []
      const r = spawnSync(program!, [...args, ...extra], { cwd: root, encoding: 'utf8', timeout: 110_000 })
      expect([0, 1], `${r.stdout}\n${r.stderr}`).toContain(r.status)
      expect(r.stderr).not.toMatch(/an error of ours/)
      if (/--cases|--from/.test(command)) expect(r.stdout).toMatch(/reports:|caught/)
    })
})
