import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { ENDPOINTS } from '../../src/admin/endpoints.ts'
import { findProgram } from '../../src/base/find-program.ts'
import type { Config } from '../../src/config/config.ts'
import { parseConfig } from '../../src/config/file/load.ts'
import { ROOT } from '../docs/markdown.ts'

const deploy = (file: string) => join(ROOT, 'deploy', file)
const read = (file: string) => readFileSync(deploy(file), 'utf8')

/** Checks a configuration whose secrets are mounted where it runs. */
function checked(text: string): Config {
  const here = text.replaceAll(/\{ file: [^}]+\}/g, '{ env: SECRET }')
  return parseConfig(here, {
    path: 'understudy.yaml',
    env: { SECRET: 'x'.repeat(32), UNDERSTUDY_ADMIN_TOKEN: 'a-token' },
  }).config
}

interface Service {
  image?: string
  build?: string
  ports?: string[]
  volumes?: string[]
  secrets?: string[]
  depends_on?: string[] | Record<string, unknown>
}
interface Compose {
  services: Record<string, Service>
  volumes: Record<string, unknown>
  secrets: Record<string, { file: string }>
}

describe.each([
  ['compose/compose.yaml', 'compose/config/understudy.yaml', 'mirror'],
  ['compose/production.yaml', 'compose/config-production/understudy.yaml', 'passthrough'],
])('%s', (file, configuration, phase) => {
  const compose = parse(read(file), { merge: true }) as Compose
  const services = Object.entries(compose.services)

  test('has a configuration that is valid, and reaches only stores that it names or that are elsewhere', () => {
    const config = checked(read(configuration))
    expect(config.routes.map((route) => route.phase)).toEqual([phase])
    const hosts = Object.values(config.stores).flatMap(({ endpoints }) =>
      endpoints.map((endpoint) => (endpoint.kind === 'tcp' ? endpoint.host : endpoint.path)),
    )
    expect(hosts.filter((host) => !(host in compose.services) && !host.includes('.'))).toEqual([])
    expect(config.admin?.token).not.toBeNull()
  })

  test('mounts what exists, names volumes, secrets and services that it has', () => {
    for (const [name, { volumes = [], secrets = [], depends_on = [], image, build }] of services) {
      expect({ name, hasImage: image !== undefined || build !== undefined }).toEqual({ name, hasImage: true })
      for (const [source = ''] of volumes.map((volume) => volume.split(':'))) {
        const exists = source.startsWith('.')
          ? existsSync(join(dirname(deploy(file)), source))
          : source in compose.volumes
        expect({ name, source, exists }).toEqual({ name, source, exists: true })
      }
      expect(secrets.filter((secret) => !(secret in compose.secrets))).toEqual([])
      const needed = Array.isArray(depends_on) ? depends_on : Object.keys(depends_on)
      expect(needed.filter((other) => !(other in compose.services))).toEqual([])
    }
  })

  test('opens its ports to this machine only', () => {
    const ports = services.flatMap(([, { ports: open = [] }]) => open)
    expect(ports.length).toBeGreaterThan(1)
    expect(ports.filter((port) => !port.startsWith('127.0.0.1:'))).toEqual([])
  })

  test('reads every secret that its configuration names', () => {
    const named = [...read(configuration).matchAll(/\/run\/secrets\/([\w-]+)/g)].map((match) => match[1]!)
    expect(compose.services['understudy']!.secrets).toEqual(expect.arrayContaining(named))
  })
})

describe('the Kubernetes example', () => {
  const documents = parseAllDocuments(read('kubernetes/sidecar.yaml')).map((document) => document.toJS())
  const byKind = (kind: string) => documents.find((document) => document.kind === kind)
  const pod = byKind('StatefulSet').spec.template.spec
  const sidecar = pod.initContainers[0]

  test('has a configuration that is valid, with a token and its state on the volume', () => {
    const config = checked(byKind('ConfigMap').data['understudy.yaml'])
    expect(config.admin?.token).toBe('a-token')
    expect(sidecar.volumeMounts.map((mount: { mountPath: string }) => mount.mountPath)).toContain(config.stateDir)
    const application = pod.containers[0].env.find((entry: { name: string }) => entry.name === 'REDIS_URL')
    expect(config.listen.map(({ url }) => url)).toContain(application.value)
  })

  test('mounts the ConfigMap as a directory, so that a change arrives, and only volumes that there are', () => {
    const volumes = [
      ...pod.volumes.map((volume: { name: string }) => volume.name),
      ...byKind('StatefulSet').spec.volumeClaimTemplates.map(
        (claim: { metadata: { name: string } }) => claim.metadata.name,
      ),
    ]
    for (const mount of sidecar.volumeMounts) {
      expect(volumes).toContain(mount.name)
      expect(mount).not.toHaveProperty('subPath')
    }
  })

  test('probes endpoints that exist and need no token, at the port of admin', () => {
    for (const probe of [sidecar.startupProbe, sidecar.livenessProbe, sidecar.readinessProbe]) {
      const endpoint = ENDPOINTS.find(({ path }) => path === probe.httpGet.path)
      expect(endpoint?.open).toBe(true)
      expect(sidecar.ports.map((port: { name: string }) => port.name)).toContain(probe.httpGet.port)
    }
    expect(sidecar.ports[0].containerPort).toBe(checked(byKind('ConfigMap').data['understudy.yaml']).admin?.port)
    expect(sidecar.livenessProbe.httpGet.path).toBe('/healthz')
  })

  test('is a sidecar: it starts before the application, and outlives it', () => {
    expect(sidecar.restartPolicy).toBe('Always')
  })
})

describe('the systemd unit', () => {
  const unit = read('systemd/understudy.service')
  const systemd = findProgram('systemd-analyze')

  test('runs a subcommand that exists, reloads by the signal that reloads, and gives it time to stop', () => {
    expect(unit).toMatch(/^ExecStart=\S+ serve --config \/etc\/understudy\/understudy\.yaml$/m)
    expect(unit).toMatch(/^ExecReload=\/bin\/kill -HUP \$MAINPID$/m)
    expect(Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)![1])).toBeGreaterThan(10)
  })

  test.skipIf(systemd === null)('is accepted by systemd-analyze (package systemd)', () => {
    const directory = mkdtempSync(join(tmpdir(), 'understudy-unit-'))
    try {
      // It looks for the program, which is not installed here.
      const file = join(directory, 'understudy.service')
      writeFileSync(file, unit.replace(/^ExecStart=\S+/m, 'ExecStart=/bin/true'))
      const { status, stdout, stderr } = spawnSync(systemd!, ['verify', '--man=no', file], { encoding: 'utf8' })
      const about = `${stdout}${stderr}`.split('\n').filter((line) => line.includes('understudy.service'))
      expect({ status, about }).toEqual({ status: 0, about: [] })
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  })
})
