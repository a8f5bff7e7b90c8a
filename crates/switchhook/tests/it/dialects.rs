//! Promise: programs that manage webhooks under `/api/v2` work as they are when their host names point here, over real
//! HTTP; what they make really delivers, and nothing of it is lost when the gateway is killed.

use std::collections::BTreeSet;
use std::time::Instant;

use data_encoding::BASE64;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use switchhook_core::secret::{Secret, SecretRef};
use switchhook_core::source::{Encoding, Verify};
use switchhook_core::time::UnixMs;
use switchhook_core::verify::verify;
use switchhook_sim::NoNames;

use crate::harness::http::{Message, ask_once};
use crate::harness::receiver::Receiver;
use crate::harness::{Gateway, PATIENCE, SOURCE, Site, until};

const A: &str = "/api/v2/webhooks";
const B: &str = "/api/v2/webhooks/webhooks";
const C: &str = "/api/v2/notifications/webhooks";
const D: &str = "/api/v2/integrations";

/// A gateway with a source and no webhook; webhooks may go to loopback.
fn site(more: &str) -> Site {
    let site = Site::new(&(SOURCE.to_owned() + more));
    site.set("dialect_allow_private = [\"127.0.0.0/8\"]");
    site
}

/// A program that has a token.
struct Client<'g> {
    gateway: &'g Gateway,
    token: String,
}

/// How a program asks for its token.
#[derive(Clone, Copy)]
enum Style {
    /// Id and secret in the header, at `/oauth/token`.
    Basic,
    /// Id and secret in the form, at `/api/v2/oauth/token`.
    Form,
}

impl<'g> Client<'g> {
    /// Registers a client for `scopes` and gets a token as `style` says.
    fn register(gateway: &'g Gateway, name: &str, scopes: &[&str], style: Style) -> Self {
        let made = gateway.tell("POST /v1/clients", &json!({"name": name, "scopes": scopes}));
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        let (id, secret) = (text("id"), text("secret"));
        let form = "content-type: application/x-www-form-urlencoded".to_owned();
        let (line, headers, body) = match style {
            Style::Basic => {
                let pair = BASE64.encode(format!("{id}:{secret}").as_bytes());
                let basic = format!("authorization: Basic {pair}");
                (
                    "POST /oauth/token",
                    vec![form, basic],
                    "grant_type=client_credentials".to_owned(),
                )
            }
            Style::Form => {
                let scope = scopes.join("+");
                let body = format!(
                    "grant_type=client_credentials&client_id={id}&client_secret={secret}&scope={scope}"
                );
                ("POST /api/v2/oauth/token", vec![form], body)
            }
        };
        let answer = ask_once(gateway.admin, line, &headers, body.as_bytes()).unwrap();
        assert_eq!(answer.status(), 200, "{answer:?}");
        let token = answer.json();
        assert_eq!(token["token_type"], "bearer");
        assert!(token["expires_in"].as_u64().unwrap() >= 300);
        Self {
            gateway,
            token: token["access_token"].as_str().unwrap().to_owned(),
        }
    }

    fn ask(&self, line: &str, headers: &[&str], body: &Value) -> Message {
        let mut all = vec![
            format!("authorization: Bearer {}", self.token),
            "content-type: application/json".to_owned(),
        ];
        all.extend(headers.iter().map(|header| (*header).to_owned()));
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let answer = ask_once(self.gateway.admin, line, &all, body.as_bytes()).unwrap();
        for name in [
            "inin-correlation-id",
            "inin-ratelimit-count",
            "inin-ratelimit-allowed",
        ] {
            assert!(answer.header(name).is_some(), "{name}: {answer:?}");
        }
        answer
    }

    #[track_caller]
    fn expect(&self, line: &str, body: &Value, status: u16) -> Value {
        let answer = self.ask(line, &[], body);
        assert_eq!(answer.status(), status, "{line}: {answer:?}");
        answer.json()
    }

