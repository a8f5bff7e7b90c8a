use data_encoding::{BASE64, HEXLOWER};
use proptest::prelude::*;

use super::*;

const PLACE: Place<'_> = Place {
    area: "secret",
    id: "web",
};

fn key(seed: u8) -> VaultKey {
    let mut bytes = [seed; KEY_BYTES];
    bytes[0] = !seed;
    VaultKey::new(bytes).unwrap()
}

fn entropy(seed: u8) -> Entropy {
    Entropy {
        data_key: Secret::new(vec![seed; KEY_BYTES]),
        key_nonce: [seed.wrapping_add(1); NONCE_BYTES],
        value_nonce: [seed.wrapping_add(2); NONCE_BYTES],
    }
}

fn sealed(value: &[u8]) -> Vec<u8> {
    seal(&key(1), PLACE, value, &entropy(7)).unwrap()
}

proptest! {
    #[test]
    fn what_is_sealed_opens_at_its_place_with_its_key(
        value in prop::collection::vec(any::<u8>(), 0..600),
        area in "[a-z]{1,8}",
        id in "\\PC{0,20}",
        seeds: (u8, u8, u8),
    ) {
        let place = Place { area: &area, id: &id };
        let record = seal(&key(seeds.0), place, &value, &entropy(seeds.1)).unwrap();
        prop_assert_eq!(record.len(), value.len() + OVERHEAD_BYTES);
        let keys = [key(seeds.2), key(seeds.0)];
        let opened = open(&keys, place, &record).unwrap();
        prop_assert_eq!(opened.expose(), &*value);
        prop_assert_eq!(key_of(place, &record).unwrap(), key(seeds.0).id());
    }

    #[test]
    fn a_record_of_which_any_bit_is_another_does_not_open(
        value in prop::collection::vec(any::<u8>(), 0..100),
        at: prop::sample::Index,
        bit in 0_u8..8,
    ) {
        let mut record = sealed(&value);
        let at = at.index(record.len());
        record[at] ^= 1 << bit;
        prop_assert!(open(&[key(1)], PLACE, &record).is_err());
    }

    #[test]
    fn a_record_that_was_cut_or_grew_does_not_open(
        value in prop::collection::vec(any::<u8>(), 0..100),
        at: prop::sample::Index,
        more in prop::collection::vec(any::<u8>(), 1..20),
    ) {
        let record = sealed(&value);
        let cut = &record[..at.index(record.len())];
        prop_assert!(open(&[key(1)], PLACE, cut).is_err());
        let grown = [record, more].concat();
        prop_assert!(open(&[key(1)], PLACE, &grown).is_err());
    }

    #[test]
    fn a_record_opens_at_no_other_place(area in "[a-z]{1,8}", id in "[a-z]{1,8}") {
        let other = Place { area: &area, id: &id };
        prop_assume!(other != PLACE);
        prop_assert_eq!(
            open(&[key(1)], other, &sealed(b"x")).map(|_| ()),
            Err(VaultError::Forged(other.shown()))
        );
    }

    #[test]
    fn rewrapping_changes_the_key_and_not_the_value(
        value in prop::collection::vec(any::<u8>(), 0..100),
        nonce: [u8; NONCE_BYTES],
    ) {
        let (old, new, record) = (key(1), key(2), sealed(&value));
        let again = rewrap(std::slice::from_ref(&old), &new, PLACE, &record, nonce).unwrap();
        let from = record.len() - value.len() - NONCE_BYTES - TAG_BYTES;
        prop_assert_eq!(&again[from..], &record[from..]);
        let opened = open(std::slice::from_ref(&new), PLACE, &again).unwrap();
        prop_assert_eq!(opened.expose(), &*value);
        let refused = matches!(open(&[old], PLACE, &again), Err(VaultError::OtherKey { .. }));
        prop_assert!(refused);
    }

    #[test]
    fn no_bytes_that_someone_made_up_are_a_record(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(open(&[key(1)], PLACE, &bytes).is_err());
        prop_assert!(rewrap(&[key(1)], &key(2), PLACE, &bytes, [0; NONCE_BYTES]).is_err());
    }

    #[test]
    fn a_key_is_the_same_in_every_form(bytes: [u8; KEY_BYTES]) {
        prop_assume!(VaultKey::new(bytes).is_ok());
        let raw = VaultKey::read(&bytes).unwrap().id();
        let base64 = BASE64.encode(&bytes);
        for text in [
            HEXLOWER.encode(&bytes),
            HEXLOWER.encode(&bytes).to_uppercase() + "\r\n",
            base64.clone() + "\n",
            base64.trim_end_matches('=').to_owned(),
            base64.replace('+', "-").replace('/', "_"),
        ] {
            prop_assert_eq!(VaultKey::read(text.as_bytes()).unwrap().id(), raw);
        }
        prop_assert_eq!(VaultKey::read(&[&bytes[..], b"\n"].concat()).unwrap().id(), raw);
    }
}

#[test]
fn places_that_look_alike_when_joined_are_not_the_same() {
    let place = |area, id| Place { area, id };
    let record = seal(&key(1), place("ab", "c"), b"x", &entropy(7)).unwrap();
    assert!(open(&[key(1)], place("a", "bc"), &record).is_err());
}

#[test]
fn a_record_whose_key_is_not_there_says_which_one_it_needs() {
    let error = open(&[key(2), key(3)], PLACE, &sealed(b"hidden")).unwrap_err();
    let text = error.to_string();
    for expected in [key(1).id(), key(2).id(), key(3).id()] {
        assert!(text.contains(&expected.to_string()), "{text}");
    }
    assert!(
        text.starts_with("secret `web` is sealed with") && !text.contains("hidden"),
        "{text}"
    );
}

#[test]
fn the_form_is_the_one_that_is_on_disks() {
    // Taken from this implementation: what is sealed today must open tomorrow.
    let record = sealed(b"value");
    let again = HEXLOWER.encode(&record);
    assert_eq!(again, include_str!("fixture.hex").trim());
    assert_eq!(open(&[key(1)], PLACE, &record).unwrap().expose(), b"value");
}

#[test]
fn what_cannot_be_a_random_key_is_refused_and_nothing_of_it_is_told() {
    for (written, error) in [
        (&b"correct horse battery staple, ok"[..], KeyError::Typed),
        (b"correct horse battery staple, ok\n", KeyError::Typed),
        (b"00112233445566778899aabbccddeeff", KeyError::Typed),
        (&[0; 32], KeyError::Constant),
        (&[7; 31], KeyError::Length(31)),
        (b"", KeyError::Length(0)),
        (&[b'z'; 64], KeyError::Written("hex")),
        (&[b'!'; 44], KeyError::Written("base64")),
    ] {
        let refused = VaultKey::read(written).unwrap_err();
        assert_eq!(refused, error);
        assert!(!refused.to_string().contains("horse"));
    }
}
