import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { loadConfig, parseConfig } from '../../src/config/load.ts'

const deploy = (file: string) => fileURLToPath(new URL(`../../deploy/${file}`, import.meta.url))

test('the configuration of the compose example is valid', () => {
  const { config } = loadConfig(deploy('compose/config/understudy.yaml'), {})
  expect(config.routes.map(({ name, phase }) => `${name}: ${phase}`)).toEqual(['everything: mirror'])
})

test('the configuration in the Kubernetes example is valid', () => {
  const [configMap] = parseAllDocuments(readFileSync(deploy('kubernetes/sidecar.yaml'), 'utf8'))
  const text = String(configMap!.getIn(['data', 'understudy.yaml']))
  // The secret file is mounted in the pod only.
  const here = text.replace('{ file: /run/secrets/redis-new/password }', '{ env: PASSWORD }')
  expect(here).not.toBe(text)
  const env = { UNDERSTUDY_ADMIN_TOKEN: 'a-token-of-the-cluster', PASSWORD: 'x' }
  const { config } = parseConfig(here, { path: 'understudy.yaml', env })
  expect(config.admin?.token).toBe(env.UNDERSTUDY_ADMIN_TOKEN)
})
