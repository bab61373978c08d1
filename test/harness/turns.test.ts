/** Who is next when several backends want to work. */
import { expect, it } from 'vitest'
import { slots } from '../../harness/run.ts'

it('of those that wait, the one that has had the least is next; of equal ones the first', async () => {
  const turn = slots(1)
  const order: string[] = []
  const work = (name: string) => async () => {
    order.push(name)
    await Promise.resolve()
  }
  await Promise.all([turn(work('first'), 9), turn(work('much'), 9), turn(work('some'), 5), turn(work('little'), 1), turn(work('little too'), 1)])
  expect(order).toEqual(['first', 'little', 'little too', 'some', 'much'])
})
it('work that throws gives its turn back', async () => {
  const turn = slots(1)
  await expect(turn(async () => Promise.reject(new Error('no')))).rejects.toThrow('no')
  expect(await turn(async () => 'went on')).toBe('went on')
})
