//! Dispatch: the engine of `switchhook-core` with a store under it and sockets before it.
//!
//! [`driver`] is the loop that feeds the engine and does what it says. [`attempt`] makes one request,
//! through [`transport`], through [`guard`]. [`Handle`] is how the rest of the gateway talks to the loop.

pub mod attempt;
mod auth;
mod body;
mod driver;
mod flight;
pub mod guard;
mod keys;
mod recover;
mod shelf;
pub mod tls;
mod token;
pub mod transport;

use std::collections::BTreeMap;
use std::sync::Arc;

use switchhook_core::breaker::Change;
use switchhook_core::delivery::{DeliveryKey, Place};
use switchhook_core::engine::{EndpointNow, Judged, LaneNow, Located, Move, Operator};
use switchhook_core::event::Event;
use switchhook_core::id::Offset;
use switchhook_core::plan::Plan;
use switchhook_core::time::UnixMs;
use switchhook_store::{Error, Store};
use tokio::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::clock::Clock;
use attempt::Sender;
use driver::{Driver, Message, Operation};

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
    /// See [`Handle::places_stand`].
    places: Arc<RwLock<()>>,
    /// See [`Handle::turn_to_pause`].
    pausing: Arc<Mutex<()>>,
}

/// Where dispatch stands.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The endpoints of the plan.
    pub endpoints: Vec<EndpointNow>,
    /// The partitions of the subscriptions of the plan.
    pub lanes: Vec<LaneNow>,
}

impl Snapshot {
    /// Requests under way, by endpoint.
    pub fn in_flight(&self) -> impl Iterator<Item = (&Arc<str>, usize)> {
        self.endpoints
            .iter()
            .map(|endpoint| (&endpoint.endpoint, endpoint.in_flight))
    }

    /// Committed offset of each subscription: the lowest of its partitions.
    #[must_use]
    pub fn cursors(&self) -> BTreeMap<Arc<str>, Offset> {
        let mut cursors = BTreeMap::new();
        for lane in &self.lanes {
            let lowest = cursors
                .entry(lane.subscription.clone())
                .or_insert(lane.cursor);
            *lowest = lane.cursor.min(*lowest);
        }
        cursors
    }
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
        places: Arc::default(),
        pausing: Arc::default(),
    };
    let driver = Driver::new(parts, messages, live);
    tokio::spawn(driver.run(inbox));
    handle.replan(plan).await?;
    Ok(handle)
}

impl Handle {
    /// Puts a new plan in force. Returns once the cursors of new subscriptions are on disk. Where the order or the
    /// partitions of a subscription change, all requests under way end first, and none is started meanwhile.
    ///
    /// # Errors
    /// When the store fails or dispatch has stopped.
    pub async fn replan(&self, plan: Arc<Plan>) -> Result<(), Stopped> {
        self.ask(|done| Message::Plan { plan, done }).await
    }

    /// Whoever writes rows with a place holds this from reading the plan until they are on disk: were another layout laid
    /// out in between, a row would stand in a partition that is not its own, or in none, and nobody would ever read it.
    pub(crate) async fn places_stand(&self) -> RwLockReadGuard<'_, ()> {
        self.places.read().await
    }

    /// Whoever puts a plan in force holds this from before [`Handle::replan`] until everybody sees the plan.
    pub(crate) async fn places_change(&self) -> RwLockWriteGuard<'_, ()> {
        self.places.write().await
    }

    /// Whoever pauses a subscription, or lets it go on, holds this from before the commit until after
    /// [`Handle::pause`]: two who do it at the same moment must be heard in the order in which they are on disk.
    pub(crate) async fn turn_to_pause(&self) -> MutexGuard<'_, ()> {
        self.pausing.lock().await
    }

    /// Rows of this subscription were written by someone else: look at them at once.
    pub fn rows_changed(&self, subscription: &Arc<str>) {
        // When dispatch has stopped there is nobody to tell, and the rows are found at the next start.
        let _stopped = self.send(Message::RowsChanged(subscription.clone()));
    }

    /// A subscription was stopped by a person, or goes on.
    pub fn pause(&self, subscription: &Arc<str>, paused: bool) {
        let _stopped = self.send(Message::Operation(Operation::Pause(
            subscription.clone(),
            paused,
        )));
    }

    /// These dead letters are no more; some may have halted their key.
    pub fn discarded(&self, letters: Vec<(DeliveryKey, Place)>) {
        let _stopped = self.send(Message::Operation(Operation::Discarded(letters)));
    }

    /// Passes over what lies before `to` in a partition, but for what is under way or has a row.
    pub fn skip(&self, subscription: &Arc<str>, partition: u16, to: Offset) {
        let _stopped = self.send(Message::Operation(Operation::Skip(
            subscription.clone(),
            partition,
            to,
        )));
    }

    /// A secret has a new value.
    pub fn secret_changed(&self, name: &str) {
        let _stopped = self.send(Message::Operation(Operation::SecretChanged(name.into())));
    }

    /// Opens or closes the breaker of an endpoint by hand; what changed, if anything did. Returns once that is on
    /// its way to the disk, not before it is there.
    ///
    /// # Errors
    /// When dispatch has stopped.
    pub async fn operate(
        &self,
        endpoint: &str,
        wish: Operator,
        reason: Option<Arc<str>>,
    ) -> Result<Option<Change>, Stopped> {
        let endpoint = endpoint.into();
        self.operation(|done| Operation::Breaker {
            endpoint,
            wish,
            reason,
            done,
        })
        .await
    }

    /// Partitions that would change hands if they were assigned now.
    ///
    /// # Errors
    /// When dispatch has stopped.
    pub async fn moves(&self) -> Result<Vec<Move>, Stopped> {
        self.operation(|done| Operation::Moves {
            carry_out: false,
            done,
        })
        .await
    }

    /// Assigns partitions now; those that changed hands.
    ///
    /// # Errors
    /// When dispatch has stopped.
    pub async fn assign(&self) -> Result<Vec<Move>, Stopped> {
        self.operation(|done| Operation::Moves {
            carry_out: true,
            done,
        })
        .await
    }

    /// Where the delivery of an event is in each subscription, as far as dispatch knows.
    ///
    /// # Errors
    /// When dispatch has stopped.
    pub async fn locate(&self, event: Arc<Event>) -> Result<BTreeMap<Arc<str>, Located>, Stopped> {
        self.ask(|done| Message::Locate(event, done)).await
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
        self.ask(Message::Snapshot).await
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
        self.ask(Message::Drain).await
    }

    async fn operation<T>(
        &self,
        operation: impl FnOnce(oneshot::Sender<T>) -> Operation,
    ) -> Result<T, Stopped> {
        self.ask(|done| Message::Operation(operation(done))).await
    }

    /// Sends a message and waits for the answer to it.
    async fn ask<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<T>) -> Message,
    ) -> Result<T, Stopped> {
        let (done, answer) = oneshot::channel();
        self.send(message(done))?;
        answer.await.map_err(|_| Stopped::Closed)
    }

    fn send(&self, message: Message) -> Result<(), Stopped> {
        self.messages.send(message).map_err(|_| Stopped::Closed)
    }
}
