/** Lines of INFO server that stay what they are for as long as the process lives. */
const LASTING = /^(run_id|process_id|tcp_port|executable|config_file|redis_version):/

/**
 * What tells one server process from every other, in a reply to `INFO server`; null: it does not tell. Not the `run_id` alone: what stands in front of a server, or only speaks as one, may give the same one for all.
 */
export function serverMark(info: string): string | null {
  if (!/^run_id:0*[1-9a-f]/m.test(info)) return null
  return info
    .split(/\r?\n/)
    .filter((line) => LASTING.test(line))
    .sort()
    .join('\n')
}
