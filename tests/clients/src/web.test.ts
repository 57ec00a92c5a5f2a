// examples/web in a real browser.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { changesBehind } from "./support/changes.js";
import { KEY } from "./support/mirror.js";
import { openPage, servePage } from "./support/page.js";
import { findPeople, startService } from "./support/service.js";
import { until } from "./support/until.js";

const { mirror, upstream } = await startService(240);
const site = await servePage(mirror.url);
const watched = await openPage(site.url, `/#key=${KEY}`);
const { page } = watched;
page.setDefaultTimeout(20_000);
after(async () => {
  await watched.close();
  await site.close();
});

const rows = () => page.locator("tbody tr");
const untilLive = () => page.locator(".connection.live").waitFor();
const row = (profile: string) => page.locator(`tr[data-profile="${profile}"]`);

/** Ids of the changes on the page, oldest first. */
async function shownChanges(): Promise<string[]> {
  const items = await page.locator("[data-change]").all();
  const ids = await Promise.all(items.map((item) => item.getAttribute("data-change")));
  return ids.reverse() as string[];
}

/** Shows only what one person's row needs. */
async function narrowTo(person: string): Promise<void> {
  const { profile } = await mirror.ask<{ profile: { email: string } }>(
    "query ($key: ProfileKey!) { profile(by: { key: $key }) { email } }",
    { key: { source: "crm", externalId: person } },
  );
  await page.getByLabel("Name or e-mail").fill(profile.email);
  await row(person).waitFor();
}

test("it opens with a key that leaves the address bar, and lists profiles", async () => {
  await untilLive();
  await until("a page of profiles", async () => (await rows().count()) === 25);
  assert.equal(new URL(page.url()).hash, "");
});

test("it reads on, until everybody is there once", async () => {
  const { profiles } = await mirror.ask<{ profiles: { totalCount: number } }>("{ profiles(first: 1) { totalCount } }");
  for (let count = 25; count < profiles.totalCount; count = Math.min(count + 25, profiles.totalCount)) {
    await until(`${count} rows`, async () => (await rows().count()) === count);
    await page.getByRole("button", { name: "More" }).click();
  }
  await until("the last row", async () => (await rows().count()) === profiles.totalCount);
  const names = await page.locator("tbody tr").evaluateAll((all) => all.map((one) => one.textContent));
  assert.equal(names.length, profiles.totalCount);
  assert.equal(await page.getByRole("button", { name: "More" }).count(), 0);
});

test("it filters by source and by status", async () => {
  await page.getByLabel("Source").selectOption("crm");
  await page.getByLabel("Status").selectOption("CLOSED");
  const document = `{ profiles(first: 1, filter: { source: { eq: "crm" }, status: { eq: CLOSED } }) { totalCount } }`;
  const { profiles } = await mirror.ask<{ profiles: { totalCount: number } }>(document);
  await page.getByText(`of ${profiles.totalCount}`, { exact: false }).waitFor();
  const statuses = await page.locator("tbody .status").allTextContents();
  assert.ok(statuses.length > 0 && statuses.every((status) => status === "closed"), String(statuses));
  await page.getByLabel("Status").selectOption("");
});

test("a change upstream shows in the list by itself", async () => {
  const [person] = await findPeople(mirror, 1);
  await narrowTo(person!);
  await upstream.setValues(person!, { p_first_name: "Quentin" });
  await row(person!).getByText(/^Quentin /).waitFor();
  assert.equal((await shownChanges()).length, 1);
});

test("after a kill of the server it goes on behind the last change that it saw", async () => {
  const [first, second, third] = (await findPeople(mirror, 3)) as [string, string, string];
  const [oldest] = await shownChanges();
  assert.deepEqual(watched.consoleErrors, []);

  await mirror.stop("SIGKILL");
  await page.locator(".connection.cut").waitFor();
  await mirror.elsewhere(async () => {
    await upstream.setValues(first, { p_first_name: "Ramona" });
    await upstream.close(second);
    const key = (externalId: string) => ({ key: { source: "crm", externalId } });
    await mirror.sync({ source: "crm", profiles: [key(first), key(second)] });
  });
  await mirror.resume();
  await untilLive();
  await row(first).getByText(/^Ramona /).waitFor();
  await upstream.setValues(third, { p_first_name: "Sophie" });
  await page.locator("[data-change]").getByText(/Sophie /).waitFor();

  const shown = await shownChanges();
  assert.ok(shown.length >= 4, "one before, two while it was cut off, one after");
  const log = await changesBehind(mirror);
  assert.deepEqual(shown, log.slice(log.indexOf(oldest!)));
});

test("it says so where the key is not known", async () => {
  const other = await openPage(site.url, "/");
  await other.page.getByLabel("Access key").fill("no such key");
  await other.page.getByRole("button", { name: "Open" }).click();
  await other.page.getByRole("alert").getByText("This key is not known.").waitFor();
  await other.close();
});

test("it asked no other host, and nothing went wrong but what the cut explains", () => {
  assert.deepEqual(watched.foreignRequests, []);
  const unexpected = watched.consoleErrors.filter((text) => !/WebSocket connection to '.*\/graphql' failed/.test(text));
  assert.deepEqual(unexpected, []);
});
