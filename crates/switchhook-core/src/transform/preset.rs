//! Ready-made bodies that tell people of an alert: Slack, Microsoft Teams, `PagerDuty`, Genesys Cloud.
//!
//! Made for the gateway's own events (source `switchhook`), whose bodies have `title`, `severity` (info,
//! warning, error, critical), `summary`, `state` (raised, cleared) and `subject` (kind and name of what it is
//! about); any other event is told by its type and id. The rest of the body goes along as details. Every text is cut
//! to what the receiver takes, and escaped where the receiver would read it as markup: what a stranger
//! sent cannot mention a channel or disguise a link.
//!
//! `PagerDuty` wants its `routing_key` in the body ("required", Events API v2). It is a secret, so it is
//! not part of the body made here: [`with_routing_key`] adds it when an attempt is made.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::event::OWN_SOURCE;
use crate::expression::Subject;
use crate::time::rfc3339;

/// Longest Slack header block, in characters.
const SLACK_HEADER_MAX: usize = 150;
/// Longest text of a Slack section block, in characters.
const SLACK_TEXT_MAX: usize = 3000;
/// Longest text in a Teams card: the whole message may have 28 KB, and a character takes up to four.
const TEAMS_TEXT_MAX: usize = 2800;
/// Longest `PagerDuty` summary.
const PAGERDUTY_SUMMARY_MAX: usize = 1024;
/// Longest `PagerDuty` dedup key.
const PAGERDUTY_KEY_MAX: usize = 255;
/// Most bytes of details as JSON; `PagerDuty` takes 512 KB in all.
const DETAIL_BYTES_MAX: usize = 32 * 1024;
/// Longest text variable that a Genesys workflow reads is 32,000 characters; half of it leaves room.
const GENESYS_TEXT_MAX: usize = 16_000;
/// Longest title, type, key or other short text.
const SHORT_MAX: usize = 300;

/// A ready-made body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// A Slack incoming webhook: text and blocks.
    Slack,
    /// A Microsoft Teams workflow ("when a webhook request is received"): an adaptive card.
    Teams,
    /// `PagerDuty` Events API v2.
    PagerDuty,
    /// A Genesys Cloud "webhook for events" integration: flat text fields, which a trigger hands to a
    /// workflow as its primitives.
    Genesys,
}

/// What is to be told.
struct Notice {
    title: String,
    summary: String,
    severity: Severity,
    cleared: bool,
    /// What it is about; an alert that is cleared has the one it was raised with.
    about: String,
    details: Value,
    source: String,
    kind: String,
    id: String,
    time: String,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Severity {
    Info,
    Warning,
    Error,
    Critical,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Slack, Self::Teams, Self::PagerDuty, Self::Genesys];

    /// Its name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Slack => "slack",
            Self::Teams => "teams",
            Self::PagerDuty => "pagerduty",
            Self::Genesys => "genesys",
        }
    }

    /// The preset called `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.name() == name)
    }

    /// The body that tells of the event of `subject`.
    #[must_use]
    pub fn body(self, subject: &Subject<'_>) -> Value {
        let notice = Notice::of(subject);
        match self {
            Self::Slack => slack(&notice),
            Self::Teams => teams(&notice),
            Self::PagerDuty => pagerduty(&notice),
            Self::Genesys => genesys(&notice),
        }
    }
}

/// `body`, an object made by [`Preset::PagerDuty`], with the routing key in it. The result is a secret.
#[must_use]
pub fn with_routing_key(body: &[u8], routing_key: &str) -> Bytes {
    let rest = body.strip_prefix(b"{").unwrap_or(body);
    let key = Value::from(routing_key).to_string();
    [br#"{"routing_key":"#, key.as_bytes(), b",", rest]
        .concat()
        .into()
}

impl Severity {
    const ALL: [Self; 4] = [Self::Info, Self::Warning, Self::Error, Self::Critical];

    const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|severity| severity.name() == name)
    }
}

