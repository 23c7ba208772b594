/** Packages that come without types, as far as the tests use them. */
declare module 'redlock' {
  export interface Lock {
    readonly value: string
    unlock(): Promise<void>
    extend(ttlMs: number): Promise<Lock>
  }
  export default class Redlock {
    constructor(clients: readonly unknown[], options?: { retryCount?: number; retryDelay?: number })
    lock(resource: string | readonly string[], ttlMs: number): Promise<Lock>
  }
}

declare module 'express-session' {
  export type SessionData = Record<string, unknown> & { cookie: { originalMaxAge: number | null } }
  export class Store {}
}
