// The schema, as the linters see it that frontend teams run.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { ROOT } from "./support/program.js";

/** Runs a tool of this folder at the root of the repository; what it finds is the error. */
async function lint(tool: string, args: string[]): Promise<void> {
  const path = join(ROOT, "tests/clients/node_modules/.bin", tool);
  await promisify(execFile)(path, args, { cwd: ROOT }).catch(({ stdout, stderr }) => assert.fail(`${stdout}${stderr}`));
}

test("graphql-eslint has no findings, and everything has a description", () =>
  lint("eslint", ["--config", "tests/clients/eslint.config.js", "--max-warnings", "0", "schema.graphql"]));

test("graphql-schema-linter has no findings", () => lint("graphql-schema-linter", ["schema.graphql"]));
