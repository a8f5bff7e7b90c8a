//! Which changes are equal. Pure.
//!
//! Two changes are one logical change if base, operation, dialect, target and body are equal; members of a JSON object
//! have no order. The digest is keyed with the client's secret, since it stands on disk and the body may hold a secret
//! that somebody could guess.

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use serde_json::Value;
use switchhook_core::secret::Secret;
use uuid::Builder;

use super::Wish;

/// The identity of `wish` at `base`.
#[must_use]
pub fn identity(seal: &Secret, base: &str, wish: &Wish) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, seal.expose());
    let mut hash = hmac::Context::with_key(&key);
    let body = canonical(&wish.body);
    for part in [
        base,
        wish.operation.name(),
        wish.dialect.name(),
        &wish.target,
        &body,
    ] {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    HEXLOWER.encode(hash.sign().as_ref())
}

/// `value` with the members of its objects in the order of their names.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(object) => {
            let mut members: Vec<_> = object.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            let members = members.into_iter().map(|(name, value)| {
                format!("{}:{}", Value::String(name.clone()), canonical(value))
            });
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => {
            format!(
                "[{}]",
                items.iter().map(canonical).collect::<Vec<_>>().join(",")
            )
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

/// A key of 122 random bits, as a UUID.
#[must_use]
pub fn key(entropy: u128) -> String {
    Builder::from_random_bytes(entropy.to_be_bytes())
        .into_uuid()
        .to_string()
}

/// The id of a change.
#[must_use]
pub fn change_id(entropy: u128) -> String {
    let hex = HEXLOWER.encode(&entropy.to_be_bytes());
    format!("chg_{}", hex.get(..16).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::change::Operation;
    use crate::dialect::Dialect;

    fn wish(target: &str, body: Value) -> Wish {
        Wish {
            operation: Operation::Apply,
            dialect: Dialect::Webhooks,
            target: target.into(),
            body,
        }
    }

    #[test]
    fn equal_changes_have_one_identity_and_others_have_others() {
        let seal = Secret::new(b"seal".to_vec());
        let base = wish("a", json!({"name": "a", "eventTypes": ["x", "y"]}));
        let of = |wish: &Wish| identity(&seal, "https://api.example/", wish);
        let same: Value = serde_json::from_str(r#"{"eventTypes":["x","y"],"name":"a"}"#).unwrap();
        assert_eq!(of(&base), of(&wish("a", same)));
        for other in [
            wish("b", base.body.clone()),
            wish("a", json!({"name": "a", "eventTypes": ["y", "x"]})),
            Wish {
                operation: Operation::Delete,
                ..base.clone()
            },
            Wish {
                dialect: Dialect::Lifecycle,
                ..base.clone()
            },
        ] {
            assert_ne!(of(&base), of(&other), "{other:?}");
        }
        assert_ne!(of(&base), identity(&seal, "https://other.example/", &base));
        assert_ne!(
            of(&base),
            identity(&Secret::new(b"x".to_vec()), "https://api.example/", &base)
        );
    }

    #[test]
    fn keys_and_ids_are_as_random_as_what_they_are_made_of() {
        assert_ne!(key(1), key(2));
        assert_eq!(key(7).len(), 36);
        assert_ne!(change_id(1 << 100), change_id(1 << 101));
    }
}
