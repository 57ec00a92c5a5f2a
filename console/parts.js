// What more than one screen shows.

import { h, inline } from './dom.js';
import { ago, figure, moment, RUN_STATES, stage, STATES } from './words.js';

const UNKNOWN = { mark: '?', tone: 'still' };

function pill({ word, mark, tone }) {
  return h('span', { class: `pill ${tone}` }, h('span', { 'aria-hidden': 'true' }, mark), ` ${word}`);
}

export const sourceState = ({ state }) => pill(STATES[state] ?? { ...UNKNOWN, word: state });

export const runState = ({ state }) => pill(RUN_STATES[state] ?? { ...UNKNOWN, word: state });

/** A moment as its distance from now; the moment itself is its title. */
export const when = (at, otherwise = '–') =>
  at ? h('time', { datetime: at, title: moment(at) }, ago(at)) : h('span', { class: 'none' }, otherwise);

export const runHref = (run) => `#/runs/${encodeURIComponent(run.id)}`;

export const runLink = (run) => h('a', { href: runHref(run) }, `run ${run.number}`);

/** A button for something that may be under way. */
export function button(app, name, label, action, kind = '') {
  const isBusy = app.busy.has(name);
  return h(
    'button',
    { type: 'button', class: kind, onclick: action, 'aria-disabled': isBusy && 'true', 'data-busy': isBusy },
    label,
  );
}

/** What the runbook says under a heading, folded in. */
export function runbook(app, heading, key) {
  const paragraphs = app.runbook?.get(heading);
  if (!paragraphs) return null;
  return h(
    'details',
    { class: 'runbook', 'data-key': `runbook ${key ?? heading}` },
    h('summary', null, 'What the runbook says'),
    h('div', null, paragraphs.map((text) => h('p', null, inline(text)))),
  );
}

/** How far a run is. */
export function progress(run) {
  const known = stage(run);
  const isOpen = run.progress === null || run.progress === undefined || run.state === 'PLANNED';
  // As long as some lists are still to be begun, those that have told are not all.
  const all = run.rowsExpected > run.rowsSeen ? ` of ${isOpen ? 'at least ' : ''}${figure(run.rowsExpected)}` : '';
  const text = known ?? (run.state === 'PLANNED' ? 'waits for the holder of the source' : `${figure(run.rowsSeen)}${all} rows`);
  return h(
    'div',
    { class: 'progress' },
    h('progress', { max: '1', value: isOpen ? undefined : run.progress, 'aria-label': `progress of run ${run.number}` }),
    h('small', null, text),
  );
}

/** Counts of a run that are not zero. */
export function counts(run) {
  const { counts } = run;
  const told = [
    ['created', counts.created],
    ['updated', counts.updated],
    ['unchanged', counts.unchanged],
    ['in conflict', counts.conflicts],
    ['missing', counts.candidates],
    ['deleted', counts.deleted],
  ].filter(([, count]) => count > 0);
  if (told.length === 0) return h('span', { class: 'none' }, 'nothing counted');
  return h('span', { class: 'counts' }, told.map(([word, count]) => h('span', null, h('b', null, figure(count)), ` ${word}`)));
}
