/**
 * Writes what the configuration schema says, for people and for editors:
 *
 *     node scripts/generate-config-reference.ts
 *
 *     docs/reference/configuration.md       every key with its meaning, default and form
 *     config/understudy.schema.json         JSON Schema: completion and checks while typing
 *
 * A test fails when a file is not what this program writes.
 */
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { ConfigFile } from '../src/config/file/schema.ts'
import { configurationPage } from './configuration-page.ts'

/** Absolute path of each file -> what must stand in it. */
export function configReferenceFiles(): Record<string, string> {
  const schema = z.toJSONSchema(ConfigFile, {
    io: 'input',
    target: 'draft-7',
    override: ({ jsonSchema }) => {
      // Every whole number in JavaScript has this bound; it says nothing about the file.
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum
    },
  })
  const path = (name: string): string => fileURLToPath(new URL(`../${name}`, import.meta.url))
  return {
    [path('docs/reference/configuration.md')]: configurationPage(schema),
    [path('config/understudy.schema.json')]:
      `${JSON.stringify({ title: 'Understudy configuration', ...schema }, null, 2)}\n`,
  }
}

if (import.meta.main) {
  for (const [path, text] of Object.entries(configReferenceFiles())) writeFileSync(path, text)
}
