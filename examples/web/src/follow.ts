import type { ApolloClient } from "@apollo/client";
import { CombinedGraphQLErrors } from "@apollo/client/errors";
import { ChangesDocument, type ChangesSubscription } from "./generated";

type Event = ChangesSubscription["profileChanges"];
export type ProfileChange = Extract<Event, { __typename: "ProfileChange" }>;

/** How it stands with live updates. */
export type Connection = "connecting" | "live" | "cut";

export interface Listener {
  onChange(change: ProfileChange): void;
  onConnection(connection: Connection): void;
  /** What is shown may be old, and no change will tell: read everything anew. */
  onGap(): void;
}

const LONGEST_PAUSE_MS = 10_000;

/** Whether the cursor is of no use any more. */
function isOfCursor(error: unknown): boolean {
  return (
    CombinedGraphQLErrors.is(error) &&
    error.errors.some(
      ({ extensions }) => extensions?.code === "CURSOR_INVALID" || extensions?.code === "CURSOR_EXPIRED",
    )
  );
}

/**
 * Follows the changes of all profiles until the returned function is called.
 *
 * Every event carries a cursor. After a cut the next subscription asks for what comes behind the last one, so that
 * nothing is missed and nothing comes twice, however long it took and whichever process answers.
 */
export function followChanges(client: ApolloClient, listener: Listener): () => void {
  let cursor: string | undefined;
  let attempts = 0;
  let pause: ReturnType<typeof setTimeout> | undefined;
  let subscription: { unsubscribe(): void } | undefined;

  const subscribe = () => {
    listener.onConnection("connecting");
    subscription = client.subscribe({ query: ChangesDocument, variables: { after: cursor } }).subscribe({
      // An error is told here as well, and then the stream is complete.
      next: ({ data, error }) => {
        // As after a backup was restored: the next one begins from now, and its `CaughtUp` has everything read anew.
        if (isOfCursor(error)) cursor = undefined;
        if (data) take(data.profileChanges);
      },
      complete: subscribeAgain,
    });
  };
  const subscribeAgain = () => {
    listener.onConnection("cut");
    // Half of the pause is random: a thousand pages must not come back in the same moment.
    const longest = Math.min(500 * 2 ** attempts, LONGEST_PAUSE_MS);
    attempts += 1;
    pause = setTimeout(subscribe, longest * (0.5 + Math.random() / 2));
  };
  const take = (event: Event) => {
    switch (event.__typename) {
      case "ProfileChange":
        cursor = event.cursor;
        listener.onChange(event);
        break;
      case "CaughtUp":
        // Before the first cursor nobody knows what happened between the list and this subscription.
        if (cursor === undefined) listener.onGap();
        cursor = event.cursor;
        attempts = 0;
        listener.onConnection("live");
        break;
      case "Interrupted":
        // The service stops and the stream ends; the next one goes on from here.
        cursor = event.cursor;
        break;
      case "CursorExpired":
        // The stream ends; the next one begins from now, and its `CaughtUp` has everything read anew.
        cursor = undefined;
        break;
    }
  };

  subscribe();
  return () => {
    clearTimeout(pause);
    subscription?.unsubscribe();
  };
}
