// Relay's compiler, which is strict about nodes and connections, and what it makes of the documents in ../relay.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { startService } from "./support/service.js";

const folder = fileURLToPath(new URL("../relay/", import.meta.url));
const compiler = fileURLToPath(new URL("../node_modules/.bin/relay-compiler", import.meta.url));
const { mirror } = await startService();

rmSync(`${folder}__generated__`, { recursive: true, force: true });
mkdirSync(`${folder}__generated__`);
await promisify(execFile)(compiler, ["relay.config.json"], { cwd: folder });

/** Asks what the compiler wrote for an operation. */
async function ask<Data>(operation: string, variables: Record<string, unknown>): Promise<Data> {
  const { default: artifact } = await import(`${folder}__generated__/${operation}.graphql.ts`);
  return mirror.ask<Data>(artifact.params.text, variables);
}

interface Page {
  edges: { cursor: string; node: { id: string } }[];
  pageInfo: { hasNextPage: boolean; endCursor: string };
}

test("a list goes on where its page ended", async () => {
  const filter = { source: { eq: "crm" } };
  const first = await ask<{ profiles: Page }>("profilesListPageQuery", { first: 2, filter });
  assert.equal(first.profiles.pageInfo.hasNextPage, true);
  const second = await ask<{ profiles: Page }>("profilesListPageQuery", {
    first: 2,
    filter,
    after: first.profiles.pageInfo.endCursor,
  });
  const whole = await ask<{ profiles: Page }>("profilesListPageQuery", { first: 4, filter });
  const ids = ({ profiles }: { profiles: Page }) => profiles.edges.map(({ node }) => node.id);
  assert.deepEqual([...ids(first), ...ids(second)], ids(whole));
});

test("a fragment of a profile is read again by the profile's id", async () => {
  const { profiles } = await ask<{ profiles: Page }>("profilesListQuery", { filter: { source: { eq: "marketing" } } });
  const { id } = profiles.edges[0]!.node;
  const { node } = await ask<{ node: { __typename: string; subprofiles: Page } }>("profilesSubprofilesPageQuery", { id });
  assert.equal(node.__typename, "Profile");
  assert.ok(Array.isArray(node.subprofiles.edges));
});

test("a connection is read backwards from its end", async () => {
  const { profiles } = await ask<{ profiles: Page }>("profilesListQuery", { filter: { source: { eq: "crm" } } });
  const { id } = profiles.edges[0]!.node;
  const { node } = await ask<{ node: { history: Page } }>("profilesHistoryPageQuery", { id, last: 1 });
  assert.equal(node.history.edges.length, 1);
});
