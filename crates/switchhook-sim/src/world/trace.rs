//! What happened: a hash of all of it, and the last of it in words.

use std::collections::VecDeque;

/// Steps that are kept to be shown.
const KEPT: usize = 120;

/// One step: what happened, and up to three numbers that say to whom.
#[derive(Debug, Clone, Copy)]
struct Step {
    at_ms: u64,
    what: &'static str,
    numbers: [u64; 3],
}

/// The course of a world.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    hash: u64,
    steps: u64,
    last: VecDeque<Step>,
    /// Whether all steps are kept, to be looked at.
    pub(crate) keeps_all: bool,
}

impl Trace {
    /// Notes a step; `what` names the numbers.
    pub(crate) fn note(&mut self, at_ms: u64, what: &'static str, numbers: [u64; 3]) {
        self.mix(at_ms);
        what.bytes().for_each(|byte| self.mix(u64::from(byte)));
        numbers.iter().for_each(|number| self.mix(*number));
        self.steps += 1;
        if self.last.len() == KEPT && !self.keeps_all {
            self.last.pop_front();
        }
        self.last.push_back(Step {
            at_ms,
            what,
            numbers,
        });
    }

    /// FNV-1a over words: enough to tell two runs apart.
    const fn mix(&mut self, word: u64) {
        self.hash = (self.hash ^ word)
            .wrapping_mul(0x0100_0000_01b3)
            .rotate_left(17);
    }

    pub(crate) const fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) const fn steps(&self) -> u64 {
        self.steps
    }

    /// The last steps, one line each.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |step: &Step| {
            let (seconds, ms) = (step.at_ms / 1_000, step.at_ms % 1_000);
            let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
            let [a, b, c] = step.numbers;
            format!(
                "{hours:02}:{minutes:02}:{:02}.{ms:03} {} = {a}, {b}, {c}",
                seconds % 60,
                step.what
            )
        };
        self.last.iter().map(line).collect()
    }
}
