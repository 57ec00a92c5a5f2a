use crate::bench::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use futures::FutureExt;
use http::HeaderValue;
use provider::*;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use std::sync::Arc;

const KEY: &str = "one._domainkey.copernica.com";
const DATE: &str = "Tue, 20 Apr 2021 02:07:55 GMT";
const COVERED: &str = "(request-target) host date x-copernica-id digest x-nonce";

/// A request as Copernica sends it; change it, then sign it.
struct Sender {
    algorithm: String,
    key_id: String,
    covered: String,
    separator: &'static str,
    is_listed_spelling_signed: bool,
    request: Request,
}

impl Sender {
    fn new(body: &[u8]) -> Self {
        let digest = STANDARD.encode(ring::digest::digest(&ring::digest::SHA256, body));
        Self {
            algorithm: "rsa-sha256".to_owned(),
            key_id: KEY.to_owned(),
            covered: COVERED.to_owned(),
            separator: ",",
            is_listed_spelling_signed: false,
            request: Request {
                path: "/webhooks/marketing".to_owned(),
                headers: headers(&[
                    ("Host", "mirror.example.com"),
                    ("Date", DATE),
                    ("X-Copernica-ID", "account_1234"),
                    ("Digest", &format!("SHA-256={digest}")),
                    ("X-Nonce", "abc"),
                ]),
                body: body.to_vec().into(),
                now: utc("2021-04-20T02:08:00Z"),
                registered_url: "https://mirror.example.com/webhooks/marketing".to_owned(),
            },
        }
    }

    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.request.headers.insert(name, HeaderValue::from_str(value).unwrap());
        self
    }

    fn sign(mut self) -> Request {
        let mut lines = Vec::new();
        for listed in self.covered.split(' ') {
            let name = listed.to_lowercase();
            let value = if name == "(request-target)" {
                format!("post {}", self.request.path)
            } else {
                self.request.headers.get(&name).map_or("", |value| value.to_str().unwrap()).to_owned()
            };
            let spelled = if self.is_listed_spelling_signed { listed } else { &name };
            lines.push(format!("{spelled}: {value}"));
        }
        let pair = RsaKeyPair::from_pkcs8(&fixture("copernica/test-key.pk8")).unwrap();
        let mut signature = vec![0; pair.public().modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), lines.join("\n").as_bytes(), &mut signature).unwrap();
        let header = [
            format!("keyId=\"{}\"", self.key_id),
            format!("algorithm=\"{}\"", self.algorithm),
            format!("headers=\"{}\"", self.covered),
            format!("signature=\"{}\"", STANDARD.encode(signature)),
        ]
        .join(self.separator);
        self.request.headers.insert("Signature", HeaderValue::from_str(&header).unwrap());
        self.request
    }
}

fn copernica(change: impl FnOnce(&mut SourceSettings)) -> (Arc<dyn Provider>, Arc<Dns>) {
    let dns = Arc::new(Dns::default());
    dns.publish(KEY, &text_fixture("copernica/test-key.dkim.txt"));
    let mut settings = settings();
    change(&mut settings);
    (registry::build("copernica", settings, dns.clone()).unwrap().unwrap(), dns)
}

fn verify(request: &Request) -> Result<Receipt, Refusal> {
    request.verify(copernica(|_| {}).0.as_ref())
}

fn body() -> Vec<u8> {
    fixture("copernica/delete-profile.form")
}

fn refused(result: Result<Receipt, Refusal>) -> String {
    match result.unwrap_err() {
        Refusal::KeyUnavailable { reason, .. } => panic!("not refused, but unavailable: {reason}"),
        other => other.to_string(),
    }
}

#[test]
fn a_signed_request_is_accepted_under_the_digest_of_its_body() {
    let Receipt::Accept { dedupe_key } = verify(&Sender::new(&body()).sign()).unwrap() else { panic!() };
    assert!(dedupe_key.starts_with("sent:") && dedupe_key.len() == 69);
}

#[test]
fn spelling_of_names_does_not_matter() {
    for is_listed_spelling_signed in [false, true] {
        let mut sender = Sender::new(&body());
        sender.covered = "(request-target) Host Date X-Copernica-ID Digest X-nonce".to_owned();
        sender.separator = " ";
        sender.is_listed_spelling_signed = is_listed_spelling_signed;
        assert!(verify(&sender.sign()).is_ok());
    }
    let digest = STANDARD.encode(ring::digest::digest(&ring::digest::SHA256, &body()));
    let sender = Sender::new(&body()).header("digest", &format!("sha-256={digest}"));
    assert!(verify(&sender.header("x-copernica-id", "Account-1234").sign()).is_ok());
    assert!(verify(&Sender::new(&body()).header("host", "Mirror.Example.com:443").sign()).is_ok());
}

