//! Each dialect by itself, and what one leaves of what another wrote.

use proptest::prelude::*;
use serde_json::{Value as Json, json};
use switchhook_core::retry::Policy;

use super::*;
use crate::config;

const ID: Uuid = Uuid::from_u128(0x0123_4567_89ab_8def_8123_4567_89ab_cdef);

/// A webhook that is kept as the gateway keeps it: bodies, and a policy that is read from its body.
struct Kept {
    bodies: Bodies,
    secrets: Vec<SecretChange>,
    reset: bool,
}

impl Kept {
    fn new() -> Self {
        Self {
            bodies: Bodies::new(),
            secrets: Vec::new(),
            reset: false,
        }
    }

    fn policy(&self) -> Policy {
        if self.bodies.policy.is_empty() {
            return config::standard();
        }
        let config = config::load_toml("", "t.toml", &|_| None).config.unwrap();
        let merged = config.declared.with_api(&[config::ApiResource {
            kind: config::Kind::Policy,
            name: "p".into(),
            body: Json::Object(self.bodies.policy.clone()),
        }]);
        let problems = merged.problems;
        let plan = merged.plan.unwrap_or_else(|| panic!("{problems:?}"));
        Policy::clone(&plan.policies["p"])
    }

    fn edit(&mut self, edit: &Edit) {
        let policy = self.policy();
        let allow = ["127.0.0.0/8".parse().unwrap()];
        let own = Own {
            name: "crm-sync-00000001",
            id: ID,
            allow_private: &allow,
            is_own_endpoint: true,
            policy: &policy,
        };
        let applied = edit.apply(&mut self.bodies, own);
        assert_eq!((applied.too_long, applied.faults), (None, vec![]));
        self.secrets = applied.secrets;
        self.reset = applied.is_retry_reset;
        if self.reset {
            self.bodies.policy.clear();
        }
    }

    fn send(&mut self, dialect: Dialect, body: &Json, how: How) {
        let edit = dialect
            .decode(body.to_string().as_bytes(), how)
            .unwrap_or_else(|faults| panic!("{faults:?}"));
        self.edit(&edit);
    }

    fn view(&self) -> Webhook {
        view(Parts {
            id: ID,
            name: "crm-sync-00000001",
            subscription: &Json::Object(self.bodies.subscription.clone()),
            endpoint: &Json::Object(self.bodies.endpoint.clone()),
            policy: &self.policy(),
            version: 3,
            etag: "\"e\"",
        })
    }

    fn shown(&self, dialect: Dialect) -> Json {
        dialect.encode(&self.view(), "http://127.0.0.1:8081")
    }
}

fn a() -> Json {
    json!({
        "name": "analytics-group-a1b2c3d4",
        "endpoint": "https://example.com/hook",
        "eventTypes": ["routing.queue.conversation.created", "call:created"],
        "retryPolicy": {"retryCount": 3, "retryInterval": "PT1M", "retryOnTimeout": false},
        "state": "disabled",
        "description": "Consumer group: analytics",
    })
}

fn b() -> Json {
    json!({
        "name": "Production",
        "address": "https://example.com/b",
        "enabled": true,
        "eventFilters": [
            {"eventType": "call:created", "filter": "true"},
            {"eventType": "call:answered", "filter": "event.data.a == 1"},
        ],
        "customProperties": {"webhook.signature.secret": "s3cr3t", "created.by": "me"},
    })
}

fn d() -> Json {
    json!({
        "name": "CRM-Sync",
        "type": "webhook",
        "enabled": true,
        "settings": {
            "url": "https://example.com/d",
            "httpMethod": "PUT",
            "contentType": "application/json",
            "headers": {"Authorization": "Bearer {{secret:crm}}", "X-Event": "{{eventId}}", "X-Api-Key": "k3y"},
            "retryPolicy": {"maxRetries": 5, "retryDelay": 1000, "retryPolicyType": "exponential", "jitter": true},
            "transformations": [{"type": "fieldMapping", "source": "queueName", "destination": "queue"}],
        },
    })
}

