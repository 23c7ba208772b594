import type { ConfigDocument } from './document.ts'
import type { SecretContext } from './secret.ts'

/** What the parts of the file are resolved with. */
export interface ResolveContext extends SecretContext {
  readonly document: ConfigDocument
}
