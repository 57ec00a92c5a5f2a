// What does a sync do, and may it? The runs, and one of them with what it found gone.

import { approve, cancel, reject } from './actions.js';
import { ONE_RUN, RUNS } from './documents.js';
import { h } from './dom.js';
import { button, counts, progress, runbook, runHref, runLink, runState, when } from './parts.js';
import { about, figure, isCancellable, isUnderWay, lower, moment, plural, taken } from './words.js';

const PAGE = 25;
const SAMPLE = 10;
const MOST = 100;

/** What the list may be narrowed to. */
const STATES = {
  open: ['Under way or waiting', ['PLANNED', 'RUNNING', 'SWEEPING', 'WAITING_FOR_APPROVAL']],
  waiting: ['Waiting for you', ['WAITING_FOR_APPROVAL']],
  failed: ['Failed', ['FAILED']],
  done: ['Done', ['DONE']],
  cancelled: ['Cancelled', ['CANCELLED']],
};

export const runs = {
  name: 'runs',
  title: 'Runs',

  /** What the screen asks for; `place` is what the address says. */
  async load(app, { id, query }, signal) {
    if (id) return loadOne(app, id, signal);
    const states = STATES[query.get('state')]?.[1];
    const source = query.get('source') || undefined;
    const filter = { ...(states && { states }), ...(source && { source }) };
    const { syncRuns } = await app.ask(RUNS, { filter, first: PAGE, after: query.get('after') }, signal);
    return { list: syncRuns };
  },

  render(app, { id, query }, data) {
    return id ? one(app, data) : list(app, query, data.list);
  },
};

async function loadOne(app, id, signal) {
  const { names, all } = app.view;
  const isWaiting = app.summary.waiting.nodes.some((run) => run.id === id);
  const variables = { id, first: all ? MOST : SAMPLE, state: isWaiting ? 'ABSENT' : null, names: Boolean(names) };
  const { node } = await app.ask(ONE_RUN, variables, signal);
  return { run: node };
}

function list(app, query, { nodes, pageInfo }) {
  const here = (changes) => {
    const next = new URLSearchParams(query);
    for (const [key, value] of Object.entries({ after: '', ...changes })) value ? next.set(key, value) : next.delete(key);
    return next.size > 0 ? `#/runs?${next}` : '#/runs';
  };
  const narrow = (key) => (event) => app.go(here({ [key]: event.target.value }));
  const isNarrowed = query.has('source') || query.has('state');
  return [
    h(
      'form',
      { class: 'filter', onsubmit: (event) => event.preventDefault() },
      choice('source', 'Source', query, [['', 'All'], ...app.summary.sources.map(({ name }) => [name, name])], narrow('source')),
      choice('state', 'State', query, [['', 'All'], ...Object.entries(STATES).map(([key, [label]]) => [key, label])], narrow('state')),
    ),
    nodes.length === 0
      ? h('p', { class: 'none' }, isNarrowed ? 'No run is like this.' : 'No run yet: “Sync now” of a source begins one.')
      : h('ul', { class: 'runs' }, nodes.map((run) => row(app, app.latest(run)))),
    h(
      'nav',
      { class: 'buttons', 'aria-label': 'Pages of runs' },
      query.has('after') && h('a', { class: 'button', href: here({}) }, 'Newest'),
      pageInfo.hasNextPage && h('a', { class: 'button', href: here({ after: pageInfo.endCursor }) }, 'Older'),
    ),
  ];
}

function choice(name, label, query, options, onchange) {
  const id = `filter-${name}`;
  const texts = options.map(([value, text]) => h('option', { value }, text));
  return h('span', { class: 'field' }, h('label', { for: id }, label), h('select', { id, onchange, value: query.get(name) ?? '' }, texts));
}

function row(app, run) {
  return h(
    'li',
    { class: 'run', 'data-key': run.id, 'data-run': run.number },
    h('div', { class: 'what' }, h('strong', null, runLink(run)), ` ${run.source.name}`, h('small', null, about(run))),
    h('div', { class: 'state' }, runState(run), isUnderWay(run) && progress(run)),
    h('div', { class: 'why' }, cause(run), h('small', null, 'began ', when(run.startedAt), run.finishedAt ? `, took ${taken(run)}` : '')),
    h('div', { class: 'found' }, counts(run), run.error && h('small', { class: 'error' }, run.error)),
    h('div', { class: 'buttons' },
      isCancellable(run) && button(app, `decide ${run.id}`, 'Cancel', () => cancel(app, run)),
      run.state === 'WAITING_FOR_APPROVAL' && h('a', { class: 'button primary', href: runHref(run) }, 'Decide')),
  );
}

const cause = ({ cause, requestedBy }) => (requestedBy ? `${cause}, ${requestedBy}` : cause);

