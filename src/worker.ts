import { parentPort } from 'node:worker_threads'
import type { PairOfReplies } from './mirror/copy/aligned-reads.ts'
import type { Request } from './proxy/messages.ts'
import { Runtime } from './proxy/runtime.ts'

/** The data path's thread: carries requests to the runtime, and answers and notices back. See `thread.ts` for the other end. */
const port = parentPort!
let runtime: Runtime | null = null

port.on('message', ({ id, request }: { id: number; request: Request }) => {
  handle(request).then(
    (result) => port.postMessage({ id, result }, request.kind === 'read-pairs' ? handedOver(request, result) : []),
    (error: unknown) =>
      port.postMessage({
        id,
        error: { message: error instanceof Error ? error.message : String(error), code: codeOf(error) },
      }),
  )
})

async function handle(request: Request): Promise<unknown> {
  switch (request.kind) {
    case 'start':
      runtime = new Runtime(request.config, request.endpoints, (notice) => port.postMessage({ notice }))
      runtime.expectFacts()
      return runtime.start(request.config)
    case 'apply':
      return runtime!.apply(request)
    case 'left':
      await runtime!.left(request.store)
      return null
    case 'stats':
      return runtime!.stats()
    case 'endpoint':
      return runtime!.setEndpoint(request.store, request.endpoint, request.failedOver, request.epoch)
    case 'facts':
      return runtime!.setFacts(
        request.store,
        request.offsetMs,
        request.version,
        request.clockJumped,
        request.valkeyVersion,
      )
    case 'acknowledgements':
      return runtime!.setAcknowledgements(request.list)
    case 'copy':
      return runtime!.jobs.copy(request.origin, request.database, request.keys, request.window)
    case 'writing':
      return runtime!.jobs.writing(request.store, request.database, request.keys)
    case 'wrote':
      return runtime!.jobs.wrote(request.number, request.doubtful)
    case 'altered-sources':
      return runtime!.setAlteredSources(request.routes)
    case 'complete-shadows':
      return runtime!.setCompleteShadows(request.routes, request.generation)
    case 'complete-primaries':
      return runtime!.setCompletePrimaries(request.routes, request.generation)
    case 'read-pairs':
      return runtime!.jobs.readPairs(request.database, request.list)
    case 'verified':
      return runtime!.jobs.verified(request.route, request.ticket)
    case 'verify-ticket':
      return runtime!.jobs.verifyTicket(request.route)
    case 'dirty-keys':
      return runtime!.jobs.dirtyKeys(request.route, request.limit)
    case 'stop':
      await runtime?.stop(request.graceMs)
      return null
  }
}

/** Memory of answers that is handed over: so much that copying it would keep clients waiting. */
function handedOver({ list }: Request & { kind: 'read-pairs' }, result: unknown): ArrayBuffer[] {
  return (result as PairOfReplies[]).flatMap((pair, i) => {
    if (!pair.ok || list[i]!.isMuch !== true) return []
    return [...pair.primary, ...pair.shadow].map(({ buffer }) => buffer as ArrayBuffer)
  })
}

function codeOf(error: unknown): string | null {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : null
}
