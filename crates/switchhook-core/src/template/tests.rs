use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::id::{EventId, Offset};
use crate::secret::Secret;
use crate::time::UnixMs;

struct Fixed(BTreeMap<&'static str, &'static [u8]>);

impl Lookup for Fixed {
    fn secret(&self, name: &str) -> Result<Secret, SecretError> {
        match self.0.get(name) {
            Some(bytes) => Ok(Secret::new(bytes.to_vec())),
            None => Err(SecretError {
                name: name.into(),
                reason: "is not configured".into(),
            }),
        }
    }
}

fn event(body: &str) -> Event {
    Event {
        offset: Offset(1),
        id: EventId(uuid::Uuid::from_u128(7)),
        source: "web".into(),
        kind: "order.paid".into(),
        key: None,
        received_at: UnixMs(0),
        headers: [].into(),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

fn fill(text: &str, body: &str) -> Result<HeaderValue, TemplateError> {
    let secrets = Fixed(BTreeMap::from([
        ("crm", &b"s3cr3t"[..]),
        ("broken", b"top\nsecret"),
        ("bytes", &[0xff]),
    ]));
    let event = event(body);
    let delivery = DeliveryId::derive(event.id, "crm");
    let values = Values {
        event: &event,
        delivery,
        attempt: 3,
        secrets: &secrets,
    };
    Template::parse(text)?.fill(&values)
}

#[test]
fn every_reference_is_filled_with_its_value() {
    let delivery = DeliveryId::derive(EventId(uuid::Uuid::from_u128(7)), "crm").to_string();
    for (text, expected) in [
        ("", ""),
        ("plain } text }} {x}", "plain } text }} {x}"),
        ("Bearer {{secret:crm}}", "Bearer s3cr3t"),
        ("{{eventId}}", "evt_00000000000000000000000000000007"),
        ("{{deliveryId}}", &delivery),
        ("{{ attempt }}/{{attempt}}", "3/3"),
        ("{{event:/a/0/b}}-{{event:/n}}-{{event:/t}}", "x y-12-true"),
        ("{{event:/we~1ird}}", "z"),
    ] {
        let body = r#"{"a": [{"b": "x y"}], "n": 12, "t": true, "we/ird": "z"}"#;
        assert_eq!(fill(text, body).unwrap(), expected, "{text}");
        assert_eq!(Template::parse(text).unwrap().to_string(), text);
    }
}

#[test]
fn a_template_that_can_never_be_filled_does_not_parse() {
    let unknown = |name: &str| TemplateError::Unknown { name: name.into() };
    for (text, error) in [
        ("{{", TemplateError::Unclosed),
        ("a{{eventId", TemplateError::Unclosed),
        ("a{{eventId}", TemplateError::Unclosed),
        ("{{}}", unknown("")),
        ("{{eventid}}", unknown("eventid")),
        ("{{eventId:x}}", unknown("eventId:x")),
        ("{{secret}}", unknown("secret")),
        ("{{env:HOME}}", unknown("env:HOME")),
        ("{{secret:}}", TemplateError::NoSecretName),
        (
            "{{event:id}}",
            TemplateError::Pointer(PointerError("id".into())),
        ),
        ("a\r\nb", TemplateError::Unsendable("the template".into())),
        ("grün", TemplateError::Unsendable("the template".into())),
    ] {
        assert_eq!(Template::parse(text).unwrap_err(), error, "{text}");
    }
    assert!(Template::parse(&"a".repeat(VALUE_BYTES_MAX)).is_ok());
    assert!(Template::parse(&"a".repeat(VALUE_BYTES_MAX + 1)).is_err());
}

#[test]
fn an_unknown_reference_is_told_the_known_ones_and_the_nearest() {
    let text = |text| Template::parse(text).unwrap_err().to_string();
    let known = "known are `{{secret:name}}`, `{{eventId}}`, `{{deliveryId}}`, `{{attempt}}`, `{{event:/json/pointer}}`";
    for (written, meant) in [
        ("{{EventID}}", " (did you mean `{{eventId}}`?)"),
        ("{{delivryId}}", " (did you mean `{{deliveryId}}`?)"),
        ("{{secrets:crm}}", " (did you mean `{{secret:name}}`?)"),
        ("{{attempts}}", " (did you mean `{{attempt}}`?)"),
        ("{{weather}}", ""),
    ] {
        assert_eq!(
            text(written),
            format!("unknown reference `{written}`{meant}; {known}")
        );
    }
}

#[test]
fn what_is_missing_or_unsendable_is_named_but_never_shown() {
    let body = r#"{"o": {}, "bad": "a\r\nx-admin: 1", "nul": "\u0000", "uml": "ü", "tab": "\t"}"#;
    for (text, body, error) in [
        ("{{secret:none}}", body, "secret `none` is not configured"),
        (
            "{{event:/missing}}",
            body,
            "`{{event:/missing}}` cannot be filled: the body has no string, number or boolean there",
        ),
        (
            "{{event:/o}}",
            body,
            "`{{event:/o}}` cannot be filled: the body has no string, number or boolean there",
        ),
        (
            "{{event:/o}}",
            "no json",
            "`{{event:/o}}` cannot be filled: the body is not JSON",
        ),
        ("{{secret:broken}}", body, "`{{secret:broken}}` holds"),
        ("{{secret:bytes}}", body, "`{{secret:bytes}}` holds"),
        ("{{event:/bad}}", body, "`{{event:/bad}}` holds"),
        ("{{event:/nul}}", body, "`{{event:/nul}}` holds"),
        ("{{event:/uml}}", body, "`{{event:/uml}}` holds"),
        ("{{event:/tab}}", body, "`{{event:/tab}}` holds"),
    ] {
        let told = fill(text, body).unwrap_err().to_string();
        assert!(told.starts_with(error), "{told}");
        assert!(!told.contains("admin") && !told.contains("top"), "{told}");
    }
    let long = format!(r#"{{"a": "{}"}}"#, "x".repeat(VALUE_BYTES_MAX));
    assert_eq!(
        fill("y{{event:/a}}", &long),
        Err(TemplateError::TooLong(VALUE_BYTES_MAX + 1))
    );
}

#[test]
fn the_body_is_read_only_where_the_template_points_into_it() {
    assert_eq!(
        fill("{{secret:crm}}{{attempt}}", "no json").unwrap(),
        "s3cr3t3"
    );
}

#[test]
fn a_value_with_a_secret_is_marked_and_no_debug_output_shows_values() {
    assert!(fill("Bearer {{secret:crm}}", "").unwrap().is_sensitive());
    assert!(!fill("{{attempt}}", "").unwrap().is_sensitive());
    let template = Template::parse("key-123 {{secret:crm}}{{eventId}}").unwrap();
    assert_eq!(format!("{template:?}"), "[…, secret:crm, eventId]");
    assert_eq!(
        template.secrets().map(|name| &**name).collect::<Vec<_>>(),
        ["crm"]
    );
    assert!(!template.is_literal() && Template::parse("plain").unwrap().is_literal());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_a_header_that_could_be_split(value in any::<String>()) {
        let body = serde_json::json!({"v": value}).to_string();
        if let Ok(header) = fill("<{{event:/v}}>", &body) {
            prop_assert_eq!(header.to_str().unwrap(), format!("<{value}>"));
            prop_assert!(header.as_bytes().iter().all(|byte| (b' '..=b'~').contains(byte)));
        } else {
            prop_assert!(!value.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        }
    }
}
