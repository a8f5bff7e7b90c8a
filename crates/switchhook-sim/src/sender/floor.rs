//! A contact centre at work: which event comes next.
//!
//! A number of conversations is open at a time. Each goes through its steps in order (customer, queue,
//! agent, messages, wrap-up), the conversations are interleaved, and agents change state in between. A
//! conversation that ends makes room for a new one. Deterministic: the same seed, mix and times give the
//! same events. Bounds: [`OPEN_MAX`] conversations of at most 20 steps.

use std::collections::VecDeque;

use bytes::Bytes;
use switchhook_core::time::UnixMs;

use super::shape::{Shape, Subject, event_bridge, open_message};
use crate::entropy::Entropy;

/// Most conversations open at a time.
pub const OPEN_MAX: usize = 1000;

/// One event in this many is an agent whose state in a queue changed.
const QUEUE_EVENT_EVERY: u64 = 12;

const QUEUE_USERS: &str = "v2.routing.queues.{id}.users";

const LINES: &[&str] = &[
    "Hello, how can I help you?",
    "Let me look that up for you.",
    "Your order left our warehouse this morning.",
    "Könnten Sie mir bitte die Bestellnummer nennen?",
    "Is there anything else I can do for you?",
    "Thank you for contacting us 🙂",
];

/// Which shapes a floor sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mix {
    /// Conversation and queue topics only.
    EventBridge,
    /// Messages only.
    OpenMessaging,
    /// Both: voice conversations as topics, message conversations as topics and messages.
    Both,
}

/// One event, ready to be signed and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Preset of the source it is meant for: `eventbridge` or `open-messaging`.
    pub source_hint: &'static str,
    /// Event type, as the preset reads it.
    pub kind: String,
    /// Ordering key, as the preset reads it.
    pub key: String,
    /// The sender's own id of the event.
    pub id: String,
    /// The exact bytes to send.
    pub body: Bytes,
}

/// Makes events.
#[derive(Debug, Clone)]
pub struct Floor {
    entropy: Entropy,
    mix: Mix,
    open: Vec<Conversation>,
}

