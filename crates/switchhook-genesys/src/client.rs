//! One call of the management API: token, request, and the repeats that [`limits`](crate::limits) allows.
//!
//! Every try is told to a [`Witness`], before it goes out and after it ended: that is how journal and audit come to know
//! of it. Consecutive failures (5xx, broken connections) of at least two calls open a breaker, core's own: while it is open
//! nothing is asked, and one call at a time finds out whether the other side is back. A 429 is no failure.
//! Nothing here knows what a webhook is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, IF_MATCH};
use http::{HeaderMap, Method};
use serde_json::Value;
use switchhook_core::breaker::{Breaker, Call, Look, Settings};
use switchhook_core::delivery::{Failure, OutcomeKind};
use switchhook_core::id::Offset;
use switchhook_core::secret::Secret;
use switchhook_core::time::UnixMs;
use tokio::time::Instant;
use url::Url;

use crate::limits::{Next, Outcome, Rules, Spent, next};
use crate::names::Names;
use crate::refusal::{Error, Refusal, place};
use crate::region::{Bases, below};
use crate::reply::{self, Rate};
use crate::surroundings::Surroundings;
use crate::token::{Credentials, Token, Tokens};
use crate::transport::{Fault, Reply, Times, Transport, Trust};

/// The API's own breaker (seed 000: 5 failures, 30 s).
const BREAKER: Settings = Settings {
    failures: 5,
    share: 1.0,
    // The share never decides: there are not so many calls within the window.
    calls_min: u16::MAX,
    window_ms: 60_000,
    open_ms: 30_000,
    open_max_ms: 300_000,
    successes: 1,
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A client of one API.
pub struct Client {
    bases: Bases,
    transport: Transport,
    tokens: Tokens,
    breaker: Mutex<Breaker>,
    calls: AtomicU64,
    around: Arc<dyn Surroundings>,
}

/// What to ask.
#[derive(Debug, Clone)]
pub struct Ask<'a> {
    /// `GET`, `POST`, …
    pub method: Method,
    /// Segments of the path below the base.
    pub path: &'a [&'a str],
    /// Parameters.
    pub query: &'a [(&'a str, String)],
    /// The body, sent as JSON.
    pub body: Option<&'a Value>,
    /// The tag of what is to be changed.
    pub if_match: Option<&'a str>,
    /// The idempotency key.
    pub key: Option<&'a str>,
    /// How often it is tried.
    pub rules: Rules,
}

impl<'a> Ask<'a> {
    /// A read of `path`.
    #[must_use]
    pub const fn get(path: &'a [&'a str]) -> Self {
        Self {
            method: Method::GET,
            path,
            query: &[],
            body: None,
            if_match: None,
            key: None,
            rules: Rules::USUAL,
        }
    }
}

/// A good answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status, 200 to 299.
    pub status: u16,
    /// Its body; `null` where it is empty.
    pub body: Value,
    /// Its tag.
    pub etag: Option<String>,
    /// It is that of an earlier request with the same key.
    pub is_replayed: bool,
    /// How much of the allowance is used up.
    pub rate: Option<Rate>,
}

/// A try that ended.
#[derive(Debug, Clone, Copy)]
pub struct Ended<'a> {
    /// `GET`, `POST`, …
    pub method: &'a Method,
    /// Its path.
    pub path: &'a str,
    /// Status of the answer, if there was one.
    pub status: Option<u16>,
    /// What is wrong, if it was no success.
    pub error: Option<&'a Error>,
    /// The answer's correlation id.
    pub correlation_id: Option<&'a str>,
    /// How long it took, in milliseconds.
    pub latency_ms: u64,
}

/// Who is told of every try.
pub trait Witness: Send {
    /// It is about to go out.
    ///
    /// # Errors
    /// When it must not, since that could not be written down.
    fn before(&mut self, method: &Method, path: &str) -> Result<(), Error>;
    /// It has ended.
    ///
    /// # Errors
    /// When that could not be written down.
    fn after(&mut self, ended: &Ended<'_>) -> Result<(), Error>;
}

/// Nobody is told.
impl Witness for () {
    fn before(&mut self, _: &Method, _: &str) -> Result<(), Error> {
        Ok(())
    }

