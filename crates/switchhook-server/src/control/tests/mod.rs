//! The API as its callers see it: in-process, against a whole gateway with a store in a temporary directory.

mod access;
mod events;
mod gateway;
mod groups;
mod identity;
mod jobs;
mod letters;
mod operations;
mod resources;
mod roads;
mod secrets;
mod sight;
mod versions;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use switchhook_core::delivery::{Dead, DeadReason, DeliveryKey, Gap, OutcomeKind, Place, Records};
use switchhook_core::id::{EventId, Offset};
use switchhook_core::time::UnixMs;
use switchhook_store::Batch;
use switchhook_store::batch::NewEvent;
use switchhook_wire::config::load_toml;
use tower_service::Service as _;

use super::{router, write};
use crate::gateway::{Gateway, Running};

/// Nothing listens at the endpoint, and retries come in an hour: what is due fails once and then waits.
const CONFIG: &str = r#"
[server]
ingest = "127.0.0.1:0"
admin = "127.0.0.1:0"

[secret.web]
env = "WEB_SECRET"

[source.web]
verify = { scheme = "open-messaging", secrets = ["{{secret:web}}"] }
type = "/type"
dedup = { id = "/id", window = "25h" }

[policy.slow]
fixed = { delay = "1h" }
max_attempts = 3

[endpoint.crm]
url = "http://127.18.0.9:65001/hook"
allow_private = ["127.0.0.0/8"]

[subscription.web-to-crm]
sources = ["web"]
types = ["Text"]
endpoint = "crm"
policy = "slow"
"#;

/// The value of the secret `web`: never to be seen in an answer.
const SECRET: &str = "s3cr3t-value-of-web";

fn environment(variable: &str) -> Option<String> {
    (variable == "WEB_SECRET").then(|| SECRET.to_owned())
}

struct Api {
    running: Running,
    router: Router,
    token: String,
    dir: tempfile::TempDir,
}

/// An answer, read whole.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    bytes: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The slug of the problem, which must be whole.
    fn problem(&self) -> String {
        let body = self.json();
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{}",
            self.text()
        );
        assert_eq!(body["status"], self.status.as_u16());
        assert_eq!(body["requestId"], self.header("x-request-id"));
        assert_eq!(
            body["type"],
            format!("urn:switchhook:problem:{}", body["code"].as_str().unwrap())
        );
        body["code"].as_str().unwrap().to_owned()
    }
}

impl Api {
    async fn start() -> Self {
        Self::with(CONFIG).await
    }

    async fn with(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let loaded = load_toml(config, "switchhook.toml", &environment);
        let mut config = loaded
            .config
            .unwrap_or_else(|| panic!("{:?}", loaded.problems));
        config.server.data_dir = dir.path().join("data");
        let running = Gateway::start(config, environment).await.unwrap();
        let token = running.new_token.clone().unwrap();
        Self {
            router: router(running.gateway().clone()),
            running,
            token,
            dir,
        }
    }

    fn gateway(&self) -> &Arc<Gateway> {
        self.running.gateway()
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().call(request).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: head.status,
            headers: head.headers,
            bytes,
        }
    }

    fn request(&self, method: Method, uri: &str, body: impl Into<Body>) -> Request<Body> {
        let request = Request::builder().method(method).uri(uri);
        request
            .header("authorization", format!("Bearer {}", self.token))
            .body(body.into())
            .unwrap()
    }

    async fn get(&self, uri: &str) -> Answer {
        self.send(self.request(Method::GET, uri, Body::empty()))
            .await
    }

    async fn post(&self, uri: &str, body: Value) -> Answer {
        self.send(self.request(Method::POST, uri, body.to_string()))
            .await
    }

    /// Changes what is there now.
    async fn put(&self, uri: &str, body: Value) -> Answer {
        self.send(self.meant(Method::PUT, uri, body.to_string()).await)
            .await
    }

    /// Deletes what is there now.
    async fn delete(&self, uri: &str) -> Answer {
        self.send(self.meant(Method::DELETE, uri, Body::empty()).await)
            .await
    }

    /// A request that names the tag of what is there, if it has one.
    async fn meant(&self, method: Method, uri: &str, body: impl Into<Body>) -> Request<Body> {
        let mut request = self.request(method, uri, body);
        let path = uri.split('?').next().unwrap();
        if let Some(tag) = self.get(path).await.headers.get("etag") {
            request.headers_mut().insert("if-match", tag.clone());
        }
        request
    }

    /// The ids of all entities of a list, page after page, and how many pages there were.
    async fn all(&self, uri: &str) -> (Vec<String>, usize) {
        let (mut ids, mut pages, mut next) = (Vec::new(), 0, Some(uri.to_owned()));
        while let Some(uri) = next {
            let page = self.get(&uri).await;
            assert_eq!(page.status, 200, "{}", page.text());
            let page = page.json();
            ids.extend(
                page["entities"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|entity| entity["id"].as_str().unwrap().to_owned()),
            );
            next = page["nextUri"].as_str().map(str::to_owned);
            pages += 1;
        }
        (ids, pages)
    }

    /// Gets `uri` until `holds` is true of the answer.
    async fn until(&self, uri: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let wait = async {
            loop {
                let found = self.get(uri).await.json();
                if holds(&found) {
                    return found;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait)
            .await
            .expect("it never came to be")
    }

    /// Puts events of a type that no subscription takes into the log, and a dead letter for each that `dead` makes.
    async fn bury(&self, events: Vec<NewEvent>, dead: impl Fn(usize, Offset) -> Option<Dead>) {
        let store = &self.gateway().store;
        let end = store.tail().end();
        let dead = (0..events.len())
            .filter_map(|index| dead(index, Offset(end.0 + index as u64)))
            .collect();
        let batch = Batch {
            events,
            records: Records {
                dead,
                ..Records::default()
            },
            ..Batch::default()
        };
        write(&**store, batch).await.unwrap();
    }
}

fn event(n: usize, kind: &str, body: &[u8]) -> NewEvent {
    NewEvent {
        id: event_id(n),
        source: "web".into(),
        kind: kind.into(),
        key: Some(format!("key-{}", n % 2).into()),
        received_at: UnixMs(1_000 * n as u64),
        headers: Arc::from([("content-type".into(), "application/json".into())]),
        body: Bytes::copy_from_slice(body),
        dedup: None,
    }
}

fn event_id(n: usize) -> EventId {
    EventId(uuid::Uuid::from_u128(n as u128 + 1))
}

/// A dead letter of `web-to-crm` that was given up at `n` seconds.
fn dead(n: usize, offset: Offset) -> Dead {
    Dead {
        key: DeliveryKey {
            subscription: "web-to-crm".into(),
            offset,
        },
        place: Place::default(),
        chain: 0,
        attempts: 3,
        at: UnixMs(1_000 * n as u64),
        reason: DeadReason::Exhausted,
        outcome: Some(OutcomeKind::Status(503)),
        endpoint: "crm".into(),
        detail: None,
        gap: Gap::None,
    }
}
