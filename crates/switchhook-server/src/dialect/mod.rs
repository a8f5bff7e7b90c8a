//! `/api/v2` and `/oauth/token`: the dialects of webhook management, over the same resources as `/v1`.
//!
//! What the JSON of each means is decided in `switchhook_wire::dialect`; here are the routes. A webhook is a subscription
//! with its endpoint and policy; every subscription that has a target is one, also those of the file and of `/v1`
//! ([`found`]). A change becomes a change of up to three resources, with the secrets that the request wrote out, in one
//! commit ([`change`], [`propose`]); it takes the way of all changes, so that a dialect can do nothing that `/v1` could not. Refusals
//! are written as Genesys Cloud writes them ([`answer`]).
//!
//! | path | what it does |
//! |---|---|
//! | `POST /oauth/token`, `/api/v2/oauth/token` | a token for an OAuth client; open |
//! | `GET`, `POST /api/v2/webhooks`, `GET`, `PUT`, `PATCH`, `DELETE …/{id}` | dialect A |
//! | `GET`, `POST /api/v2/webhooks/webhooks`, `GET`, `PUT`, `PATCH`, `DELETE …/{id}` | dialect B |
//! | `GET /api/v2/eventtypes` | the event types that a webhook can name |
//! | `GET`, `PUT /api/v2/notifications/webhooks/{id}` | dialect C |
//! | `GET`, `POST /api/v2/integrations`, `GET`, `PUT`, `PATCH`, `DELETE …/{id}` | dialect D |
//! | `GET`, `POST /api/v2/integrations/{id}/eventbindings`, `GET …/logs` | dialect D |
//! | `GET`, `PUT /api/v2/integrations/{id}/webhook` | dialect E |
//!
//! Those who may set a URL through a dialect are not always operators of the gateway: to them, what the address guard
//! refused looks like any connection that failed (SEC-13, [`switchhook_core::sight`]).

pub(crate) mod answer;
mod change;
mod found;
mod list;
mod logs;
mod propose;
mod show;
mod token;

use switchhook_core::access::Scope;
use switchhook_wire::dialect::{Dialect, How};

use crate::control::routes::{Access, Route};

/// The names of the scopes that a dialect's routes need.
struct Names {
    read: Access,
    write: Access,
}

const fn names(dialect: Dialect) -> Names {
    let (read, write) = match dialect {
        Dialect::Webhooks | Dialect::Lifecycle => ("webhook:read", "webhook:write"),
        Dialect::Notifications => ("notification:webhook:read", "notification:webhook:write"),
        Dialect::Integrations | Dialect::Flat => ("integrations:view", "integration:edit"),
    };
    Names {
        read: Access::Needs(Scope::Read, read),
        write: Access::Needs(Scope::Write, write),
    }
}

/// The routes of all dialects.
pub(crate) fn routes() -> Vec<Route> {
    let eventtypes = Access::Needs(Scope::Read, "eventtype:read");
    let mut routes = vec![
        Route::post(
            "/oauth/token",
            Access::Open,
            "Get an access token for an OAuth client",
            token::grant,
        ),
        Route::post(
            "/api/v2/oauth/token",
            Access::Open,
            "Get an access token for an OAuth client",
            token::grant,
        ),
        Route::get(
            "/api/v2/eventtypes",
            eventtypes,
            "List event types",
            list::event_types,
        ),
    ];
    routes.extend(collection(Dialect::Webhooks, "/api/v2/webhooks"));
    routes.extend(collection(Dialect::Lifecycle, "/api/v2/webhooks/webhooks"));
    routes.extend(collection(Dialect::Integrations, "/api/v2/integrations"));
    routes.extend(bindings());
    routes.extend(one(
        Dialect::Notifications,
        "/api/v2/notifications/webhooks/{id}",
    ));
    let Names { read, write } = names(Dialect::Flat);
    let path = "/api/v2/integrations/{id}/webhook";
    routes.push(Route::get(
        path,
        read,
        "Show the flat view of an integration",
        show::flat,
    ));
    routes.push(replace(Dialect::Flat, path.to_owned(), write));
    routes
}

/// All webhooks of a dialect, and each.
fn collection(dialect: Dialect, path: &'static str) -> Vec<Route> {
    let Names { read, write } = names(dialect);
    let noun = dialect.noun();
    let item = format!("{path}/{{id}}");
    let mut routes = vec![
        Route::get(
            path,
            read,
            format!("List {noun}s"),
            move |control, headers, uri| list::webhooks(dialect, path, control, headers, uri),
        ),
        Route::post(
            path,
            write,
            format!("Make a {noun}"),
            move |control, ask, headers, body| change::create(dialect, control, ask, headers, body),
        ),
        Route::patch(
            item.clone(),
            write,
            format!("Change what is given of a {noun}"),
            move |control, id, ask, headers, body| {
                change::update(dialect, How::Patch, control, id, ask, headers, body)
            },
        ),
        Route::delete(
            item.clone(),
            write,
            format!("Delete a {noun}"),
            move |control, id, ask| change::delete(dialect, control, id, ask),
        ),
    ];
    routes.extend(one_of(dialect, item));
    routes
}

fn one(dialect: Dialect, path: &'static str) -> Vec<Route> {
    one_of(dialect, path.to_owned())
}

/// Shows and replaces a webhook.
fn one_of(dialect: Dialect, path: String) -> Vec<Route> {
    let Names { read, write } = names(dialect);
    let summary = match dialect {
        Dialect::Notifications => "Show the retry policy of a webhook".to_owned(),
        Dialect::Webhooks | Dialect::Lifecycle | Dialect::Integrations | Dialect::Flat => {
            format!("Show a {}", dialect.noun())
        }
    };
    vec![
        Route::get(path.clone(), read, summary, move |control, id, headers| {
            show::webhook(dialect, control, id, headers)
        }),
        replace(dialect, path, write),
    ]
}

fn replace(dialect: Dialect, path: String, write: Access) -> Route {
    let summary = match dialect {
        Dialect::Notifications => "Set the retry policy of a webhook".to_owned(),
        Dialect::Webhooks | Dialect::Lifecycle | Dialect::Integrations | Dialect::Flat => {
            format!(
                "Replace what the dialect can express of a {}",
                dialect.noun()
            )
        }
    };
    Route::put(
        path,
        write,
        summary,
        move |control, id, ask, headers, body| {
            change::update(dialect, How::Replace, control, id, ask, headers, body)
        },
    )
}

fn bindings() -> Vec<Route> {
    let Names { read, write } = names(Dialect::Integrations);
    let path = "/api/v2/integrations/{id}/eventbindings";
    vec![
        Route::get(
            path,
            read,
            "List the event types of an integration",
            show::bindings,
        ),
        Route::post(
            path,
            write,
            "Add event types to an integration",
            change::bind,
        ),
        Route::get(
            "/api/v2/integrations/{id}/logs",
            read,
            "List the attempts of an integration",
            logs::list,
        ),
    ]
}

#[cfg(test)]
mod tests;
