import { randomBytes } from 'node:crypto'

const PREFIX = 'understudy-'

/** What a process calls the connections of its data path. Those of the main thread have words behind the prefix, none of which reads like this. */
export function newRunName(): string {
  return PREFIX + randomBytes(6).toString('hex')
}

/** A connection of that name, at a store, is one of the main thread's, and carries no client's commands. */
export function isOfMainThread(name: string): boolean {
  return name.startsWith(PREFIX) && !/^[0-9a-f]{12}$/.test(name.slice(PREFIX.length))
}
