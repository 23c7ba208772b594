import type { DatabaseSync } from 'node:sqlite'
import type { Config, RouteConfig } from '../config/config.ts'
import type { Contents } from '../jobs/scan/empty-probe.ts'
import type { EndName } from '../jobs/stores/end-keys.ts'
import { rolesOf } from '../routing/route.ts'
import { inTransaction, mustTakeWrites } from '../state/database.ts'
import { momentOf } from '../state/moment.ts'
import type { KeyRegion } from './key-regions.ts'
import { areMirroredPlaces, mirroredPlaces, NOWHERE } from './mirrored-places.ts'
import { inheritedMirroring, type Mirroring } from './mirroring.ts'
import type { OwedWrites } from './owed-writes.ts'
import { isPrimaryInDoubt, settleFirst } from './verify-advice.ts'

/** What the newest backfill or verify of a route that was begun since (ms since the epoch) could not settle; null: nothing, or there was none. */
export type Leftovers = (route: string, sinceMs: number) => { kind: string; id: number; keys: number } | null

/** What an end of a route holds of its keys. */
export type Probe = (config: Config, route: string, end: EndName) => Promise<Contents>

/**
 * Whether the ends of a route hold everything, and nothing else. Mirroring carries writes over, not what was there before: a partial write (INCR, HSET, LPUSH) to a key that only the primary has leaves a part of it on the
 * other side. So
 *
 *   mirroring begins (passthrough, done, or another target before) ─▶ the shadow's end is incomplete, unless the primary holds no key of the route at that moment or after it
 *                                                                       and holds too much, if it held keys of the route before, or did not answer: what a mirroring that was broken off has left, say
 *   a backfill without failures ─▶ both are complete
 *   a complete verify without differences ─▶ both are complete, and neither holds too much
 *   a switch ─▶ nothing changes: what was complete is kept up
 *   a cleanup ─▶ the end that was cleaned is incomplete
 *   a restore into the shadow's end ─▶ that end may hold too much: what has been deleted since the backup was made
 *   a backfill or verify of before a cleanup or restore, resumed after it ─▶ nothing changes: what it had done by then is undone
 *   mirroring ends ─▶ nothing is known
 *   keys come from another route ─▶ what is known of them there goes with them, if it mirrored them between the same places; else mirroring of them begins
 *
 * A route is as complete as the least complete of its keys.
 *
 * Kept in `state.db`. What a change makes untrue is taken from the places it is about before the change is made, so that a process that ends in the middle of it has left nothing that the next one takes for true; the new rows are
 * written when it is in force, or owed until the disk takes them.
 */
export class Completeness {
  readonly #database: DatabaseSync
  readonly #owed: OwedWrites
  readonly #contentsOf: Probe
  readonly #leftovers: Leftovers
  /** Routes whose shadow held keys, or did not say, as `approaching` has found. */
  #held: ReadonlySet<string> = new Set()

  constructor(database: DatabaseSync, owed: OwedWrites, contentsOf: Probe, leftovers: Leftovers) {
    this.#leftovers = leftovers
    this.#database = database
    this.#owed = owed
    this.#contentsOf = contentsOf
    // The last run ended in the middle of a change.
    database.prepare('DELETE FROM route_mirroring WHERE ends = ?').run(NOWHERE)
  }

  /**
   * `config` is about to come in force: looks at the ends that it begins to mirror to, before the first write arrives there. `regions`: where the keys come from; null: nothing is in force yet, and what the last run
   * knew is compared. `inForce` or `calledOff` follows. Throws what the database throws while its disk takes no writes: nothing may change then.
   */
  async approaching(config: Config, regions: readonly KeyRegion[] | null = null): Promise<void> {
    this.#owed.settle()
    const mirrored = config.routes.filter((route) => rolesOf(route.phase).shadow !== null)
    const begun = mirrored.filter((route) => !this.#goesOn(config, route, regions))
    const held = await Promise.all(
      begun.map(async ({ name, phase }) => {
        const contents = await this.#contentsOf(config, name, rolesOf(phase).shadow!)
        return contents === 'some' || contents === 'unanswered' ? [name] : []
      }),
    )
    this.#held = new Set(held.flat())
    const stay = mirrored.filter((route) => !begun.includes(route)).map(({ name }) => name)
    inTransaction(this.#database, () => {
      for (const route of this.#routes()) if (!stay.includes(route)) this.#set(route, 'ends = ?', NOWHERE)
      mustTakeWrites(this.#database)
    })
  }

  /** What was approached is not in force after all: `config` still is. */
  calledOff(config: Config): void {
    this.#owed.write(() =>
      inTransaction(this.#database, () => {
        for (const route of config.routes) this.#identify(config, route)
      }),
    )
  }

  /** What was being mirrored is not known any more (the dirty keys' file is gone): neither is what the ends hold. False: nothing was. */
  forgetAll(): boolean {
    return this.#database.prepare('DELETE FROM route_mirroring').run().changes > 0
  }

