/**
 * Writes deploy/grafana/dashboards/understudy.json, the dashboard for Grafana:
 *
 *     node scripts/generate-grafana.ts
 *
 * A test fails when the file is not what this program writes, or names a metric that does not exist.
 */
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type Panel, ROWS, WHERE } from './grafana-panels.ts'

export const GRAFANA_DASHBOARD = fileURLToPath(new URL('../deploy/grafana/dashboards/understudy.json', import.meta.url))

const HEIGHT = 8

export function grafanaDashboard(): unknown {
  const panels: unknown[] = []
  let y = 0
  for (const { title, panels: ofRow } of ROWS) {
    panels.push({
      id: panels.length + 1,
      type: 'row',
      title,
      collapsed: false,
      gridPos: { x: 0, y, w: 24, h: 1 },
      panels: [],
    })
    y++
    let x = 0
    for (const panel of ofRow) {
      const width = panel.width ?? 12
      if (x + width > 24) {
        x = 0
        y += HEIGHT
      }
      panels.push({ id: panels.length + 1, gridPos: { x, y, w: width, h: HEIGHT }, ...panelOf(panel) })
      x += width
    }
    y += HEIGHT
  }
  return {
    uid: 'understudy',
    title: 'Understudy',
    description: 'A migration from one Redis to another: where it is, whether it is safe to go on, what is wrong.',
    tags: ['redis', 'understudy'],
    schemaVersion: 39,
    version: 1,
    editable: true,
    refresh: '10s',
    time: { from: 'now-1h', to: 'now' },
    timezone: '',
    annotations: {
      list: [
        {
          name: 'Switches',
          datasource: DATASOURCE,
          enable: true,
          iconColor: 'purple',
          expr: `changes(understudy_config_epoch${WHERE}[1m]) > 0`,
          titleFormat: 'configuration in force',
        },
      ],
    },
    templating: {
      list: [
        { name: 'datasource', label: 'Data source', type: 'datasource', query: 'prometheus', current: {}, hide: 0 },
        variable('instance', 'label_values(understudy_config_epoch, instance)'),
        variable('route', 'label_values(understudy_phase{instance=~"$instance"}, route)'),
      ],
    },
    panels,
  }
}

const DATASOURCE = { type: 'prometheus', uid: '${' + 'datasource}' }

function variable(name: string, query: string): unknown {
  return {
    name,
    type: 'query',
    datasource: DATASOURCE,
    query: { query, refId: name },
    refresh: 2,
    includeAll: true,
    multi: true,
    current: { text: 'All', value: '$__all' },
    sort: 1,
  }
}

function panelOf({ title, kind, unit, queries, about, thresholds, mappings }: Panel): object {
  return {
    type: kind,
    title,
    ...(about === undefined ? {} : { description: about }),
    datasource: DATASOURCE,
    targets: queries.map(([expr, legendFormat], i) => ({
      refId: String.fromCharCode(65 + i),
      datasource: DATASOURCE,
      expr,
      legendFormat,
      range: true,
    })),
    fieldConfig: {
      defaults: {
        unit,
        min: kind === 'timeseries' ? 0 : undefined,
        ...(thresholds === undefined
          ? {}
          : {
              color: { mode: 'thresholds' },
              thresholds: { mode: 'absolute', steps: thresholds.map(([value, color]) => ({ value, color })) },
            }),
        ...(mappings === undefined
          ? {}
          : {
              mappings: [
                {
                  type: 'value',
                  options: Object.fromEntries(Object.entries(mappings).map(([value, text]) => [value, { text }])),
                },
              ],
            }),
        ...(kind === 'timeseries' ? { custom: { drawStyle: 'line', fillOpacity: 8, showPoints: 'never' } } : {}),
      },
      overrides: [],
    },
    options:
      kind === 'stat'
        ? { reduceOptions: { calcs: ['lastNotNull'] }, colorMode: 'background', textMode: 'value_and_name' }
        : { legend: { displayMode: 'list', placement: 'bottom', showLegend: true }, tooltip: { mode: 'multi' } },
  }
}

if (import.meta.main) writeFileSync(GRAFANA_DASHBOARD, `${JSON.stringify(grafanaDashboard(), null, 2)}\n`)
