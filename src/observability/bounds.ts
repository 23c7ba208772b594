/** From 50 us, a fast store on the same machine, to 10 s, where every sensible timeout has passed. */
export const COMMAND_DURATION_BOUNDS: readonly number[] = [
  0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10,
]

/** A switch should hold writes for less than 50 ms; the bounds are dense around that. */
export const CUTOVER_PAUSE_BOUNDS: readonly number[] = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5,
]
