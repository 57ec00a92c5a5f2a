// examples/web as its readers run it: built, served by vite with its proxy to the mirror, in a browser without a screen.

import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import { ROOT } from "./program.js";

const FOLDER = join(ROOT, "examples/web");

/** Serves the built page, and hands `/graphql` on to the mirror at this address. */
export async function servePage(mirrorUrl: string): Promise<{ url: string; close(): Promise<void> }> {
  process.env.MIRROR_URL = mirrorUrl;
  const { preview } = await import(pathToFileURL(createRequire(`${FOLDER}/`).resolve("vite")).href);
  const server = await preview({ root: FOLDER, preview: { port: 0 }, logLevel: "silent" });
  return { url: server.resolvedUrls.local[0], close: () => server.close() };
}

/** A page in Chromium, and what it did that no page should do. */
export interface Watched {
  page: Page;
  consoleErrors: string[];
  foreignRequests: string[];
  close(): Promise<void>;
}

/** Opens a page and notes each error on its console and each request to another host. */
export async function openPage(url: string, path: string): Promise<Watched> {
  const profile = mkdtempSync(join(tmpdir(), "profile-mirror-chromium-"));
  const context: BrowserContext = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    // What is needed as root, and what keeps the browser from calling home.
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
    viewport: { width: 1200, height: 900 },
  });
  const page = await context.newPage();
  const watched: Watched = {
    page,
    consoleErrors: [],
    foreignRequests: [],
    async close() {
      await context.close();
      rmSync(profile, { recursive: true, force: true });
    },
  };
  const origin = new URL(url).host;
  const note = (requested: string) => {
    if (new URL(requested).host !== origin && !requested.startsWith("data:")) watched.foreignRequests.push(requested);
  };
  page.on("request", (request) => note(request.url()));
  page.on("websocket", (socket) => note(socket.url()));
  page.on("console", (message) => message.type() === "error" && watched.consoleErrors.push(message.text()));
  page.on("pageerror", (error) => watched.consoleErrors.push(String(error)));
  await page.goto(new URL(path, url).href);
  return watched;
}
