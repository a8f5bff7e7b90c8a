//! Who asks, as far as views of results depend on it.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::request::Parts;
use switchhook_core::sight::Sight;

use crate::identity::Caller;

/// What the asker sees of results. Whoever is not known sees it from outside.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen(pub(crate) Sight);

impl<S: Sync> FromRequestParts<S> for Seen {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let caller = parts.extensions.get::<Caller>();
        let sight = caller.map_or(Sight::Outside, |caller| Sight::of(caller.scopes));
        Ok(Self(sight))
    }
}
