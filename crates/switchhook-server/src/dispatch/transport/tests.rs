//! Hostile and ordinary endpoints on loopback.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::lab::{Act, LONG, Lab, Names, endpoint, guard, no_secrets, read_request, transport};
use super::*;
use crate::dispatch::guard::{Steps, Times};
use crate::dispatch::tls::Trust;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const LOOPBACK: &[&str] = &["127.0.0.0/8"];

async fn send_within(
    transport: &Transport,
    endpoint: &Arc<Endpoint>,
    time: Duration,
) -> Result<Answer, Fault> {
    let body = Bytes::from_static(b"{}");
    let sending = transport.send(
        endpoint,
        Method::POST,
        HeaderMap::new(),
        body,
        Instant::now() + time,
    );
    timeout(LONG, sending)
        .await
        .expect("the deadline was not kept")
}

async fn send(transport: &Transport, endpoint: &Arc<Endpoint>) -> Result<Answer, Fault> {
    send_within(transport, endpoint, LONG).await
}

/// Sends once to an endpoint that acts like this.
async fn send_to(act: Act) -> Result<Answer, Fault> {
    let lab = Lab::start(act).await;
    let fast = matches!(act, Act::Hang(_));
    let time = if fast {
        Duration::from_millis(100)
    } else {
        LONG
    };
    send_within(
        &transport(),
        &Arc::new(endpoint(&lab.url(), LOOPBACK)),
        time,
    )
    .await
}

#[tokio::test]
async fn a_request_is_written_as_it_should_be_and_its_answer_read() {
    let mut lab = Lab::start(Act::Answer(OK)).await;
    let answer = send(&transport(), &Arc::new(endpoint(&lab.url(), LOOPBACK)))
        .await
        .unwrap();
    assert_eq!(
        (answer.status.as_u16(), answer.version, &answer.excerpt[..]),
        (200, Version::HTTP_11, &b"ok"[..])
    );
    let (_, request) = lab.requests.recv().await.unwrap();
    let expected = format!(
        "POST /hook?a=b HTTP/1.1\r\nhost: {}\r\ncontent-length: 2\r\n\r\n{{}}",
        lab.at
    );
    assert_eq!(request, expected);
}

