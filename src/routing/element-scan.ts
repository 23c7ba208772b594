import { hashBytes } from '../base/hash.ts'
import { findKeys } from '../command/keys.ts'
import type { CommandSpec } from '../command/spec.ts'
import type { CommandView } from '../resp/command-view.ts'
import { encodeCommand } from '../resp/encode.ts'
import { type CursorPlace, placeOf } from './element-cursor.ts'
import type { Plan } from './plan.ts'
import type { KeyRule } from './route.ts'
import type { RouteTable } from './route-table.ts'

/** HSCAN, SSCAN and ZSCAN: `name key cursor ...`. Their handling is `elements`. */
const KEY = 1
const CURSOR = 2

/** Plans one as a command to the primary. A page whose cursor is not the primary's is its first one there, unless the caller asks the other end (`plan.elsewhere`). */
export function planElementScan(table: RouteTable, spec: CommandSpec, view: CommandView, plan: Plan): void {
  findKeys(spec, view, plan.positions)
  plan.keyed = true
  if (view.argc <= KEY) return
  const rule = ruleOf(table, view)
  const { cursorMarks } = rule.route
  plan.route = rule.route
  plan.keyHash = hashBytes(view.buf, view.start[KEY]!, view.end[KEY]!)
  plan.renames = rule.primary !== null || cursorMarks.other !== 0
  if (view.argc <= CURSOR || !mayBeElsewhere(rule, view)) return
  const { at, cursor } = cursorOf(rule, view)
  if (at === 'other') plan.elsewhere = cursor
  plan.renames = true
}

/** The planned page as the primary gets it: `renameForPrimary` of these. */
export function pageForPrimary(table: RouteTable, view: CommandView): Buffer {
  const rule = ruleOf(table, view)
  if (view.argc <= CURSOR || !mayBeElsewhere(rule, view)) return frameOf(rule.primary, view, null)
  const { at, cursor } = cursorOf(rule, view)
  return frameOf(rule.primary, view, at === 'primary' ? cursor : '0')
}

/** The page as the shadow gets it, by a cursor of its own. */
export function pageForShadow(table: RouteTable, view: CommandView, cursor: string): Buffer {
  return frameOf(ruleOf(table, view).shadow, view, cursor)
}

/** Most scans have one end, and short cursors. */
function mayBeElsewhere({ route }: KeyRule, { start, end }: CommandView): boolean {
  return route.cursorMarks.other !== 0 || end[CURSOR]! - start[CURSOR]! >= MARKED_DIGITS
}

function ruleOf(table: RouteTable, { buf, start, end }: CommandView): KeyRule {
  return table.find(buf, start[KEY]!, end[KEY]!)
}

function cursorOf({ route }: KeyRule, { buf, start, end }: CommandView): CursorPlace {
  return placeOf(route.cursorMarks, buf.toString('latin1', start[CURSOR]!, end[CURSOR]!))
}

/** `cursor` null: as it was sent. */
function frameOf(rename: KeyRule['primary'], { buf, start, end, argc }: CommandView, cursor: string | null): Buffer {
  const args: (string | Buffer)[] = []
  for (let i = 0; i < argc; i++) {
    const [from, to] = [start[i]!, end[i]!]
    if (i === KEY) args.push(rename?.apply(buf, from, to) ?? buf.subarray(from, to))
    else args.push(i === CURSOR && cursor !== null ? cursor : buf.subarray(from, to))
  }
  return encodeCommand(args)
}

/** Of a cursor with a mark. */
const MARKED_DIGITS = 16
