//! `GET /v1/openapi.json`: what the management API takes and answers, made of the table of routes and the types of `wire`.

use std::sync::OnceLock;

use serde_json::Value;
use switchhook_wire::openapi::{Route as Described, document};

use super::answer::{Answer, Refusal, json};
use super::routes::{Access, table};

/// The whole description; made once, since routes and types do not change while the process runs.
static DOCUMENT: OnceLock<Result<Value, Vec<String>>> = OnceLock::new();

/// The description of the API that this program serves.
///
/// # Errors
/// The routes that nobody describes, and the descriptions that have no route. A test sees to it that there are none.
pub fn openapi() -> Result<Value, Vec<String>> {
    let table = table();
    let described: Vec<Described<'_>> = table
        .iter()
        .map(|route| Described {
            method: route.method.as_str(),
            path: &route.path,
            scope: match route.access {
                Access::Open => None,
                Access::Needs(scope, _) => Some(scope.name()),
            },
            summary: &route.summary,
        })
        .collect();
    document(&described, env!("CARGO_PKG_VERSION"))
}

pub(super) async fn show() -> Answer {
    match DOCUMENT.get_or_init(openapi) {
        Ok(document) => json(document),
        Err(faults) => Err(Refusal::internal(faults.join("; "))),
    }
}