#[tokio::test]
async fn every_way_to_fail_has_its_kind() {
    for (act, failure) in [
        (Act::Hang(""), Failure::Timeout),
        (
            Act::Hang("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok"),
            Failure::Timeout,
        ),
        (Act::AnswerAndClose(""), Failure::Reset),
        (
            Act::AnswerAndClose("HTTP/1.1 200 OK\r\ncontent-le"),
            Failure::Reset,
        ),
        (
            Act::AnswerAndClose("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok"),
            Failure::Reset,
        ),
        (
            Act::AnswerAndClose("SSH-2.0-OpenSSH\r\n\r\n"),
            Failure::Protocol,
        ),
        (
            Act::Answer("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n"),
            Failure::Protocol,
        ),
        (
            Act::Endless(
                "HTTP/1.1 200 OK\r\n",
                "x-more: 0123456789012345678901234567890123456789\r\n",
            ),
            Failure::Protocol,
        ),
        (
            Act::Endless(
                "HTTP/1.1 200 OK\r\nx: ",
                "01234567890123456789012345678901234567890123456789",
            ),
            Failure::Protocol,
        ),
    ] {
        let fault = send_to(act).await.unwrap_err();
        assert_eq!(fault.failure, failure, "{fault}");
        assert!(fault.text.contains("127.0.0.1"), "{fault}");
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let mut lab = Lab::start(Act::Answer(
        "HTTP/1.1 302 Found\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n",
    ))
    .await;
    let answer = send(&transport(), &Arc::new(endpoint(&lab.url(), LOOPBACK)))
        .await
        .unwrap();
    assert_eq!(answer.status.as_u16(), 302);
    assert!(lab.requests.try_recv().is_ok() && lab.requests.try_recv().is_err());
}

#[tokio::test]
async fn informational_answers_are_passed_over() {
    let answer = send_to(Act::Answer(
        "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    ))
    .await;
    assert_eq!(answer.unwrap().status.as_u16(), 204);
}

#[tokio::test]
async fn of_an_endless_answer_the_status_counts_and_the_start_is_kept() {
    let mut lab = Lab::start(Act::Endless(
        "HTTP/1.1 500 Oh\r\ntransfer-encoding: chunked\r\n\r\n",
        "10\r\n0123456789abcdef\r\n",
    ))
    .await;
    let (transport, endpoint) = (transport(), Arc::new(endpoint(&lab.url(), LOOPBACK)));
    for connection in 0..2 {
        let answer = send(&transport, &endpoint).await.unwrap();
        assert_eq!(
            (answer.status.as_u16(), answer.excerpt.len()),
            (500, EXCERPT_BYTES_MAX)
        );
        assert_eq!(
            lab.requests.recv().await.unwrap().0,
            connection,
            "its connection is not used again"
        );
    }
}

#[tokio::test]
async fn a_connection_is_kept_for_its_own_endpoint_only() {
    let mut lab = Lab::start(Act::Answer(OK)).await;
    let transport = transport();
    let one = Arc::new(endpoint(&lab.url(), LOOPBACK));
    for _ in 0..2 {
        send(&transport, &one).await.unwrap();
        assert_eq!(lab.requests.recv().await.unwrap().0, 0);
    }
    let other = Arc::new(Endpoint {
        name: "other".into(),
        ..endpoint(&lab.url(), LOOPBACK)
    });
    send(&transport, &other).await.unwrap();
    assert_eq!(lab.requests.recv().await.unwrap().0, 1);
    let the_same_in_a_new_plan = Arc::new(endpoint(&lab.url(), LOOPBACK));
    send(&transport, &the_same_in_a_new_plan).await.unwrap();
    assert_eq!(lab.requests.recv().await.unwrap().0, 0);
    let stricter = Arc::new(endpoint(&lab.url(), &["10.0.0.0/8"]));
    assert_eq!(
        send(&transport, &stricter).await.unwrap_err().failure,
        Failure::Blocked
    );
}

#[tokio::test]
async fn a_kept_connection_that_died_is_replaced_without_a_failure() {
    let mut lab = Lab::start(Act::AnswerAndClose(OK)).await;
    let (transport, endpoint) = (transport(), Arc::new(endpoint(&lab.url(), LOOPBACK)));
    for connection in 0..2 {
        send(&transport, &endpoint).await.unwrap();
        assert_eq!(lab.requests.recv().await.unwrap().0, connection);
        let channel = transport.channel(&endpoint).unwrap();
        let all_closed = async {
            while channel
                .idle()
                .iter()
                .any(|idle| !idle.connection.is_closed())
            {
                tokio::task::yield_now().await;
            }
        };
        timeout(LONG, all_closed).await.unwrap();
    }
}

#[tokio::test]
async fn idle_connections_and_unused_channels_are_let_go() {
    let lab = Lab::start(Act::Answer(OK)).await;
    let (transport, endpoint) = (transport(), Arc::new(endpoint(&lab.url(), LOOPBACK)));
    send(&transport, &endpoint).await.unwrap();
    transport.sweep(Instant::now() + IDLE_MAX / 2);
    assert_eq!(transport.channels.read().unwrap().len(), 1);
    transport.sweep(Instant::now() + IDLE_MAX);
    assert!(transport.channels.read().unwrap().is_empty());
}

#[tokio::test]
async fn blocked_and_refused_look_the_same_in_words() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    let refused = send(
        &transport(),
        &Arc::new(endpoint(&format!("https://{closed}/"), LOOPBACK)),
    )
    .await
    .unwrap_err();
    let blocked = send(
        &transport(),
        &Arc::new(endpoint(&format!("https://{closed}/"), &[])),
    )
    .await
    .unwrap_err();
    let plain = send(
        &transport(),
        &Arc::new(endpoint(&format!("http://{closed}/"), &[])),
    )
    .await
    .unwrap_err();
    assert_eq!(
        [refused.failure, blocked.failure, plain.failure],
        [Failure::Connect, Failure::Blocked, Failure::Blocked]
    );
    assert_eq!([&refused.text, &plain.text], [&blocked.text; 2]);
}

#[tokio::test]
async fn every_address_of_a_name_is_judged_at_every_connection() {
    let lab = Lab::start(Act::AnswerAndClose(OK)).await;
    let names = Names::of(&[
        (
            "mixed.test",
            &[&["10.0.0.1", "169.254.169.254", "::1", "127.0.0.1"]],
        ),
        ("inside.test", &[&["10.0.0.1", "::ffff:169.254.169.254"]]),
        ("rebinding.test", &[&["127.0.0.1"], &["10.0.0.1"]]),
        ("nothing.test", &[&[]]),
        ("slow.test", &[&["never"]]),
    ]);
    let transport = Transport::new(guard(names, vec![]), no_secrets());
    let to = |host: &str| {
        let url = format!("http://{host}:{}/", lab.at.port());
        Arc::new(Endpoint {
            name: host.into(),
            ..endpoint(&url, LOOPBACK)
        })
    };
    assert_eq!(
        send(&transport, &to("mixed.test"))
            .await
            .unwrap()
            .status
            .as_u16(),
        200
    );
    for (host, failure) in [
        ("inside.test", Failure::Blocked),
        ("nothing.test", Failure::Dns),
        ("slow.test", Failure::Dns),
        ("unknown.test", Failure::Dns),
    ] {
        assert_eq!(
            send(&transport, &to(host)).await.unwrap_err().failure,
            failure,
            "{host}"
        );
    }
    assert!(send(&transport, &to("rebinding.test")).await.is_ok());
    assert_eq!(
        send(&transport, &to("rebinding.test"))
            .await
            .unwrap_err()
            .failure,
        Failure::Blocked
    );
}

#[tokio::test]
async fn the_gateways_own_listener_is_refused_unless_named() {
    let lab = Lab::start(Act::Answer(OK)).await;
    let any = std::net::SocketAddr::from(([0, 0, 0, 0], lab.at.port()));
    for own in [lab.at, any] {
        let transport = Transport::new(guard(Arc::default(), vec![own]), no_secrets());
        let wide = Arc::new(endpoint(&lab.url(), LOOPBACK));
        assert_eq!(
            send(&transport, &wide).await.unwrap_err().failure,
            Failure::Blocked
        );
        let named = Arc::new(endpoint(&lab.url(), &["127.0.0.1/32"]));
        assert!(send(&transport, &named).await.is_ok());
    }
}

/// A root certificate, and a listener on loopback with a certificate for `host` that is valid from `years.0` to `years.1`.
async fn tls_lab(host: &str, years: (i32, i32)) -> (CertificateDer<'static>, u16) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(vec![]).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = ca.self_signed(&ca_key).unwrap().der().clone();
    let key = KeyPair::generate().unwrap();
    let mut leaf = CertificateParams::new(vec![host.to_owned()]).unwrap();
    leaf.not_before = date_time_ymd(years.0, 1, 1);
    leaf.not_after = date_time_ymd(years.1, 1, 1);
    let leaf = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            while read_request(&mut stream).await.is_some() {
                stream.write_all(OK.as_bytes()).await.unwrap();
            }
        }
    });
    (root, port)
}

