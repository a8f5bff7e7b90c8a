//! The client of a running gateway's `/v1` API.
//!
//! It speaks HTTP/1.1 to the admin listener, with TLS where the address says `https`, sends the bearer token, and turns every answer that is not
//! a success into an [`Error`] with the problem body in it. It decides nothing: which failure ends the
//! process how is in [`Error`]'s conversion to a [`Failure`].
//! Bounds: [`ANSWER_BYTES_MAX`] for an answer that is read whole, [`LINE_BYTES_MAX`] for a line of a
//! stream, [`PATIENCE`] until the head of an answer. The token is never in an error or in `Debug`.

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, IF_MATCH, IF_NONE_MATCH, USER_AGENT,
};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use switchhook_wire::problem;
use url::Url;

use crate::exit::{Code, Failure};

/// The admin listener's address when nothing else is said.
pub(crate) const SERVER_DEFAULT: &str = "http://127.0.0.1:8081";

/// Largest answer that is read whole: 500 events of the largest body fit in several pages.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Longest line of a stream: the largest body (5 MB) in base64 with room for its attempts.
const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Most pages of one list: each is a piece of the log of thousands of events.
const PAGES_MAX: usize = 10_000;

/// How long the head of an answer may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Under which a gateway keeps its answer to a change.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// A gateway, as seen through its API.
pub(crate) struct Client {
    http: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: Url,
    bearer: Option<HeaderValue>,
    patience: Duration,
    /// The idempotency key of every request.
    key: Option<HeaderValue>,
}

/// Why there is no answer to work with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The address is none.
    #[error("`{url}` is not the address of a gateway: {what}")]
    Address {
        /// What was given.
        url: String,
        /// What is wrong with it.
        what: String,
    },
    /// No connection, or it broke.
    #[error("the gateway at {server} does not answer: {what}")]
    Unreachable {
        /// Where.
        server: String,
        /// Why.
        what: String,
    },
    /// It said no, and why.
    #[error("{}", said(.0))]
    Refused(Box<problem::Body>),
    /// An answer that is not of our API.
    #[error("{url} answered {status} with something that is not of the gateway's API: {what}")]
    Foreign {
        /// Where.
        url: Url,
        /// The status.
        status: StatusCode,
        /// What was expected.
        what: String,
    },
}

/// What a refusal says, every fault on its own line.
fn said(body: &problem::Body) -> String {
    if let [only] = body.errors.as_slice() {
        return format!("{} ({}{})", only.detail, only.code, at(&only.pointer));
    }
    let mut text = body.detail.clone();
    for error in &body.errors {
        let hint = error.hint.as_deref().map(|hint| format!("; {hint}"));
        text.push_str(&format!(
            "\n  {}{}  {}",
            error.code,
            at(&error.pointer),
            error.detail
        ));
        text.push_str(&hint.unwrap_or_default());
    }
    text
}

fn at(pointer: &str) -> String {
    if pointer.is_empty() {
        String::new()
    } else {
        format!(" at {pointer}")
    }
}

