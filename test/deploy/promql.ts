/** What stands between quotes is no name. */
const withoutTexts = (expression: string): string => expression.replaceAll(/"[^"]*"/g, '""')

/** Metrics that an expression names, by the names of the catalogue: a histogram's `_bucket`, `_sum` and `_count` are the histogram's. */
export function metricsNamed(expression: string): string[] {
  const names = withoutTexts(expression).match(/\b(?:understudy_\w+|up)\b/g) ?? []
  return names.map((name) =>
    /_(duration|pause)_seconds_(bucket|sum|count)$/.test(name) ? name.replace(/_(bucket|sum|count)$/, '') : name,
  )
}

/** Labels that an expression selects or groups by. */
export function labelsNamed(expression: string): string[] {
  const text = withoutTexts(expression)
  const selected = [...text.matchAll(/\b(\w+)\s*(?:=~|!~|!=|=(?!=))\s*""/g)].map((match) => match[1]!)
  const grouped = [...text.matchAll(/\b(?:by|without|on|ignoring)\s*\(([^)]*)\)/g)].flatMap((match) =>
    match[1]!.split(/\s*,\s*/),
  )
  return [...selected, ...grouped].filter((label) => label !== '')
}

/** A metric's label as Prometheus keeps it: the scrape's own `job` and `instance` come first, the metric's is set aside (`honor_labels: false`). */
export function storedLabel(label: string): string {
  return label === 'job' || label === 'instance' ? `exported_${label}` : label
}
