use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use proptest::prelude::*;

const NOW: UnixMs = UnixMs(1_614_265_330_500);
const BODY: &[u8] = br#"{"test": 2432232314}"#;
const WHSEC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

struct Fixed(BTreeMap<&'static str, &'static [u8]>);

impl Lookup for Fixed {
    fn secret(&self, name: &str) -> Result<Secret, SecretError> {
        match self.0.get(name) {
            Some(bytes) => Ok(Secret::new(bytes.to_vec())),
            None => Err(SecretError {
                name: name.into(),
                reason: "is not configured".into(),
            }),
        }
    }

    /// What a name with `-before` stands for.
    fn previous(&self, name: &str) -> Option<Secret> {
        let bytes = self.0.get(&*format!("{name}-before"))?;
        Some(Secret::new(bytes.to_vec()))
    }
}

fn lookup() -> Fixed {
    Fixed(BTreeMap::from([
        ("old", &b"the old secret"[..]),
        ("new", b"the new secret"),
        ("std", WHSEC.as_bytes()),
        ("empty", b""),
        ("rotated", b"the new secret"),
        ("rotated-before", b"the old secret"),
        ("once-empty", b"the new secret"),
        ("once-empty-before", b""),
        ("once-bad", WHSEC.as_bytes()),
        ("once-bad-before", b"whsec_!!"),
        ("bad", b"whsec_!!"),
    ]))
}

fn named(names: &[&str]) -> Vec<SecretRef> {
    names
        .iter()
        .map(|name| SecretRef::Named(Arc::from(*name)))
        .collect()
}

fn hmac(encoding: Encoding, prefix: &str, names: &[&str]) -> Verify {
    Verify::Hmac {
        header: "x-signature".into(),
        prefix: prefix.into(),
        encoding,
        secrets: named(names),
    }
}

fn standard(names: &[&str]) -> Verify {
    Verify::StandardWebhooks {
        secrets: named(names),
        tolerance_ms: 300_000,
    }
}

fn token(header: &str, prefix: &str, names: &[&str]) -> Verify {
    Verify::Token {
        header: header.into(),
        prefix: prefix.into(),
        secrets: named(names),
    }
}

fn basic(names: &[&str]) -> Verify {
    Verify::Basic {
        user: "genesys".into(),
        passwords: named(names),
    }
}

type Scheme = fn(&[&str]) -> Verify;

/// Every scheme, as a function of its secrets. The first four sign the body.
const SCHEMES: [Scheme; 7] = [
    |names| hmac(Encoding::Hex, "", names),
    |names| hmac(Encoding::Base64, "sha256=", names),
    |names| hmac(Encoding::Hex, "sha256=", names),
    standard,
    |names| token("authorization", "Bearer ", names),
    |names| token("x-api-key", "", names),
    basic,
];

fn proved(rule: &Verify, body: &[u8]) -> HeaderMap {
    prove(rule, "msg_1", body, &lookup(), NOW)
        .unwrap()
        .into_iter()
        .collect()
}

fn check(rule: &Verify, headers: &HeaderMap, body: &[u8]) -> Result<(), VerifyError> {
    verify(rule, headers, body, &lookup(), NOW)
}

fn with(headers: &HeaderMap, name: &HeaderName, value: &[u8]) -> HeaderMap {
    let mut headers = headers.clone();
    headers.insert(name, HeaderValue::from_bytes(value).unwrap());
    headers
}

#[test]
fn every_scheme_accepts_its_own_proof_by_any_of_its_secrets() {
    for scheme in SCHEMES {
        let headers = proved(&scheme(&["old"]), BODY);
        for names in [
            &["old"][..],
            &["old", "new"],
            &["new", "old"],
            &["missing", "old"],
        ] {
            assert_eq!(
                check(&scheme(names), &headers, BODY),
                Ok(()),
                "{names:?} {headers:?}"
            );
        }
        assert_eq!(
            check(&scheme(&["new"]), &headers, BODY),
            Err(VerifyError::Mismatch)
        );
        assert_eq!(
            check(&scheme(&[]), &headers, BODY),
            Err(VerifyError::Mismatch)
        );
    }
}

