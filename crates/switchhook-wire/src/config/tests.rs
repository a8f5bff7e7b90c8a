//! Whole files: what loads, what is found wrong, and how it is shown.

use std::collections::BTreeSet;
use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::json;
use switchhook_core::retry::{Jitter, Schedule};
use switchhook_core::source::{DedupBy, Encoding, Verify};

use super::*;

/// The smallest useful file of the design.
const SMALLEST: &str = r#"
[server]
ingest = "127.0.0.1:8080"
admin = "127.0.0.1:8081"
data_dir = "./data"

[secret.web]
file = "./secrets/web"              # or env = "WEB_SECRET"

[source.web]                        # POST /in/web
verify = { scheme = "open-messaging", secrets = ["{{secret:web}}"] }
type = "/type"                      # JSON pointer to the event type; presets know theirs
key = ["/channel/from/id"]          # ordering key, first that is present
dedup = { id = "/id", window = "25h" }

[policy.standard]
exponential = { initial = "1s", factor = 2.0, max = "10m" }    # or matrix = { delays = ["5s", "15s", "45s"] }
jitter = { additive = 0.25 }
max_attempts = 12
max_age = "24h"

[endpoint.crm]
url = "http://127.0.0.1:9000/hook"
allow_private = ["127.0.0.0/8"]     # private addresses and plain http are refused unless listed
concurrency = 16
timeout = "10s"

[subscription.web-to-crm]
sources = ["web"]
types = ["*"]
endpoint = "crm"                    # or group = "pool"
policy = "standard"
order = "none"                      # none | key | strict
"#;

/// Ten different mistakes.
const TEN: &str = r#"version = 1

[server]
ingest = "localhost:8080"

[secret.web]
env = "WEB_SECRET"

[source.web]
verify = { scheme = "open-mesaging", secrets = ["{{secret:web}}"] }
type = "type"

[policy.standard]
exponential = { initial = 5, max = "10m" }
max_atempts = 8

[policy.slow]
fixed = { delay = "1h" }
matrix = { delays = ["1m"] }

[endpoint.crm]
url = "https://crm.example.com/hook"
concurrency = "many"
timeout = "${env:CRM_TIMEOUT}"

[subscription.web-to-crm]
sources = ["web"]
endpoint = "crn"
order = "key"
"#;

fn no_env(_: &str) -> Option<String> {
    None
}

fn load_text(text: &str) -> Loaded {
    load_toml(text, "switchhook.toml", &no_env)
}

fn codes_of(problems: &[Problem]) -> Vec<&'static str> {
    problems.iter().map(|problem| problem.code).collect()
}

/// The configuration of a text without errors.
fn good(text: &str) -> Config {
    let loaded = load_text(text);
    loaded
        .config
        .unwrap_or_else(|| panic!("{}", render_all(&loaded.problems)))
}

#[test]
fn the_smallest_useful_file_loads_without_problems() {
    let loaded = load_text(SMALLEST);
    assert_eq!(render_all(&loaded.problems), "");
    let config = loaded.config.unwrap();
    assert_eq!(
        config.plan.subscriptions["web-to-crm"].endpoint,
        "crm".into()
    );
    assert_eq!(config.plan.policies["standard"].max_attempts, 12);
    assert_eq!(config.plan.endpoints["crm"].concurrency, 16);
    assert!(matches!(
        config.plan.sources["web"].verify,
        Verify::Hmac {
            encoding: Encoding::Base64,
            ..
        }
    ));
    let origin = config.origin(Kind::Source, "web").unwrap();
    assert_eq!(
        (origin.owner, origin.defined_at.as_deref()),
        (Owner::File, Some("switchhook.toml:10"))
    );
}

