//! Servers on loopback with certificates of every kind.

use std::collections::BTreeMap;
use std::fs;

use bytes::Bytes;
use http::{HeaderMap, Method};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PublicKeyData};
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use switchhook_core::endpoint::Endpoint;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::dispatch::guard::{Guard, Times};
use crate::dispatch::transport::lab::{LONG, Names, endpoint, read_request};
use crate::dispatch::transport::{Answer, Transport};
use crate::secrets::{Origin, Secrets};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A certificate with its key, and all that stand above it, its own first, the root last.
struct Made {
    key: KeyPair,
    params: CertificateParams,
    chain: Vec<CertificateDer<'static>>,
}

impl Made {
    fn root() -> Self {
        let (key, params) = (KeyPair::generate().unwrap(), authority());
        let chain = vec![params.self_signed(&key).unwrap().der().clone()];
        Self { key, params, chain }
    }

    fn signs(&self, params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        let own = params.signed_by(&key, &issuer).unwrap().der().clone();
        let chain = std::iter::once(own).chain(self.chain.clone()).collect();
        Self { key, params, chain }
    }

    fn signs_host(&self) -> Self {
        self.signs(CertificateParams::new(vec!["hook.test".to_owned()]).unwrap())
    }

    fn pin(&self) -> [u8; 32] {
        Sha256::digest(self.key.subject_public_key_info()).into()
    }

    fn own_pem(&self) -> Vec<u8> {
        let certificate = BASE64.encode(&self.chain[0]);
        format!("-----BEGIN CERTIFICATE-----\n{certificate}\n-----END CERTIFICATE-----\n").into()
    }

    fn key_pem(&self) -> Vec<u8> {
        self.key.serialize_pem().into()
    }

    fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.serialize_der()).unwrap()
    }
}

fn authority() -> CertificateParams {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Authorities are told apart by name when a chain is built.
    let name = KeyPair::generate().unwrap().subject_public_key_info();
    let name = data_encoding::HEXLOWER.encode(&Sha256::digest(name));
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    params
}

/// What a server saw of one request: the number of its connection, and the client's certificate.
type Seen = (usize, Option<CertificateDer<'static>>);

/// A server for `hook.test` that sends this chain; with `clients`, only to clients that this root has signed.
async fn serve(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    clients: Option<&Made>,
) -> (u16, mpsc::UnboundedReceiver<Seen>) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(root) => {
            let mut roots = RootCertStore::empty();
            roots.add(root.chain[0].clone()).unwrap();
            let roots = Arc::new(roots);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let config = builder.with_single_cert(chain, key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(play(acceptor.clone(), stream, number, sender.clone()));
        }
    });
    (port, seen)
}

async fn play(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    number: usize,
    seen: mpsc::UnboundedSender<Seen>,
) {
    let mut stream = match acceptor.accept(stream).into_fallible().await {
        Ok(stream) => stream,
        Err((_, mut stream)) => {
            // Read on, so that the alert arrives and is not lost in a reset.
            let _ = stream.read_to_end(&mut Vec::new()).await;
            return;
        }
    };
    while read_request(&mut stream).await.is_some() {
        let certificates = stream.get_ref().1.peer_certificates();
        let client = certificates.map(|chain| chain[0].clone().into_owned());
        let _ = seen.send((number, client));
        let _ = stream.write_all(OK.as_bytes()).await;
    }
}

/// Sends to servers on loopback by the name `hook.test`; trusts `root` as if the machine did.
struct Client {
    transport: Arc<Transport>,
    dir: TempDir,
}

impl Client {
    fn new(root: Option<&Made>, secrets: &[(&str, &[u8])]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let origin = |name: &str| (name.into(), Origin::File(dir.path().join(name)));
        let origins = secrets.iter().map(|(name, _)| origin(name));
        let origins: BTreeMap<Arc<str>, Origin> = origins.collect();
        let trusted: Vec<_> = root.iter().map(|root| root.chain[0].clone()).collect();
        let guard = Guard::new(
            Names::of(&[("hook.test", &[&["127.0.0.1"]])]),
            Arc::new(Trust::of_system(&trusted).unwrap()),
            Arc::default(),
            Times::default(),
        );
        let secrets_now = Arc::new(Secrets::new(origins, |_| None));
        let client = Self {
            transport: Transport::new(guard, secrets_now),
            dir,
        };
        for (name, value) in secrets {
            client.write(name, value);
        }
        client
    }

