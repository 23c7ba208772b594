import { expect, test } from 'vitest'
import type { Status } from '../../src/admin/control.ts'
import { statusLines } from '../../src/cli/status-lines.ts'
import type { Terminal } from '../../src/cli/terminal.ts'
import { FakeControl } from '../admin/fake-control.ts'

const terminal = { style: (_: string, text: string) => text } as unknown as Terminal

async function linesOf(change: (status: Status) => unknown): Promise<string[]> {
  const status = structuredClone(await new FakeControl().status())
  change(status)
  return statusLines(status, terminal)
}

test('keys that cannot be copied are shown with the reason', async () => {
  const lines = await linesOf(({ routes }) => {
    Object.assign(routes['jobs']!.mirror, { repair: 'tripped', refusedCopy: 'OOM' })
  })
  expect(lines).toContainEqual(
    expect.stringMatching(/^jobs: dirty keys: .*; copies keep failing \(the last copy failed: OOM\)$/),
  )
})
