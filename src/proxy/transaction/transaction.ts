import { arityFits, wrongArity } from '../../command/arity.ts'
import type { CommandSpec } from '../../command/spec.ts'
import { MINUS } from '../../resp/bytes.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { FRAME } from '../../resp/encode.ts'
import { planCommand, renameForPrimary } from '../../routing/plan.ts'
import type { Route } from '../../routing/route.ts'
import type { StoreUser } from '../../upstream/connection/handshake.ts'
import type { InFlight, Loss, ReplyOwner } from '../../upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { Store } from '../../upstream/store.ts'
import { showToMonitors } from '../clients/monitor-feed.ts'
import { noteScript } from '../scripts/script-calls.ts'
import { endInDoubt } from '../session/end-in-doubt.ts'
import { ownMessagesOf, sendPublishing } from '../session/own-messages.ts'
import { leavePin, type Pin, restrictingAround } from '../session/pin.ts'
import { execDidNothing } from './exec-reply.ts'
import { hasItsFunctions, moveTransaction, rerouteTransaction } from './move-transaction.ts'
import { queueCommand } from './queue-command.ts'
import { settleExec } from './settle-exec.ts'
import { ABORTED_BY_ERRORS, frameOf, TransactionParts } from './transaction-parts.ts'
import { TransactionScripts } from './transaction-scripts.ts'
import { WatchedKeys } from './watched-keys.ts'
import { whileWatching } from './while-watching.ts'

/**
 * One transaction of a client, from its WATCH or MULTI to EXEC's answer. See `startTransaction` for its two ways.
 *
 *   WATCH ─▶ MULTI ─▶ queueCommand ... ─┬─ EXEC ─▶ settleExec
 *                                       └─ DISCARD, UNWATCH, the client is gone, the store is lost
 *                     moveTransaction     another table is in force meanwhile
 */
export class Transaction extends TransactionParts implements Pin, ReplyOwner {
  readonly kind = 'transaction'
  outer: Pin | null = null
  /** Keys under WATCH with their databases, for CLIENT LIST. */
  readonly #watched = new WatchedKeys()
  /** EXEC will come to a CLIENT REPLY. */
  #changesReplyMode = false
  #gone = false

  /** Nothing has come of it: its first command was refused. */
  get idle(): boolean {
    return !this.watching && !this.inMulti
  }

  get client(): object {
    return this.session
  }

  get borrowed(): readonly [Store, Pipeline] | null {
    const { store, dedicated } = this.connection
    return store === null || dedicated === null ? null : [store, dedicated]
  }

  get queuesOn(): Pipeline | null {
    return this.executing ? null : this.connection.queuing
  }

  get queuedCommands(): number {
    return this.inMulti ? (this.abortedAt ?? this.queue.commands.length) : -1
  }

  get queuedBytes(): number {
    return this.queue.bytes
  }

  get watchedKeys(): number {
    return this.#watched.count
  }

  get queuesWrites(): boolean {
    return this.inMulti && this.queue.writes
  }

  get flag(): string {
    return this.inMulti ? 'x' : 'N'
  }

  dispatch(view: CommandView, spec: CommandSpec | null): boolean {
    const { session } = this
    const subscriber = session.protocol === 2 && !this.inMulti ? restrictingAround(this) : null
    if (subscriber !== null) return subscriber.dispatch(view, spec)
    const name = spec === null || !arityFits(spec, view.argc) ? null : spec.name
    switch (name) {
      case 'MULTI':
        if (this.inMulti) return this.#refuseNested('MULTI', 'ERR MULTI calls can not be nested')
        this.multi = frameOf(view)
        if (this.connection.shared !== null)
          this.push(this.connection.shared, session, this.multi, session.order.assign())
        else session.answer(FRAME.OK)
        return true
      case 'WATCH':
        if (this.inMulti) return this.#refuseNested('WATCH', 'ERR WATCH inside MULTI is not allowed')
        return this.#watch(view, spec!)
      case 'CLIENT REPLY':
        if (!this.inMulti) break
        if (session.path.server.valkey >= 9.1) return this.#refuseNested('CLIENT|REPLY', '')
        this.#changesReplyMode = true
        break
      case 'UNWATCH':
        if (this.inMulti) break
        return this.#leave(FRAME.OK)
      case 'DISCARD':
        if (this.inMulti) return this.#leave(FRAME.OK)
        if (session.path.monitors.size > 0) showToMonitors(session, view, spec!)
        return this.refuse('ERR DISCARD without MULTI', false)
      case 'EXEC':
        if (!this.inMulti) return this.refuse('ERR EXEC without MULTI', false)
        return this.#exec(frameOf(view))
      case 'QUIT':
      case 'RESET':
        if (session.order.owed > 0) return session.waitFor('replies')
        this.#endBeside()
        // One that is the client's own goes with its others, or with the client.
        if (!this.connection.isOwn) this.abandon()
        this.#gone = true
        leavePin(session, this)
        return session.dispatch(view)
    }
    // The one wrong command that ends the transaction at once, and what is watched without one.
    if (spec?.name === 'EXEC')
      return this.#leaveWithError(`EXECABORT Transaction discarded because of: ${wrongArity(spec).slice(4)}`)
    if (this.inMulti) {
      const isTaken = queueCommand(this, view, spec)
      if (isTaken && spec !== null && spec.firstKey === 0) this.#noteScript(spec, view)
      return isTaken
    }
    return sendPublishing(session, spec, () => whileWatching(session, this.connection, view, spec))
  }

