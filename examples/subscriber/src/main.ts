// Follows a mirror's changes, one JSON line a change, and resumes where it stopped.

import { parseArgs } from "node:util";
import { CursorFile } from "./cursorFile.js";
import { follow, GivenUp } from "./follow.js";

const USAGE = `Usage: npm start -- [--url ws://127.0.0.1:8080/graphql] [--cursor FILE]

Set PROFILE_MIRROR_KEY to an access key. With --cursor, FILE holds the place of the last printed change,
and the next start goes on right behind it.`;

function usage(problem: string): never {
  console.error(`${problem}\n\n${USAGE}`);
  process.exit(2);
}

function readArguments() {
  try {
    const options = { url: { type: "string" }, cursor: { type: "string" }, help: { type: "boolean" } } as const;
    return parseArgs({ options }).values;
  } catch (error) {
    return usage((error as Error).message);
  }
}

const { url = "ws://127.0.0.1:8080/graphql", cursor, help } = readArguments();
if (help) {
  console.log(USAGE);
  process.exit(0);
}
const key = process.env.PROFILE_MIRROR_KEY ?? usage("PROFILE_MIRROR_KEY is not set.");

try {
  await follow(url, key, new CursorFile(cursor), (change) => console.log(JSON.stringify(change)));
} catch (error) {
  if (!(error instanceof GivenUp)) throw error;
  console.error(`stopped: ${error.message}`);
  process.exit(1);
}
