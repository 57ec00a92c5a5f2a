// The client of graphql-transport-ws that Apollo, urql and Relay use beneath.

import assert from "node:assert/strict";
import { test } from "node:test";
import { type Client, createClient } from "graphql-ws";
import WebSocket from "ws";
import { CHANGES, type Event, next, untilChanged } from "./support/changes.js";
import { KEY } from "./support/mirror.js";
import { findPeople, startService } from "./support/service.js";

const { mirror, upstream } = await startService();

function open(key = KEY): Client {
  const connectionParams = { Authorization: `Bearer ${key}` };
  return createClient({ url: mirror.socketUrl, webSocketImpl: WebSocket, connectionParams, retryAttempts: 0 });
}

async function* follow(client: Client, after?: string): AsyncGenerator<Event> {
  for await (const { data, errors } of client.iterate<{ profileChanges: Event }>({ query: CHANGES, variables: { after } })) {
    assert.equal(errors, undefined);
    yield data!.profileChanges;
  }
}

test("a subscriber is told of changes, and resumes behind its cursor after a cut", async () => {
  const [first, second] = await findPeople(mirror, 2);
  const client = open();
  const events = follow(client);
  assert.equal((await next(events)).__typename, "CaughtUp");
  await upstream.setValues(first!, { p_first_name: "Wanda" });
  const told = await next(events);
  assert.match(told.change!.profile.displayName, /^Wanda /);
  client.terminate();

  await upstream.setValues(second!, { p_first_name: "Xenia" });
  await untilChanged(mirror, told.cursor);
  const later = follow(open(), told.cursor);
  assert.match((await next(later)).change!.profile.displayName, /^Xenia /);
  assert.equal((await next(later)).__typename, "CaughtUp");
  await later.return(undefined);
});

test("queries run over the socket as well, several at once", async () => {
  const client = open();
  const ask = async (query: string) => {
    for await (const answer of client.iterate({ query })) return answer.data;
  };
  const answers = await Promise.all([ask("{ viewer { name } }"), ask("{ sources { name } }")]);
  assert.deepEqual(answers[0], { viewer: { name: "first" } });
  assert.equal((answers[1] as { sources: unknown[] }).sources.length, 3);
  await client.dispose();
});

test("a document that does not fit the schema is told as an error of its operation", async () => {
  const client = open();
  const run = async () => {
    for await (const _ of client.iterate({ query: "{ nothing }" }));
  };
  await assert.rejects(run, (errors: { extensions: { code: string } }[]) => {
    assert.equal(errors[0]?.extensions.code, "GRAPHQL_VALIDATION_FAILED");
    return true;
  });
  await client.dispose();
});

test("an unknown key closes the socket with 4403", async () => {
  const events = follow(open("no such key"));
  await assert.rejects(events.next(), { code: 4403 });
});
