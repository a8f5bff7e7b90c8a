//! The catalogue is whole, in order, and what is asked of it has the right answers.

use super::*;
use crate::alert;

/// The names of `wire.md` section 4.
const SEEDS: [&str; 11] = [
    "call:created",
    "call:answered",
    "routing.queue.conversation.created",
    "routing.queue.conversation.updated",
    "routing.queue.conversation.wrapped",
    "routing.queue.conversation.answered",
    "routing.queue.conversation.abandoned",
    "routing.queue.member.update",
    "routing.interaction.update",
    "message.create",
    "integration.message.failed",
];

fn is_listed(id: &str) -> bool {
    all().binary_search_by(|topic| topic.id.cmp(id)).is_ok()
}

#[test]
fn the_catalogue_is_sorted_and_names_nothing_twice() {
    let ids: Vec<&str> = all().iter().map(|topic| topic.id).collect();
    for pair in ids.windows(2) {
        assert!(pair[0] < pair[1], "{pair:?}");
    }
    for pair in table::ALIASES.windows(2) {
        assert!(pair[0].0 < pair[1].0, "{pair:?}");
    }
}

#[test]
fn every_entry_is_a_pattern_with_words_about_it() {
    for topic in all() {
        assert!(TypePattern::parse(topic.id).is_ok(), "{topic:?}");
        assert!(
            !topic.name.is_empty() && topic.name.len() <= 40,
            "{topic:?}"
        );
        assert!(topic.description.ends_with('.'), "{topic:?}");
        // Templates are written with `{id}`, as Genesys writes them.
        let plain = topic.id.replace("{id}", "");
        assert!(!plain.contains(['{', '}', '*']), "{topic:?}");
    }
}

#[test]
fn every_name_of_the_seeds_is_there_and_every_alias_stands_for_real_topics() {
    for id in SEEDS {
        assert!(is_listed(id), "{id}");
        // The last is an event of our own and stands for itself.
        assert_eq!(targets(id).is_none(), id == alert::MESSAGE_FAILED, "{id}");
    }
    for (alias, targets) in table::ALIASES {
        assert!(SEEDS.contains(alias), "{alias}");
        assert!(!targets.is_empty(), "{alias}");
        for target in *targets {
            assert!(is_listed(target) && target.starts_with("v2."), "{target}");
        }
    }
    assert_eq!(targets("v2.users.{id}.presence"), None);
    assert_eq!(targets(""), None);
}

#[test]
fn our_own_event_types_are_all_there() {
    for kind in alert::TYPES {
        assert!(is_listed(kind), "{kind}");
    }
    let ours = all()
        .iter()
        .filter(|topic| topic.id.starts_with("switchhook."));
    for topic in ours {
        assert!(alert::TYPES.contains(&topic.id), "{topic:?}");
    }
}

#[test]
fn known_is_what_the_catalogue_has_or_a_pattern_takes_of_it() {
    for (kind, known) in [
        ("*", true),
        ("call:created", true),
        ("integration.message.failed", true),
        ("v2.users.{id}.presence", true),
        ("v2.users.{userId}.presence", true),
        ("v2.users.7e1a-0f.presence", true),
        ("v2.users.7e1a-0f.*", true),
        ("v2.*", true),
        ("switchhook.*", true),
        ("v2.users.7e1a.0f.presence", false),
        ("v2.users.{id}.presences", false),
        ("v3.*", false),
        ("call:created.*", false),
        ("order.paid", false),
        ("call:", false),
        ("", false),
        ("v2.**", false),
        ("v2.users.{id.presence", false),
    ] {
        assert_eq!(is_known(kind), known, "{kind}");
    }
}

#[test]
fn a_slip_finds_its_name_and_something_else_none() {
    for (kind, nearest_to) in [
        ("call:create", Some("call:created")),
        ("call.answered", Some("call:answered")),
        (
            "routing.queue.conversation.create",
            Some("routing.queue.conversation.created"),
        ),
        ("v2.users.{id}.presense", Some("v2.users.{id}.presence")),
        (
            "v2.users.1c2f7b0a-8c1d-4e0b-9a51-0a7c2f9e7b11.presense",
            Some("v2.users.{id}.presence"),
        ),
        (
            "v2.users.{id}.routingstatus",
            Some("v2.users.{id}.routingStatus"),
        ),
        ("order.paid", None),
        ("", None),
    ] {
        assert_eq!(nearest(kind), nearest_to, "{kind}");
    }
    assert_eq!(nearest(&"a".repeat(KIND_BYTES_MAX + 1)), None);
}
