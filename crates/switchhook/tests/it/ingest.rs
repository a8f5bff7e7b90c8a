//! Promise: what comes in is verified, and answered as it deserves; what is refused leaves nothing behind.

use serde_json::{Value, json};

use crate::harness::http::{Message, ask_once};
use crate::harness::sender::{body, signature};
use crate::harness::{Gateway, SOURCE, Site};

fn site() -> Site {
    Site::new(&format!("{SOURCE}body_max = \"1KiB\"\n"))
}

fn events(gateway: &Gateway) -> usize {
    gateway.get("/v1/events")["entities"]
        .as_array()
        .unwrap()
        .len()
}

#[track_caller]
fn assert_refused(answer: &Message, status: u16, code: &str) {
    let problem = answer.json();
    assert_eq!(
        (answer.status(), problem["code"].as_str()),
        (status, Some(code)),
        "{problem}"
    );
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    assert!(
        problem["detail"]
            .as_str()
            .is_some_and(|detail| !detail.is_empty()),
        "{problem}"
    );
}

#[test]
fn a_signature_made_elsewhere_is_accepted() {
    let site = site();
    let gateway = site.start();
    // printf '%s' BODY | openssl dgst -sha256 -hmac a-secret-of-the-tests -binary | base64
    let header = "X-Hub-Signature-256: sha256=rvw+JYtJI6TAnRn9L5AIVktN52tNgYx7quoufsoVbcE=";
    let answer = gateway.post(
        "/in/web",
        &[header.to_owned()],
        br#"{"id":"vector","type":"test.event"}"#,
    );
    assert_eq!(answer.status(), 202, "{}", answer.json());
}

#[test]
fn what_is_refused_says_why_and_is_not_stored() {
    let site = site();
    let gateway = site.start();
    let event = body("a");
    let large = body(&"x".repeat(2_000));
    let no_json = b"no json".to_vec();
    let signed = |body: &[u8]| vec![signature(body)];
    let malformed = vec!["x-hub-signature-256: nonsense".to_owned()];
    let table = [
        ("/in/web", vec![], &event, 401, "signature-missing"),
        ("/in/web", malformed, &event, 401, "signature-malformed"),
        (
            "/in/web",
            signed(b"another body"),
            &event,
            401,
            "signature-mismatch",
        ),
        ("/in/web", signed(&large), &large, 413, "body-too-large"),
        ("/in/web", signed(&no_json), &no_json, 400, "not-json"),
        ("/in/nobody", signed(&event), &event, 404, "source-unknown"),
        ("/elsewhere", signed(&event), &event, 404, "not-found"),
    ];
    for (path, headers, body, status, code) in table {
        assert_refused(&gateway.post(path, &headers, body), status, code);
    }
    assert_refused(
        &ask_once(gateway.ingest, "DELETE /in/web", &[], b"").unwrap(),
        405,
        "method-not-allowed",
    );
    assert_eq!(events(&gateway), 0);
}

#[test]
fn a_repeat_is_answered_with_the_first_id_and_a_changed_one_is_refused() {
    let site = site();
    let gateway = site.start();
    let first = gateway.send("web", &body("a"));
    assert_eq!(
        (first.status(), &first.json()["duplicate"]),
        (202, &json!(false))
    );
    let again = gateway.send("web", &body("a"));
    assert_eq!(again.status(), 202);
    assert_eq!(
        again.json(),
        json!({"eventId": first.json()["eventId"], "duplicate": true})
    );
    assert_refused(
        &gateway.send("web", br#"{"id":"a","type":"other"}"#),
        409,
        "dedup-conflict",
    );
    assert_eq!(events(&gateway), 1);
}

#[test]
fn a_batch_is_taken_whole_or_refused_whole() {
    let site = site();
    let gateway = site.start();
    let post = |body: &[u8]| gateway.post("/in/web?batch=true", &[signature(body)], body);
    let taken = post(br#"[{"id":"a","type":"t"}, {"id":"b","type":"t"}, {"id":"a","type":"t"}]"#);
    assert_eq!(taken.status(), 202, "{}", taken.json());
    let answers = taken.json()["events"].as_array().unwrap().clone();
    let duplicates: Vec<&Value> = answers.iter().map(|answer| &answer["duplicate"]).collect();
    assert_eq!(duplicates, [false, false, true]);
    assert_eq!(answers[0]["eventId"], answers[2]["eventId"]);
    assert_eq!(events(&gateway), 2);

    assert_refused(
        &post(br#"[{"id":"c","type":"t"}, {"id":"d""#),
        400,
        "not-json",
    );
    assert_refused(&post(br#"{"id":"c","type":"t"}"#), 400, "batch-invalid");
    assert_eq!(events(&gateway), 2);
}

#[test]
fn a_source_tells_whether_it_is_there_and_ready() {
    let site = site();
    let gateway = site.start();
    for (method, path, status) in [
        ("GET", "web", 200),
        ("HEAD", "web", 200),
        ("GET", "nobody", 404),
    ] {
        let answer = ask_once(gateway.ingest, &format!("{method} /in/{path}"), &[], b"").unwrap();
        assert_eq!(answer.status(), status, "{method} {path}");
    }
}
