//! The published Standard Webhooks library verifies what we sign. It knows `v1` only and reads the
//! machine's clock.
#![expect(
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is what it is for"
)]

use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use standardwebhooks::Webhook;
use switchhook_core::secret::{Lookup, Secret, SecretError, SecretRef};
use switchhook_core::sign::{self, Scheme, Signer};
use switchhook_core::time::UnixMs;

const NEW: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OLD: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const KEY: &str = "whsk_rdS7gQN4W6+axTQljoqvZfXxrbXvXz3xm7gKuYnE1ks=";
const ID: &str = "dlv_00000000000000000000000000000007";
const BODY: &[u8] = "{\"note\":\"größer 😀\"}".as_bytes();

/// Every secret is written out.
struct NoNames;

impl Lookup for NoNames {
    fn secret(&self, name: &str) -> Result<Secret, SecretError> {
        Err(SecretError {
            name: name.into(),
            reason: "is not configured".into(),
        })
    }
}

fn literal(text: &str) -> SecretRef {
    SecretRef::Literal(Secret::new(text.into()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the library compares with the real clock"
)]
fn now() -> UnixMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    UnixMs(since.as_millis().try_into().unwrap())
}

fn signed(at: UnixMs) -> HeaderMap {
    let signers = [
        Signer::new(&Scheme::StandardV1a, &[literal(KEY)]).unwrap(),
        Signer::new(&Scheme::StandardV1, &[literal(NEW), literal(OLD)]).unwrap(),
    ];
    let headers = sign::headers(&signers, ID, at, BODY, &NoNames).unwrap();
    HeaderMap::from_iter(headers)
}

#[test]
fn the_published_library_takes_both_secrets_while_one_rotates_and_no_other() {
    let headers = signed(now());
    for (secret, holds) in [
        (NEW, true),
        (OLD, true),
        ("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", false),
    ] {
        let webhook = Webhook::new(secret).unwrap();
        assert_eq!(webhook.verify(BODY, &headers).is_ok(), holds, "{secret}");
    }
}

#[test]
fn the_published_library_refuses_another_body_id_or_time() {
    let webhook = Webhook::new(NEW).unwrap();
    assert!(webhook.verify(b"{}", &signed(now())).is_err());
    assert!(
        webhook
            .verify(BODY, &signed(now().minus_ms(301_000)))
            .is_err()
    );
    for name in ["webhook-id", "webhook-timestamp"] {
        let mut headers = signed(now());
        let other = format!("{}1", headers[name].to_str().unwrap());
        headers.insert(name, other.parse().unwrap());
        assert!(webhook.verify(BODY, &headers).is_err(), "{name}");
    }
}
