use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::id::{EventId, Offset};
use crate::time::UnixMs;

fn group(affinity: Affinity, members: usize) -> Group {
    Group {
        name: "g".into(),
        members: (0..members).map(|n| format!("m{n}").into()).collect(),
        partitions: PARTITIONS_DEFAULT,
        affinity,
        failover_after_ms: Some(FAILOVER_AFTER_DEFAULT_MS),
    }
}

fn event(offset: u64, kind: &str, key: Option<&str>) -> Event {
    Event {
        offset: Offset(offset),
        id: EventId(uuid::Uuid::from_u128(u128::from(offset))),
        source: "web".into(),
        kind: kind.into(),
        key: key.map(Into::into),
        received_at: UnixMs(0),
        headers: [].into(),
        body: Bytes::new(),
    }
}

/// `+` available, `-` not, `?` on trial.
fn members(text: &str) -> Vec<Member> {
    text.chars()
        .enumerate()
        .map(|(n, c)| Member {
            name: format!("m{n}").into(),
            available: c == '+',
            on_trial: c == '?',
        })
        .collect()
}

fn counts(members: &[Member], assigned: &[Option<Arc<str>>]) -> Vec<usize> {
    let of = |m: &Member| {
        assigned
            .iter()
            .filter(|a| a.as_ref() == Some(&m.name))
            .count()
    };
    members.iter().map(of).collect()
}

fn moves(from: &[Option<Arc<str>>], to: &[Option<Arc<str>>]) -> usize {
    from.iter().zip(to).filter(|(from, to)| from != to).count()
}

fn by_key(
    partitions: u16,
    members: &[Member],
    current: &[Option<Arc<str>>],
) -> Vec<Option<Arc<str>>> {
    assign(partitions, members, current, Affinity::Key)
}

#[test]
fn the_hash_of_a_key_never_changes() {
    for (key, hash) in [
        ("", 0xefd0_1f60_ba99_2926),
        ("a", 0x82a2_a958_a9be_ce5b),
        (
            "b2c6f5c4-1111-4a3e-9f00-0123456789ab",
            0xcc53_cd8c_c92f_d64b,
        ),
        ("grün", 0x33f2_bc3a_64cf_fcb0),
    ] {
        assert_eq!(key_hash(key), KeyHash(hash), "{key}");
    }
}

#[test]
fn keys_spread_evenly_over_partitions() {
    let numbers = |n: u64| n.to_string();
    let uuids = |n: u64| uuid::Uuid::from_u128(u128::from(n) << 64 | 0x4000_8000).to_string();
    let phones = |n: u64| format!("+4930{:07}", n * 10);
    let kinds: [&dyn Fn(u64) -> String; 3] = [&numbers, &uuids, &phones];
    for key in kinds {
        for partitions in [2_u16, 10, 16, 256] {
            let mut counts = vec![0_u64; usize::from(partitions)];
            let total = 1_000 * u64::from(partitions);
            for n in 0..total {
                counts[usize::from(partition_of_key(key_hash(&key(n)), partitions))] += 1;
            }
            // Over 1,000 on average, 15 % are nearly five deviations.
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            assert!(
                *least > 850 && *most < 1_150,
                "{}: {least} to {most}",
                key(1)
            );
        }
    }
}

#[test]
fn an_event_is_where_its_key_or_type_says_and_without_a_key_anywhere() {
    let types: Vec<TypePattern> = ["a.b", "a.*", "*"]
        .map(|text| TypePattern::parse(text).unwrap())
        .into();
    let keys = group(Affinity::Key, 3);
    let at = |group: &Group, event: &Event| partition_of_event(group, &types, event);
    let expected = partition_of_key(key_hash("k"), PARTITIONS_DEFAULT);
    assert_eq!(at(&keys, &event(1, "x", Some("k"))), expected);
    assert_eq!(at(&keys, &event(99, "y", Some("k"))), expected);
    assert_eq!(at(&keys, &event(35, "x", None)), 35 % PARTITIONS_DEFAULT);
    let kinds = group(Affinity::EventType, 2);
    assert_eq!(kinds.partitions_for(types.len()), 3);
    for (kind, partition) in [("a.b", 0), ("a.c", 1), ("b", 2)] {
        assert_eq!(at(&kinds, &event(1, kind, Some("k"))), partition);
    }
}

#[test]
fn event_types_go_round_the_members_whoever_is_available() {
    let assigned = assign(5, &members("+-+"), &[], Affinity::EventType);
    let names: Vec<_> = assigned
        .iter()
        .map(|name| name.as_deref().unwrap())
        .collect();
    assert_eq!(names, ["m0", "m1", "m2", "m0", "m1"]);
    assert_eq!(assign(2, &[], &[], Affinity::EventType), [None, None]);
}

#[test]
fn a_member_that_fails_loses_its_partitions_and_gets_as_many_back() {
    let all = by_key(16, &members("++++"), &[]);
    assert_eq!(counts(&members("++++"), &all), [4, 4, 4, 4]);
    let without = by_key(16, &members("+-++"), &all);
    assert_eq!(moves(&all, &without), 4, "only its own");
    assert_eq!(counts(&members("+-++"), &without)[1], 0);
    let trial = by_key(16, &members("+?++"), &without);
    assert_eq!(moves(&without, &trial), 1);
    assert_eq!(counts(&members("+?++"), &trial), [5, 1, 5, 5]);
    let back = by_key(16, &members("++++"), &trial);
    assert_eq!(moves(&trial, &back), 3);
    assert_eq!(counts(&members("++++"), &back), [4, 4, 4, 4]);
}