    fn after(&mut self, _: &Ended<'_>) -> Result<(), Error> {
        Ok(())
    }
}

impl Client {
    /// A client of the API at `bases`.
    #[must_use]
    pub fn new(
        bases: Bases,
        credentials: Credentials,
        trust: &Trust,
        times: Times,
        around: Arc<dyn Surroundings>,
    ) -> Self {
        let breaker = Breaker::new(place(&bases.api).into(), Some(BREAKER), around.now());
        Self {
            tokens: Tokens::new(&bases.login, credentials),
            transport: Transport::new(trust, times, Names::unjudged()),
            breaker: Mutex::new(breaker),
            calls: AtomicU64::new(0),
            bases,
            around,
        }
    }

    /// Where it asks.
    #[must_use]
    pub const fn bases(&self) -> &Bases {
        &self.bases
    }

    /// Its clock, chance and patience.
    #[must_use]
    pub fn around(&self) -> &dyn Surroundings {
        &*self.around
    }

    /// The secret that nobody but this client and the other side have.
    #[must_use]
    pub(crate) fn seal(&self) -> Secret {
        self.tokens
            .secrets(None)
            .into_iter()
            .next()
            .unwrap_or_else(|| Secret::new(Vec::new()))
    }

    /// A token that is good now.
    ///
    /// # Errors
    /// When none is to be had.
    pub async fn token(&self) -> Result<Token, Error> {
        self.tokens
            .token(&self.transport, &*self.around, None)
            .await
    }

    /// Asks, and asks again where that may help.
    ///
    /// # Errors
    /// What the last try gave.
    pub async fn call(&self, ask: &Ask<'_>, witness: &mut dyn Witness) -> Result<Answer, Error> {
        let url = with_query(below(&self.bases.api, ask.path.iter().copied()), ask.query);
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let (mut spent, mut refused) = (Spent::default(), None);
        loop {
            let token = self
                .tokens
                .token(&self.transport, &*self.around, refused.as_ref())
                .await?;
            let probe = self.may_ask()?;
            witness.before(&ask.method, url.path())?;
            let began = Instant::now();
            let sent = self.send(ask, &url, &token).await;
            let latency_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            let (outcome, correlation_id) = self.outcome(&sent);
            let result = self.judge(ask, &url, &token, sent);
            self.learn(number, probe, outcome, result.as_ref().err());
            witness.after(&Ended {
                method: &ask.method,
                path: url.path(),
                status: match outcome {
                    Outcome::Answered { status, .. } => Some(status),
                    Outcome::Broken => None,
                },
                error: result.as_ref().err(),
                correlation_id: correlation_id.as_deref(),
                latency_ms,
            })?;
            let busy = result.as_ref().err().is_some_and(is_busy);
            match next(outcome.marked(busy), spent, &ask.rules, self.chance()) {
                Next::Done | Next::GiveUp => return result,
                Next::Refresh => {
                    refused = Some(token);
                    spent.refreshes += 1;
                }
                Next::Wait(ms) => {
                    self.around.wait(ms).await;
                    spent.retries += 1;
                    spent.waited_ms += ms;
                }
            }
        }
    }

