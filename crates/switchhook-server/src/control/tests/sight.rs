//! Who may set a URL and is no operator learns nothing of what is inside, and permits nothing there (SEC-11, SEC-13).

use http::Method;
use serde_json::{Value, json};
use switchhook_core::access::Scope;

use super::*;

/// Nothing listens at the one, and the other is the gateway itself, where nobody may be sent.
const SITE: &str = r#"
[server]
ingest = "127.0.0.1:0"
admin = "127.0.0.1:0"

[secret.web]
env = "WEB_SECRET"

[source.web]
verify = { scheme = "open-messaging", secrets = ["{{secret:web}}"] }
type = "/type"

[policy.once]
fixed = { delay = "1h" }
max_attempts = 3
rule = [{ on = ["connect"], do = "dead-letter" }]

[endpoint.nobody]
url = "http://127.0.0.1:65001/hook"
allow_private = ["127.0.0.0/8"]
breaker = false

[subscription.to-nobody]
sources = ["web"]
endpoint = "nobody"
policy = "once"
"#;

struct Scene {
    api: Api,
    event: String,
    own_port: u16,
}

impl Scene {
    /// One event whose two deliveries were given up: nobody took the one, the guard refused the other.
    async fn set() -> Self {
        let api = Api::with(SITE).await;
        let own_port = api.running.ingest.port();
        let endpoint = json!({
            "url": format!("http://127.0.0.1:{own_port}/hook"), "allow_private": ["127.0.0.0/8"],
            "breaker": false,
        });
        let subscription = json!({"sources": ["web"], "endpoint": "inside", "policy": "once"});
        for (uri, body) in [
            ("/v1/endpoints/inside", endpoint),
            ("/v1/subscriptions/to-inside", subscription),
        ] {
            let made = api.put(uri, body).await;
            assert_eq!(made.status, 201, "{}", made.text());
        }
        let sent = api.post("/v1/sources/web/test-event", json!({})).await;
        let event = sent.json()["eventId"].as_str().unwrap().to_owned();
        api.until("/v1/deadLetters", |page| {
            page["entities"]
                .as_array()
                .is_some_and(|all| all.len() == 2)
        })
        .await;
        Self {
            api,
            event,
            own_port,
        }
    }

    async fn ask(&self, token: &str, method: Method, uri: &str, body: Value) -> Value {
        let mut request = self.api.request(method, uri, body.to_string());
        let token = format!("Bearer {token}").parse().unwrap();
        request.headers_mut().insert("authorization", token);
        let answer = self.api.send(request).await;
        assert!(answer.status.is_success(), "{uri}: {}", answer.text());
        if uri.contains(":export") {
            let lines = answer.text().lines();
            return lines
                .map(|line| serde_json::from_str::<Value>(line).unwrap())
                .collect();
        }
        answer.json()
    }

    /// Every view of results, asked for with `token`.
    async fn views(&self, token: &str) -> Vec<(String, Value)> {
        let event = &self.event;
        let mut views = Vec::new();
        for uri in [
            "/v1/attempts".to_owned(),
            "/v1/deadLetters".to_owned(),
            "/v1/deadLetters:export".to_owned(),
            format!("/v1/deadLetters/to-inside:{event}"),
            format!("/v1/deadLetters/to-nobody:{event}"),
            format!("/v1/events/{event}/timeline"),
            format!("/v1/events/{event}/explain"),
            "/v1/store/status".to_owned(),
            "/v1/events?source=switchhook&includeBody=true".to_owned(),
        ] {
            let uri = uri.replace("&includeBody=true", "");
            let view = self.ask(token, Method::GET, &uri, Value::Null).await;
            views.push((uri, view));
        }
        for name in ["inside", "nobody"] {
            let uri = format!("/v1/endpoints/{name}/probe");
            let view = self.ask(token, Method::POST, &uri, json!({})).await;
            views.push((uri, view));
        }
        views
    }

    /// The parts of all views that are about one of the two, without what names it and when it was.
    fn about(&self, views: &[(String, Value)], name: &str) -> Vec<Value> {
        let mut found = Vec::new();
        for (_, view) in views {
            collect(view, name, &mut found);
        }
        let told = serde_json::to_string(&found).unwrap();
        let told = told.replace(name, "NAME");
        let told = told.replace(&format!("{}", self.own_port), "PORT");
        let told = told.replace("65001", "PORT");
        let mut all: Vec<Value> = serde_json::from_str(&told).unwrap();
        all.iter_mut().for_each(forget);
        all
    }
}