    #[track_caller]
    fn get(&self, path: &str) -> Value {
        self.expect(&format!("GET {path}"), &Value::Null, 200)
    }
}

/// An event of this type, with fields of its own.
fn event(id: &str, kind: &str) -> Vec<u8> {
    let body =
        json!({"id": id, "type": kind, "queueName": "sales", "memberId": "m-1", "events": []});
    body.to_string().into_bytes()
}

/// Whether `request` carries the signature of its bytes by `secret`.
fn is_signed(request: &Message, secret: &str) -> bool {
    let rule = Verify::Hmac {
        header: "x-genesys-signature".into(),
        prefix: "".into(),
        encoding: Encoding::Hex,
        secrets: vec![SecretRef::Literal(Secret::new(secret.into()))],
    };
    let headers: HeaderMap = request
        .headers()
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::try_from(name).unwrap(),
                HeaderValue::try_from(value).unwrap(),
            )
        })
        .collect();
    verify(&rule, &headers, &request.body, &NoNames, UnixMs(0)).is_ok()
}

#[test]
fn a_retry_policy_is_put_once_for_a_key_also_when_the_gateway_was_killed_in_between() {
    let receiver = Receiver::start(Instant::now(), |_| 200);
    let site = site("");
    let gateway = site.start();
    let scopes = [
        "webhook:write",
        "notification:webhook:read",
        "notification:webhook:write",
    ];
    let client = Client::register(&gateway, "seed-000", &scopes, Style::Basic);
    let body =
        json!({"name": "retried", "endpoint": receiver.url(), "eventTypes": ["call:created"]});
    let id = client.expect(&format!("POST {A}"), &body, 201)["id"]
        .as_str()
        .unwrap()
        .to_owned();
    client.get(&format!("{C}/{id}"));

    let (line, key) = (format!("PUT {C}/{id}"), "idempotency-key: 2f1c0b7e");
    let policy = json!({"retryPolicy": {"maxAttempts": 5, "retryDuration": 605}});
    let put = client.ask(&line, &[key], &policy);
    assert_eq!((put.status(), put.json()["id"].as_str()), (200, Some(&*id)));
    let token = client.token;
    gateway.kill();

    let gateway = site.start();
    let client = Client {
        gateway: &gateway,
        token,
    };
    let again = client.ask(&line, &[key], &policy);
    assert_eq!(again.body, put.body);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let other = json!({"maxAttempts": 6, "retryDuration": 605});
    let refused = client.ask(&line, &[key], &other);
    assert_eq!(refused.status(), 422, "{refused:?}");
    assert_eq!(
        refused.json()["contextId"].as_str(),
        refused.header("inin-correlation-id")
    );
    assert_eq!(
        client.get(&format!("{C}/{id}"))["retryPolicy"],
        policy["retryPolicy"]
    );
    let over = json!({"maxAttempts": 101, "retryDuration": 86_401});
    let refused = client.expect(&line, &over, 400);
    assert_eq!(refused["errors"].as_array().unwrap().len(), 2, "{refused}");
}

/// A webhook of dialect A.
fn by_types(url: &str) -> Value {
    json!({
        "name": "analytics-group-a1b2c3d4",
        "endpoint": url,
        "eventTypes": ["routing.queue.conversation.created", "routing.queue.conversation.wrapped"],
        "retryPolicy": {"retryCount": 3, "retryInterval": "PT1M", "retryOnTimeout": true},
        "state": "enabled",
        "description": "Consumer group: analytics-group",
    })
}

