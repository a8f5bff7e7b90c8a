//! stub
use std::sync::Arc;
use crate::delivery::OutcomeKind;
use crate::retry::{Action, Rule};
/// What a rule decided, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// What to do.
    pub action: Action,
    /// The rule's name, for example `rule 2: 5xx` or `default: 5xx`.
    pub rule: Arc<str>,
}
/// Judges the result of an attempt.
#[must_use]
pub fn judge(rules: &[Rule], outcome: OutcomeKind) -> Judgement {
    let _ = (rules, outcome);
    Judgement { action: Action::Done, rule: "".into() }
}
