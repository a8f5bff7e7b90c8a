//! Every token and OAuth client, in memory.
//!
//! A token is found by the first bytes of its hash and then compared as a whole in constant time; what the time of a look-up
//! could tell is a part of a hash, and nobody can make a token that has a wanted hash. Changes go through one lock
//! ([`Registry::turn`]), are written first and adopted here right after the commit, so the order here is that on disk.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde_json::json;
use subtle::ConstantTimeEq;
use switchhook_core::access::{Minute, Scope};
use switchhook_core::time::UnixMs;
use switchhook_store::batch::{Batch, Room};
use switchhook_store::{Error, Store};
use switchhook_wire::api::{RATE_MAX, TOKEN_RATE_DEFAULT};
use switchhook_wire::identity::{ClientKept, LastUse, TokenKept};
use tokio::sync::MutexGuard;

use super::mint::{self, Hash};
use super::{Caller, CallerKind, RateView, last_use, scopes_of};
use crate::control::audit::Actor;
use crate::gateway::write;

/// Most API tokens: more than people and programs that one gateway serves; all of them are in one list in memory.
pub(super) const TOKENS_MAX: usize = 1_000;
/// Most OAuth clients, for the same reason.
pub(super) const CLIENTS_MAX: usize = 1_000;
/// Documents that are read at once when the gateway starts.
const READ_ITEMS: usize = 1_000;
/// Name of the token that is made when there is none.
const FIRST: &str = "first";

/// How often one asked, and when last.
#[derive(Debug, Default)]
pub(super) struct Meter {
    minute: Mutex<Minute>,
    /// Milliseconds since 1970; 0 is never.
    used_at: AtomicU64,
}

impl Meter {
    /// Counts a request. `Err` when it is one too many.
    pub(super) fn count(
        &self,
        allowed: u32,
        now: UnixMs,
        monotonic_ms: u64,
    ) -> Result<RateView, RateView> {
        self.used_at.store(now.0, Ordering::Relaxed);
        let mut minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        let is_allowed = minute.take(allowed, monotonic_ms);
        let view = RateView {
            count: minute.count(),
            allowed,
            reset_s: minute.left_s(monotonic_ms),
        };
        if is_allowed { Ok(view) } else { Err(view) }
    }

    pub(super) fn used_at(&self) -> Option<UnixMs> {
        Some(self.used_at.load(Ordering::Relaxed))
            .filter(|at| *at > 0)
            .map(UnixMs)
    }
}

/// A token that is known.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) hash: Hash,
    pub(super) caller: Caller,
    pub(super) kept: TokenKept,
    /// That of the client, for an access token.
    pub(super) meter: Arc<Meter>,
    pub(super) rate: u32,
}

impl Token {
    pub(super) fn is_live(&self, now: UnixMs) -> bool {
        self.kept.expires_at.is_none_or(|at| now.0 < at)
    }
}

/// An OAuth client that is known.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) id: Arc<str>,
    pub(super) kept: ClientKept,
    pub(super) meter: Arc<Meter>,
}

impl Client {
    pub(super) fn is_live(&self, now: UnixMs) -> bool {
        self.kept.expires_at.is_none_or(|at| now.0 < at)
    }
}

/// What a request's token turned out to be.
pub(super) enum Found {
    Known(Arc<Token>),
    Expired,
    Unknown,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    known: RwLock<Known>,
    turns: tokio::sync::Mutex<()>,
}

/// What is known.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// By the first bytes of the hash.
    tokens: HashMap<[u8; 8], Vec<Arc<Token>>>,
    /// API tokens by id.
    pub(super) api: BTreeMap<Arc<str>, Arc<Token>>,
    /// Clients by id.
    pub(super) clients: BTreeMap<Arc<str>, Arc<Client>>,
    /// Access tokens by client, the oldest first.
    access: BTreeMap<Arc<str>, VecDeque<Arc<Token>>>,
}

impl Registry {
    /// What the store has. A document that cannot be read is passed over: its token is refused, and the others are not.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn open(store: &dyn Store, now: UnixMs) -> Result<Self, Error> {
        let mut known = Known::default();
        for (id, body) in all(store, Room::Client, now)? {
            match serde_json::from_slice(&body) {
                Ok(kept) => known.adopt_client(&id, kept),
                Err(error) => tracing::warn!(client = &*id, %error, "a client cannot be read"),
            }
        }
        let mut tokens: Vec<(Hash, TokenKept)> = Vec::new();
        for (id, body) in all(store, Room::Token, now)? {
            match (mint::unhex(&id), serde_json::from_slice(&body)) {
                (Some(hash), Ok(kept)) => tokens.push((hash, kept)),
                (_, Err(error)) => tracing::warn!(%error, "a token cannot be read"),
                (None, Ok(_)) => tracing::warn!("a token is not kept under its hash"),
            }
        }
        // Ids are in the order of time; the oldest access token of a client is the first to go.
        tokens.sort_by(|(_, a), (_, b)| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        for (hash, kept) in tokens {
            known.adopt_token(hash, kept);
        }
        if let Some(document) = store.document(Room::Setting, last_use::DOCUMENT, now)? {
            let used: LastUse = serde_json::from_slice(&document.body).unwrap_or_default();
            for (id, meter) in known.meters() {
                let at = used.get(id).copied().unwrap_or_default();
                meter.used_at.store(at, Ordering::Relaxed);
            }
        }
        Ok(Self {
            known: RwLock::new(known),
            ..Self::default()
        })
    }

