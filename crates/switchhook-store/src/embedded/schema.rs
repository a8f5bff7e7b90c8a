//! The tables of format 1, and why they look as they do.
//!
//! * `event` is the log; `seq` is the offset, so appending goes to the right edge of one B-tree.
//! * `name` turns sources, types, subscriptions, endpoints and rules into small integers: an attempt that
//!   succeeded is some 30 bytes. Dead letters are rare and listed by name, so they keep the names themselves.
//! * `attempt` and `waiting` are clustered by offset: what belongs to one event lies together, and first
//!   attempts are appended at the edge.
//! * `waiting_due` holds all that finding due work needs; `progress` and `dead_count` hold counts, so that
//!   nothing is ever counted by reading a million rows. `waiting_held` is the index of the held rows
//!   alone (2 is `WaitReason::Hold`): counting them reads only them, and other rows pay nothing for it.
//! * `progress.top` is the highest offset with a record of that subscription: an upper bound for the search
//!   for what is settled beyond the cursor.
//!
//! Enums are stored as the codes of `switchhook-core`, times as milliseconds since 1970. Strict types.

/// Marks the file as ours: `SWHK`.
pub(super) const APPLICATION_ID: i32 = 0x5357_484b;

/// Bytes of a page. 8192 was as fast with 1 KiB events; it wrote a tenth more with 64 events under way and a
/// tenth less with 512. Small groups are what most gateways live on.
pub(super) const PAGE_BYTES: u32 = 4096;

/// Format 1.
pub(super) const FORMAT_1: &str = "
CREATE TABLE name (
    id   INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE event (
    seq         INTEGER PRIMARY KEY,
    id          BLOB NOT NULL,
    source      INTEGER NOT NULL,
    kind        INTEGER NOT NULL,
    key         TEXT,
    received_at INTEGER NOT NULL,
    headers     BLOB NOT NULL,
    body        BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX event_id ON event (id);

CREATE TABLE identity_log (
    seq        INTEGER PRIMARY KEY,
    key        BLOB NOT NULL,
    body_hash  INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE TABLE identity (
    key        BLOB PRIMARY KEY,
    seq        INTEGER NOT NULL,
    body_hash  INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE attempt (
    seq          INTEGER NOT NULL,
    subscription INTEGER NOT NULL,
    chain        INTEGER NOT NULL,
    n            INTEGER NOT NULL,
    endpoint     INTEGER NOT NULL,
    at           INTEGER NOT NULL,
    duration_ms  INTEGER NOT NULL,
    outcome      INTEGER NOT NULL,
    rule         INTEGER NOT NULL,
    verdict      INTEGER NOT NULL,
    detail       TEXT,
    next_at      INTEGER,
    PRIMARY KEY (seq, subscription, chain, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE waiting (
    seq          INTEGER NOT NULL,
    subscription INTEGER NOT NULL,
    chain        INTEGER NOT NULL,
    attempts     INTEGER NOT NULL,
    counted      INTEGER NOT NULL,
    due_at       INTEGER NOT NULL,
    deadline     INTEGER NOT NULL,
    delay_ms     INTEGER NOT NULL,
    reason       INTEGER NOT NULL,
    PRIMARY KEY (seq, subscription)
) STRICT, WITHOUT ROWID;
CREATE INDEX waiting_due ON waiting (subscription, due_at, seq);
CREATE INDEX waiting_held ON waiting (subscription) WHERE reason = 2;

CREATE TABLE dead (
    seq          INTEGER NOT NULL,
    subscription TEXT NOT NULL,
    chain        INTEGER NOT NULL,
    attempts     INTEGER NOT NULL,
    at           INTEGER NOT NULL,
    reason       INTEGER NOT NULL,
    outcome      INTEGER,
    endpoint     TEXT NOT NULL,
    kind         INTEGER,
    detail       TEXT,
    PRIMARY KEY (seq, subscription)
) STRICT, WITHOUT ROWID;
CREATE INDEX dead_at ON dead (at, subscription, seq);
CREATE INDEX dead_endpoint ON dead (endpoint, at, subscription, seq);
CREATE INDEX dead_subscription ON dead (subscription, at, seq);

CREATE TABLE progress (
    subscription INTEGER PRIMARY KEY,
    committed    INTEGER,
    top          INTEGER NOT NULL,
    waiting      INTEGER NOT NULL
) STRICT;

CREATE TABLE dead_count (
    endpoint TEXT NOT NULL,
    reason   INTEGER NOT NULL,
    count    INTEGER NOT NULL,
    PRIMARY KEY (endpoint, reason)
) STRICT, WITHOUT ROWID;

CREATE TABLE resource (
    kind       TEXT NOT NULL,
    name       TEXT NOT NULL,
    version    INTEGER NOT NULL,
    body       TEXT,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE token (
    hash       BLOB PRIMARY KEY,
    name       TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";
