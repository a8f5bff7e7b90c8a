//! The facts that are kept of a delivery: its attempts, and a row only while it is not simply done.
//!
//! A delivery is one event for one subscription. One that succeeds at once leaves an [`Attempt`] and
//! nothing else. One that waits has a [`Waiting`] row, one that was given up has a [`Dead`] row.

use std::sync::Arc;

use crate::breaker;
use crate::event::Event;
use crate::group::KeyHash;
use crate::id::Offset;
use crate::time::UnixMs;

/// Which delivery: the event at `offset`, for `subscription`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryKey {
    /// Name of the subscription.
    pub subscription: Arc<str>,
    /// Where the event stands in the log.
    pub offset: Offset,
}

/// Where a delivery stands among those of its subscription: never changes, follows from event and plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Place {
    /// The partition; 0 where the subscription has a single endpoint.
    pub partition: u16,
    /// Hash of the event's ordering key, if it has one. Kept whatever the order is, so that it can change.
    pub key: Option<KeyHash>,
}

impl Place {
    /// Of `event` in `partition`.
    #[must_use]
    pub fn of(event: &Event, partition: u16) -> Self {
        Self {
            partition,
            key: event.key.as_deref().map(crate::group::key_hash),
        }
    }
}

/// One HTTP request of a delivery and how it was judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The delivery.
    pub key: DeliveryKey,
    /// Its partition.
    pub partition: u16,
    /// 0 for the first chain, one more for each replay.
    pub chain: u16,
    /// 1, 2, … within the chain.
    pub n: u16,
    /// Name of the endpoint that was called.
    pub endpoint: Arc<str>,
    /// When the request was started.
    pub at: UnixMs,
    /// From start to answer or failure.
    pub duration_ms: u32,
    /// What came back.
    pub outcome: OutcomeKind,
    /// The rule that judged it, for example `default: 5xx`.
    pub rule: Arc<str>,
    /// What was decided.
    pub verdict: Verdict,
    /// The failure in words, or the start of a refusing answer's body; at most [`DETAIL_BYTES_MAX`].
    pub detail: Option<Arc<str>>,
    /// When the next attempt is due, if there is one.
    pub next_at: Option<UnixMs>,
}

impl Waiting {
    /// The row that puts a delivery back to work at `now`: a new chain with all attempts and all the time
    /// of its policy.
    #[must_use]
    pub const fn replay(
        key: DeliveryKey,
        place: Place,
        chain: u16,
        max_age_ms: u64,
        now: UnixMs,
    ) -> Self {
        Self {
            key,
            place,
            chain,
            attempts: 0,
            counted: 0,
            due_at: now,
            deadline: now.plus_ms(max_age_ms),
            delay_ms: 0,
            reason: WaitReason::Replay,
        }
    }
}

/// Longest text kept with an attempt or dead letter, in bytes.
pub const DETAIL_BYTES_MAX: usize = 1024;

/// The bare result of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OutcomeKind {
    /// An HTTP answer with this status.
    Status(u16),
    /// No usable answer.
    Failed(Failure),
}

/// Why an attempt got no usable answer. The codes are stable: they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Failure {
    /// The deadline of the request passed.
    Timeout = 1,
    /// The name could not be resolved.
    Dns = 2,
    /// No connection could be made.
    Connect = 3,
    /// The TLS handshake failed.
    Tls = 4,
    /// The connection broke before a whole answer had arrived.
    Reset = 5,
    /// The answer broke HTTP or passed our size limits.
    Protocol = 6,
    /// The address guard refused the address.
    Blocked = 7,
    /// The request could not be built: a template does not fit the event.
    Template = 8,
    /// A secret that the request needs could not be read now.
    Secret = 9,
}

/// What a rule decided about an attempt. The codes are stable: they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Verdict {
    /// Delivered.
    Delivered = 1,
    /// Another attempt follows.
    Retry = 2,
    /// The delivery waits for an operator or a changed secret; the attempt was not counted.
    Hold = 3,
    /// Given up.
    Dead = 4,
}

/// A delivery that is not done yet and does not merely wait its turn in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The delivery.
    pub key: DeliveryKey,
    /// Where it stands.
    pub place: Place,
    /// 0 for the first chain, one more for each replay.
    pub chain: u16,
    /// Attempts made in this chain.
    pub attempts: u16,
    /// Attempts that count against the policy (holds do not).
    pub counted: u16,
    /// Not before this; [`UnixMs::NEVER`] for one that waits behind an earlier event of its key.
    pub due_at: UnixMs,
    /// The policy gives up after this.
    pub deadline: UnixMs,
    /// The delay that led to `due_at`, for decorrelated jitter and for display.
    pub delay_ms: u64,
    /// Why it waits.
    pub reason: WaitReason,
}

/// Why a delivery waits. The codes are stable: they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum WaitReason {
    /// For the next attempt of its schedule.
    Retry = 1,
    /// A rule said hold.
    Hold = 2,
    /// Its request was under way for so long that the cursor went on without it.
    InFlight = 3,
    /// It was replayed and waits for its first attempt.
    Replay = 4,
    /// An earlier event of its key is not settled yet.
    Order = 5,
}

