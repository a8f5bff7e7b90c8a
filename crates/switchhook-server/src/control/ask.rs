//! What a request that changes something says about itself, besides its body.
//!
//! Who asks, whether it is only a trial, what it may do although deliveries wait, which file declares the resource, for
//! which version it is meant, and under which idempotency key its answer is kept.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::Uri;
use http::request::Parts;
use switchhook_core::access::Scopes;
use switchhook_wire::problem::Kind;

use super::answer::{Answer, Refusal};
use super::audit::Actor;
use super::idempotency::Claim;
use super::precondition::Precondition;
use super::request::Params;
use crate::identity::Caller;

/// Longest name of a file that declares resources, in bytes.
const FILE_BYTES_MAX: usize = 256;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) actor: Actor,
    pub(crate) scopes: Scopes,
    pub(crate) flags: Flags,
    pub(crate) precondition: Precondition,
    /// `None` without an idempotency key.
    pub(crate) claim: Option<Arc<Claim>>,
}

/// What the query of a change says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    /// Only check it.
    pub(crate) dry_run: bool,
    /// Do it although deliveries wait.
    pub(crate) force: bool,
    /// The file that declares the resource, by its own name. Nobody else may change it then, but one who says that they
    /// take it over.
    pub(crate) managed_by: Option<Arc<str>>,
    /// Do it although another file declares the resource.
    pub(crate) take_over: bool,
}

impl Flags {
    fn of(uri: &Uri) -> Answer<Self> {
        let mut params = Params::of(uri);
        let flags = Self {
            dry_run: params.flag("dryRun"),
            force: params.flag("force"),
            managed_by: params.text("managedBy").map(Arc::from),
            take_over: params.flag("takeOver"),
        };
        params.finish()?;
        match &flags.managed_by {
            Some(name) if name.len() > FILE_BYTES_MAX => Err(Refusal::new(
                Kind::InvalidRequest,
                format!(
                    "`managedBy` has {} bytes, at most {FILE_BYTES_MAX} are allowed",
                    name.len()
                ),
            )),
            _ => Ok(flags),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Ask {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let actor = parts.extensions.get::<Actor>().cloned();
        let caller = parts.extensions.get::<Caller>();
        Ok(Self {
            actor: actor.ok_or_else(|| Refusal::internal("a change on an open path"))?,
            scopes: caller.map(|caller| caller.scopes).unwrap_or_default(),
            flags: Flags::of(&parts.uri)?,
            precondition: Precondition::of(&parts.headers)?,
            claim: parts.extensions.get::<Arc<Claim>>().cloned(),
        })
    }
}
