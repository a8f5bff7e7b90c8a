//! Tokens by client credentials (RFC 6749, 4.4): fetched once, kept while they are good.
//!
//! * A token belongs to its client, secret, scope and token URL. A changed secret asks for a new one.
//! * All attempts that need the same token wait for one fetch. From [`RENEWED_BEFORE`] its end on, the next attempt has a
//!   new one fetched and goes on with the old one, so that nobody waits; [`USED_BEFORE`] its end it is used no more.
//! * A fetch that failed is not repeated for [`FAILED_FOR`]: a backlog must not beat on a token server that is ill.
//! * The token server is reached through the address guard, with the allow list of the endpoint but with the system's
//!   certificates: an endpoint's own CA, certificate and pins say nothing about another server. Nothing is followed, no
//!   connection is kept, and of its answer at most 64 KiB are read.
//! * Every fault here is [`Failure::Secret`]: it is retried, and no endpoint is blamed. Its text has the host, the status
//!   and RFC 6749's code for the error; nothing else that the server said, since it may repeat what it was sent.
//!
//! Bounds: [`FETCH_MAX`] for a fetch, [`LIFE_MAX`] for what a server says of a token's life, 8 KiB for a token.

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use data_encoding::BASE64;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;
use serde_json::Value;
use sha2::{Digest, Sha256};
use switchhook_core::delivery::Failure;
use switchhook_core::endpoint::ClientCredentials;
use switchhook_core::guard::check_url;
use switchhook_core::secret::Secret;
use switchhook_core::template::VALUE_BYTES_MAX;
use tokio::time::{Instant, timeout_at};
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::attempt::AGENT;
use super::auth::hidden;
use super::flight::Flight;
use super::guard::Fault;
use super::shelf::Shelf;
use super::transport::{Answer, Transport};
use crate::secrets::Secrets;

/// Time for one fetch, from the lookup of the host to the last byte. Attempts wait for at most their own timeout.
const FETCH_MAX: Duration = Duration::from_secs(10);
/// No further fetch for so long after one that failed.
const FAILED_FOR: Duration = Duration::from_secs(5);
/// Life of a token whose answer does not say (Genesys Cloud always does; common servers give 300 s or more).
const LIFE_DEFAULT: Duration = Duration::from_secs(300);
/// Longest life that is believed: a token that was revoked must not be tried for days.
const LIFE_MAX: Duration = Duration::from_secs(24 * 3_600);
/// So long before its end a token is renewed, or at half of its life if that is shorter.
const RENEWED_BEFORE: Duration = Duration::from_secs(60);
/// So long before its end a token is no longer used, or a quarter of its life: it must arrive while it is good.
const USED_BEFORE: Duration = Duration::from_secs(5);

/// The errors of RFC 6749, 5.2, and what they mean for whoever reads them.
const CODES: [(&str, &str); 6] = [
    (
        "invalid_client",
        "it does not accept this client and secret",
    ),
    ("invalid_scope", "it does not accept this scope"),
    (
        "unauthorized_client",
        "the client may not use client credentials",
    ),
    ("unsupported_grant_type", "it has no client credentials"),
    ("invalid_grant", "it refused the grant"),
    ("invalid_request", "it did not understand the request"),
];

/// The tokens of all endpoints.
pub(super) struct Tokens {
    transport: Arc<Transport>,
    shelf: Shelf<Origin, Arc<Slot>>,
}

/// What a token was asked for with. Has no `Debug`: a hash of a weak secret gives it away.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Origin {
    token_url: Url,
    client_id: Arc<str>,
    client_secret: [u8; 32],
    scope: Option<Arc<str>>,
    audience: Option<Arc<str>>,
    in_body: bool,
    /// What one endpoint's allow list permits is not permitted to another.
    allow: Vec<IpNet>,
}

/// A token that is good for now.
pub(super) struct Token {
    /// `Bearer …`, marked as sensitive.
    pub(super) header: HeaderValue,
    /// The bare token, to be blotted out of texts.
    pub(super) text: Secret,
    renew_at: Instant,
    end_at: Instant,
}

/// A token for one attempt.
pub(super) struct Lease {
    /// The token.
    pub(super) token: Arc<Token>,
    /// Whether it was fetched for this attempt: then a refusal is not its age.
    pub(super) is_fresh: bool,
}

#[derive(Default)]
struct Slot(Mutex<Standing>);

/// What is known of one token.
#[derive(Default)]
struct Standing {
    token: Option<Arc<Token>>,
    fetching: Option<Flight<Arc<Token>>>,
    failed: Option<(Instant, Fault)>,
}