function one(app, { run: known }) {
  if (!known?.source) return h('p', { class: 'none' }, 'There is no such run any more. ', h('a', { href: '#/runs' }, 'All runs'));
  const run = app.latest(known);
  return [
    h('p', { class: 'back' }, h('a', { href: '#/runs' }, 'All runs')),
    h('header', { class: 'title' }, h('h2', null, `Run ${run.number} of ${run.source.name}`), runState(run)),
    run.state === 'WAITING_FOR_APPROVAL' && decision(app, run, known),
    run.error && run.state !== 'WAITING_FOR_APPROVAL' && h('p', { class: `panel ${run.state === 'FAILED' ? 'bad' : ''}` }, run.error,
      run.retryAt && [' It is tried again ', when(run.retryAt), '.']),
    isCancellable(run) && h('section', { class: 'panel' }, isUnderWay(run) && progress(run),
      h('div', { class: 'buttons' }, button(app, `decide ${run.id}`, 'Cancel this run', () => cancel(app, run)))),
    h('dl', { class: 'figures wide' }, details(run)),
    run.plan && h('p', null, `As a plan it would change ${plural(run.plan.kinds.reduce((sum, { count }) => sum + count, 0), 'record')} `,
      `(${run.plan.kinds.map(({ kind, count }) => `${figure(count)} ${lower(kind)}`).join(', ') || 'none'}) `,
      `and ask for ${plural(run.plan.candidateCount, 'missing record')} by id.`),
    run.state !== 'WAITING_FOR_APPROVAL' && known.deletionCandidates.nodes.length > 0 && h(
      'section',
      { 'aria-labelledby': 'missing' },
      h('h3', { id: 'missing' }, 'What none of its pages named'),
      candidates(app, known.deletionCandidates, run.counts.candidates),
    ),
  ];
}

function details(run) {
  const entry = (label, value) => h('div', null, h('dt', null, label), h('dd', null, value));
  return [
    entry('About', about(run)),
    entry('Cause', cause(run)),
    entry('Began', h('time', { datetime: run.startedAt }, moment(run.startedAt))),
    (run.finishedAt || isUnderWay(run)) && entry(run.finishedAt ? 'Took' : 'Goes on for', taken(run)),
    entry('Pages', figure(run.pages)),
    entry('Rows', run.rowsExpected ? `${figure(run.rowsSeen)} of ${figure(run.rowsExpected)}` : figure(run.rowsSeen)),
    entry('Counted', counts(run)),
    run.attempt > 1 && entry('Try', figure(run.attempt)),
    run.decidedBy && entry('Decided by', [run.decidedBy, ' ', when(run.decidedAt)]),
  ];
}

function decision(app, run, known) {
  const count = run.deletionsWaiting;
  const back = run.counts.absent - count;
  return h(
    'section',
    { class: 'panel bad', 'aria-labelledby': 'decision', 'data-deletions': count },
    h('h3', { id: 'decision' }, count > 0 ? `${plural(count, 'deletion')} ${count === 1 ? 'waits' : 'wait'} for you` : 'Nothing of it is left to delete'),
    h('p', null, run.error),
    back > 0 && h('p', null, `${plural(back, 'record')} of the ${figure(run.counts.absent)} that it found gone ${back === 1 ? 'has' : 'have'} been heard of since, and ${back === 1 ? 'stays' : 'stay'}.`),
    count > 0 && candidates(app, known.deletionCandidates, count),
    runbook(app, 'DELETIONS_NEED_APPROVAL'),
    h(
      'div',
      { class: 'buttons' },
      count > 0 && button(app, `decide ${run.id}`, `Approve ${plural(count, 'deletion')}…`, () => approve(app, run), 'danger'),
      button(app, `decide ${run.id}`, count > 0 ? `Reject ${plural(count, 'deletion')}…` : 'Reject…', () => reject(app, run)),
    ),
  );
}

/** Some of what is missing. Names are not even asked for until somebody wants to see them, and go when the screen is left. */
function candidates(app, { nodes, pageInfo }, count) {
  const { names, all } = app.view;
  const show = (changes) => () => app.look({ ...app.view, ...changes });
  const name = ({ profile }) => {
    if (!profile) return h('span', { class: 'none' }, '–');
    // The answer with the names may be on its way still.
    if (!names || profile.displayName === undefined) return h('span', { class: 'masked' }, h('span', { 'aria-hidden': 'true' }, '•••••••'), h('span', { class: 'unseen' }, 'hidden'));
    return profile.displayName ?? h('span', { class: 'none' }, 'no name');
  };
  return [
    h(
      'div',
      { class: 'table', tabindex: '0', role: 'region', 'aria-label': 'Missing records' },
      h(
        'table',
        { class: 'candidates' },
        h('thead', null, h('tr', null, ['Upstream id', 'What', 'Name', 'Status', 'Last confirmed', 'Found'].map((title) => h('th', { scope: 'col' }, title)))),
        h('tbody', null, nodes.map((node) => h(
          'tr',
          { 'data-key': `${node.recordKind} ${node.externalId}` },
          h('th', { scope: 'row' }, h('code', null, node.externalId)),
          h('td', null, node.profile?.type?.name ?? lower(node.recordKind)),
          h('td', null, name(node)),
          h('td', null, node.profile ? lower(node.profile.status) : '–'),
          h('td', null, when(node.profile?.mirroredAt)),
          h('td', null, lower(node.state)),
        ))),
      ),
    ),
    h(
      'div',
      { class: 'buttons small' },
      h('button', { type: 'button', onclick: show({ names: !names }), 'aria-pressed': String(Boolean(names)) }, names ? 'Hide names' : 'Show names'),
      pageInfo.hasNextPage && !all && h('button', { type: 'button', onclick: show({ all: true }) }, `Show ${figure(Math.min(MOST, count))}`),
      h('small', null, nodes.length < count ? `${figure(nodes.length)} of ${figure(count)} are shown.` : 'All are shown.'),
    ),
  ];
}
