//! Pages of a list. Only cursors: a page goes on after the last entity of the one before, whatever came meanwhile.

use http::Uri;
use switchhook_core::event::Event;
use switchhook_core::source;
use switchhook_store::Error;
use switchhook_store::query::Limit;
use switchhook_wire::api;
use url::form_urlencoded;

/// Bytes of events that one read takes into memory: three of the largest.
pub(crate) const READ_BYTES_MAX: usize = 16 * 1024 * 1024;
/// More than any event weighs: the largest body, and headers within the limits of the listener.
const WEIGHT_MAX: usize = source::BODY_BYTES_MAX + 1024 * 1024;

/// One page as it is shown.
#[derive(Debug, PartialEq)]
pub(super) struct Page<V, P> {
    pub(super) views: Vec<V>,
    /// The place of its last entity, if there are more after it.
    pub(super) next: Option<P>,
}

/// Reads a page of `size` entities after `after`. Keeps views only, so that bodies are in memory for one read at a time.
pub(super) fn page<T, V, P>(
    size: usize,
    after: Option<P>,
    read: impl Fn(Option<&P>, Limit) -> Result<Vec<T>, Error>,
    place: impl Fn(&T) -> (P, &Event),
    view: impl Fn(&T) -> V,
) -> Result<Page<V, P>, Error> {
    let (mut views, mut at) = (Vec::new(), after);
    loop {
        // One more than is shown tells whether there is a next page.
        let wanted = size.saturating_add(1).saturating_sub(views.len());
        let items = read(
            at.as_ref(),
            Limit {
                items: wanted,
                bytes: READ_BYTES_MAX,
            },
        )?;
        let weight: usize = items.iter().map(|item| place(item).1.weight()).sum();
        // Fewer than wanted is the end only if it was not the bytes that ended the read.
        let ended = items.is_empty()
            || (items.len() < wanted && weight.saturating_add(WEIGHT_MAX) <= READ_BYTES_MAX);
        for item in &items {
            if views.len() == size {
                return Ok(Page { views, next: at });
            }
            at = Some(place(item).0);
            views.push(view(item));
        }
        if ended {
            return Ok(Page { views, next: None });
        }
    }
}

/// The page of `size` that comes after the entity called `after`. `all` is in the order of the names, and in memory.
pub(crate) fn listed<V>(
    all: impl IntoIterator<Item = V>,
    after: Option<&str>,
    size: usize,
    uri: &Uri,
    name: impl Fn(&V) -> &str,
) -> api::Page<V> {
    let all = all.into_iter();
    let mut left = all
        .filter(|entity| after.is_none_or(|after| name(entity) > after))
        .peekable();
    let entities: Vec<V> = left.by_ref().take(size).collect();
    let last = entities.last().filter(|_| left.peek().is_some());
    let next_uri = last.map(|last| next_uri(uri, "after", name(last)));
    api::Page {
        entities,
        next_uri,
        page_size: size,
    }
}

/// `uri` as asked, with `name` set to `value`.
pub(super) fn next_uri(uri: &Uri, name: &str, value: &str) -> String {
    let others = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
        .filter(|(key, _)| key != name);
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(others)
        .append_pair(name, value)
        .finish();
    format!("{}?{query}", uri.path())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use switchhook_core::id::{EventId, Offset};
    use switchhook_core::time::UnixMs;

    use super::*;

    fn event(n: u64, bytes: usize) -> Event {
        Event {
            offset: Offset(n),
            id: EventId(uuid::Uuid::from_u128(u128::from(n))),
            source: "web".into(),
            kind: "Text".into(),
            key: None,
            received_at: UnixMs(n),
            headers: Arc::from([]),
            body: Bytes::from(vec![b'x'; bytes]),
        }
    }

    /// A page over `log`, read the way a store reads: at least one, else within the limit.
    fn of(log: &[Event], size: usize, after: Option<u64>) -> Page<u64, u64> {
        let read = |after: Option<&u64>, limit: Limit| {
            let (mut left, mut items) = (limit.bytes, Vec::new());
            for event in log
                .iter()
                .filter(|event| after.is_none_or(|after| event.offset.0 > *after))
            {
                if !items.is_empty() && (event.weight() > left || items.len() == limit.items) {
                    break;
                }
                left = left.saturating_sub(event.weight());
                items.push(event.clone());
            }
            Ok(items)
        };
        page(
            size,
            after,
            read,
            |event| (event.offset.0, event),
            |event| event.offset.0,
        )
        .unwrap()
    }

    #[test]
    fn pages_together_are_the_whole_list_whatever_the_sizes() {
        for (count, bytes, size) in [
            (0, 1, 3),
            (3, 1, 3),
            (4, 1, 3),
            (10, 1, 3),
            (9, 5 * 1024 * 1024, 4),
        ] {
            let log: Vec<Event> = (1..=count).map(|n| event(n, bytes)).collect();
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let page = of(&log, size, after);
                assert!(
                    page.views.len() <= size && (page.next.is_none() || page.views.len() == size)
                );
                seen.extend(page.views);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(
                seen,
                (1..=count).collect::<Vec<_>>(),
                "{count} {bytes} {size}"
            );
        }
    }

    #[test]
    fn a_full_last_page_has_no_next_one() {
        let log: Vec<Event> = (1..=3).map(|n| event(n, 1)).collect();
        assert_eq!(
            of(&log, 3, None),
            Page {
                views: vec![1, 2, 3],
                next: None
            }
        );
        assert_eq!(
            of(&log, 2, None),
            Page {
                views: vec![1, 2],
                next: Some(2)
            }
        );
    }

    #[test]
    fn the_next_uri_keeps_the_filter_and_replaces_the_place() {
        let uri = Uri::from_static("/v1/events?type=a%20b&before=9&pageSize=2");
        assert_eq!(
            next_uri(&uri, "before", "7"),
            "/v1/events?type=a+b&pageSize=2&before=7"
        );
    }
}
