// Asks the service. What goes wrong is told by what a person can do about it.

const TIMEOUT_MS = 15_000;

/** Why a question was not answered. */
export class Trouble extends Error {
  /**
   * @param {'key'|'role'|'away'|'rate'|'fault'} kind what it takes: another key, another role, patience, less haste, a look
   * @param {string} message for people
   * @param {string} [code] a heading of the runbook
   * @param {number} [retrySeconds] when it is worth trying again
   */
  constructor(kind, message, code, retrySeconds) {
    super(message);
    this.kind = kind;
    this.code = code;
    this.retrySeconds = retrySeconds;
  }
}

const KIND_OF_CODE = { UNAUTHENTICATED: 'key', FORBIDDEN: 'role', RATE_LIMITED: 'rate', UNAVAILABLE: 'away' };

/** How far the service's clock is ahead of this machine's, milliseconds. */
let ahead = 0;

/** The time as the service has it. */
export const now = () => Date.now() + ahead;

function noteClock(response) {
  const theirs = Date.parse(response.headers.get('date') ?? '');
  if (Number.isNaN(theirs)) return;
  const difference = theirs - Date.now();
  // The header holds whole seconds.
  ahead = Math.abs(difference) > 2_000 ? difference : 0;
}

function troubleOf(error, response) {
  const code = error?.extensions?.code;
  const retry = error?.extensions?.retryAfterSeconds ?? Number(response.headers.get('retry-after') ?? Number.NaN);
  const kind = KIND_OF_CODE[code] ?? 'fault';
  return new Trouble(kind, error?.message ?? `answered ${response.status}`, code, Number.isNaN(retry) ? undefined : retry);
}

async function send(key, query, variables, signal) {
  try {
    return await fetch('/graphql', {
      method: 'POST',
      headers: {
        Authorization: `Bearer ${key}`,
        'Content-Type': 'application/json',
        Accept: 'application/graphql-response+json, application/json',
      },
      body: JSON.stringify({ query, variables }),
      cache: 'no-store',
      credentials: 'omit',
      signal: AbortSignal.any([AbortSignal.timeout(TIMEOUT_MS), ...(signal ? [signal] : [])]),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    const isLate = error.name === 'TimeoutError';
    throw new Trouble('away', isLate ? 'no answer within 15 seconds' : 'the service cannot be reached', 'UNAVAILABLE');
  }
}

/** The data of an answer. An error in it is a `Trouble`, also where there is data beside it. */
export async function ask(key, query, variables = {}, signal = undefined) {
  const response = await send(key, query, variables, signal);
  noteClock(response);
  let answer;
  try {
    answer = await response.json();
  } catch {
    // Not the service speaks here, but something before it.
    throw new Trouble(response.status >= 500 ? 'away' : 'fault', `answered ${response.status} without JSON`);
  }
  if (answer.errors?.length) throw troubleOf(answer.errors[0], response);
  if (!response.ok || !answer.data) throw troubleOf(undefined, response);
  return answer.data;
}

/** What the runbook says, by heading. */
export async function readRunbook() {
  try {
    const response = await fetch('/console/runbook.json', { credentials: 'omit' });
    const sections = response.ok ? await response.json() : [];
    return new Map(sections.map(({ heading, paragraphs }) => [heading, paragraphs]));
  } catch {
    return undefined;
  }
}
