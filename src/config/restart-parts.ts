import { isDeepStrictEqual } from 'node:util'
import type { Config, StoreConfig } from './config.ts'

const PARTS = ['admin', 'log', 'stateDir', 'intentLog'] as const

/** `dataDir` of each managed server as it was started, by the store. */
export type DataDirs = ReadonlyMap<string, string | null>

export function dataDirsOf({ stores }: Config): DataDirs {
  const managed = Object.values(stores).filter(({ kind }) => kind === 'managed')
  return new Map(managed.map(({ name, dataDir }) => [name, dataDir]))
}

/** Parts of the configuration that differ and take effect at the next start only. `dataDirs`: where managed servers are by now. */
export function partsThatNeedRestart(old: Config, next: Config, dataDirs: DataDirs): string[] {
  const moved = Object.values(next.stores).filter((store) => isElsewhere(store, dataDirs))
  return [
    ...PARTS.filter((part) => !isDeepStrictEqual(old[part], next[part])),
    ...moved.map(({ name }) => `stores.${name}.dataDir`),
  ]
}

/** What goes by a configuration that was taken up later than that of the start: all but the parts that a restart is needed for. */
export function inForceSince(start: Config, config: Config, dataDirs: DataDirs): Config {
  const { admin, log, stateDir, intentLog } = start
  const stores = Object.entries(config.stores).map(([name, store]): [string, StoreConfig] => [
    name,
    isElsewhere(store, dataDirs) ? { ...store, dataDir: dataDirs.get(name) ?? null } : store,
  ])
  return { ...config, stores: Object.fromEntries(stores), admin, log, stateDir, intentLog }
}

/** A managed server that runs keeps its directory. */
function isElsewhere({ name, kind, dataDir }: StoreConfig, dataDirs: DataDirs): boolean {
  return kind === 'managed' && dataDirs.has(name) && dataDirs.get(name) !== dataDir
}
