//! `[audit]`: where signed checkpoints of the audit log go besides the store.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use super::codes;
use super::read::{Item, Report, shown};

/// How often a checkpoint is made when something was done (`facts`, reliability SEC-20), in milliseconds.
const EVERY_DEFAULT_MS: u64 = 60_000;
/// Often enough that little can be taken back unseen, and not a write per entry.
const EVERY_MS: RangeInclusive<u64> = 1_000..=86_400_000;

/// Where checkpoints go, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// A file to which every checkpoint is appended. It is worth something where the gateway's disk is not: on another
    /// machine, or where files can only grow.
    pub checkpoint_file: Option<PathBuf>,
    /// The longest time between something that was done and its checkpoint, in milliseconds.
    pub checkpoint_every_ms: u64,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            checkpoint_file: None,
            checkpoint_every_ms: EVERY_DEFAULT_MS,
        }
    }
}

pub(super) fn read(item: &Item<'_>, report: &mut Report) -> Option<Audit> {
    let table = report.table(item, &["checkpoint_file", "checkpoint_every"])?;
    let file = table.or("checkpoint_file", None, |item| {
        let text = &report.text(item)?.text;
        if text.is_empty() {
            let message = format!("`{}` is not the path of a file", shown(text));
            report.add(codes::MISSING, item, message, None);
            return None;
        }
        Some(Some(PathBuf::from(text)))
    });
    let every = table.or("checkpoint_every", EVERY_DEFAULT_MS, |item| {
        report.duration(item, EVERY_MS)
    });
    Some(Audit {
        checkpoint_file: file?,
        checkpoint_every_ms: every?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_toml;

    #[test]
    fn checkpoints_go_to_a_file_when_one_is_named_and_are_made_every_minute() {
        let audit = |text: &str| {
            let loaded = load_toml(text, "f", &|_| None);
            loaded.config.map(|config| config.audit).ok_or_else(|| {
                let codes = loaded.problems.iter().map(|problem| problem.code);
                codes.collect::<Vec<_>>()
            })
        };
        assert_eq!(audit(""), Ok(Audit::default()));
        let set = audit("[audit]\ncheckpoint_file = \"c\"\ncheckpoint_every = \"5m\"");
        let expected = Audit {
            checkpoint_file: Some("c".into()),
            checkpoint_every_ms: 300_000,
        };
        assert_eq!(set, Ok(expected));
        for (line, code) in [
            ("checkpoint_every = \"10ms\"", "SH0105"),
            ("checkpoint_every = \"2d\"", "SH0105"),
            ("checkpoints = \"c\"", "SH0104"),
        ] {
            assert_eq!(
                audit(&format!("[audit]\n{line}")),
                Err(vec![code]),
                "{line}"
            );
        }
        assert!(audit("[audit]\ncheckpoint_file = \"\"").is_err());
    }
}
