/** As which a function is reported (`Plan.doubt`), where a script is by its SHA-1. */
export function idOfFunction(name: string): string {
  return `function ${name}`
}

/** Of such an id; null: it is a script's. */
export function nameOfFunction(id: string): string | null {
  return id.startsWith('function ') ? id.slice('function '.length) : null
}

/** Such an id, as operators read it. */
export function scriptInWords(id: string): string {
  return nameOfFunction(id) === null ? `SHA-1 ${id}` : id
}
