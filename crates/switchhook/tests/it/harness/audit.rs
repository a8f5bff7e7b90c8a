//! The auditor: what was acknowledged, what arrived, and whether the two agree.
//!
//! [`audit`] is a function of a [`Book`]; it asks nobody. The book is kept outside the gateway, by the sender and
//! the receiver of the test; only what the store still holds (waiting, dead) comes from the gateway, since
//! nobody else can know it.
//!
//! * **Lost**: acknowledged, but for some subscription neither delivered nor held by the store.
//! * **Duplicate**: a delivery that arrives again after it was answered with success, or an attempt whose number
//!   has been seen. It is *explained* by a crash if the first copy was under way at the crash, or answered so
//!   shortly before it that its result may not have been on disk.
//! * **Confused**: one event under two ids, or a delivery of an event under an id that was not the acknowledged one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::http::Message;

/// Results may stay in memory this long before a commit makes them durable, in milliseconds: the few
/// milliseconds that the engine holds records, a commit on a slow disk, and a scheduler under load.
pub(crate) const COMMIT_INTERVAL_MS: u64 = 250;

/// One request that reached the receiver whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// 0, 1, … in the order of their records.
    pub(crate) number: usize,
    /// The subscription's id, see [`Arrival::is_of`].
    pub(crate) subscription: String,
    pub(crate) delivery: String,
    pub(crate) event: String,
    /// The id that the sender gave, and the key, from the body; empty if it has none.
    pub(crate) id: String,
    pub(crate) key: String,
    pub(crate) attempt: u32,
    /// Which start of the gateway sent it: 0 is the first.
    pub(crate) run: usize,
    /// When it was recorded, in milliseconds since the start of the test.
    pub(crate) at_ms: u64,
    /// When its answer was written; `None` if that failed.
    pub(crate) answered_ms: Option<u64>,
    /// What it was answered; 0 as long as that is open.
    pub(crate) status: u16,
    /// How many requests had arrived when its answer was decided, this one included; `None` as long as it is open.
    pub(crate) ended: Option<usize>,
    /// The request itself.
    pub(crate) request: Arc<Message>,
}

/// What requests of a subscription carry in place of its name.
fn id(subscription: &str) -> String {
    switchhook_core::subscription::id(subscription).to_string()
}

impl Arrival {
    /// Whether it is a delivery of the subscription of this name.
    pub(crate) fn is_of(&self, subscription: &str) -> bool {
        self.subscription == id(subscription)
    }

    /// At which place of the receiver: its path without the slash.
    pub(crate) fn place(&self) -> &str {
        self.request.path().trim_start_matches('/')
    }

    /// Whether it was answered with success.
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Everything that is known at the end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Book {
    /// Subscriptions that take every event.
    pub(crate) subscriptions: Vec<String>,
    /// Sender's id and the event id of each 202, in order.
    pub(crate) acked: Vec<(String, String)>,
    /// In the order of their records.
    pub(crate) arrivals: Vec<Arrival>,
    /// Subscription and event id of what the store holds: waiting or dead.
    pub(crate) held: BTreeSet<(String, String)>,
    /// When each run of the gateway crashed, in milliseconds since the start of the test.
    pub(crate) crashes_ms: Vec<u64>,
}

/// What the auditor found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// Different events that were acknowledged.
    pub(crate) acked: usize,
    /// Subscription and sender's id of what is nowhere.
    pub(crate) lost: Vec<(String, String)>,
    /// All duplicates.
    pub(crate) duplicates: usize,
    /// Those that no crash explains, in words.
    pub(crate) unexplained: Vec<String>,
    /// Ids that contradict each other, in words.
    pub(crate) confused: Vec<String>,
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            acked,
            lost,
            duplicates,
            unexplained,
            confused,
        } = self;
        let (lost, unexplained, confused) = (lost.len(), unexplained.len(), confused.len());
        write!(
            f,
            "{acked} acknowledged, {lost} lost, {duplicates} duplicates, {unexplained} unexplained, {confused} confused"
        )
    }
}

impl Findings {
    /// Fails the test unless nothing is lost, unexplained or confused.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        let clean = self.lost.is_empty() && self.unexplained.is_empty() && self.confused.is_empty();
        assert!(clean, "{self:#?}");
        assert!(
            self.acked > 0,
            "nothing was acknowledged, so nothing was tested"
        );
    }
}

/// Compares what was acknowledged with what arrived and what is held.
pub(crate) fn audit(book: &Book) -> Findings {
    let mut findings = Findings::default();
    let mut event_of: BTreeMap<&str, &str> = BTreeMap::new();
    for (id, event) in &book.acked {
        let first = *event_of.entry(id).or_insert(event);
        if first != event {
            findings
                .confused
                .push(format!("{id} was acknowledged as {first} and as {event}"));
        }
    }
    findings.acked = event_of.len();
    for arrival in &book.arrivals {
        if let Some(event) = event_of
            .get(arrival.id.as_str())
            .filter(|event| **event != arrival.event)
        {
            let (id, came) = (&arrival.id, &arrival.event);
            findings.confused.push(format!(
                "{id} was acknowledged as {event} and delivered as {came}"
            ));
        }
    }
    let delivered: BTreeSet<(&str, &str)> = book
        .arrivals
        .iter()
        .filter(|arrival| arrival.is_success())
        .map(|arrival| (arrival.subscription.as_str(), arrival.id.as_str()))
        .collect();
    for subscription in &book.subscriptions {
        let own = id(subscription);
        for (id, event) in &event_of {
            let held = book
                .held
                .contains(&(subscription.clone(), (*event).to_owned()));
            if !held && !delivered.contains(&(own.as_str(), *id)) {
                findings.lost.push((subscription.clone(), (*id).to_owned()));
            }
        }
    }
    find_duplicates(book, &mut findings);
    findings
}