#[test]
fn an_empty_file_gives_the_defaults() {
    let config = good("");
    assert_eq!(config.server, Server::default());
    assert_eq!(config.store.durability, Durability::Fsync);
    assert_eq!(
        config
            .plan
            .policies
            .keys()
            .map(|k| &**k)
            .collect::<Vec<_>>(),
        [STANDARD]
    );
    assert_eq!(
        config.origin(Kind::Policy, STANDARD).unwrap().owner,
        Owner::BuiltIn
    );
}

#[test]
fn ten_mistakes_are_reported_at_once_with_their_lines() {
    let loaded = load_text(TEN);
    assert!(loaded.config.is_none());
    let codes: BTreeSet<_> = codes_of(&loaded.problems).into_iter().collect();
    assert_eq!((loaded.problems.len(), codes.len()), (10, 10));
    insta::assert_snapshot!("ten_mistakes", render_all(&loaded.problems));
    insta::assert_json_snapshot!("first_of_ten_as_json", loaded.problems[0]);
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
        path: read::Path::resource("policy", STANDARD),
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

/// One text for each code, with the codes that it gives.
const FAULTS: &[(&str, &[&str])] = &[
    ("[server\n", &["SH0101"]),
    ("[source.a]\n", &["SH0102"]),
    ("[server]\nmax_connections = true", &["SH0103"]),
    ("[server]\nmax_connections = \"8\"", &["SH0103"]),
    ("source = 1", &["SH0103"]),
    ("[sources.a]\n", &["SH0104"]),
    ("[server]\nmax_connections = 0", &["SH0105"]),
    ("[server]\nshutdown_drain = \"6m\"", &["SH0105"]),
    (
        "[policy.p]\nfixed = { delay = \"1s\" }\nmax_attempts = 101",
        &["SH0105"],
    ),
    (
        "[policy.p]\nfixed = { delay = \"1s\" }\nmax_age = \"2d\"",
        &["SH0105"],
    ),
    (
        "[policy.p]\nexponential = { initial = \"1m\", max = \"1s\" }",
        &["SH0105"],
    ),
    ("[policy.p]\nfixed = { delay = \"0s\" }", &["SH0105"]),
    ("[server]\nshutdown_drain = 20", &["SH0106"]),
    ("[server]\nshutdown_drain = \"20\"", &["SH0106"]),
    (
        "[source.a]\nverify = { scheme = \"none\" }\nbody_max = \"5 MB\"",
        &["SH0107"],
    ),
    ("[store]\ndurability = \"maybe\"", &["SH0108"]),
    ("[secret.A]\nenv = \"A\"", &["SH0109"]),
    ("[policy.\"a b\"]\nfixed = { delay = \"1s\" }", &["SH0109"]),
    ("[secret.a]\n", &["SH0110"]),
    ("[secret.a]\nenv = \"A\"\nfile = \"a\"", &["SH0110"]),
    ("version = 2", &["SH0112"]),
    (
        "[subscription.s]\nsources = []\nendpoint = \"e\"\n[endpoint.e]\nurl = \"https://example.com\"",
        &["SH0113"],
    ),
    ("[server]\ndata_dir = \"\"", &["SH0113"]),
    (
        "[source.a]\nverify = { scheme = \"none\" }\nkey = [\"a\"]",
        &["SH0114"],
    ),
    (
        "[subscription.s]\nsources = [\"switchhook\"]\ntypes = [\"a*b\"]\nendpoint = \"e\"\n\
         [endpoint.e]\nurl = \"https://example.com\"",
        &["SH0115"],
    ),
    ("[server]\nadmin = \"8081\"", &["SH0116"]),
    (
        "[policy.p]\nfixed = { delay = \"10h\" }\nmax_attempts = 9",
        &["SH0117"],
    ),
    (
        "[endpoint.e]\nurl = \"https://example.com\"\nheaders = { \"a b\" = \"c\" }",
        &["SH0118"],
    ),
    (
        "[endpoint.e]\nurl = \"https://example.com\"\nheaders = { A = \"c\", a = \"d\" }",
        &["SH0118"],
    ),
    (
        "[endpoint.e]\nurl = \"https://example.com\"\nheaders = { A = \"{{nothing}}\" }",
        &["SH0118"],
    ),
    (
        "[endpoint.e]\nurl = \"https://example.com\"\nheaders = { Host = \"c\" }",
        &["SH0119"],
    ),
    (
        "[endpoint.e]\nurl = \"https://example.com\"\nheaders = { webhook-id = \"c\" }",
        &["SH0119"],
    ),
    (
        "[endpoint.e]\nurl = \"https://example.com\"\nheaders = { Content-Type = \"c\" }",
        &["SH0119"],
    ),
    ("[endpoint.e]\nurl = \"example.com\"", &["SH0120"]),
    ("[endpoint.e]\nurl = \"http://127.0.0.1/\"", &["SH0120"]),
    (
        "[endpoint.e]\nurl = \"https://example.com\"\nallow_private = [\"10.0.0.0/33\"]",
        &["SH0121"],
    ),
    (
        "[policy.p]\nfixed = { delay = \"1s\" }\n[[policy.p.rule]]\non = [\"6xx\"]\ndo = \"retry\"",
        &["SH0122"],
    ),
    (
        "[subscription.s]\nsources = [\"switchhook\"]\nendpoint = \"e\"\norder = \"strict\"\n\
         [endpoint.e]\nurl = \"https://example.com\"",
        &["SH0124"],
    ),
    (
        "[subscription.s]\nsources = [\"a\"]\nendpoint = \"e\"\npolicy = \"p\"",
        &["SH0201", "SH0201", "SH0201"],
    ),
    (
        "[source.a]\nverify = { scheme = \"bearer\", secrets = [\"{{secret:x}}\"] }",
        &["SH0202"],
    ),
    (
        "[endpoint.e]\nurl = \"https://example.com\"\nheaders = { A = \"{{secret:x}}\" }",
        &["SH0202"],
    ),
    ("[server]\nmax_connections = \"${env:X}\"", &["SH0203"]),
    ("[server]\ndata_dir = \"${X}\"", &["SH0204"]),
    (
        "[source.a]\nverify = { scheme = \"bearer\", secrets = [\"a{{secret:x}}\"] }",
        &["SH0204"],
    ),
    (
        "[source.switchhook]\nverify = { scheme = \"none\" }",
        &["SH0206"],
    ),
    (
        "[endpoint.e]\nurl = \"https://example.com\"\nheaders = { Authorization = \"Bearer x\" }",
        &["SH0301"],
    ),
    (
        "[source.a]\nverify = { scheme = \"bearer\", secrets = [\"abc\"] }",
        &["SH0302"],
    ),
    (
        "[secret.s]\nenv = \"S\"\n[source.a]\nverify = { scheme = \"genesys-signature\", secrets = [\"{{secret:s}}\"] }\n\
         dedup = { off = true }",
        &["SH0303"],
    ),
    (
        "[server]\ningest = \"0.0.0.0:8080\"\n[source.a]\nverify = { scheme = \"none\" }",
        &["SH0304"],
    ),
    (
        "[source.a]\nverify = { scheme = \"none\" }\nkeep_headers = [\"Authorization\"]",
        &["SH0305"],
    ),
    (
        "[source.a]\nverify = { scheme = \"bearer\", secrets = [\"***\"] }",
        &["SH0306"],
    ),
    (
        "[endpoint.e]\nurl = \"https://a.example\"\nheaders = { Authorization = \"***\" }",
        &["SH0306"],
    ),
];

#[test]
fn each_fault_gives_its_code_and_nothing_else() {
    for (text, want) in FAULTS {
        let loaded = load_text(text);
        assert_eq!(
            codes_of(&loaded.problems),
            *want,
            "{text}\n{}",
            render_all(&loaded.problems)
        );
        let is_error = loaded.problems.iter().any(Problem::is_error);
        assert_eq!(loaded.config.is_none(), is_error, "{text}");
        for problem in &loaded.problems {
            assert!(!problem.message.ends_with('.'), "{}", problem.message);
        }
    }
}

#[test]
fn every_code_is_unique_explained_and_raised_by_a_test() {
    let ids: BTreeSet<_> = codes::ALL.iter().map(|code| code.id).collect();
    assert_eq!(ids.len(), codes::ALL.len());
    let mut raised: BTreeSet<_> = FAULTS
        .iter()
        .flat_map(|(_, codes)| *codes)
        .copied()
        .collect();
    // These need more than a short text; each has its own test below.
    raised.extend(["SH0100", "SH0111", "SH0123", "SH0205"]);
    assert_eq!(ids, raised);
    for code in codes::ALL {
        assert!(code.explanation.len() > 40, "{}", code.id);
        assert_eq!(codes::find(&code.id.to_lowercase()), Some(*code));
    }
}

#[test]
fn everything_has_a_bound() {
    let large = "#".repeat(FILE_BYTES_MAX + 1);
    assert_eq!(codes_of(&load_text(&large).problems), ["SH0100"]);
    let pointers = vec!["\"/a\""; 17].join(",");
    let many = format!("[source.a]\nverify = {{ scheme = \"none\" }}\nkey = [{pointers}]");
    assert_eq!(codes_of(&load_text(&many).problems), ["SH0111"]);
    let literal: String = (0..600)
        .map(|n| format!("[source.s{n}]\nverify = {{ scheme = \"bearer\", secrets = [\"a\"] }}\n"))
        .collect();
    let loaded = load_text(&literal);
    assert_eq!(loaded.problems.len(), read::PROBLEMS_MAX + 1);
    assert!(
        loaded.config.is_some(),
        "warnings alone keep nothing from being put in force"
    );
    let loaded = load_text(&format!("{literal}wrong = 1"));
    assert!(
        loaded.config.is_none(),
        "no number of warnings hides an error"
    );
    let wrong: String = (0..600).map(|n| format!("wrong{n} = 1\n")).collect();
    let problems = load_text(&wrong).problems;
    assert_eq!(problems.len(), read::PROBLEMS_MAX + 1);
    let last = problems.last().unwrap();
    assert_eq!(
        (last.code, &*last.message),
        ("SH0123", "100 more problems are not shown")
    );
}

#[test]
fn a_broken_resource_is_not_reported_as_missing_too() {
    let text =
        "[endpoint.e]\nurl = 1\n[subscription.s]\nsources = [\"switchhook\"]\nendpoint = \"e\"";
    assert_eq!(codes_of(&load_text(text).problems), ["SH0103"]);
}

#[test]
fn a_schedule_that_does_not_fit_names_the_last_attempt_that_does() {
    let text = "[policy.p]\nfixed = { delay = \"10h\" }\njitter = \"none\"\nmax_attempts = 9";
    let problems = load_text(text).problems;
    assert_eq!(
        problems[0].message,
        "9 attempts can take 3d8h, longer than max_age 1d"
    );
    assert_eq!(
        problems[0].hint.as_deref(),
        Some("attempt 3 (after at most 20h) is the last that surely fits")
    );
}

#[test]
fn a_preset_knows_what_its_sender_does() {
    let text = r#"
        [secret.s]
        env = "S"
        [source.om]
        preset = "open-messaging"
        verify = { secrets = ["{{secret:s}}"] }
        [source.eb]
        preset = "eventbridge"
        verify = { scheme = "api-key", secrets = ["{{secret:s}}"] }
        dedup = { window = "6d" }
        [source.sw]
        preset = "standard-webhooks"
        verify = { secrets = ["{{secret:s}}"] }
        [source.gc]
        preset = "genesys"
        verify = { secrets = ["{{secret:s}}"] }
    "#;
    let plan = good(text).plan;
    assert!(
        matches!(&plan.sources["om"].verify, Verify::Hmac { prefix, .. } if &**prefix == "sha256=")
    );
    assert!(matches!(&plan.sources["om"].dedup.by, DedupBy::Pointers(all) if all.len() == 2));
    let eb = &plan.sources["eb"];
    assert!(matches!(&eb.verify, Verify::Token { header, .. } if &**header == "x-api-key"));
    assert_eq!((eb.key.len(), eb.dedup.window_ms), (3, 6 * 86_400_000));
    let sw = &plan.sources["sw"];
    assert!(matches!(
        &sw.verify,
        Verify::StandardWebhooks {
            tolerance_ms: 300_000,
            ..
        }
    ));
    assert!(matches!(&sw.dedup.by, DedupBy::Header(name) if &**name == "webhook-id"));
    assert!(matches!(
        &plan.sources["gc"].verify,
        Verify::Hmac {
            encoding: Encoding::Hex,
            ..
        }
    ));
}

#[test]
fn a_key_of_another_scheme_is_refused_and_eventbridge_must_name_its_scheme() {
    let text = "[source.a]\nverify = { scheme = \"none\", header = \"x\" }";
    assert_eq!(codes_of(&load_text(text).problems), ["SH0104"]);
    let text = "[source.a]\npreset = \"eventbridge\"\nverify = { secrets = [\"${env:X:-a}\"] }";
    assert_eq!(codes_of(&load_text(text).problems), ["SH0102"]);
}

#[test]
fn every_schedule_and_jitter_can_be_written() {
    let text = r#"
        [policy.a]
        linear = { initial = "1s", step = "2s", max = "1m30s" }
        jitter = "decorrelated"
        retry_after_max = "1h"
        [[policy.a.rule]]
        on = [408, "5xx", "500-503", "timeout", "*"]
        do = "hold"
        [policy.b]
        matrix = { delays = ["0s", "15s"] }
        jitter = { plus-minus = 0.15 }
        [policy.c]
        exponential = { initial = "250ms", factor = 3, max = "1d" }
        jitter = "full"
        max_age = "7d"
        long = true
    "#;
    let plan = good(text).plan;
    let (a, b, c) = (
        &plan.policies["a"],
        &plan.policies["b"],
        &plan.policies["c"],
    );
    assert_eq!(
        a.schedule,
        Schedule::Linear {
            initial_ms: 1_000,
            step_ms: 2_000,
            max_ms: 90_000
        }
    );
    assert_eq!(
        (a.jitter, a.rules[0].on.len(), a.retry_after_max_ms),
        (Jitter::Decorrelated, 5, 3_600_000)
    );
    assert_eq!((b.jitter, b.max_attempts), (Jitter::PlusMinus(0.15), 3));
    assert_eq!(
        c.schedule,
        Schedule::Exponential {
            initial_ms: 250,
            factor: 3.0,
            max_ms: 86_400_000
        }
    );
    assert_eq!(c.max_age_ms, 7 * 86_400_000);
}

#[test]
fn a_whole_reference_may_stand_for_a_number_and_comments_are_left_alone() {
    let env = |name: &str| (name == "N").then(|| "512".to_owned());
    let text =
        "# ${env:NOT_SET}\n[server]\nmax_connections = \"${env:N}\"\ndata_dir = \"d${env:N}\"";
    let config = load_toml(text, "f", &env).config.unwrap();
    assert_eq!(
        (config.server.max_connections, config.server.data_dir),
        (512, PathBuf::from("d512"))
    );
}

#[test]
fn relative_paths_belong_to_the_directory_of_the_file() {
    let mut config = good("[secret.a]\nfile = \"s/a\"\n[secret.b]\nfile = \"/run/b\"");
    config.resolve_paths(Path::new("/etc/switchhook"));
    assert_eq!(config.server.data_dir, Path::new("/etc/switchhook/./data"));
    assert_eq!(
        config.secrets["a"],
        SecretOrigin::File("/etc/switchhook/s/a".into())
    );
    assert_eq!(config.secrets["b"], SecretOrigin::File("/run/b".into()));
}

#[test]
fn unverified_sources_need_loopback_or_a_written_word() {
    let source = "[source.a]\nverify = { scheme = \"none\" }\n";
    assert_eq!(codes_of(&load_text(source).problems), [""; 0]);
    let public = format!("{source}allow_unverified = true\n[server]\ningest = \"[::]:80\"");
    assert_eq!(codes_of(&load_text(&public).problems), [""; 0]);
}

fn api(kind: Kind, name: &str, body: serde_json::Value) -> ApiResource {
    ApiResource {
        kind,
        name: name.to_owned(),
        body,
    }
}

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
fn a_resource_of_the_api_may_use_the_secrets_of_the_directory_and_learns_where_a_missing_one_goes()
{
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
        let more = declared.with_secrets(["crm".into()], "/data/secrets".as_ref());
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
        (
            "wfm-key",
            "put its value into the file `/data/secrets/wfm-key`",
        ),
        (
            "cmr",
            "did you mean `crm`? If not, put its value into the file `/data/secrets/cmr`",
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
fn the_secrets_that_a_body_mentions_are_found_wherever_they_are() {
    let body = json!({
        "verify": {"secrets": ["{{secret:web}}", "plain", "{{secret:../x}}"]},
        "headers": {"A": "Bearer {{secret:a}}{{secret:b}} {{eventId}} {{secret:open"},
    });
    assert_eq!(secrets_in(&body), BTreeSet::from(["a", "b", "web"]));
}

#[test]
fn no_secret_is_in_a_problem_a_shown_body_or_a_debug_print() {
    let text = r#"
        [secret]
        loose = "hunter2-a"
        [secret.b]
        value = "hunter2-b"
        [source.a]
        verify = { scheme = "hmac", secrets = ["hunter2-c", "{{x}}hunter2-d"], secret = "hunter2-e" }
        [endpoint.e]
        url = "https://user:hunter2-f@example.com/"
        headers = { Authorization = "Bearer hunter2-g", X-Api-Key = 'hunter2-h' }
        wrong = 1
    "#;
    let loaded = load_text(text);
    let json = serde_json::to_string(&loaded.problems).unwrap();
    let all = format!("{}{json}{loaded:?}", render_all(&loaded.problems));
    assert!(!all.contains("hunter2"), "{all}");
    let broken = load_text("[source.a]\nverify = { secrets = [\"hunter2\", }\n");
    assert!(!format!("{}{broken:?}", render_all(&broken.problems)).contains("hunter2"));
    let config = good("[source.a]\nverify = { scheme = \"bearer\", secrets = [\"hunter2\"] }");
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn all_syntax_errors_are_shown() {
    let problems = load_text("[server]\ningest = \nadmin = \"a\nx = 1\nx = 2\n").problems;
    assert!(problems.len() >= 2, "{}", render_all(&problems));
    assert!(
        problems
            .iter()
            .all(|p| p.code == "SH0101" && p.place.line.is_some())
    );
}

proptest! {
    #[test]
    fn no_text_makes_reading_panic(text in "([a-z\\[\\]{}=.\"'#\\n 0-9$:/é-]|\\[source.a\\]\n|verify = |secrets){0,60}") {
        let loaded = load_text(&text);
        let _ = render_all(&loaded.problems);
        prop_assert_eq!(loaded.config.is_none(), loaded.problems.iter().any(Problem::is_error));
    }

    #[test]
    fn a_mangled_file_never_panics(at in 0..SMALLEST.len(), with in "[\\[\\]{}=\"\\n0-9a-z.é]{0,3}", cut in 0..20usize) {
        let end = (at + cut).min(SMALLEST.len());
        let (before, after) = (SMALLEST.get(..at).unwrap(), SMALLEST.get(end..).unwrap());
        let text = format!("{before}{with}{after}");
        let loaded = load_text(&text);
        let _ = render_all(&loaded.problems);
    }
}
