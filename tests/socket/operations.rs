//! Operations: their messages, their ids, and the races between the two ends.

use super::*;
use simulator::ProviderKind;

#[test]
fn a_query_and_a_mutation_are_one_result_and_the_end() {
    with_service(async |app| {
        let mut frames = Frames::greeted(app).await;
        frames.say(subscribe("a", VIEWER)).await;
        frames.hear_viewer("a").await;
        frames.say(subscribe("b", "mutation { __typename }")).await;
        let next = frames.hear_message().await;
        assert_eq!((&next["type"], &next["id"]), (&json!("next"), &json!("b")));
        assert_eq!(next["payload"]["data"], json!({ "__typename": "Mutation" }));
        assert_eq!(frames.hear_message().await, complete("b"));
        assert_eq!(frames.hear_until_pong().await, Vec::<Value>::new());
    });
}

#[test]
fn the_operation_is_chosen_by_its_name_and_takes_variables() {
    with_service(async |app| {
        let mut frames = Frames::greeted(app).await;
        let query = "query A { viewer { role } } query B($with: Boolean!) { viewer { name role @include(if: $with) } }";
        let payload = json!({ "query": query, "operationName": "B", "variables": { "with": false } });
        frames.say(json!({ "id": "a", "type": "subscribe", "payload": payload })).await;
        frames.hear_viewer("a").await;
    });
}

#[test]
fn operations_of_all_kinds_run_side_by_side() {
    with_service(async |app| {
        let mut frames = Frames::greeted(app).await;
        frames.start_changes("one").await;
        frames.start_changes("two").await;
        frames.say(subscribe("three", VIEWER)).await;
        frames.hear_viewer("three").await;
        app.simulator.random_history(ProviderKind::Copernica, 20);
        app.settle().await;
        let (mut one, mut two) = (0, 0);
        while one < 3 || two < 3 {
            let message = frames.hear_message().await;
            assert_eq!(message["type"], "next");
            match message["id"].as_str() {
                Some("one") => one += 1,
                Some("two") => two += 1,
                _ => panic!("{message}"),
            }
        }
    });
}

#[test]
fn an_id_in_use_closes_with_4409_whatever_it_is_used_for() {
    with_service(async |app| {
        for query in [CHANGES, VIEWER, "{"] {
            let mut frames = Frames::greeted(app).await;
            frames.start_changes("a").await;
            frames.say(subscribe("a", query)).await;
            assert_eq!(frames.hear().await, Heard::Closed(4409, "Subscriber for a already exists".into()), "{query}");
        }
    });
}

#[test]
fn ids_are_those_of_one_socket() {
    with_service(async |app| {
        let (mut one, mut other) = (Frames::greeted(app).await, Frames::greeted(app).await);
        one.start_changes("a").await;
        other.start_changes("a").await;
        one.say(complete("a")).await;
        assert_eq!(one.hear_until_pong().await, Vec::<Value>::new());
        app.simulator.random_history(ProviderKind::Copernica, 20);
        app.settle().await;
        for _ in 0..3 {
            assert_eq!(other.hear_message().await["id"], "a");
        }
        assert_eq!(one.hear_until_pong().await, Vec::<Value>::new());
    });
}

#[test]
fn an_id_is_free_again_once_its_operation_is_over() {
    with_service(async |app| {
        let mut frames = Frames::greeted(app).await;
        frames.say(subscribe("a", VIEWER)).await;
        frames.hear_viewer("a").await;
        frames.say(subscribe("a", "{ nothing }")).await;
        assert_eq!(frames.hear_message().await["type"], "error");
        frames.start_changes("a").await;
        frames.say(complete("a")).await;
        frames.start_changes("a").await;
        frames.say_at_once([complete("a"), subscribe("a", VIEWER)]).await;
        frames.hear_viewer("a").await;
    });
}

