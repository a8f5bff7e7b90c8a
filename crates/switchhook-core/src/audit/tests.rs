//! Attacks on the log by name, and the notes that find them.

use crate::audit::checkpoint::{self, Checkpoint, NoteError, NoteKey, Trust};
use crate::audit::verifier::{FINDINGS_MAX, Finding, Kept, Verifier, Witnesses};
use crate::audit::{Entry, Hash, ORIGIN, link};
use crate::secret::{Lookup, Secret, SecretError, SecretRef};
use crate::sign::ed25519::SigningKey;
use crate::time::UnixMs;

const STORE: &str = "0198c5d2";
const NAME: &str = "gateway.example";

struct NoLookup;

impl Lookup for NoLookup {
    fn secret(&self, name: &str) -> Result<Secret, SecretError> {
        Err(SecretError {
            name: name.into(),
            reason: "there are none".into(),
        })
    }
}

fn key(seed: u8) -> SigningKey {
    let text = format!("whsk_{}", data_encoding::BASE64.encode(&[seed; 32]));
    let literal = SecretRef::Literal(Secret::new(text.into()));
    SigningKey::read(&literal, &NoLookup).unwrap()
}

fn note_key(seed: u8) -> NoteKey {
    NoteKey::new(NAME, key(seed).public_key()).unwrap()
}

#[derive(Clone)]
struct Row {
    number: u64,
    actor: String,
    hash: Hash,
}

impl Row {
    fn entry(&self) -> Entry<'_> {
        Entry {
            number: self.number,
            at: UnixMs(self.number * 1000),
            actor: &self.actor,
            action: "resource.put",
            object: "endpoint/crm",
            detail: "{}",
        }
    }
}

/// A log of which each entry is by the named actor.
fn log(actors: &[&str]) -> Vec<Row> {
    let rows = (1..).zip(actors).map(|(number, actor)| Row {
        number,
        actor: (*actor).to_owned(),
        hash: ORIGIN,
    });
    chained(rows.collect())
}

fn honest() -> Vec<Row> {
    log(&["ada", "bob", "cyd", "dan", "eve"])
}

/// The log with numbers and hashes as they should be.
fn chained(mut rows: Vec<Row>) -> Vec<Row> {
    let mut before = ORIGIN;
    for (number, row) in (1..).zip(&mut rows) {
        row.number = number;
        row.hash = link(&before, &row.entry());
        before = row.hash;
    }
    rows
}

/// A note that `seed` signs, of the log as long as it is.
fn note(rows: &[Row], seed: u8) -> String {
    let checkpoint = Checkpoint {
        store: STORE.into(),
        entries: rows.last().map_or(0, |row| row.number),
        head: rows.last().map_or(ORIGIN, |row| row.hash),
        at: Some(UnixMs(1_785_000_000_000)),
    };
    checkpoint::sign(&checkpoint, NAME, &key(seed)).unwrap()
}

fn inside() -> Kept {
    Kept::Inside("1".into())
}

fn outside() -> Kept {
    Kept::Outside("copy".into())
}

/// What is found in `rows` by who trusts key 1 and has these checkpoints.
fn findings(rows: &[Row], notes: &[(Kept, &str)]) -> Vec<Finding> {
    let mut witnesses = Witnesses::new(vec![note_key(1)], Some(STORE));
    for (kept, note) in notes {
        witnesses.add(kept.clone(), note);
    }
    let mut verifier = Verifier::new(witnesses);
    for row in rows {
        verifier.entry(&row.entry(), &row.hash);
    }
    verifier.finish().findings
}

#[test]
fn an_honest_log_has_no_findings() {
    let rows = honest();
    let notes: Vec<String> = (0..=5).map(|entries| note(&rows[..entries], 1)).collect();
    let notes: Vec<_> = notes.iter().map(|note| (outside(), &**note)).collect();
    assert_eq!(findings(&rows, &notes), []);
    assert_eq!(findings(&[], &notes[..1]), []);
}

#[test]
fn an_edited_entry_is_found() {
    let mut rows = honest();
    rows[2].actor = "nobody".into();
    assert_eq!(findings(&rows, &[]), [Finding::Broken { number: 3 }]);
    // With a new hash of its own the next one no longer follows it.
    rows[2].hash = link(&rows[1].hash, &rows[2].entry());
    assert_eq!(findings(&rows, &[]), [Finding::Broken { number: 4 }]);
}

#[test]
fn a_deleted_entry_is_found() {
    let mut rows = honest();
    rows.remove(2);
    let broken = Finding::Broken { number: 4 };
    let missing = Finding::Missing { from: 3, to: 3 };
    assert_eq!(findings(&rows, &[]), [missing, broken]);
    // Also when the numbers are closed up.
    rows[2].number = 3;
    rows[3].number = 4;
    assert_eq!(findings(&rows, &[])[0], Finding::Broken { number: 3 });
}

