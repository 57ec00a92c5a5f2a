'use strict';

// Put your access key into the Headers editor; each tab has one. It is sent with queries as a header and with
// subscriptions in connection_init, and it is kept in this page only. An address that ends in #key=… fills it in; what
// stands behind the # never leaves the browser, and it is taken out of the address at once.
const given = new URLSearchParams(location.hash.slice(1)).get('key');
if (given) history.replaceState(null, '', location.pathname + location.search);
const headers = JSON.stringify({ Authorization: 'Bearer ' + (given ?? 'KEY') }, null, 2);

const examples = [
  `# The triangle asks. The access key stands in the Headers editor below;
# after a new key, the two arrows load the documentation again.
query Profiles($first: Int = 20, $after: String) {
  profiles(first: $first, after: $after, orderBy: [{ field: DISPLAY_NAME }]) {
    totalCount
    nodes { id externalId displayName email status kind source { name } type { name } }
    pageInfo { hasNextPage endCursor }
  }
}`,
  `# One profile with all that hangs on it.
query Profile {
  profiles(first: 1) {
    nodes {
      displayName
      fields { name label type value text }
      interests { name group }
      lifecycle { since scheduledFor isOverdue history { from to at cause } }
      subprofiles(first: 10) { nodes { externalId collection { name } fields { name text } } }
      relationships(first: 10) {
        nodes { type { name inverseName } from { profile { displayName } } to { profile { displayName } } }
      }
      history(last: 10) { nodes { at kind fields { name before after } cause { event } } }
    }
  }
}`,
  `# Find people: every test given must hold.
query Search {
  profiles(
    first: 20
    filter: {
      kind: { eq: INDIVIDUAL }
      status: { in: [OPEN, CLOSED] }
      or: [{ displayName: { contains: "an" } }, { email: { startsWith: "a" } }]
    }
  ) {
    totalCount
    nodes { displayName email status modifiedAt }
  }
}`,
  `# Leave it running: each change arrives as it happens. Give a cursor as the variable "after" to go on from there.
subscription Changes($after: Cursor) {
  profileChanges(after: $after) {
    __typename
    ... on ProfileChange {
      cursor
      change { kind at fields { name before after } cause { event } }
      profile { displayName status source { name } }
    }
    ... on ProfileLeft { cursor id }
    ... on CaughtUp { cursor }
    ... on CursorExpired { message oldest }
    ... on Interrupted { cursor message }
  }
}`,
  `# Why a profile is as it is: what each delivery said of it, and the rule that decided. For operators.
query Explain($source: String! = "crm", $externalId: String! = "prof1") {
  explainProfile(by: { key: { source: $source, externalId: $externalId } }, first: 20) {
    nodes { at decision rule observedVersion storedVersion delivery { kind event receivedAt } changes { kind fields { name } } }
  }
}`,
  `# How the sources stand. Deliveries are for operators.
query Operations {
  viewer { name role }
  sources { name provider state pending parked oldestPendingAt freshness { lastWebhookAt lastAppliedAt } }
  deliveries(first: 10, filter: { states: [PARKED] }) {
    nodes { receivedAt source { name } kind event state reason bodyBytes }
  }
}`,
];

const url = new URL('/graphql', location.href);
const socketUrl = new URL(url);
socketUrl.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';

// A socket belongs to one key: another key in the Headers editor opens another socket.
const sockets = new Map();
function socketFor(headers) {
  const key = JSON.stringify(headers ?? {});
  if (!sockets.has(key)) {
    sockets.set(key, graphqlWs.createClient({ url: socketUrl.href, connectionParams: headers, lazy: true }));
  }
  return sockets.get(key);
}

function fetcher(parameters, options) {
  const ask = GraphiQL.createFetcher({ url: url.href, wsClient: socketFor(options?.headers) });
  return ask(parameters, options);
}

ReactDOM.createRoot(document.getElementById('graphiql')).render(
  React.createElement(GraphiQL, {
    fetcher,
    defaultHeaders: headers,
    defaultTabs: examples.map((query) => ({ query, headers })),
    defaultEditorToolsVisibility: 'headers',
    isHeadersEditorEnabled: true,
    shouldPersistHeaders: false,
  }),
);