/// `json` without what the gateway adds.
fn bare(mut json: Json) -> Json {
    let object = json.as_object_mut().unwrap();
    for name in ["id", "version", "links", "selfUri"] {
        object.remove(name);
    }
    json
}

#[test]
fn what_a_dialect_writes_it_reads_back() {
    let mut kept = Kept::new();
    kept.send(Dialect::Webhooks, &a(), How::Create);
    assert_eq!(bare(kept.shown(Dialect::Webhooks)), a());

    let mut kept = Kept::new();
    kept.send(Dialect::Lifecycle, &b(), How::Create);
    let mut shown = bare(kept.shown(Dialect::Lifecycle));
    assert_eq!(shown["customProperties"]["webhook.signature.secret"], MASK);
    shown["customProperties"]["webhook.signature.secret"] = "s3cr3t".into();
    assert_eq!(shown, b());
    assert_eq!(kept.secrets.len(), 1);
    assert_eq!(kept.secrets[0].value.as_ref().unwrap().expose(), b"s3cr3t");

    let mut kept = Kept::new();
    kept.send(Dialect::Integrations, &d(), How::Create);
    let mut expected = d();
    let name = &kept.secrets[0].name;
    expected["settings"]["headers"]["X-Api-Key"] = format!("{{{{secret:{name}}}}}").into();
    assert_eq!(bare(kept.shown(Dialect::Integrations)), expected);
    assert_eq!(kept.view().events, []);
}

#[test]
fn an_identity_is_shown_in_every_dialect() {
    let mut kept = Kept::new();
    kept.send(Dialect::Webhooks, &a(), How::Create);
    for dialect in Dialect::ALL {
        let shown = kept.shown(dialect);
        assert_eq!(shown["id"], ID.to_string(), "{dialect:?}");
        assert_eq!(shown["name"], "analytics-group-a1b2c3d4", "{dialect:?}");
        assert_eq!(shown["version"], 3, "{dialect:?}");
    }
    assert_eq!(
        kept.shown(Dialect::Webhooks)["links"]["self"],
        format!("http://127.0.0.1:8081/api/v2/webhooks/{ID}")
    );
}

#[test]
fn no_dialect_shows_or_keeps_a_secret_in_clear() {
    let mut kept = Kept::new();
    kept.send(Dialect::Lifecycle, &b(), How::Create);
    kept.send(
        Dialect::Integrations,
        &json!({"settings": {"headers": {"Authorization": "Basic czNjcjN0"}}}),
        How::Patch,
    );
    let flat = json!({"name": "n", "url": "https://example.com/", "enabled": true, "method": "POST",
        "security": {"type": "basic", "value": "user:s3cr3t"}});
    kept.send(Dialect::Flat, &flat, How::Replace);
    let all = Dialect::ALL
        .map(|dialect| kept.shown(dialect).to_string())
        .concat();
    for secret in ["s3cr3t", "czNjcjN0"] {
        assert!(!all.contains(secret), "{all}");
        assert!(!format!("{:?}", kept.bodies).contains(secret));
        assert!(!format!("{:?}", kept.secrets).contains(secret));
    }
    assert_eq!(kept.view().security, SecurityKind::Basic);
}

#[test]
fn a_signature_secret_stays_under_its_mask_and_goes_when_it_is_empty() {
    let mut kept = Kept::new();
    kept.send(Dialect::Lifecycle, &b(), How::Create);
    let shown = kept.shown(Dialect::Lifecycle);
    let before = kept.bodies.clone();
    kept.send(Dialect::Lifecycle, &shown, How::Replace);
    assert_eq!(kept.bodies, before);
    assert!(kept.secrets.is_empty());
    let mut empty = b();
    empty["customProperties"]["webhook.signature.secret"] = "".into();
    kept.send(Dialect::Lifecycle, &empty, How::Replace);
    assert!(!kept.view().is_signed);
    assert!(kept.secrets[0].value.is_none());
    assert_eq!(kept.bodies.endpoint.get("sign"), None);
}

