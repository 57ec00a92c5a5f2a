// Opens the console with a key, keeps what it shows fresh, and draws it. The queries are the truth; the stream says when
// to ask again, and how far runs are in between.

import { ask, readRunbook, Trouble } from './api.js';
import { matters } from './attention.js';
import { HEALTH, PROGRESS, SUMMARY, VIEWER } from './documents.js';
import { h, morph } from './dom.js';
import { Live } from './live.js';
import { overview } from './overview.js';
import { runbook, runHref } from './parts.js';
import { runs } from './runs.js';
import { isUnderWay } from './words.js';

/** A screen has a name, which is its address, a title, what it loads beyond the summary, and how it looks. */
const SCREENS = [overview, runs];

const KEY = 'profile-mirror key';
const EVERY_MS = 5_000;
const LONGEST_WAIT_MS = 10_000;
const NOTICE_MS = 10_000;
const ROLES = ['OPERATOR', 'ADMIN'];

const root = document.getElementById('app');

/** What is known. `phase` is locked, opening or open. */
const state = {
  phase: 'locked',
  refusal: undefined,
  key: undefined,
  viewer: undefined,
  trouble: undefined,
  tries: 0,
  stream: 'cut',
  readAt: undefined,
  place: undefined,
  data: undefined,
  notices: [],
};

/** What screens and actions are given. */
const app = {
  summary: undefined,
  runbook: undefined,
  /** Names of what is under way. */
  busy: new Set(),
  /** How this visit to the screen looks; forgotten when it is left. */
  view: {},
  ask: (query, variables, signal) => ask(state.key, query, variables, signal),
  refresh: () => refresh(),
  render: () => render(),
  /** Takes what went wrong as a sign of how the service stands. */
  meet: (trouble) => meet(trouble),
  /** Says something to the person. */
  tell(notice) {
    const known = { ...notice, id: crypto.getRandomValues(new Uint32Array(1))[0] };
    state.notices = [known, ...state.notices].slice(0, 4);
    if (notice.tone === 'good') setTimeout(() => dismiss(known.id), NOTICE_MS);
    render();
  },
  go(address) {
    location.hash = address;
  },
  look(view) {
    app.view = view;
    refresh();
  },
  /** A run as the stream has it, where that is newer. */
  latest: (run) => (run && steps.get(run.id)?.run) ?? run,
};

/** Steps of runs that came behind the last answer, by id. */
const steps = new Map();

let live;
let timer;
let soon;
let asking;
let answered;

function place() {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const [name, id] = path.split('/');
  const screen = SCREENS.find((one) => one.name === name) ?? SCREENS[0];
  return { screen, id: id && decodeURIComponent(id), query: new URLSearchParams(query) };
}

// ---- the key

function open(key) {
  state.phase = 'opening';
  state.key = key;
  state.refusal = undefined;
  state.tries = 0;
  render();
  refresh();
}

/** Forgets the key and all that it has shown. */
function lock(refusal) {
  live?.end();
  live = undefined;
  asking?.abort();
  clearTimeout(timer);
  clearTimeout(soon);
  sessionStorage.removeItem(KEY);
  steps.clear();
  app.summary = undefined;
  app.view = {};
  app.busy.clear();
  document.querySelector('dialog')?.close();
  Object.assign(state, { phase: 'locked', refusal, key: undefined, viewer: undefined, trouble: undefined, data: undefined, notices: [] });
  render();
}

function follow() {
  live = new Live(
    state.key,
    [
      { query: HEALTH, take: () => refreshSoon() },
      { query: PROGRESS, take: ({ syncProgress }) => take(syncProgress) },
    ],
    (stream) => {
      state.stream = stream;
      // What the stream is refused for, the next answer says.
      if (stream !== 'live') refreshSoon();
      render();
    },
  );
}

function take(run) {
  const known = steps.get(run.id)?.run;
  steps.set(run.id, { run, at: performance.now() });
  if (!known || known.state !== run.state || !isUnderWay(run)) refreshSoon();
  render();
}

// ---- what is shown

/** Asks soon: many rings are one question. One under way is let end first, however often it rings. */
function refreshSoon() {
  if (state.phase !== 'open' || soon) return;
  soon = setTimeout(async () => {
    await Promise.allSettled([answered]);
    soon = undefined;
    refresh();
  }, 250);
}

function refresh() {
  answered = read();
  return answered;
}

