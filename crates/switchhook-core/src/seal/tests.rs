use std::sync::LazyLock;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;

const PASSPHRASE: &str = "correct horse battery staple";
const TEXT: &str = r#"{"conversationId":"c-1","note":"größer 😀"}"#;
const DELIVERY: DeliveryId = DeliveryId(Uuid::from_u128(7));

const SALT: [u8; SALT_BYTES] = [
    0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff,
];
const ENTROPY: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

fn key(scheme: Scheme) -> Key {
    Key::derive(scheme, "k1".into(), &Secret::new(PASSPHRASE.into()), SALT).unwrap()
}

/// Deriving is slow by intent, so the tests share one key of each scheme.
static STANDARD: LazyLock<Key> = LazyLock::new(|| key(Scheme::Standard));
static SEED_002: LazyLock<Key> = LazyLock::new(|| key(Scheme::Seed002));

fn json(members: Vec<(&'static str, String)>) -> Value {
    let members = members.into_iter();
    Value::Object(
        members
            .map(|(name, text)| (name.into(), text.into()))
            .collect(),
    )
}

fn delivered(sealed: &Sealed) -> Vec<u8> {
    json(sealed.members(true)).to_string().into_bytes()
}

#[test]
fn the_seeds_directive_is_what_its_own_program_makes() {
    // Made with node:crypto and the seed's code, the iv as here.
    let sealed = seal(&SEED_002, ENTROPY, DELIVERY, TEXT.as_bytes()).unwrap();
    let expected = [
        ("algorithm", "aes-256-gcm"),
        ("keyDerivation", "scrypt"),
        (
            "encryptedPayload",
            "24b23a1c3a8d2aaed811409df788dbbc2a6c89093987e537fcd2df41f99fbd87e61dc89b964897382b143ef37f8604",
        ),
        ("iv", "000102030405060708090a0b0c0d0e0f"),
        ("authTag", "604118447bb5808c365217e0625277b9"),
    ]
    .map(|(name, text)| (name, text.to_owned()));
    assert_eq!(sealed.members(true), expected);
    assert_eq!(sealed.members(false), expected);
}

#[test]
fn the_standard_directive_is_what_another_implementation_makes() {
    // Made with node:crypto: N=2^17, r=8, p=1, the delivery id as additional data.
    let sealed = seal(&STANDARD, ENTROPY, DELIVERY, TEXT.as_bytes()).unwrap();
    let expected = [
        ("algorithm", "aes-256-gcm"),
        ("keyDerivation", "scrypt"),
        (
            "encryptedPayload",
            "bdcbb1f9ee341334475358f64f0ff23346df97afb8b41779752fcc9ea4f5134bfbc2dff3b635083a267a238ec4a0b0",
        ),
        ("iv", "000102030405060708090a0b"),
        ("authTag", "cf21fc4fbd17a3ead02c4b90f0138953"),
        ("salt", "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"),
        ("keyId", "k1"),
        ("deliveryId", "dlv_00000000000000000000000000000007"),
    ]
    .map(|(name, text)| (name, text.to_owned()));
    assert_eq!(sealed.members(true), expected);
    assert_eq!(sealed.members(false), expected[..7]);
}

#[test]
fn a_standard_body_opens_only_under_its_own_delivery_id() {
    let sealed = seal(&STANDARD, ENTROPY, DELIVERY, TEXT.as_bytes()).unwrap();
    let other = DeliveryId(Uuid::from_u128(8)).to_string();
    let mut directive = json(sealed.members(true));
    assert_eq!(
        open(&STANDARD, &Sealed::parse(&delivered(&sealed)).unwrap()),
        Ok(TEXT.as_bytes().to_vec())
    );
    directive["deliveryId"] = other.into();
    let moved = Sealed::parse(directive.to_string().as_bytes()).unwrap();
    assert_eq!(
        open(&STANDARD, &moved),
        Err(SealError::Gcm(gcm::GcmError::Forged))
    );
}

#[test]
fn an_envelope_and_a_cloudevent_are_read_like_a_directive_alone() {
    for key in [&*STANDARD, &*SEED_002] {
        let sealed = seal(key, ENTROPY, DELIVERY, TEXT.as_bytes()).unwrap();
        let envelope = serde_json::json!({
            "deliveryId": DELIVERY.to_string(),
            "encryptionDirective": json(sealed.members(false)),
            "sourceEvent": {},
        });
        let event = serde_json::json!({ "id": "evt", "data": json(sealed.members(true)) });
        for body in [envelope, event, json(sealed.members(true))] {
            let read = Sealed::parse(body.to_string().as_bytes());
            assert_eq!(read, Ok(sealed.clone()), "{body}");
        }
    }
}

#[test]
fn a_body_that_is_not_sealed_says_what_it_lacks() {
    let sealed = seal(&STANDARD, ENTROPY, DELIVERY, b"{}").unwrap();
    let with = |name: &str, value: Value| {
        let mut directive = json(sealed.members(true));
        directive[name] = value;
        directive.to_string()
    };
    for (body, what) in [
        ("no".into(), "it is not JSON"),
        ("[]".into(), "it has no encryption directive"),
        (
            r#"{"encryptionDirective":null}"#.into(),
            "it has no encryption directive",
        ),
        (
            with("algorithm", "rot13".into()),
            "its `algorithm` or `keyDerivation` is not known",
        ),
        (
            with("iv", Value::Null),
            "a member of its directive is missing or no text",
        ),
        (
            with("iv", "xy".into()),
            "a member of its directive is not hexadecimal",
        ),
        (
            with("authTag", "00".into()),
            "its `salt` or `authTag` is not 16 bytes",
        ),
        (
            with("deliveryId", "seven".into()),
            "its `deliveryId` is none",
        ),
    ] {
        assert_eq!(
            Sealed::parse(body.as_bytes()),
            Err(SealError::NotSealed(what)),
            "{body}"
        );
    }
}

#[test]
fn a_key_of_another_scheme_or_salt_is_told_apart_from_a_forgery() {
    let sealed = seal(&STANDARD, ENTROPY, DELIVERY, b"{}").unwrap();
    assert_eq!(open(&SEED_002, &sealed), Err(SealError::OtherKey));
    let resalted = Key {
        salt: [1; SALT_BYTES],
        ..STANDARD.clone()
    };
    assert_eq!(open(&resalted, &sealed), Err(SealError::OtherKey));
}

#[test]
fn an_empty_passphrase_gives_no_key() {
    for scheme in [Scheme::Standard, Scheme::Seed002] {
        let key = Key::derive(scheme, "k1".into(), &Secret::new(Vec::new()), SALT);
        assert_eq!(key.err(), Some(SealError::EmptyPassphrase));
    }
}

#[test]
fn debug_of_a_key_shows_no_byte_of_it() {
    let shown = format!("{:?}", *SEED_002);
    let bytes = SEED_002.bytes.expose();
    assert!(!shown.contains(&HEXLOWER.encode(bytes)), "{shown}");
    assert!(!shown.contains(&format!("{bytes:?}")), "{shown}");
    assert!(shown.contains("k1"), "{shown}");
}

proptest! {
    #[test]
    fn what_is_sealed_opens_as_it_was(
        plaintext in proptest::collection::vec(any::<u8>(), 0..300),
        entropy: [u8; 16],
        delivery: u128,
    ) {
        for key in [&*STANDARD, &*SEED_002] {
            let sealed = seal(key, entropy, DeliveryId(Uuid::from_u128(delivery)), &plaintext).unwrap();
            let read = Sealed::parse(&delivered(&sealed)).unwrap();
            prop_assert_eq!(open(key, &read), Ok(plaintext.clone()));
        }
    }

    #[test]
    fn no_bit_of_a_sealed_body_can_change_unnoticed(
        plaintext in proptest::collection::vec(any::<u8>(), 1..100),
        at: prop::sample::Index,
        bit in 0..8_u8,
    ) {
        for key in [&*STANDARD, &*SEED_002] {
            let mut sealed = seal(key, ENTROPY, DELIVERY, &plaintext).unwrap();
            let Sealed { iv, ciphertext, tag, .. } = &mut sealed;
            let mut bytes: Vec<&mut u8> = iv.iter_mut().chain(ciphertext).chain(tag).collect();
            let at = at.index(bytes.len());
            *bytes[at] ^= 1 << bit;
            prop_assert_eq!(open(key, &sealed), Err(SealError::Gcm(gcm::GcmError::Forged)));
        }
    }
}
