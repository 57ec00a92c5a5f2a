//! The schema as a whole: what it is, who may ask, and what is asked of it elsewhere. Answers are in `over_a_mirror`.

mod over_a_mirror;

use super::*;
use async_graphql::{Request, Value};
use tokio_util::task::TaskTracker;

#[test]
fn the_schema_in_the_repository_is_the_schema_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema.graphql");
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(path, sdl()).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(kept == sdl(), "schema.graphql differs from the code: write it anew with `profile-mirror schema`");
}

/// Everything a client reads in the explorer has a description.
#[tokio::test]
async fn every_type_field_argument_and_value_is_described() {
    let query = "{ __schema { types { name kind description
        fields { name description args { name description } }
        inputFields { name description } enumValues { name description } } } }";
    let answer = builder().finish().execute(query).await.into_result().unwrap();
    let answer = answer.data.into_json().unwrap();
    let mut silent = Vec::new();
    for kind in answer["__schema"]["types"].as_array().unwrap() {
        let name = kind["name"].as_str().unwrap();
        let is_built_in = name.starts_with("__") || matches!(name, "Int" | "Float" | "String" | "Boolean" | "ID");
        if is_built_in {
            continue;
        }
        let mut check = |place: String, one: &serde_json::Value| {
            if one["description"].as_str().is_none_or(str::is_empty) {
                silent.push(place);
            }
        };
        check(name.to_owned(), kind);
        for list in ["fields", "inputFields", "enumValues"] {
            for part in kind[list].as_array().into_iter().flatten() {
                let place = format!("{name}.{}", part["name"].as_str().unwrap());
                check(place.clone(), part);
                for argument in part["args"].as_array().into_iter().flatten() {
                    check(format!("{place}({})", argument["name"].as_str().unwrap()), argument);
                }
            }
        }
    }
    assert!(silent.is_empty(), "without a description: {silent:#?}");
}

/// A call of each root field with arguments that the validator accepts.
async fn root_calls(root: &str) -> Vec<String> {
    let query = format!(
        "{{ __type(name: \"{root}\") {{ fields {{ name args {{ name type {{ kind name ofType {{ kind name }} }} }}
        type {{ kind ofType {{ kind ofType {{ kind ofType {{ kind }} }} }} }} }} }} }}"
    );
    let answer = builder().finish().execute(query).await.into_result().unwrap().data.into_json().unwrap();
    let is_leaf = |mut kind: &serde_json::Value| {
        while kind["kind"] == "NON_NULL" || kind["kind"] == "LIST" {
            kind = &kind["ofType"];
        }
        kind["kind"] == "SCALAR" || kind["kind"] == "ENUM"
    };
    let fields = answer["__type"]["fields"].as_array().unwrap();
    let call = |field: &serde_json::Value| {
        let required =
            field["args"].as_array().unwrap().iter().filter(|argument| argument["type"]["kind"] == "NON_NULL");
        let arguments: Vec<String> = required
            .map(|argument| {
                let kind = &argument["type"]["ofType"];
                let value = match kind["name"].as_str() {
                    Some("ID" | "String") => "\"x\"",
                    Some("ProfileRef") => "{ id: \"x\" }",
                    Some("Boolean") => "false",
                    Some("ResyncInput") => "{ source: \"x\" }",
                    Some("DeliveryFilter") => "{ source: \"x\" }",
                    Some("ReplayInput") => "{ filter: { source: \"x\" } }",
                    None if kind["kind"] == "LIST" => "[\"x\"]",
                    other => panic!("the walk cannot make a {other:?}"),
                };
                format!("{}: {value}", argument["name"].as_str().unwrap())
            })
            .collect();
        let arguments = if arguments.is_empty() { String::new() } else { format!("({})", arguments.join(", ")) };
        let selection = if is_leaf(&field["type"]) { "" } else { " { __typename }" };
        format!("{}{arguments}{selection}", field["name"].as_str().unwrap())
    };
    fields.iter().map(call).collect()
}

#[tokio::test]
async fn every_root_field_refuses_an_anonymous_viewer() {
    use futures::StreamExt;
    let schema = builder().finish();
    let mut answers = Vec::new();
    for call in root_calls("Query").await {
        answers.push((call.clone(), schema.execute(format!("{{ {call} }}")).await));
    }
    for call in root_calls("Mutation").await {
        answers.push((call.clone(), schema.execute(format!("mutation {{ {call} }}")).await));
    }
    for call in root_calls("Subscription").await {
        let mut stream = schema.execute_stream(Request::new(format!("subscription {{ {call} }}")));
        answers.push((call, stream.next().await.unwrap()));
    }
    assert!(answers.len() >= 15, "the walk found {} fields only", answers.len());
    for (call, answer) in answers {
        let code = answer.errors.first().and_then(|error| error.extensions.as_ref()?.get("code").cloned());
        assert_eq!(code, Some(Value::from("UNAUTHENTICATED")), "{call}: {:?}", answer.errors);
    }
}

#[tokio::test]
async fn the_examples_of_the_explorer_fit_the_schema() {
    let page = include_str!("../../../console/graphiql/page.js");
    let examples: Vec<&str> = page.split('`').skip(1).step_by(2).collect();
    assert_eq!(examples.len(), 6);
    let schema = builder().finish();
    for example in examples {
        let answer = futures::StreamExt::next(&mut schema.execute_stream(example)).await.unwrap();
        for error in answer.errors {
            let code = error.extensions.as_ref().and_then(|extensions| extensions.get("code").cloned());
            assert_eq!(code, Some(Value::from("UNAUTHENTICATED")), "{example}: {}", error.message);
        }
    }
}

#[tokio::test]
async fn what_the_console_asks_fits_the_schema() {
    let text = include_str!("../../../console/documents.js");
    let named = |marker: &str, end: char| -> Vec<(&str, &str)> {
        let rests = text.split(marker).skip(1);
        rests
            .filter_map(|rest| rest.split_once(" = `"))
            .map(|(name, rest)| (name, rest.split(end).next().unwrap()))
            .collect()
    };
    // Those that are not exported are fragments, which others hold as `${NAME}`.
    let fragments = named("\nconst ", '`');
    let documents = named("\nexport const ", '`');
    assert_eq!((fragments.len(), documents.len()), (2, 13));
    let schema = builder().finish();
    for (name, document) in documents {
        let whole = |text: String, (name, fragment): &(&str, &str)| text.replace(&format!("${{{name}}}"), fragment);
        let document = fragments.iter().fold(document.to_owned(), whole);
        let variables = async_graphql::Variables::from_json(serde_json::json!({
            "id": "x", "run": "x", "source": "x", "reason": "x", "request": "x", "first": 1, "names": true,
        }));
        let request = Request::new(document).variables(variables);
        let answer = futures::StreamExt::next(&mut schema.execute_stream(request)).await.unwrap();
        assert!(!answer.errors.is_empty(), "{name} is answered without a key");
        for error in answer.errors {
            let code = error.extensions.as_ref().and_then(|extensions| extensions.get("code").cloned());
            assert_eq!(code, Some(Value::from("UNAUTHENTICATED")), "{name}: {}", error.message);
        }
    }
}
