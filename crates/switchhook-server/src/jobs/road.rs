//! The way of a job through the log: the next deliveries to make, in the order of the log, a page at a time.
//!
//! * A filter is a scan of the log.
//! * Ids are looked up once and sorted.
//! * Dead letters stand in the order in which they were given up, so they are gone through as a whole and the
//!   [`WINDOW_MAX`] with the lowest offsets are taken first: memory is bounded, and the order per key holds.
//!
//! Everything here blocks on the disk. A road is made anew at every start of a job, from its position on.

use std::collections::BTreeMap;

use switchhook_core::id::{EventId, Offset};
use switchhook_store::query::{DeadPosition, Limit};
use switchhook_store::{Error, Store};
use switchhook_wire::api::JobStatus;

use super::selection::{Choice, Known, Pick, Selection};

/// Dead letters in memory at once: a few MiB.
const WINDOW_MAX: usize = 50_000;
/// Bytes of events that one read takes into memory.
const READ_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Dead letters of one read.
const LETTERS_MAX: usize = 1_000;

/// See the module.
#[derive(Debug)]
pub(super) enum Road {
    /// A scan.
    Log,
    /// Events by id, in the order of the log; `None` until they were looked up.
    Ids(Option<Vec<(Offset, EventId)>>),
    /// The next dead letters.
    Dead(BTreeMap<Offset, Pick>),
}

/// The next part of a way.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) picks: Vec<Pick>,
    /// Events that are meant and left out.
    pub(super) skipped: u64,
    /// Everything before this was looked at.
    pub(super) next: Offset,
}

impl Road {
    pub(super) fn new(selection: &Selection) -> Self {
        match (&selection.ids, selection.status) {
            (Some(_), _) => Self::Ids(None),
            (None, JobStatus::Dead) => Self::Dead(BTreeMap::new()),
            (None, JobStatus::Any | JobStatus::Delivered) => Self::Log,
        }
    }

    /// At most `items` deliveries from `from` on.
    pub(super) fn page(
        &mut self,
        known: &Known<'_>,
        selection: &Selection,
        (from, items): (Offset, usize),
    ) -> Result<Page, Error> {
        match self {
            Self::Log => log(known, selection, from, items),
            Self::Ids(found) => {
                if found.is_none() {
                    *found = Some(look_up(known.store, selection)?);
                }
                let found = found.as_deref().unwrap_or_default();
                by_id(known, selection, found, (from, items))
            }
            Self::Dead(window) => {
                if window.is_empty() {
                    *window = fill(known, selection, from)?;
                }
                Ok(letters(window, selection, items))
            }
        }
    }
}

/// Everything up to the end of the selection was looked at.
fn end(selection: &Selection) -> Offset {
    selection.filter.to.unwrap_or_default()
}

fn log(
    known: &Known<'_>,
    selection: &Selection,
    from: Offset,
    items: usize,
) -> Result<Page, Error> {
    let limit = Limit {
        items,
        bytes: READ_BYTES_MAX,
    };
    let (events, next) = known.store.scan(&selection.filter, from, limit)?;
    let mut page = Page {
        // A scan that gets no further has nothing before it.
        next: if next > from {
            next.min(end(selection))
        } else {
            end(selection)
        },
        ..Page::default()
    };
    for event in &events {
        page.add(selection.choose(event, known)?);
    }
    Ok(page)
}

impl Page {
    fn add(&mut self, choice: Choice) {
        match choice {
            Choice::Taken(pick) => self.picks.push(pick),
            Choice::Waits => self.skipped = self.skipped.saturating_add(1),
            Choice::Other => {}
        }
    }
}

/// The events of these ids that are there, in the order of the log.
fn look_up(store: &dyn Store, selection: &Selection) -> Result<Vec<(Offset, EventId)>, Error> {
    let mut found = Vec::new();
    for id in selection.ids.iter().flatten() {
        if let Some(event) = store.event(*id)?
            && selection.filter.matches(&event)
        {
            found.push((event.offset, *id));
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

fn by_id(
    known: &Known<'_>,
    selection: &Selection,
    found: &[(Offset, EventId)],
    (from, items): (Offset, usize),
) -> Result<Page, Error> {
    let mut page = Page {
        next: end(selection),
        ..Page::default()
    };
    let ahead = found.iter().filter(|(offset, _)| *offset >= from);
    for (n, (offset, id)) in ahead.enumerate() {
        if n == items {
            page.next = *offset;
            break;
        }
        match known.store.event(*id)? {
            Some(event) => page.add(selection.choose(&event, known)?),
            None => page.add(Choice::Waits),
        }
    }
    Ok(page)
}

/// The dead letters with the lowest offsets from `from` on.
fn fill(
    known: &Known<'_>,
    selection: &Selection,
    from: Offset,
) -> Result<BTreeMap<Offset, Pick>, Error> {
    let filter = selection.dead_filter();
    let limit = Limit {
        items: LETTERS_MAX,
        bytes: READ_BYTES_MAX,
    };
    let mut window = BTreeMap::new();
    let mut after: Option<DeadPosition> = None;
    loop {
        let letters = known.store.dead(&filter, after.as_ref(), limit)?;
        let Some(last) = letters.last() else {
            return Ok(window);
        };
        after = Some(DeadPosition {
            at: last.dead.at,
            key: last.dead.key.clone(),
        });
        for letter in &letters {
            let event = &letter.event;
            let Some(to) = known.plan.subscriptions.get(&selection.to) else {
                return Ok(window);
            };
            if event.offset < from || !selection.filter.matches(event) {
                continue;
            }
            let is_own = selection.of == selection.to;
            let pick = Pick {
                id: event.id,
                offset: event.offset,
                place: known.plan.place(to, event),
                dead_chain: is_own.then_some(letter.dead.chain),
            };
            window.insert(event.offset, pick);
            if window.len() > WINDOW_MAX {
                window.pop_last();
            }
        }
    }
}

fn letters(window: &mut BTreeMap<Offset, Pick>, selection: &Selection, items: usize) -> Page {
    let mut page = Page {
        next: end(selection),
        ..Page::default()
    };
    while page.picks.len() < items
        && let Some((_, pick)) = window.pop_first()
    {
        page.next = pick.offset.next();
        page.picks.push(pick);
    }
    page
}
