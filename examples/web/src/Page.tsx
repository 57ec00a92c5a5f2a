import { CombinedGraphQLErrors } from "@apollo/client/errors";
import { useQuery } from "@apollo/client/react";
import { useEffect, useState } from "react";
import { ChangeList } from "./ChangeList";
import { Filters, type Wanted } from "./Filters";
import type { Connection } from "./follow";
import { StartDocument } from "./generated";
import { ProfileList } from "./ProfileList";
import { useChanges } from "./useChanges";

const CONNECTIONS: Record<Connection, string> = {
  connecting: "Connecting…",
  live: "Live",
  cut: "Cut off, trying again…",
};

export function Page({ onSignOut }: { onSignOut(reason?: string): void }) {
  const { data, error } = useQuery(StartDocument);
  const { changes, connection } = useChanges();
  const [wanted, setWanted] = useState<Wanted>({ text: "", status: "", source: "" });
  const isKeyRefused =
    CombinedGraphQLErrors.is(error) && error.errors.some(({ extensions }) => extensions?.code === "UNAUTHENTICATED");
  useEffect(() => {
    if (isKeyRefused) onSignOut("This key is not known.");
  }, [isKeyRefused, onSignOut]);

  return (
    <>
      <header>
        <h1>Profiles</h1>
        <p role="status" className={`connection ${connection}`}>
          {CONNECTIONS[connection]}
        </p>
        <button type="button" className="plain" onClick={() => onSignOut()}>
          Sign out{data && ` ${data.viewer.name}`}
        </button>
      </header>
      <main>
        <section aria-label="Profiles">
          <Filters wanted={wanted} sources={data?.sources ?? []} onChange={setWanted} />
          <ProfileList wanted={wanted} changes={changes} />
        </section>
        <ChangeList changes={changes} />
      </main>
    </>
  );
}
