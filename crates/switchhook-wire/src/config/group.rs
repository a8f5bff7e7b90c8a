//! `[group.NAME]`: several endpoints that share subscriptions.
//!
//! What a subscription may bring to a group is judged when both are known, in [`super::link`].

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use switchhook_core::group::{
    Affinity, FAILOVER_AFTER_DEFAULT_MS, Group, LimitError, Limits, MEMBERS_MAX_DEFAULT,
    PARTITIONS_DEFAULT, PARTITIONS_MAX, TYPES_PER_MEMBER_MAX_DEFAULT, check_limits,
};
use switchhook_core::plan::RESOURCES_MAX;

use super::codes;
use super::link::{Need, Target};
use super::node::Value;
use super::read::{Item, Report, shown};
use super::subscription::reference;

pub(super) const KEYS: [&str; 6] = [
    "members",
    "partitions",
    "affinity",
    "failover_after",
    "members_max",
    "types_per_member_max",
];
/// What `members_max` can be raised to: with more, partitions become fewer than members.
const MEMBERS_MAX: usize = 100;
/// What `types_per_member_max` can be raised to: the most types that a subscription may have.
const TYPES_MAX: usize = 1_000;
/// How long a breaker may be open before the partitions move, in milliseconds.
const FAILOVER_MS: RangeInclusive<u64> = 1_000..=86_400_000;

/// A group and what it may be given.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) group: Arc<Group>,
    pub(super) limits: Limits,
}

pub(super) fn read(
    name: &Arc<str>,
    item: &Item<'_>,
    report: &mut Report,
    needs: &mut Vec<Need>,
) -> Option<Draft> {
    let table = report.table(item, &KEYS)?;
    let affinities = [("key", Affinity::Key), ("event-type", Affinity::EventType)];
    let affinity = table.or("affinity", Affinity::Key, |item| {
        report.choice(item, &affinities)
    });
    let partitions = table.or("partitions", PARTITIONS_DEFAULT, |item| {
        report.integer(item, 1..=PARTITIONS_MAX)
    });
    if let (Some(item), Some(Affinity::EventType)) = (table.get("partitions"), affinity) {
        let message = "by event type there is one partition for each type".to_owned();
        let hint = "remove `partitions`, or write `affinity = \"key\"`".to_owned();
        report.add(codes::CONFLICT, &item, message, Some(hint));
    }
    let failover = table.or("failover_after", Some(FAILOVER_AFTER_DEFAULT_MS), |item| {
        if let Value::Bool(is_on) = item.node.value {
            return Some(is_on.then_some(FAILOVER_AFTER_DEFAULT_MS));
        }
        report.duration(item, FAILOVER_MS).map(Some)
    });
    let members_max = table.or("members_max", MEMBERS_MAX_DEFAULT, |item| {
        count(item, MEMBERS_MAX, report)
    });
    let types_max = table.or(
        "types_per_member_max",
        TYPES_PER_MEMBER_MAX_DEFAULT,
        |item| count(item, TYPES_MAX, report),
    );
    let members_item = table.need("members", report);
    let members = members_item
        .as_ref()
        .and_then(|item| members(item, report, needs));
    let limits = Limits {
        members_max: members_max?,
        types_per_member_max: types_max?,
    };
    let group = Group {
        name: Arc::clone(name),
        members: members?,
        partitions: partitions?,
        affinity: affinity?,
        failover_after_ms: failover?,
    };
    let members_item = members_item?;
    for error in check_limits(&group, 1, limits) {
        if let LimitError::NoMember | LimitError::Members { .. } = error {
            let hint = format!("`members_max` can be raised to {MEMBERS_MAX}");
            report.add(
                codes::GROUP_LIMIT,
                &members_item,
                error.to_string(),
                Some(hint),
            );
        }
    }
    let (partitions, members) = (usize::from(group.partitions), group.members.len());
    if affinity == Some(Affinity::Key) && partitions < members {
        let message = format!("{members} endpoints share {partitions} partitions: some get none");
        let hint = "raise `partitions`, or use fewer endpoints".to_owned();
        report.add(codes::IDLE_MEMBERS, &members_item, message, Some(hint));
    }
    let group = Arc::new(group);
    Some(Draft { group, limits })
}

fn members(item: &Item<'_>, report: &mut Report, needs: &mut Vec<Need>) -> Option<Vec<Arc<str>>> {
    let mut seen = BTreeSet::new();
    report.each(item, 1..=RESOURCES_MAX, |item, report| {
        let name = reference(item, report, needs, Target::Endpoint)?;
        if !seen.insert(Arc::clone(&name)) {
            let message = format!("endpoint `{}` is listed twice", shown(&name));
            report.add(codes::TWICE, item, message, None);
            return None;
        }
        Some(name)
    })
}

fn count(item: &Item<'_>, max: usize, report: &mut Report) -> Option<usize> {
    let max = i64::try_from(max).ok()?;
    let count: i64 = report.integer(item, 1..=max)?;
    usize::try_from(count).ok()
}
