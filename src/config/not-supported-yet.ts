import type { StoreConfig } from './config.ts'

/**
 * What the file format has room for and this version cannot do. Refused with its line, so that nobody believes it works;
 * an entry goes when the capability comes.
 */
const NOT_YET = 'is not supported yet; '

export const STORE_KINDS_NOT_YET: Partial<Record<StoreConfig['kind'], string>> = {
  cluster: `redis+cluster:// ${NOT_YET}a store is a single server (redis://, rediss://, unix://), one behind Sentinels (redis+sentinel://), or managed:`,
}
