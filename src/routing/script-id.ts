const FUNCTION = 'function '
const UNREAD = 'unread function '

/** As which a function is reported (`Plan.doubt`), where a script is by its SHA-1. Servers know no case of its name, and no end: of a long one it is the beginning. */
export function idOfFunction(name: string): string {
  return FUNCTION + shortened(name)
}

/** The same of one that its store does not let be read: what it does is not known, nor whether it is there. */
export function idOfUnread(name: string): string {
  return UNREAD + shortened(name)
}

function shortened(name: string): string {
  return name.slice(0, MAX_NAME).toLowerCase()
}

/** Characters. */
const MAX_NAME = 200

/** Whether it is the id of one that could not be read. */
export function isUnread(id: string): boolean {
  return id.startsWith(UNREAD)
}

/** Of such an id, read or not; null: it is a script's. */
export function nameOfFunction(id: string): string | null {
  const prefix = [FUNCTION, UNREAD].find((one) => id.startsWith(one))
  return prefix === undefined ? null : id.slice(prefix.length)
}

/** Such an id, as operators read it. */
export function scriptInWords(id: string): string {
  if (isUnread(id)) return `${FUNCTION}${nameOfFunction(id)}, which cannot be read`
  return nameOfFunction(id) === null ? `SHA-1 ${id}` : id
}
