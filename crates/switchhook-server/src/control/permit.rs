//! Who may permit addresses inside: only who administers the gateway (SEC-11).
//!
//! The address guard refuses everything private that an endpoint does not list. Were the list anybody's to write, it would
//! guard against nobody: who may write an endpoint may not thereby look around inside. So `allow_private` grows only by
//! what an operator has permitted already, for this endpoint or for webhooks of the dialects. It may shrink, and the
//! URL may move within it.

use ipnet::IpNet;
use switchhook_core::access::Scope;
use switchhook_core::plan::Plan;
use switchhook_wire::config::Kind;
use switchhook_wire::problem::{self, Kind as Refused};

use super::Control;
use super::answer::Answer;
use super::ask::Ask;
use super::commit::Proposal;
use super::resources::Resources;

/// Refuses a change that permits more than an operator did.
pub(super) fn may_widen(
    control: &Control,
    (before, after): (&Resources, &Resources),
    ask: &Ask,
    proposal: &Proposal,
) -> Answer<()> {
    if ask.scopes.allow(Scope::Admin) {
        return Ok(());
    }
    let everybodys = &control.gateway.config.server.dialect_allow_private;
    let (before, after) = (before.plan(), after.plan());
    let of = |plan: &Plan, name: &str| -> Vec<IpNet> {
        let endpoint = plan.endpoints.get(name);
        endpoint.map_or_else(Vec::new, |endpoint| endpoint.allow_private.clone())
    };
    let endpoints = proposal.changes.iter();
    for change in endpoints.filter(|change| change.kind == Kind::Endpoint) {
        let permitted = of(&before, &change.name);
        let is_new = |range: &IpNet| {
            let mut known = permitted.iter().chain(everybodys);
            !known.any(|known| known.contains(range))
        };
        if let Some(range) = of(&after, &change.name).iter().find(|range| is_new(range)) {
            let detail = format!(
                "endpoint `{}` would be allowed to lie in {range}, which no operator has permitted",
                change.name
            );
            let hint =
                "ask somebody whose token has the scope `admin` to list it in `allow_private`";
            return Err(problem::Body::new(Refused::Forbidden, detail)
                .with_hint(hint)
                .into());
        }
    }
    Ok(())
}
