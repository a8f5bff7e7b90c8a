//! A source against something that answers as a gateway does.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::{BodyExt, Full};
use switchhook_core::id::EventId;
use switchhook_core::secret::{Secret, SecretRef};
use switchhook_core::source::{Encoding, Verify};
use switchhook_core::verify::verify;
use tokio::sync::watch;

use super::*;
use crate::NoNames;
use crate::serve::{self, Body, Running};

fn rule() -> Verify {
    Verify::Hmac {
        header: "x-hub-signature-256".into(),
        prefix: "sha256=".into(),
        encoding: Encoding::Base64,
        secrets: vec![SecretRef::Literal(Secret::new(
            b"sender-secret-0123456789".to_vec(),
        ))],
    }
}

/// What a gateway saw: the bodies in the order of arrival, and the ids given for them.
#[derive(Default)]
struct Seen {
    bodies: Vec<Bytes>,
    ids: BTreeMap<Bytes, EventId>,
}

/// A gateway that answers the `n`-th request with `status(n)`, and 401 to a bad proof.
async fn gateway(status: fn(usize) -> u16) -> (Running, Arc<Mutex<Seen>>, watch::Receiver<usize>) {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let (arrived, arrivals) = watch::channel(0);
    let shared = Arc::clone(&seen);
    let handler = Arc::new(move |request: http::Request<hyper::body::Incoming>| {
        let (shared, arrived) = (Arc::clone(&shared), arrived.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let (status, answer) = take(&shared, &head.headers, body, status);
            arrived.send_modify(|n| *n += 1);
            let answer: Body = Full::new(Bytes::from(answer)).boxed();
            Ok(Response::builder()
                .status(status)
                .header("retry-after", "0")
                .body(answer)
                .unwrap())
        }
    });
    let addr = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = Running::launch(addr, |listener, stop| serve::http(listener, stop, handler))
        .await
        .unwrap();
    (server, seen, arrivals)
}

fn take(
    seen: &Mutex<Seen>,
    headers: &HeaderMap,
    body: Bytes,
    status: fn(usize) -> u16,
) -> (u16, String) {
    let mut seen = seen.lock().unwrap();
    let status = status(seen.bodies.len());
    seen.bodies.push(body.clone());
    if verify(&rule(), headers, &body, &NoNames, crate::now()).is_err() {
        return (401, String::new());
    }
    if status != 202 {
        return (status, String::new());
    }
    let duplicate = seen.ids.contains_key(&body);
    let next = EventId(uuid::Uuid::from_u128(seen.ids.len() as u128));
    let id = *seen.ids.entry(body).or_insert(next);
    (
        202,
        format!(r#"{{"eventId":"{id}","duplicate":{duplicate}}}"#),
    )
}

fn source(
    server: &Running,
    next: impl FnMut(switchhook_core::time::UnixMs) -> Made + Send + 'static,
) -> Source {
    Source {
        ways: vec![Way {
            hint: "eventbridge".into(),
            url: format!("http://{}/in/web", server.addr()).parse().unwrap(),
            proof: rule(),
        }],
        next: Box::new(next),
        rate_per_s: None,
        connections: 1,
        keep_ids: true,
    }
}

async fn after(arrivals: &mut watch::Receiver<usize>, count: usize) {
    let reached = arrivals.wait_for(|n| *n >= count);
    tokio::time::timeout(Duration::from_secs(10), reached)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_pushed_back_event_is_sent_again_as_it_was_and_every_accepted_id_is_kept() {
    // 503 and 429 before the second event goes through.
    let status = |n| match n {
        1 => 503,
        2 => 429,
        _ => 202,
    };
    let (server, seen, mut arrivals) = gateway(status).await;
    let mut floor = Floor::new(1, Mix::Both, 4);
    let sending = source(&server, move |now| floor.next(now)).start().unwrap();
    after(&mut arrivals, 20).await;
    let sent = sending.stop().await;
    server.stop().await;
    let seen = seen.lock().unwrap();
    assert_eq!(
        (
            sent.pushed_back,
            sent.duplicates,
            sent.refused,
            sent.unsettled
        ),
        (2, 0, 0, 0)
    );
    assert_eq!(sent.accepted, seen.ids.len() as u64);
    assert_eq!(sent.accepted + 2, seen.bodies.len() as u64);
    assert_eq!(
        (&seen.bodies[1], &seen.bodies[1]),
        (&seen.bodies[2], &seen.bodies[3])
    );
    let mut kept = sent.ids;
    kept.sort();
    assert_eq!(
        kept,
        seen.ids
            .values()
            .copied()
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_duplicate_and_a_refusal_are_counted_apart_from_what_was_accepted() {
    let status = |n| if n == 2 { 400 } else { 202 };
    let (server, _, mut arrivals) = gateway(status).await;
    let one = Floor::new(1, Mix::EventBridge, 1).next(crate::now());
    let sending = source(&server, move |_| one.clone()).start().unwrap();
    after(&mut arrivals, 5).await;
    let sent = sending.stop().await;
    assert_eq!((sent.accepted, sent.refused), (1, 1));
    assert!(
        sent.duplicates >= 2 && sent.ids.iter().all(|id| *id == sent.ids[0]),
        "{sent:?}"
    );
}

#[tokio::test]
async fn a_rate_spaces_events_out() {
    let (server, _, mut arrivals) = gateway(|_| 202).await;
    let mut floor = Floor::new(1, Mix::Both, 4);
    let mut source = source(&server, move |now| floor.next(now));
    (source.rate_per_s, source.connections) = (Some(100.0), 8);
    let started = std::time::Instant::now();
    let sending = source.start().unwrap();
    after(&mut arrivals, 21).await;
    // The first is due at once, the 21st after 200 ms.
    assert!(
        started.elapsed() >= Duration::from_millis(199),
        "{:?}",
        started.elapsed()
    );
    sending.stop().await;
}

#[tokio::test]
async fn a_source_that_could_not_send_does_not_start() {
    let (server, ..) = gateway(|_| 202).await;
    let made = || source(&server, |now| Floor::new(1, Mix::Both, 1).next(now));
    let mut nowhere = made();
    nowhere.ways.clear();
    let mut https = made();
    https.ways[0].url = "https://127.0.0.1/in/web".parse().unwrap();
    let mut named = made();
    named.ways[0].proof = Verify::Token {
        header: "x-key".into(),
        prefix: "".into(),
        secrets: vec![SecretRef::Named("web".into())],
    };
    for (source, what) in [
        (nowhere, "at least one way"),
        (https, "http://host:port"),
        (named, "`web`"),
    ] {
        let error = source.start().unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
}