#[test]
fn other_algorithms_are_refused() {
    for algorithm in ["hmac-sha256", "hmac-sha1", "rsa-sha1", "none", "", "hs2019", "RSA-SHA256"] {
        let mut sender = Sender::new(&body());
        sender.algorithm = algorithm.to_owned();
        assert!(refused(verify(&sender.sign())).contains("rsa-sha256"));
    }
}

#[test]
fn an_hmac_with_the_public_key_as_its_secret_is_refused() {
    let mut sender = Sender::new(&body());
    sender.algorithm = "hmac-sha256".to_owned();
    let mut request = sender.sign();
    let record = text_fixture("copernica/test-key.dkim.txt");
    let secret = STANDARD.decode(record.rsplit("p=").next().unwrap()).unwrap();
    let tag = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret), b"any");
    let header = format!(
        "keyId=\"{KEY}\",algorithm=\"hmac-sha256\",headers=\"{COVERED}\",signature=\"{}\"",
        STANDARD.encode(tag)
    );
    request.headers.insert("Signature", HeaderValue::from_str(&header).unwrap());
    assert!(verify(&request).is_err());
}

#[test]
fn every_required_header_must_be_covered() {
    for left_out in COVERED.split(' ') {
        let mut sender = Sender::new(&body());
        sender.covered = COVERED.split(' ').filter(|name| *name != left_out).collect::<Vec<_>>().join(" ");
        assert!(refused(verify(&sender.sign())).contains(left_out));
    }
}

#[test]
fn headers_that_are_missing_or_doubled_are_refused() {
    for name in ["host", "date", "x-copernica-id", "digest", "x-nonce", "signature"] {
        let mut without = Sender::new(&body()).sign();
        without.headers.remove(name);
        assert!(verify(&without).is_err(), "without {name}");
        let mut doubled = Sender::new(&body()).sign();
        let value = doubled.headers.get(name).unwrap().clone();
        doubled.headers.append(name, value);
        assert!(verify(&doubled).is_err(), "two of {name}");
    }
}

#[test]
fn a_changed_request_is_refused() {
    let mut request = Sender::new(&body()).sign();
    request.body = b"type=delete&profile=1".to_vec().into();
    assert!(refused(verify(&request)).contains("Digest"));
    for (name, value) in
        [("x-nonce", "abd"), ("date", "Tue, 20 Apr 2021 02:07:56 GMT"), ("host", "mirror.example.com:443")]
    {
        let mut request = Sender::new(&body()).sign();
        request.headers.insert(name, HeaderValue::from_static(value));
        assert!(refused(verify(&request)).contains("does not hold"), "{name}");
    }
}

#[test]
fn a_request_for_another_endpoint_or_account_is_refused() {
    let mut other_path = Sender::new(&body());
    other_path.request.path = "/webhooks/other".to_owned();
    assert!(refused(verify(&other_path.sign())).contains("path"));
    let mut other_query = Sender::new(&body());
    other_query.request.path.push_str("?a=b");
    assert!(refused(verify(&other_query.sign())).contains("path"));
    assert!(refused(verify(&Sender::new(&body()).header("host", "evil.example.com").sign())).contains("host"));
    assert!(
        refused(verify(&Sender::new(&body()).header("x-copernica-id", "account-12345").sign())).contains("account")
    );
}

#[test]
fn the_window_is_a_minute_both_ways() {
    for (seconds, is_accepted) in [(60, true), (61, false), (-60, true), (-61, false)] {
        let mut request = Sender::new(&body()).sign();
        request.now = utc("2021-04-20T02:07:55Z") + TimeDelta::seconds(seconds);
        assert_eq!(verify(&request).is_ok(), is_accepted, "{seconds}");
    }
    let mut request = Sender::new(&body()).sign();
    request.now = utc("2021-04-20T02:17:55Z");
    assert_eq!(verify(&request), Err(Refusal::OutsideWindow { skew_seconds: 600, allowed_seconds: 60 }));
    assert!(request.verify(copernica(|settings| settings.tolerance_seconds = Some(900)).0.as_ref()).is_ok());
}