/// The smallest objects that name an endpoint or subscription of this name.
fn collect(value: &Value, name: &str, found: &mut Vec<Value>) {
    match value {
        Value::Object(members) => {
            let own = ["endpoint", "subscription"].into_iter().any(|member| {
                let text = members.get(member).and_then(Value::as_str);
                text.is_some_and(|text| text == name || text == format!("to-{name}"))
            });
            if own {
                found.push(value.clone());
            } else {
                members
                    .values()
                    .for_each(|inner| collect(inner, name, found));
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, name, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Takes out what differs between any two deliveries: ids, and when something was.
fn forget(value: &mut Value) {
    if let Value::Object(members) = value {
        for member in ["id", "delivery", "deliveryId", "at", "why", "url", "diedAt"] {
            members.remove(member);
        }
        members.values_mut().for_each(forget);
    }
    if let Value::Array(items) = value {
        items.iter_mut().for_each(forget);
    }
}

#[tokio::test]
async fn to_all_but_operators_blocked_and_refused_are_the_same() {
    let scene = Scene::set().await;
    for scopes in [
        &[Scope::Write][..],
        &[Scope::Write, Scope::Replay, Scope::Secrets],
    ] {
        let token = scene.api.adopt(scopes, None);
        let views = scene.views(&token).await;
        let [blocked, refused] = ["inside", "nobody"].map(|name| scene.about(&views, name));
        assert!(blocked.len() >= 8, "{blocked:#?}");
        assert_eq!(blocked, refused);
        for (uri, view) in &views {
            let told = view.to_string();
            for word in ["blocked", "allow_private", "guard"] {
                assert!(!told.contains(word), "{uri}: {told}");
            }
        }
    }
}

#[tokio::test]
async fn a_choice_by_reason_does_not_tell_them_apart_either() {
    let scene = Scene::set().await;
    let token = scene.api.adopt(&[Scope::Replay], None);
    let admin = scene.api.token.clone();
    for (token, reason, count) in [
        (&token, "blocked", 0),
        (&token, "refused", 2),
        (&admin, "blocked", 1),
        (&admin, "refused", 1),
    ] {
        let uri = format!("/v1/deadLetters?reason={reason}");
        let page = scene.ask(token, Method::GET, &uri, Value::Null).await;
        assert_eq!(page["entities"].as_array().unwrap().len(), count, "{uri}");
        let body = json!({"filter": {"reason": reason}, "dryRun": true});
        let uri = "/v1/deadLetters:replay";
        let matched = scene.ask(token, Method::POST, uri, body).await;
        assert_eq!(matched["matched"], count, "{reason}");
        let select = json!({"subscription": "to-inside", "status": "dead", "reason": reason});
        let body = json!({"kind": "replay", "select": select, "dryRun": true});
        let total = scene.ask(token, Method::POST, "/v1/jobs", body).await;
        // Of this subscription there is the blocked one.
        let expected = usize::from(count == 2 || (token == &admin && reason == "blocked"));
        assert_eq!(total["total"], expected, "{reason}: {total}");
    }
}

#[tokio::test]
async fn an_operator_sees_which_it_was() {
    let scene = Scene::set().await;
    let views = scene.views(&scene.api.token).await;
    let told = |name: &str| Value::from(scene.about(&views, name)).to_string();
    assert!(
        told("inside").contains("\"error\":\"blocked\""),
        "{}",
        told("inside")
    );
    assert!(told("inside").contains("default: blocked"));
    assert!(told("nobody").contains("\"error\":\"connect\""));
}

#[tokio::test]
async fn only_an_operator_permits_addresses_inside() {
    let api = Api::with(SITE).await;
    let token = api.adopt(&[Scope::Write], None);
    let put = async |token: &str, allow: &[&str]| {
        let body = json!({"url": "http://10.1.2.3:8080/", "allow_private": allow});
        let uri = "/v1/endpoints/inside";
        let mut request = api.meant(Method::PUT, uri, body.to_string()).await;
        let bearer = format!("Bearer {token}").parse().unwrap();
        request.headers_mut().insert("authorization", bearer);
        api.send(request).await
    };
    let refused = put(&token, &["10.0.0.0/8"]).await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert_eq!(refused.problem(), "forbidden");
    assert_eq!(put(&api.token, &["10.0.0.0/8"]).await.status, 201);
    for (allow, status) in [
        (&["10.0.0.0/8"][..], 200),
        (&["10.0.0.0/8", "192.168.0.0/16"], 403),
        (&["0.0.0.0/0"], 403),
        (&["10.1.2.0/24"], 200),
        // What was given back is not taken again.
        (&["10.0.0.0/8"], 403),
    ] {
        let answer = put(&token, allow).await;
        assert_eq!(answer.status, status, "{allow:?}: {}", answer.text());
    }
}
