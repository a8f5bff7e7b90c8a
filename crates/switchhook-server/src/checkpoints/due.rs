//! When a checkpoint is due, and which old ones may go.

/// So many entries get a checkpoint at once (`facts`, reliability SEC-20): no more than these can be taken back unseen.
const ENTRIES_MAX: u64 = 100;
/// Checkpoints that the store keeps: 3 MB, and a look through all of them takes well under a second.
pub(super) const KEPT_MAX: usize = 10_000;

/// Whether the log needs one, of which `waiting` entries have none, the oldest for `waits_ms`.
pub(super) const fn is_due(waiting: u64, waits_ms: u64, every_ms: u64) -> bool {
    waiting > 0 && (waiting >= ENTRIES_MAX || waits_ms >= every_ms)
}

/// Those of `kept`, which are in order, that go before one more comes: where there are [`KEPT_MAX`], every second one of
/// the older half. So there are fewer of a time the longer it is ago, and the oldest of all stays.
pub(super) fn thinned(kept: &[u64]) -> Vec<u64> {
    if kept.len() < KEPT_MAX {
        return Vec::new();
    }
    let older = kept.iter().take(kept.len() / 2);
    older.skip(1).step_by(2).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_due_after_a_hundred_entries_or_when_one_has_waited() {
        for (waiting, waits_ms, due) in [
            (0, u64::MAX, false),
            (1, 59_999, false),
            (1, 60_000, true),
            (99, 0, false),
            (100, 0, true),
        ] {
            assert_eq!(
                is_due(waiting, waits_ms, 60_000),
                due,
                "{waiting} {waits_ms}"
            );
        }
    }

    #[test]
    fn thinning_leaves_the_oldest_and_all_of_the_newer_half() {
        let kept: Vec<u64> = (1..=KEPT_MAX as u64).collect();
        assert!(thinned(&kept[1..]).is_empty());
        let gone = thinned(&kept);
        assert_eq!(gone.len(), KEPT_MAX / 4);
        assert_eq!((gone[0], gone[1]), (2, 4));
        assert!(gone.iter().all(|number| *number <= KEPT_MAX as u64 / 2));
    }
}