/// A delivery that has been given up. It keeps its bytes (in the log) and can be replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dead {
    /// The delivery.
    pub key: DeliveryKey,
    /// Where it stands.
    pub place: Place,
    /// The chain that ended.
    pub chain: u16,
    /// Attempts made in that chain.
    pub attempts: u16,
    /// When it was given up.
    pub at: UnixMs,
    /// Why.
    pub reason: DeadReason,
    /// The last result, if an attempt was made.
    pub outcome: Option<OutcomeKind>,
    /// The endpoint it was meant for.
    pub endpoint: Arc<str>,
    /// The last failure in words; at most [`DETAIL_BYTES_MAX`].
    pub detail: Option<Arc<str>>,
    /// What it means for the later events of its key.
    pub gap: Gap,
}

/// What a dead letter means for the later events of its key. The codes are stable: they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Gap {
    /// Nothing: there is no order to keep.
    None = 1,
    /// They went on without it: the order of its key has a gap.
    Skipped = 2,
    /// They wait until someone replays or discards it.
    Halted = 3,
}

/// Why a delivery was given up. The codes are stable: they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum DeadReason {
    /// All attempts of the policy were used.
    Exhausted = 1,
    /// The policy's `max_age` passed.
    Expired = 2,
    /// A rule said dead-letter.
    Refused = 3,
    /// The address guard refused the endpoint's address.
    Blocked = 4,
    /// The request could not be built.
    Template = 5,
    /// The subscription's filter failed on the event, so that nobody can say whether it is wanted.
    Filter = 6,
}

/// Gives an enum with stable codes its names.
macro_rules! named {
    ($type:ident { $($variant:ident = $name:literal),+ $(,)? }) => {
        impl $type {
            /// Every variant, in the order of the codes.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word for it in the API, the CLI and the metrics.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// The stored code.
            #[must_use]
            pub const fn code(self) -> u8 {
                self as u8
            }

            /// The variant with this stored code.
            #[must_use]
            pub fn from_code(code: u8) -> Option<Self> {
                Self::ALL.iter().copied().find(|v| v.code() == code)
            }

            /// The variant with this name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|v| v.name() == name)
            }
        }
    };
}
pub(crate) use named;

named!(Failure {
    Timeout = "timeout",
    Dns = "dns",
    Connect = "connect",
    Tls = "tls",
    Reset = "reset",
    Protocol = "protocol",
    Blocked = "blocked",
    Template = "template",
    Secret = "secret",
});
named!(Verdict { Delivered = "delivered", Retry = "retry", Hold = "hold", Dead = "dead" });
named!(WaitReason {
    Retry = "retry",
    Hold = "hold",
    InFlight = "in-flight",
    Replay = "replay",
    Order = "order",
});
named!(Gap { None = "none", Skipped = "skipped", Halted = "halted" });
named!(DeadReason {
    Exhausted = "exhausted",
    Expired = "expired",
    Refused = "refused",
    Blocked = "blocked",
    Template = "template",
    Filter = "filter",
});

/// `text` cut to [`DETAIL_BYTES_MAX`] at a character boundary.
#[must_use]
pub fn detail(text: &str) -> Arc<str> {
    let mut end = text.len().min(DETAIL_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().into()
}

/// How far a partition of a subscription has got, and who works on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The subscription.
    pub subscription: Arc<str>,
    /// Its partition; 0 where it has a single endpoint.
    pub partition: u16,
    /// Everything before this is done or has a row.
    pub offset: Offset,
    /// The member of the group that the partition is assigned to; `None` without a group.
    pub member: Option<Arc<str>>,
}

/// Rows with [`WaitReason::Order`] whose turn has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The subscription.
    pub subscription: Arc<str>,
    /// Its partition.
    pub partition: u16,
    /// Rows of this key, or of every key.
    pub key: Option<KeyHash>,
    /// At most so many, those with the lowest offsets first.
    pub items: u32,
    /// They are due from now on.
    pub due_at: UnixMs,
}

/// Everything that one step of dispatch wants to be true together, in one commit.
///
/// The parts take effect in the order of the fields: a row written and settled in one batch is gone, and
/// a row written and released in one batch is due.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Records {
    /// Attempts made.
    pub attempts: Vec<Attempt>,
    /// Rows to write, or to write over.
    pub waiting: Vec<Waiting>,
    /// Deliveries that wait no longer: their row goes.
    pub settled: Vec<DeliveryKey>,
    /// Deliveries given up.
    pub dead: Vec<Dead>,
    /// Held rows whose turn has come.
    pub released: Vec<Release>,
    /// Cursors that moved, or changed hands.
    pub cursors: Vec<Cursor>,
    /// Breakers that changed.
    pub breakers: Vec<breaker::Record>,
    /// Events of our own that must exist if the rest does.
    pub own_events: Vec<crate::alert::OwnEvent>,
}

impl Records {
    /// Whether there is nothing to commit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self {
            attempts,
            waiting,
            settled,
            dead,
            released,
            cursors,
            breakers,
            own_events,
        } = self;
        attempts.is_empty()
            && waiting.is_empty()
            && settled.is_empty()
            && dead.is_empty()
            && released.is_empty()
            && cursors.is_empty()
            && breakers.is_empty()
            && own_events.is_empty()
    }
}