async function read() {
  if (!state.key) return;
  clearTimeout(timer);
  asking?.abort();
  const mine = new AbortController();
  asking = mine;
  const began = performance.now();
  const where = state.place;
  try {
    if (state.phase === 'opening') await enter(mine.signal);
    if (!state.key || mine !== asking) return;
    app.summary = await app.ask(SUMMARY, {}, mine.signal);
    for (const [id, { at }] of steps) if (at < began) steps.delete(id);
    if (state.phase === 'opening') {
      state.phase = 'open';
      sessionStorage.setItem(KEY, state.key);
      follow();
      render();
    }
    const data = await where.screen.load?.(app, where, mine.signal);
    if (mine !== asking) return;
    state.data = { where, data };
    if (state.trouble) live?.hurry();
    Object.assign(state, { trouble: undefined, tries: 0, readAt: Date.now() });
  } catch (trouble) {
    if (mine !== asking || mine.signal.aborted) return;
    if (!(trouble instanceof Trouble)) throw trouble;
    meet(trouble);
  }
  if (!app.runbook) fetchRunbook();
  if (!state.key) return;
  if (!document.hidden) timer = setTimeout(refresh, wait());
  render();
}

async function fetchRunbook() {
  app.runbook ??= await readRunbook();
  render();
}

/** Who has this key? Ends with the door shut where it does not reach. */
async function enter(signal) {
  const { viewer } = await app.ask(VIEWER, {}, signal);
  if (!ROLES.includes(viewer.role)) {
    lock({ code: 'FORBIDDEN', text: `The key “${viewer.name}” has the role ${viewer.role.toLowerCase()}. The console is for operators and admins.` });
    return;
  }
  state.viewer = viewer;
}

function wait() {
  if (!state.trouble) return EVERY_MS;
  const longest = Math.min(LONGEST_WAIT_MS, 1_000 * 2 ** state.tries++);
  return Math.max((state.trouble.retrySeconds ?? 0) * 1_000, longest * (0.5 + Math.random() / 2));
}

function meet(trouble) {
  if (trouble.kind === 'key') {
    lock({ code: trouble.code, text: state.viewer ? 'This key is not accepted any more.' : 'This key is not known here.' });
  } else if (trouble.kind === 'role' && !state.viewer) {
    lock({ code: trouble.code, text: trouble.message });
  } else if (trouble.code === 'PERSISTED_QUERY_REQUIRED' && !state.viewer) {
    lock({ code: 'FORBIDDEN', text: 'This key is for an application: it runs registered operations only. The console is for operators and admins.' });
  } else {
    state.trouble = trouble;
  }
}

// ---- drawing

function render() {
  const parts = state.phase === 'open' && app.summary ? opened() : closed();
  morph(root, h('div', { id: 'app', 'data-phase': state.phase }, parts));
}

function closed() {
  if (state.phase !== 'locked') {
    return [h('main', { class: 'door' }, brand('h1'), state.trouble ? [banner(), h('button', { type: 'button', onclick: () => lock() }, 'Use another key')] : h('p', null, 'Opening…'))];
  }
  document.title = 'profile-mirror console';
  const submit = (event) => {
    event.preventDefault();
    const key = document.getElementById('key').value.trim();
    if (key) open(key);
  };
  const { refusal } = state;
  return [
    h(
      'main',
      { class: 'door' },
      brand('h1'),
      h(
        'form',
        { onsubmit: submit },
        h('label', { for: 'key' }, 'Access key'),
        h('input', { id: 'key', type: 'password', autocomplete: 'off', spellcheck: 'false', required: true, 'aria-invalid': refusal && 'true', 'aria-describedby': refusal ? 'refusal key-note' : 'key-note' }),
        h('div', { id: 'refusal', role: 'alert' }, refusal && h('p', { class: 'panel bad' }, refusal.text)),
        refusal && runbook(app, refusal.code),
        h('button', { class: 'primary' }, 'Open'),
        h('p', { id: 'key-note' }, h('small', null, 'Of an operator or an admin. It stays in this tab, and is forgotten when the tab is closed.')),
      ),
    ),
  ];
}

const brand = (name) => h(name, { class: 'brand' }, h('img', { src: '/console/icon.svg', alt: '', width: '24', height: '24' }), 'profile-mirror');

