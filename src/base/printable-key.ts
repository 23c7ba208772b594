/** Keys are bytes: printable ASCII as it is, everything else as \xHH, so that two keys never look the same. */
export function printableKey(key: Uint8Array): string {
  let text = ''
  for (const byte of key) {
    text +=
      byte >= 32 && byte < 127 && byte !== 92 ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`
  }
  return text
}

/** The bytes that `printableKey` shows as `text`. */
export function keyOfPrintable(text: string): Buffer {
  return Buffer.from(
    text.replace(/\\x([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  )
}
