import type { Config, StoreConfig } from '../config/config.ts'
import { type Finding, findingsOf, type StoreLooks } from './findings.ts'
import { keyNeedsOf } from './key-needs.ts'
import { NEEDS_OF_ALL, NEEDS_OF_DATABASES, NEEDS_OF_ENDS } from './needs.ts'
import type { Trials } from './rights.ts'
import { stateDirProblem } from './state-dir.ts'
import { lookAtStore } from './store-look.ts'

export interface Preflight {
  readonly stores: StoreLooks
  readonly findings: readonly Finding[]
}

/** A store that never answers must not keep a check waiting, whatever its `timeout`. */
const MAX_MS = 10_000

/** Asks every store of a configuration what would otherwise show when it is served, or in the middle of the migration. Changes nothing. Never rejects. */
export async function preflight(config: Config): Promise<Preflight> {
  const looks = await Promise.all(
    Object.values(config.stores).map((store) => lookAtStore(bounded(store), trialsAt(config, store))),
  )
  const stores = Object.fromEntries(looks.map((look) => [look.name, look]))
  const problem = stateDirProblem(config.stateDir)
  const own: Finding[] = problem === null ? [] : [{ level: 'error', message: problem }]
  return { stores, findings: [...own, ...findingsOf(config, stores)] }
}

function trialsAt(config: Config, { name, kind }: StoreConfig): Trials {
  const isEnd = config.routes.some(
    ({ source, target }) => target !== null && (source.store === name || target.store === name),
  )
  const ofEnds = isEnd ? [...(kind === 'cluster' ? [] : NEEDS_OF_DATABASES), ...NEEDS_OF_ENDS] : []
  return { needs: [...NEEDS_OF_ALL, ...ofEnds], keys: keyNeedsOf(config, name) }
}

function bounded(store: StoreConfig): StoreConfig {
  const limit = (ms: number) => (ms === 0 ? MAX_MS : Math.min(ms, MAX_MS))
  return { ...store, timeoutMs: limit(store.timeoutMs), connectTimeoutMs: limit(store.connectTimeoutMs) }
}