fn find_duplicates(book: &Book, findings: &mut Findings) {
    let mut deliveries: BTreeMap<(&str, &str), Vec<&Arrival>> = BTreeMap::new();
    for arrival in &book.arrivals {
        deliveries
            .entry((&arrival.subscription, &arrival.delivery))
            .or_default()
            .push(arrival);
    }
    for arrivals in deliveries.values() {
        for (at, again) in arrivals.iter().enumerate().skip(1) {
            let earlier = &arrivals[..at];
            let first = earlier
                .iter()
                .rfind(|one| one.is_success() || one.attempt == again.attempt);
            let Some(first) = first else { continue };
            findings.duplicates += 1;
            let crash_ms = book.crashes_ms.get(first.run).copied();
            if !crash_ms.is_some_and(|crash_ms| explains(crash_ms, first, again)) {
                findings.unexplained.push(format!(
                    "{again:?} after {first:?}, whose run crashed at {crash_ms:?}"
                ));
            }
        }
    }
}

/// Whether another run repeats the first, whose result may not have been on disk when its own run crashed.
pub(crate) fn explains(crash_ms: u64, first: &Arrival, again: &Arrival) -> bool {
    let on_disk = first
        .answered_ms
        .is_some_and(|answered| answered + COMMIT_INTERVAL_MS < crash_ms);
    first.run < again.run && !on_disk
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(id: &str, attempt: u32, at_ms: u64, status: u16) -> Arrival {
        Arrival {
            subscription: super::id("s"),
            delivery: format!("dlv_{id}"),
            event: format!("evt_{id}"),
            id: id.into(),
            attempt,
            run: usize::from(at_ms >= 500),
            at_ms,
            answered_ms: Some(at_ms + 1),
            status,
            ..Arrival::default()
        }
    }

    fn book(acked: &[&str], arrivals: Vec<Arrival>, crashes_ms: &[u64]) -> Book {
        Book {
            subscriptions: vec!["s".into()],
            acked: acked
                .iter()
                .map(|id| ((*id).into(), format!("evt_{id}")))
                .collect(),
            arrivals,
            crashes_ms: crashes_ms.to_vec(),
            ..Book::default()
        }
    }

    #[test]
    fn what_was_delivered_or_is_held_is_not_lost() {
        let mut book = book(&["a", "b"], vec![arrival("a", 1, 5, 200)], &[]);
        book.held.insert(("s".into(), "evt_b".into()));
        audit(&book).assert_clean();
    }

    #[test]
    fn an_acknowledged_event_that_is_nowhere_is_lost() {
        let refused = book(
            &["a", "b"],
            vec![arrival("a", 1, 5, 200), arrival("b", 1, 5, 503)],
            &[6],
        );
        assert_eq!(audit(&refused).lost, [("s".into(), "b".into())]);
    }

    #[test]
    fn an_event_must_reach_every_subscription() {
        let mut book = book(&["a"], vec![arrival("a", 1, 5, 200)], &[]);
        book.subscriptions.push("t".into());
        assert_eq!(audit(&book).lost, [("t".into(), "a".into())]);
    }

    #[test]
    fn a_retry_is_no_duplicate() {
        let retried = book(
            &["a"],
            vec![arrival("a", 1, 5, 503), arrival("a", 2, 9, 200)],
            &[],
        );
        assert_eq!(audit(&retried).duplicates, 0);
    }

    #[test]
    fn a_second_copy_of_the_same_run_or_after_a_drain_is_unexplained() {
        for (again, crashes) in [(400, &[450][..]), (900, &[])] {
            let twice = book(
                &["a"],
                vec![arrival("a", 1, 5, 200), arrival("a", 1, again, 200)],
                crashes,
            );
            let found = audit(&twice);
            assert_eq!(
                (found.duplicates, found.unexplained.len()),
                (1, 1),
                "{again}"
            );
        }
    }

    #[test]
    fn a_second_copy_is_explained_by_a_crash_within_a_commit_interval() {
        let twice = |crash| {
            book(
                &["a"],
                vec![arrival("a", 1, 5, 200), arrival("a", 1, 900, 200)],
                &[crash],
            )
        };
        assert_eq!(audit(&twice(6 + COMMIT_INTERVAL_MS)).unexplained.len(), 0);
        assert_eq!(audit(&twice(7 + COMMIT_INTERVAL_MS)).unexplained.len(), 1);
        let mut unanswered = twice(400);
        unanswered.arrivals[0].answered_ms = None;
        assert_eq!(audit(&unanswered).unexplained.len(), 0, "it was under way");
    }

    #[test]
    fn a_failed_attempt_that_comes_twice_counts_too() {
        let twice = book(
            &[],
            vec![arrival("a", 1, 5, 503), arrival("a", 1, 900, 503)],
            &[],
        );
        assert_eq!(audit(&twice).unexplained.len(), 1);
    }

    #[test]
    fn an_event_under_two_ids_is_confused() {
        let mut renamed = book(&["a"], vec![arrival("a", 1, 5, 200)], &[]);
        renamed.acked.push(("a".into(), "evt_other".into()));
        assert_eq!(audit(&renamed).confused.len(), 1);
        let mut swapped = book(&["a"], vec![arrival("a", 1, 5, 200)], &[]);
        swapped.arrivals[0].event = "evt_other".into();
        assert_eq!(audit(&swapped).confused.len(), 1);
    }
}