#[test]
fn a_key_outside_the_trusted_domain_is_refused_before_any_lookup() {
    for name in [
        "one._domainkey.evil.com",
        "one._domainkey.copernica.com.evil.com",
        "evilcopernica.com",
        "copernica.com",
        "../copernica.com",
        "a b.copernica.com",
        ".copernica.com",
        "",
    ] {
        let (provider, dns) = copernica(|_| {});
        let mut sender = Sender::new(&body());
        sender.key_id = name.to_owned();
        assert!(sender.sign().verify(provider.as_ref()).is_err(), "{name}");
        assert_eq!(dns.count(), 0, "{name}");
    }
}

#[test]
fn fixed_keys_come_before_dns() {
    let record = text_fixture("copernica/test-key.dkim.txt");
    let bare = record.rsplit("p=").next().unwrap().to_owned();
    for text in [record, bare] {
        let (provider, dns) = copernica(|settings| {
            settings.fixed_keys.insert(KEY.to_owned(), text);
        });
        assert!(Sender::new(&body()).sign().verify(provider.as_ref()).is_ok());
        assert_eq!(dns.count(), 0);
    }
    let mut wrong = settings();
    wrong.fixed_keys.insert(KEY.to_owned(), "nonsense".to_owned());
    let refused = registry::build("copernica", wrong, Arc::new(Dns::default())).unwrap();
    assert_eq!(refused.err().unwrap().key, "webhook.keys");
}

#[test]
fn a_key_is_looked_up_once_and_again_after_ten_minutes() {
    let (provider, dns) = copernica(|settings| settings.tolerance_seconds = Some(3600));
    for (seconds, lookups) in [(0, 1), (10, 1), (599, 1), (601, 2)] {
        let mut request = Sender::new(&body()).sign();
        request.now += TimeDelta::seconds(seconds);
        assert!(request.verify(provider.as_ref()).is_ok());
        assert_eq!(dns.count(), lookups, "after {seconds} s");
    }
}

#[test]
fn a_rotated_key_is_found_by_one_more_lookup() {
    let (provider, dns) = copernica(|settings| settings.tolerance_seconds = Some(3600));
    dns.publish(KEY, &text_fixture("copernica/small-key.dkim.txt"));
    let mut request = Sender::new(&body()).sign();
    assert!(request.verify(provider.as_ref()).is_err());
    dns.publish(KEY, &text_fixture("copernica/test-key.dkim.txt"));
    request.now += TimeDelta::seconds(31);
    assert!(request.verify(provider.as_ref()).is_ok());
    assert_eq!(dns.count(), 2);
}

#[test]
fn a_forger_causes_no_storm_of_lookups() {
    let (provider, dns) = copernica(|_| {});
    let mut forged = Sender::new(&body()).sign();
    forged.headers.insert("x-nonce", HeaderValue::from_static("forged"));
    for _ in 0..200 {
        assert!(forged.verify(provider.as_ref()).is_err());
    }
    assert_eq!(dns.count(), 1);
    // The known key still works meanwhile.
    assert!(Sender::new(&body()).sign().verify(provider.as_ref()).is_ok());
}

fn forged(number: usize) -> Request {
    let mut sender = Sender::new(&body());
    sender.key_id = format!("k{number}._domainkey.copernica.com");
    sender.sign()
}

#[test]
fn forged_key_names_keep_no_genuine_new_key_from_being_found() {
    let (provider, _) = copernica(|_| {});
    for number in 0..700 {
        assert!(refused(forged(number).verify(provider.as_ref())).contains("does not hold"));
    }
    assert!(Sender::new(&body()).sign().verify(provider.as_ref()).is_ok());
}

#[test]
fn few_unknown_key_names_are_looked_up_at_once_and_a_known_one_waits_for_none() {
    let (provider, dns) = copernica(|settings| settings.tolerance_seconds = Some(3600));
    assert!(Sender::new(&body()).sign().verify(provider.as_ref()).is_ok());
    dns.stall();
    let forged: Vec<Request> = (0..100).map(forged).collect();
    let mut waiting: Vec<_> = forged.iter().map(|request| request.verifying(provider.as_ref())).collect();
    let answers: Vec<_> = waiting.iter_mut().filter_map(FutureExt::now_or_never).collect();
    assert_eq!(dns.count(), 1 + 4, "four of them at once");
    assert_eq!(answers.len(), 100 - 32, "as many stand in line, the rest is to come back");
    assert!(answers.iter().all(|answer| matches!(answer, Err(Refusal::KeyUnavailable { .. }))));

    let mut known = Sender::new(&body()).sign();
    known.now += TimeDelta::seconds(601);
    assert!(known.verify(provider.as_ref()).is_ok());
    assert_eq!(dns.count(), 1 + 4 + 1);
    drop(waiting);
    dns.publish("new._domainkey.copernica.com", &text_fixture("copernica/test-key.dkim.txt"));
    let mut sender = Sender::new(&body());
    sender.key_id = "new._domainkey.copernica.com".to_owned();
    assert!(sender.sign().verify(provider.as_ref()).is_ok(), "who goes leaves the line");
}

