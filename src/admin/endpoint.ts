import type { z } from 'zod'
import type { Control } from './control.ts'

/** What a handler is given: `query` and `body` have passed the endpoint's schema. */
interface EndpointRequest {
  readonly params: Readonly<Record<string, string>>
  readonly query: unknown
  readonly body: unknown
}

export type Answer =
  | { readonly kind: 'json'; readonly status?: number; readonly body: unknown }
  | { readonly kind: 'text'; readonly contentType: string; readonly body: string }
  | { readonly kind: 'page'; readonly name: string }
  /** `token` null: log out. */
  | { readonly kind: 'session'; readonly token: string | null }
  | { readonly kind: 'events' }

export interface Endpoint {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly path: string
  /** True: needs no token. */
  readonly open?: boolean
  /** One sentence for the reference. */
  readonly summary: string
  /** What a success gives, for the reference. */
  readonly gives: string
  readonly query?: z.ZodObject
  readonly body?: z.ZodObject
  handle(control: Control, request: EndpointRequest): Promise<Answer>
}