    /// Makes a token for everything if nobody has one, and returns it: the only time it can be seen. So a gateway whose
    /// last administrator's token was lost or has expired gives a new one when it starts.
    ///
    /// # Errors
    /// When the store cannot be written, or the system has no randomness.
    pub(crate) async fn ensure_first(
        &self,
        store: &dyn Store,
        now: UnixMs,
    ) -> Result<Option<String>, Error> {
        let _turn = self.turn().await;
        if self.read().has_admin_besides(None, now) {
            return Ok(None);
        }
        let minted = mint::mint(mint::TOKEN)?;
        let name = self.read().free_name(FIRST);
        let kept = TokenKept {
            id: mint::id("tok"),
            name,
            scopes: vec![Scope::Admin.name().to_owned()],
            created_at: now.0,
            created_by: None,
            expires_at: None,
            // For the person at the machine, practically without limit.
            rate_per_minute: Some(RATE_MAX),
            client_id: None,
        };
        let id = mint::hex(&minted.hash);
        let document = super::document((Room::Token, &id), &kept, now, None)
            .map_err(|refusal| Error::Fatal(refusal.body().detail.clone()))?;
        // Nobody asked for it: the gateway itself is who did it.
        let detail = json!({ "name": kept.name, "scopes": kept.scopes });
        let actor = Actor("switchhook".into());
        let batch = Batch {
            documents: vec![document],
            audit: vec![actor.entry(now, "token.create", ("token", &kept.id), &detail)],
            ..Batch::default()
        };
        write(store, batch).await?;
        self.change().adopt_token(minted.hash, kept);
        Ok(Some(minted.text))
    }

