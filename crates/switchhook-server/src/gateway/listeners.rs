//! The sockets of the gateway: bound before anything is served, and stopped one by one.
//!
//! Both ports may be one, as in the demo: then the path decides who answers.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use switchhook_store::Error;
use switchhook_wire::config::{Config, TlsFiles};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tower_service::Service as _;

use super::{Gateway, Running, StartError};
use crate::control;
use crate::ingest::Ingest;
use crate::listen::{self, Certificate, CertificateError, LOOK_INTERVAL, Limits};
use crate::observe;

/// The sockets, bound before anything is served.
pub(super) struct Listeners {
    ingest: (TcpListener, SocketAddr),
    /// `None` when both share one.
    admin: Option<(TcpListener, SocketAddr)>,
    certificates: Certificates,
    limits: Limits,
}

/// What the listeners show; `None` is plain HTTP.
struct Certificates {
    ingest: Option<Arc<Certificate>>,
    admin: Option<Arc<Certificate>>,
}

impl Certificates {
    /// Reads those that the configuration names.
    fn open(config: &Config) -> Result<Self, CertificateError> {
        let http2 = Limits::default().http2;
        let open = |files: &Option<TlsFiles>| {
            let files = files.as_ref();
            files
                .map(|files| Certificate::open(files, http2))
                .transpose()
        };
        Ok(Self {
            ingest: open(&config.server.tls)?,
            admin: open(&config.server.admin_tls)?,
        })
    }

    /// Follows the files.
    fn follow(&self, tasks: &mut JoinSet<()>) {
        for certificate in self.ingest.iter().chain(&self.admin) {
            tasks.spawn(certificate.clone().follow(LOOK_INTERVAL));
        }
    }
}

impl Listeners {
    pub(super) async fn bind(config: &Config) -> Result<Self, StartError> {
        let certificates = Certificates::open(config)?;
        let ingest = bind(config.server.ingest).await?;
        // Port 0 stands for any free port, so two of them are not the same.
        let shared = config.server.admin == config.server.ingest && config.server.admin.port() != 0;
        let admin = if shared {
            None
        } else {
            Some(bind(config.server.admin).await?)
        };
        let connections_max = usize::try_from(config.server.max_connections).unwrap_or(usize::MAX);
        let grace = Duration::from_millis(config.server.shutdown_drain_ms);
        Ok(Self {
            ingest,
            admin,
            certificates,
            limits: Limits {
                connections_max,
                grace,
                ..Limits::default()
            },
        })
    }

    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        let admin = self.admin.as_ref().map(|(_, address)| *address);
        std::iter::once(self.ingest.1).chain(admin).collect()
    }

    pub(super) fn serve(
        self,
        gateway: Arc<Gateway>,
        fatal: mpsc::UnboundedReceiver<Error>,
        new_token: Option<String>,
    ) -> Running {
        let router = control::router(gateway.clone());
        let ingest_address = self.ingest.1;
        let admin_address = self
            .admin
            .as_ref()
            .map_or(ingest_address, |(_, address)| *address);
        let (limits, ingest) = (self.limits, gateway.ingest.clone());
        let mut tasks = gateway.tasks();
        self.certificates.follow(&mut tasks);
        let Certificates {
            ingest: shown,
            admin: admin_shown,
        } = self.certificates;
        let first = |of: &Option<Arc<Certificate>>| of.as_ref().map(|of| of.first().clone());
        let ingest_certificate = first(&shown);
        // One port shows one certificate.
        let admin_certificate = first(if self.admin.is_some() {
            &admin_shown
        } else {
            &shown
        });
        let (ingest_listener, admin_listener) = match self.admin {
            Some((socket, _)) => {
                let own = limits.clone();
                let admin = (socket, admin_shown);
                let admin = Listener::spawn(|stopping| serve_admin(admin, own, router, stopping));
                let own = (self.ingest.0, shown);
                let ingest =
                    Listener::spawn(|stopping| serve_ingest(own, limits, ingest, stopping));
                (ingest, Some(admin))
            }
            None => {
                let own = (self.ingest.0, shown);
                let both =
                    Listener::spawn(|stopping| serve_both(own, limits, ingest, router, stopping));
                (both, None)
            }
        };
        observe::log::started(
            ingest_address,
            admin_address,
            &gateway.config.server.data_dir,
        );
        Running {
            ingest: ingest_address,
            admin: admin_address,
            ingest_certificate,
            admin_certificate,
            new_token,
            gateway,
            fatal,
            ingest_listener,
            admin_listener,
            tasks,
        }
    }
}

/// A listener that serves, and how to end it.
pub(super) struct Listener {
    stop: watch::Sender<bool>,
    serving: JoinHandle<listen::Drained>,
}

impl Listener {
    fn spawn<F>(serve: impl FnOnce(watch::Receiver<bool>) -> F) -> Self
    where
        F: Future<Output = listen::Drained> + Send + 'static,
    {
        let (stop, stopping) = watch::channel(false);
        Self {
            stop,
            serving: tokio::spawn(serve(stopping)),
        }
    }

    /// Stops accepting; returns when what was under way has ended.
    pub(super) async fn stop(self) {
        let _ended_already = self.stop.send(true);
        let _panicked = self.serving.await;
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// A socket and what it shows.
type Socket = (TcpListener, Option<Arc<Certificate>>);

async fn serve_ingest(
    (listener, certificate): Socket,
    limits: Limits,
    ingest: Arc<Ingest>,
    stopping: watch::Receiver<bool>,
) -> listen::Drained {
    let service = move |_| {
        let ingest = ingest.clone();
        service_fn(move |request: Request<Incoming>| {
            let ingest = ingest.clone();
            async move { Ok(ingest.handle(request).await) }
        })
    };
    listen::serve(listener, certificate, limits, service, stopping).await
}

async fn serve_admin(
    (listener, certificate): Socket,
    limits: Limits,
    router: Router,
    stopping: watch::Receiver<bool>,
) -> listen::Drained {
    let service = move |_| {
        let router = router.clone();
        service_fn(move |request: Request<Incoming>| router.clone().call(request))
    };
    listen::serve(listener, certificate, limits, service, stopping).await
}

/// One port for both, as in the demo.
async fn serve_both(
    (listener, certificate): Socket,
    limits: Limits,
    ingest: Arc<Ingest>,
    router: Router,
    stopping: watch::Receiver<bool>,
) -> listen::Drained {
    let service = move |_| {
        let (ingest, router) = (ingest.clone(), router.clone());
        service_fn(move |request: Request<Incoming>| {
            let (ingest, mut router) = (ingest.clone(), router.clone());
            async move {
                if request.uri().path().starts_with("/in/") {
                    return Ok(ingest.handle(request).await.map(Body::new));
                }
                router.call(request).await
            }
        })
    };
    listen::serve(listener, certificate, limits, service, stopping).await
}
