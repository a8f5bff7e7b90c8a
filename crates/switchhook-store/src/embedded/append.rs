//! Appends events and gives them their offsets.
//!
//! An event whose identity is remembered, or whose id is in the log already, is a duplicate: nothing is
//! appended. The second makes handing in a batch again harmless.

use std::sync::Arc;

use rusqlite::{CachedStatement, Connection, OptionalExtension, params};
use switchhook_core::alert::OwnEvent;
use switchhook_core::event::Event;
use switchhook_core::id::{EventId, Offset};
use switchhook_core::time::UnixMs;

use super::codec::{int, uint, write_headers};
use super::identities::Identities;
use super::names::Interner;
use super::read::END;
use crate::Appended;
use crate::batch::{DedupEntry, NewEvent};
use crate::conflict::Log;
use crate::memory::own_event;

pub(super) const INSERT_EVENT: &str =
    "INSERT OR IGNORE INTO event (seq, id, source, kind, key, received_at, headers, body)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
pub(super) const BODY_OF: &str = "SELECT body FROM event WHERE id = ?1";

/// Appends to the log.
pub(super) struct Appender<'c> {
    conn: &'c Connection,
    insert: CachedStatement<'c>,
    identities: Identities<'c>,
    end: i64,
    headers: Vec<u8>,
}

impl<'c> Appender<'c> {
    /// Goes on where the log ends.
    pub(super) fn load(conn: &'c Connection) -> rusqlite::Result<Self> {
        let end = conn.query_row(END, [], |row| row.get(0))?;
        Ok(Self {
            conn,
            insert: conn.prepare_cached(INSERT_EVENT)?,
            identities: Identities::load(conn, end)?,
            end,
            headers: Vec::new(),
        })
    }

    /// Appends `new` unless it is a duplicate, and adds it to `log`.
    pub(super) fn append(
        &mut self,
        names: &mut Interner<'_>,
        new: &NewEvent,
        log: &mut Vec<Arc<Event>>,
    ) -> rusqlite::Result<Appended> {
        if let Some(entry) = &new.dedup
            && let Some((id, same_body)) = self.known_identity(entry, new.received_at)?
        {
            return Ok(Appended::Duplicate { id, same_body });
        }
        let (seq, offset) = (self.end, self.end());
        let event = new.clone().at(offset);
        if !self.push(names, &event)? {
            return Ok(Appended::Duplicate {
                id: new.id,
                same_body: self.known_id(new)? == Some(true),
            });
        }
        if let Some(entry) = &new.dedup {
            self.identities
                .remember(entry, new.received_at.0, seq, new.id)?;
        }
        log.push(Arc::new(event));
        Ok(Appended::New { id: new.id, offset })
    }

    /// Appends an event of our own unless it is there.
    pub(super) fn append_own(
        &mut self,
        names: &mut Interner<'_>,
        own: &OwnEvent,
        log: &mut Vec<Arc<Event>>,
    ) -> rusqlite::Result<()> {
        let event = own_event(own.clone(), self.end());
        if self.push(names, &event)? {
            log.push(Arc::new(event));
        }
        Ok(())
    }

    /// What is to be done at the end of each group.
    pub(super) fn tidy(&mut self) -> rusqlite::Result<()> {
        self.identities.tidy(self.end)
    }

    fn end(&self) -> Offset {
        Offset(uint(self.end))
    }

    /// Writes the event at the end; `false` if its id is there already.
    fn push(&mut self, names: &mut Interner<'_>, event: &Event) -> rusqlite::Result<bool> {
        self.headers.clear();
        write_headers(&event.headers, &mut self.headers);
        let added = self.insert.execute(params![
            self.end,
            event.id.0.as_bytes().as_slice(),
            names.id(&event.source)?,
            names.id(&event.kind)?,
            event.key.as_deref(),
            int(event.received_at.0),
            self.headers,
            &*event.body,
        ])?;
        self.end += i64::from(added > 0);
        Ok(added > 0)
    }
}

impl Log for Appender<'_> {
    type Error = rusqlite::Error;

    fn known_identity(
        &mut self,
        entry: &DedupEntry,
        now: UnixMs,
    ) -> rusqlite::Result<Option<(EventId, bool)>> {
        self.identities.first(entry, now.0)
    }

    fn known_id(&mut self, new: &NewEvent) -> rusqlite::Result<Option<bool>> {
        self.conn
            .prepare_cached(BODY_OF)?
            .query_row([new.id.0.as_bytes().as_slice()], |row| {
                Ok(row.get_ref(0)?.as_blob()? == &*new.body)
            })
            .optional()
    }
}
