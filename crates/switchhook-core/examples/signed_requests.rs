//! Prints signed requests as JSON, true and tampered ones, for the programs in `examples/verify`.
//!
//! The one argument is the time to sign at, in seconds since 1970: the published libraries compare with
//! the real clock.
#![expect(clippy::print_stdout, reason = "this is what it is for")]

use std::error::Error;

use serde_json::{Value, json};
use switchhook_core::secret::{Lookup, Secret, SecretError, SecretRef};
use switchhook_core::sign::ed25519::SigningKey;
use switchhook_core::sign::{self, Scheme, Signer};
use switchhook_core::time::UnixMs;

const NEW: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OLD: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const NEW_KEY: &str = "whsk_rdS7gQN4W6+axTQljoqvZfXxrbXvXz3xm7gKuYnE1ks=";
const OLD_KEY: &str = "whsk_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
const STRANGE_KEY: &str = "whsk_IB8eHRwbGhkYFxYVFBMSERAPDg0MCwoJCAcGBQQDAgE=";
const ID: &str = "dlv_00000000000000000000000000000007";
const BODY: &str = r#"{"conversationId":"c-1","note":"größer 😀"}"#;

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

fn public(key: &str) -> Result<String, SecretError> {
    Ok(SigningKey::read(&literal(key), &NoNames)?
        .public_key()
        .to_string())
}

fn main() -> Result<(), Box<dyn Error>> {
    let now: u64 = std::env::args()
        .nth(1)
        .ok_or("usage: signed_requests <seconds since 1970>")?
        .parse()?;
    let signed = |seconds: u64| -> Result<Value, Box<dyn Error>> {
        let signers = [
            Signer::new(&Scheme::StandardV1, &[literal(NEW), literal(OLD)])?,
            Signer::new(&Scheme::StandardV1a, &[literal(NEW_KEY), literal(OLD_KEY)])?,
        ];
        let at = UnixMs(seconds * 1_000);
        let mut headers = json!({});
        for (name, value) in sign::headers(&signers, ID, at, BODY.as_bytes(), &NoNames)? {
            if let Some(members) = headers.as_object_mut() {
                members.insert(name.as_str().into(), value.to_str()?.into());
            }
        }
        Ok(headers)
    };
    let with = |name: &str, value: &str| -> Result<Value, Box<dyn Error>> {
        let mut headers = signed(now)?;
        if let Some(header) = headers.get_mut(name) {
            *header = value.into();
        }
        Ok(headers)
    };
    let mut rows = Vec::new();
    let mut row = |name: &str, valid: bool, headers: &Value, body: &str, secret: &str| {
        let request = json!({ "headers": headers, "body": body, "secret": secret });
        rows.push(json!({ "name": name, "valid": valid, "request": request }));
    };
    let right = signed(now)?;
    for (name, secret, previous, strange) in [
        (
            "v1",
            NEW.to_owned(),
            OLD.to_owned(),
            "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        ),
        (
            "v1a",
            public(NEW_KEY)?,
            public(OLD_KEY)?,
            public(STRANGE_KEY)?,
        ),
    ] {
        row(&format!("{name}, current"), true, &right, BODY, &secret);
        row(&format!("{name}, previous"), true, &right, BODY, &previous);
        row(&format!("{name}, stranger"), false, &right, BODY, &strange);
        row(&format!("{name}, other body"), false, &right, "{}", &secret);
        for (what, headers) in [
            ("other id", with("webhook-id", "dlv_8")?),
            (
                "other time",
                with("webhook-timestamp", &(now - 1).to_string())?,
            ),
            ("stale", signed(now - 400)?),
            ("ahead", signed(now + 400)?),
            ("no signature", with("webhook-signature", "v1, v1a,")?),
        ] {
            row(&format!("{name}, {what}"), false, &headers, BODY, &secret);
        }
    }
    println!("{:#}", Value::Array(rows));
    Ok(())
}
