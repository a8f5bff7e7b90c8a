//! The dialects of webhook management (`/api/v2`): JSON of five shapes over one model.
//!
//! A webhook is a subscription with its endpoint and policy. [`Webhook`] is the neutral view of it, [`Edit`] what a
//! request asks for, in which everything is optional. Each dialect is a module that turns JSON into an [`Edit`] and a
//! [`Webhook`] into JSON:
//!
//! | dialect | module | path |
//! |---|---|---|
//! | A | [`webhooks`] | `/api/v2/webhooks` |
//! | B | [`lifecycle`] | `/api/v2/webhooks/webhooks` |
//! | C | [`notifications`] | `/api/v2/notifications/webhooks` |
//! | D | [`integrations`] | `/api/v2/integrations` |
//! | E | [`flat`] | `/api/v2/integrations/{id}/webhook` |
//!
//! Besides these, [`oauth`] has the token request and its answer, [`page`] the lists, [`error`] the body of a refusal,
//! [`log`] the attempts of a webhook, [`catalogue`] the event types. The bodies derive both `Serialize` and `Deserialize`: the gateway writes
//! them, a client reads them.
//!
//! [`Edit::apply`] works on the JSON bodies in the shape of the configuration file, so that whatever a dialect cannot
//! express stays as it was. A body is decoded as a whole: every problem at once, an unknown field with the nearest name
//! that exists. Nothing is read or written here, and no secret is in a fault.

pub mod catalogue;
mod edit;
pub mod error;
pub mod flat;
pub mod integrations;
pub mod lifecycle;
pub mod log;
mod name;
pub mod notifications;
pub mod oauth;
pub mod page;
mod read;
mod retry;
mod secret;
mod view;
pub mod webhooks;

use std::collections::BTreeMap;

use ipnet::IpNet;
use switchhook_core::retry::Policy;
use uuid::Uuid;

pub use edit::{Applied, Bodies, Edit, Events, Own};
pub use error::{Code, Fault};
pub use name::resource_name;
pub use read::How;
pub use retry::{DELAY_MAX_MS, Growth, RETRIES_MAX, Retry, SPREAD_MAX_S};
pub use secret::{Given, SecretChange, own_secrets};
pub use view::{Parts, credential, view};

/// Most event types of a webhook in dialect A (seed 001).
pub const TYPES_MAX: usize = 15;
/// Longest name, in characters: that of a subscription's `title`.
pub const NAME_CHARS_MAX: usize = 256;
/// Longest description, in characters: that of a subscription's.
pub const DESCRIPTION_CHARS_MAX: usize = 1_024;
/// What stands in place of a secret that is not shown, and means "as it is" where it is sent back.
pub const MASK: &str = "***";
/// What is sent as `Content-Type` unless something else is written.
pub(crate) const CONTENT_TYPE: &str = "application/json";
/// The property of dialect B that sets the secret which signs deliveries.
pub const SIGNATURE_PROPERTY: &str = "webhook.signature.secret";

/// One webhook as every dialect sees it. It holds no secret in clear.
#[derive(Debug, Clone, PartialEq)]
pub struct Webhook {
    /// The subscription's.
    pub id: Uuid,
    /// The subscription's title, or its name where it has none.
    pub title: String,
    /// What it is for.
    pub description: Option<String>,
    /// Where deliveries go; the first member's where it is a group.
    pub url: String,
    /// `POST` or `PUT`.
    pub method: String,
    /// What is sent as `Content-Type`, where it is set.
    pub content_type: Option<String>,
    /// Further headers; literal credentials are masked.
    pub headers: BTreeMap<String, String>,
    /// Whether anything is sent.
    pub enabled: bool,
    /// The event types it takes, in their order.
    pub events: Vec<EventFilter>,
    /// Free key and value pairs.
    pub properties: BTreeMap<String, String>,
    /// Whether deliveries carry `X-Genesys-Signature`.
    pub is_signed: bool,
    /// How deliveries are retried.
    pub retry: Policy,
    /// Fields that make up the body, if it is mapped.
    pub fields: Vec<FieldMapping>,
    /// Who we are to the endpoint.
    pub security: SecurityKind,
    /// Changes with every change of the webhook.
    pub version: u64,
    /// With its quotes.
    pub etag: String,
}

/// An event type that a webhook takes, and which events of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFilter {
    /// A name, template or wildcard.
    pub kind: String,
    /// An expression; `None` takes all.
    pub filter: Option<String>,
}

/// A field of the body that is sent, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldMapping {
    /// A path into the event's body.
    pub source: String,
    /// The field that is made.
    pub destination: String,
}

/// How we prove who we are, as far as a dialect has words for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SecurityKind {
    /// Not, or in a way that has no word here.
    #[default]
    None,
    /// User name and password.
    Basic,
    /// A token.
    Bearer,
}

