import { ApolloClient, ApolloLink, HttpLink, InMemoryCache } from "@apollo/client";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { relayStylePagination } from "@apollo/client/utilities";
import { OperationTypeNode } from "graphql";
import { createClient } from "graphql-ws";
import schema from "./possible-types.json";

/** Makes a client for this key: queries over HTTP, subscriptions over a WebSocket, both on `/graphql`. */
export function makeClient(key: string): ApolloClient {
  const Authorization = `Bearer ${key}`;
  const socketUrl = new URL("/graphql", location.href);
  socketUrl.protocol = socketUrl.protocol.replace("http", "ws");
  const socket = new GraphQLWsLink(
    createClient({
      url: socketUrl.href,
      // The key travels in the first message: a browser cannot set headers on a socket, and URLs end up in logs.
      connectionParams: { Authorization },
      // A retry in here would ask behind the cursor of the first attempt. `followChanges` retries behind the last one.
      retryAttempts: 0,
    }),
  );
  return new ApolloClient({
    link: ApolloLink.split(
      (operation) => operation.operationType === OperationTypeNode.SUBSCRIPTION,
      socket,
      new HttpLink({ uri: "/graphql", headers: { Authorization } }),
    ),
    cache: new InMemoryCache({
      possibleTypes: schema.possibleTypes,
      typePolicies: {
        // One growing list for each filter, whatever page was asked for.
        Query: { fields: { profiles: relayStylePagination(["filter", "orderBy"]) } },
      },
    }),
  });
}