/// What an attempt has to do for its token.
enum Step {
    Use(Arc<Token>),
    WaitFor(Flight<Arc<Token>>),
    GiveUp(Fault),
}

impl Tokens {
    pub(super) fn new(transport: Arc<Transport>) -> Self {
        Self {
            transport,
            shelf: Shelf::default(),
        }
    }

    /// A token for `client` at `now`, waited for until `deadline` at most. `refused` is the one that the endpoint has
    /// just refused; it is never given out again.
    ///
    /// # Errors
    /// When the client's secret or a token is not to be had.
    pub(super) async fn lease(
        &self,
        client: &Arc<ClientCredentials>,
        allow: &[IpNet],
        secrets: &Secrets,
        refused: Option<&Arc<Token>>,
        (now, deadline): (Instant, Instant),
    ) -> Result<Lease, Fault> {
        let secret = client.client_secret.resolve(secrets);
        let secret = secret.map_err(Fault::of_secret)?;
        let slot = self
            .shelf
            .get_or(Origin::of(client, allow, &secret), now, Arc::default);
        let fetch = || self.fetch(&slot, client, allow, secret);
        let flight = match slot.standing().step(now, refused, fetch) {
            Step::Use(token) => {
                let is_fresh = false;
                return Ok(Lease { token, is_fresh });
            }
            Step::GiveUp(fault) => return Err(fault),
            Step::WaitFor(flight) => flight,
        };
        match timeout_at(deadline, flight.clone().land()).await {
            Ok(Ok(token)) => {
                let is_fresh = true;
                Ok(Lease { token, is_fresh })
            }
            Ok(Err(fault)) => {
                slot.standing().give_up(&flight);
                Err(fault)
            }
            Err(_) => {
                let why = "it did not answer within the endpoint's timeout";
                Err(no_token(client, why))
            }
        }
    }

    fn fetch(
        &self,
        slot: &Arc<Slot>,
        client: &Arc<ClientCredentials>,
        allow: &[IpNet],
        secret: Secret,
    ) -> Flight<Arc<Token>> {
        let transport = Arc::clone(&self.transport);
        let (slot, client, allow) = (Arc::clone(slot), Arc::clone(client), allow.to_vec());
        Flight::start(async move {
            let result = fetch(&transport, &client, &allow, &secret).await;
            let result = result.map(Arc::new);
            slot.standing().landed(&result);
            result
        })
    }
}

impl Origin {
    fn of(client: &ClientCredentials, allow: &[IpNet], secret: &Secret) -> Self {
        Self {
            token_url: client.token_url.clone(),
            client_id: Arc::clone(&client.client_id),
            client_secret: Sha256::digest(secret.expose()).into(),
            scope: client.scope.clone(),
            audience: client.audience.clone(),
            in_body: client.in_body,
            allow: allow.to_vec(),
        }
    }
}

impl Slot {
    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    /// Decides, and has a token fetched where one is needed and none is on its way.
    fn step(
        &mut self,
        now: Instant,
        refused: Option<&Arc<Token>>,
        fetch: impl FnOnce() -> Flight<Arc<Token>>,
    ) -> Step {
        self.token = self.token.take().filter(|token| {
            now < token.end_at && refused.is_none_or(|refused| !Arc::ptr_eq(token, refused))
        });
        let has_to_rest = |(at, _): &(Instant, Fault)| now < *at + FAILED_FOR;
        self.failed = self.failed.take().filter(has_to_rest);
        match (&self.token, &self.failed) {
            (Some(token), None) if now >= token.renew_at => {
                self.fetching.get_or_insert_with(fetch);
                Step::Use(Arc::clone(token))
            }
            (Some(token), _) => Step::Use(Arc::clone(token)),
            (None, Some((_, fault))) => Step::GiveUp(fault.clone()),
            (None, None) => Step::WaitFor(self.fetching.get_or_insert_with(fetch).clone()),
        }
    }

    fn landed(&mut self, result: &Result<Arc<Token>, Fault>) {
        self.fetching = None;
        match result {
            Ok(token) => (self.token, self.failed) = (Some(Arc::clone(token)), None),
            Err(fault) => self.failed = Some((Instant::now(), fault.clone())),
        }
    }

    /// After a fetch that ended without landing, by a fault of our own, there must be another.
    fn give_up(&mut self, flight: &Flight<Arc<Token>>) {
        self.fetching.take_if(|own| own.is(flight));
    }
}

