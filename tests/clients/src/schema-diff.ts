// Tells what changed in schema.graphql since a revision, and fails where a client may break.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { CriticalityLevel, diff } from "@graphql-inspector/core";
import { buildSchema } from "graphql";
import { ROOT } from "./support/program.js";

const revision = process.argv[2] ?? "HEAD~1";
const before = execFileSync("git", ["show", `${revision}:schema.graphql`], { cwd: ROOT, encoding: "utf8" });
const now = readFileSync(`${ROOT}schema.graphql`, "utf8");

const changes = await diff(buildSchema(before), buildSchema(now));
const levels = [CriticalityLevel.Breaking, CriticalityLevel.Dangerous, CriticalityLevel.NonBreaking];
for (const level of levels) {
  const found = changes.filter(({ criticality }) => criticality.level === level);
  console.log(`${level}: ${found.length}`);
  for (const { message } of found) console.log(`  ${message}`);
}
process.exitCode = changes.some(({ criticality }) => criticality.level === CriticalityLevel.Breaking) ? 1 : 0;
