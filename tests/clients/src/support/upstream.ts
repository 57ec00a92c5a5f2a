// The simulated providers.

import { Program } from "./program.js";

const PARALLEL_TOKEN = "parallel-simulator-api-key";
const COPERNICA_TOKEN = "copernica-simulator-api-token";

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

  /** Deletes profiles at Copernica, which tells nobody: no webhook is registered there. */
  async deleteSilently(profiles: string[]): Promise<void> {
    const asked = { method: "POST", body: JSON.stringify({ access_token: COPERNICA_TOKEN }) };
    const token = await (await fetch(`${this.origin}/copernica/auth`, asked)).text();
    for (const profile of profiles) {
      const path = `${this.origin}/copernica/v4/profile/${profile}`;
      const answer = await fetch(path, { method: "DELETE", headers: { Authorization: `Bearer ${token}` } });
      if (!answer.ok) throw new Error(`DELETE ${path}: ${answer.status} ${await answer.text()}`);
    }
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