#[test]
fn what_is_refused_before_it_runs_is_one_error_and_nothing_after_it() {
    with_service(async |app| {
        let mut frames = Frames::greeted(app).await;
        let bomb = format!("{{ node(id: {}1{}) {{ id }} }}", "[".repeat(1_500), "]".repeat(1_500));
        let cases = [
            ("", "GRAPHQL_PARSE_FAILED"),
            ("{", "GRAPHQL_PARSE_FAILED"),
            ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
            ("subscription { nothing }", "GRAPHQL_VALIDATION_FAILED"),
            ("query A { viewer { name } } query B { viewer { name } }", "GRAPHQL_VALIDATION_FAILED"),
            ("query($id: ID!) { node(id: $id) { id } }", "BAD_USER_INPUT"),
            (bomb.as_str(), "QUERY_TOO_DEEP"),
            ("subscription { profileChanges(after: \"x\") { __typename } }", "CURSOR_INVALID"),
            ("subscription { syncProgress { id } }", "FORBIDDEN"),
        ];
        for (query, expected) in cases {
            frames.say(subscribe("a", query)).await;
            let error = frames.hear_message().await;
            assert_eq!((&error["type"], &error["id"]), (&json!("error"), &json!("a")), "{query}");
            let errors = error["payload"].as_array().expect("a list of errors");
            assert!(errors.iter().all(|error| error["message"].is_string()), "{error}");
            assert_eq!(errors[0]["extensions"]["code"], expected);
            assert_eq!(frames.hear_until_pong().await, Vec::<Value>::new(), "nothing comes after an error");
        }
    });
}

#[test]
fn an_error_of_a_field_is_part_of_the_result() {
    with_service(async |app| {
        let mut frames = Frames::greeted(app).await;
        frames.say(subscribe("a", "{ viewer { name } profiles(first: 1, last: 1) { totalCount } }")).await;
        let next = frames.hear_message().await;
        assert_eq!(next["type"], "next", "{next}");
        assert_eq!(next["payload"]["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
        assert_eq!(next["payload"]["errors"][0]["path"], json!(["profiles"]));
        assert_eq!(frames.hear_message().await, complete("a"));
    });
}

#[test]
fn after_a_client_completes_nothing_of_the_operation_comes() {
    with_service(async |app| {
        let mut frames = Frames::greeted(app).await;
        frames.start_changes("a").await;
        frames.start_changes("b").await;
        frames.say(complete("a")).await;
        assert_eq!(frames.hear_until_pong().await, Vec::<Value>::new(), "a completion is not answered");
        app.simulator.random_history(ProviderKind::Copernica, 20);
        app.settle().await;
        for _ in 0..3 {
            assert_eq!(frames.hear_message().await["id"], "b");
        }
        assert!(frames.hear_until_pong().await.iter().all(|message| message["id"] == "b"));
    });
}

#[test]
fn a_query_that_is_completed_at_once_sends_nothing_later() {
    with_service(async |app| {
        let mut frames = Frames::greeted(app).await;
        for round in 0..50 {
            let id = format!("q{round}");
            frames.say_at_once([subscribe(&id, VIEWER), complete(&id)]).await;
            // What was under way when the completion came in is allowed; behind it nothing is.
            frames.hear_until_pong().await;
            assert_eq!(frames.hear_until_pong().await, Vec::<Value>::new());
        }
    });
}

#[test]
fn a_completion_of_what_is_over_or_never_was_is_ignored() {
    with_service(async |app| {
        let mut frames = Frames::greeted(app).await;
        frames.say(complete("never")).await;
        frames.say(subscribe("a", VIEWER)).await;
        frames.hear_viewer("a").await;
        frames.say_at_once([complete("a"), complete("a")]).await;
        assert_eq!(frames.hear_until_pong().await, Vec::<Value>::new());
    });
}

#[test]
fn a_document_may_be_named_by_its_hash() {
    with_service(async |app| {
        let mut frames = Frames::greeted(app).await;
        // The SHA-256 of VIEWER.
        let hash = "3f9a5fe58741fdcb3ba59d8cc865ce0c081b65bca09f7904bc81277be1bdd3f0";
        let extensions = json!({ "persistedQuery": { "version": 1, "sha256Hash": hash } });
        let by_hash = json!({ "id": "a", "type": "subscribe", "payload": { "extensions": extensions } });
        frames.say(by_hash.clone()).await;
        let error = frames.hear_message().await;
        assert_eq!(error["payload"][0]["extensions"]["code"], "PERSISTED_QUERY_NOT_FOUND");
        let payload = json!({ "query": VIEWER, "extensions": extensions });
        frames.say(json!({ "id": "a", "type": "subscribe", "payload": payload })).await;
        frames.hear_viewer("a").await;
        frames.say(by_hash).await;
        frames.hear_viewer("a").await;
    });
}
