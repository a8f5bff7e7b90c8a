//! The auditor of order and limits: what overtook what, and how much was under way at once.
//!
//! Like [`super::audit`] these are functions of what the receiver wrote down, and of the log for the order that
//! was promised. A *line* is what keeps its order: a key, or all events of a strict subscription.
//!
//! An event is settled when it was answered for good, not with 503. The receiver decides an answer before it sends
//! it, so whatever follows from the answer arrives later than [`Arrival::ended`] says.

use std::collections::{BTreeMap, BTreeSet};

use super::audit::Arrival;

/// A place in the log: the event's id, and its line.
pub(crate) type Entry = (String, String);

/// What broke the order of its line, in words. `log` is in the order of the log.
///
/// * An event arrives first before an earlier one of its line is settled.
/// * A run of the gateway sends an event first after a later one of its line.
/// * Two of a line are under way at once in one run.
fn disorder(arrivals: &[Arrival], log: &[Entry]) -> Vec<String> {
    let mut lines: BTreeMap<&str, Line> = BTreeMap::new();
    let mut places: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
    for (event, line) in log {
        let state = lines.entry(line).or_default();
        places.insert(event, (line, state.settled.len()));
        state.settled.push(None);
    }
    let mut found = Vec::new();
    for arrival in arrivals {
        let Some(&(line, place)) = places.get(arrival.event.as_str()) else {
            found.push(format!("{arrival:?} is not in the log"));
            continue;
        };
        let state = lines.get_mut(line).unwrap();
        if let Some(broken) = state.arrive(place, arrival) {
            found.push(format!("line {line}: event {place} {broken}: {arrival:?}"));
        }
    }
    found
}

/// Fails the test if anything broke the order, and shows the first of it.
#[track_caller]
pub(crate) fn assert_order(arrivals: &[Arrival], log: &[Entry]) {
    let found = disorder(arrivals, log);
    let first: Vec<_> = found.iter().take(3).collect();
    assert!(first.is_empty(), "{} times, first {first:#?}", found.len());
}

#[derive(Default)]
struct Line {
    /// For each event of the line, how many requests had arrived when it was settled.
    settled: Vec<Option<usize>>,
    seen: BTreeSet<usize>,
    /// The events that each run has sent, and how many had arrived when its last request ended.
    runs: BTreeMap<usize, (BTreeSet<usize>, Option<usize>)>,
}

impl Line {
    /// A request brings the event at `place`: what is wrong with that.
    fn arrive(&mut self, place: usize, arrival: &Arrival) -> Option<&'static str> {
        let (at, mut broken) = (arrival.number, None);
        let is_settled = |ended: &Option<usize>| ended.is_some_and(|ended| ended <= at);
        if self.seen.insert(place) && !self.settled[..place].iter().all(is_settled) {
            broken = Some("came before an earlier one was settled");
        }
        let before = self.runs.get_mut(&arrival.run);
        if let Some((begun, ended)) = before {
            if begun.insert(place) && begun.last() != Some(&place) {
                broken = Some("came after a later one");
            }
            if ended.is_none_or(|ended| ended > at) {
                broken = Some("came while another one was under way");
            }
            *ended = arrival.ended;
        } else {
            let run = (BTreeSet::from([place]), arrival.ended);
            self.runs.insert(arrival.run, run);
        }
        if !matches!(arrival.status, 0 | 503) && self.settled[place].is_none() {
            self.settled[place] = arrival.ended;
        }
        broken
    }
}

/// Most requests that were under way at once, seen from the receiver. For one run of the gateway.
pub(crate) fn most_at_once<'a>(arrivals: impl IntoIterator<Item = &'a Arrival>) -> usize {
    let mut open: Vec<Option<usize>> = Vec::new();
    let mut most = 0;
    for arrival in arrivals {
        open.retain(|ended| ended.is_none_or(|ended| ended > arrival.number));
        open.push(arrival.ended);
        most = most.max(open.len());
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number, event, run, how many had arrived at its end, status.
    fn arrivals(rows: &[(&str, usize, usize, u16)]) -> Vec<Arrival> {
        let arrival = |(number, &(event, run, ended, status)): (usize, &(&str, _, _, _))| Arrival {
            number,
            event: event.into(),
            run,
            ended: Some(ended),
            status,
            ..Arrival::default()
        };
        rows.iter().enumerate().map(arrival).collect()
    }

    /// Events `a`, `b`, `c` of one line and `x` of another one.
    fn found(rows: &[(&str, usize, usize, u16)]) -> usize {
        let log = [("a", "k"), ("x", "l"), ("b", "k"), ("c", "k")];
        let log = log.map(|(event, line)| (event.to_owned(), line.to_owned()));
        disorder(&arrivals(rows), &log).len()
    }

    #[test]
    fn one_after_the_other_is_order_whatever_others_do() {
        assert_eq!(
            found(&[
                ("a", 0, 2, 503),
                ("x", 0, 6, 200),
                ("a", 0, 3, 200),
                ("b", 0, 4, 400),
                ("c", 0, 5, 200)
            ]),
            0
        );
    }

    #[test]
    fn what_a_crash_left_open_is_repeated_in_order() {
        assert_eq!(
            found(&[
                ("a", 0, 1, 200),
                ("b", 0, 4, 200),
                ("a", 1, 3, 200),
                ("b", 1, 4, 200)
            ]),
            0
        );
        assert_eq!(
            found(&[
                ("a", 0, 1, 200),
                ("b", 0, 2, 200),
                ("b", 1, 3, 200),
                ("a", 1, 4, 200)
            ]),
            1
        );
    }

    #[test]
    fn overtaking_is_seen() {
        assert_eq!(found(&[("b", 0, 1, 200)]), 1, "the first is not settled");
        assert_eq!(found(&[("a", 0, 1, 503), ("b", 0, 2, 200)]), 1);
        assert_eq!(found(&[("a", 0, 2, 200), ("b", 0, 2, 200)]), 1, "at once");
        assert_eq!(found(&[("z", 0, 1, 200)]), 1, "nobody sent it");
    }

    #[test]
    fn what_is_under_way_at_once_is_counted() {
        let all = arrivals(&[
            ("a", 0, 2, 200),
            ("b", 0, 3, 200),
            ("c", 0, 3, 200),
            ("x", 0, 4, 200),
        ]);
        assert_eq!(most_at_once(&all), 2);
        assert_eq!(most_at_once(&all[..1]), 1);
    }
}
