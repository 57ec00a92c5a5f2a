// The service under test: the real binary on the README's configuration and a database of its own.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Program, ROOT } from "./program.js";
import { until } from "./until.js";
import type { Upstream } from "./upstream.js";

export const KEY = "client-tests-key";

/** A key of the role reader. */
export const READER_KEY = "client-tests-reader-key";

/** What the configuration takes from the environment. */
const SECRETS = {
  PROFILE_MIRROR_ADMIN_KEY: KEY,
  PROFILE_MIRROR_READER_KEY: READER_KEY,
  COPERNICA_TOKEN: "copernica-simulator-api-token",
  PARALLEL_TOKEN: "parallel-simulator-api-key",
  GETPROFILE_API_KEY: "getprofile-simulator-api-key-1",
};

export class Mirror {
  private readonly folder = mkdtempSync(join(tmpdir(), "profile-mirror-clients-"));
  private readonly config = join(this.folder, "mirror.toml");
  private program: Program | undefined;
  private address = "127.0.0.1:0";

  private constructor(upstream: Upstream) {
    const example = readFileSync(join(ROOT, "examples/three-sources/mirror.toml"), "utf8");
    // Without a public URL, providers are taken to know the address that it listens on.
    const reader = `{ name = "reader", role = "reader", key = { env = "PROFILE_MIRROR_READER_KEY" } }`;
    const config = example
      .replaceAll("http://127.0.0.1:9090", upstream.origin)
      .replace(/^public_url.*$/m, "")
      .replace(/^keys = \[/m, `keys = [${reader}, `);
    writeFileSync(this.config, config);
  }

  /** Starts a mirror that holds all of the upstream, and is told of what changes there. */
  static async start(upstream: Upstream): Promise<Mirror> {
    const mirror = new Mirror(upstream);
    await mirror.resume();
    await upstream.sendWebhooksTo(`${mirror.url}/webhooks/crm`);
    for (const source of ["marketing", "crm", "people"]) await mirror.sync({ source });
    return mirror;
  }

  get url(): string {
    return `http://${this.address}`;
  }

  get socketUrl(): string {
    return `ws://${this.address}/graphql`;
  }

  /** Starts it where it was before. */
  async resume(): Promise<void> {
    this.address = await this.serve(this.address);
  }

  async stop(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    await this.program?.stop(signal);
    this.program = undefined;
  }

  /** Runs it for a while where no client finds it, as a sibling that shares the database would. */
  async elsewhere(work: () => Promise<void>): Promise<void> {
    const known = this.address;
    this.address = await this.serve("127.0.0.1:0");
    try {
      await work();
    } finally {
      await this.stop();
      this.address = known;
    }
  }

  /** Ends it for good. */
  async remove(): Promise<void> {
    await this.stop();
    rmSync(this.folder, { recursive: true });
  }

  /** The data of an answer that holds no error. */
  async ask<Data>(query: string, variables: Record<string, unknown> = {}): Promise<Data> {
    const answer = await fetch(`${this.url}/graphql`, {
      method: "POST",
      headers: { Authorization: `Bearer ${KEY}`, "Content-Type": "application/json" },
      body: JSON.stringify({ query, variables }),
    });
    const { data, errors } = (await answer.json()) as { data: Data; errors?: unknown };
    if (errors !== undefined) throw new Error(JSON.stringify(errors));
    return data;
  }

  /** Syncs a source or some of its profiles, and waits until what was fetched is applied. */
  async sync(input: { source: string; profiles?: unknown }): Promise<void> {
    const document = "mutation ($input: ResyncInput!) { resync(input: $input) { run { id } problems { message } } }";
    const { resync } = await this.ask<{ resync: { run: { id: string } | null; problems: unknown[] } }>(document, { input });
    if (!resync.run) throw new Error(JSON.stringify(resync.problems));
    const { id } = resync.run;
    await until(`the sync of ${input.source}`, async () => {
      const state = "query ($id: ID!) { node(id: $id) { ... on SyncRun { state error source { pending } } } }";
      const { node } = await this.ask<{ node: { state: string; error: unknown; source: { pending: number } } }>(state, { id });
      if (node.state === "FAILED") throw new Error(`the sync failed: ${node.error}`);
      return node.state === "DONE" && node.source.pending === 0;
    });
  }

  private async serve(listen: string): Promise<string> {
    const env = {
      ...SECRETS,
      PROFILE_MIRROR__SERVER__LISTEN: listen,
      PROFILE_MIRROR__DATABASE__URL: `sqlite://${join(this.folder, "mirror.db")}`,
      RUST_LOG: "error",
    };
    const args = ["serve", "--config", this.config];
    const { program, found } = await Program.start("profile-mirror", args, env, /^listening on http:\/\/(.*)$/);
    this.program = program;
    return found;
  }
}
