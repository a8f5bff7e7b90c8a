//! The running gateway: what its parts share, how it starts, and how it stops.
//!
//! Order of the start: the store is opened, the plan is made of file and API resources, dispatch writes
//! the cursor of every subscription, and only then do the listeners open. So nothing that is accepted
//! can be missed by a subscription that was there.
//!
//! Order of the stop: `/readyz` turns to 503, the ingest listener stops accepting and finishes what is
//! under way, and at the same time dispatch starts nothing new and waits for what is under way; what was
//! accepted last stays in the log. Then the admin listener ends, and the store commits and closes. A second signal, or a kill, at any point is as safe as a power cut.

mod listeners;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::pki_types::CertificateDer;
use switchhook_core::plan::Plan;
use switchhook_core::secret::Lookup as _;
use switchhook_store::batch::Resource;
use switchhook_store::embedded::{self, Embedded};
use switchhook_store::{Batch, Error, Receipt, Store};
use switchhook_wire::config::{Config, Durability, Problem};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinSet;

use crate::alerts::{self, Alerts};
use crate::checkpoints::{self, Checkpoints};
use crate::clock::{Clock, STEP_INTERVAL, Step, watch_steps};
use crate::control::{Resources, opened, sealed_resources};
use crate::dispatch::attempt::Sender;
use crate::dispatch::guard::{Guard, SystemResolver, Times};
use crate::dispatch::tls::Trust;
use crate::dispatch::transport::Transport;
use crate::dispatch::{self, Stopped};
use crate::identity::{Registry, last_use};
use crate::ingest::Ingest;
use crate::jobs::Jobs;
use crate::listen::CertificateError;
use crate::observe::{self, Observe};
use crate::reload::begin::{self, Given};
use crate::reload::{ConfigFile, Reloads};
use crate::retention::{self, Retention};
use crate::secrets::kept::{self, Kept};
use crate::secrets::vault::{self, Vault};
use crate::secrets::watch::{WATCH_INTERVAL, watch as watch_secrets};
use crate::secrets::{Environment, Secrets, import};
use listeners::{Listener, Listeners};

