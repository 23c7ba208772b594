/** The bytes of a text in base64, with or without its `=`; null: it is none. `Buffer.from` passes over what does not belong there. */
export function bytesOfBase64(text: unknown): Buffer | null {
  if (typeof text !== 'string') return null
  const bytes = Buffer.from(text, 'base64')
  const given = text.replace(/={1,2}$/, '')
  return bytes.toString('base64url') === given.replaceAll('+', '-').replaceAll('/', '_') ? bytes : null
}
