//! Project Wycheproof's vectors against what we seal, sign and verify with.
//!
//! Every vector of the sizes we use must come out as the project says, and every other size must be
//! refused. The counts keep a changed vector file from turning a test into one that checks nothing.
#![expect(clippy::print_stdout, reason = "the counts belong into a report")]

use std::sync::Arc;

use data_encoding::{BASE64, HEXLOWER};
use http::{HeaderMap, HeaderName};
use switchhook_core::seal::gcm;
use switchhook_core::secret::{Lookup, Secret, SecretError, SecretRef};
use switchhook_core::sign::ed25519::{PublicKey, SigningKey};
use switchhook_core::sign::{self, Scheme, Signer};
use switchhook_core::source::{Encoding, Verify};
use switchhook_core::time::UnixMs;
use switchhook_core::verify::verify;
use wycheproof::{aead, eddsa, mac};

const NOW: UnixMs = UnixMs(1_767_225_600_000);
const HEADER: HeaderName = HeaderName::from_static("x-signature");

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

fn literal(bytes: &[u8]) -> SecretRef {
    SecretRef::Literal(Secret::new(bytes.to_vec()))
}

#[test]
fn aes_256_gcm_agrees_with_every_vector_of_our_sizes_and_refuses_the_others() {
    let (mut ours, mut seeds, mut refused) = (0, 0, 0);
    for group in aead::TestSet::load(aead::TestName::AesGcm)
        .unwrap()
        .test_groups
    {
        for test in group.tests {
            let (key, id) = (Secret::new(test.key.to_vec()), test.tc_id);
            let tag: &[u8; 16] = (&test.tag[..]).try_into().unwrap();
            let encrypted = gcm::encrypt(&key, &test.nonce, &test.aad, &test.pt);
            let decrypted = gcm::decrypt(&key, &test.nonce, &test.aad, &test.ct, tag);
            if group.key_size != 256 || !matches!(group.nonce_size, 96 | 128) {
                assert!(encrypted.is_err() && decrypted.is_err(), "{id}");
                refused += 1;
                continue;
            }
            let valid = !test.result.must_fail();
            let expected = (test.ct.to_vec(), *tag);
            assert_eq!(encrypted == Ok(expected), valid, "{id}");
            let plain = match valid {
                true => Ok(test.pt.to_vec()),
                false => Err(gcm::GcmError::Forged),
            };
            assert_eq!(decrypted, plain, "{id}");
            match group.nonce_size {
                96 => ours += 1,
                _ => seeds += 1,
            }
        }
    }
    println!("AES-256-GCM: {ours} with 96-bit nonce, {seeds} with 128-bit iv, {refused} refused");
    assert_eq!((ours, seeds, refused), (66, 19, 231));
}

#[test]
fn hmac_sha256_agrees_with_every_vector_and_a_truncated_tag_never_verifies() {
    let (mut whole, mut truncated) = (0, 0);
    for group in mac::TestSet::load(mac::TestName::HmacSha256)
        .unwrap()
        .test_groups
    {
        for test in group.tests {
            let (secret, id) = (literal(&test.key), test.tc_id);
            let rule = Verify::Hmac {
                header: HEADER.as_str().into(),
                prefix: "".into(),
                encoding: Encoding::Hex,
                secrets: vec![secret.clone()],
            };
            let given = HEXLOWER.encode(&test.tag);
            let headers = HeaderMap::from_iter([(HEADER, given.parse().unwrap())]);
            let accepted = verify(&rule, &headers, &test.msg, &NoNames, NOW).is_ok();

            let signer = Signer::new(&Scheme::Genesys { header: HEADER }, &[secret]).unwrap();
            let signed = sign::headers(&[signer], "id", NOW, &test.msg, &NoNames).unwrap();
            let [(_, signature)] = &signed[..] else {
                panic!("one header expected for {id}");
            };
            let valid = !test.result.must_fail() && group.tag_size == 256;
            assert_eq!(accepted, valid, "{id}");
            assert_eq!(signature == given.as_str(), valid, "{id}");
            match group.tag_size {
                256 => whole += 1,
                _ => truncated += 1,
            }
        }
    }
    println!("HMAC-SHA256: {whole} whole tags, {truncated} truncated ones rejected");
    assert_eq!((whole, truncated), (87, 87));
}

/// The private half of the pair that most of the vectors were made with (from the vectors' first
/// edition; the current one tells only public keys).
const SEED: &str = "add4bb8103785baf9ac534258e8aaf65f5f1adb5ef5f3df19bb80ab989c4d64b";

#[test]
fn ed25519_agrees_with_every_vector_and_makes_the_very_signatures() {
    let seed = HEXLOWER.decode(SEED.as_bytes()).unwrap();
    let secret = format!("whsk_{}", BASE64.encode(&seed));
    let ours = SigningKey::read(&literal(secret.as_bytes()), &NoNames).unwrap();
    let (mut verified, mut made) = (0, 0);
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519)
        .unwrap()
        .test_groups
    {
        let text: Arc<str> = format!("whpk_{}", BASE64.encode(&group.key.pk)).into();
        let public: PublicKey = text.parse().unwrap();
        assert_eq!(public.to_string(), &*text);
        for test in group.tests {
            let valid = !test.result.must_fail();
            assert_eq!(
                public.verifies(&test.msg, &test.sig),
                valid,
                "{}",
                test.tc_id
            );
            verified += 1;
            if valid && public == ours.public_key() {
                assert_eq!(ours.sign(&test.msg), test.sig.to_vec(), "{}", test.tc_id);
                made += 1;
            }
        }
    }
    println!("Ed25519: {verified} verified, {made} signed again");
    assert_eq!(verified, 151);
    assert!(made > 0);
}