    /// The right to change something; one at a time has it.
    pub(super) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turns.lock().await
    }

    /// Whose `token` is.
    pub(super) fn find(&self, token: &[u8], now: UnixMs) -> Found {
        let hash = mint::hash(token);
        let known = self.read();
        let near = known
            .tokens
            .get(&start(&hash))
            .map_or(&[][..], Vec::as_slice);
        let found = near.iter().fold(None, |found, known| {
            let is_it: bool = known.hash.ct_eq(&hash).into();
            if is_it { Some(known) } else { found }
        });
        match found {
            Some(token) if token.is_live(now) => Found::Known(token.clone()),
            Some(_) => Found::Expired,
            None => Found::Unknown,
        }
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn change(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// A token that is on disk.
    pub(super) fn adopt_token(&mut self, hash: Hash, kept: TokenKept) {
        let client = kept
            .client_id
            .as_deref()
            .map(|id| self.clients.get(id).cloned());
        let allowed = scopes_of(&kept.scopes);
        let (caller, meter, rate) = match &client {
            // Its client was deleted, and so was it.
            Some(None) => return,
            Some(Some(client)) => (
                Caller {
                    id: client.id.clone(),
                    name: client.kept.name.as_str().into(),
                    kind: CallerKind::Client,
                    scopes: allowed.within(scopes_of(&client.kept.scopes)),
                },
                client.meter.clone(),
                client.kept.rate_per_minute,
            ),
            None => (
                Caller {
                    id: kept.id.as_str().into(),
                    name: kept.name.as_str().into(),
                    kind: CallerKind::Token,
                    scopes: allowed,
                },
                Arc::default(),
                kept.rate_per_minute.unwrap_or(TOKEN_RATE_DEFAULT),
            ),
        };
        let token = Arc::new(Token {
            hash,
            caller,
            kept,
            meter,
            rate,
        });
        let id = token.caller.id.clone();
        self.tokens
            .entry(start(&hash))
            .or_default()
            .push(token.clone());
        match token.caller.kind {
            CallerKind::Token => {
                self.api.insert(id, token);
            }
            CallerKind::Client => self.access.entry(id).or_default().push_back(token),
        }
    }

    /// A token that is no longer on disk.
    pub(super) fn forget_token(&mut self, token: &Token) {
        if let Some(near) = self.tokens.get_mut(&start(&token.hash)) {
            near.retain(|known| known.hash != token.hash);
            if near.is_empty() {
                self.tokens.remove(&start(&token.hash));
            }
        }
        match token.caller.kind {
            CallerKind::Token => {
                self.api.remove(&token.caller.id);
            }
            CallerKind::Client => {
                if let Some(access) = self.access.get_mut(&token.caller.id) {
                    access.retain(|known| known.hash != token.hash);
                }
            }
        }
    }

    /// A client as it is on disk now.
    pub(super) fn adopt_client(&mut self, id: &str, kept: ClientKept) {
        let id: Arc<str> = id.into();
        let meter = self.clients.get(&id).map(|client| client.meter.clone());
        let client = Client {
            id: id.clone(),
            kept,
            meter: meter.unwrap_or_default(),
        };
        self.clients.insert(id, Arc::new(client));
    }

    /// A client that is no longer on disk, nor its access tokens.
    pub(super) fn forget_client(&mut self, id: &str) {
        for token in self.access_of(id) {
            self.forget_token(&token);
        }
        self.access.remove(id);
        self.clients.remove(id);
    }

    /// Access tokens of a client, the oldest first.
    pub(super) fn access_of(&self, client: &str) -> Vec<Arc<Token>> {
        let access = self.access.get(client);
        access.into_iter().flatten().cloned().collect()
    }

    /// Forgets access tokens that have ended; the store does so by itself.
    pub(super) fn forget_expired(&mut self, now: UnixMs) {
        let ended = self.access.values().flatten();
        let ended: Vec<_> = ended.filter(|token| !token.is_live(now)).cloned().collect();
        for token in ended {
            self.forget_token(&token);
        }
    }

    /// Whether somebody has an API token for everything, `besides` the one with this id.
    pub(super) fn has_admin_besides(&self, besides: Option<&str>, now: UnixMs) -> bool {
        self.api.values().any(|token| {
            Some(&*token.caller.id) != besides
                && token.is_live(now)
                && token.caller.scopes.allow(Scope::Admin)
        })
    }

    /// Whether no token and no client is called `name`.
    pub(super) fn is_free(&self, name: &str) -> bool {
        let mut tokens = self.api.values().map(|token| &token.kept.name);
        let mut clients = self.clients.values().map(|client| &client.kept.name);
        !tokens.any(|known| known == name) && !clients.any(|known| known == name)
    }

    /// `name`, with a number where others have it already.
    fn free_name(&self, name: &str) -> String {
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        std::iter::once(name.to_owned())
            .chain(numbered)
            .find(|name| self.is_free(name))
            .unwrap_or_default()
    }

    /// The meters of API tokens and clients, by id.
    pub(super) fn meters(&self) -> impl Iterator<Item = (&str, &Meter)> {
        let tokens = self.api.iter().map(|(id, token)| (&**id, &*token.meter));
        let clients = self
            .clients
            .iter()
            .map(|(id, client)| (&**id, &*client.meter));
        tokens.chain(clients)
    }
}

fn start(hash: &Hash) -> [u8; 8] {
    hash.first_chunk().copied().unwrap_or_default()
}

/// Ids and bodies of a room.
fn all(store: &dyn Store, room: Room, now: UnixMs) -> Result<Vec<(Arc<str>, bytes::Bytes)>, Error> {
    let mut found: Vec<(Arc<str>, bytes::Bytes)> = Vec::new();
    loop {
        let after = found.last().map(|(id, _)| id.clone());
        let read = store.documents(room, after.as_deref(), READ_ITEMS, now)?;
        let is_last = read.len() < READ_ITEMS;
        found.extend(
            read.into_iter()
                .map(|document| (document.id, document.body)),
        );
        if is_last {
            return Ok(found);
        }
    }
}

#[cfg(test)]
impl Registry {
    /// A token with these scopes, in memory only; its name is its number.
    pub(crate) fn adopt_for_test(&self, scopes: &[Scope], expires_at: Option<UnixMs>) -> String {
        let minted = mint::mint(mint::TOKEN).expect("there is randomness");
        let mut known = self.change();
        let kept = TokenKept {
            id: mint::id("tok"),
            name: known.api.len().to_string(),
            scopes: scopes.iter().map(|scope| scope.name().to_owned()).collect(),
            created_at: 0,
            created_by: None,
            expires_at: expires_at.map(|at| at.0),
            rate_per_minute: Some(RATE_MAX),
            client_id: None,
        };
        known.adopt_token(minted.hash, kept);
        minted.text
    }

    /// Whether `token` would be let in.
    pub(crate) fn knows(&self, token: &str, now: UnixMs) -> bool {
        matches!(self.find(token.as_bytes(), now), Found::Known(_))
    }

    /// Whether the token with this name was ever used.
    pub(crate) fn used_for_test(&self, name: &str) -> bool {
        let known = self.read();
        let mut named = known.api.values().filter(|token| token.kept.name == name);
        named.any(|token| token.meter.used_at().is_some())
    }
}
