import { encodeOwn } from '../../resp/own-words.ts'
import { ask } from '../../upstream/pipeline/ask.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'

const PERSISTENCE = encodeOwn(['INFO', 'persistence'])
const KEYSPACE = encodeOwn(['INFO', 'keyspace'])

/** Whether the store holds no key. One that still loads its data does not show all of them yet. */
export function askEmpty(pipeline: Pipeline, answered: (empty: boolean) => void): void {
  let loads = false
  ask(pipeline, PERSISTENCE, (info) => {
    loads = info !== null && /^(async_)?loading:1/m.test(info)
  })
  ask(pipeline, KEYSPACE, (info) => answered(!loads && info?.includes('# Keyspace') === true && !/^db\d+:/m.test(info)))
}
