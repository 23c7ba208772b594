/** The store does not know the command, or does not let this user use it: no reason to ask again soon. `text`: an error without its `-`. */
export function isUnknownCommand(text: string): boolean {
  return /^(ERR unknown (command|subcommand)|NOPERM )/i.test(text)
}

/** RESTORE's word for a payload of a version that it does not read: of every key of that store. */
export function isForeignPayload(text: string): boolean {
  return text.startsWith('ERR DUMP payload version or checksum are wrong')
}

/** RESTORE's word for a payload that it could not read to its end: of this key. */
export function isBadPayload(text: string): boolean {
  return text.startsWith('ERR Bad data format')
}
