/** The tables of `state.db`, in steps (`openDatabase`). A capability appends its own; what has been released is never changed. */
export const STATE_MIGRATIONS: readonly string[] = []
