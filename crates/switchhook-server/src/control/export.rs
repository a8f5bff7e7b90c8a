//! `GET /v1/deadLetters:export`: all that match, one JSON text a line, in bounded memory.
//!
//! A line is a dead letter as in the list, with `history` (its attempts over all chains) and the exact bytes of its event:
//! as `body` where they are a JSON text in one line, copied and not written anew, else as `bodyBase64`.
//! One chunk is read at a time, and only when the reader has taken the one before.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::IntoResponse;
use bytes::Bytes;
use data_encoding::BASE64;
use futures_util::stream;
use http::Uri;
use http::header::CONTENT_TYPE;
use serde::de::IgnoredAny;
use switchhook_core::delivery::Attempt;
use switchhook_core::sight::Sight;
use switchhook_store::query::{DeadFilter, DeadLetter, DeadPosition};
use switchhook_store::{Error, Store};
use switchhook_wire::api::{AttemptView, BodyForm};

use super::answer::Answer;
use super::sight::Seen;
use super::{Control, letters, selection};

/// The media type of JSON lines.
pub(super) const JSON_LINES: &str = "application/x-ndjson";

pub(super) async fn export(
    State(control): State<Arc<Control>>,
    Seen(sight): Seen,
    uri: Uri,
) -> Answer {
    let selection = selection::of_uri(&uri)?.seen_by(sight);
    let selection = selection.frozen(control.gateway.clock.now());
    let filter = Arc::new(control.read(move |store| selection.resolve(store)).await?);
    let lines = stream::try_unfold(None, move |after: Option<DeadPosition>| {
        let (control, filter) = (control.clone(), filter.clone());
        async move {
            let chunk = control
                .read(move |store| chunk(store, &filter, after.as_ref(), sight))
                .await;
            // The status is sent already: breaking the connection off is the only way to tell.
            let chunk = chunk.map_err(|_| std::io::Error::other("the store could not be read"))?;
            Ok::<_, std::io::Error>(chunk.map(|(text, last)| (text, Some(last))))
        }
    });
    Ok(([(CONTENT_TYPE, JSON_LINES)], Body::from_stream(lines)).into_response())
}

/// The next lines after `after`, and the place of the last one.
fn chunk(
    store: &dyn Store,
    filter: &DeadFilter,
    after: Option<&DeadPosition>,
    sight: Sight,
) -> Result<Option<(Bytes, DeadPosition)>, Error> {
    let letters = letters::chunk(store, filter, after)?;
    let Some(last) = letters.last().map(letters::position) else {
        return Ok(None);
    };
    let mut text = String::new();
    for letter in &letters {
        let attempts = store.history(letter.event.offset)?.attempts;
        text.push_str(&line(letter, &attempts, sight));
        text.push('\n');
    }
    Ok(Some((text.into(), last)))
}

fn line(letter: &DeadLetter, attempts: &[Attempt], sight: Sight) -> String {
    let view = letters::view(sight, letter, BodyForm::Absent);
    let own = attempts
        .iter()
        .filter(|attempt| attempt.key == letter.dead.key);
    let seen = own.map(|attempt| AttemptView::from(&sight.attempt(attempt)));
    let history: Vec<AttemptView> = seen.collect();
    let mut line = text(&view);
    // The members that follow are joined to those of the view.
    line.pop();
    line.push_str(r#","history":"#);
    line.push_str(&text(&history));
    match json_line(&letter.event.body) {
        Some(body) => {
            line.push_str(r#","body":"#);
            line.push_str(body);
        }
        None => {
            line.push_str(r#","bodyBase64":""#);
            BASE64.encode_append(&letter.event.body, &mut line);
            line.push('"');
        }
    }
    line.push('}');
    line
}

fn text(value: &impl serde::Serialize) -> String {
    // Our own views have no member that JSON cannot write.
    serde_json::to_string(value).unwrap_or_default()
}

/// `bytes` as a text that can stand in a line of JSON lines.
fn json_line(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes)
        .ok()
        .filter(|text| !text.contains(['\n', '\r']))?;
    serde_json::from_str::<IgnoredAny>(text).ok().map(|_| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_json_text_in_one_line_is_copied_as_it_is() {
        for (bytes, copied) in [
            (&b"{\"a\" : 1.0e2}"[..], true),
            (b" 12345678901234567890123 ", true),
            (b"{\n}", false),
            (b"{", false),
            (b"", false),
            (b"\"\xff\"", false),
        ] {
            assert_eq!(
                json_line(bytes).is_some(),
                copied,
                "{}",
                String::from_utf8_lossy(bytes)
            );
        }
    }
}
