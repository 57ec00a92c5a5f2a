import { setTimeout as pause } from "node:timers/promises";
import { print } from "graphql";
import { type Client, createClient } from "graphql-ws";
import WebSocket from "ws";
import type { CursorFile } from "./cursorFile.js";
import { ChangesDocument, type ChangesSubscription } from "./generated.js";

type Event = ChangesSubscription["profileChanges"];
export type ProfileChange = Extract<Event, { __typename: "ProfileChange" }>;

/** A subscription that trying again cannot save. The message says what to do. */
export class GivenUp extends Error {}

const LONGEST_PAUSE_MS = 10_000;

/**
 * Hands every change over once, in order, and goes on after each cut behind the last cursor that was kept.
 *
 * A change is handed over first and its cursor kept then: one may come twice after a crash in between, and none is
 * lost. Changes have ids by which doubles can be told.
 */
export async function follow(url: string, key: string, cursors: CursorFile, take: (change: ProfileChange) => void) {
  const client = createClient({
    url,
    webSocketImpl: WebSocket,
    connectionParams: { Authorization: `Bearer ${key}` },
    // A retry in there would ask behind the first cursor.
    retryAttempts: 0,
  });
  let cursor = cursors.read();
  for (let attempt = 0; ; attempt += 1) {
    try {
      for await (const event of subscribe(client, cursor)) {
        if (event.__typename === "CursorExpired") throw new GivenUp(event.message);
        if (event.__typename === "ProfileChange") take(event);
        // What comes only with a filter or a snapshot is not asked for, and has none.
        if (!("cursor" in event)) continue;
        cursor = event.cursor;
        cursors.keep(cursor);
        attempt = 0;
      }
    } catch (error) {
      if (isFinal(error)) throw new GivenUp(describe(error));
      console.error(`cut off: ${describe(error)}`);
    }
    await pause(Math.min(500 * 2 ** attempt, LONGEST_PAUSE_MS) * (0.5 + Math.random() / 2));
  }
}

async function* subscribe(client: Client, after: string | undefined): AsyncGenerator<Event> {
  const payload = { query: print(ChangesDocument), variables: { after } };
  for await (const { data, errors } of client.iterate<ChangesSubscription>(payload)) {
    if (errors) throw errors;
    if (data) yield data.profileChanges;
  }
}

/** Closes that another try ends in as well: the key, the request or the protocol is wrong. */
const FINAL_CLOSES = [4400, 4401, 4403, 4406];
/** Errors that pass. */
const PASSING = ["INTERNAL_SERVER_ERROR", "RATE_LIMITED", "UNAVAILABLE"];

function isFinal(error: unknown): boolean {
  if (error instanceof GivenUp) return true;
  if (isClose(error)) return FINAL_CLOSES.includes(error.code);
  return Array.isArray(error) && !error.some(({ extensions }) => PASSING.includes(extensions?.code));
}

function describe(error: unknown): string {
  if (isClose(error)) return `${error.code} ${error.reason}`;
  if (Array.isArray(error)) return error.map(({ message }) => message).join("; ");
  return (error as { message?: string } | undefined)?.message || "the connection failed";
}

function isClose(error: unknown): error is { code: number; reason: string } {
  return typeof error === "object" && error !== null && "code" in error && "reason" in error;
}
