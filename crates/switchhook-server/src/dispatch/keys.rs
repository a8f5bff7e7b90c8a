//! Keys that bodies are encrypted with: derived once, kept, and counted.
//!
//! * A key belongs to a passphrase, a key id and a scheme; endpoints that agree in all three share it. A changed passphrase
//!   is another key, at the next attempt.
//! * Deriving takes some tenths of a second and [`DERIVE_BYTES`] of memory, so it runs on a blocking thread, once for
//!   all attempts that wait for it, and for at most [`DERIVATIONS_MAX`] keys at once.
//! * Every derivation draws a new salt, and there is a new one after [`MESSAGES_MAX`] messages. `compat = "seed-002"` has
//!   one fixed salt: its key cannot be renewed here, and a warning asks for a new passphrase.
//! * An attempt that cannot wait any longer fails as one whose secret is not to be had: the endpoint is not at fault.
//!
//! Nonces come from the system's generator. Only a hash of the passphrase is kept beside the key.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::crypto::SecureRandom;
use sha2::{Digest, Sha256};
use switchhook_core::delivery::Failure;
use switchhook_core::id::DeliveryId;
#[cfg(doc)]
use switchhook_core::seal::DERIVE_BYTES;
use switchhook_core::seal::{Key, MESSAGES_MAX, SALT_BYTES, Scheme, Sealed, Settings, seal};
use switchhook_core::secret::Secret;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::flight::Flight;
use super::guard::Fault;
use super::shelf::Shelf;
use crate::secrets::Secrets;

/// Keys derived at once: 256 MiB while they are, and the cores stay free for deliveries.
const DERIVATIONS_MAX: usize = 2;

/// See the module.
pub(super) struct Keys {
    shelf: Shelf<Origin, Flight<Arc<Counted>>>,
    places: Arc<Semaphore>,
    random: &'static dyn SecureRandom,
    messages_max: u64,
}

/// What a key was made of. Has no `Debug`: a hash of a weak passphrase gives it away.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Origin {
    key_id: Arc<str>,
    passphrase: [u8; 32],
    has_fixed_salt: bool,
}

/// A key and how many messages it has sealed.
struct Counted {
    key: Key,
    messages: AtomicU64,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            shelf: Shelf::default(),
            places: Arc::new(Semaphore::new(DERIVATIONS_MAX)),
            random: rustls::crypto::aws_lc_rs::default_provider().secure_random,
            messages_max: MESSAGES_MAX,
        }
    }
}

impl Keys {
    /// Encrypts `body` for `delivery`.
    ///
    /// # Errors
    /// When the passphrase is not to be had, or the key is not there by `deadline`.
    pub(super) async fn seal(
        &self,
        settings: &Settings,
        secrets: &Secrets,
        delivery: DeliveryId,
        body: &[u8],
        deadline: Instant,
    ) -> Result<Sealed, Fault> {
        let passphrase = settings.secret.resolve(secrets).map_err(Fault::of_secret)?;
        let key = timeout_at(deadline, self.key(settings, &passphrase))
            .await
            .unwrap_or_else(|_| {
                let text = format!(
                    "encryption key `{}` was not derived within the endpoint's timeout",
                    settings.key_id
                );
                Err(Fault::new(Failure::Secret, text))
            })?;
        seal(&key.key, draw(self.random)?, delivery, body).map_err(|error| fault(settings, &error))
    }

    /// The key with room for one more message. It goes round again only when others have used up the key meanwhile.
    async fn key(&self, settings: &Settings, passphrase: &Secret) -> Result<Arc<Counted>, Fault> {
        let origin = Origin {
            key_id: Arc::clone(&settings.key_id),
            passphrase: Sha256::digest(passphrase.expose()).into(),
            has_fixed_salt: settings.scheme == Scheme::Seed002,
        };
        loop {
            let make = || self.derive(settings, passphrase);
            let flight = self.shelf.get_or(origin.clone(), Instant::now(), make);
            let result = flight.clone().land().await;
            let is_good = result
                .as_ref()
                .is_ok_and(|key| key.take(self.messages_max, origin.has_fixed_salt));
            if !is_good {
                self.shelf.remove_if(&origin, |kept| kept.is(&flight));
            }
            if is_good || result.is_err() {
                return result;
            }
        }
    }

    fn derive(&self, settings: &Settings, passphrase: &Secret) -> Flight<Arc<Counted>> {
        let (settings, passphrase) = (settings.clone(), passphrase.clone());
        let (places, random) = (Arc::clone(&self.places), self.random);
        Flight::start(async move {
            let salt: [u8; SALT_BYTES] = draw(random)?;
            let _place = places.acquire().await;
            let (scheme, key_id) = (settings.scheme, Arc::clone(&settings.key_id));
            let derived =
                tokio::task::spawn_blocking(move || Key::derive(scheme, key_id, &passphrase, salt));
            let key = match derived.await {
                Ok(derived) => derived.map_err(|error| fault(&settings, &error))?,
                Err(error) => return Err(fault(&settings, &error)),
            };
            tracing::debug!(key = %settings.key_id, "encryption key derived");
            let messages = AtomicU64::new(0);
            Ok(Arc::new(Counted { key, messages }))
        })
    }
}

