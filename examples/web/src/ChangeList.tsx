import { wordsOf } from "./Filters";
import type { ProfileChange } from "./follow";

export function ChangeList({ changes }: { changes: ProfileChange[] }) {
  return (
    <aside aria-labelledby="changes">
      <h2 id="changes">Changes</h2>
      {changes.length === 0 && <p className="quiet">None yet.</p>}
      <ol aria-live="polite">
        {changes.map(({ change, profile }) => (
          <li key={change.id} data-change={change.id}>
            <div>
              <span className="kind">{wordsOf(change.kind)}</span> {profile?.displayName ?? change.recordId}
            </div>
            <time dateTime={change.at}>{new Date(change.at).toLocaleTimeString()}</time>
            {change.fields.length > 0 && (
              <p className="quiet">{change.fields.map(({ name }) => name).join(", ")}</p>
            )}
          </li>
        ))}
      </ol>
    </aside>
  );
}
