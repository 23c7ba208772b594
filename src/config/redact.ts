import type { Config } from './config.ts'

/** What stands where a secret is. */
const HIDDEN = '***'

/** The configuration in force for people to read: a copy whose secrets are hidden. URLs carry no credentials in the first place. */
export function redactConfig(config: Config): Config {
  const hide = (secret: string | null): string | null => (secret === null ? null : HIDDEN)
  const stores = Object.entries(config.stores).map(([name, store]) => {
    const { sentinel } = store
    const hidden = sentinel === null ? null : { ...sentinel, password: hide(sentinel.password) }
    return [name, { ...store, password: hide(store.password), sentinel: hidden }]
  })
  const users = Object.entries(config.clients.users).map(([name, passwords]) => [name, passwords.map(() => HIDDEN)])
  return {
    ...config,
    clients: { ...config.clients, users: Object.fromEntries(users) },
    admin: config.admin === null ? null : { ...config.admin, token: hide(config.admin.token) },
    stores: Object.fromEntries(stores),
  }
}
