//! Every route of the admin listener, in one [`table()`]: method, path, who may use it, what it does, handler.
//!
//! The router is built from the table and from nothing else, so there is no route that was forgotten when its scope was
//! decided; `identity` looks up here what a request needs. OpenAPI takes method, path, scope and summary from the same rows.
//!
//! Looking needs `read`. Resources, pauses, breakers, groups, probes and test events need `write`; delivering again and
//! discarding need `replay`; secrets need `secrets`; tokens, clients, configuration and backups need `admin`. Open are
//! the health checks and the metrics, since probes and scrapers carry no token: they show no event and no name of a person.

mod table;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter};
use http::Method;
use switchhook_core::access::Scope;

pub(crate) use self::table::table;
use super::Control;

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everybody.
    Open,
    /// Who has the scope; a refusal calls it by the second one's name.
    Needs(Scope, &'static str),
}

impl From<Scope> for Access {
    fn from(scope: Scope) -> Self {
        Self::Needs(scope, scope.name())
    }
}

/// A row of the table.
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: Cow<'static, str>,
    pub(crate) access: Access,
    /// What it does, in a few words, for OpenAPI.
    pub(crate) summary: Cow<'static, str>,
    handler: MethodRouter<Arc<Control>>,
}

macro_rules! methods {
    ($($name:ident $method:ident;)*) => {$(
        #[doc = concat!("A `", stringify!($method), "` route.")]
        pub(crate) fn $name<H, T>(
            path: impl Into<Cow<'static, str>>,
            access: impl Into<Access>,
            summary: impl Into<Cow<'static, str>>,
            handler: H,
        ) -> Self
        where
            H: Handler<T, Arc<Control>>,
            T: 'static,
        {
            Self {
                method: Method::$method,
                path: path.into(),
                access: access.into(),
                summary: summary.into(),
                handler: MethodRouter::new().on(MethodFilter::$method, handler),
            }
        }
    )*};
}

impl Route {
    methods! {
        get GET;
        post POST;
        put PUT;
        patch PATCH;
        delete DELETE;
    }
}

/// What each route needs, by path and method.
#[derive(Debug, Default)]
pub(crate) struct Needs(BTreeMap<Cow<'static, str>, Vec<(Method, Access)>>);

impl Needs {
    /// What `method` on the route with this path pattern needs; `None` where there is no such route.
    pub(crate) fn of(&self, method: &Method, path: &str) -> Option<Access> {
        // A HEAD is answered by the handler of GET.
        let method = if method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        let found = self.0.get(path)?.iter().find(|(of, _)| of == method);
        found.map(|(_, access)| *access)
    }
}

/// The router of `routes`, without any layer, and what they need.
pub(super) fn built(routes: Vec<Route>) -> (Router<Arc<Control>>, Needs) {
    let mut needs = Needs::default();
    let mut router = Router::new();
    for Route {
        method,
        path,
        access,
        handler,
        ..
    } in routes
    {
        router = router.route(&path, handler);
        needs.0.entry(path).or_default().push((method, access));
    }
    (router, needs)
}
