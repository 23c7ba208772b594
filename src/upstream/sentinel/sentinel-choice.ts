import type { Endpoint } from '../../config/config.ts'

/** What a Sentinel says about the primary of a name. */
export interface SentinelAnswer {
  readonly endpoint: Extract<Endpoint, { kind: 'tcp' }>
  /** `config-epoch`: grows with every failover, and no two failovers of a name have the same. */
  readonly epoch: number
}

/**
 * Which of the answers to follow. `answers`: the latest of each Sentinel that can be asked, in the order of the configuration. `sentinels`: how many there are. `current`: what is followed now.
 *
 *   a higher epoch      wins: that Sentinel knows of a failover which the others have not heard of yet
 *   the same epoch      `current` stays, unless most Sentinels name another address (they were told one; or say a name where the others say a number)
 *   a lower epoch       is a Sentinel that has missed a failover, perhaps cut off together with the old primary: ignored, unless most say so (they were set up anew)
 *
 * Null: nobody has answered.
 */
export function choosePrimary(
  answers: readonly SentinelAnswer[],
  sentinels: number,
  current: SentinelAnswer | null,
): SentinelAnswer | null {
  if (answers.length === 0) return current
  const epoch = Math.max(...answers.map((answer) => answer.epoch))
  const latest = answers.filter((answer) => answer.epoch === epoch)
  const chosen = mostNamed(latest)
  if (current === null || epoch > current.epoch) return chosen
  if (epoch === current.epoch) {
    return timesNamed(latest, chosen) * 2 > sentinels ? chosen : current
  }
  return answers.length * 2 > sentinels ? chosen : current
}

/** Two Sentinels that name the same place. */
export function isSamePlace(one: SentinelAnswer, other: SentinelAnswer): boolean {
  return one.endpoint.host === other.endpoint.host && one.endpoint.port === other.endpoint.port
}

function timesNamed(answers: readonly SentinelAnswer[], answer: SentinelAnswer): number {
  return answers.filter((other) => isSamePlace(other, answer)).length
}

/** The first of them, where several are named as often. */
function mostNamed(answers: readonly SentinelAnswer[]): SentinelAnswer {
  return answers.reduce((best, answer) => (timesNamed(answers, answer) > timesNamed(answers, best) ? answer : best))
}
