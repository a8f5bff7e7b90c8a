//! What is kept of a job: the job as the API shows it, and what only its runner needs, in one row of the store.
//!
//! The row reads back as it was written, by this version and by later ones: members may be added.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use switchhook_core::id::Offset;
use switchhook_core::sight::Sight;
use switchhook_core::time::UnixMs;
use switchhook_store::batch;
use switchhook_wire::api::time::rfc3339;
use switchhook_wire::api::{Job, JobKind, JobSelection, JobState};
use uuid::Uuid;

/// From and until, by partition of the subscription that gets the deliveries.
pub(crate) type Ranges = BTreeMap<u16, (Offset, Offset)>;

/// A job that is to be made, its selection frozen.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) select: JobSelection,
    pub(crate) to: Arc<str>,
    pub(crate) rate_per_second: u32,
    pub(crate) from: Offset,
    pub(crate) until: Offset,
    /// Only what lies in these; everything between `from` and `until` when absent.
    pub(crate) ranges: Option<Ranges>,
    /// What a reason means to whoever makes it.
    pub(crate) sight: Sight,
}

/// A job and what its runner needs besides.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Kept {
    pub(super) job: Job,
    pub(super) ranges: Option<Ranges>,
    /// What a reason means to whoever made it.
    pub(super) sight: Sight,
    /// Whether `job.total` is known.
    pub(super) counted: bool,
}

impl Draft {
    /// The job that it becomes when `actor` makes it at `now`.
    pub(super) fn into_kept(self, actor: &str, now: UnixMs) -> Kept {
        let job = Job {
            id: format!("job_{}", Uuid::now_v7().simple()),
            kind: JobKind::Replay,
            state: JobState::Counting,
            subscription: self.select.subscription.clone(),
            select: self.select,
            to: self.to.to_string(),
            rate_per_second: self.rate_per_second,
            total: 0,
            done: 0,
            skipped: 0,
            failed: Some(0),
            from: self.from.0,
            until: self.until.0,
            position: self.from.0,
            created_at: rfc3339(now),
            started_at: None,
            ended_at: None,
            actor: actor.to_owned(),
            error: None,
        };
        Kept {
            job,
            ranges: self.ranges,
            sight: self.sight,
            counted: false,
        }
    }
}

impl Kept {
    pub(super) fn row(&self, now: UnixMs) -> batch::Job {
        // Our own shapes have no member that JSON cannot write.
        let mut body = serde_json::to_value(&self.job).unwrap_or_default();
        if let Some(members) = body.as_object_mut() {
            members.insert("counted".to_owned(), self.counted.into());
            if self.sight == Sight::Outside {
                members.insert("fromOutside".to_owned(), true.into());
            }
            if let Some(ranges) = &self.ranges {
                let ranges = ranges
                    .iter()
                    .map(|(partition, (from, until))| json!([partition, from.0, until.0]));
                members.insert("ranges".to_owned(), ranges.collect());
            }
        }
        batch::Job {
            id: self.job.id.as_str().into(),
            is_over: self.job.state.is_over(),
            body: body.to_string().into(),
            updated_at: now,
        }
    }

    /// Reads what [`Kept::row`] wrote.
    pub(super) fn read(row: &batch::Job) -> Option<Self> {
        let body: Value = serde_json::from_str(&row.body).ok()?;
        let counted = body.get("counted").and_then(Value::as_bool);
        let from_outside = body.get("fromOutside").and_then(Value::as_bool);
        let ranges = match body.get("ranges").and_then(Value::as_array) {
            Some(ranges) => Some(ranges.iter().map(range).collect::<Option<Ranges>>()?),
            None => None,
        };
        Some(Self {
            job: serde_json::from_value(body).ok()?,
            ranges,
            sight: if from_outside.unwrap_or(false) {
                Sight::Outside
            } else {
                Sight::Whole
            },
            counted: counted.unwrap_or(false),
        })
    }
}

fn range(value: &Value) -> Option<(u16, (Offset, Offset))> {
    let at = |index| value.get(index)?.as_u64();
    let partition = u16::try_from(at(0)?).ok()?;
    Some((partition, (Offset(at(1)?), Offset(at(2)?))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_reads_back_as_it_was_written() {
        let draft = Draft {
            select: JobSelection {
                subscription: Some("orders".into()),
                kind: Some("Text".into()),
                ..JobSelection::default()
            },
            to: "orders".into(),
            rate_per_second: 7,
            from: Offset(3),
            until: Offset(9),
            ranges: Some([(2, (Offset(3), Offset(5))), (4, (Offset(4), Offset(9)))].into()),
            sight: Sight::Outside,
        };
        let mut kept = draft.into_kept("first", UnixMs(1_000));
        kept.counted = true;
        let row = kept.row(UnixMs(2_000));
        assert_eq!(Kept::read(&row), Some(kept.clone()));
        assert!(!row.is_over);
        kept.job.state = JobState::Cancelled;
        kept.ranges = None;
        let row = kept.row(UnixMs(3_000));
        assert_eq!(Kept::read(&row), Some(kept));
        assert!(row.is_over);
    }
}
