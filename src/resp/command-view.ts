/**
 * One command where it lies in a buffer, undecoded.
 *
 *   buf     ... *2\r\n $3\r\n GET \r\n $5\r\n job:1 \r\n ...
 *               ^frameStart    ^start[0]^end[0]  ^start[1]  ^frameEnd
 *
 * Argument i is `buf[start[i] .. end[i])`; argument 0 is the command's name. A view: valid until its owner parses again or
 * its buffer is reused, so whoever keeps bytes beyond the current call copies them.
 */
export interface CommandView {
  buf: Buffer
  argc: number
  start: Int32Array
  end: Int32Array
  frameStart: number
  frameEnd: number
}

/** A view over arguments that are already apart (effects, tests, `explain`): joins them into one buffer of bare arguments. */
export function viewOf(args: readonly Uint8Array[]): CommandView {
  const buf = Buffer.concat(args)
  const start = new Int32Array(args.length)
  const end = new Int32Array(args.length)
  let at = 0
  for (const [i, arg] of args.entries()) {
    start[i] = at
    at += arg.length
    end[i] = at
  }
  return { buf, argc: args.length, start, end, frameStart: 0, frameEnd: at }
}

/** Copies of the command's arguments, its name among them. */
export function argsOf(view: CommandView): Buffer[] {
  const args: Buffer[] = []
  for (let i = 0; i < view.argc; i++) args.push(Buffer.from(view.buf.subarray(view.start[i]!, view.end[i]!)))
  return args
}