function opened() {
  const { screen } = state.place;
  const needs = matters(app.summary).length;
  document.title = `${needs > 0 ? `(${needs}) ` : ''}${screen.title} · profile-mirror`;
  const isHere = state.data?.where === state.place;
  const isReady = !screen.load || isHere;
  return [
    h('a', { class: 'skip', href: '#main', onclick: skip }, 'Skip to the content'),
    h(
      'header',
      { class: 'top' },
      brand('p'),
      h('nav', { 'aria-label': 'Screens' }, SCREENS.map((one) => tab(one, one === screen, needs))),
      h('div', { class: 'who' }, connection(), h('span', { class: 'viewer' }, state.viewer.name, ' ', h('small', null, state.viewer.role.toLowerCase())), h('button', { type: 'button', onclick: () => lock() }, 'Forget key')),
    ),
    h(
      'main',
      { id: 'main', tabindex: '-1', class: state.trouble && 'stale' },
      state.trouble && banner(),
      h('div', { class: 'notices', role: 'status' }, state.notices.map(notice)),
      h('h1', { class: 'unseen' }, screen.title),
      isReady ? h('div', { 'data-key': `${screen.name} ${state.place.id ?? ''}`, class: 'screen' }, screen.render(app, state.place, state.data?.data)) : h('p', { class: 'none' }, 'Loading…'),
    ),
  ];
}

function skip(event) {
  // An address of the page is a screen.
  event.preventDefault();
  document.getElementById('main').focus();
}

function tab(screen, isHere, needs) {
  const count = screen === overview && needs > 0 && h('span', { class: 'badge' }, String(needs), h('span', { class: 'unseen' }, needs === 1 ? ' thing needs a person' : ' things need a person'));
  return h('a', { href: `#/${screen.name}`, 'aria-current': isHere && 'page' }, screen.title, count && ' ', count);
}

function connection() {
  const [word, tone, title] = state.trouble
    ? ['away', 'bad', 'The service does not answer.']
    : state.stream === 'live'
      ? ['live', 'good', 'Changes show as they happen.']
      : ['every 5 s', 'warn', 'There is no stream; the page asks every 5 seconds.'];
  return h('span', { class: `connection ${tone}`, title }, h('span', { 'aria-hidden': 'true' }, '● '), word);
}

function banner() {
  const { trouble, readAt } = state;
  const since = readAt ? ` What is shown is of ${new Date(readAt).toLocaleTimeString('en-GB')}.` : '';
  const said = {
    away: `The service is away: ${trouble.message}.${since} The page tries again by itself.`,
    rate: `This key has asked more than it may in a minute.${since} The page goes on by itself.`,
    role: `${trouble.message}.${since}`,
  };
  return h('div', { class: 'panel bad banner', role: 'alert' }, h('p', null, said[trouble.kind] ?? `Something is wrong: ${trouble.message}.${since}`), trouble.code && runbook(app, trouble.code));
}

function notice({ id, tone, text, code, runId }) {
  return h(
    'div',
    { class: `panel ${tone} notice`, 'data-key': `notice ${id}` },
    h('div', null,
      h('p', null, `${text[0].toUpperCase()}${text.slice(1)}`, code && [' ', h('small', null, h('code', null, code))], runId && [' ', h('a', { href: runHref({ id: runId }) }, 'Look at the run')]),
      code && runbook(app, code, `notice ${id}`)),
    h('button', { type: 'button', class: 'plain', 'aria-label': 'Dismiss', onclick: () => dismiss(id) }, '✕'),
  );
}

function dismiss(id) {
  state.notices = state.notices.filter((known) => known.id !== id);
  render();
}

// ---- beginning

function arrive() {
  // A key in the address is taken out of it at once; what stands behind the # never leaves the browser.
  const given = new URLSearchParams(location.hash.slice(1)).get('key');
  if (given) {
    history.replaceState(null, '', location.pathname + location.search);
    state.place = place();
    lock();
    open(given);
    return;
  }
  state.place = place();
  app.view = {};
  state.notices = [];
  render();
  if (state.phase === 'open') {
    scrollTo(0, 0);
    refresh();
  }
}

addEventListener('hashchange', arrive);
addEventListener('online', () => refresh());
document.addEventListener('visibilitychange', () => {
  clearTimeout(timer);
  if (document.hidden) return;
  live?.hurry();
  refresh();
});
// What is told as a distance from now grows by itself.
setInterval(() => !document.hidden && state.phase === 'open' && render(), 1_000);

const kept = sessionStorage.getItem(KEY);
fetchRunbook();
arrive();
if (kept && !state.key) open(kept);