  /** `config` is in force, or will be before any client's command. `regions`: as for `approaching`. Does not throw because the disk takes no writes. */
  async inForce(config: Config, nowMs: number, regions: readonly KeyRegion[] | null = null): Promise<void> {
    const mirrored = config.routes.filter((route) => rolesOf(route.phase).shadow !== null)
    const begun = mirrored.filter((route) => !this.#goesOn(config, route, regions))
    const atMs = momentOf(this.#database, nowMs)
    // Before the first of the rows that they are made of is replaced.
    const rows = mirrored.map((route): [RouteConfig, Mirroring] => [
      route,
      begun.includes(route)
        ? this.#beginning(route, atMs)
        : regions === null
          ? this.of(route.name)!
          : inheritedMirroring(route, regions, this)!,
    ])
    this.#owed.write(() =>
      inTransaction(this.#database, () => {
        this.#database.exec('DELETE FROM route_mirroring')
        for (const [route, mirroring] of rows) this.#write(config, route, mirroring)
      }),
    )
    await Promise.all(
      begun.map(async (route) => {
        if ((await this.#contentsOf(config, route.name, rolesOf(route.phase).primary)) !== 'none') return
        this.#owed.write(() => this.#set(route.name, 'incomplete = NULL'))
      }),
    )
  }

  /** null: it is not mirrored. */
  of(route: string): Mirroring | null {
    const row = this.#database.prepare('SELECT * FROM route_mirroring WHERE route = ?').get(route) as Row | undefined
    if (row === undefined) return null
    return {
      sinceMs: row.since,
      incomplete: row.incomplete as EndName | null,
      held: row.held as EndName | null,
      alteredMs: row.altered_at,
      backfilledMs: row.backfilled_at,
      verifiedMs: row.verified_at,
    }
  }

  /** Why the authority, or reads, must not go to that end now; null: they may. `causes`: of a verify that the route needs. Throws what the database throws while it has not taken what is known. */
  async lacking(
    config: Config,
    route: RouteConfig,
    end: EndName,
    causes: readonly string[] = [],
  ): Promise<string | null> {
    this.#owed.settle()
    const mirroring = this.of(route.name)
    const [here, there] =
      end === 'target' ? [route.target?.store, route.source.store] : [route.source.store, route.target?.store]
    if (mirroring === null) {
      const contents = await this.#contentsOf(config, route.name, rolesOf(route.phase).primary)
      return contents === 'none'
        ? null
        : `store '${here}' lacks what '${there}' holds: go through mirror and a backfill first`
    }
    const { primary } = rolesOf(route.phase)
    // What brings the primary's keys over is no advice where it may be the side that lacks some.
    const advice = (text: string): string =>
      isPrimaryInDoubt(primary, causes, mirroring.incomplete)
        ? settleFirst(route[primary]!.store)
        : `${this.#left(route, mirroring)}${text}`
    const holdsMore = () => `${tooMuch(here!, mirroring)}: ${advice(untilEqual(route, here!))}`
    if (mirroring.incomplete !== end) return mirroring.held === end ? holdsMore() : null
    const other: EndName = end === 'target' ? 'source' : 'target'
    // It could not be asked when mirroring began; empty now means empty then, or only what has been mirrored since.
    if (rolesOf(route.phase).primary === other && (await this.#contentsOf(config, route.name, other)) === 'none') {
      this.#set(route.name, 'incomplete = NULL')
      return mirroring.held === end ? holdsMore() : null
    }
    return `store '${here}' ${whyIncomplete(there!, mirroring)}: ${advice(`run 'understudy backfill ${route.name}', or a verify that finds no difference`)}`
  }

  /** A job that began at `startedMs` has brought everything over (`backfill`), or has found both ends equal (`verify`). */
  completed(route: RouteConfig, by: 'backfill' | 'verify', startedMs: number, nowMs: number): void {
    this.#owed.settle()
    const mirroring = this.of(route.name)
    if (mirroring === null || startedMs < Math.max(mirroring.sinceMs, mirroring.alteredMs ?? 0)) return
    const atMs = momentOf(this.#database, nowMs)
    this.#set(route.name, by === 'backfill' ? 'backfilled_at = ?' : 'verified_at = ?', atMs)
    // Of two that are equal neither lacks anything; a backfill brings nothing to the primary.
    if (by === 'verify') this.#set(route.name, 'held = NULL, incomplete = NULL')
    else if (mirroring.incomplete === rolesOf(route.phase).shadow) this.#set(route.name, 'incomplete = NULL')
  }

  /** Routes of whose source a job has changed keys (a cleanup, a restore), and no backfill, nor a verify that found no difference, has been begun since and ended. */
  alteredSources(): string[] {
    return this.#routes().filter((route) => {
      const { alteredMs, backfilledMs, verifiedMs } = this.of(route)!
      return alteredMs !== null && Math.max(backfilledMs ?? 0, verifiedMs ?? 0) < alteredMs
    })
  }

  /** Routes whose shadow, between the ends that they have in `config`, lacks nothing that the primary holds, and holds nothing of another time. */
  completeShadows(config: Config): string[] {
    const isComplete = (route: RouteConfig): boolean => {
      const { shadow } = rolesOf(route.phase)
      if (shadow === null || !this.#isKnown(config, route)) return false
      const { incomplete, held } = this.of(route.name)!
      return incomplete !== shadow && held !== shadow
    }
    return config.routes.filter(isComplete).map(({ name }) => name)
  }

  /** Mirrored routes whose primary, between the ends that they have in `config`, lacks nothing that the shadow held before mirroring began. */
  completePrimaries(config: Config): string[] {
    const isComplete = (route: RouteConfig): boolean => {
      const { primary, shadow } = rolesOf(route.phase)
      return shadow !== null && this.#isKnown(config, route) && this.of(route.name)!.incomplete !== primary
    }
    return config.routes.filter(isComplete).map(({ name }) => name)
  }

  /** Keys are deleted at that end from now on. */
  cleaned(route: string, end: EndName, nowMs: number): void {
    this.#owed.settle()
    this.#set(route, 'incomplete = ?, altered_at = ?', end, momentOf(this.#database, nowMs))
  }

  /** Keys of a backup are put back into that end, and nowhere else, from now on. */
  restored(route: RouteConfig, end: EndName, nowMs: number): void {
    this.#owed.settle()
    if (rolesOf(route.phase).shadow !== end) return
    this.#set(route.name, 'held = ?, altered_at = ?', end, momentOf(this.#database, nowMs))
  }

  #beginning({ name, phase }: RouteConfig, sinceMs: number): Mirroring {
    const { shadow } = rolesOf(phase)
    const nothing = { alteredMs: null, backfilledMs: null, verifiedMs: null }
    return { sinceMs, incomplete: shadow, held: this.#held.has(name) ? shadow : null, ...nothing }
  }

  #write(config: Config, route: RouteConfig, mirroring: Mirroring): void {
    const { sinceMs, incomplete, held, alteredMs, backfilledMs, verifiedMs } = mirroring
    this.#database
      .prepare(
        'INSERT INTO route_mirroring (route, ends, since, incomplete, held, altered_at, backfilled_at, verified_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
      )
      .run(route.name, mirroredPlaces(config, route), sinceMs, incomplete, held, alteredMs, backfilledMs, verifiedMs)
  }

  #identify(config: Config, route: RouteConfig): void {
    this.#set(route.name, 'ends = ?', mirroredPlaces(config, route))
  }

  /** Its mirroring is that of before. `regions`: as for `approaching`. */
  #goesOn(config: Config, route: RouteConfig, regions: readonly KeyRegion[] | null): boolean {
    return regions === null ? this.#isKnown(config, route) : inheritedMirroring(route, regions, this) !== null
  }

