//! Names as small integers: sources, types, subscriptions, endpoints and rules.
//!
//! A name gets its number in the transaction that first uses it and keeps it for ever, so that readers may
//! remember what they have seen. Both directions remember at most [`NAMES_MAX`] names; event types come
//! from senders and have no bound of their own.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};

/// Names remembered per connection: at some 100 bytes each less than 1 MiB.
const NAMES_MAX: usize = 8192;

pub(super) const ID_OF: &str = "SELECT id FROM name WHERE text = ?1";
pub(super) const TEXT_OF: &str = "SELECT text FROM name WHERE id = ?1";

/// The writer's direction.
pub(super) struct Interner<'c> {
    conn: &'c Connection,
    ids: HashMap<Arc<str>, i64>,
}

impl<'c> Interner<'c> {
    pub(super) fn new(conn: &'c Connection) -> Self {
        Self {
            conn,
            ids: HashMap::new(),
        }
    }

    /// The number of `name`; a new one is written.
    pub(super) fn id(&mut self, name: &Arc<str>) -> rusqlite::Result<i64> {
        if let Some(id) = self.ids.get(name) {
            return Ok(*id);
        }
        let id = if let Some(id) = id_of(self.conn, name)? {
            id
        } else {
            self.conn
                .prepare_cached("INSERT INTO name (text) VALUES (?1)")?
                .insert([&**name])?
        };
        if self.ids.len() >= NAMES_MAX {
            self.ids.clear();
        }
        self.ids.insert(name.clone(), id);
        Ok(id)
    }
}

/// The readers' direction.
#[derive(Default)]
pub(super) struct Lexicon {
    texts: HashMap<i64, Arc<str>>,
}

impl Lexicon {
    /// The name with this number.
    pub(super) fn text(&mut self, conn: &Connection, id: i64) -> rusqlite::Result<Arc<str>> {
        if let Some(text) = self.texts.get(&id) {
            return Ok(text.clone());
        }
        let text: Arc<str> = conn
            .prepare_cached(TEXT_OF)?
            .query_row([id], |row| row.get(0))?;
        if self.texts.len() >= NAMES_MAX {
            self.texts.clear();
        }
        self.texts.insert(id, text.clone());
        Ok(text)
    }
}

/// The number of `name`, if it has ever been used.
pub(super) fn id_of(conn: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached(ID_OF)?
        .query_row([name], |row| row.get(0))
        .optional()
}