  #noteScript(spec: CommandSpec, view: CommandView): void {
    const flushes = spec.name === 'SCRIPT FLUSH'
    const script = flushes ? null : noteScript(this.session.path, spec, view)
    if (script === null && !flushes) return
    this.scripts ??= new TransactionScripts(this.session)
    if (script === null) this.scripts.flush()
    else this.scripts.add(script)
  }

  /** Redis goes on; Valkey gives the transaction up. */
  #refuseNested(name: string, redisWords: string): boolean {
    const { valkey } = this.session.path.server
    if (valkey < 8) return this.refuse(redisWords, false)
    const command = valkey < 9 ? 'Command' : `Command '${name.toLowerCase()}'`
    return this.refuse(`ERR ${command} not allowed inside a transaction`, true)
  }

  #watch(view: CommandView, spec: CommandSpec): boolean {
    const { session } = this
    const { plan } = session.path
    planCommand(session.path.routes, spec, view, plan)
    if (session.isHeld(view, spec)) return session.waitFor('hold')
    if (plan.refusal !== null) return this.refuse(plan.refusal, false)
    this.takePlace(plan.route)
    const refusal = this.bind(plan.route)
    if (refusal !== null) return this.refuse(refusal, false)
    const bytes = plan.renames ? renameForPrimary(session.path.routes, view, plan) : frameOf(view)
    this.watching = true
    this.#watched.add(session.database, view)
    this.queue.touches(plan, true)
    session.own?.to(this.connection.store!)
    this.push(this.open(), session, bytes, session.order.assign())
    return true
  }

  #exec(frame: Buffer): boolean {
    const { session } = this
    const { path } = session
    if (this.connection.shared === null) {
      if (this.aborted === null && !hasItsFunctions(this)) return session.waitFor('room')
      if (this.isHeld || this.queue.isHeldBack) return session.waitFor('hold')
      if (this.leaving > 0) return session.waitFor('answers')
      if (this.aborted !== null) return this.#leaveWithError(this.aborted)
      // As a server puts it: nil says that another try may do better.
      if (this.broken && this.abortedAt !== null) return this.#leaveWithError(ABORTED_BY_ERRORS)
      if (this.broken) return this.#leave(session.protocol === 3 ? FRAME.NULL : FRAME.NIL_ARRAY)
      if (this.queue.commands.length === 0 && !this.watching) return this.#leave(FRAME.EMPTY_ARRAY)
      // It is about the replies behind it: those that are owed from before have to be out.
      if (this.#changesReplyMode && session.order.owed > 0) return session.waitFor('replies')
      if (this.queue.isToBeTold) return session.waitFor('room')
      if (this.scripts?.areAt(this) === false) return session.waitFor('room')
      if (this.queue.pauses && !path.storePause.mayPause(session, this.connection.store!))
        return session.waitFor('room')
      if (this.queue.asksForSubscribers && path.pendingSubscriptions.holdsBack(session))
        return session.waitFor('answers')
    }
    if (this.subscriptionChanges !== null && !this.subscriptionChanges.areReady()) return false
    const route = this.route ?? path.routes.fallback
    this.route = route
    const pipeline = this.open()
    this.queue.leaves(route, pipeline.lane)
    if (this.queue.publishes && this.subscriptionChanges === null) ownMessagesOf(session)?.begin()
    this.push(pipeline, this, frame, session.order.assign())
    // What comes next may go to another connection, and must not overtake this.
    if (this.connection.shared === null) {
      this.executing = true
      session.waiting = 'pin'
    } else {
      this.#gone = true
      leavePin(session, this)
    }
    return true
  }

  // --- EXEC's reply

  settle(slot: InFlight, buf: Buffer, start: number, end: number): void {
    this.#counted(slot, buf[start] === MINUS ? 'error' : 'ok')
    this.scripts?.answered(buf, start, end)
    const held = settleExec(this, slot, buf, start, end)
    const didNothing = execDidNothing(buf, start, end)
    if (buf[start] !== MINUS && !didNothing) this.scripts?.executed()
    const isClean = buf[start] !== MINUS || didNothing
    // Messages of what it has subscribed to come behind the answer that confirms it.
    if (held === null || this.subscriptionChanges === null) return this.#done(isClean)
    this.connection.finished(isClean)
    held.onOut = () => this.#told()
  }

  lost(slot: InFlight, loss: Loss): void {
    const { session } = this
    this.#counted(slot, loss.refused ? 'error' : 'lost')
    this.queue.returned(loss.mayHaveRun)
    if (loss.mayHaveRun) {
      this.queue.lose()
      this.scripts?.executed()
    }
    if (!loss.refused && this.queue.changesSession) endInDoubt(session, slot.seq, loss.text)
    else if (!slot.timedOut) session.replyError(slot.seq, loss.text)
    this.#done(false)
  }

  timedOut(slot: InFlight): void {
    this.session.timedOut(slot)
  }

  // --- its place

  moved(changed: ReadonlySet<string>): void {
    moveTransaction(this, changed)
  }

  rerouted(routes: ReadonlySet<string>): void {
    rerouteTransaction(this, routes)
  }

  changeProtocol(protocol: 2 | 3): void {
    this.connection.changeProtocol(protocol)
  }

  changeUser(user: StoreUser | null, password: string): void {
    this.connection.changeUser(user, password)
  }

  abandon(): void {
    if (this.#gone) return
    if (this.connection.shared !== null) {
      this.#gone = true
      if (this.inMulti) this.connection.takeBack(this.connection.shared)
      return
    }
    // Its replies are wanted still; it is told again behind the last.
    if (!this.session.closed && !this.executing && this.session.order.owed > 0) return
    this.subscriptionChanges?.abandon()
    if (!this.executing) this.#endBeside()
    // An EXEC under way is still mirrored when its reply comes.
    if (this.executing) return
    this.#gone = true
    this.connection.dropped()
  }

  /** Ends it without EXEC. */
  #leave(answer: Buffer): boolean {
    const { session } = this
    if (this.connection.shared !== null)
      return this.refuse('ERR a transaction that ends in EXEC cannot be discarded', false)
    if (session.order.owed > 0) return session.waitFor('replies')
    session.own?.carryCaching([])
    this.connection.cleaned()
    this.#gone = true
    leavePin(session, this)
    session.answer(answer)
    this.#endBeside()
    this.subscriptionChanges?.end()
    return true
  }

  #leaveWithError(text: string): boolean {
    return this.#leave(Buffer.from(`-${text}\r\n`))
  }

  /** EXEC has been answered, or never will be. `clean`: the store is done with the transaction. */
  #done(clean: boolean): void {
    if (this.connection.shared !== null) return
    this.connection.finished(clean)
    this.#told()
  }

  #told(): void {
    const { session } = this
    this.#gone = true
    leavePin(session, this)
    this.#endBeside()
    this.subscriptionChanges?.end(this.queue.publishes)
    session.proceed()
  }

  #endBeside(): void {
    const { session } = this
    this.tracking?.end()
    if (this.queue.pauses) session.path.storePause.left(session)
    session.own?.leave()
  }

  #counted(slot: InFlight, outcome: 'ok' | 'error' | 'lost'): void {
    const { state } = slot.route as Route
    state.inFlight--
    if (outcome === 'ok') state.primaryOk++
    else if (outcome === 'error') state.primaryError++
    else state.primaryLost++
    state.primaryTimes.record((this.session.path.clock.nowMs - slot.queuedAtMs) / 1000)
  }
}
