// A program of ours, started and ended by the tests.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../../../", import.meta.url));

const START_TIMEOUT_MS = 30_000;

// Nothing that the tests start outlives them: a signal ends them by way of `exit`.
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.once(signal, () => process.exit(1));

export class Program {
  private constructor(private readonly child: ChildProcess) {}

  /** Starts one of our programs and waits for the line that `ready` finds something in. */
  static async start(
    name: string,
    args: string[],
    env: Record<string, string>,
    ready: RegExp,
  ): Promise<{ program: Program; found: string }> {
    const path = `${process.env.BIN_FOLDER ?? `${ROOT}target/debug`}/${name}`;
    const child = spawn(path, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "inherit"] });
    process.once("exit", () => child.kill("SIGKILL"));
    const lines = createInterface({ input: child.stdout });
    const found = await new Promise<string>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${name} does not get ready`)), START_TIMEOUT_MS);
      lines.on("line", (line) => {
        const match = ready.exec(line)?.[1];
        if (match === undefined) return;
        clearTimeout(timer);
        resolve(match);
      });
      child.once("error", reject);
      child.once("exit", (code) => reject(new Error(`${name} ended with ${code} before it was ready`)));
    });
    return { program: new Program(child), found };
  }

  /** Ends it and waits until it is gone. */
  async stop(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const gone = once(this.child, "exit");
    this.child.kill(signal);
    await gone;
  }
}
