//! The certificate that a listener shows, from files, and again whenever they change.
//!
//! TLS 1.2 or later. Both files are read every [`LOOK_INTERVAL`] and compared with what was read last; they are small, and a
//! look at their times alone would miss a change within the granularity of time stamps. A pair that cannot be used leaves
//! the one before it in force, and the log says so once: whoever replaces two files has, for a moment, a key that does
//! not fit. Connections that are open keep the certificate they began with. No error has a byte of a key.
//!
//! Bounds: [`FILE_BYTES_MAX`] of a file, [`CERTIFICATES_MAX`] certificates.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use switchhook_wire::config::TlsFiles;
use tokio_rustls::TlsAcceptor;

/// How often the files are looked at: somebody who renews a certificate does not wait long, and two reads of a few KiB
/// cost nothing.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(3);
/// Largest file: a chain is a few KiB.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Most certificates of a chain: no client would follow a longer one.
const CERTIFICATES_MAX: usize = 32;

/// Why a pair of files cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// A file could not be read.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{} holds no usable {what} in PEM", path.display())]
    Empty {
        /// Which.
        path: PathBuf,
        /// `certificate` or `private key`.
        what: &'static str,
    },
    /// Certificate and key do not belong together.
    #[error("{} and {} cannot be used together: {source}", cert.display(), key.display())]
    Pair {
        /// The certificate.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
}

/// See the module.
pub struct Certificate {
    files: TlsFiles,
    http2: bool,
    config: ArcSwap<ServerConfig>,
    first: CertificateDer<'static>,
}

/// A pair of files that can be used.
struct Pair {
    config: ServerConfig,
    /// Of both files.
    digest: [u8; 32],
    /// The certificate of the listener itself.
    first: CertificateDer<'static>,
}

/// What a look at the files found.
type Look = Result<Pair, CertificateError>;

impl Certificate {
    /// Reads the files. HTTP/2 is offered where `http2` says so.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn open(files: &TlsFiles, http2: bool) -> Result<Arc<Self>, CertificateError> {
        let Pair { config, first, .. } = look(files, http2)?;
        Ok(Arc::new(Self {
            files: files.clone(),
            http2,
            config: ArcSwap::from_pointee(config),
            first,
        }))
    }

    /// The certificate that the listener showed first, in DER: for who asks it from inside and knows no authority.
    #[must_use]
    pub fn first(&self) -> &CertificateDer<'static> {
        &self.first
    }

    /// What accepts the next connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }

    /// Looks at the files every `interval`, for ever.
    pub async fn follow(self: Arc<Self>, interval: Duration) {
        let mut seen = None;
        loop {
            let (files, http2) = (self.files.clone(), self.http2);
            let looked = tokio::task::spawn_blocking(move || look(&files, http2)).await;
            let Ok(looked) = looked else {
                // The runtime is going down.
                return;
            };
            seen = Some(self.adopt(looked, seen));
            tokio::time::sleep(interval).await;
        }
    }

    /// Puts what was found in force if it is other than what was `seen` last. Returns what is seen now.
    fn adopt(&self, looked: Look, seen: Option<Seen>) -> Seen {
        let cert = self.files.cert.display();
        match looked {
            Ok(Pair { config, digest, .. }) => {
                let now = Seen::Good(digest);
                if seen.as_ref() != Some(&now) {
                    self.config.store(Arc::new(config));
                    // The first look finds what the start has said already.
                    if seen.is_some() {
                        tracing::info!(%cert, "the certificate of a listener was replaced");
                    }
                }
                now
            }
            Err(error) => {
                let now = Seen::Bad(error.to_string());
                if seen.as_ref() != Some(&now) {
                    tracing::warn!(%error, "a new certificate cannot be used, the one before it stays in force");
                }
                now
            }
        }
    }
}

/// What the files were at the last look.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Good([u8; 32]),
    Bad(String),
}

fn look(files: &TlsFiles, http2: bool) -> Look {
    let TlsFiles { cert, key } = files;
    let (chain, secret) = (read(cert)?, read(key)?);
    let digest = Sha256::new_with_prefix(Sha256::digest(&chain))
        .chain_update(&secret)
        .finalize();
    let empty = |path: &Path, what| CertificateError::Empty {
        path: path.to_owned(),
        what,
    };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&chain)
        .take(CERTIFICATES_MAX)
        .collect();
    let certificates = certificates.ok().unwrap_or_default();
    let first = certificates.first().cloned();
    let first = first.ok_or_else(|| empty(cert, "certificate"))?;
    let private = PrivateKeyDer::from_pem_slice(&secret);
    let private = private.map_err(|_| empty(key, "private key"))?;
    let pair = |source| CertificateError::Pair {
        cert: cert.clone(),
        key: key.clone(),
        source,
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(certificates, private)
        .map_err(pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if http2 {
        config.alpn_protocols.insert(0, b"h2".to_vec());
    }
    Ok(Pair {
        config,
        digest: digest.into(),
        first,
    })
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let failed = |source| CertificateError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    let most = FILE_BYTES_MAX + 1;
    file.take(most).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let text = format!("it is larger than {FILE_BYTES_MAX} bytes");
        return Err(failed(io::Error::other(text)));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
