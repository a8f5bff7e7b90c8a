//! `POST /v1/endpoints/{name}/probe`: can the endpoint be reached? Advice only: no state changes because of it.
//!
//! A `HEAD` goes the way of every delivery, through the address guard and with the endpoint's timeout, then a `GET` where
//! `HEAD` is not taken. Each has a connection of its own, so that the time of every step is seen. It carries no configured header, so no credential leaves for a question, and a mark by which a
//! receiver can tell it from an event. An answer of 401 or 403 is therefore a good sign.
//! Bound: [`PROBES_MAX`] at once.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use http::header::USER_AGENT;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use switchhook_core::delivery::{Failure, OutcomeKind};
use switchhook_core::endpoint::Endpoint;
use switchhook_core::sight::Sight;
use switchhook_wire::api::ProbeView;
use switchhook_wire::problem::{Body as Problem, Kind};
use tokio::time::Instant;

use super::Control;
use super::answer::{Answer, Refusal, json};
use super::request::Params;
use super::sight::Seen;
use crate::dispatch::guard::Fault;
use crate::dispatch::transport::Probed;

/// Probes at once: a person asks for one.
pub(super) const PROBES_MAX: usize = 4;

const MARK: HeaderName = HeaderName::from_static("x-switchhook-probe");
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("switchhook/", env!("CARGO_PKG_VERSION")));

pub(super) async fn probe(
    State(control): State<Arc<Control>>,
    Path(name): Path<String>,
    Seen(sight): Seen,
    uri: Uri,
) -> Answer {
    Params::of(&uri).finish()?;
    let endpoint = control.gateway.plan.load().endpoints.get(&*name).cloned();
    let endpoint = endpoint.ok_or_else(|| Problem::not_found("endpoint", &name))?;
    let _place = control.probes.try_acquire().map_err(|_| {
        Refusal::new(
            Kind::Overloaded,
            format!("{PROBES_MAX} probes are under way already"),
        )
    })?;
    let (mut method, mut found) = (Method::HEAD, ask(&control, &endpoint, Method::HEAD).await);
    if let Ok(status) = found.probed.result
        && matches!(status.as_u16(), 404 | 405 | 501)
    {
        (method, found) = (Method::GET, ask(&control, &endpoint, Method::GET).await);
    }
    json(view(sight, &endpoint, &method, &found))
}

struct Found {
    probed: Probed,
    took: Duration,
}

async fn ask(control: &Control, endpoint: &Arc<Endpoint>, method: Method) -> Found {
    let headers =
        HeaderMap::from_iter([(USER_AGENT, AGENT), (MARK, HeaderValue::from_static("1"))]);
    let began = Instant::now();
    let deadline = began + Duration::from_millis(endpoint.timeout_ms);
    let transport = control.gateway.sender.transport();
    Found {
        probed: transport.probe(endpoint, method, headers, deadline).await,
        took: began.elapsed(),
    }
}

fn view(sight: Sight, endpoint: &Endpoint, method: &Method, found: &Found) -> ProbeView {
    let (steps, ms) = (&found.probed.steps, |time: Duration| {
        time.as_secs_f64() * 1_000.0
    });
    let view = ProbeView {
        endpoint: endpoint.name.to_string(),
        method: method.to_string(),
        addresses: steps.addresses.map(|count| count as u64),
        address: steps.address.map(|address| address.to_string()),
        dns_ms: steps.dns.map(ms),
        connect_ms: steps.connect.map(ms),
        tls_ms: steps.tls.map(ms),
        tls_version: steps.tls_version.map(str::to_owned),
        first_byte_ms: found.probed.first_byte.map(ms),
        total_ms: ms(found.took),
        ..ProbeView::default()
    };
    match &found.probed.result {
        Ok(status) => ProbeView {
            status: Some(status.as_u16()),
            advice: advice(*status, found.took),
            ..view
        },
        Err(Fault { failure, text }) => {
            let is_timed = sight.has_time(OutcomeKind::Failed(*failure));
            let failure = sight.failure(*failure);
            let advice = vec![text.clone(), failure_advice(failure).to_owned()];
            let view = if is_timed { view } else { untimed(view) };
            ProbeView {
                error: Some(failure.name().to_owned()),
                advice,
                ..view
            }
        }
    }
}

/// Without what would tell an address that was never tried from one that took no connection.
fn untimed(view: ProbeView) -> ProbeView {
    ProbeView {
        addresses: None,
        dns_ms: None,
        total_ms: 0.0,
        ..view
    }
}

/// An answer slower than this is worth a word: ten of them a second and slot.
const SLOW: Duration = Duration::from_millis(1_000);

fn advice(status: StatusCode, took: Duration) -> Vec<String> {
    let of_status = match status.as_u16() {
        200..=299 => None,
        300..=399 => Some("it redirects, and redirects are not followed: configure the final URL"),
        401 | 403 => Some(
            "it asks for credentials, which a probe never sends: deliveries send the configured headers",
        ),
        404 | 410 => {
            Some("nothing answers GET there; check the path if deliveries are refused too")
        }
        405 | 501 => Some("it takes neither HEAD nor GET, as many receivers do; it can be reached"),
        429 => Some("it limits requests already: lower `concurrency` if deliveries meet 429 too"),
        500..=599 => Some("it can be reached and reports a fault of its own"),
        _ => Some("it can be reached and refuses the probe"),
    };
    let slow = (took > SLOW).then(|| format!("it took {} ms to answer", took.as_millis()));
    of_status
        .map(str::to_owned)
        .into_iter()
        .chain(slow)
        .collect()
}

const fn failure_advice(failure: Failure) -> &'static str {
    match failure {
        Failure::Timeout => {
            "check that it is up and that no firewall drops the connection; or raise `timeout`"
        }
        Failure::Dns => "check the host name, and the resolver of this machine",
        Failure::Connect => "check that something listens on that port",
        Failure::Tls => {
            "check its certificate: name, expiry, and whether this machine trusts the issuer"
        }
        Failure::Reset => "it closed the connection without an answer: check its log",
        Failure::Protocol => {
            "what answers there does not speak HTTP/1.1 as expected: check the port and scheme"
        }
        Failure::Blocked => {
            "the address guard refused the address: list it in `allow_private` if it is meant"
        }
        Failure::Template | Failure::Secret => "the request could not be built",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_that_refuses_a_probe_for_lack_of_credentials_is_no_fault() {
        let said = |status| advice(StatusCode::from_u16(status).unwrap(), Duration::ZERO).concat();
        assert_eq!(said(204), "");
        for (status, words) in [
            (401, "credentials"),
            (302, "redirect"),
            (405, "can be reached"),
            (503, "fault of its own"),
        ] {
            assert!(said(status).contains(words), "{status}: {}", said(status));
        }
    }

    #[test]
    fn a_slow_answer_is_worth_a_word() {
        assert!(
            advice(StatusCode::OK, Duration::from_millis(1_500))
                .concat()
                .contains("1500 ms")
        );
    }
}
