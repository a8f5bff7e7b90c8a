//! The dialects as their clients see them: in-process, against a whole gateway with a store in a temporary directory.

mod access;
mod changes;
mod matrix;
mod secrets;
mod shapes;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use data_encoding::BASE64;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use switchhook_wire::config::load_toml;
use tower_service::Service as _;

use crate::control::router;
use crate::gateway::{Gateway, Running};

/// A source, and one subscription of the file. Nothing listens where webhooks go.
const CONFIG: &str = r#"
[server]
ingest = "127.0.0.1:0"
admin = "127.0.0.1:0"
dialect_allow_private = ["127.0.0.0/8"]

[secret.crm]
env = "CRM_SECRET"

[source.web]
verify = { scheme = "open-messaging", secrets = ["{{secret:crm}}"] }

[endpoint.filed]
url = "http://127.18.0.9:65001/filed"
allow_private = ["127.0.0.0/8"]

[subscription.filed]
sources = ["web"]
types = ["*"]
endpoint = "filed"
"#;

/// The value of the secret `crm`.
const SECRET: &str = "s3cr3t-value-of-crm";

fn environment(variable: &str) -> Option<String> {
    (variable == "CRM_SECRET").then(|| SECRET.to_owned())
}

struct Api {
    _running: Running,
    router: Router,
    token: String,
    _dir: tempfile::TempDir,
}

/// An answer, read whole.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    bytes: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    fn etag(&self) -> String {
        self.header("etag").to_owned()
    }

    /// The body, which must have this status.
    #[track_caller]
    fn expect(&self, status: u16) -> Value {
        assert_eq!(
            self.status,
            status,
            "{}",
            String::from_utf8_lossy(&self.bytes)
        );
        self.has_the_headers_of_every_answer();
        self.json()
    }

    /// A refusal with this status, in the shape of Genesys Cloud; the fields that are wrong.
    #[track_caller]
    fn refused(&self, status: u16) -> Vec<String> {
        let body = self.expect(status);
        assert_eq!(body["status"], status);
        assert_eq!(body["contextId"], self.header("inin-correlation-id"));
        assert!(!body["message"].as_str().unwrap().is_empty());
        assert!(!body["code"].as_str().unwrap().is_empty());
        assert!(body["details"].is_array());
        assert_eq!(self.header("content-type"), "application/json");
        let errors = body["errors"].as_array().unwrap();
        errors
            .iter()
            .map(|error| error["field"].as_str().unwrap().to_owned())
            .collect()
    }

    #[track_caller]
    fn has_the_headers_of_every_answer(&self) {
        for name in [
            "inin-correlation-id",
            "inin-ratelimit-count",
            "inin-ratelimit-allowed",
            "inin-ratelimit-reset",
        ] {
            assert!(!self.header(name).is_empty(), "{name} is missing: {self:?}");
        }
    }
}

/// A body of dialect A.
fn webhook_a(name: &str) -> Value {
    json!({
        "name": name,
        "endpoint": "http://127.18.0.9:65001/a",
        "eventTypes": ["call:created", "routing.queue.conversation.created"],
        "retryPolicy": {"retryCount": 3, "retryInterval": "PT1M", "retryOnTimeout": true},
        "state": "enabled",
        "description": "made by A",
    })
}

/// A body of dialect B.
fn webhook_b(name: &str) -> Value {
    json!({
        "name": name,
        "address": "http://127.18.0.9:65001/b",
        "enabled": true,
        "eventFilters": [
            {"eventType": "call:created", "filter": "true"},
            {"eventType": "call:answered", "filter": "event.data.queue == 'a'"},
        ],
        "customProperties": {"webhook.signature.secret": "s3cr3t-of-b", "made.by": "B"},
    })
}

/// A body of dialect D.
fn integration(name: &str) -> Value {
    json!({
        "name": name,
        "type": "webhook",
        "enabled": true,
        "settings": {
            "url": "http://127.18.0.9:65001/d",
            "httpMethod": "PUT",
            "contentType": "application/json",
            "headers": {"Authorization": "Bearer {{secret:crm}}", "X-Event": "{{eventId}}"},
            "retryPolicy": {"maxRetries": 5, "retryDelay": 1000, "retryPolicyType": "exponential", "jitter": true},
            "transformations": [{"type": "fieldMapping", "source": "queueName", "destination": "queue"}],
        },
    })
}

