//! `/livez`, `/readyz`, `/metrics`: for probes and scrapers, which carry no token.
//!
//! Alive is a process that answers. Ready is one whose store answers a read and whose dispatch answers a question within
//! [`PATIENCE`], and that is not stopping. The answer names what is not ready, nothing more.

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{StatusCode, Uri};
use switchhook_wire::api::{ReadyCheck, ReadyView};

use super::Control;
use super::answer::Answer;
use super::request::Params;
use crate::gateway::in_background;
use crate::observe::MEDIA_TYPE;

/// A part that does not answer within this is not ready.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// 200 or 503; `?verbose=true` lists each part.
pub(super) async fn ready(State(control): State<Arc<Control>>, uri: Uri) -> Answer {
    let verbose = verbose(&uri)?;
    let (store, dispatch) = tokio::join!(
        // Not in line behind the reads of the API, which may be long.
        check(
            "store",
            in_background(&control.gateway.store, |store| store.cursors())
        ),
        check("dispatch", control.gateway.dispatch.snapshot()),
    );
    let stopping = control.gateway.is_closing();
    let running = ReadyCheck {
        name: "running".into(),
        ready: !stopping,
        detail: stopping.then(|| "the gateway is stopping".into()),
    };
    let checks = vec![store, dispatch, running];
    Ok(answer(
        ReadyView {
            ready: checks.iter().all(|check| check.ready),
            checks,
        },
        verbose,
    ))
}

fn verbose(uri: &Uri) -> Answer<bool> {
    // Without a value is how people write it.
    if uri.query() == Some("verbose") {
        return Ok(true);
    }
    let mut params = Params::of(uri);
    let verbose = params.flag("verbose");
    params.finish()?;
    Ok(verbose)
}

async fn check<T, E: Display>(name: &str, part: impl Future<Output = Result<T, E>>) -> ReadyCheck {
    let detail = match tokio::time::timeout(PATIENCE, part).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => {
            tracing::warn!(part = name, %error, "not ready");
            Some("it failed; the log has the reason".to_owned())
        }
        Err(_) => Some(format!(
            "it did not answer within {} ms",
            PATIENCE.as_millis()
        )),
    };
    ReadyCheck {
        name: name.to_owned(),
        ready: detail.is_none(),
        detail,
    }
}

fn answer(view: ReadyView, verbose: bool) -> Response {
    let status = if view.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let checks = if verbose {
        view.checks
    } else {
        view.checks
            .into_iter()
            .filter(|check| !check.ready)
            .collect()
    };
    (
        status,
        Json(ReadyView {
            ready: view.ready,
            checks,
        }),
    )
        .into_response()
}

pub(super) async fn metrics(State(control): State<Arc<Control>>) -> Answer {
    let text = control.gateway.observe.metrics(control.reading().await?);
    Ok(([(CONTENT_TYPE, MEDIA_TYPE)], text).into_response())
}