#[test]
fn nothing_moves_while_nobody_is_available() {
    let all = by_key(16, &members("+++"), &[]);
    assert_eq!(by_key(16, &members("---"), &all), all);
    assert_eq!(
        by_key(16, &members("-?-"), &all),
        all,
        "it has something to be tried with"
    );
    let one = by_key(16, &members("-+-"), &all);
    let trial = by_key(16, &members("?--"), &one);
    assert_eq!(moves(&one, &trial), 1);
    assert_eq!(counts(&members("?--"), &trial), [1, 15, 0]);
}

#[test]
fn a_trial_takes_no_partition_from_a_member_that_has_only_one() {
    let one = by_key(1, &members("+-"), &[]);
    assert_eq!(by_key(1, &members("+?"), &one), one);
}

#[test]
fn limits_are_refused_with_value_and_bound() {
    let limits = Limits::default();
    assert_eq!(check_limits(&group(Affinity::Key, 10), 15, limits), []);
    assert_eq!(
        check_limits(&group(Affinity::EventType, 10), 150, limits),
        []
    );
    assert_eq!(
        check_limits(&group(Affinity::Key, 11), 16, limits),
        [
            LimitError::Members {
                members: 11,
                max: 10
            },
            LimitError::Types { types: 16, max: 15 }
        ]
    );
    assert_eq!(
        check_limits(&group(Affinity::EventType, 2), 31, limits),
        [LimitError::Types { types: 16, max: 15 }]
    );
    assert_eq!(
        check_limits(&group(Affinity::Key, 0), 0, limits),
        [LimitError::NoMember, LimitError::NoType]
    );
}

#[test]
fn the_throughput_estimate_is_that_of_the_seed() {
    for (types, rate, estimate) in [
        (0, None, 0),
        (1, None, 80),
        (3, Some(0), 240),
        (2, Some(33), 53),
        (1, Some(7), 6),
    ] {
        assert_eq!(estimated_throughput(types, rate), estimate);
    }
}

/// Members in any state, and partitions that belong to them, to nobody, or to somebody who has left.
fn any_state() -> impl Strategy<Value = (Vec<Member>, Vec<Option<Arc<str>>>)> {
    let text = proptest::collection::vec(
        prop_oneof![Just('+'), Just('+'), Just('-'), Just('?')],
        1..12,
    );
    (text, 1..64_usize).prop_flat_map(|(text, partitions)| {
        let members = members(&text.into_iter().collect::<String>());
        let owner =
            (0..members.len() + 3).prop_map(|n| (n > 0).then(|| format!("m{}", n - 1).into()));
        (Just(members), proptest::collection::vec(owner, partitions))
    })
}

proptest! {
    #[test]
    fn available_members_differ_by_at_most_one_and_the_others_have_what_they_should(
        (members, current) in any_state()
    ) {
        let partitions = u16::try_from(current.len()).unwrap();
        let to = by_key(partitions, &members, &current);
        prop_assert_eq!(to.len(), current.len());
        let counts = counts(&members, &to);
        let of = |full: bool| members.iter().zip(&counts)
            .filter(move |(m, _)| full == (m.available && !m.on_trial)).collect::<Vec<_>>();
        let full: Vec<usize> = of(true).iter().map(|(_, n)| **n).collect();
        if !full.is_empty() {
            prop_assert!(full.iter().max().unwrap() - full.iter().min().unwrap() <= 1);
            prop_assert!(to.iter().all(Option::is_some));
            let trials = members.iter().filter(|m| m.on_trial).count();
            let tried = of(false).iter().filter(|(m, n)| m.on_trial && **n == 1).count();
            prop_assert_eq!(tried, trials.min(current.len().saturating_sub(full.len())));
            prop_assert!(of(false).iter().all(|(m, n)| **n <= usize::from(m.on_trial)));
        }
    }

    #[test]
    fn what_is_assigned_stays((members, current) in any_state()) {
        let partitions = u16::try_from(current.len()).unwrap();
        let once = by_key(partitions, &members, &current);
        prop_assert_eq!(by_key(partitions, &members, &once), once);
    }

    #[test]
    fn no_more_partitions_move_than_must((members, current) in any_state()) {
        let partitions = u16::try_from(current.len()).unwrap();
        let to = by_key(partitions, &members, &current);
        let (before, after) = (counts(&members, &current), counts(&members, &to));
        // Each member gives away only what it has too much, and takes only what it lacks.
        for (n, member) in members.iter().enumerate() {
            let kept = current.iter().zip(&to)
                .filter(|(a, b)| a == b && a.as_ref() == Some(&member.name)).count();
            prop_assert_eq!(kept, before[n].min(after[n]));
        }
        // And nobody who had more before has less than one who had fewer.
        let full: Vec<usize> = (0..members.len())
            .filter(|n| members[*n].available && !members[*n].on_trial).collect();
        for &a in &full {
            for &b in &full {
                prop_assert!(before[a] <= before[b] || after[a] >= after[b]);
            }
        }
    }
}
