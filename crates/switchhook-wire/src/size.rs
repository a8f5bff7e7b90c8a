//! Sizes as people write them: `512B`, `256KiB`, `5MB`.
//!
//! Binary units (`KiB`, `MiB`, `GiB`) and decimal ones (`KB`, `MB`, `GB`) are both taken and mean what
//! they say. A bare number is refused, as with [`crate::duration`].

const UNITS: [(&str, u64); 7] = [
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// Text that is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a size: write a whole number with a unit, for example `512B`, `256KiB`, `5MB`"
)]
pub struct Error(pub String);

/// The bytes that `text` means.
///
/// # Errors
/// When `text` is no size, or none that a computer could hold.
pub fn parse(text: &str) -> Result<u64, Error> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    text.split_at_checked(digits)
        .and_then(|(number, unit)| {
            let (_, size) = UNITS.iter().find(|(name, _)| *name == unit)?;
            number.parse::<u64>().ok()?.checked_mul(*size)
        })
        .ok_or_else(|| Error(text.chars().take(40).collect()))
}

/// `bytes` in the largest binary unit that divides it, for example `256KiB`.
#[must_use]
pub fn format(bytes: u64) -> String {
    UNITS
        .iter()
        .rev()
        .filter(|(name, _)| name.len() != 2)
        .find(|(_, size)| bytes != 0 && bytes.is_multiple_of(*size))
        .map_or_else(
            || format!("{bytes}B"),
            |(name, size)| format!("{}{name}", bytes / size),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units_and_nothing_else_is() {
        let table = [
            ("0B", 0),
            ("512B", 512),
            ("256KiB", 262_144),
            ("5MB", 5_000_000),
            ("1GiB", 1 << 30),
        ];
        for (text, bytes) in table {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "5",
            "KiB",
            "5kb",
            "5 MB",
            "-1B",
            "99999999999999999999B",
            "99999999999GiB",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_formatted_size_reads_back_as_itself() {
        for bytes in [0, 1, 1_000, 1_024, 262_144, 5_000_000, 1 << 30] {
            assert_eq!(parse(&format(bytes)), Ok(bytes));
        }
        assert_eq!(format(262_144), "256KiB");
    }
}
