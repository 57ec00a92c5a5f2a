// The ops page in a real browser, against the real service.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, test } from "node:test";
import { KEY, READER_KEY } from "./support/mirror.js";
import { openPage } from "./support/page.js";
import { startService } from "./support/service.js";
import { until } from "./support/until.js";

const GONE = 8;
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const { mirror, upstream } = await startService(60);
const watched = await openPage(mirror.url, "/console");
const { page } = watched;
page.setDefaultTimeout(20_000);
after(() => watched.close());

const card = (source: string) => page.locator(`[data-source="${source}"]`);
const button = (name: string | RegExp) => page.getByRole("button", { name, exact: true });
const matter = (name: string | RegExp) => page.getByRole("listitem").filter({ has: page.getByRole("heading", { name }) });
const isOpen = () => page.locator("#app[data-phase=open]").waitFor();

async function enter(key: string): Promise<void> {
  await page.getByLabel("Access key").fill(key);
  await button("Open").click();
}

/** What axe holds against the page as it is, in light and dark: serious and worse. */
async function faults(): Promise<string[]> {
  const found: string[] = [];
  for (const colorScheme of ["dark", "light"] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.evaluate(AXE);
    const { violations } = await page.evaluate<{ violations: Violation[] }>("axe.run()");
    const grave = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
    found.push(...grave.map(({ id, nodes }) => `${colorScheme} ${id}: ${nodes.map(({ target }) => target).join("; ")}`));
  }
  return found;
}

interface Violation {
  id: string;
  impact: string;
  nodes: { target: string[] }[];
}

/** Whether the page at this width scrolls sideways. */
async function overflows(width: number): Promise<boolean> {
  const before = page.viewportSize()!;
  await page.setViewportSize({ width, height: 800 });
  const isWider = await page.evaluate("document.documentElement.scrollWidth > innerWidth");
  await page.setViewportSize(before);
  return isWider as boolean;
}

test("without a key it shows nothing, and says what is wrong with one that does not reach", async () => {
  await page.getByLabel("Access key").waitFor();
  assert.deepEqual(await faults(), []);
  await enter("no such key");
  await page.getByRole("alert").getByText("This key is not known here.").waitFor();
  await enter(READER_KEY);
  await page.getByRole("alert").getByText("has the role reader").waitFor();
  assert.equal(await page.evaluate("sessionStorage.length + localStorage.length"), 0, "a refused key is not kept");
});

test("an operator's key opens it, stays in the tab, and survives that the page is loaded again", async () => {
  await enter(KEY);
  await isOpen();
  await page.getByText("Nothing needs a person.").waitFor();
  await page.locator(".connection.good").waitFor();
  for (const source of ["marketing", "crm", "people"]) await card(source).getByText("running").waitFor();
  await page.reload();
  await isOpen();
  assert.equal(await page.evaluate("localStorage.length"), 0);
  assert.deepEqual(await faults(), []);
  assert.ok(!(await overflows(360)));
});

test("a key in the address opens it and leaves the address", async () => {
  await button("Forget key").click();
  await page.getByLabel("Access key").waitFor();
  await page.goto(`${mirror.url}/console#key=${KEY}`);
  await isOpen();
  assert.equal(new URL(page.url()).hash, "");
});

test("a source is paused with a reason, and resumed where it needs a person", async () => {
  await card("people").getByRole("button", { name: "Pause" }).click();
  await page.getByLabel("Why").fill("the provider moves house");
  await page.keyboard.press("Enter");
  await matter("people: paused by first").getByText("the provider moves house").waitFor();
  await card("people").locator("header .pill").getByText("paused").waitFor();
  const { source } = await mirror.ask<{ source: object }>(`{ source(name: "people") { state pauseReason } }`);
  assert.deepEqual(source, { state: "PAUSED", pauseReason: "the provider moves house" });
  await matter("people: paused by first").getByRole("button", { name: "Resume" }).click();
  await page.getByText("Nothing needs a person.").waitFor();
});

test("webhooks that are all refused need a person", async () => {
  for (const id of ["evt1", "evt2"]) {
    const body = JSON.stringify({ id, type: "PROFILE_CLOSED", profileId: "prof1" });
    const headers = { "Content-Type": "application/json" };
    assert.equal((await fetch(`${mirror.url}/webhooks/crm`, { method: "POST", headers, body })).status, 401);
  }
  const refused = matter("crm: 2 webhooks refused, none accepted since");
  await refused.getByText("What the runbook says").click();
  await refused.getByText("Providers give up on an endpoint").waitFor();
});

