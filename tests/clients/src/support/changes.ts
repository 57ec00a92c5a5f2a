// What the tests ask of the change log.

import type { Mirror } from "./mirror.js";
import { until } from "./until.js";

export interface Event {
  __typename: string;
  cursor: string;
  change?: { id: string; profile: { displayName: string } };
}

/** The subscription that every transport is tried with. */
export const CHANGES = `subscription ($after: Cursor) { profileChanges(after: $after) {
  __typename
  ... on CaughtUp { cursor }
  ... on ProfileChange { cursor change { id profile { displayName } } }
} }`;

/** Ids of the changes behind a cursor, or of all, oldest first. */
export async function changesBehind(mirror: Mirror, after?: string): Promise<string[]> {
  const document = `query ($after: Cursor) {
    changes(first: 100, after: $after) { nodes { id } pageInfo { hasNextPage endCursor } }
  }`;
  const ids: string[] = [];
  for (;;) {
    const { changes } = await mirror.ask<{ changes: Changes }>(document, { after });
    ids.push(...changes.nodes.map(({ id }) => id));
    if (!changes.pageInfo.hasNextPage) return ids;
    after = changes.pageInfo.endCursor;
  }
}

interface Changes {
  nodes: { id: string }[];
  pageInfo: { hasNextPage: boolean; endCursor: string };
}

/** Waits until there is a change behind a cursor. */
export async function untilChanged(mirror: Mirror, after: string): Promise<void> {
  await until("a change", async () => (await changesBehind(mirror, after)).length > 0);
}

/** The next event of a stream that must go on. */
export async function next(events: AsyncGenerator<Event>): Promise<Event> {
  const { value, done } = await events.next();
  if (done) throw new Error("the stream has ended");
  return value;
}
