//! A group as text: its members, the map of partition × endpoint, and the offsets of each partition.

use std::fmt::Write as _;

use switchhook_wire::api::{GroupDescription, GroupMember, GroupProgress, Stopped};

use crate::cmd::breaker::shape;
use crate::output::{counted, span, table};

/// Partitions in one row of the map: with names of 20 characters it fits 100 columns.
const MAP_COLUMNS: usize = 32;

/// Everything about a group.
pub(super) fn description(group: &GroupDescription) -> String {
    let mut text = format!(
        "{}  affinity {}, {} in each subscription\n\n{}\n",
        group.name,
        group.affinity,
        counted(u64::from(group.partitions), "partition"),
        members(group),
    );
    if group.subscriptions.is_empty() {
        text.push_str("\nno subscription uses it\n");
    }
    for progress in &group.subscriptions {
        let _infallible = write!(
            text,
            "\n{}\n{}\n{}\n",
            summary(progress),
            map(group, progress),
            partitions(progress),
        );
    }
    text
}

/// The offsets and the lag of every partition.
pub(super) fn lags(group: &GroupDescription) -> String {
    let all = group.subscriptions.iter();
    let all = all.map(|progress| format!("{}\n{}", summary(progress), partitions(progress)));
    all.collect::<Vec<_>>().join("\n\n")
}

fn members(group: &GroupDescription) -> String {
    let all: u64 = group.members.iter().map(|member| member.partitions).sum();
    let rows = group.members.iter().map(|member| {
        [
            member.endpoint.clone(),
            format!("{} {}", shape(&member.state), member.state),
            availability(member).to_owned(),
            member.partitions.to_string(),
            share(member.partitions, all),
            format!("{:.1}/s", member.throughput_per_second),
        ]
    });
    let header = ["MEMBER", "BREAKER", "GETS", "PARTITIONS", "SHARE", "RATE"];
    table(header, rows)
}

const fn availability(member: &GroupMember) -> &'static str {
    if member.available {
        "partitions"
    } else {
        "none: it is down"
    }
}

fn share(part: u64, all: u64) -> String {
    match all {
        0 => "-".to_owned(),
        all => format!("{} %", (part * 100 + all / 2) / all),
    }
}

fn summary(progress: &GroupProgress) -> String {
    let stopped = match progress.stopped {
        None => "",
        Some(Stopped::Paused) => "  ‖ paused",
        Some(Stopped::Disabled) => "  ‖ switched off",
    };
    let waiting: u64 = progress.partitions.iter().map(|one| one.waiting).sum();
    let drained = match progress.drain_seconds {
        Some(seconds) if seconds < 0.5 => "it has caught up".to_owned(),
        Some(seconds) => format!("caught up in {}", span(whole_ms(seconds))),
        None => "at this rate it never catches up".to_owned(),
    };
    format!(
        "{}{stopped}  lag {}, {waiting} waiting\n  measured {:.1}/s beside the {}/s that seed 001 estimates; {drained}",
        progress.subscription,
        progress.lag,
        progress.measured_per_second,
        progress.estimated_per_second,
    )
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from f64 stops at the ends of u64; it is a figure for people"
)]
fn whole_ms(seconds: f64) -> u64 {
    (seconds * 1_000.0).round() as u64
}

/// Endpoints down, partitions across; `●` is who works on it, a last row shows those that nobody has.
fn map(group: &GroupDescription, progress: &GroupProgress) -> String {
    let width = group
        .members
        .iter()
        .map(|member| member.endpoint.chars().count());
    let width = width.chain([NOBODY.len()]).max().unwrap_or(0);
    let owners: Vec<Option<&str>> = group
        .members
        .iter()
        .map(|member| Some(&*member.endpoint))
        .chain([None])
        .collect();
    let mut text = String::new();
    for chunk in progress.partitions.chunks(MAP_COLUMNS) {
        let numbers: String = chunk
            .iter()
            .map(|one| format!("{:>4}", one.partition))
            .collect();
        let _infallible = writeln!(text, "\n  {:width$}{numbers}", "");
        for owner in &owners {
            let marks = chunk.iter().map(|one| one.endpoint.as_deref() == *owner);
            if owner.is_none() && !marks.clone().any(|mark| mark) {
                continue;
            }
            let cells: String = marks
                .map(|mark| if mark { "   ●" } else { "   ·" })
                .collect();
            let _infallible = writeln!(text, "  {:width$}{cells}", owner.unwrap_or(NOBODY));
        }
    }
    text
}

