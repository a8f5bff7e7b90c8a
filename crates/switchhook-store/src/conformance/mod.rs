//! What every engine promises, as checks that any engine can be put to.
//!
//! One file per promise. Each check gets a fresh [`Fixture`], writes, opens the store again if the engine
//! can ([`Fixture::reopen`]), and reads. A check fails by panicking with what differs.
//!
//! A second proof compares engines with [`crate::memory`] on random batches; it is a test of this crate.

mod dead;
mod dedup;
mod events;
mod log;
mod progress;
mod resources;
mod sample;
mod waiting;

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;

use std::sync::mpsc;
use std::time::Duration;

use crate::{Batch, Error, Receipt, Store};

/// A commit that takes longer than this will not come, in seconds.
const ANSWER_S: u64 = 60;

/// Closes a store and opens it again.
pub type Reopen = Box<dyn Fn(Box<dyn Store>) -> Box<dyn Store>>;

/// A store under test.
pub struct Fixture {
    store: Option<Box<dyn Store>>,
    reopen: Reopen,
}

impl Fixture {
    /// A fresh, empty store, and how to close and open it again. An engine that keeps nothing over a
    /// restart hands back what it got.
    #[must_use]
    pub fn new(store: Box<dyn Store>, reopen: Reopen) -> Self {
        Self {
            store: Some(store),
            reopen,
        }
    }

    /// The store.
    ///
    /// # Panics
    /// When an earlier reopening failed.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        &**self.store.as_ref().expect("the store is open")
    }

    /// Closes the store and opens it again.
    pub fn reopen(&mut self) {
        self.store = self.store.take().map(&self.reopen);
    }

    /// Hands in a batch and waits for the answer.
    ///
    /// # Errors
    /// What the store answers.
    ///
    /// # Panics
    /// When no answer comes.
    pub fn submit(&self, batch: Batch) -> Result<Receipt, Error> {
        let (answer, answered) = mpsc::channel();
        self.store().submit(
            batch,
            Box::new(move |result| {
                let _ = answer.send(result);
            }),
        );
        answered
            .recv_timeout(Duration::from_secs(ANSWER_S))
            .expect("the store answers")
    }

    fn write(&self, batch: Batch) -> Receipt {
        self.submit(batch).expect("the batch is written")
    }
}

/// Puts an engine to every check, each with a store of its own from `make`.
///
/// # Panics
/// When the engine breaks a promise.
pub fn run_all(make: &dyn Fn() -> Fixture) {
    for check in CHECKS {
        check(&mut make());
    }
}

type Check = fn(&mut Fixture);

const CHECKS: &[Check] = &[
    log::offsets_are_contiguous_and_in_the_order_of_submission,
    log::an_event_reads_back_as_it_was_handed_in,
    log::reads_keep_their_limits_and_return_at_least_one,
    log::the_tail_is_the_log,
    log::own_events_are_appended_once,
    log::an_id_that_is_there_is_not_appended_again,
    dedup::the_first_wins_within_the_window,
    dedup::a_repeat_within_one_batch_is_a_duplicate,
    dedup::an_entry_older_than_its_window_is_forgotten,
    dedup::a_batch_that_refuses_conflicts_is_taken_whole_or_not_at_all,
    waiting::work_is_due_in_order_and_not_before,
    waiting::skipped_rows_are_neither_returned_nor_next,
    waiting::limits_of_due_work_leave_the_rest_as_next,
    waiting::a_row_is_written_over_and_settled,
    waiting::rebase_lets_no_row_wait_longer_than_planned,
    dead::each_filter_finds_what_it_names,
    dead::pages_follow_each_other_without_gap_or_overlap,
    dead::a_replay_takes_effect_once_and_only_for_its_chain,
    dead::a_discard_takes_effect_once_and_only_for_its_chain,
    dead::a_dead_letter_ends_its_waiting_row,
    progress::cursors_are_the_last_ones_written,
    progress::settled_is_what_has_an_attempt_a_row_or_a_dead_letter,
    progress::history_has_all_of_one_event_and_nothing_else,
    progress::counts_follow_every_change,
    events::each_filter_finds_what_it_names,
    events::pages_go_back_in_time,
    resources::versions_go_on_over_changes_and_deletes,
    resources::tokens_are_kept,
];
