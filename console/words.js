// How figures, times and states read.

import { now } from './api.js';

const WHOLE = new Intl.NumberFormat('en');
const MOMENT = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });
const UNITS = [
  ['d', 86_400],
  ['h', 3_600],
  ['min', 60],
  ['s', 1],
];

export const figure = (count) => WHOLE.format(count ?? 0);

export const plural = (count, one, many = `${one}s`) => `${figure(count)} ${count === 1 ? one : many}`;

export const share = (ratio) => (ratio === 0 ? '0 %' : ratio < 0.0001 ? '< 0.01 %' : `${(ratio * 100).toPrecision(2)} %`);

export const moment = (at) => MOMENT.format(new Date(at));

/** Seconds in at most two units: `3 h 20 min`. */
export function length(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const first = UNITS.findIndex(([, size]) => whole >= size);
  if (first < 0) return '0 s';
  const [unit, size] = UNITS[first];
  const rest = UNITS[first + 1] && Math.floor((whole % size) / UNITS[first + 1][1]);
  const head = `${Math.floor(whole / size)} ${unit}`;
  return rest ? `${head} ${rest} ${UNITS[first + 1][0]}` : head;
}

/** How long ago, or in how long. */
export function ago(at) {
  const seconds = (now() - Date.parse(at)) / 1000;
  if (Math.abs(seconds) < 1.5) return 'just now';
  return seconds > 0 ? `${length(seconds)} ago` : `in ${length(-seconds)}`;
}

/** How long a run has taken. */
export const taken = ({ startedAt, finishedAt }) =>
  length(((finishedAt ? Date.parse(finishedAt) : now()) - Date.parse(startedAt)) / 1000);

export const STATES = {
  RUNNING: { word: 'running', mark: '●', tone: 'good' },
  DEGRADED: { word: 'degraded', mark: '▲', tone: 'warn' },
  PAUSED: { word: 'paused', mark: '❚❚', tone: 'still' },
};

export const RUN_STATES = {
  PLANNED: { word: 'about to begin', mark: '○', tone: 'busy' },
  RUNNING: { word: 'reading', mark: '●', tone: 'busy' },
  SWEEPING: { word: 'sweeping', mark: '●', tone: 'busy' },
  WAITING_FOR_APPROVAL: { word: 'waits for you', mark: '▲', tone: 'bad' },
  DONE: { word: 'done', mark: '✓', tone: 'good' },
  FAILED: { word: 'failed', mark: '✕', tone: 'bad' },
  CANCELLED: { word: 'cancelled', mark: '–', tone: 'still' },
};

const STAGES = {
  LISTING_PROFILES: 'looking for profiles that no page named',
  LISTING_SUBPROFILES: 'looking for subprofiles that no page named',
  SAMPLING: 'asking for some of the missing by id',
  VERIFYING: 'asking for each of the missing by id',
  BURYING: 'deleting what is gone',
};

export const stage = (run) => (run.state === 'SWEEPING' ? STAGES[run.stage] : undefined);

/** What a run passes through, in words. */
export function about(run) {
  if (run.kind === 'NAMED') return plural(run.named ?? 0, 'named profile');
  const lists = run.kind === 'INCREMENTAL' ? 'what changed' : run.profileType ? `type ${run.profileType}` : 'all lists';
  return run.isPlan ? `plan of ${lists}` : lists;
}

export const isUnderWay = ({ state }) => ['PLANNED', 'RUNNING', 'SWEEPING'].includes(state);

/** Whether cancelling it ends anything: it goes on, or has failed and would be tried again. */
export const isCancellable = (run) => isUnderWay(run) || Boolean(run.retryAt);

/** The name of a status, a kind or a decision as people write it. */
export const lower = (word) => word.toLowerCase().replaceAll('_', ' ');
