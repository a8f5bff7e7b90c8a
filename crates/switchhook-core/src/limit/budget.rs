//! How much of the traffic to an endpoint may be retries, so that they do not crowd out first attempts.
//!
//! Within the last 10 s, retries may be a share of the first attempts, and a few in a second whatever the
//! share says, so that retries go on where nothing new comes (`facts` 5.10: 20 % and 1/s, the numbers of
//! Finagle). One over the budget waits and is told when to ask again; it is never dropped.

use crate::time::UnixMs;

use super::window::{SPANS, Window};

/// How far back the budget looks, in milliseconds.
pub const WINDOW_MS: u64 = 10_000;

/// How many retries may go out beside first attempts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Retries for each first attempt within the last 10 s; 0 to 1 (`facts` 5.10: 0.2).
    pub share: f64,
    /// So many retries in a second may go whatever the share says (`facts` 5.10: 1).
    pub per_second: u16,
}

/// How far it is used up.
#[derive(Debug, Clone, PartialEq)]
pub struct Budget {
    settings: Settings,
    /// First attempts, and retries.
    sent: Window,
}

impl Budget {
    /// Nothing is used up.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            sent: Window::new(WINDOW_MS),
        }
    }

    /// What it keeps to.
    #[must_use]
    pub const fn settings(&self) -> Settings {
        self.settings
    }

    /// Whether a retry may go now.
    ///
    /// # Errors
    /// When to ask again, later than `now`.
    pub fn look(&self, now: UnixMs) -> Result<(), UnixMs> {
        if self.has_room(now, 0) {
            return Ok(());
        }
        let later = (1..SPANS).find(|&later| self.has_room(now, later));
        Err(self.sent.begin(now, later.unwrap_or(SPANS)))
    }

    /// An attempt goes out.
    pub fn sent(&mut self, retry: bool, now: UnixMs) {
        self.sent.add(u32::from(!retry), u32::from(retry), now);
    }

    /// The clock went back: what was sent is forgotten.
    pub fn clock_went_back(&mut self) {
        self.sent.clear();
    }

    fn has_room(&self, now: UnixMs, later: u64) -> bool {
        let (first, retries) = self.sent.totals(now, later);
        #[expect(
            clippy::cast_precision_loss,
            reason = "counts of ten seconds are far below 2^52"
        )]
        let (first, retries) = (first as f64, retries as f64);
        let floor = f64::from(self.settings.per_second) * 10.0;
        retries + 1.0 <= self.settings.share * first + floor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Settings = Settings {
        share: 0.2,
        per_second: 1,
    };

    fn retries(budget: &mut Budget, now: UnixMs) -> usize {
        let mut sent = 0;
        while budget.look(now).is_ok() {
            budget.sent(true, now);
            sent += 1;
        }
        sent
    }

    #[test]
    fn retries_are_a_share_of_first_attempts_and_a_floor() {
        let mut budget = Budget::new(USUAL);
        for _ in 0..100 {
            budget.sent(false, UnixMs(50_000));
        }
        assert_eq!(retries(&mut budget, UnixMs(50_500)), 20 + 10);
        assert_eq!(retries(&mut budget, UnixMs(59_999)), 0);
    }

    #[test]
    fn one_over_the_budget_is_told_when_there_is_room_and_there_is() {
        let mut budget = Budget::new(USUAL);
        budget.sent(false, UnixMs(58_000));
        assert_eq!(retries(&mut budget, UnixMs(58_000)), 10);
        let Err(at) = budget.look(UnixMs(58_300)) else {
            panic!("used up")
        };
        assert_eq!(at, UnixMs(68_000));
        assert_eq!(budget.look(at.minus_ms(1)), Err(at));
        assert_eq!(budget.look(at), Ok(()));
    }

    #[test]
    fn where_nothing_new_comes_retries_go_on_at_the_floor() {
        let mut budget = Budget::new(USUAL);
        let sent: usize = (0..600)
            .map(|s| retries(&mut budget, UnixMs(s * 100)))
            .sum();
        assert!((60..=70).contains(&sent), "{sent} in 60 s");
    }

    #[test]
    fn a_budget_of_nothing_lets_nobody_through_but_says_when_to_ask_again() {
        let budget = Budget::new(Settings {
            share: 0.0,
            per_second: 0,
        });
        assert_eq!(budget.look(UnixMs(1_500)), Err(UnixMs(11_000)));
    }
}
