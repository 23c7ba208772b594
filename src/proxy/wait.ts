/** Why a session does not look at its next command yet. */
export type Wait =
  /** Its commands under way must be answered first: the next one goes to another connection. */
  | 'replies'
  /** A switch holds the route, or a copy a key that the command writes. */
  | 'hold'
  /** The pipeline is full, or the client does not read. */
  | 'room'
  /** A dedicated connection is busy with its last command, or a subscription is not confirmed yet. */
  | 'pin'
  /** CLIENT PAUSE. */
  | 'pause'
