use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderMap;
use proptest::prelude::*;

use super::*;
use crate::secret::Secret;
use crate::verify::verify;

const NOW: UnixMs = UnixMs(1_767_225_600_999);
const ID: &str = "dlv_00000000000000000000000000000007";
const BODY: &[u8] = b"{\"test\": 2432232314}";

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
        ("new", &b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"[..]),
        ("old", b"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"),
        ("text", b"the seed's secret, which is plain text"),
        ("empty", b""),
        ("seed", b"whsk_rdS7gQN4W6+axTQljoqvZfXxrbXvXz3xm7gKuYnE1ks="),
        (
            "pair",
            b"whsk_rdS7gQN4W6+axTQljoqvZfXxrbXvXz3xm7gKuYnE1kt9TQ5/YVOmm2JCtSKrvuaF/aRCD4g0sQjDva42nvVJ+g==",
        ),
        (
            "torn",
            b"whsk_rdS7gQN4W6+axTQljoqvZfXxrbXvXz3xm7gKuYnE1kt9TQ5/YVOmm2JCtSKrvuaF/aRCD4g0sQjDva42nvVJ+w==",
        ),
        ("short", b"whsk_AAAA"),
        ("rotated", b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        ("rotated-before", b"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"),
        ("mended", b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        ("mended-before", b"whsec_!!"),
        ("rotated-pair", b"whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
        ("rotated-pair-before", b"whsk_rdS7gQN4W6+axTQljoqvZfXxrbXvXz3xm7gKuYnE1ks="),
    ]))
}

fn named(names: &[&str]) -> Vec<SecretRef> {
    let reference = |name: &&str| SecretRef::Named(Arc::from(*name));
    names.iter().map(reference).collect()
}

fn genesys() -> Scheme {
    Scheme::Genesys {
        header: GENESYS_HEADER,
    }
}

fn signer(scheme: &Scheme, names: &[&str]) -> Signer {
    Signer::new(scheme, &named(names)).unwrap()
}

fn sign(signers: &[Signer]) -> Result<HeaderMap, SignError> {
    headers(signers, ID, NOW, BODY, &lookup()).map(HeaderMap::from_iter)
}

fn standard(names: &[&str]) -> Verify {
    Verify::StandardWebhooks {
        secrets: named(names),
        tolerance_ms: 300_000,
    }
}

#[test]
fn a_rotating_secret_signs_twice_and_receivers_of_either_are_content() {
    let headers = sign(&[signer(&Scheme::StandardV1, &["new", "old"])]).unwrap();
    let list = headers["webhook-signature"].to_str().unwrap();
    assert_eq!(list.split(' ').count(), 2, "{list}");
    assert_eq!(headers["webhook-id"], ID);
    assert_eq!(headers["webhook-timestamp"], "1767225600");
    for name in ["new", "old"] {
        assert_eq!(
            verify(&standard(&[name]), &headers, BODY, &lookup(), NOW),
            Ok(())
        );
    }
    assert!(verify(&standard(&["text"]), &headers, BODY, &lookup(), NOW).is_err());
}

#[test]
fn both_forms_of_a_key_pair_give_the_same_signature_and_its_public_key_verifies() {
    let [from_seed, from_pair] =
        ["seed", "pair"].map(|name| sign(&[signer(&Scheme::StandardV1a, &[name])]).unwrap());
    assert_eq!(from_seed, from_pair);
    let list = from_seed["webhook-signature"].to_str().unwrap();
    let signature = BASE64.decode(list.strip_prefix("v1a,").unwrap().as_bytes());
    let public: ed25519::PublicKey = "whpk_fU0Of2FTpptiQrUiq77mhf2kQg+INLEIw72uNp71Sfo="
        .parse()
        .unwrap();
    let signed = [ID.as_bytes(), b".1767225600.", BODY].concat();
    let signature = signature.unwrap();
    assert!(public.verifies(&signed, &signature));
    assert!(!public.verifies(BODY, &signature));
}

#[test]
fn both_standard_schemes_share_one_header_and_the_seeds_has_its_own() {
    let headers = sign(&[
        signer(&Scheme::StandardV1, &["new"]),
        signer(&Scheme::StandardV1a, &["seed"]),
        signer(&genesys(), &["text", "old"]),
    ])
    .unwrap();
    let list = headers["webhook-signature"].to_str().unwrap();
    let schemes: Vec<_> = list
        .split(' ')
        .filter_map(|s| s.split(',').next())
        .collect();
    assert_eq!(schemes, ["v1", "v1a"]);
    for (header, name) in [
        ("x-genesys-signature", "text"),
        ("x-genesys-signature-previous", "old"),
    ] {
        let rule = Verify::Hmac {
            header: header.into(),
            prefix: "".into(),
            encoding: Encoding::Hex,
            secrets: named(&[name]),
        };
        assert_eq!(verify(&rule, &headers, BODY, &lookup(), NOW), Ok(()));
    }
    assert_eq!(headers.len(), 5);
}

#[test]
fn the_seeds_signature_is_what_its_receiver_computes() {
    let headers = sign(&[signer(&genesys(), &["text"])]).unwrap();
    // printf '{"test": 2432232314}' | openssl dgst -sha256 -hmac "the seed's secret, which is plain text"
    assert_eq!(
        headers["x-genesys-signature"],
        "53661b284613610ff2e34b667c7bbffec06fe6123825501fbbfab83ebc4771eb"
    );
    assert!(headers["x-genesys-signature"].is_sensitive());
}

