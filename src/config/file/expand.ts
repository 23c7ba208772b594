// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the references that this file expands look like template strings

/** What `expandVariables` made of a text. */
export interface Expansion {
  readonly text: string
  /** Whether a variable's value (not a default) is part of the text: it may be a secret. */
  readonly fromEnvironment: boolean
  /** Where (index into the input) and why a reference could not be expanded. */
  readonly problems: readonly { readonly index: number; readonly message: string }[]
}

type Environment = Readonly<Record<string, string | undefined>>

const REFERENCE = /\$(\$\{)|\$\{([^}]*)(\}?)/g
const VARIABLE = /^([A-Za-z_][A-Za-z0-9_]*)(?::-([\s\S]*))?$/

/**
 * Replaces `${VAR}` (must be set) and `${VAR:-default}` (the default when unset or empty, as in a shell). `$${` is a literal `${`.
 * Any other `$` is left alone.
 */
export function expandVariables(text: string, env: Environment): Expansion {
  const problems: { index: number; message: string }[] = []
  let fromEnvironment = false
  const expanded = text.replace(
    REFERENCE,
    (whole, escaped: string | undefined, body: string, close: string, index: number) => {
      if (escaped !== undefined) return '${'
      const refuse = (message: string): string => {
        problems.push({ index, message })
        return whole
      }
      if (close === '') return refuse('"${" is not closed; write ${VAR}, or $${ for a literal "${"')
      const match = VARIABLE.exec(body)
      if (match === null || match[2]?.includes('${')) {
        return refuse('only ${VAR} and ${VAR:-default} are understood (not nested); write $${ for a literal "${"')
      }
      const name = match[1]!
      const value = env[name]
      if (match[2] !== undefined && (value === undefined || value === '')) return match[2]
      if (value === undefined) {
        return refuse(
          `the environment variable ${name} is not set; set it, or give a default with \${${name}:-default}`,
        )
      }
      fromEnvironment = true
      return value
    },
  )
  return { text: expanded, fromEnvironment, problems }
}
