// What a person may set off: the service's own mutations, each asked for again where it cannot be taken back.

import { Trouble } from './api.js';
import { APPROVE, CANCEL, DELETIONS, PAUSE, REJECT, RESUME, RESYNC } from './documents.js';
import { confirm, h } from './dom.js';
import { figure, plural } from './words.js';

/** Requests for a sync that may not have arrived, by source: the same one again soon after does not begin a second run. */
const requests = new Map();

/** A request is another one after this long: the run of the first may be over. */
const SAME_REQUEST_MS = 60_000;

// Not `randomUUID`: browsers have it over TLS only.
const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');

/** Sends a mutation, and tells what became of it. */
async function act(app, name, query, variables, done) {
  if (app.busy.has(name)) return;
  app.busy.add(name);
  app.render();
  try {
    const { done: payload } = await app.ask(query, variables);
    const [problem] = payload.problems;
    if (problem) app.tell({ tone: 'bad', text: problem.message, code: problem.code, runId: problem.runId });
    else app.tell({ tone: 'good', text: done(payload) });
    return payload;
  } catch (trouble) {
    if (!(trouble instanceof Trouble)) throw trouble;
    const text = trouble.kind === 'away' ? `${trouble.message}: whether it was done shows once the service is back` : trouble.message;
    app.tell({ tone: 'bad', text, code: trouble.code });
    app.meet(trouble);
  } finally {
    app.busy.delete(name);
    app.refresh();
  }
}

export async function syncNow(app, source) {
  const known = requests.get(source);
  const isSame = known && performance.now() - known.at < SAME_REQUEST_MS;
  const request = isSame ? known.id : newId();
  requests.set(source, isSame ? known : { id: request, at: performance.now() });
  const done = ({ run }) => `Run ${run.number} of ${source} was asked for.`;
  const payload = await act(app, `sync ${source}`, RESYNC, { source, request }, done);
  if (payload) requests.delete(source);
}

export async function pause(app, source) {
  const reason = await confirm({
    title: `Pause ${source}?`,
    body: [h('p', null, 'Nothing is fetched, and a sync waits at its page, until somebody resumes it. Webhooks are still kept and applied.')],
    field: { label: 'Why', hint: 'for those who find it paused' },
    confirm: `Pause ${source}`,
  });
  if (reason) await act(app, `pause ${source}`, PAUSE, { source, reason }, () => `Source ${source} stands still.`);
}

export async function resume(app, source) {
  await act(app, `pause ${source}`, RESUME, { source }, () => `Source ${source} goes on.`);
}

export async function cancel(app, run) {
  const agreed = await confirm({
    title: `Cancel run ${run.number} of ${run.source.name}?`,
    body: [h('p', null, run.retryAt ? 'It is not tried again. ' : 'It ends within a page. ', 'What it has applied or deleted stays so, and nothing more is deleted.')],
    confirm: `Cancel run ${run.number}`,
  });
  if (agreed) await act(app, `decide ${run.id}`, CANCEL, { run: run.id }, () => `Run ${run.number} was cancelled.`);
}

export async function approve(app, run) {
  const count = run.deletionsWaiting;
  const agreed = await confirm({
    title: `Delete ${plural(count, 'record')} of ${run.source.name}?`,
    body: [
      h('p', null, `No list of run ${run.number} named ${count === 1 ? 'it' : 'them'}, and asked for by id upstream found nothing either. `,
        'Approving takes ', h('strong', null, `all ${figure(count)}`), ' out of what clients see, and tells subscribers of each.'),
      h('p', null, 'It cannot be taken back from here: a record comes back only when the provider shows it again.'),
    ],
    confirm: `Delete ${figure(count)}`,
    isGrave: true,
  });
  if (!agreed || !(await isStill(app, run))) return;
  const done = () => `${plural(count, 'deletion')} of run ${run.number} approved: source ${run.source.name} carries them out.`;
  await act(app, `decide ${run.id}`, APPROVE, { run: run.id }, done);
}

export async function reject(app, run) {
  const count = run.deletionsWaiting;
  const agreed = await confirm({
    title: `Keep ${plural(count, 'record')} of ${run.source.name}?`,
    body: [
      h('p', null, `Run ${run.number} ends and deletes nothing. If they are gone upstream, the next full sync asks again.`),
      h('p', null, 'If they are there, look for a lost permission or a filter at the provider.'),
    ],
    confirm: `Reject ${plural(count, 'deletion')}`,
  });
  if (!agreed) return;
  const done = () => `${plural(count, 'deletion')} of run ${run.number} rejected: everything stays.`;
  await act(app, `decide ${run.id}`, REJECT, { run: run.id }, done);
}

/** Whether as many deletions wait as were agreed to. */
async function isStill(app, run) {
  try {
    const { node } = await app.ask(DELETIONS, { id: run.id });
    if (node?.state !== 'WAITING_FOR_APPROVAL' || node.deletionsWaiting === run.deletionsWaiting) return true;
    const text = `${plural(node.deletionsWaiting, 'deletion')} wait now, not ${figure(run.deletionsWaiting)}: look again.`;
    app.tell({ tone: 'bad', text });
  } catch (trouble) {
    if (!(trouble instanceof Trouble)) throw trouble;
    app.tell({ tone: 'bad', text: `${trouble.message}: nothing was approved`, code: trouble.code });
    app.meet(trouble);
  }
  app.refresh();
  return false;
}
