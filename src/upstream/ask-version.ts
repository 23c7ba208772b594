import { encodeOwn } from '../resp/own-words.ts'
import type { InFlight } from './in-flight.ts'
import type { Pipeline } from './pipeline.ts'

const INFO_SERVER = encodeOwn(['INFO', 'server'])

/** `known`: told the version of the server at the other end, as INFO has it. Never, when it does not tell. */
export function askVersion(pipeline: Pipeline, known: (version: string) => void): void {
  const owner = {
    settle: (_slot: InFlight, buf: Buffer, start: number, end: number) => {
      const version = /^(?:redis_version|valkey_version):(\S+)/m.exec(buf.toString('latin1', start, end))?.[1]
      if (version !== undefined) known(version)
    },
    lost: () => {},
    timedOut: () => {},
  }
  pipeline.push(owner, INFO_SERVER, 0, INFO_SERVER.length)
}
