//! The right to ask: OAuth client credentials, fetched once and kept while the token is good.
//!
//! * A token is used until [`MARGIN_MS`] before its end, or until half of its life where that is shorter (seeds 001 and
//!   003: 60 s), so that none ends under way.
//! * Whoever asks while a token is being fetched waits for that one request and takes its result, also where it is a
//!   failure. A fetch whose asker went away is begun anew by the next.
//! * A refused token is dropped only if it is still the one in the cache: somebody else may have replaced it already.
//! * Too many token requests are a 400 with `rate limit exceeded` on Genesys Cloud (`facts` genesys 3.2); that is treated
//!   as the 429 it means.
//!
//! The secret goes out as HTTP Basic, or in the form where a server wants that. It is in no error and no `Debug`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use data_encoding::BASE64;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method};
use switchhook_core::secret::Secret;
use switchhook_core::time::UnixMs;
use switchhook_wire::dialect::oauth;
use tokio::sync::Mutex;
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};

use crate::limits::{Next, Outcome, Rules, Spent, next};
use crate::refusal::{Error, Refusal, place};
use crate::region::below;
use crate::reply;
use crate::surroundings::Surroundings;
use crate::transport::Transport;

/// So long before its end a token is no longer used, in milliseconds.
pub const MARGIN_MS: u64 = 60_000;
/// Life of a token whose answer does not say, in milliseconds (seed 001: an hour; we believe less).
const LIFE_DEFAULT_MS: u64 = 300_000;
/// Longest life that is believed, in milliseconds (Genesys Cloud: 172,800 s).
const LIFE_MAX_MS: u64 = 172_800_000;
/// Longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Where id and secret stand in the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// In the header, as Genesys Cloud wants it (seed 003).
    #[default]
    Basic,
    /// In the form (seed 001).
    Form,
}

/// Who we are.
#[derive(Clone)]
pub struct Credentials {
    /// The OAuth client's id.
    pub client_id: Arc<str>,
    /// Its secret.
    pub client_secret: Secret,
    /// Where both stand.
    pub style: Style,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("client_id", &self.client_id)
            .field("style", &self.style)
            .finish_non_exhaustive()
    }
}

/// A token that is good for now.
#[derive(Clone)]
pub struct Token {
    /// The token itself.
    pub(crate) text: Secret,
    /// Which fetch brought it: 1, 2, …
    generation: u64,
    /// When it was fetched.
    pub fetched_at: UnixMs,
    /// When it ends.
    pub ends_at: UnixMs,
    /// From then on another one is fetched.
    pub used_until: UnixMs,
    /// What it allows, as the server says.
    pub scope: Option<String>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("generation", &self.generation)
            .field("ends_at", &self.ends_at)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

impl Token {
    fn new(
        text: Secret,
        generation: u64,
        life_ms: u64,
        scope: Option<String>,
        now: UnixMs,
    ) -> Self {
        let margin_ms = MARGIN_MS.min(life_ms / 2);
        Self {
            text,
            generation,
            fetched_at: now,
            ends_at: now.plus_ms(life_ms),
            used_until: now.plus_ms(life_ms - margin_ms),
            scope,
        }
    }

    /// Whether it may still be used. A clock that went back before its beginning says nothing about its end.
    #[must_use]
    pub fn is_good(&self, now: UnixMs) -> bool {
        self.fetched_at <= now && now < self.used_until
    }

