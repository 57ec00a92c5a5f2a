// Apollo Client, set up as examples/web sets it up.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { ApolloClient, ApolloLink, gql, HttpLink, InMemoryCache } from "@apollo/client";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { relayStylePagination } from "@apollo/client/utilities";
import { OperationTypeNode } from "graphql";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { KEY } from "./support/mirror.js";
import { ROOT } from "./support/program.js";
import { findPeople, startService } from "./support/service.js";
import { until } from "./support/until.js";

const { possibleTypes } = JSON.parse(readFileSync(`${ROOT}examples/web/src/possible-types.json`, "utf8"));
const Authorization = `Bearer ${KEY}`;
const { mirror, upstream } = await startService(300);

function open() {
  const socket = createClient({
    url: mirror.socketUrl,
    webSocketImpl: WebSocket,
    connectionParams: { Authorization },
  });
  const client = new ApolloClient({
    link: ApolloLink.split(
      (operation) => operation.operationType === OperationTypeNode.SUBSCRIPTION,
      new GraphQLWsLink(socket),
      new HttpLink({ uri: `${mirror.url}/graphql`, headers: { Authorization } }),
    ),
    cache: new InMemoryCache({
      possibleTypes,
      typePolicies: { Query: { fields: { profiles: relayStylePagination(["filter", "orderBy"]) } } },
    }),
  });
  return { client, close: () => socket.dispose() };
}

/** Every object in there that is kept in its parent, and not under an id of its own. */
function* embedded(value: unknown): Generator<{ __typename?: string }> {
  if (typeof value !== "object" || value === null || "__ref" in value) return;
  yield value;
  for (const inner of Object.values(value)) yield* embedded(inner);
}

test("every record with an id is kept once in the cache, under that id", async () => {
  const { client, close } = open();
  // Some of each kind, whoever was met first.
  await client.query({
    query: gql`
      {
        profileTypes(first: 10) { nodes { __typename id name source { __typename id name } } }
        crm: profiles(first: 10, filter: { source: { in: ["crm"] } }) { nodes { ...whole } }
        marketing: profiles(first: 10, filter: { source: { in: ["marketing"] }, subprofile: { some: {} } }) {
          nodes { ...whole }
        }
        deliveries(first: 5) { nodes { __typename id source { __typename id } } }
        syncRuns(first: 3) { nodes { __typename id source { __typename id } } }
      }
      fragment whole on Profile {
        __typename
        id
        source { __typename id lastRun { __typename id state } }
        type { __typename id }
        subprofiles(first: 5) { nodes { __typename id profile { __typename id } } }
        relationships(first: 5) { nodes { __typename id to { profile { __typename id } } } }
        history(first: 2) { nodes { __typename id profile { __typename id } } }
      }
    `,
  });
  const cache = client.cache.extract() as Record<string, Record<string, unknown>>;
  const nodes: string[] = possibleTypes.Node;
  const kept = new Set(Object.keys(cache).map((id) => id.split(":")[0]!));
  assert.deepEqual(nodes.filter((name) => !kept.has(name)), [], "each kind of record has an entry of its own");
  const inside = Object.values(cache).flatMap((entry) => Object.values(entry).flatMap((value) => [...embedded(value)]));
  const strays = inside.filter(({ __typename }) => __typename !== undefined && nodes.includes(__typename));
  assert.deepEqual(strays, []);
  await close();
});

const PROFILES = gql`
  query ($after: String) {
    profiles(first: 40, after: $after, orderBy: [{ field: DISPLAY_NAME }]) {
      edges { cursor node { id displayName } }
      pageInfo { hasNextPage endCursor }
      totalCount
    }
  }
`;

interface Profiles {
  profiles: {
    edges: { node: { id: string; displayName: string } }[];
    pageInfo: { hasNextPage: boolean; endCursor: string };
    totalCount: number;
  };
}

test("pages merge into one list, with nobody twice and nobody left out", async () => {
  const { client, close } = open();
  const list = client.watchQuery<Profiles>({ query: PROFILES });
  const watching = list.subscribe({});
  const all = () => list.getCurrentResult().data as Profiles;
  await until("the first page", () => list.getCurrentResult().dataState === "complete");
  assert.equal(all().profiles.edges.length, 40);
  while (all().profiles.pageInfo.hasNextPage) {
    const before = all().profiles.edges.length;
    await list.fetchMore({ variables: { after: all().profiles.pageInfo.endCursor } });
    await until("a longer list", () => all().profiles.edges.length > before);
  }
  const ids = all().profiles.edges.map(({ node }) => node.id);
  assert.equal(ids.length, all().profiles.totalCount);
  assert.equal(new Set(ids).size, ids.length);
  watching.unsubscribe();
  await close();
});

test("what a subscription brings shows in lists that were read before", async () => {
  const { client, close } = open();
  const [person] = await findPeople(mirror, 1);
  const query = gql`
    query ($key: ProfileKey!) { profile(by: { key: $key }) { id displayName } }
  `;
  const variables = { key: { source: "crm", externalId: person } };
  const shown = client.watchQuery<{ profile: { displayName: string } }>({ query, variables });
  const watching = shown.subscribe({});
  await until("the profile", () => shown.getCurrentResult().dataState === "complete");

  const told: string[] = [];
  const subscription = client
    .subscribe<{ profileChanges: { __typename: string } }>({
      query: gql`
        subscription {
          profileChanges {
            __typename
            ... on ProfileChange { profile { id displayName } }
          }
        }
      `,
    })
    .subscribe(({ data, error }) => told.push(data?.profileChanges.__typename ?? String(error)));
  await until("the subscription", () => told.includes("CaughtUp"));
  await upstream.setValues(person!, { p_first_name: "Yolanda" });
  const name = () => (shown.getCurrentResult().data as { profile: { displayName: string } }).profile.displayName;
  await until("the new name", () => name().startsWith("Yolanda "));
  assert.deepEqual(told, ["CaughtUp", "ProfileChange"]);
  subscription.unsubscribe();
  watching.unsubscribe();
  await close();
});
