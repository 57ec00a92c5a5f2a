// The simulated providers.

import { Program } from "./program.js";

const PARALLEL_TOKEN = "parallel-simulator-api-key";

export class Upstream {
  private constructor(
    private readonly program: Program,
    readonly origin: string,
  ) {}

  static async start(profiles: number): Promise<Upstream> {
    const args = ["serve", "--port", "0", "--profiles", String(profiles)];
    const { program, found } = await Program.start("simulator", args, {}, /^Parallel .*"(http:\/\/[^/"]+)/);
    return new Upstream(program, found);
  }

  stop(): Promise<void> {
    return this.program.stop();
  }

  /** From now on Parallel's webhooks go there. */
  async sendWebhooksTo(url: string): Promise<void> {
    await this.call("POST", "/subscriptions", { eventsUrl: url });
  }

  /** Changes values of a profile at Parallel, which tells of it by a webhook. */
  async setValues(profile: string, values: Record<string, string>): Promise<void> {
    await this.call("PUT", `/profiles/${profile}/values`, values);
  }

  /** Closes a profile at Parallel, which tells of it by a webhook. */
  async close(profile: string): Promise<void> {
    await this.call("POST", `/profiles/${profile}/close`);
  }

  private async call(method: string, path: string, body?: unknown): Promise<void> {
    const answer = await fetch(`${this.origin}/parallel/api/v1${path}`, {
      method,
      headers: { Authorization: `Bearer ${PARALLEL_TOKEN}`, "Content-Type": "application/json" },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  }
}
