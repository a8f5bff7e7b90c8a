//! Endpoints: limits, identity, TLS, signatures and encryption.

use switchhook_core::endpoint::{Auth, Endpoint};
use switchhook_core::limit::rate::{Rate, Unit};
use switchhook_core::seal;

use super::*;

/// An endpoint and the secrets that the tests use.
pub(super) const BEFORE: &str = r#"
[secret.old]
env = "OLD"
[secret.new]
env = "NEW"
[endpoint.e]
url = "https://example.com/hook"
"#;

/// What can be wrong with it.
pub(super) const FAULTS: &[Fault] = &[
    ("rate = \"200\"", &["SH0128"]),
    ("rate = \"0/s\"", &["SH0128"]),
    ("rate = \"100001/s\"", &["SH0128"]),
    ("rate = 200", &["SH0103"]),
    ("adaptive = { max = 65 }", &["SH0105"]),
    ("adaptive = { max = 4, min = 5 }", &["SH0105"]),
    ("adaptive = { least = 1 }", &["SH0104"]),
    ("adaptive = \"yes\"", &["SH0103"]),
    ("retry_budget = { share = 1.5 }", &["SH0105"]),
    ("retry_budget = { share = 0, per_second = 0 }", &["SH0105"]),
    ("breaker = { failures = 0 }", &["SH0105"]),
    (
        "breaker = { open = \"10m\", open_max = \"5m\" }",
        &["SH0105"],
    ),
    ("breaker = { open = 30 }", &["SH0106"]),
    ("breaker = { fail = 1, share = 0.0 }", &["SH0104", "SH0105"]),
    ("auth = { scheme = \"digest\" }", &["SH0108"]),
    ("auth = { token = \"{{secret:new}}\" }", &["SH0102"]),
    (
        "auth = { scheme = \"bearer\", password = \"{{secret:new}}\" }",
        &["SH0102", "SH0104"],
    ),
    (
        "auth = { scheme = \"bearer\", token = \"abc\" }",
        &["SH0302"],
    ),
    (
        "auth = { scheme = \"bearer\", token = \"{{secret:non}}\" }",
        &["SH0202"],
    ),
    (
        "auth = { scheme = \"api-key\", key = \"***\" }",
        &["SH0306"],
    ),
    (
        "auth = { scheme = \"api-key\", key = \"{{secret:new}}\", header = \"Host\" }",
        &["SH0119"],
    ),
    (
        "auth = { scheme = \"basic\", username = \"a:b\", password = \"{{secret:new}}\" }",
        &["SH0118"],
    ),
    (
        "auth = { scheme = \"oauth2\", token_url = \"http://10.0.0.1/token\", client_id = \"a\", client_secret = \"{{secret:new}}\" }",
        &["SH0120"],
    ),
    (
        "auth = { scheme = \"bearer\", token = \"{{secret:new}}\" }\nheaders = { authorization = \"{{secret:old}}\" }",
        &["SH0309"],
    ),
    (
        "sign = { scheme = \"genesys\", secret = \"{{secret:new}}\", header = \"x-hub\" }\n\
         headers = { X-Hub = \"a\", X-Hub-Previous = \"b\" }",
        &["SH0309", "SH0309"],
    ),
    ("headers = { X-Genesys-Signature = \"a\" }", &["SH0119"]),
    (
        "sign = { scheme = \"genesys\", secret = \"{{secret:new}}\", header = \"X-Genesys-Signature\" }",
        &[],
    ),
    (
        "sign = { scheme = \"genesys\", secret = \"{{secret:new}}\", header = \"X-Delivery-Id\" }",
        &["SH0119"],
    ),
    (
        "sign = { scheme = \"genesys\", secret = \"{{secret:new}}\", header = \"x-key\" }\n\
         auth = { scheme = \"api-key\", key = \"{{secret:old}}\", header = \"X-Key\" }",
        &["SH0309"],
    ),
    (
        "sign = { scheme = \"hmac\", secret = \"{{secret:new}}\" }",
        &["SH0108"],
    ),
    (
        "sign = { scheme = \"standard-webhooks\", secret = \"{{secret:new}}\", header = \"x\" }",
        &["SH0104"],
    ),
    ("sign = []", &["SH0113"]),
    (
        "sign = { scheme = \"standard-webhooks\", secret = \"whsec_abc\" }",
        &["SH0302"],
    ),
    (
        "sign = [{ scheme = \"standard-webhooks\", secret = \"{{secret:new}}\" }, \
         { scheme = \"standard-webhooks\", secret = \"{{secret:old}}\" }]",
        &["SH0138"],
    ),
    ("encrypt = { key_id = \"k\" }", &["SH0102"]),
    (
        "encrypt = { secret = \"{{secret:new}}\", key_id = \"a b\" }",
        &["SH0105"],
    ),
    (
        "encrypt = { secret = \"written out\" }",
        &["SH0102", "SH0302"],
    ),
    (
        "encrypt = { secret = \"{{secret:new}}\", compat = \"seed-002\" }",
        &["SH0308"],
    ),
    (
        "encrypt = { secret = \"{{secret:new}}\", compat = \"seed-001\" }",
        &["SH0108"],
    ),
    ("tls = { verify = false }", &["SH0307"]),
    ("tls = { insecure_skip_verify = true }", &["SH0307"]),
    ("tls = { danger-accept-invalid-certs = true }", &["SH0307"]),
    ("insecure = true", &["SH0307"]),
    ("tls = { cert = \"a\" }", &["SH0104"]),
    ("tls = { client_cert = \"{{secret:new}}\" }", &["SH0102"]),
    ("tls = { client_key = \"{{secret:new}}\" }", &["SH0102"]),
    (
        "tls = { client_cert = \"PEM\", client_key = \"PEM\" }",
        &["SH0302"],
    ),
    ("tls = { pins = [\"sha256/AAAA\"] }", &["SH0135"]),
    ("tls = { pins = [] }", &["SH0113"]),
    (
        "[endpoint.f]\nurl = \"http://127.0.0.1/\"\nallow_private = [\"127.0.0.1/32\"]\ntls = { ca = \"{{secret:new}}\" }",
        &["SH0310"],
    ),
];