#[test]
fn our_own_missing_or_empty_secret_is_not_the_senders_fault() {
    for scheme in SCHEMES {
        let headers = proved(&scheme(&["old"]), BODY);
        for name in ["missing", "empty"] {
            let error = check(&scheme(&["new", name]), &headers, BODY).unwrap_err();
            assert_eq!(error.code(), "secret-unavailable");
            assert!(error.to_string().contains(name), "{error}");
            assert!(prove(&scheme(&[name]), "msg_1", BODY, &lookup(), NOW).is_err());
        }
        assert!(prove(&scheme(&[]), "msg_1", BODY, &lookup(), NOW).is_err());
    }
}

#[test]
fn an_empty_secret_is_not_proved_by_an_empty_token() {
    let rule = token("x-api-key", "", &["empty"]);
    let headers = with(
        &HeaderMap::new(),
        &HeaderName::from_static("x-api-key"),
        b"",
    );
    assert!(check(&rule, &headers, BODY).is_err());
}

#[test]
fn a_proof_that_is_missing_cut_or_garbage_is_refused() {
    for scheme in SCHEMES {
        let rule = scheme(&["old"]);
        let headers = proved(&rule, BODY);
        for (name, value) in &headers {
            let mut without = headers.clone();
            without.remove(name);
            assert_eq!(
                check(&rule, &without, BODY),
                Err(VerifyError::Missing(name.to_string()))
            );

            let mut twice = headers.clone();
            twice.append(name, value.clone());
            assert_eq!(
                check(&rule, &twice, BODY).unwrap_err().code(),
                "signature-malformed"
            );

            let value = value.as_bytes();
            let longer = [value, b"0"].concat();
            let huge = vec![b'a'; 100_000];
            for wrong in [
                &b""[..],
                &value[1..],
                &value[..value.len() - 1],
                &longer,
                &huge,
                b"\xff\xfe",
                b"v1,",
                b"=",
                b"-1",
            ] {
                assert!(
                    check(&rule, &with(&headers, name, wrong), BODY).is_err(),
                    "{name}: {wrong:?}"
                );
            }
        }
    }
}

#[test]
fn no_proof_is_asked_or_made_where_the_rule_is_none() {
    assert_eq!(check(&Verify::None, &HeaderMap::new(), BODY), Ok(()));
    assert_eq!(
        prove(&Verify::None, "msg_1", BODY, &lookup(), NOW),
        Ok(vec![])
    );
}

#[test]
fn hmac_over_the_body_matches_rfc_4231_in_either_case() {
    let rule = Verify::Hmac {
        header: "x-genesys-signature".into(),
        prefix: "".into(),
        encoding: Encoding::Hex,
        secrets: vec![SecretRef::Literal(Secret::new(b"Jefe".to_vec()))],
    };
    let digest = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    let name = HeaderName::from_static("x-genesys-signature");
    for text in [digest.to_owned(), digest.to_uppercase()] {
        let headers = with(&HeaderMap::new(), &name, text.as_bytes());
        assert_eq!(
            check(&rule, &headers, b"what do ya want for nothing?"),
            Ok(())
        );
    }
}

/// The example that the Standard Webhooks libraries test with.
fn standard_vector() -> HeaderMap {
    let id = HeaderValue::from_static("msg_p5jXN8AQM9LWM0D4loKWxJek");
    let signature = HeaderValue::from_static("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    [
        (WEBHOOK_ID, id),
        (WEBHOOK_TIMESTAMP, 1_614_265_330.into()),
        (WEBHOOK_SIGNATURE, signature),
    ]
    .map(|(name, value)| (HeaderName::from_static(name), value))
    .into_iter()
    .collect()
}

#[test]
fn the_standard_webhooks_vector_holds_and_is_what_we_would_sign() {
    let (rule, headers) = (standard(&["std"]), standard_vector());
    assert_eq!(check(&rule, &headers, BODY), Ok(()));
    let made = prove(&rule, "msg_p5jXN8AQM9LWM0D4loKWxJek", BODY, &lookup(), NOW).unwrap();
    assert_eq!(made.into_iter().collect::<HeaderMap>(), headers);
}

