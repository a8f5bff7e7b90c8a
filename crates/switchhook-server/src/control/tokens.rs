//! API tokens: who may use the management API.
//!
//! A token is 256 random bits, shown once when it is made. Only its SHA-256 is kept: with so many random bits nothing
//! slower is needed. What a request brings is hashed and compared with every known hash in constant time. `/livez`,
//! `/readyz` and `/metrics` are open, since probes and scrapers carry no token; they show no event and no name of a
//! person. Everything else on the admin listener needs one, unknown paths included. The name of the token goes with the
//! request as its [`Actor`], for the audit log.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64URL_NOPAD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use switchhook_core::time::UnixMs;
use switchhook_store::batch::Token;
use switchhook_store::{Batch, Error, Store};
use switchhook_wire::problem::{self, Kind};
use tokio::sync::OnceCell;

use super::Control;
use super::answer::Refusal;
use super::audit::Actor;
use crate::gateway::write;

/// Start of every token, so that one that leaks is recognised.
const PREFIX: &str = "shk_";
/// Paths that need no token.
const OPEN: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// Makes a token if none is `known`, and returns it: the only time it can be seen.
///
/// # Errors
/// When the store cannot be written, or the system has no randomness.
pub async fn ensure_first_token(
    store: &dyn Store,
    known: &[Token],
    now: UnixMs,
) -> Result<Option<String>, Error> {
    if !known.is_empty() {
        return Ok(None);
    }
    let mut secret = [0; 32];
    rustls::crypto::aws_lc_rs::default_provider()
        .secure_random
        .fill(&mut secret)
        .map_err(|_| Error::Fatal("the system gives no random numbers for a token".into()))?;
    let token = format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&secret));
    let kept = Token {
        hash: hash(token.as_bytes()),
        name: "first".into(),
        created_at: now,
    };
    write(
        store,
        Batch {
            tokens: vec![kept],
            ..Batch::default()
        },
    )
    .await?;
    Ok(Some(token))
}

fn hash(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// Hashes and names of all tokens, read at the first request. No token is made after the start.
#[derive(Default)]
pub(super) struct Tokens(OnceCell<Vec<Token>>);

impl Tokens {
    /// Whose `token` is, if it is known.
    async fn holder(&self, token: &[u8], control: &Control) -> Result<Option<Actor>, Refusal> {
        let read = || async { control.read(|store| store.tokens()).await };
        let (given, known) = (hash(token), self.0.get_or_try_init(read).await?);
        // All are compared, so that the time tells nothing of the others.
        let equal = known.iter().fold(None, |found, known| {
            let is_it: bool = known.hash.ct_eq(&given).into();
            if is_it { Some(known) } else { found }
        });
        Ok(equal.map(|known| Actor(known.name.clone())))
    }
}

/// Lets a request through that carries a known token, or goes to an open path.
pub(super) async fn check(
    State(control): State<Arc<Control>>,
    mut request: Request,
    next: Next,
) -> Response {
    if !OPEN.contains(&request.uri().path()) {
        match actor(&control, request.headers()).await {
            Ok(Some(actor)) => {
                request.extensions_mut().insert(actor);
            }
            Ok(None) => return refused(request.headers()).into_response(),
            Err(refusal) => return refusal.into_response(),
        }
    }
    next.run(request).await
}

async fn actor(control: &Control, headers: &HeaderMap) -> Result<Option<Actor>, Refusal> {
    match bearer(headers) {
        Some(token) => control.tokens.holder(token, control).await,
        None => Ok(None),
    }
}

fn refused(headers: &HeaderMap) -> Refusal {
    let detail = match bearer(headers) {
        Some(_) => "the token is not known",
        None => "the request carries no `Authorization: Bearer` token",
    };
    let body = problem::Body::new(Kind::Unauthorized, detail);
    body.with_hint("send the token that the gateway showed when it first started")
        .into()
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.as_bytes().split_at_checked(7)?;
    (scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use switchhook_store::memory::Memory;

    use super::*;

    async fn first(store: &Memory) -> Option<String> {
        ensure_first_token(store, &store.tokens().unwrap(), UnixMs(7))
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn the_first_token_is_shown_once_and_only_its_hash_is_kept() {
        let store = Memory::new();
        let token = first(&store).await.unwrap();
        assert_eq!((token.len(), token.starts_with("shk_")), (47, true));
        assert_eq!(first(&store).await, None);
        let kept = store.tokens().unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!(
            (kept[0].hash, kept[0].created_at),
            (hash(token.as_bytes()), UnixMs(7))
        );
    }

    #[tokio::test]
    async fn every_token_is_another_one() {
        assert_ne!(first(&Memory::new()).await, first(&Memory::new()).await);
    }

    #[test]
    fn only_a_bearer_token_is_taken_whatever_the_case_of_the_word() {
        for (header, token) in [
            ("Bearer a", Some(&b"a"[..])),
            ("bearer a b", Some(b"a b")),
            ("Bearer ", None),
            ("Bearer", None),
            ("Basic a", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, header.parse().unwrap())]);
            assert_eq!(bearer(&headers), token, "{header}");
        }
    }
}