fn endpoint(text: &str) -> Arc<Endpoint> {
    let config = good(&format!("{BEFORE}{text}"));
    Arc::clone(&config.plan.endpoints["e"])
}

fn secrets(endpoint: &Endpoint) -> Vec<&str> {
    endpoint.secrets().map(|name| &**name).collect()
}

#[test]
fn an_endpoint_has_a_breaker_unless_it_is_switched_off_and_no_other_limit_unless_it_is_written() {
    let plain = endpoint("");
    let breaker = plain.breaker.clone().unwrap();
    assert_eq!(
        (
            breaker.failures,
            breaker.share,
            breaker.calls_min,
            breaker.window_ms
        ),
        (5, 0.5, 20, 30_000)
    );
    assert_eq!(
        (breaker.open_ms, breaker.open_max_ms, breaker.successes),
        (30_000, 300_000, 2)
    );
    assert_eq!(
        (
            plain.concurrency,
            plain.adaptive,
            plain.rate,
            plain.retry_budget
        ),
        (5, None, None, None)
    );
    assert_eq!(endpoint("breaker = true").breaker, plain.breaker);
    assert_eq!(endpoint("breaker = false").breaker, None);
}

#[test]
fn what_is_written_of_a_breaker_counts_and_the_rest_stays() {
    let breaker = endpoint("breaker = { failures = 3, open = \"10m\" }")
        .breaker
        .clone()
        .unwrap();
    assert_eq!(
        (
            breaker.failures,
            breaker.open_ms,
            breaker.open_max_ms,
            breaker.successes
        ),
        (3, 600_000, 600_000, 2)
    );
}

#[test]
fn limits_are_read_and_a_default_concurrency_does_not_hold_an_adaptive_one_down() {
    let all = endpoint(
        "rate = \"10/min\"\nadaptive = { max = 32, min = 2 }\nretry_budget = { share = 0.1 }",
    );
    let rate = Rate {
        count: 10,
        per: Unit::Minute,
    };
    let (adaptive, budget) = (all.adaptive.unwrap(), all.retry_budget.unwrap());
    assert_eq!((all.rate, all.concurrency), (Some(rate), 32));
    assert_eq!((adaptive.min, adaptive.max), (2, 32));
    assert_eq!((budget.share, budget.per_second), (0.1, 1));
    let both = endpoint("adaptive = true\nconcurrency = 8");
    assert_eq!((both.adaptive.unwrap().max, both.concurrency), (64, 8));
    let off = endpoint("adaptive = false\nretry_budget = false");
    assert_eq!(
        (off.adaptive, off.retry_budget, off.concurrency),
        (None, None, 5)
    );
}

