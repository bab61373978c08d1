/** The workflow files: valid by their schemas, and every command of ours in them exists with the options that it is given. */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CronJob } from 'kubernetes-models/batch/v1'
import { PersistentVolumeClaim } from 'kubernetes-models/v1'
import { describe, expect, it } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (path: string) => readFileSync(join(root, path), 'utf8')
const scripts = (JSON.parse(read('package.json')) as { scripts: Record<string, string> }).scripts
const FILES = ['.github/workflows/nightly.yml', 'deploy/gitlab-ci.yml', 'deploy/kubernetes.yaml']

const help = new Map<string, string>()
function helpOf(args: readonly string[]): string {
  const key = args.join(' ')
  if (!help.has(key)) {
    const r = spawnSync(process.execPath, ['--import', 'tsx', join(root, 'harness', 'cli.ts'), ...args, '--help'], { cwd: root, encoding: 'utf8' })
    help.set(key, r.status === 0 ? r.stdout : '')
  }
  return help.get(key)!
}
/** `npm run [-s] name -- args`, wherever it stands in a file. */
const commands = (text: string) =>
  [...text.matchAll(/npm run (?:-s )?([\w-]+)(?: -- ([^\n|>#]*))?/g)].map(m => ({ script: m[1]!, args: (m[2] ?? '').trim().split(/\s+/) }))

describe('commands in workflow files', () => {
  for (const file of FILES)
    for (const { script, args } of commands(read(file).replace(/^\s*#.*$/gm, '')))
      it(`${file}: ${script} ${args.join(' ')}`, () => {
        expect(scripts[script], `no script ${script}`).toBeDefined()
        const own = scripts[script]!.replace(/^tsx \S+\s*/, '').trim()
        const sub = own || (args[0] && !args[0].startsWith('-') ? args[0] : 'run')
        const text = helpOf([sub])
        expect(text, `no command ${sub}`).toContain('Usage')
        for (const option of args.filter(a => /^--\w/.test(a))) expect(text, `${sub} has no ${option}`).toContain(option)
      })
})

describe('nightly.yml', () => {
  const text = read(FILES[0]!)
  it('follows the schema of GitHub workflows', async () => {
    const { validateWorkflow } = createRequire(import.meta.url)('@action-validator/core') as {
      validateWorkflow: (s: string) => { errors: unknown[] }
    }
    expect(validateWorkflow(text).errors).toEqual([])
    expect(validateWorkflow(text.replace('runs-on', 'runs-where')).errors.length).toBeGreaterThan(0)
  })
  it('runs what it needs in order, and fails only on news', () => {
    const { jobs } = parse(text) as { jobs: Record<string, { needs?: string | string[]; steps: { run?: string; uses?: string }[] }> }
    for (const job of Object.values(jobs)) for (const need of [job.needs ?? []].flat()) expect(jobs).toHaveProperty(need)
    for (const step of Object.values(jobs).flatMap(j => j.steps)) expect(Boolean(step.run) !== Boolean(step.uses)).toBe(true)
    for (const s of Object.values(jobs).flatMap(j => j.steps.flatMap(x => x.uses ?? []))) expect(s).toMatch(/^actions\/[\w-]+@v\d+$/)
  })
  it('has shell that parses', () => {
    const { jobs } = parse(text) as { jobs: Record<string, { steps: { run?: string }[] }> }
    for (const step of Object.values(jobs).flatMap(j => j.steps)) {
      const r = spawnSync('bash', ['-n'], { input: (step.run ?? '').replace(/\$\{\{[^}]*\}\}/g, '0'), encoding: 'utf8' })
      expect(r.stderr).toBe('')
    }
  })
})

describe('gitlab-ci.yml', () => {
  const KEYS = [
    'stage',
    'parallel',
    'needs',
    'timeout',
    'rules',
    'script',
    'artifacts',
    'cache',
    'allow_failure',
    'variables',
    'image',
    'before_script',
  ]
  it('has jobs whose stages, needs and keywords exist', () => {
    const { stages, default: _, variables: __, ...jobs } = parse(read(FILES[1]!)) as Record<string, any>
    for (const [name, job] of Object.entries<any>(jobs)) {
      expect(stages, name).toContain(job.stage)
      expect(
        job.script.every((s: unknown) => typeof s === 'string'),
        name,
      ).toBe(true)
      for (const key of Object.keys(job)) expect(KEYS, `${name}.${key}`).toContain(key)
      for (const need of job.needs ?? []) expect(jobs, name).toHaveProperty(need.job ?? need)
      for (const line of job.script) expect(spawnSync('bash', ['-n'], { input: line, encoding: 'utf8' }).stderr).toBe('')
    }
  })
})

describe('kubernetes.yaml', () => {
  it('follows the schema of Kubernetes', () => {
    const documents = parseAllDocuments(read(FILES[2]!)).map(d => d.toJS() as { kind: string })
    expect(documents.map(d => d.kind)).toEqual(['PersistentVolumeClaim', 'CronJob', 'CronJob'])
    for (const d of documents) {
      const model = d.kind === 'CronJob' ? new CronJob(d as any) : new PersistentVolumeClaim(d as any)
      expect(() => model.validate()).not.toThrow()
    }
    const broken = structuredClone(documents[1]!) as any
    broken.spec.jobTemplate.spec.completions = 'eight'
    expect(() => new CronJob(broken).validate()).toThrow()
  })
  it('tells its pods how many they are', () => {
    const job = parseAllDocuments(read(FILES[2]!))[1]!.toJS().spec.jobTemplate.spec
    const env = job.template.spec.containers[0].env as { name: string; value: string }[]
    expect(Number(env.find(e => e.name === 'JOB_COMPLETIONS')!.value)).toBe(job.completions)
    expect(job.completionMode).toBe('Indexed')
  })
  it('stands beside the others', () => expect(FILES.every(f => existsSync(join(root, f)))).toBe(true))
})
