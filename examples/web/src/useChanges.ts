import { useApolloClient } from "@apollo/client/react";
import { useEffect, useState } from "react";
import { type Connection, followChanges, type ProfileChange } from "./follow";

const KEPT = 100;

/** The latest changes, newest first, and how it stands with live updates. */
export function useChanges(): { changes: ProfileChange[]; connection: Connection } {
  const client = useApolloClient();
  const [changes, setChanges] = useState<ProfileChange[]>([]);
  const [connection, setConnection] = useState<Connection>("connecting");
  useEffect(
    () =>
      followChanges(client, {
        // The profile in it has an id: Apollo has put it into its cache by now, and the list shows it.
        onChange: (change) => setChanges((known) => [change, ...known].slice(0, KEPT)),
        onConnection: setConnection,
        onGap: () => void client.refetchQueries({ include: "active" }),
      }),
    [client],
  );
  return { changes, connection };
}