#[tokio::test]
async fn only_a_certificate_that_is_trusted_in_date_and_of_the_host_is_taken() {
    for (host, years, trusted, says) in [
        ("hook.test", (2020, 2100), true, None),
        ("hook.test", (2020, 2021), true, Some("expired")),
        ("hook.test", (2099, 2100), true, Some("not valid yet")),
        ("hook.test", (2020, 2100), false, Some("UnknownIssuer")),
        ("other.test", (2020, 2100), true, Some("not valid for name")),
    ] {
        let (root, port) = tls_lab(host, years).await;
        let tls = Trust::of_system(if trusted {
            std::slice::from_ref(&root)
        } else {
            &[]
        })
        .unwrap();
        let names = Names::of(&[("hook.test", &[&["127.0.0.1"]])]);
        let guard = Guard::new(names, Arc::new(tls), Arc::default(), Times::default());
        let transport = Transport::new(guard, no_secrets());
        let result = send(
            &transport,
            &Arc::new(endpoint(&format!("https://hook.test:{port}/"), LOOPBACK)),
        )
        .await;
        match says {
            None => assert_eq!(result.unwrap().status.as_u16(), 200),
            Some(says) => {
                let fault = result.unwrap_err();
                assert_eq!(fault.failure, Failure::Tls, "{fault}");
                assert!(fault.text.contains(says), "{fault}");
            }
        }
    }
}

