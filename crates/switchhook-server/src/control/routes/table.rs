//! The rows of the table. Which scope a route has is said in [`super`].

use switchhook_core::access::Scope;
use switchhook_wire::config::Kind;

use super::{Access, Route};
use crate::control::{
    alerts, attempts, audit, breakers, bulk, config, declare, events, explain, export, gateway,
    groups, health, jobs, letters, live, openapi, pauses, probe, secrets, store, test_event,
    timeline,
};
use crate::{dialect, identity};

/// Every route.
pub(crate) fn table() -> Vec<Route> {
    [
        about_the_gateway(),
        about_configuration(),
        about_watching(),
        about_events(),
        about_dead_letters(),
        Kind::ALL.into_iter().flat_map(of_kind).collect(),
        about_resources(),
        about_secrets(),
        about_operations(),
        about_identity(),
        dialect::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn about_the_gateway() -> Vec<Route> {
    use Scope::{Admin, Read};
    let open = Access::Open;
    vec![
        Route::get("/livez", open, "Whether the process answers", health::live),
        Route::get(
            "/readyz",
            open,
            "Whether events are accepted",
            health::ready,
        ),
        Route::get("/metrics", open, "Metrics for Prometheus", health::metrics),
        Route::get(
            "/v1/version",
            Read,
            "The version of the gateway",
            gateway::version,
        ),
        Route::get(
            "/v1/openapi.json",
            Read,
            "The description of this API",
            openapi::show,
        ),
        Route::get("/v1/stats", Read, "Live numbers", live::stats),
        Route::get(
            "/v1/stream",
            Read,
            "Attempts and breakers as they happen",
            live::stream,
        ),
        Route::get(
            "/v1/store/status",
            Read,
            "The state of the store",
            store::status,
        ),
        Route::post(
            "/v1/store/backup",
            Admin,
            "Copy the store to a file",
            store::backup,
        ),
    ]
}

/// The configuration file and its versions.
fn about_configuration() -> Vec<Route> {
    use Scope::{Admin, Read};
    vec![
        Route::get(
            "/v1/config",
            Read,
            "What is in force, and whose it is",
            config::show,
        ),
        Route::get(
            "/v1/config/versions",
            Read,
            "List versions of the configuration file",
            config::versions,
        ),
        Route::post(
            "/v1/config:reload",
            Admin,
            "Read the configuration file again",
            config::reload,
        ),
        Route::post(
            "/v1/config:rollback",
            Admin,
            "Go back to an earlier version of the configuration file",
            config::roll_back,
        ),
    ]
}

/// What was done, and what is out of bounds.
fn about_watching() -> Vec<Route> {
    use Scope::Read;
    vec![
        Route::get("/v1/alerts", Read, "What is out of bounds", alerts::list),
        Route::get("/v1/audit", Read, "Who did what", audit::list),
        Route::get(
            "/v1/audit:export",
            Read,
            "Export the audit log as JSON lines",
            audit::export,
        ),
        Route::get(
            "/v1/audit/checkpoints",
            Read,
            "List signed checkpoints of the audit log",
            audit::checkpoints,
        ),
        Route::get(
            "/v1/audit/key",
            Read,
            "The key that checkpoints are checked with",
            audit::key,
        ),
    ]
}

fn about_events() -> Vec<Route> {
    use Scope::Read;
    vec![
        Route::get("/v1/events", Read, "List events", events::list),
        Route::get("/v1/events/{id}", Read, "Show an event", events::show),
        Route::get(
            "/v1/events/{id}/explain",
            Read,
            "Explain who takes an event, where it is and why",
            explain::show,
        ),
        Route::get(
            "/v1/events/{id}/timeline",
            Read,
            "Show everything that happened to an event",
            timeline::show,
        ),
        Route::get("/v1/attempts", Read, "List attempts", attempts::list),
    ]
}

fn about_dead_letters() -> Vec<Route> {
    use Scope::{Read, Replay};
    vec![
        Route::get("/v1/deadLetters", Read, "List dead letters", letters::list),
        Route::get(
            "/v1/deadLetters/{id}",
            Read,
            "Show a dead letter",
            letters::show,
        ),
        Route::get(
            "/v1/deadLetters:export",
            Read,
            "Export dead letters as JSON lines",
            export::export,
        ),
        Route::post(
            "/v1/deadLetters:replay",
            Replay,
            "Deliver dead letters again",
            bulk::replay,
        ),
        Route::post(
            "/v1/deadLetters:discard",
            Replay,
            "Discard dead letters",
            bulk::discard,
        ),
        Route::get("/v1/jobs", Read, "List jobs", jobs::list),
        Route::post("/v1/jobs", Replay, "Make a job", jobs::make),
        Route::get("/v1/jobs/{id}", Read, "Show a job", jobs::show),
        Route::patch(
            "/v1/jobs/{id}",
            Replay,
            "Pause, resume or cancel a job",
            jobs::command,
        ),
    ]
}

/// The routes of a kind of resources. A group is shown as it works.
fn of_kind(kind: Kind) -> Vec<Route> {
    use Scope::{Read, Write};
    let all = format!("/v1/{}", kind.plural());
    let one = format!("{all}/{{name}}");
    let (list, show) = (
        format!("List {}", kind.plural()),
        format!("Show a {}", kind.name()),
    );
    let looks = if kind == Kind::Group {
        [
            Route::get(all, Read, list, groups::list),
            Route::get(one.clone(), Read, show, groups::show),
        ]
    } else {
        [
            Route::get(all, Read, list, move |control, uri| {
                declare::list(kind, control, uri)
            }),
            Route::get(one.clone(), Read, show, move |control, name, headers| {
                declare::show(kind, control, name, headers)
            }),
        ]
    };
    let put = format!("Make or change a {}", kind.name());
    let delete = format!("Delete a {}", kind.name());
    let changes = [
        Route::put(one.clone(), Write, put, move |control, name, ask, body| {
            declare::put(kind, control, name, ask, body)
        }),
        Route::delete(one, Write, delete, move |control, name, ask| {
            declare::delete(kind, control, name, ask)
        }),
    ];
    looks.into_iter().chain(changes).collect()
}

fn about_resources() -> Vec<Route> {
    use Scope::{Read, Write};
    vec![
        Route::get(
            "/v1/policies/{name}/preview",
            Read,
            "The schedule that a policy gives",
            gateway::preview,
        ),
        Route::post(
            "/v1/sources/{name}/test-event",
            Write,
            "Send a test event through a source",
            test_event::send,
        ),
        Route::post(
            "/v1/endpoints/{name}/probe",
            Write,
            "Send a probe to an endpoint",
            probe::probe,
        ),
    ]
}

/// What is known of secrets; a value only comes in.
fn about_secrets() -> Vec<Route> {
    use Scope::{Read, Secrets};
    let one = "/v1/secrets/{name}";
    vec![
        Route::get(
            "/v1/secrets",
            Read,
            "List secrets, without their values",
            secrets::list,
        ),
        Route::get(one, Read, "Show a secret, without its value", secrets::show),
        Route::put(one, Secrets, "Set the value of a secret", secrets::put),
        Route::delete(one, Secrets, "Delete a secret", secrets::delete),
        Route::post(
            "/v1/secrets/{name}/rotate",
            Secrets,
            "Give a secret another value, and let the one before count for a while",
            secrets::rotate,
        ),
    ]
}

/// What people do to a running gateway, and what they see of it then.
fn about_operations() -> Vec<Route> {
    use Scope::{Read, Write};
    let pause = |path, of, pauses, summary| {
        Route::post(
            path,
            Write,
            summary,
            move |control, name, actor, uri, body| {
                pauses::change(of, pauses, control, name, actor, uri, body)
            },
        )
    };
    let (subscription, group) = (pauses::Of::Subscription, pauses::Of::Group);
    vec![
        Route::get("/v1/breakers", Read, "List breakers", breakers::list),
        Route::put(
            "/v1/endpoints/{name}/breaker",
            Write,
            "Open or close a breaker by hand",
            breakers::command,
        ),
        Route::post(
            "/v1/endpoints/{name}/pause",
            Write,
            "Pause an endpoint",
            breakers::pause,
        ),
        Route::post(
            "/v1/endpoints/{name}/resume",
            Write,
            "Resume an endpoint",
            breakers::resume,
        ),
        pause(
            "/v1/subscriptions/{name}/pause",
            subscription,
            true,
            "Pause a subscription",
        ),
        pause(
            "/v1/subscriptions/{name}/resume",
            subscription,
            false,
            "Resume a subscription",
        ),
        pause(
            "/v1/groups/{name}/pause",
            group,
            true,
            "Pause all subscriptions of a group",
        ),
        pause(
            "/v1/groups/{name}/resume",
            group,
            false,
            "Resume all subscriptions of a group",
        ),
        Route::post(
            "/v1/groups/{name}/rebalance",
            Write,
            "Spread the partitions of a group again",
            groups::rebalance,
        ),
        Route::post(
            "/v1/groups/{name}/seek",
            Write,
            "Move the cursors of a group",
            groups::seek::seek,
        ),
    ]
}

fn about_identity() -> Vec<Route> {
    use Scope::Admin;
    use identity::{clients, tokens};
    vec![
        Route::get("/v1/tokens", Admin, "List API tokens", tokens::list),
        Route::post("/v1/tokens", Admin, "Make an API token", tokens::make),
        Route::get("/v1/tokens/{id}", Admin, "Show an API token", tokens::show),
        Route::delete(
            "/v1/tokens/{id}",
            Admin,
            "Revoke an API token",
            tokens::delete,
        ),
        Route::get("/v1/clients", Admin, "List OAuth clients", clients::list),
        Route::post("/v1/clients", Admin, "Make an OAuth client", clients::make),
        Route::get(
            "/v1/clients/{id}",
            Admin,
            "Show an OAuth client",
            clients::show,
        ),
        Route::delete(
            "/v1/clients/{id}",
            Admin,
            "Delete an OAuth client",
            clients::delete,
        ),
        Route::post(
            "/v1/clients/{id}/rotate",
            Admin,
            "Give an OAuth client a new secret",
            clients::rotate,
        ),
    ]
}
