import { setTimeout as pause } from "node:timers/promises";

const TIMEOUT_MS = 30_000;

/** Waits for a condition. What it names did not happen in time is an error. */
export async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + TIMEOUT_MS;
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`${what} did not happen within ${TIMEOUT_MS / 1000} seconds`);
    await pause(50);
  }
}