    fn write(&self, name: &str, value: &[u8]) {
        fs::write(self.dir.path().join(name), value).unwrap();
    }

    async fn send(&self, port: u16, tls: &Tls) -> Result<Answer, Fault> {
        let endpoint = Arc::new(Endpoint {
            tls: tls.clone(),
            ..endpoint(&format!("https://hook.test:{port}/"), &["127.0.0.0/8"])
        });
        let (headers, body) = (HeaderMap::new(), Bytes::from_static(b"{}"));
        let late = Instant::now() + LONG;
        let sent = self
            .transport
            .send(&endpoint, Method::POST, headers, body, late);
        timeout(LONG, sent).await.unwrap()
    }
}

fn named(name: &str) -> SecretRef {
    SecretRef::Named(name.into())
}

fn pins(pins: &[[u8; 32]]) -> Tls {
    Tls {
        pins: pins.to_vec(),
        ..Tls::default()
    }
}

fn client_certificate() -> Tls {
    Tls {
        client: Some((named("chain"), named("key"))),
        ..Tls::default()
    }
}

fn refused(result: Result<Answer, Fault>) -> Fault {
    let fault = result.unwrap_err();
    assert_eq!(fault.failure, Failure::Tls, "{fault}");
    fault
}

#[tokio::test]
async fn an_authority_of_its_own_replaces_those_of_the_machine() {
    let (machines, own) = (Made::root(), Made::root());
    let client = Client::new(Some(&machines), &[("ca", &own.own_pem())]);
    let with_ca = Tls {
        ca: Some(named("ca")),
        ..Tls::default()
    };
    for (root, tls, is_taken) in [
        (&own, &with_ca, true),
        (&machines, &with_ca, false),
        (&machines, &Tls::default(), true),
        (&own, &Tls::default(), false),
    ] {
        let leaf = root.signs_host();
        let (port, _seen) = serve(leaf.chain.clone(), leaf.key_der(), None).await;
        let result = client.send(port, tls).await;
        if is_taken {
            assert_eq!(result.unwrap().status.as_u16(), 200);
        } else {
            let fault = refused(result);
            assert!(fault.text.contains("UnknownIssuer"), "{fault}");
        }
    }
}