#[test]
fn a_subscription_by_name_endpoint_and_types_is_made_once_and_delivers_the_topics_of_its_aliases() {
    let receiver = Receiver::start(Instant::now(), |_| 200);
    let site = site("");
    let gateway = site.start();
    let client = Client::register(
        &gateway,
        "seed-001",
        &["webhook:read", "webhook:write"],
        Style::Form,
    );
    let mut body = by_types(&receiver.url());
    let made = client.expect(&format!("POST {A}"), &body, 201);
    let id = made["id"].as_str().unwrap();
    assert_eq!(made["state"], "enabled");
    let link = made["links"]["self"].as_str().unwrap();
    let path = link
        .split_once("/api/")
        .map(|(_, path)| format!("/api/{path}"))
        .unwrap();
    assert_eq!(client.get(&path)["name"], body["name"]);

    client.expect(&format!("POST {A}"), &body, 409);
    body["eventTypes"] = json!(["no.such.type"]);
    body["retryPolicy"]["retryInterval"] = "1m".into();
    let refused = client.expect(&format!("POST {A}"), &body, 422);
    assert_eq!(refused["errors"].as_array().unwrap().len(), 2, "{refused}");

    let created = "v2.detail.events.conversation.2f7b0d9e.acd.start";
    for (n, kind) in [created, "routing.queue.conversation.wrapped", "other.type"]
        .iter()
        .enumerate()
    {
        gateway.accept(&event(&format!("e-{n}"), kind));
    }
    gateway.settle(PATIENCE);
    let arrived: BTreeSet<String> = receiver.arrivals().into_iter().map(|it| it.id).collect();
    assert_eq!(
        arrived,
        BTreeSet::from(["e-0".to_owned(), "e-1".to_owned()])
    );
    assert_eq!(
        receiver.arrivals()[0].request.header("x-integration-id"),
        Some(id)
    );

    let gone = client.ask(&format!("DELETE {A}/{id}"), &[], &Value::Null);
    assert_eq!(gone.status(), 204, "{gone:?}");
    client.expect(&format!("GET {A}/{id}"), &Value::Null, 404);
}

#[test]
fn a_disabled_webhook_sends_nothing_and_loses_nothing() {
    let receiver = Receiver::start(Instant::now(), |_| 200);
    let site = site("");
    let gateway = site.start();
    let client = Client::register(&gateway, "switch", &["webhook:write"], Style::Form);
    let made = client.expect(&format!("POST {A}"), &by_types(&receiver.url()), 201);
    let id = made["id"].as_str().unwrap();
    client.expect(
        &format!("PATCH {A}/{id}"),
        &json!({"state": "disabled"}),
        200,
    );
    gateway.accept(&event("e-1", "routing.queue.conversation.created"));
    until("the event to wait", || {
        let totals = gateway.get("/v1/stats")["totals"].clone();
        (totals["lag"] == 1 && totals["inFlight"] == 0).then_some(())
    });
    assert_eq!(
        receiver.arrivals().len(),
        0,
        "a webhook that is disabled sends nothing"
    );
    client.expect(
        &format!("PATCH {A}/{id}"),
        &json!({"state": "enabled"}),
        200,
    );
    gateway.settle(PATIENCE);
    assert_eq!(receiver.arrivals().len(), 1, "and loses nothing");
}

/// Ids of all event types, page after page.
fn catalogue(client: &Client<'_>) -> BTreeSet<String> {
    let (mut kinds, mut page) = (BTreeSet::new(), 1);
    loop {
        let body = client.get(&format!("/api/v2/eventtypes?pageSize=100&page={page}"));
        let entities = body["entities"].as_array().unwrap();
        kinds.extend(
            entities
                .iter()
                .map(|it| it["id"].as_str().unwrap().to_owned()),
        );
        if page >= body["totalPageCount"].as_u64().unwrap() {
            return kinds;
        }
        page += 1;
    }
}

/// The tag of what is there.
fn tag(client: &Client<'_>, get: &str) -> String {
    let answer = client.ask(get, &[], &Value::Null);
    answer.header("etag").unwrap().to_owned()
}

