/** Something is missing and could not be installed; the message says what to do. */
export class SetupError extends Error {}

/** Runs `main`; what the user has to mend ends it with its message alone, anything else with its stack. */
export async function orExplain(main) {
  try {
    await main()
  } catch (error) {
    console.error(error instanceof SetupError ? error.message : error)
    process.exitCode = 3
  }
}
