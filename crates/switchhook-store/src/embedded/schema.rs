//! The tables, and why they look as they do.
//!
//! A store is made by the steps that also lead an older one here, so that both are the same.
//!
//! * `event` is the log; `seq` is the offset, so appending goes to the right edge of one B-tree.
//! * `name` turns sources, types, subscriptions, endpoints and rules into small integers: an attempt that
//!   succeeded is some 30 bytes. Dead letters are rare and listed by name, so they keep the names themselves.
//! * `attempt` and `waiting` are clustered by offset: what belongs to one event lies together, and first
//!   attempts are appended at the edge.
//! * `waiting_due` holds all that finding due work needs; `progress` and `dead_count` hold counts, so that
//!   nothing is ever counted by reading a million rows. `waiting_held` is the index of the held rows
//!   alone (2 is `WaitReason::Hold`): counting them reads only them, and other rows pay nothing for it.
//! * `waiting_due` ends with key and reason, so that a start learns what each key waits for without a look
//!   at the rows. `waiting_order` has only the rows whose turn has not come (5 is `WaitReason::Order`, the time is
//!   `UnixMs::NEVER`): the next of a key is found at once, however many there are.
//! * `dead_halting` has the dead letters that halt a key (3 is `Gap::Halted`), `dead_old` all others in the order in
//!   which they may go: those that must stay are not looked at each time.
//! * `progress.top` is the highest offset with a record of that partition: an upper bound for the search
//!   for what is settled beyond the cursor. So an attempt needs no partition of its own.
//! * `identity` has the id of its event, not its offset: it outlives the event.
//! * `document` has what the server keeps by name; its rooms are the codes of `batch::Room`: 1 tokens, 2 clients, 3 secrets,
//!   4 configuration files, 5 answers by idempotency key, 6 checkpoints of the audit log, 7 settings. The body comes last:
//!   what is asked of the other columns does not read through it. `document_expiring` has only those that expire.
//! * `audit` is a chain: `hash` is taken over the hash of the entry before and the entry itself (`core::audit`).
//! * `forgotten` says how many events are gone and the highest offset among them: a log that is empty goes on
//!   where it ended, an offset that is missing for another reason is found, and events are counted by two numbers.
//!
//! Enums are stored as the codes of `switchhook-core`, times as milliseconds since 1970. Strict types.

/// Marks the file as ours: `SWHK`.
pub(super) const APPLICATION_ID: i32 = 0x5357_484b;

/// Bytes of a page. 8192 was as fast with 1 KiB events; it wrote a tenth more with 64 events under way and a
/// tenth less with 512. Small groups are what most gateways live on.
pub(super) const PAGE_BYTES: u32 = 4096;

/// From nothing to format 1.
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

/// From format 1 to 2, first part: the tables. Keys are filled in after it.
pub(super) const FORMAT_2_TABLES: &str = "
DROP INDEX waiting_due;
ALTER TABLE waiting ADD COLUMN partition INTEGER NOT NULL DEFAULT 0;
ALTER TABLE waiting ADD COLUMN key INTEGER;

ALTER TABLE dead ADD COLUMN partition INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dead ADD COLUMN key INTEGER;
ALTER TABLE dead ADD COLUMN gap INTEGER NOT NULL DEFAULT 1;

ALTER TABLE progress RENAME TO progress_1;
CREATE TABLE progress (
    subscription INTEGER NOT NULL,
    partition    INTEGER NOT NULL,
    committed    INTEGER,
    top          INTEGER NOT NULL,
    waiting      INTEGER NOT NULL,
    member       INTEGER,
    PRIMARY KEY (subscription, partition)
) STRICT, WITHOUT ROWID;
INSERT INTO progress SELECT subscription, 0, committed, top, waiting, NULL FROM progress_1;
DROP TABLE progress_1;

