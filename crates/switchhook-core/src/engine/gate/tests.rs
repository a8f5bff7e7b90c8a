mod herd;
mod rules;

use std::sync::Arc;

use super::*;
use crate::breaker::Settings;
use crate::delivery::{Failure, OutcomeKind};
use crate::endpoint::{Endpoint, Method, Tls};

pub(super) const BREAKER: Settings = Settings {
    failures: 5,
    share: 0.5,
    calls_min: 20,
    window_ms: 30_000,
    open_ms: 30_000,
    open_max_ms: 300_000,
    successes: 2,
};

fn endpoint(concurrency: u16) -> Endpoint {
    Endpoint {
        name: "crm".into(),
        url: "https://crm.example/in".parse().unwrap(),
        method: Method::Post,
        headers: vec![],
        content_type: None,
        timeout_ms: 10_000,
        concurrency,
        adaptive: None,
        rate: None,
        retry_budget: None,
        breaker: Some(BREAKER),
        signers: vec![],
        seal: None,
        auth: None,
        tls: Tls::default(),
        allow_private: vec![],
    }
}

fn gates(endpoint: Endpoint, restored: Option<Record>, now: UnixMs) -> (Gates, GateId) {
    let mut gates = Gates::default();
    let endpoints = BTreeMap::from([(endpoint.name.clone(), Arc::new(endpoint))]);
    let restored = restored.map(|record| (record.endpoint.clone(), record));
    gates.set(&endpoints, &restored.into_iter().collect(), now);
    let id = gates.id("crm").unwrap();
    (gates, id)
}

fn outcome(kind: OutcomeKind, at: UnixMs, duration_ms: u32) -> Outcome {
    Outcome {
        at,
        duration_ms,
        kind,
        detail: None,
        retry_after_ms: None,
    }
}

/// The end of an attempt that was no probe, of the event at `offset`.
fn ended(outcome: &Outcome, offset: u64) -> Ended<'_> {
    Ended {
        probe: false,
        offset: Offset(offset),
        outcome,
        hold: None,
        pause_until: None,
        entropy: 0,
    }
}

const REFUSED: OutcomeKind = OutcomeKind::Failed(Failure::Connect);
