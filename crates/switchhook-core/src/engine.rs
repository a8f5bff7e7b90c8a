//! stub
use std::sync::Arc;
use crate::delivery::OutcomeKind;
use crate::endpoint::Endpoint;
use crate::event::Event;
use crate::time::UnixMs;

/// Names an attempt under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// An attempt to make now.
#[derive(Debug, Clone)]
pub struct Start {
    /// To be handed back with the outcome.
    pub ticket: Ticket,
    /// The subscription.
    pub subscription: Arc<str>,
    /// Where to send.
    pub endpoint: Arc<Endpoint>,
    /// What to send.
    pub event: Arc<Event>,
    /// 0, or the number of the replay.
    pub chain: u16,
    /// 1, 2, … within the chain.
    pub n: u16,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// When it was started.
    pub at: UnixMs,
    /// From start to answer or failure.
    pub duration_ms: u32,
    /// The bare result.
    pub kind: OutcomeKind,
    /// In words: the failure, or the start of a refusing answer's body.
    pub detail: Option<Arc<str>>,
    /// What the answer's `Retry-After` asked for, in milliseconds from its arrival.
    pub retry_after_ms: Option<u64>,
}