    /// The header that shows it.
    pub(crate) fn bearer(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_bytes(&[b"Bearer ", self.text.expose()].concat()).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// The cache.
pub(crate) struct Tokens {
    url: Url,
    credentials: Credentials,
    /// Fetches that have ended.
    fetches: AtomicU64,
    kept: Mutex<Option<Result<Token, Error>>>,
}

impl Tokens {
    pub(crate) fn new(login: &Url, credentials: Credentials) -> Self {
        Self {
            url: below(login, ["oauth", "token"]),
            credentials,
            fetches: AtomicU64::new(0),
            kept: Mutex::new(None),
        }
    }

    /// A good token; `refused` is one that is not, whatever its time says.
    pub(crate) async fn token(
        &self,
        transport: &Transport,
        around: &dyn Surroundings,
        refused: Option<&Token>,
    ) -> Result<Token, Error> {
        let before = self.fetches.load(Ordering::Acquire);
        let mut kept = self.kept.lock().await;
        let fetches = self.fetches.load(Ordering::Acquire);
        let is_refused =
            |token: &Token| refused.is_some_and(|refused| refused.generation == token.generation);
        match &*kept {
            Some(Ok(token)) if token.is_good(around.now()) && !is_refused(token) => {
                return Ok(token.clone());
            }
            // It failed while we waited for it: that was our request too.
            Some(Err(error)) if fetches > before => return Err(error.clone()),
            Some(_) | None => {}
        }
        let result = self.fetch(transport, around, fetches + 1).await;
        self.fetches.store(fetches + 1, Ordering::Release);
        *kept = Some(result.clone());
        result
    }

    /// What must not be shown.
    pub(crate) fn secrets(&self, token: Option<&Token>) -> Vec<Secret> {
        let token = token.map(|token| token.text.clone());
        [self.credentials.client_secret.clone()]
            .into_iter()
            .chain(token)
            .collect()
    }

    async fn fetch(
        &self,
        transport: &Transport,
        around: &dyn Surroundings,
        generation: u64,
    ) -> Result<Token, Error> {
        let (headers, body) = request(&self.credentials);
        let mut spent = Spent {
            refreshes: 1,
            ..Spent::default()
        };
        loop {
            let sent = transport
                .send(Method::POST, &self.url, headers.clone(), body.clone())
                .await;
            let now = around.now();
            let (outcome, error) = match sent {
                Ok(reply) if (200..300).contains(&reply.status) => {
                    return read(&reply.body, generation, now, &self.asked());
                }
                Ok(reply) => {
                    let blot = self.secrets(None);
                    let mut refusal =
                        Refusal::read(&self.asked(), reply.status, &reply.body, &blot);
                    reply::complete(&mut refusal, &reply.headers, now);
                    if is_rate_limit(&refusal) {
                        refusal.status = 429;
                    }
                    let outcome = Outcome::Answered {
                        status: refusal.status,
                        retry_after_ms: refusal.retry_after_ms,
                        busy: false,
                    };
                    (outcome, Error::Refused(Box::new(refusal)))
                }
                Err(fault) => {
                    let host = place(&self.url);
                    let what = format!("no token: {}", fault.what);
                    (
                        Outcome::Broken,
                        Error::Broken {
                            host,
                            what,
                            may_have_acted: false,
                        },
                    )
                }
            };
            #[expect(
                clippy::cast_possible_truncation,
                reason = "any 64 of the random bits do"
            )]
            let entropy = around.entropy() as u64;
            match next(outcome, spent, &Rules::USUAL, entropy) {
                Next::Wait(ms) => {
                    around.wait(ms).await;
                    spent.retries += 1;
                    spent.waited_ms += ms;
                }
                Next::Done | Next::Refresh | Next::GiveUp => return Err(error),
            }
        }
    }

