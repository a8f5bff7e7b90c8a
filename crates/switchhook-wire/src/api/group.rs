//! Groups: who works on which partition, how far each has got, and moving cursors and partitions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use switchhook_core::group::PARTITIONS_MAX;

use super::{Stopped, fault, time};
use crate::problem::FieldError;

/// A group as it works now: its members and every subscription that uses it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupDescription {
    /// Its name.
    pub name: String,
    /// `key` or `event-type`.
    pub affinity: String,
    /// Partitions by key; by event type, each subscription has one for each of its types.
    pub partitions: u16,
    /// Its endpoints, in the order of the configuration.
    pub members: Vec<GroupMember>,
    /// The subscriptions that use it, by name.
    pub subscriptions: Vec<GroupProgress>,
}

/// An endpoint of a group.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupMember {
    /// Its name.
    pub endpoint: String,
    /// Whether partitions may be given to it.
    pub available: bool,
    /// State of its breaker: `closed`, `open` or `half-open`.
    pub state: String,
    /// Partitions that it works on, over all subscriptions.
    pub partitions: u64,
    /// Attempts a second, over the last 10 s.
    pub throughput_per_second: f64,
}

/// How far a subscription has got with a group.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupProgress {
    /// Its name.
    pub subscription: String,
    /// Whether it is paused.
    pub paused: bool,
    /// Why it sends nothing; absent where it sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
    /// Events that no partition has looked at yet: the most of all partitions.
    pub lag: u64,
    /// Each partition, by number.
    pub partitions: Vec<PartitionView>,
    /// What seed 001 would estimate: events in a second, from the number of event types.
    pub estimated_per_second: u64,
    /// What was measured: deliveries done in a second, over the last 10 s.
    pub measured_per_second: f64,
    /// When it will have caught up at the measured rate, in seconds; `null` when it never will.
    pub drain_seconds: Option<f64>,
}

/// A partition of a subscription.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PartitionView {
    /// 0, 1, …
    pub partition: u16,
    /// The endpoint that works on it; absent while it is given to none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Everything before this offset is done or waits in a row.
    pub committed: u64,
    /// The next offset of the log.
    pub end: u64,
    /// `end` less `committed`. The events of other partitions count too, since they are passed over one by one.
    pub lag: u64,
    /// Its deliveries that wait.
    pub waiting: u64,
    /// The next offset it looks at; ahead of `committed` by what is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
}

/// All groups, by name.
pub type GroupList = super::Page<GroupDescription>;

/// Moves the cursors of a subscription. Forwards, events are left out; backwards, they are delivered again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Seek {
    /// Where to.
    pub to: SeekTo,
    /// Which subscription of the group; needed where several use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<String>,
    /// These partitions only; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<Vec<u16>>,
    /// Only say what would happen. This is the default: a seek is done by writing `false`.
    #[serde(default = "yes")]
    pub dry_run: bool,
}

impl Seek {
    /// Everything that is wrong with it by itself. Which partitions there are is not known here.
    #[must_use]
    pub fn faults(&self) -> Vec<FieldError> {
        let mut faults = Vec::new();
        match &self.to {
            SeekTo::Time(text) => {
                let error = time::parse(text).err();
                faults.extend(error.map(|error| fault("/to/time", error.to_string(), "")));
            }
            SeekTo::Delta(0) => {
                let detail = "a delta of 0 moves nothing".to_owned();
                faults.push(fault("/to/delta", detail, ""));
            }
            SeekTo::Offset(_) | SeekTo::Delta(_) => {}
        }
        let named = self.partitions.as_ref().map(Vec::len);
        let most = usize::from(PARTITIONS_MAX);
        if let Some(n) = named.filter(|n| !(1..=most).contains(n)) {
            let detail = format!("{n} partitions are outside the limits 1 to {most}");
            faults.push(fault("/partitions", detail, "leave it out for all of them"));
        }
        faults
    }
}

/// A place in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum SeekTo {
    /// This offset, or the oldest after it.
    Offset(u64),
    /// The first event accepted at or after this time.
    Time(String),
    /// So many offsets on from where each partition is; negative for back.
    Delta(i64),
}

/// What a seek does, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SeekAnswer {
    /// The subscription.
    pub subscription: String,
    /// Whether nothing was done.
    pub dry_run: bool,
    /// Each partition that moves, by number.
    pub partitions: Vec<SeekMove>,
    /// Events that are left out, over all partitions.
    pub skipped: u64,
    /// Events that are delivered again, over all partitions.
    pub replayed: u64,
    /// The job that delivers them again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
}

/// A cursor that moves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SeekMove {
    /// 0, 1, …
    pub partition: u16,
    /// The offset it was at.
    pub from: u64,
    /// The offset it is at then.
    pub to: u64,
    /// Events between them that are of this partition and match the subscription.
    pub events: u64,
}

/// Spreads the partitions evenly over the members that are available, with the fewest moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Rebalance {
    /// Only say what would happen. This is the default: it is done by writing `false`.
    pub dry_run: bool,
}

impl Default for Rebalance {
    fn default() -> Self {
        Self { dry_run: true }
    }
}

/// What a rebalance does, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RebalanceAnswer {
    /// Whether nothing was done.
    pub dry_run: bool,
    /// Each partition that changes hands, by subscription and number.
    pub moves: Vec<PartitionMove>,
}

/// A partition that changes hands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PartitionMove {
    /// The subscription.
    pub subscription: String,
    /// 0, 1, …
    pub partition: u16,
    /// The endpoint it leaves, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The endpoint it goes to, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

const fn yes() -> bool {
    true
}
