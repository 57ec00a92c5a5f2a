// examples/subscriber, cut off in each way that a program can be.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, test } from "node:test";
import { changesBehind } from "./support/changes.js";
import { KEY } from "./support/mirror.js";
import { ROOT } from "./support/program.js";
import { findPeople, startService } from "./support/service.js";
import { until } from "./support/until.js";

const { mirror, upstream } = await startService();
const folder = mkdtempSync(join(tmpdir(), "profile-mirror-subscriber-"));
const running = new Set<ChildProcess>();
after(() => {
  running.forEach((child) => child.kill("SIGKILL"));
  rmSync(folder, { recursive: true });
});

interface Subscriber {
  /** Ids of the changes that it printed. */
  printed: string[];
  errors: string[];
  exit: Promise<number | null>;
  kill(): Promise<void>;
}

function subscribe(cursor: string, key = KEY): Subscriber {
  const args = [join(ROOT, "examples/subscriber/dist/main.js"), "--url", mirror.socketUrl, "--cursor", cursor];
  const child = spawn(process.execPath, args, { env: { ...process.env, PROFILE_MIRROR_KEY: key } });
  running.add(child);
  const subscriber: Subscriber = {
    printed: [],
    errors: [],
    exit: once(child, "exit").then(([code]) => code),
    async kill() {
      child.kill("SIGKILL");
      await subscriber.exit;
    },
  };
  createInterface({ input: child.stdout }).on("line", (line) => subscriber.printed.push(JSON.parse(line).change.id));
  createInterface({ input: child.stderr }).on("line", (line) => subscriber.errors.push(line));
  return subscriber;
}

test("it resumes behind its cursor after kills of itself and of the server, and tells each change once", async () => {
  const [first, second, third, fourth] = (await findPeople(mirror, 4)) as [string, string, string, string];
  const cursor = join(folder, "cursor");
  const before = (await changesBehind(mirror)).length;
  const told = async () => (await changesBehind(mirror)).slice(before);

  const one = subscribe(cursor);
  await until("the first cursor", () => existsSync(cursor));
  const start = readFileSync(cursor, "utf8");
  await upstream.setValues(first, { p_first_name: "Ada" });
  await until("a change", () => one.printed.length === 1 && readFileSync(cursor, "utf8") !== start);
  await one.kill();

  await upstream.setValues(second, { p_first_name: "Bea" });
  await until("the change that nobody is told of", async () => (await told()).length === 2);
  const two = subscribe(cursor);
  await until("the missed change", () => two.printed.length === 1);

  await mirror.stop("SIGKILL");
  await until("the cut", () => two.errors.some((line) => line.startsWith("cut off")));
  await mirror.elsewhere(async () => {
    await upstream.setValues(third, { p_first_name: "Cleo" });
    await mirror.sync({ source: "crm", profiles: [{ key: { source: "crm", externalId: third } }] });
  });
  await mirror.resume();
  await upstream.setValues(fourth, { p_first_name: "Dora" });
  await until("the last change", async () => (await told()).length === 4);
  await until("what happened meanwhile", () => two.printed.length === 3);
  assert.deepEqual([...one.printed, ...two.printed], await told());
  await two.kill();
});

test("it ends with the reason where trying again would not help", async () => {
  const refused = subscribe(join(folder, "never"), "no such key");
  assert.equal(await refused.exit, 1);
  assert.match(refused.errors.at(-1)!, /^stopped: 4403 Forbidden/);
  assert.equal(existsSync(join(folder, "never")), false);
});
