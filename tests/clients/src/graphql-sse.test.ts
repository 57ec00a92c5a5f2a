// GraphQL over SSE, for those behind proxies that let no WebSocket pass.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createClient } from "graphql-sse";
import { CHANGES, type Event, next, untilChanged } from "./support/changes.js";
import { KEY } from "./support/mirror.js";
import { findPeople, startService } from "./support/service.js";

const { mirror, upstream } = await startService();

function open(key = KEY) {
  const headers = { Authorization: `Bearer ${key}` };
  return createClient({ url: `${mirror.url}/graphql/stream`, headers, retryAttempts: 0 });
}

async function* follow(after?: string): AsyncGenerator<Event> {
  for await (const { data, errors } of open().iterate<{ profileChanges: Event }>({ query: CHANGES, variables: { after } })) {
    assert.equal(errors, undefined);
    yield data!.profileChanges;
  }
}

test("a subscriber is told of changes, and resumes behind its cursor", async () => {
  const [first, second] = await findPeople(mirror, 2);
  const events = follow();
  assert.equal((await next(events)).__typename, "CaughtUp");
  await upstream.setValues(first!, { p_first_name: "Wanda" });
  const told = await next(events);
  assert.match(told.change!.profile.displayName, /^Wanda /);
  await events.return(undefined);

  await upstream.setValues(second!, { p_first_name: "Xenia" });
  await untilChanged(mirror, told.cursor);
  const later = follow(told.cursor);
  assert.match((await next(later)).change!.profile.displayName, /^Xenia /);
  await later.return(undefined);
});

test("a query is answered and completed", async () => {
  const answers = [];
  for await (const answer of open().iterate({ query: "{ viewer { name } }" })) answers.push(answer.data);
  assert.deepEqual(answers, [{ viewer: { name: "first" } }]);
});

test("an unknown key is refused", async () => {
  const run = async () => {
    for await (const _ of open("no such key").iterate({ query: "{ viewer { name } }" }));
  };
  await assert.rejects(run, /401/);
});
