import { NetworkStatus } from "@apollo/client";
import { useQuery } from "@apollo/client/react";
import { useDeferredValue, useMemo } from "react";
import { filterOf, type Wanted, wordsOf } from "./Filters";
import type { ProfileChange } from "./follow";
import { type ProfileRowFragment, ProfilesDocument } from "./generated";

interface Props {
  wanted: Wanted;
  changes: ProfileChange[];
}

export function ProfileList({ wanted, changes }: Props) {
  const filter = useDeferredValue(useMemo(() => filterOf(wanted), [wanted]));
  const { data, previousData, error, networkStatus, fetchMore, refetch } = useQuery(ProfilesDocument, {
    variables: { filter },
    notifyOnNetworkStatusChange: true,
  });
  // While another filter is asked for, what was there stays: an empty table would jump.
  const profiles = (data ?? previousData)?.profiles;
  if (!profiles) return <p className="quiet">{error ? error.message : "Loading…"}</p>;

  const shown = new Set(profiles.edges.map(({ node }) => node.id));
  const isNewer = changes.some(({ change, profile }) => change.kind === "CREATED" && profile && !shown.has(profile.id));
  const isBusy = networkStatus !== NetworkStatus.ready && networkStatus !== NetworkStatus.error;
  return (
    <>
      {error && <p role="alert">{error.message}</p>}
      <table aria-busy={isBusy}>
        <caption>
          {profiles.edges.length} of {profiles.totalCount}
          {isNewer && (
            <button type="button" className="plain" onClick={() => void refetch()}>
              New profiles came: read again
            </button>
          )}
        </caption>
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col">E-mail</th>
            <th scope="col">Source</th>
            <th scope="col">Status</th>
          </tr>
        </thead>
        <tbody>
          {profiles.edges.map(({ node }) => {
            const last = changes.find(({ profile }) => profile?.id === node.id);
            // With a new key the row is a new element, and lights up once more.
            return <Row key={`${node.id} ${last?.change.id}`} profile={node} hasChanged={last !== undefined} />;
          })}
        </tbody>
      </table>
      {profiles.pageInfo.hasNextPage && (
        <button
          type="button"
          disabled={isBusy}
          onClick={() => void fetchMore({ variables: { after: profiles.pageInfo.endCursor } })}
        >
          {networkStatus === NetworkStatus.fetchMore ? "Loading…" : "More"}
        </button>
      )}
    </>
  );
}

function Row({ profile, hasChanged }: { profile: ProfileRowFragment; hasChanged: boolean }) {
  return (
    <tr className={hasChanged ? "changed" : undefined} data-profile={profile.externalId}>
      <th scope="row">{profile.displayName ?? <span className="quiet">no name</span>}</th>
      <td>{profile.email}</td>
      <td>
        {profile.source.name}
        {profile.type && <span className="quiet"> {profile.type.name}</span>}
      </td>
      <td>
        <span className={`status ${profile.status}`}>{wordsOf(profile.status)}</span>
      </td>
    </tr>
  );
}