  /** Who has just done what is asked for has to know why it was not enough. */
  #left({ name }: RouteConfig, { sinceMs, alteredMs }: Mirroring): string {
    const left = this.#leftovers(name, Math.max(sinceMs, alteredMs ?? 0))
    if (left === null) return ''
    const keys = left.keys === 1 ? '1 key' : `${left.keys} keys`
    return `${left.kind} ${left.id} has left ${keys} ('understudy jobs keys ${left.id}' says why): mend that, then `
  }

  #isKnown(config: Config, route: RouteConfig): boolean {
    const row = this.#database.prepare('SELECT ends FROM route_mirroring WHERE route = ?').get(route.name)
    return row !== undefined && areMirroredPlaces(String(row['ends']), config, route)
  }

  /** That something is known of. */
  #routes(): string[] {
    return this.#database
      .prepare('SELECT route FROM route_mirroring')
      .all()
      .map((row) => String(row['route']))
  }

  #set(route: string, assignment: string, ...values: (string | number)[]): void {
    this.#database.prepare(`UPDATE route_mirroring SET ${assignment} WHERE route = ?`).run(...values, route)
  }
}

function whyIncomplete(there: string, { sinceMs, alteredMs }: Mirroring): string {
  const since = new Date(sinceMs).toISOString()
  return alteredMs === null
    ? `may lack what '${there}' held before mirroring began (${since})`
    : `may lack what '${there}' holds (what a cleanup has deleted, or what is from before mirroring began at ${since})`
}

function tooMuch(store: string, { sinceMs, alteredMs }: Mirroring): string {
  const since =
    alteredMs === null
      ? `held keys of this route before mirroring began, or did not answer then (${new Date(sinceMs).toISOString()})`
      : `holds keys of this route that mirroring has not brought there (a restore, or what was there before ${new Date(sinceMs).toISOString()})`
  return `store '${store}' ${since}, and some may be of another time`
}

function untilEqual({ name }: RouteConfig, store: string): string {
  return `run 'understudy verify ${name}', and 'understudy repair ${name} --delete-extra' for what only '${store}' has, until it finds no difference`
}

interface Row {
  readonly since: number
  readonly incomplete: string | null
  readonly held: string | null
  readonly altered_at: number | null
  readonly backfilled_at: number | null
  readonly verified_at: number | null
}