/// What the parts of the gateway share.
pub struct Gateway {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) plan: Arc<ArcSwap<Plan>>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) identity: Arc<Registry>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) clock: Clock,
    pub(crate) dispatch: dispatch::Handle,
    pub(crate) sender: Arc<Sender>,
    pub(crate) ingest: Arc<Ingest>,
    pub(crate) observe: Arc<Observe>,
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) alerts: Alerts,
    pub(crate) retention: Retention,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) resources: Mutex<Resources>,
    pub(crate) reloads: Reloads,
    /// As the gateway was started: what only a restart takes over is read here, the rest is elsewhere.
    pub(crate) config: Config,
    closing: AtomicBool,
}

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The store could not be opened.
    #[error(transparent)]
    Store(#[from] Error),
    /// Resources made through the API do not fit the configuration file.
    #[error("{} problems between the configuration file and the resources made through the API", .0.len())]
    Resources(Vec<Problem>),
    /// The file was changed while the gateway was down, and that concerns deliveries that wait: each in words.
    #[error("the configuration file was changed, and that concerns deliveries that wait")]
    Stranded(Vec<String>),
    /// The version that counts in place of the file means nothing any more.
    #[error("the pinned version of the configuration has {} problems", .0.len())]
    Pinned(Vec<Problem>),
    /// What the store keeps of the configuration cannot be read.
    #[error("the versions of the configuration cannot be read: {0}")]
    Versions(String),
    /// The vault has not the keys that the store needs.
    #[error(transparent)]
    Vault(#[from] vault::StartError),
    /// An address could not be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The certificate of a listener cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// TLS for outgoing requests could not be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// Dispatch did not start.
    #[error(transparent)]
    Dispatch(#[from] Stopped),
}

/// A gateway that runs.
pub struct Running {
    /// Where events come in.
    pub ingest: SocketAddr,
    /// Where the API is.
    pub admin: SocketAddr,
    /// What `ingest` showed first, where it speaks TLS.
    pub ingest_certificate: Option<CertificateDer<'static>>,
    /// The same of `admin`.
    pub admin_certificate: Option<CertificateDer<'static>>,
    /// The first API token, when the store had none. It is shown once and stored nowhere.
    pub new_token: Option<String>,
    gateway: Arc<Gateway>,
    fatal: mpsc::UnboundedReceiver<Error>,
    ingest_listener: Listener,
    /// `None` when both share one.
    admin_listener: Option<Listener>,
    /// What goes on by itself: it ends when this is dropped.
    tasks: JoinSet<()>,
}

/// What a gateway is started with.
pub struct Start {
    config: Config,
    environment: Environment,
    given: Option<Given>,
}

impl Start {
    /// A configuration that is never read again. `environment` reads the variables that secrets name.
    #[must_use]
    pub const fn new(config: Config, environment: Environment) -> Self {
        Self {
            config,
            environment,
            given: None,
        }
    }

    /// The file that the configuration was read from, and the text that it had. With `force` the start does not mind
    /// deliveries that wait and are concerned by what was changed since the last one.
    #[must_use]
    pub fn with_file(mut self, file: Arc<dyn ConfigFile>, text: String, force: bool) -> Self {
        self.given = Some(Given { file, text, force });
        self
    }
}

impl Gateway {
    /// Starts a gateway with a configuration that is never read again.
    ///
    /// # Errors
    /// When the store, a listener or dispatch cannot be started; nothing keeps running then.
    pub async fn start(config: Config, environment: Environment) -> Result<Running, StartError> {
        Self::start_with(Start::new(config, environment)).await
    }

    /// Starts a gateway.
    ///
    /// # Errors
    /// When the store, a listener or dispatch cannot be started, or when the file strands deliveries that wait; nothing
    /// keeps running then, and nothing was changed.
    pub async fn start_with(start: Start) -> Result<Running, StartError> {
        let Start {
            config,
            environment,
            given,
        } = start;
        let clock = Clock::system();
        let store = open(&config).await?;
        let vault = Arc::new(vault::at_start(&config, environment, &store, clock.now()).await?);
        let (mut begun, given) =
            begin::begin(store.clone(), vault.clone(), config, given, clock.now()).await?;
        let config = begun.config.clone();
        let now = clock.now();
        let read = move |store: &dyn Store| Ok((store.resources()?, Registry::open(store, now)?));
        let (stored, identity) = in_background(&store, read).await?;
        let kept = import::at_start(&config, &vault, &store, now).await?;
        let checkpoints = Checkpoints::open(&config.audit, &vault, &store, now).await?;
        let mut resources = resources_of(&config, &vault, &kept, stored.clone())?;
        if given.as_ref().is_some_and(|given| !given.force) {
            begun.may_replace(&resources, &store).await?;
        }

        let listeners = Listeners::bind(&config).await?;
        if let Some(batch) = begun.batch.take() {
            write(&*store, batch).await?;
        }
        if seal_at_rest(&store, &vault, &resources, &stored).await? {
            let sealed = in_background(&store, |store| store.resources()).await?;
            resources = resources_of(&config, &vault, &kept, sealed)?;
        }
        let secrets = Arc::new(known_secrets(&resources, environment, kept));
        let first = resources.plan();
        let observe = Arc::new(Observe::new(clock, &first));
        let sender = Arc::new(way_out(listeners.addresses(), &secrets, clock)?);
        let (fatal_in, fatal) = mpsc::unbounded_channel();
        let parts = dispatch::Parts {
            store: store.clone(),
            sender: sender.clone(),
            clock,
            observer: observe.clone(),
            fatal: fatal_in.clone(),
        };
        let dispatch = dispatch::start(parts, first.clone()).await?;
        let plan = Arc::new(ArcSwap::new(first));
        let (kept, known, seen) = (store.clone(), secrets.clone(), observe.clone());
        let ingest = Ingest::new(plan.clone(), kept, known, clock, seen);
        let ingest = Arc::new(ingest.with_fatal(fatal_in));
        let gateway = Arc::new(Self {
            jobs: Jobs::new(store.clone(), plan.clone(), dispatch.clone(), clock),
            store,
            plan,
            vault,
            identity: Arc::new(identity),
            secrets,
            clock,
            dispatch,
            sender,
            ingest,
            observe,
            alerts: Alerts::new(config.alerts),
            retention: Retention::new(config.retention),
            checkpoints,
            resources: Mutex::new(resources),
            reloads: Reloads::new(given, begun.in_force, &config, clock.now()),
            config,
            closing: AtomicBool::new(false),
        });
        // Last, so that a start that fails has shown no token and stored none.
        let new_token = gateway.first_token().await?;
        gateway.jobs.resume().await?;
        Ok(listeners.serve(gateway, fatal, new_token))
    }

    /// The first API token, if it had to be made.
    async fn first_token(&self) -> Result<Option<String>, Error> {
        let now = self.clock.now();
        self.identity.ensure_first(&*self.store, now).await
    }

    /// Puts a plan and its secrets in force. Returns once the cursors of new subscriptions are on disk;
    /// new sources answer only after that.
    pub(crate) async fn put_in_force(&self, resources: &Resources) -> Result<(), Stopped> {
        let plan = resources.plan();
        self.secrets.replace(resources.secrets());
        self.observe.adopt(&plan);
        // Until everybody sees the plan, nobody writes rows by the one before.
        let _changing = self.dispatch.places_change().await;
        self.dispatch.replan(plan.clone()).await?;
        self.plan.store(plan);
        Ok(())
    }

    /// Whether the stop has begun.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// The configuration file was read again and is in force, or could not be. Until it can be, an alert says so.
    pub fn config_read(&self, succeeded: bool) {
        self.alerts.config_read(succeeded);
    }

    /// Starts what goes on by itself.
    fn tasks(self: &Arc<Self>) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let (steps_in, steps) = mpsc::channel(1);
        tasks.spawn(watch_steps(self.clock, STEP_INTERVAL, steps_in));
        tasks.spawn(self.clone().follow_clock(steps));
        let (changed_in, changed) = mpsc::channel(1);
        tasks.spawn(watch_secrets(
            self.secrets.clone(),
            WATCH_INTERVAL,
            changed_in,
        ));
        tasks.spawn(self.clone().follow_secrets(changed));
        tasks.spawn(alerts::run(self.clone()));
        tasks.spawn(retention::run(self.clone()));
        tasks.spawn(checkpoints::run(self.clone()));
        tasks.spawn(kept::forget(self.clone()));
        tasks.spawn(last_use::run(self.clone()));
        tasks
    }

    /// What was held for a refused credential is tried again when that has another value.
    async fn follow_secrets(self: Arc<Self>, mut changed: mpsc::Receiver<Vec<Arc<str>>>) {
        while let Some(names) = changed.recv().await {
            for name in names {
                observe::log::secret_changed(&name);
                self.dispatch.secret_changed(&name);
            }
        }
    }

    /// After the wall clock went back, no row waits longer than it was meant to.
    async fn follow_clock(self: Arc<Self>, mut steps: mpsc::Receiver<Step>) {
        while let Some(step) = steps.recv().await {
            // After a step forward what is due is due; nothing expires before one more attempt.
            if step.by_ms < 0 {
                self.dispatch.clock_went_back();
            }
        }
    }
}

impl Running {
    /// What the parts share.
    #[must_use]
    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// Resolves only when the store has failed; the process must stop then, and a restart reads what is
    /// really on disk.
    pub async fn failed(&mut self) -> Error {
        match self.fatal.recv().await {
            Some(error) => error,
            None => std::future::pending().await,
        }
    }

    /// Stops in order. Requests under way may take `drain` to end; what does not end by then is sent
    /// again after the next start.
    ///
    /// # Errors
    /// When the store failed before or meanwhile.
    pub async fn stop(mut self, drain: Duration) -> Result<(), Error> {
        self.gateway.closing.store(true, Ordering::Relaxed);
        let under_way = self.gateway.dispatch.snapshot().await.unwrap_or_default();
        observe::log::stopping(under_way.in_flight().map(|(_, count)| count).sum());
        self.tasks.shutdown().await;
        self.gateway.jobs.stop().await;
        let gateway = self.gateway.clone();
        let (ingest, admin) = (self.ingest_listener, self.admin_listener);
        let ended = tokio::time::timeout(drain, async {
            // Side by side: one sender that is slow must not take the time that deliveries need to end.
            tokio::join!(ingest.stop(), gateway.dispatch.drain())
        });
        if ended.await.is_err() {
            tracing::warn!(
                "requests were still under way at the end of the drain; they will be sent again"
            );
        }
        if let Some(admin) = admin {
            // Probes were told 503 until now; a stream that nobody ends must not hold up the stop.
            let _cut_off = tokio::time::timeout(ADMIN_GRACE, admin.stop()).await;
        }
        last_use::finish(&self.gateway).await;
        checkpoints::finish(&self.gateway).await;
        let store = self.gateway.store.clone();
        let _ended = tokio::task::spawn_blocking(move || store.close()).await;
        observe::log::stopped();
        match self.fatal.try_recv() {
            // What dispatch still wanted to write came after the store was closed; it is sent again.
            Ok(Error::Closed) | Err(_) => Ok(()),
            Ok(error) => Err(error),
        }
    }
}

/// How long requests to the API may take to end once everything else has ended.
const ADMIN_GRACE: Duration = Duration::from_millis(500);

/// The resources of the file and those that are `stored`.
fn resources_of(
    config: &Config,
    vault: &Vault,
    kept: &Kept,
    stored: Vec<Resource>,
) -> Result<Resources, StartError> {
    let rows = opened(vault, stored).map_err(vault::StartError::from)?;
    let names = kept.keys().cloned().collect();
    Resources::open(config, names, rows).map_err(StartError::Resources)
}

/// Seals those of the `stored` resources that hold secrets in clear, since an older version wrote them; says whether there
/// were any. They count as changed then: the version of each is one more.
async fn seal_at_rest(
    store: &Arc<dyn Store>,
    vault: &Vault,
    resources: &Resources,
    stored: &[Resource],
) -> Result<bool, StartError> {
    let sealed = sealed_resources(vault, resources, stored).map_err(vault::StartError::from)?;
    if sealed.is_empty() {
        return Ok(false);
    }
    observe::log::resources_sealed(sealed.len());
    let batch = Batch {
        resources: sealed,
        ..Batch::default()
    };
    write(&**store, batch).await?;
    Ok(true)
}

/// The secrets of `resources` and those that are `kept`, after a word about each that cannot be read.
fn known_secrets(resources: &Resources, environment: Environment, kept: Kept) -> Secrets {
    let secrets = Secrets::new(resources.secrets(), environment).with_kept(kept);
    for name in resources.secrets().keys() {
        if let Err(error) = secrets.secret(name) {
            tracing::warn!(%error, "a secret cannot be read; what needs it waits");
        }
    }
    secrets
}

/// What sends requests to endpoints, and never to the addresses that are our `own`.
fn way_out(
    own: Vec<SocketAddr>,
    secrets: &Arc<Secrets>,
    clock: Clock,
) -> Result<Sender, StartError> {
    let own = Arc::new(ArcSwap::from_pointee(own));
    let trust = Trust::of_system(&[]).map_err(|error| StartError::Tls(error.to_string()))?;
    let resolver = Arc::new(SystemResolver::default());
    let guard = Guard::new(resolver, Arc::new(trust), own, Times::default());
    let transport = Transport::new(guard, secrets.clone());
    Ok(Sender::new(transport, secrets.clone(), clock))
}

async fn open(config: &Config) -> Result<Arc<dyn Store>, Error> {
    let dir = config.server.data_dir.clone();
    let options = embedded::Options {
        durability: match config.store.durability {
            Durability::Fsync => embedded::Durability::Fsync,
            Durability::Os => embedded::Durability::Os,
        },
        ..embedded::Options::default()
    };
    let opened = tokio::task::spawn_blocking(move || Embedded::open(&dir, options)).await;
    let store = opened.map_err(|error| Error::Fatal(error.to_string()))??;
    Ok(Arc::new(store))
}

/// Reads the store on a thread that may block.
pub(crate) async fn in_background<T: Send + 'static>(
    store: &Arc<dyn Store>,
    read: impl FnOnce(&dyn Store) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let store = store.clone();
    tokio::task::spawn_blocking(move || read(&*store))
        .await
        .map_err(|error| Error::Read(error.to_string()))?
}

/// Hands `batch` in and waits until it is on disk.
pub(crate) async fn write(store: &dyn Store, batch: Batch) -> Result<Receipt, Error> {
    let (done, receipt) = oneshot::channel();
    store.submit(
        batch,
        Box::new(move |result| {
            // Nobody waits any more when the asker has gone.
            let _gone = done.send(result);
        }),
    );
    receipt.await.map_err(|_| Error::Closed)?
}
