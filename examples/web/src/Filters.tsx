import type { LifecycleStatus, ProfileFilter, StartQuery } from "./generated";

/** What the reader asked for; an empty text stands for anything. */
export interface Wanted {
  text: string;
  status: LifecycleStatus | "";
  source: string;
}

const STATUSES: LifecycleStatus[] = ["OPEN", "CLOSED", "SCHEDULED_FOR_DELETION", "ANONYMIZED", "DELETED"];

export function filterOf({ text, status, source }: Wanted): ProfileFilter {
  return {
    ...(text && { or: [{ displayName: { contains: text } }, { email: { contains: text } }] }),
    ...(status && { status: { eq: status } }),
    ...(source && { source: { eq: source } }),
  };
}

export function wordsOf(status: string): string {
  return status.toLowerCase().replaceAll("_", " ");
}

interface Props {
  wanted: Wanted;
  sources: StartQuery["sources"];
  onChange(wanted: Wanted): void;
}

export function Filters({ wanted, sources, onChange }: Props) {
  return (
    <form role="search" className="filters" onSubmit={(event) => event.preventDefault()}>
      <label>
        Name or e-mail
        <input type="search" value={wanted.text} onChange={(event) => onChange({ ...wanted, text: event.target.value })} />
      </label>
      <label>
        Status
        <select
          value={wanted.status}
          onChange={(event) => onChange({ ...wanted, status: event.target.value as Wanted["status"] })}
        >
          <option value="">any but deleted</option>
          {STATUSES.map((status) => (
            <option key={status} value={status}>
              {wordsOf(status)}
            </option>
          ))}
        </select>
      </label>
      <label>
        Source
        <select value={wanted.source} onChange={(event) => onChange({ ...wanted, source: event.target.value })}>
          <option value="">any</option>
          {sources.map((source) => (
            <option key={source.id}>{source.name}</option>
          ))}
        </select>
      </label>
    </form>
  );
}
