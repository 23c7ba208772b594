interface Sample {
  name: string
  labels: Record<string, string>
  value: number
}

export interface Exposition {
  types: Map<string, string>
  samples: Sample[]
  value(name: string, labels: Record<string, string>): number | undefined
}

/**
 * A strict reader of the Prometheus text format: throws at a line it cannot read, at a sample without HELP and TYPE, and at
 * the same series given twice.
 */
export function parseExposition(text: string): Exposition {
  const types = new Map<string, string>()
  const helps = new Set<string>()
  const samples: Sample[] = []
  const seen = new Set<string>()
  for (const line of text.split('\n')) {
    if (line === '') continue
    const comment = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line)
    if (comment?.[1] === 'HELP') helps.add(comment[2]!)
    else if (comment?.[1] === 'TYPE') types.set(comment[2]!, comment[3]!)
    else samples.push(parseSample(line))
  }
  for (const { name, labels } of samples) {
    const family = types.has(name) ? name : name.replace(/_(bucket|sum|count)$/, '')
    if (!types.has(family) || !helps.has(family)) throw new Error(`no HELP and TYPE for ${name}`)
    const series = seriesOf(name, labels)
    if (seen.has(series)) throw new Error(`given twice: ${series}`)
    seen.add(series)
  }
  const value = (name: string, labels: Record<string, string>) =>
    samples.find((sample) => seriesOf(sample.name, sample.labels) === seriesOf(name, labels))?.value
  return { types, samples, value }
}

function parseSample(line: string): Sample {
  const match = /^([a-zA-Z_:][\w:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)$/.exec(line)
  if (match === null) throw new Error(`not a sample: ${line}`)
  const labels: Record<string, string> = {}
  for (const [, name, raw] of (match[2] ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
    labels[name!] = raw!.replace(/\\(.)/g, (_, character: string) => (character === 'n' ? '\n' : character))
  }
  return { name: match[1]!, labels, value: Number(match[3]!.replace(/^([+-]?)Inf$/, '$1Infinity')) }
}

function seriesOf(name: string, labels: Record<string, string>): string {
  return `${name} ${JSON.stringify(Object.entries(labels).sort())}`
}
