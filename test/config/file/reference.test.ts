import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { configReferenceFiles } from '../../../scripts/generate-config-reference.ts'
import { ConfigFile } from '../../../src/config/file/schema.ts'

const files = configReferenceFiles()

describe('what is generated from the configuration schema', () => {
  it.each(Object.entries(files).map(([path, text]) => [basename(path), path, text]))(
    '%s is current; else run node scripts/generate-config-reference.ts',
    (_, path, text) => {
      expect(readFileSync(path, 'utf8')).toBe(text)
    },
  )

  it('explains every key of the file', () => {
    const page = Object.entries(files).find(([path]) => path.endsWith('.md'))![1]
    const undocumented: string[] = []
    const walk = (schema: unknown, path: string): void => {
      if (typeof schema !== 'object' || schema === null) return
      const { properties = {}, anyOf = [], items, additionalProperties } = schema as z.core.JSONSchema.BaseSchema
      for (const [key, property] of Object.entries(properties)) {
        const described = typeof property === 'object' && property.description !== undefined
        // The forms of a secret are explained once, under "Values".
        const isSecretForm = key === 'env' || key === 'file'
        if (!described || !(isSecretForm || page.includes(`| \`${key}\` |`))) undocumented.push(`${path}.${key}`)
        walk(property, `${path}.${key}`)
      }
      for (const inner of [...anyOf, items, additionalProperties]) walk(inner, path)
    }
    walk(z.toJSONSchema(ConfigFile, { io: 'input' }), '')
    expect(undocumented).toEqual([])
  })
})
