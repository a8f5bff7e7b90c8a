//! Numbers of different kinds, compared by what they mean and not by how they are held.
//!
//! `1`, `1u` and `1.0` are the same number; `2^53 + 1` is not the double that lies next to it. NaN is
//! neither less than, equal to nor greater than anything.

use std::cmp::Ordering;

/// A number of JSON or of an expression.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Number {
    /// Any integer of 64 bits, with or without a sign.
    Whole(i128),
    /// A double.
    Double(f64),
}

impl From<&serde_json::Number> for Number {
    fn from(number: &serde_json::Number) -> Self {
        number.as_i128().map_or_else(
            || Self::Double(number.as_f64().unwrap_or(f64::NAN)),
            Self::Whole,
        )
    }
}

impl Number {
    /// How the two compare; `None` when one is NaN.
    pub(crate) fn order(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Whole(left), Self::Whole(right)) => Some(left.cmp(&right)),
            (Self::Double(left), Self::Double(right)) => left.partial_cmp(&right),
            (Self::Whole(left), Self::Double(right)) => order_mixed(left, right),
            (Self::Double(left), Self::Whole(right)) => {
                order_mixed(right, left).map(Ordering::reverse)
            }
        }
    }
}

/// A whole number of at most 65 bits against a double.
fn order_mixed(whole: i128, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    let floor = double.floor();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a cast stops at the ends of i128, far beyond any 64-bit integer"
    )]
    let below = floor as i128;
    Some(whole.cmp(&below).then(if double > floor {
        Ordering::Less
    } else {
        Ordering::Equal
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_compare_by_what_they_mean() {
        use Ordering::{Equal, Greater, Less};
        let big = (1_i128 << 53) + 1;
        for (left, right, order) in [
            (Number::Whole(1), Number::Double(1.0), Some(Equal)),
            (Number::Whole(1), Number::Double(1.5), Some(Less)),
            (Number::Whole(-1), Number::Double(-1.5), Some(Greater)),
            (
                Number::Whole(big),
                Number::Double(9_007_199_254_740_992.0),
                Some(Greater),
            ),
            (
                Number::Whole(i128::from(u64::MAX)),
                Number::Double(1e30),
                Some(Less),
            ),
            (
                Number::Whole(0),
                Number::Double(f64::NEG_INFINITY),
                Some(Greater),
            ),
            (Number::Double(f64::NAN), Number::Whole(0), None),
            (Number::Double(0.5), Number::Whole(0), Some(Greater)),
        ] {
            assert_eq!(left.order(right), order, "{left:?} {right:?}");
            assert_eq!(
                right.order(left),
                order.map(Ordering::reverse),
                "{right:?} {left:?}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn small_integers_compare_alike_however_they_are_held(a in any::<i32>(), b in any::<i32>()) {
            let mixed = Number::Whole(a.into()).order(Number::Double(b.into()));
            prop_assert_eq!(mixed, Some(a.cmp(&b)));
        }
    }
}