#[test]
fn another_signature_stays_beside_ours() {
    let mut kept = Kept::new();
    let other = json!({"scheme": "standard-webhooks", "secret": "{{secret:sw}}"});
    kept.bodies.endpoint.insert("sign".into(), other.clone());
    kept.send(Dialect::Lifecycle, &b(), How::Create);
    let signers = kept.bodies.endpoint["sign"].as_array().unwrap();
    assert_eq!(signers.len(), 2);
    assert_eq!(signers[0], other);
    assert_eq!(signers[1]["scheme"], "genesys");
}

#[test]
fn filters_are_kept_by_a_dialect_that_has_none() {
    let mut kept = Kept::new();
    kept.send(Dialect::Lifecycle, &b(), How::Create);
    let patch = json!({"eventTypes": ["call:answered", "message.create"]});
    kept.send(Dialect::Webhooks, &patch, How::Patch);
    let filters = kept.shown(Dialect::Lifecycle)["eventFilters"].clone();
    assert_eq!(
        filters,
        json!([
            {"eventType": "call:answered", "filter": "event.data.a == 1"},
            {"eventType": "message.create", "filter": "true"},
        ])
    );
}

#[test]
fn bindings_add_types_and_own_events_name_their_source() {
    let mut kept = Kept::new();
    kept.send(Dialect::Integrations, &d(), How::Create);
    assert_eq!(kept.bodies.subscription["sources"], json!(["*"]));
    let body = json!({"events": ["routing.queue.member.update", "integration.message.failed"]});
    let edit = integrations::decode_bindings(body.to_string().as_bytes()).unwrap();
    kept.edit(&edit);
    assert_eq!(kept.bodies.subscription["types"], body["events"]);
    assert_eq!(
        kept.bodies.subscription["sources"],
        json!(["*", "switchhook"])
    );
    kept.send(
        Dialect::Webhooks,
        &json!({"eventTypes": ["call:created"]}),
        How::Patch,
    );
    assert_eq!(kept.bodies.subscription["sources"], json!(["*"]));
}

#[test]
fn what_is_unknown_to_a_dialect_stays() {
    let mut kept = Kept::new();
    kept.send(Dialect::Integrations, &d(), How::Create);
    kept.bodies
        .subscription
        .insert("when".into(), "event.type != 'x'".into());
    kept.bodies.endpoint.insert("timeout".into(), "3s".into());
    kept.bodies
        .endpoint
        .insert("breaker".into(), json!({"failures": 3}));
    for (dialect, body) in [(Dialect::Webhooks, a()), (Dialect::Lifecycle, b())] {
        kept.send(dialect, &body, How::Replace);
        assert_eq!(kept.bodies.subscription["when"], "event.type != 'x'");
        assert_eq!(kept.bodies.endpoint["timeout"], "3s");
        assert_eq!(
            kept.bodies.subscription["map"],
            json!({"queue": "queueName"})
        );
        assert_eq!(kept.bodies.endpoint["headers"]["X-Event"], "{{eventId}}");
    }
}

#[test]
fn a_masked_header_keeps_its_value_and_one_that_is_left_out_goes() {
    let mut kept = Kept::new();
    kept.send(Dialect::Integrations, &d(), How::Create);
    kept.bodies.endpoint["headers"]["X-Old"] = "literal".into();
    let body = json!({"settings": {"headers": {"x-old": MASK, "X-New": "1"}}});
    kept.send(Dialect::Integrations, &body, How::Patch);
    assert_eq!(
        kept.bodies.endpoint["headers"],
        json!({"x-old": "literal", "X-New": "1"})
    );
    // The secret that the header named is no longer used.
    assert_eq!(kept.secrets.len(), 1);
    assert!(kept.secrets[0].value.is_none());
}

/// Field and code of every fault of `body`.
fn faults(dialect: Dialect, body: &Json, how: How) -> Vec<(String, &'static str)> {
    let faults = dialect
        .decode(body.to_string().as_bytes(), how)
        .unwrap_err();
    faults
        .into_iter()
        .map(|fault| (fault.field, fault.code.name()))
        .collect()
}

