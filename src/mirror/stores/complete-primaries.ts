import type { DataPathContext } from '../context.ts'

/** Routes whose primary lacks nothing that the shadow held before mirroring began, as the main thread says it. What it has said of other routes than those in force says nothing of these: then none is known to be. */
export class CompletePrimaries {
  readonly #context: Pick<DataPathContext, 'routes'>
  #names: ReadonlySet<string> = new Set()
  #generation = -1

  constructor(context: Pick<DataPathContext, 'routes'>) {
    this.#context = context
  }

  /** These routes' primaries, and no others, by the configuration of that generation. */
  tell(names: readonly string[], generation: number): void {
    this.#names = new Set(names)
    this.#generation = generation
  }

  has(route: string): boolean {
    return this.#generation === this.#context.routes.generation && this.#names.has(route)
  }
}
