import { findKeys, KeyPositions, rewriteKeys } from '../../command/keys.ts'
import type { CommandSpec } from '../../command/spec.ts'
import type { CommandView } from '../../resp/command-view.ts'
import type { Route } from '../../routing/route.ts'
import type { RouteTable } from '../../routing/route-table.ts'

/** What a command under the application's names has to look like on the shadow. */
export type ShadowForm =
  /** It names no key. */
  | { readonly kind: 'keyless' }
  /** As it is. */
  | { readonly kind: 'same'; readonly route: Route }
  | { readonly kind: 'renamed'; readonly route: Route; readonly bytes: Buffer }
  /** None of its keys is mirrored. */
  | { readonly kind: 'unmirrored' }
  /** Its keys have several shadows: no one command can do it. */
  | { readonly kind: 'mixed' }

const positions = new KeyPositions()

export function shadowForm(routes: RouteTable, spec: CommandSpec, view: CommandView): ShadowForm {
  findKeys(spec, view, positions)
  if (positions.count === 0) return KEYLESS
  let first: Route | null = null
  let renames = false
  let mixed = false
  let mirrored = 0
  for (let i = 0; i < positions.count; i++) {
    const arg = positions.index[i]!
    const rule = routes.find(view.buf, view.start[arg]!, view.end[arg]!)
    if (rule.shadow !== null) renames = true
    if (rule.route.shadow !== null) mirrored++
    if (first === null) first = rule.route
    else if (rule.route.shadow?.store !== first.shadow?.store) mixed = true
  }
  if (mirrored === 0) return UNMIRRORED
  if (mixed) return MIXED
  if (!renames) return { kind: 'same', route: first! }
  const bytes = rewriteKeys(view, positions, (buf, from, to) => {
    const rename = routes.find(buf, from, to).shadow
    return rename === null ? null : rename.apply(buf, from, to)
  })
  return { kind: 'renamed', route: first!, bytes }
}

const KEYLESS: ShadowForm = { kind: 'keyless' }
const UNMIRRORED: ShadowForm = { kind: 'unmirrored' }
const MIXED: ShadowForm = { kind: 'mixed' }