    fn asked(&self) -> String {
        format!("POST {}", self.url.path())
    }
}

/// Genesys Cloud's word for too many token requests, which come with 400.
fn is_rate_limit(refusal: &Refusal) -> bool {
    refusal.status == 400 && refusal.message.contains("rate limit exceeded")
}

fn read(body: &[u8], generation: u64, now: UnixMs, asked: &str) -> Result<Token, Error> {
    let foreign = |what: &str| Error::Foreign {
        asked: asked.to_owned(),
        what: what.to_owned(),
    };
    let answer: serde_json::Value = serde_json::from_slice(body).map_err(|_| foreign("no JSON"))?;
    let text = answer
        .get("access_token")
        .and_then(serde_json::Value::as_str);
    let text = text.ok_or_else(|| foreign("no `access_token` in it"))?;
    let is_usable = (1..=TOKEN_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_usable {
        return Err(foreign("an `access_token` that cannot stand in a header"));
    }
    let kind = answer.get("token_type").and_then(serde_json::Value::as_str);
    if kind.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err(foreign("a token that is no bearer token"));
    }
    let life_ms = match answer.get("expires_in").and_then(serde_json::Value::as_u64) {
        Some(seconds) => seconds.saturating_mul(1_000).min(LIFE_MAX_MS),
        None => LIFE_DEFAULT_MS,
    };
    let scope = answer
        .get("scope")
        .and_then(serde_json::Value::as_str)
        .map(str::to_owned);
    Ok(Token::new(
        Secret::new(text.as_bytes().to_vec()),
        generation,
        life_ms,
        scope,
        now,
    ))
}

/// Headers and form that ask for a token. In the header id and secret stand as they are, which is how Genesys Cloud and
/// its SDKs do it; RFC 6749, 2.3.1 would have them form-encoded there too.
fn request(credentials: &Credentials) -> (HeaderMap, Bytes) {
    let mut headers = HeaderMap::new();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/x-www-form-urlencoded"),
    );
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", oauth::CLIENT_CREDENTIALS);
    let form = form.finish();
    let encoded = |bytes: &[u8]| byte_serialize(bytes).collect::<String>();
    let (id, secret) = (
        credentials.client_id.as_bytes(),
        credentials.client_secret.expose(),
    );
    match credentials.style {
        Style::Basic => {
            let pair = [id, b":", secret].concat();
            let value = format!("Basic {}", BASE64.encode(&pair));
            if let Ok(mut value) = HeaderValue::try_from(value) {
                value.set_sensitive(true);
                headers.insert(AUTHORIZATION, value);
            }
            (headers, form.into())
        }
        Style::Form => {
            let form = form + "&client_id=" + &encoded(id) + "&client_secret=" + &encoded(secret);
            (headers, form.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(life_ms: u64) -> Token {
        Token::new(
            Secret::new(b"t".to_vec()),
            1,
            life_ms,
            None,
            UnixMs(1_000_000),
        )
    }

    #[test]
    fn a_token_is_used_until_a_minute_before_its_end_and_a_short_one_until_its_half() {
        let day = token(86_400_000);
        assert!(day.is_good(UnixMs(1_000_000)) && day.is_good(UnixMs(1_000_000 + 86_339_999)));
        assert!(!day.is_good(UnixMs(1_000_000 + 86_340_000)));
        let short = token(60_000);
        assert!(short.is_good(UnixMs(1_029_999)) && !short.is_good(UnixMs(1_030_000)));
        assert!(
            !token(0).is_good(UnixMs(1_000_000)),
            "one that has ended is never used"
        );
    }

    #[test]
    fn a_token_from_the_future_is_not_trusted() {
        assert!(!token(86_400_000).is_good(UnixMs(999_999)));
    }

    #[test]
    fn both_styles_say_who_we_are() {
        let credentials = |style| Credentials {
            client_id: "c1".into(),
            client_secret: Secret::new(b"a:b+c d".to_vec()),
            style,
        };
        let (headers, body) = request(&credentials(Style::Basic));
        assert_eq!(body, "grant_type=client_credentials");
        assert!(headers[AUTHORIZATION].is_sensitive());
        let read = oauth::read(headers[AUTHORIZATION].to_str().ok(), &body).unwrap();
        assert_eq!(
            (read.client_id.as_str(), read.client_secret.expose()),
            ("c1", &b"a:b+c d"[..])
        );
        let (headers, body) = request(&credentials(Style::Form));
        assert!(headers.get(AUTHORIZATION).is_none());
        let read = oauth::read(None, &body).unwrap();
        assert_eq!(
            (read.client_id.as_str(), read.client_secret.expose()),
            ("c1", &b"a:b+c d"[..])
        );
    }

    #[test]
    fn an_answer_that_is_no_token_is_told_and_never_shown() {
        for (body, what) in [
            ("<html>", "no JSON"),
            ("{}", "no `access_token`"),
            (r#"{"access_token":"s3cr et"}"#, "cannot stand"),
            (
                r#"{"access_token":"s3cret","token_type":"mac"}"#,
                "no bearer",
            ),
        ] {
            let error = read(body.as_bytes(), 1, UnixMs(0), "POST /oauth/token").unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(text.contains(what) && !text.contains("s3cr"), "{text}");
        }
        let good = br#"{"access_token":"s3cret","token_type":"Bearer","expires_in":99999999}"#;
        let token = read(good, 1, UnixMs(0), "").unwrap();
        assert_eq!(token.ends_at, UnixMs(LIFE_MAX_MS));
        assert!(!format!("{token:?}").contains("s3cret"));
    }
}
