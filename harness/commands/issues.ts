/** One issue per defect: opened when it is new, brought up to date while it lasts, closed when it is gone. Found again by a mark in its text. */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { UserError } from '../errors.ts'
import { makeFolder } from '../files.ts'
import type { Defect } from '../triage.ts'
import { ROOT } from '../version.ts'
import type { Difference } from './diff.ts'

export interface IssuePlan {
  action: 'open' | 'close'
  id: string
  title: string
  body: string
}
/** A night that finds more than this opens no more: something bigger is wrong. */
const MOST = 20
const LABEL = 'opcompat'
const mark = (id: string) => `<!-- opcompat ${id} -->`

/** The text of `repro <id> --as md`, else the defect in its own words. */
function text(d: Defect, dir: string): string {
  const r = spawnSync(process.execPath, [...process.execArgv, join(ROOT, 'harness', 'cli.ts'), 'repro', d.id, '--as', 'md'], {
    cwd: ROOT,
    encoding: 'utf8',
    timeout: 60_000,
    env: { ...process.env, OPCOMPAT_RUN: dir },
  })
  if (r.status === 0 && r.stdout.trim()) return r.stdout.trim()
  return [
    `**${d.op} ${d.kind}** on ${d.backends.join(', ')}`,
    `When: \`${d.rule.text}\``,
    d.because,
    `\`\`\`bash\n${d.replay}\n\`\`\``,
    ...d.links.map(l => `See ${l}`),
  ].join('\n\n')
}

export function planIssues(difference: Pick<Difference, 'added' | 'gone'>, defects: readonly Defect[], dir: string): IssuePlan[] {
  const byId = new Map(defects.map(d => [d.id, d]))
  const title = (d: Pick<Defect, 'id' | 'op' | 'kind' | 'backends'>) => `${d.op} ${d.kind} on ${d.backends.slice(0, 4).join(', ')} (${d.id})`
  return [
    ...difference.added
      .slice(0, MOST)
      .flatMap(({ id }) => byId.get(id) ?? [])
      .map((d): IssuePlan => ({ action: 'open', id: d.id, title: title(d), body: `${mark(d.id)}\n${text(d, dir)}\n` })),
    ...difference.gone.map(
      (d): IssuePlan => ({ action: 'close', id: d.id, title: title(d), body: `${mark(d.id)}\nNo longer seen in the newest run.\n` }),
    ),
  ]
}

export function writeIssues(plan: readonly IssuePlan[], dir: string): void {
  makeFolder(dir)
  for (const p of plan) writeFileSync(join(dir, `${p.action}-${p.id}.md`), `# ${p.title}\n\n${p.body}`)
}

interface Issue {
  number: number
  state: string
  body: string | null
}
/** By the REST interface of GitHub (or what GITHUB_API_URL points at). Running it twice changes nothing. */
export async function applyIssues(plan: readonly IssuePlan[], env: NodeJS.ProcessEnv = process.env): Promise<string[]> {
  const [token, repository, base] = [env['GITHUB_TOKEN'], env['GITHUB_REPOSITORY'], env['GITHUB_API_URL']]
  if (!token || !repository || !base)
    throw new UserError('--issues needs GITHUB_TOKEN, GITHUB_REPOSITORY and GITHUB_API_URL, as a GitHub workflow sets them')
  const call = async <T>(method: string, path: string, body?: unknown): Promise<T> => {
    const r = await fetch(`${base}/repos/${repository}${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, accept: 'application/vnd.github+json', 'content-type': 'application/json' },
      ...(body ? { body: JSON.stringify(body) } : {}),
    })
    if (!r.ok) throw new UserError(`--issues: ${method} ${path} was answered with ${r.status} ${r.statusText}`)
    return (await r.json()) as T
  }
  const known: Issue[] = []
  for (let page = 1; ; page++) {
    const list = await call<Issue[]>('GET', `/issues?labels=${LABEL}&state=all&per_page=100&page=${page}`)
    known.push(...list)
    if (list.length < 100) break
  }
  const done: string[] = []
  for (const p of plan) {
    const old = known.find(i => i.body?.includes(mark(p.id)))
    if (p.action === 'close') {
      if (!old || old.state === 'closed') continue
      await call('POST', `/issues/${old.number}/comments`, { body: p.body })
      await call('PATCH', `/issues/${old.number}`, { state: 'closed' })
      done.push(`closed #${old.number} ${p.title}`)
    } else if (old) {
      await call('PATCH', `/issues/${old.number}`, { title: p.title, body: p.body, state: 'open' })
      done.push(`updated #${old.number} ${p.title}`)
    } else {
      const made = await call<Issue>('POST', '/issues', { title: p.title, body: p.body, labels: [LABEL] })
      done.push(`opened #${made.number} ${p.title}`)
    }
  }
  return done
}
