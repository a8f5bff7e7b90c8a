//! The body and the headers that speak of it, as an attempt makes them.

use switchhook_core::envelope::{Format, Mode};
use switchhook_core::expression::Expression;
use switchhook_core::seal::{self, Sealed};
use switchhook_core::secret::Secret;
use switchhook_core::sign::{self, Signer};
use switchhook_core::source::{Encoding, Verify};
use switchhook_core::subscription::Subscription;
use switchhook_core::verify::verify;

use super::*;
use crate::clock::Clock;
use crate::dispatch::attempt::lab::{TOKEN, built, event, named, subscription, with_auth};
use crate::dispatch::transport::lab::{endpoint, no_secrets};

#[tokio::test]
async fn a_raw_body_is_the_events_own_buffer() {
    let event = event(&[]);
    let (body, headers) = built(&subscription(), endpoint("http://a.test/", &[]), &event)
        .await
        .unwrap();
    assert_eq!(
        (body.as_ptr(), body.len()),
        (event.body.as_ptr(), event.body.len())
    );
    assert_eq!(headers["content-type"], "application/json");
}

#[tokio::test]
async fn a_body_is_transformed_then_put_into_its_format_then_signed() {
    let secret = || SecretRef::Literal(Secret::new(b"shared".to_vec()));
    let scheme = sign::Scheme::Genesys {
        header: sign::GENESYS_HEADER,
    };
    let endpoint = Endpoint {
        signers: vec![
            Signer::new(&scheme, &[secret()]).unwrap(),
            Signer::new(&sign::Scheme::StandardV1, &[secret()]).unwrap(),
        ],
        ..endpoint("http://a.test/", &[])
    };
    let subscription = Subscription {
        transform: Transform::Body(Expression::compile("{'b': 2}").unwrap()),
        format: Format::Envelope,
        ..subscription()
    };
    let (body, headers) = built(&subscription, endpoint, &event(&[])).await.unwrap();
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(json["sourceEvent"], serde_json::json!({"b": 2}));
    assert_eq!(headers["x-format-version"], "2.1");
    assert_eq!(headers["webhook-id"], json["deliveryId"].as_str().unwrap());
    let now = Clock::system().now();
    for rule in [
        Verify::Hmac {
            header: "x-genesys-signature".into(),
            prefix: "".into(),
            encoding: Encoding::Hex,
            secrets: vec![secret()],
        },
        Verify::StandardWebhooks {
            secrets: vec![secret()],
            tolerance_ms: 60_000,
        },
    ] {
        assert_eq!(verify(&rule, &headers, &body, &*no_secrets(), now), Ok(()));
    }
}

#[tokio::test]
async fn a_sealed_body_can_be_opened_with_the_passphrase() {
    let endpoint = Endpoint {
        seal: Some(seal::Settings {
            scheme: seal::Scheme::Standard,
            key_id: "k1".into(),
            secret: named("token"),
        }),
        ..endpoint("http://a.test/", &[])
    };
    let event = event(&[]);
    let (body, headers) = built(&subscription(), endpoint, &event).await.unwrap();
    assert_eq!(headers["content-type"], "application/json");
    let sealed = Sealed::parse(&body).unwrap();
    let (scheme, passphrase) = (seal::Scheme::Standard, Secret::new(TOKEN.into()));
    let key = seal::Key::derive(scheme, "k1".into(), &passphrase, sealed.salt().unwrap());
    assert_eq!(seal::open(&key.unwrap(), &sealed).unwrap(), event.body);
}

#[tokio::test]
async fn the_content_type_is_the_endpoints_unless_the_body_is_of_another() {
    let (kept, made) = (
        Transform::None,
        Transform::Body(Expression::compile("{'b': 2}").unwrap()),
    );
    let [structured, binary] = [Mode::Structured, Mode::Binary].map(Format::CloudEvents);
    let (raw, envelope) = (Format::Raw, Format::Envelope);
    let (csv, x) = (Some("text/csv"), Some("text/x"));
    for (of_endpoint, of_event, transform, format, expected) in [
        (None, None, &kept, raw, "application/json"),
        (None, csv, &kept, raw, "text/csv"),
        (x, csv, &kept, raw, "text/x"),
        (None, csv, &made, raw, "application/json"),
        (x, csv, &made, raw, "text/x"),
        (x, csv, &kept, envelope, "application/json"),
        (x, None, &kept, binary, "text/x"),
        (x, None, &made, structured, "application/cloudevents+json"),
    ] {
        let subscription = Subscription {
            transform: transform.clone(),
            format,
            ..subscription()
        };
        let endpoint = Endpoint {
            content_type: of_endpoint.map(Into::into),
            ..endpoint("http://a.test/", &[])
        };
        let came_with: Vec<_> = of_event.iter().map(|of| ("content-type", *of)).collect();
        let (_, headers) = built(&subscription, endpoint, &event(&came_with))
            .await
            .unwrap();
        let got = headers["content-type"].to_str().unwrap();
        assert!(got.starts_with(expected), "{got} and not {expected}");
    }
}

#[tokio::test]
async fn a_transform_that_fails_is_a_template_failure_with_its_reason() {
    let subscription = Subscription {
        transform: Transform::Body(Expression::compile("event.data.missing.deeper").unwrap()),
        ..subscription()
    };
    let fault = built(&subscription, endpoint("http://a.test/", &[]), &event(&[]))
        .await
        .unwrap_err();
    assert_eq!(fault.failure, Failure::Template, "{fault}");
    assert!(
        fault.text.starts_with("the body cannot be made: "),
        "{fault}"
    );
}

#[tokio::test]
async fn pagerduty_gets_its_key_in_the_body() {
    let subscription = Subscription {
        transform: Transform::Preset(Preset::PagerDuty),
        ..subscription()
    };
    let endpoint = with_auth("http://a.test/", Auth::Bearer(named("token")));
    let (body, _) = built(&subscription, endpoint, &event(&[])).await.unwrap();
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(json["routing_key"], TOKEN);
}