impl Error {
    /// The status of a refusal.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(body) => Some(body.status),
            Self::Foreign { status, .. } => Some(status.as_u16()),
            Self::Address { .. } | Self::Unreachable { .. } => None,
        }
    }

    fn code(&self) -> Code {
        match (self, self.status()) {
            (Self::Address { .. }, _) => Code::Usage,
            (_, None | Some(408 | 429 | 500..=599)) => Code::Unavailable,
            (_, Some(401 | 403)) => Code::Denied,
            (_, Some(404)) => Code::NotFound,
            (_, Some(409 | 412 | 428)) => Code::Conflict,
            (Self::Refused(_), Some(400 | 413 | 415 | 422)) => Code::Invalid,
            (_, Some(_)) => Code::Unexpected,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { .. } => Some(
                "start it with `switchhook serve`, or name it with --server or SWITCHHOOK_SERVER"
                    .to_owned(),
            ),
            Self::Refused(body) if body.status == 401 => Some(
                "set SWITCHHOOK_TOKEN or give --token-file; the gateway showed the token when it first started"
                    .to_owned(),
            ),
            Self::Refused(body) => match body.errors.as_slice() {
                [only] => only.hint.clone().or_else(|| body.hint.clone()),
                _ => body.hint.clone(),
            },
            Self::Address { .. } => Some(format!("write it like {SERVER_DEFAULT}")),
            Self::Foreign { .. } => Some("check that --server names the admin listener".to_owned()),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let failure = Self::new(error.code(), error.to_string());
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl Client {
    /// A client of the gateway at `server`, which is whom it says if `trust` says so.
    ///
    /// # Errors
    /// When `server` is no HTTP address, there is nobody to trust, or the token cannot stand in a header.
    pub(crate) fn new(server: &str, token: Option<&str>, trust: &Trust) -> Result<Self, Error> {
        let wrong = |what: String| Error::Address {
            url: server.to_owned(),
            what,
        };
        let base: Url = server
            .parse()
            .map_err(|error: url::ParseError| wrong(error.to_string()))?;
        if !base.username().is_empty() || base.password().is_some() {
            return Err(Error::Address {
                url: base.host_str().unwrap_or_default().to_owned(),
                what: "credentials do not belong into an address".to_owned(),
            });
        }
        let is_secure = match base.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(wrong("only http:// and https:// are spoken".to_owned())),
        };
        if base.host().is_none() {
            return Err(wrong("it names no host".to_owned()));
        }
        let bearer = token
            .map(|token| HeaderValue::try_from(format!("Bearer {token}")))
            .transpose();
        let mut bearer =
            bearer.map_err(|_| wrong("the token cannot stand in a header".to_owned()))?;
        if let Some(bearer) = &mut bearer {
            bearer.set_sensitive(true);
        }
        let connector = trust::connector(trust, is_secure).map_err(wrong)?;
        let http = legacy::Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self {
            http,
            base,
            bearer,
            patience: PATIENCE,
            key: None,
        })
    }

    /// The same, for a request that takes long on purpose.
    pub(crate) const fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The status that `path` answers with, whatever it is.
    pub(crate) async fn status(&self, path: &[&str]) -> Result<u16, Error> {
        let asked = self.answer(Method::GET, self.url(path), None, "*/*", None);
        match asked.await {
            Ok(answer) => Ok(answer.status().as_u16()),
            Err(error) => error.status().ok_or(error),
        }
    }

    /// Reads `path`.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, Error> {
        self.call(Method::GET, self.url(path), None).await
    }

    /// Reads `path` with the members of `query` that are set.
    pub(crate) async fn query<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &impl Serialize,
    ) -> Result<T, Error> {
        self.call(Method::GET, with_query(self.url(path), query), None)
            .await
    }

    /// Sends `body` to `path`.
    pub(crate) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T, Error> {
        let body = serde_json::to_vec(body).unwrap_or_default();
        self.call(method, self.url(path), Some(body)).await
    }

    /// All entities of a list, page after page, at most `limit`.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &impl Serialize,
        limit: usize,
    ) -> Result<Vec<T>, Error> {
        let mut url = with_query(self.url(path), query);
        let mut entities = Vec::new();
        for _ in 0..PAGES_MAX {
            let page: switchhook_wire::api::Page<T> =
                self.call(Method::GET, url.clone(), None).await?;
            entities.extend(page.entities);
            // A page may be empty and not be the last: the gateway looks at so much of its log and no more at once.
            let next = page.next_uri.filter(|_| entities.len() < limit);
            match next.and_then(|uri| self.base.join(&uri).ok()) {
                Some(next) if next.origin() == self.base.origin() => url = next,
                _ => break,
            }
        }
        entities.truncate(limit);
        Ok(entities)
    }

    /// The lines of a stream: JSON lines or server-sent events.
    pub(crate) async fn stream(
        &self,
        path: &[&str],
        query: &impl Serialize,
        accept: &'static str,
    ) -> Result<Lines, Error> {
        let url = with_query(self.url(path), query);
        let asked = self.answer(Method::GET, url.clone(), None, accept, None);
        let answer = asked.await?;
        Ok(Lines {
            body: answer.into_body(),
            pending: Vec::new(),
            ended: false,
            url,
        })
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        body: Option<Vec<u8>>,
    ) -> Result<T, Error> {
        let answer = self
            .answer(method, url.clone(), body, "application/json", None)
            .await?;
        value(answer, url).await
    }

    async fn answer(
        &self,
        method: Method,
        url: Url,
        body: Option<Vec<u8>>,
        accept: &'static str,
        meant_for: Option<Version>,
    ) -> Result<Response<Incoming>, Error> {
        let unreachable = |what: String| broken(&url, what);
        let mut request = Request::builder()
            .method(method)
            .uri(url.as_str())
            .header(ACCEPT, accept)
            .header(
                USER_AGENT,
                concat!("switchhook/", env!("CARGO_PKG_VERSION")),
            );
        request = match meant_for {
            Some(Version::Tagged(etag)) => request.header(IF_MATCH, etag),
            Some(Version::Absent) => request.header(IF_NONE_MATCH, "*"),
            None => request,
        };
        if let Some(key) = &self.key {
            request = request.header(IDEMPOTENCY_KEY, key);
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(bearer) = &self.bearer {
            request = request.header(AUTHORIZATION, bearer);
        }
        let request = request
            .body(Full::from(body.unwrap_or_default()))
            .map_err(|error| unreachable(error.to_string()))?;
        let answer = tokio::time::timeout(self.patience, self.http.request(request))
            .await
            .map_err(|_| unreachable(format!("no answer within {} s", self.patience.as_secs())))?
            .map_err(|error| unreachable(root_cause(&error)))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let bytes = read(answer, &url).await?;
        Err(match serde_json::from_slice(&bytes) {
            Ok(body) => Error::Refused(Box::new(body)),
            Err(_) => Error::Foreign {
                url,
                status,
                what: "a problem body was expected".to_owned(),
            },
        })
    }
}

