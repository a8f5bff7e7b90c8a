//! A listener with certificates of its own making, and clients that look at them.

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::service::service_fn;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::listen::{Limits, serve};

/// Longer than anything here takes; a test that reaches it has failed.
const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(80);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

struct Pems {
    dir: TempDir,
    files: TlsFiles,
}

fn signed() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["gateway.test".to_owned()]).unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

impl Pems {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = |name| dir.path().join(name);
        let files = TlsFiles {
            cert: file("cert.pem"),
            key: file("key.pem"),
        };
        let pems = Self { dir, files };
        pems.replace(&signed());
        pems
    }

    fn replace(&self, (cert, key): &(String, String)) {
        fs::write(&self.files.cert, cert).unwrap();
        fs::write(&self.files.key, key).unwrap();
    }

    fn look(&self) -> Look {
        look(&self.files, true)
    }
}

/// A listener that says hello, for as long as the sender lives.
async fn start(certificate: &Arc<Certificate>) -> (SocketAddr, tokio::sync::watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (running, shutdown) = tokio::sync::watch::channel(false);
    let limits = Limits {
        handshake: SHORT,
        ..Limits::default()
    };
    let service = |_| {
        service_fn(|_| async {
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("hello"))))
        })
    };
    tokio::spawn(serve(
        listener,
        Some(certificate.clone()),
        limits,
        service,
        shutdown,
    ));
    (at, running)
}

async fn greet(
    at: SocketAddr,
    trusted: &CertificateDer<'static>,
    versions: &[&'static rustls::SupportedProtocolVersion],
    protocols: &[&str],
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    let stream = TcpStream::connect(at).await?;
    let name = ServerName::try_from("gateway.test").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

async fn answer(stream: &mut TlsStream<TcpStream>) -> String {
    stream.write_all(REQUEST).await.unwrap();
    let mut all = Vec::new();
    timeout(LONG, stream.read_to_end(&mut all))
        .await
        .unwrap()
        .unwrap();
    String::from_utf8(all).unwrap()
}

#[tokio::test]
async fn a_request_over_tls_is_answered_in_both_versions_and_protocols_are_agreed() {
    let certificate = Certificate::open(&Pems::new().files, true).unwrap();
    let (at, _running) = start(&certificate).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut stream = greet(at, certificate.first(), &[version], &["http/1.1"])
            .await
            .unwrap();
        assert!(answer(&mut stream).await.ends_with("hello"));
        let stream = greet(at, certificate.first(), &[version], &["h2", "http/1.1"]).await;
        assert_eq!(
            stream.unwrap().get_ref().1.alpn_protocol(),
            Some(&b"h2"[..])
        );
    }
}

#[tokio::test]
async fn who_does_not_finish_the_handshake_is_cut_off() {
    let certificate = Certificate::open(&Pems::new().files, true).unwrap();
    let (at, _running) = start(&certificate).await;
    for sent in [&b""[..], b"\x16\x03\x01", REQUEST] {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(sent).await.unwrap();
        let mut all = Vec::new();
        // A reset is an end too.
        let _ = timeout(LONG, stream.read_to_end(&mut all))
            .await
            .expect("it stayed open");
        assert!(!String::from_utf8_lossy(&all).contains("hello"));
    }
}

#[tokio::test]
async fn new_files_are_shown_to_who_comes_after_and_bad_ones_to_nobody() {
    let pems = Pems::new();
    let certificate = Certificate::open(&pems.files, true).unwrap();
    let (at, _running) = start(&certificate).await;
    let both: &[_] = &[&rustls::version::TLS12, &rustls::version::TLS13];
    let is_shown = async |trusted: &CertificateDer<'static>| {
        greet(at, trusted, both, &["http/1.1"]).await.is_ok()
    };
    let old = certificate.first().clone();
    let seen = certificate.adopt(pems.look(), None);
    let next = signed();
    // Between the two writes the key does not fit.
    fs::write(&pems.files.cert, &next.0).unwrap();
    assert!(matches!(pems.look(), Err(CertificateError::Pair { .. })));
    let seen = certificate.adopt(pems.look(), Some(seen));
    assert!(matches!(seen, Seen::Bad(_)) && is_shown(&old).await);
    pems.replace(&next);
    let new = pems.look().unwrap().first;
    let seen = certificate.adopt(pems.look(), Some(seen));
    assert!(matches!(seen, Seen::Good(_)) && is_shown(&new).await && !is_shown(&old).await);
    fs::remove_file(&pems.files.key).unwrap();
    certificate.adopt(pems.look(), Some(seen));
    assert!(is_shown(&new).await);
}

#[test]
fn what_is_wrong_with_a_pair_is_told_without_a_byte_of_it() {
    let pems = Pems::new();
    let (cert, key) = signed();
    let other = signed();
    let large = "x".repeat(1024 * 1024 + 1);
    for (cert, key, words) in [
        ("", &*key, "cert.pem holds no usable certificate in PEM"),
        (&*cert, "", "key.pem holds no usable private key in PEM"),
        (&key, &key, "cert.pem holds no usable certificate in PEM"),
        (&cert, &cert, "key.pem holds no usable private key in PEM"),
        (&other.0, &key, "cannot be used together"),
        (&large, &key, "it is larger than 1048576 bytes"),
    ] {
        pems.replace(&(cert.to_owned(), key.to_owned()));
        let Err(error) = Certificate::open(&pems.files, true) else {
            panic!("it was taken: {words}");
        };
        let text = error.to_string();
        assert!(text.contains(words), "{text}");
        for line in key.lines().filter(|line| line.len() > 40) {
            assert!(!text.contains(line));
        }
    }
    let missing = TlsFiles {
        cert: pems.dir.path().join("none"),
        ..pems.files.clone()
    };
    assert!(matches!(
        Certificate::open(&missing, true),
        Err(CertificateError::Read { .. })
    ));
}
