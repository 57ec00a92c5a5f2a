import { after } from "node:test";
import { Mirror } from "./mirror.js";
import { Upstream } from "./upstream.js";

export interface Service {
  mirror: Mirror;
  upstream: Upstream;
}

/** Starts a mirror with its providers for the tests of a file, and ends both after them. */
export async function startService(profiles = 120): Promise<Service> {
  const upstream = await Upstream.start(profiles);
  const mirror = await Mirror.start(upstream);
  after(async () => {
    await mirror.remove();
    await upstream.stop();
  });
  return { mirror, upstream };
}

/** Some open people of Parallel, whose first names can be changed upstream. */
export async function findPeople(mirror: Mirror, count: number): Promise<string[]> {
  const { profiles } = await mirror.ask<{ profiles: { nodes: { externalId: string; field: unknown }[] } }>(
    `{ profiles(first: 100, filter: { source: { eq: "crm" }, status: { eq: OPEN }, kind: { eq: INDIVIDUAL } }) {
      nodes { externalId field(name: "p_first_name") { text } }
    } }`,
  );
  const found = profiles.nodes.filter(({ field }) => field !== null).map(({ externalId }) => externalId);
  if (found.length < count) throw new Error(`there are ${found.length} people, and ${count} are needed`);
  return found.slice(0, count);
}
