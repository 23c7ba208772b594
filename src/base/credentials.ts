/** A text without the credentials of the URLs in it. */
export function withoutCredentials(text: string): string {
  return text.replace(/(\w:\/\/)[^\s/]*@/g, '$1***@')
}