/// `url` with each member of `query` that is set as a parameter.
fn with_query(mut url: Url, query: &impl Serialize) -> Url {
    let members = serde_json::to_value(query).unwrap_or_default();
    for (name, value) in members.as_object().into_iter().flatten() {
        if value.is_null() {
            continue;
        }
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        url.query_pairs_mut().append_pair(name, &text);
    }
    url
}

/// The value that a successful answer carries.
async fn value<T: DeserializeOwned>(answer: Response<Incoming>, url: Url) -> Result<T, Error> {
    let status = answer.status();
    let bytes = read(answer, &url).await?;
    serde_json::from_slice(&bytes).map_err(|error| Error::Foreign {
        url,
        status,
        what: error.to_string(),
    })
}

async fn read(answer: Response<Incoming>, url: &Url) -> Result<Bytes, Error> {
    let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect();
    match tokio::time::timeout(PATIENCE, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) => Err(broken(url, error.to_string())),
        Err(_) => Err(broken(url, "the answer did not end in time".to_owned())),
    }
}

fn broken(url: &Url, what: String) -> Error {
    Error::Unreachable {
        server: url.origin().ascii_serialization(),
        what,
    }
}

/// The innermost reason, which is the one that says what to do: `Connection refused`.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// The lines of an answer that may never end.
pub(crate) struct Lines {
    body: Incoming,
    pending: Vec<u8>,
    ended: bool,
    url: Url,
}

impl Lines {
    /// The next line without its end, `None` when the answer is over.
    ///
    /// # Errors
    /// When the connection breaks or a line is longer than [`LINE_BYTES_MAX`].
    pub(crate) async fn next(&mut self) -> Result<Option<String>, Error> {
        loop {
            if let Some(line) = take_line(&mut self.pending, self.ended) {
                return Ok(Some(line));
            }
            if self.ended {
                return Ok(None);
            }
            if self.pending.len() > LINE_BYTES_MAX {
                let what = format!("a line is longer than {LINE_BYTES_MAX} bytes");
                return Err(broken(&self.url, what));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        self.pending.extend_from_slice(&bytes);
                    }
                }
                Some(Err(error)) => return Err(broken(&self.url, root_cause(&error))),
                None => self.ended = true,
            }
        }
    }
}

/// Takes the first line out of `pending`; what is left after the last one counts once `ended`.
fn take_line(pending: &mut Vec<u8>, ended: bool) -> Option<String> {
    let end = match pending.iter().position(|byte| *byte == b'\n') {
        Some(at) => at + 1,
        None if ended && !pending.is_empty() => pending.len(),
        None => return None,
    };
    let line: Vec<u8> = pending.drain(..end).collect();
    let text = String::from_utf8_lossy(&line);
    Some(text.trim_end_matches(['\n', '\r']).to_owned())
}

mod change;
mod trust;

pub(crate) use change::Version;
pub(crate) use trust::Trust;

#[cfg(test)]
mod tests;
