import { ApolloProvider } from "@apollo/client/react";
import { useMemo, useState } from "react";
import { makeClient } from "./client";
import { Page } from "./Page";
import { SignIn } from "./SignIn";

const STORED = "profile-mirror-key";

/** The key of this tab: from `#key=…` once, which no server sees and no history keeps, or as it was typed in. */
function initialKey(): string | null {
  const given = new URLSearchParams(location.hash.slice(1)).get("key");
  if (given) {
    sessionStorage.setItem(STORED, given);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem(STORED);
}

export function App() {
  const [key, setKey] = useState(initialKey);
  const [refusal, setRefusal] = useState<string>();
  const client = useMemo(() => (key ? makeClient(key) : undefined), [key]);

  if (!client) {
    const signIn = (given: string) => {
      sessionStorage.setItem(STORED, given);
      setRefusal(undefined);
      setKey(given);
    };
    return <SignIn refusal={refusal} onKey={signIn} />;
  }
  const signOut = (reason?: string) => {
    sessionStorage.removeItem(STORED);
    setRefusal(reason);
    setKey(null);
  };
  return (
    <ApolloProvider client={client}>
      <Page onSignOut={signOut} />
    </ApolloProvider>
  );
}
