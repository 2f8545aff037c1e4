/** Attempts that may fail. */

/** Runs something. Returns an error for people, or `null`. */
export async function attempt(run: () => Promise<void>): Promise<string | null> {
  try {
    await run();
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
