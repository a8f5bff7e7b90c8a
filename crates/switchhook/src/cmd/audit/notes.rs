//! A file of checkpoints: notes one after the other, as the gateway appends them.
//!
//! A note ends after its signatures, or where a line says that another one begins. A piece that a crash has left is followed by the whole
//! note somewhere below, since the gateway appends it again; such a piece is passed over. Any other text that is no
//! checkpoint is one that cannot be read.
//!
//! Bounds: [`NOTES_MAX`] notes, [`NOTE_BYTES_MAX`] bytes of one, [`PIECES_MAX`] pieces whose note has not come yet.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use switchhook_core::audit::checkpoint::{self, NOTE_BYTES_MAX, ORIGIN_PREFIX, SIGNATURE_PREFIX};

use crate::exit::{Code, Failure};

/// Notes that are read of all files: two years of one a minute, some hundred MB.
pub(super) const NOTES_MAX: usize = 1_000_000;
/// Pieces that wait for their note: a crash leaves one.
const PIECES_MAX: usize = 100;

/// A text that should be a note, and the line where it begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) line: usize,
    pub(super) text: String,
}

/// The notes of the file at `path`, and at the end what is none.
pub(super) fn read(path: &Path) -> Result<Vec<Text>, Failure> {
    let failed = |error: io::Error| unreadable(path, &error);
    let file = File::open(path).map_err(failed)?;
    let found = notes(BufReader::new(file)).map_err(failed)?;
    found.ok_or_else(|| {
        let message = format!("{} has more than {NOTES_MAX} checkpoints", path.display());
        Failure::new(Code::Invalid, message).hint("give the newer part of it")
    })
}

/// Why a file cannot be read.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let code = if error.kind() == io::ErrorKind::NotFound {
        Code::NotFound
    } else {
        Code::Unexpected
    };
    Failure::new(code, format!("{} cannot be read: {error}", path.display()))
}

/// `None` where there are too many.
fn notes(mut file: impl BufRead) -> io::Result<Option<Vec<Text>>> {
    let (mut reading, mut at, mut line) = (Reading::default(), 0, Vec::new());
    loop {
        line.clear();
        let bound = NOTE_BYTES_MAX as u64;
        let read = file.by_ref().take(bound).read_until(b'\n', &mut line)?;
        at += 1;
        let is_signature = line.starts_with(SIGNATURE_PREFIX.as_bytes());
        let is_after = reading.is_signed && !is_signature;
        if read == 0 || is_after || line.starts_with(ORIGIN_PREFIX.as_bytes()) {
            reading.end(at);
        }
        reading.is_signed |= is_signature;
        if read == 0 {
            reading.notes.append(&mut reading.pieces);
            return Ok(Some(reading.notes));
        }
        if reading.notes.len() >= NOTES_MAX {
            return Ok(None);
        }
        reading.add(&line);
    }
}

/// What was read so far.
#[derive(Debug)]
struct Reading {
    notes: Vec<Text>,
    pieces: Vec<Text>,
    /// Line where the current text begins.
    begun: usize,
    /// Whether it has come to its signatures.
    is_signed: bool,
    current: Vec<u8>,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            notes: Vec::new(),
            pieces: Vec::new(),
            begun: 1,
            is_signed: false,
            current: Vec::new(),
        }
    }
}

impl Reading {
    /// A longer text is none of ours, and is cut where that is certain.
    fn add(&mut self, line: &[u8]) {
        if self.current.len() <= NOTE_BYTES_MAX {
            self.current.extend_from_slice(line);
        }
    }

    /// The current text ends before line `next`.
    fn end(&mut self, next: usize) {
        let text = String::from_utf8_lossy(&self.current);
        let piece = text.trim_matches('\n');
        if !piece.is_empty() {
            let empty = text.len() - text.trim_start_matches('\n').len();
            let text = format!("{piece}\n");
            let line = self.begun + empty;
            let is_note = checkpoint::parse(&text).is_ok();
            if is_note {
                let end = ['\n', CUT];
                self.pieces
                    .retain(|piece| !text.starts_with(piece.text.trim_end_matches(end)));
            }
            if is_note || self.pieces.len() >= PIECES_MAX {
                self.notes.push(Text { line, text });
            } else {
                self.pieces.push(Text { line, text });
            }
        }
        self.current.clear();
        self.is_signed = false;
        self.begun = next;
    }
}

/// What the first bytes of a longer character read as.
const CUT: char = char::REPLACEMENT_CHARACTER;

#[cfg(test)]
mod tests {
    use super::*;

    /// A note by its form: whoever reads it here does not check who has signed it.
    fn note(entries: u64) -> String {
        let head = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        format!("switchhook-audit/s\n{entries}\n{head}\ntime 1\n\n\u{2014} key AAAAAAAA\n")
    }

    fn read(text: &[u8]) -> Vec<(usize, String)> {
        let found = notes(text).unwrap().unwrap();
        found.into_iter().map(|it| (it.line, it.text)).collect()
    }

    #[test]
    fn notes_are_read_with_their_lines_however_they_are_joined() {
        let (one, two) = (note(1), note(2));
        let expected = [(1, one.clone()), (8, two.clone())];
        assert_eq!(read(format!("{one}\n{two}").as_bytes()), expected);
        assert_eq!(read(format!("{one}\n{two}\n\n").as_bytes()), expected);
        let joined = read(format!("{one}{two}").as_bytes());
        assert_eq!(joined, [(1, one), (7, two)]);
        assert_eq!(read(b""), []);
        assert_eq!(read(b"\n\n"), []);
    }

    #[test]
    fn a_piece_is_passed_over_wherever_a_crash_cut_its_note_if_the_whole_follows() {
        let (one, two) = (note(1), note(2));
        let whole = two.as_bytes();
        for cut in 1..whole.len() {
            let mut file = format!("{one}\n").into_bytes();
            file.extend(&whole[..cut]);
            file.push(b'\n');
            file.extend(whole);
            let texts: Vec<String> = read(&file).into_iter().map(|(_, text)| text).collect();
            // All but its line end is the whole note already, and one that stands twice is no harm.
            let twice = cut + 1 == whole.len();
            let expected = if twice {
                vec![one.clone(), two.clone(), two.clone()]
            } else {
                vec![one.clone(), two.clone()]
            };
            assert_eq!(texts, expected, "{cut}");
        }
    }

    #[test]
    fn a_piece_without_its_note_stays_and_cannot_be_read() {
        let (one, two) = (note(1), note(2));
        let file = format!("{}\n{two}", one.split_at(30).0);
        let found = read(file.as_bytes());
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], (4, two));
        assert_eq!(found[1].0, 1);
        assert!(checkpoint::parse(&found[1].1).is_err());
    }
}
