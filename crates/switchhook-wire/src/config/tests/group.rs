//! Groups, and what going from one configuration to another takes from what waits.

use switchhook_core::group::Affinity;

use super::*;

/// Two endpoints and a source with keys.
pub(super) const BEFORE: &str = r#"
[source.k]
verify = { scheme = "none" }
key = ["/id"]
[endpoint.a]
url = "https://a.example.com"
[endpoint.b]
url = "https://b.example.com"
[group.all]
members = ["a", "b"]
[group.types]
members = ["a", "b"]
affinity = "event-type"
"#;

/// What can be wrong beside them.
pub(super) const FAULTS: &[Fault] = &[
    ("[group.g]\n", &["SH0102"]),
    ("[group.g]\nmembers = []", &["SH0113"]),
    ("[group.g]\nmembers = [\"c\"]", &["SH0201"]),
    ("[group.g]\nmembers = [\"a\", \"a\"]", &["SH0138"]),
    (
        "[group.g]\nmembers = [\"a\"]\npartitions = 257",
        &["SH0105"],
    ),
    (
        "[group.g]\nmembers = [\"a\", \"b\"]\npartitions = 1",
        &["SH0133"],
    ),
    (
        "[group.g]\nmembers = [\"a\"]\naffinity = \"sticky\"",
        &["SH0108"],
    ),
    (
        "[group.g]\nmembers = [\"a\"]\naffinity = \"event-type\"\npartitions = 4",
        &["SH0129"],
    ),
    (
        "[group.g]\nmembers = [\"a\"]\nfailover_after = 60",
        &["SH0106"],
    ),
    (
        "[group.g]\nmembers = [\"a\"]\nfailover_after = \"1ms\"",
        &["SH0105"],
    ),
    (
        "[group.g]\nmembers = [\"a\"]\nmembers_max = 101",
        &["SH0105"],
    ),
    (
        "[group.g]\nmembers = [\"a\"]\ntypes_per_member_max = 1001",
        &["SH0105"],
    ),
    (
        "[group.g]\nmembers = [\"a\", \"b\"]\nmembers_max = 1",
        &["SH0131"],
    ),
    (
        "[group.g]\nmembers = [\"a\"]\ntypes_per_member_max = 1\n\
         [subscription.s]\nsources = [\"k\"]\ngroup = \"g\"\ntypes = [\"x\", \"y\"]",
        &["SH0131"],
    ),
    (
        "[subscription.s]\nsources = [\"k\"]\ngroup = \"al\"",
        &["SH0201"],
    ),
    (
        "[subscription.s]\nsources = [\"k\"]\ngroup = \"all\"\norder = \"strict\"",
        &["SH0129"],
    ),
    (
        "[subscription.s]\nsources = [\"k\"]\ngroup = \"types\"\ntypes = []",
        &["SH0131"],
    ),
    (
        "[subscription.s]\nsources = [\"k\"]\ngroup = \"all\"\ntypes = []",
        &["SH0131"],
    ),
    (
        "[subscription.s]\nsources = [\"k\"]\ngroup = \"types\"",
        &["SH0132"],
    ),
    (
        "[subscription.s]\nsources = [\"k\"]\ngroup = \"types\"\ntypes = [\"a\", \"*\"]",
        &["SH0132"],
    ),
    (
        "[subscription.s]\nsources = [\"k\"]\ngroup = \"types\"\ntypes = [\"a.*\"]",
        &["SH0133"],
    ),
    (
        "[subscription.s]\nsources = [\"k\"]\ngroup = \"types\"\ntypes = [\"a\", \"b\"]\norder = \"key\"",
        &["SH0134"],
    ),
];

#[test]
fn a_group_has_sixteen_partitions_by_key_and_fails_over_after_a_minute() {
    let plan = good(BEFORE).plan;
    let (all, types) = (&plan.groups["all"], &plan.groups["types"]);
    assert_eq!(all.members, ["a".into(), "b".into()]);
    assert_eq!(
        (all.partitions, all.affinity, all.failover_after_ms),
        (16, Affinity::Key, Some(60_000))
    );
    assert_eq!(types.affinity, Affinity::EventType);
    let text = format!("{BEFORE}[group.g]\nmembers = [\"a\"]\nfailover_after = false");
    assert_eq!(good(&text).plan.groups["g"].failover_after_ms, None);
}