#[test]
fn a_signed_webhook_is_updated_by_its_tag_and_one_of_two_racing_updates_is_refused() {
    let receiver = Receiver::start(Instant::now(), |_| 200);
    let site = site("");
    let gateway = site.start();
    let scopes = ["webhook:read", "webhook:write", "eventtype:read"];
    let client = Client::register(&gateway, "seed-003", &scopes, Style::Basic);

    let kinds = catalogue(&client);
    assert!(kinds.contains("call:created") && kinds.contains("call:answered"));

    let mut body = json!({
        "name": "Production Webhook",
        "address": receiver.url(),
        "enabled": true,
        "eventFilters": [
            {"eventType": "call:created", "filter": "true"},
            {"eventType": "call:answered", "filter": "event.data.queueName == 'support'"},
        ],
        "customProperties": {"webhook.signature.secret": "secure-signature-key", "webhook.created.by": "tests"},
    });
    let made = client.expect(&format!("POST {B}"), &body, 201);
    assert!(!made.to_string().contains("secure-signature-key"));
    let id = made["id"].as_str().unwrap();
    let (get, put) = (format!("GET {B}/{id}"), format!("PUT {B}/{id}"));
    client.expect(&put, &body, 428);

    let etag = tag(&client, &get);
    let if_match = format!("if-match: {etag}");
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let racers: Vec<_> = ["one", "other"]
            .into_iter()
            .map(|name| {
                let mut body = body.clone();
                body["customProperties"]["webhook.version"] = name.into();
                let (client, put, if_match) = (&client, &put, &if_match);
                scope.spawn(move || client.ask(put, &[if_match], &body).status())
            })
            .collect();
        racers
            .into_iter()
            .map(|racer| racer.join().unwrap())
            .collect()
    });
    assert_eq!(BTreeSet::from_iter(statuses), BTreeSet::from([200, 412]));

    let etag = tag(&client, &get);
    body["customProperties"]["webhook.version"] = "2.0".into();
    let last = client.ask(&put, &[&format!("if-match: {etag}")], &body);
    assert_eq!(last.status(), 200, "{last:?}");

    gateway.accept(&event("e-1", "call:created"));
    gateway.accept(&event("e-2", "call:answered"));
    gateway.settle(PATIENCE);
    let arrivals = receiver.arrivals();
    assert_eq!(
        arrivals.len(),
        1,
        "the filter takes no call of another queue"
    );
    let request = &arrivals[0].request;
    assert!(is_signed(request, "secure-signature-key"), "{request:?}");
    assert!(!is_signed(request, "another-key"));
}

/// A webhook of dialect D.
fn resilient(url: &str) -> Value {
    json!({
        "name": "CRM-Sync-Webhook-Resilient",
        "type": "webhook",
        "enabled": true,
        "settings": {
            "url": url,
            "httpMethod": "POST",
            "contentType": "application/json",
            "headers": {"Authorization": "Bearer {{secret:crm_api_token}}", "X-Genesys-Event-Id": "{{eventId}}"},
            "retryPolicy": {"maxRetries": 5, "retryDelay": 200, "retryPolicyType": "exponential", "jitter": true},
            "transformations": [
                {"type": "fieldMapping", "source": "queueName", "destination": "queue"},
                {"type": "fieldMapping", "source": "memberId", "destination": "agentId"},
            ],
        },
    })
}

/// Asserts that a log entry tells of the first attempt, `request`, which was refused.
#[track_caller]
fn is_refused_attempt(attempt: &Value, request: &Message, event: &str, url: &str) {
    assert_eq!(
        attempt["deliveryId"].as_str(),
        request.header("x-delivery-id")
    );
    assert_eq!(attempt["eventId"].as_str(), Some(event));
    assert_eq!(
        (&attempt["url"], &attempt["attempt"]),
        (&json!(url), &json!(1))
    );
    assert_eq!(
        (&attempt["result"], &attempt["errorCode"]),
        (&json!("retry"), &Value::Null)
    );
    assert!(attempt["latencyMs"].is_u64() && attempt["timestamp"].is_string());
}

