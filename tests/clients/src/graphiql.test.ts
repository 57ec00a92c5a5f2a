// The explorer in a real browser: its examples are answered, and nothing is asked of another host.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { KEY } from "./support/mirror.js";
import { openPage } from "./support/page.js";
import { startService } from "./support/service.js";
import { until } from "./support/until.js";

const { mirror } = await startService(60);
const watched = await openPage(mirror.url, `/graphiql#key=${KEY}`);
const { page } = watched;
page.setDefaultTimeout(20_000);
after(() => watched.close());

const tab = (operation: string) => page.locator(".graphiql-tab-button", { hasText: new RegExp(`^${operation}$`) });
const shown = async () => (await page.locator(".result-window").textContent()) ?? "";

/** Opens an example by its operation, runs it, and returns what is shown of its answer. */
async function answerTo(operation: string): Promise<string> {
  await tab(operation).click();
  let answer = "";
  // For a moment after another tab was opened the explorer names the operation of the one before.
  while (answer === "" || answer.includes("names no operation")) {
    await page.locator(".graphiql-execute-button").click();
    const before = answer;
    await until(`an answer to ${operation}`, async () => /"(data|errors)"/.test((answer = await shown())) && answer !== before);
  }
  return answer;
}

test("the key leaves the address, and the documentation is there", async () => {
  await tab("Profiles").waitFor();
  assert.equal(new URL(page.url()).hash, "");
  await page.getByRole("button", { name: "Show Documentation Explorer" }).click();
  await page.locator(".graphiql-doc-explorer").getByText("Query", { exact: true }).waitFor();
});

test("each query among the examples is answered without an error", async () => {
  for (const operation of ["Profiles", "Profile", "Search", "Explain", "Operations"]) {
    const answer = await answerTo(operation);
    assert.ok(!answer.includes('"errors"'), `${operation}: ${answer}`);
  }
});

test("a subscription is told over a socket of this host", async () => {
  const answer = await answerTo("Changes");
  assert.ok(answer.includes("CaughtUp"), answer);
});

test("it asked no other host, and nothing went wrong", () => {
  assert.deepEqual(watched.foreignRequests, []);
  assert.deepEqual(watched.consoleErrors, []);
});