#[tokio::test]
async fn a_server_that_wants_a_client_certificate_gets_it() {
    let (root, clients) = (Made::root(), Made::root());
    let leaf = root.signs_host();
    let (port, mut seen) = serve(leaf.chain.clone(), leaf.key_der(), Some(&clients)).await;
    let us = clients.signs(CertificateParams::new(vec!["us".to_owned()]).unwrap());
    let pem = [("chain", &*us.own_pem()), ("key", &*us.key_pem())];
    let client = Client::new(Some(&root), &pem);
    refused(client.send(port, &Tls::default()).await);
    assert!(seen.try_recv().is_err());
    let answer = client.send(port, &client_certificate()).await.unwrap();
    assert_eq!(answer.status.as_u16(), 200);
    let (_, shown) = seen.recv().await.unwrap();
    assert_eq!(shown.as_ref(), us.chain.first());
    let stranger = Made::root().signs(CertificateParams::new(vec!["us".to_owned()]).unwrap());
    client.write("chain", &stranger.own_pem());
    client.write("key", &stranger.key_pem());
    refused(client.send(port, &client_certificate()).await);
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_on_a_new_connection() {
    let (root, clients) = (Made::root(), Made::root());
    let leaf = root.signs_host();
    let (port, mut seen) = serve(leaf.chain.clone(), leaf.key_der(), Some(&clients)).await;
    let us = || clients.signs(CertificateParams::new(vec!["us".to_owned()]).unwrap());
    let (old, new) = (us(), us());
    let pem = [("chain", &*old.own_pem()), ("key", &*old.key_pem())];
    let client = Client::new(Some(&root), &pem);
    for connection in [0, 0] {
        client.send(port, &client_certificate()).await.unwrap();
        let expected = (connection, old.chain.first().cloned());
        assert_eq!(seen.recv().await.unwrap(), expected);
    }
    client.write("chain", &new.own_pem());
    client.write("key", &new.key_pem());
    for connection in [1, 1] {
        client.send(port, &client_certificate()).await.unwrap();
        let expected = (connection, new.chain.first().cloned());
        assert_eq!(seen.recv().await.unwrap(), expected);
    }
}

#[tokio::test]
async fn any_key_that_the_certificate_chains_to_may_be_pinned() {
    let root = Made::root();
    let between = root.signs(authority());
    let leaf = between.signs_host();
    // As servers should: without the root.
    let (port, _seen) = serve(leaf.chain[..2].to_vec(), leaf.key_der(), None).await;
    let client = Client::new(Some(&root), &[]);
    for pinned in [&leaf, &between, &root] {
        let pins = pins(&[[7; 32], pinned.pin()]);
        assert_eq!(client.send(port, &pins).await.unwrap().status.as_u16(), 200);
    }
    let fault = refused(client.send(port, &pins(&[[7; 32]])).await);
    let own = format!("sha256/{}", BASE64.encode(&leaf.pin()));
    assert!(
        fault.text.contains("no key of its chain is pinned"),
        "{fault}"
    );
    assert!(fault.text.contains(&own), "{fault}");
}

#[tokio::test]
async fn a_pin_is_no_substitute_for_a_valid_certificate() {
    let (root, other) = (Made::root(), Made::root());
    let client = Client::new(Some(&root), &[]);
    let not_trusted = other.signs_host();
    let not_the_host = root.signs(CertificateParams::new(vec!["a.test".to_owned()]).unwrap());
    for leaf in [not_trusted, not_the_host] {
        let (port, _seen) = serve(leaf.chain.clone(), leaf.key_der(), None).await;
        let fault = refused(client.send(port, &pins(&[leaf.pin()])).await);
        assert!(!fault.text.contains("is pinned"), "{fault}");
    }
}

#[tokio::test]
async fn a_pinned_certificate_that_is_merely_sent_along_does_not_count() {
    let root = Made::root();
    let (pinned, leaf) = (root.signs(authority()), root.signs_host());
    let chain = vec![leaf.chain[0].clone(), pinned.chain[0].clone()];
    let (port, _seen) = serve(chain, leaf.key_der(), None).await;
    let client = Client::new(Some(&root), &[]);
    let fault = refused(client.send(port, &pins(&[pinned.pin()])).await);
    assert!(
        fault.text.contains("no key of its chain is pinned"),
        "{fault}"
    );
}

#[test]
fn what_is_wrong_with_a_pem_text_is_told_by_the_name_of_its_secret() {
    let (root, other) = (Made::root(), Made::root());
    let us = root.signs(CertificateParams::new(vec!["us".to_owned()]).unwrap());
    let trust = Trust::of_system(&[]).unwrap();
    let broken = b"-----BEGIN CERTIFICATE-----\nTOPSECRET\n".to_vec();
    let no_certificate =
        b"-----BEGIN CERTIFICATE-----\nVE9QU0VDUkVU\n-----END CERTIFICATE-----\n".to_vec();
    let not_pem = b"TOPSECRET".to_vec();
    let (ca, chain, key) = (root.own_pem(), us.own_pem(), us.key_pem());
    let no_ca = "secret `ca` holds no usable certificate in PEM";
    let no_chain = "secret `chain` holds no usable certificate in PEM";
    let no_key = "secret `key` holds no usable private key in PEM";
    let no_pair = "secret `chain` and secret `key` cannot be used together";
    for (ca, chain, key, says) in [
        (&not_pem, &chain, &key, no_ca),
        (&broken, &chain, &key, no_ca),
        (&no_certificate, &chain, &key, no_ca),
        (&ca, &broken, &key, no_chain),
        (&ca, &chain, &not_pem, no_key),
        (&ca, &chain, &other.key_pem(), no_pair),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut origins = BTreeMap::new();
        for (name, value) in [("ca", ca), ("chain", chain), ("key", key)] {
            let path = dir.path().join(name);
            fs::write(&path, value).unwrap();
            origins.insert(name.into(), Origin::File(path));
        }
        let tls = Tls {
            ca: Some(named("ca")),
            ..client_certificate()
        };
        let terms = Terms::read(&tls, &Secrets::new(origins, |_| None)).unwrap();
        let fault = trust.config(terms.as_ref()).unwrap_err();
        assert_eq!(fault.failure, Failure::Secret, "{fault}");
        assert!(fault.text.contains(says), "{fault}");
        let shows = |part| fault.text.contains(part);
        assert!(!shows("TOPSECRET") && !shows("VE9Q"), "{fault}");
    }
    let missing = Terms::read(
        &client_certificate(),
        &Secrets::new(BTreeMap::new(), |_| None),
    );
    let fault = missing.err().unwrap();
    assert_eq!(fault.failure, Failure::Secret);
    assert_eq!(fault.text, "secret `chain` is not configured");
}