test("deletions past the brake stand first, are looked at with names masked, and approved by their number", async () => {
  const document = `{ profiles(first: 100, filter: { source: { eq: "marketing" } }) { nodes { externalId displayName } } }`;
  const { profiles } = await mirror.ask<{ profiles: { nodes: { externalId: string; displayName: string | null }[] } }>(document);
  const gone = profiles.nodes.filter(({ displayName }) => displayName !== null).slice(0, GONE);
  assert.equal(gone.length, GONE);
  await upstream.deleteSilently(gone.map(({ externalId }) => externalId));
  await card("marketing").getByRole("button", { name: "Sync now" }).click();
  await page.getByText(/^Run \d+ of marketing was asked for/).waitFor();

  const waiting = matter(/^marketing: \d+ deletions wait for you$/);
  await waiting.waitFor();
  assert.ok((await page.locator(".matter").first().textContent())?.includes("marketing"), "most urgent first");
  const shown = `{ source(name: "marketing") { deletionsWaiting } }`;
  const { source } = await mirror.ask<{ source: { deletionsWaiting: number } }>(shown);
  const count = source.deletionsWaiting;
  assert.ok(count >= GONE, "what hung on them is gone too");
  await waiting.getByText(new RegExp(`${GONE} of \\d+ profiles .*are gone upstream`)).waitFor();
  await card("marketing").getByText("degraded").waitFor();

  await card("marketing").getByRole("button", { name: "Sync now" }).click();
  const refused = page.getByRole("status");
  await refused.getByText("DELETIONS_NEED_APPROVAL").waitFor();
  await refused.getByText("What the runbook says").waitFor();
  await refused.getByRole("link", { name: "Look at the run" }).click();

  await page.getByRole("heading", { name: `${count} deletions wait for you` }).waitFor();
  const held = async (text: string) => ((await page.locator("#app").textContent()) ?? "").includes(text);
  await page.locator("tbody tr").first().waitFor();
  for (const { displayName } of gone) assert.ok(!(await held(displayName!)), "a name is not even asked for");
  assert.deepEqual(await faults(), []);
  assert.ok(!(await overflows(360)));
  await button("Show names").click();
  await until("the names", () => held(gone[0]!.displayName!));

  await button(`Approve ${count} deletions…`).click();
  const dialog = page.getByRole("dialog", { name: `Delete ${count} records of marketing?` });
  await dialog.waitFor();
  assert.deepEqual(await faults(), []);
  await page.keyboard.press("Enter");
  await dialog.waitFor({ state: "detached" });
  await page.getByRole("heading", { name: `${count} deletions wait for you` }).waitFor();
  const { source: kept } = await mirror.ask<{ source: { deletionsWaiting: number } }>(shown);
  assert.equal(kept.deletionsWaiting, count, "Enter alone deletes nothing");

  await button(`Approve ${count} deletions…`).click();
  await dialog.getByRole("button", { name: `Delete ${count}`, exact: true }).click();
  await page.getByText(`${count} deletions of run`, { exact: false }).waitFor();
  await page.locator("header.title").getByText("done").waitFor();
  const { profiles: left } = await mirror.ask<{ profiles: { nodes: { externalId: string }[] } }>(document);
  const ids = new Set(left.nodes.map(({ externalId }) => externalId));
  assert.ok(gone.every(({ externalId }) => !ids.has(externalId)));

  await page.getByRole("link", { name: "Overview" }).click();
  await card("marketing").getByText("running").waitFor();
  assert.equal(await waiting.count(), 0, "and they wait no more");
});

test("runs are listed with what they counted, and narrowed by the address", async () => {
  await page.getByRole("link", { name: "Runs", exact: true }).click();
  await until("the runs", async () => (await page.locator(".run").count()) === 4);
  assert.deepEqual(await faults(), []);
  assert.ok(!(await overflows(360)));
  await page.getByLabel("Source").selectOption("crm");
  await until("the runs of one source", async () => (await page.locator(".run").count()) === 1);
  assert.match(page.url(), /source=crm/);
  await page.reload();
  await until("the same after a reload", async () => (await page.locator(".run").count()) === 1);
  assert.equal(await page.getByLabel("Source").inputValue(), "crm");
});

test("the first key press leads past the header, and all is reached by keyboard", async () => {
  await page.goto(`${mirror.url}/console#/overview`);
  await isOpen();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate("document.activeElement.textContent"), "Skip to the content");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate("document.activeElement.id"), "main");
});

test("a run that fails while upstream is away says when it is tried again, and is cancelled", async () => {
  await upstream.stop();
  await card("people").getByRole("button", { name: "Sync now" }).click();
  const failed = matter(/^people: run \d+ failed$/);
  // Seven calls, with growing pauses between them.
  await failed.getByText("It is tried again").waitFor({ timeout: 90_000 });
  await failed.getByRole("link", { name: "Look at it" }).click();

  await button("Cancel this run").click();
  const dialog = page.getByRole("dialog", { name: /^Cancel run \d+ of people\?$/ });
  await dialog.getByText("It is not tried again.").waitFor();
  await dialog.getByRole("button", { name: /^Cancel run \d+$/ }).click();
  await page.locator("header.title").getByText("cancelled").waitFor();
  assert.equal(await button("Cancel this run").count(), 0, "there is nothing left to cancel");
  const { source } = await mirror.ask<{ source: object }>(`{ source(name: "people") { lastRun { state retryAt } } }`);
  assert.deepEqual(source, { lastRun: { state: "CANCELLED", retryAt: null } });
  await page.getByRole("link", { name: "Overview" }).click();
});

test("it says that the service is away, keeps what it showed, and comes back by itself", async () => {
  assert.deepEqual(watched.consoleErrors.filter((text) => !/status of 401/.test(text)), [], "nothing went wrong so far");
  await mirror.stop("SIGKILL");
  await page.getByRole("alert").getByText("The service is away").waitFor();
  await card("crm").waitFor();
  assert.deepEqual(await faults(), []);
  await mirror.resume();
  await page.locator(".connection.good").waitFor();
  await until("the warning to go", async () => (await page.getByRole("alert").count()) === 0);
});

test("it asked no other host, and nothing went wrong but what the tests did", () => {
  assert.deepEqual(watched.foreignRequests, []);
  const expected = /status of 401|ERR_CONNECTION_|ERR_EMPTY_RESPONSE|WebSocket connection to '.*\/graphql' failed/;
  assert.deepEqual(watched.consoleErrors.filter((text) => !expected.test(text)), []);
});
