//! A writer that is broken on purpose: it answers first and commits later.
//!
//! It shows that the kill test would notice (`crates/switchhook/tests/it/kill.rs`). It is compiled only with the feature
//! `sabotage`, which no release has, and does its harm only when `SWITCHHOOK_SABOTAGE` is `ack-early`, so that a
//! build with every feature is still sound.

use std::time::Duration;

use super::{Job, Writer, answer};

/// Time between the answer and the commit: long enough that a kill falls into it.
const DELAY: Duration = Duration::from_millis(50);

/// Whether the harm is asked for.
pub(super) fn acks_early() -> bool {
    std::env::var_os("SWITCHHOOK_SABOTAGE").is_some_and(|value| value == "ack-early")
}

impl Writer<'_> {
    /// Answers `group`, waits, and only then makes it durable.
    pub(super) fn write_after_the_answer(&mut self, group: Vec<Job>) -> rusqlite::Result<()> {
        let mut log = Vec::new();
        let receipts = self.ledger.apply(&group, &mut log)?;
        answer(group, receipts);
        std::thread::park_timeout(DELAY);
        self.ledger.execute("COMMIT")?;
        if !log.is_empty() {
            self.shared.tail.push(log);
        }
        Ok(())
    }
}