const A: &str = "/api/v2/webhooks";
const B: &str = "/api/v2/webhooks/webhooks";
const C: &str = "/api/v2/notifications/webhooks";
const D: &str = "/api/v2/integrations";

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
            _running: running,
            token,
            _dir: dir,
        }
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

    /// Sends a request with these headers; a body that is null is none.
    async fn ask(&self, line: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        self.ask_as(&self.token, line, headers, body).await
    }

    async fn ask_as(
        &self,
        token: &str,
        line: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Answer {
        let (method, uri) = line.split_once(' ').unwrap();
        let mut request = Request::builder()
            .method(method.parse::<Method>().unwrap())
            .uri(uri)
            .header("host", "127.0.0.1");
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = if body.is_null() {
            Body::empty()
        } else {
            Body::from(body.to_string())
        };
        self.send(request.body(body).unwrap()).await
    }

    async fn get(&self, uri: &str) -> Answer {
        self.ask(&format!("GET {uri}"), &[], &Value::Null).await
    }

    async fn post(&self, uri: &str, body: &Value) -> Answer {
        self.ask(&format!("POST {uri}"), &[], body).await
    }

    async fn put(&self, uri: &str, body: &Value) -> Answer {
        self.ask(&format!("PUT {uri}"), &[], body).await
    }

    /// Makes a webhook; its id.
    #[track_caller]
    fn id(answer: &Answer) -> String {
        answer.expect(201)["id"].as_str().unwrap().to_owned()
    }

    /// The resource of `/v1` with this path.
    async fn resource(&self, path: &str) -> Value {
        let answer = self.get(&format!("/v1/{path}")).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    }

    /// The name of the subscription that is the webhook `id`.
    async fn name_of(&self, id: &str) -> String {
        let all = self.resource("subscriptions?pageSize=500").await;
        let all = all["entities"].as_array().unwrap().clone();
        let found = all.iter().find(|it| it["id"] == id);
        found.unwrap()["name"].as_str().unwrap().to_owned()
    }

    /// Puts a resource of `/v1` as it is into `body`.
    async fn put_v1(&self, path: &str, body: Value) {
        let uri = format!("/v1/{path}");
        let etag = self.get(&uri).await.etag();
        let headers = [("if-match", etag.as_str())];
        let headers = if etag.is_empty() {
            &[][..]
        } else {
            &headers[..]
        };
        let answer = self.ask(&format!("PUT {uri}"), headers, &body).await;
        assert!(answer.status.is_success(), "{path}: {answer:?}");
    }

    /// Makes a client with these scopes; its id and secret.
    async fn client(&self, name: &str, scopes: &[&str], rate: u32) -> (String, String) {
        let body = json!({"name": name, "scopes": scopes, "ratePerMinute": rate});
        let made = self.post("/v1/clients", &body).await;
        assert_eq!(made.status, 201, "{made:?}");
        let text = |name: &str| made.json()[name].as_str().unwrap().to_owned();
        (text("id"), text("secret"))
    }

    /// Asks for a token with a form.
    async fn grant(&self, basic: Option<(&str, &str)>, form: &str) -> Answer {
        let mut request = Request::post("/oauth/token").header("host", "127.0.0.1");
        if let Some((id, secret)) = basic {
            let pair = BASE64.encode(format!("{id}:{secret}").as_bytes());
            request = request.header("authorization", format!("Basic {pair}"));
        }
        let form = Body::from(form.to_owned());
        self.send(request.body(form).unwrap()).await
    }

    /// A token for these scopes.
    async fn token(&self, name: &str, scopes: &[&str], rate: u32) -> String {
        let (id, secret) = self.client(name, scopes, rate).await;
        let granted = self
            .grant(Some((&id, &secret)), "grant_type=client_credentials")
            .await;
        assert_eq!(granted.status, 200, "{granted:?}");
        granted.json()["access_token"].as_str().unwrap().to_owned()
    }
}
