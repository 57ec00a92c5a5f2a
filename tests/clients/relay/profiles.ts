// What a page written with Relay would ask: a list that pages, a profile that reads more of itself, live changes.

declare const graphql: (document: TemplateStringsArray) => unknown;

export const list = graphql`
  fragment profiles_list on Query
  @argumentDefinitions(
    first: { type: "Int", defaultValue: 20 }
    after: { type: "String" }
    filter: { type: "ProfileFilter" }
  )
  @refetchable(queryName: "profilesListPageQuery") {
    profiles(first: $first, after: $after, filter: $filter) @connection(key: "profiles_list_profiles") {
      totalCount
      edges {
        node {
          id
          ...profiles_row
        }
      }
    }
  }
`;

export const listQuery = graphql`
  query profilesListQuery($filter: ProfileFilter) {
    ...profiles_list @arguments(filter: $filter)
    viewer {
      name
    }
  }
`;

export const row = graphql`
  fragment profiles_row on Profile {
    displayName
    email
    status
    source {
      name
    }
  }
`;

export const subprofiles = graphql`
  fragment profiles_subprofiles on Profile
  @argumentDefinitions(first: { type: "Int", defaultValue: 5 }, after: { type: "String" })
  @refetchable(queryName: "profilesSubprofilesPageQuery") {
    subprofiles(first: $first, after: $after) @connection(key: "profiles_subprofiles_subprofiles") {
      edges {
        node {
          id
          externalId
        }
      }
    }
  }
`;

export const history = graphql`
  fragment profiles_history on Profile
  @argumentDefinitions(last: { type: "Int", defaultValue: 5 }, before: { type: "String" })
  @refetchable(queryName: "profilesHistoryPageQuery") {
    history(last: $last, before: $before) @connection(key: "profiles_history_history") {
      edges {
        node {
          kind
          at
          fields {
            name
            before
            after
          }
        }
      }
    }
  }
`;

export const detailQuery = graphql`
  query profilesDetailQuery($by: ProfileRef!) {
    profile(by: $by) {
      id
      ...profiles_row
      ...profiles_subprofiles
      ...profiles_history
    }
  }
`;

export const changesQuery = graphql`
  query profilesChangesQuery {
    ...profiles_changes
  }
`;

export const changes = graphql`
  fragment profiles_changes on Query
  @argumentDefinitions(first: { type: "Int", defaultValue: 10 }, after: { type: "Cursor" })
  @refetchable(queryName: "profilesChangesPageQuery") {
    changes(first: $first, after: $after) @connection(key: "profiles_changes_changes") {
      edges {
        node {
          id
          kind
        }
      }
    }
  }
`;

export const live = graphql`
  subscription profilesLiveSubscription($after: Cursor) {
    profileChanges(after: $after) {
      __typename
      ... on ProfileChange {
        cursor
        profile {
          ...profiles_row
        }
      }
      ... on CaughtUp {
        cursor
      }
      ... on CursorExpired {
        oldest
      }
    }
  }
`;

export const resync = graphql`
  mutation profilesResyncMutation($input: ResyncInput!) {
    resync(input: $input) {
      run {
        id
        state
      }
      problems {
        code
        message
      }
    }
  }
`;
