//! Bytes that nobody meant well: nothing may panic, hang or leave NUL characters behind.

use crate::bench::*;
use bytes::Bytes;
use http::HeaderMap;
use proptest::prelude::*;
use provider::*;

const STREAMS: [&str; 12] = [
    "databases",
    "database/1/profiles",
    "database/1/fields",
    "database/1/interests",
    "database/1/collections",
    "collection/2/subprofiles",
    "collection/2/fields",
    "profile-types",
    "profile-type/x/profiles/OPEN",
    "search",
    "",
    "///",
];

fn targets() -> Vec<Target> {
    vec![
        profile("1"),
        Target::Subprofile { id: "1".to_owned() },
        Target::Metadata { profile_type: Some("1".to_owned()) },
        Target::Metadata { profile_type: None },
    ]
}

/// Gives a body to everything that reads one.
fn read_everywhere(body: &[u8]) -> Vec<Decoded> {
    let mut decoded = Vec::new();
    for provider in providers() {
        for media_type in ["application/json", "application/x-www-form-urlencoded", ""] {
            decoded.extend(webhook(provider.as_ref(), media_type, body));
        }
        for target in targets() {
            decoded.extend(fetched(provider.as_ref(), &target, body));
            decoded.push(missing(provider.as_ref(), &profile("1"), body));
            let call = provider.fetch(&target);
            for status in [200, 400, 404, 429, 500] {
                let _ = provider.classify(&call, status, &HeaderMap::new(), body);
            }
        }
        for stream in STREAMS {
            let page = page(stream, Call::get("/x"));
            decoded.extend(paged(provider.as_ref(), &page, body));
            let _ = provider.next_pages(&page, body);
        }
    }
    decoded
}

fn verify_everywhere(headers: &HeaderMap, body: &[u8]) {
    for provider in providers() {
        let request = Request {
            path: "/webhooks/x".to_owned(),
            headers: headers.clone(),
            body: Bytes::copy_from_slice(body),
            now: utc("2026-01-01T00:00:00Z"),
            registered_url: "https://mirror.example.com/webhooks/x".to_owned(),
        };
        if let Ok(Receipt::Accept { dedupe_key }) = request.verify(provider.as_ref()) {
            panic!("accepted under {dedupe_key}");
        }
    }
}

#[test]
fn deep_and_huge_bodies_are_refused_quickly() {
    let deep_form = format!("type=update&profile=1&fields{}=x", "[a]".repeat(100_000));
    let many = format!("type=update&profile=1&{}", "interests[]=x&".repeat(30_000));
    let copernica = build("copernica", settings());
    for body in [deep_form, many] {
        assert!(webhook(copernica.as_ref(), "application/x-www-form-urlencoded", body.as_bytes()).is_err());
    }
    for provider in providers() {
        let deep_json = format!("{{\"a\":{}", "[".repeat(200_000));
        assert!(webhook(provider.as_ref(), "application/json", deep_json.as_bytes()).is_err());
    }
}

#[test]
fn nul_never_gets_through() {
    let bodies: [&[u8]; 4] = [
        b"type=update&profile=1%002&time=1717243205&fields[a%00]=x%00y&interests[]=z%00",
        br#"{"id":"1","ID":"1","type":"PROFILE_UPDATED\u0000","profileId":"p\u0000","name":"a\u0000","fields":[{"field":{"alias":"k\u0000"},"value":{"content":{"value":"\u0000v"}}}]}"#,
        br#"{"profile_id":"1","tenant_id":"abc-tenant","status":"re\u0000ady","core_info":{"na\u0000me":"x\u0000"}}"#,
        br#"{"ID":"1","id":"1","fields":{"a\u0000":"b\u0000"},"interests":["c\u0000"],"error":{"message":"m\u0000"}}"#,
    ];
    let mut observed = 0;
    for body in bodies {
        for decoded in read_everywhere(body) {
            observed += decoded.observations.len();
            assert!(!format!("{decoded:?}").contains("\\0"), "{decoded:?}");
        }
    }
    assert!(observed > 5);
}

#[test]
fn wrong_types_everywhere_are_survived() {
    for value in ["null", "1", "-1e999", "true", "\"x\"", "[]", "{}", "[[]]", "[null]", "[{}]", "{\"value\":{}}"] {
        for key in [
            "id",
            "ID",
            "type",
            "profile",
            "profileId",
            "profile_id",
            "data",
            "items",
            "profiles",
            "fields",
            "interests",
            "relationships",
            "removed",
            "modified",
            "time",
            "timestamp",
            "status",
            "totalCount",
            "total",
            "page",
            "pageSize",
            "limit",
            "count",
            "start",
            "core_info",
            "last_updated",
            "createdAt",
            "event",
            "tenant_id",
            "subprofile",
            "error",
        ] {
            let body = format!(
                "{{\"type\":\"update\",\"profile\":\"1\",\"profileId\":\"1\",\"profile_id\":\"1\",\"ID\":\"1\",\"id\":\"1\",\
                 \"tenant_id\":\"abc-tenant\",\"time\":1717243205,\"{key}\":{value}}}"
            );
            read_everywhere(body.as_bytes());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..400)) {
        read_everywhere(&body);
        verify_everywhere(&HeaderMap::new(), &body);
    }

    #[test]
    fn nearly_forms_are_read_or_refused(body in r"(type|profile|subprofile|fields|interests|time|modified|=|&|\[|\]|%00|%5B|[0-9]|update|delete|create|-|:|\+){0,40}") {
        read_everywhere(body.as_bytes());
    }

    #[test]
    fn nearly_json_is_read_or_refused(
        keys in prop::collection::vec("(id|ID|type|profileId|fields|items|data|profiles|interests|relationships|removed|modified|status|total|totalCount)", 0..6),
        values in prop::collection::vec(r#"(null|true|[0-9]{1,20}|"[a-zA-Z0-9: -]{0,12}"|\[\]|\{\}|\[\{"id":"a"\},7\]|\{"value":\{"content":1\}\})"#, 6),
    ) {
        let pairs: Vec<String> = keys.iter().zip(&values).map(|(key, value)| format!("\"{key}\":{value}")).collect();
        read_everywhere(format!("{{{}}}", pairs.join(",")).as_bytes());
    }

    #[test]
    fn random_signature_headers_are_refused(value in r#"[ -~]{0,120}"#, other in r#"(keyId|algorithm|headers|signature|=|"|,| |rsa-sha256|host|date){0,20}"#) {
        for name in ["Signature", "Authorization", "X-Parallel-Signature-1", "X-Parallel-Signature-V2-1", "Digest", "Date"] {
            for value in [&value, &other] {
                verify_everywhere(&headers(&[(name, value)]), b"{\"a\":1}");
            }
        }
    }
}