#[test]
fn every_identity_can_be_written_and_names_its_secret() {
    let basic = endpoint(
        "auth = { scheme = \"basic\", username = \"ops\", password = \"{{secret:new}}\" }",
    );
    assert!(matches!(&basic.auth, Some(Auth::Basic { username, .. }) if &**username == "ops"));
    let bearer = endpoint("auth = { scheme = \"bearer\", token = \"{{secret:new}}\" }");
    assert!(matches!(&bearer.auth, Some(Auth::Bearer(_))));
    let key = endpoint("auth = { scheme = \"api-key\", key = \"{{secret:new}}\" }");
    assert!(matches!(&key.auth, Some(Auth::ApiKey { header, .. }) if header == "x-api-key"));
    let oauth2 = endpoint(
        "allow_private = [\"10.0.0.0/8\"]\n\
         [endpoint.e.auth]\nscheme = \"oauth2\"\ntoken_url = \"http://10.0.0.1/token\"\nclient_id = \"id\"\n\
         client_secret = \"{{secret:new}}\"\nscope = \"a b\"\nin_body = true",
    );
    let Some(Auth::ClientCredentials(credentials)) = &oauth2.auth else {
        panic!("{:?}", oauth2.auth)
    };
    assert_eq!(credentials.token_url.as_str(), "http://10.0.0.1/token");
    assert_eq!(
        (&*credentials.client_id, credentials.scope.as_deref()),
        ("id", Some("a b"))
    );
    assert_eq!(
        (credentials.audience.as_deref(), credentials.in_body),
        (None, true)
    );
    for endpoint in [basic, bearer, key, oauth2] {
        assert_eq!(secrets(&endpoint), ["new"]);
    }
}

#[test]
fn tls_can_be_made_stricter_never_weaker() {
    let digest = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE=";
    let strict = endpoint(&format!(
        "tls = {{ ca = \"{{{{secret:old}}}}\", client_cert = \"{{{{secret:new}}}}\", client_key = \"{{{{secret:new}}}}\", \
         pins = [\"sha256/{digest}\"] }}"
    ));
    let mut pin = [0; 32];
    pin[31] = 1;
    assert_eq!(
        (strict.tls.pins.as_slice(), strict.tls.client.is_some()),
        ([pin].as_slice(), true)
    );
    assert_eq!(secrets(&strict), ["old", "new", "new"]);
}

#[test]
fn both_secrets_sign_while_one_rotates_and_several_schemes_may_sign_at_once() {
    let one = endpoint(
        "sign = { scheme = \"standard-webhooks\", secret = \"{{secret:new}}\", previous = \"{{secret:old}}\" }",
    );
    assert_eq!((one.signers.len(), secrets(&one)), (1, vec!["new", "old"]));
    let several = endpoint(
        "sign = [{ scheme = \"standard-webhooks-ed25519\", secret = \"{{secret:new}}\" }, \
         { scheme = \"standard-webhooks\", secret = \"{{secret:new}}\" }, \
         { scheme = \"genesys\", secret = \"{{secret:new}}\" }, \
         { scheme = \"genesys\", secret = \"{{secret:old}}\", header = \"x-hub\" }]",
    );
    assert_eq!(several.signers.len(), 4);
}

#[test]
fn an_encryption_key_is_called_like_its_secret_unless_it_has_an_id() {
    let named = endpoint("encrypt = { secret = \"{{secret:new}}\" }")
        .seal
        .clone()
        .unwrap();
    assert_eq!(
        (named.scheme, &*named.key_id),
        (seal::Scheme::Standard, "new")
    );
    let with_id =
        "encrypt = { secret = \"{{secret:new}}\", key_id = \"2026-11\", compat = \"seed-002\" }";
    let with_id = endpoint(with_id).seal.clone().unwrap();
    assert_eq!(
        (with_id.scheme, &*with_id.key_id),
        (seal::Scheme::Seed002, "2026-11")
    );
}

#[test]
fn problems_of_an_endpoint_say_what_to_do() {
    let text = r#"[endpoint.crm]
url = "https://crm.example.com/hook"
rate = "200 per second"
adaptive = { max = 100 }
breaker = { failure = 3 }
auth = { scheme = "bearer", token = "hunter2" }
headers = { Authorization = "Bearer hunter2" }
sign = { scheme = "standard-webhook", secret = "{{secret:crm}}" }
encrypt = { secret = "{{secret:crm}}", compat = "seed-002" }

[endpoint.crm.tls]
verify = false
client_key = "hunter2"
pins = ["sha256/short"]
"#;
    let shown = render_all(&load_text(text).problems);
    assert!(!shown.contains("hunter2"), "{shown}");
    insta::assert_snapshot!("endpoint_problems", shown);
}
