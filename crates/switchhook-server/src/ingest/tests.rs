//! Requests against the in-memory store: by hand where the socket does not matter, over loopback where it does.

mod failing;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Mutex;

use http_body_util::BodyExt;
use hyper::service::service_fn;
use serde_json::{Value, json};
use switchhook_core::id::Offset;
use switchhook_core::pointer::Pointer;
use switchhook_core::secret::Secret;
use switchhook_core::source::{Dedup, Encoding, KindRule};
use switchhook_core::verify::prove;
use switchhook_store::memory::Memory;
use switchhook_store::query::Limit;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::listen;

const LONG: Duration = Duration::from_secs(20);

/// Writes down what it is told.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Observer for Notes {
    fn accepted(&self, source: &str, _: u64, bytes: usize) {
        self.0
            .lock()
            .unwrap()
            .push(format!("accepted {source} {bytes}"));
    }

    fn duplicate(&self, source: &str) {
        self.0.lock().unwrap().push(format!("duplicate {source}"));
    }

    fn rejected(&self, source: Option<&str>, code: &'static str) {
        self.0
            .lock()
            .unwrap()
            .push(format!("rejected {} {code}", source.unwrap_or("-")));
    }
}

struct Gateway {
    ingest: Ingest,
    store: Arc<Memory>,
    notes: Arc<Notes>,
}

fn source(name: &str, verify: Verify, by: DedupBy) -> Arc<Source> {
    Arc::new(Source {
        name: name.into(),
        verify,
        kind: KindRule::Pointer(Pointer::parse("/type").unwrap()),
        key: vec![],
        dedup: Dedup {
            by,
            window_ms: 60_000,
        },
        body_bytes_max: 1_024,
        keep_headers: vec![],
    })
}

fn signed(secret: SecretRef) -> Verify {
    Verify::Hmac {
        header: "x-sign".into(),
        prefix: "sha256=".into(),
        encoding: Encoding::Hex,
        secrets: vec![secret],
    }
}

fn gateway() -> Gateway {
    let by_id = || DedupBy::Pointers(vec![Pointer::parse("/id").unwrap()]);
    let sources = [
        source("open", Verify::None, by_id()),
        source("header", Verify::None, DedupBy::Header("x-id".into())),
        source(
            "signed",
            signed(SecretRef::Literal(Secret::new(b"key".to_vec()))),
            by_id(),
        ),
        source(
            "locked",
            signed(SecretRef::Named("not-there".into())),
            by_id(),
        ),
    ];
    let sources = sources
        .into_iter()
        .map(|source| (Arc::clone(&source.name), source))
        .collect();
    let plan = Arc::new(ArcSwap::from_pointee(Plan {
        sources,
        ..Plan::default()
    }));
    let (store, notes) = (Arc::new(Memory::new()), Arc::<Notes>::default());
    let secrets = Arc::new(Secrets::new(BTreeMap::new(), |_| None));
    let ingest = Ingest::new(plan, store.clone(), secrets, Clock::system(), notes.clone());
    Gateway {
        ingest,
        store,
        notes,
    }
}

struct Answered {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Gateway {
    async fn send(&self, request: Request<Full<Bytes>>) -> Answered {
        let (head, body) = self.ingest.handle(request).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answered {
            status: head.status.as_u16(),
            headers: head.headers,
            body: serde_json::from_slice(&body).unwrap(),
        }
    }

    async fn post(&self, path: &str, body: &str) -> Answered {
        self.send(
            Request::post(path)
                .body(Full::from(body.to_owned()))
                .unwrap(),
        )
        .await
    }

    fn stored(&self) -> Vec<String> {
        let limit = Limit {
            items: 10_000,
            bytes: usize::MAX,
        };
        let events = self.store.read_log(Offset(1), limit).unwrap();
        events
            .iter()
            .map(|event| String::from_utf8(event.body.to_vec()).unwrap())
            .collect()
    }

