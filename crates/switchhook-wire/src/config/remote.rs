//! `[genesys]` and `[webhook.NAME]` of a file that declares resources: webhooks at a management API, and how to reach it.
//!
//! A webhook is said in the few words that all dialects have. What the words of its dialect must look like is checked by
//! the client of that API, which knows them.

use switchhook_core::secret::Secret;

use super::codes;
use super::read::{Item, Report};

/// Most webhooks of one file.
const WEBHOOKS_MAX: usize = 1_000;
/// Most event types of one webhook: far more than any dialect takes.
const TYPES_MAX: usize = 1_000;
/// Most attempts of a retry policy. This and the next only bound what is read: the client knows the real limits.
const ATTEMPTS_MAX: u32 = 1_000;
/// Longest time that its delays add up to, in milliseconds.
const DURATION_MAX_MS: u64 = 7 * 86_400_000;

/// A management API, and who we are there.
#[derive(Debug, Clone)]
pub struct Remote {
    /// Base URL, or a region of Genesys Cloud.
    pub place: RemotePlace,
    /// Id of the OAuth client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: RemoteSecret,
}

/// Where a management API is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemotePlace {
    /// Below this URL.
    Base(String),
    /// Where this region of Genesys Cloud has it.
    Region(String),
}

/// Where the secret of an OAuth client is.
#[derive(Debug, Clone)]
pub enum RemoteSecret {
    /// Here: it came from the environment, or is written out.
    Value(Secret),
    /// In this file, relative to the file that names it.
    File(String),
}

/// A webhook at a management API.
#[derive(Debug, Clone, PartialEq)]
pub struct DeclaredWebhook {
    /// What the file calls it.
    pub key: String,
    /// `webhooks`, `lifecycle` or `integrations`.
    pub dialect: &'static str,
    /// What people call it.
    pub name: String,
    /// Where it sends to.
    pub url: String,
    /// Its event types.
    pub event_types: Vec<String>,
    /// How its deliveries are retried; left as it is when absent.
    pub retry: Option<WebhookRetry>,
    /// File and line.
    pub defined_at: Option<String>,
}

/// How deliveries of a webhook are retried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebhookRetry {
    /// These delays, one after each attempt.
    Delays(Vec<String>),
    /// So many attempts, whose delays add up to so many seconds.
    Spread(usize, u64),
}

/// The section `[genesys]`.
pub(super) fn remote(item: &Item<'_>, report: &mut Report) -> Option<Remote> {
    let known = [
        "base",
        "region",
        "client_id",
        "client_secret",
        "client_secret_file",
    ];
    let table = report.table(item, &known)?;
    let place = match table.one_of(&["base", "region"], report)? {
        ("base", item) => RemotePlace::Base(report.text(&item)?.text.clone()),
        (_, item) => RemotePlace::Region(report.text(&item)?.text.clone()),
    };
    let id = table.need("client_id", report);
    let id = id.and_then(|item| Some(report.text(&item)?.text.clone()));
    let secret = match table.one_of(&["client_secret", "client_secret_file"], report)? {
        ("client_secret", item) => {
            let text = report.text(&item)?;
            RemoteSecret::Value(Secret::new(text.text.clone().into_bytes()))
        }
        (_, item) => RemoteSecret::File(report.text(&item)?.text.clone()),
    };
    Some(Remote {
        place,
        client_id: id?,
        client_secret: secret,
    })
}

/// The section `[webhook]`.
pub(super) fn webhooks(item: &Item<'_>, report: &mut Report) -> Vec<DeclaredWebhook> {
    let Some(table) = report.open_table(item) else {
        return Vec::new();
    };
    if table.fields.len() > WEBHOOKS_MAX {
        let message = format!(
            "{} webhooks are too many, at most {WEBHOOKS_MAX} are allowed",
            table.fields.len()
        );
        report.add(codes::TOO_MANY, item, message, None);
        return Vec::new();
    }
    let read = |field| {
        let field: &super::node::Field = field;
        let defined_at = report.document.line(&field.key_span);
        webhook(&field.key, defined_at, &table.item.child(field), report)
    };
    table.fields.iter().filter_map(read).collect()
}

fn webhook(
    key: &str,
    defined_at: Option<String>,
    item: &Item<'_>,
    report: &mut Report,
) -> Option<DeclaredWebhook> {
    let known = ["dialect", "name", "url", "event_types", "retry"];
    let table = report.table(item, &known)?;
    let words = ["webhooks", "lifecycle", "integrations"].map(|word| (word, word));
    let dialect = table.or("dialect", "webhooks", |item| report.choice(item, &words));
    let name = table.or("name", key.to_owned(), |item| {
        Some(report.text(item)?.text.clone())
    });
    let url = table.need("url", report);
    let url = url.and_then(|item| Some(report.text(&item)?.text.clone()));
    let types = table.need("event_types", report);
    let types = types.and_then(|item| texts(&item, TYPES_MAX, report));
    let retry = table.or("retry", None, |item| retry(item, report).map(Some));
    Some(DeclaredWebhook {
        key: key.to_owned(),
        dialect: dialect?,
        name: name?,
        url: url?,
        event_types: types?,
        retry: retry?,
        defined_at,
    })
}

fn retry(item: &Item<'_>, report: &mut Report) -> Option<WebhookRetry> {
    let table = report.table(item, &["delays", "max_attempts", "duration"])?;
    if let Some(item) = table.get("delays") {
        return texts(&item, TYPES_MAX, report).map(WebhookRetry::Delays);
    }
    let attempts = table.need("max_attempts", report);
    let duration = table.need("duration", report);
    let attempts = report.integer(&attempts?, 1..=ATTEMPTS_MAX)?;
    let duration_ms = report.duration(&duration?, 0..=DURATION_MAX_MS)?;
    Some(WebhookRetry::Spread(
        usize::try_from(attempts).ok()?,
        duration_ms / 1_000,
    ))
}

fn texts(item: &Item<'_>, most: usize, report: &mut Report) -> Option<Vec<String>> {
    report.each(item, 0..=most, |item, report| {
        Some(report.text(item)?.text.clone())
    })
}
