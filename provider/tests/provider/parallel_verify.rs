use crate::bench::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use provider::*;
use ring::signature::{Ed25519KeyPair, KeyPair};
use std::sync::Arc;

const PUBLIC_KEY: &str = "MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=";
const BODY: &str = r#"{"id":"evt1","profileId":"prof1","type":"PROFILE_CLOSED","data":{"userId":"user1"},"createdAt":"2026-01-01T00:00:00.000Z"}"#;
const V1: &str = "T+YocMTMB/TNM2fj8w/j0t3ul+4VnY6zDT7dshpz2PYT8GYB59hGo+AAxf83qCV/b+mqGuF2mOjAUwOBbXU1Bg==";
const V2: &str = "ED5jVkZqg2e1hD17MSqD/zfyAxbJWZhx39JpN0DpxgeY/YjEht5U+lzssH6yZJmCvjw9r2TGbM57mcGgwhdJDA==";
const TIMESTAMP: &str = "1767225600000";

fn parallel(allow_v1: bool) -> Arc<dyn Provider> {
    build("parallel", SourceSettings { public_keys: vec![PUBLIC_KEY.to_owned()], allow_v1, ..settings() })
}

fn request(pairs: &[(&str, &str)], body: &str) -> Request {
    Request {
        path: "/anything".to_owned(),
        headers: headers(pairs),
        body: body.as_bytes().to_vec().into(),
        now: utc("2026-01-01T00:01:00Z"),
        registered_url: "https://mirror.example.com/webhooks/parallel".to_owned(),
    }
}

fn v2(pairs: &[(&str, &str)]) -> Request {
    let mut all = vec![("X-Parallel-Signature-V2-1", V2), ("X-Parallel-Signature-Timestamp", TIMESTAMP)];
    all.extend(pairs);
    request(&all, BODY)
}

#[test]
fn the_published_vectors_hold() {
    let accept = Ok(Receipt::Accept { dedupe_key: "id:evt1".to_owned() });
    assert_eq!(v2(&[]).verify(parallel(false).as_ref()), accept);
    let older = request(&[("X-Parallel-Signature-1", V1)], BODY);
    assert_eq!(older.verify(parallel(true).as_ref()), accept);
    assert!(older.verify(parallel(false).as_ref()).unwrap_err().to_string().contains("replayed"));
}

#[test]
fn one_valid_signature_among_several_is_enough() {
    let forged = STANDARD.encode([7; 64]);
    let request = request(
        &[
            ("X-Parallel-Signature-V2-1", forged.as_str()),
            ("X-Parallel-Signature-V2-2", "not base64!"),
            ("X-Parallel-Signature-V2-3", V2),
            ("X-Parallel-Signature-Timestamp", TIMESTAMP),
        ],
        BODY,
    );
    let pair = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
    let mut other = STANDARD.decode(PUBLIC_KEY).unwrap();
    other[12..].copy_from_slice(pair.public_key().as_ref());
    let public_keys = vec![STANDARD.encode(other), PUBLIC_KEY.to_owned()];
    let provider = build("parallel", SourceSettings { public_keys, ..settings() });
    assert!(request.verify(provider.as_ref()).is_ok());
}

#[test]
fn the_url_the_time_and_the_body_are_covered() {
    let provider = parallel(true);
    let mut other_url = v2(&[]);
    other_url.registered_url.push('/');
    assert!(other_url.verify(provider.as_ref()).is_err());
    let mut other_body = v2(&[]);
    other_body.body = BODY.replace("prof1", "prof2").into_bytes().into();
    assert!(other_body.verify(provider.as_ref()).is_err());
    let mut other_time = v2(&[]);
    other_time.headers.insert("X-Parallel-Signature-Timestamp", "1767225600001".parse().unwrap());
    assert!(other_time.verify(provider.as_ref()).is_err());
}

#[test]
fn the_window_is_five_minutes_both_ways() {
    for (now, is_accepted) in [
        ("2026-01-01T00:05:00Z", true),
        ("2026-01-01T00:05:01Z", false),
        ("2025-12-31T23:55:00Z", true),
        ("2025-12-31T23:54:59Z", false),
    ] {
        let mut request = v2(&[]);
        request.now = utc(now);
        assert_eq!(request.verify(parallel(false).as_ref()).is_ok(), is_accepted, "{now}");
    }
}

#[test]
fn failing_v2_headers_do_not_fall_back_to_v1() {
    let provider = parallel(true);
    let older = ("X-Parallel-Signature-1", V1);
    for pairs in [
        vec![("X-Parallel-Signature-V2-1", V1), ("X-Parallel-Signature-Timestamp", TIMESTAMP), older],
        vec![("X-Parallel-Signature-V2-1", V2), older],
        vec![("X-Parallel-Signature-Timestamp", TIMESTAMP), older],
        vec![("X-Parallel-Signature-V2-1", V2), ("X-Parallel-Signature-Timestamp", "soon"), older],
        vec![("X-Parallel-Signature-V2-1", "%%"), ("X-Parallel-Signature-Timestamp", TIMESTAMP), older],
    ] {
        assert!(request(&pairs, BODY).verify(provider.as_ref()).is_err(), "{pairs:?}");
    }
}

#[test]
fn only_an_empty_object_without_signatures_is_a_probe() {
    let provider = build("parallel", settings());
    for body in ["{}", " {\n } "] {
        assert!(matches!(request(&[], body).verify(provider.as_ref()), Ok(Receipt::Acknowledge { .. })));
    }
    for body in ["", "[]", "{\"a\":1}", "{}{}"] {
        assert!(request(&[], body).verify(parallel(true).as_ref()).is_err(), "{body}");
    }
    assert!(request(&[("X-Parallel-Signature-1", V1)], "{}").verify(parallel(true).as_ref()).is_err());
}

#[test]
fn without_keys_all_is_refused_and_wrong_keys_are_named() {
    let provider = build("parallel", settings());
    assert!(v2(&[]).verify(provider.as_ref()).unwrap_err().to_string().contains("webhook.keys"));
    for keys in [vec!["nonsense".to_owned()], vec![PUBLIC_KEY.to_owned(); 6], vec![STANDARD.encode([0; 32])]] {
        let settings = SourceSettings { public_keys: keys, ..settings() };
        let error = registry::build("parallel", settings, Arc::new(Dns::default())).unwrap().err().unwrap();
        assert_eq!(error.key, "webhook.keys");
    }
}