impl SecurityKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::None, Self::Basic, Self::Bearer];

    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Basic => "basic",
            Self::Bearer => "bearer",
        }
    }

    /// The kind with this word.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// The dialects that change webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// A
    Webhooks,
    /// B
    Lifecycle,
    /// C
    Notifications,
    /// D
    Integrations,
    /// E
    Flat,
}

impl Dialect {
    /// Every dialect.
    pub const ALL: [Self; 5] = [
        Self::Webhooks,
        Self::Lifecycle,
        Self::Notifications,
        Self::Integrations,
        Self::Flat,
    ];

    /// Where its webhook with this id is.
    #[must_use]
    pub fn path(self, id: Uuid) -> String {
        match self {
            Self::Webhooks => format!("/api/v2/webhooks/{id}"),
            Self::Lifecycle => format!("/api/v2/webhooks/webhooks/{id}"),
            Self::Notifications => format!("/api/v2/notifications/webhooks/{id}"),
            Self::Integrations => format!("/api/v2/integrations/{id}"),
            Self::Flat => format!("/api/v2/integrations/{id}/webhook"),
        }
    }

    /// Where all its webhooks are.
    #[must_use]
    pub const fn path_of_all(self) -> &'static str {
        match self {
            Self::Webhooks => "/api/v2/webhooks",
            Self::Lifecycle => "/api/v2/webhooks/webhooks",
            Self::Notifications => "/api/v2/notifications/webhooks",
            Self::Integrations | Self::Flat => "/api/v2/integrations",
        }
    }

    /// What a webhook is called there, in refusals.
    #[must_use]
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Webhooks | Self::Lifecycle | Self::Notifications => "webhook",
            Self::Integrations | Self::Flat => "integration",
        }
    }

    /// What the body of a request asks for. The path says which webhook is meant. Whether the URL may be reached is not
    /// judged.
    ///
    /// # Errors
    /// Every fault of the body.
    pub fn decode(self, body: &[u8], how: How) -> Result<Edit, Vec<Fault>> {
        self.decode_for(body, how, None)
    }

    /// The same, where endpoints may lie in public ranges and in `allow`: a URL elsewhere is told beside other faults. Without
    /// any, [`Edit::apply`] judges it, which knows what the endpoint itself allows.
    ///
    /// # Errors
    /// Every fault of the body.
    pub fn decode_within(self, body: &[u8], how: How, allow: &[IpNet]) -> Result<Edit, Vec<Fault>> {
        self.decode_for(body, how, Some(allow))
    }

    fn decode_for(
        self,
        body: &[u8],
        how: How,
        allow: Option<&[IpNet]>,
    ) -> Result<Edit, Vec<Fault>> {
        match self {
            Self::Webhooks => webhooks::decode(body, how, allow),
            Self::Lifecycle => lifecycle::decode(body, how, allow),
            Self::Notifications => notifications::decode(body),
            Self::Integrations => integrations::decode(body, how, allow),
            Self::Flat => flat::decode(body, allow),
        }
    }

    /// The body that shows `webhook`. `base_url` is what the gateway is called by the client, without a slash at its end.
    #[must_use]
    pub fn encode(self, webhook: &Webhook, base_url: &str) -> serde_json::Value {
        let body = match self {
            Self::Webhooks => serde_json::to_value(webhooks::encode(webhook, base_url)),
            Self::Lifecycle => serde_json::to_value(lifecycle::encode(webhook)),
            Self::Notifications => serde_json::to_value(notifications::encode(webhook)),
            Self::Integrations => serde_json::to_value(integrations::encode(webhook)),
            Self::Flat => serde_json::to_value(flat::encode(webhook, None)),
        };
        // Texts, numbers and maps with text keys always have a JSON form.
        body.unwrap_or_default()
    }

    /// The field of the dialect that stands for a place in the body of a resource: its kind and the JSON pointer.
    #[must_use]
    pub fn field(self, kind: &str, pointer: &str) -> String {
        let table: &[(&str, &str, &str)] = match self {
            Self::Webhooks => &webhooks::FIELDS,
            Self::Lifecycle => &lifecycle::FIELDS,
            Self::Notifications => &notifications::FIELDS,
            Self::Integrations => &integrations::FIELDS,
            Self::Flat => &flat::FIELDS,
        };
        let of = table.iter().find_map(|(of, start, field)| {
            let rest = pointer.strip_prefix(start).filter(|_| *of == kind)?;
            // The whole value, or something inside it.
            (rest.is_empty() || rest.starts_with('/')).then(|| {
                let inner = rest.replace('/', ".").replace("~1", "/").replace("~0", "~");
                format!("{field}{inner}")
            })
        });
        of.unwrap_or_else(|| format!("{kind}{}", pointer.replace('/', ".")))
    }
}

#[cfg(test)]
mod tests;