#[test]
fn any_signature_of_the_list_may_hold_within_the_bound() {
    let name = HeaderName::from_static(WEBHOOK_SIGNATURE);
    let right = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    let wrong = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for (list, holds) in [
        (format!("{wrong} {right}"), true),
        (format!("v1a,xyz {right} v2,abc"), true),
        (
            format!("{}{right}", format!("{wrong} ").repeat(SIGNATURES_MAX - 1)),
            true,
        ),
        (
            format!("{}{right}", format!("{wrong} ").repeat(SIGNATURES_MAX)),
            false,
        ),
        (right.replace("v1,", "v1a,"), false),
        (wrong.to_owned(), false),
    ] {
        let headers = with(&standard_vector(), &name, list.as_bytes());
        assert_eq!(
            check(&standard(&["std"]), &headers, BODY).is_ok(),
            holds,
            "{list}"
        );
    }
}

#[test]
fn a_timestamp_beyond_the_tolerance_is_stale_either_way() {
    let (rule, headers) = (standard(&["std"]), standard_vector());
    let at = |now| verify(&rule, &headers, BODY, &lookup(), UnixMs(now));
    let sent = 1_614_265_330_000;
    assert_eq!(at(sent + 300_000), Ok(()));
    assert_eq!(at(sent - 300_000), Ok(()));
    let stale = Err(VerifyError::Stale {
        off_ms: 300_001,
        tolerance_ms: 300_000,
    });
    assert_eq!(at(sent + 300_001), stale);
    assert_eq!(at(sent - 300_001), stale);
}

#[test]
fn a_timestamp_that_is_not_whole_seconds_is_malformed() {
    let name = HeaderName::from_static(WEBHOOK_TIMESTAMP);
    for text in [
        "",
        "+1614265330",
        "1614265330.0",
        "0x10",
        "99999999999999999999",
        "now",
        " 1614265330",
    ] {
        let headers = with(&standard_vector(), &name, text.as_bytes());
        let error = check(&standard(&["std"]), &headers, BODY).unwrap_err();
        assert_eq!(error.code(), "signature-malformed", "{text}");
    }
}

#[test]
fn the_borders_of_a_signed_message_cannot_be_moved() {
    let rule = standard(&["std"]);
    let made = prove(&rule, "msg", b"1614265330.{}", &lookup(), NOW).unwrap();
    let moved = with(
        &made.into_iter().collect(),
        &HeaderName::from_static(WEBHOOK_ID),
        b"msg.1614265330",
    );
    assert_eq!(
        check(&rule, &moved, b"{}").unwrap_err().code(),
        "signature-malformed"
    );
}

#[test]
fn a_standard_secret_is_base64_with_or_without_prefix_and_else_its_own_bytes() {
    let key = |text: &str| standard_key(&Secret::new(text.into())).map(|key| key.expose().to_vec());
    assert_eq!(key("whsec_AQID"), Ok(vec![1, 2, 3]));
    assert_eq!(key("AQID"), Ok(vec![1, 2, 3]));
    assert_eq!(key("whsec_AQI="), Ok(vec![1, 2]));
    assert_eq!(key("whsec_AQI"), Ok(vec![1, 2]));
    assert_eq!(key("not base64!"), Ok(b"not base64!".to_vec()));
    assert!(key("whsec_not base64!").is_err() && key("whsec_").is_err());
    let error = check(&standard(&["bad"]), &standard_vector(), BODY).unwrap_err();
    assert_eq!(
        error.to_string(),
        "secret `bad` is not base64 after `whsec_`"
    );
}