impl Counted {
    /// Counts one message; false when the key has sealed all that it may.
    fn take(&self, messages_max: u64, has_fixed_salt: bool) -> bool {
        let before = self.messages.fetch_add(1, Ordering::Relaxed);
        if has_fixed_salt && before == messages_max {
            tracing::warn!(
                "a `seed-002` key has sealed {messages_max} messages: change its passphrase"
            );
        }
        has_fixed_salt || before < messages_max
    }
}

fn draw<const N: usize>(random: &dyn SecureRandom) -> Result<[u8; N], Fault> {
    let mut bytes = [0; N];
    random.fill(&mut bytes).map_err(|_| {
        let text = "the system gives no random numbers to encrypt with";
        Fault::new(Failure::Secret, text)
    })?;
    Ok(bytes)
}

fn fault(settings: &Settings, error: &dyn std::fmt::Display) -> Fault {
    let text = format!("encryption key `{}`: {error}", settings.key_id);
    Fault::new(Failure::Secret, text)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::time::Duration;

    use futures_util::future::join_all;
    use switchhook_core::id::EventId;
    use switchhook_core::secret::SecretRef;

    use super::*;

    fn settings(scheme: Scheme, passphrase: &str) -> Settings {
        Settings {
            scheme,
            key_id: "k1".into(),
            secret: SecretRef::Literal(Secret::new(passphrase.into())),
        }
    }

    async fn seal_by(keys: &Keys, settings: &Settings, deadline: Instant) -> Result<Sealed, Fault> {
        let secrets = Secrets::new(BTreeMap::new(), |_| None);
        let delivery = DeliveryId::derive(EventId(uuid::Uuid::from_u128(7)), "s");
        keys.seal(settings, &secrets, delivery, b"{}", deadline)
            .await
    }

    async fn seal_one(keys: &Keys, settings: &Settings) -> Sealed {
        let deadline = Instant::now() + Duration::from_secs(60);
        seal_by(keys, settings, deadline).await.unwrap()
    }

    fn iv(sealed: &Sealed) -> String {
        let mut members = sealed.members(true).into_iter();
        members.find(|(name, _)| *name == "iv").unwrap().1
    }

    #[tokio::test]
    async fn fifty_attempts_at_once_derive_one_key_and_draw_fifty_nonces() {
        let (keys, settings) = (Keys::default(), settings(Scheme::Standard, "pass"));
        let sealed = join_all((0..50).map(|_| seal_one(&keys, &settings))).await;
        // Every derivation would have drawn another salt.
        let salts: BTreeSet<_> = sealed.iter().map(Sealed::salt).collect();
        assert_eq!(salts.len(), 1);
        assert_eq!(sealed.iter().map(iv).collect::<BTreeSet<_>>().len(), 50);
    }

    #[tokio::test]
    async fn a_changed_passphrase_is_another_key_and_the_old_one_stays() {
        let keys = Keys::default();
        let (old, new) = (
            settings(Scheme::Standard, "old"),
            settings(Scheme::Standard, "new"),
        );
        let first = seal_one(&keys, &old).await.salt();
        assert_ne!(seal_one(&keys, &new).await.salt(), first);
        assert_eq!(seal_one(&keys, &old).await.salt(), first);
    }

    #[tokio::test]
    async fn a_key_that_has_sealed_all_it_may_gives_way_to_one_with_another_salt() {
        let keys = Keys {
            messages_max: 2,
            ..Keys::default()
        };
        let settings = settings(Scheme::Standard, "pass");
        let mut salts = Vec::new();
        for _ in 0..4 {
            salts.push(seal_one(&keys, &settings).await.salt());
        }
        assert_eq!((salts[0], salts[2]), (salts[1], salts[3]));
        assert_ne!(salts[0], salts[2]);
    }

    #[tokio::test]
    async fn the_key_of_seed_002_has_no_salt_to_renew_and_goes_on() {
        let keys = Keys {
            messages_max: 1,
            ..Keys::default()
        };
        let settings = settings(Scheme::Seed002, "pass");
        for _ in 0..3 {
            assert_eq!(seal_one(&keys, &settings).await.salt(), None);
        }
    }

    #[tokio::test]
    async fn a_key_that_comes_too_late_for_one_attempt_is_there_for_the_next() {
        let (keys, settings) = (Keys::default(), settings(Scheme::Standard, "pass"));
        let fault = seal_by(&keys, &settings, Instant::now()).await.unwrap_err();
        assert_eq!(fault.failure, Failure::Secret, "{fault}");
        assert!(
            fault.text.contains("`k1`") && !fault.text.contains("pass"),
            "{fault}"
        );
        let salt = seal_one(&keys, &settings).await.salt();
        let already_there = seal_by(&keys, &settings, Instant::now()).await;
        assert_eq!(already_there.unwrap().salt(), salt);
    }

    #[tokio::test]
    async fn an_empty_passphrase_makes_no_key_and_is_not_remembered() {
        let keys = Keys::default();
        let late = Instant::now() + Duration::from_secs(60);
        let fault = seal_by(&keys, &settings(Scheme::Standard, ""), late)
            .await
            .unwrap_err();
        assert_eq!(fault.failure, Failure::Secret);
        assert!(
            fault.text.contains("`k1`: the passphrase is empty"),
            "{fault}"
        );
    }
}
