/**
 * An end of a client's connection as Redis writes it: `127.0.0.1:5`, `[::1]:5`; of a unix socket its path and port 0. An IPv4 client of a listener on `::` is shown by its IPv4 address.
 * `host` is undefined when the client is gone already: `?:0`.
 */
export function clientAddress(host: string | undefined, port: number | undefined): string {
  const plain = (host ?? '?').replace(/^::ffff:(?=\d+\.)/, '')
  return plain.includes(':') && !plain.startsWith('/') ? `[${plain}]:${port ?? 0}` : `${plain}:${port ?? 0}`
}