async fn fetch(
    transport: &Transport,
    client: &ClientCredentials,
    allow: &[IpNet],
    secret: &Secret,
) -> Result<Token, Fault> {
    let asked_at = Instant::now();
    let url = &client.token_url;
    check_url(url, allow).map_err(|blocked| no_token(client, &blocked.to_string()))?;
    let (headers, body) = request(client, secret)?;
    let answer = transport
        .ask(url, allow, headers, body, asked_at + FETCH_MAX)
        .await
        .map_err(|fault| no_token(client, &fault.text))?;
    if !answer.status.is_success() {
        return Err(refusal(client, &answer));
    }
    let token = Token::read(&answer.excerpt, asked_at).map_err(|why| no_token(client, why))?;
    tracing::debug!(host = url.host_str(), client = %client.client_id, "token fetched");
    Ok(token)
}

/// Headers and body that ask for a token. Id and secret are form-encoded in both places (RFC 6749, 2.3.1).
fn request(client: &ClientCredentials, secret: &Secret) -> Result<(HeaderMap, Bytes), Fault> {
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    for (name, value) in [("scope", &client.scope), ("audience", &client.audience)] {
        if let Some(value) = value {
            form.append_pair(name, value);
        }
    }
    let mut headers = HeaderMap::from_iter([
        (USER_AGENT, AGENT),
        (ACCEPT, HeaderValue::from_static("application/json")),
        (
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        ),
    ]);
    let id: String = byte_serialize(client.client_id.as_bytes()).collect();
    let secret: String = byte_serialize(secret.expose()).collect();
    if client.in_body {
        let form = form.finish() + "&client_id=" + &id + "&client_secret=" + &secret;
        return Ok((headers, form.into()));
    }
    let basic = format!(
        "Basic {}",
        BASE64.encode(format!("{id}:{secret}").as_bytes())
    );
    headers.insert(AUTHORIZATION, hidden(&basic, "the client's id and secret")?);
    Ok((headers, form.finish().into()))
}

impl Token {
    /// Reads the answer to a request that was made at `asked_at`.
    fn read(answer: &[u8], asked_at: Instant) -> Result<Self, &'static str> {
        let Ok(Value::Object(mut answer)) = serde_json::from_slice(answer) else {
            return Err("its answer is no JSON object of at most 64 KiB");
        };
        let Some(Value::String(text)) = answer.remove("access_token") else {
            return Err("its answer has no `access_token`");
        };
        let kind = answer.get("token_type").and_then(Value::as_str);
        if kind.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
            return Err("the token it gave is no bearer token");
        }
        let sendable = !text.is_empty() && text.len() <= VALUE_BYTES_MAX;
        let header = sendable.then(|| hidden(&format!("Bearer {text}"), "the token").ok());
        let Some(header) = header.flatten() else {
            return Err("the token it gave is empty, too long, or cannot stand in a header");
        };
        let life = life(answer.get("expires_in"));
        Ok(Self {
            header,
            text: Secret::new(text.into_bytes()),
            renew_at: asked_at + life.saturating_sub(RENEWED_BEFORE.min(life / 2)),
            end_at: asked_at + life.saturating_sub(USED_BEFORE.min(life / 4)),
        })
    }
}

/// `expires_in`: seconds, which some servers write as text or with a fraction.
fn life(expires_in: Option<&Value>) -> Duration {
    let seconds = match expires_in {
        Some(Value::String(text)) => text.parse().ok(),
        Some(other) => other.as_f64(),
        None => None,
    };
    seconds
        .map(|seconds: f64| seconds.clamp(0.0, LIFE_MAX.as_secs_f64()))
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .unwrap_or(LIFE_DEFAULT)
}

fn refusal(client: &ClientCredentials, answer: &Answer) -> Fault {
    let status = answer.status.as_u16();
    let body: Value = serde_json::from_slice(&answer.excerpt).unwrap_or_default();
    let said = body.get("error").and_then(Value::as_str);
    let known = CODES.iter().find(|(code, _)| Some(*code) == said);
    let why = match known {
        Some((code, meaning)) => format!("it answered {status} `{code}`: {meaning}"),
        None => format!("it answered {status}"),
    };
    no_token(client, &why)
}

fn no_token(client: &ClientCredentials, why: &str) -> Fault {
    let host = client.token_url.host_str().unwrap_or_default();
    let secret = match client.client_secret.name() {
        Some(name) => format!(" with secret `{name}`"),
        None => String::new(),
    };
    let text = format!(
        "no token from {host} for client `{}`{secret}: {why}",
        client.client_id
    );
    Fault::new(Failure::Secret, text)
}