ALTER TABLE identity_log RENAME TO identity_log_1;
CREATE TABLE identity_log (
    seq        INTEGER PRIMARY KEY,
    key        BLOB NOT NULL,
    id         BLOB NOT NULL,
    body_hash  INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
INSERT INTO identity_log SELECT i.seq, i.key, e.id, i.body_hash, i.expires_at
    FROM identity_log_1 i JOIN event e ON e.seq = i.seq ORDER BY i.seq;
DROP TABLE identity_log_1;

ALTER TABLE identity RENAME TO identity_1;
CREATE TABLE identity (
    key        BLOB PRIMARY KEY,
    id         BLOB NOT NULL,
    body_hash  INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO identity SELECT i.key, e.id, i.body_hash, i.expires_at
    FROM identity_1 i JOIN event e ON e.seq = i.seq ORDER BY i.key;
DROP TABLE identity_1;

CREATE TABLE forgotten (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    events INTEGER NOT NULL,
    top    INTEGER NOT NULL
) STRICT;
INSERT INTO forgotten VALUES (1, 0, 0);

CREATE TABLE breaker (
    endpoint      TEXT PRIMARY KEY,
    state         INTEGER NOT NULL,
    cause         INTEGER,
    since         INTEGER NOT NULL,
    until         INTEGER,
    failed_probes INTEGER NOT NULL,
    reason        TEXT,
    pause_until   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE layout (
    subscription TEXT PRIMARY KEY,
    text         TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE pause (
    subscription TEXT PRIMARY KEY,
    at           INTEGER NOT NULL,
    reason       TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE job (
    id         TEXT PRIMARY KEY,
    is_over    INTEGER NOT NULL,
    body       TEXT NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    number INTEGER PRIMARY KEY,
    actor  TEXT NOT NULL,
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    detail TEXT NOT NULL,
    at     INTEGER NOT NULL
) STRICT;
";

/// From format 1 to 2, last part: the indexes.
pub(super) const FORMAT_2_INDEXES: &str = "
CREATE INDEX waiting_due ON waiting (subscription, partition, due_at, seq, key, reason);
CREATE INDEX waiting_order ON waiting (subscription, partition, key, seq)
    WHERE reason = 5 AND due_at = 9223372036854775807;
CREATE INDEX dead_old ON dead (at, subscription, seq) WHERE gap <> 3;
CREATE INDEX dead_halting ON dead (subscription, partition, key, seq) WHERE gap = 3;
";

/// From format 2 to 3. A token becomes a document by the hex of its hash, with the rights that it had: all. Its id has the
/// form of a `UUIDv7` of the time when it was made, as those of new tokens. The audit log is filled in after it, with its hashes; then [`FORMAT_3_END`].
pub(super) const FORMAT_3: &str = "
ALTER TABLE resource ADD COLUMN managed_by TEXT;

CREATE TABLE document (
    room       INTEGER NOT NULL,
    id         TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    expires_at INTEGER,
    body       BLOB NOT NULL,
    PRIMARY KEY (room, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX document_expiring ON document (expires_at, room, id) WHERE expires_at IS NOT NULL;
INSERT INTO document
    SELECT 1, lower(hex(hash)), created_at, NULL,
           CAST(json_object(
               'id', 'tok_' || printf('%012x', created_at) || '7' || lower(substr(hex(hash), 1, 3)) ||
                     '8' || lower(substr(hex(hash), 4, 15)),
               'name', name, 'scopes', json_array('admin'), 'createdAt', created_at) AS BLOB)
    FROM token;
DROP TABLE token;

ALTER TABLE audit RENAME TO audit_2;
CREATE TABLE audit (
    number INTEGER PRIMARY KEY,
    actor  TEXT NOT NULL,
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    detail TEXT NOT NULL,
    at     INTEGER NOT NULL,
    hash   BLOB NOT NULL
) STRICT;
";

/// The end of the step from format 2 to 3.
pub(super) const FORMAT_3_END: &str = "
DROP TABLE audit_2;
";