#[test]
fn swapped_entries_are_found() {
    let mut rows = honest();
    rows.swap(1, 3);
    rows[1].number = 2;
    rows[3].number = 4;
    assert_eq!(findings(&rows, &[])[0], Finding::Broken { number: 2 });
    let mut rows = honest();
    rows.swap(1, 2);
    let disordered = Finding::Disordered {
        number: 2,
        after: 3,
    };
    assert!(findings(&rows, &[]).contains(&disordered));
}

#[test]
fn an_inserted_entry_is_found() {
    let rows = honest();
    let mut more = rows.clone();
    more.insert(2, rows[0].clone());
    for (number, row) in (1..).zip(&mut more) {
        row.number = number;
    }
    assert_eq!(findings(&more, &[])[0], Finding::Broken { number: 3 });
    // One that is made to follow: then the next one does not.
    more[2].hash = link(&more[1].hash, &more[2].entry());
    assert_eq!(findings(&more, &[])[0], Finding::Broken { number: 4 });
}

#[test]
fn a_log_that_was_chained_anew_is_found_by_a_checkpoint() {
    let rows = honest();
    let known = note(&rows[..4], 1);
    let mut edited = rows;
    edited[1].actor = "nobody".into();
    let edited = chained(edited);
    assert_eq!(findings(&edited, &[]), [], "the chain alone does not tell");
    let rewritten = Finding::Rewritten {
        entries: 4,
        known_to: inside(),
    };
    assert_eq!(findings(&edited, &[(inside(), &known)]), [rewritten]);
}

#[test]
fn a_truncated_log_is_found_by_a_checkpoint() {
    let rows = honest();
    let known = note(&rows, 1);
    let truncated = Finding::Truncated {
        entries: 5,
        found: 3,
        known_to: inside(),
    };
    assert_eq!(findings(&rows[..3], &[]), []);
    assert_eq!(findings(&rows[..3], &[(inside(), &known)]), [truncated]);
}

#[test]
fn a_log_truncated_and_signed_again_is_found_by_a_checkpoint_from_outside() {
    let rows = honest();
    let (known, signed_again) = (note(&rows, 1), note(&rows[..3], 1));
    let own = (inside(), &*signed_again);
    assert_eq!(findings(&rows[..3], std::slice::from_ref(&own)), []);
    let truncated = Finding::Truncated {
        entries: 5,
        found: 3,
        known_to: outside(),
    };
    assert_eq!(
        findings(&rows[..3], &[own.clone(), (outside(), &known)]),
        [truncated]
    );
    // Also when it has grown as long again.
    let grown = log(&["ada", "bob", "cyd", "mal", "mal"]);
    let rewritten = Finding::Rewritten {
        entries: 5,
        known_to: outside(),
    };
    assert_eq!(findings(&grown, &[own, (outside(), &known)]), [rewritten]);
}

#[test]
fn a_store_that_was_rolled_back_is_found_by_a_checkpoint_from_outside() {
    let rows = honest();
    // The whole store with its checkpoints as it was after two entries, and what came then.
    let (old, known) = (note(&rows[..2], 1), note(&rows[..4], 1));
    let back = log(&["ada", "bob", "new"]);
    let notes = [(inside(), &*old), (outside(), &*known)];
    let truncated = Finding::Truncated {
        entries: 4,
        found: 3,
        known_to: outside(),
    };
    assert_eq!(findings(&back, &notes), [truncated]);
    let further = log(&["ada", "bob", "new", "new", "new"]);
    let rewritten = Finding::Rewritten {
        entries: 4,
        known_to: outside(),
    };
    assert_eq!(findings(&further, &notes), [rewritten]);
}

#[test]
fn a_checkpoint_with_a_bad_signature_is_found_and_does_not_count() {
    let rows = honest();
    let known = note(&rows, 1).replace("\n5\n", "\n4\n");
    let bad = Finding::BadSignature(inside());
    assert_eq!(findings(&rows, &[(inside(), &known)]), [bad]);
}

#[test]
fn a_checkpoint_of_an_unknown_key_or_another_store_is_found_and_does_not_count() {
    let rows = honest();
    let foreign = note(&rows[..2], 2);
    let unknown = Finding::UnknownKey(outside());
    assert_eq!(findings(&rows, &[(outside(), &foreign)]), [unknown]);
    let other = Checkpoint {
        store: "other".into(),
        entries: 9,
        head: ORIGIN,
        at: None,
    };
    let other = checkpoint::sign(&other, NAME, &key(1)).unwrap();
    let of_other = Finding::OtherStore {
        store: "other".into(),
        kept: outside(),
    };
    assert_eq!(findings(&rows, &[(outside(), &other)]), [of_other]);
}