impl Notice {
    fn of(subject: &Subject<'_>) -> Self {
        let event = subject.event();
        let id = event.id.to_string();
        let told = Self {
            title: event.kind.to_string(),
            summary: format!("{} {id} from {}", event.kind, event.source),
            severity: Severity::Info,
            cleared: false,
            about: id.clone(),
            details: subject.json().cloned().unwrap_or(Value::Null),
            source: event.source.to_string(),
            kind: event.kind.to_string(),
            id,
            time: rfc3339(event.received_at),
        };
        if &*event.source == OWN_SOURCE {
            told.with_alert()
        } else {
            told
        }
    }

    /// With what the body of an alert says about itself taken out of the details.
    fn with_alert(mut self) -> Self {
        let Value::Object(fields) = &mut self.details else {
            return self;
        };
        let mut take = |name: &str| match fields.remove(name) {
            Some(Value::String(text)) => Some(text),
            Some(_) | None => None,
        };
        self.title = take("title").unwrap_or(self.title);
        self.summary = take("summary").unwrap_or(self.summary);
        self.cleared = take("state").as_deref() == Some("cleared");
        self.severity = take("severity")
            .and_then(|name| Severity::from_name(&name))
            .unwrap_or(self.severity);
        self.about = matter(fields).unwrap_or(self.about);
        fields.remove("subject");
        self
    }

    const fn state(&self) -> &'static str {
        if self.cleared { "cleared" } else { "raised" }
    }

    /// The facts that tell where it comes from.
    fn origin(&self) -> [(&'static str, String); 6] {
        [
            ("severity", self.severity.name().into()),
            ("state", self.state().into()),
            ("subject", clip(&self.about, SHORT_MAX)),
            ("type", clip(&self.kind, SHORT_MAX)),
            ("event", self.id.clone()),
            ("time", self.time.clone()),
        ]
    }

    /// The details as text, cut to `chars_max`.
    fn detail_text(&self, chars_max: usize) -> String {
        if self.details.is_null() {
            return String::new();
        }
        clip(&format!("{:#}", self.details), chars_max)
    }

    /// The details as they are, or as cut text when they are too large.
    fn detail_value(&self) -> Value {
        let text = self.details.to_string();
        if text.len() <= DETAIL_BYTES_MAX {
            self.details.clone()
        } else {
            Value::String(clip(&text, DETAIL_BYTES_MAX / 4))
        }
    }
}

/// What an alert is about, the same when it is cleared: kind and name of its subject, and the watched
/// figure where there is one.
fn matter(fields: &Map<String, Value>) -> Option<String> {
    let subject = fields.get("subject")?;
    let parts = [
        subject.get("kind"),
        subject.get("name"),
        fields.get("figure"),
    ];
    let parts: Vec<&str> = parts
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    (!parts.is_empty()).then(|| parts.join("/"))
}

fn slack(notice: &Notice) -> Value {
    let title = format!("{}{}", mark(notice), notice.title);
    let context = notice
        .origin()
        .map(|(name, value)| format!("{name}: {value}"))
        .join(" · ");
    let mut blocks = vec![
        json!({"type": "header", "text": {"type": "plain_text", "text": clip(&title, SLACK_HEADER_MAX)}}),
        json!({"type": "section", "text": {"type": "mrkdwn", "text": slack_escaped(&notice.summary, SLACK_TEXT_MAX)}}),
    ];
    let details = notice.detail_text(SLACK_TEXT_MAX).replace("```", "'''");
    if !details.is_empty() {
        let code = format!("```{}```", slack_escaped(&details, SLACK_TEXT_MAX - 6));
        blocks.push(json!({"type": "section", "text": {"type": "mrkdwn", "text": code}}));
    }
    let context = slack_escaped(&context, SLACK_TEXT_MAX);
    blocks.push(json!({"type": "context", "elements": [{"type": "mrkdwn", "text": context}]}));
    let text = slack_escaped(&format!("{title}: {}", notice.summary), SLACK_TEXT_MAX);
    json!({"text": text, "blocks": blocks})
}

