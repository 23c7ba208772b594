import { isAlikeAnywhere } from './queue-command.ts'
import { abortedBy, type TransactionParts } from './transaction-parts.ts'

/** A new table is in force, and the routes `changed` have another primary or other names in it: what has been queued goes on where its keys are now, or EXEC says that nothing came of it. */
export function moveTransaction(transaction: TransactionParts, changed: ReadonlySet<string>): void {
  if (isSettled(transaction)) return
  const { session, connection } = transaction
  const { stores } = session.path
  const { store } = connection
  const replaced = store !== null && !stores.includes(store)
  if (!replaced && !isOn(transaction, changed)) return
  // What was prepared for it is at the stores of before.
  if (transaction.tracking?.isBound)
    transaction.aborted ??= abortedBy('its keys have moved since CLIENT TRACKING was queued')
  // Nobody has watched there; and what was watched here may change unseen from now on.
  if (transaction.watching) transaction.broken = true
  moveToItsKeys(transaction)
}

/** Where its keys are by the table in force. */
function moveToItsKeys(transaction: TransactionParts): void {
  const { session, queue } = transaction
  const { routes, stores } = session.path
  const next = queue.replan()
  transaction.awaitsFunctions = next.awaitsFunctions
  if (next.refusal !== null) transaction.aborted ??= abortedBy(next.refusal)
  const [route = queue.commands.length > 0 ? routes.fallback : null] = next.routes
  // What was watched is not any more, and so ties it to no primary.
  if (queue.commands.every(({ spec }) => isAlikeAnywhere(spec))) transaction.losesPlace()
  transaction.route = route
  transaction.moveTo(route === null ? null : stores[route.primary.store]!)
}

/** EXEC of one that calls functions which were not known when it moved. False: they are not yet, and it waits as a call alone does. */
export function hasItsFunctions(transaction: TransactionParts): boolean {
  if (transaction.awaitsFunctions) moveToItsKeys(transaction)
  return !transaction.awaitsFunctions
}

/** A new table is in force, in which keys have gone between `routes` and stayed where they were. What is queued stays where it is; of what is watched the routes are not known any more, so that a later switch of them would pass it over: as if it had been written. */
export function rerouteTransaction(transaction: TransactionParts, routes: ReadonlySet<string>): void {
  if (isSettled(transaction) || !isOn(transaction, routes)) return
  if (transaction.watching) transaction.broken = true
  const [route = transaction.session.path.routes.fallback] = transaction.queue.replan().routes
  transaction.route = route
}

/** It stays as it is: it has no place yet, or its EXEC is under way and is followed to its end where it is. */
function isSettled({ connection, route, executing }: TransactionParts): boolean {
  return connection.shared !== null || route === null || executing
}

/** One of these routes is that of its first key, or of another of its keys. */
function isOn({ route, queue }: TransactionParts, names: ReadonlySet<string>): boolean {
  return (route !== null && names.has(route.name)) || [...queue.states].some(({ name }) => names.has(name))
}
