//! TLS to endpoints: whom to trust, which keys must be there, and which certificate we show.
//!
//! An endpoint without settings of its own shares one configuration. One with settings has its own, made of the PEM
//! texts as its secrets hold them now ([`Terms`]). Whoever keeps connections compares the terms: other bytes mean another
//! identity, and then neither a connection nor a resumed session of the old one may serve.
//!
//! * TLS 1.2 or later. The verification cannot be switched off (SEC-15): a pin is asked for besides it, never instead.
//! * `ca` replaces the certificates that the machine trusts.
//! * A pin holds for a key that the server's certificate chains to, not for any that the server cares to send: whoever
//!   has a valid certificate could send a pinned one along, which is public. So the chain is verified once more with
//!   nothing but the pinned keys as anchors.
//! * What is wrong with a PEM text is told by the name of its secret. No error has a byte of it.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use data_encoding::BASE64;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};
use switchhook_core::delivery::Failure;
use switchhook_core::endpoint::Tls;
use switchhook_core::secret::{Lookup, Secret, SecretRef};

use super::guard::Fault;

/// Certificates of one PEM text that are looked at: more than any chain or list of own authorities has.
const CERTIFICATES_MAX: usize = 256;

/// What all endpoints have in common.
pub struct Trust {
    provider: Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    usual: Arc<ClientConfig>,
}

impl Trust {
    /// The certificates that the machine trusts, and `more` besides.
    ///
    /// # Errors
    /// When a certificate in `more` is no certificate.
    pub fn of_system(more: &[CertificateDer<'static>]) -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore::empty();
        let native = rustls_native_certs::load_native_certs();
        for error in &native.errors {
            tracing::warn!(%error, "trusted certificates of this machine could not be read");
        }
        roots.add_parsable_certificates(native.certs);
        for certificate in more {
            roots.add(certificate.clone())?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let roots = Arc::new(roots);
        let usual = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(Arc::clone(&roots))
            .with_no_client_auth();
        Ok(Self {
            provider,
            roots,
            usual: Arc::new(speaking_http1(usual)),
        })
    }

    /// The configuration for `terms`; without any, the one that is shared.
    ///
    /// # Errors
    /// When a PEM text is none, or certificate and key do not belong together.
    pub(super) fn config(&self, terms: Option<&Terms>) -> Result<Arc<ClientConfig>, Fault> {
        let Some(terms) = terms else {
            return Ok(Arc::clone(&self.usual));
        };
        let roots = match &terms.ca {
            Some(ca) => Arc::new(ca.roots()?),
            None => Arc::clone(&self.roots),
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(&error))?;
        let builder = if terms.pins.is_empty() {
            builder.with_root_certificates(roots)
        } else {
            let verifier = Pinned::new(roots, &self.provider, &terms.pins)?;
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier))
        };
        let config = match &terms.client {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder
                .with_client_auth_cert(chain.certificates()?, key.private_key()?)
                .map_err(|error| {
                    let (chain, key) = (&chain.called, &key.called);
                    let text = format!("{chain} and {key} cannot be used together: {error}");
                    Fault::new(Failure::Secret, text)
                })?,
        };
        Ok(Arc::new(speaking_http1(config)))
    }
}

fn speaking_http1(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

fn unusable(error: &dyn std::fmt::Display) -> Fault {
    Fault::new(Failure::Tls, format!("TLS cannot be set up: {error}"))
}

/// What an endpoint asks of TLS, with its secrets as they were when it was read. Equal terms, equal identity.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Terms {
    ca: Option<Pem>,
    client: Option<(Pem, Pem)>,
    pins: Vec<[u8; 32]>,
}

impl Terms {
    /// Reads the secrets of `tls`; `None` when it asks for nothing.
    ///
    /// # Errors
    /// When a secret is not to be had.
    pub(super) fn read(tls: &Tls, secrets: &dyn Lookup) -> Result<Option<Self>, Fault> {
        let Tls { ca, client, pins } = tls;
        if ca.is_none() && client.is_none() && pins.is_empty() {
            return Ok(None);
        }
        let read = |of: &SecretRef, what: &str| Pem::read(of, what, secrets);
        let client = client.as_ref().map(|(chain, key)| {
            Ok((
                read(chain, "the client certificate")?,
                read(key, "the client key")?,
            ))
        });
        Ok(Some(Self {
            ca: ca.as_ref().map(|ca| read(ca, "`ca`")).transpose()?,
            client: client.transpose()?,
            pins: pins.clone(),
        }))
    }
}

/// A PEM text and what people call it.
#[derive(Clone)]
struct Pem {
    called: String,
    text: Secret,
}

impl PartialEq for Pem {
    fn eq(&self, other: &Self) -> bool {
        self.text.expose() == other.text.expose()
    }
}