#[test]
fn every_fault_is_found_at_once() {
    let body = json!({
        "nam": "x",
        "name": 7,
        "endpoint": "not a url",
        "eventTypes": ["call:created", "call:created", "a.*.b", "call:create"],
        "retryPolicy": {"retryCount": 100, "retryInterval": "1 minute", "retries": 2},
        "state": "on",
        "id": "x",
    });
    let found = faults(Dialect::Webhooks, &body, How::Create);
    let expected = [
        ("nam", "unknown.field"),
        ("id", "invalid.value"),
        ("name", "invalid.value"),
        ("endpoint", "invalid.value"),
        ("eventTypes[1]", "invalid.value"),
        ("eventTypes[2]", "invalid.value"),
        ("state", "invalid.value"),
        ("retryPolicy.retries", "unknown.field"),
        ("retryPolicy.retryCount", "out.of.range"),
        ("retryPolicy.retryInterval", "invalid.value"),
        ("eventTypes[3]", "invalid.value"),
    ];
    assert_eq!(
        found,
        expected.map(|(field, code)| (field.to_owned(), code))
    );
    let faults = Dialect::Webhooks
        .decode(body.to_string().as_bytes(), How::Create)
        .unwrap_err();
    assert_eq!(faults[0].hint.as_deref(), Some("did you mean `name`?"));
    assert_eq!(Fault::status(&faults), 422);
    assert_eq!(
        Fault::status(&Dialect::Webhooks.decode(b"{", How::Create).unwrap_err()),
        400
    );
    assert_eq!(
        Fault::status(&Dialect::Webhooks.decode(b"[]", How::Create).unwrap_err()),
        400
    );
}

#[test]
fn an_event_type_that_nobody_knows_is_refused_unless_the_webhook_takes_it_already() {
    let mut kept = Kept::new();
    kept.bodies
        .subscription
        .insert("types".into(), json!(["order.placed"]));
    for (kinds, strange) in [
        (json!(["order.placed", "call:created"]), None),
        (json!(["order.payed"]), Some("eventTypes[0]")),
        (
            json!(["call:created", "call:cretaed"]),
            Some("eventTypes[1]"),
        ),
    ] {
        let body = json!({ "eventTypes": kinds }).to_string();
        let edit = Dialect::Webhooks
            .decode(body.as_bytes(), How::Patch)
            .unwrap();
        let policy = config::standard();
        let own = Own {
            name: "n",
            id: ID,
            allow_private: &[],
            is_own_endpoint: true,
            policy: &policy,
        };
        let faults = edit.apply(&mut kept.bodies.clone(), own).faults;
        let fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, strange.into_iter().collect::<Vec<_>>(), "{body}");
    }
}

#[test]
fn a_url_that_may_not_be_reached_is_told_beside_other_faults_and_by_itself() {
    let allow = ["127.0.0.0/8".parse().unwrap()];
    for (url, is_blocked) in [
        ("http://10.0.0.1/", true),
        ("https://example.com:22/", true),
        ("http://127.0.0.1:9000/", false),
        ("https://example.com/", false),
    ] {
        let mut body = a();
        body["endpoint"] = url.into();
        let whole = body.to_string();
        let decode =
            |text: &str| Dialect::Webhooks.decode_within(text.as_bytes(), How::Create, &allow);
        let policy = config::standard();
        let own = Own {
            name: "n",
            id: ID,
            allow_private: &allow,
            is_own_endpoint: true,
            policy: &policy,
        };
        let applied = decode(&whole).unwrap().apply(&mut Bodies::new(), own);
        assert_eq!(applied.is_blocked.is_some(), is_blocked, "{url}");
        body["state"] = "on".into();
        let faults = decode(&body.to_string()).unwrap_err();
        let fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
        let expected: &[&str] = if is_blocked {
            &["state", "endpoint"]
        } else {
            &["state"]
        };
        assert_eq!(fields, expected, "{url}");
    }
}

