//! Writes what the management API makes: resources and tokens.

use rusqlite::{Connection, params};

use super::codec::int;
use crate::batch::{ResourceChange, Token};

/// The version goes on over a delete, which leaves a row without a body.
const PUT: &str =
    "INSERT INTO resource (kind, name, version, body, updated_at) VALUES (?1, ?2, 1, ?3, ?4)
     ON CONFLICT (kind, name) DO UPDATE
     SET version = version + 1, body = excluded.body, updated_at = excluded.updated_at";
const DELETE: &str = "UPDATE resource SET version = version + 1, body = NULL, updated_at = ?3
     WHERE kind = ?1 AND name = ?2 AND body IS NOT NULL";
const ADD_TOKEN: &str = "INSERT OR REPLACE INTO token (hash, name, created_at) VALUES (?1, ?2, ?3)";

/// Makes, changes or deletes a resource.
pub(super) fn change(conn: &Connection, change: &ResourceChange) -> rusqlite::Result<()> {
    let (kind, name, at) = (&*change.kind, &*change.name, int(change.at.0));
    match change.body.as_deref() {
        Some(body) => conn
            .prepare_cached(PUT)?
            .execute(params![kind, name, body, at]),
        None => conn
            .prepare_cached(DELETE)?
            .execute(params![kind, name, at]),
    }
    .map(drop)
}

/// Adds a token.
pub(super) fn add_token(conn: &Connection, token: &Token) -> rusqlite::Result<()> {
    let values = params![token.hash.as_slice(), &*token.name, int(token.created_at.0)];
    conn.prepare_cached(ADD_TOKEN)?.execute(values).map(drop)
}
