// What the page asks. A test holds each document against the schema.

const RUN = `fragment Run on SyncRun {
  id number kind isPlan profileType named state stage progress cause requestedBy startedAt finishedAt attempt retryAt
  pages rowsSeen rowsExpected error decidedBy decidedAt deletionsWaiting
  counts { seen created updated unchanged conflicts candidates absent deleted }
  source { name }
}`;

const PROBLEMS = `fragment Problems on Problem { code message runId }`;

/** Who asks: enough to tell whether the console is for them. */
export const VIEWER = `query ConsoleViewer { viewer { name role } }`;

/** How everything stands. */
export const SUMMARY = `query ConsoleSummary {
  sources {
    name provider state reason pausedAt pausedBy pauseReason pending oldestPendingAt parked
    deletionsWaiting deletionsOverdue erasuresPending nextRunAt
    freshness {
      lagSeconds lastWebhookAt lastAppliedAt lastCompleteSyncAt lastRefusalAt refusals silenceSeconds usualGapSeconds
    }
    budget { limitPerMinute remaining concurrency waitingLive waitingRepair waitingSync pausedUntil }
    drift { ratio measuredAt estimate { sampled differed } }
    lastRun { ...Run }
  }
  waiting: syncRuns(filter: { states: [WAITING_FOR_APPROVAL] }, first: 50) { nodes { ...Run } }
  parked: deliveries(filter: { states: [PARKED] }, first: 50) { nodes { source { name } reason receivedAt } }
}
${RUN}`;

/** A page of runs. */
export const RUNS = `query ConsoleRuns($filter: SyncRunFilter, $first: Int!, $after: String) {
  syncRuns(filter: $filter, first: $first, after: $after) {
    nodes { ...Run }
    pageInfo { hasNextPage endCursor }
  }
}
${RUN}`;

/** One run. What it found gone comes without names unless they are asked for. */
export const ONE_RUN = `query ConsoleRun($id: ID!, $first: Int!, $state: CandidateState, $names: Boolean!) {
  node(id: $id) {
    ... on SyncRun {
      ...Run
      plan { candidateCount kinds { kind count } }
      deletionCandidates(first: $first, state: $state) {
        nodes {
          externalId recordKind state
          profile { status mirroredAt type { name } displayName @include(if: $names) }
        }
        pageInfo { hasNextPage }
      }
    }
  }
}
${RUN}`;

/** How many deletions of a run wait at this moment. */
export const DELETIONS = `query ConsoleDeletions($id: ID!) { node(id: $id) { ... on SyncRun { state deletionsWaiting } } }`;

export const RESYNC = `mutation ConsoleResync($source: String!, $request: String!) {
  done: resync(input: { source: $source, clientMutationId: $request }) { run { ...Run } problems { ...Problems } }
}
${RUN}
${PROBLEMS}`;

export const PAUSE = `mutation ConsolePause($source: String!, $reason: String!) {
  done: pauseSource(source: $source, reason: $reason) { problems { ...Problems } }
}
${PROBLEMS}`;

export const RESUME = `mutation ConsoleResume($source: String!) {
  done: resumeSource(source: $source) { problems { ...Problems } }
}
${PROBLEMS}`;

export const CANCEL = `mutation ConsoleCancel($run: ID!) {
  done: cancelSync(run: $run) { run { ...Run } problems { ...Problems } }
}
${RUN}
${PROBLEMS}`;

export const APPROVE = `mutation ConsoleApprove($run: ID!) {
  done: approveDeletions(run: $run) { run { ...Run } problems { ...Problems } }
}
${RUN}
${PROBLEMS}`;

export const REJECT = `mutation ConsoleReject($run: ID!) {
  done: rejectDeletions(run: $run) { run { ...Run } problems { ...Problems } }
}
${RUN}
${PROBLEMS}`;

/** Rings when a source stands otherwise. */
export const HEALTH = `subscription ConsoleHealth { sourceHealth { name state reason } }`;

/** Each step of each run. */
export const PROGRESS = `subscription ConsoleProgress { syncProgress { ...Run } }
${RUN}`;
