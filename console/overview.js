// Is it well? What needs a person, and how each source stands.

import { pause, resume, syncNow } from './actions.js';
import { attention } from './attention.js';
import { h } from './dom.js';
import { button, progress, runLink, runState, sourceState, when } from './parts.js';
import { about, figure, isUnderWay, length, plural, share } from './words.js';

export const overview = {
  name: 'overview',
  title: 'Overview',

  render(app) {
    const { summary } = app;
    return [
      attention(app, summary),
      h(
        'section',
        { 'aria-labelledby': 'sources' },
        h('h2', { id: 'sources' }, 'Sources'),
        h('ul', { class: 'sources' }, summary.sources.map((source) => card(app, source))),
      ),
    ];
  },
};

function card(app, source) {
  const { name, provider, state, reason } = source;
  const isPaused = state === 'PAUSED';
  const run = app.latest(source.lastRun);
  return h(
    'li',
    { class: 'card', 'data-key': name, 'data-source': name },
    h('header', null, h('h3', null, name, ' ', h('small', null, provider)), sourceState(source)),
    reason && h('p', { class: 'reason' }, reason),
    h('dl', { class: 'figures' }, figures(source)),
    h('div', { class: 'last-run' },
      run
        ? [h('p', null, runLink(run), ` ${about(run)} `, runState(run), ' ', when(run.finishedAt ?? run.startedAt)), isUnderWay(run) && progress(run)]
        : h('p', { class: 'none' }, 'No run yet.')),
    h(
      'div',
      { class: 'buttons' },
      button(app, `sync ${name}`, 'Sync now', () => syncNow(app, name)),
      isPaused
        ? button(app, `pause ${name}`, 'Resume', () => resume(app, name))
        : button(app, `pause ${name}`, 'Pause', () => pause(app, name)),
    ),
  );
}

function figures(source) {
  const { freshness, drift, budget } = source;
  const usual = freshness.usualGapSeconds;
  return [
    entry('Last webhook', when(freshness.lastWebhookAt, 'none yet'), usual > 0 && `usual gap ${length(usual)}`),
    entry('Lag', freshness.lagSeconds > 0 ? length(freshness.lagSeconds) : 'none', undefined, freshness.lagSeconds >= 60 && 'warn'),
    entry('Queue', figure(source.pending), source.oldestPendingAt && ['oldest ', when(source.oldestPendingAt)]),
    entry('Parked', figure(source.parked), undefined, source.parked > 0 && 'warn'),
    entry('To approve', figure(source.deletionsWaiting), source.deletionsWaiting > 0 && 'deletions', source.deletionsWaiting > 0 && 'bad'),
    entry('Overdue', figure(source.deletionsOverdue), erasures(source), source.deletionsOverdue > 0 && 'bad'),
    entry('Drift', drift?.ratio === null || drift?.ratio === undefined ? h('span', { class: 'none' }, 'not measured') : share(drift.ratio), drift?.measuredAt && when(drift.measuredAt), drift?.ratio > 0 && 'warn'),
    entry('Last full sync', when(freshness.lastCompleteSyncAt, 'never'), source.nextRunAt && ['next ', when(source.nextRunAt)]),
    entry('Calls left', callsLeft(budget), waitingCalls(budget)),
  ];
}

/** What the figure of overdue erasures counts, and what of those done is not out of the database's files. */
function erasures({ deletionsOverdue, erasuresPending }) {
  const pending = erasuresPending > 0 ? `${figure(erasuresPending)} not clean yet` : '';
  return [deletionsOverdue > 0 ? 'erasures' : '', pending].filter(Boolean).join(', ');
}

function entry(label, value, beside, tone) {
  return h('div', { class: tone || null }, h('dt', null, label), h('dd', null, value, beside && h('small', null, beside)));
}

function callsLeft(budget) {
  if (!budget) return h('span', { class: 'none' }, 'no token');
  if (budget.pausedUntil) return ['again ', when(budget.pausedUntil)];
  if (budget.remaining === null) return 'no limit';
  return budget.limitPerMinute ? `${figure(budget.remaining)} of ${figure(budget.limitPerMinute)}` : figure(budget.remaining);
}

function waitingCalls(budget) {
  const waiting = budget ? budget.waitingLive + budget.waitingRepair + budget.waitingSync : 0;
  return waiting > 0 && `${plural(waiting, 'call')} ${waiting === 1 ? 'waits' : 'wait'}`;
}
