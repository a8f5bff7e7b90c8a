//! Dispatch: the engine of `switchhook-core` with a store under it and sockets before it.
//!
//! [`driver`] is the loop that feeds the engine and does what it says. [`attempt`] makes one request,
//! through [`transport`], through [`guard`]. [`Handle`] is how the rest of the gateway talks to the loop.

pub mod attempt;
mod driver;
pub mod guard;
mod recover;
pub mod transport;

use std::collections::BTreeMap;
use std::sync::Arc;

use switchhook_core::engine::Judged;
use switchhook_core::id::Offset;
use switchhook_core::plan::Plan;
use switchhook_core::time::UnixMs;
use switchhook_store::{Error, Store};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::clock::Clock;
use attempt::Sender;
use driver::{Driver, Message};

/// Is told of every attempt after it was judged. Must be cheap and must not block.
pub trait Observer: Send + Sync + 'static {
    /// An attempt was judged at `now`.
    fn judged(&self, judged: &Judged, now: UnixMs);
}

/// Judged attempts that a slow live view may lag behind before it misses some.
const LIVE_CAPACITY: usize = 1_024;

/// How the rest of the gateway talks to dispatch. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    messages: mpsc::UnboundedSender<Message>,
    live: broadcast::Sender<Arc<Judged>>,
    store: Arc<dyn Store>,
}

/// Where dispatch stands.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Requests under way, by endpoint.
    pub in_flight: BTreeMap<Arc<str>, usize>,
    /// Committed offset of each subscription.
    pub cursors: BTreeMap<Arc<str>, Offset>,
}

/// Dispatch has stopped: the store failed, or the gateway is shutting down.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Stopped {
    /// The store failed; the process must stop.
    #[error(transparent)]
    Store(#[from] Error),
    /// It was asked to stop.
    #[error("dispatch has stopped")]
    Closed,
}

/// What dispatch works with.
pub struct Parts {
    /// Where events and records are.
    pub store: Arc<dyn Store>,
    /// Makes the requests.
    pub sender: Arc<Sender>,
    /// Tells the time.
    pub clock: Clock,
    /// Is told what happened.
    pub observer: Arc<dyn Observer>,
    /// Gets the error when the store fails.
    pub fatal: mpsc::UnboundedSender<Error>,
}

/// Starts dispatch for `plan`. Returns once the cursor of every subscription is on disk, so that nothing
/// accepted from then on can be missed.
///
/// # Errors
/// When the store cannot be read or written.
pub async fn start(parts: Parts, plan: Arc<Plan>) -> Result<Handle, Stopped> {
    let (messages, inbox) = mpsc::unbounded_channel();
    let (live, _) = broadcast::channel(LIVE_CAPACITY);
    let handle = Handle {
        messages: messages.clone(),
        live: live.clone(),
        store: parts.store.clone(),
    };
    let recovered = handle.recover(plan.clone()).await?;
    let driver = Driver::new(parts, messages, live);
    tokio::spawn(driver.run(inbox));
    handle.adopt(plan, recovered).await?;
    Ok(handle)
}

impl Handle {
    /// Puts a new plan in force. Returns once the cursors of new subscriptions are on disk.
    ///
    /// # Errors
    /// When the store fails or dispatch has stopped.
    pub async fn replan(&self, plan: Arc<Plan>) -> Result<(), Stopped> {
        let recovered = self.recover(plan.clone()).await?;
        self.adopt(plan, recovered).await
    }

    async fn recover(&self, plan: Arc<Plan>) -> Result<recover::All, Stopped> {
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || recover::all(&*store, &plan))
            .await
            .map_err(|_| Stopped::Closed)?
            .map_err(Stopped::Store)
    }

    async fn adopt(&self, plan: Arc<Plan>, recovered: recover::All) -> Result<(), Stopped> {
        let (done, answer) = oneshot::channel();
        self.send(Message::Plan {
            plan,
            recovered,
            done,
        })?;
        answer.await.map_err(|_| Stopped::Closed)
    }

    /// Rows of this subscription were written by someone else: look at them at once.
    pub fn rows_changed(&self, subscription: &Arc<str>) {
        // When dispatch has stopped there is nobody to tell, and the rows are found at the next start.
        let _stopped = self.send(Message::RowsChanged(subscription.clone()));
    }

    /// The wall clock went back: from now on no row waits longer than it was meant to.
    pub fn clock_went_back(&self) {
        let _stopped = self.send(Message::ClockWentBack);
    }

    /// Where dispatch stands now.
    ///
    /// # Errors
    /// When dispatch has stopped.
    pub async fn snapshot(&self) -> Result<Snapshot, Stopped> {
        let (done, answer) = oneshot::channel();
        self.send(Message::Snapshot(done))?;
        answer.await.map_err(|_| Stopped::Closed)
    }

    /// Judged attempts from now on. One who reads too slowly misses some and is told how many.
    #[must_use]
    pub fn live(&self) -> broadcast::Receiver<Arc<Judged>> {
        self.live.subscribe()
    }

    /// Starts no further attempt; returns when none is under way and all results are on disk.
    ///
    /// # Errors
    /// When the store fails or dispatch has stopped.
    pub async fn drain(&self) -> Result<(), Stopped> {
        let (done, answer) = oneshot::channel();
        self.send(Message::Drain(done))?;
        answer.await.map_err(|_| Stopped::Closed)
    }

    fn send(&self, message: Message) -> Result<(), Stopped> {
        self.messages.send(message).map_err(|_| Stopped::Closed)
    }
}
