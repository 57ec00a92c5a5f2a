// Runs every server audit of graphql-http against the real program, each as a test of its own.
// PROFILE_MIRROR_BIN names the program; the debug build is the default.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { serverAudits } from 'graphql-http';

const program = process.env.PROFILE_MIRROR_BIN ?? resolve('../../../target/debug/profile-mirror');
const key = 'key-for-http-audits';

let folder, service, url;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'http-audits-'));
  const config = `
    [server]
    listen = "127.0.0.1:0"
    [database]
    url = "sqlite://${join(folder, 'mirror.db')}"
    [access]
    keys = [{ name = "audits", role = "reader", key = { env = "AUDITS_KEY" } }]
  `;
  await writeFile(join(folder, 'mirror.toml'), config);
  service = spawn(program, ['serve', '--config', join(folder, 'mirror.toml')], {
    env: { ...process.env, AUDITS_KEY: key },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  url = await address(service);
}, { timeout: 30_000 });

after(async () => {
  if (service?.exitCode === null) {
    const ended = new Promise((resolve) => service.once('exit', resolve));
    service.kill('SIGTERM');
    await ended;
  }
  if (folder) await rm(folder, { recursive: true });
}, { timeout: 30_000 });

/** The address in the line that the program prints once it is ready. */
async function address(service) {
  const failed = new Promise((_, reject) => {
    service.once('error', reject);
    service.once('exit', (code) => reject(new Error(`the program ended with ${code} before it was ready`)));
  });
  const ready = (async () => {
    for await (const line of createInterface({ input: service.stdout })) {
      const found = line.match(/^listening on (http:\S+)$/);
      if (found) return `${found[1]}/graphql`;
    }
    throw new Error('the program did not say where it listens');
  })();
  return Promise.race([ready, failed]);
}

function fetchWithKey(target, init = {}) {
  return fetch(target, { ...init, headers: { ...init.headers, authorization: `Bearer ${key}` } });
}

const audits = serverAudits({ url: () => url, fetchFn: fetchWithKey });

test('every audit of the suite is here', () => assert.equal(audits.length, 61));

for (const audit of audits) {
  test(`${audit.id} ${audit.name}`, { timeout: 10_000 }, async () => {
    const result = await audit.fn();
    assert.equal(result.status, 'ok', result.reason);
  });
}
