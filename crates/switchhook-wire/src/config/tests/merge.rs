//! Resources of the API beside those of the file.

use std::collections::BTreeSet;

use serde_json::json;

use super::*;

#[test]
fn resources_of_the_api_join_those_of_the_file() {
    let config = good(SMALLEST);
    let merged = config.declared.with_api(&[
        api(Kind::Subscription, "web-to-bi", json!({"sources": ["web"], "endpoint": "bi"})),
        api(
            Kind::Endpoint,
            "bi",
            json!({"url": "https://bi.example.com", "headers": {"Authorization": "Bearer {{secret:web}}", "X-Token": "abc"}}),
        ),
    ]);
    assert_eq!(codes_of(&merged.problems), ["SH0301"]);
    let plan = merged.plan.unwrap();
    assert_eq!((plan.subscriptions.len(), plan.endpoints.len()), (2, 2));
    let bi = merged.resources.iter().find(|r| &*r.name == "bi").unwrap();
    assert_eq!(
        (bi.origin.owner, &bi.body["headers"]),
        (
            Owner::Api,
            &json!({"Authorization": "Bearer {{secret:web}}", "X-Token": "***"})
        )
    );
}

#[test]
fn problems_of_api_resources_point_into_their_bodies() {
    let config = good(SMALLEST);
    let merged = config.declared.with_api(&[
        api(Kind::Endpoint, "crm", json!({"url": "https://example.com"})),
        api(
            Kind::Policy,
            "p",
            json!({"fixed": {"delay": "1s"}, "rule": [{"on": ["5xx", null], "do": "retry"}]}),
        ),
        api(
            Kind::Source,
            "s",
            json!({"verify": {"scheme": "bearer", "secrets": ["${env:HOME}"]}}),
        ),
        api(
            Kind::Subscription,
            "Upper",
            json!({"sources": ["web"], "endpoint": "nope", "types/~": 1}),
        ),
    ]);
    assert!(merged.plan.is_none());
    let found: BTreeSet<_> = merged
        .problems
        .iter()
        .map(|p| (p.code, p.place.path.as_str(), p.place.pointer.as_str()))
        .collect();
    assert_eq!(
        found,
        BTreeSet::from([
            ("SH0205", "endpoint.crm", ""),
            ("SH0103", "policy.p.rule[0].on[1]", "/rule/0/on/1"),
            ("SH0204", "source.s.verify.secrets[0]", "/verify/secrets/0"),
            ("SH0109", "subscription.Upper", ""),
            ("SH0104", "subscription.Upper.types/~", "/types~1~0"),
            ("SH0201", "subscription.Upper.endpoint", "/endpoint"),
        ])
    );
}

#[test]
fn a_resource_of_the_api_may_use_the_secrets_that_are_kept_and_learns_how_to_set_a_missing_one() {
    let declared = good("[secret.web]\nenv = \"WEB\"").declared;
    let source = |secret: &str| {
        let secrets = json!([format!("{{{{secret:{secret}}}}}")]);
        [api(
            Kind::Source,
            "s",
            json!({"verify": {"scheme": "bearer", "secrets": secrets}}),
        )]
    };
    let hint = |secret: &str| {
        let more = declared.with_secrets(["crm".into()]);
        let merged = more.with_api(&source(secret));
        let hints: Vec<_> = merged
            .problems
            .into_iter()
            .map(|p| (p.code, p.hint))
            .collect();
        assert_eq!(merged.plan.is_some(), hints.is_empty());
        hints
    };
    assert_eq!(hint("web"), []);
    assert_eq!(hint("crm"), []);
    for (secret, expected) in [
        ("wfm-key", "set it with `switchhook secret set wfm-key`"),
        (
            "cmr",
            "did you mean `crm`? If not, set it with `switchhook secret set cmr`",
        ),
        (
            "../x",
            "add `[secret.../x]` with `file = \"…\"` or `env = \"…\"`",
        ),
    ] {
        assert_eq!(
            hint(secret),
            [("SH0202", Some(expected.to_owned()))],
            "{secret}"
        );
    }
    assert!(declared.with_api(&source("crm")).plan.is_none());
}

#[test]
fn the_built_in_policy_is_what_its_shown_body_says() {
    let config = good("");
    let shown = config
        .resources
        .iter()
        .find(|r| &*r.name == STANDARD)
        .unwrap();
    let body = &shown.body;
    let mut all = Declared::default();
    let mut report = Report::new(Document::default());
    let tree = node::from_json(body);
    let item = Item {
        node: &tree,
        path: document::Path::resource("policy", STANDARD),
    };
    let origin = Origin {
        owner: Owner::Api,
        defined_at: None,
    };
    let raw = Raw {
        kind: Kind::Policy,
        name: STANDARD,
        item,
        key_span: None,
        origin,
        body: body.clone(),
    };
    all.add(raw, &mut report);
    let merged = all.merged(report);
    assert_eq!(*merged.plan.unwrap().policies[STANDARD], standard());
    assert_eq!(merged.problems, []);
}

#[test]
fn a_group_of_the_api_shares_a_subscription_among_endpoints_of_the_file() {
    let config = good(SMALLEST);
    let subscription = json!({
        "sources": ["web"], "group": "pool", "order": "key", "when": "event.data.text != \"\"",
        "matchCriteria": [{"jsonPath": "$.type", "operator": "Equal", "value": "Text"}],
        "map": {"text": {"path": "text", "default": null}}, "start": {"offset": 3},
    });
    let merged = config.declared.with_api(&[
        api(
            Kind::Group,
            "pool",
            json!({"members": ["crm"], "partitions": 4}),
        ),
        api(Kind::Subscription, "web-to-pool", subscription),
    ]);
    assert_eq!(merged.problems, []);
    let plan = merged.plan.unwrap();
    let subscription = &plan.subscriptions["web-to-pool"];
    assert_eq!(
        (subscription.order, plan.partitions(subscription)),
        (Order::Key, 4)
    );
    let listed: Vec<_> = merged
        .resources
        .iter()
        .filter(|r| r.origin.owner == Owner::Api)
        .map(|r| (r.kind, &*r.name))
        .collect();
    assert_eq!(
        listed,
        [(Kind::Group, "pool"), (Kind::Subscription, "web-to-pool")]
    );
}

#[test]
fn what_is_wrong_between_resources_of_the_api_points_into_their_bodies() {
    let config = good(SMALLEST);
    let merged = config.declared.with_api(&[
        api(Kind::Group, "pool", json!({"members": ["crm", "crn"]})),
        api(
            Kind::Subscription,
            "a",
            json!({"sources": ["web"], "group": "pool", "order": "strict"}),
        ),
        api(
            Kind::Subscription,
            "b",
            json!({"sources": ["web"], "endpoint": "crm", "when": "event.type ==", "on_exhausted": "halt"}),
        ),
        api(
            Kind::Subscription,
            "c",
            json!({"sources": ["web"], "endpoint": "crm", "on_exhausted": "halt"}),
        ),
    ]);
    assert!(merged.plan.is_none());
    let found: BTreeSet<_> = merged
        .problems
        .iter()
        .map(|p| (p.code, p.place.path.as_str(), p.place.pointer.as_str()))
        .collect();
    assert_eq!(
        found,
        BTreeSet::from([
            ("SH0201", "group.pool.members[1]", "/members/1"),
            ("SH0129", "subscription.a.order", "/order"),
            ("SH0125", "subscription.b.when", "/when"),
            ("SH0129", "subscription.c.on_exhausted", "/on_exhausted"),
        ])
    );
}