/// The word before a title that tells of an end.
const fn mark(notice: &Notice) -> &'static str {
    if notice.cleared { "Cleared: " } else { "" }
}

/// Slack reads `&`, `<` and `>` as markup (mentions, links); an entity is never cut in two.
fn slack_escaped(text: &str, chars_max: usize) -> String {
    let mut escaped = String::with_capacity(text.len().min(chars_max));
    let mut left = chars_max.saturating_sub(1);
    for char in text.chars() {
        let piece = match char {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            other => {
                if left == 0 {
                    return escaped + "…";
                }
                left -= 1;
                escaped.push(other);
                continue;
            }
        };
        if left < piece.len() {
            return escaped + "…";
        }
        left -= piece.len();
        escaped.push_str(piece);
    }
    escaped
}

/// Text runs of a rich text block are shown as they are: Teams reads no Markdown in them.
fn teams(notice: &Notice) -> Value {
    let run = |text: String, more: Value| {
        let mut run = json!({"type": "TextRun", "text": text});
        if let (Value::Object(run), Value::Object(more)) = (&mut run, more) {
            run.extend(more);
        }
        json!({"type": "RichTextBlock", "inlines": [run]})
    };
    let title = clip(&format!("{}{}", mark(notice), notice.title), SHORT_MAX);
    let color = match (notice.cleared, notice.severity) {
        (true, _) => "good",
        (false, Severity::Info) => "accent",
        (false, Severity::Warning) => "warning",
        (false, Severity::Error | Severity::Critical) => "attention",
    };
    let origin = notice
        .origin()
        .map(|(name, value)| format!("{name}: {value}"))
        .join("\n");
    let mut body = vec![
        run(
            title,
            json!({"size": "large", "weight": "bolder", "color": color}),
        ),
        run(clip(&notice.summary, TEAMS_TEXT_MAX), json!({})),
        run(origin, json!({"isSubtle": true})),
    ];
    let details = notice.detail_text(TEAMS_TEXT_MAX);
    if !details.is_empty() {
        body.push(run(
            details,
            json!({"fontType": "monospace", "size": "small"}),
        ));
    }
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": body
            }
        }]
    })
}

fn pagerduty(notice: &Notice) -> Value {
    json!({
        "event_action": if notice.cleared { "resolve" } else { "trigger" },
        "dedup_key": clip(&notice.about, PAGERDUTY_KEY_MAX),
        "client": "Switchhook",
        "payload": {
            "summary": clip(&format!("{}: {}", notice.title, notice.summary), PAGERDUTY_SUMMARY_MAX),
            "severity": notice.severity.name(),
            "source": clip(&notice.source, SHORT_MAX),
            "timestamp": notice.time,
            "class": clip(&notice.kind, SHORT_MAX),
            "component": clip(&notice.about, SHORT_MAX),
            "custom_details": notice.detail_value()
        }
    })
}

fn genesys(notice: &Notice) -> Value {
    json!({
        "title": clip(&notice.title, SHORT_MAX),
        "summary": clip(&notice.summary, GENESYS_TEXT_MAX),
        "severity": notice.severity.name(),
        "state": notice.state(),
        "subject": clip(&notice.about, SHORT_MAX),
        "source": clip(&notice.source, SHORT_MAX),
        "type": clip(&notice.kind, SHORT_MAX),
        "eventId": notice.id,
        "time": notice.time,
        "details": clip(&notice.details.to_string(), GENESYS_TEXT_MAX)
    })
}

/// The first characters of `text`, with a mark where more were left out; no control characters but line
/// breaks.
fn clip(text: &str, chars_max: usize) -> String {
    let plain = |c: &char| !c.is_control() || *c == '\n';
    let mut kept: String = text.chars().filter(plain).take(chars_max).collect();
    if text.chars().filter(plain).nth(chars_max).is_some() {
        kept.pop();
        kept.push('…');
    }
    kept
}
