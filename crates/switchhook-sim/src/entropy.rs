//! Numbers that look random and are a function of a seed.
//!
//! splitmix64: one word of state, full period, good enough to choose answers and shape events. It is
//! not for secrets. The same seed gives the same run on every machine.

/// A stream of numbers.
#[derive(Debug, Clone)]
pub struct Entropy(u64);

impl Entropy {
    /// The stream that belongs to `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 when `bound` is 0.
    pub const fn below(&mut self, bound: u64) -> u64 {
        scale(self.draw(), bound)
    }

    /// One of `choices`; `None` when there is none.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        let at = self.below(choices.len() as u64);
        usize::try_from(at).ok().and_then(|at| choices.get(at))
    }

    /// A version 4 UUID in its usual form.
    pub fn uuid(&mut self) -> String {
        let bytes = (u128::from(self.draw()) << 64 | u128::from(self.draw())).to_be_bytes();
        uuid::Builder::from_random_bytes(bytes)
            .into_uuid()
            .to_string()
    }
}

/// Maps 64 random bits to `0..bound` without the bias of a remainder.
#[must_use]
pub const fn scale(bits: u64, bound: u64) -> u64 {
    ((bits as u128 * bound as u128) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_another_seed_does_not() {
        let draw = |seed| {
            let mut entropy = Entropy::new(seed);
            (0..8).map(|_| entropy.draw()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn a_number_below_a_bound_is_below_it_and_reaches_every_value() {
        let mut entropy = Entropy::new(1);
        let mut seen = [false; 5];
        for _ in 0..200 {
            seen[usize::try_from(entropy.below(5)).unwrap()] = true;
        }
        assert_eq!(seen, [true; 5]);
        assert_eq!(entropy.below(0), 0);
    }
}
