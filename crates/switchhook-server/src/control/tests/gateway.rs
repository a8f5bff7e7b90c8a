//! The gateway itself: readiness, figures, the stream, the store, probes.

use std::time::Duration;

use axum::body::Body;
use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use switchhook_wire::api::PolicyPreview;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tower_service::Service as _;

use super::{Api, dead, event};

#[tokio::test]
async fn a_gateway_that_stops_is_alive_and_not_ready() {
    let api = Api::start().await;
    let ready = api.get("/readyz?verbose=true").await;
    let checks = json!([
        {"name": "store", "ready": true}, {"name": "dispatch", "ready": true}, {"name": "running", "ready": true},
    ]);
    assert_eq!(
        (ready.status.as_u16(), ready.json()),
        (200, json!({"ready": true, "checks": checks}))
    );
    assert_eq!(
        api.get("/readyz").await.json(),
        json!({"ready": true, "checks": []})
    );

    let Api {
        running,
        router,
        token,
        dir,
    } = api;
    let gateway = running.gateway().clone();
    running.stop(Duration::from_secs(10)).await.unwrap();
    let request = |uri: &str| {
        let request = http::Request::builder()
            .uri(uri)
            .header("authorization", format!("Bearer {token}"));
        request.body(Body::empty()).unwrap()
    };
    let status = async |uri: &str| {
        router
            .clone()
            .call(request(uri))
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!(
        (status("/livez").await, status("/readyz").await),
        (200, 503)
    );
    drop((gateway, dir));
}

#[tokio::test]
async fn figures_follow_what_happens() {
    let api = Api::start().await;
    api.bury(vec![event(0, "Old", b"{}")], |n, offset| {
        Some(dead(n, offset))
    })
    .await;
    let asked = json!({"type": "Text", "body": {"id": "m1"}});
    for duplicate in [false, true] {
        assert_eq!(
            api.post("/v1/sources/web/test-event", asked.clone())
                .await
                .json()["duplicate"],
            duplicate
        );
    }
    let stats = api
        .until("/v1/stats", |stats| stats["endpoints"][0]["failed"] == 1)
        .await;
    let totals = &stats["totals"];
    assert_eq!(
        (&totals["accepted"], &totals["duplicates"], &totals["dead"]),
        (&json!(1), &json!(1), &json!(1))
    );
    let endpoint = &stats["endpoints"][0];
    assert_eq!(
        (&endpoint["name"], &endpoint["delivered"], &endpoint["dead"]),
        (&json!("crm"), &json!(0), &json!(1))
    );
    assert!(
        endpoint["ratePerSecond"].as_f64().unwrap() > 0.0 && endpoint["p99Ms"].is_number(),
        "{endpoint}"
    );
    assert_eq!(stats["subscriptions"][0]["failed"], 1);
    let source = &stats["sources"][0];
    let counts =
        ["name", "accepted", "duplicates", "rejected"].map(|member| source[member].clone());
    assert_eq!(counts, [json!("web"), json!(1), json!(1), json!(0)]);
    assert!(
        source["ackP99Ms"].is_number() && source["ratePerSecond"].as_f64().unwrap() > 0.0,
        "{source}"
    );

    let metrics = api.get("/metrics").await;
    assert_eq!(
        metrics.header("content-type"),
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    for line in [
        r#"switchhook_ingest_requests_total{source="web",outcome="accepted",reason="none"} 1"#,
        r#"switchhook_ingest_requests_total{source="web",outcome="duplicate",reason="none"} 1"#,
        r#"switchhook_attempts_total{endpoint="crm",outcome="retry",status_class="none",reason="connect"} 1"#,
        r#"switchhook_dead_letters_kept{endpoint="crm",reason="exhausted"} 1"#,
        "switchhook_durability_relaxed 0",
        "# EOF",
    ] {
        assert!(
            metrics.text().lines().any(|found| found == line),
            "{line}\n{}",
            metrics.text()
        );
    }
}

#[tokio::test]
async fn the_stream_shows_each_attempt_as_it_is_judged() {
    let api = Api::start().await;
    let request = api.request(Method::GET, "/v1/stream", Body::empty());
    let response = api.router.clone().call(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    let sent = api
        .post("/v1/sources/web/test-event", json!({"type": "Text"}))
        .await
        .json();
    let read = async {
        let mut text = String::new();
        while !text.contains("event: attempt") || !text.ends_with("\n\n") {
            let frame = body.frame().await.unwrap().unwrap();
            text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
        text
    };
    let text = tokio::time::timeout(Duration::from_secs(20), read)
        .await
        .unwrap();
    let data = text
        .lines()
        .find_map(|line| line.strip_prefix("data: "))
        .unwrap();
    let item: Value = serde_json::from_str(data).unwrap();
    assert_eq!(
        (&item["eventId"], &item["attempt"]["error"]),
        (&sent["eventId"], &json!("connect"))
    );
}

#[tokio::test]
async fn the_stream_shows_a_breaker_that_opens_with_the_attempt_that_opened_it() {
    let api = Api::start().await;
    let request = api.request(Method::GET, "/v1/stream", Body::empty());
    let mut body = api.router.clone().call(request).await.unwrap().into_body();
    // Nothing listens there: five failures in a row are enough.
    for _ in 0..5 {
        api.post("/v1/sources/web/test-event", json!({"type": "Text"}))
            .await;
    }
    let read = async {
        let mut text = String::new();
        while !text.contains("event: breaker") || !text.ends_with("\n\n") {
            let frame = body.frame().await.unwrap().unwrap();
            text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
        text
    };
    let text = tokio::time::timeout(Duration::from_secs(20), read)
        .await
        .unwrap();
    let (_, change) = text.split_once("event: breaker\ndata: ").unwrap();
    let change: Value = serde_json::from_str(change.lines().next().unwrap()).unwrap();
    let shown = (&change["endpoint"], &change["from"], &change["to"]);
    assert_eq!(shown, (&json!("crm"), &json!("closed"), &json!("open")));
    let metrics = api.get("/metrics").await;
    let line = r#"breaker_transitions_total{endpoint="crm",to="open",cause="failures"} 1"#;
    assert!(metrics.text().contains(line), "{}", metrics.text());
    let told = |list: &Value| list["entities"][0]["type"] == "switchhook.breaker.opened";
    api.until("/v1/events?source=switchhook", told).await;
}

#[tokio::test]
async fn a_preview_shows_what_the_scheduler_would_do() {
    let api = Api::start().await;
    let shown: PolicyPreview =
        serde_json::from_slice(&api.get("/v1/policies/slow/preview").await.bytes).unwrap();
    let plan = api.gateway().plan.load();
    assert_eq!(shown, PolicyPreview::from(&*plan.policies["slow"]));
    assert_eq!(
        (shown.bands.len(), shown.bands[0].earliest_ms),
        (2, 3_600_000)
    );
}

#[tokio::test]
async fn a_backup_is_a_copy_that_overwrites_nothing() {
    let api = Api::start().await;
    api.bury(vec![event(0, "Old", b"{}")], |_, _| None).await;
    let path = api.dir.path().join("copy.db");
    let made = api.post("/v1/store/backup", json!({"path": path})).await;
    assert_eq!(
        (made.status.as_u16(), &made.json()["path"]),
        (200, &json!(path)),
        "{}",
        made.text()
    );
    assert!(made.json()["bytes"].as_u64().unwrap() > 0);
    let again = api.post("/v1/store/backup", json!({"path": path})).await;
    assert_eq!(
        (again.status.as_u16(), &*again.problem()),
        (409, "conflict")
    );
    let status = api.get("/v1/store/status").await.json();
    assert_eq!(
        (&status["events"], &status["engine"], &status["durability"]),
        (&json!(1), &json!("embedded"), &json!("fsync"))
    );
    let version = api.get("/v1/version").await.json();
    assert_eq!(
        version,
        json!({"version": env!("CARGO_PKG_VERSION"), "store": "embedded"})
    );
}

/// A receiver that takes GET and no HEAD, and gives back all that it was sent.
async fn receiver(listener: TcpListener) -> Vec<String> {
    let mut requests = Vec::new();
    while requests.len() < 2 {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut text = String::new();
        while !text.ends_with("\r\n\r\n") {
            let mut buffer = [0; 1_024];
            let read = stream.read(&mut buffer).await.unwrap();
            text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        }
        let status = if text.starts_with("HEAD") {
            "405 No"
        } else {
            "204 OK"
        };
        let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        let answer = answer.replace(
            if status == "204 OK" {
                "content-length: 0\r\n"
            } else {
                "\0"
            },
            "",
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        requests.push(text);
    }
    requests
}

#[tokio::test]
async fn a_probe_asks_again_with_get_and_sends_no_credential() {
    let api = Api::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = json!({
        "url": format!("http://{}/hook", listener.local_addr().unwrap()),
        "allow_private": ["127.0.0.0/8"],
        "headers": {"Authorization": "Bearer {{secret:web}}"},
    });
    assert_eq!(api.put("/v1/endpoints/probed", endpoint).await.status, 201);
    let receiver = tokio::spawn(receiver(listener));
    let found = api
        .post("/v1/endpoints/probed/probe", json!({}))
        .await
        .json();
    assert_eq!(
        (&found["method"], &found["status"], &found["advice"]),
        (&json!("GET"), &json!(204), &json!([]))
    );
    for time in ["connectMs", "firstByteMs", "totalMs"] {
        assert!(found[time].is_number(), "{time}: {found}");
    }
    assert!(
        found["dnsMs"].is_null() && found["tlsMs"].is_null() && found["addresses"] == 1,
        "{found}"
    );
    for request in receiver.await.unwrap() {
        let request = request.to_ascii_lowercase();
        assert!(
            request.contains("x-switchhook-probe: 1") && !request.contains("authorization"),
            "{request}"
        );
    }
    let found = api.post("/v1/endpoints/crm/probe", json!({})).await.json();
    assert_eq!(
        (&found["method"], &found["error"]),
        (&json!("HEAD"), &json!("connect"))
    );
}

#[tokio::test]
async fn a_gateway_without_a_configuration_is_usable_through_the_api() {
    let api = Api::with("[server]\ningest = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n").await;
    let source = json!({"verify": {"scheme": "open-messaging", "secrets": ["l1teral"]}});
    let endpoint = json!({"url": "http://127.18.0.9:65001/", "allow_private": ["127.18.0.9/32"]});
    for (uri, body) in [
        ("/v1/sources/web", source),
        ("/v1/endpoints/crm", endpoint),
        (
            "/v1/subscriptions/web-to-crm",
            json!({"sources": ["web"], "endpoint": "crm"}),
        ),
    ] {
        let answer = api.put(uri, body).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    let mut attempts = api.gateway().dispatch.live();
    assert_eq!(
        api.post("/v1/sources/web/test-event", json!({}))
            .await
            .status,
        202
    );
    let judged = tokio::time::timeout(Duration::from_secs(20), attempts.recv())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&*judged.attempt.endpoint, "crm");
}