#[test]
fn what_must_be_there_is_missed_where_it_is_made_or_replaced_and_not_where_it_is_patched() {
    let empty = json!({});
    for how in [How::Create, How::Replace] {
        let missed = faults(Dialect::Webhooks, &empty, how);
        let names: Vec<&str> = missed.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(names, ["name", "endpoint", "eventTypes"]);
        assert!(faults(Dialect::Lifecycle, &empty, how).len() == 3);
    }
    for dialect in [Dialect::Webhooks, Dialect::Lifecycle, Dialect::Integrations] {
        assert!(dialect.decode(b"{}", How::Patch).is_ok(), "{dialect:?}");
    }
}

#[test]
fn limits_of_a_and_c_are_those_of_the_contract() {
    let kinds: Vec<String> = (0..16).map(|n| format!("v2.users.{n}.presence")).collect();
    let mut body = a();
    body["eventTypes"] = json!(kinds);
    assert_eq!(
        faults(Dialect::Webhooks, &body, How::Create),
        [("eventTypes".to_owned(), "out.of.range")]
    );
    body["eventTypes"] = json!(kinds[..15]);
    assert!(
        Dialect::Webhooks
            .decode(body.to_string().as_bytes(), How::Create)
            .is_ok()
    );
    body["eventTypes"] = json!([]);
    assert_eq!(
        faults(Dialect::Webhooks, &body, How::Create),
        [("eventTypes".to_owned(), "out.of.range")]
    );

    for (attempts, duration, status) in [
        (1, 1, 200),
        (100, 86_400, 200),
        (0, 1, 400),
        (101, 1, 400),
        (1, 0, 400),
        (1, 86_401, 400),
    ] {
        let inner = json!({"maxAttempts": attempts, "retryDuration": duration});
        for body in [inner.clone(), json!({"retryPolicy": inner})] {
            let decoded = Dialect::Notifications.decode(body.to_string().as_bytes(), How::Replace);
            let found = decoded.map_or_else(|faults| Fault::status(&faults), |_| 200);
            assert_eq!(found, status, "{body}");
        }
    }
    let both = json!({"maxAttempts": 1, "retryDuration": 1, "extra": 1});
    assert_eq!(
        faults(Dialect::Notifications, &both, How::Replace)[0].0,
        "extra"
    );
    let wrong = json!({"maxAttempts": "5", "retryDuration": 1});
    let faults = Dialect::Notifications
        .decode(wrong.to_string().as_bytes(), How::Replace)
        .unwrap_err();
    assert_eq!(Fault::status(&faults), 422);
}

