//! Driver, receiver and proxy against each other.

use switchhook_core::secret::{Secret, SecretRef};
use switchhook_core::source::{Encoding, Verify};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

fn loopback() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

fn plan(addr: SocketAddr, pace: Pace, until: Until) -> Plan {
    Plan {
        addr,
        path: "/hook".into(),
        connections: 8,
        pace,
        until,
        body_bytes: 1024,
        proof: None,
        run: 1,
        keys: 16,
    }
}

#[tokio::test]
async fn the_driver_and_the_receiver_count_the_same_and_exactly() {
    let receiver = Receiver::start(loopback()).await.unwrap();
    for pace in [Pace::Closed, Pace::Open(20_000.0)] {
        receiver.reset();
        let report = drive(plan(receiver.addr(), pace, Until::Count(2_000)))
            .await
            .unwrap();
        let received = receiver.received();
        assert_eq!(
            (report.sent, report.accepted(), received.answered),
            (2_000, 2_000, 2_000),
            "{pace:?}"
        );
        assert_eq!(
            (report.unanswered, report.unsent, report.unconnected),
            (0, 0, 0)
        );
        assert_eq!(
            (report.latency.count, received.end_to_end.count),
            (2_000, 2_000)
        );
        // An event reaches the receiver before its answer reaches the driver (clocks step by 1 µs).
        assert!(
            received.end_to_end.p50_us <= report.latency.p50_us + 1,
            "{received:?} {report:?}"
        );
    }
    let report = ask(receiver.addr(), "/reset").await.unwrap();
    assert_eq!(report["answered"], 2_000);
    assert_eq!(
        ask(receiver.addr(), "/report").await.unwrap()["answered"],
        0
    );
    receiver.stop().await;
}

#[tokio::test]
async fn a_signed_load_carries_its_proof() {
    let lab = crate::endpoint::Lab {
        secret: Some(Secret::new(b"bench-secret-0123456789".to_vec())),
        ..crate::endpoint::Lab::default()
    };
    let lab = lab.start(loopback()).await.unwrap();
    let rule = |secret: &[u8]| Verify::Hmac {
        header: "x-genesys-signature".into(),
        prefix: "".into(),
        encoding: Encoding::Hex,
        secrets: vec![SecretRef::Literal(Secret::new(secret.to_vec()))],
    };
    // The harness answers 401 to a bad proof and, since the load has no `events`, 400 to a good one.
    for (secret, status) in [
        (&b"bench-secret-0123456789"[..], 400),
        (&b"another-secret-012345678"[..], 401),
    ] {
        let mut plan = plan(lab.addr(), Pace::Closed, Until::Count(50));
        plan.path = "/webhook/test".into();
        plan.proof = Some(rule(secret));
        let report = drive(plan).await.unwrap();
        assert_eq!(report.statuses, [(status, 50)].into());
        assert_eq!(report.latency.count, 0, "a refusal is no ack");
    }
}

#[tokio::test]
async fn an_open_loop_shows_the_stall_that_a_closed_loop_would_hide() {
    // 80 requests due within 20 ms, answered one after the other on each connection after 20 ms.
    let slow = crate::endpoint::Receiver {
        name: "slow".into(),
        behaviour: "slow:20ms".parse().unwrap(),
    };
    let lab = crate::endpoint::Lab::new(vec![slow])
        .start(loopback())
        .await
        .unwrap();
    let report = drive(plan(lab.addr(), Pace::Open(4_000.0), Until::Count(80)))
        .await
        .unwrap();
    assert_eq!(report.accepted(), 80);
    assert!(report.latency.max_us > 150_000, "{report:?}");
    let late = plan(
        lab.addr(),
        Pace::Open(4_000.0),
        Until::Elapsed(Duration::from_millis(100)),
    );
    let report = drive(late).await.unwrap();
    assert_eq!(report.sent + report.unsent, 400, "{report:?}");
    assert!(report.unsent > 200, "{report:?}");
}

#[tokio::test]
async fn the_proxy_forwards_to_every_target_and_counts_what_it_loses() {
    let receiver = Receiver::start(loopback()).await.unwrap();
    let gone = Receiver::start(loopback()).await.unwrap();
    let nobody = gone.addr();
    gone.stop().await;
    let target = |addr: SocketAddr| format!("http://{addr}/hook").parse().unwrap();
    let targets = vec![
        target(receiver.addr()),
        target(receiver.addr()),
        target(nobody),
    ];
    let proxy = Proxy::start(loopback(), targets, 16).await.unwrap();
    let report = drive(plan(proxy.addr(), Pace::Closed, Until::Count(500)))
        .await
        .unwrap();
    assert_eq!(report.statuses, [(202, 500)].into());
    let forwarded = proxy.stop().await;
    assert_eq!(
        (forwarded.accepted, forwarded.forwarded, forwarded.failed),
        (500, 1_000, 500)
    );
    let received = receiver.stop().await;
    assert_eq!(
        (received.answered, received.end_to_end.count),
        (1_000, 1_000)
    );
}

#[tokio::test]
async fn a_black_hole_takes_requests_and_answers_none() {
    let receiver = Receiver::start(loopback()).await.unwrap();
    let mut stream = TcpStream::connect(receiver.addr()).await.unwrap();
    stream
        .write_all(b"POST /black-hole/3 HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}")
        .await
        .unwrap();
    stream
        .write_all(b"POST /hook HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}")
        .await
        .unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    let received = receiver.received();
    assert_eq!((received.swallowed, received.answered), (1, 1));
}