#[test]
fn an_integration_is_bound_to_events_retried_and_logged_by_status() {
    // The first request of each delivery is refused.
    let receiver = Receiver::start(Instant::now(), |it| if it.attempt == 1 { 503 } else { 200 });
    let site = site("\n[secret.crm_api_token]\nfile = \"{dir}/crm_api_token\"\n");
    site.write("crm_api_token", "t0k3n-of-the-crm");
    let gateway = site.start();
    let client = Client::register(
        &gateway,
        "seed-004",
        &["integrations:view", "integration:edit"],
        Style::Basic,
    );
    let body = resilient(&receiver.url());
    let made = client.expect(&format!("POST {D}"), &body, 201);
    let id = made["id"].as_str().unwrap();
    let mut shown = client.get(&format!("{D}/{id}"));
    // Fields are shown sorted by where they go.
    shown["settings"]["transformations"]
        .as_array_mut()
        .unwrap()
        .reverse();
    assert_eq!(shown["settings"], body["settings"]);

    let kind = "routing.queue.member.update";
    gateway.accept(&event("e-0", kind));
    let bound = client.expect(
        &format!("POST {D}/{id}/eventbindings"),
        &json!({"events": [kind]}),
        201,
    );
    assert_eq!(bound["events"], json!([kind]));
    let accepted = gateway.accept(&event("e-1", kind));
    gateway.settle(PATIENCE);

    let arrivals = receiver.arrivals();
    assert_eq!(arrivals.len(), 2, "{arrivals:?}");
    let request = &arrivals[0].request;
    assert_eq!(request.body, br#"{"agentId":"m-1","queue":"sales"}"#);
    assert_eq!(
        request.header("authorization"),
        Some("Bearer t0k3n-of-the-crm")
    );
    assert_eq!(request.header("x-genesys-event-id"), Some(&*accepted));

    let logs = |query: &str| {
        client.get(&format!("{D}/{id}/logs?{query}"))["entities"]
            .as_array()
            .unwrap()
            .clone()
    };
    let refused = until("the log of attempts", || {
        Some(logs("statusCode=503")).filter(|it| !it.is_empty())
    });
    assert_eq!(refused.len(), 1, "{refused:?}");
    is_refused_attempt(&refused[0], request, &accepted, &receiver.url());
    assert_eq!(logs("statusCode=2xx").len(), 1);
    let all = logs("pageSize=1&pageNumber=1");
    assert_eq!(all[0]["attempt"], 2, "the newest is the first");
    assert_eq!(logs("from=2099-01-01T00:00:00Z").len(), 0);

    let flat = client.get(&format!("{D}/{id}/webhook"));
    assert_eq!(flat["url"], receiver.url());
    assert_eq!(
        flat["security"],
        json!({"type": "bearer"}),
        "a client without the scope sees no value"
    );
}

#[test]
fn a_given_up_delivery_reaches_the_integration_that_watches_for_it() {
    let receiver = Receiver::start(
        Instant::now(),
        |it| if it.place() == "down" { 500 } else { 200 },
    );
    let site = site("");
    let gateway = site.start();
    let client = Client::register(
        &gateway,
        "watcher",
        &["integrations:view", "integration:edit"],
        Style::Basic,
    );
    let integration = |name: &str, url: String| {
        json!({
            "name": name, "type": "webhook", "enabled": true,
            "settings": {
                "url": url,
                "retryPolicy": {"maxRetries": 0, "retryDelay": 100, "retryPolicyType": "fixed", "jitter": false},
            },
        })
    };
    for (name, place, kind) in [
        ("down", "down", "routing.queue.member.update"),
        ("alerts", "alerts", "integration.message.failed"),
    ] {
        let made = client.expect(
            &format!("POST {D}"),
            &integration(name, receiver.at(place)),
            201,
        );
        let id = made["id"].as_str().unwrap();
        client.expect(
            &format!("POST {D}/{id}/eventbindings"),
            &json!({"events": [kind]}),
            201,
        );
    }
    gateway.accept(&event("e-1", "routing.queue.member.update"));
    receiver.wait_until(PATIENCE, |arrivals| {
        arrivals.iter().any(|it| it.place() == "alerts")
    });
    let told = receiver.arrived_at("alerts");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].request.json()["title"].is_string());
}
