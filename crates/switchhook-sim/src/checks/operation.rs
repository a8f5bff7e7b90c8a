//! What people did to deliveries, when it became durable: replays and discards.

use switchhook_store::batch::Replay;

use super::commit::Commit;
use super::ledger::{Place, Wait, position};
use super::{Checked, Invariant, Ledger, Violation, check};

impl Ledger {
    /// Replays and discards, as the store is to carry them out; I12: it counts them rightly.
    pub(super) fn operated(&mut self, commit: &Commit<'_>) -> Checked {
        let (mut replayed, mut discarded) = (0, 0);
        for replay in &commit.batch.replays {
            replayed += u64::from(self.replayed(replay, commit)?);
        }
        for (key, chain) in &commit.batch.discards {
            let account = self.known(&key.subscription)?;
            let cell = account.known(key.offset)?;
            if cell.place == Place::Dead && cell.chain == *chain {
                cell.end_letter();
                discarded += 1;
            }
            let stands = cell.stands;
            account.keys.touch(stands, commit.now_ms);
            account.file(key.offset);
        }
        let receipt = commit.receipt;
        check(
            (replayed, discarded) == (receipt.replayed, receipt.discarded),
            Invariant::OnePlace,
            || {
                format!(
                    "replayed {replayed}, discarded {discarded}, but the store says {receipt:?}"
                )
            },
        )
    }

    /// Whether a replay takes effect; books it then.
    fn replayed(&mut self, replay: &Replay, commit: &Commit<'_>) -> Result<bool, Violation> {
        let row = &replay.waiting;
        let (is_gone, has_forgotten) = (self.gone.contains(&row.key.offset), self.has_forgotten);
        let account = self.known(&row.key.subscription)?;
        let any = account.cells.get_mut(position(row.key.offset));
        let Some(cell) = any.filter(|_| !is_gone) else {
            return Ok(false);
        };
        let meant = match replay.dead_chain {
            Some(chain) => cell.place == Place::Dead && cell.chain == chain,
            None => cell.place != Place::Waiting,
        };
        if !meant {
            return Ok(false);
        }
        let chain = commit.chains.get(&row.key).copied().unwrap_or(row.chain);
        check(
            chain > cell.chain || !cell.recorded || has_forgotten,
            Invariant::OnePlace,
            || format!("{cell:?} is replayed as chain {chain}"),
        )?;
        (cell.place, cell.chain, cell.n, cell.counted) = (Place::Waiting, chain, 0, 0);
        cell.replayed |= !cell.halts;
        account.deadlines.insert(row.key.offset, row.deadline);
        let wait = Wait {
            from_ms: commit.now_ms,
            forward_ms: commit.forward_ms,
            ..Wait::default()
        };
        account.waits.insert(row.key.offset, wait);
        account.keys.touch(row.place, commit.now_ms);
        account.file(row.key.offset);
        Ok(true)
    }
}