async fn probe(transport: &Transport, endpoint: &Arc<Endpoint>) -> Probed {
    let deadline = Instant::now() + LONG;
    transport
        .probe(endpoint, Method::HEAD, HeaderMap::new(), deadline)
        .await
}

#[tokio::test]
async fn a_probe_tells_the_time_of_every_step_to_an_endpoint_with_tls() {
    let (root, port) = tls_lab("hook.test", (2020, 2100)).await;
    // The first address is refused by the guard: the second takes the connection.
    let names = Names::of(&[("hook.test", &[&["10.0.0.1", "127.0.0.1"]])]);
    let tls = Arc::new(Trust::of_system(&[root]).unwrap());
    let guard = Guard::new(names, tls, Arc::default(), Times::default());
    let transport = Transport::new(guard, no_secrets());
    let endpoint = Arc::new(endpoint(&format!("https://hook.test:{port}/"), LOOPBACK));
    let Probed {
        steps,
        first_byte,
        result,
    } = probe(&transport, &endpoint).await;
    assert_eq!(result.unwrap().as_u16(), 200);
    assert_eq!(
        (steps.addresses, steps.tls_version),
        (Some(2), Some("TLSv1.3"))
    );
    assert_eq!(steps.address, Some(([127, 0, 0, 1], port).into()));
    assert!(steps.dns.is_some() && steps.connect.is_some() && steps.tls.is_some());
    assert!(first_byte.is_some());
}

#[tokio::test]
async fn a_probe_has_a_connection_of_its_own_and_leaves_none() {
    let mut lab = Lab::start(Act::Answer(OK)).await;
    let (transport, endpoint) = (transport(), Arc::new(endpoint(&lab.url(), LOOPBACK)));
    send(&transport, &endpoint).await.unwrap();
    let probed = probe(&transport, &endpoint).await;
    assert!(
        probed.steps.connect.is_some() && probed.steps.dns.is_none() && probed.steps.tls.is_none()
    );
    send(&transport, &endpoint).await.unwrap();
    let mut connections = Vec::new();
    for _ in 0..3 {
        connections.push(lab.requests.recv().await.unwrap().0);
    }
    assert_eq!(connections, [0, 1, 0]);
}

#[tokio::test]
async fn a_probe_reports_how_far_it_got() {
    let names = Names::of(&[("hook.test", &[&["10.0.0.1"]])]);
    let transport = Transport::new(guard(names, vec![]), no_secrets());
    let url = "https://hook.test/";
    let probed = probe(&transport, &Arc::new(endpoint(url, &[]))).await;
    assert_eq!(probed.result.unwrap_err().failure, Failure::Blocked);
    assert!(probed.steps.dns.is_some() && probed.first_byte.is_none());
    assert_eq!(
        (probed.steps.addresses, probed.steps.connect),
        (Some(1), None)
    );
    let nowhere = Arc::new(endpoint("https://nowhere.test/", &[]));
    let probed = probe(&transport, &nowhere).await;
    assert_eq!(probed.result.unwrap_err().failure, Failure::Dns);
    assert_eq!(probed.steps, Steps::default());
}

#[tokio::test]
async fn an_endpoint_that_does_not_speak_tls_is_a_tls_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(OK.as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
    });
    let fault = send(&transport(), &Arc::new(endpoint(&url, LOOPBACK)))
        .await
        .unwrap_err();
    assert_eq!(fault.failure, Failure::Tls, "{fault}");
}