#[test]
fn basic_takes_the_example_of_rfc_7617_and_colons_in_the_password() {
    let rule = |password: &str| Verify::Basic {
        user: "Aladdin".into(),
        passwords: vec![SecretRef::Literal(Secret::new(password.into()))],
    };
    let name = HeaderName::from_static(AUTHORIZATION);
    for (value, password, holds) in [
        ("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "open sesame", true),
        ("basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "open sesame", true),
        ("Basic QWxhZGRpbjphOmI=", "a:b", true),
        ("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "open sesam", false),
        ("Basic YWxhZGRpbjpvcGVuIHNlc2FtZQ==", "open sesame", false),
        ("Basic QWxhZGRpbg==", "", false),
        ("Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "open sesame", false),
        ("Basic", "open sesame", false),
    ] {
        let headers = with(&HeaderMap::new(), &name, value.as_bytes());
        assert_eq!(
            check(&rule(password), &headers, b"").is_ok(),
            holds,
            "{value}"
        );
    }
}

#[test]
fn a_token_prefix_is_compared_without_regard_to_case_and_the_token_with_it() {
    let rule = token("authorization", "Bearer ", &["old"]);
    let name = HeaderName::from_static("authorization");
    let holds = |value: &[u8]| check(&rule, &with(&HeaderMap::new(), &name, value), b"").is_ok();
    assert!(holds(b"Bearer the old secret") && holds(b"bearer the old secret"));
    assert!(!holds(b"Bearer The old secret") && !holds(b"the old secret"));
}

#[test]
fn every_header_of_a_proof_is_marked_sensitive() {
    for scheme in SCHEMES {
        let made = prove(&scheme(&["old"]), "msg_1", BODY, &lookup(), NOW).unwrap();
        assert!(
            made.iter().all(|(_, value)| value.is_sensitive()),
            "{made:?}"
        );
    }
}

#[test]
fn each_error_has_its_stable_code() {
    let secret = SecretError {
        name: "x".into(),
        reason: "is empty".into(),
    };
    for (error, code) in [
        (VerifyError::Missing("h".into()), "signature-missing"),
        (malformed("h", "x"), "signature-malformed"),
        (VerifyError::Mismatch, "signature-mismatch"),
        (
            VerifyError::Stale {
                off_ms: 2,
                tolerance_ms: 1,
            },
            "timestamp-stale",
        ),
        (VerifyError::Secret(secret), "secret-unavailable"),
    ] {
        assert_eq!(error.code(), code);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_changed_bit_of_the_body_breaks_every_signature(
        body in prop::collection::vec(any::<u8>(), 1..200),
        at in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let mut changed = body.clone();
        let at = at.index(body.len());
        changed[at] ^= 1 << bit;
        for scheme in &SCHEMES[..4] {
            let rule = scheme(&["old"]);
            let headers = proved(&rule, &body);
            prop_assert_eq!(check(&rule, &headers, &body), Ok(()));
            prop_assert_eq!(check(&rule, &headers, &changed), Err(VerifyError::Mismatch));
        }
    }

    #[test]
    fn no_header_value_makes_verifying_panic_or_pass(value in prop::collection::vec(0x20_u8..0xff, 0..80)) {
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            for scheme in SCHEMES {
                let rule = scheme(&["old"]);
                let mut headers = proved(&rule, BODY);
                let last = headers.keys().last().cloned().unwrap();
                headers.insert(last, value.clone());
                prop_assert!(check(&rule, &headers, BODY).is_err());
            }
        }
    }
}

#[test]
fn while_a_secret_rotates_its_value_before_proves_as_well() {
    let hmac = |names: &[&str]| hmac(Encoding::Hex, "", names);
    let check = |by: &Verify, rule: &Verify| {
        let proof = prove(by, "id", BODY, &lookup(), NOW).unwrap();
        verify(rule, &HeaderMap::from_iter(proof), BODY, &lookup(), NOW)
    };
    let rotated = hmac(&["rotated"]);
    for by in ["old", "new", "rotated"] {
        assert_eq!(check(&hmac(&[by]), &rotated), Ok(()), "{by}");
    }
    // We prove ourselves with the current one.
    assert_eq!(check(&rotated, &hmac(&["new"])), Ok(()));
    assert_eq!(check(&hmac(&["std"]), &rotated), Err(VerifyError::Mismatch));
    let token = |names: &[&str]| token("x-token", "", names);
    assert_eq!(check(&token(&["old"]), &token(&["rotated"])), Ok(()));
}

#[test]
fn a_value_before_that_is_empty_or_no_key_proves_nothing_and_hinders_nothing() {
    let sent = HeaderMap::from_iter([(
        HeaderName::from_static("x-token"),
        HeaderValue::from_static(""),
    )]);
    let token = |names: &[&str]| token("x-token", "", names);
    assert_eq!(
        verify(&token(&["once-empty"]), &sent, BODY, &lookup(), NOW),
        Err(VerifyError::Mismatch)
    );
    let rule = standard(&["once-bad"]);
    let proof = prove(&standard(&["std"]), "id", BODY, &lookup(), NOW).unwrap();
    let proof = HeaderMap::from_iter(proof);
    assert_eq!(verify(&rule, &proof, BODY, &lookup(), NOW), Ok(()));
    assert_eq!(
        verify(&rule, &proof, b"other", &lookup(), NOW),
        Err(VerifyError::Mismatch)
    );
}
