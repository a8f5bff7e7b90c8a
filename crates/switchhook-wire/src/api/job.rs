//! Jobs: something long that goes on after a restart. There is one kind, the replay.
//!
//! A replay delivers events of the log again, to the subscription they were for or to another one. What it
//! takes is frozen when it is made: offsets `from` to `until`, filtered by `select`. A [`Job`] is also what
//! the store keeps of it, so it reads back as it was written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{fault, time};
use crate::problem::FieldError;

/// Deliveries a second of a job that does not say (`facts`, reliability 5.12).
pub const JOB_RATE_DEFAULT: u32 = 10;
/// Most deliveries a second of a job: far above it, what is new would have to wait for what is old.
pub const JOB_RATE_MAX: u32 = 10_000;
/// Most event ids of one job; more are a time range or a filter.
pub const JOB_EVENT_IDS_MAX: usize = 10_000;

/// Makes a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobRequest {
    /// What it does.
    pub kind: JobKind,
    /// Which events. Must be written, even when empty.
    pub select: JobSelection,
    /// The subscription that gets them; the one of `select` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Deliveries a second, 1 to 10,000.
    #[serde(default = "rate_default")]
    pub rate_per_second: u32,
    /// Only count; make nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum JobKind {
    /// It delivers events again.
    Replay,
}

/// Which events a job takes. Everything that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct JobSelection {
    /// These events only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_ids: Option<Vec<String>>,
    /// Source name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Exact event type.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Ordering key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Accepted at or after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Accepted before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// At this offset or after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_offset: Option<u64>,
    /// Before this offset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_offset: Option<u64>,
    /// What became of them for `subscription`.
    pub status: JobStatus,
    /// The subscription they were for. What waits for it anyway is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription: Option<String>,
    /// Why they were given up: `exhausted`, `expired`, … Dead letters only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What became of the events that a job takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum JobStatus {
    /// Given up.
    Dead,
    /// Done.
    Delivered,
    /// Whatever.
    #[default]
    Any,
}

/// What a job would do: the answer to a dry run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobCount {
    /// Deliveries it would make.
    pub total: u64,
    /// First offset it would look at.
    pub from: u64,
    /// The offset it would stop before. Sent as `select.toOffset`, the job takes exactly what was counted.
    pub until: u64,
    /// The subscription that would get them.
    pub to: String,
    /// How long it would take at its rate, in seconds.
    pub seconds: u64,
    /// Ids of the first few events, for a look.
    pub sample: Vec<String>,
}

/// A job as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// `job_…`
    pub id: String,
    /// What it does.
    pub kind: JobKind,
    /// Where it stands.
    pub state: JobState,
    /// Which events, as it was asked for.
    pub select: JobSelection,
    /// The subscription that the events were for, if one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<String>,
    /// The subscription that gets them.
    pub to: String,
    /// Deliveries a second.
    pub rate_per_second: u32,
    /// Deliveries to make; counted before the first.
    pub total: u64,
    /// Deliveries that were put to work.
    pub done: u64,
    /// Events left out: they wait anyway, are gone, or are for others.
    pub skipped: u64,
    /// Deliveries of this job that were given up again, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<u64>,
    /// First offset of the selection.
    pub from: u64,
    /// The offset it stops before.
    pub until: u64,
    /// The next offset it looks at.
    pub position: u64,
    /// When it was made.
    pub created_at: String,
    /// When it made its first delivery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// Who made it: the name of the token.
    pub actor: String,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Where a job stands.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    /// It finds out how much there is to do.
    Counting,
    /// It works.
    Running,
    /// A person stopped it; it can go on.
    Paused,
    /// It made all its deliveries.
    Done,
    /// A person ended it.
    Cancelled,
    /// It cannot go on; `error` says why.
    Failed,
}

impl JobState {
    /// Whether it has ended.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Cancelled | Self::Failed)
    }

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counting => "counting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

/// Newest jobs first.
pub type JobList = super::Page<Job>;

/// The query of a list of jobs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct JobQuery {
    /// Those in this state only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<JobState>,
    /// Those made before the one with this id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Most entities of a page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_size: Option<usize>,
}

/// Stops a job for a while, lets it go on, or ends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobCommand {
    /// What it is to be.
    pub state: JobWish,
}

/// What a person can make of a job that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum JobWish {
    /// It stops; what it put to work goes on.
    Paused,
    /// It goes on where it stopped.
    Running,
    /// It ends; what it put to work goes on.
    Cancelled,
}

impl JobRequest {
    /// Everything that is wrong with it by itself. Whether the names exist is not known here.
    #[must_use]
    pub fn faults(&self) -> Vec<FieldError> {
        let select = &self.select;
        let mut faults = Vec::new();
        let mut add = |pointer: &str, detail, hint| faults.push(fault(pointer, detail, hint));
        if !(1..=JOB_RATE_MAX).contains(&self.rate_per_second) {
            let rate = self.rate_per_second;
            let detail = format!("{rate} is outside the limits 1 to {JOB_RATE_MAX}");
            add("/ratePerSecond", detail, "");
        }
        let ids = select.event_ids.as_ref().map(Vec::len);
        if let Some(n) = ids.filter(|n| !(1..=JOB_EVENT_IDS_MAX).contains(n)) {
            let detail = format!("{n} ids are outside the limits 1 to {JOB_EVENT_IDS_MAX}");
            add(
                "/select/eventIds",
                detail,
                "select by time or offset instead",
            );
        }
        if self.to.is_none() && select.subscription.is_none() {
            let hint = "name the subscription in `select.subscription`, or in `to`";
            add("/to", "no subscription is named".to_owned(), hint);
        }
        let of_one = select.status != JobStatus::Any || select.reason.is_some();
        if of_one && select.subscription.is_none() {
            let detail = "`status` and `reason` are about one subscription".to_owned();
            let hint = "name it in `select.subscription`";
            add("/select/subscription", detail, hint);
        }
        if select.reason.is_some() && select.status == JobStatus::Delivered {
            let detail = "`reason` is about dead letters, `status` is `delivered`".to_owned();
            add("/select/reason", detail, "leave one of them out");
        }
        if let (Some(from), Some(to)) = (select.from_offset, select.to_offset)
            && from >= to
        {
            let detail = format!("offsets from {from} to before {to} are none");
            add("/select/toOffset", detail, "");
        }
        for (key, text) in [("since", &select.since), ("until", &select.until)] {
            if let Some(Err(error)) = text.as_deref().map(time::parse) {
                add(&format!("/select/{key}"), error.to_string(), "");
            }
        }
        faults
    }
}

const fn rate_default() -> u32 {
    JOB_RATE_DEFAULT
}
