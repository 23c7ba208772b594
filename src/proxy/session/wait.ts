/** Why a session does not look at its next command yet. */
export type Wait =
  /** Its commands under way must be answered first: the next one goes to another connection. */
  | 'replies'
  /** A switch holds the route, or a copy a key that the command writes. */
  | 'hold'
  /** The pipeline is full, or the client does not read. */
  | 'room'
  /** Its last command was taken, and whoever has it goes on (`Session.proceed`) when it is done: nobody else does, for nothing would stop the next one. */
  | 'pin'
  /** Something that was asked for beside its commands: a subscription is not confirmed yet, messages or rights are not known. The next command is offered again with each answer. */
  | 'answers'
  /** CLIENT PAUSE. */
  | 'pause'
