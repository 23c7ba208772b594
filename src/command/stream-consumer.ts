/**
 * Makes a consumer of a stream's group. `counts`: the store is Redis 7.0 or newer. Before 6.2 a consumer is only made by reading: it asks for its own pending entries behind an id that none has, which gives nothing and counts no
 * delivery.
 */
export function consumerMade(key: Buffer, group: Buffer, consumer: Buffer, counts: boolean): (Buffer | string)[] {
  return counts
    ? ['XGROUP', 'CREATECONSUMER', key, group, consumer]
    : ['XREADGROUP', 'GROUP', group, consumer, 'STREAMS', key, LAST_MS]
}

const LAST_MS = '18446744073709551615-0'
