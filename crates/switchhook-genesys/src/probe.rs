//! Whether the target of a webhook answers, asked before the webhook is made (seeds 000 and 003). Advisory: it prevents
//! nothing, since an endpoint may be reachable from the gateway alone, or not be there yet.
//!
//! First `HEAD`. Many endpoints know only `POST`: after 404, 405 or 501 a `GET` follows, with a header that says what it
//! is. Neither has credentials, and neither goes where the gateway would not go: the URL and every address are judged by
//! the guard. A redirect is an answer and is not followed. Bound: [`Times`] of 5 s for each request (seed 003).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Method};
use ipnet::IpNet;
use switchhook_core::guard::check_url;
use tokio::time::Instant;
use url::Url;

use crate::names::{Guard, Names};
use crate::transport::{Times, Transport, Trust};

/// How long each of the two requests may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Says that a request is a probe.
pub const PROBE_HEADER: HeaderName = HeaderName::from_static("x-switchhook-probe");

/// What was found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// The requests, in their order.
    pub steps: Vec<Step>,
    /// What follows from them.
    pub verdict: Verdict,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// `HEAD` or `GET`.
    pub method: &'static str,
    /// Its status, or why there is none.
    pub result: Result<u16, String>,
    /// How long it took, in milliseconds.
    pub latency_ms: u64,
}

/// What is to be said about a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It answers with 2xx or 3xx.
    Well,
    /// Somebody answers, but neither `HEAD` nor `GET` is welcome. That is usual where only `POST` is known.
    Answers,
    /// It answers that it is not well: 5xx other than 501.
    Failing,
    /// Nobody answers, or we would not ask.
    Unreachable,
}

impl Verdict {
    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Answers => "answers",
            Self::Failing => "failing",
            Self::Unreachable => "unreachable",
        }
    }
}

/// Whether a `GET` follows a `HEAD` with this status.
#[must_use]
pub const fn asks_again(status: u16) -> bool {
    matches!(status, 404 | 405 | 501)
}

/// What the last status says.
#[must_use]
pub const fn verdict(status: u16) -> Verdict {
    match status {
        200..=399 => Verdict::Well,
        501 | 400..=499 => Verdict::Answers,
        _ => Verdict::Failing,
    }
}

/// Asks `target`; `allow` lists private addresses that are meant.
pub async fn probe(target: &Url, allow: &[IpNet], trust: &Trust) -> Probed {
    if let Err(blocked) = check_url(target, allow) {
        let step = Step {
            method: "HEAD",
            result: Err(blocked.to_string()),
            latency_ms: 0,
        };
        return Probed {
            steps: vec![step],
            verdict: Verdict::Unreachable,
        };
    }
    let guard = Guard {
        plain: target.scheme() == "http",
        allow: Arc::from(allow),
    };
    let times = Times {
        connect: PATIENCE,
        total: PATIENCE,
    };
    let transport = Transport::new(trust, times, Names::judged(guard));
    let first = ask(&transport, Method::HEAD, "HEAD", target).await;
    let again = matches!(first.result, Ok(status) if asks_again(status));
    let mut steps = vec![first];
    if again {
        steps.push(ask(&transport, Method::GET, "GET", target).await);
    }
    let last = steps.last().map(|step| step.result.clone());
    let verdict = match last {
        Some(Ok(status)) => verdict(status),
        // The HEAD was answered: somebody is there, though the GET was not.
        Some(Err(_)) if steps.len() > 1 => Verdict::Failing,
        Some(Err(_)) | None => Verdict::Unreachable,
    };
    Probed { steps, verdict }
}

async fn ask(transport: &Transport, method: Method, name: &'static str, target: &Url) -> Step {
    let headers = HeaderMap::from_iter([(PROBE_HEADER, HeaderValue::from_static("1"))]);
    let began = Instant::now();
    let sent = transport.send(method, target, headers, Bytes::new()).await;
    Step {
        method: name,
        result: sent.map(|reply| reply.status).map_err(|fault| fault.what),
        latency_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}
