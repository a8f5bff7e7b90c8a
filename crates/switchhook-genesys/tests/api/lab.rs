//! A server on loopback that answers as a script says and remembers every request, and time that passes only by waiting.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use switchhook_core::secret::Secret;
use switchhook_core::time::UnixMs;
use switchhook_genesys::client::Client;
use switchhook_genesys::region::Bases;
use switchhook_genesys::surroundings::{Surroundings, Wait};
use switchhook_genesys::token::{Credentials, Style};
use switchhook_genesys::transport::{Times, Trust};
use tokio::net::TcpListener;

/// 2026-11-20T10:00:00Z.
pub(crate) const START_MS: u64 = 1_795_168_800_000;
pub(crate) const SECRET: &str = "s3cret-of-the-client";

/// A request that came in.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn is_token(&self) -> bool {
        self.target.ends_with("/oauth/token")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}

/// What the server does.
#[derive(Debug, Clone)]
pub(crate) enum Does {
    Answers(u16, Vec<(&'static str, String)>, String),
    /// Reads the request and closes the connection.
    Cuts,
    /// Never answers.
    Hangs,
}

impl Does {
    pub(crate) fn json(status: u16, body: Value) -> Self {
        Self::Answers(status, vec![], body.to_string())
    }

    pub(crate) fn tagged(body: Value, etag: &str) -> Self {
        Self::Answers(200, vec![("etag", etag.to_owned())], body.to_string())
    }

    pub(crate) fn refuses(status: u16) -> Self {
        let body = json!({"message": format!("no, {status}"), "code": "no", "status": status, "errors": []});
        Self::Answers(
            status,
            vec![("inin-correlation-id", "cor-1".into())],
            body.to_string(),
        )
    }
}

type Script = Box<dyn FnMut(&Seen) -> Does + Send>;

/// The server.
pub(crate) struct Lab {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Lab {
    /// A server that does what `script` says; tokens it gives by itself, numbered.
    pub(crate) async fn new(script: impl FnMut(&Seen) -> Does + Send + 'static) -> Self {
        let mut script = script;
        let mut tokens = 0;
        Self::bare(move |seen| {
            if !seen.is_token() {
                return script(seen);
            }
            tokens += 1;
            Does::json(200, json!({"access_token": format!("token-{tokens}"), "token_type": "bearer", "expires_in": 86_400}))
        })
        .await
    }

    /// A server whose script gives the tokens too.
    pub(crate) async fn bare(script: impl FnMut(&Seen) -> Does + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (script, kept): (Arc<Mutex<Script>>, _) =
            (Arc::new(Mutex::new(Box::new(script))), seen.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, kept) = (script.clone(), kept.clone());
                let service =
                    service_fn(move |request| answer(request, script.clone(), kept.clone()));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, seen }
    }

    /// The requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Those that are not for tokens, as lines.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.asked().iter().map(Seen::line).collect()
    }

    /// Those that are not for tokens.
    pub(crate) fn asked(&self) -> Vec<Seen> {
        self.seen()
            .into_iter()
            .filter(|seen| !seen.is_token())
            .collect()
    }

    /// Those for tokens.
    pub(crate) fn tokens(&self) -> usize {
        self.seen().iter().filter(|seen| seen.is_token()).count()
    }

    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn client(&self) -> (Client, Arc<Still>) {
        self.client_with(Style::Basic, Duration::from_secs(20))
    }

    /// Another OAuth client of the same API.
    pub(crate) fn other_client(&self) -> Client {
        let total = Duration::from_secs(20);
        let (client, around) = client_named(
            "client-2",
            "another-s3cret",
            &self.base(),
            Style::Basic,
            total,
        );
        // It draws other keys than the first one.
        around.drawn.store(1_000, Ordering::Relaxed);
        client
    }

    pub(crate) fn client_with(&self, style: Style, total: Duration) -> (Client, Arc<Still>) {
        client_of(&self.base(), style, total)
    }
}

pub(crate) fn client_of(base: &str, style: Style, total: Duration) -> (Client, Arc<Still>) {
    client_named("client-1", SECRET, base, style, total)
}

fn client_named(
    id: &str,
    secret: &str,
    base: &str,
    style: Style,
    total: Duration,
) -> (Client, Arc<Still>) {
    let around = Arc::new(Still::default());
    let credentials = Credentials {
        client_id: id.into(),
        client_secret: Secret::new(secret.into()),
        style,
    };
    let times = Times {
        connect: Duration::from_secs(5),
        total,
    };
    let bases = Bases::of_url(base, false).unwrap();
    let client = Client::new(
        bases,
        credentials,
        &Trust::new(None).unwrap(),
        times,
        around.clone(),
    );
    (client, around)
}

async fn answer(
    request: Request<Incoming>,
    script: Arc<Mutex<Script>>,
    kept: Arc<Mutex<Vec<Seen>>>,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let (head, body) = request.into_parts();
    let seen = Seen {
        method: head.method.to_string(),
        target: head.uri.to_string(),
        headers: head.headers,
        body: body.collect().await.unwrap().to_bytes(),
    };
    let does = script.lock().unwrap()(&seen);
    kept.lock().unwrap().push(seen);
    match does {
        Does::Answers(status, headers, body) => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            Ok(response.body(Full::from(body)).unwrap())
        }
        Does::Cuts => Err(std::io::Error::other("cut")),
        Does::Hangs => {
            let never: Infallible = std::future::pending().await;
            match never {}
        }
    }
}

/// Surroundings in which time passes only by waiting.
#[derive(Debug, Default)]
pub(crate) struct Still {
    waited_ms: AtomicU64,
    drawn: AtomicU64,
    waits: Mutex<Vec<u64>>,
}

impl Still {
    pub(crate) fn waits(&self) -> Vec<u64> {
        self.waits.lock().unwrap().clone()
    }

    pub(crate) fn pass(&self, ms: u64) {
        self.waited_ms.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Surroundings for Still {
    fn now(&self) -> UnixMs {
        UnixMs(START_MS + self.waited_ms.load(Ordering::Relaxed))
    }

    /// Different each time above, 0 below: ids differ, jitter is nothing.
    fn entropy(&self) -> u128 {
        u128::from(self.drawn.fetch_add(1, Ordering::Relaxed) + 1) << 64
    }

    fn wait(&self, ms: u64) -> Wait<'_> {
        self.pass(ms);
        self.waits.lock().unwrap().push(ms);
        Box::pin(std::future::ready(()))
    }
}
