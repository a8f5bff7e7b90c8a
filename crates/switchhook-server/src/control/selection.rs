//! Which dead letters: the filter of a query or of a body, checked as a whole.

use http::Uri;
use switchhook_core::delivery::{DeadReason, DeliveryKey};
use switchhook_core::id::{EventId, Offset};
use switchhook_core::sight::Sight;
use switchhook_core::time::UnixMs;
use switchhook_store::query::{DeadFilter, DeadPosition};
use switchhook_store::{Error, Store};
use switchhook_wire::api::DeadLetterFilter;

use super::answer::Answer;
use super::request::{Faults, Params};

/// A checked filter. The event is still to be looked up.
#[derive(Debug, Clone)]
pub(super) struct Selection {
    filter: DeadFilter,
    event: Option<EventId>,
}

impl Selection {
    /// Out of a query; the other parameters are left in it.
    pub(super) fn of_query(params: &mut Params) -> Self {
        let status = params
            .number("status", 100..=999)
            .and_then(|status| u16::try_from(status).ok());
        let filter = DeadLetterFilter {
            endpoint: params.text("endpoint"),
            subscription: params.text("subscription"),
            kind: params.text("type"),
            status,
            reason: params.text("reason"),
            event_id: params.text("eventId"),
            since: params.text("since"),
            until: params.text("until"),
        };
        Self::check(filter, &mut params.faults)
    }

    /// Out of a body.
    pub(super) fn of_body(filter: DeadLetterFilter) -> Answer<Self> {
        let mut faults = Faults::under("/filter");
        let selection = Self::check(filter, &mut faults);
        faults.none()?;
        Ok(selection)
    }

    fn check(filter: DeadLetterFilter, faults: &mut Faults) -> Self {
        let reasons: Vec<&str> = DeadReason::ALL.iter().map(|reason| reason.name()).collect();
        let event = faults.parsed("eventId", filter.event_id, str::parse);
        let filter = DeadFilter {
            endpoint: filter.endpoint,
            subscription: filter.subscription,
            kind: filter.kind,
            status: filter.status,
            reason: faults.word("reason", filter.reason, &reasons, DeadReason::from_name),
            sight: Sight::Outside,
            offset: None,
            since: faults.time("since", filter.since),
            until: faults.time("until", filter.until),
        };
        Self { filter, event }
    }

    /// A reason means what it means to whoever looks.
    pub(super) const fn seen_by(mut self, sight: Sight) -> Self {
        self.filter.sight = sight;
        self
    }

    /// Only what was given up before `now` ends, so that nothing joins while the selection is worked on.
    pub(super) fn frozen(mut self, now: UnixMs) -> Self {
        let end = now.plus_ms(1);
        self.filter.until = Some(self.filter.until.map_or(end, |until| until.min(end)));
        self
    }

    /// The filter as the store takes it. An event that does not exist selects nothing. Blocks on the disk.
    pub(super) fn resolve(&self, store: &dyn Store) -> Result<DeadFilter, Error> {
        let mut filter = self.filter.clone();
        if let Some(id) = self.event {
            // No event stands at 0.
            filter.offset = Some(store.event(id)?.map_or(Offset(0), |event| event.offset));
        }
        Ok(filter)
    }
}

/// A place in the list as text: `time.offset.subscription`.
pub(super) fn place_text(position: &DeadPosition) -> String {
    format!(
        "{}.{}.{}",
        position.at.0, position.key.offset, position.key.subscription
    )
}

/// Reads what [`place_text`] wrote.
pub(super) fn place(text: &str) -> Result<DeadPosition, &'static str> {
    let read = || {
        let mut parts = text.splitn(3, '.');
        let (at, offset) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let key = DeliveryKey {
            subscription: parts.next()?.into(),
            offset: Offset(offset),
        };
        Some(DeadPosition {
            at: UnixMs(at),
            key,
        })
    };
    read().ok_or("`after` is no place in this list: take it from `nextUri`")
}

/// The selection of a query that has no other parameters.
pub(super) fn of_uri(uri: &Uri) -> Answer<Selection> {
    let mut params = Params::of(uri);
    let selection = Selection::of_query(&mut params);
    params.finish()?;
    Ok(selection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_as_itself() {
        let position = DeadPosition {
            at: UnixMs(7),
            key: DeliveryKey {
                subscription: "a.b".into(),
                offset: Offset(9),
            },
        };
        assert_eq!(place(&place_text(&position)), Ok(position));
        for text in ["", "1", "1.2", "x.1.a", "1.x.a"] {
            assert!(place(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_frozen_selection_never_reaches_past_now() {
        for (until, frozen) in [(None, 11), (Some(3), 3), (Some(99), 11)] {
            let filter = DeadFilter {
                until: until.map(UnixMs),
                ..DeadFilter::default()
            };
            let selection = Selection {
                filter,
                event: None,
            }
            .frozen(UnixMs(10));
            assert_eq!(selection.filter.until, Some(UnixMs(frozen)), "{until:?}");
        }
    }

    #[test]
    fn every_fault_of_a_filter_is_found_at_once_with_its_place() {
        let filter = DeadLetterFilter {
            reason: Some("tired".into()),
            event_id: Some("evt_1".into()),
            since: Some("yesterday".into()),
            ..DeadLetterFilter::default()
        };
        let refusal = Selection::of_body(filter).unwrap_err();
        let pointers: Vec<&str> = refusal
            .body()
            .errors
            .iter()
            .map(|error| error.pointer.as_str())
            .collect();
        assert_eq!(
            pointers,
            ["/filter/eventId", "/filter/reason", "/filter/since"]
        );
    }
}