#[derive(Debug, Clone)]
struct Conversation {
    subject: Subject,
    step: Step,
    rest: VecDeque<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Topic(&'static str),
    Message(&'static str),
}

impl Floor {
    /// A floor with `conversations` open at a time (1 to [`OPEN_MAX`]).
    #[must_use]
    pub fn new(seed: u64, mix: Mix, conversations: usize) -> Self {
        let mut entropy = Entropy::new(seed);
        let count = conversations.clamp(1, OPEN_MAX);
        let open = (0..count)
            .map(|_| Conversation::draw(&mut entropy, mix))
            .collect();
        Self { entropy, mix, open }
    }

    /// The next event, at `now`.
    pub fn next(&mut self, now: UnixMs) -> Made {
        let id = self.entropy.uuid();
        let at = usize::try_from(self.entropy.below(self.open.len() as u64)).unwrap_or(0);
        let queue_event =
            self.mix != Mix::OpenMessaging && self.entropy.below(QUEUE_EVENT_EVERY) == 0;
        let entropy = &mut self.entropy;
        // `new` opens at least one, and `at` is below their number.
        let mut conversation = self.open.swap_remove(at);
        let made = match conversation.step {
            _ if queue_event => topic(QUEUE_USERS, &conversation.subject, id, entropy, now),
            Step::Topic(kind) => topic(kind, &conversation.subject, id, entropy, now),
            Step::Message(kind) => message(kind, &conversation.subject, id, entropy, now),
        };
        if !queue_event {
            match conversation.rest.pop_front() {
                Some(step) => conversation.step = step,
                None => conversation = Conversation::draw(entropy, self.mix),
            }
        }
        self.open.push(conversation);
        made
    }
}

impl Conversation {
    fn draw(entropy: &mut Entropy, mix: Mix) -> Self {
        let messages = match mix {
            Mix::EventBridge => false,
            Mix::OpenMessaging => true,
            Mix::Both => entropy.below(2) == 0,
        };
        let subject = Subject::draw(entropy, if messages { "MESSAGE" } else { "VOICE" });
        let mut steps = VecDeque::new();
        let topics = mix != Mix::OpenMessaging;
        if topics {
            steps.extend(BEFORE.iter().map(|kind| Step::Topic(kind)));
        }
        if messages {
            for _ in 0..=entropy.below(3) {
                steps.extend(["Event", "Text", "Receipt"].map(Step::Message));
            }
        }
        if topics {
            steps.extend(AFTER.iter().map(|kind| Step::Topic(kind)));
        }
        // Either half of the mix gives at least one step.
        let step = steps.pop_front().unwrap_or(Step::Message("Text"));
        Self {
            subject,
            step,
            rest: steps,
        }
    }
}

/// What happens until customer and agent speak.
const BEFORE: &[&str] = &[
    "v2.detail.events.conversation.{id}.customer.start",
    "v2.detail.events.conversation.{id}.acd.start",
    "v2.detail.events.conversation.{id}.acd.end",
    "v2.detail.events.conversation.{id}.user.start",
];

/// What happens when they are done.
const AFTER: &[&str] = &[
    "v2.detail.events.conversation.{id}.user.end",
    "v2.detail.events.conversation.{id}.customer.end",
    "v2.detail.events.conversation.{id}.wrapup",
];

fn topic(kind: &str, subject: &Subject, id: String, entropy: &mut Entropy, now: UnixMs) -> Made {
    let event = event_bridge(kind, subject, &id, &entropy.uuid(), now);
    let key = if kind == QUEUE_USERS {
        subject.queue
    } else {
        &subject.conversation
    };
    Made {
        source_hint: Shape::EventBridge.preset(),
        kind: kind.to_owned(),
        key: key.to_owned(),
        id,
        body: Bytes::from(event.to_string()),
    }
}

fn message(kind: &str, subject: &Subject, id: String, entropy: &mut Entropy, now: UnixMs) -> Made {
    let text = entropy.pick(LINES).copied().unwrap_or_default();
    let event = open_message(kind, subject, &id, text, now);
    Made {
        source_hint: Shape::OpenMessaging.preset(),
        kind: kind.to_owned(),
        key: subject.customer.clone(),
        id,
        body: Bytes::from(event.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::Value;

    use super::*;

    fn run(seed: u64, mix: Mix, count: u64) -> Vec<Made> {
        let mut floor = Floor::new(seed, mix, 12);
        (0..count)
            .map(|n| floor.next(UnixMs(1_767_323_045_000 + n)))
            .collect()
    }

    #[test]
    fn the_same_seed_makes_the_same_events_and_another_seed_does_not() {
        for mix in [Mix::EventBridge, Mix::OpenMessaging, Mix::Both] {
            assert_eq!(run(5, mix, 200), run(5, mix, 200));
            assert_ne!(run(5, mix, 200), run(6, mix, 200));
        }
    }

    #[test]
    fn every_event_carries_in_its_body_what_its_preset_reads() {
        for made in run(5, Mix::Both, 2000) {
            let body: Value = serde_json::from_slice(&made.body).unwrap();
            let (kind, keys) = match made.source_hint {
                "eventbridge" => (
                    "/detail-type",
                    [
                        "/detail/eventBody/conversationId",
                        "/detail/eventBody/queueId",
                    ],
                ),
                "open-messaging" => ("/type", ["/channel/to/id", "/channel/to/id"]),
                other => panic!("{other}"),
            };
            let text = |pointer| body.pointer(pointer).and_then(Value::as_str);
            assert_eq!(text(kind), Some(&*made.kind));
            assert_eq!(text("/id"), Some(&*made.id));
            assert_eq!(
                text(keys[0]).or_else(|| text(keys[1])),
                Some(&*made.key),
                "{body}"
            );
        }
    }

    #[test]
    fn ids_are_unique_and_conversations_interleave_and_end_in_order() {
        let events = run(5, Mix::Both, 3000);
        let ids: BTreeSet<_> = events.iter().map(|made| &made.id).collect();
        assert_eq!(ids.len(), events.len());
        let mut by_key: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for made in events
            .iter()
            .filter(|made| made.kind.starts_with("v2.detail"))
        {
            by_key.entry(&made.key).or_default().push(&made.kind);
        }
        assert!(by_key.len() > 100);
        let all: Vec<&str> = BEFORE.iter().chain(AFTER).copied().collect();
        for kinds in by_key.values() {
            assert_eq!(kinds[..], all[..kinds.len()]);
        }
        let switches = events
            .windows(2)
            .filter(|pair| pair[0].key != pair[1].key)
            .count();
        assert!(switches > events.len() / 2);
    }

    #[test]
    fn a_mix_of_one_shape_has_that_shape_only() {
        let only = |mix, hint| run(1, mix, 300).iter().all(|made| made.source_hint == hint);
        assert!(only(Mix::EventBridge, "eventbridge"));
        assert!(only(Mix::OpenMessaging, "open-messaging"));
    }
}
