//! The lab as a client on the wire sees it.

use std::io::ErrorKind;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

const LOOPBACK: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
const DELIVERY: &str = "dlv_01932b5f000070008000000000000001";

async fn lab(scripts: &[(&str, &str)]) -> RunningLab {
    let receiver = |(name, script): &(&str, &str)| Receiver {
        name: (*name).into(),
        behaviour: script.parse().unwrap(),
    };
    Lab::new(scripts.iter().map(receiver).collect())
        .start(LOOPBACK)
        .await
        .unwrap()
}

/// Sends one request on a connection of its own and reads until the lab closes it.
async fn exchange(addr: SocketAddr, head: &str, body: &[u8]) -> (io::Result<usize>, String) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let head = format!(
        "{head}host: lab\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.ok();
    let mut answer = Vec::new();
    let ended = stream.read_to_end(&mut answer).await;
    (ended, String::from_utf8(answer).unwrap())
}

async fn post(addr: SocketAddr, path: &str) -> (io::Result<usize>, String) {
    exchange(
        addr,
        &format!("POST {path} HTTP/1.1\r\nx-delivery-id: {DELIVERY}\r\n"),
        b"{}",
    )
    .await
}

fn split(answer: &str) -> (u16, &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body)
}

#[tokio::test]
async fn the_harness_counts_every_request_and_answers_even_one_that_is_too_large() {
    let secret = Secret::new(b"harness-secret-0123456789".to_vec());
    let body = br#"{"events":[1,2]}"#;
    let signed = harness::tests::signed(&secret, body);
    let proof = signed["x-genesys-signature"].to_str().unwrap();
    let lab = Lab {
        secret: Some(secret),
        ..Lab::default()
    };
    let lab = lab.start(LOOPBACK).await.unwrap();
    let head = "POST /webhook/test HTTP/1.1\r\n";
    let (_, good) = exchange(
        lab.addr(),
        &format!("{head}X-Genesys-Signature: {proof}\r\n"),
        body,
    )
    .await;
    assert_eq!(split(&good), (200, r#"{"received":true,"eventCount":2}"#));
    let (_, unsigned) = exchange(lab.addr(), head, body).await;
    assert_eq!(split(&unsigned), (401, r#"{"error":"Invalid signature"}"#));
    let (_, large) = exchange(lab.addr(), head, &vec![b' '; PAYLOAD_BYTES_MAX + 1]).await;
    assert_eq!(split(&large), (413, r#"{"error":"Payload too large"}"#));

    let (_, answer) = exchange(lab.addr(), "GET /metrics HTTP/1.1\r\n", b"").await;
    let metrics: Value = serde_json::from_str(split(&answer).1).unwrap();
    assert_eq!(metrics["totalRequests"], 3);
    assert_eq!(metrics["successfulDeliveries"], 1);
    assert_eq!(metrics["failedDeliveries"], 2);
    let (average, total) = (&metrics["averageLatencyMs"], &metrics["totalLatencyMs"]);
    assert!((average.as_f64().unwrap() * 3.0 - total.as_f64().unwrap()).abs() < 1e-6);
    lab.stop().await;
}

#[tokio::test]
async fn without_a_secret_there_is_no_harness() {
    let lab = lab(&[("crm", "ok")]).await;
    assert_eq!(split(&post(lab.addr(), "/webhook/test").await.1).0, 404);
    assert_eq!(
        split(
            &exchange(lab.addr(), "GET /metrics HTTP/1.1\r\n", b"")
                .await
                .1
        )
        .0,
        404
    );
}

#[tokio::test]
async fn a_reset_reaches_the_client_as_a_reset_before_and_after_the_body() {
    let lab = lab(&[("before", "reset-before"), ("after", "reset-after")]).await;
    for path in ["/before", "/after"] {
        let (ended, answer) = post(lab.addr(), path).await;
        assert_eq!(
            ended.unwrap_err().kind(),
            ErrorKind::ConnectionReset,
            "{path}"
        );
        assert_eq!(answer, "", "{path}");
    }
    // Before: the head alone is enough. After: nothing happens until the body is whole.
    let head = b"POST /before HTTP/1.1\r\nhost: lab\r\ncontent-length: 2\r\n\r\n";
    let mut stream = TcpStream::connect(lab.addr()).await.unwrap();
    stream.write_all(head).await.unwrap();
    assert_eq!(
        stream.read(&mut [0; 16]).await.unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    assert_eq!(lab.record("before").unwrap().summary().resets, 2);
    assert_eq!(lab.record("after").unwrap().summary().resets, 1);
}

#[tokio::test]
async fn a_black_hole_reads_the_request_and_stays_silent_until_the_peer_goes() {
    let lab = lab(&[("hole", "black-hole")]).await;
    let silence = tokio::time::timeout(Duration::from_millis(200), post(lab.addr(), "/hole")).await;
    assert!(silence.is_err());
    let summary = lab.record("hole").unwrap().summary();
    assert_eq!(
        (summary.requests, summary.silences, summary.delivered),
        (1, 1, 0)
    );
    // The peer has gone, so nothing is left for the grace of the stop to wait for.
    let stopped = tokio::time::timeout(serve::GRACE / 2, lab.stop()).await;
    assert!(stopped.is_ok());
}

#[tokio::test]
async fn scripts_set_status_and_headers_and_every_request_is_recorded() {
    let lab = lab(&[
        ("seq", "sequence:503,204"),
        ("busy", "rate-limit:429/3s/100%"),
        ("moved", "redirect"),
    ])
    .await;
    assert_eq!(
        split(&post(lab.addr(), "/hook").await.1),
        (503, r#"{"status":503}"#)
    );
    assert_eq!(split(&post(lab.addr(), "/seq").await.1), (204, ""));
    let (_, busy) = post(lab.addr(), "/busy").await;
    assert!(
        split(&busy).0 == 429 && busy.contains("\r\nretry-after: 3\r\n"),
        "{busy}"
    );
    let (_, moved) = post(lab.addr(), "/moved").await;
    assert!(
        split(&moved).0 == 307 && moved.contains("\r\nlocation: /elsewhere\r\n"),
        "{moved}"
    );
    let (_, unknown) = post(lab.addr(), "/elsewhere").await;
    assert!(split(&unknown).0 == 404 && unknown.contains(r#""receivers":["seq","busy","moved"]"#));

    let (_, records) = exchange(lab.addr(), "GET /records HTTP/1.1\r\n", b"").await;
    let records: Value = serde_json::from_str(split(&records).1).unwrap();
    let seq = &records["receivers"]["seq"];
    assert_eq!(
        (&seq["requests"], &seq["delivered"], &seq["repeats"]),
        (&json!(2), &json!(1), &json!(0))
    );
    assert_eq!(seq["statuses"], json!({"204": 1, "503": 1}));
    assert_eq!(seq["behaviour"], "sequence:503,204");
    assert_eq!(
        lab.record("seq").unwrap().taken(DELIVERY.parse().unwrap()),
        1
    );

    assert!(lab.set_behaviour("seq", "status:500".parse().unwrap()));
    assert_eq!(split(&post(lab.addr(), "/seq").await.1).0, 500);
    let records = lab.stop().await;
    assert_eq!(
        records
            .iter()
            .map(|(_, record)| record.summary().requests)
            .sum::<u64>(),
        5
    );
}

#[tokio::test]
async fn a_huge_answer_goes_on_for_as_long_as_the_client_reads() {
    let lab = lab(&[("huge", "huge")]).await;
    let mut stream = TcpStream::connect(lab.addr()).await.unwrap();
    stream
        .write_all(b"GET /huge HTTP/1.1\r\nhost: lab\r\n\r\n")
        .await
        .unwrap();
    let mut piece = vec![0; 64 * 1024];
    let mut total = 0;
    while total < 32 * 1024 * 1024 {
        let read = stream.read(&mut piece).await.unwrap();
        assert!(read > 0, "the answer ended after {total} bytes");
        total += read;
    }
}

#[tokio::test]
async fn a_receiver_needs_a_name_of_its_own_that_fits_a_path() {
    for (names, what) in [
        (["a", "a"], "twice"),
        (["metrics", "b"], "keeps for itself"),
        (["a/b", "c"], "letters"),
        (["", "c"], "letters"),
    ] {
        let receiver = |name: &str| Receiver {
            name: name.into(),
            behaviour: "ok".parse().unwrap(),
        };
        let error = Lab::new(names.map(receiver).into())
            .start(LOOPBACK)
            .await
            .unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    }
}
