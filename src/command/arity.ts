import type { CommandSpec } from './spec.ts'

/** True when the number of arguments is as Redis' `COMMAND` says: `arity` counts the name; negative means "at least". */
export function arityFits(spec: CommandSpec, argc: number): boolean {
  return spec.arity >= 0 ? argc === spec.arity : argc >= -spec.arity
}

/** In Redis' words. */
export function wrongArity(spec: CommandSpec): string {
  return `ERR wrong number of arguments for '${spec.name.toLowerCase().replace(' ', '|')}' command`
}
