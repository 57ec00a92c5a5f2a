// urql with its document cache, which forgets a query once a mutation answers with a type that is in it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { cacheExchange, Client, fetchExchange, gql, subscriptionExchange } from "@urql/core";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { KEY } from "./support/mirror.js";
import { findPeople, startService } from "./support/service.js";
import { until } from "./support/until.js";

const Authorization = `Bearer ${KEY}`;
const { mirror, upstream } = await startService();

function open() {
  const socket = createClient({
    url: mirror.socketUrl,
    webSocketImpl: WebSocket,
    connectionParams: { Authorization },
  });
  const client = new Client({
    url: `${mirror.url}/graphql`,
    fetchOptions: { headers: { Authorization } },
    preferGetMethod: false,
    exchanges: [
      cacheExchange,
      fetchExchange,
      subscriptionExchange({
        forwardSubscription: ({ query, variables }) => ({
          subscribe: (sink) => ({ unsubscribe: socket.subscribe({ query: query!, variables }, sink) }),
        }),
      }),
    ],
  });
  return { client, close: () => socket.dispose() };
}

test("a mutation's answer brings the queries up to date that show the same type", async () => {
  const { client, close } = open();
  const states: string[] = [];
  const sources = client
    .query<{ source: { state: string } }>(gql`{ source(name: "crm") { __typename id state } }`, {})
    .subscribe(({ data, error }) => states.push(data?.source.state ?? String(error)));
  await until("the source", () => states.length === 1);
  const pause = gql`
    mutation { pauseSource(source: "crm", reason: "a test") { source { __typename id state } problems { code } } }
  `;
  const paused = await client.mutation(pause, {});
  assert.deepEqual(paused.data.pauseSource.problems, []);
  await until("the paused source", () => states.at(-1) === "PAUSED");
  await client.mutation(gql`mutation { resumeSource(source: "crm") { source { __typename id state } } }`, {});
  await until("the source goes on", () => states.at(-1) === "RUNNING");
  sources.unsubscribe();
  await close();
});

test("queries are answered over GET too", async () => {
  const { client, close } = open();
  const query = gql`query ($first: Int!) { profiles(first: $first) { nodes { id } } }`;
  const { data, error } = await client.query(query, { first: 3 }, { preferGetMethod: "force" });
  assert.equal(error, undefined);
  assert.equal(data.profiles.nodes.length, 3);
  await close();
});

test("a problem of input comes as a GraphQL error with its code and path", async () => {
  const { client, close } = open();
  const { error } = await client.query(gql`{ profiles(first: 1, last: 1) { nodes { id } } }`, {});
  assert.equal(error?.networkError, undefined);
  assert.equal(error?.graphQLErrors.length, 1);
  assert.equal(typeof error?.graphQLErrors[0]?.extensions.code, "string");
  assert.deepEqual(error?.graphQLErrors[0]?.path, ["profiles"]);
  await close();
});

test("a subscription brings changes", async () => {
  const { client, close } = open();
  const [person] = await findPeople(mirror, 1);
  const told: (string | undefined)[] = [];
  const changes = gql`
    subscription {
      profileChanges { __typename ... on ProfileChange { profile { __typename id displayName } } }
    }
  `;
  const subscription = client
    .subscription<{ profileChanges: { __typename: string; profile?: { displayName: string } } }>(changes, {})
    .subscribe(({ data, error }) => {
      told.push(data ? (data.profileChanges.profile?.displayName ?? data.profileChanges.__typename) : String(error));
    });
  await until("the subscription", () => told.length === 1);
  await upstream.setValues(person!, { p_first_name: "Zelda" });
  await until("the change", () => told.length === 2);
  assert.equal(told[0], "CaughtUp");
  assert.match(told[1]!, /^Zelda /);
  subscription.unsubscribe();
  await close();
});
