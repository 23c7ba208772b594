/**
 * One buffer that every socket of this thread reads into (`onread`): no allocation per read, no stream machinery. A view of it is valid
 * only during the callback, because the next read of any socket overwrites it.
 */
export const READ_BUFFER: Buffer = Buffer.allocUnsafeSlow(64 * 1024)