#[test]
fn findings_are_bounded_and_the_others_counted() {
    let mut rows = log(&["ada"; FINDINGS_MAX + 7]);
    for row in &mut rows {
        row.hash = [7; 32];
    }
    let mut verifier = Verifier::new(Witnesses::default());
    for row in &rows {
        verifier.entry(&row.entry(), &row.hash);
    }
    let report = verifier.finish();
    assert_eq!((report.findings.len(), report.more), (FINDINGS_MAX, 7));
    assert_eq!((report.entries, report.head), (rows.len() as u64, [7; 32]));
}

#[test]
fn many_findings_of_one_kind_hide_none_of_another() {
    let rows = log(&["ada"; 3]);
    let foreign = note(&rows, 2);
    let known = note(&rows, 1);
    let mut notes = vec![(inside(), &*foreign); FINDINGS_MAX + 1];
    notes.push((outside(), &known));
    let found = findings(&rows[..2], &notes);
    assert_eq!(found.len(), FINDINGS_MAX + 1);
    let truncated = Finding::Truncated {
        entries: 3,
        found: 2,
        known_to: outside(),
    };
    assert_eq!(found.last(), Some(&truncated));
}

#[test]
fn a_note_reads_back_as_what_was_signed() {
    let checkpoint = Checkpoint {
        store: STORE.into(),
        entries: 1234,
        head: [7; 32],
        at: Some(UnixMs(1_785_000_000_000)),
    };
    let note = checkpoint::sign(&checkpoint, NAME, &key(1)).unwrap();
    let (text, signature) = note.split_once("\n\n").unwrap();
    assert_eq!(
        text,
        "switchhook-audit/0198c5d2\n1234\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\ntime 1785000000000"
    );
    assert!(
        signature.starts_with("\u{2014} gateway.example "),
        "{signature}"
    );
    let read = checkpoint::parse(&note).unwrap();
    assert_eq!(read.checkpoint, checkpoint);
    assert_eq!(read.signers().collect::<Vec<_>>(), [NAME]);
    assert_eq!(read.trust(&[note_key(2), note_key(1)]), Trust::Signed);
    assert_eq!(read.trust(&[note_key(2)]), Trust::UnknownKey);
    // Under another name it is another key.
    let renamed = NoteKey::new("other", key(1).public_key()).unwrap();
    assert_eq!(read.trust(&[renamed]), Trust::UnknownKey);
    // Another witness may sign below.
    let theirs = checkpoint::sign(&checkpoint, "witness", &key(2)).unwrap();
    let line = theirs.lines().last().unwrap();
    let both = checkpoint::parse(&format!("{note}{line}\n")).unwrap();
    assert_eq!(both.trust(&[note_key(1)]), Trust::Signed);
    let witness = NoteKey::new("witness", key(2).public_key()).unwrap();
    assert_eq!(both.trust(&[witness]), Trust::Signed);
}

#[test]
fn what_is_no_checkpoint_is_refused() {
    let good = note(&honest(), 1);
    let long = format!("{good}{}", " ".repeat(checkpoint::NOTE_BYTES_MAX));
    let line = good.lines().last().unwrap();
    let signed_often = format!("{good}{}", format!("{line}\n").repeat(16));
    let cases = [
        ("", NoteError::Parts),
        (good.trim_end(), NoteError::Parts),
        (&*long, NoteError::TooLong),
        (&good.replace('\n', "\r\n"), NoteError::Control),
        (&good.replace("-audit", "-log"), NoteError::Origin),
        (&good.replace(STORE, ""), NoteError::Origin),
        (&good.replace("\n5\n", "\n05\n"), NoteError::Entries),
        (&good.replace("\n5\n", "\n-5\n"), NoteError::Entries),
        (&good.replace("=\ntime", "\ntime"), NoteError::Head),
        (&good.replace("time 1", "time x"), NoteError::Extension),
        (&good.replace("time", "\n\ntime"), NoteError::Extension),
        (&good.replace('\u{2014}', "-"), NoteError::Signature),
        (&good.replace(NAME, "a+b"), NoteError::Signature),
        (&*signed_often, NoteError::Signatures),
    ];
    for (text, why) in cases {
        assert_eq!(checkpoint::parse(text).unwrap_err(), why, "{text}");
    }
    let nameless = Checkpoint {
        store: "a\nb".into(),
        entries: 0,
        head: ORIGIN,
        at: None,
    };
    let refused = checkpoint::sign(&nameless, NAME, &key(1));
    assert_eq!(refused, Err(NoteError::Origin));
    let refused = checkpoint::sign(&nameless, "a b", &key(1));
    assert_eq!(refused, Err(NoteError::Name));
}