#[test]
fn the_number_of_secrets_is_bounded() {
    for (scheme, max) in [
        (Scheme::StandardV1, 4),
        (Scheme::StandardV1a, 4),
        (genesys(), 2),
    ] {
        for given in [0, max + 1] {
            let error = Signer::new(&scheme, &named(&vec!["new"; given])).err();
            assert_eq!(error, Some(SignError::Secrets { given, max }));
        }
        assert!(Signer::new(&scheme, &named(&vec!["new"; max])).is_ok());
    }
}

#[test]
fn nothing_is_signed_before_the_clock_is_set_or_under_an_id_that_holds_a_dot() {
    let signers = [signer(&genesys(), &["text"])];
    let at = |id, now| headers(&signers, id, now, BODY, &lookup());
    let early = CLOCK_FLOOR.minus_ms(1);
    assert_eq!(at(ID, early), Err(SignError::Clock(early)));
    assert!(at(ID, CLOCK_FLOOR).is_ok());
    for id in ["", "a.b", "a b", "ä", "a\n"] {
        assert_eq!(at(id, NOW), Err(SignError::Id(id.into())), "{id:?}");
    }
    assert_eq!(headers(&[], "a.b", early, BODY, &lookup()), Ok(Vec::new()));
}

#[test]
fn a_secret_that_cannot_sign_fails_the_whole_and_is_named_but_not_shown() {
    for (scheme, name, reason) in [
        (Scheme::StandardV1, "gone", "is not configured"),
        (Scheme::StandardV1, "empty", "is empty"),
        (Scheme::StandardV1a, "gone", "is not configured"),
        (
            Scheme::StandardV1a,
            "new",
            "is no key for ed25519: it must start with `whsk_`",
        ),
        (
            Scheme::StandardV1a,
            "short",
            "is too short: 32 or 64 bytes must follow `whsk_`",
        ),
        (
            Scheme::StandardV1a,
            "torn",
            "is no key pair: its public half does not belong to its seed",
        ),
        (genesys(), "gone", "is not configured"),
    ] {
        let signers = [
            signer(&genesys(), &["text"]),
            signer(
                &scheme,
                &["seed", name][usize::from(scheme != Scheme::StandardV1a)..],
            ),
        ];
        let error = sign(&signers).unwrap_err();
        assert_eq!(error.to_string(), format!("secret `{name}` {reason}"));
    }
}

#[test]
fn debug_of_a_signing_key_shows_nothing_of_it() {
    let key = SigningKey::read(&named(&["seed"])[0], &lookup()).unwrap();
    assert_eq!(format!("{key:?}"), "SigningKey(..)");
}

proptest! {
    #[test]
    fn what_we_sign_our_own_sources_take_and_not_with_one_byte_changed(
        body in proptest::collection::vec(any::<u8>(), 1..200),
        id in "[!-\\-/-~]{1,40}",
        now in CLOCK_FLOOR.0..4_000_000_000_000_u64,
        at: prop::sample::Index,
    ) {
        let now = UnixMs(now);
        let signers = [signer(&Scheme::StandardV1, &["new"]), signer(&genesys(), &["text"])];
        let signed = HeaderMap::from_iter(headers(&signers, &id, now, &body, &lookup()).unwrap());
        let seeds = Verify::Hmac {
            header: GENESYS_HEADER.as_str().into(),
            prefix: "".into(),
            encoding: Encoding::Hex,
            secrets: named(&["text"]),
        };
        let mut changed = body.clone();
        changed[at.index(body.len())] ^= 1;
        for rule in [standard(&["new"]), seeds] {
            prop_assert_eq!(verify(&rule, &signed, &body, &lookup(), now), Ok(()));
            prop_assert!(verify(&rule, &signed, &changed, &lookup(), now).is_err());
        }
    }
}

#[test]
fn a_secret_that_the_gateway_rotates_signs_as_two_named_ones_would() {
    for (scheme, one, two) in [
        (Scheme::StandardV1, "rotated", ["new", "old"]),
        (genesys(), "rotated", ["new", "old"]),
    ] {
        let by_itself = sign(&[signer(&scheme, &[one])]).unwrap();
        assert_eq!(by_itself, sign(&[signer(&scheme, &two)]).unwrap());
    }
    let pair = sign(&[signer(&Scheme::StandardV1a, &["rotated-pair"])]).unwrap();
    let list = pair["webhook-signature"].to_str().unwrap();
    let before = sign(&[signer(&Scheme::StandardV1a, &["seed"])]).unwrap();
    let before = before["webhook-signature"].to_str().unwrap();
    assert!(list.ends_with(&format!(" {before}")), "{list}");
    assert_eq!(list.split(' ').count(), 2);
}

#[test]
fn the_seeds_two_headers_have_the_two_newest_of_three() {
    let three = sign(&[signer(&genesys(), &["rotated", "text"])]).unwrap();
    assert_eq!(three, sign(&[signer(&genesys(), &["new", "old"])]).unwrap());
}

#[test]
fn a_value_before_that_is_no_key_does_not_hinder_the_new_one() {
    let mended = sign(&[signer(&Scheme::StandardV1, &["mended"])]).unwrap();
    assert_eq!(
        mended,
        sign(&[signer(&Scheme::StandardV1, &["new"])]).unwrap()
    );
}
