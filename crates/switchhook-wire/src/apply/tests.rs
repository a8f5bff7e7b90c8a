//! Steps, differences and exports, without a gateway.

use serde_json::json;

use super::*;
use crate::config::{Declaration, check_declarations};

const FILE: &str = r#"
name = "prod"
[policy.slow]
fixed = { delay = "1h" }
[source.web]
verify = { scheme = "open-messaging", secrets = ["{{secret:web}}"] }
[endpoint.crm]
url = "https://crm.example.com/hook"
timeout = { total = "5s" }
[subscription.web-to-crm]
sources = ["web"]
endpoint = "crm"
policy = "slow"
order = "none"
"#;

fn declared(text: &str) -> Vec<DeclaredResource> {
    let read = Declaration::read(text, "prod.toml", &|_| None);
    read.unwrap_or_else(|problems| panic!("{problems:?}"))
        .resources()
}

fn prod() -> BTreeSet<String> {
    BTreeSet::from(["prod".to_owned()])
}

fn view(kind: &str, name: &str, managed_by: Option<&str>, body: Json) -> ResourceView {
    ResourceView {
        kind: kind.to_owned(),
        name: name.to_owned(),
        id: None,
        version: 1,
        etag: format!("\"{name}\""),
        owner: Owner::Api,
        defined_at: None,
        managed_by: managed_by.map(str::to_owned),
        updated_at: None,
        body: masked(&body),
    }
}

/// A gateway that has what `text` declares.
fn applied(text: &str, managed_by: Option<&str>) -> Vec<ResourceView> {
    let all = declared(text).into_iter();
    all.map(|it| view(it.kind.name(), &it.name, managed_by, it.body))
        .collect()
}

fn told(steps: &[Step]) -> Vec<String> {
    let tell = |step: &Step| format!("{} {}", step.action.name(), step.object());
    steps.iter().map(tell).collect()
}

#[test]
fn what_is_mentioned_is_made_first_and_deleted_last() {
    let made = steps(&declared(FILE), &prod(), &[], false);
    assert_eq!(
        told(&made),
        [
            "create policy/slow",
            "create source/web",
            "create endpoint/crm",
            "create subscription/web-to-crm"
        ]
    );
    let gone = steps(&[], &prod(), &applied(FILE, Some("prod")), false);
    assert_eq!(
        told(&gone),
        [
            "delete subscription/web-to-crm",
            "delete endpoint/crm",
            "delete source/web",
            "delete policy/slow"
        ]
    );
    assert!(gone.iter().all(|step| step.etag.is_some()));
}

#[test]
fn after_an_apply_nothing_is_left_to_do() {
    let left = steps(
        &declared(FILE),
        &prod(),
        &applied(FILE, Some("prod")),
        false,
    );
    assert!(left.iter().all(|step| !step.is_to_do()), "{left:?}");
    assert_eq!(left.len(), 4);
}

