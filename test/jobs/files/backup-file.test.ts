import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { BackupKey } from '../../../src/jobs/files/backup-file.ts'
import { BackupReader, type BackupRecord } from '../../../src/jobs/files/backup-reader.ts'
import { BackupWriter } from '../../../src/jobs/files/backup-writer.ts'

test('whatever time of expiry a key has, it stands in the file, and is read again', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'understudy-backup-'))
  try {
    const path = join(directory, 'backup')
    // What is left of the last one was 2^53 - 1 ms.
    const times = [null, 1, 2 ** 53, 2 ** 53 - 1 + 1_795_000_000_000]
    const keys = times.map((expiresAtMs, i): BackupKey => {
      return { database: 0, name: Buffer.of(i), expiresAtMs, payload: Buffer.from('x'), again: 0 }
    })
    const writer = await BackupWriter.open(path, 'all', 'old', 'a test', null)
    await writer.append(keys)
    await writer.close()
    const reader = await BackupReader.open(path, new AbortController().signal)
    const found: BackupRecord[] = []
    for await (const record of reader.keys()) found.push(record)
    await reader.close()
    expect(found).toMatchObject(keys)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})