#[test]
fn a_group_of_one_partition_can_keep_strict_order() {
    let text = format!(
        "{BEFORE}[group.g]\nmembers = [\"a\"]\npartitions = 1\n\
         [subscription.s]\nsources = [\"k\"]\ngroup = \"g\"\norder = \"strict\""
    );
    let plan = good(&text).plan;
    assert_eq!(plan.subscriptions["s"].order, Order::Strict);
    assert_eq!(plan.subscriptions["s"].target, Target::Group("g".into()));
}

#[test]
fn the_limits_of_a_group_are_those_of_the_seed_and_can_be_raised() {
    let endpoints: String = (0..11)
        .map(|n| format!("[endpoint.m{n}]\nurl = \"https://m{n}.example.com\"\n"))
        .collect();
    let members = (0..11)
        .map(|n| format!("\"m{n}\""))
        .collect::<Vec<_>>()
        .join(", ");
    let text = format!("{endpoints}[group.g]\nmembers = [{members}]\n");
    let loaded = load_text(&text);
    assert_eq!(codes_of(&loaded.problems), ["SH0131"]);
    let message = &loaded.problems[0].message;
    assert!(
        message.contains("11") && message.contains("10"),
        "{message}"
    );
    assert_eq!(
        good(&format!("{text}members_max = 11")).plan.groups["g"]
            .members
            .len(),
        11
    );
    let types = (0..16)
        .map(|n| format!("\"t{n}\""))
        .collect::<Vec<_>>()
        .join(", ");
    let text =
        format!("{BEFORE}[subscription.s]\nsources = [\"k\"]\ngroup = \"all\"\ntypes = [{types}]");
    let loaded = load_text(&text);
    assert_eq!(codes_of(&loaded.problems), ["SH0131"]);
    let message = &loaded.problems[0].message;
    assert!(
        message.contains("16") && message.contains("15"),
        "{message}"
    );
}

#[test]
fn the_slots_of_the_plan_are_the_concurrency_of_the_server() {
    assert_eq!(good("").plan.slots, 4_096);
    assert_eq!(good("[server]\nconcurrency = 64").plan.slots, 64);
    let merged = good("[server]\nconcurrency = 64").declared.with_api(&[]);
    assert_eq!(merged.plan.unwrap().slots, 64);
}

#[test]
fn whoever_changes_a_configuration_is_told_what_becomes_of_what_waits() {
    let plan = |text: &str| {
        let head = "[secret.x]\nenv = \"X\"\n[source.k]\nverify = { scheme = \"none\" }\nkey = [\"/id\"]\n\
                    [endpoint.a]\nurl = \"https://a.example.com\"\n[endpoint.b]\nurl = \"https://b.example.com\"\n";
        good(&format!("{head}{text}")).plan
    };
    let subscription = |keys: &str| plan(&format!("[subscription.s]\nsources = [\"k\"]\n{keys}"));
    let group = |keys: &str, more: &str| {
        let group = format!("[group.g]\nmembers = [\"a\", \"b\"]\n{keys}\n");
        plan(&format!(
            "{group}[subscription.s]\nsources = [\"k\"]\ngroup = \"g\"\n{more}"
        ))
    };
    let old = subscription("endpoint = \"a\"\norder = \"key\"");
    let table = [
        (&old, old.clone(), vec![]),
        (&old, plan(""), vec![LossKind::Vanishes]),
        (
            &old,
            subscription("endpoint = \"b\"\norder = \"key\""),
            vec![LossKind::Target],
        ),
        (
            &old,
            subscription("endpoint = \"a\""),
            vec![LossKind::Order],
        ),
        (
            &old,
            subscription("endpoint = \"a\"\norder = \"strict\""),
            vec![LossKind::Order],
        ),
        (
            &old,
            group("", "order = \"key\""),
            vec![LossKind::Target, LossKind::Partitions],
        ),
        (
            &group("", "order = \"key\""),
            group("partitions = 8", "order = \"key\""),
            vec![LossKind::Partitions],
        ),
        (
            &subscription("endpoint = \"a\"\norder = \"key\"\non_exhausted = \"halt\""),
            old.clone(),
            vec![LossKind::Order],
        ),
        (&plan(""), old.clone(), vec![]),
    ];
    let mut texts = Vec::new();
    for (old, new, kinds) in &table {
        let found = losses(old, new);
        assert_eq!(
            found.iter().map(|loss| loss.kind).collect::<Vec<_>>(),
            *kinds
        );
        texts.extend(found.into_iter().map(|loss| loss.text));
    }
    insta::assert_snapshot!("losses", texts.join("\n"));
}
