/** Wire bytes, named once. */
export const CR = 13 // \r
export const LF = 10 // \n
export const ASTERISK = 42 // *
export const DOLLAR = 36 // $
export const PLUS = 43 // +
export const MINUS = 45 // -
export const COLON = 58 // :
export const UNDERSCORE = 95 // _
export const COMMA = 44 // ,
export const HASH = 35 // #
export const EXCLAMATION = 33 // !
export const EQUALS = 61 // =
export const OPEN_PAREN = 40 // (
export const PERCENT = 37 // %
export const TILDE = 126 // ~
export const GREATER = 62 // >
export const PIPE = 124 // |
export const ZERO = 48 // 0
export const NINE = 57 // 9

/** Redis' own limits (networking.c, `proto-max-bulk-len`): beyond them a frame is a protocol error. */
export const MAX_BULK_BYTES = 512 * 1024 * 1024
/** Redis 7 takes more (2,147,483,647), as long as they fit into the query buffer; this many need 128 MB to be found. */
export const MAX_ARGUMENTS = 16 * 1024 * 1024
export const MAX_INLINE_BYTES = 64 * 1024
