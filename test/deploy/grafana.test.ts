import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { GRAFANA_DASHBOARD, grafanaDashboard } from '../../scripts/generate-grafana.ts'
import { findProgram } from '../../src/base/find-program.ts'
import { METRICS } from '../../src/observability/metrics-catalogue.ts'
import { labelsNamed, metricsNamed, storedLabel } from './promql.ts'

interface Dashboard {
  panels: { title: string; type: string; gridPos: { x: number; y: number; w: number; h: number }; targets?: Target[] }[]
  annotations: { list: { expr: string }[] }
}
interface Target {
  expr: string
  legendFormat: string
}

const text = readFileSync(GRAFANA_DASHBOARD, 'utf8')
const dashboard = JSON.parse(text) as Dashboard
const queries = dashboard.panels.flatMap(({ title, targets = [] }) => targets.map((target) => [title, target] as const))
const promtool = findProgram('promtool')
const LABELS = new Map(METRICS.map((metric) => [metric.name, Object.keys(metric.labels).map(storedLabel)]))

test('the dashboard of Grafana is what scripts/generate-grafana.ts writes', () => {
  expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(grafanaDashboard())))
})

describe('the dashboard of Grafana', () => {
  test.each(queries)('%s asks only for metrics and labels that exist', (_title, { expr, legendFormat }) => {
    // The metrics of the process are prom-client's own.
    const names = metricsNamed(expr)
    expect(names.length + (expr.match(/\bprocess_\w+/g)?.length ?? 0)).toBeGreaterThan(0)
    expect(names.filter((name) => !LABELS.has(name))).toEqual([])
    const labels = new Set(['instance', 'le', ...names.flatMap((name) => LABELS.get(name)!)])
    const shown = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map((match) => match[1]!)
    expect([...labelsNamed(expr), ...shown].filter((label) => !labels.has(label))).toEqual([])
  })

  test.skipIf(promtool === null)('asks in PromQL that promtool understands (Debian package prometheus)', () => {
    const directory = mkdtempSync(join(tmpdir(), 'understudy-grafana-'))
    const expressions = [
      ...queries.map(([, { expr }]) => expr),
      ...dashboard.annotations.list.map(({ expr }) => expr),
    ].map((expr) => expr.replaceAll('$__rate_interval', '1m').replaceAll(/\$\w+/g, '.*'))
    try {
      const file = join(directory, 'rules.yaml')
      const rules = expressions.map((expr, i) => ({ record: `panel:${i}`, expr }))
      writeFileSync(file, stringify({ groups: [{ name: 'panels', rules }] }))
      const said = execFileSync(promtool!, ['check', 'rules', '--lint=none', file], { encoding: 'utf8' })
      expect(said).toContain(`${expressions.length} rules found`)
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  })

  test('has no two panels on one place', () => {
    const places = new Set<string>()
    for (const { gridPos, title } of dashboard.panels) {
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect({ title, taken: places.has(`${x},${y}`) }).toEqual({ title, taken: false })
          places.add(`${x},${y}`)
        }
      }
    }
  })
})