/// The row of partitions that are given to no member.
const NOBODY: &str = "(none)";

fn partitions(progress: &GroupProgress) -> String {
    let rows = progress.partitions.iter().map(|one| {
        [
            one.partition.to_string(),
            one.endpoint.clone().unwrap_or_else(|| NOBODY.to_owned()),
            one.committed.to_string(),
            one.end.to_string(),
            one.lag.to_string(),
            one.waiting.to_string(),
        ]
    });
    let header = [
        "PARTITION",
        "ENDPOINT",
        "COMMITTED",
        "END",
        "LAG",
        "WAITING",
    ];
    table(header, rows)
}

#[cfg(test)]
mod tests {
    use switchhook_wire::api::PartitionView;

    use super::*;

    fn group() -> GroupDescription {
        let member = |endpoint: &str, state: &str, partitions| GroupMember {
            endpoint: endpoint.into(),
            available: state == "closed",
            state: state.into(),
            partitions,
            throughput_per_second: 12.34,
        };
        let partition = |number, endpoint: Option<&str>| PartitionView {
            partition: number,
            endpoint: endpoint.map(str::to_owned),
            committed: 90 + u64::from(number),
            end: 100,
            lag: 10 - u64::from(number),
            waiting: 2,
            position: None,
        };
        GroupDescription {
            name: "pool".into(),
            affinity: "key".into(),
            partitions: 4,
            members: vec![member("a", "closed", 2), member("bi-long", "open", 1)],
            subscriptions: vec![GroupProgress {
                subscription: "web-to-pool".into(),
                paused: true,
                stopped: Some(Stopped::Paused),
                lag: 10,
                partitions: vec![
                    partition(0, Some("a")),
                    partition(1, Some("bi-long")),
                    partition(2, Some("a")),
                    partition(3, None),
                ],
                estimated_per_second: 50,
                measured_per_second: 12.5,
                drain_seconds: Some(1.44),
            }],
        }
    }

    #[test]
    fn a_description_has_members_a_map_and_every_partition() {
        insta::assert_snapshot!(description(&group()), @r"
        pool  affinity key, 4 partitions in each subscription

        MEMBER   BREAKER   GETS              PARTITIONS  SHARE  RATE
        a        ● closed  partitions        2           67 %   12.3/s
        bi-long  ○ open    none: it is down  1           33 %   12.3/s

        web-to-pool  ‖ paused  lag 10, 8 waiting
          measured 12.5/s beside the 50/s that seed 001 estimates; caught up in 1.4s

                    0   1   2   3
          a         ●   ·   ●   ·
          bi-long   ·   ●   ·   ·
          (none)    ·   ·   ·   ●

        PARTITION  ENDPOINT  COMMITTED  END  LAG  WAITING
        0          a         90         100  10   2
        1          bi-long   91         100  9    2
        2          a         92         100  8    2
        3          (none)    93         100  7    2
        ");
    }

    #[test]
    fn a_group_without_work_says_so() {
        let mut group = group();
        group.subscriptions[0].drain_seconds = Some(0.0);
        group.subscriptions[0].stopped = None;
        insta::assert_snapshot!(summary(&group.subscriptions[0]), @r"
        web-to-pool  lag 10, 8 waiting
          measured 12.5/s beside the 50/s that seed 001 estimates; it has caught up
        ");
        group.subscriptions[0].drain_seconds = None;
        insta::assert_snapshot!(summary(&group.subscriptions[0]), @r"
        web-to-pool  lag 10, 8 waiting
          measured 12.5/s beside the 50/s that seed 001 estimates; at this rate it never catches up
        ");
        group.subscriptions.clear();
        group.members.clear();
        insta::assert_snapshot!(description(&group), @r"
        pool  affinity key, 4 partitions in each subscription

        MEMBER  BREAKER  GETS  PARTITIONS  SHARE  RATE

        no subscription uses it
        ");
    }
}
