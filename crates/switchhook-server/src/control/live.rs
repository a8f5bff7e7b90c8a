//! `/v1/stats` and `/v1/stream`: what happens now.
//!
//! The stream is server-sent events: `attempt` with a judged attempt, `breaker` with a breaker that changed with it, and
//! `missed` with how many a slow reader did not get.
//! Nothing is kept for a reader that comes back. A stream ends when the gateway stops, within [`ALIVE`], so that no
//! reader holds the stop up. Bounds: [`STREAMS_MAX`] readers; what waits for one is bounded by dispatch.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::sse::{Event, Sse};
use futures_util::stream;
use http::Uri;
use serde_json::json as object;
use switchhook_core::engine::Judged;
use switchhook_core::sight::Sight;
use switchhook_wire::api::{BreakerChange, StreamItem};
use switchhook_wire::problem::Kind;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::Control;
use super::answer::{Answer, Refusal, json};
use super::request::Params;
use super::sight::Seen;

/// Readers of the stream at once; each costs the rendering of every attempt.
pub(super) const STREAMS_MAX: usize = 16;
/// A reader hears at least this often that the stream is alive.
const ALIVE: Duration = Duration::from_secs(1);

pub(super) async fn stats(State(control): State<Arc<Control>>, uri: Uri) -> Answer {
    Params::of(&uri).finish()?;
    let reading = control.reading().await?;
    json(control.gateway.observe.live_view(&reading))
}

struct Reader {
    control: Arc<Control>,
    attempts: Receiver<Arc<Judged>>,
    /// A change that came with the attempt that was sent last.
    change: Option<BreakerChange>,
    sight: Sight,
    _place: OwnedSemaphorePermit,
}

pub(super) async fn stream(
    State(control): State<Arc<Control>>,
    Seen(sight): Seen,
    uri: Uri,
) -> Answer {
    Params::of(&uri).finish()?;
    let place = control.streams.clone().try_acquire_owned().map_err(|_| {
        Refusal::new(
            Kind::Overloaded,
            format!("{STREAMS_MAX} streams are open already"),
        )
    })?;
    let reader = Reader {
        attempts: control.gateway.dispatch.live(),
        change: None,
        sight,
        control,
        _place: place,
    };
    let events = stream::unfold(reader, |mut reader| async move {
        let event = reader.next().await?;
        Some((Ok::<_, Infallible>(event), reader))
    });
    Ok(Sse::new(events).into_response())
}

impl Reader {
    /// What to send next; `None` ends the stream.
    async fn next(&mut self) -> Option<Event> {
        if self.control.gateway.is_closing() {
            return None;
        }
        if let Some(change) = self.change.take() {
            let change = serde_json::to_value(change).unwrap_or_default();
            return Some(event("breaker", &change));
        }
        match tokio::time::timeout(ALIVE, self.attempts.recv()).await {
            Ok(Ok(judged)) => {
                self.change = judged.breaker.as_ref().map(BreakerChange::from);
                let attempt = self.sight.attempt(&judged.attempt);
                let item = StreamItem::new(&judged.event, &attempt);
                Some(event(
                    "attempt",
                    &serde_json::to_value(item).unwrap_or_default(),
                ))
            }
            Ok(Err(RecvError::Lagged(missed))) => {
                Some(event("missed", &object!({ "missed": missed })))
            }
            Ok(Err(RecvError::Closed)) => None,
            Err(_) => Some(Event::default().comment("alive")),
        }
    }
}

fn event(name: &str, data: &serde_json::Value) -> Event {
    // JSON in one line, as `data` wants it.
    Event::default().event(name).data(data.to_string())
}
