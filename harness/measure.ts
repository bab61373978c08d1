/** How well entries stand for causes: homogeneity, completeness and V (Rosenberg and Hirschberg 2007), entries per cause, hidden causes. */
export interface Item {
  cause: string
  entry: string
  weight: number
}
export interface Measure {
  homogeneity: number
  completeness: number
  v: number
  causes: number
  entries: number
}
const sums = (items: readonly Item[], key: (i: Item) => string) => {
  const m = new Map<string, number>()
  for (const i of items) m.set(key(i), (m.get(key(i)) ?? 0) + i.weight)
  return m
}
export function measure(items: readonly Item[]): Measure {
  const total = items.reduce((s, i) => s + i.weight, 0)
  const entropy = (m: Map<string, number>) => [...m.values()].reduce((h, n) => h - (n / total) * Math.log(n / total), 0)
  const causes = sums(items, i => i.cause)
  const entries = sums(items, i => i.entry)
  const joint = sums(items, i => JSON.stringify([i.cause, i.entry]))
  const [hc, he, hj] = [entropy(causes), entropy(entries), entropy(joint)]
  const homogeneity = hc < 1e-12 ? 1 : 1 - (hj - he) / hc
  const completeness = he < 1e-12 ? 1 : 1 - (hj - hc) / he
  const v = homogeneity + completeness === 0 ? 0 : (2 * homogeneity * completeness) / (homogeneity + completeness)
  return { homogeneity, completeness, v, causes: causes.size, entries: entries.size }
}
/** The same with every cause weighing as much as any other. */
export function balanced(items: readonly Item[]): Item[] {
  const causes = sums(items, i => i.cause)
  return items.map(i => ({ ...i, weight: i.weight / causes.get(i.cause)! }))
}