#[test]
fn a_change_names_the_fields_and_shows_no_secret() {
    let changed = FILE
        .replace("5s", "9s")
        .replace("\"https://crm", "\"https://user:hunter2@crm");
    let found = steps(
        &declared(&changed),
        &prod(),
        &applied(FILE, Some("prod")),
        false,
    );
    let crm = found.iter().find(|step| step.name == "crm").unwrap();
    assert_eq!(crm.action, Action::Update);
    let fields: Vec<_> = crm
        .fields
        .iter()
        .map(|it| (&*it.pointer, &it.file))
        .collect();
    let expected = [
        ("/timeout/total", Some(json!("9s"))),
        ("/url", Some(json!("***"))),
    ];
    let expected: Vec<_> = expected.iter().map(|(at, file)| (*at, file)).collect();
    assert_eq!(fields, expected);
    let shown = serde_json::to_string(&found).unwrap();
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn what_belongs_to_others_is_a_conflict_and_only_another_file_can_be_taken_over() {
    let mut current = applied(FILE, Some("prod"));
    current[0].managed_by = Some("test".to_owned());
    current[1].owner = Owner::File;
    current[1].managed_by = None;
    current[1].defined_at = Some("switchhook.toml:7".to_owned());
    let conflicts = |take_over| {
        let found = steps(&declared(FILE), &prod(), &current, take_over);
        let conflicts = found.into_iter().filter_map(|step| step.conflict);
        conflicts.collect::<Vec<_>>()
    };
    let own = "declared by the gateway's own file at switchhook.toml:7";
    let both = conflicts(false);
    assert_eq!(both.len(), 2);
    assert!(both.contains(&own.to_owned()));
    assert_eq!(conflicts(true), [own]);
    // Both files are at hand: the resource has moved from one to the other.
    let mut names = prod();
    names.insert("test".to_owned());
    let moved = steps(&declared(FILE), &names, &current[..1], false);
    let moved = moved.iter().find(|step| step.takes_over).unwrap();
    assert!(moved.adopts && moved.conflict.is_none());
}

#[test]
fn what_was_made_by_hand_and_is_the_same_is_adopted_and_nothing_else_of_it_is_deleted() {
    let mut current = applied(FILE, None);
    current.push(view(
        "endpoint",
        "by-hand",
        None,
        json!({"url": "https://x.example/"}),
    ));
    let found = steps(&declared(FILE), &prod(), &current, false);
    assert_eq!(found.len(), 4);
    assert!(
        found
            .iter()
            .all(|step| step.action == Action::Unchanged && step.adopts)
    );
}

#[test]
fn the_built_in_policy_is_made_like_one_that_is_not_there() {
    let mut standard = view("policy", "standard", None, json!({"max_attempts": 7}));
    standard.owner = Owner::BuiltIn;
    let file = "[policy.standard]\nfixed = { delay = \"1m\" }";
    let found = steps(&declared(file), &prod(), &[standard], false);
    assert_eq!(told(&found), ["create policy/standard"]);
    assert_eq!(found[0].etag, None);
}

/// Bodies as people make them, with everything that TOML and the masks make difficult.
fn by_hand() -> Vec<ResourceView> {
    let headers =
        json!({"X-Price": "$${amount}", "X-Ä \"q\"": "a\nb", "Authorization": "Bearer abc"});
    vec![
        view(
            "policy",
            "p.1",
            None,
            json!({"exponential": {"initial": "1s", "factor": 2.0}, "rule": [{"on": [429], "do": "retry"}, {"on": ["5xx"], "do": "hold"}]}),
        ),
        view(
            "source",
            "web",
            None,
            json!({"verify": {"scheme": "open-messaging", "secrets": ["{{secret:web}}"]}}),
        ),
        view(
            "endpoint",
            "crm",
            None,
            json!({"url": "https://crm.example.com/hook", "headers": headers, "sign": [{"scheme": "genesys", "secret": "literal"}], "breaker": false}),
        ),
        view(
            "subscription",
            "a",
            None,
            json!({"sources": ["web"], "endpoint": "crm", "types": [], "order": "none"}),
        ),
    ]
}

#[test]
fn a_plan_of_an_export_is_empty_masks_and_all() {
    let views = by_hand();
    let text = export(&views, None);
    let read = Declaration::read(&text, "all.toml", &|_| None);
    let read = read.unwrap_or_else(|problems| panic!("{problems:?}\n{text}"));
    let names = BTreeSet::from([read.name.clone()]);
    let found = steps(&read.resources(), &names, &views, false);
    assert_eq!(found.len(), views.len());
    assert!(
        found.iter().all(|step| step.action == Action::Unchanged),
        "{found:#?}"
    );
    let adopted: Vec<_> = found
        .iter()
        .filter(|step| step.adopts)
        .map(|step| &*step.name)
        .collect();
    assert_eq!(
        adopted,
        ["p.1", "web", "a"],
        "what is masked cannot be sent back"
    );
    // The masks are no problem as long as nothing changes, and one when something does.
    let problems = check_declarations(&[read], &[], ["web".into()]);
    let masks = |found: &[Problem]| {
        found
            .iter()
            .filter(|it| it.code == codes::MASKED.id)
            .count()
    };
    assert!(masks(&problems) > 0);
    assert_eq!(masks(&relevant(problems, &found)), 0);
    let text = text.replace("breaker = false", "breaker = true");
    let read = Declaration::read(&text, "all.toml", &|_| None).unwrap();
    let found = steps(&read.resources(), &names, &views, false);
    let problems = check_declarations(&[read], &[], ["web".into()]);
    assert!(masks(&relevant(problems, &found)) > 0);
}

#[test]
fn an_export_says_what_it_cannot_say() {
    let view = view(
        "endpoint",
        "crm",
        None,
        json!({"url": "https://a.example/", "x": [null]}),
    );
    let text = export(&[view], Some("prod"));
    assert_eq!(
        text,
        "name = \"prod\"\n\n# endpoint `crm` is left out: TOML has no null, and one stands at /x/0\n"
    );
}
