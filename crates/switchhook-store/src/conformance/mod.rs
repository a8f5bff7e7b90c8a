//! What every engine promises, as checks that any engine can be put to.
//!
//! One file per promise. Each check gets a fresh [`Fixture`], writes, opens the store again if the engine
//! can ([`Fixture::reopen`]), and reads. A check fails by panicking with what differs.
//!
//! A second proof compares engines with [`crate::memory`] on random batches; it is a test of this crate.

mod attempts;
mod audit;
mod breakers;
mod dead;
mod dedup;
mod documents;
mod events;
mod jobs;
mod log;
mod order;
mod partitions;
mod progress;
mod resources;
mod retention;
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
    dead::a_delivery_is_made_again_whatever_became_of_it,
    events::a_scan_goes_forward_and_says_where_to_go_on,
    events::a_time_leads_to_an_offset_where_the_clock_jumped_too,
    order::a_held_row_is_neither_due_nor_next_nor_oldest,
    order::a_release_makes_the_first_held_rows_of_its_key_due,
    order::a_release_of_all_keys_goes_by_the_order_of_the_log,
    order::a_row_written_and_released_in_one_batch_is_due,
    order::a_clock_that_went_back_releases_nothing,
    order::keys_say_what_each_of_them_waits_for,
    partitions::each_partition_has_a_cursor_and_a_member,
    partitions::work_is_due_in_its_partition_alone,
    partitions::settled_goes_up_to_the_last_record_of_the_partition,
    partitions::waiting_rows_are_listed_in_the_order_of_the_log,
    partitions::other_partitions_begin_at_the_lowest_cursor_of_the_old_ones,
    partitions::a_layout_of_as_many_partitions_adds_what_is_missing,
    partitions::a_layout_of_a_subscription_that_has_not_begun_makes_no_cursor,
    partitions::a_row_that_is_left_in_a_partition_that_is_no_more_is_still_counted,
    retention::old_events_go_with_their_attempts,
    retention::each_step_is_bounded_and_says_whether_there_is_more,
    retention::what_a_delivery_needs_stays,
    retention::what_is_no_longer_needed_goes_with_the_next_step,
    retention::old_attempts_go_also_of_events_that_stay,
    retention::an_identity_is_remembered_after_its_event_is_gone,
    retention::an_offset_is_never_given_twice,
    retention::a_delivery_whose_event_is_gone_is_not_made_again,
    retention::every_read_goes_on_behind_a_gap,
    jobs::a_job_is_written_over_the_one_with_its_id,
    jobs::of_too_many_jobs_the_oldest_that_are_over_go,
    jobs::a_pause_stays_until_it_is_taken_back,
    audit::the_log_is_numbered_and_read_from_both_ends,
    audit::each_entry_is_chained_to_the_one_before,
    attempts::each_filter_finds_what_it_names,
    attempts::pages_go_back_and_part_no_event,
    attempts::a_look_ends_after_a_bounded_number_of_attempts,
    attempts::attempts_go_with_their_events,
    documents::a_document_reads_back_as_the_last_one_written,
    documents::rooms_do_not_see_each_other,
    documents::pages_of_a_room_follow_each_other_by_id,
    documents::an_expired_document_is_gone_and_taken_away_in_steps,
    documents::a_batch_with_too_large_a_document_is_refused_whole,
    documents::a_change_its_secret_its_answer_and_its_audit_entry_are_one,
    breakers::the_last_record_of_each_endpoint_is_kept,
    resources::versions_go_on_over_changes_and_deletes,
    resources::a_resource_is_managed_by_what_its_last_change_says,
];
