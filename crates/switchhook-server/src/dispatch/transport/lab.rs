//! Endpoints on loopback that do what a test tells them, and what is needed to send to them.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use switchhook_core::endpoint::{Endpoint, Method, Tls};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::dispatch::guard::{Guard, Resolve, Resolving, Times};
use crate::dispatch::tls::Trust;
use crate::secrets::Secrets;

use super::Transport;

/// Longer than anything here takes; a test that reaches it has failed.
pub(in crate::dispatch) const LONG: Duration = Duration::from_secs(20);

/// Answers names from a list; each answer once, the last one for ever. A name without answers never resolves.
#[derive(Default)]
pub(in crate::dispatch) struct Names(Mutex<BTreeMap<&'static str, Vec<Vec<&'static str>>>>);

impl Names {
    pub(in crate::dispatch) fn of(names: &[(&'static str, &[&[&'static str]])]) -> Arc<Self> {
        let answers =
            |answers: &[&[&'static str]]| answers.iter().map(|answer| answer.to_vec()).collect();
        Arc::new(Self(Mutex::new(
            names
                .iter()
                .map(|(name, list)| (*name, answers(list)))
                .collect(),
        )))
    }
}

impl Resolve for Names {
    fn resolve(&self, host: String, port: u16) -> Resolving {
        let mut names = self.0.lock().unwrap();
        let Some(answers) = names.get_mut(&*host) else {
            return Box::pin(std::future::ready(Err(io::Error::other("no such name"))));
        };
        let answer = if answers.len() > 1 {
            answers.remove(0)
        } else {
            answers.first().cloned().unwrap_or_default()
        };
        if answer == ["never"] {
            return Box::pin(std::future::pending());
        }
        let addresses = answer
            .iter()
            .map(|ip| SocketAddr::new(ip.parse().unwrap(), port))
            .collect();
        Box::pin(std::future::ready(Ok(addresses)))
    }
}

pub(in crate::dispatch) fn guard(names: Arc<Names>, own: Vec<SocketAddr>) -> Guard {
    let short = Duration::from_millis(50);
    let times = Times {
        dns: short,
        ..Times::default()
    };
    Guard::new(
        names,
        Arc::new(Trust::of_system(&[]).unwrap()),
        Arc::new(ArcSwap::from_pointee(own)),
        times,
    )
}

pub(in crate::dispatch) fn transport() -> Arc<Transport> {
    Transport::new(guard(Arc::default(), vec![]), no_secrets())
}

pub(in crate::dispatch) fn no_secrets() -> Arc<Secrets> {
    Arc::new(Secrets::new(BTreeMap::new(), |_| None))
}

pub(in crate::dispatch) fn endpoint(url: &str, allow: &[&str]) -> Endpoint {
    Endpoint {
        name: "crm".into(),
        url: url.parse().unwrap(),
        method: Method::Post,
        headers: vec![],
        content_type: None,
        timeout_ms: 10_000,
        concurrency: 4,
        adaptive: None,
        rate: None,
        retry_budget: None,
        breaker: None,
        signers: vec![],
        seal: None,
        auth: None,
        tls: Tls::default(),
        allow_private: allow.iter().map(|net| net.parse().unwrap()).collect(),
    }
}

/// What an endpoint on loopback does with one request.
#[derive(Clone, Copy)]
pub(in crate::dispatch) enum Act {
    /// Writes this, and waits for the next request.
    Answer(&'static str),
    /// Writes this, and closes.
    AnswerAndClose(&'static str),
    /// Writes the first, then the second again and again for as long as it is taken.
    Endless(&'static str, &'static str),
    /// Writes this and then nothing, without closing.
    Hang(&'static str),
}

/// An endpoint on loopback; it acts the same on every request.
pub(in crate::dispatch) struct Lab {
    pub(in crate::dispatch) at: SocketAddr,
    /// Each request: number of its connection, and its text.
    pub(in crate::dispatch) requests: mpsc::UnboundedReceiver<(usize, String)>,
}

impl Lab {
    pub(in crate::dispatch) async fn start(act: Act) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (seen, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            for number in 0.. {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                tokio::spawn(play(stream, act, number, seen.clone()));
            }
        });
        Self { at, requests }
    }

    pub(in crate::dispatch) fn url(&self) -> String {
        format!("http://{}/hook?a=b", self.at)
    }
}

async fn play(
    mut stream: TcpStream,
    act: Act,
    number: usize,
    seen: mpsc::UnboundedSender<(usize, String)>,
) {
    while let Some(request) = read_request(&mut stream).await {
        let _ = seen.send((number, request));
        match act {
            Act::Answer(text) => {
                let _ = stream.write_all(text.as_bytes()).await;
            }
            Act::AnswerAndClose(text) => {
                let _ = stream.write_all(text.as_bytes()).await;
                return;
            }
            Act::Endless(head, part) => {
                let _ = stream.write_all(head.as_bytes()).await;
                while stream.write_all(part.as_bytes()).await.is_ok() {}
                return;
            }
            Act::Hang(text) => {
                let _ = stream.write_all(text.as_bytes()).await;
                std::future::pending::<()>().await;
            }
        }
    }
}

/// One whole request, or `None` when the connection ends.
pub(in crate::dispatch) async fn read_request(
    stream: &mut (impl AsyncRead + Unpin),
) -> Option<String> {
    let mut text = String::new();
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |n| n.parse().unwrap());
            if body.len() >= length {
                return Some(text);
            }
        }
        let mut part = [0; 4_096];
        match stream.read(&mut part).await {
            Ok(count) if count > 0 => text.push_str(std::str::from_utf8(&part[..count]).unwrap()),
            _ => return None,
        }
    }
}

/// A request as a [`Service`] gets it.
pub(in crate::dispatch) struct Asked {
    pub(in crate::dispatch) path: String,
    pub(in crate::dispatch) headers: HeaderMap,
    pub(in crate::dispatch) body: String,
}

impl Asked {
    pub(in crate::dispatch) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }
}

/// A server on loopback whose answers, status and body, a test makes of the requests.
pub(in crate::dispatch) struct Service {
    at: SocketAddr,
}

impl Service {
    pub(in crate::dispatch) async fn start(
        answer: impl Fn(&Asked) -> (u16, String) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answer = Arc::clone(&answer);
                let service = service_fn(move |request: Request<Incoming>| {
                    let answer = Arc::clone(&answer);
                    async move { answer_to(request, &*answer).await }
                });
                let stream = TokioIo::new(stream);
                tokio::spawn(http1::Builder::new().serve_connection(stream, service));
            }
        });
        Self { at }
    }

    pub(in crate::dispatch) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at)
    }
}

async fn answer_to(
    request: Request<Incoming>,
    answer: &(dyn Fn(&Asked) -> (u16, String) + Send + Sync),
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let asked = Asked {
        path: head.uri.path().to_owned(),
        headers: head.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    };
    let (status, text) = answer(&asked);
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status.try_into().unwrap();
    Ok(response)
}