#[test]
fn an_iso_duration_has_a_fixed_length_and_a_limit() {
    let of = |text: &str| {
        let mut body = a();
        body["retryPolicy"] = json!({"retryCount": 1, "retryInterval": text});
        let edit = Dialect::Webhooks
            .decode(body.to_string().as_bytes(), How::Create)
            .ok()?;
        match edit.retry {
            Some(Some(Retry::Interval { interval_ms, .. })) => Some(interval_ms),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(of("PT1M"), Some(60_000));
    assert_eq!(of("PT1H30M0.5S"), Some(5_400_500));
    assert_eq!(of("P1DT1S"), Some(86_401_000));
    for text in [
        "",
        "1m",
        "5 minutes",
        "P1M",
        "P1Y",
        "PT0S",
        "-PT1M",
        "P8D",
        "PT",
    ] {
        assert_eq!(of(text), None, "{text}");
    }
    assert_eq!(webhooks::iso_8601(60_000), "PT1M");
    assert_eq!(webhooks::iso_8601(90_500), "PT1M30.5S");
}

#[test]
fn a_fault_of_a_resource_is_told_by_the_field_of_the_dialect() {
    for (dialect, field) in [
        (Dialect::Webhooks, "endpoint"),
        (Dialect::Lifecycle, "address"),
        (Dialect::Integrations, "settings.url"),
        (Dialect::Flat, "url"),
        (Dialect::Notifications, "endpoint.url"),
    ] {
        assert_eq!(dialect.field("endpoint", "/url"), field);
    }
    assert_eq!(
        Dialect::Integrations.field("endpoint", "/headers/X-A"),
        "settings.headers.X-A"
    );
    assert_eq!(
        Dialect::Webhooks.field("policy", "/fixed/delay"),
        "retryPolicy.fixed.delay"
    );
}

#[test]
fn a_credential_is_found_where_the_endpoint_has_it() {
    for (endpoint, expected) in [
        (
            json!({"auth": {"scheme": "bearer", "token": "{{secret:a}}"}}),
            Some("{{secret:a}}"),
        ),
        (
            json!({"auth": {"scheme": "basic", "username": "u", "password": "{{secret:a}}"}}),
            Some("u:{{secret:a}}"),
        ),
        (
            json!({"headers": {"authorization": "Bearer {{secret:a}}"}}),
            Some("{{secret:a}}"),
        ),
        (json!({"headers": {"X-A": "Bearer x"}}), None),
        (
            json!({"auth": {"scheme": "oauth2", "client_id": "c"}}),
            None,
        ),
        (json!({}), None),
    ] {
        assert_eq!(credential(&endpoint).as_deref(), expected, "{endpoint}");
    }
}

proptest! {
    /// What is shown can be sent back, and then nothing has changed: not what the dialect shows, and not what it has no
    /// words for.
    #[test]
    fn sending_back_what_was_shown_changes_nothing(
        by in 0..3_usize,
        attempts in 1..=100_u16,
        duration_s in 1..=86_400_u64,
        enabled: bool,
        through in prop::sample::select(Dialect::ALL.to_vec()),
    ) {
        let mut kept = Kept::new();
        let (dialect, body) = match by {
            0 => (Dialect::Webhooks, a()),
            1 => (Dialect::Lifecycle, b()),
            _ => {
                let mut body = d();
                body["enabled"] = enabled.into();
                (Dialect::Integrations, body)
            }
        };
        kept.send(dialect, &body, How::Create);
        if dialect != Dialect::Webhooks {
            kept.edit(&Edit { retry: Some(Some(Retry::Spread { attempts, duration_s })), ..Edit::default() });
        }
        // An integration without bindings has no event type yet, and a webhook of A must have one.
        prop_assume!(through != Dialect::Webhooks || !kept.view().events.is_empty());
        let before = kept.bodies.clone();
        let shown = kept.shown(through);
        kept.send(through, &shown, How::Replace);
        prop_assert_eq!(&kept.bodies, &before);
        prop_assert!(kept.secrets.is_empty());
        prop_assert!(!kept.reset);
    }

    #[test]
    fn no_body_makes_a_decoder_panic(text in ".{0,200}") {
        for dialect in Dialect::ALL {
            for how in [How::Create, How::Replace, How::Patch] {
                let _ = dialect.decode(text.as_bytes(), how);
            }
        }
    }
}

#[test]
fn a_property_that_is_sent_back_as_its_mask_stays_what_it_is() {
    let mut kept = Kept::new();
    let mut body = b();
    body["customProperties"] = json!({"api-key": "k3y", "plan": "***", "made.by": "me"});
    kept.send(Dialect::Lifecycle, &body, How::Create);
    body["customProperties"] =
        json!({"api-key": "***", "plan": "***", "made.by": "***", "token": "***"});
    kept.send(Dialect::Lifecycle, &body, How::Replace);
    // What was not there before is left to the check of the resource, which refuses it.
    assert_eq!(
        kept.bodies.subscription["properties"],
        json!({"api-key": "k3y", "plan": "***", "made.by": "***", "token": "***"})
    );
    body["customProperties"] = json!({"api-key": "other"});
    kept.send(Dialect::Lifecycle, &body, How::Replace);
    assert_eq!(
        kept.bodies.subscription["properties"],
        json!({"api-key": "other"})
    );
}
