//! Whom a client of a gateway trusts, and how it connects.
//!
//! TLS 1.2 or later. The certificates of this machine, or those of a file that a person named instead; the gateway that asks
//! itself whether it is ready knows the one certificate that it shows. The verification cannot be switched off.

use std::sync::Arc;
use std::time::Duration;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// Certificates of a file that are looked at.
const CERTIFICATES_MAX: usize = 256;

/// Whom to trust.
#[derive(Debug, Clone, Default)]
pub(crate) enum Trust {
    /// The authorities that this machine trusts.
    #[default]
    Machine,
    /// Those in this PEM text, and no others.
    Pem(String),
    /// Who has the key of this certificate, whatever name it is for.
    Only(CertificateDer<'static>),
}

/// What connects to a gateway; it speaks TLS if `is_secure`.
///
/// # Errors
/// When there is nobody to trust, in words.
pub(super) fn connector(
    trust: &Trust,
    is_secure: bool,
) -> Result<HttpsConnector<HttpConnector>, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let config = match trust {
        Trust::Only(certificate) => {
            let only = Only {
                certificate: certificate.clone(),
                provider,
            };
            let dangerous = builder.dangerous();
            dangerous.with_custom_certificate_verifier(Arc::new(only))
        }
        Trust::Machine | Trust::Pem(_) => {
            // Without TLS nobody is asked, and reading the machine's certificates takes some milliseconds.
            let roots = if is_secure {
                roots(trust)?
            } else {
                RootCertStore::empty()
            };
            builder.with_root_certificates(roots)
        }
    };
    let mut http = HttpConnector::new();
    http.set_connect_timeout(Some(CONNECT));
    http.set_nodelay(true);
    http.enforce_http(false);
    Ok(HttpsConnectorBuilder::new()
        .with_tls_config(config.with_no_client_auth())
        .https_or_http()
        .enable_http1()
        .wrap_connector(http))
}

fn roots(trust: &Trust) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    match trust {
        Trust::Pem(text) => {
            let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes())
                .take(CERTIFICATES_MAX)
                .collect();
            let found = found.map_err(|_| "the file of --ca is not PEM".to_owned())?;
            roots.add_parsable_certificates(found);
            if roots.is_empty() {
                return Err("the file of --ca holds no usable certificate".to_owned());
            }
        }
        Trust::Machine | Trust::Only(_) => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err("this machine trusts no authority; name one with --ca".to_owned());
            }
        }
    }
    Ok(roots)
}

/// One certificate and no other.
#[derive(Debug)]
struct Only {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Only {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *end_entity == self.certificate {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::General(
                "it shows another certificate".to_owned(),
            ))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