    async fn send(&self, ask: &Ask<'_>, url: &Url, token: &Token) -> Result<Reply, Fault> {
        let unsendable = |what: &str| Fault {
            what: format!("{what} cannot stand in a header"),
            may_have_acted: false,
        };
        let mut headers = HeaderMap::new();
        let bearer = token.bearer().ok_or_else(|| unsendable("the token"))?;
        headers.insert(AUTHORIZATION, bearer);
        for (name, value) in [(IF_MATCH, ask.if_match), (IDEMPOTENCY_KEY, ask.key)] {
            if let Some(value) = value {
                let value = HeaderValue::try_from(value).map_err(|_| unsendable(name.as_str()))?;
                headers.insert(name, value);
            }
        }
        let body = match ask.body {
            Some(body) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        self.transport
            .send(ask.method.clone(), url, headers, body)
            .await
    }

    fn outcome(&self, sent: &Result<Reply, Fault>) -> (Outcome, Option<String>) {
        let Ok(reply) = sent else {
            return (Outcome::Broken, None);
        };
        let outcome = Outcome::Answered {
            status: reply.status,
            retry_after_ms: reply::retry_after_ms(&reply.headers, self.around.now()),
            busy: false,
        };
        (
            outcome,
            reply::text(&reply.headers, "inin-correlation-id")
                .map(|id| id.chars().take(128).collect()),
        )
    }

    fn judge(
        &self,
        ask: &Ask<'_>,
        url: &Url,
        token: &Token,
        sent: Result<Reply, Fault>,
    ) -> Result<Answer, Error> {
        let asked = || format!("{} {}", ask.method, url.path());
        let reply = sent.map_err(|fault| Error::Broken {
            host: place(url),
            what: fault.what,
            may_have_acted: fault.may_have_acted,
        })?;
        if !(200..300).contains(&reply.status) {
            let blot = self.tokens.secrets(Some(token));
            let mut refusal = Refusal::read(&asked(), reply.status, &reply.body, &blot);
            reply::complete(&mut refusal, &reply.headers, self.around.now());
            return Err(Error::Refused(Box::new(refusal)));
        }
        let body = match &*reply.body {
            [] => Value::Null,
            bytes => serde_json::from_slice(bytes).map_err(|error| Error::Foreign {
                asked: asked(),
                what: format!("no JSON: {error}"),
            })?,
        };
        Ok(Answer {
            status: reply.status,
            body,
            etag: reply::etag(&reply.headers),
            is_replayed: reply::text(&reply.headers, "idempotency-replayed") == Some("true"),
            rate: reply::rate(&reply.headers),
        })
    }

    /// Whether it may be asked now, and whether that is a probe.
    fn may_ask(&self) -> Result<bool, Error> {
        let now = self.around.now();
        let mut breaker = self.breaker();
        match breaker.look(now) {
            Look::Free => Ok(false),
            Look::Probe => {
                breaker.begin_probe();
                Ok(true)
            }
            Look::NotBefore(until) => Err(self.stopped(&breaker, until)),
            Look::Shut => Err(self.stopped(&breaker, UnixMs::NEVER)),
        }
    }

    fn stopped(&self, breaker: &Breaker, until: UnixMs) -> Error {
        let record = breaker.record(UnixMs(0));
        Error::Stopped {
            host: record.endpoint.to_string(),
            why: record.reason.as_deref().unwrap_or("it failed").to_owned(),
            until,
        }
    }

    fn learn(&self, number: u64, probe: bool, outcome: Outcome, error: Option<&Error>) {
        let kind = match outcome {
            Outcome::Answered { status: 429, .. } if !probe => return,
            Outcome::Answered { status: 429, .. } => OutcomeKind::Status(200),
            Outcome::Answered { status, .. } => OutcomeKind::Status(status),
            Outcome::Broken => OutcomeKind::Failed(Failure::Connect),
        };
        let detail = error.map(|error| {
            error
                .to_string()
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned()
        });
        let call = Call {
            probe,
            offset: Offset(number),
            kind,
            detail: detail.as_deref(),
            hold: None,
            outdated: false,
            known_excess: false,
            entropy: self.chance(),
        };
        self.breaker().ended(&call, self.around.now());
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "any 64 of the random bits do"
    )]
    fn chance(&self) -> u64 {
        self.around.entropy() as u64
    }
}

impl Outcome {
    /// The same, with what the body says about the first request with the key.
    const fn marked(self, first_is_busy: bool) -> Self {
        match self {
            Self::Answered {
                status,
                retry_after_ms,
                ..
            } => Self::Answered {
                status,
                retry_after_ms,
                busy: first_is_busy,
            },
            Self::Broken => Self::Broken,
        }
    }
}

/// Whether it was refused only because the first request with the same key has no answer yet.
fn is_busy(error: &Error) -> bool {
    match error {
        Error::Refused(refusal) => {
            refusal.status == 409
                && refusal.code.contains("idempotency")
                && refusal.code.contains("busy")
        }
        Error::Broken { .. }
        | Error::Stopped { .. }
        | Error::Foreign { .. }
        | Error::Ambiguous { .. }
        | Error::Absent { .. }
        | Error::Journal(_) => false,
    }
}

fn with_query(mut url: Url, query: &[(&str, String)]) -> Url {
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    url
}
