// What needs a person, most urgent first.

import { resume } from './actions.js';
import { h } from './dom.js';
import { button, runbook, runHref, when } from './parts.js';
import { plural } from './words.js';

/** Fewer refusals may be anybody's. */
const REFUSALS = 2;

/** What the service says of a source that is not well, what that is in short, and the runbook's heading for it. */
const TROUBLES = [
  ['no complete sync', 'full syncs fail', 'When full syncs fail'],
  ['heard nothing', 'hears nothing', 'When a source hears nothing'],
  ['not applied', 'falls behind', 'When deliveries are not applied'],
];

/**
 * @typedef {object} Matter
 * @property {string} key tells it from others
 * @property {'bad'|'warn'} tone how urgent
 * @property {string} title the matter in one line
 * @property {(Node|string|null)[]} text what there is to know
 * @property {string} [href] where to go on
 * @property {string} [go] what one does there
 * @property {string} [heading] of the runbook
 * @property {(app: object) => Node} [action] what can be done here
 */

/** @returns {Matter[]} */
export function matters({ sources, waiting, parked }) {
  const found = waiting.nodes.map(deletions);
  for (const source of sources) {
    const own = [refused, standstill, unwell, overdue, failed].map((look) => look(source)).filter(Boolean);
    const ofIt = parked.nodes.filter((delivery) => delivery.source.name === source.name);
    found.push(...own, ...(source.parked > 0 ? [needsReading(source, ofIt)] : []));
  }
  const order = { bad: 0, warn: 1 };
  return found.sort((one, other) => order[one.tone] - order[other.tone]);
}

function deletions(run) {
  const count = run.deletionsWaiting;
  const title = count > 0
    ? `${run.source.name}: ${plural(count, 'deletion')} ${count === 1 ? 'waits' : 'wait'} for you`
    : `${run.source.name}: run ${run.number} waits for you, and nothing of it is left to delete`;
  return {
    key: `deletions ${run.id}`,
    tone: 'bad',
    title,
    text: [run.error],
    href: runHref(run),
    go: 'Look and decide',
    heading: 'DELETIONS_NEED_APPROVAL',
  };
}

function refused({ name, state, reason, freshness }) {
  if (freshness.refusals < REFUSALS) return undefined;
  const isTold = state === 'DEGRADED' && reason?.includes('refuses every webhook');
  return {
    key: `refused ${name}`,
    tone: 'bad',
    title: `${name}: ${plural(freshness.refusals, 'webhook')} refused, none accepted since`,
    text: [isTold ? `${reason}. ` : '', 'The last one was refused ', when(freshness.lastRefusalAt), '.'],
    heading: 'When a source refuses everything',
  };
}

function standstill({ name, state, pausedAt, pausedBy, pauseReason }) {
  if (state !== 'PAUSED') return undefined;
  return {
    key: `paused ${name}`,
    tone: pausedBy ? 'warn' : 'bad',
    title: pausedBy ? `${name}: paused by ${pausedBy}` : `${name}: paused itself`,
    text: ['Since ', when(pausedAt), `: ${pauseReason ?? 'no reason is given'}`],
    heading: 'SOURCE_PAUSED',
    action: (app) => button(app, `pause ${name}`, 'Resume', () => resume(app, name)),
  };
}

/** What the service says is wrong, where nothing else here says it. */
function unwell({ name, state, reason, deletionsWaiting, freshness }) {
  const isToldElsewhere = freshness.refusals >= REFUSALS || deletionsWaiting > 0 || reason?.includes('waits for approval');
  if (state !== 'DEGRADED' || isToldElsewhere) return undefined;
  const [, what, heading] = TROUBLES.find(([said]) => reason?.includes(said)) ?? ['', 'is not well'];
  return {
    key: `unwell ${name}`,
    tone: 'bad',
    title: `${name}: ${what}`,
    text: [reason],
    heading,
  };
}

function overdue({ name, deletionsOverdue }) {
  if (deletionsOverdue === 0) return undefined;
  return {
    key: `overdue ${name}`,
    tone: 'bad',
    title: `${name}: ${plural(deletionsOverdue, 'erasure')} overdue`,
    text: ['Their scheduled deletion was due more than a day ago, and upstream has neither carried it out nor called it off.'],
    heading: 'When a deletion is overdue',
  };
}

function failed({ name, lastRun }) {
  if (lastRun?.state !== 'FAILED') return undefined;
  return {
    key: `failed ${name}`,
    tone: 'warn',
    title: `${name}: run ${lastRun.number} failed`,
    text: [lastRun.error ?? '', lastRun.retryAt ? ' It is tried again ' : '', lastRun.retryAt ? when(lastRun.retryAt) : '', lastRun.retryAt ? '.' : ''],
    href: runHref(lastRun),
    go: 'Look at it',
    heading: 'When full syncs fail',
  };
}

function needsReading({ name, parked }, deliveries) {
  const reasons = new Map();
  for (const { reason } of deliveries) reasons.set(reason ?? 'no reason', (reasons.get(reason ?? 'no reason') ?? 0) + 1);
  const [[most, count] = []] = [...reasons].sort(([, one], [, other]) => other - one);
  return {
    key: `parked ${name}`,
    tone: 'warn',
    title: `${name}: ${plural(parked, 'parked delivery', 'parked deliveries')}`,
    text: most ? [count < parked ? 'Most often: ' : '', most] : [],
    heading: 'Parked deliveries',
  };
}

export function attention(app, summary) {
  const all = matters(summary);
  if (all.length === 0) {
    return h('section', { class: 'calm', 'aria-label': 'What needs a person' },
      h('p', null, h('span', { 'aria-hidden': 'true' }, '✓ '), 'Nothing needs a person.'));
  }
  return h(
    'section',
    { 'aria-labelledby': 'attention' },
    h('h2', { id: 'attention' }, `${plural(all.length, 'thing')} ${all.length === 1 ? 'needs' : 'need'} a person`),
    h('ul', { class: 'matters' }, all.map((matter) => item(app, matter))),
  );
}

function item(app, { key, tone, title, text, href, go, heading, action }) {
  return h(
    'li',
    { class: `matter ${tone}`, 'data-key': key },
    h('div', null,
      h('h3', null, title),
      text.some(Boolean) && h('p', null, text),
      heading && runbook(app, heading, key)),
    h('div', { class: 'buttons' }, action?.(app), href && h('a', { class: 'button primary', href }, go)),
  );
}