impl Eq for Pem {}

impl Pem {
    fn read(of: &SecretRef, what: &str, secrets: &dyn Lookup) -> Result<Self, Fault> {
        let text = of.resolve(secrets).map_err(Fault::of_secret)?;
        let called = match of.name() {
            Some(name) => format!("secret `{name}`"),
            None => what.to_owned(),
        };
        Ok(Self { called, text })
    }

    /// Errors of the parser may quote the text, so they are not shown.
    fn holds_no(&self, what: &str) -> Fault {
        let text = format!("{} holds no usable {what} in PEM", self.called);
        Fault::new(Failure::Secret, text)
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, Fault> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(self.text.expose())
            .take(CERTIFICATES_MAX)
            .collect();
        found
            .ok()
            .filter(|found| !found.is_empty())
            .ok_or_else(|| self.holds_no("certificate"))
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, Fault> {
        PrivateKeyDer::from_pem_slice(self.text.expose()).map_err(|_| self.holds_no("private key"))
    }

    fn roots(&self) -> Result<RootCertStore, Fault> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates()? {
            roots
                .add(certificate)
                .map_err(|_| self.holds_no("certificate"))?;
        }
        Ok(roots)
    }
}

/// The usual verification, and after it the question whether a pinned key is in the chain.
#[derive(Debug)]
struct Pinned {
    usual: Arc<WebPkiServerVerifier>,
    provider: Arc<CryptoProvider>,
    pins: Vec<[u8; 32]>,
    /// The trusted roots whose key is pinned.
    roots: RootCertStore,
}

impl Pinned {
    fn new(
        trusted: Arc<RootCertStore>,
        provider: &Arc<CryptoProvider>,
        pins: &[[u8; 32]],
    ) -> Result<Self, Fault> {
        let is_pinned = |root: &&TrustAnchor<'_>| pins.contains(&key_of_anchor(root));
        let pinned = trusted.roots.iter().filter(is_pinned).cloned().collect();
        let usual = WebPkiServerVerifier::builder_with_provider(trusted, Arc::clone(provider))
            .build()
            .map_err(|error| unusable(&error))?;
        Ok(Self {
            usual,
            provider: Arc::clone(provider),
            pins: pins.to_vec(),
            roots: RootCertStore { roots: pinned },
        })
    }

    /// Everything with a pinned key that a chain may end in.
    fn anchors(&self, sent: &[CertificateDer<'_>]) -> RootCertStore {
        let mut anchors = self.roots.clone();
        for certificate in sent {
            let mut one = RootCertStore::empty();
            // What is no certificate was of no use to the usual verification either.
            let _no_certificate = one.add(certificate.clone());
            one.roots
                .retain(|anchor| self.pins.contains(&key_of_anchor(anchor)));
            anchors.extend(one.roots);
        }
        anchors
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verify = |verifier: &WebPkiServerVerifier| {
            verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        };
        let verified = verify(&self.usual)?;
        let key = ParsedCertificate::try_from(end_entity)?.subject_public_key_info();
        let key: [u8; 32] = Sha256::digest(key.as_ref()).into();
        if self.pins.contains(&key) {
            return Ok(verified);
        }
        let anchors = Arc::new(self.anchors(intermediates));
        let provider = Arc::clone(&self.provider);
        // Without anchors there is no verifier to build, and nothing that could hold.
        WebPkiServerVerifier::builder_with_provider(anchors, provider)
            .build()
            .ok()
            .and_then(|verifier| verify(&verifier).ok())
            .ok_or_else(|| rustls::Error::Other(OtherError(Arc::new(NotPinned(key)))))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

/// The chain is good, but not the one that was asked for.
#[derive(Debug, thiserror::Error)]
#[error("its certificate is valid, but no key of its chain is pinned; its own is sha256/{}", BASE64.encode(.0))]
struct NotPinned([u8; 32]);

/// The hash of the key that an anchor stands for. It keeps only what is inside the SPKI's outer frame.
fn key_of_anchor(anchor: &TrustAnchor<'_>) -> [u8; 32] {
    let inner = anchor.subject_public_key_info.as_ref();
    let [.., high, low] = inner.len().to_be_bytes();
    // DER: SEQUENCE, then the length in the shortest form. No key has more than 64 KiB.
    let frame: &[u8] = match inner.len() {
        0..0x80 => &[0x30, low],
        0x80..0x100 => &[0x30, 0x81, low],
        _ => &[0x30, 0x82, high, low],
    };
    Sha256::new_with_prefix(frame)
        .chain_update(inner)
        .finalize()
        .into()
}

/// What a failed handshake says, in words.
pub(super) fn reason(error: &std::io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(rustls::Error::Other(other)) => other.to_string(),
        _ => error.to_string(),
    }
}
