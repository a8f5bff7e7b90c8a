//! Presets: what is known about a sender, so that a source needs to say only what differs.
//!
//! Places and schemes are those of `facts` (Genesys events, sections 2 and 6):
//!
//! * `open-messaging`: `X-Hub-Signature-256`. The key is the customer: what Genesys Cloud sends here is
//!   outbound, so the customer is `/channel/to/id` and `/channel/from/id` is the integration, the same for
//!   all conversations; it is only the second choice. One message is `id` and `channel.time` together.
//! * `eventbridge`: AWS signs nothing, so the scheme must be written. The type is the topic template in
//!   `detail-type`. Genesys re-sends for up to four days, hence the window of five.
//! * `genesys`: the notification body (`topicName`, `eventBody`) with `X-Genesys-Signature`. It has no
//!   identity of its own, so the content decides.
//! * The key of both is the conversation, else the queue or user; where the body names none, it is the
//!   concrete topic, which has the id of the queue or user in it (`v2.users.7a….presence`).
//! * `standard-webhooks`: the message id is a header.
//! * `webhook`: any other sender, and the default; the scheme must be written.

use switchhook_core::pointer::Pointer;
use switchhook_core::source::{DEDUP_WINDOW_DEFAULT_MS, DEDUP_WINDOW_EVENTBRIDGE_MS, DedupBy};

/// What is known about a sender.
#[derive(Debug, Clone, Copy)]
pub(super) struct Preset {
    /// Its verification scheme, if it has a fixed one.
    pub(super) scheme: Option<&'static str>,
    /// JSON pointer to the event type.
    pub(super) kind: &'static str,
    /// JSON pointers to the ordering key.
    pub(super) key: &'static [&'static str],
    dedup: Identity,
    /// It sends what Genesys Cloud makes: deliveries of one key keep their order unless something else is written.
    pub(super) is_genesys: bool,
    /// Default dedup window, in milliseconds.
    pub(super) window_ms: u64,
}

#[derive(Debug, Clone, Copy)]
enum Identity {
    Pointers(&'static [&'static str]),
    Header(&'static str),
    Content,
}

const WEBHOOK: Preset = Preset {
    scheme: None,
    kind: "/type",
    key: &[],
    dedup: Identity::Content,
    is_genesys: false,
    window_ms: DEDUP_WINDOW_DEFAULT_MS,
};

/// All presets by name.
pub(super) const ALL: [(&str, Preset); 5] = [
    (
        "open-messaging",
        Preset {
            scheme: Some("open-messaging"),
            key: &["/channel/to/id", "/channel/from/id"],
            dedup: Identity::Pointers(&["/id", "/channel/time"]),
            is_genesys: true,
            ..WEBHOOK
        },
    ),
    (
        "eventbridge",
        Preset {
            kind: "/detail-type",
            key: &[
                "/detail/eventBody/conversationId",
                "/detail/eventBody/queueId",
                "/detail/eventBody/userId",
                "/detail/topicName",
            ],
            dedup: Identity::Pointers(&["/id"]),
            is_genesys: true,
            window_ms: DEDUP_WINDOW_EVENTBRIDGE_MS,
            ..WEBHOOK
        },
    ),
    (
        "genesys",
        Preset {
            scheme: Some("genesys-signature"),
            kind: "/topicName",
            key: &[
                "/eventBody/conversationId",
                "/eventBody/queueId",
                "/eventBody/userId",
                "/topicName",
            ],
            is_genesys: true,
            ..WEBHOOK
        },
    ),
    (
        "standard-webhooks",
        Preset {
            scheme: Some("standard-webhooks"),
            dedup: Identity::Header("webhook-id"),
            ..WEBHOOK
        },
    ),
    ("webhook", WEBHOOK),
];

impl Default for Preset {
    fn default() -> Self {
        WEBHOOK
    }
}

impl Preset {
    /// What identifies an event of this sender.
    pub(super) fn identity(self) -> DedupBy {
        match self.dedup {
            Identity::Pointers(texts) => DedupBy::Pointers(pointers(texts)),
            Identity::Header(name) => DedupBy::Header(name.into()),
            Identity::Content => DedupBy::Content,
        }
    }
}

/// The pointers that these texts are. A test holds that each of ours is one.
pub(super) fn pointers(texts: &[&str]) -> Vec<Pointer> {
    texts
        .iter()
        .filter_map(|text| Pointer::parse(text).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_of_a_preset_is_a_json_pointer() {
        for (name, preset) in ALL {
            let mut texts = vec![preset.kind];
            texts.extend(preset.key);
            if let Identity::Pointers(more) = preset.dedup {
                texts.extend(more);
            }
            assert_eq!(pointers(&texts).len(), texts.len(), "{name}");
        }
    }
}