    fn notes(&self) -> Vec<String> {
        self.notes.0.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn an_accepted_event_is_in_the_store_with_its_exact_bytes() {
    let gateway = gateway();
    let body = " {\"type\" : \"a\",\"id\":1.0 }\n";
    let answered = gateway.post("/in/open", body).await;
    assert_eq!(
        (answered.status, &answered.body["duplicate"]),
        (202, &json!(false))
    );
    assert_eq!(gateway.stored(), [body]);
    let id: EventId = answered.body["eventId"].as_str().unwrap().parse().unwrap();
    let event = gateway.store.event(id).unwrap().unwrap();
    assert_eq!((&*event.kind, &*event.source), ("a", "open"));
    assert_eq!(gateway.notes(), [format!("accepted open {}", body.len())]);
}

#[tokio::test]
async fn a_repeat_gets_the_first_id_and_another_body_is_a_conflict() {
    let gateway = gateway();
    let first = gateway.post("/in/open", r#"{"id":"1"}"#).await;
    let again = gateway.post("/in/open", r#"{"id":"1"}"#).await;
    assert_eq!(
        (again.status, &again.body["duplicate"]),
        (202, &json!(true))
    );
    assert_eq!(again.body["eventId"], first.body["eventId"]);
    let other = gateway.post("/in/open", r#"{"id":"1","x":2}"#).await;
    assert_eq!(
        (other.status, &other.body["code"]),
        (409, &json!("dedup-conflict"))
    );
    assert_eq!(gateway.stored().len(), 1);
}

#[tokio::test]
async fn only_a_request_with_the_right_signature_is_stored() {
    let gateway = gateway();
    let body = r#"{"type":"a"}"#;
    let rule = signed(SecretRef::Literal(Secret::new(b"key".to_vec())));
    let none = Secrets::new(BTreeMap::new(), |_| None);
    let (name, value) = prove(&rule, "", body.as_bytes(), &none, UnixMs(0))
        .unwrap()
        .remove(0);
    let post = |body: &'static str, value: Option<http::HeaderValue>| {
        let mut request = Request::post("/in/signed").body(Full::from(body)).unwrap();
        value.map(|value| request.headers_mut().insert(name.clone(), value));
        gateway.send(request)
    };
    let good = post(r#"{"type":"a"}"#, Some(value.clone())).await;
    assert_eq!(good.status, 202);
    for (body, value, code) in [
        (r#"{"type":"b"}"#, Some(value), "signature-mismatch"),
        (r#"{"type":"a"}"#, None, "signature-missing"),
        (
            r#"{"type":"a"}"#,
            Some(http::HeaderValue::from_static("sha256=zz")),
            "signature-malformed",
        ),
    ] {
        let bad = post(body, value).await;
        assert_eq!((bad.status, &bad.body["code"]), (401, &json!(code)));
        assert_eq!(bad.headers["content-type"], "application/problem+json");
    }
    assert_eq!(gateway.stored().len(), 1);
}

#[tokio::test]
async fn what_cannot_be_taken_is_refused_with_its_code_and_stores_nothing() {
    let gateway = gateway();
    let large = format!("\"{}\"", "x".repeat(1_023));
    let gzip = Request::post("/in/open")
        .header("content-encoding", "gzip")
        .body(Full::from("x"))
        .unwrap();
    let mut fields = Request::post("/in/open").body(Full::from("{}")).unwrap();
    for _ in 0..65 {
        fields
            .headers_mut()
            .append("x-many", http::HeaderValue::from_static("1"));
    }
    let proof = format!("sha256={}", "0".repeat(64));
    let locked = Request::post("/in/locked")
        .header("x-sign", proof)
        .body(Full::from("{}"))
        .unwrap();
    for (answered, status, code) in [
        (
            gateway.post("/in/open", &large).await,
            413,
            "body-too-large",
        ),
        (gateway.post("/in/open", "{").await, 400, "not-json"),
        (
            gateway.post("/in/nobody", "{}").await,
            404,
            "source-unknown",
        ),
        (gateway.post("/else", "{}").await, 404, "not-found"),
        (gateway.send(locked).await, 503, "secret-unavailable"),
        (gateway.send(gzip).await, 415, "unsupported-media-type"),
        (gateway.send(fields).await, 431, "headers-too-large"),
    ] {
        assert_eq!(
            (answered.status, &answered.body["code"]),
            (status, &json!(code))
        );
        assert_eq!(
            answered.headers.contains_key("retry-after"),
            status == 503,
            "{code}"
        );
        assert!(
            !answered.body.to_string().contains("not-there"),
            "the secret is not named"
        );
    }
    let wrong = gateway
        .send(Request::delete("/in/open").body(Full::default()).unwrap())
        .await;
    assert_eq!(wrong.status, 405);
    assert_eq!(wrong.headers["allow"], "GET, HEAD, POST");
    assert!(gateway.stored().is_empty());
    assert!(
        gateway
            .notes()
            .contains(&"rejected - source-unknown".to_owned())
    );
}

#[tokio::test]
async fn a_probe_tells_whether_a_source_exists_and_is_ready() {
    let gateway = gateway();
    for (path, status) in [
        ("/in/open", 200),
        ("/in/signed", 200),
        ("/in/locked", 503),
        ("/in/nobody", 404),
    ] {
        for method in [Method::GET, Method::HEAD] {
            let request = Request::builder()
                .method(method)
                .uri(path)
                .body(Full::default())
                .unwrap();
            assert_eq!(gateway.send(request).await.status, status, "{path}");
        }
    }
}

#[tokio::test]
async fn a_batch_is_stored_whole_with_the_bytes_of_each_element() {
    let gateway = gateway();
    let answered = gateway
        .post(
            "/in/open?batch=true",
            "[ {\"id\" : 1} ,{\"id\":2}, {\"id\" : 1}]",
        )
        .await;
    assert_eq!(answered.status, 202);
    let events = answered.body["events"].as_array().unwrap();
    let marks: Vec<_> = events.iter().map(|event| &event["duplicate"]).collect();
    assert_eq!(marks, [false, false, true]);
    assert_eq!(gateway.stored(), ["{\"id\" : 1}", "{\"id\":2}"]);
}

#[tokio::test]
async fn a_batch_with_one_conflict_is_refused_whole_and_the_element_is_named() {
    let gateway = gateway();
    let first = gateway.post("/in/open", r#"{"id":1}"#).await.body["eventId"].clone();
    let in_log = format!(
        "element 1 has the identity of {} and",
        first.as_str().unwrap()
    );
    for (body, words) in [
        (r#"[{"id":2},{"id":1,"x":0}]"#, &*in_log),
        (
            r#"[{"id":2},{"id":3},{"id":2,"x":0}]"#,
            "elements 0 and 2 have one identity",
        ),
    ] {
        let answered = gateway.post("/in/open?batch=true", body).await;
        assert_eq!(
            (answered.status, &answered.body["code"]),
            (409, &json!("dedup-conflict"))
        );
        let detail = answered.body["detail"].as_str().unwrap();
        assert!(detail.starts_with(words), "{detail}");
    }
    assert_eq!(gateway.stored(), [r#"{"id":1}"#]);
    // What was refused is not remembered.
    let mended = gateway
        .post("/in/open?batch=true", r#"[{"id":2,"x":0},{"id":1}]"#)
        .await;
    let marks: Vec<_> = mended.body["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["duplicate"])
        .collect();
    assert_eq!(marks, [false, true]);
}

#[tokio::test]
async fn a_batch_that_cannot_be_taken_whole_stores_nothing() {
    let gateway = gateway();
    let many = format!("[{}]", "0,".repeat(500) + "0");
    let too_many = format!("[{}0]", "0,".repeat(1_000));
    for (body, status, code) in [
        (r#"[{"id":1},{"id":2}"#, 400, "not-json"),
        (r#"{"id":1}"#, 400, "batch-invalid"),
        (too_many.as_str(), 413, "body-too-large"),
    ] {
        let answered = gateway.post("/in/open?batch=true", body).await;
        assert_eq!(
            (answered.status, &answered.body["code"]),
            (status, &json!(code))
        );
    }
    assert!(gateway.stored().is_empty());
    assert_eq!(
        gateway.post("/in/open?x=1&batch=true", &many).await.body["events"]
            .as_array()
            .unwrap()
            .len(),
        501
    );
    assert_eq!(
        gateway.post("/in/open?batch=true", "[]").await.body,
        json!({"events": []})
    );
}

#[tokio::test]
async fn elements_of_a_batch_that_share_an_id_header_are_not_duplicates_of_each_other() {
    let gateway = gateway();
    let send = || {
        let request = Request::post("/in/header?batch=true")
            .header("x-id", "7")
            .body(Full::from("[1,2]"))
            .unwrap();
        gateway.send(request)
    };
    assert_eq!(send().await.body["events"][1]["duplicate"], false);
    assert_eq!(send().await.body["events"][1]["duplicate"], true);
    assert_eq!(gateway.stored(), ["1", "2"]);
}

#[tokio::test]
async fn a_gateway_that_cannot_store_says_when_to_come_back() {
    let mut overloaded = gateway();
    overloaded.ingest.storing = Arc::new(Semaphore::new(0));
    let answered = overloaded.post("/in/open", "{}").await;
    assert_eq!(
        (answered.status, &answered.body["code"]),
        (503, &json!("overloaded"))
    );
    assert_eq!(answered.headers["retry-after"], "1");

    let closed = gateway();
    closed.store.close();
    let answered = closed.post("/in/open", "{}").await;
    assert_eq!(
        (answered.status, &answered.body["code"]),
        (503, &json!("shutting-down"))
    );

    let full = not_stored(&Error::Full {
        free_bytes: 1,
        needed_bytes: 2,
    });
    assert_eq!((full.status, full.code.as_str()), (503, "store-full"));
    let failed = not_stored(&Error::Fatal("fsync".into()));
    assert_eq!((failed.status, failed.code.as_str()), (503, "store-failed"));
}

/// Serves `gateway` on loopback, sends `request` as it is, and gives back all that comes.
async fn over_loopback(gateway: Gateway, request: &[u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let ingest = Arc::new(gateway.ingest);
    let service_for = move |_: SocketAddr| {
        let ingest = Arc::clone(&ingest);
        service_fn(move |request| {
            let ingest = Arc::clone(&ingest);
            async move { Ok::<_, Infallible>(ingest.handle(request).await) }
        })
    };
    let (_shutdown, receiver) = tokio::sync::watch::channel(false);
    let limits = listen::Limits {
        idle: Duration::from_millis(200),
        ..listen::Limits::default()
    };
    tokio::spawn(listen::serve(listener, None, limits, service_for, receiver));
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(LONG, stream.read_to_end(&mut answer))
        .await
        .expect("the connection stayed open");
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_sender_that_waits_to_continue_is_refused_before_it_sends_too_much() {
    let head =
        "POST /in/open HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 9999\r\n\r\n";
    let answer = over_loopback(gateway(), head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let head =
        "POST /in/open HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n{}";
    let answer = over_loopback(gateway(), head.as_bytes()).await;
    assert!(
        answer.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 "),
        "{answer}"
    );
}

#[tokio::test]
async fn a_sender_that_writes_all_of_a_large_body_first_still_gets_the_refusal() {
    let body = "x".repeat(400_000);
    let request = format!(
        "POST /in/open HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = over_loopback(gateway(), request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn a_chunked_body_is_refused_at_the_first_byte_too_many() {
    let chunk = format!("400\r\n{}\r\n", "x".repeat(1_024));
    let request = format!(
        "POST /in/open HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{chunk}1\r\nx\r\n"
    );
    let answer = over_loopback(gateway(), request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let mut gateway = gateway();
    gateway.ingest = gateway.ingest.with_body_time(Duration::from_millis(50));
    let request = b"POST /in/open HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n{}";
    let answer = over_loopback(gateway, request).await;
    assert!(
        answer.starts_with("HTTP/1.1 408 ") && answer.contains("request-timeout"),
        "{answer}"
    );
}

async fn refused_with(error: Error) -> (Answered, Option<Error>) {
    let mut gateway = gateway();
    gateway.ingest.store = Arc::new(failing::Failing::with(error));
    let (fatal, mut told) = mpsc::unbounded_channel();
    gateway.ingest = gateway.ingest.with_fatal(fatal);
    let answered = gateway.post("/in/open", r#"{"id":1}"#).await;
    (answered, told.try_recv().ok())
}

#[tokio::test]
async fn a_store_that_has_failed_is_told_to_who_stops_the_process() {
    let (answered, told) = refused_with(Error::Fatal("fsync failed".into())).await;
    assert_eq!(answered.status, 503);
    assert!(matches!(told, Some(Error::Fatal(_))), "{told:?}");
}

#[tokio::test]
async fn a_store_that_has_too_much_to_write_is_no_failure() {
    let overloaded = Error::Overloaded {
        queued_bytes: 2,
        limit_bytes: 1,
    };
    let (answered, told) = refused_with(overloaded).await;
    assert_eq!(answered.status, 503);
    assert_eq!(answered.headers[header::RETRY_AFTER], "1");
    assert!(told.is_none());
}