#[test]
fn an_unavailable_dns_asks_the_sender_to_try_again() {
    let (provider, dns) = copernica(|_| {});
    dns.fail(KEY);
    let mut request = Sender::new(&body()).sign();
    assert!(matches!(request.verify(provider.as_ref()), Err(Refusal::KeyUnavailable { .. })));
    assert!(matches!(request.verify(provider.as_ref()), Err(Refusal::KeyUnavailable { .. })));
    assert_eq!(dns.count(), 1);
    dns.publish(KEY, &text_fixture("copernica/test-key.dkim.txt"));
    request.now += TimeDelta::seconds(31);
    assert!(request.verify(provider.as_ref()).is_ok());
}

#[test]
fn the_last_key_serves_while_dns_is_down() {
    let (provider, dns) = copernica(|settings| settings.tolerance_seconds = Some(100_000));
    let mut request = Sender::new(&body()).sign();
    assert!(request.verify(provider.as_ref()).is_ok());
    dns.fail(KEY);
    request.now += TimeDelta::hours(2);
    assert!(request.verify(provider.as_ref()).is_ok());
    request.now += TimeDelta::hours(23);
    assert!(matches!(request.verify(provider.as_ref()), Err(Refusal::KeyUnavailable { .. })));
}

#[test]
fn revoked_and_foreign_records_are_no_keys() {
    for record in [
        "v=DKIM1; p=",
        "v=DKIM1; k=ed25519; p=MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=",
        "v=spf1 -all",
        "",
    ] {
        let (provider, dns) = copernica(|_| {});
        dns.publish(KEY, record);
        assert!(refused(Sender::new(&body()).sign().verify(provider.as_ref())).contains("does not hold"));
    }
}

#[test]
fn dkim_records_may_hold_spaces_and_chunks() {
    let record = text_fixture("copernica/test-key.dkim.txt");
    let (head, key) = record.split_at(record.find("p=").unwrap() + 2);
    let (provider, dns) = copernica(|_| {});
    dns.publish(KEY, &format!("{head} {} {}\" \"{} ;", &key[..50], &key[50..200], &key[200..]));
    assert!(Sender::new(&body()).sign().verify(provider.as_ref()).is_ok());
}

#[test]
fn a_1024_bit_key_still_verifies() {
    let (provider, dns) = copernica(|_| {});
    dns.publish(KEY, &text_fixture("copernica/small-key.dkim.txt"));
    let mut request = Sender::new(&body()).header("x-copernica-id", "account-1234").sign();
    let header = format!(
        "keyId=\"{KEY}\",algorithm=\"rsa-sha256\",headers=\"{COVERED}\",signature=\"{}\"",
        text_fixture("copernica/small-key.signature.txt")
    );
    request.headers.insert("Signature", HeaderValue::from_str(&header).unwrap());
    assert!(request.verify(provider.as_ref()).is_ok());
}

#[test]
fn a_repeated_nonce_passes_with_the_same_body_only() {
    let (provider, _) = copernica(|_| {});
    let first = Sender::new(&body()).sign().verify(provider.as_ref()).unwrap();
    assert_eq!(Sender::new(&body()).sign().verify(provider.as_ref()).unwrap(), first);
    assert!(refused(Sender::new(b"type=delete&profile=2").sign().verify(provider.as_ref())).contains("nonce"));
    let other = Sender::new(b"type=delete&profile=2").header("x-nonce", "def").sign();
    assert!(other.verify(provider.as_ref()).is_ok());
}

#[test]
fn without_an_account_all_is_refused() {
    let (provider, dns) = copernica(|settings| settings.account = None);
    assert!(refused(Sender::new(&body()).sign().verify(provider.as_ref())).contains("webhook.account"));
    assert_eq!(dns.count(), 0);
}
