//! The event types that an API knows.

use switchhook_wire::dialect::catalogue::EventType;

use crate::client::Client;
use crate::pages;
use crate::refusal::Error;

/// All of them, in the order of the API.
///
/// # Errors
/// When the list is not to be had or holds something else.
pub async fn event_types(client: &Client) -> Result<Vec<EventType>, Error> {
    let path = ["api", "v2", "eventtypes"];
    let found = pages::all(client, &path, "page", &mut ()).await?;
    let types = found.into_iter().map(serde_json::from_value);
    types
        .collect::<Result<_, _>>()
        .map_err(|error| Error::Foreign {
            asked: format!("GET /{}", path.join("/")),
            what: format!("an event type that is none: {error}"),
        })
}
